//! One TOML file as a tree. Each `[table]` is parsed for itself, so that a mistake in one hides
//! nothing in the others, and a table begun in braces may be continued under a header:
//!
//! ```toml
//! [sources.okta]
//! kafka = { brokers = "127.0.0.1:9092", topics = ["okta"] }
//! [sources.okta.kafka.librdkafka]
//! "fetch.wait.max.ms" = "50"
//! ```
//!
//! A key may be given once; TOML by itself would refuse the continuation too.

use std::{ops::Range, sync::Arc};

use sluice_rule::Diagnostic;
use toml::de::{DeTable, DeValue};

use super::{
    reader::{Notes, Problem},
    tree::{File, Origin, Raw, SettingEntry, SettingNode, Table, join},
};

/// Reads a file; what is wrong with its form goes to `notes`.
pub(crate) fn parse(file: &Arc<File>, notes: &mut Notes) -> Table {
    let mut whole = Table::new();
    for part in parts(&file.text) {
        let (Some(text), start) = (file.text.get(part.clone()), part.start) else { continue };
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let range = error.span().map_or(0..1, |s| s);
            let origin = Origin::File(file.clone(), range.start + start..range.end + start);
            let problem =
                Diagnostic::error("C001", &file.path, error.message().replace('\n', "; "));
            notes.problems.push(Problem::at(problem, Some(&origin)));
        }
        let table = tree(table.get_ref(), &|range| {
            Origin::File(file.clone(), range.start + start..range.end + start)
        });
        join(&mut whole, table, &mut |first, second| {
            let problem = Diagnostic::error("C001", &file.path, "this key is given twice")
                .detail(format!("the first time at {first}"))
                .hint("keep one of them");
            notes.problems.push(Problem::at(problem, Some(second)));
        });
    }
    whole
}

fn tree(table: &DeTable<'_>, at: &impl Fn(Range<usize>) -> Origin) -> Table {
    table
        .iter()
        .map(|(key, value)| {
            let node = match value.get_ref() {
                DeValue::Table(table) => SettingNode::Table(tree(table, at)),
                value_ref => SettingNode::Leaf(raw(value_ref), at(value.span())),
            };
            (key.get_ref().to_string(), SettingEntry { key: at(key.span()), node })
        })
        .collect()
}

fn raw(value: &DeValue<'_>) -> Raw {
    match value {
        DeValue::String(text) => Raw::Text(text.to_string()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Raw::Integer(number),
            Err(_) => Raw::Other("a number that is too large", number.to_string()),
        },
        DeValue::Float(number) => Raw::Other("a number with a fraction", number.to_string()),
        DeValue::Boolean(value) => Raw::Bool(*value),
        // A date without quotes is as good as one with them.
        DeValue::Datetime(time) => Raw::Text(time.to_string()),
        DeValue::Array(list) => Raw::List(list.iter().map(|v| raw(v.get_ref())).collect()),
        DeValue::Table(_) => Raw::Other("a table", String::new()),
    }
}

/// The byte ranges of a file's tables: from one header line to the next.
fn parts(text: &str) -> Vec<Range<usize>> {
    let mut starts = vec![0];
    let mut scan = Scan::default();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let header = scan.outside() && line.trim_start().starts_with('[');
        if header && at > 0 {
            starts.push(at);
        }
        // A header's brackets open nothing.
        if !header {
            scan.line(line);
        }
        at += line.len();
    }
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    starts.iter().copied().zip(ends).map(|(start, end)| start..end).collect()
}

/// Whether a line begins inside of a string or a bracket that an earlier one opened.
#[derive(Default)]
struct Scan {
    /// The quotes that end the open string of several lines.
    quotes: Option<&'static str>,
    depth: usize,
}

impl Scan {
    fn outside(&self) -> bool {
        self.quotes.is_none() && self.depth == 0
    }

    fn line(&mut self, line: &str) {
        let mut rest = line;
        while !rest.is_empty() {
            if let Some(quotes) = self.quotes {
                match rest.split_once(quotes) {
                    Some((_, after)) => (self.quotes, rest) = (None, after),
                    None => return,
                }
                continue;
            }
            if let Some(after) = rest.strip_prefix("\"\"\"") {
                (self.quotes, rest) = (Some("\"\"\""), after);
                continue;
            }
            if let Some(after) = rest.strip_prefix("'''") {
                (self.quotes, rest) = (Some("'''"), after);
                continue;
            }
            let mut chars = rest.chars();
            match chars.next() {
                Some('#') | None => return,
                Some(quote @ ('"' | '\'')) => skip_string(&mut chars, quote),
                Some('[' | '{') => self.depth += 1,
                Some(']' | '}') => self.depth = self.depth.saturating_sub(1),
                Some(_) => {}
            }
            rest = chars.as_str();
        }
    }
}

/// Goes past the end of a string of one line.
fn skip_string(chars: &mut std::str::Chars<'_>, quote: char) {
    while let Some(c) = chars.next() {
        if c == quote {
            return;
        }
        if c == '\\' && quote == '"' {
            chars.next();
        }
    }
}
