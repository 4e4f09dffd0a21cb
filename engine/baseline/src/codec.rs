//! State as entries of bytes, in a format with a version of its own: what changed since the last export,
//! or all of it. Not the layout of the types, and not where entries are kept.
//!
//! An entry is one entity, one open unit, one row that waits for its order, one text, the population,
//! or a chunk of changes that the population has not been told. So what an export costs follows what
//! happened since the one before. The first entry says what it is state of.

mod bytes;
mod edited;
mod entity;
mod entry;
mod groups;
mod population;
mod stored;

use std::sync::Arc;

use thiserror::Error;

use crate::{
    Baseline, Spec,
    export::Exported,
    shard::{Gone, Shard},
    unit::SeenRows,
};
use bytes::{Reader, Writer};
use entity::{change, open_unit, read_change, read_entity, read_open_unit};
use entry::Key;
use population::read_population;

pub(crate) use edited::Edit;
pub(crate) use stored::{
    StoredEntity, entity_key, entity_name, read_entity_entry, read_known, read_text, stored_name,
    stored_population, text_key,
};

/// The format; state of another is refused, and the baseline starts to learn again.
const VERSION: u64 = 4;

/// A part of the state of a baseline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateEntry {
    /// Its name; at most about 1 KiB. Entries in the order of their names are in an order to import.
    pub key: Vec<u8>,
    /// Its bytes; `None` removes it.
    pub value: Option<Vec<u8>>,
}

/// Why state could not be read.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum StateError {
    /// Written by another version of the format.
    #[error("state format {0}, this build reads {VERSION}")]
    Version(u64),
    /// Of a baseline with other units.
    #[error("state of a baseline with other units")]
    OtherUnit,
    /// Cut short, or not state at all.
    #[error("state is damaged at byte {0} of an entry")]
    Damaged(usize),
}

