//! The page of the shipped mappings: which column each fills, from which fields of the record. Written
//! with `UPDATE_EXPECT=1`, compared without.
#![allow(clippy::string_slice, reason = "the mapping files are ASCII, and are ours")]

use std::{collections::BTreeSet, fmt::Write as _, path::Path};

use sluice_event::{WireSchema, WireType};
use sluice_ingest::{Envelopes, builtin_mappings};
use sluice_rule::Mapping;

/// Every dotted path of a wire record.
fn paths(wire: &WireSchema) -> Vec<String> {
    fn walk(prefix: &str, columns: &[(String, WireType)], out: &mut Vec<String>) {
        for (name, kind) in columns {
            let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            match kind {
                WireType::Struct(inner) => walk(&path, inner, out),
                _ => out.push(path),
            }
        }
    }
    let mut out = Vec::new();
    walk("", &wire.columns, &mut out);
    out
}

/// The outputs of a SELECT as (column, expression): split at commas outside brackets and texts.
fn outputs(sql: &str) -> Vec<(String, String)> {
    let text: String =
        sql.lines().map(|l| l.split("-- ").next().unwrap_or(l)).collect::<Vec<_>>().join(" ");
    let select = text.find("SELECT").unwrap() + "SELECT".len();
    let body = &text[select..text.rfind(" FROM ").unwrap()];
    let (mut depth, mut quote, mut start, mut parts) = (0, None, 0, Vec::new());
    for (at, c) in body.char_indices() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '(' | '[') => depth += 1,
            (None, ')' | ']') => depth -= 1,
            (None, ',') if depth == 0 => {
                parts.push(&body[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&body[start..]);
    parts
        .into_iter()
        .map(|part| {
            // A field may go by its own name.
            let (expression, column) = part.rsplit_once(" AS ").unwrap_or((part, part));
            (column.trim().trim_matches('"').to_owned(), expression.trim().to_owned())
        })
        .collect()
}

/// The fields an expression reads, by whole words; a field inside JSON by its path.
fn reads(expression: &str, paths: &[String]) -> Vec<String> {
    let bare = expression.replace('"', "");
    let word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    let mut found = BTreeSet::new();
    for path in paths {
        // A list is read by its name, its elements below it.
        let mut from = 0;
        while let Some(at) = bare[from..].find(path.as_str()) {
            let (start, end) = (from + at, from + at + path.len());
            let before = start.checked_sub(1).map(|i| bare.as_bytes()[i]);
            let after = bare.as_bytes().get(end).copied();
            let quoted = before == Some(b'\'');
            if !before.is_some_and(word) && !after.is_some_and(word) && !quoted {
                found.insert(path.clone());
            }
            from = end;
        }
    }
    found.into_iter().collect()
}

fn page() -> String {
    let mut out = String::from(
        "# Shipped mappings\n\nWhich column each mapping fills, and from which fields of the record. \
         Written from the mapping files by `UPDATE_EXPECT=1 cargo test -p sluice-ingest page`; a test \
         holds it to them.\nWhat a record does not say is NULL, and an outcome `Unknown`. A column \
         without a field is a constant of the mapping. Columns every row gets (`source`, `tenant`, ids, \
         `user_entity`, `ips` ..) are not listed.\n",
    );
    for (path, text) in builtin_mappings() {
        let (mapping, _) = Mapping::parse(&path, &path, &text).unwrap();
        let paths = paths(&mapping.columns);
        writeln!(
            out,
            "\n## {}\n\n{}. Table `{}`, codec `{}`.",
            mapping.id, mapping.title, mapping.to, mapping.codec
        )
        .unwrap();
        if !mapping.references.is_empty() {
            let links: Vec<String> = mapping.references.iter().map(|r| format!("<{r}>")).collect();
            writeln!(out, "The vendor's document: {}.", links.join(", ")).unwrap();
        }
        writeln!(out, "\n| column | from |\n|---|---|").unwrap();
        for (column, expression) in outputs(&mapping.file.sql) {
            let from: Vec<String> =
                reads(&expression, &paths).iter().map(|p| format!("`{p}`")).collect();
            writeln!(out, "| `{column}` | {} |", from.join(", ")).unwrap();
        }
    }
    out.push_str("\n## Envelopes\n\nWrappers that shippers put around records, in `ingest/envelopes/`. They are tried on whatever is no record of its source, six deep at most; `skip` is a record that is no event, and is counted; `refuse` is a format that is known and not read: a dead letter that says how to convert it. The rows of a CSV export whose header has the names of an envelope are its objects.\n\n| id | what | columns it fills | document |\n|---|---|---|---|\n");
    let envelopes = Envelopes::builtin().unwrap();
    let mut all: Vec<_> = envelopes.iter().collect();
    all.sort_by(|a, b| a.id.cmp(&b.id));
    for envelope in all {
        let fields: BTreeSet<&str> =
            envelope.tests.iter().flat_map(|t| t.fields.keys()).map(String::as_str).collect();
        let skip = envelope.tests[0].payloads.first().and_then(|p| p.strip_prefix("skipped: "));
        let refuse = envelope.tests[0].payloads.first().and_then(|p| p.strip_prefix("refused: "));
        let what =
            match skip.map(|s| format!("skip: {s}")).or(refuse.map(|r| format!("refuse: {r}"))) {
                Some(what) => what,
                None => fields.into_iter().map(|f| format!("`{f}`")).collect::<Vec<_>>().join(", "),
            };
        let links: Vec<String> = envelope.references.iter().map(|r| format!("<{r}>")).collect();
        writeln!(out, "| `{}` | {} | {what} | {} |", envelope.id, envelope.title, links.join(", "))
            .unwrap();
    }
    out
}

#[test]
fn the_page_of_the_mappings_is_what_the_files_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("mappings/README.md");
    let made = page();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == made, "ingest/mappings/README.md is behind: run with UPDATE_EXPECT=1");
    assert!(made.matches("\n| `").count() > 200, "{} columns", made.matches("\n| `").count());
}
