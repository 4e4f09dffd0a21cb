//! What layers say, as a tree whose every key and value knows where it was given. Not typed yet.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use sluice_rule::Span;

use super::secret;

/// A table of a configuration, keys sorted.
pub(crate) type Table = BTreeMap<String, SettingEntry>;

/// A key and what it holds.
#[derive(Clone, Debug)]
pub(crate) struct SettingEntry {
    /// Where the key was given.
    pub(crate) key: Origin,
    /// What it holds.
    pub(crate) node: SettingNode,
}

/// A table or a value.
#[derive(Clone, Debug)]
pub(crate) enum SettingNode {
    /// A table.
    Table(Table),
    /// A value and its place.
    Leaf(Raw, Origin),
}

/// A value as it was written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Raw {
    /// A string.
    Text(String),
    /// What an environment variable or a flag says: a string that may stand for any other kind.
    Loose(String),
    /// A whole number.
    Integer(i64),
    /// Any other scalar, as written: a number with a fraction, a date.
    Other(&'static str, String),
    /// `true` or `false`.
    Bool(bool),
    /// A list.
    List(Vec<Raw>),
}

/// Where something was given.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    /// At these bytes of a file.
    File(Arc<File>, Range<usize>),
    /// In an environment variable.
    Env(String),
    /// As a flag of the command line.
    Flag(&'static str),
}

/// A file that was read.
#[derive(Debug)]
pub(crate) struct File {
    /// Its path, for people.
    pub(crate) path: String,
    /// What it says.
    pub(crate) text: String,
}

impl Origin {
    /// What to call the file, variable or flag.
    pub(crate) fn name(&self) -> String {
        match self {
            Origin::File(file, _) => file.path.clone(),
            Origin::Env(name) => format!("environment variable {name}"),
            Origin::Flag(name) => format!("flag {name}"),
        }
    }

    /// The place in a file.
    pub(crate) fn span(&self) -> Option<Span> {
        let Origin::File(file, range) = self else { return None };
        let before = file.text.get(..range.start)?;
        let line = before.matches('\n').count();
        let column = before.chars().rev().take_while(|&c| c != '\n').count();
        let length = file.text.get(range.clone())?.lines().next().map_or(1, |l| l.chars().count());
        Some(Span::new(line as u32 + 1, column as u32 + 1, length as u32))
    }

    /// The text it is in, with everything that may be a secret masked.
    pub(crate) fn text(&self) -> Option<String> {
        match self {
            Origin::File(file, _) => Some(secret::masked(&file.text)),
            Origin::Env(_) | Origin::Flag(_) => None,
        }
    }
}

/// `sluice.toml:3`, `env SLUICE_DATA_DIR`, `flag --listen`.
impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self, self.span()) {
            (Origin::File(file, _), Some(span)) => write!(f, "{}:{}", file.path, span.line),
            (Origin::File(file, _), None) => f.write_str(&file.path),
            (Origin::Env(name), _) => write!(f, "env {name}"),
            (Origin::Flag(name), _) => write!(f, "flag {name}"),
        }
    }
}

/// Puts a stronger layer over a weaker one: tables are merged, values replaced.
pub(crate) fn overlay(base: &mut Table, over: Table) {
    for (key, entry) in over {
        match (base.get_mut(&key), entry) {
            (
                Some(SettingEntry { node: SettingNode::Table(below), .. }),
                SettingEntry { node: SettingNode::Table(above), .. },
            ) => {
                overlay(below, above);
            }
            (_, entry) => {
                base.insert(key, entry);
            }
        }
    }
}

/// Adds a part of the same file; keys given twice are handed to `twice`: (first, second).
pub(crate) fn join(base: &mut Table, part: Table, twice: &mut impl FnMut(&Origin, &Origin)) {
    for (key, entry) in part {
        match base.get_mut(&key) {
            None => {
                base.insert(key, entry);
            }
            Some(there) => match (&mut there.node, entry.node) {
                (SettingNode::Table(below), SettingNode::Table(more)) => join(below, more, twice),
                _ => twice(&there.key, &entry.key),
            },
        }
    }
}
