//! How a source's bytes become records: `codec:`, `unwrap:` and `columns:` of a mapping, as declared.
//! Decoding is for `ingest`.

use std::collections::BTreeSet;

use sluice_event::{TimeFormat, WireType};

use crate::{
    Diagnostic, Pattern, Span, Zone,
    fields::Reader,
    suggest,
    yaml::{Entry, Node, Yaml},
};

/// The codec of a source.
///
/// ```yaml
/// codec: json
/// codec: lines
/// codec:
///   delimited: {delimiter: " ", null: "-", header: version account-id, fields: [version, account-id]}
/// codec:
///   syslog: {programs: {sshd: [..]}, patterns: ['^Failed (?<method>\w+) for (?<user>.*) from (?<ip>\S+)$'], zone: Europe/Berlin}
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CodecSpec {
    /// A JSON value a line, or concatenated; see `unwrap`.
    Json,
    /// Lines of values in a fixed order.
    Delimited(Delimited),
    /// RFC 3164 or RFC 5424 lines.
    Syslog(Syslog),
    /// Each line is a record with the one column `line`.
    Lines,
}

/// Lines of values separated by one character; the wire columns are the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delimited {
    /// Between values.
    pub delimiter: char,
    /// The text that stands for NULL.
    pub null: Option<String>,
    /// A line that starts with this is no record: it names the fields of the lines below it.
    pub header: Option<String>,
    /// The names of the values in order, until a header says otherwise.
    pub fields: Vec<String>,
    /// Other orders of values, told by their number: a line with as many values as one of them has
    /// that order. No two have the same number.
    pub layouts: Vec<Vec<String>>,
    /// Further names a header may have: a line of names, most of them known, is a header.
    pub known: Vec<String>,
}

/// Syslog lines. The wire columns are the fields of the envelope ([`Syslog::ENVELOPE`]) and the
/// named groups of the patterns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Syslog {
    /// Regular expressions over `message`; the first that matches gives its named groups, the
    /// others are NULL. None may match.
    pub patterns: Vec<Pattern>,
    /// The programs the source knows, each with patterns that are asked before those of all: who
    /// writes a line decides how it is read. A line of one of them that no pattern takes is counted
    /// as `unparsed`.
    pub programs: Vec<Program>,
    /// The year of times that have none; `None` takes the one nearest to when it was received.
    pub year: Option<i32>,
    /// The zone of times that have none; UTC unless given.
    pub zone: Zone,
}

/// Programs that write the same messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// Their names, without path.
    pub names: Vec<String>,
    /// Regular expressions over their messages.
    pub patterns: Vec<Pattern>,
}

impl Syslog {
    /// The columns of every syslog line. `repeated`: how many times a message came that a daemon folded
    /// into one, `message repeated 3 times: [ .. ]`; the patterns are asked about the message in it.
    pub const ENVELOPE: [&'static str; 9] = [
        "timestamp",
        "hostname",
        "appname",
        "procid",
        "msgid",
        "facility",
        "severity",
        "repeated",
        "message",
    ];

    /// The named groups of the patterns, in name order.
    pub fn groups(&self) -> BTreeSet<&str> {
        let own = self.programs.iter().flat_map(|p| &p.patterns);
        self.patterns.iter().chain(own).flat_map(Pattern::groups).map(|(_, name)| name).collect()
    }
}

impl std::fmt::Display for CodecSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            CodecSpec::Json => "json",
            CodecSpec::Delimited(_) => "delimited",
            CodecSpec::Syslog(_) => "syslog",
            CodecSpec::Lines => "lines",
        })
    }
}

impl CodecSpec {
    /// The wire columns the codec can fill, each with its type if the mapping declares none; `None`
    /// if that depends on the record.
    pub(crate) fn columns(&self) -> Option<Vec<(String, WireType)>> {
        let text = |name: &str| (name.to_owned(), WireType::String);
        match self {
            CodecSpec::Json => None,
            CodecSpec::Lines => Some(vec![text("line")]),
            CodecSpec::Delimited(d) => {
                let mut names: Vec<&String> = d.fields.iter().collect();
                for name in d.layouts.iter().flatten() {
                    if !names.contains(&name) {
                        names.push(name);
                    }
                }
                Some(names.into_iter().map(|f| text(f)).collect())
            }
            CodecSpec::Syslog(s) => {
                let time = WireType::Timestamp(vec![TimeFormat::Rfc3339, TimeFormat::Syslog]);
                let envelope = Syslog::ENVELOPE.into_iter().map(|name| match name {
                    "timestamp" => (name.to_owned(), time.clone()),
                    "repeated" => (name.to_owned(), WireType::Int),
                    name => text(name),
                });
                Some(envelope.chain(s.groups().iter().map(|g| text(g))).collect())
            }
        }
    }

