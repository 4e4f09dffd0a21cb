//! A lookup: what somebody knows of users, hosts, networks or indicators, as a CSV or JSON file, with a
//! YAML file of the same name beside it that declares the key. Not how a key is found: that is
//! the SQL compiler's.
//!
//! ```text
//! lookups/vip.csv                        lookups/vip.yaml
//! user,tier                              key: user
//! ann@example.com,gold                   match: ignore_case
//! ```
//!
//! Without the YAML file the first column of a CSV file is the key and a value is found as it is
//! written. An empty cell of CSV and `null` of JSON are NULL; numbers, lists and objects of JSON are
//! kept as their JSON text.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::Value;

use crate::{
    Block, Diagnostic, Span,
    fields::{Fields, Reader},
    front,
};

/// The largest file that is read, bytes.
pub const MAX_LOOKUP_BYTES: u64 = 64 << 20;

/// How a value is held against the keys of a lookup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum KeyMatch {
    /// As it is written.
    #[default]
    Exact,
    /// Whatever the letter case.
    IgnoreCase,
    /// A name ends with the key, whatever the letter case: `a.example.com` is found by `example.com`,
    /// `notexample.com` is not. The longest key wins.
    Suffix,
    /// An address is in the network that is the key. The longest prefix wins.
    Cidr,
}

impl KeyMatch {
    const WORDS: [(&'static str, KeyMatch); 4] = [
        ("exact", KeyMatch::Exact),
        ("ignore_case", KeyMatch::IgnoreCase),
        ("suffix", KeyMatch::Suffix),
        ("cidr", KeyMatch::Cidr),
    ];
}

/// The rows of a lookup and how they are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookupTable {
    /// The name, `vip` in `lookup.vip`.
    pub name: String,
    /// The columns, in the order of the file.
    pub columns: Vec<String>,
    /// Which column is the key.
    pub key: usize,
    /// How a value is held against it.
    pub matching: KeyMatch,
    /// The values, one per column; `None` is NULL.
    pub rows: Vec<Vec<Option<Arc<str>>>>,
    /// The first twelve hex digits of a hash of the files.
    pub version: Arc<str>,
}

/// The text of a file and its path, for messages.
#[derive(Clone, Copy, Debug)]
pub struct LookupText<'a> {
    /// The path.
    pub path: &'a str,
    /// What is in it.
    pub text: &'a str,
}

/// What the YAML file declares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LookupKey {
    /// The column that is the key.
    pub column: Option<String>,
    /// How a value is held against it.
    pub matching: KeyMatch,
}

impl LookupTable {
    /// Reads a `.csv` or `.json` file, and the YAML file beside it if there is one.
    ///
    /// # Errors
    /// R004 for a name that cannot stand in SQL, R009 for what is no CSV or JSON, a column named twice
    /// or a row of another width, R011 for a key that is no column.
    pub fn parse(
        name: &str,
        file: LookupText<'_>,
        declaration: Option<LookupText<'_>>,
    ) -> Result<LookupTable, Vec<Diagnostic>> {
        let one = |d: Diagnostic| vec![d];
        if !is_name(name) {
            let text = format!("`{name}` cannot be the name of a lookup");
            return Err(one(Diagnostic::error("R004", file.path, text).hint(
                "lower-case letters, digits and `_`: the file's name is that in lookup.<name>",
            )));
        }
        let key = declaration.map(declared).transpose()?.unwrap_or_default();
        let is_json = file.path.ends_with(".json");
        let (columns, rows) = if is_json { json(file) } else { csv(file) }.map_err(one)?;
        let path = declaration.map_or(file.path, |d| d.path);
        let at = key_column(&columns, key.column.as_deref(), is_json, path).map_err(one)?;
        let mut hash = blake3::Hasher::new();
        hash.update(declaration.map_or("", |d| d.text).as_bytes());
        hash.update(b"\0").update(file.text.as_bytes());
        let version: String = hash.finalize().to_hex().chars().take(12).collect();
        Ok(LookupTable {
            name: name.to_owned(),
            columns,
            key: at,
            matching: key.matching,
            rows,
            version: version.into(),
        })
    }

    /// A lookup without rows.
    pub fn empty(name: &str, columns: &[&str], matching: KeyMatch) -> LookupTable {
        LookupTable {
            name: name.to_owned(),
            columns: columns.iter().map(|c| (*c).to_owned()).collect(),
            key: 0,
            matching,
            rows: Vec::new(),
            version: "empty".into(),
        }
    }