impl Baseline {
    /// State that changed since the last export, or `all` of it. Importing all entries that are there
    /// and going on equals never having stopped.
    pub fn export(&mut self, all: bool) -> Vec<StateEntry> {
        let mut out = Vec::new();
        let mut put = |key: Key<'_>, write: &dyn Fn(&mut Writer)| {
            let mut w = Writer::default();
            write(&mut w);
            out.push(StateEntry { key: key.bytes(), value: Some(w.bytes) });
        };
        let exported = &mut self.exported;
        if all {
            // What is not told is written anew, as the first chunk.
            exported.applied.append(&mut exported.chunks);
            exported.next = 0;
            self.shards.iter_mut().for_each(|shard| shard.changes_exported = 0);
        }
        let untold = |shard: &Shard| shard.changes.len() > shard.changes_exported;
        let chunk = self.shards.iter().any(untold).then(|| {
            exported.next += 1;
            exported.chunks.push(exported.next);
            exported.next
        });
        let (spec, watermark, next) = (&self.spec, self.watermark, exported.next);
        put(Key::Header, &|w| header(w, spec, watermark, next));
        if exported.population.is_due(all) {
            put(Key::Population, &|w| population::population(w, &self.population));
        }
        if self.spec.peers.learned && exported.groups.is_due(all) {
            put(Key::Groups, &|w| groups::groups(w, &self.groups));
        }
        if let Some(number) = chunk {
            let shards = &self.shards;
            put(Key::Changes(number), &|w| changes(w, shards));
        }
        for shard in &mut self.shards {
            shard.changes_exported = shard.changes.len();
            let fresh = std::mem::take(&mut shard.names_new);
            let names: Vec<u64> = if all { shard.names.keys().copied().collect() } else { fresh };
            for hash in names {
                let Some(text) = shard.names.get(&hash) else { continue };
                put(Key::Name(hash), &|w| w.text(text));
            }
            for (name, entity) in &mut shard.entities {
                if entity.exported.is_due(all) {
                    let entity = &*entity;
                    put(Key::Entity(name), &|w| entity::entity(w, entity));
                }
            }
            for (day, units) in &mut shard.open {
                for (name, unit) in units {
                    if unit.exported.is_due(all) {
                        let unit = &*unit;
                        put(Key::Open(*day, name), &|w| open_unit(w, unit));
                    }
                    for (hour, seen) in &mut unit.seen {
                        if seen.exported.is_due(all) {
                            let mut uids: Vec<u64> = seen.uids.iter().copied().collect();
                            uids.sort_unstable();
                            let write = |w: &mut Writer| w.list(uids.iter(), |w, u| w.raw64(*u));
                            put(Key::Seen(*day, *hour, name), &write);
                        }
                    }
                }
            }
            for ((time, uid, name), waiting) in &mut shard.waiting {
                if waiting.exported.is_due(all) {
                    let keys = &waiting.keys;
                    put(Key::Waiting(*time, *uid, name), &|w| row_keys(w, keys));
                }
            }
        }
        let mut remove = |key: Key<'_>| out.push(StateEntry { key: key.bytes(), value: None });
        exported.applied.retain(|number| !exported.chunks.contains(number));
        exported.applied.drain(..).for_each(|number| remove(Key::Changes(number)));
        for shard in &mut self.shards {
            for gone in std::mem::take(&mut shard.gone) {
                let is_back = match &gone {
                    Gone::Entity(name) => shard.entities.contains_key(name),
                    Gone::Open(day, name) => {
                        shard.open.get(day).is_some_and(|units| units.contains_key(name))
                    }
                    Gone::Seen(day, hour, name) => {
                        let open = shard.open.get(day).and_then(|units| units.get(name));
                        open.is_some_and(|unit| unit.seen.contains_key(hour))
                    }
                    Gone::Waiting(time, uid, name) => {
                        shard.waiting.contains_key(&(*time, *uid, name.clone()))
                    }
                };
                if !is_back {
                    remove(Key::of(&gone));
                }
            }
        }
        // Maps have no order; what is written has.
        out.sort_by(|a, b| a.key.cmp(&b.key));
        out
    }

    /// Replaces the state of a baseline just made by exported entries, over any number of shards. Of
    /// a declaration that was edited since, the state of every feature whose kind and expression are
    /// the same is kept; the others begin to learn.
    ///
    /// # Errors
    /// State of another format or unit, or damaged; the baseline is as before.
    pub fn import<'a>(
        &mut self,
        entries: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<(), StateError> {
        let mut entries: Vec<(&[u8], &[u8])> = entries.into_iter().collect();
        entries.sort_unstable();
        let Some(((key, bytes), rest)) = entries.split_first() else { return Ok(()) };
        if Key::read(key)? != Key::Header {
            return Err(StateError::Damaged(0));
        }
        let mut restored = Baseline::new((*self.spec).clone(), self.policy, self.shards.len());
        let Header { edit, watermark, next } = read_header(bytes, &self.spec)?;
        restored.watermark = watermark;
        restored.exported.next = next;
        let exported = if edit.is_some() { Exported::EDITED } else { Exported::READ };
        for (key, bytes) in rest {
            let mut r = Reader { bytes, at: 0 };
            restored.take_entry(Key::read(key)?, &mut r, edit.as_ref(), exported)?;
            if r.at != bytes.len() {
                return Err(StateError::Damaged(r.at));
            }
        }
        let version = restored.population.version;
        restored.population.publish(version, &self.spec.features);
        restored.take_settings_of(self);
        *self = restored;
        Ok(())
    }

    fn take_entry(
        &mut self,
        key: Key<'_>,
        r: &mut Reader<'_>,
        edit: Option<&Edit>,
        exported: Exported,
    ) -> Result<(), StateError> {
        match key {
            Key::Header => return Err(StateError::Damaged(0)),
            Key::Population => {
                let mut population = read_population(r)?;
                if let Some(edit) = edit {
                    edit.population(&mut population);
                }
                self.exported.population = exported;
                self.population = population;
            }
            Key::Groups => {
                let read = groups::read_groups(r)?;
                // Points are of the features there were.
                if edit.is_none() && self.spec.peers.learned {
                    (self.groups, self.exported.groups) = (read, exported);
                }
            }
            Key::Changes(number) => {
                let mut changes = r.list(read_change)?;
                if let Some(edit) = edit {
                    changes = changes.into_iter().filter_map(|c| edit.change(c)).collect();
                }
                // Any shard may tell the population.
                if let Some(shard) = self.shards.first_mut() {
                    shard.changes.extend(changes);
                    shard.changes_exported = if edit.is_none() { shard.changes.len() } else { 0 };
                }
                match edit {
                    None => self.exported.chunks.push(number),
                    Some(_) => self.exported.applied.push(number),
                }
            }
            Key::Name(hash) => {
                // Any shard may be asked for a text.
                let text: Arc<str> = r.text()?.into();
                for shard in &mut self.shards {
                    shard.names.insert(hash, Arc::clone(&text));
                }
            }
            Key::Entity(name) => {
                let mut entity = read_entity(r)?;
                if let Some(edit) = edit {
                    edit.entity(&mut entity);
                }
                entity.exported = exported;
                self.put_entity(name, entity);
            }
            Key::Open(day, name) => {
                let mut unit = read_open_unit(r)?;
                if let Some(edit) = edit {
                    edit.open_unit(&mut unit);
                }
                unit.exported = exported;
                self.put_open(day, name, unit);
            }
            Key::Seen(day, hour, name) => {
                let uids = r.list(Reader::raw64)?.into_iter().collect();
                if !self.put_seen((day, hour, name), SeenRows { uids, exported: Exported::READ }) {
                    return Err(StateError::Damaged(0));
                }
            }
            Key::Waiting(time, uid, name) => {
                let mut keys = read_row_keys(r)?;
                if let Some(edit) = edit {
                    keys = edit.row_keys(keys);
                }
                self.put_waiting((time, uid, name), keys, exported);
            }
        }
        Ok(())
    }
}

