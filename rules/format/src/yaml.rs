//! YAML blocks as a tree in which every node knows its place in the file. Does not know what the
//! keys mean.
//!
//! The meaning of scalars is YAML 1.2 with numbers taken narrowly: `no`, `on`, `off`, `012`,
//! `0x17` and `1_000` are text. Merge keys (`<<: *x`) are applied; the place of a merged value is
//! where it is written.

use std::{collections::BTreeSet, fmt};

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Number;
use serde_saphyr::{DuplicateKeyPolicy, Error, Location, NonFiniteFloatPolicy, Spanned};

use crate::{Block, Diagnostic, Span};

/// A value and its place.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) value: Yaml,
    pub(crate) span: Span,
}

#[derive(Clone, Debug)]
pub(crate) enum Yaml {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key, where it stands, and its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) span: Span,
    pub(crate) value: Node,
}

impl Node {
    /// The value as JSON; the order of keys is kept.
    pub(crate) fn json(&self) -> serde_json::Value {
        use serde_json::Value;
        match &self.value {
            Yaml::Null => Value::Null,
            Yaml::Bool(b) => Value::Bool(*b),
            Yaml::Number(n) => Value::Number(n.clone()),
            Yaml::Text(t) => Value::String(t.clone()),
            Yaml::List(items) => Value::Array(items.iter().map(Node::json).collect()),
            Yaml::Map(entries) => {
                Value::Object(entries.iter().map(|e| (e.key.clone(), e.value.json())).collect())
            }
        }
    }

    /// What kind of value it is, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self.value {
            Yaml::Null => "nothing",
            Yaml::Bool(_) => "a boolean",
            Yaml::Number(_) => "a number",
            Yaml::Text(_) => "text",
            Yaml::List(_) => "a list",
            Yaml::Map(_) => "a map",
        }
    }
}

/// Reads a block; what it holds with R009 for every key given twice in a map. An empty block is
/// `Null`.
///
/// # Errors
/// One R001 for what is no YAML, and for aliases that expand past the limits.
pub(crate) fn parse(path: &str, block: &Block) -> Result<(Node, Vec<Diagnostic>), Diagnostic> {
    if block.yaml.lines().all(|l| l.trim().is_empty() || l.trim_start().starts_with('#')) {
        let span = Span::new(block.first_line, 1, 1);
        return Ok((Node { value: Yaml::Null, span }, Vec::new()));
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_documents: 1,
            max_depth: 64,
            max_nodes: 100_000,
            max_aliases: 10_000,
            alias_anchor_ratio_multiplier: 100,
        },
        // Reported below, each at its place.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 100_000,
            max_replay_stack_depth: 64,
        },
        strict_booleans: true,
        // A key may be called `null`; values stay null.
        null_as_string: true,
        legacy_octal_numbers: false,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        with_snippet: false,
    };
    match serde_saphyr::from_str_with_options::<Raw>(&block.yaml, options) {
        Ok(raw) => {
            let node = Tree { block }.node(raw);
            let mut twice = Vec::new();
            repeated_keys(path, &node, &mut twice);
            Ok((node, twice))
        }
        Err(error) => Err(refuse(path, block, &error)),
    }
}

fn repeated_keys(path: &str, node: &Node, found: &mut Vec<Diagnostic>) {
    match &node.value {
        Yaml::List(items) => items.iter().for_each(|item| repeated_keys(path, item, found)),
        Yaml::Map(entries) => {
            let mut seen = BTreeSet::new();
            for entry in entries {
                if !seen.insert(&entry.key) {
                    let primary = format!("`{}` is given twice", entry.key);
                    found.push(
                        Diagnostic::error("R009", path, primary)
                            .at(entry.span)
                            .hint("keep one of them"),
                    );
                }
                repeated_keys(path, &entry.value, found);
            }
        }
        _ => {}
    }
}

fn refuse(path: &str, block: &Block, error: &Error) -> Diagnostic {
    let message = error.without_snippet().to_string();
    // The place is in the span; the library appends it to the text as well.
    let message = message.split_once(" at line ").map_or(message.as_str(), |(m, _)| m).to_owned();
    let inner = match error.without_snippet() {
        Error::AliasError { error, .. } => error.without_snippet(),
        other => other,
    };
    let bounded = matches!(
        inner,
        Error::Budget { .. }
            | Error::AliasReplayLimitExceeded { .. }
            | Error::AliasExpansionLimitExceeded { .. }
            | Error::AliasReplayStackDepthExceeded { .. }
    );
    let primary = match bounded {
        true => "the YAML block is larger than is read once its aliases are expanded",
        false => "the YAML of this block cannot be read",
    };
    let mut diagnostic = Diagnostic::error("R001", path, primary)
        .at(error.location().map(|l| place(block, l)))
        .detail(message);
    if bounded {
        diagnostic = diagnostic.hint("at most 100,000 nodes, 64 levels and 100 uses per anchor");
    }
    diagnostic
}

