//! Incidents as they are on the wire.

use serde::{Deserialize, Serialize};
use sluice_event::rfc3339;
use sluice_finding::{
    EntityRisk, Incident, IncidentChange, IncidentEntry, IncidentStatus, IncidentVerdict,
};
use sluice_signal::EntityLevel;
use utoipa::ToSchema;

use super::super::{
    findings::change::{given, texts},
    problem::{Code, Problem},
    risk::view::{Brief, points},
};

/// An incident without its findings.
#[derive(Serialize, ToSchema)]
#[schema(as = Incident)]
pub(in super::super) struct Item {
    /// 32 hex digits.
    id: String,
    /// Whom it is about.
    entity: About,
    /// Title of the finding that opened it.
    title: String,
    /// Of its first finding.
    time: String,
    /// Of its latest finding.
    last_time: String,
    /// The worst of its findings.
    severity: &'static str,
    /// `new`, `in_progress`, `on_hold`, `resolved` or `closed`.
    status: &'static str,
    #[schema(required)]
    assignee: Option<String>,
    /// `confirmed_compromise`, `true_positive`, `benign`, `false_positive` or `duplicate`.
    #[schema(required)]
    verdict: Option<&'static str>,
    /// With `duplicate`: the incident that has its findings.
    #[schema(required)]
    duplicate_of: Option<String>,
    /// The highest score of the entity while it was open.
    risk_peak: f64,
    /// ATT&CK tactics.
    tactics: Vec<String>,
    findings_total: u64,
    /// Changes by people so far; the `ETag`.
    version: u64,
}

/// Whom an incident is about.
#[derive(Serialize, ToSchema)]
#[schema(as = IncidentEntity)]
struct About {
    kind: &'static str,
    id: String,
}

/// An incident with its findings and history.
#[derive(Serialize, ToSchema)]
#[schema(as = IncidentDetail)]
pub(in super::super) struct Whole {
    #[serde(flatten)]
    item: Item,
    findings: Vec<Member>,
    /// Every change by people, oldest first.
    history: Vec<Entry>,
}

/// A finding of an incident.
#[derive(Serialize, ToSchema)]
#[schema(as = IncidentFinding)]
struct Member {
    id: String,
    /// Why it belongs: `critical` or `risk_high` (it opened it), `same_entity` (within 24 hours of the
    /// one before), `contributed` (to the risk that opened it).
    why: &'static str,
}

/// One change: what is given was changed.
#[derive(Serialize, ToSchema)]
#[schema(as = IncidentEntry)]
struct Entry {
    at: String,
    /// The name of a token.
    by: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duplicate_of: Option<String>,
    /// Null: nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    assignee: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
}

/// An incident after a change, and what it did to the risk of its entity.
#[derive(Serialize, ToSchema)]
#[schema(as = IncidentChanged)]
pub(in super::super) struct Changed {
    incident: Whole,
    risk: Brief,
}

/// What to change; what is not given stays.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = IncidentUpdate)]
pub(in super::super) struct Change {
    /// `new`, `in_progress`, `on_hold`, `resolved` or `closed`.
    status: Option<String>,
    /// `confirmed_compromise`, `true_positive`, `benign`, `false_positive` or `duplicate`.
    verdict: Option<String>,
    /// With `duplicate`: of which incident.
    duplicate_of: Option<String>,
    /// Who takes it; null: nobody.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    assignee: Option<Option<String>>,
    /// A remark.
    comment: Option<String>,
}

impl Change {
    /// The change, its words known and its texts bounded.
    pub(super) fn checked(self) -> Result<IncidentChange, Problem> {
        let invalid = |text: String| Problem::new(Code::Unprocessable, text);
        let status = self.status.map(|word| {
            IncidentStatus::parse(&word).ok_or_else(|| {
                let all = IncidentStatus::ALL.map(IncidentStatus::name).join(", ");
                invalid(format!("`{word}` is no status: it is one of {all}"))
            })
        });
        let of = self.duplicate_of.map(|id| {
            id.parse().map_err(|_| invalid(format!("`duplicate_of`: there is no incident {id}")))
        });
        let of = of.transpose()?;
        if of.is_some() && self.verdict.as_deref() != Some("duplicate") {
            return Err(invalid("`duplicate_of` goes with the verdict `duplicate`".to_owned()));
        }
        let verdict = self.verdict.map(|word| {
            IncidentVerdict::parse(&word, of).ok_or_else(|| {
                let all = IncidentVerdict::NAMES.join(", ");
                match word.as_str() {
                    "duplicate" => invalid("a duplicate needs `duplicate_of`".to_owned()),
                    _ => invalid(format!("`{word}` is no verdict: it is one of {all}")),
                }
            })
        });
        texts(self.assignee.as_ref(), self.comment.as_deref())?;
        Ok(IncidentChange {
            status: status.transpose()?,
            verdict: verdict.transpose()?,
            assignee: self.assignee,
            comment: self.comment,
        })
    }
}

/// A change as the audit log has it: not the remark, which is in the history of the incident.
pub(super) fn recorded(change: &IncidentChange) -> serde_json::Value {
    serde_json::json!({
        "status": change.status.map(IncidentStatus::name),
        "verdict": change.verdict.map(IncidentVerdict::name),
        "assignee": change.assignee, "comment": change.comment.is_some(),
    })
}

fn duplicate_of(verdict: Option<IncidentVerdict>) -> Option<String> {
    match verdict? {
        IncidentVerdict::Duplicate(of) => Some(of.to_string()),
        IncidentVerdict::ConfirmedCompromise
        | IncidentVerdict::TruePositive
        | IncidentVerdict::Benign
        | IncidentVerdict::FalsePositive => None,
    }
}

impl Item {
    pub(in super::super) fn of(incident: &Incident) -> Item {
        Item {
            id: incident.id.to_string(),
            entity: About { kind: incident.entity.kind.name(), id: incident.entity.id.clone() },
            title: incident.title.clone(),
            time: rfc3339(incident.time),
            last_time: rfc3339(incident.last_time),
            severity: incident.severity.name(),
            status: incident.status.name(),
            assignee: incident.assignee.clone(),
            verdict: incident.verdict.map(IncidentVerdict::name),
            duplicate_of: duplicate_of(incident.verdict),
            risk_peak: points(incident.risk_peak),
            tactics: incident.tactics.clone(),
            findings_total: incident.findings.len() as u64,
            version: incident.history.len() as u64,
        }
    }
}

impl Whole {
    pub(super) fn of(incident: &Incident) -> Whole {
        let member = |(id, why): (&sluice_finding::FindingId, &sluice_finding::Belongs)| Member {
            id: id.to_string(),
            why: why.name(),
        };
        Whole {
            item: Item::of(incident),
            findings: incident.findings.iter().map(member).collect(),
            history: incident.history.iter().map(Entry::of).collect(),
        }
    }
}

impl Changed {
    pub(super) fn of(
        incident: &Incident,
        risk: Option<&EntityRisk>,
        seen: Option<&EntityLevel>,
        at: i64,
    ) -> Changed {
        let risk = Brief::of(&incident.entity, risk, seen, at);
        Changed { incident: Whole::of(incident), risk }
    }
}

impl Entry {
    fn of(entry: &IncidentEntry) -> Entry {
        Entry {
            at: rfc3339(entry.at),
            by: entry.by.clone(),
            status: entry.change.status.map(IncidentStatus::name),
            verdict: entry.change.verdict.map(IncidentVerdict::name),
            duplicate_of: duplicate_of(entry.change.verdict),
            assignee: entry.change.assignee.clone(),
            comment: entry.change.comment.clone(),
        }
    }
}
