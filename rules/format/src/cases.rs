//! The tests block of a rule or mapping: cases of events and what must come of them. Reads them and
//! lays repeated events out in order; running them is for others.

use std::collections::BTreeMap;

use serde_json::Value;
use sluice_event::{Schema, TableName};

use crate::{
    Diagnostic, Form, Span, SqlFile, TEST_BASE, closed_values,
    fields::{Fields, Reader},
    front,
    lookup::{LookupKey, read_key},
    parse_duration, resolve_time,
    token::{self, OutputColumn},
    yaml::{Entry, Node, Yaml},
};

/// The most events a case may have once repeated ones are laid out.
const EVENTS_MAX: usize = 100_000;

/// Columns of a finding with a meaning of their own, whether selected or not.
const FINDING_COLUMNS: [&str; 5] = ["title", "severity", "risk", "dedup_key", "state"];

/// A row of column values. Texts that are times or offsets stay text: [`resolve_time`].
pub type Row = BTreeMap<String, Value>;

/// A case of a rule: events in order of arrival, and the net findings after the last.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleTest {
    /// What it shows.
    pub name: String,
    /// In order of arrival, which need not be the order of time.
    pub events: Vec<TestEvent>,
    /// A file of further events, NDJSON or YAML, below `testdata/rules/`.
    pub events_file: Option<String>,
    /// The findings as a multiset, each a subset of its columns; empty: must be quiet.
    pub expect: Vec<Row>,
    /// How many findings are left after suppression.
    pub alerts: Option<u64>,
    /// Whether the watermark passes everything after the last event.
    pub flush: bool,
    /// Where the history of every table starts, milliseconds; `None` is before everything.
    pub history_start: Option<i64>,
    /// Whether the order of arrival matters, so that the events may not be shuffled.
    pub ordered: bool,
    /// Time settings other than those of the source.
    pub config: TestConfig,
    /// The lookups it has, by name, in place of those that are loaded.
    pub lookups: BTreeMap<String, TestLookup>,
    /// Values of `surprise`, as written.
    pub baseline: Option<Value>,
    /// The line of the case.
    pub line: usize,
}

/// Rows of `lookup.<name>`: a list, or `{key: user, match: ignore_case, rows: [..]}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TestLookup {
    /// The key, where it is not that of the loaded lookup.
    pub key: LookupKey,
    /// The rows.
    pub rows: Vec<Row>,
}

/// Settings of one case; milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TestConfig {
    /// How late a row may be.
    pub lateness: Option<i64>,
    /// How far the watermark stands behind.
    pub delay: Option<i64>,
}

/// An event of a case: a row of a table, or a raw record that a mapping turns into rows.
#[derive(Clone, Debug, PartialEq)]
pub struct TestEvent {
    /// When it happened, milliseconds since 1970 UTC. A raw record says so itself; then this is
    /// when it was received, if given.
    pub t: Option<i64>,
    /// The table; `None` for a raw record.
    pub table: Option<TableName>,
    /// The columns that are not NULL.
    pub columns: Row,
    /// The record as it arrives.
    pub raw: Option<String>,
    /// The mapping source of `raw`.
    pub source: Option<String>,
    /// Whether the engine is stopped and restored from its checkpoint after this event.
    pub checkpoint: bool,
    /// The line of the event.
    pub line: usize,
}

/// A case of a mapping: records, and the rows or the dead letter they become.
#[derive(Clone, Debug, PartialEq)]
pub struct MappingTest {
    /// What it shows.
    pub name: String,
    /// The records as they arrive.
    pub records: Vec<String>,
    /// The rows in order, each a subset of its columns, `table` among them if it is given; `null`
    /// for a column that must be NULL; empty: no row.
    pub expect: Vec<Row>,
    /// The code of the dead letter each record must become instead.
    pub dead_letter: Option<String>,
    /// When the records are received, milliseconds; matters for times without a year.
    pub received_at: i64,
    /// The line of the case.
    pub line: usize,
}

