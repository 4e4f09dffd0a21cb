//! A baseline as a rule that runs in the stream: its SELECT planned like that of a rule, its columns as
//! the operator reads them, its state named by what it depends on. Not the operator (`sluice_stream`).

use std::sync::Arc;

use arrow::{
    array::ArrayRef,
    compute::cast,
    datatypes::{DataType, Field, Schema as ArrowSchema},
    record_batch::RecordBatch,
};
use sluice_baseline::{POLICY, Spec};
use sluice_event::{Column, ColumnType, Encoder, Eval, EvalError, Schema};
use sluice_rule::{BaselineFile, BaselineKind, Diagnostic, Rule};
use sluice_sql::Compiler;
use sluice_stream::{BaselinePlan, Branch, EmitMode, Stage, StreamPlan, baseline_output};

use super::columns::{Columns, Reads};
use crate::LoadedRule;

/// Texts whose value is another one in nearly every event.
const UNBOUNDED: [&str; 5] = ["original_time", "event_uid", "native_uid", "message", "raw"];

/// Compiles a baseline over tables. Warnings come beside it.
///
/// # Errors
/// Everything that is wrong with it.
pub(super) fn compile(
    compiler: &Compiler,
    file: &BaselineFile,
    columns: &Columns,
    spec: Spec,
) -> Result<(LoadedRule, Vec<Diagnostic>), Vec<Diagnostic>> {
    let rule = Rule::of_baseline(file);
    let compiled = compiler.compile_rule(&rule)?;
    let plan = compiled.plan;
    if !matches!(plan.stage, Stage::Stateless) {
        let refused = Diagnostic::error("R016", &file.file.path, "a baseline cannot remember rows")
            .at(rule.place("entity"))
            .detail("its SELECT gives a row for each event, by itself")
            .hint("the engine keeps what is usual: leave `first_seen` out");
        return Err(vec![refused]);
    }
    check(file, columns, &plan)?;
    let plan = planned(file, columns, plan, spec);
    let lookups = compiled.lookups.into();
    let loaded = LoadedRule { rule: Arc::new(rule), plan: Arc::new(plan), lookups };
    Ok((loaded, compiled.warnings))
}

/// What the columns of the SELECT must be.
fn check(file: &BaselineFile, columns: &Columns, plan: &StreamPlan) -> Result<(), Vec<Diagnostic>> {
    let mut found = Vec::new();
    let path = file.file.path.as_str();
    let place = file.entity_column.span;
    for branch in &plan.branches {
        if branch.table.is_findings() {
            let refused = Diagnostic::error("R016", path, "a baseline reads events")
                .detail("what is found by it would be found by itself again")
                .hint("a rule reads findings: SELECT user_entity, time FROM findings WHERE rule_id = 'baselines.user_signin'");
            found.push(refused.at(place));
        }
        // Wire columns of `raw` tables have any name.
        let Some(table) = Schema::builtin().table(branch.table.as_str()) else { continue };
        let named = |at: usize| table.columns.get(branch.columns.get(at).and_then(|c| c.column())?);
        if named(columns.time).is_none_or(|column| column.name != "time") {
            found.push(
                Diagnostic::error("R008", path, "`time` is not the time of the event")
                    .at(place)
                    .detail("the time of the event decides its unit, and when a unit is closed")
                    .hint("SELECT time, .."),
            );
        }
        for (feature, reads) in file.features.iter().zip(&columns.features) {
            let (BaselineKind::Categorical(column) | BaselineKind::Edge(column), Reads::Text(at)) =
                (&feature.kind, *reads)
            else {
                continue;
            };
            if let Some(known) = named(at).filter(|column| is_unbounded(column)) {
                let primary = format!("`{}` is another value in nearly every event", known.name);
                found.push(
                    Diagnostic::error("R013", path, primary)
                        .at(column.span)
                        .detail("nothing would be usual, and each value takes a place in memory")
                        .hint("select a part of it that repeats, or count: `kind: distinct`"),
                );
            }
        }
    }
    if found.is_empty() { Ok(()) } else { Err(found) }
}

