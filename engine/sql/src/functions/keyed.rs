//! Functions that name a window or `first_seen`: they have a type and no body. Whoever runs one
//! without lowering it gets an error, never a wrong result.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use datafusion::{
    common::{Result, ScalarValue, exec_err, plan_err},
    logical_expr::{
        ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
    },
};

/// The name of `first_seen`.
pub(crate) const FIRST_SEEN: &str = "first_seen";

/// Windows that one row may belong to.
pub const SLIDES_MAX: i64 = 1_440;

/// The windows of GROUP BY.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum WindowKind {
    /// `tumble(time, size)`
    Tumble,
    /// `hop(time, slide, size)`
    Hop,
    /// `session(time, gap)`
    Session,
    /// `sliding(time, size)`
    Sliding,
}

impl WindowKind {
    const ALL: [WindowKind; 4] =
        [WindowKind::Tumble, WindowKind::Hop, WindowKind::Session, WindowKind::Sliding];

    /// The name in SQL and in row keys.
    pub(crate) fn name(self) -> &'static str {
        match self {
            WindowKind::Tumble => "tumble",
            WindowKind::Hop => "hop",
            WindowKind::Session => "session",
            WindowKind::Sliding => "sliding",
        }
    }

    fn usage(self) -> &'static str {
        match self {
            WindowKind::Tumble => "tumble(time, INTERVAL '5 minutes')",
            WindowKind::Hop => "hop(time, INTERVAL '1 minute', INTERVAL '5 minutes')",
            WindowKind::Session => "session(time, INTERVAL '30 minutes')",
            WindowKind::Sliding => "sliding(time, INTERVAL '10 minutes')",
        }
    }
}

/// A call of one of them, found in an expression.
#[derive(Clone, Debug)]
pub(crate) enum KeyedCall<'a> {
    /// A window over the column `args[0]`.
    Window(WindowKind, &'a [Expr]),
    /// `first_seen(span, keys..)`.
    FirstSeen(&'a [Expr]),
}

/// The call that an expression is, looking through aliases.
pub(crate) fn keyed_call(expr: &Expr) -> Option<KeyedCall<'_>> {
    match expr {
        Expr::Alias(alias) => keyed_call(&alias.expr),
        Expr::ScalarFunction(call) => {
            let function = call.func.inner();
            if let Some(window) = function.downcast_ref::<WindowUdf>() {
                return Some(KeyedCall::Window(window.kind, &call.args));
            }
            function
                .downcast_ref::<FirstSeenUdf>()
                .map(|_| KeyedCall::FirstSeen(call.args.as_slice()))
        }
        _ => None,
    }
}

/// The length of a constant interval in milliseconds; `None` if it is not a positive whole number of
/// them, holds months, or is not a literal.
pub(crate) fn interval_millis(expr: &Expr) -> Option<i64> {
    const DAY: i64 = 86_400_000;
    let millis = match expr {
        Expr::Alias(alias) => interval_millis(&alias.expr)?,
        Expr::Cast(cast) => interval_millis(&cast.expr)?,
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(i)), _) if i.months == 0 => {
            if i.nanoseconds % 1_000_000 != 0 {
                return None;
            }
            i64::from(i.days).checked_mul(DAY)?.checked_add(i.nanoseconds / 1_000_000)?
        }
        Expr::Literal(ScalarValue::IntervalDayTime(Some(i)), _) => {
            i64::from(i.days).checked_mul(DAY)?.checked_add(i64::from(i.milliseconds))?
        }
        _ => return None,
    };
    Some(millis).filter(|m| *m > 0)
}

/// `Struct{start, end: Timestamp(ms, UTC)}`.
pub(crate) fn window_type() -> DataType {
    let time = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    DataType::Struct(Fields::from(vec![
        Field::new("start", time.clone(), true),
        Field::new("end", time, true),
    ]))
}

pub(super) fn all() -> Vec<Arc<ScalarUDF>> {
    let first_seen = FirstSeenUdf { signature: Signature::variadic_any(Volatility::Immutable) };
    WindowKind::ALL
        .into_iter()
        .map(|kind| {
            let signature = Signature::variadic_any(Volatility::Immutable);
            Arc::new(ScalarUDF::new_from_impl(WindowUdf { kind, signature }))
        })
        .chain([Arc::new(ScalarUDF::new_from_impl(first_seen))])
        .collect()
}

fn is_interval(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Interval(_))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct WindowUdf {
    kind: WindowKind,
    signature: Signature,
}

impl ScalarUDFImpl for WindowUdf {
    fn name(&self) -> &str {
        self.kind.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let (name, usage) = (self.kind.name(), self.kind.usage());
        let intervals = if self.kind == WindowKind::Hop { 2 } else { 1 };
        if types.len() != 1 + intervals {
            return plan_err!("{name} takes {} arguments: {usage}", 1 + intervals);
        }
        if !matches!(types[0], DataType::Timestamp(_, _)) {
            return plan_err!("{name}: the first argument must be the time column: {usage}");
        }
        if !types[1..].iter().all(is_interval) {
            return plan_err!("{name}: lengths must be intervals: {usage}");
        }
        Ok(window_type())
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        exec_err!("{}() is only valid in GROUP BY of a rule", self.kind.name())
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct FirstSeenUdf {
    signature: Signature,
}

impl ScalarUDFImpl for FirstSeenUdf {
    fn name(&self) -> &str {
        FIRST_SEEN
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        if types.len() < 2 || !is_interval(&types[0]) {
            return plan_err!(
                "first_seen takes an interval and at least one key: \
                 first_seen(INTERVAL '14 days', user_name, src_country)"
            );
        }
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        exec_err!("first_seen() is only valid as a condition of WHERE joined by AND")
    }
}
