//! Rows that passed the network become findings (stateless rules) or keyed rows for a shard.
//!
//! What can fail is evaluated here, last, on these rows only, and where a row fails, on halves: one
//! bad row neither matches nor harms the others.

mod facts;
mod json;

pub use facts::RowFacts;

use std::{hash::Hasher, sync::Arc};

use arrow::{
    array::{ArrayRef, AsArray, UInt32Array, new_empty_array},
    compute::{cast, concat, take_record_batch},
    datatypes::SchemaRef,
    record_batch::{RecordBatch, RecordBatchOptions},
};
use siphasher::sip::SipHasher13;
use sluice_event::{Encoder, Eval, EvalError, EventBatch, EventUid, Value};

use crate::{Change, Emission, FindingState, GroupColumn, Stage, StreamPlan, WindowPlan};

/// A row on its way to the shard that owns its key.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyedRow {
    /// Event time in milliseconds since 1970 UTC.
    pub time: i64,
    /// Its identity.
    pub uid: EventUid,
    /// Whether it came after the watermark of its partition.
    pub late: bool,
    /// The encoded key.
    pub key: Arc<[u8]>,
    /// The intermediate columns.
    pub values: Box<[Value]>,
    /// The row as compact JSON.
    pub evidence: Arc<str>,
}

/// Evaluations that failed on a row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failures {
    /// How many rows.
    pub rows: u64,
    /// Why the first did.
    pub first: Option<String>,
}

/// Rows for shards.
#[derive(Clone, Debug, Default)]
pub struct Keyed {
    /// Each with the virtual node of its key.
    pub rows: Vec<(u16, KeyedRow)>,
    /// Rows on which an expression failed: they do not match.
    pub failures: Failures,
    /// Rows further behind their partition than the lateness of the source or rule allows.
    pub too_late: u64,
}

/// The findings of a stateless rule among `rows` of a batch.
pub fn stateless(
    plan: &StreamPlan,
    slot: usize,
    branch: usize,
    facts: &mut RowFacts,
    rows: &[u32],
) -> (Vec<Emission>, Failures) {
    let batch = facts.batch;
    let mut failures = Failures::default();
    let Some((rows, columns)) = matching(plan, branch, batch, rows.to_vec(), &mut failures) else {
        return (Vec::new(), failures);
    };
    let columns = match assemble(&plan.output, columns, rows.len()) {
        Ok(columns) => Arc::new(columns),
        Err(error) => {
            failures.add(rows.len(), error);
            return (Vec::new(), failures);
        }
    };
    let emission = |(row, origin): (usize, u32)| {
        let fact = facts.of(origin);
        Emission {
            slot,
            key: row_key(fact.uid),
            change: Change::Upsert(FindingState::Confirmed),
            time: fact.time,
            window: None,
            count: 1,
            late: fact.late,
            capped: false,
            columns: columns.clone(),
            row,
            evidence: vec![fact.evidence.clone()],
            evidence_total: 1,
        }
    };
    (rows.into_iter().enumerate().map(emission).collect(), failures)
}

/// The keyed rows of a rule with state among `rows` of a batch. `secret` is the key of [`vnode`].
pub fn keyed(
    plan: &StreamPlan,
    branch: usize,
    facts: &mut RowFacts,
    rows: &[u32],
    secret: &[u8; 16],
) -> Keyed {
    let batch = facts.batch;
    let mut out = Keyed::default();
    let lateness = plan.lateness.unwrap_or(batch.origin.time.lateness);
    let in_time = |row: &u32| facts.age(*row) <= lateness;
    let accepted: Vec<u32> = rows.iter().copied().filter(in_time).collect();
    out.too_late = (rows.len() - accepted.len()) as u64;
    let Some((rows, columns)) = matching(plan, branch, batch, accepted, &mut out.failures) else {
        return out;
    };
    let Some(columns) = columns.iter().map(Value::column).collect::<Option<Vec<_>>>() else {
        out.failures.add(rows.len(), "a key or argument is a list or struct".to_owned());
        return out;
    };
    let mut columns: Vec<_> = columns.into_iter().map(Vec::into_iter).collect();
    for row in rows {
        let values: Box<[Value]> =
            columns.iter_mut().map(|c| c.next().unwrap_or_default()).collect();
        let key = stage_key(&plan.stage, &values);
        let fact = facts.of(row);
        let keyed = KeyedRow {
            time: fact.time,
            uid: fact.uid,
            late: fact.late,
            values,
            evidence: fact.evidence.clone(),
            key: key.into(),
        };
        out.rows.push((vnode(secret, &keyed.key), keyed));
    }
    out
}

/// The virtual node of an encoded key. `secret` is the cluster's: who writes the payload must not be
/// able to aim at one shard.
pub fn vnode(secret: &[u8; 16], key: &[u8]) -> u16 {
    let mut hasher = SipHasher13::new_with_key(secret);
    hasher.write(key);
    (hasher.finish() % 256) as u16
}

/// The row key of a finding that is one row: of stateless and first-seen rules.
pub fn row_key(uid: EventUid) -> Vec<u8> {
    let mut encoder = Encoder::default();
    encoder.bytes(&uid.bits.to_be_bytes());
    encoder.into_bytes()
}

