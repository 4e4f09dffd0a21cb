//! Event time per partition and what follows from it for an operator. Not idleness detection: who
//! reads a partition says when it is idle or at its end.

use std::collections::BTreeMap;

use sluice_event::{PartitionId, TableName, TimeSettings};

/// A partition the process reads: which tables its rows may belong to, how its time behaves.
#[derive(Clone, Debug)]
pub struct PartitionInfo {
    /// The partition.
    pub id: PartitionId,
    /// Every table a row of it may be mapped to, raw table included.
    pub tables: Vec<TableName>,
    /// Delay and lateness of its source.
    pub time: TimeSettings,
}

/// How far event time has come for an operator. Never goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frontier {
    /// W: rows on time are at or after this. `i64::MIN` before every input has a row, `i64::MAX`
    /// after every input has ended.
    pub(crate) watermark: i64,
    /// F: no row before this can come any more. `closed <= watermark`.
    pub(crate) closed: i64,
}

impl Frontier {
    pub(crate) const START: Frontier = Frontier { watermark: i64::MIN, closed: i64::MIN };

    /// Moves to `other` where that is further.
    pub(crate) fn advance(&mut self, other: Frontier) {
        self.watermark = self.watermark.max(other.watermark);
        self.closed = self.closed.max(other.closed);
    }

    /// What both have come to.
    pub(crate) fn least(self, other: Frontier) -> Frontier {
        Frontier {
            watermark: self.watermark.min(other.watermark),
            closed: self.closed.min(other.closed),
        }
    }
}

/// What is known of every partition.
#[derive(Debug, Default)]
pub(crate) struct Watermarks {
    partitions: BTreeMap<PartitionId, Partition>,
}

#[derive(Debug)]
struct Partition {
    tables: Vec<TableName>,
    time: TimeSettings,
    progress: Progress,
}

/// What a checkpoint keeps of a partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) max: Option<i64>,
    pub(crate) activity: Activity,
    /// Per table the first accepted event time.
    pub(crate) first: BTreeMap<TableName, i64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Activity {
    #[default]
    Active,
    Idle,
    Ended,
}

impl Watermarks {
    /// Adds a partition; a known one keeps its progress.
    pub(crate) fn assign(&mut self, info: &PartitionInfo) {
        let progress = self.partitions.remove(&info.id).map(|p| p.progress).unwrap_or_default();
        let partition = Partition { tables: info.tables.clone(), time: info.time, progress };
        self.partitions.insert(info.id, partition);
    }

    /// Rows up to `max` were handed over; an idle partition is active again.
    pub(crate) fn observe(&mut self, id: PartitionId, max: i64) {
        if let Some(p) = self.partitions.get_mut(&id) {
            p.progress.max = Some(p.progress.max.map_or(max, |m| m.max(max)));
        }
        self.wake(id);
    }

    /// Rows came: the partition is not idle.
    pub(crate) fn wake(&mut self, id: PartitionId) {
        if let Some(p) = self.partitions.get_mut(&id)
            && p.progress.activity == Activity::Idle
        {
            p.progress.activity = Activity::Active;
        }
    }

    pub(crate) fn first_time(&mut self, id: PartitionId, table: &TableName, time: i64) {
        if let Some(p) = self.partitions.get_mut(&id) {
            p.progress.first.entry(table.clone()).or_insert(time);
        }
    }

    pub(crate) fn idle(&mut self, id: PartitionId) {
        if let Some(p) = self.partitions.get_mut(&id)
            && p.progress.activity == Activity::Active
        {
            p.progress.activity = Activity::Idle;
        }
    }

    pub(crate) fn end(&mut self, id: PartitionId) {
        if let Some(p) = self.partitions.get_mut(&id) {
            p.progress.activity = Activity::Ended;
        }
    }

    /// The least of the partitions that feed any of `tables`: active ones by their newest row, all
    /// ended gives plus infinity. With only idle ones left, W is their newest row: none is on its
    /// way, so rules that wait for stragglers need not wait for traffic. F stays, since late rows may
    /// still come.
    pub(crate) fn frontier(&self, tables: &[TableName], lateness: Option<i64>) -> Frontier {
        let mut least = Frontier { watermark: i64::MAX, closed: i64::MAX };
        let (mut active, mut idle, mut any) = (false, None, false);
        for p in self.feeding(tables) {
            any = true;
            match p.progress.activity {
                Activity::Ended => {}
                Activity::Idle => idle = idle.max(Some(p.progress.max.unwrap_or(i64::MIN))),
                Activity::Active => {
                    active = true;
                    let Some(max) = p.progress.max else { return Frontier::START };
                    let closed = max.saturating_sub(lateness.unwrap_or(p.time.lateness));
                    let watermark = max.saturating_sub(p.time.delay).max(closed);
                    least.watermark = least.watermark.min(watermark);
                    least.closed = least.closed.min(closed);
                }
            }
        }
        match idle {
            Some(watermark) if !active => Frontier { watermark, closed: i64::MIN },
            Some(_) | None if any => least,
            Some(_) | None => Frontier::START,
        }
    }

    /// The first accepted event time of any of `tables`.
    pub(crate) fn history_start(&self, tables: &[TableName]) -> Option<i64> {
        self.feeding(tables)
            .flat_map(|p| p.progress.first.iter().filter(|(t, _)| tables.contains(t)))
            .map(|(_, time)| *time)
            .min()
    }

    /// The newest event time of what feeds any of `tables`.
    pub(crate) fn newest(&self, tables: &[TableName]) -> Option<i64> {
        self.feeding(tables).filter_map(|p| p.progress.max).max()
    }

