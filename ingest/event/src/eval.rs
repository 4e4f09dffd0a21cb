//! Expressions somebody else compiled. Not how: `sql` implements [`Eval`] over DataFusion.

use std::fmt;

use arrow::{
    array::{ArrayRef, UInt32Array},
    compute::take_record_batch,
    datatypes::DataType,
    record_batch::RecordBatch,
};

/// An expression over the columns of one schema.
///
/// Guarantees: deterministic, no IO, no clock; the result has `batch.num_rows()` values of
/// [`Eval::output`]. Non-guarantees: an error names no row; a caller that must know which row
/// failed evaluates slices. On failure nothing is retained: the same call on other rows works.
pub trait Eval: fmt::Debug + Send + Sync {
    /// Evaluates over every row of `batch`, whose schema is the one this was compiled for.
    fn eval(&self, batch: &RecordBatch) -> Result<ArrayRef, EvalError>;

    /// Evaluates over these rows of `batch` only: a value per entry of `rows`, which are in bounds.
    fn eval_rows(&self, batch: &RecordBatch, rows: &UInt32Array) -> Result<ArrayRef, EvalError> {
        let taken = take_record_batch(batch, rows).map_err(|e| EvalError(e.to_string()))?;
        self.eval(&taken)
    }

    /// Which column this is, if it is one and nothing more.
    fn column(&self) -> Option<usize> {
        None
    }

    /// Two expressions over one table with the same number give the same results; `None` says
    /// nothing.
    fn id(&self) -> Option<u64> {
        None
    }

    /// The type of every result.
    fn output(&self) -> &DataType;

    /// The SQL this came from, for people.
    fn sql(&self) -> &str;
}

/// Why an expression could not be evaluated: division by zero, a bad cast, an overflow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvalError(pub String);

impl fmt::Display for EvalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for EvalError {}
