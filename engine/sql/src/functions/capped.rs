//! DataFusion functions that make a big value out of small arguments, with a cap. Their temporaries
//! are outside every memory pool: one `repeat` may ask for 2 GiB while a text is still being planned.

use std::sync::Arc;

use arrow::{
    array::{Array, AsArray},
    compute::{
        cast,
        kernels::{aggregate::max, concat_elements::concat_elements_utf8},
    },
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

/// Bytes of one value, or elements of one list.
const VALUE_MAX: u64 = 1 << 20;

/// Bytes of one batch of values.
const BATCH_MAX: u64 = 64 << 20;

/// The function itself, or with a cap if it needs one.
pub(super) fn capped(function: Arc<ScalarUDF>) -> Arc<ScalarUDF> {
    let growth = match function.name() {
        "repeat" => Growth::Times(1),
        "array_repeat" => Growth::Count(1),
        "array_resize" => Growth::Count(1),
        "lpad" | "rpad" => Growth::Count(1),
        "replace" => Growth::Replacement { from: Some(1), to: 2 },
        "regexp_replace" => Growth::Replacement { from: None, to: 2 },
        "concat" | "concat_ws" | "array_to_string" | "array_concat" => Growth::Sum,
        _ => return function,
    };
    Arc::new(ScalarUDF::new_from_impl(Capped { inner: function, growth }))
}

/// How the result grows with the arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Growth {
    /// The first argument that many times.
    Times(usize),
    /// That many characters or elements.
    Count(usize),
    /// All arguments one after the other.
    Sum,
    /// Each occurrence of one argument becomes another.
    Replacement { from: Option<usize>, to: usize },
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Capped {
    inner: Arc<ScalarUDF>,
    growth: Growth,
}

impl Capped {
    fn check(&self, args: &[ColumnarValue], rows: usize) -> Result<()> {
        let bytes = |i: usize| args.get(i).map_or(Ok(0), longest);
        let largest = match self.growth {
            Growth::Times(count) => {
                bytes(0)?.max(1).saturating_mul(args.get(count).map_or(Ok(0), greatest)?)
            }
            Growth::Count(count) => args.get(count).map_or(Ok(0), greatest)?,
            Growth::Sum => {
                let mut sum: u64 = 0;
                for arg in args {
                    sum = sum.saturating_add(longest(arg)?);
                }
                sum
            }
            Growth::Replacement { from, to } => {
                let from = match from {
                    Some(from) => args.get(from).map_or(Ok(1), shortest)?.max(1),
                    None => 1,
                };
                (bytes(0)?.saturating_add(1)).saturating_mul(bytes(to)?) / from
            }
        };
        check_size(self.inner.name(), largest, args, rows)
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
        self.check(&args.args, args.number_rows)?;
        self.inner.invoke_with_args(args)
    }
}

/// Refuses results that may be too large; `largest` is of one value.
fn check_size(name: &str, largest: u64, args: &[ColumnarValue], rows: usize) -> Result<()> {
    // Scalars in, one value out.
    let rows = if args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_))) { 1 } else { rows };
    if largest > VALUE_MAX || largest.saturating_mul(rows as u64) > BATCH_MAX {
        return exec_err!(
            "{name}: the result may grow to {largest} bytes or elements per value; {VALUE_MAX} \
             per value and {BATCH_MAX} per {rows} rows are allowed"
        );
    }
    Ok(())
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
        let mut longest_sum = 0;
        for arg in &args.args {
            longest_sum += longest(arg)?;
        }
        check_size("||", longest_sum, &args.args, args.number_rows)?;
        let scalar = args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let rows = if scalar { 1 } else { args.number_rows };
        let (left, right) = (args.args[0].to_array(rows)?, args.args[1].to_array(rows)?);
        let joined = concat_elements_utf8(left.as_string::<i32>(), right.as_string::<i32>())?;
        if scalar {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&joined, 0)?));
        }
        Ok(ColumnarValue::Array(Arc::new(joined)))
    }
}

/// The greatest value of an integer argument; negative counts as 0.
fn greatest(arg: &ColumnarValue) -> Result<u64> {
    let array = cast(&arg.to_array(1)?, &DataType::Int64)?;
    Ok(max(array.as_primitive::<Int64Type>()).map_or(0, |n| n.max(0).unsigned_abs()))
}

/// The most bytes a value of a text argument has.
fn longest(arg: &ColumnarValue) -> Result<u64> {
    Ok(lengths(arg)?.into_iter().max().unwrap_or(0))
}

/// The fewest bytes a value of a text argument has.
fn shortest(arg: &ColumnarValue) -> Result<u64> {
    Ok(lengths(arg)?.into_iter().min().unwrap_or(0))
}

/// Bytes of each text; elements of each list, or its bytes if they are texts.
fn lengths(arg: &ColumnarValue) -> Result<Vec<u64>> {
    let array = arg.to_array(1)?;
    if let Some(list) = array.as_list_opt::<i32>() {
        let offsets = list.value_offsets();
        let place = |i: i32| -> i64 {
            match list.values().as_string_opt::<i32>() {
                Some(texts) => texts.value_offsets().get(i as usize).map_or(0, |o| i64::from(*o)),
                None => i64::from(i),
            }
        };
        let length = |w: &[i32]| place(w[1]).saturating_sub(place(w[0])).max(0).unsigned_abs();
        return Ok(offsets.windows(2).map(length).collect());
    }
    if !array.data_type().is_string() && !matches!(array.data_type(), DataType::Dictionary(_, _)) {
        return Ok(Vec::new());
    }
    let array = cast(&array, &DataType::LargeUtf8)?;
    Ok(array.as_string::<i64>().iter().flatten().map(|v| v.len() as u64).collect())
}
