//! Findings: what detection says, as plain values and pure functions.
//!
//! It is: [`Finding`] (OCSF Detection Finding, class 2004), its deterministic [`FindingId`], and how
//! a repeated or corrected finding folds into the one already known, what becomes of a record that
//! claims the id of another ([`contest`]), which repeats stand
//! out ([`repeats`]), how those of one rule and minute that are too many are reported ([`capped`]), what
//! people did about it ([`Triage`]), the risk of an entity ([`RiskLedger`]), incidents and suppressions. It is not: a store, a wire
//! format (the API and the CLI have views), or the rule that made it. No IO, no clock.
#![forbid(unsafe_code)]

pub mod capped;
pub mod contest;
mod finding;
mod fold;
mod history;
mod id;
mod incident;
pub mod repeats;
mod risk;
mod suppression;
mod triage;

pub use finding::{CappedBy, Entity, Finding, FindingState};
pub use fold::fold;
pub use id::FindingId;
pub use incident::{
    Belongs, INCIDENT_FINDINGS, Incident, IncidentChange, IncidentEntry, IncidentStatus,
    IncidentVerdict, QUIET, Refused,
};
pub use repeats::{RepeatGroup, Repeats};
pub use risk::{
    Contribution, ContributionKind, Criticality, EntityRisk, Evidence, Factor, FactorKey, Floor,
    LevelChange, Override, RiskLedger, RiskLevel, RiskScore, RiskState, anomaly_weight,
    declared_weight, evidence, noise_discount, risk_of_weight,
};
pub use suppression::{Suppression, SuppressionMatch, SuppressionRefused};
pub use triage::{Reason, Triage, TriageChange, TriageEntry, TriageRefused, TriageStatus};
