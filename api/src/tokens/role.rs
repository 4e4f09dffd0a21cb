//! What a token may do: roles as sets of permissions `resource:verb`. Which route needs which is
//! said in one table, `http::access`.

use serde::{Deserialize, Serialize};

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    /// Looks.
    Viewer,
    /// Looks, hunts, and works on findings.
    Analyst,
    /// Looks, hunts, changes rules, replays dead letters.
    RuleAuthor,
    /// An analyst who also acts on entities: overrides levels and sends signals.
    Responder,
    /// Everything.
    Admin,
    /// Reads the audit log, nothing else.
    Auditor,
    /// Pushes logs, nothing else.
    Ingest,
    /// Scrapes `/metrics`, nothing else.
    Metrics,
}

/// A right to do one kind of thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Permission {
    /// Findings, their evidence and triage; the live stream.
    FindingsRead,
    /// Triage.
    FindingsWrite,
    /// Rules and their health; tables and columns; this API's description.
    RulesRead,
    /// Taking other rules.
    RulesWrite,
    /// Inputs, lag and counters; the state of the service.
    SourcesRead,
    /// Records set aside, with their bytes.
    DeadLettersRead,
    /// Sending them through the mappings again.
    DeadLettersReplay,
    /// Throwing them away.
    DeadLettersDrop,
    /// SQL over recent events.
    HuntsRun,
    /// Levels of entities, and decisions made of them.
    RiskRead,
    /// Streams of signals, their queues and what was sent.
    SignalsRead,
    /// Overriding levels, sending by hand, pausing streams.
    SignalsSend,
    /// Pushing logs.
    IngestWrite,
    /// Metrics.
    MetricsRead,
    /// The audit log.
    AuditRead,
}

impl Role {
    /// Every role.
    pub(crate) const ALL: [Role; 8] = [
        Role::Viewer,
        Role::Analyst,
        Role::RuleAuthor,
        Role::Responder,
        Role::Admin,
        Role::Auditor,
        Role::Ingest,
        Role::Metrics,
    ];

    /// The word in files, on the command line and in answers.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Analyst => "analyst",
            Role::RuleAuthor => "rule_author",
            Role::Responder => "responder",
            Role::Admin => "admin",
            Role::Auditor => "auditor",
            Role::Ingest => "ingest",
            Role::Metrics => "metrics",
        }
    }

    /// The role of a word.
    pub(crate) fn parse(word: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.name() == word)
    }

    /// Whether it has a permission.
    pub(crate) fn may(self, permission: Permission) -> bool {
        self.permissions().contains(&permission)
    }

    fn permissions(self) -> &'static [Permission] {
        use Permission as P;
        match self {
            Role::Viewer => &[P::FindingsRead, P::RulesRead, P::SourcesRead, P::RiskRead],
            Role::Analyst => &[
                P::FindingsRead,
                P::FindingsWrite,
                P::RulesRead,
                P::SourcesRead,
                P::DeadLettersRead,
                P::HuntsRun,
                P::RiskRead,
                P::SignalsRead,
            ],
            Role::Responder => &[
                P::FindingsRead,
                P::FindingsWrite,
                P::RulesRead,
                P::SourcesRead,
                P::DeadLettersRead,
                P::HuntsRun,
                P::RiskRead,
                P::SignalsRead,
                P::SignalsSend,
            ],
            Role::RuleAuthor => &[
                P::FindingsRead,
                P::RulesRead,
                P::RulesWrite,
                P::SourcesRead,
                P::DeadLettersRead,
                P::DeadLettersReplay,
                P::HuntsRun,
            ],
            Role::Admin => &Permission::ALL,
            Role::Auditor => &[P::AuditRead],
            Role::Ingest => &[P::IngestWrite],
            Role::Metrics => &[P::MetricsRead],
        }
    }
}

impl Permission {
    /// Every permission.
    pub(crate) const ALL: [Permission; 15] = [
        Permission::FindingsRead,
        Permission::FindingsWrite,
        Permission::RulesRead,
        Permission::RulesWrite,
        Permission::SourcesRead,
        Permission::DeadLettersRead,
        Permission::DeadLettersReplay,
        Permission::DeadLettersDrop,
        Permission::HuntsRun,
        Permission::RiskRead,
        Permission::SignalsRead,
        Permission::SignalsSend,
        Permission::IngestWrite,
        Permission::MetricsRead,
        Permission::AuditRead,
    ];

    /// `resource:verb`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Permission::FindingsRead => "findings:read",
            Permission::FindingsWrite => "findings:write",
            Permission::RulesRead => "rules:read",
            Permission::RulesWrite => "rules:write",
            Permission::SourcesRead => "sources:read",
            Permission::DeadLettersRead => "dead_letters:read",
            Permission::DeadLettersReplay => "dead_letters:replay",
            Permission::DeadLettersDrop => "dead_letters:drop",
            Permission::HuntsRun => "hunts:run",
            Permission::RiskRead => "risk:read",
            Permission::SignalsRead => "signals:read",
            Permission::SignalsSend => "signals:send",
            Permission::IngestWrite => "ingest:write",
            Permission::MetricsRead => "metrics:read",
            Permission::AuditRead => "audit:read",
        }
    }
}
