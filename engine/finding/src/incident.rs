//! Incidents: findings of one entity that belong together, and what people decide about them. Plain
//! values and pure functions; not who stores them.

use std::collections::BTreeMap;

use sluice_rule::Severity;

use crate::{Entity, Finding, FindingId, RiskLevel, history};

/// Milliseconds without a finding after which the next one opens another incident.
pub const QUIET: i64 = 24 * 3_600_000;
/// Findings of one incident: one more of its entity opens another.
pub const INCIDENT_FINDINGS: usize = 1_000;

/// An incident (OCSF Incident Finding, class 2005).
#[derive(Clone, Debug, PartialEq)]
pub struct Incident {
    /// Derived from the entity and the finding that opened it.
    pub id: FindingId,
    /// Whom it is about.
    pub entity: Entity,
    /// Title of the finding that opened it.
    pub title: String,
    /// Event time of its first finding, milliseconds.
    pub time: i64,
    /// Event time of its latest finding.
    pub last_time: i64,
    /// The worst of its findings.
    pub severity: Severity,
    /// Why each finding belongs to it.
    pub findings: BTreeMap<FindingId, Belongs>,
    /// ATT&CK tactics seen.
    pub tactics: Vec<String>,
    /// The highest score while it was open, in hundredths.
    pub risk_peak: i64,
    /// Where the work stands.
    pub status: IncidentStatus,
    /// Who works on it.
    pub assignee: Option<String>,
    /// What it turned out to be; set when it is resolved or closed.
    pub verdict: Option<IncidentVerdict>,
    /// Every change, oldest first.
    pub history: Vec<IncidentEntry>,
}

/// Why a finding belongs to an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Belongs {
    /// It is of critical severity and opened it.
    Critical,
    /// The entity's risk reached high with it, and it opened it.
    RiskHigh,
    /// It is about the same entity, within 24 hours of the one before.
    SameEntity,
    /// It contributed to the risk that opened it.
    Contributed,
}

/// Where the work on an incident stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum IncidentStatus {
    /// Nobody has looked.
    #[default]
    New,
    /// Somebody is at it.
    InProgress,
    /// Waits for something.
    OnHold,
    /// Dealt with.
    Resolved,
    /// Dealt with and reviewed.
    Closed,
}

/// What an incident turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IncidentVerdict {
    /// The account or device is in other hands: risk stays high until it is closed.
    ConfirmedCompromise,
    /// Real, and dealt with: its findings go on to decay.
    TruePositive,
    /// Real but allowed: its findings weigh nothing any more.
    Benign,
    /// The rules were wrong: its findings weigh nothing any more, and those of the same rules about the
    /// same entity do not for 30 days.
    FalsePositive,
    /// The same as another incident, which takes its findings.
    Duplicate(FindingId),
}

/// One change.
#[derive(Clone, Debug, PartialEq)]
pub struct IncidentEntry {
    /// When, milliseconds since 1970 UTC.
    pub at: i64,
    /// Who.
    pub by: String,
    /// What.
    pub change: IncidentChange,
}

/// What to change; `None` leaves it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IncidentChange {
    /// The status to take.
    pub status: Option<IncidentStatus>,
    /// Who takes it; `Some(None)`: nobody.
    pub assignee: Option<Option<String>>,
    /// What it turned out to be.
    pub verdict: Option<IncidentVerdict>,
    /// A remark.
    pub comment: Option<String>,
}

impl IncidentChange {
    /// Bytes of its texts.
    fn bytes(&self) -> usize {
        let assignee = self.assignee.as_ref().and_then(Option::as_ref).map_or(0, String::len);
        assignee + self.comment.as_ref().map_or(0, String::len)
    }
}

impl Belongs {
    /// Every reason.
    pub const ALL: [Belongs; 4] =
        [Belongs::Critical, Belongs::RiskHigh, Belongs::SameEntity, Belongs::Contributed];

