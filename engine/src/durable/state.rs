//! Checkpoints: keyed state and the place of every partition, in a database of their own beside that
//! of findings, so that no commit waits for the journal of a checkpoint.
//!
//! | name | key | value |
//! |---|---|---|
//! | `entry` | state key | the value of a state entry |
//! | `meta` | `checkpoint` | everything else: epoch, positions, partitions, newest times |
//! | `meta` | `history/..` | which files of the history count (see `history/list.rs`) |
//!
//! A checkpoint is one atomic synced batch that adds what changed and removes what it replaces, so there
//! is one at any moment and nothing of older ones to clean up. It refers to the findings by sequence: they are committed
//! before it.

use std::{collections::BTreeSet, ops::Bound, path::Path, sync::Arc};

use sluice_event::Encoder;
use sluice_ingest::live::Positions;
use sluice_store::{Batch, Bytes, Layout, Memory, Snapshot, Space, Store, StoreError};
use sluice_stream::StateEntry;

use super::{
    records::{decode_checkpoint, encode_checkpoint},
    unreadable,
};
use crate::{Checkpoint, CheckpointSink, EngineError, history::PREFIX};

const LAYOUT: Layout<2> = Layout { name: "sluice-state", version: 1, spaces: ["entry", "meta"] };
/// State is read once, at start, and written every few seconds: little is cached. Memtables of 8 MiB
/// hold one or two checkpoints of a busy node.
const MEMORY: Memory = Memory { cache: 2 << 20, memtable: 8 << 20 };

const CHECKPOINT: &[u8] = b"checkpoint";
/// Longer keys (they hold values of events) are stored under a hash: the database takes 64 KiB at
/// most, and sorts short ones faster.
const LONG_KEY: usize = 1024;
/// The start of a long key that is kept as it is: virtual node and operator.
const KEPT: usize = 10;
/// The length of a long key as it is stored: longer than any that is stored as it is.
const HASHED_KEY: usize = LONG_KEY + 16;
/// Entries that one batch removes.
const SWEEP: usize = 10_000;
/// The operator of entries about partitions, which belong to every operator.
const PARTITIONS: u64 = 0;

/// Key and value of what is listed.
type ListedRow = (Vec<u8>, Vec<u8>);

/// The checkpoint of a node. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct StateStore {
    store: Store,
    entries: Space,
    meta: Space,
}

impl StateStore {
    pub(super) fn open(dir: &Path) -> Result<StateStore, EngineError> {
        let (store, [entries, meta]) = Store::open(dir, &LAYOUT, MEMORY)?;
        Ok(StateStore { store, entries, meta })
    }

    /// The checkpoint without its state.
    pub(super) fn manifest(&self) -> Result<Option<Checkpoint>, EngineError> {
        self.manifest_in(&self.store.snapshot())
    }

    /// The whole checkpoint.
    pub(super) fn load(&self) -> Result<Option<Checkpoint>, EngineError> {
        let snapshot = self.store.snapshot();
        let Some(mut checkpoint) = self.manifest_in(&snapshot)? else { return Ok(None) };
        for row in snapshot.range(&self.entries, Bound::Unbounded, Bound::Unbounded) {
            let (key, value) = row?;
            checkpoint.state.push(entry(&key, &value)?);
        }
        checkpoint.full = true;
        tracing::info!(checkpoint.epoch, entries = checkpoint.state.len(), "checkpoint loaded");
        Ok(Some(checkpoint))
    }

    /// Where inputs go on.
    pub(super) fn positions(&self) -> Result<Positions, EngineError> {
        Ok(self.manifest()?.map(|c| c.positions).unwrap_or_default())
    }

    /// Removes the state of all but these operators; the bytes freed.
    pub(super) fn sweep(&self, operators: &[u64]) -> Result<u64, EngineError> {
        let keep: BTreeSet<u64> = operators.iter().copied().chain([PARTITIONS]).collect();
        let mut freed = 0;
        let mut from: Option<Bytes> = None;
        loop {
            let snapshot = self.store.snapshot();
            let mut batch = self.store.batch();
            let start = from.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            let mut removed = 0;
            let mut end = None;
            for row in snapshot.range(&self.entries, start, Bound::Unbounded) {
                let (key, value) = row?;
                if keep.contains(&operator(&key)?) {
                    continue;
                }
                freed += (key.len() + value.len()) as u64;
                batch.remove(&self.entries, &key);
                removed += 1;
                if removed == SWEEP {
                    end = Some(key);
                    break;
                }
            }
            self.store.commit_freeing(batch)?;
            if end.is_none() {
                return Ok(freed);
            }
            from = end;
        }
    }

    /// The state as it is now.
    pub(super) fn snapshot(&self) -> StateSnapshot {
        StateSnapshot { snapshot: Arc::new(self.store.snapshot()), entries: self.entries.clone() }
    }

    /// What is listed of the history.
    pub(crate) fn listed(&self) -> Result<Vec<ListedRow>, EngineError> {
        let rows = self.store.snapshot().prefix(&self.meta, PREFIX);
        rows.map(|row| row.map(|(key, value)| (key.to_vec(), value.to_vec())))
            .collect::<Result<_, StoreError>>()
            .map_err(EngineError::from)
    }

    /// Changes what is listed, all of it or nothing. `frees` says that it removes more than it adds.
    pub(crate) fn list(&self, changes: Vec<StateEntry>, frees: bool) -> Result<(), EngineError> {
        let mut batch = self.store.batch();
        self.put_list(&mut batch, changes);
        let committed =
            if frees { self.store.commit_freeing(batch) } else { self.store.commit(batch) };
        committed.map_err(EngineError::from)
    }

