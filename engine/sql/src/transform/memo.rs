//! What expressions came to for the values met before. Not which expressions, and not their evaluation.
//!
//! What a mapping decides by has the same handful of values in batch after batch.

use std::collections::HashMap;

use arrow::{
    array::{Array, ArrayRef, AsArray, UInt32Array},
    compute::{cast, concat},
    datatypes::{DataType, Int64Type},
};
use foldhash::fast::RandomState;

/// Tuples of values kept; with one more all are forgotten. Results have a row for each.
const TUPLES_MAX: usize = 256;
/// Bytes of a tuple, at most: who sends long values must not have them kept.
const TUPLE_BYTES_MAX: usize = 1_024;

/// The results of some expressions over the same fields, per tuple of those.
#[derive(Debug, Default)]
pub(super) struct Memo {
    /// By the encoded tuple: its row in `results`.
    known: HashMap<Box<[u8]>, u32, RandomState>,
    /// Per expression.
    results: Vec<ArrayRef>,
}

impl Memo {
    /// The row of each of these tuples, which are at the places `at` of the fields; what was not met before is
    /// evaluated by `evaluate`, given places. `None` if that fails, or a tuple is too long or there are too many.
    pub(super) fn rows(
        &mut self,
        fields: &[&ArrayRef],
        at: &[u32],
        evaluate: impl FnOnce(&UInt32Array) -> Option<Vec<ArrayRef>>,
    ) -> Option<Vec<u32>> {
        let tuples = at.iter().map(|at| tuple(fields, *at as usize)).collect::<Option<Vec<_>>>()?;
        let is_new = |tuple: &Vec<u8>| !self.known.contains_key(tuple.as_slice());
        let new = tuples.iter().filter(|tuple| is_new(tuple)).count();
        if new > 0 {
            if self.known.len() + new > TUPLES_MAX {
                *self = Memo::default();
            }
            self.learn(&tuples, at, evaluate)?;
        }
        tuples.iter().map(|tuple| self.known.get(tuple.as_slice()).copied()).collect()
    }

    /// Per expression: its results by row.
    pub(super) fn results(&self) -> &[ArrayRef] {
        &self.results
    }

    fn learn(
        &mut self,
        tuples: &[Vec<u8>],
        at: &[u32],
        evaluate: impl FnOnce(&UInt32Array) -> Option<Vec<ArrayRef>>,
    ) -> Option<()> {
        let is_new = |tuple: &Vec<u8>| !self.known.contains_key(tuple.as_slice());
        let new: Vec<(&Vec<u8>, u32)> =
            tuples.iter().zip(at.iter().copied()).filter(|(tuple, _)| is_new(tuple)).collect();
        if new.len() > TUPLES_MAX {
            return None;
        }
        let made = evaluate(&new.iter().map(|(_, at)| *at).collect())?;
        self.results = match self.results.is_empty() {
            true => made,
            false => {
                let pairs = self.results.iter().zip(&made);
                pairs.map(|(known, made)| joined(known, made)).collect::<Option<_>>()?
            }
        };
        let first = self.known.len() as u32;
        let rows = new.into_iter().zip(first..);
        self.known.extend(rows.map(|((tuple, _), row)| (tuple.as_slice().into(), row)));
        Some(())
    }
}

/// Two arrays of one type after each other; each text of a dictionary once.
fn joined(a: &ArrayRef, b: &ArrayRef) -> Option<ArrayRef> {
    let DataType::Dictionary(_, text) = a.data_type() else {
        return concat(&[a.as_ref(), b.as_ref()]).ok();
    };
    let [a_texts, b_texts] = [cast(a, text).ok()?, cast(b, text).ok()?];
    cast(&concat(&[a_texts.as_ref(), b_texts.as_ref()]).ok()?, a.data_type()).ok()
}

/// The values at a place, as bytes that are equal for equal values alone; `None` if they are too long.
fn tuple(fields: &[&ArrayRef], at: usize) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(32);
    for field in fields {
        if field.is_null(at) {
            out.push(0);
        } else if let Some(texts) = field.as_string_opt::<i32>() {
            let text = texts.value(at);
            if out.len() + text.len() > TUPLE_BYTES_MAX {
                return None;
            }
            out.push(1);
            out.extend((text.len() as u32).to_le_bytes());
            out.extend(text.as_bytes());
        } else if let Some(numbers) = field.as_primitive_opt::<Int64Type>() {
            out.push(2);
            out.extend(numbers.value(at).to_le_bytes());
        } else {
            out.push(if field.as_boolean_opt().is_some_and(|b| b.value(at)) { 4 } else { 3 });
        }
    }
    Some(out)
}