fn place(block: &Block, location: Location) -> Span {
    let line = block.first_line + (location.line() as u32).saturating_sub(1);
    Span::new(line, (location.column() as u32).max(1), location.span().len() as u32)
}

/// The tree as the deserialiser gives it.
struct Raw(Spanned<RawValue>);

enum RawValue {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Raw>),
    Map(Vec<(Spanned<String>, Raw)>),
}

/// Turns places in the block into places in the file.
struct Tree<'a> {
    block: &'a Block,
}

impl Tree<'_> {
    fn node(&self, Raw(raw): Raw) -> Node {
        let mut span = place(self.block, raw.defined);
        let value = match raw.value {
            RawValue::Null => Yaml::Null,
            RawValue::Bool(b) => Yaml::Bool(b),
            RawValue::Number(n) => match self.prefixed(raw.defined) {
                Some(text) => Yaml::Text(text),
                None => Yaml::Number(n),
            },
            RawValue::Text(t) => Yaml::Text(t),
            RawValue::List(items) => {
                span.length = 1;
                Yaml::List(items.into_iter().map(|i| self.node(i)).collect())
            }
            RawValue::Map(entries) => {
                span.length = 1;
                let entry = |(key, value): (Spanned<String>, Raw)| Entry {
                    span: place(self.block, key.defined),
                    key: key.value,
                    value: self.node(value),
                };
                Yaml::Map(entries.into_iter().map(entry).collect())
            }
        };
        Node { value, span }
    }

    /// The text of a number written as `0x17`, `0o17` or `0b1`: such values are flags and ids of
    /// logs, where the spelling is the value.
    fn prefixed(&self, location: Location) -> Option<String> {
        let start = location.span().byte_offset()? as usize;
        let length = location.span().byte_len()? as usize;
        let text = self.block.yaml.get(start..start + length)?.trim();
        let unsigned = text.trim_start_matches(['+', '-']);
        ["0x", "0o", "0b"].iter().any(|p| unsigned.starts_with(p)).then(|| text.to_owned())
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Spanned::deserialize(deserializer).map(Raw)
    }
}

