//! The state of a shard as entries of a checkpoint, and back, for whatever number of shards. Not the
//! form of a key's entry: that is its operator's.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use sluice_event::{PartitionId, TableName};

use super::{COMMON, REACHES, Shard, ShardOptions, StateReset};
use crate::{
    StateEntry, StateError,
    events::{EventRef, EventStore, StoredSegment},
    operator::Restore,
    parts::read,
    state::{Reader, Writer, payload},
    vnode,
    watermark::{Activity, Progress},
};

impl Shard {
    /// State to be stored: all of it, or what changed since the last call, `None` for what is gone.
    /// Emissions taken before belong to what is exported: store them first.
    ///
    /// What an entry costs: of a part, which holds the keys of a rule that changed, a key is its rows at
    /// 3 to 6 bytes each, their values and what was reported, before the part is
    /// [packed](StateEntry::pack); an event segment's is the events that came since the last export,
    /// compressed, written once and removed once.
    pub fn export(&mut self, full: bool) -> Vec<StateEntry> {
        let mut entries = Vec::new();
        let shared =
            |operator, key: &[u8], value| StateEntry::new(StateEntry::SHARED, operator, key, value);
        if full || std::mem::take(&mut self.moved) {
            let mut layout = Writer::new();
            layout.unsigned(u64::from(self.options.shards));
            entries.push(shared(COMMON, &[], Some(layout)));
            for (id, progress) in self.watermarks.progress() {
                let value = Some(encode_progress(progress));
                entries.push(shared(COMMON, &id.0.to_be_bytes(), value));
            }
            for operator in &self.operators {
                let key = self.options.index.to_be_bytes();
                for id in &operator.ids {
                    let value = Some(operator.planned.running.export_shared());
                    entries.push(shared(*id, &key, value));
                }
            }
        }
        for (store, events) in (0..).zip(&mut self.stores) {
            for (number, value) in events.export(full) {
                let key = segment_key(self.options.index, store, number);
                entries.push(shared(COMMON, &key, value));
            }
        }
        for operator in &mut self.operators {
            let running = &mut operator.planned.running;
            entries.extend(running.export_parts(full).into_iter().filter_map(|part| {
                let id = *operator.ids.get(part.member)?;
                Some(shared(id, &part_key(self.options.index, part.number), part.value))
            }));
            let keys = running.export(full);
            entries.extend(keys.into_iter().filter_map(|(member, key, value)| {
                let id = *operator.ids.get(member)?;
                let vnode = vnode(&self.options.secret, running.owner(&key));
                Some(StateEntry::new(vnode, id, &key, value))
            }));
        }
        let orphaned = std::mem::take(&mut self.orphaned);
        if !orphaned.is_empty() {
            // A batch holds a key once: one that is written anew is not removed.
            let put = entries.iter().filter(|entry: &&StateEntry| entry.value.is_some());
            let put: HashSet<Vec<u8>> = put.map(|entry| entry.key.clone()).collect();
            let gone = orphaned.into_iter().filter(|key| !put.contains(key));
            entries.extend(gone.map(|key| StateEntry { key, value: None }));
        }
        entries
    }

