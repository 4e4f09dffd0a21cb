//! The document of a finding.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sluice_finding::{Finding, FindingId, Triage};
use sluice_rule::attack;
use tantivy::{
    TantivyDocument, Term,
    schema::{Field, OwnedValue},
};

use crate::fields::Fields;

/// Bytes of columns and evidence that are indexed of one finding: 20 events of 3 kB.
const MOST_TEXT: usize = 64 * 1024;
/// Values of columns that are indexed of one finding.
const MOST_VALUES: usize = 1_000;
/// Nesting that is followed in a column or an event.
const DEEPEST: usize = 16;

/// The term that names a finding.
pub(crate) fn id_term(fields: &Fields, id: FindingId) -> Option<Term> {
    Some(Term::from_field_text(fields.named("id")?, &id.to_string()))
}

/// The order of a finding's id in two halves.
pub(crate) fn halves(id: FindingId) -> (u64, u64) {
    ((id.0 >> 64) as u64, id.0 as u64)
}

/// The document of a finding and its triage.
pub(crate) fn document(fields: &Fields, finding: &Finding, triage: &Triage) -> TantivyDocument {
    let mut document = TantivyDocument::new();
    let mut add = |name: &str, value: &str| {
        if let Some(field) = fields.named(name) {
            document.add_text(field, value);
        }
    };
    add("id", &finding.id.to_string());
    add("rule_id", &finding.rule_id);
    add("severity", finding.severity.name());
    add("status", triage.status.name());
    if let Some(reason) = triage.reason {
        add("reason", reason.name());
    }
    if let Some(assignee) = &triage.assignee {
        add("assignee", assignee);
    }
    add("state", finding.state.name());
    add("shadow", if finding.shadow { "true" } else { "false" });
    add("title", &finding.title);
    let kinds: BTreeSet<_> = finding.entities.iter().map(|e| e.kind.name()).collect();
    for kind in kinds {
        add("entity_kind", kind);
    }
    for entity in &finding.entities {
        add("entity", &entity.id);
        add("entity", &format!("{}:{}", entity.kind.name(), entity.id));
    }
    let (techniques, tactics) = attack_ids(&finding.attack);
    for id in &techniques {
        add("attack", id);
    }
    for id in tactics {
        add("tactic", id);
    }
    for (name, number) in [
        ("time", finding.time),
        ("risk", i64::from(finding.risk)),
        ("count", i64::try_from(finding.count).unwrap_or(i64::MAX)),
    ] {
        if let Some(field) = fields.named(name) {
            document.add_i64(field, number);
        }
    }
    let (high, low) = halves(finding.id);
    document.add_u64(fields.id_high, high);
    document.add_u64(fields.id_low, low);

    let all: Field = fields.all;
    document.add_text(all, &finding.title);
    document.add_text(all, &*finding.rule_id);
    for entity in &finding.entities {
        document.add_text(all, &entity.id);
    }
    for id in &techniques {
        document.add_text(all, id);
    }
    let mut columns = Columns { left: MOST_TEXT, ..Columns::default() };
    for (name, value) in &finding.fields {
        columns.walk(&name.to_lowercase(), value, 0);
    }
    for text in columns.words.values().flatten() {
        document.add_text(all, text);
    }
    let mut evidence = Columns { left: columns.left, ..Columns::default() };
    for event in &finding.evidence {
        if evidence.left == 0 {
            break;
        }
        // Evidence is written by this program; a line that is no JSON is indexed as it stands.
        match serde_json::from_str::<Value>(event) {
            Ok(event) => evidence.walk("", &event, 0),
            Err(_) => evidence.text("", event),
        }
    }
    let mut seen = BTreeSet::new();
    for text in evidence.words.values().flatten() {
        // The events of a finding say mostly the same.
        if seen.insert(text) {
            document.add_text(all, text);
        }
    }
    document.add_object(
        fields.columns,
        columns
            .words
            .into_iter()
            .map(|(path, texts)| {
                (path, OwnedValue::Array(texts.into_iter().map(OwnedValue::Str).collect()))
            })
            .collect(),
    );
    document.add_object(
        fields.numbers,
        columns
            .numbers
            .into_iter()
            .map(|(path, numbers)| {
                (path, OwnedValue::Array(numbers.into_iter().map(OwnedValue::F64).collect()))
            })
            .collect(),
    );
    document
}

/// The tactics and techniques of a rule with the parents of sub-techniques, and all tactics.
fn attack_ids(ids: &[String]) -> (BTreeSet<&str>, BTreeSet<&str>) {
    let mut all = BTreeSet::new();
    let mut tactics = BTreeSet::new();
    for id in ids {
        all.insert(id.as_str());
        if let Some((parent, _)) = id.split_once('.') {
            all.insert(parent);
        }
        if id.starts_with("TA") {
            tactics.insert(id.as_str());
        }
        tactics.extend(attack(id).iter().flat_map(|a| a.tactics.iter().copied()));
    }
    (all, tactics)
}

/// The leaves of JSON by path, `a.b` for nested objects; lists share the path of their column.
#[derive(Default)]
struct Columns {
    words: BTreeMap<String, Vec<String>>,
    numbers: BTreeMap<String, Vec<f64>>,
    values: usize,
    /// Bytes of text that may still be taken.
    left: usize,
}

impl Columns {
    fn walk(&mut self, path: &str, value: &Value, depth: usize) {
        if depth > DEEPEST {
            return;
        }
        match value {
            Value::Null => {}
            Value::Bool(b) => self.text(path, if *b { "true" } else { "false" }),
            Value::Number(number) => {
                self.text(path, &number.to_string());
                if let Some(number) = number.as_f64()
                    && self.values < MOST_VALUES
                {
                    self.numbers.entry(path.to_owned()).or_default().push(number);
                }
            }
            Value::String(text) => self.text(path, text),
            Value::Array(values) => {
                for value in values {
                    self.walk(path, value, depth + 1);
                }
            }
            Value::Object(values) => {
                for (name, value) in values {
                    let name = name.to_lowercase();
                    match path {
                        "" => self.walk(&name, value, depth + 1),
                        _ => self.walk(&format!("{path}.{name}"), value, depth + 1),
                    }
                }
            }
        }
    }

    fn text(&mut self, path: &str, text: &str) {
        if self.left == 0 || self.values >= MOST_VALUES || text.is_empty() {
            return;
        }
        let cut = text.floor_char_boundary(self.left);
        let text = text.get(..cut).unwrap_or_default();
        self.left = self.left.saturating_sub(cut);
        self.values += 1;
        self.words.entry(path.to_owned()).or_default().push(text.to_owned());
    }
}
