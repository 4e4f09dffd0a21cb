//! What people have to know of signals: a receiver that takes nothing, an entity that flaps, a storm. Read from
//! the state, so that it is the same after a restart. Not who is told.

use sluice_event::EntityKind;

use super::{HistoryRow, Transmitter, about};
use crate::{EntityKey, StreamStatus};

/// Something that people have to know.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Alert {
    /// What.
    pub kind: AlertKind,
    /// Since when, milliseconds since 1970.
    pub since: i64,
}

/// What people have to know.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AlertKind {
    /// A stream was paused since its receiver does not take what is pushed.
    ReceiverDown {
        /// Whose.
        receiver: String,
        /// Which.
        stream: String,
        /// What it answered.
        reason: String,
    },
    /// An entity is held at the higher level since its level changes all the time.
    Flapping(String),
    /// Rises to `high` of a kind of entity wait for a person.
    Storm(EntityKind),
}

impl Transmitter {
    /// All of them, in order.
    pub fn alerts(&self) -> Vec<Alert> {
        let down = self.streams.values().filter(|l| l.stream.status == StreamStatus::Paused);
        let down = down.filter_map(|live| {
            let stream = &live.stream;
            let kind = AlertKind::ReceiverDown {
                receiver: stream.receiver.clone(),
                stream: stream.id.clone(),
                reason: stream.reason.clone().unwrap_or_default(),
            };
            Some(Alert { kind, since: stream.failed_at? })
        });
        let flapping = self.entities.iter().filter(|(_, level)| level.held_until.is_some());
        let flapping = flapping.map(|(entity, level)| Alert {
            kind: AlertKind::Flapping(about(entity)),
            since: level.changed_at,
        });
        let storms = self.storms.iter();
        let storms = storms.filter_map(|(kind, storm)| {
            Some(Alert { kind: AlertKind::Storm(*kind), since: storm.since? })
        });
        let mut alerts: Vec<Alert> = down.chain(flapping).chain(storms).collect();
        alerts.sort();
        alerts
    }

    /// Counts and records that an entity flaps.
    pub(super) fn flaps(&mut self, entity: &EntityKey, now: i64) {
        self.totals.flapping += 1;
        self.record(HistoryRow {
            at: now,
            action: "flapping".into(),
            about: Some(about(entity)),
            ..HistoryRow::default()
        });
    }
}