    /// Whether a record may have columns the file does not name.
    pub(crate) fn is_open(&self) -> bool {
        match self {
            CodecSpec::Json => true,
            CodecSpec::Delimited(d) => d.header.is_some() || !d.known.is_empty(),
            CodecSpec::Syslog(_) | CodecSpec::Lines => false,
        }
    }
}

const HINT: &str = "json, lines, delimited: {..} or syslog: {..}";

/// Reads `codec:`.
pub(crate) fn codec(reader: &mut Reader<'_>, node: &Node) -> Option<CodecSpec> {
    let Yaml::Map(entries) = &node.value else {
        return match reader.text(node, "codec")?.as_str() {
            "json" => Some(CodecSpec::Json),
            "lines" => Some(CodecSpec::Lines),
            "syslog" => Some(CodecSpec::Syslog(Syslog::default())),
            other => {
                unknown(reader, other, node.span);
                None
            }
        };
    };
    let [Entry { key, span, value }] = entries.as_slice() else {
        reader.bad(node.span, "`codec` takes one codec", HINT);
        return None;
    };
    match key.as_str() {
        "delimited" => delimited(reader, value),
        "syslog" => syslog(reader, value),
        other => {
            unknown(reader, other, *span);
            None
        }
    }
}

fn unknown(reader: &mut Reader<'_>, word: &str, span: Span) {
    reader.push(
        Diagnostic::error("R009", reader.path, format!("`{word}` is not a codec"))
            .at(span)
            .did_you_mean(word, ["json", "lines", "delimited", "syslog"])
            .hint(HINT),
    );
}

