//! Checks of a rule that need no plan and do not keep it from loading. Errors of the file are found
//! when it is read; what needs the meaning of the SQL, where it is compiled.

use std::collections::BTreeMap;

use crate::{Diagnostic, Rule, RuleId, Severity, Span};

/// Every check of a rule that needs no plan and does not refuse it: R021, R026, R035.
pub fn lint(rule: &Rule) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    documentation(rule, &mut found);
    cases(rule, &mut found);
    found
}

/// R004 for each rule whose id an earlier one has.
pub fn duplicate_ids<'a>(rules: impl IntoIterator<Item = &'a Rule>) -> Vec<Diagnostic> {
    let mut first: BTreeMap<&RuleId, &Rule> = BTreeMap::new();
    let mut found = Vec::new();
    for rule in rules {
        if let Some(other) = first.get(&rule.id) {
            found.push(
                Diagnostic::error(
                    "R004",
                    &rule.file.path,
                    format!("the id `{}` is taken", rule.id),
                )
                .at(rule.place("id"))
                .detail(format!("by {}", other.file.path)),
            );
        } else {
            first.insert(&rule.id, rule);
        }
    }
    found
}

fn documentation(rule: &Rule, found: &mut Vec<Diagnostic>) {
    let path = rule.file.path.as_str();
    if rule.entity.is_empty() {
        found.push(
            Diagnostic::warning("R021", path, "the rule names no entity")
                .at(rule.place("id"))
                .detail("its findings raise nobody's risk")
                .hint("entity: {user_entity: user}"),
        );
    }
    let missing: Vec<&str> =
        [("false_positives", rule.false_positives.is_empty()), ("runbook", rule.runbook.is_none())]
            .into_iter()
            .filter(|(_, missing)| *missing)
            .map(|(key, _)| key)
            .collect();
    if !missing.is_empty() && rule.severity > Severity::Informational {
        let keys = missing.iter().map(|k| format!("`{k}`")).collect::<Vec<_>>().join(" and ");
        found.push(
            Diagnostic::warning("R035", path, format!("the rule has no {keys}"))
                .at(rule.place("id"))
                .hint("what else looks like this, and what the analyst checks first"),
        );
    }
}

fn cases(rule: &Rule, found: &mut Vec<Diagnostic>) {
    let path = rule.file.path.as_str();
    let firing = rule.tests.iter().any(|t| !t.expect.is_empty());
    let quiet = rule.tests.iter().any(|t| t.expect.is_empty());
    let lacking = match (firing, quiet) {
        (true, true) => None,
        (true, false) => Some("no case that must be quiet"),
        (false, true) => Some("no case that must fire"),
        (false, false) => Some("no cases"),
    };
    if let Some(lacking) = lacking {
        found.push(
            Diagnostic::warning("R026", path, format!("the rule has {lacking}"))
                .at(rule.place("id"))
                .hint("`sluice rule new` writes a file with one of each"),
        );
    }
    for test in rule.tests.iter().filter(|t| t.expect.is_empty()) {
        if test.events.is_empty() && test.events_file.is_none() {
            found.push(
                Diagnostic::warning(
                    "R026",
                    path,
                    format!("the quiet case `{}` has no events", test.name),
                )
                .at(Span::new(test.line as u32, 1, 1))
                .hint("let it differ from a firing case in one fact that matters"),
            );
        }
    }
}
