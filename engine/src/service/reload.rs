//! What a reload changes. Not the swap.

use std::collections::{BTreeMap, BTreeSet};

use sluice_event::TableName;
use sluice_stream::operator;

use super::{ReloadReport, RuleChange, input::InputThread};
use crate::{Content, LoadedRule, Problem, clock::clock};

/// The difference between two sets of rules and mappings.
pub(super) struct Reload {
    /// Rules that are not simply kept.
    pub rules: BTreeMap<String, RuleChange>,
    /// Rules that are.
    pub kept: u64,
    /// Whether any mapping file changed, or other names of users and devices.
    pub mappings: bool,
}

impl Reload {
    pub(super) fn between(old: &Content, new: &Content) -> Reload {
        let by_id = |content: &Content| -> BTreeMap<String, LoadedRule> {
            content.running().map(|r| (r.plan.rule.to_string(), r.clone())).collect()
        };
        let (old_rules, new_rules) = (by_id(old), by_id(new));
        let mut rules = BTreeMap::new();
        let mut kept = 0;
        for (id, rule) in &new_rules {
            let change = match old_rules.get(id) {
                None => RuleChange::Added,
                Some(was) if was.rule.file.text == rule.rule.file.text => {
                    kept += 1;
                    continue;
                }
                Some(was) if operator(&was.plan) == operator(&rule.plan) => RuleChange::Edited,
                Some(_) => RuleChange::Reset,
            };
            rules.insert(id.clone(), change);
        }
        let gone = old_rules.keys().filter(|id| !new_rules.contains_key(*id));
        rules.extend(gone.map(|id| (id.clone(), RuleChange::Removed)));
        let texts = |content: &Content| -> BTreeSet<(String, String)> {
            let files = content.mappings.iter();
            files.map(|m| (m.id.to_string(), m.file.text.to_string())).collect()
        };
        let mappings = texts(old) != texts(new) || old.aliases != new.aliases;
        Reload { rules, kept, mappings }
    }
}

/// The report of content that says what the running one says: nothing has to be swapped, and detection
/// does not pause for it. `None` if anything differs.
pub(super) fn unchanged(old: &Content, new: &Content) -> Option<ReloadReport> {
    let lookups = |content: &Content| content.compiler.lookups().clone();
    if files(old) != files(new) || old.aliases != new.aliases || lookups(old) != lookups(new) {
        return None;
    }
    Some(ReloadReport {
        at: clock(),
        applied: true,
        kept: new.running().count() as u64,
        problems: new.problems.iter().map(shown).collect(),
        ..ReloadReport::default()
    })
}

/// Path and text of every file that content was made of, lookups apart.
fn files(content: &Content) -> BTreeSet<(&str, &str)> {
    let rules = content.rules.iter().map(|r| &r.rule.file);
    let baselines = content.baselines.iter().map(|b| &b.file.file);
    let mappings = content.mappings.iter().map(|m| &m.file);
    rules.chain(baselines).chain(mappings).map(|file| (&*file.path, &*file.text)).collect()
}

/// The report of content that cannot be taken, if it cannot.
pub(super) fn refused(content: &Content) -> Option<ReloadReport> {
    content.errors().next()?;
    Some(ReloadReport {
        at: clock(),
        applied: false,
        problems: content.problems.iter().map(shown).collect(),
        ..ReloadReport::default()
    })
}

/// A problem as `rule lint` prints it.
pub(super) fn shown(problem: &Problem) -> String {
    problem.diagnostic.render(problem.text.as_deref())
}

/// The tables that some input can fill.
pub(super) fn feeds(inputs: &[InputThread], content: &Content) -> BTreeSet<TableName> {
    // What the rules find reaches those over findings.
    let mut tables = BTreeSet::from([TableName::findings(1)]);
    for input in inputs {
        let source = input.source();
        let takes = |spec: &str| source.as_deref().is_none_or(|s| s == spec);
        for spec in content.sources.iter().filter(|s| takes(&s.source)) {
            tables.extend(spec.tables());
            tables.insert(spec.raw_table());
        }
    }
    tables
}
