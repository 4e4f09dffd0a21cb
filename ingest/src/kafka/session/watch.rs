//! What is seen of the partitions meanwhile: their ends and lag, silence, stalls; and what the input
//! shows of itself.

use std::time::Instant;

use super::{
    super::{clock::now, context::Statistics},
    End, STALL, Session, unsigned,
};
use crate::live::{Arrival, InputFailure, InputPhase};

impl Session<'_> {
    /// Ends, lag and state of what is read.
    pub(super) fn learn(&mut self, statistics: &Statistics) {
        let up = statistics.brokers.values().any(|b| b.nodeid >= 0 && b.state == "UP");
        let steady = statistics.cgrp.as_ref().is_some_and(|g| {
            g.state == "up" && matches!(g.join_state.as_str(), "steady" | "started")
        });
        if up && steady {
            self.connected = true;
            self.troubles.steady();
        }
        let again = up && !self.up;
        self.up = up;
        let now = now();
        let committed_only = self.settings.committed_only();
        for (topic, statistic) in &statistics.topics {
            for ends in statistic.partitions.values() {
                let Some(tracked) = self.places.get_mut(topic, ends.partition) else { continue };
                let end = if committed_only { ends.ls_offset } else { ends.hi_offset };
                if !tracked.assigned || end < 0 {
                    continue;
                }
                if again {
                    // While no broker answered, silence said nothing.
                    tracked.moved = now;
                }
                let at_end = up && ends.eof_offset >= 0 && ends.eof_offset == ends.next_offset;
                tracked.end = at_end.then(|| unsigned(ends.next_offset));
                tracked.lag = Some(unsigned(end).saturating_sub(tracked.reached()));
            }
        }
    }

    /// Nothing waits to be taken: what was fetched was taken, and what is left up to an end are
    /// markers of transactions, which take offsets and are no records.
    pub(super) fn drained(&mut self) {
        for (_, _, tracked) in self.places.iter_mut() {
            if let Some(end) = tracked.end {
                tracked.passed = end;
            }
        }
    }

    /// Asks anew for partitions of which nothing comes.
    pub(super) fn stalls(&mut self, now: Instant) -> Result<Option<End>, InputFailure> {
        if self.troubles.unreachable() || self.behind || self.control.paused() {
            return Ok(None);
        }
        let mut stalled = Vec::new();
        let mut again = false;
        for (topic, number, tracked) in self.places.iter_mut() {
            let due = tracked.assigned && now.duration_since(tracked.moved) >= STALL;
            if due && tracked.lag.is_some_and(|lag| lag > 0) {
                tracked.moved = now;
                tracked.stalls += 1;
                again |= tracked.stalls > 1;
                let place = &tracked.place;
                tracing::warn!(%place, next = tracked.next, "nothing comes though there is something");
                stalled.push((topic.to_string(), number));
            }
        }
        if stalled.is_empty() {
            return Ok(None);
        }
        self.control.update(|status| status.stalled += stalled.len() as u64);
        if again {
            return Ok(Some(End::Anew));
        }
        self.restart(stalled)?;
        Ok(None)
    }

    /// Says which partitions hold nobody back.
    pub(super) fn idle(&mut self, now: Instant) {
        if self.behind || self.control.paused() {
            return;
        }
        for (_, _, tracked) in self.places.iter_mut() {
            let silent = tracked.assigned && tracked.at_end() && !tracked.idle;
            if silent && tracked.batch.is_empty() && now.duration_since(tracked.moved) >= self.idle
            {
                tracked.idle = true;
                self.ready.push_back(Arrival::Idle(tracked.place.clone()));
            }
        }
    }

    /// Shows what it is doing.
    pub(super) fn show(&self) {
        let places = self.places.assigned().map(|(_, _, t)| (t.place.clone(), t.lag)).collect();
        let phase = match self.troubles.text() {
            Some(text) => InputPhase::Retrying(text),
            None if self.control.paused() => InputPhase::Paused,
            None if self.connected => InputPhase::Running,
            None => InputPhase::Starting,
        };
        let paused = if self.behind { self.paused.len() as u64 } else { 0 };
        self.control.update(|status| {
            status.phase = phase;
            status.places = places;
            status.paused = paused;
        });
    }
}
