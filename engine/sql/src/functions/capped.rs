//! DataFusion functions that make a big value out of small arguments, with a cap. Their temporaries
//! are outside every memory pool: one `repeat` may ask for 2 GiB while a text is still being planned.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray},
    compute::{cast, concat, kernels::concat_elements::concat_elements_utf8},
    datatypes::{DataType, FieldRef, Int64Type},
};
use datafusion::{
    common::{DFSchema, Result, ScalarValue, exec_err, internal_err},
    logical_expr::{
        ColumnarValue, Expr, ExprSchemable, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
        ScalarUDFImpl, Signature, Volatility,
        planner::{ExprPlanner, PlannerResult, RawBinaryExpr},
    },
    sql::sqlparser::ast::BinaryOperator,
};

use super::catalogue::{self, Growth};
use crate::deadline;

/// Bytes of one value.
const VALUE_MAX: u64 = 1 << 20;

/// Bytes of one batch of values.
const BATCH_MAX: u64 = 64 << 20;

/// Work that one call may do on a value, and on a batch: steps of an edit distance. Both take less than
/// a second, the time in which cancelled work ends.
const WORK_MAX: u64 = 1 << 24;
const BATCH_WORK_MAX: u64 = 1 << 27;

/// The function itself, or with a cap if its result can be larger than its arguments; `None` if it
/// is not on the list.
pub(super) fn capped(function: Arc<ScalarUDF>) -> Option<Arc<ScalarUDF>> {
    let growth = catalogue::growth(function.name())?;
    if growth == Growth::Bounded {
        return Some(function);
    }
    Some(Arc::new(ScalarUDF::new_from_impl(Capped { inner: function, growth })))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Capped {
    inner: Arc<ScalarUDF>,
    growth: Growth,
}

impl Capped {
    /// Refuses what is too much, and says how many rows may be worked on at a time.
    fn check(&self, args: &[ColumnarValue], rows: usize) -> Result<usize> {
        let rows = if is_scalar(args) { 1 } else { rows };
        let measured: Vec<Measure> = args.iter().map(Measure::of).collect::<Result<_>>()?;
        let bytes = |i: usize, row: usize| measured.get(i).map_or(0, |m| m.bytes(row));
        let number = |i: usize, row: usize| measured.get(i).map_or(0, |m| m.number(row));
        let count = |i: usize, row: usize| measured.get(i).map_or(0, |m| m.elements(row));
        let sum =
            |row: usize| (0..measured.len()).map(|i| bytes(i, row)).fold(0, u64::saturating_add);
        let size = |row: usize| -> u64 {
            match self.growth {
                Growth::Bounded => 0,
                Growth::Sum(times) => sum(row).saturating_mul(times),
                Growth::Times { value, count } => {
                    bytes(value, row).max(1).saturating_mul(number(count, row))
                }
                Growth::Characters { count } => {
                    bytes(0, row).max(number(count, row).saturating_mul(4))
                }
                Growth::Elements { count } => {
                    let element = bytes(2, row).max(8);
                    bytes(0, row).saturating_add(number(count, row).saturating_mul(element))
                }
                Growth::Separated => {
                    let separators = bytes(0, row).saturating_mul(measured.len() as u64);
                    // Lists of texts are joined too.
                    let inner: u64 = (1..measured.len()).map(|i| count(i, row)).sum();
                    sum(row)
                        .saturating_add(separators)
                        .saturating_add(inner.saturating_mul(bytes(0, row)))
                }
                Growth::Joined => {
                    let between = bytes(1, row).saturating_add(bytes(2, row)).saturating_add(24);
                    bytes(0, row).saturating_add(count(0, row).saturating_mul(between))
                }
                Growth::Replacement { from, to } => {
                    let from = from.map_or(1, |from| bytes(from, row)).max(1);
                    let places = (bytes(0, row) / from).saturating_add(1);
                    bytes(0, row).saturating_add(places.saturating_mul(bytes(to, row)))
                }
                Growth::Work => {
                    bytes(0, row).saturating_add(1).saturating_mul(bytes(1, row).saturating_add(1))
                }
                Growth::WorkOfLists => bytes(0, row).saturating_mul(count(1, row)),
            }
        };
        let (mut largest, mut all) = (0, 0_u64);
        for row in 0..rows {
            let one = size(row);
            largest = largest.max(one);
            all = all.saturating_add(one);
        }
        if matches!(self.growth, Growth::Work | Growth::WorkOfLists) {
            return check_work(self.inner.name(), largest, all, rows);
        }
        check_size(self.inner.name(), largest, all).map(|()| rows)
    }

    /// Calls the function for some rows after others, and looks whether the work should have ended
    /// between two of them.
    fn in_pieces(&self, args: &ScalarFunctionArgs, piece: usize) -> Result<ColumnarValue> {
        let mut parts = Vec::new();
        let mut from = 0;
        while from < args.number_rows {
            deadline::check()?;
            let rows = piece.min(args.number_rows - from);
            let part = |arg: &ColumnarValue| match arg {
                ColumnarValue::Array(array) => ColumnarValue::Array(array.slice(from, rows)),
                ColumnarValue::Scalar(value) => ColumnarValue::Scalar(value.clone()),
            };
            let some = ScalarFunctionArgs {
                args: args.args.iter().map(part).collect(),
                arg_fields: args.arg_fields.clone(),
                number_rows: rows,
                return_field: args.return_field.clone(),
                config_options: args.config_options.clone(),
            };
            parts.push(self.inner.invoke_with_args(some)?.into_array(rows)?);
            from += rows;
        }
        let parts: Vec<&dyn Array> = parts.iter().map(|part| part.as_ref()).collect();
        Ok(ColumnarValue::Array(concat(&parts)?))
    }
}

impl ScalarUDFImpl for Capped {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("return_field_from_args is used")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match self.check(&args.args, args.number_rows)? {
            piece if piece < args.number_rows && !is_scalar(&args.args) => {
                self.in_pieces(&args, piece)
            }
            _ => self.inner.invoke_with_args(args),
        }
    }
}