    /// The word on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Belongs::Critical => "critical",
            Belongs::RiskHigh => "risk_high",
            Belongs::SameEntity => "same_entity",
            Belongs::Contributed => "contributed",
        }
    }

    /// The reason of a word.
    pub fn parse(word: &str) -> Option<Belongs> {
        Belongs::ALL.into_iter().find(|b| b.name() == word)
    }
}

impl IncidentStatus {
    /// Every status.
    pub const ALL: [IncidentStatus; 5] = [
        IncidentStatus::New,
        IncidentStatus::InProgress,
        IncidentStatus::OnHold,
        IncidentStatus::Resolved,
        IncidentStatus::Closed,
    ];

    /// The word on the wire.
    pub fn name(self) -> &'static str {
        match self {
            IncidentStatus::New => "new",
            IncidentStatus::InProgress => "in_progress",
            IncidentStatus::OnHold => "on_hold",
            IncidentStatus::Resolved => "resolved",
            IncidentStatus::Closed => "closed",
        }
    }

    /// The status of a word.
    pub fn parse(word: &str) -> Option<IncidentStatus> {
        IncidentStatus::ALL.into_iter().find(|s| s.name() == word)
    }

    /// Whether nobody works on it any more.
    pub fn ends(self) -> bool {
        matches!(self, IncidentStatus::Resolved | IncidentStatus::Closed)
    }
}

impl IncidentVerdict {
    /// The words on the wire.
    pub const NAMES: [&str; 5] =
        ["confirmed_compromise", "true_positive", "benign", "false_positive", "duplicate"];

    /// The word on the wire.
    pub fn name(self) -> &'static str {
        match self {
            IncidentVerdict::ConfirmedCompromise => "confirmed_compromise",
            IncidentVerdict::TruePositive => "true_positive",
            IncidentVerdict::Benign => "benign",
            IncidentVerdict::FalsePositive => "false_positive",
            IncidentVerdict::Duplicate(_) => "duplicate",
        }
    }

    /// The verdict of a word; a duplicate is one of another incident.
    pub fn parse(word: &str, of: Option<FindingId>) -> Option<IncidentVerdict> {
        Some(match word {
            "confirmed_compromise" => IncidentVerdict::ConfirmedCompromise,
            "true_positive" => IncidentVerdict::TruePositive,
            "benign" => IncidentVerdict::Benign,
            "false_positive" => IncidentVerdict::FalsePositive,
            "duplicate" => IncidentVerdict::Duplicate(of?),
            _ => return None,
        })
    }
}

/// Why a change was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Resolving or closing needs a verdict.
    VerdictMissing,
    /// An incident cannot be a duplicate of itself.
    DuplicateOfItself,
    /// The change changes nothing.
    Empty,
    /// It has as many changes, or as many bytes of remarks, as are kept.
    HistoryFull,
}

impl Incident {
    /// Opens an incident if a finding calls for one: it is critical, or the entity is at high.
    pub fn open(
        entity: &Entity,
        finding: &Finding,
        level: RiskLevel,
        score: i64,
    ) -> Option<Incident> {
        let why = match (finding.severity, level) {
            _ if finding.shadow => return None,
            (Severity::Critical, _) => Belongs::Critical,
            (_, RiskLevel::High) => Belongs::RiskHigh,
            (_, RiskLevel::Medium | RiskLevel::Low) => return None,
        };
        let key = format!("{}:{} {}", entity.kind.name(), entity.id, finding.id);
        let mut incident = Incident {
            id: FindingId::derive("default", "incident", key.as_bytes()),
            entity: entity.clone(),
            title: finding.title.clone(),
            time: finding.time,
            last_time: finding.time,
            severity: finding.severity,
            findings: BTreeMap::new(),
            tactics: Vec::new(),
            risk_peak: score,
            status: IncidentStatus::New,
            assignee: None,
            verdict: None,
            history: Vec::new(),
        };
        incident.take(finding, why);
        Some(incident)
    }

