//! Paths into JSON text: `kubernetes.pod_name`, `logEvents[*]`, `values[1]`, `attributes[host.name]`.
//! Nothing is built but what a path leads to.

use std::{borrow::Cow, fmt};

use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Steps from an object to a value in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Path {
    steps: Vec<Step>,
    /// The path as one key: fields of flattened records have dots in their names.
    whole: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    /// Every element of an array.
    Elements,
    /// The element of an array at this place, from 0.
    At(usize),
    /// In an array of `{key, value}` or `{field, value}`, the value of this key.
    Attribute(String),
}

/// A value that a path leads to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found<'t>(pub(super) &'t RawValue);

impl Path {
    /// `None` if the text is no path.
    pub(super) fn parse(text: &str) -> Option<Path> {
        let mut steps = Vec::new();
        let mut rest = text.trim();
        let whole = rest.to_owned();
        while !rest.is_empty() {
            rest = rest.strip_prefix('.').unwrap_or(rest);
            if let Some(inner) = rest.strip_prefix('[') {
                let (name, tail) = inner.split_once(']')?;
                steps.push(match name {
                    "*" => Step::Elements,
                    name => match name.parse() {
                        Ok(at) => Step::At(at),
                        Err(_) => Step::Attribute(name.to_owned()),
                    },
                });
                rest = tail;
                continue;
            }
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            let (key, tail) = rest.split_at_checked(end)?;
            if key.is_empty() {
                return None;
            }
            steps.push(Step::Key(key.to_owned()));
            rest = tail;
        }
        Some(Path { steps, whole })
    }

    /// Whether one of these keys can begin the path.
    pub(super) fn starts_with_any(&self, keys: &[Cow<'_, str>]) -> bool {
        let first = match self.steps.first() {
            Some(Step::Key(key)) => key.as_str(),
            Some(Step::Elements | Step::At(_) | Step::Attribute(_)) => return false,
            None => return true,
        };
        keys.iter().any(|k| *k == first || *k == self.whole)
    }

    /// Whether the path begins with a key.
    pub(super) fn begins_with(&self, key: &str) -> bool {
        matches!(self.steps.first(), Some(Step::Key(first)) if first == key)
    }

    /// The first value in the innermost of `around` that has one; the last is the innermost.
    pub(super) fn first<'t>(&self, around: &[&'t RawValue]) -> Option<Found<'t>> {
        around.iter().rev().find_map(|value| self.from(value))
    }

    fn from<'t>(&self, value: &'t RawValue) -> Option<Found<'t>> {
        if let Some(found) = (self.steps.len() > 1).then(|| member(value, &self.whole)).flatten() {
            return Some(Found(found));
        }
        let mut value = value;
        for step in &self.steps {
            value = match step {
                Step::Key(key) => member(value, key)?,
                Step::Elements => elements(value)?.into_iter().next()?,
                Step::At(at) => elements(value)?.into_iter().nth(*at)?,
                Step::Attribute(name) => elements(value)?.into_iter().find_map(|item| {
                    let key = member(item, "key").or_else(|| member(item, "field"))?;
                    (Found(key).text() == *name).then(|| member(item, "value")).flatten()
                })?,
            };
        }
        (value.get() != "null").then_some(Found(value))
    }

    /// Every element the path leads to, each with what is around it, outermost first; where there are
    /// more than `most`, so many and one.
    pub(super) fn each<'t>(&self, root: &'t RawValue, most: usize) -> Vec<Vec<&'t RawValue>> {
        let mut found = vec![vec![root]];
        for step in &self.steps {
            let mut next = Vec::new();
            for around in found {
                if next.len() > most {
                    break;
                }
                let Some(value) = around.last() else { continue };
                match step {
                    Step::Key(key) => {
                        if let Some(value) = member(value, key) {
                            let mut around = around.clone();
                            around.push(value);
                            next.push(around);
                        }
                    }
                    Step::Elements => {
                        for item in elements_upto(value, most - next.len()) {
                            let mut around = around.clone();
                            around.push(item);
                            next.push(around);
                        }
                    }
                    Step::At(at) => {
                        if let Some(item) = elements_upto(value, *at).into_iter().nth(*at) {
                            let mut around = around.clone();
                            around.push(item);
                            next.push(around);
                        }
                    }
                    Step::Attribute(_) => {}
                }
            }
            found = next;
        }
        found
    }
}

impl Found<'_> {
    /// The text of a string, the first of a list, the value of an OTLP `AnyValue`; anything else as
    /// JSON.
    pub(super) fn text(&self) -> String {
        let raw = self.0.get();
        if raw.starts_with('"') {
            return serde_json::from_str(raw).unwrap_or_default();
        }
        if raw.starts_with('[')
            && let Some(first) = elements(self.0).and_then(|e| e.into_iter().next())
        {
            return Found(first).text();
        }
        if raw.starts_with('{') {
            for kind in
                ["stringValue", "intValue", "doubleValue", "boolValue", "string_value", "int_value"]
            {
                if let Some(value) = member(self.0, kind) {
                    return Found(value).text();
                }
            }
        }
        raw.to_owned()
    }
}

/// The keys of an object; `None` if it is none.
pub(super) fn keys(value: &RawValue) -> Option<Vec<Cow<'_, str>>> {
    struct Keys;
    impl<'de> Visitor<'de> for Keys {
        type Value = Vec<Cow<'de, str>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut keys = Vec::new();
            while let Some(Key(key)) = map.next_key()? {
                map.next_value::<IgnoredAny>()?;
                keys.push(key);
            }
            Ok(keys)
        }
    }
    serde_json::Deserializer::from_str(value.get()).deserialize_map(Keys).ok()
}

/// A key, borrowed where it has no escapes.
#[derive(serde::Deserialize)]
struct Key<'t>(#[serde(borrow)] Cow<'t, str>);

/// The value of a key of an object.
pub(super) fn member<'t>(value: &'t RawValue, key: &str) -> Option<&'t RawValue> {
    struct Member<'k>(&'k str);
    impl<'de> Visitor<'de> for Member<'_> {
        type Value = Option<&'de RawValue>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut found = None;
            while let Some(Key(key)) = map.next_key()? {
                // The last of two equal keys wins, as in a record.
                if key == self.0 {
                    found = Some(map.next_value()?);
                } else {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            Ok(found)
        }
    }
    if !value.get().starts_with('{') {
        return None;
    }
    serde_json::Deserializer::from_str(value.get()).deserialize_map(Member(key)).ok()?
}

/// The elements of an array, if it is one; where there are more than `most`, so many and one.
pub(super) fn elements_upto(value: &RawValue, most: usize) -> Vec<&RawValue> {
    struct Elements<'v, 't>(&'v mut Vec<&'t RawValue>, usize);
    impl<'de> Visitor<'de> for Elements<'_, 'de> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
            while self.0.len() <= self.1
                && let Some(item) = items.next_element()?
            {
                self.0.push(item);
            }
            Ok(())
        }
    }
    let mut found = Vec::new();
    let mut reader = serde_json::Deserializer::from_str(value.get());
    // What follows the last one that is taken is an error, and no matter: the text was read before.
    reader.deserialize_seq(Elements(&mut found, most)).ok();
    found
}

/// The elements of an array.
pub(super) fn elements(value: &RawValue) -> Option<Vec<&RawValue>> {
    value.get().starts_with('[').then(|| serde_json::from_str(value.get()).ok()).flatten()
}
