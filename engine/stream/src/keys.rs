//! A map from key to operator state that knows which keys to look at next and which changed since
//! the last checkpoint. A key's bytes are held once; elsewhere a key is its slot. Its own order never
//! reaches output: emissions are sorted.

use std::{collections::BTreeMap, hash::BuildHasher, hint::black_box};

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::{Pace, watermark::Frontier};

/// Where a key is, until it is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot(u32);

impl Slot {
    pub(crate) fn number(self) -> u32 {
        self.0
    }
}

/// When a key must be looked at again even if no row comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Timers {
    /// As soon as the watermark is here.
    pub(crate) watermark: Option<i64>,
    /// As soon as nothing before this can come.
    pub(crate) closed: Option<i64>,
    /// With the next take of every change: something about it was not emitted at the pace of this one.
    pub(crate) waits: bool,
}

/// The state of every key of one operator.
#[derive(Debug)]
pub(crate) struct Keys<S> {
    index: HashTable<u32>,
    hasher: RandomState,
    entries: Slab<Entry<S>>,
    free: Vec<u32>,
    dirty: Vec<Slot>,
    /// Keys to look at when every change is to be emitted.
    waiting: Vec<Slot>,
    /// Timers are rounded up to multiples of this, milliseconds.
    grain: i64,
    on_watermark: BTreeMap<i64, Vec<Slot>>,
    on_closed: BTreeMap<i64, Vec<Slot>>,
    changed: Vec<Slot>,
    /// Keys that a checkpoint has and that are gone, with what it has of them.
    removed: Vec<Gone>,
    bytes: usize,
}

/// A key that is gone, and in which part a checkpoint last wrote it.
#[derive(Debug)]
pub(crate) struct Gone {
    pub(crate) key: Box<[u8]>,
    /// A bit for each rule of the operator.
    pub(crate) stored: u64,
    pub(crate) part: u32,
}

#[derive(Debug)]
struct Entry<S> {
    key: Bytes,
    state: Option<S>,
    /// `NEVER` where there is none.
    watermark: i64,
    closed: i64,
    /// What a checkpoint has of it: a bit for each rule of the operator.
    stored: u64,
    /// The part of the checkpoint that has its latest state; 0: none.
    part: u32,
    bytes: u32,
    flags: u8,
}

/// The bytes of a key. Short ones, which most are, are in place: whoever looks for a key then reads its entry
/// and nothing else.
#[derive(Debug)]
enum Bytes {
    Short(u8, [u8; SHORT]),
    Long(Box<[u8]>),
}

/// Keys that are fetched before the first of them is worked on.
pub(crate) const AHEAD: usize = 32;

/// With its length and which one it is: 32 bytes.
const SHORT: usize = 30;
const NEVER: i64 = i64::MAX;
const DIRTY: u8 = 1;
const CHANGED: u8 = 2;
const WAITING: u8 = 4;
/// A list of keys may have so many beyond twice those there are.
const LISTED: usize = 1_024;
/// Bytes of an entry beside its state, with its places in the index and in lists.
const ENTRY: usize = 112;

