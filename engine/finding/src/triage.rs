//! What people did about a finding: kept apart from it, so that a replay never overwrites an analyst.

use crate::history;

/// The state of the work on a finding, and how it came about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Triage {
    /// Where the work stands.
    pub status: TriageStatus,
    /// Why it was closed; with `Resolved` only.
    pub reason: Option<Reason>,
    /// Who works on it.
    pub assignee: Option<String>,
    /// Grows by one with every change; 0: nobody has touched it.
    pub version: u64,
    /// Every change, oldest first.
    pub history: Vec<TriageEntry>,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TriageEntry {
    /// When, milliseconds since 1970 UTC.
    pub at: i64,
    /// Who: the name of a token.
    pub by: String,
    /// What.
    pub change: TriageChange,
}

/// What to change; `None` leaves it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TriageChange {
    /// The status to take.
    pub status: Option<TriageStatus>,
    /// Why; needed to resolve.
    pub reason: Option<Reason>,
    /// Who takes it; `Some(None)`: nobody.
    pub assignee: Option<Option<String>>,
    /// A remark.
    pub comment: Option<String>,
}

/// Where the work on a finding stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TriageStatus {
    /// Nobody has looked.
    #[default]
    New,
    /// Somebody is at it.
    InProgress,
    /// Closed, with a reason.
    Resolved,
}

/// Why a finding was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// It was what it said.
    TruePositive,
    /// The rule was wrong.
    FalsePositive,
    /// The rule was right and nothing was wrong.
    Benign,
    /// Another finding says the same.
    Duplicate,
}

/// Why a change was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TriageRefused {
    /// It makes no sense; the text says why.
    #[error("{0}")]
    Invalid(String),
    /// There is no room for it in the history.
    #[error(
        "the history is full: a finding keeps {} changes and {} KiB of remarks, half of them under \
         one name",
        history::ENTRIES,
        history::BYTES >> 10
    )]
    HistoryFull,
}

impl Triage {
    /// The state after a change.
    ///
    /// # Errors
    /// What is wrong with the change: resolving without a reason, a reason without resolving, nothing
    /// to change, more history than is kept.
    pub fn apply(&self, change: TriageChange, at: i64, by: &str) -> Result<Triage, TriageRefused> {
        let invalid = |text: &str| TriageRefused::Invalid(text.to_owned());
        if change == TriageChange::default() {
            return Err(invalid("nothing to change: give status, assignee or comment"));
        }
        let history = self.history.iter().map(|e| (&*e.by, e.change.bytes()));
        if !history::has_room(history, by, change.status.is_some(), change.bytes()) {
            return Err(TriageRefused::HistoryFull);
        }
        let mut next = self.clone();
        let status = change.status.unwrap_or(self.status);
        match (status, change.reason.or(self.reason.filter(|_| change.status.is_none()))) {
            (TriageStatus::Resolved, None) => {
                let reasons = Reason::ALL.map(Reason::name).join(", ");
                return Err(invalid(&format!("resolving needs a reason: {reasons}")));
            }
            (TriageStatus::Resolved, reason) => next.reason = reason,
            (TriageStatus::New | TriageStatus::InProgress, _) if change.reason.is_some() => {
                return Err(invalid("a reason goes with status `resolved` only"));
            }
            (TriageStatus::New | TriageStatus::InProgress, _) => next.reason = None,
        }
        next.status = status;
        if let Some(assignee) = &change.assignee {
            next.assignee.clone_from(assignee);
        }
        next.version += 1;
        next.history.push(TriageEntry { at, by: by.to_owned(), change });
        Ok(next)
    }
}

impl TriageChange {
    /// Bytes of its texts.
    fn bytes(&self) -> usize {
        let assignee = self.assignee.as_ref().and_then(Option::as_ref).map_or(0, String::len);
        assignee + self.comment.as_ref().map_or(0, String::len)
    }
}

impl TriageStatus {
    /// Every status.
    pub const ALL: [TriageStatus; 3] =
        [TriageStatus::New, TriageStatus::InProgress, TriageStatus::Resolved];

    /// The word on the wire.
    pub fn name(self) -> &'static str {
        match self {
            TriageStatus::New => "new",
            TriageStatus::InProgress => "in_progress",
            TriageStatus::Resolved => "resolved",
        }
    }

    /// The status of a word.
    pub fn parse(word: &str) -> Option<TriageStatus> {
        TriageStatus::ALL.into_iter().find(|s| s.name() == word)
    }
}

