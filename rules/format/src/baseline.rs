//! A baseline: what its front matter declares of an entity, its features and its alarm rate, and its
//! cases. Not what its SELECT means, and not how it is scored.

use std::sync::Arc;

use serde_json::Value;
use sluice_event::{EntityKind, WireSchema, WireType};

use crate::{
    About, Diagnostic, RuleId, Severity, Span, SqlFile, Status, TestEvent,
    baseline_features::{BaselineFeature, BaselineKind, features},
    cases, codec,
    fields::{Fields, Reader},
    front, parse_duration,
    token::{self, OutputColumn},
    yaml::{Entry, Node, Yaml},
};

/// A baseline file, read.
#[derive(Clone, Debug)]
pub struct BaselineFile {
    /// The id: the path below the content directory with dots.
    pub id: RuleId,
    /// What it models, as a headline.
    pub title: String,
    /// How bad an anomaly is; `medium` if the file does not say.
    pub severity: Severity,
    /// How far it is trusted.
    pub status: Status,
    /// What an entity is.
    pub entity: EntityKind,
    /// The column of the SELECT that names it.
    pub entity_column: BaselineColumn,
    /// What gets one score.
    pub unit: BaselineUnit,
    /// The features, at least one.
    pub features: Vec<BaselineFeature>,
    /// The share of units that may raise a false alarm.
    pub alarm_rate: f64,
    /// How fast its risk contribution decays, milliseconds.
    pub half_life: i64,
    /// An entity's first units that are learned and not scored.
    pub warmup: u32,
    /// Whom an entity is compared with beside the organisation.
    pub peers: BaselinePeers,
    /// The columns of `input`, for a baseline over a file.
    pub columns: Option<WireSchema>,
    /// What it models, in a sentence or two.
    pub description: Option<String>,
    /// What else looks like this.
    pub false_positives: Vec<String>,
    /// What to do about an anomaly.
    pub runbook: Option<String>,
    /// Reading.
    pub references: Vec<String>,
    /// Author, dates, licence, tags.
    pub about: About,
    /// The cases.
    pub tests: Vec<BaselineTest>,
    /// The file.
    pub file: Arc<SqlFile>,
}

/// A column the SELECT must return, and where it is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaselineColumn {
    /// Its name.
    pub name: String,
    /// Where.
    pub span: Span,
}

/// Where peer groups come from: the word of `peer_group`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BaselinePeers {
    /// `directory`: the column [`BaselineFile::PEER_COLUMN`] of the SELECT.
    pub directory: bool,
    /// `learned`: what entities do; of those that the directory says nothing of.
    pub learned: bool,
}

/// What gets one score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BaselineUnit {
    /// An entity's UTC day.
    Day,
    /// Activity without a longer gap, milliseconds.
    Session(i64),
    /// So many rows of an entity.
    Events(u32),
}

/// A case of a baseline: events in order of time, and the anomalies of the units they close.
#[derive(Clone, Debug, PartialEq)]
pub struct BaselineTest {
    /// What it shows.
    pub name: String,
    /// Rows of tables.
    pub events: Vec<TestEvent>,
    /// The anomalies as a multiset.
    pub expect: Vec<ExpectedAnomaly>,
    /// Anomalies before this time are not compared, milliseconds.
    pub after: Option<i64>,
    /// The line of the case.
    pub line: usize,
}

/// What an anomaly must be; what is not given may be anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExpectedAnomaly {
    /// The entity.
    pub entity: Option<String>,
    /// The most surprising feature.
    pub feature: Option<String>,
    /// A value of that feature that explains it.
    pub value: Option<String>,
}

const KEYS: [&str; 23] = [
    "id",
    "title",
    "severity",
    "status",
    "kind",
    "entity",
    "peer_group",
    "unit",
    "features",
    "alarm_rate",
    "half_life",
    "warmup",
    "columns",
    "description",
    "false_positives",
    "runbook",
    "references",
    "author",
    "date",
    "modified",
    "license",
    "tags",
    "class",
];

impl BaselineFile {
    /// The column that `peer_group: directory` reads.
    pub const PEER_COLUMN: &str = "peer_group";