impl<S> Keys<S> {
    pub(crate) fn new(grain: i64) -> Self {
        Keys {
            index: HashTable::new(),
            hasher: RandomState::default(),
            entries: Slab { chunks: Vec::new(), length: 0 },
            free: Vec::new(),
            dirty: Vec::new(),
            waiting: Vec::new(),
            grain: grain.max(1),
            on_watermark: BTreeMap::new(),
            on_closed: BTreeMap::new(),
            changed: Vec::new(),
            removed: Vec::new(),
            bytes: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn find(&self, key: &[u8]) -> Option<Slot> {
        self.find_hashed(key, self.hasher.hash_one(key))
    }

    /// [`find`](Self::find) of a key with this hash.
    pub(crate) fn find_hashed(&self, key: &[u8], hash: u64) -> Option<Slot> {
        let same = |slot: &u32| self.entries.get(*slot).is_some_and(|e| e.key.get() == key);
        self.index.find(hash, same).map(|slot| Slot(*slot))
    }

    /// Makes `hashes` those of these keys. Reads where they are, or one that looks like each of them: the
    /// processor fetches what is far away in memory for several of them at once.
    pub(crate) fn fetch_keys<'k>(
        &self,
        keys: impl Iterator<Item = &'k [u8]>,
        hashes: &mut Vec<u64>,
    ) {
        hashes.clear();
        hashes.extend(keys.map(|key| self.hasher.hash_one(key)));
        let first = |hash: &u64| {
            let slot = self.index.find(*hash, |_| true)?;
            Some(u64::from(self.entries.get(*slot)?.flags))
        };
        black_box(hashes.iter().filter_map(first).fold(0, |all, one| all ^ one));
    }

    /// Reads the states in these slots and what `read` reads of them, as [`fetch_keys`](Self::fetch_keys).
    pub(crate) fn fetch(&self, slots: impl Iterator<Item = Slot>, read: impl Fn(&S) -> u64) {
        let states = slots.filter_map(|slot| self.get(slot));
        black_box(states.fold(0, |all, state| all ^ read(state)));
    }

    /// The slot of a key, made by `new` if there is none; the key is looked at next time.
    pub(crate) fn touch(&mut self, key: &[u8], new: impl FnOnce() -> S) -> Slot {
        self.touch_hashed(key, self.hasher.hash_one(key), new)
    }

    /// [`touch`](Self::touch) of a key with this hash.
    pub(crate) fn touch_hashed(&mut self, key: &[u8], hash: u64, new: impl FnOnce() -> S) -> Slot {
        let slot = self.find_hashed(key, hash).unwrap_or_else(|| self.insert(key, hash, new()));
        if let Some(entry) = self.entries.get_mut(slot.0)
            && entry.flags & DIRTY == 0
        {
            entry.flags |= DIRTY;
            self.dirty.push(slot);
        }
        slot
    }

    fn insert(&mut self, key: &[u8], hash: u64, state: S) -> Slot {
        let entry = Entry {
            key: Bytes::new(key),
            state: Some(state),
            watermark: NEVER,
            closed: NEVER,
            stored: 0,
            part: 0,
            bytes: 0,
            flags: 0,
        };
        let slot = match self.free.pop() {
            Some(slot) => {
                if let Some(free) = self.entries.get_mut(slot) {
                    *free = entry;
                }
                slot
            }
            None => self.entries.push(entry),
        };
        let (hasher, entries) = (&self.hasher, &self.entries);
        let rehash = |slot: &u32| entries.get(*slot).map_or(0, |e| hasher.hash_one(e.key.get()));
        self.index.insert_unique(hash, slot, rehash);
        Slot(slot)
    }

    pub(crate) fn key(&self, slot: Slot) -> &[u8] {
        self.entries.get(slot.0).map_or(&[], |e| e.key.get())
    }

    pub(crate) fn get(&self, slot: Slot) -> Option<&S> {
        self.entries.get(slot.0)?.state.as_ref()
    }

    pub(crate) fn get_mut(&mut self, slot: Slot) -> Option<&mut S> {
        self.entries.get_mut(slot.0)?.state.as_mut()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Slot, &S)> {
        let entries = (0..self.entries.length).map(|i| (Slot(i), self.entries.get(i)));
        entries.filter_map(|(slot, entry)| Some((slot, entry?.state.as_ref()?)))
    }

    /// Whether nothing is to be looked at, at this frontier.
    pub(crate) fn is_idle(&self, frontier: Frontier, pace: Pace) -> bool {
        let quiet = |timers: &BTreeMap<i64, Vec<Slot>>, now| {
            timers.first_key_value().is_none_or(|(at, _)| *at > now)
        };
        self.dirty.is_empty()
            && (pace != Pace::EveryChange || self.waiting.is_empty())
            && quiet(&self.on_watermark, frontier.watermark)
            && quiet(&self.on_closed, frontier.closed)
    }

    /// The keys to look at: touched, with a timer that expired, or waiting for this pace. Each once.
    pub(crate) fn due(&mut self, frontier: Frontier, pace: Pace) -> Vec<Slot> {
        let mut due = std::mem::take(&mut self.dirty);
        if pace == Pace::EveryChange {
            for slot in self.waiting.drain(..) {
                let Some(entry) = self.entries.get_mut(slot.0) else { continue };
                let waits = entry.flags & WAITING != 0;
                entry.flags &= !WAITING;
                if waits && entry.flags & DIRTY == 0 {
                    entry.flags |= DIRTY;
                    due.push(slot);
                }
            }
        }
        for (timers, now, of) in [
            (&mut self.on_watermark, frontier.watermark, Of::Watermark),
            (&mut self.on_closed, frontier.closed, Of::Closed),
        ] {
            while let Some(first) = timers.first_entry().filter(|e| *e.key() <= now) {
                let at = *first.key();
                for slot in first.remove() {
                    let Some(entry) = self.entries.get_mut(slot.0) else { continue };
                    let timer = match of {
                        Of::Watermark => &mut entry.watermark,
                        Of::Closed => &mut entry.closed,
                    };
                    // Another time: it was set anew since, or the key is another one.
                    if *timer == at {
                        *timer = NEVER;
                        if entry.flags & DIRTY == 0 {
                            entry.flags |= DIRTY;
                            due.push(slot);
                        }
                    }
                }
            }
        }
        for slot in &due {
            if let Some(entry) = self.entries.get_mut(slot.0) {
                entry.flags &= !DIRTY;
            }
        }
        due.retain(|slot| self.entries.get(slot.0).is_some_and(|e| e.state.is_some()));
        due
    }

    /// Ends looking at a key: when to look again, or `None` to drop it.
    pub(crate) fn rest(&mut self, slot: Slot, timers: Option<Timers>, bytes: usize) {
        let Some(timers) = timers else { return self.remove(slot) };
        // A run without checkpoints, or in which nothing is said before it is final, takes neither list.
        let room = 2 * self.index.len() + LISTED;
        prune(&mut self.changed, room, CHANGED, &self.entries);
        prune(&mut self.waiting, room, WAITING, &self.entries);
        let Some(entry) = self.entries.get_mut(slot.0) else { return };
        if entry.flags & CHANGED == 0 {
            entry.flags |= CHANGED;
            self.changed.push(slot);
        }
        if timers.waits && entry.flags & WAITING == 0 {
            entry.flags |= WAITING;
            self.waiting.push(slot);
        }
        let new = u32::try_from(bytes + entry.key.beside() + ENTRY).unwrap_or(u32::MAX);
        self.bytes = self.bytes - entry.bytes as usize + new as usize;
        entry.bytes = new;
        let grain = self.grain;
        let rounded = |at: Option<i64>| {
            at.map_or(NEVER, |at| {
                let at = at.saturating_add(grain - 1).div_euclid(grain).saturating_mul(grain);
                at.min(NEVER - 1)
            })
        };
        let (watermark, closed) = (rounded(timers.watermark), rounded(timers.closed));
        if watermark != entry.watermark {
            entry.watermark = watermark;
            if watermark != NEVER {
                self.on_watermark.entry(watermark).or_default().push(slot);
            }
        }
        if closed != entry.closed {
            entry.closed = closed;
            if closed != NEVER {
                self.on_closed.entry(closed).or_default().push(slot);
            }
        }
    }

    pub(crate) fn remove(&mut self, slot: Slot) {
        let Some(entry) = self.entries.get_mut(slot.0) else { return };
        if entry.state.take().is_none() {
            return;
        }
        let key = std::mem::replace(&mut entry.key, Bytes::new(&[]));
        self.bytes -= entry.bytes as usize;
        (entry.watermark, entry.closed, entry.bytes) = (NEVER, NEVER, 0);
        let (stored, part) = (std::mem::take(&mut entry.stored), std::mem::take(&mut entry.part));
        entry.flags = 0;
        let hash = self.hasher.hash_one(key.get());
        if let Ok(found) = self.index.find_entry(hash, |s| *s == slot.0) {
            found.remove();
        }
        self.free.push(slot.0);
        if part != 0 {
            self.removed.push(Gone { key: key.get().into(), stored, part });
        }
    }

    /// The `count` keys that `rank` puts first (ties by key).
    pub(crate) fn least<R: Ord>(&self, count: usize, rank: impl Fn(&S) -> R) -> Vec<Slot> {
        let mut all: Vec<(R, &[u8], Slot)> =
            self.iter().map(|(slot, state)| (rank(state), self.key(slot), slot)).collect();
        let count = count.min(all.len());
        let order = |a: &(R, &[u8], Slot), b: &(R, &[u8], Slot)| (&a.0, a.1).cmp(&(&b.0, b.1));
        if count < all.len() {
            all.select_nth_unstable_by(count, order);
        }
        all.into_iter().take(count).map(|(_, _, slot)| slot).collect()
    }

    /// The keys to write: all, or those changed since the last call; and those that are gone, with
    /// what a checkpoint has of them.
    pub(crate) fn take_changed(&mut self, full: bool) -> (Vec<Slot>, Vec<Gone>) {
        let mut slots = std::mem::take(&mut self.changed);
        if full {
            slots = self.iter().map(|(slot, _)| slot).collect();
        } else {
            // A key that was touched and not looked at yet has changed too.
            slots.extend(self.dirty.iter().copied());
        }
        slots.sort_unstable_by_key(|s| s.0);
        slots.dedup();
        slots.retain(|slot| {
            let entry = self.entries.get_mut(slot.0).filter(|e| e.state.is_some());
            entry.is_some_and(|e| {
                e.flags &= !CHANGED;
                true
            })
        });
        let mut removed = std::mem::take(&mut self.removed);
        // One that came back is written anew, as far as it did.
        removed.retain(|gone| match self.find(&gone.key) {
            None => true,
            Some(slot) => {
                self.set_stored(slot, self.stored(slot).0 | gone.stored, gone.part);
                false
            }
        });
        (slots, removed)
    }

    /// The keys whose latest state is in a part up to this one.
    pub(crate) fn in_parts(&self, through: u32) -> Vec<Slot> {
        let within = |slot: &Slot| (1..=through).contains(&self.stored(*slot).1);
        self.iter().map(|(slot, _)| slot).filter(within).collect()
    }

    /// What a checkpoint has of a key: a bit for each rule of the operator, and in which part.
    pub(crate) fn stored(&self, slot: Slot) -> (u64, u32) {
        self.entries.get(slot.0).map_or((0, 0), |e| (e.stored, e.part))
    }

    pub(crate) fn set_stored(&mut self, slot: Slot, stored: u64, part: u32) {
        if let Some(entry) = self.entries.get_mut(slot.0) {
            (entry.stored, entry.part) = (stored, part);
        }
    }
}

impl Bytes {
    fn new(bytes: &[u8]) -> Bytes {
        let mut short = [0; SHORT];
        match short.get_mut(..bytes.len()) {
            Some(place) => {
                place.copy_from_slice(bytes);
                Bytes::Short(bytes.len() as u8, short)
            }
            None => Bytes::Long(bytes.into()),
        }
    }

