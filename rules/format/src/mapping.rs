//! A mapping: one source's wire record to rows of one table. What its front matter declares, and its
//! cases; not what its SELECT means.

use std::sync::Arc;

use sluice_event::{EnvelopeColumn, Schema, TableName, TimeSettings, WireSchema, WireType};

use crate::{
    About, Diagnostic, MappingTest, RuleId, Span, SqlFile, cases,
    codec::{self, CodecSpec},
    fields::{Fields, Reader},
    front, token,
    yaml::{Entry, Node},
};

/// A mapping file, read.
#[derive(Clone, Debug)]
pub struct Mapping {
    /// The id: the path below the mappings directory with dots.
    pub id: RuleId,
    /// What it maps, as a headline.
    pub title: String,
    /// The source, `okta.system`: files that share it are decoded together.
    pub source: String,
    /// The table.
    pub to: TableName,
    /// The OCSF class of the rows, if not the first of the table.
    pub class: Option<i32>,
    /// How bytes become records.
    pub codec: CodecSpec,
    /// Where the records are in a JSON value; the first path that matches.
    pub unwrap: Vec<String>,
    /// How `--source auto` knows the source.
    pub detect: Detect,
    /// The wire record: only what is used.
    pub columns: WireSchema,
    /// The wire column that is the event's time, as a dotted path.
    pub time: String,
    /// The wire column that names the event at its source, as a dotted path.
    pub native_id: Option<String>,
    /// Delay, lateness, skew and idle time of the source.
    pub time_settings: TimeSettings,
    /// Which records it takes, as SQL; all if not given.
    pub when: Option<SpannedText>,
    /// Smaller is asked first; the first mapping whose `when` holds takes the record. 100 unless
    /// given.
    pub priority: i32,
    /// Who makes the product.
    pub vendor: Option<String>,
    /// The product.
    pub product: Option<String>,
    /// What it maps, in a sentence or two.
    pub description: Option<String>,
    /// Reading.
    pub references: Vec<String>,
    /// Author, dates, licence, tags.
    pub about: About,
    /// The cases.
    pub tests: Vec<MappingTest>,
    /// The file.
    pub file: Arc<SqlFile>,
}

/// How a source is recognised in a sample: everything that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Detect {
    /// Keys of the record, dotted, that must be there; `a|b` asks for one of them.
    pub has: Vec<String>,
    /// Keys of the record that must not be there: those of records of others that look alike.
    pub lacks: Vec<String>,
    /// A regular expression that must match the raw line.
    pub matches: Option<String>,
    /// A regular expression for a bare message: what a wrapper holds that names no program.
    pub message: Option<String>,
}

/// SQL in the front matter and where it stands. Line `n` of the text is line `span.line + n - 1` of
/// the file; its first line starts at `span.column`, the others at column 1, since a text over
/// several lines is kept as it is written, indentation and all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpannedText {
    /// The text.
    pub text: String,
    /// Where its first character stands.
    pub span: Span,
}

impl SpannedText {
    fn new(file: &SqlFile, text: String, mut span: Span) -> Self {
        match as_written(file, &text, span) {
            Some(written) => SpannedText { text: written, span },
            None => {
                span.column += 1;
                SpannedText { text, span }
            }
        }
    }
}

/// The piece of the file at `span` that reads like `text` but for white space, which YAML folds;
/// `None` if it is quoted there.
fn as_written(file: &SqlFile, text: &str, span: Span) -> Option<String> {
    let line: usize =
        file.text.split_inclusive('\n').take(span.line as usize - 1).map(str::len).sum();
    let rest: String = file.text.get(line..)?.chars().skip(span.column as usize - 1).collect();
    let mut end = 0;
    let mut written = rest.char_indices().filter(|(_, c)| !c.is_whitespace());
    for wanted in text.chars().filter(|c| !c.is_whitespace()) {
        let (at, c) = written.next()?;
        if c != wanted {
            return None;
        }
        end = at + c.len_utf8();
    }
    rest.get(..end).map(str::to_owned)
}

const KEYS: [&str; 23] = [
    "id",
    "title",
    "source",
    "to",
    "class",
    "codec",
    "unwrap",
    "detect",
    "columns",
    "time",
    "native_id",
    "time_settings",
    "when",
    "priority",
    "vendor",
    "product",
    "description",
    "references",
    "author",
    "date",
    "modified",
    "license",
    "tags",
];

impl Mapping {
    /// The columns its SELECT gives; `None` if that cannot be told without a plan.
    pub fn output_columns(&self) -> Option<Vec<String>> {
        let columns = token::output_columns(&self.file.sql)?;
        Some(columns.into_iter().map(|column| column.name).collect())
    }

