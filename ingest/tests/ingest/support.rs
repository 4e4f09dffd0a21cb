//! A small source with one mapping written by hand, and ways to run bytes through it.

use std::{path::PathBuf, sync::Arc};

use arrow::{
    array::{Array, AsArray, BooleanArray, RecordBatch, new_null_array},
    compute::cast,
};
use sluice_event::{
    EventBatch, Mapped, PartitionId, RowError, Schema, TableName, TimeFormat, TimeSettings,
    Transform, WireSchema, WireType,
};
use sluice_ingest::{
    Codec, Counts, DeadLetter, FileInput, FoundFile, Limits, Mapper, MappingEntry, NextChunk,
    SourceSpec, Unwrap, stdin_file,
};

/// 2026-01-02T00:00:00Z.
pub(crate) const RECEIVED: i64 = 1_767_312_000_000;

/// Maps `user` to `user_name`. A user `skip` makes no row, `fail` an error, `other` is not taken.
#[derive(Debug)]
struct Users(TableName);

impl Transform for Users {
    fn table(&self) -> &TableName {
        &self.0
    }

    fn matches(&self, wire: &RecordBatch) -> BooleanArray {
        let users = wire["user"].as_string::<i32>();
        users.iter().map(|u| Some(u != Some("other"))).collect()
    }

    fn apply(&self, wire: &RecordBatch) -> Mapped {
        let users = wire["user"].as_string::<i32>();
        let table = Schema::builtin().table(self.0.as_str()).unwrap();
        let (mut record, mut failed, mut names) = (Vec::new(), Vec::new(), Vec::new());
        for (at, user) in (0u32..).zip(users) {
            match user {
                Some("skip") => {}
                Some("fail") => failed.push(RowError { record: at, message: "fails".into() }),
                user => {
                    record.push(at);
                    names.push(user);
                }
            }
        }
        let names: arrow::array::ArrayRef = Arc::new(arrow::array::StringArray::from(names));
        let columns = table
            .arrow
            .fields()
            .iter()
            .map(|f| match f.name().as_str() {
                "user_name" => cast(&names, f.data_type()).unwrap(),
                "time" => Arc::new(
                    arrow::array::TimestampMillisecondArray::from(vec![0; names.len()])
                        .with_timezone("UTC"),
                ),
                _ => new_null_array(f.data_type(), names.len()),
            })
            .collect();
        let mut rows = RecordBatch::try_new(table.arrow.clone(), columns).unwrap();
        // The times of the records are wanted: a mapping without `time` gives none.
        let at = table.index("time").unwrap();
        let fields = table.arrow.fields().iter().map(|f| f.as_ref().clone());
        let nullable: Vec<_> = fields.map(|f| f.with_nullable(true)).collect();
        let mut columns = rows.columns().to_vec();
        columns[at] = new_null_array(columns[at].data_type(), names.len());
        rows = RecordBatch::try_new(Arc::new(arrow::datatypes::Schema::new(nullable)), columns)
            .unwrap();
        Mapped { rows, record, failed, conflicts: Vec::new() }
    }
}

pub(crate) fn spec() -> SourceSpec {
    let columns = [
        ("user", WireType::String),
        ("at", WireType::Timestamp(vec![TimeFormat::Auto])),
        ("id", WireType::String),
        ("n", WireType::Int),
        ("f", WireType::Float),
        ("b", WireType::Bool),
        ("j", WireType::Json),
        (
            "o",
            WireType::Struct(vec![
                ("x".into(), WireType::String),
                ("y".into(), WireType::Struct(vec![("z".into(), WireType::Int)])),
            ]),
        ),
        ("l", WireType::List(Box::new(WireType::Struct(vec![("k".into(), WireType::String)])))),
    ];
    SourceSpec {
        source: "test.source".into(),
        codec: Codec::Json,
        unwrap: Unwrap::new(["$.Records[*]", "$[*]", "$.detail", "$"]),
        wire: WireSchema { columns: columns.into_iter().map(|(n, t)| (n.to_owned(), t)).collect() },
        time: Some("at".into()),
        native_id: Some("id".into()),
        time_settings: TimeSettings::default(),
        detect_has: Vec::new(),
        detect_lacks: Vec::new(),
        limits: Limits::default(),
        surroundings: Arc::default(),
        aliases: Arc::default(),
        detect_line: None,
        detect_message: None,
        mappings: vec![MappingEntry {
            id: "test.source.authentication".into(),
            priority: 10,
            class: None,
            vendor: Some("Test".into()),
            product: None,
            transform: Arc::new(Users(TableName::new("authentication"))),
        }],
    }
}

