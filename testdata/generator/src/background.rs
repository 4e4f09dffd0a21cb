//! Benign lines: without end for measuring, and over a while for scenarios.

use crate::{
    Format, Line, Random, cloudtrail, kubernetes, okta, sshd, vpc_flow,
    world::{PEOPLE, TEAM},
};

/// Benign lines of one source without end, with thousands of users and tens of thousands of
/// addresses, a few of which make most of it. Times go forward, a few seconds out of order.
#[derive(Clone, Debug)]
pub struct Bulk {
    source: &'static str,
    random: Random,
    time_ms: i64,
    format: Format,
}

impl Bulk {
    pub(crate) fn new(source: &'static str, seed: u64, start_ms: i64, format: Format) -> Self {
        // The first lines must not be before the start.
        Bulk { source, random: Random::new(seed, source), time_ms: start_ms + JITTER, format }
    }
}

/// How far back a line may be in time, milliseconds.
const JITTER: i64 = 3_000;

impl Iterator for Bulk {
    type Item = Line;

    fn next(&mut self) -> Option<Line> {
        // About 100 events a second.
        self.time_ms += self.random.range(0, 20);
        let time = self.time_ms - self.random.range(0, JITTER);
        Some(benign(&mut self.random, self.source, time, PEOPLE, self.format))
    }
}

/// One benign line of a source among about `people` users or hosts.
fn benign(random: &mut Random, source: &str, time_ms: i64, people: u64, format: Format) -> Line {
    match source {
        okta::SOURCE => okta::benign(random, time_ms, people),
        cloudtrail::SOURCE => cloudtrail::benign(random, time_ms, people),
        kubernetes::SOURCE => kubernetes::benign(random, time_ms, people),
        sshd::SOURCE => sshd::benign(random, time_ms, people, format),
        _ => vpc_flow::benign(random, time_ms, people * 4, format),
    }
}

/// `count` benign lines of a source spread over `minutes`, with when each arrives.
pub(crate) fn spread(
    random: &mut Random,
    source: &str,
    start_ms: i64,
    minutes: i64,
    count: u64,
    format: Format,
) -> Vec<(i64, Line)> {
    (0..count)
        .map(|_| {
            let time = start_ms + random.range(0, minutes * 60_000);
            let line = benign(random, source, time, TEAM, format);
            (time + random.range(0, JITTER), line)
        })
        .collect()
}
