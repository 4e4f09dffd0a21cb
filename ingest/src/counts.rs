//! What happened to records, in disjoint counters that add up.

use std::{collections::BTreeMap, sync::Arc};

use crate::{DeadLetterCode, Unparsed};

/// Counters of one source. Each record ends in exactly one of `mapped`, `mapped_empty`,
/// `dead_letters` and `dropped`; see [`Counts::balanced`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records received: everything framing cut out or had to set aside.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Records that made at least one row.
    pub mapped: u64,
    /// Records whose mapping made no row of them.
    pub mapped_empty: u64,
    /// Records set aside, by reason.
    pub dead_letters: BTreeMap<DeadLetterCode, u64>,
    /// Records that are no events: header lines, comments, bystanders.
    pub dropped: u64,
    /// Those of them that are bystanders, by what they are: `cloudtrail digest`.
    pub skipped: BTreeMap<Arc<str>, u64>,
    /// Lines of a known program that no pattern took; they are among the mapped.
    pub unparsed: Unparsed,
    /// Records over a bound of which the first fields made rows; they are among the mapped.
    pub truncated: u64,
    /// Rows made.
    pub rows: u64,
    /// Per wire column (or `table.column`): values of another type than declared, now NULL.
    pub conflicts: BTreeMap<String, u64>,
    /// Records with invalid UTF-8 or lone surrogates, evaluated after replacing them.
    pub lossy: u64,
    /// Fields given twice in one object; the last won.
    pub duplicate_keys: u64,
    /// Rows by time flag: without a time, or with one that was clamped.
    pub time_flags: BTreeMap<&'static str, TimeFlagged>,
}

/// Rows with one time flag.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TimeFlagged {
    /// How many.
    pub rows: u64,
    /// The time one of them claimed.
    pub example: Option<String>,
}

impl Counts {
    /// Records set aside, for any reason.
    pub fn dead(&self) -> u64 {
        self.dead_letters.values().sum()
    }

    /// Whether what came in equals what went on plus what was set aside.
    pub fn balanced(&self) -> bool {
        self.records == self.mapped + self.mapped_empty + self.dead() + self.dropped
    }

    /// Adds the counters of another part of the same input.
    pub fn add(&mut self, other: &Counts) {
        self.records += other.records;
        self.bytes += other.bytes;
        self.mapped += other.mapped;
        self.mapped_empty += other.mapped_empty;
        self.dropped += other.dropped;
        self.rows += other.rows;
        self.lossy += other.lossy;
        self.duplicate_keys += other.duplicate_keys;
        for (code, n) in &other.dead_letters {
            *self.dead_letters.entry(*code).or_default() += n;
        }
        for (column, n) in &other.conflicts {
            *self.conflicts.entry(column.clone()).or_default() += n;
        }
        for (reason, n) in &other.skipped {
            *self.skipped.entry(reason.clone()).or_default() += n;
        }
        self.unparsed.add(&other.unparsed);
        self.truncated += other.truncated;
        for (flag, flagged) in &other.time_flags {
            let own = self.time_flags.entry(flag).or_default();
            own.rows += flagged.rows;
            own.example = own.example.take().or_else(|| flagged.example.clone());
        }
    }
}
