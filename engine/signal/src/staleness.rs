//! Levels whose sources are silent: which rules see nothing, and what a stream hears of an entity meanwhile.
//! Not how silence is noticed (see `sluice_engine::silence`). Silence is never a rise.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a stream hears of an entity while everything behind its level is silent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Staleness {
    /// Its level stays: a fall waits until a source is back, a day at most.
    #[default]
    Hold,
    /// Its level decays as it would otherwise.
    Decay,
    /// It is `low`, with the silence as the reason, until a source is back.
    Low,
}

/// Rules and features that see nothing, and since when, milliseconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Blind(BTreeMap<String, i64>);

/// How long a level is held at most, milliseconds.
pub const HELD_MOST: i64 = 24 * 3_600_000;

impl Blind {
    /// Of these rules and features.
    pub fn new(since: BTreeMap<String, i64>) -> Blind {
        Blind(since)
    }

    /// Since when nothing behind a level sees anything; `None` while something does, or if nothing is behind
    /// it. A reason is `source` or `source: value`.
    pub fn since(&self, reasons: &[String]) -> Option<i64> {
        let source = |reason: &String| {
            let source = reason.split_once(": ").map_or(&**reason, |(source, _)| source);
            self.0.get(source).copied()
        };
        let all = reasons.iter().map(source).collect::<Option<Vec<i64>>>()?;
        all.into_iter().max()
    }
}
