//! A mapping to begin with, from the first records of a log that no source knows. What it guesses is
//! marked; what it cannot know is left out.

use std::{collections::BTreeMap, fmt::Write as _};

use serde_json::Value;
use sluice_event::{TimeFormat, is_address};

use crate::{Framer, Framing, Limits, Unwrap, detect::ask::looks_json, time};

mod lines;

/// Records looked at.
const SAMPLE: usize = 200;
/// Columns beyond these are left out, with a word.
const COLUMNS_MAX: usize = 80;

/// The longest first record that becomes the test of the mapping, in bytes.
const RECORD_MAX: usize = 16 << 10;

/// A column that the name of a field suggests.
struct Guess {
    column: &'static str,
    /// Names of fields, the better first.
    names: &'static [&'static str],
    /// Whether its value must be an address.
    is_address: bool,
}

/// Only guesses by name: read the vendor's documentation before they are trusted.
const GUESSES: [Guess; 4] = [
    Guess {
        column: "user_name",
        names: &["user", "username", "actor", "login", "account", "email"],
        is_address: false,
    },
    Guess {
        column: "src_ip",
        names: &["sourceip", "src_ip", "clientip", "client_ip", "remote", "ip", "src", "addr"],
        is_address: true,
    },
    Guess {
        column: "api_operation",
        names: &["eventname", "action", "operation", "event", "type", "method"],
        is_address: false,
    },
    Guess {
        column: "native_uid",
        names: &["id", "uuid", "eventid", "requestid"],
        is_address: false,
    },
];

/// What is written into the frame of a mapping file.
#[derive(Default)]
struct Body {
    columns: String,
    guesses: String,
    /// The column or path of the time.
    time: Option<String>,
    /// What gives the time, if it is not that column.
    time_value: Option<String>,
    /// Keys that every record has.
    has: Vec<String>,
    /// A record for the test.
    record: String,
}

/// What a field was seen to be.
#[derive(Debug, Default)]
struct Seen {
    records: usize,
    texts: usize,
    times: usize,
    ints: usize,
    floats: usize,
    bools: usize,
    lists: usize,
    inner: BTreeMap<String, Seen>,
    example: String,
    addresses: usize,
}

/// The text of a mapping file for `source` (`acme.app`) and table `api_activity`, after the head of a
/// log; `None` if the head has no record that can be read.
pub fn sketch(source: &str, head: &[u8]) -> Option<String> {
    match looks_json(head) {
        true => json(source, head),
        false => Some(lines::lines(source, head)),
    }
}

fn json(source: &str, head: &[u8]) -> Option<String> {
    let mut framer = Framer::new(&Framing::Json(Unwrap::default()), Limits::default());
    framer.push(head);
    framer.finish();
    let framed = framer.take();
    let mut fields = BTreeMap::new();
    let mut records = 0;
    for record in framed.records.iter().take(SAMPLE) {
        let Ok(Value::Object(object)) = serde_json::from_slice(record) else { continue };
        records += 1;
        object.iter().for_each(|(name, value)| look(&mut fields, name, value));
    }
    if records == 0 {
        return None;
    }
    let time = best(
        &fields,
        &|s| s.times == s.records && s.records > 0,
        &["eventtime", "timestamp", "time", "published", "created", "date", "ts"],
    );
    let always = fields.iter().filter(|(_, s)| s.records == records).map(|(name, _)| name.clone());
    let always: Vec<String> = always.take(4).collect();
    let mut columns = String::new();
    let mut count = 0;
    write_columns(&mut columns, &fields, 1, &mut count);
    let mut guesses = String::new();
    for Guess { column, names, is_address } in GUESSES {
        let fits = |s: &Seen| s.texts > 0 && (!is_address || s.addresses > 0);
        if let Some(path) = best(&fields, &fits, names) {
            let expression = expression(&path);
            writeln!(guesses, "       {expression} AS {column},").ok()?;
        }
    }
    let first = framed.records.iter().find_map(|r| serde_json::from_slice::<Value>(r).ok());
    let record = first.map_or_else(String::new, |value| value.to_string());
    Some(file(
        source,
        "json",
        &Body { columns, guesses, time, has: always, record, ..Body::default() },
    ))
}

