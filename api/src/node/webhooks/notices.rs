//! Notices of what the store holds: a finding, an incident, a change of level. Not who gets them.

use serde_json::{Map, Value, json};
use sluice_engine::durable::{LevelRow, Stored};
use sluice_event::rfc3339;
use sluice_finding::{Entity, FindingState, Incident, RiskLevel};
use sluice_rule::Severity;
use sluice_signal::webhook::{Notice, NoticeKind, Urgency};

/// Bytes of what a rule selected; more is left out, and said so.
const FIELDS: usize = 32 << 10;
/// Findings of an incident that are named.
const NAMED: usize = 100;

/// A finding that opened, or was withdrawn.
pub(super) fn finding(stored: &Stored) -> Notice {
    let finding = &stored.finding;
    let id = finding.id.to_string();
    let kind = match finding.state {
        FindingState::Withdrawn => NoticeKind::FindingWithdrawn,
        FindingState::Provisional | FindingState::Confirmed => NoticeKind::FindingOpened,
    };
    let mut data = json!({
        "id": id, "rule_id": finding.rule_id, "title": finding.title,
        "severity": finding.severity.name(), "time": rfc3339(finding.time),
        "state": finding.state.name(), "risk": finding.risk, "attack": finding.attack,
        "entities": entities(&finding.entities), "count": finding.count,
    });
    let fields = Value::Object(finding.fields.clone());
    match fields.to_string().len() <= FIELDS {
        true => insert(&mut data, "fields", fields),
        false => insert(&mut data, "truncated", true.into()),
    }
    let mut facts = vec![("rule", finding.rule_id.to_string())];
    facts.extend(finding.entities.iter().map(|e| (e.kind.name(), e.id.clone())));
    facts.push(("ATT&CK", finding.attack.join(", ")));
    Notice {
        kind,
        subject: id.clone(),
        number: 0,
        time: finding.time,
        urgency: urgency(finding.severity),
        title: finding.title.clone(),
        facts,
        page: format!("/#/findings/{id}"),
        data: object(data),
    }
}

/// An incident that opened, or is over.
pub(super) fn incident(incident: &Incident, kind: NoticeKind) -> Notice {
    let id = incident.id.to_string();
    let findings = incident.findings.keys().take(NAMED).map(ToString::to_string);
    let data = json!({
        "id": id, "title": incident.title, "severity": incident.severity.name(),
        "time": rfc3339(incident.time), "last_time": rfc3339(incident.last_time),
        "status": incident.status.name(), "verdict": incident.verdict.map(|v| v.name()),
        "entity": entity(&incident.entity), "tactics": incident.tactics,
        "findings": findings.collect::<Vec<_>>(), "findings_total": incident.findings.len(),
    });
    let verdict = incident.verdict.map_or_else(String::new, |v| v.name().to_owned());
    Notice {
        kind,
        subject: id.clone(),
        number: 0,
        time: incident.last_time,
        urgency: urgency(incident.severity),
        title: incident.title.clone(),
        facts: vec![
            (incident.entity.kind.name(), incident.entity.id.clone()),
            ("findings", incident.findings.len().to_string()),
            ("status", incident.status.name().to_owned()),
            ("verdict", verdict),
        ],
        page: format!("/#/incidents/{id}"),
        data: object(data),
    }
}

/// A change of level.
pub(super) fn level(level: &LevelRow) -> Notice {
    let row = &level.row;
    let (from, to) = (row.previous_level.name(), row.level.name());
    let subject = entity(&level.entity);
    let sources: Vec<&str> =
        row.reasons.iter().map(|r| &*r.source).filter(|source| !source.is_empty()).collect();
    let data = json!({
        "entity": subject, "level": to, "previous_level": from, "score": hundredths(row.score),
        "previous_score": hundredths(row.previous_score), "change": row.change,
        "time": rfc3339(row.at), "cause": row.cause.name(), "rules": sources,
    });
    Notice {
        kind: NoticeKind::RiskChanged,
        subject: subject.clone(),
        number: row.change,
        time: row.at,
        urgency: match row.level.max(row.previous_level) {
            RiskLevel::Low => Urgency::Low,
            RiskLevel::Medium => Urgency::Medium,
            RiskLevel::High => Urgency::High,
        },
        title: format!("Risk of {subject}: {from} to {to}"),
        facts: vec![
            (level.entity.kind.name(), level.entity.id.clone()),
            ("level", format!("{from} to {to}")),
            ("score", hundredths(row.score).to_string()),
            ("rules", sources.join(", ")),
        ],
        page: page(&level.entity),
        data: object(data),
    }
}

fn urgency(severity: Severity) -> Urgency {
    match severity {
        Severity::Informational => Urgency::Informational,
        Severity::Low => Urgency::Low,
        Severity::Medium => Urgency::Medium,
        Severity::High => Urgency::High,
        Severity::Critical => Urgency::Critical,
    }
}

/// `user:ann@example.com`.
fn entity(entity: &Entity) -> String {
    format!("{}:{}", entity.kind.name(), entity.id)
}

/// The page of an entity, its name percent-encoded.
fn page(entity: &Entity) -> String {
    let mut page = format!("/#/entities/{}/", entity.kind.name());
    for byte in entity.id.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                page.push(char::from(byte));
            }
            _ => page.push_str(&format!("%{byte:02X}")),
        }
    }
    page
}

fn entities(list: &[Entity]) -> Vec<String> {
    list.iter().map(entity).collect()
}

fn hundredths(score: i64) -> f64 {
    score as f64 / 100.0
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

fn insert(value: &mut Value, name: &str, of: Value) {
    if let Some(object) = value.as_object_mut() {
        object.insert(name.to_owned(), of);
    }
}
