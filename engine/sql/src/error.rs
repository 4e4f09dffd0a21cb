//! What is wrong with an SQL text, for its author, and why a query did not finish. Not how it is
//! shown: `rule` renders problems with the file's line and a caret.

use std::fmt;

use datafusion::common::{
    DataFusionError, SchemaError, Span,
    diagnostic::{Diagnostic, DiagnosticKind},
};
use sluice_rule::suggest;

use crate::deadline::CANCELLED;

/// One thing wrong with an SQL text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlProblem {
    /// The code, `R011`.
    pub code: &'static str,
    /// What is wrong, one sentence without a full stop.
    pub message: String,
    /// Why that is a problem.
    pub detail: Option<String>,
    /// What to write instead.
    pub hint: Option<String>,
    /// Line, column (both from 1, columns count characters) and length.
    pub span: Option<(u64, u64, u64)>,
}

impl SqlProblem {
    /// A problem without a place.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        SqlProblem { code, message: message.into(), detail: None, hint: None, span: None }
    }

    /// With what to write instead.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// With the reason.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// At a place, if it is known.
    #[must_use]
    pub fn at(mut self, span: Option<(u64, u64, u64)>) -> Self {
        self.span = self.span.or(span);
        self
    }

    /// Everything DataFusion says is wrong, each with the place it names.
    pub(crate) fn all(error: &DataFusionError) -> Vec<SqlProblem> {
        error.iter().map(SqlProblem::one).collect()
    }

    /// The same for a table that does not exist, with the nearest that does.
    pub(crate) fn unknown_table(error: &DataFusionError, tables: &[String]) -> Option<SqlProblem> {
        let text = plain(error);
        let (before, after) = text.split_once("' not found")?;
        let name = before.strip_prefix("table 'sluice.").filter(|_| after.is_empty())?;
        let name = name.strip_prefix("main.").unwrap_or(name);
        let problem = SqlProblem::new("R011", format!("table {name} not found"));
        let problem = problem.at(error.diagnostic().and_then(span));
        Some(match suggest(name, tables.iter().map(String::as_str)) {
            Some(near) => problem.hint(format!("did you mean {near}?")),
            None if tables.len() <= 20 => {
                problem.hint(format!("the tables are {}", tables.join(", ")))
            }
            None => problem,
        })
    }

    fn one(error: &DataFusionError) -> SqlProblem {
        if let Some(problem) = carried(error) {
            return problem.clone();
        }
        let text = plain(error);
        if text.contains("RecursionLimitExceeded") {
            return SqlProblem::new(
                "R019",
                "nested too deep: parentheses, CASE, NOT or subqueries",
            )
            .hint("split it into WITH queries");
        }
        if text.starts_with("Projections require unique expression names") {
            let first = text.split("\" at position ").next().unwrap_or_default();
            let name = first.rsplit([' ', '.', '"']).next().unwrap_or_default();
            return SqlProblem::new("R016", format!("two columns are named `{name}`"))
                .hint(format!("{name} AS {name}_2"));
        }
        if let Some((_, rest)) = text.split_once("Error parsing timestamp from '") {
            let literal = rest.split('\'').next().unwrap_or_default();
            return SqlProblem::new("R013", format!("'{literal}' is not a time"))
                .detail("a time is written as RFC 3339 has it")
                .hint("time >= '2026-01-03T00:00:00Z'");
        }
        if text.contains("must appear in the GROUP BY clause or") {
            let named = text.split('"').nth(1).unwrap_or_default();
            let column = named.rsplit('.').next().unwrap_or(named);
            return SqlProblem::new("R016", format!("`{column}` has many values in a group"))
                .detail("it is neither a key of GROUP BY nor inside an aggregate")
                .hint(format!(
                    "max({column}) AS {column}, count(DISTINCT {column}), or GROUP BY .., {column}"
                ))
                .at(error.diagnostic().and_then(span));
        }
        if text.starts_with("Failed to coerce ") && text.contains(" CASE ") {
            return SqlProblem::new("R013", "the branches of a `CASE` have different types")
                .hint("CASE WHEN src_port = 22 THEN 'ssh' ELSE CAST(src_port AS VARCHAR) END");
        }
        if let Some(diagnostic) = error.diagnostic()
            && diagnostic.message == "expressions have incompatible types"
        {
            let notes = &diagnostic.notes;
            let kinds: Vec<_> = notes.iter().map(|n| kind_in_words(&n.message)).collect();
            let place = notes.iter().find_map(|n| n.span.map(place));
            return SqlProblem::new("R013", "the types on both sides do not fit")
                .detail(kinds.join(" and "))
                .hint("try_cast(user_uid AS BIGINT) = 5, or array_has(mfa_factors, 'push')")
                .at(span(diagnostic).or(place));
        }
        let code = code(error, &text);
        let (text, suggestion) = match text.split_once(". Did you mean ") {
            Some((text, names)) => (text.to_owned(), Some(format!("did you mean {names}"))),
            None => match text.split_once(".\nDid you mean ") {
                Some((text, names)) => (text.to_owned(), Some(format!("did you mean {names}"))),
                None => (text, None),
            },
        };
        let mut problem = SqlProblem::new(code, text);
        problem.hint = suggestion;
        if let Some(diagnostic) = error.diagnostic() {
            problem.span = span(diagnostic);
            problem.hint =
                problem.hint.or_else(|| diagnostic.helps.first().map(|h| h.message.clone()));
            if diagnostic.kind == DiagnosticKind::Error && !diagnostic.message.is_empty() {
                problem.message.clone_from(&diagnostic.message);
            }
        }
        problem
    }
}