/// The cases of a rule file.
pub(crate) fn rule_tests(
    reader: &mut Reader<'_>,
    file: &SqlFile,
    output: Option<&[OutputColumn]>,
) -> Vec<RuleTest> {
    let keys = [
        "name",
        "events",
        "events_file",
        "expect",
        "alerts",
        "flush",
        "history_start",
        "ordered",
        "config",
        "lookups",
        "baseline",
    ];
    cases(reader, file, |reader, node, entries| {
        let fields = reader.keys(entries, "a case", &keys);
        let name = name(reader, &fields, node);
        let events_file = fields.get("events_file").and_then(|n| reader.text(n, "events_file"));
        let laid_out = fields.get("events").map(|n| events(reader, n));
        let events = laid_out.unwrap_or_default();
        if events.is_empty() && events_file.is_none() && fields.get("events").is_none() {
            reader.require(&fields, "events", node.span, "events: [{t: +0s, table: .., ..}]");
        }
        let expect = reader
            .require(&fields, "expect", node.span, "expect: [{column: value}], or `expect: []`")
            .and_then(|n| reader.list(n, "expect"))
            .unwrap_or_default();
        for node in expect {
            expected_finding(reader, node, output);
        }
        let expect = expect.iter().filter_map(|n| row(reader, n, "expect")).collect();
        let alerts = fields.get("alerts").and_then(|n| reader.integer(n, "alerts"));
        let test = RuleTest {
            events,
            events_file,
            expect,
            alerts: alerts.and_then(|a| u64::try_from(a).ok()),
            flush: fields.get("flush").and_then(|n| reader.boolean(n, "flush")).unwrap_or(true),
            history_start: fields
                .get("history_start")
                .and_then(|n| time(reader, n, "history_start")),
            ordered: fields
                .get("ordered")
                .and_then(|n| reader.boolean(n, "ordered"))
                .unwrap_or_default(),
            config: fields.get("config").map(|n| config(reader, n)).unwrap_or_default(),
            lookups: fields.get("lookups").map(|n| lookups(reader, n)).unwrap_or_default(),
            baseline: fields.get("baseline").map(Node::json),
            line: node.span.line as usize,
            name: name?,
        };
        Some(test)
    })
}

/// The cases of a mapping file.
pub(crate) fn mapping_tests(
    reader: &mut Reader<'_>,
    file: &SqlFile,
    to: Option<&TableName>,
) -> Vec<MappingTest> {
    let keys = ["name", "raw", "records", "expect", "dead_letter", "received_at"];
    cases(reader, file, |reader, node, entries| {
        let fields = reader.keys(entries, "a case", &keys);
        let name = name(reader, &fields, node);
        let mut records = Vec::new();
        match (fields.get("raw"), fields.get("records")) {
            (Some(node), None) => records.extend(record(reader, node, "raw")),
            (None, Some(node)) => {
                for node in reader.list(node, "records").unwrap_or_default() {
                    records.extend(record(reader, node, "records"));
                }
            }
            (Some(_), Some(node)) => {
                reader.bad(node.span, "`raw` and `records` in one case", "keep one of them");
            }
            (None, None) => {
                reader.require(&fields, "raw", node.span, "raw: '<the record as it arrives>'");
            }
        }
        let dead_letter = fields.get("dead_letter").and_then(|n| reader.text(n, "dead_letter"));
        let expect = match fields.get("expect") {
            Some(node) => reader.list(node, "expect").unwrap_or_default(),
            None if dead_letter.is_some() => &[],
            None => {
                let hint = "expect: [{column: value}], or `dead_letter: <code>`";
                reader.require(&fields, "expect", node.span, hint);
                &[]
            }
        };
        let expect = expect.iter().filter_map(|n| expected_row(reader, n, to)).collect();
        let received_at = fields.get("received_at").and_then(|n| time(reader, n, "received_at"));
        let received_at = received_at.unwrap_or(TEST_BASE);
        Some(MappingTest {
            name: name?,
            records,
            expect,
            dead_letter,
            received_at,
            line: node.span.line as usize,
        })
    })
}

