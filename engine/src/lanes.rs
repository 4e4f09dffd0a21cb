//! What waits to be committed: a lane for each rule, and one for dead letters, taken in turn, so that a
//! rule that finds much, or a sender of records that nothing can read, delays itself and not the
//! findings of others. Not what becomes of it: see [`crate::committer`].

use std::collections::{BTreeMap, VecDeque};

use sluice_stream::Emission;

use crate::PlacedDeadLetter;

/// An emission and the number of the barrier its stage had passed.
pub(crate) type Waiting = (u64, Emission);

/// The lanes of one run. Within a lane the order is that of arrival.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    /// Per rule that has any.
    rules: BTreeMap<usize, Lane<Waiting>>,
    letters: Lane<PlacedDeadLetter>,
    emissions: usize,
    /// The rule whose turn it is, or the next after it that has any.
    turn: usize,
}

#[derive(Debug)]
struct Lane<T> {
    waiting: VecDeque<T>,
    /// How many of them were there when it was marked.
    marked: usize,
}

impl<T> Default for Lane<T> {
    fn default() -> Self {
        Lane { waiting: VecDeque::new(), marked: 0 }
    }
}

impl<T> Lane<T> {
    fn take(&mut self) -> Option<T> {
        let next = self.waiting.pop_front()?;
        self.marked = self.marked.saturating_sub(1);
        Some(next)
    }

    fn mark(&mut self) {
        self.marked = self.waiting.len();
    }
}

impl Lanes {
    /// Adds an emission to the lane of its rule.
    pub(crate) fn push(&mut self, passed: u64, emission: Emission) {
        let lane = self.rules.entry(emission.rule_index).or_default();
        lane.waiting.push_back((passed, emission));
        self.emissions += 1;
    }

    /// Adds dead letters.
    pub(crate) fn push_letters(&mut self, letters: Vec<PlacedDeadLetter>) {
        self.letters.waiting.extend(letters);
    }

    /// Takes the next emission: one of each rule after the other.
    pub(crate) fn take(&mut self) -> Option<Waiting> {
        let after = self.rules.range(self.turn..).next().map(|(rule, _)| *rule);
        let rule = after.or_else(|| self.rules.keys().next().copied())?;
        let lane = self.rules.get_mut(&rule)?;
        let next = lane.take();
        if lane.waiting.is_empty() {
            self.rules.remove(&rule);
        }
        self.turn = rule + 1;
        self.emissions -= usize::from(next.is_some());
        next
    }

    /// Takes at most so many dead letters.
    pub(crate) fn take_letters(&mut self, most: usize) -> impl Iterator<Item = PlacedDeadLetter> {
        std::iter::from_fn(|| self.letters.take()).take(most)
    }

    /// How many emissions wait.
    pub(crate) fn emissions(&self) -> usize {
        self.emissions
    }

    /// How many dead letters wait.
    pub(crate) fn letters(&self) -> usize {
        self.letters.waiting.len()
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.emissions == 0 && self.letters.waiting.is_empty()
    }

    /// Remembers what is there now.
    pub(crate) fn mark(&mut self) {
        self.letters.mark();
        self.rules.values_mut().for_each(Lane::mark);
    }

    /// Whether everything that was there when it was marked has been taken.
    pub(crate) fn is_past_mark(&self) -> bool {
        self.letters.marked == 0 && self.rules.values().all(|lane| lane.marked == 0)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{array::RecordBatch, datatypes::Schema};
    use sluice_event::TimeFlags;
    use sluice_stream::{Change, FindingState};

    use super::*;

    fn push(lanes: &mut Lanes, rule_index: usize, number: u64) {
        let emission = Emission {
            rule_index,
            key: Vec::new(),
            change: Change::Upsert(FindingState::Confirmed),
            time: 0,
            window: None,
            count: 1,
            late: false,
            time_flags: TimeFlags::NONE,
            capped_by: Vec::new(),
            columns: Arc::new(RecordBatch::new_empty(Arc::new(Schema::empty()))),
            row: 0,
            evidence: Vec::new(),
            evidence_total: 0,
        };
        lanes.push(number, emission);
    }

    fn take(lanes: &mut Lanes, most: usize) -> Vec<(usize, u64)> {
        let next = || lanes.take().map(|(number, emission)| (emission.rule_index, number));
        std::iter::from_fn(next).take(most).collect()
    }

    fn letters(count: usize) -> Vec<PlacedDeadLetter> {
        vec![PlacedDeadLetter::unreadable("input"); count]
    }

    #[test]
    fn rules_take_turns_and_each_keeps_its_order() {
        let mut lanes = Lanes::default();
        (0..1_000).for_each(|n| push(&mut lanes, 7, n));
        assert_eq!(take(&mut lanes, 2), [(7, 0), (7, 1)]);
        push(&mut lanes, 3, 0);
        push(&mut lanes, 9, 0);
        push(&mut lanes, 9, 1);
        assert_eq!(
            take(&mut lanes, 6),
            [(9, 0), (3, 0), (7, 2), (9, 1), (7, 3), (7, 4)],
            "one that finds little waits for one of each other"
        );
        assert_eq!(lanes.emissions(), 995);
        assert_eq!(take(&mut lanes, 2_000).len(), 995);
        assert!(lanes.is_empty() && take(&mut lanes, 1).is_empty());
    }

    #[test]
    fn what_comes_after_the_mark_is_not_waited_for() {
        let mut lanes = Lanes::default();
        assert!(lanes.is_past_mark());
        (0..3).for_each(|n| push(&mut lanes, 1, n));
        push(&mut lanes, 2, 0);
        lanes.push_letters(letters(4));
        lanes.mark();
        push(&mut lanes, 1, 3);
        push(&mut lanes, 5, 0);
        lanes.push_letters(letters(2));
        assert_eq!(lanes.take_letters(4).count(), 4);
        let mut taken = Vec::new();
        while !lanes.is_past_mark() {
            taken.extend(take(&mut lanes, 1));
        }
        for marked in [(1, 0), (1, 1), (1, 2), (2, 0)] {
            assert!(taken.contains(&marked), "{taken:?}");
        }
        assert_eq!((lanes.emissions(), lanes.letters()), (6 - taken.len(), 2));
        // Nothing but letters waits.
        take(&mut lanes, 9);
        lanes.mark();
        assert!(!lanes.is_past_mark());
        assert_eq!(lanes.take_letters(9).count(), 2);
        assert!(lanes.is_past_mark());
    }
}
