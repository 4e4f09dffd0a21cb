//! The level of each entity as signals see it: computed risk, what people override for a time, and the
//! hold on one that flaps. Not the arithmetic of risk.

use serde::{Deserialize, Serialize};
use sluice_event::EntityKind;

use crate::Level;

/// Who has a level.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntityKey {
    /// What it is.
    pub kind: EntityKind,
    /// Its canonical name.
    pub id: String,
}

/// What computed risk says of an entity.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// The level.
    pub level: Level,
    /// The score behind it, 0 to 100.
    pub score: Option<f64>,
    /// When it came to that, event time in milliseconds since 1970.
    pub at: i64,
    /// Rules and features behind it, the strongest first.
    pub reasons: Vec<String>,
}

/// The level of an entity and how it came to it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EntityLevel {
    /// The level that receivers and gateways see.
    pub level: Level,
    /// The one before the last change.
    pub previous_level: Level,
    /// What computed risk says.
    pub computed: Level,
    /// The computed score, 0 to 100.
    pub score: Option<f64>,
    /// Rules and features behind the computed level.
    pub reasons: Vec<String>,
    /// What a person said instead.
    #[serde(rename = "override")]
    pub over: Option<Override>,
    /// Changes of the level so far.
    pub change_no: u64,
    /// When it changed last, milliseconds since 1970.
    pub changed_at: i64,
    /// Changes in the last hour.
    changes: Vec<i64>,
    /// It flaps: the level does not fall before this time.
    pub held_until: Option<i64>,
}

/// A level that a person gave, for a time. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Override {
    /// The level.
    pub level: Level,
    /// Why.
    pub reason: String,
    /// Who.
    pub by: String,
    /// Since when.
    pub since: i64,
    /// Until when.
    pub until: i64,
}

/// The level of an entity changed.
#[derive(Clone, Debug, PartialEq)]
pub struct LevelChange {
    /// Whose.
    pub entity: EntityKey,
    /// Which change of this entity, from 1.
    pub change_no: u64,
    /// The level before.
    pub from: Level,
    /// The level now.
    pub to: Level,
    /// The computed score, 0 to 100.
    pub score: Option<f64>,
    /// When it happened, milliseconds since 1970.
    pub at: i64,
    /// Rules and features behind it.
    pub reasons: Vec<String>,
    /// Why.
    pub cause: Cause,
    /// Since when everything behind the level before is silent, milliseconds since 1970; `None` if it is not.
    pub stale_since: Option<i64>,
    /// The rules and features behind the level before, where they are silent.
    pub stale: Vec<String>,
}

/// Why a level changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Computed risk crossed a threshold.
    Computed,
    /// A person overrode the level, or took the override back.
    Person {
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// An override ended by itself.
    Expired,
    /// The hold on a flapping entity ended.
    Released,
    /// Everything behind the level went silent: some streams hear `low` while nothing is known.
    Silent {
        /// Since when, milliseconds since 1970.
        since: i64,
    },
    /// Something behind the level is heard again.
    Heard {
        /// Since when all of it was silent, milliseconds since 1970.
        since: i64,
    },
}

const HOUR: i64 = 3_600_000;
/// More changes than this in an hour is flapping.
const FLAPPING: usize = 4;

impl EntityLevel {
    /// Takes computed risk.
    pub(crate) fn observe(
        &mut self,
        entity: &EntityKey,
        seen: Observation,
        now: i64,
    ) -> Option<LevelChange> {
        self.computed = seen.level;
        self.score = seen.score;
        self.reasons = seen.reasons;
        self.settle(entity, Cause::Computed, seen.at, now)
    }

    /// Takes or drops an override.
    pub(crate) fn decide(
        &mut self,
        entity: &EntityKey,
        over: Option<Override>,
        cause: Cause,
        now: i64,
    ) -> Option<LevelChange> {
        self.over = over;
        self.settle(entity, cause, now, now)
    }

    /// Ends what has run out; whether anything did, and what changed by it.
    pub(crate) fn expire(&mut self, entity: &EntityKey, now: i64) -> (bool, Option<LevelChange>) {
        if self.over.as_ref().is_some_and(|o| o.until <= now) {
            self.over = None;
            return (true, self.settle(entity, Cause::Expired, now, now));
        }
        if self.held_until.is_some_and(|until| until <= now) {
            self.held_until = None;
            return (true, self.settle(entity, Cause::Released, now, now));
        }
        (false, None)
    }

    fn settle(
        &mut self,
        entity: &EntityKey,
        cause: Cause,
        at: i64,
        now: i64,
    ) -> Option<LevelChange> {
        let target = self.over.as_ref().map_or(self.computed, |o| o.level);
        if target == self.level {
            self.held_until = None;
            return None;
        }
        self.changes.retain(|t| *t > now - HOUR);
        // A person's word counts at once; what computes itself up and down does not.
        let person = matches!(cause, Cause::Person { .. } | Cause::Expired);
        if target < self.level && !person && self.changes.len() >= FLAPPING {
            self.held_until = self.changes.last().map(|last| last + HOUR);
            return None;
        }
        self.held_until = None;
        self.changes.push(now);
        self.change_no += 1;
        self.previous_level = self.level;
        self.level = target;
        self.changed_at = at;
        let reasons = match &cause {
            Cause::Person { .. } | Cause::Expired => Vec::new(),
            Cause::Computed | Cause::Released | Cause::Silent { .. } | Cause::Heard { .. } => {
                self.reasons.clone()
            }
        };
        Some(LevelChange {
            entity: entity.clone(),
            change_no: self.change_no,
            from: self.previous_level,
            to: target,
            score: self.score,
            at,
            reasons,
            cause,
            stale_since: None,
            stale: Vec::new(),
        })
    }
}
