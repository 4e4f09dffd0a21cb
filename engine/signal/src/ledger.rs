//! The level of each entity as signals see it: computed risk, what people override for a time, and the
//! hold on one that flaps. Not the arithmetic of risk.

use serde::{Deserialize, Serialize};
use sluice_event::EntityKind;

use crate::{Level, Quarantine};

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

/// What some rules say of an entity beside its risk, as long as they weigh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signs {
    /// A device does not comply.
    pub not_compliant: bool,
    /// Who signs in is less sure than the factor says.
    pub less_assured: bool,
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
    /// Whether a person keeps it apart, or did: while that lasts its level is high.
    #[serde(default)]
    pub quarantine: Option<Quarantine>,
    /// What rules said with the last change of level.
    #[serde(default)]
    pub signs: Signs,
    /// Changes of the level so far.
    pub change_no: u64,
    /// When it changed last, milliseconds since 1970.
    pub changed_at: i64,
    /// What rules say now.
    #[serde(default)]
    said: Signs,
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
    /// What rules said before and say now.
    pub signs: (Signs, Signs),
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
        signs: Signs,
        now: i64,
    ) -> Option<LevelChange> {
        self.said = signs;
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

    /// Begins or ends a quarantine.
    pub(crate) fn quarantine(
        &mut self,
        entity: &EntityKey,
        quarantine: Quarantine,
        cause: Cause,
        now: i64,
    ) -> Option<LevelChange> {
        let over = !quarantine.holds();
        self.quarantine = Some(quarantine);
        let change = self.settle(entity, cause, now, now);
        if over && self.level > Level::Low {
            // What rules began to say of a device while it was quarantined holds on.
            self.signs.not_compliant = self.said.not_compliant;
        }
        change
    }

    /// Whether its level is what a person said, not what was computed.
    pub(crate) fn is_decided(&self) -> bool {
        self.over.is_some() || self.is_quarantined()
    }

    /// Whether it is kept out of everything.
    pub fn is_quarantined(&self) -> bool {
        self.quarantine.as_ref().is_some_and(Quarantine::holds)
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
        let mut target = self.over.as_ref().map_or(self.computed, |o| o.level);
        if self.is_quarantined() {
            target = Level::High;
        }
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
        // Nobody doubts a device or a user who is low.
        let signs = if target > Level::Low { self.said } else { Signs::default() };
        let signs = (std::mem::replace(&mut self.signs, signs), signs);
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
            signs,
            cause,
            stale_since: None,
            stale: Vec::new(),
        })
    }
}
