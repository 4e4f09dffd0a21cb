//! What the API stands on: the ports through which it reaches store, service, search, history and
//! push doors. Not their implementations.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use sluice_engine::{
    EngineError, QueryLimits, Seq, SqlError,
    durable::{FindingStore, LetterFilter, StoreStats, Stored, StoredLetter, TriageError},
    history::{EventHistory, HuntResult},
    service::{ReloadReport, ReplayReport, Service, ServiceStatus},
};
use sluice_finding::{FindingId, TriageChange};
use sluice_rule::Rule;

use crate::tokens::Tokens;

/// Everything the API reaches. All of it may block but `tokens`.
#[derive(Clone)]
pub(crate) struct App {
    /// Findings, triage and dead letters.
    pub(crate) store: Arc<dyn Findings>,
    /// The running pipeline.
    pub(crate) service: Arc<dyn Running>,
    /// Recent events, for hunts.
    pub(crate) history: Arc<dyn Hunts>,
    /// Search over findings.
    pub(crate) search: Arc<dyn Search>,
    /// The inputs that take pushed logs, by name.
    pub(crate) doors: BTreeMap<String, Arc<dyn Door>>,
    /// Loads rules and mappings again and has the service take them.
    pub(crate) reload: Arc<dyn Fn() -> ReloadReport + Send + Sync>,
    /// Who may ask.
    pub(crate) tokens: Tokens,
    /// Signs cursors: one per data directory, so that they outlive a restart.
    pub(crate) cursor_key: [u8; 32],
    /// The version of the program.
    pub(crate) version: &'static str,
}

/// Findings, triage and dead letters as the API uses them; [`FindingStore`] says what each does.
pub(crate) trait Findings: Send + Sync {
    /// See [`FindingStore::finding`].
    fn finding(&self, id: FindingId) -> Result<Option<Stored>, EngineError>;
    /// See [`FindingStore::after`].
    fn after(&self, seq: Seq, limit: usize) -> Result<(Vec<Stored>, Seq), EngineError>;
    /// See [`FindingStore::last`].
    fn last(&self) -> Seq;
    /// See [`FindingStore::wait`].
    fn wait(&self, seq: Seq, patience: Duration) -> Seq;
    /// See [`FindingStore::triage`].
    fn triage(
        &self,
        id: FindingId,
        expected: Option<u64>,
        change: TriageChange,
        at: i64,
        by: &str,
    ) -> Result<Stored, TriageError>;
    /// See [`FindingStore::dead_letters`].
    fn dead_letters(
        &self,
        filter: &LetterFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<StoredLetter>, EngineError>;
    /// See [`FindingStore::dead_letter`].
    fn dead_letter(&self, id: &str) -> Result<Option<StoredLetter>, EngineError>;
    /// See [`FindingStore::drop_dead_letters`].
    fn drop_dead_letters(&self, ids: &[String]) -> Result<u64, EngineError>;
    /// See [`FindingStore::stats`].
    fn stats(&self) -> StoreStats;
}

/// The running pipeline as the API uses it; [`Service`] says what each does.
pub(crate) trait Running: Send + Sync {
    /// See [`Service::status`].
    fn status(&self) -> ServiceStatus;
    /// The rules that run, in the order of their ids.
    fn rules(&self) -> Vec<Arc<Rule>>;
    /// See [`Service::replay`].
    fn replay(&self, letters: Vec<StoredLetter>) -> Result<ReplayReport, EngineError>;
}

/// Ad-hoc SQL over recent events; [`EventHistory`] says what it does.
pub(crate) trait Hunts: Send + Sync {
    /// See [`EventHistory::hunt_between`].
    fn hunt(
        &self,
        sql: &str,
        between: (Option<i64>, Option<i64>),
        limits: QueryLimits,
    ) -> Result<HuntResult, SqlError>;
}

/// Full-text search over findings, newest first. It may lag behind the store, or be down.
pub(crate) trait Search: Send + Sync {
    /// One page.
    fn search(&self, request: &SearchRequest) -> Result<SearchPage, SearchError>;

    /// Milliseconds it lags behind the store; `None` if that cannot be told.
    fn lag(&self) -> Option<i64>;