    /// F of some partitions by their own lateness; `i64::MIN` if there is none, or all that have not
    /// ended are idle.
    pub(crate) fn closed(&self, of: impl Fn(PartitionId) -> bool) -> i64 {
        let (mut least, mut any, mut active, mut idle) = (i64::MAX, false, false, false);
        for (_, partition) in self.partitions.iter().filter(|(id, _)| of(**id)) {
            any = true;
            match partition.progress.activity {
                Activity::Ended => {}
                Activity::Idle => idle = true,
                Activity::Active => {
                    active = true;
                    let lateness = partition.time.lateness;
                    let max = partition.progress.max;
                    least = least.min(max.map_or(i64::MIN, |max| max.saturating_sub(lateness)));
                }
            }
        }
        if !any || (idle && !active) { i64::MIN } else { least }
    }

    pub(crate) fn progress(&self) -> impl Iterator<Item = (PartitionId, &Progress)> {
        self.partitions.iter().map(|(id, p)| (*id, &p.progress))
    }

    /// Takes over what a checkpoint knew; a partition not assigned is left out.
    pub(crate) fn restore(&mut self, id: PartitionId, progress: Progress) {
        if let Some(p) = self.partitions.get_mut(&id) {
            p.progress = progress;
        }
    }

    fn feeding(&self, tables: &[TableName]) -> impl Iterator<Item = &Partition> {
        self.partitions.values().filter(move |p| p.tables.iter().any(|t| tables.contains(t)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const D: i64 = 10;
    const L: i64 = 100;

    fn two() -> (Watermarks, [TableName; 1]) {
        let table = TableName::new("authentication");
        let mut w = Watermarks::default();
        for id in [0, 1] {
            w.assign(&PartitionInfo {
                id: PartitionId(id),
                tables: vec![table.clone()],
                time: TimeSettings { delay: D, lateness: L, max_skew: 0, idle: 0 },
            });
        }
        (w, [table])
    }

    #[test]
    fn partition_without_a_row_holds_the_watermark() {
        let (mut w, t) = two();
        w.observe(PartitionId(0), 1_000);
        assert_eq!(w.frontier(&t, None), Frontier::START);
        w.observe(PartitionId(1), 500);
        assert_eq!(w.frontier(&t, None), Frontier { watermark: 490, closed: 400 });
    }

    #[test]
    fn idle_partition_leaves_the_minimum_and_returns() {
        let (mut w, t) = two();
        w.observe(PartitionId(0), 1_000);
        w.idle(PartitionId(1));
        assert_eq!(w.frontier(&t, None), Frontier { watermark: 990, closed: 900 });
        w.observe(PartitionId(1), 500);
        assert_eq!(w.frontier(&t, None).watermark, 490);
        let mut operator = Frontier { watermark: 990, closed: 900 };
        operator.advance(w.frontier(&t, None));
        assert_eq!(operator.watermark, 990, "an operator never goes back");
    }

    #[test]
    fn only_idle_partitions_wait_for_no_straggler_and_all_ended_is_infinity() {
        let (mut w, t) = two();
        w.observe(PartitionId(0), 1_000);
        w.idle(PartitionId(0));
        w.end(PartitionId(1));
        assert_eq!(w.frontier(&t, None), Frontier { watermark: 1_000, closed: i64::MIN });
        w.end(PartitionId(0));
        assert_eq!(w.frontier(&t, None), Frontier { watermark: i64::MAX, closed: i64::MAX });
    }

    #[test]
    fn some_partitions_are_closed_as_far_as_the_least_of_them() {
        let (mut w, _) = two();
        let first = |id: PartitionId| id.0 == 0;
        assert_eq!(w.closed(|_| false), i64::MIN);
        w.observe(PartitionId(0), 1_000);
        assert_eq!((w.closed(first), w.closed(|_| true)), (900, i64::MIN));
        w.observe(PartitionId(1), 500);
        assert_eq!(w.closed(|_| true), 400);
        w.idle(PartitionId(1));
        assert_eq!(w.closed(|_| true), 900);
        w.idle(PartitionId(0));
        assert_eq!(w.closed(|_| true), i64::MIN);
        w.end(PartitionId(0));
        assert_eq!((w.closed(first), w.closed(|_| true)), (i64::MAX, i64::MIN));
        w.end(PartitionId(1));
        assert_eq!(w.closed(|_| true), i64::MAX);
    }

    #[test]
    fn running_max_never_goes_back_and_a_rule_may_have_its_own_lateness() {
        let (mut w, t) = two();
        w.end(PartitionId(1));
        w.observe(PartitionId(0), 1_000);
        w.observe(PartitionId(0), 900);
        assert_eq!(w.frontier(&t, Some(50)), Frontier { watermark: 990, closed: 950 });
        assert_eq!(w.frontier(&t, Some(5)), Frontier { watermark: 995, closed: 995 });
    }

    #[test]
    fn other_tables_do_not_count() {
        let (w, _) = two();
        assert_eq!(w.frontier(&[TableName::new("network")], None), Frontier::START);
    }

    #[test]
    fn history_starts_at_the_least_first_time() {
        let (mut w, t) = two();
        assert_eq!(w.history_start(&t), None);
        w.first_time(PartitionId(0), &t[0], 70);
        w.first_time(PartitionId(1), &t[0], 50);
        w.first_time(PartitionId(1), &t[0], 10);
        assert_eq!(w.history_start(&t), Some(50));
    }
}