    /// Reads a baseline file: `path` is for messages, `below` its path below the content directory,
    /// which makes its id; `None` takes the id as it is, for a file outside of one. The diagnostics
    /// beside the file are warnings.
    ///
    /// # Errors
    /// All errors of the file as far as it can be read.
    pub fn parse(
        path: &str,
        below: Option<&str>,
        text: &str,
    ) -> Result<(BaselineFile, Vec<Diagnostic>), Vec<Diagnostic>> {
        let file = Arc::new(SqlFile::parse(path, text)?);
        let mut reader = Reader::new(path);
        reader.found.extend(file.warnings.iter().cloned());
        front::statement(&mut reader, &file);
        let output = token::output_columns(&file.sql);
        let baseline = front::entries(&mut reader, &file).and_then(|entries| {
            front_matter(&mut reader, &file, below, output.as_deref(), &entries)
        });
        let tests = tests(&mut reader, &file);
        reader.finish(&file, baseline.map(|baseline| BaselineFile { tests, ..baseline }))
    }

    /// The version of the statement; see [`Rule::version`](crate::Rule).
    pub fn version(&self) -> String {
        token::version(&self.file.sql)
    }
}

fn front_matter(
    reader: &mut Reader<'_>,
    file: &Arc<SqlFile>,
    below: Option<&str>,
    output: Option<&[OutputColumn]>,
    entries: &[Entry],
) -> Option<BaselineFile> {
    let place = front::place(file);
    let fields = reader.keys(entries, "front matter", &KEYS);
    let id = id(reader, &fields, place, below);
    if let Some(node) = fields.get("kind") {
        reader.word(node, "kind", &[("baseline", ())]);
    }
    let title = reader
        .require(&fields, "title", place, "title: From where each user signs in")
        .and_then(|n| reader.text(n, "title"));
    let entity = entity(reader, &fields, place, output);
    let features = features(reader, &fields, place, output);
    let columns = fields.get("columns").and_then(|node| {
        let entries = reader.map(node, "columns")?;
        Some(WireSchema { columns: codec::columns(reader, entries) })
    });
    if let Some(schema) = &columns
        && !schema.columns.iter().any(|(_, kind)| matches!(kind, WireType::Timestamp(_)))
        && let Some(at) = fields.place("columns")
    {
        reader.bad(
            at,
            "`columns` has no timestamp",
            "declare when a row happened: `time: timestamp`",
        );
    }
    time_column(reader, output, place);
    let peers = fields.get("peer_group").map(|node| peer_group(reader, node, output));
    if let Some(node) = fields.get("class") {
        class(reader, node, features.as_deref().unwrap_or_default());
    }
    let warmup = fields.get("warmup").and_then(|n| warmup(reader, n));
    let half_life = fields.get("half_life").and_then(|n| reader.duration(n, "half_life"));
    if let (Some(0), Some(node)) = (half_life, fields.get("half_life")) {
        reader.bad(
            node.span,
            "`half_life` is 0",
            "`2h` for volume, `24h` for sign-ins, `7d` for privileges",
        );
    }
    let severity = fields.get("severity").and_then(|n| Severity::read(reader, n));
    let status = fields.get("status").and_then(|n| Status::read(reader, n));
    let (entity, entity_column) = entity?;
    Some(BaselineFile {
        severity: severity.unwrap_or(Severity::Medium),
        status: status.unwrap_or_default(),
        false_positives: front::words(reader, &fields, "false_positives"),
        runbook: fields.get("runbook").and_then(|n| reader.text(n, "runbook")),
        unit: fields.get("unit").map_or(Some(BaselineUnit::Day), |n| unit(reader, n))?,
        alarm_rate: fields.get("alarm_rate").map_or(Some(0.001), |n| alarm_rate(reader, n))?,
        half_life: half_life.unwrap_or(86_400_000),
        warmup: warmup.unwrap_or(0),
        peers: peers.unwrap_or_default(),
        description: fields.get("description").and_then(|n| reader.text(n, "description")),
        references: front::words(reader, &fields, "references"),
        about: About::read(reader, &fields),
        tests: Vec::new(),
        file: Arc::clone(file),
        entity,
        entity_column,
        columns,
        features: features?,
        title: title?,
        id: id?,
    })
}

fn id(
    reader: &mut Reader<'_>,
    fields: &Fields<'_>,
    place: Span,
    below: Option<&str>,
) -> Option<RuleId> {
    match below {
        Some(below) => front::id(reader, fields, place, below),
        None => {
            let node = reader.require(fields, "id", place, "id: baselines.user_signin")?;
            let text = reader.text(node, "id")?;
            if front::is_reserved(&text) {
                reader.push(front::reserved(reader.path, &text).at(node.span));
                return None;
            }
            let id = RuleId::new(&text);
            if id.is_none() {
                reader.bad(node.span, format!("`{text}` is not an id"), "`baselines.user_signin`");
            }
            id
        }
    }
}