    /// Why it does not go on; `None` if it does.
    fn error(&self) -> Option<String>;
}

/// What to search. Times are milliseconds since 1970 UTC.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SearchRequest {
    /// Words and `field:value`; empty: every finding.
    pub(crate) query: String,
    /// Event time at or after.
    pub(crate) from: Option<i64>,
    /// Event time before.
    pub(crate) to: Option<i64>,
    /// Findings in the page.
    pub(crate) limit: usize,
    /// Go on after this one: (time, id).
    pub(crate) after: Option<(i64, FindingId)>,
    /// Fields whose values are counted.
    pub(crate) facets: Vec<String>,
    /// Values per field.
    pub(crate) facet_limit: usize,
    /// What `now` means in the query.
    pub(crate) now: i64,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SearchPage {
    /// Ids with their event times, newest first, then by id.
    pub(crate) ids: Vec<(FindingId, i64)>,
    /// Where the next page goes on; `None` at the end.
    pub(crate) next: Option<(i64, FindingId)>,
    /// How many there are on all pages.
    pub(crate) total: Total,
    /// Per field: values and how many findings have each, most first.
    pub(crate) facets: BTreeMap<String, Vec<(String, u64)>>,
}

/// How many findings match.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Total {
    /// The number,
    pub(crate) value: u64,
    /// and whether there are exactly so many, or at least.
    pub(crate) exact: bool,
}

/// Why there is no page.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum SearchError {
    /// The query is not accepted.
    #[error("{message}")]
    Query {
        /// What is wrong.
        message: String,
        /// The character it is at, from 1.
        position: Option<usize>,
        /// What to write instead.
        hint: Option<String>,
    },
    /// The index cannot answer now.
    #[error("search is not available: {0}")]
    Unavailable(String),
}

/// An input that takes pushed logs. When it answers, all of them are durable, those that will be set
/// aside too.
pub(crate) trait Door: Send + Sync {
    /// Takes a request body as it came over the wire. `encoding` is its `Content-Encoding`, lower
    /// case, `None` for identity; `at` the receive time in milliseconds.
    fn push(&self, encoding: Option<&str>, body: &[u8], at: i64) -> Result<Pushed, PushError>;
}

/// What became of the records of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pushed {
    /// Records that are durable.
    pub(crate) accepted: u64,
    /// Records set aside as dead letters.
    pub(crate) rejected: u64,
    /// The first hundred of them.
    pub(crate) errors: Vec<LineError>,
}

/// One record that was set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LineError {
    /// The line it starts on, from 1.
    pub(crate) line: u64,
    /// The dead letter's code.
    pub(crate) code: &'static str,
    /// What is wrong.
    pub(crate) detail: String,
}

/// Why a whole request was not taken. Nothing of it is kept.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum PushError {
    /// There is no record in it.
    #[error("there is no record in the body")]
    Empty,
    /// The encoding is not one of ours.
    #[error("{0}")]
    Encoding(String),
    /// The compressed body is damaged.
    #[error("{0}")]
    Damaged(String),
    /// It is, or inflates to, more than is taken at once.
    #[error("{0}")]
    TooLarge(String),
    /// More than can be written now: try again soon.
    #[error("{0}")]
    Busy(String),
    /// The spool is full, or the disk: try again later.
    #[error("{0}")]
    Full(String),
}

impl Findings for FindingStore {
    fn finding(&self, id: FindingId) -> Result<Option<Stored>, EngineError> {
        self.finding(id)
    }

    fn after(&self, seq: Seq, limit: usize) -> Result<(Vec<Stored>, Seq), EngineError> {
        self.after(seq, limit)
    }

    fn last(&self) -> Seq {
        self.last()
    }

    fn wait(&self, seq: Seq, patience: Duration) -> Seq {
        self.wait(seq, patience)
    }

    fn triage(
        &self,
        id: FindingId,
        expected: Option<u64>,
        change: TriageChange,
        at: i64,
        by: &str,
    ) -> Result<Stored, TriageError> {
        self.triage(id, expected, change, at, by)
    }

    fn dead_letters(
        &self,
        filter: &LetterFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<StoredLetter>, EngineError> {
        self.dead_letters(filter, after, limit)
    }

    fn dead_letter(&self, id: &str) -> Result<Option<StoredLetter>, EngineError> {
        self.dead_letter(id)
    }

    fn drop_dead_letters(&self, ids: &[String]) -> Result<u64, EngineError> {
        self.drop_dead_letters(ids)
    }

    fn stats(&self) -> StoreStats {
        self.stats()
    }
}

impl Running for Service {
    fn status(&self) -> ServiceStatus {
        self.status()
    }

    fn rules(&self) -> Vec<Arc<Rule>> {
        self.content().rules.iter().map(|loaded| loaded.rule.clone()).collect()
    }

    fn replay(&self, letters: Vec<StoredLetter>) -> Result<ReplayReport, EngineError> {
        self.replay(letters)
    }
}

impl Hunts for EventHistory {
    fn hunt(
        &self,
        sql: &str,
        between: (Option<i64>, Option<i64>),
        limits: QueryLimits,
    ) -> Result<HuntResult, SqlError> {
        self.hunt_between(sql, between, limits)
    }
}