impl fmt::Display for SqlProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)?;
        if let Some(detail) = &self.detail {
            write!(f, ": {detail}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, " (hint: {hint})")?;
        }
        Ok(())
    }
}

impl std::error::Error for SqlProblem {}

impl From<SqlProblem> for DataFusionError {
    fn from(problem: SqlProblem) -> Self {
        DataFusionError::External(Box::new(problem))
    }
}

/// Why a query or a batch run gave no result.
#[derive(Debug, thiserror::Error)]
pub enum SqlError {
    /// The text is not accepted.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Refused(Vec<SqlProblem>),
    /// It ran past its deadline and was stopped.
    #[error("the query ran past its deadline of {0:?}")]
    Deadline(std::time::Duration),
    /// Nobody waits for it any more.
    #[error("the query was cancelled")]
    Cancelled,
    /// The result or its memory grew past a limit.
    #[error("the query needs more than allowed: {0}")]
    Limit(String),
    /// A value made it fail: a bad cast, a division by zero.
    #[error("the query failed: {0}")]
    Failed(String),
}

impl SqlError {
    /// An error met while planning.
    pub(crate) fn planning(error: &DataFusionError) -> Self {
        SqlError::Refused(SqlProblem::all(error))
    }

    /// An error met while running.
    pub(crate) fn running(error: &DataFusionError) -> Self {
        match error.find_root() {
            DataFusionError::ResourcesExhausted(text) if text == CANCELLED => SqlError::Cancelled,
            DataFusionError::ResourcesExhausted(text) => SqlError::Limit(text.clone()),
            root => match carried(root) {
                Some(problem) => SqlError::Refused(vec![problem.clone()]),
                None => SqlError::Failed(plain(root)),
            },
        }
    }
}

/// A problem of ours on its way through DataFusion.
pub(crate) fn carried(error: &DataFusionError) -> Option<&SqlProblem> {
    match error {
        DataFusionError::External(inner) => inner.downcast_ref::<SqlProblem>(),
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => {
            carried(inner)
        }
        DataFusionError::Shared(inner) => carried(inner),
        _ => None,
    }
}

/// The text without the chain of contexts and prefixes.
pub(crate) fn plain(error: &DataFusionError) -> String {
    let text = error.find_root().strip_backtrace();
    [
        "Error during planning: ",
        "Schema error: ",
        "Execution error: ",
        "SQL error: ",
        "Arrow error: ",
    ]
    .iter()
    .fold(text, |text, prefix| text.strip_prefix(prefix).map(str::to_owned).unwrap_or(text))
}

fn code(error: &DataFusionError, text: &str) -> &'static str {
    match error.find_root() {
        DataFusionError::SchemaError(schema, _)
            if matches!(
                schema.as_ref(),
                SchemaError::FieldNotFound { .. } | SchemaError::AmbiguousReference { .. }
            ) =>
        {
            "R011"
        }
        DataFusionError::Plan(_) if text.starts_with("Invalid function") => "R012",
        DataFusionError::Plan(_) if text.starts_with("table ") && text.contains("not found") => {
            "R011"
        }
        _ => "R016",
    }
}

/// The type in `has type Int64`, in words.
fn kind_in_words(note: &str) -> &'static str {
    let name = note.trim_start_matches("has type ");
    let is = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    if is(&["Utf8", "LargeUtf8", "Dictionary"]) {
        "text"
    } else if is(&["Int", "UInt", "Float", "Decimal"]) && !is(&["Interval"]) {
        "a number"
    } else if is(&["Timestamp", "Date"]) {
        "a time"
    } else if is(&["Interval", "Duration"]) {
        "a length of time"
    } else if is(&["Boolean"]) {
        "true or false"
    } else if is(&["List", "LargeList"]) {
        "a list"
    } else {
        "an object"
    }
}

fn span(diagnostic: &Diagnostic) -> Option<(u64, u64, u64)> {
    diagnostic.span.map(place)
}

fn place(span: Span) -> (u64, u64, u64) {
    let length = if span.start.line == span.end.line {
        span.end.column.saturating_sub(span.start.column).max(1)
    } else {
        1
    };
    (span.start.line, span.start.column, length)
}