    /// Reads a mapping file: `path` is for messages, `below` its path below the mappings directory,
    /// which makes its id. The diagnostics beside the mapping are warnings.
    ///
    /// # Errors
    /// All errors of the file as far as it can be read.
    pub fn parse(
        path: &str,
        below: &str,
        text: &str,
    ) -> Result<(Mapping, Vec<Diagnostic>), Vec<Diagnostic>> {
        let file = Arc::new(SqlFile::parse(path, text)?);
        let mut reader = Reader::new(path);
        reader.found.extend(file.warnings.iter().cloned());
        front::statement(&mut reader, &file);
        let mapping = front::entries(&mut reader, &file)
            .and_then(|entries| front_matter(&mut reader, &file, below, &entries));
        let tests = cases::mapping_tests(&mut reader, &file, mapping.as_ref().map(|m| &m.to));
        reader.finish(&file, mapping.map(|mapping| Mapping { tests, ..mapping }))
    }

    /// The version of the statement; see [`Rule::version`](crate::Rule).
    pub fn version(&self) -> String {
        token::version(&self.file.sql)
    }
}

fn front_matter(
    reader: &mut Reader<'_>,
    file: &Arc<SqlFile>,
    below: &str,
    entries: &[Entry],
) -> Option<Mapping> {
    let place = front::place(file);
    let fields = reader.keys(entries, "front matter", &KEYS);
    let id = front::id(reader, &fields, place, below);
    let required = |reader: &mut Reader<'_>, key, hint| {
        let node = reader.require(&fields, key, place, hint)?;
        reader.text(node, key)
    };
    let optional =
        |reader: &mut Reader<'_>, key| fields.get(key).and_then(|n: &Node| reader.text(n, key));
    let title = required(reader, "title", "title: Okta System Log: sign-in and session events");
    let source = required(reader, "source", "source: okta.system");
    if let (Some(source), Some(node)) = (&source, fields.get("source"))
        && RuleId::new(source).is_none()
    {
        reader.bad(
            node.span,
            format!("`{source}` is not the name of a source"),
            "lower-case words of letters, digits and `_`, joined by dots: `okta.system`",
        );
    }
    let to = required(reader, "to", "to: authentication");
    if let (Some(to), Some(node)) = (&to, fields.get("to")) {
        table(reader, to, node.span);
    }
    let codec = match fields.get("codec") {
        Some(node) => codec::codec(reader, node),
        None => Some(CodecSpec::Json),
    };
    let columns = columns(reader, &fields, codec.as_ref(), place);
    let time = required(reader, "time", "time: published");
    let native_id = optional(reader, "native_id");
    if let Some(columns) = &columns {
        for (key, path) in [("time", &time), ("native_id", &native_id)] {
            if let (Some(path), Some(node)) = (path, fields.get(key)) {
                wire_path(reader, columns, key, path, node.span);
            }
        }
    }
    let class = fields.get("class").and_then(|n| {
        let class = reader.integer(n, "class")?;
        i32::try_from(class).ok()
    });
    let priority = fields.get("priority").and_then(|n| {
        let priority = reader.integer(n, "priority")?;
        i32::try_from(priority).ok()
    });
    let mapping = Mapping {
        class,
        unwrap: unwrap(reader, &fields),
        detect: fields.get("detect").map(|n| detect(reader, n)).unwrap_or_default(),
        native_id,
        time_settings: fields
            .get("time_settings")
            .map(|n| time_settings(reader, n))
            .unwrap_or_default(),
        when: fields
            .get("when")
            .and_then(|n| Some(SpannedText::new(file, reader.text(n, "when")?, n.span))),
        priority: priority.unwrap_or(100),
        vendor: optional(reader, "vendor"),
        product: optional(reader, "product"),
        description: optional(reader, "description"),
        references: front::words(reader, &fields, "references"),
        about: About::read(reader, &fields),
        tests: Vec::new(),
        file: Arc::clone(file),
        codec: codec?,
        columns: WireSchema { columns: columns? },
        time: time?,
        to: TableName::new(&to?),
        source: source?,
        title: title?,
        id: id?,
    };
    Some(mapping)
}

fn table(reader: &mut Reader<'_>, name: &str, span: Span) {
    let schema = Schema::builtin();
    if schema.table(name).is_none() {
        let tables: Vec<&str> = schema.tables().map(|t| t.name.as_str()).collect();
        reader.push(
            Diagnostic::error("R011", reader.path, format!("no table `{name}`"))
                .at(span)
                .did_you_mean(name, tables.iter().copied())
                .hint(format!("the tables are {}", tables.join(", "))),
        );
    }
}