fn file(source: &str, codec: &str, body: &Body) -> String {
    let Body { columns, guesses, time, time_value, has, record } = body;
    let has: Vec<String> = has.iter().map(|key| yaml(key)).collect();
    let detect = match has.is_empty() {
        true => String::new(),
        false => format!("detect: {{has: [{}]}}\n", has.join(", ")),
    };
    let table = source.replace(['.', '-'], "_");
    let (time_key, time_column) = match time {
        Some(path) => (path.to_owned(), expression(path)),
        None => ("_timestamp".to_owned(), "_timestamp".to_owned()),
    };
    let time_column = time_value.as_ref().unwrap_or(&time_column);
    let extra = if time.is_none() { "  _timestamp: timestamp\n" } else { "" };
    // The end of a comment in SQL would end the tests.
    let raw = match record.len() <= RECORD_MAX {
        true => Value::from(record.as_str()).to_string().replace("*/", "*\\/"),
        false => "'CHANGE ME: a record as it arrives'".to_owned(),
    };
    format!(
        "/*---\nid: {source}.api_activity\ntitle: \"{source}: every event\"\nsource: {source}\n\
         to: api_activity\ncodec: {codec}\n{detect}columns:\n{columns}{extra}time: {}\n\
         vendor: CHANGE ME\nproduct: CHANGE ME\nreferences: [\"https://example.com/the-format\"]\n---*/\n\
         SELECT {time_column} AS time,\n       'Other' AS activity,\n       \
         -- Success or Failure only where the record says so.\n       'Unknown' AS status,\n       \
         -- What follows is guessed by the names of fields.\n\
         {guesses}       '{source}' AS api_service\nFROM {table}\n\
         /*--- tests\n- name: a first record\n  raw: {raw}\n  expect:\n    \
         - {{table: api_activity, status: Unknown}}\n---*/\n",
        yaml(&time_key)
    )
}

/// A key of the file, in quotes where it needs them.
fn yaml(key: &str) -> String {
    match key.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b)) {
        true => key.to_owned(),
        false => Value::from(key).to_string(),
    }
}

fn look(fields: &mut BTreeMap<String, Seen>, name: &str, value: &Value) {
    let seen = fields.entry(name.to_owned()).or_default();
    match value {
        Value::Null => return,
        Value::Bool(_) => seen.bools += 1,
        Value::Number(n) if n.is_i64() || n.is_u64() => {
            seen.ints += 1;
            // Seconds or milliseconds of this century, under a name that says so.
            let epoch = n
                .as_f64()
                .is_some_and(|n| (9.4e8..4.2e9).contains(&n) || (9.4e11..4.2e12).contains(&n));
            let name = name.to_lowercase();
            seen.times += usize::from(epoch && (name.contains("time") || name == "ts"));
        }
        Value::Number(_) => seen.floats += 1,
        Value::String(text) => {
            seen.texts += 1;
            seen.addresses += usize::from(is_address(text));
            seen.times += usize::from(time::parse(text, &[TimeFormat::Rfc3339], 0).is_some());
        }
        Value::Array(_) => seen.lists += 1,
        Value::Object(object) => {
            object.iter().for_each(|(name, value)| look(&mut seen.inner, name, value));
        }
    }
    seen.records += 1;
    if seen.example.is_empty() {
        seen.example = value.to_string().chars().take(40).collect();
    }
}

/// The path of the field that fits best by its name: the names in their order, then any.
fn best(
    fields: &BTreeMap<String, Seen>,
    fits: &dyn Fn(&Seen) -> bool,
    names: &[&str],
) -> Option<String> {
    let mut paths = Vec::new();
    leaves(fields, "", &mut paths);
    let last = |path: &str| path.rsplit('.').next().unwrap_or(path).to_lowercase();
    names.iter().find_map(|name| {
        let exact = paths.iter().find(|(path, seen)| fits(seen) && last(path) == *name);
        exact
            .or_else(|| paths.iter().find(|(path, seen)| fits(seen) && last(path).contains(name)))
            .map(|(path, _)| path.clone())
    })
}