    /// Whether a finding of its entity at `time` still belongs to it.
    pub fn lasts_at(&self, time: i64) -> bool {
        !self.status.ends()
            && self.findings.len() < INCIDENT_FINDINGS
            && time >= self.time.saturating_sub(QUIET)
            && time <= self.last_time.saturating_add(QUIET)
    }

    /// Adds a finding of its entity; false if it does not belong, or is there already.
    pub fn join(&mut self, finding: &Finding, score: i64) -> bool {
        if finding.shadow || !self.lasts_at(finding.time) || self.findings.contains_key(&finding.id)
        {
            return false;
        }
        self.risk_peak = self.risk_peak.max(score);
        self.take(finding, Belongs::SameEntity);
        true
    }

    /// Takes out a finding that was withdrawn; whether it was there.
    pub fn leave(&mut self, id: FindingId) -> bool {
        self.findings.remove(&id).is_some()
    }

    /// Adds an earlier finding that contributed to the risk that opened it.
    pub fn include(&mut self, finding: &Finding) {
        if !self.findings.contains_key(&finding.id) {
            self.take(finding, Belongs::Contributed);
        }
    }

    fn take(&mut self, finding: &Finding, why: Belongs) {
        self.findings.insert(finding.id, why);
        self.time = self.time.min(finding.time);
        self.last_time = self.last_time.max(finding.time);
        self.severity = self.severity.max(finding.severity);
        for tactic in finding.attack.iter().filter(|id| id.starts_with("TA")) {
            if let Err(at) = self.tactics.binary_search(tactic) {
                self.tactics.insert(at, tactic.clone());
            }
        }
    }

