//! `lookup('name', key, 'column')` and `in_lookup('name', key)`: what a lookup says of a value. The
//! lookups are those of the session; the names of lookup and column are literals.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, BooleanArray, StringArray},
    datatypes::{DataType, Field, FieldRef},
};
use datafusion::{
    common::{Result, ScalarValue, exec_datafusion_err, internal_err, plan_err},
    logical_expr::{
        ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
        Volatility,
    },
};

use super::over_text;
use crate::{
    error::SqlProblem,
    lookup::{Lookup, Lookups},
};

/// The functions over these lookups.
pub(crate) fn asking(lookups: &Lookups) -> Vec<Arc<ScalarUDF>> {
    [Ask::Column, Ask::Whether]
        .into_iter()
        .map(|ask| {
            let signature = Signature::user_defined(Volatility::Immutable);
            let function = LookupFunction { ask, lookups: lookups.clone(), signature };
            Arc::new(ScalarUDF::new_from_impl(function))
        })
        .collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Ask {
    /// The value of a column.
    Column,
    /// Whether there is a row.
    Whether,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct LookupFunction {
    ask: Ask,
    lookups: Lookups,
    signature: Signature,
}

impl LookupFunction {
    fn usage(&self) -> &'static str {
        match self.ask {
            Ask::Column => "lookup('identity', user_entity, 'class')",
            Ask::Whether => "in_lookup('identity', user_entity)",
        }
    }

    /// The lookup that the first argument names.
    fn lookup(&self, name: Option<&ScalarValue>) -> Result<&Lookup> {
        let Some(Some(Some(name))) = name.map(ScalarValue::try_as_str) else {
            return Err(SqlProblem::new("R016", format!("`{}` takes a name first", self.name()))
                .detail("which lookup is asked does not change from row to row")
                .hint(self.usage())
                .into());
        };
        let Some(lookup) = self.lookups.get(name) else {
            return Err(unknown(name, &self.lookups).into());
        };
        Ok(lookup)
    }

    fn column(&self, lookup: &Lookup, name: Option<&ScalarValue>) -> Result<usize> {
        let Some(Some(Some(name))) = name.map(ScalarValue::try_as_str) else {
            return Err(SqlProblem::new("R016", "`lookup` takes the name of a column last")
                .hint(self.usage())
                .into());
        };
        lookup.table.column(name).ok_or_else(|| {
            let columns = &lookup.table.columns;
            let text = format!("no column `{name}` in `lookup.{}`", lookup.table.name);
            let problem = SqlProblem::new("R011", text)
                .hint(format!("the columns are {}", columns.join(", ")));
            match sluice_rule::suggest(name, columns.iter().map(String::as_str)) {
                Some(near) => problem.detail(format!("did you mean `{near}`?")),
                None => problem,
            }
            .into()
        })
    }
}

/// A lookup that nobody has given.
pub(crate) fn unknown(name: &str, lookups: &Lookups) -> SqlProblem {
    let names: Vec<&str> = lookups.iter().map(|(name, _)| name).collect();
    let problem = SqlProblem::new("R011", format!("no lookup `{name}`"))
        .hint(format!("a file {name}.csv or {name}.json in a folder of `lookups`"));
    match sluice_rule::suggest(name, names.iter().copied()) {
        Some(near) => problem.detail(format!("did you mean `{near}`?")),
        None => problem.detail(format!("there are {}", names.join(", "))),
    }
}

impl ScalarUDFImpl for LookupFunction {
    fn name(&self) -> &str {
        match self.ask {
            Ask::Column => "lookup",
            Ask::Whether => "in_lookup",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let wanted = if self.ask == Ask::Column { 3 } else { 2 };
        if types.len() != wanted {
            return plan_err!("{} takes {wanted} arguments: {}", self.name(), self.usage());
        }
        let key = match &types[1] {
            DataType::Dictionary(_, value) if **value == DataType::Utf8 => types[1].clone(),
            DataType::Null => DataType::Utf8,
            other if crate::types::is_text(other) => DataType::Utf8,
            other => {
                let kind = crate::types::kind_name(other);
                return plan_err!("the key of {} must be text, this is {kind}", self.name());
            }
        };
        let mut coerced = vec![DataType::Utf8; wanted];
        coerced[1] = key;
        Ok(coerced)
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("return_field_from_args is used")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let literal = |n: usize| args.scalar_arguments.get(n).copied().flatten();
        let lookup = self.lookup(literal(0))?;
        let data_type = match self.ask {
            Ask::Column => {
                self.column(lookup, literal(2))?;
                DataType::Utf8
            }
            Ask::Whether => DataType::Boolean,
        };
        Ok(Arc::new(Field::new(self.name(), data_type, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let literal = |n: usize| match args.args.get(n) {
            Some(ColumnarValue::Scalar(value)) => Some(value),
            _ => None,
        };
        let lookup = self.lookup(literal(0))?;
        let keys = args.args.get(1).ok_or_else(|| exec_datafusion_err!("{}", self.usage()))?;
        let keys = keys.to_array(args.number_rows)?;
        let found = match self.ask {
            Ask::Column => {
                let column = self.column(lookup, literal(2))?;
                over_text(&keys, |keys| {
                    let value = |key: &str| lookup.row(key)?.get(column)?.clone();
                    let values: StringArray = keys.iter().map(|k| k.and_then(value)).collect();
                    Ok(Arc::new(values) as ArrayRef)
                })?
            }
            Ask::Whether => over_text(&keys, |keys| {
                let whether = |key: &str| lookup.row(key).is_some();
                let found: BooleanArray = keys.iter().map(|k| k.map(whether)).collect();
                Ok(Arc::new(found) as ArrayRef)
            })?,
        };
        Ok(ColumnarValue::Array(found))
    }
}