fn header(w: &mut Writer, spec: &Spec, watermark: i64, next: u64) {
    w.u64(VERSION);
    w.text(&format!("{:?}", spec.unit));
    w.list(spec.features.iter(), |w, feature| {
        w.text(&format!("{:?}", feature.kind));
        w.text(&feature.reads);
    });
    w.i64(watermark);
    w.u64(next);
}

/// What a header says.
struct Header {
    /// What was edited since, if anything was.
    edit: Option<Edit>,
    watermark: i64,
    next: u64,
}

fn read_header(bytes: &[u8], spec: &Spec) -> Result<Header, StateError> {
    let mut r = Reader { bytes, at: 0 };
    let version = r.u64()?;
    if version != VERSION {
        return Err(StateError::Version(version));
    }
    if r.text()? != format!("{:?}", spec.unit) {
        return Err(StateError::OtherUnit);
    }
    let features = r.list(|r| Ok((r.text()?, r.text()?)))?;
    let (watermark, next) = (r.i64()?, r.u64()?);
    if r.at != bytes.len() {
        return Err(StateError::Damaged(r.at));
    }
    Ok(Header { edit: Edit::between(&features, &spec.features), watermark, next })
}

/// The changes that no export has, in an order of their own: which shard reports which does not matter.
fn changes(w: &mut Writer, shards: &[Shard]) {
    let untold = shards.iter().flat_map(|s| s.changes.iter().skip(s.changes_exported));
    let bytes = untold.map(|c| {
        let mut w = Writer::default();
        change(&mut w, c);
        w.bytes
    });
    let mut all: Vec<Vec<u8>> = bytes.collect();
    all.sort_unstable();
    w.list(all.iter(), |w, bytes| w.bytes.extend_from_slice(bytes));
}

fn row_keys(w: &mut Writer, keys: &[Option<u64>]) {
    w.list(keys.iter(), |w, key| bytes::option(w, *key, Writer::raw64));
}

fn read_row_keys(r: &mut Reader<'_>) -> Result<Vec<Option<u64>>, StateError> {
    r.list(|r| r.option(Reader::raw64))
}
