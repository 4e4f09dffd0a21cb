//! Expressions over rows, of which any may fail on any row: where a batch fails, on halves, so that one
//! bad row neither matches nor harms the others.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, UInt32Array, new_empty_array},
    compute::{cast, concat},
    datatypes::SchemaRef,
    record_batch::{RecordBatch, RecordBatchOptions},
};
use sluice_event::{Eval, EvalError};

use super::Failures;

/// Every expression over these rows of a batch; rows on which one fails are left out and counted.
/// Gives the rows kept and a column per expression over them.
pub(super) fn eval_rows(
    evals: &[Arc<dyn Eval>],
    batch: &RecordBatch,
    rows: Vec<u32>,
    failures: &mut Failures,
) -> (Vec<u32>, Vec<ArrayRef>) {
    let indices = UInt32Array::from(rows.clone());
    let run = |start: usize, length: usize| -> Result<Vec<ArrayRef>, EvalError> {
        let part = indices.slice(start, length);
        evals.iter().map(|e| e.eval_rows(batch, &part)).collect()
    };
    let (kept, columns) = bisect(evals, rows.len(), &run, failures);
    (kept.into_iter().map(|at| rows[at as usize]).collect(), columns)
}

/// Evaluates every expression on every row; rows on which one fails are left out and counted. Gives
/// the rows kept, ascending, and a column per expression over them.
pub(crate) fn evaluate(
    evals: &[Arc<dyn Eval>],
    batch: &RecordBatch,
    failures: &mut Failures,
) -> (Vec<u32>, Vec<ArrayRef>) {
    let run = |start: usize, length: usize| -> Result<Vec<ArrayRef>, EvalError> {
        let part = batch.slice(start, length);
        evals.iter().map(|e| e.eval(&part)).collect()
    };
    bisect(evals, batch.num_rows(), &run, failures)
}

type Run<'r> = dyn Fn(usize, usize) -> Result<Vec<ArrayRef>, EvalError> + 'r;

fn bisect(
    evals: &[Arc<dyn Eval>],
    rows: usize,
    run: &Run<'_>,
    failures: &mut Failures,
) -> (Vec<u32>, Vec<ArrayRef>) {
    let mut pieces = Vec::new();
    halve(0, rows, run, &mut pieces, failures);
    let kept = pieces.iter().flat_map(|p| p.first..p.first + p.rows).collect();
    let columns = evals.iter().enumerate().map(|(i, eval)| {
        let parts: Vec<&dyn Array> =
            pieces.iter().filter_map(|p| p.columns.get(i)).map(|c| c.as_ref()).collect();
        match parts.as_slice() {
            [] => new_empty_array(eval.output()),
            [_] => pieces[0].columns[i].clone(),
            parts => concat(parts).unwrap_or_else(|_| new_empty_array(eval.output())),
        }
    });
    (kept, columns.collect())
}

struct Piece {
    first: u32,
    rows: u32,
    columns: Vec<ArrayRef>,
}

fn halve(
    first: usize,
    rows: usize,
    run: &Run<'_>,
    pieces: &mut Vec<Piece>,
    failures: &mut Failures,
) {
    if rows == 0 {
        return;
    }
    match run(first, rows) {
        Ok(columns) => pieces.push(Piece { first: first as u32, rows: rows as u32, columns }),
        Err(error) if rows == 1 => failures.add(1, error.0),
        Err(_) => {
            let half = rows / 2;
            halve(first, half, run, pieces, failures);
            halve(first + half, rows - half, run, pieces, failures);
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