/// Scalars in, one value out.
fn is_scalar(args: &[ColumnarValue]) -> bool {
    args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)))
}

/// Refuses results that may be too large: one value, or all of a batch.
fn check_size(name: &str, largest: u64, all: u64) -> Result<()> {
    deadline::check()?;
    if largest > VALUE_MAX || all > BATCH_MAX {
        return exec_err!(
            "{name}: the result may grow to {largest} bytes per value and {all} per batch; \
             {VALUE_MAX} and {BATCH_MAX} are allowed"
        );
    }
    Ok(())
}

/// Refuses work that takes too long, and says how many rows are done at a time: where work has an end,
/// a batch of any size can be done in pieces; in a rule it would hold up the stream.
fn check_work(name: &str, largest: u64, all: u64, rows: usize) -> Result<usize> {
    deadline::check()?;
    if largest <= WORK_MAX && all > BATCH_WORK_MAX && deadline::is_set() {
        return Ok(usize::try_from(BATCH_WORK_MAX / largest).unwrap_or(rows).max(1));
    }
    if largest > WORK_MAX || all > BATCH_WORK_MAX {
        return exec_err!(
            "{name}: {largest} steps for one value and {all} per batch are needed; {WORK_MAX} and \
             {BATCH_WORK_MAX} are allowed"
        );
    }
    Ok(rows)
}

/// `a || b` over text, planned as a function with the cap; lists keep the operator.
#[derive(Debug)]
pub(crate) struct CappedConcatenation;

impl ExprPlanner for CappedConcatenation {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        let is_list = |e: &Expr| matches!(e.get_type(schema), Ok(t) if t.is_nested());
        if expr.op != BinaryOperator::StringConcat || is_list(&expr.left) || is_list(&expr.right) {
            return Ok(PlannerResult::Original(expr));
        }
        let signature = Signature::user_defined(Volatility::Immutable);
        let function = ScalarUDF::new_from_impl(Concatenate { signature });
        Ok(PlannerResult::Planned(function.call(vec![expr.left, expr.right])))
    }
}

/// Text after text; NULL if one is.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Concatenate {
    signature: Signature,
}

impl ScalarUDFImpl for Concatenate {
    fn name(&self) -> &str {
        "concatenate"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(vec![DataType::Utf8; types.len()])
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let scalar = is_scalar(&args.args);
        let rows = if scalar { 1 } else { args.number_rows };
        let measured: Vec<Measure> = args.args.iter().map(Measure::of).collect::<Result<_>>()?;
        let (mut largest, mut all) = (0, 0_u64);
        for row in 0..rows {
            let one = measured.iter().map(|m| m.bytes(row)).sum();
            largest = largest.max(one);
            all = all.saturating_add(one);
        }
        check_size("||", largest, all)?;
        let (left, right) = (args.args[0].to_array(rows)?, args.args[1].to_array(rows)?);
        let joined = concat_elements_utf8(left.as_string::<i32>(), right.as_string::<i32>())?;
        if scalar {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&joined, 0)?));
        }
        Ok(ColumnarValue::Array(Arc::new(joined)))
    }
}

