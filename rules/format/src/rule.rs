//! A rule: what its front matter declares, and its cases. Not what its SELECT means.

use std::{collections::BTreeMap, sync::Arc};

use sluice_event::EntityKind;

use crate::{
    About, BaselineFile, Diagnostic, RuleId, RuleTest, Severity, Span, SqlFile, Status, attack,
    cases,
    fields::{Fields, Reader},
    front,
    token::{self, OutputColumn},
    yaml::{Entry, Node},
};

/// A rule file, read.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The id: the path below the rules directory with dots.
    pub id: RuleId,
    /// What it finds, as a headline.
    pub title: String,
    /// How bad a finding is.
    pub severity: Severity,
    /// How far the rule is trusted.
    pub status: Status,
    /// What it finds, in a sentence or two.
    pub description: Option<String>,
    /// ATT&CK tactics and techniques, each in the table.
    pub attack: Vec<String>,
    /// Output columns that name what the finding is about, in file order.
    pub entity: Vec<(String, EntityKind)>,
    /// The score a finding alone gives a quiet entity, 0 to 90; see [`Rule::risk`].
    pub risk: Option<u8>,
    /// How repeats are folded.
    pub suppression: Option<Suppression>,
    /// What else looks like this.
    pub false_positives: Vec<String>,
    /// What it will not see.
    pub blind_spots: Vec<String>,
    /// What to do about a finding.
    pub runbook: Option<String>,
    /// Reading.
    pub references: Vec<String>,
    /// How late rows may be for this rule, milliseconds; else the source's.
    pub lateness: Option<i64>,
    /// When findings are spoken, if later than the rule's class allows.
    pub emit: Option<Emit>,
    /// The Sigma rule it was made from.
    pub sigma: Option<Sigma>,
    /// Author, dates, licence, tags.
    pub about: About,
    /// The cases.
    pub tests: Vec<RuleTest>,
    /// The file.
    pub file: Arc<SqlFile>,
    /// First 12 hex digits of BLAKE3 of the normalised SQL: equal for edits of layout, comments and
    /// front matter.
    pub version: String,
    places: BTreeMap<String, Span>,
}

/// Repeats of a finding with equal `by` columns within `for_ms` are folded into the first and
/// counted; they are never removed. The output column `dedup_key` stands for all of `by`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suppression {
    /// Output columns.
    pub by: Vec<String>,
    /// Milliseconds.
    pub for_ms: i64,
}

/// A later moment to speak than the rule's class would choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emit {
    /// When the watermark passes: stragglers within the delay are counted in.
    Watermark,
    /// When nothing can change the finding any more.
    Final,
}

/// The Sigma rule a rule was made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sigma {
    /// Its uuid.
    pub id: String,
    /// The revision of the corpus.
    pub revision: Option<String>,
}

const KEYS: [&str; 23] = [
    "id",
    "title",
    "severity",
    "status",
    "description",
    "attack",
    "entity",
    "risk",
    "suppression",
    "false_positives",
    "falsepositives",
    "blind_spots",
    "runbook",
    "references",
    "lateness",
    "emit",
    "sigma",
    "kind",
    "author",
    "date",
    "modified",
    "license",
    "tags",
];

/// Keys of the format whose operator or consumer does not exist: a key that does nothing is refused.
const WITHOUT_EFFECT: [(&str, &str, &str); 4] = [
    (
        "alert",
        "no incidents are opened yet, so there is nothing to leave a finding out of",
        "`status: experimental` keeps its findings out of the list, `risk: 0` out of scores",
    ),
    (
        "within",
        "it bounds MATCH_RECOGNIZE and chains of events, which are not available yet",
        "GROUP BY user_entity, sliding(time, INTERVAL '10 minutes') HAVING count(*) FILTER (WHERE \
         status = 'Failure') >= 5",
    ),
    (
        "on_silent_source",
        "it is about events that do not come (NOT EXISTS), which is not available yet",
        "leave the key out",
    ),
    (
        "bootstrap",
        "rules do not replay history: a new rule begins with the next event",
        "leave the key out; `sluice eval -r RULE FILE` runs a rule over past events",
    ),
];

impl Rule {
    /// Reads a rule file: `path` is for messages, `below` its path below the rules directory, which
    /// makes its id. The diagnostics beside the rule are warnings; more come from
    /// [`lint`](crate::lint).
    ///
    /// # Errors
    /// All errors of the file as far as it can be read: R001 to R009, R011 in the tests block.
    ///
    /// ```
    /// use sluice_rule::{Rule, Severity};
    ///
    /// let text = "/*---
    /// id: identity.refused
    /// title: Refused sign-ins
    /// severity: low
    /// ---*/
    /// SELECT time, user_name FROM authentication WHERE status = 'Failure'
    /// ";
    /// let (rule, _) = Rule::parse("identity/refused.sql", "identity/refused.sql", text).unwrap();
    /// assert_eq!(rule.severity, Severity::Low);
    ///
    /// let errors = Rule::parse("x.sql", "x.sql", "SELECT 1").unwrap_err();
    /// assert_eq!(errors[0].code, "R001");
    /// ```
    pub fn parse(
        path: &str,
        below: &str,
        text: &str,
    ) -> Result<(Rule, Vec<Diagnostic>), Vec<Diagnostic>> {
        let file = Arc::new(SqlFile::parse(path, text)?);
        let mut reader = Reader::new(path);
        reader.found.extend(file.warnings.iter().cloned());
        front::statement(&mut reader, &file);
        let output = token::output_columns(&file.sql);
        let rule = front::entries(&mut reader, &file).and_then(|entries| {
            front_matter(&mut reader, &file, below, output.as_deref(), &entries)
        });
        let tests = cases::rule_tests(&mut reader, &file, output.as_deref());
        reader.finish(&file, rule.map(|rule| Rule { tests, ..rule }))
    }