/// The encoded group key: its values in order of the names of the key columns.
pub fn encode_key(plan: &WindowPlan, keys: &[Value]) -> Vec<u8> {
    let mut named: Vec<(&str, &Value)> = plan
        .layout
        .iter()
        .zip(plan.group.fields())
        .filter_map(|(column, field)| match column {
            GroupColumn::Key(n) => Some((field.name().as_str(), keys.get(*n)?)),
            GroupColumn::Window | GroupColumn::Aggregate(_) => None,
        })
        .collect();
    named.sort_by_key(|(name, _)| *name);
    let mut encoder = Encoder::default();
    named.into_iter().for_each(|(_, value)| encoder.value(value));
    encoder.into_bytes()
}

fn stage_key(stage: &Stage, values: &[Value]) -> Vec<u8> {
    match stage {
        Stage::Stateless => Vec::new(),
        Stage::Window(plan) => encode_key(plan, values),
        Stage::FirstSeen(plan) => {
            let mut encoder = Encoder::default();
            values.iter().skip(plan.outputs).for_each(|v| encoder.value(v));
            encoder.into_bytes()
        }
    }
}

impl Failures {
    pub(crate) fn add(&mut self, rows: usize, why: String) {
        self.rows += rows as u64;
        self.first.get_or_insert(why);
    }
}

/// The rows that also pass the branch's residual, with their intermediate columns.
fn matching(
    plan: &StreamPlan,
    branch: usize,
    batch: &EventBatch,
    mut rows: Vec<u32>,
    failures: &mut Failures,
) -> Option<(Vec<u32>, Vec<ArrayRef>)> {
    let branch = plan.branches.get(branch)?;
    let mut taken = take(&batch.columns, &rows)?;
    for condition in &branch.residual {
        if rows.is_empty() {
            return None;
        }
        let (kept, verdicts) = evaluate(std::slice::from_ref(condition), &taken, failures);
        let verdicts = verdicts.first()?.as_boolean_opt()?;
        let kept = kept.iter().zip(verdicts).filter(|(_, v)| *v == Some(true));
        let kept: Vec<u32> = kept.map(|(row, _)| *row).collect();
        if kept.len() < rows.len() {
            rows = kept.iter().map(|row| rows[*row as usize]).collect();
            taken = take(&taken, &kept)?;
        }
    }
    let (kept, columns) = evaluate(&branch.columns, &taken, failures);
    let rows: Vec<u32> = kept.iter().map(|row| rows[*row as usize]).collect();
    (!rows.is_empty()).then_some((rows, columns))
}

fn take(batch: &RecordBatch, rows: &[u32]) -> Option<RecordBatch> {
    if rows.is_empty() {
        return None;
    }
    take_record_batch(batch, &UInt32Array::from(rows.to_vec())).ok()
}

/// Evaluates every expression on every row; rows on which one fails are left out and counted. Gives
/// the rows kept, ascending, and a column per expression over them.
pub(crate) fn evaluate(
    evals: &[Arc<dyn Eval>],
    batch: &RecordBatch,
    failures: &mut Failures,
) -> (Vec<u32>, Vec<ArrayRef>) {
    let mut pieces = Vec::new();
    bisect(evals, batch, 0, &mut pieces, failures);
    let rows = pieces.iter().flat_map(|p| p.first..p.first + p.rows).collect();
    let columns = evals.iter().enumerate().map(|(i, eval)| {
        let parts: Vec<&dyn arrow::array::Array> =
            pieces.iter().filter_map(|p| p.columns.get(i)).map(|c| c.as_ref()).collect();
        match parts.as_slice() {
            [] => new_empty_array(eval.output()),
            [_] => pieces[0].columns[i].clone(),
            parts => concat(parts).unwrap_or_else(|_| new_empty_array(eval.output())),
        }
    });
    let columns = columns.collect();
    (rows, columns)
}

struct Piece {
    first: u32,
    rows: u32,
    columns: Vec<ArrayRef>,
}

fn bisect(
    evals: &[Arc<dyn Eval>],
    batch: &RecordBatch,
    first: u32,
    pieces: &mut Vec<Piece>,
    failures: &mut Failures,
) {
    let rows = batch.num_rows();
    let columns: Result<Vec<ArrayRef>, EvalError> = evals.iter().map(|e| e.eval(batch)).collect();
    match columns {
        _ if rows == 0 => {}
        Ok(columns) => pieces.push(Piece { first, rows: rows as u32, columns }),
        Err(error) if rows == 1 => failures.add(1, error.0),
        Err(_) => {
            let half = rows / 2;
            bisect(evals, &batch.slice(0, half), first, pieces, failures);
            let rest = batch.slice(half, rows - half);
            bisect(evals, &rest, first + half as u32, pieces, failures);
        }
    }
}

/// A batch in exactly this schema.
pub(crate) fn assemble(
    schema: &SchemaRef,
    columns: Vec<ArrayRef>,
    rows: usize,
) -> Result<RecordBatch, String> {
    let columns: Result<Vec<ArrayRef>, _> = columns
        .into_iter()
        .zip(schema.fields())
        .map(|(column, field)| match column.data_type() == field.data_type() {
            true => Ok(column),
            false => cast(&column, field.data_type()),
        })
        .collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    columns
        .and_then(|c| RecordBatch::try_new_with_options(schema.clone(), c, &options))
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