/// The events of a case, repeated ones laid out.
pub(crate) fn events(reader: &mut Reader<'_>, node: &Node) -> Vec<TestEvent> {
    let mut events = Vec::new();
    for node in reader.list(node, "events").unwrap_or_default() {
        event(reader, node, &mut events);
        if events.len() > EVENTS_MAX {
            reader.bad(
                node.span,
                format!("the case has more than {EVENTS_MAX} events"),
                "fewer repeats, or a shorter window with the same meaning",
            );
            break;
        }
    }
    events
}

pub(crate) fn cases<T>(
    reader: &mut Reader<'_>,
    file: &SqlFile,
    mut read: impl FnMut(&mut Reader<'_>, &Node, &[Entry]) -> Option<T>,
) -> Vec<T> {
    let Some(block) = &file.tests else { return Vec::new() };
    let Some(node) = front::read_block(reader, block) else { return Vec::new() };
    if matches!(node.value, Yaml::Null) {
        return Vec::new();
    }
    let mut tests = Vec::new();
    for node in reader.list(&node, "tests").unwrap_or_default() {
        if let Some(entries) = reader.map(node, "a case") {
            tests.extend(read(reader, node, entries));
        }
    }
    tests
}

pub(crate) fn name(reader: &mut Reader<'_>, fields: &Fields<'_>, node: &Node) -> Option<String> {
    let hint = "name: <what the case shows>";
    let node = reader.require(fields, "name", node.span, hint)?;
    reader.text(node, "name")
}

pub(crate) fn time(reader: &mut Reader<'_>, node: &Node, key: &str) -> Option<i64> {
    let text = reader.text(node, key)?;
    let time = resolve_time(&text);
    if time.is_none() {
        reader.bad(
            node.span,
            format!("`{text}` is not a time"),
            "an offset from 2026-01-01T00:00:00Z (`+9m`, `-5s`) or an RFC 3339 time",
        );
    }
    time
}

/// Reads an event and lays out its copies.
fn event(reader: &mut Reader<'_>, node: &Node, events: &mut Vec<TestEvent>) {
    let Some(entries) = reader.map(node, "an event") else { return };
    let find = |key: &str| entries.iter().find(|e| e.key == key).map(|e| &e.value);
    let table = find("table").and_then(|n| reader.text(n, "table"));
    let raw = find("raw").and_then(|n| record(reader, n, "raw"));
    let source = find("source").and_then(|n| reader.text(n, "source"));
    if raw.is_some() {
        // A raw record has no columns: its mapping makes them.
        reader.keys(
            entries,
            "a raw event",
            &["t", "raw", "source", "repeat", "every", "checkpoint"],
        );
        if source.is_none() {
            reader.push(
                Diagnostic::error("R003", reader.path, "`source` is missing")
                    .at(node.span)
                    .hint("the mapping source of the raw record: `source: okta.system`"),
            );
        }
    } else if table.is_none() && find("checkpoint").is_none() {
        reader.push(
            Diagnostic::error("R003", reader.path, "`table` is missing").at(node.span).hint(
                "an event is a row (`table: authentication`) or a record (`raw:`, `source:`)",
            ),
        );
    }
    let t = match (find("t"), find("time")) {
        (Some(node), _) => time(reader, node, "t"),
        (None, Some(node)) => time(reader, node, "time"),
        (None, None) if raw.is_some() || table.is_none() => None,
        (None, None) => {
            reader.push(
                Diagnostic::error("R003", reader.path, "`t` is missing")
                    .at(node.span)
                    .hint("when the event happened: an offset (`t: +0s`) or an RFC 3339 time"),
            );
            None
        }
    };
    let repeat = find("repeat").and_then(|n| {
        let repeat = reader.integer(n, "repeat")?;
        let valid = usize::try_from(repeat).ok().filter(|r| (1..=EVENTS_MAX).contains(r));
        if valid.is_none() {
            reader.bad(n.span, format!("`repeat: {repeat}`"), format!("1 to {EVENTS_MAX}"));
        }
        valid
    });
    let every = find("every").and_then(|n| {
        let text = reader.text(n, "every")?;
        let signed = text.strip_prefix('-').map(|t| parse_duration(t).map(|d| -d));
        let every = signed.unwrap_or_else(|| parse_duration(&text));
        if every.is_none() {
            reader.bad(n.span, format!("`{text}` is not a duration"), "`60s`, `15m`");
        }
        every
    });
    let own = ["t", "table", "raw", "repeat", "every", "checkpoint"];
    let columns: Row = entries
        .iter()
        .filter(|e| raw.is_none() && !own.contains(&e.key.as_str()))
        .map(|e| (e.key.clone(), e.value.json()))
        .filter(|(_, value)| !value.is_null())
        .collect();
    if let (Some(name), None) = (&table, &raw) {
        let span = find("table").map_or(node.span, |n| n.span);
        let columns = || entries.iter().filter(|e| !own.contains(&e.key.as_str()));
        known_columns(reader, name, span, columns());
        columns().for_each(|entry| possible_value(reader, name, entry));
    }
    let first = TestEvent {
        t,
        table: table.filter(|_| raw.is_none()).map(|t| TableName::new(&t)),
        columns,
        source: source.filter(|_| raw.is_some()),
        raw,
        checkpoint: find("checkpoint")
            .and_then(|n| reader.boolean(n, "checkpoint"))
            .unwrap_or_default(),
        line: node.span.line as usize,
    };
    for copy in 0..repeat.unwrap_or(1) {
        let shift = every.unwrap_or(0).checked_mul(copy as i64);
        let t = first.t.and_then(|t| t.checked_add(shift?));
        events.push(TestEvent { t, ..first.clone() });
    }
}

/// A record as text; a map is written as JSON.
fn record(reader: &mut Reader<'_>, node: &Node, key: &str) -> Option<String> {
    match &node.value {
        Yaml::Text(text) => Some(text.clone()),
        Yaml::Map(_) => Some(node.json().to_string()),
        _ => reader.text(node, key),
    }
}

fn row(reader: &mut Reader<'_>, node: &Node, key: &str) -> Option<Row> {
    let entries = reader.map(node, key)?;
    Some(entries.iter().map(|e| (e.key.clone(), e.value.json())).collect())
}

/// R011 for a column the SELECT is known not to return.
fn expected_finding(reader: &mut Reader<'_>, node: &Node, output: Option<&[OutputColumn]>) {
    let (Some(output), Yaml::Map(entries)) = (output, &node.value) else { return };
    let names = || output.iter().map(|c| c.name.as_str());
    let known = |column: &str| {
        names().any(|n| n == column)
            || token::ENGINE_COLUMNS.contains(&column)
            || FINDING_COLUMNS.contains(&column)
    };
    for entry in entries.iter().filter(|e| !known(&e.key)) {
        let primary = format!("the case expects `{}`, which the SELECT does not return", entry.key);
        reader.push(
            Diagnostic::error("R011", reader.path, primary)
                .at(entry.span)
                .did_you_mean(&entry.key, names())
                .hint(format!("it returns {}", names().collect::<Vec<_>>().join(", "))),
        );
    }
}

fn expected_row(reader: &mut Reader<'_>, node: &Node, to: Option<&TableName>) -> Option<Row> {
    let columns = row(reader, node, "expect")?;
    let named = columns.get("table").and_then(Value::as_str);
    if let (Some(table), Yaml::Map(entries)) = (named.or(to.map(TableName::as_str)), &node.value) {
        let entries =
            entries.iter().filter(|e| e.key != "table" && !e.key.starts_with("unmapped."));
        known_columns(reader, table, node.span, entries);
    }
    Some(columns)
}

/// R011 for a table that is not in the schema, or columns it does not have. Tables whose columns are
/// declared elsewhere (`raw.`, `lookup.`, ..) are not looked at.
fn known_columns<'n>(
    reader: &mut Reader<'_>,
    name: &str,
    span: Span,
    entries: impl Iterator<Item = &'n Entry>,
) {
    if name.contains('.') || name == "events" {
        return;
    }
    let tables = || Schema::all().filter(|t| !t.rules.fields().is_empty());
    let Some(table) = tables().find(|t| t.name.as_str() == name) else {
        let tables: Vec<&str> = tables().map(|t| t.name.as_str()).collect();
        reader.push(
            Diagnostic::error("R011", reader.path, format!("no table `{name}`"))
                .at(span)
                .did_you_mean(name, tables.iter().copied())
                .hint(format!("the tables are {}", tables.join(", "))),
        );
        return;
    };
    let has = |name: &str| table.columns.iter().any(|c| c.name == name && !c.hunts_only);
    for entry in entries.filter(|e| !has(&e.key)) {
        reader.push(
            Diagnostic::error(
                "R011",
                reader.path,
                format!("no column `{}` in `{name}`", entry.key),
            )
            .at(entry.span)
            .did_you_mean(
                &entry.key,
                table.columns.iter().filter(|c| !c.hunts_only).map(|c| c.name),
            )
            .hint(format!("`sluice schema {name}` lists all")),
        );
    }
}

