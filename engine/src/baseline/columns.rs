//! The columns of a baseline's SELECT as the samples of its features.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray},
    compute::cast,
    datatypes::{DataType, Float64Type, Schema as ArrowSchema, TimeUnit, TimestampMillisecondType},
};
use sluice_baseline::{Baseline, Row, Sample};
use sluice_rule::{BaselineColumn, BaselineFile, BaselineKind, Diagnostic};
use sluice_sql::Selected;

use super::Unfed;

/// Where each thing is in the SELECT's output.
#[derive(Debug)]
pub(super) struct Columns {
    pub(super) time: usize,
    pub(super) entity: usize,
    pub(super) features: Vec<Reads>,
    /// The entity's peer group in the directory.
    pub(super) peers: Option<usize>,
}

/// What a feature reads.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reads {
    Nothing,
    Text(usize),
    Number(usize),
}

impl Reads {
    /// The column.
    pub(super) fn place(self) -> Option<usize> {
        match self {
            Reads::Nothing => None,
            Reads::Text(at) | Reads::Number(at) => Some(at),
        }
    }
}

impl Columns {
    /// Finds the columns; what is not there, or of another type, is an error at its place.
    pub(super) fn find(
        file: &BaselineFile,
        schema: &ArrowSchema,
    ) -> Result<Columns, Vec<Diagnostic>> {
        let mut found = Vec::new();
        let path = file.file.path.as_str();
        let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        let mut index = |column: &BaselineColumn, is: &dyn Fn(&DataType) -> bool, wanted: &str| {
            let Ok(at) = schema.index_of(&column.name) else {
                let primary = format!("the SELECT does not return `{}`", column.name);
                found.push(
                    Diagnostic::error("R008", path, primary)
                        .at(column.span)
                        .did_you_mean(&column.name, names.iter().copied())
                        .hint(format!("it returns {}", names.join(", "))),
                );
                return 0;
            };
            let kind = schema.field(at).data_type();
            if !is(kind) {
                let primary = format!("`{}` is {kind}, not {wanted}", column.name);
                found.push(Diagnostic::error("R013", path, primary).at(column.span));
            }
            at
        };
        let text = |kind: &DataType| !kind.is_nested() && *kind != DataType::Null;
        let number = |kind: &DataType| kind.is_numeric();
        let time = |kind: &DataType| matches!(kind, DataType::Timestamp(..));
        let place = BaselineColumn { name: "time".to_owned(), span: file.entity_column.span };
        let columns = Columns {
            time: index(&place, &time, "a timestamp"),
            entity: index(&file.entity_column, &text, "a single value"),
            features: file
                .features
                .iter()
                .map(|f| match &f.kind {
                    BaselineKind::Count(_) | BaselineKind::TimeOfWeek(None) => Reads::Nothing,
                    BaselineKind::Numeric(column) => {
                        Reads::Number(index(column, &number, "a number"))
                    }
                    BaselineKind::Categorical(column)
                    | BaselineKind::Edge(column)
                    | BaselineKind::Distinct(column, _)
                    | BaselineKind::TimeOfWeek(Some(column)) => {
                        Reads::Text(index(column, &text, "a single value"))
                    }
                })
                .collect(),
            peers: file.peers.directory.then(|| {
                let name = BaselineFile::PEER_COLUMN.to_owned();
                let column = BaselineColumn { name, span: file.entity_column.span };
                index(&column, &text, "a single value")
            }),
        };
        if found.is_empty() { Ok(columns) } else { Err(found) }
    }

    /// Pushes every row; returns the newest time.
    pub(super) fn feed(
        &self,
        baseline: &mut Baseline,
        selected: &Selected,
        uid: impl Fn(u32) -> u128,
        unfed: &mut Unfed,
    ) -> Option<i64> {
        let rows = &selected.rows;
        // Types were checked when it was loaded: a cast that fails leaves NULL in every row.
        let column = |at: usize, to: DataType| -> Option<ArrayRef> {
            let array = rows.columns().get(at)?;
            if *array.data_type() == to { Some(Arc::clone(array)) } else { cast(array, &to).ok() }
        };
        let millis = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
        let (Some(times), Some(entities)) =
            (column(self.time, millis), column(self.entity, DataType::Utf8))
        else {
            unfed.failed += rows.num_rows() as u64;
            return None;
        };
        let times = times.as_primitive::<TimestampMillisecondType>();
        let entities = entities.as_string::<i32>();
        let peers = self.peers.and_then(|at| column(at, DataType::Utf8));
        let features: Vec<Option<ArrayRef>> = self
            .features
            .iter()
            .map(|reads| match *reads {
                Reads::Nothing => None,
                Reads::Text(at) => column(at, DataType::Utf8),
                Reads::Number(at) => column(at, DataType::Float64),
            })
            .collect();
        let mut newest = None;
        let mut samples = Vec::with_capacity(features.len());
        for row in 0..rows.num_rows() {
            if times.is_null(row) {
                unfed.no_time += 1;
                continue;
            }
            samples.clear();
            for (array, reads) in features.iter().zip(&self.features) {
                samples.push(match (array, reads) {
                    (Some(array), Reads::Text(_)) if array.is_valid(row) => {
                        Sample::Text(array.as_string::<i32>().value(row))
                    }
                    (Some(array), Reads::Number(_)) if array.is_valid(row) => {
                        Sample::Number(array.as_primitive::<Float64Type>().value(row))
                    }
                    _ => Sample::Missing,
                });
            }
            let time = times.value(row);
            newest = newest.max(Some(time));
            let record = selected.record.get(row).copied().unwrap_or_default();
            let entity = if entities.is_null(row) { "" } else { entities.value(row) };
            let groups = peers.as_ref().map(|groups| groups.as_string::<i32>());
            let peers =
                groups.filter(|groups| groups.is_valid(row)).map(|groups| groups.value(row));
            baseline.push(&Row { entity, time, uid: uid(record), peers, samples: &samples });
        }
        newest
    }
}
