//! What people decided about findings of baselines, as baselines learn from it. Not the verdicts, which
//! are in the triage of findings: this reads them.

use std::sync::Arc;

use sluice_baseline::{Verdict, Verdicts};
use sluice_finding::{Finding, FindingId, Reason, Triage};
use sluice_store::Snapshot;

use super::{
    findings::{exactly, load},
    layout::Spaces,
    records::decode_triage,
    unreadable,
};
use crate::EngineError;

/// A unit of a baseline that a person judged, or judges no more.
#[derive(Debug)]
pub(super) struct Judged {
    baseline: Arc<str>,
    entity: String,
    unit: i64,
    verdict: Option<Verdict>,
}

impl Judged {
    /// What a finding and its triage say; `None` if it is of no baseline. Units that are blocks of
    /// events have no window and are known by their number alone: of them nothing is said.
    pub(super) fn of(finding: &Finding, triage: &Triage) -> Option<Judged> {
        finding.fields.get("model_version")?;
        let (unit, _) = finding.window?;
        let verdict = triage.reason.and_then(|reason| match reason {
            Reason::FalsePositive | Reason::Benign => Some(Verdict::Benign),
            Reason::TruePositive => Some(Verdict::Compromised),
            Reason::Duplicate => None,
        });
        let entity = finding.entities.first()?.id.clone();
        Some(Judged { baseline: finding.rule_id.clone(), entity, unit, verdict })
    }

    /// Puts it up for baselines to see.
    pub(super) fn say(&self, verdicts: &Verdicts) {
        verdicts.say(&self.baseline, &self.entity, self.unit, self.verdict);
    }
}

/// All that people decided, as it is stored: what has been judged is a small part of the findings.
pub(super) fn load_all(spaces: &Spaces, snapshot: &Snapshot) -> Result<Vec<Judged>, EngineError> {
    let mut judged = Vec::new();
    for row in snapshot.prefix(&spaces.triage, b"") {
        let (key, value) = row?;
        let triage = decode_triage(&value).map_err(unreadable("triage"))?;
        if triage.reason.is_none() {
            continue;
        }
        let id = FindingId(u128::from_be_bytes(exactly(&key, "finding id")?));
        let Some(known) = load(spaces, snapshot, id)? else { continue };
        judged.extend(Judged::of(&known.finding, &triage));
    }
    Ok(judged)
}