/// R008 if the SELECT is known not to return a column.
pub(crate) fn returned(
    reader: &mut Reader<'_>,
    output: Option<&[OutputColumn]>,
    name: &str,
    span: Span,
    what: &str,
) {
    let Some(output) = output else { return };
    if output.iter().any(|c| c.name == name) {
        return;
    }
    let names: Vec<&str> = output.iter().map(|c| c.name.as_str()).collect();
    reader.push(
        Diagnostic::error(
            "R008",
            reader.path,
            format!("{what} is `{name}`, which the SELECT does not return"),
        )
        .at(span)
        .did_you_mean(name, names.iter().copied())
        .hint(format!("it returns {}", names.join(", "))),
    );
}

fn time_column(reader: &mut Reader<'_>, output: Option<&[OutputColumn]>, place: Span) {
    if output.is_some_and(|columns| !columns.iter().any(|c| c.name == "time")) {
        reader.push(
            Diagnostic::error("R008", reader.path, "the SELECT does not return `time`")
                .at(place)
                .hint("the time of the event decides its unit: SELECT time, .."),
        );
    }
}

fn entity(
    reader: &mut Reader<'_>,
    fields: &Fields<'_>,
    place: Span,
    output: Option<&[OutputColumn]>,
) -> Option<(EntityKind, BaselineColumn)> {
    let hint = "entity: {user: user_entity}";
    let node = reader.require(fields, "entity", place, hint)?;
    let [entry] = reader.map(node, "entity")? else {
        reader.bad(node.span, "`entity` takes one kind and its column", hint);
        return None;
    };
    let kind_of = |word: &str| EntityKind::ALL.into_iter().find(|k| k.name() == word);
    let value = reader.text(&entry.value, "entity")?;
    // Rules write `{column: kind}`; both ways round are read.
    let (kind, name, span) = match (kind_of(&entry.key), kind_of(&value)) {
        (Some(kind), _) => (kind, value, entry.value.span),
        (None, Some(kind)) => (kind, entry.key.clone(), entry.span),
        (None, None) => {
            let kinds: Vec<&str> = EntityKind::ALL.iter().map(|k| k.name()).collect();
            reader.push(
                Diagnostic::error(
                    "R009",
                    reader.path,
                    format!("`{}` is not a kind of entity", entry.key),
                )
                .at(entry.span)
                .did_you_mean(&entry.key, kinds.iter().copied())
                .hint(format!("one of {}", kinds.join(", "))),
            );
            return None;
        }
    };
    returned(reader, output, &name, span, "the entity");
    Some((kind, BaselineColumn { name, span }))
}

/// The population the entities are. Service accounts keep no hours of a week.
fn class(reader: &mut Reader<'_>, node: &Node, features: &[BaselineFeature]) {
    let words = ["user", "service_account", "device", "workload", "application", "ip"];
    let words = words.map(|word| (word, word == "service_account"));
    if reader.word(node, "class", &words) == Some(true) {
        for feature in features.iter().filter(|f| matches!(f.kind, BaselineKind::TimeOfWeek(_))) {
            reader.bad(
                feature.span,
                "service accounts have no times of the week",
                "leave the feature out: their jobs run at any hour",
            );
        }
    }
}

/// The words of `peer_group`.
fn peer_group(
    reader: &mut Reader<'_>,
    node: &Node,
    output: Option<&[OutputColumn]>,
) -> BaselinePeers {
    let mut peers = BaselinePeers::default();
    let texts = reader.texts(node, "peer_group");
    let words = texts
        .iter()
        .flat_map(|(text, span)| text.split(',').map(move |word| (word.trim().to_owned(), *span)));
    for (word, span) in words.collect::<Vec<_>>() {
        match word.as_str() {
            "none" => {}
            "learned" => peers.learned = true,
            "directory" => {
                peers.directory = true;
                let column = BaselineFile::PEER_COLUMN;
                returned(reader, output, column, span, "the peer group of a directory");
            }
            other => reader.bad(
                span,
                format!("`{other}` is not a value of `peer_group`"),
                "`directory` (a column `peer_group` of the SELECT), `learned`, both, or `none`",
            ),
        }
    }
    peers
}

