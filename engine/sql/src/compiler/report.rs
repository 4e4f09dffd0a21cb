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
    let SqlProblem { code, message, detail, hint, span } = problem;
    let new = match code {
        "R020" | "R021" | "R022" | "R023" | "R024" | "R025" | "R030" | "R033" => {
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
