//! DataFusion functions that make a big value out of small arguments, with a cap. Their temporaries
//! are outside every memory pool: one `repeat` may ask for 2 GiB while a text is still being planned.

use std::sync::Arc;

use arrow::{
    array::{Array, AsArray},
    compute::{cast, kernels::aggregate::max},
    datatypes::{DataType, FieldRef, Int64Type},
};
use datafusion::{
    common::{Result, exec_err, internal_err},
    logical_expr::{
        ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    },
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
        "array_to_string" | "concat_ws" => return function,
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
            Growth::Replacement { from, to } => {
                let from = match from {
                    Some(from) => args.get(from).map_or(Ok(1), shortest)?.max(1),
                    None => 1,
                };
                (bytes(0)?.saturating_add(1)).saturating_mul(bytes(to)?) / from
            }
        };
        // Scalars in, one value out.
        let rows =
            if args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_))) { 1 } else { rows };
        if largest > VALUE_MAX || largest.saturating_mul(rows as u64) > BATCH_MAX {
            return exec_err!(
                "{}: the result may grow to {largest} bytes or elements per value, \
                 {VALUE_MAX} are allowed",
                self.inner.name()
            );
        }
        Ok(())
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

fn lengths(arg: &ColumnarValue) -> Result<Vec<u64>> {
    let array = arg.to_array(1)?;
    if !array.data_type().is_string() && !matches!(array.data_type(), DataType::Dictionary(_, _)) {
        return Ok(Vec::new());
    }
    let array = cast(&array, &DataType::LargeUtf8)?;
    Ok(array.as_string::<i64>().iter().flatten().map(|v| v.len() as u64).collect())
}
