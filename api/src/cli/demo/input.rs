//! The generator's scenarios as live inputs, one per kind of log, at a pace. They end with silence:
//! whoever reads them decides when it has seen enough.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::Sender;
use sluice_engine::service::LiveInput;
use sluice_event::PartitionId;
use sluice_generator::Line;
use sluice_ingest::{
    Chunk, SourceSpec,
    live::{Arrival, Input, InputControl, InputFailure, InputPhase, Place, Positions},
};

/// Lines of one kind of log.
struct ScenarioInput {
    source: Arc<str>,
    lines: Vec<Line>,
    clock: Pace,
}

/// What time it is in the scenarios.
#[derive(Clone, Copy)]
pub(super) struct Pace {
    started: Instant,
    start: i64,
    speed: u32,
}

/// How long an input sleeps when it has nothing to do.
const REST: Duration = Duration::from_millis(20);

/// One input per kind of log in `lines`, at a pace.
pub(super) fn inputs(lines: Vec<Line>, clock: Pace) -> Vec<LiveInput> {
    let mut names: Vec<&'static str> = lines.iter().map(|l| l.source).collect();
    names.sort_unstable();
    names.dedup();
    let input = |name: &&'static str| {
        let lines = lines.iter().filter(|l| l.source == *name).cloned().collect();
        LiveInput {
            input: Box::new(ScenarioInput { source: (*name).into(), lines, clock }),
            kind: "demo",
            mapping: (*name).to_owned(),
        }
    };
    names.iter().map(input).collect()
}

impl Pace {
    /// Event time begins now at `start` and passes `speed` times faster than the clock.
    pub(super) fn new(start: i64, speed: u32) -> Pace {
        Pace { started: crate::clock::monotonic(), start, speed }
    }

    /// What time it is in them, milliseconds since 1970 UTC.
    pub(super) fn now(&self) -> i64 {
        let passed = crate::clock::monotonic().duration_since(self.started).as_millis() as i64;
        self.start.saturating_add(passed.saturating_mul(i64::from(self.speed)))
    }
}

impl Input for ScenarioInput {
    fn name(&self) -> &Arc<str> {
        &self.source
    }

    fn remap(&mut self, _sources: &[Arc<SourceSpec>]) -> Result<(), InputFailure> {
        Ok(())
    }

    fn run(
        &mut self,
        from: &Positions,
        out: &Sender<Arrival>,
        control: &InputControl,
    ) -> Result<(), InputFailure> {
        let place = Place { input: self.source.clone(), part: "".into() };
        let mut next = from.get(&place).map_or(0, |n| *n as usize);
        if !control.hand_on(Arrival::Assigned(place.clone()), out, || {}) {
            return Ok(());
        }
        let mut silent = false;
        while !control.stopped() {
            let now = self.clock.now();
            let due = self.lines.iter().skip(next).take_while(|l| l.time_ms <= now).count();
            let behind = self.lines.len() - next;
            control.update(|s| {
                s.phase = InputPhase::Running;
                s.places.insert(place.clone(), Some(behind as u64));
            });
            if due == 0 || control.paused() {
                if behind == 0 && !silent {
                    silent = control.hand_on(Arrival::Idle(place.clone()), out, || {});
                }
                thread::sleep(REST);
                continue;
            }
            let end = next + due.min(400);
            let Some(lines) = self.lines.get(next..end) else { break };
            let texts: Vec<String> = lines.iter().map(|l| l.text.clone()).collect();
            let mut chunk = Chunk::of_lines(PartitionId(0), &texts, now);
            chunk.received_each = lines.iter().map(|l| l.time_ms).collect();
            chunk.offsets = (next as u64..end as u64).collect();
            chunk.at_end = false;
            let parts = vec![(self.source.clone(), chunk)];
            let place = place.clone();
            let arrival = Arrival::Records { place, parts, next: end as u64 };
            if !control.hand_on(arrival, out, || {}) {
                break;
            }
            next = end;
        }
        Ok(())
    }
}
