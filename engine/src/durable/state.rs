//! Checkpoints: keyed state in a keyspace of its own, the rest in one record.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

use sluice_event::Encoder;
use sluice_ingest::live::Positions;
use sluice_store::{Bytes, Snapshot};
use sluice_stream::StateEntry;

use super::{
    Inner, Spaces,
    change::{SpaceUse, WriteTxn},
    records::{Mark, decode_checkpoint, encode_checkpoint},
    unreadable,
};
use crate::{Checkpoint, EngineError};

const CHECKPOINT: &[u8] = b"checkpoint";
/// Longer keys (they hold what events say) are stored under a hash: the database takes 64 KiB at
/// most, and sorts short ones faster.
const LONG_KEY: usize = 1024;
/// The start of a long key that is kept as it is: virtual node and operator.
const KEPT: usize = 10;
/// Entries that one batch removes.
const SWEEP: usize = 10_000;

impl WriteTxn<'_> {
    /// Replaces the checkpoint, after the findings of its commit. State that is `full` replaces all there was; otherwise what is not
    /// mentioned stays.
    pub(super) fn checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<(), EngineError> {
        self.withdraw_orphaned()?;
        let spaces = self.spaces();
        let epoch = match self.get(&spaces.meta, CHECKPOINT)? {
            Some(bytes) => decode_checkpoint(&bytes).map_err(unreadable("checkpoint"))?.0.epoch,
            None => 0,
        };
        let mark = Mark { epoch: epoch + 1, seq: self.next.seq };
        self.batch.put(&spaces.meta, CHECKPOINT, &encode_checkpoint(mark, checkpoint));
        // By key, so that what several shards say is written once.
        let entries: BTreeMap<Vec<u8>, &StateEntry> =
            checkpoint.state.iter().map(|entry| (stored_key(&entry.key), entry)).collect();
        if checkpoint.full {
            for row in self.snapshot.range(&spaces.state, Bound::Unbounded, Bound::Unbounded) {
                let (key, _) = row?;
                if !entries.contains_key(&*key) {
                    self.batch.remove(&spaces.state, &key);
                }
            }
        }
        for (key, entry) in entries {
            match &entry.value {
                Some(value) => {
                    self.batch.put(&spaces.state, &key, &stored_value(&entry.key, value));
                }
                None => self.batch.remove(&spaces.state, &key),
            }
        }
        Ok(())
    }
}

/// The last change before the checkpoint; 0 if there is none.
pub(super) fn checkpoint_seq(snapshot: &Snapshot, spaces: &Spaces) -> Result<u64, EngineError> {
    match snapshot.get(&spaces.meta, CHECKPOINT)? {
        Some(bytes) => Ok(decode_checkpoint(&bytes).map_err(unreadable("checkpoint"))?.0.seq),
        None => Ok(0),
    }
}

impl Inner {
    /// Its positions alone, without the state.
    pub(super) fn load_positions(&self) -> Result<Positions, EngineError> {
        let Some(bytes) = self.store.snapshot().get(&self.spaces.meta, CHECKPOINT)? else {
            return Ok(Positions::new());
        };
        let (_, checkpoint) = decode_checkpoint(&bytes).map_err(unreadable("checkpoint"))?;
        Ok(checkpoint.positions)
    }

    pub(super) fn load_checkpoint(&self) -> Result<Option<Checkpoint>, EngineError> {
        let snapshot = self.store.snapshot();
        let Some(bytes) = snapshot.get(&self.spaces.meta, CHECKPOINT)? else { return Ok(None) };
        let (mark, mut checkpoint) = decode_checkpoint(&bytes).map_err(unreadable("checkpoint"))?;
        for row in snapshot.range(&self.spaces.state, Bound::Unbounded, Bound::Unbounded) {
            let (key, value) = row?;
            checkpoint.state.push(entry(&key, &value)?);
        }
        tracing::info!(mark.epoch, entries = checkpoint.state.len(), "checkpoint loaded");
        Ok(Some(checkpoint))
    }

    pub(super) fn sweep_state(&self, operators: &[u64]) -> Result<u64, EngineError> {
        let keep: BTreeSet<u64> = operators.iter().copied().chain([PARTITIONS]).collect();
        let mut freed = 0;
        let mut from: Option<Bytes> = None;
        loop {
            let mut txn = self.change();
            let start = from.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            let rows = txn.snapshot.range(&self.spaces.state, start, Bound::Unbounded);
            let mut removed = 0;
            let mut end = None;
            for row in rows {
                let (key, value) = row?;
                if !keep.contains(&operator(&key)?) {
                    freed += (key.len() + value.len()) as u64;
                    txn.batch.remove(&self.spaces.state, &key);
                    removed += 1;
                    if removed == SWEEP {
                        end = Some(key);
                        break;
                    }
                }
            }
            txn.keep(SpaceUse::Freeing)?;
            if end.is_none() {
                return Ok(freed);
            }
            from = end;
        }
    }
}

/// The operator of entries about partitions, which belong to everybody.
const PARTITIONS: u64 = 0;

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
    // Longer than any key kept as it is, so that the two never meet.
    let mut stored = key[..KEPT].to_vec();
    stored.resize(LONG_KEY, 0);
    stored.extend(encoder.hash128().to_be_bytes());
    stored
}

/// 0 and the value; or 1, the length of the key, the key and the value.
fn stored_value(key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut stored = Vec::with_capacity(1 + value.len());
    if key.len() <= LONG_KEY {
        stored.push(0);
    } else {
        stored.push(1);
        stored.extend((key.len() as u64).to_be_bytes());
        stored.extend(key);
    }
    stored.extend(value);
    stored
}

fn entry(key: &[u8], stored: &[u8]) -> Result<StateEntry, EngineError> {
    let too_short = || damaged(key, "it ends too early");
    let (key, value) = match stored.split_first() {
        Some((0, value)) => (key, value),
        Some((1, rest)) => {
            let (length, rest) = rest.split_first_chunk().ok_or_else(too_short)?;
            let length = usize::try_from(u64::from_be_bytes(*length)).map_err(|_| too_short())?;
            rest.split_at_checked(length).ok_or_else(too_short)?
        }
        Some(_) | None => return Err(damaged(key, "its form is unknown")),
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