impl<'de> Deserialize<'de> for RawValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = RawValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<RawValue, E> {
        Ok(RawValue::Null)
    }

    fn visit_none<E>(self) -> Result<RawValue, E> {
        Ok(RawValue::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<RawValue, E> {
        Ok(RawValue::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<RawValue, E> {
        Ok(RawValue::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<RawValue, E> {
        Ok(RawValue::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<RawValue, E> {
        let number = Number::from_f64(value).map(RawValue::Number);
        Ok(number.unwrap_or_else(|| RawValue::Text(value.to_string())))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<RawValue, E> {
        Ok(RawValue::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<RawValue, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(RawValue::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<RawValue, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(RawValue::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(yaml: &str) -> Block {
        Block { yaml: yaml.to_owned(), first_line: 10 }
    }

    #[track_caller]
    fn check(yaml: &str, json: &str) {
        let (node, twice) =
            parse("r.sql", &block(yaml)).unwrap_or_else(|d| panic!("{}", d.render(None)));
        assert_eq!(twice, []);
        assert_eq!(node.json().to_string(), json, "{yaml}");
    }

    #[test]
    fn scalars_mean_what_yaml_1_2_says() {
        check(
            "[no, yes, on, off, y, n, NO, true, false, True]",
            r#"["no","yes","on","off","y","n","NO",true,false,true]"#,
        );
        check(
            "[012, -007, 0x17, 0X17, 0o17, 0b11, 1_000, 4624, -5, 1.5, 1e3, +3]",
            r#"["012","-007","0x17","0X17","0o17","0b11","1_000",4624,-5,1.5,1000.0,3]"#,
        );
        check("[~, null, '', 'null', \"5\", '0x17']", r#"[null,null,"","null","5","0x17"]"#);
        check(
            "[+0s, -5s, 2026-01-01, 2026-01-01T00:00:00Z, 12:30, .inf, .nan]",
            r#"["+0s","-5s","2026-01-01","2026-01-01T00:00:00Z","12:30",".inf",".nan"]"#,
        );
        check(
            "[18446744073709551615, 203.0.113.9, 1.2.3]",
            r#"[18446744073709551615,"203.0.113.9","1.2.3"]"#,
        );
        check("null: '-'\n012: no\n", r#"{"null":"-","012":"no"}"#);
        check("a: |\n  one\n  two\nb: >\n  one\n  two\n", r#"{"a":"one\ntwo\n","b":"one two\n"}"#);
    }

    #[test]
    fn merge_keys_reach_over_the_items_of_the_block() {
        check(
            "- events:\n    - &deny {t: +0s, user: ann, n: 0x1}\n    - {<<: *deny, t: +30s, repeat: 4}\n\
             - events: [{<<: *deny, t: +5s}]\n",
            r#"[{"events":[{"t":"+0s","user":"ann","n":"0x1"},{"t":"+30s","repeat":4,"user":"ann","n":"0x1"}]},{"events":[{"t":"+5s","user":"ann","n":"0x1"}]}]"#,
        );
        check(
            "- &a {x: 1}\n- &b {x: 2, y: 3}\n- {<<: [*a, *b], z: 4}\n",
            r#"[{"x":1},{"x":2,"y":3},{"z":4,"x":1,"y":3}]"#,
        );
        check("- &a x\n- *a\n", r#"["x","x"]"#);
    }

    #[test]
    fn places_are_places_in_the_file() {
        let node = parse("r.sql", &block("title: é\nlist:\n  - {a: 1, bc: two}\n")).unwrap().0;
        let Yaml::Map(entries) = &node.value else { panic!() };
        assert_eq!(entries[0].span, Span::new(10, 1, 5));
        assert_eq!(entries[0].value.span, Span::new(10, 8, 1));
        let Yaml::List(items) = &entries[1].value.value else { panic!() };
        let Yaml::Map(inner) = &items[0].value else { panic!() };
        assert_eq!(inner[1].span, Span::new(12, 12, 2));
        assert_eq!(inner[1].value.span, Span::new(12, 16, 3));
    }

    #[test]
    fn alias_bombs_are_refused() {
        let mut yaml = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for i in 1..12 {
            let items = vec![format!("*a{}", i - 1); 10].join(", ");
            yaml.push_str(&format!("a{i}: &a{i} [{items}]\n"));
        }
        let error = parse("r.sql", &block(&yaml)).unwrap_err();
        assert_eq!(error.code, "R001");
        assert!(error.primary.contains("aliases"), "{error:?}");
        let deep = format!("{}x{}", "[".repeat(5000), "]".repeat(5000));
        assert_eq!(parse("r.sql", &block(&deep)).unwrap_err().code, "R001");
    }

    #[test]
    fn keys_given_twice_are_found_wherever_they_are() {
        let yaml = "a: 1\nb: [{c: 1, d: &x {e: 1, e: 2}, c: 2}]\nf: *x\ng: {<<: *x, e: 3}\na: 2\n";
        let twice = parse("r.sql", &block(yaml)).unwrap().1;
        let mut places: Vec<_> = twice.iter().filter_map(|d| d.span).collect();
        places.sort();
        places.dedup();
        let expect = [Span::new(11, 25, 1), Span::new(11, 32, 1), Span::new(14, 1, 1)];
        assert_eq!(places, expect);
    }

    #[test]
    fn one_document_of_plain_values() {
        for bad in ["a: 1\n---\nb: 2\n", "a: 1\n...\nb: 2\n", "a: !!binary x\n", "? [a]\n: b\n"] {
            assert_eq!(parse("r.sql", &block(bad)).err().map(|d| d.code), Some("R001"), "{bad}");
        }
        check("a: !!str 5\nb: !custom x\n", r#"{"a":"5","b":"x"}"#);
    }

    #[test]
    fn broken_yaml_names_the_line_of_the_file() {
        let error = parse("r.sql", &block("id: a\ntitle: [x\nseverity: high\n")).unwrap_err();
        assert_eq!(error.code, "R001");
        assert!(error.span.is_some_and(|s| (11..=13).contains(&s.line)), "{error:?}");
        let error = parse("r.sql", &block("a: 1\nb: *nowhere\n")).unwrap_err();
        assert_eq!(error.span.map(|s| s.line), Some(11), "{error:?}");
    }
}