    fn get(&self) -> &[u8] {
        match self {
            Bytes::Short(length, bytes) => bytes.get(..usize::from(*length)).unwrap_or_default(),
            Bytes::Long(bytes) => bytes,
        }
    }

    /// Bytes beside the entry.
    fn beside(&self) -> usize {
        match self {
            Bytes::Short(..) => 0,
            Bytes::Long(bytes) => bytes.len(),
        }
    }
}

/// Drops the slots of keys that are gone from a list with no more room.
fn prune<S>(list: &mut Vec<Slot>, room: usize, flag: u8, entries: &Slab<Entry<S>>) {
    if list.len() > room {
        list.sort_unstable_by_key(|slot| slot.0);
        list.dedup();
        list.retain(|slot| entries.get(slot.0).is_some_and(|e| e.flags & flag != 0));
    }
}

#[derive(Clone, Copy)]
enum Of {
    Watermark,
    Closed,
}

/// A vector that never moves what it holds: growing costs no more memory than is used.
#[derive(Debug)]
struct Slab<T> {
    chunks: Vec<Vec<T>>,
    length: u32,
}

const CHUNK: usize = 512;

impl<T> Slab<T> {
    fn push(&mut self, value: T) -> u32 {
        let at = self.length;
        if (at as usize).is_multiple_of(CHUNK) {
            // The first chunk grows as it is filled: many operators have few keys.
            let room = if at == 0 { 0 } else { CHUNK };
            self.chunks.push(Vec::with_capacity(room));
        }
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.push(value);
        }
        self.length += 1;
        at
    }

