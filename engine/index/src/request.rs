//! What is asked and what is answered.

use std::{cmp::Ordering, collections::BTreeMap};

use sluice_finding::FindingId;

/// One search.
#[derive(Clone, Debug)]
pub struct SearchRequest {
    /// The query; empty: everything.
    pub query: String,
    /// What `now` means, milliseconds since 1970 UTC. Keep it over the pages of one listing.
    pub now: i64,
    /// Findings at or after, milliseconds.
    pub from: Option<i64>,
    /// Findings before, milliseconds.
    pub to: Option<i64>,
    /// Findings of rules on trial: only those, or none of them. `None`: both.
    pub shadow: Option<bool>,
    /// Findings on a page, 1 to [`SearchRequest::MAX_LIMIT`].
    pub limit: usize,
    /// Continue behind this finding.
    pub after: Option<SortKey>,
    /// What to count values of.
    pub facets: Vec<Facet>,
    /// Values of each facet, 1 to [`SearchRequest::MAX_FACET_LIMIT`]; the most frequent are kept.
    pub facet_limit: usize,
}

impl SearchRequest {
    /// The largest page.
    pub const MAX_LIMIT: usize = 500;
    /// The most values of a facet.
    pub const MAX_FACET_LIMIT: usize = 100;

    /// The first 50 findings of a query.
    pub fn new(query: impl Into<String>, now: i64) -> Self {
        SearchRequest {
            query: query.into(),
            now,
            from: None,
            to: None,
            shadow: None,
            limit: 50,
            after: None,
            facets: Vec::new(),
            facet_limit: 10,
        }
    }
}

/// One page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchPage {
    /// The findings, newest first.
    pub hits: Vec<SortKey>,
    /// Where the next page begins; `None`: this is the last.
    pub next: Option<SortKey>,
    /// How many findings match on all pages. Exact: every match is looked at anyway.
    pub total: u64,
    /// Values and how many matching findings have them, most frequent first, then by value.
    pub facets: BTreeMap<&'static str, Vec<(String, u64)>>,
}

/// The place of a finding in the order: newest first, then by id.
///
/// It depends on the finding alone, so a page that begins behind it neither repeats nor skips
/// findings when others come or go meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SortKey {
    /// Event time of the finding, milliseconds.
    pub time: i64,
    /// The finding.
    pub id: FindingId,
}

impl Ord for SortKey {
    fn cmp(&self, other: &Self) -> Ordering {
        other.time.cmp(&self.time).then(self.id.cmp(&other.id))
    }
}

impl PartialOrd for SortKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A field whose values can be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Facet {
    /// `high`.
    Severity,
    /// `identity.mfa_fatigue`.
    RuleId,
    /// `in_progress`.
    Status,
    /// `confirmed`.
    State,
    /// `user`.
    EntityKind,
    /// `T1078.004`, and `T1078` with it.
    Attack,
    /// `TA0001`.
    Tactic,
    /// Who works on it.
    Assignee,
}

impl Facet {
    /// Every facet.
    pub const ALL: [Facet; 8] = [
        Facet::Severity,
        Facet::RuleId,
        Facet::Status,
        Facet::State,
        Facet::EntityKind,
        Facet::Attack,
        Facet::Tactic,
        Facet::Assignee,
    ];

    /// The name of its field.
    pub fn name(self) -> &'static str {
        match self {
            Facet::Severity => "severity",
            Facet::RuleId => "rule_id",
            Facet::Status => "status",
            Facet::State => "state",
            Facet::EntityKind => "entity_kind",
            Facet::Attack => "attack",
            Facet::Tactic => "tactic",
            Facet::Assignee => "assignee",
        }
    }

    /// The facet of a name.
    pub fn parse(name: &str) -> Option<Facet> {
        Facet::ALL.into_iter().find(|f| f.name() == name)
    }
}