fn delimited(reader: &mut Reader<'_>, node: &Node) -> Option<CodecSpec> {
    let entries = reader.map(node, "delimited")?;
    let keys = ["delimiter", "null", "header", "fields", "layouts", "known"];
    let fields = reader.keys(entries, "`delimited`", &keys);
    // White space is a delimiter like any other, so these are read as they stand.
    let exact = |key| match fields.get(key).map(|n: &Node| &n.value) {
        Some(Yaml::Text(text)) => Some(text.clone()),
        Some(Yaml::Number(number)) => Some(number.to_string()),
        _ => None,
    };
    let delimiter = match fields.get("delimiter") {
        None => ' ',
        Some(node) => {
            let text = exact("delimiter").unwrap_or_default();
            let mut chars = text.chars();
            match (chars.next(), chars.next()) {
                (Some(delimiter), None) => delimiter,
                _ => {
                    reader.bad(node.span, "`delimiter` takes one character", r#"" ", "," or "\t""#);
                    return None;
                }
            }
        }
    };
    let hint = "fields: [version, account-id]";
    let names = reader.require(&fields, "fields", node.span, hint)?;
    let names: Vec<_> = reader.texts(names, "fields");
    for (i, (name, span)) in names.iter().enumerate() {
        if names.iter().take(i).any(|(other, _)| other == name) {
            reader.bad(*span, format!("the field `{name}` is named twice"), "rename one of them");
        }
    }
    let names: Vec<String> = names.into_iter().map(|(name, _)| name).collect();
    let mut layouts: Vec<Vec<String>> = Vec::new();
    if let Some(node) = fields.get("layouts") {
        let Yaml::List(items) = &node.value else {
            reader.bad(
                node.span,
                "`layouts` takes a list of lists",
                "layouts: [[version, srcaddr]]",
            );
            return None;
        };
        for item in items {
            let layout: Vec<String> =
                reader.texts(item, "layouts").into_iter().map(|(name, _)| name).collect();
            if layouts.iter().chain([&names]).any(|other| other.len() == layout.len()) {
                let said = format!("two layouts have {} fields", layout.len());
                reader.bad(item.span, said, "a layout is told by how many fields it has");
            }
            layouts.push(layout);
        }
    }
    let header = fields.get("header").and_then(|n| reader.text(n, "header"));
    let known = fields.get("known").map(|n| reader.texts(n, "known")).unwrap_or_default();
    let known = known.into_iter().map(|(name, _)| name).collect();
    let null = exact("null");
    let fields = names;
    Some(CodecSpec::Delimited(Delimited { delimiter, null, header, fields, layouts, known }))
}

fn syslog(reader: &mut Reader<'_>, node: &Node) -> Option<CodecSpec> {
    let entries = reader.map(node, "syslog")?;
    let fields = reader.keys(entries, "`syslog`", &["patterns", "programs", "year", "zone"]);
    let mut patterns = Vec::new();
    if let Some(node) = fields.get("patterns") {
        patterns = message_patterns(reader, node, "patterns");
    }
    let mut programs = Vec::new();
    if let Some(node) = fields.get("programs") {
        for entry in reader.map(node, "programs")? {
            let names = entry.key.split_whitespace().map(str::to_owned).collect();
            let patterns = message_patterns(reader, &entry.value, "programs");
            programs.push(Program { names, patterns });
        }
    }
    let year = fields.get("year").and_then(|n| {
        let year = reader.integer(n, "year")?;
        let valid = i32::try_from(year).ok().filter(|y| (1970..=9999).contains(y));
        if valid.is_none() {
            reader.bad(n.span, format!("`{year}` is not a year"), "1970 to 9999");
        }
        valid
    });
    let zone = fields.get("zone").and_then(|n| {
        let text = reader.text(n, "zone")?;
        let zone = Zone::parse(&text);
        if let Err(unknown) = &zone {
            reader.bad(n.span, format!("`{text}` is not a zone"), unknown.hint());
        }
        zone.ok()
    });
    Some(CodecSpec::Syslog(Syslog { patterns, programs, year, zone: zone.unwrap_or_default() }))
}

/// A list of regular expressions over a message.
fn message_patterns(reader: &mut Reader<'_>, node: &Node, key: &str) -> Vec<Pattern> {
    let mut patterns = Vec::new();
    for (text, span) in reader.texts(node, key) {
        let Some(pattern) = pattern(reader, &text, span) else { continue };
        for (_, group) in pattern.groups() {
            if Syslog::ENVELOPE.contains(&group) {
                reader.bad(
                    span,
                    format!("the group `{group}` has the name of a field of the envelope"),
                    "rename the group",
                );
            }
        }
        patterns.push(pattern);
    }
    patterns
}

/// A regular expression that compiles; R032 if it does not.
pub(crate) fn pattern(reader: &mut Reader<'_>, text: &str, span: Span) -> Option<Pattern> {
    match text.parse() {
        Ok(pattern) => Some(pattern),
        Err(error) => {
            // The last line says what; the ones above draw the pattern.
            let text = error.to_string();
            let what = text.lines().last().unwrap_or("").trim_start_matches("error: ").to_owned();
            reader.push(
                Diagnostic::error("R032", reader.path, "the regular expression cannot be used")
                    .at(span)
                    .detail(what)
                    .hint("linear-time syntax: no look-around, no back-references"),
            );
            None
        }
    }
}

/// Reads `columns:`: a map of names to types.
pub(crate) fn columns(reader: &mut Reader<'_>, entries: &[Entry]) -> Vec<(String, WireType)> {
    entries.iter().filter_map(|e| Some((e.key.clone(), wire_type(reader, &e.value)?))).collect()
}

/// A type: a word, `[type]` for an array, `{name: type}` for an object with known fields.
fn wire_type(reader: &mut Reader<'_>, node: &Node) -> Option<WireType> {
    match &node.value {
        Yaml::Map(entries) => Some(WireType::Struct(columns(reader, entries))),
        Yaml::List(items) => match items.as_slice() {
            [item] => Some(WireType::List(Box::new(wire_type(reader, item)?))),
            _ => {
                reader.bad(
                    node.span,
                    "a list type has one element",
                    "`[string]`, `[{id: string}]`",
                );
                None
            }
        },
        _ => word_type(reader, node),
    }
}

fn word_type(reader: &mut Reader<'_>, node: &Node) -> Option<WireType> {
    let text = reader.text(node, "columns")?;
    if let Some(formats) = text.strip_prefix("timestamp(").and_then(|t| t.strip_suffix(')')) {
        let formats: Vec<_> =
            formats.split('|').filter_map(|f| time_format(reader, f.trim(), node.span)).collect();
        return (!formats.is_empty()).then_some(WireType::Timestamp(formats));
    }
    let words = [
        ("string", WireType::String),
        ("timestamp", WireType::Timestamp(vec![TimeFormat::Auto])),
        ("int", WireType::Int),
        ("float", WireType::Float),
        ("bool", WireType::Bool),
        ("json", WireType::Json),
    ];
    if let Some((_, kind)) = words.iter().find(|(word, _)| *word == text) {
        return Some(kind.clone());
    }
    let synonym = match text.to_lowercase().as_str() {
        "text" | "str" | "varchar" | "utf8" | "keyword" => Some("string"),
        "integer" | "long" | "bigint" | "i64" => Some("int"),
        "double" | "number" | "f64" => Some("float"),
        "boolean" => Some("bool"),
        "datetime" | "date" | "time" => Some("timestamp"),
        "object" | "variant" | "map" | "any" => Some("json"),
        _ => suggest(&text, words.iter().map(|(word, _)| *word)),
    };
    let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    let mut diagnostic =
        Diagnostic::error("R009", reader.path, format!("`{text}` is not a type of a wire column"))
            .at(node.span)
            .hint(format!(
                "{}, `timestamp(format|format)`, [type] or {{name: type}}",
                names.join(", ")
            ));
    if let Some(near) = synonym {
        diagnostic = diagnostic.detail(format!("did you mean `{near}`?"));
    }
    reader.push(diagnostic);
    None
}

fn time_format(reader: &mut Reader<'_>, text: &str, span: Span) -> Option<TimeFormat> {
    let words = [
        ("rfc3339", TimeFormat::Rfc3339),
        ("epoch_s", TimeFormat::EpochSeconds),
        ("epoch_ms", TimeFormat::EpochMillis),
        ("epoch_us", TimeFormat::EpochMicros),
        ("epoch_ns", TimeFormat::EpochNanos),
        ("auto", TimeFormat::Auto),
        ("syslog", TimeFormat::Syslog),
        ("clf", TimeFormat::Clf),
        ("filetime", TimeFormat::FileTime),
    ];
    if text.contains('%') {
        return Some(TimeFormat::Pattern(text.to_owned()));
    }
    if let Some((_, format)) = words.iter().find(|(word, _)| *word == text) {
        return Some(format.clone());
    }
    let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    reader.push(
        Diagnostic::error("R009", reader.path, format!("`{text}` is not a time format"))
            .at(span)
            .did_you_mean(text, names.iter().copied())
            .hint(format!("{}, or a strftime pattern with `%`", names.join(", "))),
    );
    None
}

/// Whether text is a path that `unwrap` understands: `$`, `$[*]`, `$.Records[*]`, `$.data.events[*]`.
pub(crate) fn is_unwrap_path(text: &str) -> bool {
    let Some(mut rest) = text.strip_prefix('$') else { return false };
    while !rest.is_empty() {
        if let Some(tail) = rest.strip_prefix("[*]") {
            rest = tail;
            continue;
        }
        let Some(tail) = rest.strip_prefix('.') else { return false };
        let end = tail.find(['.', '[']).unwrap_or(tail.len());
        let Some((name, tail)) = tail.split_at_checked(end) else { return false };
        if name.is_empty() || name.contains(['*', ']', ' ', '"', '\'']) {
            return false;
        }
        rest = tail;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unwrap_paths() {
        for good in ["$", "$[*]", "$.Records[*]", "$.data.events[*]", "$.detail", "$.a-b.c_d[*]"] {
            assert!(is_unwrap_path(good), "{good}");
        }
        for bad in ["", "Records", "$.", "$..a", "$.a[0]", "$.*", "$.a[*", "$ .a"] {
            assert!(!is_unwrap_path(bad), "{bad}");
        }
    }
}
