//! The one path for defects of ours: what the code says cannot happen, and did. Not for bad input,
//! which becomes a diagnostic or a dead letter, and not for a system that fails, which is an error.
//!
//! A defect is counted per place, logged with its context, exported as `sluice_defects_total` and
//! makes the service report itself not ready. A build with debug assertions panics, so that no test
//! passes over one. A release build goes on: the caller does what loses least.

use std::{
    collections::BTreeMap,
    fmt::Display,
    panic::Location,
    sync::{Mutex, MutexGuard, PoisonError},
};

static SEEN: Mutex<Seen> = Mutex::new(Seen { places: BTreeMap::new(), latest: None });

#[derive(Debug)]
struct Seen {
    places: BTreeMap<&'static str, u64>,
    latest: Option<Defect>,
}

/// The latest defect of a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defect {
    /// Where, as a metric label: `mapper.raw`.
    pub place: &'static str,
    /// What was met.
    pub detail: String,
    /// The line of the code that reported it.
    pub line: String,
}

/// The defects of this process so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Defects {
    /// How many, by place.
    pub places: BTreeMap<&'static str, u64>,
    /// The latest one.
    pub latest: Option<Defect>,
}

impl Defects {
    /// How many there were.
    pub fn total(&self) -> u64 {
        self.places.values().sum()
    }
}

/// Reports a defect. `place` names the part of the code and is one of few: it becomes the label of a
/// metric. `detail` says what was met.
///
/// # Panics
/// In a build with debug assertions.
#[track_caller]
pub fn defect(place: &'static str, detail: impl Display) {
    let detail = detail.to_string();
    let count = record(place, &detail, Location::caller());
    // A defect met with every row must not fill the disk with logs.
    if count.is_power_of_two() {
        let line = Location::caller().to_string();
        tracing::error!(place, count, line, detail, "a defect of sluice: please report it");
    }
    if cfg!(debug_assertions) {
        panic!("defect in {place}: {detail}");
    }
}

/// The defects of this process so far: for metrics and readiness.
pub fn defects() -> Defects {
    let seen = lock();
    Defects { places: seen.places.clone(), latest: seen.latest.clone() }
}

/// What should be there and is not is a defect.
pub trait OrDefect<T> {
    /// The value; without one, the defect is reported.
    fn or_defect(self, place: &'static str) -> Option<T>;
}

impl<T, E: Display> OrDefect<T> for Result<T, E> {
    #[track_caller]
    fn or_defect(self, place: &'static str) -> Option<T> {
        match self {
            Ok(value) => Some(value),
            Err(error) => {
                defect(place, error);
                None
            }
        }
    }
}

impl<T> OrDefect<T> for Option<T> {
    #[track_caller]
    fn or_defect(self, place: &'static str) -> Option<T> {
        if self.is_none() {
            defect(place, "a value is missing");
        }
        self
    }
}

/// How many there were in this place, this one included.
fn record(place: &'static str, detail: &str, location: &Location<'_>) -> u64 {
    let mut seen = lock();
    seen.latest = Some(Defect { place, detail: detail.to_owned(), line: location.to_string() });
    let count = seen.places.entry(place).or_default();
    *count += 1;
    *count
}

fn lock() -> MutexGuard<'static, Seen> {
    SEEN.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;

    #[test]
    fn it_is_counted_with_its_context_and_stops_a_test() {
        let missing = catch_unwind(|| None::<u8>.or_defect("event.test"));
        let failed = catch_unwind(|| Err::<u8, _>("no schema").or_defect("event.test"));
        assert_eq!(
            (missing.is_err(), failed.is_err()),
            (cfg!(debug_assertions), cfg!(debug_assertions))
        );
        let seen = defects();
        assert_eq!((seen.total(), seen.places["event.test"]), (2, 2));
        let latest = seen.latest.unwrap();
        assert_eq!((latest.place, latest.detail.as_str()), ("event.test", "no schema"));
        assert!(latest.line.contains("defect.rs:"), "{}", latest.line);
    }
}