    /// The rows of a test case. `like` is the lookup they stand for, if one is loaded.
    ///
    /// # Errors
    /// That the key is not known.
    pub fn of_case(
        name: &str,
        rows: &[BTreeMap<String, Value>],
        key: &LookupKey,
        like: Option<&LookupTable>,
    ) -> Result<LookupTable, String> {
        let named: BTreeSet<&str> = rows.iter().flatten().map(|(c, _)| c.as_str()).collect();
        let mut columns: Vec<String> = like.map(|l| l.columns.clone()).unwrap_or_default();
        columns.extend(
            named
                .iter()
                .filter(|c| like.is_none_or(|l| !l.columns.iter().any(|k| k == *c)))
                .map(|c| (*c).to_owned()),
        );
        let (column, matching) = match (&key.column, like) {
            (Some(column), _) => (Some(column.clone()), key.matching),
            (None, Some(like)) => (like.columns.get(like.key).cloned(), like.matching),
            (None, None) => (columns.first().filter(|_| columns.len() == 1).cloned(), key.matching),
        };
        let at = columns.iter().position(|c| Some(c) == column.as_ref()).ok_or_else(|| {
            format!(
                "lookup `{name}`: which column is the key? {{key: {}, rows: [..]}}",
                columns.first().map_or("user", String::as_str)
            )
        })?;
        let cell =
            |row: &BTreeMap<String, Value>, column: &String| row.get(column).and_then(text_of);
        let rows = rows.iter().map(|r| columns.iter().map(|c| cell(r, c)).collect()).collect();
        let (name, version) = (name.to_owned(), "test".into());
        Ok(LookupTable { name, columns, key: at, matching, rows, version })
    }

    /// The place of a column.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c == name)
    }
}

/// Reads `key` and `match` of a map.
pub(crate) fn read_key(reader: &mut Reader<'_>, fields: &Fields<'_>) -> LookupKey {
    LookupKey {
        column: fields.get("key").and_then(|n| reader.text(n, "key")),
        matching: fields
            .get("match")
            .and_then(|n| reader.word(n, "match", &KeyMatch::WORDS))
            .unwrap_or_default(),
    }
}

fn declared(file: LookupText<'_>) -> Result<LookupKey, Vec<Diagnostic>> {
    let mut reader = Reader::new(file.path);
    let block = Block { yaml: file.text.to_owned(), first_line: 1 };
    let mut key = LookupKey::default();
    if let Some(node) = front::read_block(&mut reader, &block)
        && let Some(entries) = reader.map(&node, "the file")
    {
        let fields = reader.keys(entries, "the declaration of a lookup", &["key", "match"]);
        let here = Span::new(1, 1, 1);
        reader.require(&fields, "key", here, "key: user");
        key = read_key(&mut reader, &fields);
    }
    if reader.found.iter().any(Diagnostic::is_error) { Err(reader.found) } else { Ok(key) }
}

type Rows = Vec<Vec<Option<Arc<str>>>>;

fn csv(file: LookupText<'_>) -> Result<(Vec<String>, Rows), Diagnostic> {
    let text = file.text.strip_prefix('\u{feff}').unwrap_or(file.text);
    let wrong = |error: csv::Error| {
        let line = error.position().map_or(1, |p| p.line());
        Diagnostic::error("R009", file.path, format!("no CSV: {error}"))
            .at(Span::new(line as u32, 1, 1))
            .hint("a header line, then rows of as many cells, commas between them")
    };
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let columns: Vec<String> = reader.headers().map_err(wrong)?.iter().map(str::to_owned).collect();
    distinct(&columns, file.path)?;
    let mut rows = Rows::new();
    for record in reader.into_records() {
        let record = record.map_err(wrong)?;
        rows.push(record.iter().map(|cell| (!cell.is_empty()).then(|| cell.into())).collect());
    }
    Ok((columns, rows))
}

fn json(file: LookupText<'_>) -> Result<(Vec<String>, Rows), Diagnostic> {
    let wrong = |text: String| {
        Diagnostic::error("R009", file.path, text)
            .hint("[{\"user\": \"ann\", \"tier\": \"gold\"}, ..]")
    };
    let value: Value = serde_json::from_str(file.text).map_err(|error| {
        wrong(format!("no JSON: {error}")).at(Span::new(
            error.line() as u32,
            error.column() as u32,
            1,
        ))
    })?;
    let items = value.as_array().ok_or_else(|| wrong("not a list of objects".to_owned()))?;
    let mut objects = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        objects.push(
            item.as_object().ok_or_else(|| wrong(format!("element {} is no object", index + 1)))?,
        );
    }
    let names: BTreeSet<&String> = objects.iter().flat_map(|o| o.keys()).collect();
    let columns: Vec<String> = names.into_iter().cloned().collect();
    distinct(&columns, file.path)?;
    let rows = objects
        .iter()
        .map(|object| columns.iter().map(|c| object.get(c).and_then(text_of)).collect())
        .collect();
    Ok((columns, rows))
}