    /// A baseline as the rule that its findings are of. Its cases stay with the baseline.
    pub fn of_baseline(baseline: &BaselineFile) -> Rule {
        let mut attack: Vec<String> =
            baseline.features.iter().filter_map(|f| f.tactic.clone()).collect();
        attack.sort_unstable();
        attack.dedup();
        let BaselineFile { entity, entity_column, id, title, description, file, .. } = baseline;
        Rule {
            id: id.clone(),
            title: title.clone(),
            severity: baseline.severity,
            status: baseline.status,
            description: description.clone(),
            attack,
            entity: vec![(entity_column.name.clone(), *entity)],
            risk: None,
            suppression: None,
            false_positives: baseline.false_positives.clone(),
            blind_spots: Vec::new(),
            runbook: baseline.runbook.clone(),
            references: baseline.references.clone(),
            lateness: None,
            emit: None,
            sigma: None,
            about: baseline.about.clone(),
            tests: Vec::new(),
            version: baseline.version(),
            places: BTreeMap::from([("entity".to_owned(), entity_column.span)]),
            file: file.clone(),
        }
    }

    /// Whether a comment in the file silences this finding.
    pub fn allows(&self, diagnostic: &Diagnostic) -> bool {
        self.file.is_allowed(diagnostic)
    }

    /// The risk of a finding: the rule's own, else that of its severity.
    pub fn risk(&self) -> u8 {
        self.risk.unwrap_or(self.severity.risk())
    }

    /// Whether the rule runs at all.
    pub fn is_enabled(&self) -> bool {
        self.status != Status::Unsupported
    }

    /// Whether findings stay without consequence.
    pub fn is_shadow(&self) -> bool {
        self.status == Status::Experimental
    }

    /// Where a key of the front matter stands.
    pub fn place(&self, key: &str) -> Option<Span> {
        self.places.get(key).copied()
    }

    /// A new rule file over a table, for `sluice rule new`: it parses, and lints with warnings only.
    pub fn template(id: &str, table: &str) -> String {
        include_str!("../template.txt").replace("{id}", id).replace("{table}", table)
    }
}

fn front_matter(
    reader: &mut Reader<'_>,
    file: &Arc<SqlFile>,
    below: &str,
    output: Option<&[OutputColumn]>,
    entries: &[Entry],
) -> Option<Rule> {
    let place = front::place(file);
    let (idle, entries): (Vec<Entry>, Vec<Entry>) =
        entries.iter().cloned().partition(|e| WITHOUT_EFFECT.iter().any(|(key, ..)| *key == e.key));
    for entry in &idle {
        for (key, why, hint) in WITHOUT_EFFECT.iter().filter(|(key, ..)| *key == entry.key) {
            let primary = format!("`{key}` has no effect in this build");
            let refused = Diagnostic::error("R002", reader.path, primary).at(entry.span);
            reader.push(refused.detail(*why).hint(*hint));
        }
    }
    let fields = reader.keys(&entries, "front matter", &KEYS);
    let id = front::id(reader, &fields, place, below);
    let title = reader
        .require(&fields, "title", place, "title: MFA push fatigue")
        .and_then(|n| reader.text(n, "title"));
    let severity = reader
        .require(
            &fields,
            "severity",
            place,
            "severity: informational | low | medium | high | critical",
        )
        .and_then(|n| Severity::read(reader, n));
    let status = fields.get("status").and_then(|n| Status::read(reader, n));
    kind(reader, &fields);
    let false_positives = match fields.get("falsepositives") {
        Some(_) => front::words(reader, &fields, "falsepositives"),
        None => front::words(reader, &fields, "false_positives"),
    };
    let optional =
        |reader: &mut Reader<'_>, key| fields.get(key).and_then(|n: &Node| reader.text(n, key));
    let emit = [("watermark", Emit::Watermark), ("final", Emit::Final)];
    let rule = Rule {
        description: optional(reader, "description"),
        attack: attack::read(reader, &fields),
        entity: entity(reader, &fields, output),
        risk: risk(reader, &fields),
        suppression: fields.get("suppression").and_then(|n| suppression(reader, n, output)),
        false_positives,
        blind_spots: front::words(reader, &fields, "blind_spots"),
        runbook: optional(reader, "runbook"),
        references: front::words(reader, &fields, "references"),
        lateness: fields.get("lateness").and_then(|n| reader.duration(n, "lateness")),
        emit: fields.get("emit").and_then(|n| reader.word(n, "emit", &emit)),
        sigma: fields.get("sigma").and_then(|n| sigma(reader, n)),
        about: About::read(reader, &fields),
        tests: Vec::new(),
        version: token::version(&file.sql),
        places: entries.iter().map(|e| (e.key.clone(), e.span)).collect(),
        file: Arc::clone(file),
        status: status.unwrap_or_default(),
        id: id?,
        title: title?,
        severity: severity?,
    };
    if rule.sigma.is_some() {
        for (key, given) in [("author", &rule.about.author), ("license", &rule.about.license)] {
            if given.is_none() {
                let hint = "a rule made from Sigma keeps its author and licence";
                reader.require(&fields, key, rule.place("sigma").unwrap_or(place), hint);
            }
        }
    }
    Some(rule)
}