/// What came of an input.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) batches: Vec<EventBatch>,
    pub(crate) dead: Vec<DeadLetter>,
    pub(crate) counts: Counts,
    pub(crate) unmapped: Vec<(String, u64, String)>,
    pub(crate) unmapped_more: u64,
}

impl Outcome {
    /// `user_name` of every row of the table.
    pub(crate) fn users(&self) -> Vec<String> {
        self.column("user_name").into_iter().map(Option::unwrap_or_default).collect()
    }

    pub(crate) fn column(&self, name: &str) -> Vec<Option<String>> {
        let mut values = Vec::new();
        for batch in self.batches.iter().filter(|b| !b.table.is_raw()) {
            values.extend(texts(&batch.columns, name));
        }
        values
    }

    /// A column of the raw table.
    pub(crate) fn raw(&self, name: &str) -> Vec<Option<String>> {
        let raw = self.batches.iter().filter(|b| b.table.is_raw());
        raw.flat_map(|b| texts(&b.columns, name)).collect()
    }

    /// (code, line) of every dead letter.
    pub(crate) fn codes(&self) -> Vec<(&'static str, u64)> {
        self.dead.iter().map(|d| (d.code.name(), d.line)).collect()
    }
}

fn texts(batch: &RecordBatch, name: &str) -> Vec<Option<String>> {
    let column = batch.column_by_name(name).unwrap();
    if let Some(times) = column.as_primitive_opt::<arrow::datatypes::TimestampMillisecondType>() {
        return times.iter().map(|t| t.map(sluice_event::rfc3339)).collect();
    }
    let format = arrow::util::display::FormatOptions::default().with_display_error(true);
    let format = arrow::util::display::ArrayFormatter::try_new(column, &format).unwrap();
    (0..column.len())
        .map(|row| column.is_valid(row).then(|| format.value(row).to_string()))
        .collect()
}

/// Runs bytes through the source, with its raw table.
pub(crate) fn run(bytes: impl Into<Vec<u8>>) -> Outcome {
    run_spec(spec(), bytes.into())
}

pub(crate) fn run_spec(spec: SourceSpec, bytes: Vec<u8>) -> Outcome {
    run_file(spec, stdin_file(Box::new(std::io::Cursor::new(bytes))), Limits::default())
}

pub(crate) fn run_file(spec: SourceSpec, file: FoundFile, limits: Limits) -> Outcome {
    let mut input = FileInput::new(limits);
    let partition = input.add(file, &spec.framing(), RECEIVED);
    let time = spec.time_settings;
    let mut mapper = Mapper::new(Arc::new(spec), "default", partition, time, true, i64::MIN);
    let mut outcome = Outcome::default();
    while let Some(next) = input.next_chunk(&|_| 0).unwrap() {
        match next {
            NextChunk::Chunk(chunk) => {
                let processed = mapper.process(&chunk);
                outcome.batches.extend(processed.batches);
                outcome.dead.extend(processed.dead_letters);
                outcome.counts.add(&processed.counts);
            }
            NextChunk::End(id) => assert_eq!(id, PartitionId(0)),
        }
    }
    let counts = &outcome.counts;
    assert!(counts.balanced(), "{counts:?}");
    assert_eq!(counts.dead(), outcome.dead.len() as u64);
    let fields = mapper.unmapped().fields();
    outcome.unmapped = fields.map(|f| (f.name.clone(), f.records, f.example.clone())).collect();
    outcome.unmapped_more = mapper.unmapped().more;
    outcome
}

/// A fresh folder for a test.
pub(crate) fn folder(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    if path.try_exists().unwrap() {
        std::fs::remove_dir_all(&path).unwrap();
    }
    std::fs::create_dir_all(&path).unwrap();
    path
}
