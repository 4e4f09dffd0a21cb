//! A map from key to operator state that knows which keys to look at next and which changed since
//! the last checkpoint. Its own order never reaches output: every list it gives is sorted.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use foldhash::fast::RandomState;

use crate::watermark::Frontier;

/// An encoded key.
pub(crate) type Key = Arc<[u8]>;

/// When a key must be looked at again even if no row comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wake {
    /// As soon as the watermark is here.
    pub(crate) watermark: Option<i64>,
    /// As soon as nothing before this can come.
    pub(crate) closed: Option<i64>,
}

/// The state of every key of one operator.
#[derive(Debug)]
pub(crate) struct Keys<S> {
    map: HashMap<Key, Entry<S>, RandomState>,
    touched: Vec<Key>,
    on_watermark: BTreeSet<(i64, Key)>,
    on_closed: BTreeSet<(i64, Key)>,
    changed: BTreeSet<Key>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry<S> {
    state: S,
    touched: bool,
    wake: Wake,
    bytes: usize,
}

impl<S> Keys<S> {
    pub(crate) fn new() -> Self {
        Keys {
            map: HashMap::default(),
            touched: Vec::new(),
            on_watermark: BTreeSet::new(),
            on_closed: BTreeSet::new(),
            changed: BTreeSet::new(),
            bytes: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn contains(&self, key: &Key) -> bool {
        self.map.contains_key(key)
    }

    pub(crate) fn get(&self, key: &Key) -> Option<&S> {
        self.map.get(key).map(|e| &e.state)
    }

    pub(crate) fn get_mut(&mut self, key: &Key) -> Option<&mut S> {
        self.map.get_mut(key).map(|e| &mut e.state)
    }

    /// The state of a key, made by `new` if there is none; the key is looked at next time.
    pub(crate) fn touch(&mut self, key: &Key, new: impl FnOnce() -> S) -> &mut S {
        let entry = self.map.entry(key.clone()).or_insert_with(|| Entry {
            state: new(),
            touched: false,
            wake: Wake::default(),
            bytes: 0,
        });
        if !entry.touched {
            entry.touched = true;
            self.touched.push(key.clone());
        }
        &mut entry.state
    }

    /// The keys to look at: touched, or due at this frontier. In key order.
    pub(crate) fn due(&mut self, frontier: Frontier) -> Vec<Key> {
        let mut due: Vec<Key> = std::mem::take(&mut self.touched);
        take_due(&mut self.on_watermark, frontier.watermark, &mut due);
        take_due(&mut self.on_closed, frontier.closed, &mut due);
        due.sort_unstable();
        due.dedup();
        for key in &due {
            if let Some(entry) = self.map.get_mut(key) {
                entry.touched = false;
                if let Some(at) = entry.wake.watermark.take() {
                    self.on_watermark.remove(&(at, key.clone()));
                }
                if let Some(at) = entry.wake.closed.take() {
                    self.on_closed.remove(&(at, key.clone()));
                }
            }
        }
        due
    }

    /// Ends looking at a key: when to look again, or `None` to drop it.
    pub(crate) fn finish(&mut self, key: &Key, wake: Option<Wake>, bytes: impl Fn(&S) -> usize) {
        self.changed.insert(key.clone());
        let Some(wake) = wake else { return self.remove(key) };
        let Some(entry) = self.map.get_mut(key) else { return };
        entry.wake = wake;
        let new = bytes(&entry.state) + 2 * key.len() + 128;
        self.bytes = self.bytes - entry.bytes + new;
        entry.bytes = new;
        if let Some(at) = wake.watermark {
            self.on_watermark.insert((at, key.clone()));
        }
        if let Some(at) = wake.closed {
            self.on_closed.insert((at, key.clone()));
        }
    }

    pub(crate) fn remove(&mut self, key: &Key) {
        let Some(entry) = self.map.remove(key) else { return };
        self.changed.insert(key.clone());
        self.bytes -= entry.bytes;
        if let Some(at) = entry.wake.watermark {
            self.on_watermark.remove(&(at, key.clone()));
        }
        if let Some(at) = entry.wake.closed {
            self.on_closed.remove(&(at, key.clone()));
        }
    }

    /// The `count` keys that `rank` puts first (ties by key).
    pub(crate) fn least<R: Ord>(&self, count: usize, rank: impl Fn(&S) -> R) -> Vec<Key> {
        let mut all: Vec<(R, &Key)> = self.map.iter().map(|(k, e)| (rank(&e.state), k)).collect();
        let count = count.min(all.len());
        if count < all.len() {
            all.select_nth_unstable(count);
        }
        all.into_iter().take(count).map(|(_, key)| key.clone()).collect()
    }

    /// The keys to write: all, or those changed since the last call. In key order.
    pub(crate) fn take_changed(&mut self, full: bool) -> BTreeSet<Key> {
        let mut keys = std::mem::take(&mut self.changed);
        keys.extend(self.touched.iter().cloned());
        if full {
            keys.extend(self.map.keys().cloned());
        }
        keys
    }
}

fn take_due(timers: &mut BTreeSet<(i64, Key)>, now: i64, due: &mut Vec<Key>) {
    while timers.first().is_some_and(|(at, _)| *at <= now) {
        due.extend(timers.pop_first().map(|(_, key)| key));
    }
}
