//! Where the time of the threads goes. The only place of the engine that looks at a clock, and
//! nothing it says reaches a finding.

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
    /// Findings made and kept.
    pub emit: Duration,
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
    }

    /// The stages in flow order, by name.
    pub fn stages(&self) -> [(&'static str, Duration); 6] {
        [
            ("decode", self.decode),
            ("map", self.map),
            ("match", self.matching),
            ("project", self.project),
            ("window", self.window),
            ("emit", self.emit),
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

    /// Adds the time since the start or the last lap.
    pub(crate) fn lap(&mut self, into: &mut Duration) {
        let now = now();
        *into += now - self.0;
        self.0 = now;
    }
}

#[expect(clippy::disallowed_methods, reason = "durations for people; detection never sees them")]
fn now() -> Instant {
    Instant::now()
}
