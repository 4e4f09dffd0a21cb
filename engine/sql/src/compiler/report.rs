//! Problems as diagnostics of the rule's file.

use sluice_rule::{Diagnostic, Span};

use super::RuleText;
use crate::error::SqlProblem;

/// In the order of places, each once.
pub(super) fn diagnostics(problems: Vec<SqlProblem>, text: &RuleText<'_>) -> Vec<Diagnostic> {
    let mut all: Vec<Diagnostic> = problems.into_iter().map(|p| diagnostic(p, text)).collect();
    all.sort_by(|a, b| (a.span, a.code, &a.primary).cmp(&(b.span, b.code, &b.primary)));
    all.dedup();
    all
}

fn diagnostic(problem: SqlProblem, text: &RuleText<'_>) -> Diagnostic {
    let span = problem.span.or_else(|| place_in(text.sql, &problem.message));
    let SqlProblem { code, message, detail, hint, .. } = problem;
    let new = match code {
        "R020" | "R021" | "R022" | "R023" | "R024" | "R025" | "R030" | "R033" | "R038" | "R040" => {
            Diagnostic::warning
        }
        "R028" | "R029" | "R036" => Diagnostic::info,
        _ => Diagnostic::error,
    };
    let small = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    let mut diagnostic =
        new(code, text.path, message).at(
            span.map(|(line, column, length)| Span::new(small(line), small(column), small(length)))
        );
    diagnostic.detail = detail;
    diagnostic.hint = hint;
    diagnostic
}

/// Where what a message names in backticks stands in the text, else where the statement starts.
pub(crate) fn place_in(sql: &str, message: &str) -> Option<(u64, u64, u64)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let named = message.split('`').nth(1).filter(|name| !name.is_empty());
    let found = named.and_then(|name| {
        sql.match_indices(name).find(|(at, _)| {
            let before = sql.get(..*at).and_then(|s| s.chars().next_back());
            let after = sql.get(at + name.len()..).and_then(|s| s.chars().next());
            let open = |c: Option<char>| !c.is_some_and(is_word);
            (open(before) || !name.starts_with(is_word))
                && (open(after) || !name.ends_with(is_word))
        })
    });
    let (at, length) = match found {
        Some((at, name)) => (at, name.lines().next().unwrap_or_default().chars().count()),
        None => {
            let at = sql.len() - sql.trim_start().len();
            (at, sql.trim_start().chars().take_while(|c| is_word(*c)).count())
        }
    };
    let before = sql.get(..at)?;
    let line = before.matches('\n').count() as u64 + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() as u64 + 1;
    (!sql.trim().is_empty()).then_some((line, column, (length as u64).max(1)))
}
