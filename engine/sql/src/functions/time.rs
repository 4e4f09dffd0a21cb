//! Time arithmetic on `Timestamp(ms, UTC)`: `bin(time, size)` for everyone, and the parts that batch
//! lowering builds windows from. Negative times round down, no time overflows.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, AsArray, ListArray, StructArray, TimestampMillisecondArray},
    buffer::OffsetBuffer,
    compute::cast,
    datatypes::{DataType, Field, TimeUnit, TimestampMillisecondType},
};
use datafusion::{
    common::{Result, exec_datafusion_err, exec_err, plan_err},
    logical_expr::{
        ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
        lit,
    },
};

use super::keyed::{interval_millis, window_type};

/// The start of the cell of `size` milliseconds that holds `time`.
pub(crate) fn bin(time: Expr, size: i64) -> Expr {
    call(Kind::Bin, vec![time, lit(size)])
}

/// The starts of the hopping windows that hold `time`, as a list, oldest first.
pub(crate) fn hop_starts(time: Expr, slide: i64, size: i64) -> Expr {
    call(Kind::HopStarts, vec![time, lit(slide), lit(size)])
}

/// The window `Struct{start + before, end + after}` of two times and two shifts in milliseconds.
pub(crate) fn window_struct(start: Expr, before: i64, end: Expr, after: i64) -> Expr {
    call(Kind::Window, vec![start, lit(before), end, lit(after)])
}

pub(super) fn all() -> Vec<Arc<ScalarUDF>> {
    vec![function(Kind::Bin)]
}

fn call(kind: Kind, args: Vec<Expr>) -> Expr {
    function(kind).call(args)
}

fn function(kind: Kind) -> Arc<ScalarUDF> {
    let signature = Signature::user_defined(Volatility::Immutable);
    Arc::new(ScalarUDF::new_from_impl(TimeFunction { kind, signature }))
}

fn time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Bin,
    HopStarts,
    Window,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct TimeFunction {
    kind: Kind,
    signature: Signature,
}

impl ScalarUDFImpl for TimeFunction {
    fn name(&self) -> &str {
        match self.kind {
            Kind::Bin => "bin",
            Kind::HopStarts => "hop_starts",
            Kind::Window => "window_struct",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if self.kind == Kind::Bin
            && !matches!(
                types,
                [
                    DataType::Timestamp(_, _) | DataType::Null,
                    DataType::Interval(_) | DataType::Int64
                ]
            )
        {
            return plan_err!("bin takes a time and an interval: bin(time, INTERVAL '5 minutes')");
        }
        Ok(types
            .iter()
            .map(|t| match t {
                DataType::Timestamp(_, _) | DataType::Null => time_type(),
                other => other.clone(),
            })
            .collect())
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.kind {
            Kind::Bin => time_type(),
            Kind::HopStarts => DataType::List(Arc::new(Field::new_list_field(time_type(), true))),
            Kind::Window => window_type(),
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let time = |i: usize| -> Result<TimestampMillisecondArray> {
            let array = cast(&args.args[i].to_array(args.number_rows)?, &time_type())?;
            Ok(array.as_primitive::<TimestampMillisecondType>().clone())
        };
        let length = |i: usize| -> Result<i64> {
            match &args.args[i] {
                ColumnarValue::Scalar(value) => i64::try_from(value.clone())
                    .ok()
                    .or_else(|| interval_millis(&lit(value.clone())))
                    .ok_or_else(|| {
                        exec_datafusion_err!(
                            "{}: a length must be a positive interval without months",
                            self.name()
                        )
                    }),
                ColumnarValue::Array(_) => exec_err!("{}: a length must be a literal", self.name()),
            }
        };
        let array: ArrayRef = match self.kind {
            Kind::Bin => {
                let size = length(1)?;
                if size <= 0 {
                    return exec_err!("bin: a length must be positive");
                }
                Arc::new(
                    time(0)?
                        .unary::<_, TimestampMillisecondType>(|t| floor(t, size))
                        .with_timezone("UTC"),
                )
            }
            Kind::HopStarts => hops(&time(0)?, length(1)?, length(2)?),
            Kind::Window => {
                let (before, after) = (length(1)?, length(3)?);
                let shift = |array: TimestampMillisecondArray, by: i64| -> ArrayRef {
                    Arc::new(
                        array
                            .unary::<_, TimestampMillisecondType>(|t| t.saturating_add(by))
                            .with_timezone("UTC"),
                    )
                };
                let DataType::Struct(fields) = window_type() else {
                    return exec_err!("a window is a struct");
                };
                let columns = vec![shift(time(0)?, before), shift(time(2)?, after)];
                Arc::new(StructArray::try_new(fields, columns, None)?)
            }
        };
        Ok(ColumnarValue::Array(array))
    }
}

/// The greatest multiple of `size` not after `time`.
pub(crate) fn floor(time: i64, size: i64) -> i64 {
    time.div_euclid(size).saturating_mul(size)
}

fn hops(times: &TimestampMillisecondArray, slide: i64, size: i64) -> ArrayRef {
    let mut starts = Vec::new();
    let mut lengths = Vec::with_capacity(times.len());
    for time in times {
        let before = starts.len();
        if let Some(time) = time {
            let last = floor(time, slide);
            let count = size / slide;
            starts.extend((0..count).rev().map(|i| last.saturating_sub(i.saturating_mul(slide))));
        }
        lengths.push(starts.len() - before);
    }
    let values = TimestampMillisecondArray::from(starts).with_timezone("UTC");
    let field = Arc::new(Field::new_list_field(time_type(), true));
    Arc::new(ListArray::new(field, OffsetBuffer::from_lengths(lengths), Arc::new(values), None))
}