impl Reason {
    /// Every reason.
    pub const ALL: [Reason; 4] =
        [Reason::TruePositive, Reason::FalsePositive, Reason::Benign, Reason::Duplicate];

    /// The word on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Reason::TruePositive => "true_positive",
            Reason::FalsePositive => "false_positive",
            Reason::Benign => "benign",
            Reason::Duplicate => "duplicate",
        }
    }

    /// The reason of a word.
    pub fn parse(word: &str) -> Option<Reason> {
        Reason::ALL.into_iter().find(|r| r.name() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{BYTES, ENTRIES};

    #[test]
    fn a_history_has_an_end_and_closing_goes_on() {
        let note =
            |n: usize| TriageChange { comment: Some("x".repeat(n)), ..TriageChange::default() };
        let mut triage = Triage::default();
        for name in ["ann", "bob"] {
            for _ in 0..ENTRIES / 2 {
                triage = triage.apply(note(1), 0, name).unwrap();
            }
            assert_eq!(triage.apply(note(1), 0, name), Err(TriageRefused::HistoryFull), "{name}");
        }
        let full = triage.apply(note(1), 0, "cem").unwrap_err();
        assert_eq!(full, TriageRefused::HistoryFull);
        assert!(full.to_string().contains("500 changes and 256 KiB"), "{full}");
        assert!(triage.apply(close(None), 0, "ann").is_ok());
        // With the remark that the verdict of an incident leaves.
        let verdict = close(Some(format!("incident {:032x}", 7)));
        assert!(triage.apply(verdict, 0, "ann").is_ok());
        assert!(triage.apply(close(Some("x".repeat(65))), 0, "ann").is_err());
        let mut triage = Triage::default();
        for name in ["ann", "bob"] {
            for _ in 0..BYTES / 2 / 4_096 {
                triage = triage.apply(note(4_096), 0, name).unwrap();
            }
            assert!(triage.apply(note(1), 0, name).is_err(), "{name}");
        }
        assert!(triage.apply(note(1), 0, "cem").is_err());
    }

    #[test]
    fn one_name_fills_no_history_that_others_need() {
        let mut triage = Triage::default();
        while let Ok(next) = triage.apply(close(None), 0, "ann") {
            triage = next;
            assert!(triage.history.len() <= ENTRIES, "closing has an end too");
        }
        let reopen = TriageChange { status: Some(TriageStatus::New), ..TriageChange::default() };
        assert!(triage.apply(reopen.clone(), 0, "ann").is_err());
        assert!(triage.apply(reopen, 0, "bob").is_ok());
        let mut triage = Triage::default();
        let note = TriageChange { comment: Some("x".into()), ..TriageChange::default() };
        while let Ok(next) = triage.apply(note.clone(), 0, "ann") {
            triage = next;
        }
        assert_eq!(triage.history.len(), ENTRIES / 2);
        assert!(triage.apply(note, 0, "bob").is_ok());
    }

    fn close(comment: Option<String>) -> TriageChange {
        let (status, reason) = (Some(TriageStatus::Resolved), Some(Reason::Benign));
        TriageChange { status, reason, comment, ..TriageChange::default() }
    }

    #[test]
    fn resolving_needs_a_reason_and_reopening_forgets_it() {
        let new = Triage::default();
        let resolve = |reason| TriageChange {
            status: Some(TriageStatus::Resolved),
            reason,
            ..TriageChange::default()
        };
        assert!(new.apply(resolve(None), 1, "ann").is_err());
        let closed = new.apply(resolve(Some(Reason::Benign)), 1, "ann").unwrap();
        assert_eq!(
            (closed.status, closed.reason, closed.version),
            (TriageStatus::Resolved, Some(Reason::Benign), 1)
        );
        let note = TriageChange { comment: Some("x".into()), ..TriageChange::default() };
        let noted = closed.apply(note, 2, "bob").unwrap();
        assert_eq!((noted.reason, noted.history.len()), (Some(Reason::Benign), 2));
        let reopen = TriageChange { status: Some(TriageStatus::New), ..TriageChange::default() };
        assert_eq!(noted.apply(reopen, 3, "bob").unwrap().reason, None);
        assert!(new.apply(TriageChange::default(), 4, "ann").is_err());
    }
}