fn unit(reader: &mut Reader<'_>, node: &Node) -> Option<BaselineUnit> {
    let text = reader.text(node, "unit")?;
    let inside = |name: &str| text.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')');
    let unit = match (text.as_str(), inside("session"), inside("events")) {
        ("day", ..) => Some(BaselineUnit::Day),
        (_, Some(gap), _) => parse_duration(gap)
            .filter(|gap| (1..=86_400_000).contains(gap))
            .map(BaselineUnit::Session),
        (_, _, Some(n)) => {
            n.trim().parse().ok().filter(|n| (1..=10_000).contains(n)).map(BaselineUnit::Events)
        }
        _ => None,
    };
    if unit.is_none() {
        reader.bad(
            node.span,
            format!("`{text}` is not a unit"),
            "`day`, `session(30m)` with a gap of at most 24h, or `events(100)` with at most 10000",
        );
    }
    unit
}

/// `1 per 1000 entity-days`, or a share such as `0.001`.
fn alarm_rate(reader: &mut Reader<'_>, node: &Node) -> Option<f64> {
    let text = reader.text(node, "alarm_rate")?;
    let mut words = text.split_whitespace();
    let number = |word: Option<&str>| word.and_then(|w| w.parse::<f64>().ok());
    let first = number(words.next());
    let rate = match (first, words.next()) {
        (Some(share), None) => Some(share),
        (Some(alarms), Some("per")) => {
            let of = number(words.next());
            let rest: Vec<&str> = words.collect();
            let unit = ["entity-days", "units", "sessions", "blocks"];
            let known =
                matches!(rest.as_slice(), []) || matches!(rest.as_slice(), [u] if unit.contains(u));
            of.filter(|_| known).map(|of| alarms / of)
        }
        _ => None,
    };
    let valid = rate.filter(|r| *r > 0.0 && *r <= 0.5);
    if valid.is_none() {
        reader.bad(
            node.span,
            format!("`{text}` is not an alarm rate"),
            "alarms per units, above 0 and at most 0.5: `1 per 1000 entity-days`",
        );
    }
    valid
}

fn warmup(reader: &mut Reader<'_>, node: &Node) -> Option<u32> {
    let text = reader.text(node, "warmup")?;
    let number = text.split_whitespace().next().and_then(|n| n.parse().ok());
    let rest: Vec<&str> = text.split_whitespace().skip(1).collect();
    let valid = number.filter(|n| *n <= 10_000 && matches!(rest.as_slice(), [] | ["units"]));
    if valid.is_none() {
        reader.bad(node.span, format!("`{text}` is not a number of units"), "`warmup: 30 units`");
    }
    valid
}

fn tests(reader: &mut Reader<'_>, file: &SqlFile) -> Vec<BaselineTest> {
    cases::cases(reader, file, |reader, node, entries| {
        let fields = reader.keys(entries, "a case", &["name", "events", "expect", "after"]);
        let name = cases::name(reader, &fields, node);
        let hint = "events: [{t: +0s, table: .., .., repeat: 30, every: 24h}]";
        let events = reader
            .require(&fields, "events", node.span, hint)
            .map(|n| cases::events(reader, n))
            .unwrap_or_default();
        let expect = reader
            .require(&fields, "expect", node.span, "expect: [{feature: country}], or `expect: []`")
            .and_then(|n| reader.list(n, "expect"))
            .unwrap_or_default();
        let expect = expect.iter().filter_map(|n| expected(reader, n)).collect();
        let after = fields.get("after").and_then(|n| cases::time(reader, n, "after"));
        Some(BaselineTest { name: name?, events, expect, after, line: node.span.line as usize })
    })
}

fn expected(reader: &mut Reader<'_>, node: &Node) -> Option<ExpectedAnomaly> {
    let entries = reader.map(node, "expect")?;
    let fields = reader.keys(entries, "an expected anomaly", &["entity", "feature", "value"]);
    let get = |key| {
        fields.get(key).and_then(|n| match &n.value {
            Yaml::Null => None,
            _ => match n.json() {
                Value::String(text) => Some(text),
                other => Some(other.to_string()),
            },
        })
    };
    Some(ExpectedAnomaly { entity: get("entity"), feature: get("feature"), value: get("value") })
}