fn text_of(value: &Value) -> Option<Arc<str>> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.as_str().into()),
        other => Some(other.to_string().into()),
    }
}

/// A name of a lookup or of a column of one.
fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn distinct(columns: &[String], path: &str) -> Result<(), Diagnostic> {
    let mut seen = BTreeSet::new();
    for column in columns {
        let wrong = if !is_name(column) {
            format!("`{column}` cannot be the name of a column")
        } else if !seen.insert(column) {
            format!("two columns are named `{column}`")
        } else {
            continue;
        };
        return Err(Diagnostic::error("R009", path, wrong)
            .at(Span::new(1, 1, 1))
            .hint("lower-case letters, digits and `_`, each name once"));
    }
    Ok(())
}

fn key_column(
    columns: &[String],
    key: Option<&str>,
    is_json: bool,
    path: &str,
) -> Result<usize, Diagnostic> {
    let Some(key) = key else {
        // The members of a JSON object have no order.
        if is_json && columns.len() != 1 {
            return Err(Diagnostic::error(
                "R003",
                path,
                "the key of a JSON lookup is not declared",
            )
            .hint("a file of the same name beside it that ends in .yaml, with `key: user`"));
        }
        return Ok(0);
    };
    columns.iter().position(|c| c == key).ok_or_else(|| {
        Diagnostic::error("R011", path, format!("no column `{key}`"))
            .did_you_mean(key, columns.iter().map(String::as_str))
            .hint(format!("the columns are {}", columns.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(path: &str, text: &str, yaml: Option<&str>) -> Result<LookupTable, Vec<Diagnostic>> {
        let declaration = yaml.map(|text| LookupText { path: "vip.yaml", text });
        LookupTable::parse("vip", LookupText { path, text }, declaration)
    }

    #[test]
    fn csv_and_json_give_the_same_rows() {
        let yaml = Some("key: user\nmatch: ignore_case\n");
        let csv = parse("vip.csv", "tier,user\r\ngold,ann\n,\"bob, jr\"\n", yaml).unwrap();
        let json = r#"[{"user":"ann","tier":"gold"},{"user":"bob, jr","tier":null}]"#;
        let json = parse("vip.json", json, yaml).unwrap();
        assert_eq!((&csv.columns, &csv.rows, csv.key), (&json.columns, &json.rows, json.key));
        assert_eq!((csv.key, csv.matching), (1, KeyMatch::IgnoreCase));
        assert_ne!(csv.version, json.version);
        let other = parse("vip.csv", "tier,user\r\ngold,ann\n,\"bob, jr\"\n", Some("key: user"));
        assert_ne!(other.unwrap().version, csv.version, "how keys are found is part of it");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (path, text, yaml, says) in [
            ("vip.csv", "user,tier\nann\n", None, "no CSV"),
            ("vip.csv", "user,user\nann,a\n", None, "two columns are named `user`"),
            ("vip.csv", "User Name\nann\n", None, "cannot be the name of a column"),
            ("vip.json", "{\"user\":\"ann\"}", None, "not a list of objects"),
            ("vip.json", "[1]", None, "element 1 is no object"),
            ("vip.json", "[{\"a\":1,\"b\":2}]", None, "the key of a JSON lookup is not declared"),
            ("vip.csv", "user,tier\nann,a\n", Some("key: usr"), "no column `usr`"),
            (
                "vip.csv",
                "user,tier\nann,a\n",
                Some("key: user\nmatch: prefix"),
                "not a value of `match`",
            ),
            ("vip.csv", "user,tier\nann,a\n", Some("keys: user"), "unknown key `keys`"),
        ] {
            let found = parse(path, text, yaml).unwrap_err();
            assert!(found.iter().any(|d| d.primary.contains(says)), "{text}: {found:?}");
            assert!(found.iter().any(|d| d.hint.is_some() || d.detail.is_some()), "{found:?}");
        }
        let text = LookupText { path: "VIP.csv", text: "a\n" };
        assert_eq!(LookupTable::parse("VIP", text, None).unwrap_err()[0].code, "R004");
    }
}
