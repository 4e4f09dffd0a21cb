//! What was usual before the attacks: weeks of Okta events of the people who are in the scenarios, at the
//! hours the scenarios take place. Benign all of it; what is unusual happens in the scenarios alone.
//!
//! Each day, within eight hours from the time of day the scenarios start at, come [`EVENTS`] events like
//! those of their background, and hana.haas@example.com signs in twice with a push, from home.

use crate::{
    Line, Random, okta,
    scenario::VICTIM,
    world::{Person, TEAM},
};

/// Events of a day.
const EVENTS: u64 = 150;
const DAY: i64 = 86_400_000;
const WORK: i64 = 8 * 3_600_000;

/// Lines of the `days` days before `start_ms`, in order of time.
pub(crate) fn lines(seed: u64, start_ms: i64, days: i64) -> Vec<Line> {
    let mut random = Random::new(seed, "history");
    let victim = Person::new(VICTIM);
    let mut lines = Vec::new();
    for day in 1..=days {
        let morning = start_ms - day * DAY;
        for _ in 0..EVENTS {
            let time = morning + random.range(0, WORK);
            lines.push(okta::benign(&mut random, time, TEAM));
        }
        for _ in 0..2 {
            let time = morning + random.range(0, WORK);
            lines.extend(okta::usual_sign_in(&mut random, time, &victim));
        }
    }
    lines.sort_by_key(|line| line.time_ms);
    lines
}
