//! The ids of MITRE ATT&CK (Enterprise, version 19): names, tactics, and what replaced ids that were
//! withdrawn. Facts only; the descriptions stay on attack.mitre.org.

use std::{collections::BTreeMap, sync::LazyLock};

use crate::{
    Diagnostic, Span,
    fields::{Fields, Reader},
    suggest,
};

/// A tactic or technique.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attack {
    /// `TA0006`, `T1621` or `T1078.004`.
    pub id: &'static str,
    /// The name; of a sub-technique without that of its parent.
    pub name: &'static str,
    /// The ids of the tactics a technique serves, in matrix order; empty for a tactic.
    pub tactics: Vec<&'static str>,
    /// The id to use instead, if this one was withdrawn.
    pub replaced_by: Option<&'static str>,
}

/// A tactic or technique by id.
pub fn attack(id: &str) -> Option<&'static Attack> {
    TABLE.get(id)
}

/// Every tactic and technique in the order of ids.
pub fn attacks() -> impl Iterator<Item = &'static Attack> {
    TABLE.values()
}

/// The name with that of the parent: `Valid Accounts: Cloud Accounts`.
pub fn attack_name(id: &str) -> Option<String> {
    let own = attack(id)?;
    let parent = id.split_once('.').and_then(|(parent, _)| attack(parent));
    Some(match parent {
        Some(parent) => format!("{}: {}", parent.name, own.name),
        None => own.name.to_owned(),
    })
}

/// Reads `attack:`. R005: an error for an id that is not in the table, a warning for one that was
/// withdrawn.
pub(crate) fn read(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Vec<String> {
    let Some(node) = fields.get("attack") else { return Vec::new() };
    let mut ids = Vec::new();
    for (id, span) in reader.texts(node, "attack") {
        match attack(&id) {
            Some(row) => {
                if let Some(new) = row.replaced_by {
                    let primary = format!("ATT&CK withdrew `{id}` ({})", row.name);
                    reader.push(
                        Diagnostic::warning("R005", reader.path, primary)
                            .at(span)
                            .detail(format!("now `{new}`"))
                            .hint(attack_name(new).unwrap_or_default()),
                    );
                }
                ids.push(id);
            }
            None => unknown(reader, &id, span),
        }
    }
    ids
}

fn unknown(reader: &mut Reader<'_>, id: &str, span: Span) {
    let mut diagnostic = Diagnostic::error("R005", reader.path, format!("`{id}` is not in ATT&CK"))
        .at(span)
        .hint("a tactic (`TA0006`), technique (`T1621`) or sub-technique (`T1078.004`)");
    let parent = id.split_once('.').and_then(|(parent, _)| attack(parent));
    if let Some(parent) = parent.filter(|_| has_shape(id)) {
        let subs: Vec<&str> = attacks()
            .map(|a| a.id)
            .filter(|a| a.starts_with(parent.id) && a.contains('.'))
            .collect();
        reader.push(diagnostic.hint(match subs.as_slice() {
            [] => format!("`{}` ({}) has no sub-techniques", parent.id, parent.name),
            subs => format!("`{}` ({}) has {}", parent.id, parent.name, subs.join(", ")),
        }));
        return;
    }
    let by_name = suggest(id, attacks().map(|a| a.name))
        .and_then(|name| attacks().find(|a| a.name == name && a.replaced_by.is_none()));
    let near = match by_name {
        Some(row) => Some(row.id),
        None => suggest(id, attacks().filter(|a| a.replaced_by.is_none()).map(|a| a.id)),
    };
    if let Some(near) = near {
        let name = attack_name(near).unwrap_or_default();
        diagnostic = diagnostic.detail(format!("did you mean `{near}` ({name})?"));
    }
    reader.push(diagnostic);
}

/// Whether text has the shape of an id: `TA0006`, `T1621`, `T1078.004`.
fn has_shape(id: &str) -> bool {
    let digits = |text: &str, n: usize| text.len() == n && text.bytes().all(|b| b.is_ascii_digit());
    if let Some(tactic) = id.strip_prefix("TA") {
        return digits(tactic, 4);
    }
    let Some(technique) = id.strip_prefix('T') else { return false };
    match technique.split_once('.') {
        Some((technique, sub)) => digits(technique, 4) && digits(sub, 3),
        None => digits(technique, 4),
    }
}

static TABLE: LazyLock<BTreeMap<&'static str, Attack>> = LazyLock::new(|| {
    let mut table: BTreeMap<&'static str, Attack> = BTreeMap::new();
    let rows = include_str!("../attack.tsv").lines();
    for row in rows.filter(|r| !r.is_empty() && !r.starts_with('#')) {
        let mut cells = row.split('\t');
        let mut cell = || cells.next().unwrap_or("");
        let (id, name, tactics, replaced) = (cell(), cell(), cell(), cell());
        let mut tactics: Vec<_> = tactics.split(' ').filter(|t| !t.is_empty()).collect();
        // Sub-techniques serve the tactics of their parent, which stands above them.
        if let Some((parent, _)) = id.split_once('.')
            && let Some(parent) = table.get(parent)
        {
            tactics = parent.tactics.clone();
        }
        let replaced_by = Some(replaced).filter(|r| !r.is_empty());
        table.insert(id, Attack { id, name, tactics, replaced_by });
    }
    table
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_well_formed_and_refers_to_rows() {
        for row in attacks() {
            assert!(has_shape(row.id), "{row:?}");
            assert!(!row.name.is_empty(), "{row:?}");
            for tactic in &row.tactics {
                assert!(attack(tactic).is_some_and(|t| t.tactics.is_empty()), "{row:?}");
            }
            match row.replaced_by {
                Some(id) => assert!(attack(id).is_some_and(|r| r.replaced_by.is_none()), "{row:?}"),
                None => assert_eq!(row.tactics.is_empty(), row.id.starts_with("TA"), "{row:?}"),
            }
            if let Some((parent, _)) = row.id.split_once('.') {
                assert!(attack(parent).is_some(), "{row:?}");
            }
        }
        assert_eq!(attacks().filter(|a| a.id.starts_with("TA")).count(), 15);
        assert!(attacks().filter(|a| !a.id.contains('.')).count() > 200);
    }

    #[test]
    fn names_carry_the_parent() {
        assert_eq!(attack_name("T1078.004").as_deref(), Some("Valid Accounts: Cloud Accounts"));
        assert_eq!(attack("T1621").map(|a| a.tactics.clone()), Some(vec!["TA0006"]));
        assert_eq!(attack("T1562.008").and_then(|a| a.replaced_by), Some("T1685.002"));
        assert!(attack("T9999").is_none());
    }
}
