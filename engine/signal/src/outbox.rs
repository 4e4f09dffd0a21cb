//! The outbox of one stream: SETs in the order they arose, delivered in that order per subject. Not who
//! delivers them, and not what is durable (see [`crate::transmitter`]).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{EventType, Level, SubjectId};

/// A SET that waits for its receiver. Times are milliseconds since 1970 unless they say otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Its place in the order.
    pub seq: u64,
    /// Its id, the same in every attempt.
    pub jti: String,
    /// Its type, as [`EventType::name`].
    pub event_type: String,
    /// Whom it is about.
    pub subject: SubjectId,
    /// The cause it shares with others.
    pub txn: Option<String>,
    /// The event.
    pub event: Map<String, Value>,
    /// When it arose.
    pub created_at: i64,
    /// `iat`, seconds since 1970: when it arose, or later where the receiver would find that too old.
    pub iat: i64,
    /// Not before this time.
    pub not_before: i64,
    /// For risk-level-change: from and to, as this receiver sees levels.
    pub levels: Option<(Level, Level)>,
    /// How often a person sent it again.
    pub replay: u32,
    /// Whether it waits for a person to approve it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub awaiting: bool,
    /// Rules and features whose silence it waits for: a fall that is told when one of them sees again, or at
    /// `not_before`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stale: Vec<String>,
    /// Attempts since the start of the process.
    #[serde(skip)]
    pub attempts: u32,
    /// `invalid_key` so far.
    #[serde(skip)]
    pub(crate) invalid_key: u32,
    /// Handed out until then.
    #[serde(skip)]
    pub(crate) leased_until: i64,
    /// What the last attempt came to.
    #[serde(skip)]
    pub last_error: Option<String>,
}

/// A SET that its receiver refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The SET.
    pub row: Row,
    /// When it was set aside, milliseconds since 1970.
    pub at: i64,
    /// What the receiver said.
    pub reason: String,
}

/// Rows by their order, found by `jti` too.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    rows: BTreeMap<u64, Row>,
    by_jti: BTreeMap<String, u64>,
    /// The rows about each subject.
    by_subject: BTreeMap<String, BTreeSet<u64>>,
}

impl Row {
    /// Its type.
    pub fn kind(&self) -> Option<EventType> {
        EventType::parse(&self.event_type)
    }

    fn is_free(&self, now: i64) -> bool {
        !self.awaiting && self.not_before <= now && self.leased_until <= now
    }

    /// Whether it waits for a source to be back: nothing else waits for that.
    fn is_held(&self, now: i64) -> bool {
        !self.stale.is_empty() && self.not_before > now
    }

    /// Whether no receiver can have seen it.
    pub(crate) fn is_untouched(&self) -> bool {
        self.attempts == 0 && self.leased_until == 0
    }
}

impl Outbox {
    /// Adds a row; one with the same id is there already and stays. Whether it was added.
    pub(crate) fn insert(&mut self, row: Row) -> bool {
        if self.by_jti.contains_key(&row.jti) {
            return false;
        }
        self.by_jti.insert(row.jti.clone(), row.seq);
        self.by_subject.entry(row.subject.key()).or_default().insert(row.seq);
        self.rows.insert(row.seq, row);
        true
    }

    /// Removes a row.
    pub(crate) fn remove(&mut self, jti: &str) -> Option<Row> {
        let seq = self.by_jti.remove(jti)?;
        let row = self.rows.remove(&seq)?;
        let subject = row.subject.key();
        if let Some(rows) = self.by_subject.get_mut(&subject) {
            rows.remove(&seq);
            if rows.is_empty() {
                self.by_subject.remove(&subject);
            }
        }
        Some(row)
    }

    /// A row to change in place.
    pub(crate) fn get_mut(&mut self, jti: &str) -> Option<&mut Row> {
        self.rows.get_mut(self.by_jti.get(jti)?)
    }

    /// All rows, oldest first.
    pub(crate) fn rows(&self) -> impl DoubleEndedIterator<Item = &Row> {
        self.rows.values()
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Ids of rows that may be handed out now, at most `most`: the oldest of each subject, since a
    /// later one must not arrive before it. Only those that are `wanted`.
    pub(crate) fn due(&self, now: i64, most: usize, wanted: impl Fn(&Row) -> bool) -> Vec<String> {
        let is_first = |row: &&Row| {
            let rows = self.by_subject.get(&row.subject.key()).into_iter().flatten();
            let mut rows = rows.filter_map(|seq| self.rows.get(seq));
            rows.find(|row| !row.is_held(now)).is_some_and(|first| first.seq == row.seq)
        };
        let free = self.rows.values().filter(|row| row.is_free(now) && wanted(row));
        let free = free.filter(is_first);
        free.take(most).map(|row| row.jti.clone()).collect()
    }

    /// Rows about a subject, given by its key, oldest first.
    pub(crate) fn about(&self, subject: &str) -> impl DoubleEndedIterator<Item = &Row> {
        let rows = self.by_subject.get(subject).into_iter().flatten();
        rows.filter_map(|seq| self.rows.get(seq))
    }
}
