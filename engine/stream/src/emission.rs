//! What an operator emits: a finding appears, changes, is confirmed or withdrawn. Not the finding
//! itself: `engine` gives it its id, title and entities.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use sluice_event::TimeFlags;

use crate::Cap;

/// One update of one finding.
#[derive(Clone, Debug)]
pub struct Emission {
    /// The rule, by its place in the rule set.
    pub rule_index: usize,
    /// The finding's row key in our encoding; with tenant and rule id it gives the finding's id.
    pub key: Vec<u8>,
    /// What happens to it.
    pub change: Change,
    /// Event time in milliseconds of the row that decided it.
    pub time: i64,
    /// `[start, end)` of the window (sliding: closed, the cell's qualifying row is `end`).
    pub window: Option<(i64, i64)>,
    /// How many rows contributed.
    pub count: u64,
    /// Whether a row older than the watermark contributed: depends on arrival. Of a stateless rule,
    /// whether its row was too late for rules with state: the same in every run.
    pub late: bool,
    /// What is wrong with times of its rows, those that it does not show included. Of a unit of a
    /// baseline only the rows that it shows say it.
    pub time_flags: TimeFlags,
    /// The bounds that were hit: counts are lower bounds.
    pub capped_by: Vec<Cap>,
    /// The finding's columns: row `row` of a batch in the plan's output schema.
    pub columns: Arc<RecordBatch>,
    /// Which row of `columns`.
    pub row: usize,
    /// Contributing rows as compact JSON: the first 10 and last 10. Empty if they are those of the
    /// last emission of the finding, which a confirmation often says again.
    pub evidence: Vec<Arc<str>>,
    /// How many rows there were to choose evidence from.
    pub evidence_total: u64,
}

impl Emission {
    /// Whether a bound was hit.
    pub fn is_capped(&self) -> bool {
        !self.capped_by.is_empty()
    }
}

/// How soon findings that can still change are emitted. Whatever the pace, the last emission of each
/// finding is the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pace {
    /// Everything that changed since the last take.
    #[default]
    EveryChange,
    /// Findings that appear, are withdrawn or confirmed. One that is known and only grows waits for a
    /// take at [`Pace::EveryChange`] or for its window to close, so that a flood of rows of its key
    /// costs no more than keeping them.
    News,
    /// Findings that nothing can change any more, and those of a key whose rows are about to be
    /// thinned. All others wait for a take at another pace.
    Final,
}

/// Most emissions that are handed on at once: a step of event time that closes the windows of many
/// keys does not hold all of their findings with the texts that they show.
pub(crate) const PART: usize = 512;

/// Where operators put what they emit: handed on in parts, each sorted by (rule, time, key).
pub(crate) struct Outlet<'a> {
    part: Vec<Emission>,
    most: usize,
    hand: &'a mut dyn FnMut(Vec<Emission>),
}

impl<'a> Outlet<'a> {
    /// Hands on at most so many at once.
    pub(crate) fn new(most: usize, hand: &'a mut dyn FnMut(Vec<Emission>)) -> Self {
        Outlet { part: Vec::new(), most: most.max(1), hand }
    }

    pub(crate) fn push(&mut self, emission: Emission) {
        self.part.push(emission);
        if self.part.len() >= self.most {
            self.flush();
        }
    }

    /// Hands on what is left.
    pub(crate) fn flush(&mut self) {
        if self.part.is_empty() {
            return;
        }
        let mut part = std::mem::take(&mut self.part);
        let order = |a: &Emission, b: &Emission| {
            (a.rule_index, a.time, &a.key).cmp(&(b.rule_index, b.time, &b.key))
        };
        part.sort_by(order);
        (self.hand)(part);
    }
}

/// What an emission does to the finding with its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It exists, with these values, in this state.
    Upsert(FindingState),
    /// A late row took it back; its columns are those it last had.
    Withdraw,
}

/// Whether a finding can still be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FindingState {
    /// A late row may change or withdraw it.
    Provisional,
    /// Nothing can change it any more.
    Confirmed,
    /// A late row took it back.
    Withdrawn,
}
