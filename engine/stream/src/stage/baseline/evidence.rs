//! The events that show what is unusual in an open day: of each value of each entity, the first event that
//! had it. Not what is unusual, which the model says.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use sluice_baseline::Anomaly;
use sluice_event::EventUid;

use crate::{
    events::{EventRef, EventStore},
    operator::Restore,
    state::{Reader, StateError, Writer},
};

/// Values of an entity's day whose first event is kept, over all features: those with the smallest
/// hashes, so that which are kept does not depend on arrival.
const VALUES_MAX: usize = 256;
/// Events of a finding.
const EVENTS_MAX: usize = 10;
/// Values of a feature whose events a finding shows.
const OF_FEATURE: usize = 3;

/// First events by day, entity and value.
#[derive(Debug, Default)]
pub(crate) struct Evidence {
    days: BTreeMap<i64, HashMap<Arc<str>, Day, RandomState>>,
    /// Stored days that are over.
    gone: Vec<Box<[u8]>>,
}

/// First events by feature and the key of the value.
#[derive(Debug, Default)]
struct Day {
    first: BTreeMap<(u8, u64), First>,
    is_stored: bool,
    has_changed: bool,
}

#[derive(Clone, Copy, Debug)]
struct First {
    time: i64,
    uid: u128,
    event: EventRef,
}

impl Evidence {
    /// The first byte of its keys in a checkpoint: none of the model's begins with it.
    pub(crate) const TAG: u8 = u8::MAX;

    /// A row with these values came; `event` puts it into the store.
    pub(crate) fn add(
        &mut self,
        (day, entity): (i64, Arc<str>),
        (time, uid): (i64, EventUid),
        values: &[Option<u64>],
        event: impl FnOnce() -> EventRef,
    ) {
        let uid = uid.bits;
        let day = self.days.entry(day).or_default().entry(entity).or_default();
        let is_first = |day: &Day, key: &(u8, u64)| match day.first.get(key) {
            Some(known) => (time, uid) < (known.time, known.uid),
            None => {
                let largest = day.first.last_key_value().map(|(key, _)| *key);
                day.first.len() < VALUES_MAX || largest.is_some_and(|largest| *key < largest)
            }
        };
        let keys = (0..).zip(values).filter_map(|(feature, key)| Some((feature, (*key)?)));
        let keys: Vec<(u8, u64)> = keys.filter(|key| is_first(day, key)).collect();
        if keys.is_empty() {
            return;
        }
        day.has_changed = true;
        let event = event();
        for key in keys {
            day.first.insert(key, First { time, uid, event });
        }
        while day.first.len() > VALUES_MAX {
            day.first.pop_last();
        }
    }

    /// The events that show an anomaly: of its most surprising values, else the first of the day.
    pub(crate) fn of(&self, anomaly: &Anomaly, day: i64, events: &mut EventStore) -> Vec<Arc<str>> {
        let known = self.days.get(&day).and_then(|entities| entities.get(&anomaly.entity));
        let Some(known) = known else { return Vec::new() };
        let values = anomaly.features.iter().flat_map(|feature| {
            let at = u8::try_from(feature.place).unwrap_or(u8::MAX);
            feature.values.iter().take(OF_FEATURE).map(move |value| (at, value.key))
        });
        let mut shown = BTreeSet::new();
        for key in values {
            if let Some(first) = known.first.get(&key).filter(|_| shown.len() < EVENTS_MAX) {
                shown.insert((first.time, first.uid, first.event));
            }
        }
        if shown.is_empty() {
            let all = known.first.values().map(|f| (f.time, f.uid, f.event));
            shown = all.collect::<BTreeSet<_>>().into_iter().take(OF_FEATURE).collect();
        }
        let mut last = None;
        let distinct = shown.into_iter().filter(|(.., uid, _)| last.replace(*uid) != Some(*uid));
        distinct.filter_map(|(.., event)| events.text(event)).collect()
    }

    /// Days before this one are over.
    pub(crate) fn pass(&mut self, day: i64) {
        let rest = self.days.split_off(&day);
        for (day, entities) in std::mem::replace(&mut self.days, rest) {
            let stored = entities.iter().filter(|(_, over)| over.is_stored);
            self.gone.extend(stored.map(|(entity, _)| key(day, entity)));
        }
    }

    /// Bytes it takes, about.
    pub(crate) fn bytes(&self) -> u64 {
        let days = self.days.values().flat_map(HashMap::values);
        days.map(|day| 128 + 64 * day.first.len() as u64).sum()
    }

    /// What changed since the last call, or all of it.
    pub(crate) fn export(&mut self, full: bool) -> Vec<(Box<[u8]>, Option<Writer>)> {
        let mut out = Vec::new();
        let days = self.days.iter_mut().flat_map(|(of, entities)| {
            entities.iter_mut().map(move |(entity, day)| (of, entity, day))
        });
        for (of, entity, day) in days {
            if !full && !day.has_changed {
                continue;
            }
            (day.is_stored, day.has_changed) = (true, false);
            let mut w = Writer::new();
            w.length(day.first.len());
            for ((feature, key), first) in &day.first {
                w.byte(*feature);
                w.unsigned(*key);
                w.signed(first.time);
                w.wide(first.uid);
                w.unsigned(first.event.0);
            }
            out.push((key(*of, entity), Some(w)));
        }
        out.extend(self.gone.drain(..).map(|key| (key, None)));
        out
    }

    pub(crate) fn import(
        &mut self,
        key: &[u8],
        r: &mut Reader<'_>,
        restore: &mut Restore<'_>,
    ) -> Result<(), StateError> {
        let (day, entity) = key
            .split_first()
            .and_then(|(_, rest)| rest.split_first_chunk())
            .ok_or(StateError::Truncated)?;
        let entity = std::str::from_utf8(entity).map_err(|_| StateError::Checksum)?;
        let first = r.list(|r| {
            let key = (r.byte()?, r.unsigned()?);
            let (time, uid) = (r.signed()?, r.wide()?);
            let event = EventRef(restore.tagged(r.unsigned()?));
            Ok((key, First { time, uid, event }))
        })?;
        let first = first.into_iter().collect();
        let entities = self.days.entry(i64::from_be_bytes(*day)).or_default();
        entities.insert(entity.into(), Day { first, is_stored: true, has_changed: false });
        Ok(())
    }
}

fn key(day: i64, entity: &str) -> Box<[u8]> {
    [&[Evidence::TAG], &day.to_be_bytes()[..], entity.as_bytes()].concat().into()
}