fn leaves<'s>(fields: &'s BTreeMap<String, Seen>, prefix: &str, out: &mut Vec<(String, &'s Seen)>) {
    for (name, seen) in fields {
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match seen.inner.is_empty() {
            true => out.push((path, seen)),
            false => leaves(&seen.inner, &path, out),
        }
    }
}

fn write_columns(
    out: &mut String,
    fields: &BTreeMap<String, Seen>,
    level: usize,
    count: &mut usize,
) {
    let indent = "  ".repeat(level);
    for (name, seen) in fields {
        *count += 1;
        if *count > COLUMNS_MAX {
            out.push_str(&format!(
                "{indent}# and further fields, of which none is declared here\n"
            ));
            return;
        }
        let key = match name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') {
            true => name.clone(),
            false => Value::from(name.as_str()).to_string(),
        };
        if !seen.inner.is_empty() && seen.lists == 0 {
            out.push_str(&format!("{indent}{key}:\n"));
            write_columns(out, &seen.inner, level + 1, count);
            continue;
        }
        let kind = match seen {
            s if s.lists > 0 || !s.inner.is_empty() => "json",
            s if s.times > 0 && s.times == s.records => "timestamp",
            s if s.ints == s.records && s.ints > 0 => "int",
            s if s.floats + s.ints == s.records && s.floats > 0 => "float",
            s if s.bools == s.records && s.bools > 0 => "bool",
            _ => "string",
        };
        let example = seen.example.replace(['\n', '\r'], " ").replace("*/", "* /");
        out.push_str(&format!("{indent}{key}: {kind}{}# {example}\n", " ".repeat(8)));
    }
}

/// A dotted path in SQL, quoted where a word needs it.
fn expression(path: &str) -> String {
    let plain = |word: &str| {
        word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && !["user", "timestamp", "time", "end", "start", "order", "group", "type", "date"]
                .contains(&word.to_lowercase().as_str())
    };
    let words = path.split('.');
    let quoted = words.map(|w| if plain(w) { w.to_owned() } else { format!("\"{w}\"") });
    quoted.collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_writes_is_a_mapping_file() {
        let record = r#"{"id":"1","eventTime":"2026-01-01T00:00:00Z","actor":{"login":"ann","n":3},"sourceIp":"203.0.113.9","ok":true,"tags":["a"],"odd key":1}"#;
        for head in [
            format!("{record}\n{record}\n"),
            "Jan  1 00:00:00 h app[1]: hello\n".to_owned(),
            "plain words\n".to_owned(),
            "when,who,from ip\n".to_owned(),
            "time,user,ip\n2026-01-01T00:00:00Z,ann,203.0.113.9\n".to_owned(),
            "\"time\";\"user.name\";\"ip\"\n\"2026-01-01T00:00:00Z\";\"ann\";\"203.0.113.9\"\n"
                .to_owned(),
            "ts=2026-01-01T00:00:00Z user=\"ann b\" ip=203.0.113.9 */ x=1\n".to_owned(),
        ] {
            let text = sketch("acme.app", head.as_bytes()).unwrap();
            let parsed = sluice_rule::Mapping::parse("x.sql", "acme.app/api_activity.sql", &text);
            let (mapping, _) = parsed.unwrap_or_else(|e| panic!("{e:?}\n{text}"));
            assert_eq!(mapping.source, "acme.app");
        }
        let text = sketch("acme.app", record.as_bytes()).unwrap();
        for part in ["eventTime AS time", "actor.login AS user_name", "sourceIp AS src_ip"] {
            assert!(text.contains(part), "no {part} in\n{text}");
        }
        let csv = b"time,user,ip\n2026-01-01T00:00:00Z,ann,203.0.113.9\n";
        let text = sketch("acme.app", csv).unwrap();
        for part in
            ["fields: [time, user, ip]", "time: timestamp", "\"user\" AS user_name", "ip AS src_ip"]
        {
            assert!(text.contains(part), "no {part} in\n{text}");
        }
        assert_eq!(sketch("acme.app", b"{\"cut"), None);
    }
}
