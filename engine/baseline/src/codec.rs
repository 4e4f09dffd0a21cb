//! State as bytes: an entity, and what all share. A format with a version of its own; not the layout
//! of the types.

mod bytes;
mod entity;
mod population;

use std::{collections::BTreeMap, sync::Arc};

use thiserror::Error;

use crate::{Baseline, entity::Entity, unit::OpenUnit};
use bytes::{Reader, Writer};
use entity::{change, open_unit, read_change, read_entity, read_open_unit};
use population::read_population;

/// The format; bytes of another are refused, and the baseline starts to learn again.
const VERSION: u64 = 1;

/// Why state could not be read.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum StateError {
    /// Written by another version of the format.
    #[error("state format {0}, this build reads {VERSION}")]
    Version(u64),
    /// Of a baseline with other features or another unit.
    #[error("state of a baseline with other features or another unit")]
    OtherSpec,
    /// Cut short, or not state at all.
    #[error("state is damaged at byte {0}")]
    Damaged(usize),
}

impl Baseline {
    /// The whole state. Restoring it and going on equals never having stopped.
    pub fn save(&self) -> Vec<u8> {
        let mut w = Writer::default();
        w.u64(VERSION);
        w.text(&format!("{:?} {:?}", self.spec.unit, self.spec.features));
        w.i64(self.watermark);
        population::population(&mut w, &self.population);
        w.list(self.reported.iter(), |w, ((entity, unit), surprise)| {
            w.text(entity);
            w.i64(*unit);
            w.f64(*surprise);
        });
        // In an order of their own: which shard reports which does not matter.
        let changes = self.shards.iter().flat_map(|s| &s.changes).map(|c| {
            let mut w = Writer::default();
            change(&mut w, c);
            w.bytes
        });
        let mut changes: Vec<Vec<u8>> = changes.collect();
        changes.sort_unstable();
        w.list(changes.iter(), |w, bytes| w.bytes.extend_from_slice(bytes));
        let mut names: BTreeMap<u64, &str> = BTreeMap::new();
        let mut entities: BTreeMap<&str, &Entity> = BTreeMap::new();
        let mut open: BTreeMap<(i64, &str), &OpenUnit> = BTreeMap::new();
        let mut waiting = BTreeMap::new();
        for shard in &self.shards {
            names.extend(shard.names.iter().map(|(hash, text)| (*hash, &**text)));
            entities.extend(shard.entities.iter().map(|(name, e)| (&**name, e)));
            waiting.extend(shard.waiting.iter());
            for (day, units) in &shard.open {
                open.extend(units.iter().map(|(name, unit)| ((*day, &**name), unit)));
            }
        }
        w.list(names.into_iter(), |w, (hash, text)| {
            w.raw64(hash);
            w.text(text);
        });
        w.list(entities.into_iter(), |w, (name, e)| {
            w.text(name);
            entity::entity(w, e);
        });
        w.list(open.into_iter(), |w, ((day, name), unit)| {
            w.i64(day);
            w.text(name);
            open_unit(w, unit);
        });
        w.list(waiting.into_iter(), |w, ((time, uid, name), keys)| {
            w.i64(*time);
            w.raw64((*uid >> 64) as u64);
            w.raw64(*uid as u64);
            w.text(name);
            w.list(keys.iter(), |w, key| match key {
                Some(key) => {
                    w.u64(1);
                    w.raw64(*key);
                }
                None => w.u64(0),
            });
        });
        w.bytes
    }

    /// Replaces the state of a baseline just made by saved state, over any number of shards.
    ///
    /// # Errors
    /// State of another format or declaration, or damaged; the baseline is as before.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        let mut r = Reader { bytes, at: 0 };
        let version = r.u64()?;
        if version != VERSION {
            return Err(StateError::Version(version));
        }
        if r.text()? != format!("{:?} {:?}", self.spec.unit, self.spec.features) {
            return Err(StateError::OtherSpec);
        }
        let mut restored = Baseline::new((*self.spec).clone(), self.policy, self.shards.len());
        restored.watermark = r.i64()?;
        restored.population = read_population(&mut r)?;
        restored.population.publish(restored.population.version, &self.spec.features);
        restored.reported =
            r.list(|r| Ok(((Arc::from(r.text()?), r.i64()?), r.f64()?)))?.into_iter().collect();
        let changes = r.list(read_change)?;
        let names = r.list(|r| Ok((r.raw64()?, r.text()?)))?;
        for (i, shard) in restored.shards.iter_mut().enumerate() {
            // Any shard may tell the population, and any may be asked for a text.
            if i == 0 {
                shard.changes.clone_from(&changes);
            }
            shard.names = names.iter().map(|(hash, text)| (*hash, text.as_str().into())).collect();
        }
        for (name, entity) in r.list(|r| Ok((r.text()?, read_entity(r)?)))? {
            restored.put_entity(&name, entity);
        }
        for (day, name, unit) in r.list(|r| Ok((r.i64()?, r.text()?, read_open_unit(r)?)))? {
            restored.put_open(day, &name, unit);
        }
        let key = |r: &mut Reader<'_>| Ok(if r.u64()? == 1 { Some(r.raw64()?) } else { None });
        for (time, uid, name, keys) in r.list(|r| {
            let time = r.i64()?;
            let uid = u128::from(r.raw64()?) << 64 | u128::from(r.raw64()?);
            Ok((time, uid, r.text()?, r.list(key)?))
        })? {
            restored.put_waiting(time, uid, &name, keys);
        }
        if r.at != bytes.len() {
            return Err(StateError::Damaged(r.at));
        }
        restored.take_settings_of(self);
        *self = restored;
        Ok(())
    }
}
