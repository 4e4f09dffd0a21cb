//! What a webhook may tell of, in words that every template understands. Not how it looks to a target.

use serde_json::{Map, Value};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// What happened.
    pub kind: NoticeKind,
    /// What it is about: the id of the finding or incident, or `user:ann@example.com`.
    pub subject: String,
    /// Tells apart what happens to one subject more than once: the number of the change of level, else 0.
    pub number: u64,
    /// When, in event time, milliseconds since 1970.
    pub time: i64,
    /// How urgent it is; of a change of level the higher of both levels.
    pub urgency: Urgency,
    /// One line for people.
    pub title: String,
    /// What people look at first: label and value.
    pub facts: Vec<(&'static str, String)>,
    /// Where people see it, below the address of the pages: `/#/findings/..`; empty if nowhere.
    pub page: String,
    /// Everything, for programs.
    pub data: Map<String, Value>,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NoticeKind {
    /// A finding that is no repeat and of no rule on trial.
    FindingOpened,
    /// A late event took it back.
    FindingWithdrawn,
    /// An incident.
    IncidentOpened,
    /// It was resolved or closed.
    IncidentClosed,
    /// The computed level of an entity, up or down.
    RiskChanged,
    /// A person tries a webhook.
    Test,
}

/// How urgent something is: the severities of findings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// For the record.
    #[default]
    Informational,
    /// Low.
    Low,
    /// Medium.
    Medium,
    /// High.
    High,
    /// Critical.
    Critical,
}

impl Notice {
    /// A test, told apart from others by `nonce`.
    pub fn test(nonce: &str, now: i64) -> Notice {
        Notice {
            kind: NoticeKind::Test,
            subject: nonce.to_owned(),
            number: 0,
            time: now,
            urgency: Urgency::Informational,
            title: "Sluice: a test of this webhook".to_owned(),
            facts: Vec::new(),
            page: String::new(),
            data: Map::new(),
        }
    }
}

impl NoticeKind {
    /// Every kind.
    pub const ALL: [NoticeKind; 6] = [
        NoticeKind::FindingOpened,
        NoticeKind::FindingWithdrawn,
        NoticeKind::IncidentOpened,
        NoticeKind::IncidentClosed,
        NoticeKind::RiskChanged,
        NoticeKind::Test,
    ];

    /// The word on the wire.
    pub fn name(self) -> &'static str {
        match self {
            NoticeKind::FindingOpened => "finding.opened",
            NoticeKind::FindingWithdrawn => "finding.withdrawn",
            NoticeKind::IncidentOpened => "incident.opened",
            NoticeKind::IncidentClosed => "incident.closed",
            NoticeKind::RiskChanged => "risk.changed",
            NoticeKind::Test => "test",
        }
    }

    /// The kind of a word that may be configured.
    pub fn parse(word: &str) -> Option<NoticeKind> {
        NoticeKind::offered().find(|kind| kind.name() == word)
    }

    /// Kinds that may be configured.
    pub fn offered() -> impl Iterator<Item = NoticeKind> {
        NoticeKind::ALL.into_iter().filter(|kind| *kind != NoticeKind::Test)
    }

    /// Whether it happens once to its subject.
    pub fn is_once(self) -> bool {
        !matches!(self, NoticeKind::RiskChanged | NoticeKind::Test)
    }

    /// Of a kind that says something is over: the kind that said it began.
    pub fn opens(self) -> Option<NoticeKind> {
        match self {
            NoticeKind::FindingWithdrawn => Some(NoticeKind::FindingOpened),
            NoticeKind::IncidentClosed => Some(NoticeKind::IncidentOpened),
            _ => None,
        }
    }
}

impl Urgency {
    /// Every urgency, the least first.
    pub const ALL: [Urgency; 5] =
        [Urgency::Informational, Urgency::Low, Urgency::Medium, Urgency::High, Urgency::Critical];

    /// The word on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Urgency::Informational => "informational",
            Urgency::Low => "low",
            Urgency::Medium => "medium",
            Urgency::High => "high",
            Urgency::Critical => "critical",
        }
    }

    /// The urgency of a word.
    pub fn parse(word: &str) -> Option<Urgency> {
        Urgency::ALL.into_iter().find(|u| u.name() == word)
    }
}