    /// Applies a person's change and records it.
    ///
    /// # Errors
    /// A change that cannot be; the incident is as before.
    pub fn change(&mut self, at: i64, by: &str, change: IncidentChange) -> Result<(), Refused> {
        if change == IncidentChange::default() {
            return Err(Refused::Empty);
        }
        let ends = change.status.is_some_and(IncidentStatus::ends);
        let moves = change.status.is_some() || change.verdict.is_some();
        let history = self.history.iter().map(|e| (&*e.by, e.change.bytes()));
        if !history::has_room(history, by, moves, change.bytes()) {
            return Err(Refused::HistoryFull);
        }
        if ends && change.verdict.is_none() && self.verdict.is_none() {
            return Err(Refused::VerdictMissing);
        }
        if change.verdict == Some(IncidentVerdict::Duplicate(self.id)) {
            return Err(Refused::DuplicateOfItself);
        }
        if let Some(status) = change.status {
            // Work that goes on has no outcome yet.
            if self.status.ends() && !status.ends() {
                self.verdict = None;
            }
            self.status = status;
        }
        if let Some(assignee) = &change.assignee {
            self.assignee.clone_from(assignee);
        }
        if let Some(verdict) = &change.verdict {
            self.verdict = Some(*verdict);
        }
        self.history.push(IncidentEntry { at, by: by.to_owned(), change });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use sluice_event::EntityKind;

    use super::*;
    use crate::FindingState;

    fn ann() -> Entity {
        Entity { kind: EntityKind::User, id: "ann".into() }
    }

    fn finding(id: u128, severity: Severity, time: i64) -> Finding {
        Finding {
            id: FindingId(id),
            rule_id: "identity.x".into(),
            rule_version: "0".into(),
            title: format!("finding {id}"),
            severity,
            time,
            state: FindingState::Confirmed,
            revision: 1,
            entities: vec![ann()],
            attack: vec!["TA0001".to_owned(), "T1110".to_owned()].into(),
            risk: 30,
            shadow: false,
            suppression: None,
            fields: serde_json::Map::new(),
            window: None,
            count: 1,
            late: false,
            capped: false,
            capped_by: Vec::new(),
            time_flags: sluice_event::TimeFlags::NONE,
            contested: false,
            evidence: Vec::new(),
            evidence_total: 0,
        }
    }

    fn opened() -> Incident {
        Incident::open(&ann(), &finding(1, Severity::Critical, 0), RiskLevel::Low, 400).unwrap()
    }

    #[test]
    fn a_critical_finding_or_high_risk_opens_one() {
        let low = finding(1, Severity::Low, 0);
        assert_eq!(Incident::open(&ann(), &low, RiskLevel::Medium, 0), None);
        let incident = Incident::open(&ann(), &low, RiskLevel::High, 7_100).unwrap();
        assert_eq!(incident.findings[&low.id], Belongs::RiskHigh);
        let shadow = Finding { shadow: true, ..finding(1, Severity::Critical, 0) };
        assert_eq!(Incident::open(&ann(), &shadow, RiskLevel::High, 0), None);
        assert_eq!(opened().tactics, ["TA0001"]);
    }

    #[test]
    fn findings_join_until_a_day_of_quiet() {
        let mut incident = opened();
        assert!(incident.join(&finding(2, Severity::Low, QUIET), 500));
        assert!(!incident.join(&finding(2, Severity::Low, QUIET), 500), "it is there already");
        assert!(!incident.join(&finding(3, Severity::Low, 2 * QUIET + 1), 500));
        assert_eq!((incident.findings.len(), incident.risk_peak), (2, 500));
        assert_eq!(incident.findings[&FindingId(2)], Belongs::SameEntity);
    }

    #[test]
    fn closing_needs_a_verdict_and_ends_it() {
        let mut incident = opened();
        let close = IncidentChange { status: Some(IncidentStatus::Closed), ..Default::default() };
        assert_eq!(incident.change(1, "bob", close.clone()), Err(Refused::VerdictMissing));
        assert_eq!(incident.change(1, "bob", IncidentChange::default()), Err(Refused::Empty));
        let itself = Some(IncidentVerdict::Duplicate(incident.id));
        let duplicate = IncidentChange { verdict: itself, ..Default::default() };
        assert_eq!(incident.change(1, "bob", duplicate), Err(Refused::DuplicateOfItself));
        assert!(incident.history.is_empty());
        let benign = IncidentChange { verdict: Some(IncidentVerdict::Benign), ..close };
        assert_eq!(incident.change(1, "bob", benign), Ok(()));
        assert_eq!(incident.history.len(), 1);
        assert!(!incident.join(&finding(2, Severity::Low, 1), 0));
    }

    #[test]
    fn findings_and_remarks_have_an_end_and_closing_goes_on() {
        let mut incident = opened();
        for n in 2..=INCIDENT_FINDINGS as u128 {
            assert!(incident.join(&finding(n, Severity::Low, 1), 0));
        }
        assert!(!incident.join(&finding(5_000, Severity::Low, 1), 0), "the next opens another");
        let note = |n: usize| IncidentChange { comment: Some("x".repeat(n)), ..Default::default() };
        for name in ["ann", "bob"] {
            for _ in 0..history::BYTES / 2 / 4_096 {
                assert_eq!(incident.change(1, name, note(4_096)), Ok(()));
            }
            assert_eq!(incident.change(1, name, note(1)), Err(Refused::HistoryFull));
        }
        assert_eq!(incident.change(1, "cem", note(1)), Err(Refused::HistoryFull));
        let close = IncidentChange {
            status: Some(IncidentStatus::Closed),
            verdict: Some(IncidentVerdict::Benign),
            ..Default::default()
        };
        assert_eq!(incident.change(1, "bob", close), Ok(()));
        let mut incident = opened();
        (0..history::ENTRIES / 2).for_each(|_| incident.change(1, "bob", note(1)).unwrap());
        assert_eq!(incident.change(1, "bob", note(1)), Err(Refused::HistoryFull));
        // One name leaves half of it to others, with changes of status too.
        let take = |status| IncidentChange { status: Some(status), ..Default::default() };
        while incident.change(1, "bob", take(IncidentStatus::OnHold)).is_ok() {
            assert!(incident.history.len() <= history::ENTRIES);
        }
        assert_eq!(incident.change(1, "ann", take(IncidentStatus::InProgress)), Ok(()));
    }
}