    fn put_list(&self, batch: &mut Batch, changes: Vec<StateEntry>) {
        for StateEntry { key, value } in changes {
            match value {
                Some(value) => batch.put(&self.meta, &key, &value),
                None => batch.remove(&self.meta, &key),
            }
        }
    }

    /// Bytes free for this user on the disk it is on.
    pub(crate) fn free_bytes(&self) -> Result<u64, EngineError> {
        Ok(self.store.free_bytes()?)
    }

    pub(super) fn disk_bytes(&self) -> Result<u64, EngineError> {
        Ok(self.store.disk_bytes()?)
    }

    fn manifest_in(&self, snapshot: &Snapshot) -> Result<Option<Checkpoint>, EngineError> {
        let Some(bytes) = snapshot.get(&self.meta, CHECKPOINT)? else { return Ok(None) };
        decode_checkpoint(&bytes).map(Some).map_err(unreadable("checkpoint"))
    }
}

/// The state of a checkpoint, that those after it do not change. What they replace stays on disk while it
/// lives: keep it short. Cheap to clone.
#[derive(Clone, Debug)]
pub struct StateSnapshot {
    snapshot: Arc<Snapshot>,
    entries: Space,
}

impl StateSnapshot {
    /// The value of a state entry.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn value(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        let stored = stored_key(key);
        let Some(bytes) = self.snapshot.get(&self.entries, &stored)? else { return Ok(None) };
        Ok(entry(&stored, &bytes)?.value)
    }

    /// The entries whose keys begin with `prefix`, which are longer than virtual node and operator; those
    /// with long keys come first.
    pub(crate) fn entries(
        &self,
        prefix: Vec<u8>,
    ) -> impl Iterator<Item = Result<StateEntry, EngineError>> + Send + use<> {
        let mut hashed = prefix.get(..KEPT).unwrap_or_default().to_vec();
        hashed.resize(LONG_KEY, 0);
        let long = self.snapshot.prefix(&self.entries, &hashed);
        let short = self.snapshot.prefix(&self.entries, &prefix);
        let read = |row: Result<(Bytes, Bytes), StoreError>| {
            let (key, value) = row?;
            entry(&key, &value)
        };
        let begins = move |entry: &Result<StateEntry, EngineError>| {
            entry.as_ref().map_or(true, |entry| entry.key.starts_with(&prefix))
        };
        long.chain(short).map(read).filter(begins)
    }
}

impl CheckpointSink for StateStore {
    /// State that is `full` replaces all there was; otherwise what is not mentioned stays.
    fn keep(&mut self, mut checkpoint: Checkpoint) -> Result<(), EngineError> {
        let mut batch = self.store.batch();
        batch.put(&self.meta, CHECKPOINT, &encode_checkpoint(&checkpoint));
        self.put_list(&mut batch, std::mem::take(&mut checkpoint.history));
        // What several shards export, such as the progress of a partition, is written once: a batch
        // holds a key once.
        let mut state = std::mem::take(&mut checkpoint.state);
        state.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        state.dedup_by(|a, b| a.key == b.key);
        if checkpoint.full {
            let kept: BTreeSet<Vec<u8>> = state.iter().map(|e| stored_key(&e.key)).collect();
            let snapshot = self.store.snapshot();
            for row in snapshot.range(&self.entries, Bound::Unbounded, Bound::Unbounded) {
                let (key, _) = row?;
                if !kept.contains(&*key) {
                    batch.remove(&self.entries, &key);
                }
            }
        }
        // Each entry is dropped when the batch has it.
        for StateEntry { key, value } in state {
            match value {
                None => batch.remove(&self.entries, &stored_key(&key)),
                Some(value) if key.len() <= LONG_KEY => batch.put(&self.entries, &key, &value),
                Some(value) => {
                    let value = [&(key.len() as u64).to_be_bytes(), &key[..], &value].concat();
                    batch.put(&self.entries, &stored_key(&key), &value);
                }
            }
        }
        Ok(self.store.commit(batch)?)
    }
}

fn operator(key: &[u8]) -> Result<u64, EngineError> {
    let operator = key.get(2..KEPT).and_then(|bytes| bytes.try_into().ok());
    operator.map(u64::from_be_bytes).ok_or_else(|| damaged(key, "its key is too short"))
}

fn stored_key(key: &[u8]) -> Vec<u8> {
    if key.len() <= LONG_KEY {
        return key.to_vec();
    }
    let mut encoder = Encoder::default();
    encoder.bytes(key);
    let mut stored = key[..KEPT].to_vec();
    stored.resize(LONG_KEY, 0);
    stored.extend(encoder.hash128().to_be_bytes());
    stored
}

/// Under a hashed key the value begins with the length of the key and the key.
fn entry(key: &[u8], stored: &[u8]) -> Result<StateEntry, EngineError> {
    let too_short = || damaged(key, "it ends too early");
    let (key, value) = if key.len() == HASHED_KEY {
        let (length, rest) = stored.split_first_chunk().ok_or_else(too_short)?;
        let length = usize::try_from(u64::from_be_bytes(*length)).map_err(|_| too_short())?;
        rest.split_at_checked(length).ok_or_else(too_short)?
    } else {
        (key, stored)
    };
    Ok(StateEntry { key: key.to_vec(), value: Some(value.to_vec()) })
}

fn damaged(key: &[u8], reason: &str) -> EngineError {
    let start = key.get(..KEPT).unwrap_or(key);
    EngineError::Stored {
        what: format!("state of key `{}`", start.escape_ascii()),
        reason: reason.to_owned(),
    }
}