    /// Takes over stored state: the entries of this shard's virtual nodes and all
    /// [shared](StateEntry::SHARED) ones. Entries of operators it does not have are left out. State
    /// that cannot be read (another version wrote it) is dropped and returned: its rule warms up.
    ///
    /// # Errors
    /// If what is known of a partition cannot be read: nothing can be resumed then.
    pub fn import(&mut self, entries: Vec<StateEntry>) -> Result<Vec<StateReset>, StateError> {
        let stored = self.common(&entries)?;
        let mut failed: BTreeMap<(usize, usize), Failed> = BTreeMap::new();
        let mut known = BTreeSet::new();
        let ids = self.operators.iter().enumerate();
        let by_id: HashMap<u64, (usize, usize)> = ids
            .flat_map(|(at, o)| o.ids.iter().enumerate().map(move |(m, id)| (*id, (at, m))))
            .collect();
        let mut moved: [HashMap<u64, EventRef>; REACHES.len() + 1] = Default::default();
        let mut parts: BTreeMap<(usize, usize, u32), BTreeMap<u32, &StateEntry>> = BTreeMap::new();
        for entry in &entries {
            let Some(value) = &entry.value else { continue };
            let (id, key) = entry.parts()?;
            let Some(&(at, member)) = by_id.get(&id) else { continue };
            let Some(operator) = self.operators.get_mut(at) else { continue };
            let running = &mut operator.planned.running;
            let is_shared = entry.vnode() == StateEntry::SHARED;
            if is_shared && let Some((shard, number)) = split_part_key(key) {
                parts.entry((at, member, shard)).or_default().insert(number, entry);
                continue;
            }
            if !is_shared && running.has_parts() {
                self.orphaned.push(entry.key.clone());
            }
            let read = Reader::new(value).and_then(|mut r| {
                if is_shared {
                    known.insert(id);
                    return running.import_shared(&mut r);
                }
                let (events, map) = (&mut self.stores[operator.store], &mut moved[operator.store]);
                let origin = stored.shards.map(|n| u32::from(entry.vnode()) % n.max(1));
                let mut place = |event: EventRef| match origin {
                    None => event,
                    Some(origin) => stored.copy(origin, operator.store, event, map, events),
                };
                let mut restore = Restore { texts: &mut self.texts, moved: &mut place };
                running.import(member, key, &mut r, &mut restore)
            });
            if let Err(error) = read {
                let failure = failed.entry((at, member)).or_insert_with(|| (error, Vec::new()));
                if !is_shared {
                    failure.1.push(key.into());
                }
            }
        }
        for ((at, member, origin), parts) in parts {
            if let Err(error) = self.import_parts((at, member, origin), parts, &stored, &mut moved)
            {
                failed.entry((at, member)).or_insert_with(|| (error, Vec::new()));
            }
        }
        for (at, operator) in self.operators.iter_mut().enumerate() {
            if let Err(error) = operator.planned.running.imported() {
                failed.entry((at, 0)).or_insert_with(|| (error, Vec::new()));
            }
        }
        let mut resets = Vec::new();
        for ((at, member), (reason, keys)) in failed {
            let Some(operator) = self.operators.get_mut(at) else { continue };
            operator.planned.running.reset(member, keys);
            operator.ids.get(member).map(|id| known.remove(id));
            let rule_index = operator.planned.running.stats().get(member).map(|s| s.rule_index);
            resets.extend(rule_index.map(|rule_index| StateReset { rule_index, reason }));
        }
        // A rule that joins a running stream knows nothing of what was before: its history starts
        // with the newest row, not with the table's first.
        for operator in
            self.operators.iter_mut().filter(|o| !o.ids.iter().any(|id| known.contains(id)))
        {
            let Some(clock) = operator.clocks.first().and_then(|at| self.clocks.get(*at)) else {
                continue;
            };
            if let Some(newest) = self.watermarks.newest(&clock.tables) {
                operator.planned.running.history(newest);
            }
        }
        self.advance();
        Ok(resets)
    }

    /// The parts of one rule that shard `origin` has written, the latest first: it has the last word on
    /// a key. Of parts of another number of shards this one's keys are taken.
    fn import_parts(
        &mut self,
        (at, member, origin): (usize, usize, u32),
        parts: BTreeMap<u32, &StateEntry>,
        stored: &Stored,
        moved: &mut [HashMap<u64, EventRef>; REACHES.len() + 1],
    ) -> Result<(), StateError> {
        let is_own = stored.shards.is_none();
        if is_own && origin != self.options.index {
            return Ok(());
        }
        if !is_own && is_for(origin, &self.options) {
            self.orphaned.extend(parts.values().map(|entry| entry.key.clone()));
        }
        let Some(operator) = self.operators.get_mut(at) else { return Ok(()) };
        let running = &mut operator.planned.running;
        if is_own {
            parts.keys().for_each(|number| running.found_part(member, *number, &[]));
        }
        let payloads = parts.values().filter_map(|entry| entry.value.as_deref()).map(payload);
        let payloads = payloads.collect::<Result<Vec<_>, StateError>>()?;
        let (events, map) = (&mut self.stores[operator.store], &mut moved[operator.store]);
        let mut place = |event: EventRef| match is_own {
            true => event,
            false => stored.copy(origin, operator.store, event, map, events),
        };
        let (secret, shards) = (&self.options.secret, self.options.shards.max(1));
        let is_mine =
            |key: &[u8]| is_own || u32::from(vnode(secret, key)) % shards == self.options.index;
        let mut known: HashSet<&[u8]> = HashSet::new();
        let first = parts.keys().next().copied();
        for (number, payload) in parts.keys().zip(&payloads).rev() {
            let (version, mut said) = read(payload)?;
            if is_own {
                running.found_part(member, *number, &said);
            }
            said.retain(|said| is_mine(said.key) && !known.contains(said.key));
            if first != Some(*number) {
                known.extend(said.iter().map(|said| said.key));
            }
            let number = if is_own { *number } else { 0 };
            let mut restore = Restore { texts: &mut self.texts, moved: &mut place };
            running.import_part((member, number), (version, &said), &mut restore)?;
        }
        Ok(())
    }