/// R034 for a value that no row has in this column: an event of a case obeys the schema like any
/// other, or the case would pass for a rule that never fires.
fn possible_value(reader: &mut Reader<'_>, table: &str, entry: &Entry) {
    let Some(table) = Schema::any(table) else { return };
    let Some(column) = table.index(&entry.key).and_then(|i| table.columns.get(i)) else { return };
    let texts: Vec<(&str, Span)> = match &entry.value.value {
        Yaml::Text(text) => vec![(text, entry.value.span)],
        Yaml::List(items) => items
            .iter()
            .filter_map(|item| match &item.value {
                Yaml::Text(text) => Some((text.as_str(), item.span)),
                _ => None,
            })
            .collect(),
        _ => return,
    };
    for (text, span) in texts {
        let never = format!("`{}` is never '{text}'", entry.key);
        let never = Diagnostic::error("R034", reader.path, never).at(span);
        let values = closed_values(column);
        if !values.is_empty() && !values.contains(&text) {
            let listed = values.join(", ");
            reader.push(
                never
                    .did_you_mean(text, values.iter().copied())
                    .hint(format!("the schema lists {listed}")),
            );
        } else if let Some(form) = Form::of(column.name).filter(|_| !table.name.is_findings())
            && form.canonical(text) != text
        {
            let canonical = form.canonical(text);
            reader.push(
                never
                    .detail(format!("the column holds {}", form.describe()))
                    .hint(format!("{}: {canonical}", entry.key)),
            );
        }
    }
}

