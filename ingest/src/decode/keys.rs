//! From the name of a JSON field to what is done with it. Not the values.
//!
//! Records of one source have their fields in nearly one order, so each field predicts the next one:
//! the usual cost of a name is one comparison of bytes, no hash.

use std::collections::HashMap;

use serde::de::{DeserializeSeed, Deserializer, Error, Visitor};
use sluice_event::WireType;

/// Names longer than this are not remembered.
const NAME_BYTES_MAX: usize = 256;
/// Undeclared names a nested object remembers, only to predict past them.
const NESTED_NAMES_MAX: usize = 64;

/// The names of one object of the wire record: first the declared columns, then others as met.
///
/// A declared name in lower case throughout, as column stores write it, is the same column.
#[derive(Debug)]
pub(crate) struct Keys {
    names: Vec<Box<str>>,
    next: Vec<u32>,
    index: HashMap<Box<str>, u32>,
    /// Declared and telling names in lower case, where that is another name.
    lower: HashMap<Box<str>, u32>,
    declared: usize,
    /// Names after the declared ones that tell the source, and are not read.
    telling: usize,
    names_max: usize,
}

/// What a name is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Key {
    /// A declared column.
    Column(usize),
    /// A declared column by its name in lower case: what has the name itself goes before.
    Lower(usize),
    /// A name that tells the source: its number among the declared columns and those.
    Telling(usize),
    /// Another name, met before or now: its number among those.
    Other(usize),
    /// Another name that is not remembered: too long, or one too many.
    Unknown,
}

impl Keys {
    /// The keys of the record itself; remembers up to `others_max` undeclared names.
    pub(crate) fn new(columns: &[(String, WireType)], others_max: usize) -> Self {
        let names: Vec<Box<str>> = columns.iter().map(|(name, _)| name.as_str().into()).collect();
        let index: HashMap<_, _> = names.iter().cloned().zip(0..).collect();
        let next = (1..=names.len() as u32).collect();
        let declared = names.len();
        let lower = names.iter().zip(0..).filter_map(|(name, at)| Some((lower(name)?, at)));
        let lower = lower.filter(|(name, _)| !index.contains_key(name)).collect();
        Keys { names, next, index, lower, declared, telling: 0, names_max: declared + others_max }
    }

    /// Adds a name that tells the source, before any other was met; gives its number.
    pub(crate) fn tell(&mut self, name: &str) -> usize {
        if let Some(at) = self.index.get(name) {
            return *at as usize;
        }
        let at = self.names.len();
        self.names.push(name.into());
        self.next.push(at as u32 + 1);
        self.index.insert(name.into(), at as u32);
        if let Some(lower) = lower(name) {
            self.lower.entry(lower).or_insert(at as u32);
        }
        self.telling += 1;
        self.names_max += 1;
        at
    }

    /// How many names come before the undeclared ones.
    pub(crate) fn known(&self) -> usize {
        self.declared + self.telling
    }

    /// The keys of an object inside the record.
    pub(crate) fn nested(columns: &[(String, WireType)]) -> Self {
        Keys::new(columns, NESTED_NAMES_MAX)
    }

    /// The name of a declared column, or of another name after those.
    pub(crate) fn name(&self, index: usize) -> &str {
        &self.names[index]
    }

    fn find(&mut self, name: &str, cursor: &mut u32) -> Key {
        let predicted = *cursor as usize;
        let mut by_lower = false;
        let found = if self.names.get(predicted).is_some_and(|n| is_same(n, name)) {
            Some(predicted)
        } else if let Some(at) = self.index.get(name) {
            Some(*at as usize)
        } else if let Some(at) = self.lower.get(name) {
            by_lower = true;
            Some(*at as usize)
        } else {
            self.learn(name)
        };
        let Some(found) = found else { return Key::Unknown };
        *cursor = self.next[found];
        match found {
            found if found < self.declared && by_lower => Key::Lower(found),
            found if found < self.declared => Key::Column(found),
            found if found < self.known() => Key::Telling(found),
            found => Key::Other(found - self.known()),
        }
    }

    fn learn(&mut self, name: &str) -> Option<usize> {
        if self.names.len() >= self.names_max || name.len() > NAME_BYTES_MAX {
            return None;
        }
        let at = self.names.len();
        self.names.push(name.into());
        self.next.push(at as u32 + 1);
        self.index.insert(name.into(), at as u32);
        Some(at)
    }
}

/// Whether two names are one. They are short: eight bytes at a time are compared faster than by a call.
fn is_same(a: &str, b: &str) -> bool {
    let ((a, a_rest), (b, b_rest)) = (a.as_bytes().as_chunks::<8>(), b.as_bytes().as_chunks::<8>());
    let same = |(a, b): (&[u8; 8], &[u8; 8])| u64::from_ne_bytes(*a) == u64::from_ne_bytes(*b);
    a.len() == b.len()
        && a_rest.len() == b_rest.len()
        && a.iter().zip(b).all(same)
        && a_rest.iter().zip(b_rest).all(|(a, b)| a == b)
}

/// A name in lower case, if that is another one.
fn lower(name: &str) -> Option<Box<str>> {
    name.bytes().any(|b| b.is_ascii_uppercase()).then(|| name.to_ascii_lowercase().into())
}

/// Reads one field name; remembers which name followed which.
pub(crate) struct KeySeed<'k> {
    pub(crate) keys: &'k mut Keys,
    pub(crate) walk: &'k mut Walk,
}

/// Where the walk through one object stands.
#[derive(Default)]
pub(crate) struct Walk {
    cursor: u32,
    last: Option<usize>,
}

impl<'de> DeserializeSeed<'de> for KeySeed<'_> {
    type Value = Key;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed<'_> {
    type Value = Key;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a field name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Key, E> {
        let key = self.keys.find(name, &mut self.walk.cursor);
        let at = match key {
            Key::Column(i) | Key::Lower(i) | Key::Telling(i) => Some(i),
            Key::Other(i) => Some(self.keys.known() + i),
            Key::Unknown => None,
        };
        if let (Some(last), Some(at)) = (self.walk.last, at) {
            self.keys.next[last] = at as u32;
        }
        self.walk.last = at.or(self.walk.last);
        Ok(key)
    }
}
