//! Where the time of the threads goes. The only place of the engine that looks at a clock, and
//! nothing it measures reaches a finding.

use std::time::{Duration, Instant};

/// Time spent per stage, summed over threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StageTimes {
    /// Records to wire columns.
    pub decode: Duration,
    /// Wire columns to table rows, engine columns filled.
    pub map: Duration,
    /// All rules' conditions over the rows.
    pub matching: Duration,
    /// Rows that passed: keys, columns, evidence.
    pub project: Duration,
    /// Keyed operators.
    pub window: Duration,
    /// Findings made and committed.
    pub emit: Duration,
    /// Checkpoints kept, beside the path of findings.
    pub checkpoint: Duration,
}

impl StageTimes {
    /// Adds the times of another thread.
    pub fn add(&mut self, other: &StageTimes) {
        self.decode += other.decode;
        self.map += other.map;
        self.matching += other.matching;
        self.project += other.project;
        self.window += other.window;
        self.emit += other.emit;
        self.checkpoint += other.checkpoint;
    }

    /// The stages in flow order, by name.
    pub fn stages(&self) -> [(&'static str, Duration); 7] {
        [
            ("decode", self.decode),
            ("map", self.map),
            ("match", self.matching),
            ("project", self.project),
            ("window", self.window),
            ("emit", self.emit),
            ("checkpoint", self.checkpoint),
        ]
    }
}

/// Measures laps.
#[derive(Debug)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Stopwatch(now())
    }

    /// Adds the time since the start or the last lap; nanoseconds of it.
    pub(crate) fn lap(&mut self, into: &mut Duration) -> u64 {
        let now = now();
        let lap = now - self.0;
        *into += lap;
        self.0 = now;
        u64::try_from(lap.as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Stopwatch {
    /// The time since the start or the last lap.
    pub(crate) fn elapsed(&self) -> Duration {
        now() - self.0
    }
}

/// Is due when so much time has passed since it was last due.
#[derive(Debug)]
pub(crate) struct Timer {
    every: Duration,
    last: Instant,
}

impl Timer {
    pub(crate) fn every(milliseconds: i64) -> Self {
        let every = Duration::from_millis(milliseconds.max(0).unsigned_abs());
        Timer { every, last: now() }
    }

    pub(crate) fn is_due(&mut self) -> bool {
        let now = now();
        let due = now - self.last >= self.every;
        if due {
            self.last = now;
        }
        due
    }

    /// The time until it is due.
    pub(crate) fn left(&self) -> Duration {
        self.every.saturating_sub(now() - self.last)
    }

    /// Starts over.
    pub(crate) fn restart(&mut self) {
        self.last = now();
    }
}

#[expect(clippy::disallowed_methods, reason = "durations for people; detection never sees them")]
fn now() -> Instant {
    Instant::now()
}
