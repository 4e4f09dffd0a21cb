//! Rows on their way out: facts made once, failures bisected.

use arrow::{
    array::{Array, BooleanArray, Int64Array, StringArray, TimestampMillisecondArray},
    datatypes::{DataType, Field, Int64Type, Schema, TimeUnit},
    record_batch::RecordBatch,
};
use sluice_event::{EvalError, Origin, PartitionId, Records, TableName, TimeSettings};

use super::*;
use crate::{Branch, EmitMode, FirstSeenPlan, Predicate, Stage};

/// `100 / n`, or whether that is above 10: fails on 0.
#[derive(Debug)]
struct Quotient(DataType);

impl Eval for Quotient {
    fn eval(&self, batch: &RecordBatch) -> Result<ArrayRef, EvalError> {
        let n = batch.column(1).as_primitive::<Int64Type>();
        if n.iter().any(|n| n == Some(0)) {
            return Err(EvalError("division by zero".to_owned()));
        }
        let quotients = n.iter().map(|n| n.map(|n| 100 / n));
        Ok(match self.0 {
            DataType::Boolean => {
                Arc::new(quotients.map(|q| q.map(|q| q > 10)).collect::<BooleanArray>())
            }
            _ => Arc::new(quotients.collect::<Int64Array>()),
        })
    }

    fn output(&self) -> &DataType {
        &self.0
    }

    fn sql(&self) -> &str {
        "100 / n"
    }
}

fn plan(stage: Stage) -> StreamPlan {
    let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true)]));
    let columns = |n| -> Vec<Arc<dyn Eval>> {
        (0..n).map(|_| Arc::new(Quotient(DataType::Int64)) as Arc<dyn Eval>).collect()
    };
    StreamPlan {
        rule: "test".into(),
        branches: vec![Branch {
            table: TableName::new("network"),
            filter: Predicate::And(Vec::new()),
            residual: vec![Arc::new(Quotient(DataType::Boolean))],
            columns: columns(if matches!(stage, Stage::Stateless) { 1 } else { 2 }),
        }],
        intermediate: schema.clone(),
        stage,
        output: schema,
        emit: EmitMode::OnMatch,
        lateness: None,
        fingerprint: 1,
    }
}

const SECRET: [u8; 16] = [1; 16];

/// Rows 10 s apart; row 3 comes 15 s after its time and row 4 too late.
fn batch(n: &[Option<i64>]) -> EventBatch {
    let times: Vec<i64> = (0..n.len() as i64).map(|i| i * 10_000).collect();
    let mut seen: Vec<i64> = times.iter().map(|t| t - 10_000).collect();
    seen[3] = times[3] + 15_000;
    seen[4] = times[4] + 600_001;
    let zone = Some(Arc::from("UTC"));
    let schema = Schema::new(vec![
        Field::new("time", DataType::Timestamp(TimeUnit::Millisecond, zone.clone()), false),
        Field::new("n", DataType::Int64, true),
        Field::new("user_name", DataType::Utf8, true),
    ]);
    let names = StringArray::from(vec![Some("a\"b"); n.len()]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampMillisecondArray::from(times).with_timezone_opt(zone)),
        Arc::new(Int64Array::from(n.to_vec())),
        Arc::new(names),
    ];
    let bytes: Vec<u8> = (0..n.len() as u8).collect();
    EventBatch {
        table: TableName::new("network"),
        columns: RecordBatch::try_new(Arc::new(schema), columns).unwrap(),
        origin: Arc::new(Origin {
            source: "test".into(),
            tenant: "default".into(),
            partition: PartitionId(0),
            time: TimeSettings::default(),
        }),
        records: Records::new(bytes.into(), (0..n.len()).map(|i| i..i + 1).collect()),
        record: (0..n.len() as u32).collect(),
        sub_index: vec![0; n.len()],
        seen_before: seen,
    }
}

#[test]
fn rows_that_fail_do_not_match_and_harm_no_other() {
    let batch = batch(&[Some(1), Some(0), Some(50), Some(2), Some(0), None, Some(4)]);
    let (emissions, failures) = BatchRows::new(&batch, &SECRET, 1).stateless(
        &plan(Stage::Stateless),
        5,
        0,
        &[0, 1, 2, 3, 4, 5, 6],
    );
    assert_eq!((failures.rows, failures.first.as_deref()), (2, Some("division by zero")));
    let found: Vec<(i64, bool, i64)> = emissions
        .iter()
        .map(|e| {
            let column = e.columns.column(0).as_primitive::<Int64Type>();
            (e.time, e.late, column.value(e.row))
        })
        .collect();
    // The second is late, and not too late for windows.
    assert_eq!(found, [(0, false, 100), (30_000, false, 50), (60_000, false, 25)]);
    assert_eq!(emissions[0].key, row_key(batch.uid(0)));
    let uid = batch.uid(0);
    assert_eq!(
        &*emissions[0].evidence[0],
        format!(r#"{{"time":"1970-01-01T00:00:00.000Z","n":1,"user_name":"a\"b"}}"#)
    );
    assert_eq!(batch.evidence(0), *emissions[0].evidence[0]);
    assert_eq!(emissions[0].key, row_key(uid));
}

#[test]
fn evidence_of_a_row_is_made_once_for_all_rules() {
    let batch = batch(&[Some(1), Some(0), Some(50), Some(2), Some(0), None, Some(4)]);
    let mut rows = BatchRows::new(&batch, &SECRET, 1);
    let plan = plan(Stage::Stateless);
    let (first, _) = rows.stateless(&plan, 5, 0, &[0, 3]);
    let (second, _) = rows.stateless(&plan, 6, 0, &[3]);
    assert!(Arc::ptr_eq(&first[1].evidence[0], &second[0].evidence[0]));
    assert_eq!((&first[1].key, first[1].late), (&second[0].key, second[0].late));
}

#[test]
fn too_late_rows_reach_no_shard_and_fail_nowhere() {
    let batch = batch(&[Some(1), Some(0), Some(50), Some(2), Some(0), None, Some(4)]);
    let stage = Stage::FirstSeen(FirstSeenPlan { span: 1, outputs: 1 });
    let mut rows = BatchRows::new(&batch, &SECRET, 1);
    let keyed = rows.keyed(&plan(stage.clone()), 0, 0, &[0, 1, 3, 4]);
    assert_eq!((keyed.too_late, keyed.failures.rows), (1, 1));
    rows.keyed(&plan(stage), 1, 0, &[0, 3]);
    let sent = rows.finish().pop().unwrap().unwrap();
    let events: Vec<_> = sent.events.iter().map(|e| (e.time, e.late)).collect();
    assert_eq!(events, [(0, false), (30_000, true)], "each event once");
    for rule in &sent.rules {
        let rows: Vec<_> = rule.rows.iter().map(|r| (r.event, rule.cell(1, r))).collect();
        assert_eq!(rows, [(0, Cell::Int(100)), (1, Cell::Int(50))]);
        for row in &rule.rows {
            let mut tuple = Encoder::default();
            rule.cell(1, row).encode(&mut tuple);
            assert_eq!(row.key.of(&sent.keys), tuple_hash(&SECRET, tuple.as_bytes()));
        }
    }
}

#[test]
fn nothing_to_evaluate_gives_empty_columns() {
    let batch = batch(&[Some(0); 5]);
    let mut failures = Failures::default();
    let evals: Vec<Arc<dyn Eval>> = vec![Arc::new(Quotient(DataType::Int64))];
    let (rows, columns) = evaluate(&evals, &batch.columns, &mut failures);
    assert_eq!((rows.len(), columns[0].len(), failures.rows), (0, 0, 5));
}
