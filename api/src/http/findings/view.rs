//! A finding as the API shows it. The names of these fields are stable, and those of the finding
//! itself are the ones the command line prints.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};
use sluice_engine::{durable::Stored, findings::evidence_json};
use sluice_event::rfc3339;
use sluice_finding::{Finding, FindingId, TriageEntry};
use utoipa::ToSchema;

/// A page of findings.
#[derive(Serialize, ToSchema)]
#[schema(as = FindingPage)]
pub(in super::super) struct Page {
    pub(super) items: Vec<Item>,
    /// Where the next page goes on; null at the end.
    #[schema(required)]
    pub(super) next_cursor: Option<String>,
    pub(super) total: Total,
    /// How many findings of rules on trial match, whether they are listed or not.
    pub(super) shadow_total: Total,
    /// Per field asked for: values and how many findings have each, most first.
    pub(super) facets: BTreeMap<String, Vec<Facet>>,
}

/// How many findings there are on all pages.
#[derive(Serialize, ToSchema)]
pub(in super::super) struct Total {
    pub(super) value: u64,
    /// `eq`: exactly so many; `gte`: at least.
    pub(super) relation: &'static str,
}

impl Total {
    /// Exactly so many.
    pub(super) fn exactly(value: u64) -> Total {
        Total { value, relation: "eq" }
    }
}

/// A value of a field.
#[derive(Serialize, ToSchema)]
pub(in super::super) struct Facet {
    pub(super) value: String,
    pub(super) count: u64,
}

/// A finding without its evidence.
#[derive(Serialize, ToSchema)]
#[schema(as = Finding)]
pub(in super::super) struct Item {
    /// 32 hex digits; the same after a replay.
    id: String,
    rule_id: String,
    /// 12 hex digits of the hash of the rule's SQL.
    rule_version: String,
    title: String,
    /// `informational`, `low`, `medium`, `high` or `critical`.
    severity: &'static str,
    /// 0 to 90.
    risk: u8,
    /// Event time of the row that decided it.
    time: String,
    /// `provisional`, `confirmed` or `withdrawn`.
    state: &'static str,
    revision: u32,
    entities: Vec<Entity>,
    /// ATT&CK tactics and techniques.
    attack: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    window_start: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    window_end: Option<String>,
    /// Events that contributed.
    count: u64,
    /// The rule is on trial.
    shadow: bool,
    /// It repeats an earlier finding (`suppression` of its rule): nobody is told again.
    suppressed: bool,
    /// The finding it repeats.
    #[serde(skip_serializing_if = "Option::is_none")]
    folded_into: Option<String>,
    /// Findings that repeat this one.
    repeats: u64,
    /// An event behind the watermark contributed.
    late: bool,
    /// A limit was hit: counts are lower bounds.
    capped: bool,
    /// Which limits were hit.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    capped_by: Vec<CappedBy>,
    /// Its event has the id of another event that was known before and says something else.
    contested: bool,
    /// What is wrong with times of events that contributed, shown or not: `missing`, `invalid`, `future`
    /// (they count as when they were received, and a burst of them may be none), `ambiguous`, `skipped`
    /// (their clock showed the time twice, or never).
    #[serde(skip_serializing_if = "Option::is_none")]
    time_flag: Option<String>,
    /// What the rule selected.
    #[schema(value_type = Object)]
    fields: Map<String, Value>,
    /// Events the evidence was chosen from.
    evidence_total: u64,
    /// `new`, `in_progress` or `resolved`.
    status: &'static str,
    /// With `resolved`: `true_positive`, `false_positive`, `benign` or `duplicate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    assignee: Option<String>,
    /// Changes of triage so far; the `ETag`.
    version: u64,
    /// The number of the last change of the finding or its triage.
    seq: u64,
}

/// A finding with its evidence and history.
#[derive(Serialize, ToSchema)]
#[schema(as = FindingDetail)]
pub(in super::super) struct Detail {
    #[serde(flatten)]
    item: Item,
    /// Contributing events: the first ten and the last ten.
    #[schema(value_type = Vec<Object>)]
    evidence: Vec<Value>,
    /// Every change of triage, oldest first.
    history: Vec<Entry>,
    /// Suppressions that apply to it: it weighs nothing and opens no incident.
    suppressed_by: Vec<String>,
}

/// A limit that a finding has hit.
#[derive(Serialize, ToSchema)]
#[schema(as = FindingCappedBy)]
struct CappedBy {
    /// `keys_max`, `window_events_max`, `session_max`, `array_agg`, `findings_per_minute`, or a bound of a
    /// baseline's policy.
    bound: String,
    /// What it was: a number of keys, rows, values, entities or findings; milliseconds for `session_max`.
    limit: u64,
}

/// Someone or something a finding is about.
#[derive(Serialize, ToSchema)]
struct Entity {
    kind: &'static str,
    id: String,
}

/// One change of triage: what is given was changed.
#[derive(Serialize, ToSchema)]
#[schema(as = TriageEntry)]
struct Entry {
    at: String,
    /// The name of a token.
    by: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// Null: nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    assignee: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
}

impl Item {
    /// The view of a stored finding.
    pub(in super::super) fn of(stored: &Stored) -> Item {
        let Stored { finding, triage, repeats, seq } = stored;
        let Finding { window, .. } = finding;
        Item {
            id: finding.id.to_string(),
            rule_id: finding.rule_id.to_string(),
            rule_version: finding.rule_version.to_string(),
            title: finding.title.clone(),
            severity: finding.severity.name(),
            risk: finding.risk,
            time: rfc3339(finding.time),
            state: finding.state.name(),
            revision: finding.revision,
            entities: finding
                .entities
                .iter()
                .map(|e| Entity { kind: e.kind.name(), id: e.id.clone() })
                .collect(),
            attack: finding.attack.to_vec(),
            window_start: window.map(|w| rfc3339(w.0)),
            window_end: window.map(|w| rfc3339(w.1)),
            count: finding.count,
            shadow: finding.shadow,
            suppressed: repeats.folded_into.is_some(),
            folded_into: repeats.folded_into.map(|id| id.to_string()),
            repeats: repeats.count,
            late: finding.late,
            capped: finding.capped,
            capped_by: finding
                .capped_by
                .iter()
                .map(|cap| CappedBy { bound: cap.bound.to_string(), limit: cap.limit })
                .collect(),
            contested: finding.contested,
            time_flag: finding.time_flag(),
            fields: finding.fields.clone(),
            evidence_total: finding.evidence_total,
            status: triage.status.name(),
            reason: triage.reason.map(|r| r.name()),
            assignee: triage.assignee.clone(),
            version: triage.version,
            seq: seq.0,
        }
    }
}

impl Detail {
    /// The view of a stored finding.
    pub(super) fn of(stored: &Stored, suppressed_by: &[FindingId]) -> Detail {
        Detail {
            suppressed_by: suppressed_by.iter().map(ToString::to_string).collect(),
            item: Item::of(stored),
            evidence: evidence_json(&stored.finding.evidence),
            history: stored.triage.history.iter().map(Entry::of).collect(),
        }
    }
}

impl Entry {
    fn of(entry: &TriageEntry) -> Entry {
        Entry {
            at: rfc3339(entry.at),
            by: entry.by.clone(),
            status: entry.change.status.map(|s| s.name()),
            reason: entry.change.reason.map(|r| r.name()),
            assignee: entry.change.assignee.clone(),
            comment: entry.change.comment.clone(),
        }
    }
}
