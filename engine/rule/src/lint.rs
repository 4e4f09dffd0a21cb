//! Checks of a rule that need no plan: the file against itself, the ATT&CK table and the schema.
//! What needs the meaning of the SQL is checked where it is compiled.

use std::collections::BTreeMap;

use sluice_event::{Schema, TableSchema};

use crate::{Diagnostic, Rule, RuleId, Severity, Span, token};

/// Columns the engine adds to every finding.
const ENGINE_COLUMNS: [&str; 6] =
    ["window_start", "window_end", "count", "late", "rule_version", "time"];
/// Columns of a finding with a meaning of their own, whether selected or not.
const FINDING_COLUMNS: [&str; 7] =
    ["title", "severity", "risk", "confidence", "message", "dedup_key", "state"];

/// Every check of a rule that needs no plan: R008, R011 in the tests block, R021, R026, R035.
pub fn lint(rule: &Rule) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    output_columns(rule, &mut found);
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

fn output_columns(rule: &Rule, found: &mut Vec<Diagnostic>) {
    let Some(columns) = token::output_columns(&rule.file.sql) else { return };
    let path = rule.file.path.as_str();
    let names = || columns.iter().map(|c| c.name.as_str());
    let mut check = |column: &str, key: &str| {
        if names().any(|n| n == column) || ENGINE_COLUMNS.contains(&column) {
            return;
        }
        let primary = format!("`{key}` names `{column}`, which the SELECT does not return");
        found.push(
            Diagnostic::error("R008", path, primary)
                .at(rule.place(key))
                .did_you_mean(column, names())
                .hint(format!("the columns are {}", names().collect::<Vec<_>>().join(", "))),
        );
    };
    for (column, _) in &rule.entity {
        check(column, "entity");
    }
    for column in rule.suppression.iter().flat_map(|s| &s.by) {
        check(column, "suppression");
    }
    for test in &rule.tests {
        for column in test.expect.iter().flat_map(|row| row.keys()) {
            let reserved = FINDING_COLUMNS.contains(&column.as_str());
            if reserved || ENGINE_COLUMNS.contains(&column.as_str()) || names().any(|n| n == column)
            {
                continue;
            }
            let primary = format!("the case expects `{column}`, which the SELECT does not return");
            found.push(
                Diagnostic::error("R011", path, primary)
                    .at(Span::new(test.line, 1, u32::MAX))
                    .did_you_mean(column, names())
                    .hint(format!("the columns are {}", names().collect::<Vec<_>>().join(", "))),
            );
        }
    }
}

fn documentation(rule: &Rule, found: &mut Vec<Diagnostic>) {
    let path = rule.file.path.as_str();
    if rule.entity.is_empty() {
        found.push(
            Diagnostic::warning("R021", path, "the rule names no entity")
                .at(rule.place("id"))
                .detail("its findings raise nobody's risk")
                .hint("entity: {user: user_entity}"),
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
    let quiet = rule.tests.iter().find(|t| t.expect.is_empty());
    let lacking = match (firing, quiet.is_some()) {
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
                .at(Span::new(test.line, 1, u32::MAX))
                .hint("let it differ from a firing case in one fact that matters"),
            );
        }
    }
    let schema = Schema::builtin();
    let mut seen = None;
    for event in rule.tests.iter().flat_map(|t| &t.events) {
        // Copies of one event stand on one line: once is enough.
        if seen.replace(event.line) == Some(event.line) {
            continue;
        }
        let Some(table) = &event.table else { continue };
        if table.as_str().contains('.') || ["events", "findings"].contains(&table.as_str()) {
            continue;
        }
        match schema.table(table.as_str()) {
            Some(table) => event_columns(path, table, event.columns.keys(), event.line, found),
            None => {
                let tables: Vec<&str> = schema.tables().map(|t| t.name.as_str()).collect();
                found.push(
                    Diagnostic::error("R011", path, format!("no table `{table}`"))
                        .at(Span::new(event.line, 1, u32::MAX))
                        .did_you_mean(table.as_str(), tables.iter().copied())
                        .hint(format!("the tables are {}", tables.join(", "))),
                );
            }
        }
    }
}

fn event_columns<'a>(
    path: &str,
    table: &TableSchema,
    columns: impl Iterator<Item = &'a String>,
    line: u32,
    found: &mut Vec<Diagnostic>,
) {
    for column in columns.filter(|c| table.index(c).is_none()) {
        found.push(
            Diagnostic::error("R011", path, format!("no column `{column}` in `{}`", table.name))
                .at(Span::new(line, 1, u32::MAX))
                .did_you_mean(column, table.columns.iter().map(|c| c.name))
                .hint(format!("`sluice schema {}` lists all", table.name)),
        );
    }
}
