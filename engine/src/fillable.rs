//! Whether the loaded mappings can give a rule what it asks for: columns that some mapping fills, a
//! source that has rows in its table, and events of a kind that goes there. Not whether they come: that
//! is health.

use std::collections::BTreeSet;

use sluice_event::{Schema, TableName, Value};
use sluice_rule::Mapping;
use sluice_stream::{Atom, Branch, Predicate, Test};

/// Columns the engine fills, whatever a mapping says.
const ALWAYS: [&str; 21] = [
    "time",
    "original_time",
    "time_flag",
    "ingest_time",
    "event_uid",
    "native_uid",
    "class_uid",
    "activity_id",
    "status_id",
    "source",
    "vendor",
    "product",
    "tenant",
    "src_is_private",
    "user_entity",
    "actor_user_entity",
    "device_entity",
    "ips",
    "users",
    "hosts",
    "raw",
];
/// Lists that are made of other columns.
const LISTS: [&str; 2] = ["domains", "hashes"];

/// Why no row that the mappings make can pass the conditions of a rule; `None` if one can.
pub(crate) fn cannot_fire<'m>(
    branches: &[Branch],
    mappings: impl Iterator<Item = &'m Mapping> + Clone,
) -> Option<String> {
    let mut first = None;
    for branch in branches {
        let why = blocked(branch, mappings.clone())?;
        first.get_or_insert(why);
    }
    first
}

/// The same for one table of it.
fn blocked<'m>(
    branch: &Branch,
    mappings: impl Iterator<Item = &'m Mapping> + Clone,
) -> Option<String> {
    // Raw tables hold what a source sends.
    let table = Schema::builtin().table(branch.table.as_str())?;
    let here = || mappings.clone().filter(|m| m.to == branch.table);
    if here().next().is_none() {
        return Some(format!("no loaded mapping makes rows of `{}`", branch.table));
    }
    let required = required(&branch.filter);
    let filled: Option<BTreeSet<String>> =
        here().try_fold(BTreeSet::new(), |mut all: BTreeSet<String>, mapping| {
            all.extend(mapping.output_columns()?);
            Some(all)
        });
    if let Some(filled) = filled {
        for column in required.iter().filter_map(|c| table.columns.get(*c)) {
            let known = ALWAYS.contains(&column.name) || LISTS.contains(&column.name);
            if !known && !filled.contains(column.name) {
                return Some(format!(
                    "no loaded mapping fills `{}` of `{}`",
                    column.name, branch.table
                ));
            }
        }
    }
    if let Some(asked) = words(&branch.filter, table.index("source")?) {
        let sources: BTreeSet<&str> = here().map(|m| m.source.as_str()).collect();
        if !asked.iter().any(|source| sources.contains(source.as_str())) {
            return Some(format!(
                "no loaded mapping of `{}` has the source '{}'; those that have rows there are {}",
                branch.table,
                asked.join("' or '"),
                sources.into_iter().collect::<Vec<_>>().join(", ")
            ));
        }
    }
    let codes = words(&branch.filter, table.index("event_code")?)?;
    let mut elsewhere: BTreeSet<&TableName> = BTreeSet::new();
    for code in &codes {
        let literal = format!("'{code}'");
        let names = |m: &&Mapping| m.when.as_ref().is_some_and(|when| when.text.contains(&literal));
        // Named in a condition of its own table, or nowhere: then patterns decide.
        let mut named = mappings.clone().filter(names).peekable();
        named.peek()?;
        for mapping in named {
            if mapping.to == branch.table {
                return None;
            }
            elsewhere.insert(&mapping.to);
        }
    }
    let tables: Vec<String> = elsewhere.iter().map(|t| format!("`{t}`")).collect();
    Some(format!(
        "events with event_code '{}' go to {}, not to `{}`",
        codes.join("', '"),
        tables.join(", "),
        branch.table
    ))
}

/// Columns without which a condition is never TRUE.
fn required(predicate: &Predicate) -> BTreeSet<usize> {
    match predicate {
        Predicate::And(parts) => parts.iter().flat_map(required).collect(),
        Predicate::Or(parts) => {
            let mut parts = parts.iter().map(required);
            let first = parts.next().unwrap_or_default();
            parts.fold(first, |known, part| &known & &part)
        }
        Predicate::Leaf(leaf) => match &leaf.atom {
            Atom::Column { test: Test::IsNull, .. } => BTreeSet::new(),
            Atom::Column { column, .. } => BTreeSet::from([*column]),
            Atom::Virtual { .. } | Atom::Opaque { .. } => BTreeSet::new(),
        },
        // NOT of a test of a column is TRUE on a value only, IS NULL included.
        Predicate::Not(inner) | Predicate::IsTrue(inner) | Predicate::IsFalse(inner) => {
            match inner.as_ref() {
                Predicate::Leaf(leaf) => match &leaf.atom {
                    Atom::Column { column, .. } => BTreeSet::from([*column]),
                    Atom::Virtual { .. } | Atom::Opaque { .. } => BTreeSet::new(),
                },
                _ => BTreeSet::new(),
            }
        }
        Predicate::IsUnknown(_) | Predicate::Constant(_) => BTreeSet::new(),
    }
}

/// The only texts of a column that a condition takes, if it names them.
fn words(predicate: &Predicate, column: usize) -> Option<Vec<String>> {
    match predicate {
        Predicate::And(parts) => parts.iter().find_map(|part| words(part, column)),
        Predicate::Leaf(leaf) => match &leaf.atom {
            Atom::Column { column: of, test: Test::In(values) } if *of == column => values
                .iter()
                .map(|value| match value {
                    Value::Text(text) => Some(text.to_string()),
                    _ => None,
                })
                .collect(),
            _ => None,
        },
        _ => None,
    }
}