    fn get(&self, at: u32) -> Option<&T> {
        self.chunks.get(at as usize / CHUNK)?.get(at as usize % CHUNK)
    }

    fn get_mut(&mut self, at: u32) -> Option<&mut T> {
        self.chunks.get_mut(at as usize / CHUNK)?.get_mut(at as usize % CHUNK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_any_length_are_found_and_given_back() {
        let mut keys: Keys<usize> = Keys::new(1);
        let key = |n: usize| vec![n as u8; n];
        for n in 0..100 {
            keys.touch(&key(n), || n);
        }
        for n in 0..100 {
            let slot = keys.find(&key(n)).unwrap();
            assert_eq!((keys.get(slot), keys.key(slot)), (Some(&n), key(n).as_slice()));
            keys.set_stored(slot, 1, 1);
            keys.remove(slot);
        }
        assert_eq!((keys.len(), keys.find(&key(7))), (0, None));
        let gone = keys.take_changed(false).1;
        assert!(gone.iter().map(|gone| gone.key.to_vec()).eq((0..100).map(key)));
    }

    #[test]
    fn a_short_key_takes_no_memory_beside_its_entry() {
        assert_eq!(size_of::<Bytes>(), 32);
        assert_eq!((Bytes::new(&[1; 30]).beside(), Bytes::new(&[1; 31]).beside()), (0, 31));
    }
}
