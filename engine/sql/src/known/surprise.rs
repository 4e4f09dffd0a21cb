//! `surprise('user_signin', 'country', user_entity, src_country)`: how unusual a value would be for an
//! entity, `-ln` of a tail probability. Baseline and feature are literals.

use std::sync::Arc;

use arrow::{
    array::{Array, AsArray, Float64Array},
    compute::cast,
    datatypes::{DataType, Field, FieldRef, Float64Type, TimeUnit, TimestampMillisecondType},
};
use datafusion::{
    common::{Result, ScalarValue, exec_datafusion_err, internal_err, plan_err},
    logical_expr::{
        ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
        Signature, Volatility,
    },
};

use super::{Asked, AskedKind, AskedValue, BaselineTable};
use crate::error::SqlProblem;

const USAGE: &str = "surprise('user_signin', 'country', user_entity, src_country)";

/// The function over these baselines.
pub(crate) fn surprise(asked: &Asked) -> Arc<ScalarUDF> {
    let signature = Signature::user_defined(Volatility::Immutable);
    Arc::new(ScalarUDF::new_from_impl(Surprise { asked: asked.clone(), signature }))
}

/// Of a call of it: baseline and feature as they are named, the entity and the value.
pub(crate) fn surprise_call(expr: &Expr) -> Option<(String, String, &Expr, &Expr)> {
    let Expr::ScalarFunction(call) = expr else { return None };
    call.func.inner().downcast_ref::<Surprise>()?;
    let [baseline, feature, entity, value] = call.args.as_slice() else { return None };
    Some((literal(baseline)?, literal(feature)?, entity, value))
}

/// A text, without what coercion added.
fn literal(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Literal(value, _) => value.try_as_str().flatten().map(str::to_owned),
        Expr::Cast(cast) => literal(&cast.expr),
        Expr::Alias(alias) => literal(&alias.expr),
        _ => None,
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Surprise {
    asked: Asked,
    signature: Signature,
}

impl Surprise {
    /// The baseline and the feature that the first two arguments name, and what its values are.
    fn asked(
        &self,
        baseline: Option<&ScalarValue>,
        feature: Option<&ScalarValue>,
    ) -> Result<(&BaselineTable, &str, AskedKind)> {
        let literal = |value: Option<&ScalarValue>| -> Result<String> {
            let text = value.and_then(|value| value.try_as_str().flatten());
            text.map(str::to_owned).ok_or_else(|| {
                SqlProblem::new("R016", "`surprise` takes the names of a baseline and a feature")
                    .detail("which of them is asked does not change from row to row")
                    .hint(USAGE)
                    .into()
            })
        };
        let (name, feature) = (literal(baseline)?, literal(feature)?);
        // Under the name of its table or its id.
        let name = name.strip_prefix("baselines.").unwrap_or(&name);
        let all = self.asked.0.baselines();
        if all.is_empty() {
            return Err(SqlProblem::new("R011", format!("no baseline `{name}`: none is loaded"))
                .hint("they lie in a folder `baselines/` below that of the rules; of a rule that is named alone: sluice rule test rules/identity/my_rule.sql rules/baselines/")
                .into());
        }
        let Some(known) = all.iter().find(|b| b.name == name) else {
            let names: Vec<&str> = all.iter().map(|b| b.name.as_str()).collect();
            return Err(unknown("baseline", name, &names));
        };
        let Some((feature, kind)) = known.features.iter().find(|(f, _)| *f == feature) else {
            let names: Vec<&str> = known.features.iter().map(|(f, _)| f.as_str()).collect();
            return Err(unknown("feature", &feature, &names));
        };
        Ok((known, feature, *kind))
    }
}

fn unknown(what: &str, name: &str, names: &[&str]) -> datafusion::common::DataFusionError {
    let problem = SqlProblem::new("R011", format!("no {what} `{name}`"));
    let problem = match sluice_rule::suggest(name, names.iter().copied()) {
        Some(near) => problem.detail(format!("did you mean `{near}`?")),
        None => problem,
    };
    problem.hint(format!("there are {}", names.join(", "))).into()
}

fn time() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
}

impl ScalarUDFImpl for Surprise {
    fn name(&self) -> &str {
        "surprise"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [_, _, _, value] = types else {
            return plan_err!("surprise takes 4 arguments: {USAGE}");
        };
        let value = match value {
            DataType::Timestamp(..) => time(),
            other if other.is_numeric() => DataType::Float64,
            _ => DataType::Utf8,
        };
        Ok(vec![DataType::Utf8, DataType::Utf8, DataType::Utf8, value])
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("return_field_from_args is used")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let literal = |n: usize| args.scalar_arguments.get(n).copied().flatten();
        let (_, feature, kind) = self.asked(literal(0), literal(1))?;
        let given = args.arg_fields.get(3).map(|field| field.data_type().clone());
        let (wanted, word) = match kind {
            AskedKind::Text => (DataType::Utf8, "a text"),
            AskedKind::Number => (DataType::Float64, "a number"),
            AskedKind::Time => (time(), "a time"),
            AskedKind::Counted => {
                return Err(SqlProblem::new(
                    "R013",
                    format!("`{feature}` counts rows of a window"),
                )
                .detail("one row has no value of it")
                .hint("a finding of the baseline tells how unusual a count was")
                .into());
            }
        };
        if given.as_ref() != Some(&wanted) {
            return Err(SqlProblem::new("R013", format!("a value of `{feature}` is {word}"))
                .hint(USAGE)
                .into());
        }
        Ok(Arc::new(Field::new(self.name(), DataType::Float64, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let literal = |n: usize| match args.args.get(n) {
            Some(ColumnarValue::Scalar(value)) => Some(value),
            _ => None,
        };
        let (baseline, feature, kind) = self.asked(literal(0), literal(1))?;
        let array = |n: usize| {
            let column = args.args.get(n).ok_or_else(|| exec_datafusion_err!("{USAGE}"))?;
            column.to_array(args.number_rows)
        };
        let (entities, values) = (cast(&array(2)?, &DataType::Utf8)?, array(3)?);
        let entities = entities.as_string::<i32>();
        let mut found = Float64Array::builder(args.number_rows);
        for row in 0..args.number_rows {
            if row % 256 == 0 {
                crate::deadline::check()?;
            }
            if entities.is_null(row) || values.is_null(row) {
                found.append_null();
                continue;
            }
            let value = match kind {
                AskedKind::Text => AskedValue::Text(values.as_string::<i32>().value(row)),
                AskedKind::Number => {
                    AskedValue::Number(values.as_primitive::<Float64Type>().value(row))
                }
                AskedKind::Time => {
                    AskedValue::Time(values.as_primitive::<TimestampMillisecondType>().value(row))
                }
                AskedKind::Counted => return internal_err!("refused where it is planned"),
            };
            let surprise =
                self.asked.0.surprise(&baseline.name, feature, entities.value(row), &value);
            found.append_option(surprise.map_err(|reason| exec_datafusion_err!("{reason}"))?);
        }
        Ok(ColumnarValue::Array(Arc::new(found.finish())))
    }
}