fn config(reader: &mut Reader<'_>, node: &Node) -> TestConfig {
    let Some(entries) = reader.map(node, "config") else { return TestConfig::default() };
    let fields = reader.keys(entries, "`config`", &["lateness", "delay"]);
    TestConfig {
        lateness: fields.get("lateness").and_then(|n| reader.duration(n, "lateness")),
        delay: fields.get("delay").and_then(|n| reader.duration(n, "delay")),
    }
}

fn lookups(reader: &mut Reader<'_>, node: &Node) -> BTreeMap<String, TestLookup> {
    let mut lookups = BTreeMap::new();
    for entry in reader.map(node, "lookups").unwrap_or_default() {
        let mut lookup = TestLookup::default();
        let mut rows = &entry.value;
        if let Yaml::Map(entries) = &entry.value.value {
            let fields = reader.keys(entries, "a lookup", &["key", "match", "rows"]);
            lookup.key = read_key(reader, &fields);
            let hint = "rows: [{user: ann}]";
            let Some(node) = reader.require(&fields, "rows", entry.span, hint) else { continue };
            rows = node;
        }
        let rows = reader.list(rows, "lookups").unwrap_or_default();
        lookup.rows = rows.iter().filter_map(|n| row(reader, n, "lookups")).collect();
        lookups.insert(entry.key.clone(), lookup);
    }
    lookups
}