fn kind(reader: &mut Reader<'_>, fields: &Fields<'_>) {
    let Some(node) = fields.get("kind") else { return };
    if reader.text(node, "kind").is_some_and(|kind| kind != "rule") {
        reader.bad(node.span, "this file is not a rule", "`kind: rule`, or leave the key out");
    }
}

fn risk(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<u8> {
    let node = fields.get("risk")?;
    let risk = reader.integer(node, "risk")?;
    let valid = u8::try_from(risk).ok().filter(|r| *r <= 90);
    if valid.is_none() {
        reader.push(
            Diagnostic::error("R007", reader.path, format!("`risk: {risk}` is not within 0 to 90"))
                .at(node.span)
                .hint(
                    "the score this finding alone gives a quiet entity; leave it out for that of \
                       the severity: 0, 8, 15, 30, 60",
                ),
        );
    }
    valid
}

/// Reads `{column: kind}`; `{kind: column}` means the same.
fn entity(
    reader: &mut Reader<'_>,
    fields: &Fields<'_>,
    output: Option<&[OutputColumn]>,
) -> Vec<(String, EntityKind)> {
    let Some(node) = fields.get("entity") else { return Vec::new() };
    let Some(entries) = reader.map(node, "entity") else { return Vec::new() };
    let names = EntityKind::ALL.map(EntityKind::name);
    let mut entities = Vec::new();
    for entry in entries {
        let Some(word) = reader.text(&entry.value, "entity") else { continue };
        let (column, span, kind) = match (EntityKind::parse(&word), EntityKind::parse(&entry.key)) {
            (Some(kind), _) => (entry.key.clone(), entry.span, kind),
            (None, Some(kind)) => (word, entry.value.span, kind),
            (None, None) => {
                reader.push(
                    Diagnostic::error(
                        "R009",
                        reader.path,
                        format!("`{word}` is not a kind of entity"),
                    )
                    .at(entry.value.span)
                    .did_you_mean(&word, names)
                    .hint(format!("`column: kind`; the kinds are {}", names.join(", "))),
                );
                continue;
            }
        };
        returned(reader, output, "entity", &column, span);
        entities.push((column, kind));
    }
    entities
}

/// R008 if the SELECT is known not to return a column.
fn returned(
    reader: &mut Reader<'_>,
    output: Option<&[OutputColumn]>,
    key: &str,
    column: &str,
    span: Span,
) {
    let Some(output) = output else { return };
    let names = || output.iter().map(|c| c.name.as_str());
    if names().any(|n| n == column) || token::ENGINE_COLUMNS.contains(&column) {
        return;
    }
    let primary = format!("`{key}` names `{column}`, which the SELECT does not return");
    reader.push(
        Diagnostic::error("R008", reader.path, primary)
            .at(span)
            .did_you_mean(column, names())
            .hint(format!("it returns {}", names().collect::<Vec<_>>().join(", "))),
    );
}

fn suppression(
    reader: &mut Reader<'_>,
    node: &Node,
    output: Option<&[OutputColumn]>,
) -> Option<Suppression> {
    let entries = reader.map(node, "suppression")?;
    let fields = reader.keys(entries, "`suppression`", &["by", "for"]);
    let hint = "suppression: {by: [user_entity], for: 1h}";
    // Whether a row says so itself is known when its SELECT is.
    let by = fields.get("by").map(|n| reader.texts(n, "by")).unwrap_or_default();
    let span =
        reader.require(&fields, "for", node.span, hint).and_then(|n| reader.duration(n, "for"));
    for (column, span) in &by {
        returned(reader, output, "suppression", column, *span);
    }
    Some(Suppression { by: by.into_iter().map(|(column, _)| column).collect(), for_ms: span? })
}

fn sigma(reader: &mut Reader<'_>, node: &Node) -> Option<Sigma> {
    let entries = reader.map(node, "sigma")?;
    let fields = reader.keys(entries, "`sigma`", &["id", "revision"]);
    let id = reader
        .require(&fields, "id", node.span, "sigma: {id: <uuid>, revision: <commit>}")
        .and_then(|n| reader.text(n, "id"));
    let revision = fields.get("revision").and_then(|n| reader.text(n, "revision"));
    Some(Sigma { id: id?, revision })
}
