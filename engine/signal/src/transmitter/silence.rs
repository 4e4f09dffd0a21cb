//! What silence makes of levels: falls that wait, `low` for those streams that want it, and the end of both.
//! Not how silence is noticed.

use super::{HistoryRow, Transmitter, about, json, row_key};
use crate::{Blind, Cause, EntityKey, EntityLevel, Level, LevelChange, Profile, Staleness};

/// The key of what is blind.
pub(super) const BLIND_KEY: &str = "blind/rules";

impl Transmitter {
    /// Takes which rules and features see nothing. What waited for one that sees again is sent; streams that
    /// hear `low` of an entity in silence hear that, and its level again after it.
    pub fn set_blind(&mut self, blind: Blind, now: i64) {
        if blind == self.blind {
            return;
        }
        let before = std::mem::replace(&mut self.blind, blind);
        let value = json(&self.blind);
        self.put(BLIND_KEY.to_owned(), value);
        self.end_waits(now);
        let raised = self.entities.iter().filter(|(_, e)| e.level > Level::Low && !e.is_decided());
        let changed = raised.filter_map(|(entity, level)| {
            let (was, is) = (before.since(&level.reasons), self.blind.since(&level.reasons));
            let change = match (was, is) {
                (None, Some(since)) => {
                    of_silence(entity, level, Cause::Silent { since }, Some(since))
                }
                (Some(since), None) => of_silence(entity, level, Cause::Heard { since }, None),
                (None, None) | (Some(_), Some(_)) => return None,
            };
            Some(change)
        });
        let changed: Vec<LevelChange> = changed.collect();
        for change in &changed {
            let silent = matches!(change.cause, Cause::Silent { .. });
            self.record(HistoryRow {
                at: now,
                action: if silent { "stale" } else { "fresh" }.into(),
                about: Some(about(&change.entity)),
                ..HistoryRow::default()
            });
            for id in self.streams_that(Staleness::Low) {
                self.tell_one(&id, change, now);
            }
        }
    }

    /// Since when everything behind the level of an entity is silent, milliseconds since 1970.
    pub fn stale_since(&self, entity: &EntityKey) -> Option<i64> {
        self.blind.since(&self.entities.get(entity)?.reasons)
    }

    /// A change with what is known of the sources behind the level that it changes.
    pub(super) fn with_silence(&self, change: LevelChange, behind: Vec<String>) -> LevelChange {
        let stale_since = self.blind.since(&behind);
        let stale = if stale_since.is_some() { behind } else { Vec::new() };
        LevelChange { stale_since, stale, ..change }
    }

    /// The level that a stream is shown of a change.
    pub(super) fn shown(&self, change: &LevelChange, profile: &Profile) -> Level {
        let person = matches!(change.cause, Cause::Person { .. });
        let low = profile.staleness == Staleness::Low && !person;
        // What is behind the level now counts: a rise has a source that is heard.
        let level = self.entities.get(&change.entity).filter(|level| !level.is_decided());
        let silent = level.is_some_and(|level| self.blind.since(&level.reasons).is_some());
        if low && silent { Level::Low } else { change.to }
    }

    fn streams_that(&self, staleness: Staleness) -> Vec<String> {
        let wants = |receiver: &String| {
            self.profiles.get(receiver).is_some_and(|p| p.staleness == staleness)
        };
        let streams = self.streams.iter().filter(|(_, live)| wants(&live.stream.receiver));
        streams.map(|(id, _)| id.clone()).collect()
    }

    /// Ends the wait of falls whose sources are heard again.
    fn end_waits(&mut self, now: i64) {
        let mut released = Vec::new();
        for (id, live) in &mut self.streams {
            let heard: Vec<String> = live
                .outbox
                .rows()
                .filter(|row| !row.stale.is_empty() && self.blind.since(&row.stale).is_none())
                .map(|row| row.jti.clone())
                .collect();
            for jti in heard {
                let Some(row) = live.outbox.get_mut(&jti) else { continue };
                row.stale = Vec::new();
                row.not_before = now;
                released.push((row_key(id, row.seq), json(row)));
            }
        }
        for (key, value) in released {
            self.put(key, value);
        }
    }
}

fn of_silence(
    entity: &EntityKey,
    level: &EntityLevel,
    cause: Cause,
    stale_since: Option<i64>,
) -> LevelChange {
    // Who heard `low` hears the level again; who heard the level hears `low`.
    let (from, at) = match &cause {
        Cause::Silent { since } => (level.level, *since),
        _ => (Level::Low, level.changed_at),
    };
    LevelChange {
        entity: entity.clone(),
        change_no: level.change_no,
        from,
        to: level.level,
        score: level.score,
        at,
        reasons: level.reasons.clone(),
        signs: (level.signs, level.signs),
        cause,
        stale_since,
        stale: Vec::new(),
    }
}
