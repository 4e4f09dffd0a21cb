//! A mapping to begin with, for lines: syslog, values with a header line, `key=value` words, or text of
//! no known form. Not JSON.

use std::collections::BTreeMap;

use serde_json::Value;
use sluice_event::{TimeFormat, is_address};

use super::{Body, GUESSES, Guess, SAMPLE, expression, file};
use crate::{decode::header::Header, time};

/// The text of a mapping file for lines.
pub(super) fn lines(source: &str, head: &[u8]) -> String {
    let text = String::from_utf8_lossy(head);
    let text = text.trim_start_matches('\u{feff}');
    let sample: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).take(SAMPLE).collect();
    let most = |count: usize| count * 2 >= sample.len().max(1);
    let first = sample.first().copied().unwrap_or_default();
    if most(sample.iter().filter(|l| Header::parse(l).is_some()).count()) {
        return syslog(source, &sample, first);
    }
    if let Some(text) = delimited(source, &sample) {
        return text;
    }
    let pairs = |line: &&&str| words(line).len() >= 3;
    if most(sample.iter().filter(pairs).count()) {
        return key_value(source, &sample, first);
    }
    let body = Body {
        columns: "  _timestamp: timestamp\n  line: string\n".into(),
        guesses: "       line AS message,\n".into(),
        time: Some("_timestamp".into()),
        record: first.to_owned(),
        ..Body::default()
    };
    file(source, "lines", &body)
}

fn syslog(source: &str, sample: &[&str], first: &str) -> String {
    let mut programs: Vec<&str> = sample.iter().filter_map(|l| Header::parse(l)?.program).collect();
    programs.sort_unstable();
    programs.dedup();
    let list: String = programs
        .iter()
        .take(5)
        .map(|p| format!("      {p}:\n        - '^(?<what>first words) (?<user>\\S+)$'\n"))
        .collect();
    let codec = format!("\n  syslog:\n    programs:\n{list}").trim_end().to_owned();
    let body = Body {
        columns: "  timestamp: timestamp\n  hostname: string\n  appname: string\n  \
                  message: string\n  what: string\n  user: string\n"
            .into(),
        guesses: "       message AS message,\n       hostname AS device_hostname,\n       \
                  \"user\" AS user_name,\n"
            .into(),
        time: Some("timestamp".into()),
        record: first.to_owned(),
        ..Body::default()
    };
    file(source, &codec, &body)
}

/// Values below a line that names them, with the same character between both.
fn delimited(source: &str, sample: &[&str]) -> Option<String> {
    let (header, rows) = sample.split_first()?;
    let first = rows.first()?;
    let is_name = |name: &str| {
        let mut bytes = name.bytes();
        bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || matches!(b, b'_' | b'@'))
            && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
    };
    let bare = |text: &str| text.trim().trim_matches('"').to_owned();
    let cells = |line: &str, between: char| line.split(between).map(bare).collect::<Vec<_>>();
    let (between, names) = [',', '\t', ';', '|', ' '].into_iter().find_map(|between| {
        let names = cells(header, between);
        let same = rows.iter().filter(|row| cells(row, between).len() == names.len()).count();
        let fits = names.len() >= 3 && names.iter().all(|n| is_name(n)) && same * 2 >= rows.len();
        fits.then_some((between, names))
    })?;
    let seen: Vec<(String, String)> = names.iter().cloned().zip(cells(first, between)).collect();
    let is_time = |value: &str| time::parse(value, &[TimeFormat::Auto], 0).is_some();
    let named_so =
        |name: &str| ["time", "date", "ts"].iter().any(|n| name.to_lowercase().contains(n));
    let time = seen.iter().find(|(name, value)| named_so(name) && is_time(value));
    let time = time.map(|(name, _)| name.clone());
    let columns = seen.iter().map(|(name, value)| {
        let kind = if Some(name) == time.as_ref() { "timestamp" } else { "string" };
        format!("  {}: {kind}        # {}\n", quoted(name), Value::from(short(value)))
    });
    let fields: Vec<String> = names.iter().map(|name| quoted(name)).collect();
    let codec = format!(
        "\n  delimited:\n    delimiter: {}\n    header: {}\n    fields: [{}]",
        Value::from(between.to_string()),
        Value::from(*header),
        fields.join(", ")
    );
    // A name with a dot is one column, not a path.
    let column = |name: &str| match name.contains('.') {
        true => format!("\"{name}\""),
        false => expression(name),
    };
    let body = Body {
        columns: columns.collect(),
        guesses: guesses(&seen, &column),
        time,
        record: (*first).to_owned(),
        ..Body::default()
    };
    Some(file(source, &codec, &body))
}

/// `level=info user="ann b" ip=203.0.113.9`: each word is taken out of the line by its key.
fn key_value(source: &str, sample: &[&str], first: &str) -> String {
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for line in sample {
        for (key, value) in words(line) {
            seen.entry(key).or_insert(value);
        }
    }
    let seen: Vec<(String, String)> = seen.into_iter().collect();
    let value = |key: &str| {
        format!("trim(regexp_match(line, '(?:^|[ ,;]){key}=(\"[^\"]*\"|[^ ,;]*)')[1], '\"')")
    };
    let is_time = |value: &str| time::parse(value, &[TimeFormat::Rfc3339], 0).is_some();
    let time = seen.iter().find(|(_, value)| is_time(value)).map(|(key, _)| value(key));
    let body = Body {
        columns: "  _timestamp: timestamp\n  line: string\n".into(),
        guesses: format!("{}       line AS message,\n", guesses(&seen, &value)),
        time: Some("_timestamp".into()),
        time_value: time.map(|value| format!("coalesce(to_timestamp({value}), _timestamp)")),
        record: first.to_owned(),
        ..Body::default()
    };
    file(source, "lines", &body)
}

/// The `key=value` words of a line.
fn words(line: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('=') {
        let key = before.rsplit([' ', ',', ';']).next().unwrap_or_default();
        let (value, later) = match after.strip_prefix('"').and_then(|a| a.split_once('"')) {
            Some((value, later)) => (value, later),
            None => after.split_at(after.find([' ', ',', ';']).unwrap_or(after.len())),
        };
        let is_key = key.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
        if !key.is_empty() && is_key {
            found.push((key.replace('.', "\\."), value.to_owned()));
        }
        rest = later;
    }
    found
}

/// The columns that the names of the fields suggest.
fn guesses(seen: &[(String, String)], value: &dyn Fn(&str) -> String) -> String {
    let guess = |guess: &Guess| {
        let fits = |text: &str| !text.is_empty() && (!guess.is_address || is_address(text));
        let named = |name: &&str| {
            let exact = seen.iter().find(|(key, text)| fits(text) && key.to_lowercase() == *name);
            exact.or_else(|| {
                seen.iter().find(|(key, text)| fits(text) && key.to_lowercase().contains(*name))
            })
        };
        let (key, _) = guess.names.iter().find_map(named)?;
        Some(format!("       {} AS {},\n", value(key), guess.column))
    };
    GUESSES.iter().filter_map(guess).collect()
}

fn quoted(name: &str) -> String {
    match name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') {
        true => name.to_owned(),
        false => Value::from(name).to_string(),
    }
}

fn short(value: &str) -> String {
    value.chars().take(40).collect::<String>().replace("*/", "* /")
}