/// Whether a column has another value in nearly every event.
fn is_unbounded(column: &Column) -> bool {
    match column.kind {
        ColumnType::Timestamp | ColumnType::Json | ColumnType::List => true,
        ColumnType::Text
        | ColumnType::Keyword
        | ColumnType::Int
        | ColumnType::Long
        | ColumnType::Float
        | ColumnType::Bool => UNBOUNDED.contains(&column.name),
    }
}

fn planned(file: &BaselineFile, columns: &Columns, plan: StreamPlan, mut spec: Spec) -> StreamPlan {
    let sql = |at: usize| {
        let texts: Vec<&str> =
            plan.branches.iter().filter_map(|b| Some(b.columns.get(at)?.sql())).collect();
        texts.join(" | ")
    };
    for (feature, reads) in spec.features.iter_mut().zip(&columns.features) {
        feature.reads = reads.place().map(sql).unwrap_or_default().into();
    }
    let mut identity = Encoder::default();
    identity.text("baseline");
    identity.int(plan.fingerprint as i64);
    identity.text(&format!("{:?}", spec.unit));
    identity.text(&sql(columns.entity));
    let reads: Vec<Reads> = std::iter::once(Reads::Text(columns.entity))
        .chain(columns.features.clone())
        .chain(columns.peers.map(Reads::Text))
        .collect();
    let mut next = 0..;
    let places: Vec<Option<usize>> =
        reads.iter().map(|reads| reads.place().and_then(|_| next.next())).collect();
    let branches: Vec<Branch> = plan
        .branches
        .iter()
        .map(|branch| Branch {
            columns: reads.iter().filter_map(|reads| reads.of(&branch.columns)).collect(),
            ..branch.clone()
        })
        .collect();
    let fields: Vec<Field> = branches.first().map_or_else(Vec::new, |branch| {
        let numbered = branch.columns.iter().enumerate();
        numbered.map(|(i, c)| Field::new(format!("read_{i}"), c.output().clone(), true)).collect()
    });
    StreamPlan {
        rule: plan.rule,
        branches,
        intermediate: Arc::new(ArrowSchema::new(fields)),
        stage: Stage::Baseline(BaselinePlan {
            spec,
            policy: POLICY,
            entity: 0,
            features: places.iter().copied().skip(1).take(columns.features.len()).collect(),
            peers: columns.peers.and_then(|_| places.last().copied().flatten()),
        }),
        output: baseline_output(&file.entity_column.name),
        emit: EmitMode::OnWatermark,
        lateness: plan.lateness,
        fingerprint: (identity.hash128() >> 64) as u64,
    }
}

impl Reads {
    /// The column, a text unless it is a number that is read as one.
    fn of(self, columns: &[Arc<dyn Eval>]) -> Option<Arc<dyn Eval>> {
        let column = columns.get(self.place()?)?;
        let is_text = match column.output() {
            DataType::Dictionary(_, value) => value.is_string(),
            other => other.is_string(),
        };
        Some(match self {
            Reads::Text(_) if !is_text => Arc::new(TextOf(column.clone())),
            Reads::Nothing | Reads::Text(_) | Reads::Number(_) => column.clone(),
        })
    }
}

/// An expression as text.
#[derive(Debug)]
struct TextOf(Arc<dyn Eval>);

impl Eval for TextOf {
    fn eval(&self, batch: &RecordBatch) -> Result<ArrayRef, EvalError> {
        cast(&self.0.eval(batch)?, &DataType::Utf8).map_err(|e| EvalError(e.to_string()))
    }

    fn output(&self) -> &DataType {
        &DataType::Utf8
    }

    fn sql(&self) -> &str {
        self.0.sql()
    }
}
