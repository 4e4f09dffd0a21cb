//! The functions as their users see them: arguments, an example and what it gives, what becomes of
//! NULL. Everything shown is run.

use std::collections::BTreeMap;

use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::{Cancel, Lookups, QueryLimits, SqlError, functions::docs, query_with};

/// A group of functions.
#[derive(Clone, Debug)]
pub struct FunctionGroup {
    /// What they are about.
    pub title: &'static str,
    /// In the order to read them in.
    pub functions: Vec<FunctionDoc>,
}

/// One function.
#[derive(Clone, Debug)]
pub struct FunctionDoc {
    /// The name.
    pub name: &'static str,
    /// A call of it.
    pub example: String,
    /// What the call gives.
    pub result: String,
    /// What the call gives with NULL for its first argument; `None` if it has none.
    pub null: Option<String>,
    /// What it does.
    pub what: &'static str,
}

/// Every function of rules, mappings and hunts but aggregates and windows, with its example run.
///
/// # Errors
/// If an example does not run: a defect of ours.
pub fn reference() -> Result<Vec<FunctionGroup>, SqlError> {
    let (mut calls, mut nulls) = (Vec::new(), Vec::new());
    for function in docs::GROUPS.iter().flat_map(|group| group.functions) {
        calls.push(format!("{}({})", function.name, function.args.join(", ")));
        nulls.push(with_null(function));
    }
    let results = values(&calls)?;
    let given: Vec<String> = nulls.iter().flatten().cloned().collect();
    let mut of_null = of_null(&given).into_iter();
    let mut results = calls.into_iter().zip(results).zip(nulls);
    Ok(docs::GROUPS
        .iter()
        .map(|group| FunctionGroup {
            title: group.title,
            functions: group
                .functions
                .iter()
                .zip(results.by_ref())
                .map(|(function, ((example, result), null))| FunctionDoc {
                    name: function.name,
                    example,
                    result,
                    null: null.and_then(|_| of_null.next()),
                    what: function.what,
                })
                .collect(),
        })
        .collect())
}

/// The call with NULL, of the type of that argument, in place of its value.
fn with_null(function: &docs::Doc) -> Option<String> {
    // The unit of a time and the name of a lookup stand before it.
    let at = usize::from(
        ["date_part", "date_trunc", "date_bin", "lookup", "in_lookup"].contains(&function.name),
    );
    let value = function.args.get(at)?;
    let null = format!("CASE WHEN 1 = 0 THEN {value} END");
    let args: Vec<&str> = function
        .args
        .iter()
        .enumerate()
        .map(|(i, arg)| if i == at { null.as_str() } else { arg })
        .collect();
    Some(format!("{}({})", function.name, args.join(", ")))
}

/// The same for calls with NULL, some of which are refused.
fn of_null(exprs: &[String]) -> Vec<String> {
    let mut found = Vec::with_capacity(exprs.len());
    for some in exprs.chunks(20) {
        match values(some) {
            Ok(all) => found.extend(all),
            Err(_) => found.extend(some.iter().map(|one| {
                let value = values(std::slice::from_ref(one)).ok().and_then(|mut v| v.pop());
                value.unwrap_or_else(|| "refused".to_owned())
            })),
        }
    }
    found
}

/// What expressions over no table give, as text. In batches: a SELECT has a limit of its own.
fn values(exprs: &[String]) -> Result<Vec<String>, SqlError> {
    let mut values = Vec::with_capacity(exprs.len());
    for some in exprs.chunks(40) {
        let columns: Vec<String> =
            some.iter().enumerate().map(|(i, expr)| format!("{expr} AS c{i}")).collect();
        let sql = format!("SELECT {}", columns.join(", "));
        let (tables, limits) = (BTreeMap::new(), QueryLimits::default());
        let lookups = Lookups::example();
        let result = query_with(&sql, &tables, &lookups, limits, &Cancel::default())?;
        let options = FormatOptions::default().with_null("NULL");
        for batch in &result.batches {
            for column in batch.columns() {
                let shown = ArrayFormatter::try_new(column.as_ref(), &options)
                    .map_err(|e| SqlError::Failed(e.to_string()))?;
                values.push(shown.value(0).to_string());
            }
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::functions::{ALLOWED, own_names};

    #[test]
    fn every_function_is_told_once_and_every_example_runs() {
        let groups = reference().unwrap_or_else(|e| panic!("{e}"));
        let told: Vec<&str> = groups.iter().flat_map(|g| &g.functions).map(|f| f.name).collect();
        let once: BTreeSet<String> = told.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(told.len(), once.len(), "a function is told twice");
        // Windows, `first_seen` and what only lowering writes have a page of their own.
        let beside = ["tumble", "hop", "session", "sliding", "first_seen", "bin"];
        let lambdas = ["array_any_match", "array_filter", "array_transform", "array_first"];
        let known: BTreeSet<String> = ALLOWED
            .iter()
            .map(|a| a.name.to_owned())
            .chain(own_names().into_iter().filter(|n| !beside.contains(&n.as_str())))
            .chain(lambdas.map(str::to_owned))
            .collect();
        let missing: Vec<_> = known.difference(&once).collect();
        let unknown: Vec<_> = once.difference(&known).collect();
        assert!(missing.is_empty() && unknown.is_empty(), "{missing:?} {unknown:?}");
        assert!(told.len() > 150, "{}", told.len());
    }
}
