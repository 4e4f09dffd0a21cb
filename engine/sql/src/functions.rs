//! The functions SQL texts may call: DataFusion's that depend on their arguments alone, with caps on
//! those that make big values out of small ones, and our own. Not what the windows mean: that
//! is [`crate::lower`] and the classifier.

mod array_agg;
mod capped;
mod catalogue;
pub(crate) mod docs;
mod geo;
mod json;
mod json_list;
mod keyed;
mod lookup;
mod network;
mod text;
mod time;

use std::sync::{Arc, LazyLock};

use arrow::{
    array::{ArrayRef, AsArray, StringArray},
    compute::{cast, take},
    datatypes::DataType,
};
use datafusion::{
    common::{Result, exec_err, plan_err},
    execution::SessionStateDefaults,
    logical_expr::{
        AggregateUDF, ColumnarValue, ReturnFieldArgs, ScalarUDF, Volatility, planner::ExprPlanner,
    },
};

#[cfg(test)]
pub(crate) use catalogue::ALLOWED;
pub(crate) use catalogue::{Growth, growth};
pub use keyed::SLIDES_MAX;
pub(crate) use keyed::{KeyedCall, WindowKind, interval_millis, keyed_call, window_type};
pub(crate) use lookup::{asking, unknown as unknown_lookup};
pub(crate) use time::{bin, floor, hop_starts, window_struct};

use crate::{error::SqlProblem, lookup::Lookups};

/// Functions that read the clock, chance, the file system or the build, or make rows of nothing.
pub(crate) const BANNED: &[&str] = &[
    "current_date",
    "current_time",
    "current_timestamp",
    "generate_series",
    "input_file_name",
    "file_row_index",
    "gen_series",
    "list_range",
    "localtime",
    "localtimestamp",
    "now",
    "random",
    "range",
    "today",
    "uuid",
    "version",
];

/// Aggregate functions that a window keeps, with every name they go by.
pub(crate) const AGGREGATES: &[&str] = &["count", "sum", "min", "max", "avg", "mean", "array_agg"];

/// Every scalar function of every session.
pub(crate) fn scalars() -> Vec<Arc<ScalarUDF>> {
    static ALL: LazyLock<Vec<Arc<ScalarUDF>>> = LazyLock::new(|| {
        SessionStateDefaults::default_scalar_functions()
            .into_iter()
            .filter(|f| f.signature().volatility == Volatility::Immutable && !is_banned(f))
            .filter_map(capped::capped)
            .chain(own())
            .collect()
    });
    ALL.clone()
}

/// How operators become functions, ours first.
pub(crate) fn expr_planners() -> Vec<Arc<dyn ExprPlanner>> {
    let mut planners: Vec<Arc<dyn ExprPlanner>> = vec![Arc::new(capped::CappedConcatenation)];
    planners.extend(SessionStateDefaults::default_expr_planners());
    planners
}

/// Every aggregate function of every session.
pub(crate) fn aggregates() -> Vec<Arc<AggregateUDF>> {
    let mut all = SessionStateDefaults::default_aggregate_functions();
    all.retain(|f| f.name() != "array_agg");
    all.push(array_agg::array_agg());
    all
}

fn is_banned(function: &ScalarUDF) -> bool {
    BANNED.contains(&function.name())
        || function.aliases().iter().any(|alias| BANNED.contains(&alias.as_str()))
}

/// The names of our own functions.
#[cfg(test)]
pub(crate) fn own_names() -> Vec<String> {
    own().iter().map(|f| f.name().to_owned()).collect()
}

fn own() -> Vec<Arc<ScalarUDF>> {
    let mut all = keyed::all();
    all.extend(text::all());
    all.extend(network::all());
    all.extend(json::all());
    all.extend(json_list::all());
    all.extend(geo::all());
    all.extend(time::all());
    all.extend(asking(&Lookups::default()));
    all
}

/// Types of a function over one text column and literals: a dictionary of text stays one.
fn text_then_literals(name: &str, least: usize, types: &[DataType]) -> Result<Vec<DataType>> {
    if types.len() < least {
        return plan_err!("{name} takes a text column and at least {} literals", least - 1);
    }
    let mut coerced = vec![DataType::Utf8; types.len()];
    match &types[0] {
        DataType::Dictionary(_, value) if **value == DataType::Utf8 => {
            coerced[0] = types[0].clone();
        }
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 | DataType::Null => {}
        DataType::Dictionary(_, value) if value.is_string() => {}
        other => {
            let kind = crate::types::kind_name(other);
            return plan_err!("the first argument of {name} must be text, this is {kind}");
        }
    }
    Ok(coerced)
}

/// Refuses anything but literals after the first argument, while planning.
fn literals_only(name: &str, args: &ReturnFieldArgs<'_>) -> Result<()> {
    for (i, value) in args.scalar_arguments.iter().enumerate().skip(1) {
        match value {
            Some(value) if !value.is_null() => {}
            _ => {
                let text = format!("argument {} of `{name}` must be a literal", i + 1);
                return Err(SqlProblem::new("R016", text)
                    .detail("it is the same for all rows, and not NULL")
                    .hint(match name {
                        "cidr_match" => "cidr_match(src_ip, '10.0.0.0/8')",
                        _ => "contains(lower(user_name), lower(user_domain)) for two columns",
                    })
                    .into());
            }
        }
    }
    Ok(())
}

/// The literals after the first argument.
fn literals(name: &str, args: &[ColumnarValue]) -> Result<Vec<String>> {
    args.iter()
        .skip(1)
        .map(|arg| match arg {
            ColumnarValue::Scalar(value) => match value.try_as_str() {
                Some(Some(text)) => Ok(text.to_owned()),
                _ => exec_err!("{name}: arguments after the first must be text literals"),
            },
            ColumnarValue::Array(_) => {
                exec_err!("{name}: arguments after the first must be literals")
            }
        })
        .collect()
}

/// Applies `f` to the values of a text column: once per distinct value of a dictionary.
fn over_text(
    array: &ArrayRef,
    f: impl FnOnce(&StringArray) -> Result<ArrayRef>,
) -> Result<ArrayRef> {
    if let Some(dictionary) = array.as_any_dictionary_opt() {
        let values = cast(dictionary.values(), &DataType::Utf8)?;
        return Ok(take(&f(values.as_string::<i32>())?, dictionary.keys(), None)?);
    }
    let text = cast(array, &DataType::Utf8)?;
    f(text.as_string::<i32>())
}