/// What the arguments weigh, per row or for all rows.
struct Measure {
    /// Bytes of each value; of one value if it is the same in all rows.
    bytes: Vec<u64>,
    /// Elements of each list; empty for other types.
    elements: Vec<u64>,
    /// The numbers, none below 0; empty for other types.
    numbers: Vec<u64>,
}

impl Measure {
    fn of(arg: &ColumnarValue) -> Result<Measure> {
        let array = arg.to_array(1)?;
        let elements = match array.as_list_opt::<i32>() {
            Some(list) => list.offsets().lengths().map(|n| n as u64).collect(),
            None => Vec::new(),
        };
        let numbers = if array.data_type().is_integer() {
            let numbers = cast(&array, &DataType::Int64)?;
            let numbers = numbers.as_primitive::<Int64Type>().iter();
            numbers.map(|n| n.unwrap_or(0).max(0).unsigned_abs()).collect()
        } else {
            Vec::new()
        };
        Ok(Measure { bytes: weights(&array)?, elements, numbers })
    }

    fn bytes(&self, row: usize) -> u64 {
        at(&self.bytes, row)
    }

    fn elements(&self, row: usize) -> u64 {
        at(&self.elements, row)
    }

    fn number(&self, row: usize) -> u64 {
        at(&self.numbers, row)
    }
}

/// The value of a row; of a scalar the only one.
fn at(values: &[u64], row: usize) -> u64 {
    match values {
        [only] => *only,
        values => values.get(row).copied().unwrap_or(0),
    }
}

/// Bytes of each value of an array, those inside lists and structs included.
fn weights(array: &ArrayRef) -> Result<Vec<u64>> {
    if let Some(dictionary) = array.as_any_dictionary_opt() {
        let values = weights(dictionary.values())?;
        if values.is_empty() {
            return Ok(vec![0; array.len()]);
        }
        let keys = dictionary.normalized_keys();
        return Ok(keys.into_iter().map(|key| at(&values, key)).collect());
    }
    if let Some(list) = array.as_list_opt::<i32>() {
        let inner = weights(list.values())?;
        let mut sums = Vec::with_capacity(inner.len() + 1);
        sums.push(0_u64);
        for weight in inner {
            sums.push(sums.last().copied().unwrap_or(0).saturating_add(weight));
        }
        let sum = |place: i32| usize::try_from(place).ok().and_then(|i| sums.get(i)).copied();
        let weight = |w: &[i32]| match w {
            [from, to] => sum(*to).unwrap_or(0).saturating_sub(sum(*from).unwrap_or(0)),
            _ => 0,
        };
        return Ok(list.value_offsets().windows(2).map(weight).collect());
    }
    if let Some(structs) = array.as_struct_opt() {
        let mut all = vec![0_u64; array.len()];
        for column in structs.columns() {
            for (sum, weight) in all.iter_mut().zip(weights(column)?) {
                *sum = sum.saturating_add(weight);
            }
        }
        return Ok(all);
    }
    if array.data_type().is_string() {
        let texts = cast(array, &DataType::LargeUtf8)?;
        let lengths = texts.as_string::<i64>().offsets().lengths();
        return Ok(lengths.map(|n| n as u64).collect());
    }
    // Numbers and times; for binary and the rest the average.
    let width = match array.data_type().primitive_width() {
        Some(width) => width as u64,
        None => (array.get_array_memory_size() / array.len().max(1)) as u64,
    };
    Ok(vec![width.max(1); array.len()])
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int32Array, ListArray, StringArray, StringDictionaryBuilder};
    use arrow::datatypes::Int32Type;

    use super::*;

    #[test]
    fn values_are_weighed_with_what_is_inside_them() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("ab"), None, Some("")]));
        assert_eq!(weights(&texts).unwrap(), [2, 0, 0]);
        let mut dictionary = StringDictionaryBuilder::<Int32Type>::new();
        dictionary.extend([Some("abc"), Some("a"), Some("abc")]);
        assert_eq!(weights(&(Arc::new(dictionary.finish()) as ArrayRef)).unwrap(), [3, 1, 3]);
        let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>([
            Some(vec![Some(1), Some(2)]),
            None,
            Some(vec![]),
        ]));
        assert_eq!(weights(&lists).unwrap(), [8, 0, 0]);
        let sliced = weights(&lists.slice(1, 2)).unwrap();
        assert_eq!(sliced, [0, 0]);
        let numbers: ArrayRef = Arc::new(Int32Array::from(vec![1, 2]));
        assert_eq!(weights(&numbers).unwrap(), [4, 4]);
    }
}