    /// Partitions and events. Events of the same number of shards are taken over as they are, else
    /// given back to be copied as keys refer to them.
    fn common(&mut self, entries: &[StateEntry]) -> Result<Stored, StateError> {
        let mut segments: BTreeMap<(u32, u8), BTreeMap<u64, StoredSegment>> = BTreeMap::new();
        let mut keys = Vec::new();
        let mut shards = None;
        for entry in entries {
            let Some(value) = &entry.value else { continue };
            let (COMMON, key) = entry.parts()? else { continue };
            if let Ok(id) = <[u8; 4]>::try_from(key) {
                let progress = decode_progress(&mut Reader::new(value)?)?;
                self.watermarks.restore(PartitionId(u32::from_be_bytes(id)), progress);
            } else if key.is_empty() {
                shards = Some(Reader::new(value)?.unsigned()? as u32);
            } else if let Some((index, store, number)) = split_segment_key(key) {
                let segment = payload(value);
                let segment = segment.and_then(|p| StoredSegment::decode(&mut Reader::of(&p)));
                // Of events that cannot be read findings show less.
                let segment = segment.unwrap_or_else(|_| StoredSegment::unreadable());
                keys.push((index, entry.key.clone()));
                segments.entry((index, store)).or_default().insert(number, segment);
            }
        }
        if shards == Some(self.options.shards) {
            for (store, events) in (0..).zip(&mut self.stores) {
                let own = segments.remove(&(self.options.index, store));
                events.restore(own.unwrap_or_default());
            }
            return Ok(Stored::default());
        }
        let mine = keys.into_iter().filter(|(index, _)| is_for(*index, &self.options));
        self.orphaned.extend(mine.map(|(_, key)| key));
        let stores = segments.into_iter().map(|(place, segments)| {
            let mut events = EventStore::new();
            events.restore(segments);
            (place, std::cell::RefCell::new(events))
        });
        Ok(Stored { shards, stores: stores.collect() })
    }
}

/// Why state of an operator cannot be read, and of which keys.
type Failed = (StateError, Vec<Box<[u8]>>);

/// Events of a checkpoint of another number of shards.
#[derive(Debug, Default)]
struct Stored {
    /// How many shards wrote it; `None` if events are taken over as they are.
    shards: Option<u32>,
    stores: BTreeMap<(u32, u8), std::cell::RefCell<EventStore>>,
}

impl Stored {
    /// Where an event of shard `origin` is now: copied when the first key refers to it.
    fn copy(
        &self,
        origin: u32,
        store: usize,
        event: EventRef,
        moved: &mut HashMap<u64, EventRef>,
        to: &mut EventStore,
    ) -> EventRef {
        let id = event.0 | u64::from(origin) << EventRef::BITS;
        *moved.entry(id).or_insert_with(|| {
            let from = self.stores.get(&(origin, store as u8));
            match from.and_then(|s| s.borrow_mut().copy(event)) {
                Some(copy) => to.push(&copy.schema, copy.uid, copy.time, &copy.packed),
                // Its payload is gone: so is what it would show.
                None => EventRef((1 << EventRef::BITS) - 1),
            }
        })
    }
}

/// Whether this shard removes what a shard of another number of them has written: of several the first
/// removes what shards that are no more have left.
fn is_for(origin: u32, options: &ShardOptions) -> bool {
    origin == options.index || (options.index == 0 && origin >= options.shards)
}

fn part_key(shard: u32, number: u32) -> Vec<u8> {
    [shard.to_be_bytes(), number.to_be_bytes()].concat()
}

fn split_part_key(key: &[u8]) -> Option<(u32, u32)> {
    let (shard, number) = key.split_first_chunk()?;
    Some((u32::from_be_bytes(*shard), u32::from_be_bytes(number.try_into().ok()?)))
}

fn segment_key(shard: u32, store: u8, number: u64) -> Vec<u8> {
    [&shard.to_be_bytes()[..], &[store], &number.to_be_bytes()].concat()
}

fn split_segment_key(key: &[u8]) -> Option<(u32, u8, u64)> {
    let (shard, rest) = key.split_first_chunk()?;
    let (store, number) = rest.split_first()?;
    let number = number.try_into().ok()?;
    Some((u32::from_be_bytes(*shard), *store, u64::from_be_bytes(number)))
}

fn encode_progress(progress: &Progress) -> Writer {
    let mut w = Writer::new();
    w.option(progress.max);
    w.byte(match progress.activity {
        Activity::Active => 0,
        Activity::Idle => 1,
        Activity::Ended => 2,
    });
    w.length(progress.first.len());
    for (table, time) in &progress.first {
        w.text(table.as_str());
        w.signed(*time);
    }
    w
}

fn decode_progress(r: &mut Reader<'_>) -> Result<Progress, StateError> {
    let max = r.option()?;
    let activity = match r.byte()? {
        0 => Activity::Active,
        1 => Activity::Idle,
        2 => Activity::Ended,
        tag => return Err(StateError::Tag(tag)),
    };
    let first = r.list(|r| Ok((TableName::new(r.text()?), r.signed()?)))?;
    Ok(Progress { max, activity, first: first.into_iter().collect() })
}