/// The wire columns: those declared, else those the codec gives.
fn columns(
    reader: &mut Reader<'_>,
    fields: &Fields<'_>,
    codec: Option<&CodecSpec>,
    place: Span,
) -> Option<Vec<(String, WireType)>> {
    let given = codec.and_then(CodecSpec::columns);
    let Some(node) = fields.get("columns") else {
        if given.is_none() && codec.is_some() {
            let hint = "columns: {published: timestamp, actor: {id: string}}";
            reader.require(fields, "columns", place, hint);
        }
        return given;
    };
    let entries = reader.map(node, "columns")?;
    let columns = codec::columns(reader, entries);
    if let (Some(given), Some(codec)) = (&given, codec)
        && !codec.is_open()
    {
        let fills = |name: &str| given.iter().any(|(n, _)| n == name);
        // What came around a record is there for every codec.
        let missing = |name: &str| !fills(name) && EnvelopeColumn::of(name).is_none();
        for entry in entries.iter().filter(|e| missing(&e.key)) {
            let names: Vec<&str> = given.iter().map(|(name, _)| name.as_str()).collect();
            reader.push(
                Diagnostic::error(
                    "R011",
                    reader.path,
                    format!("the codec gives no column `{}`", entry.key),
                )
                .at(entry.span)
                .did_you_mean(&entry.key, names.iter().copied())
                .hint(format!("it gives {}", names.join(", "))),
            );
        }
    }
    Some(columns)
}

/// Checks that a dotted path leads to a declared scalar.
fn wire_path(
    reader: &mut Reader<'_>,
    columns: &[(String, WireType)],
    key: &str,
    path: &str,
    span: Span,
) {
    let mut level = columns;
    let mut walked = String::new();
    let mut rest = path;
    loop {
        // A name may itself hold dots: take the longest that is declared.
        let found = level.iter().filter(|(name, _)| {
            rest.strip_prefix(name.as_str()).is_some_and(|r| r.is_empty() || r.starts_with('.'))
        });
        let Some((name, kind)) = found.max_by_key(|(name, _)| name.len()) else {
            let word = rest.split('.').next().unwrap_or(rest);
            let names = level.iter().map(|(name, _)| name.as_str());
            reader.push(
                Diagnostic::error(
                    "R011",
                    reader.path,
                    format!("`{key}` names `{walked}{word}`, which `columns` does not declare"),
                )
                .at(span)
                .did_you_mean(word, names),
            );
            return;
        };
        rest = rest.strip_prefix(name.as_str()).unwrap_or("").trim_start_matches('.');
        walked.push_str(name);
        walked.push('.');
        match kind {
            WireType::Struct(inner) if !rest.is_empty() => level = inner,
            WireType::Timestamp(_) if rest.is_empty() => return,
            WireType::String | WireType::Int if rest.is_empty() && key == "native_id" => return,
            _ => {
                let wanted = if key == "time" { "a timestamp" } else { "text or a number" };
                reader.bad(
                    span,
                    format!("`{key}: {path}` does not lead to {wanted}"),
                    match key {
                        "time" => {
                            format!("declare it as `timestamp` in `columns`: `{path}: timestamp`")
                        }
                        _ => format!("declare it as `string` in `columns`: `{path}: string`"),
                    },
                );
                return;
            }
        }
    }
}

fn unwrap(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Vec<String> {
    let Some(node) = fields.get("unwrap") else { return vec!["$".to_owned()] };
    let paths = reader.texts(node, "unwrap");
    for (path, span) in &paths {
        if !codec::is_unwrap_path(path) {
            reader.bad(
                *span,
                format!("`{path}` is not a path of `unwrap`"),
                "`$`, `$[*]`, `$.Records[*]`, `$.data.events[*]`",
            );
        }
    }
    paths.into_iter().map(|(path, _)| path).collect()
}

fn detect(reader: &mut Reader<'_>, node: &Node) -> Detect {
    let Some(entries) = reader.map(node, "detect") else { return Detect::default() };
    let fields = reader.keys(entries, "`detect`", &["has", "lacks", "matches", "message"]);
    let mut pattern = |key: &'static str| {
        fields.get(key).and_then(|n| {
            // White space at the ends is part of the pattern.
            let pattern = match &n.value {
                crate::yaml::Yaml::Text(text) => text.clone(),
                _ => reader.text(n, key)?,
            };
            codec::pattern(reader, &pattern, n.span)?;
            Some(pattern)
        })
    };
    let (matches, message) = (pattern("matches"), pattern("message"));
    Detect {
        has: front::words(reader, &fields, "has"),
        lacks: front::words(reader, &fields, "lacks"),
        matches,
        message,
    }
}

fn time_settings(reader: &mut Reader<'_>, node: &Node) -> TimeSettings {
    let default = TimeSettings::default();
    let Some(entries) = reader.map(node, "time_settings") else { return default };
    let keys = ["delay", "lateness", "max_skew", "idle"];
    let fields = reader.keys(entries, "`time_settings`", &keys);
    let mut get =
        |key, default| fields.get(key).and_then(|n| reader.duration(n, key)).unwrap_or(default);
    let settings = TimeSettings {
        delay: get("delay", default.delay),
        lateness: get("lateness", default.lateness),
        max_skew: get("max_skew", default.max_skew),
        idle: get("idle", default.idle),
    };
    if settings.delay > settings.lateness {
        let span = fields.place("delay").or_else(|| fields.place("lateness"));
        reader.bad(
            span.unwrap_or(node.span),
            "`delay` is longer than `lateness`",
            "a row that is waited for must still count: delay <= lateness",
        );
    }
    settings
}
