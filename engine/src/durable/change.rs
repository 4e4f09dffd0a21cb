//! One change of the store: put together while nobody else writes, then written at once or dropped.

use std::{
    collections::BTreeSet,
    sync::{MutexGuard, PoisonError},
};

use sluice_finding::FindingId;
use sluice_store::{Batch, Bytes, Snapshot, Space};

use super::{
    Inner, Spaces,
    codec::{Reader, Writer},
    orphaned::orphaned,
    records::{Totals, decode_totals, encode_totals},
    state::checkpoint_seq,
    unreadable,
};
use crate::{EngineError, Seq};

const SEQ: &[u8] = b"seq";
const TOTALS: &[u8] = b"totals";

/// What writers know without looking.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct StoreMeta {
    /// The last sequence number given.
    pub(super) seq: u64,
    pub(super) totals: Totals,
    /// Findings that were said after the checkpoint and, since the start, not again.
    pub(super) orphaned: BTreeSet<FindingId>,
}

impl StoreMeta {
    pub(super) fn load(snapshot: &Snapshot, spaces: &Spaces) -> Result<StoreMeta, EngineError> {
        let seq = match snapshot.get(&spaces.meta, SEQ)? {
            Some(bytes) => {
                Reader::whole(&bytes, Reader::unsigned).map_err(unreadable("sequence number"))?
            }
            None => 0,
        };
        let totals = match snapshot.get(&spaces.meta, TOTALS)? {
            Some(bytes) => decode_totals(&bytes).map_err(unreadable("totals"))?,
            None => Totals::default(),
        };
        let orphaned = orphaned(snapshot, spaces, checkpoint_seq(snapshot, spaces)?)?;
        Ok(StoreMeta { seq, totals, orphaned })
    }
}

/// How much of the disk a change may use.
#[derive(Clone, Copy, Debug)]
pub(super) enum SpaceUse {
    /// Not the reserve.
    Ordinary,
    /// Some of the reserve: it removes more than it adds.
    Freeing,
}

/// A change that is being put together. It sees the store as it was before.
pub(super) struct WriteTxn<'a> {
    pub(super) inner: &'a Inner,
    pub(super) snapshot: Snapshot,
    pub(super) batch: Batch,
    /// The meta as it will be.
    pub(super) next: StoreMeta,
    meta: MutexGuard<'a, StoreMeta>,
}

impl Inner {
    /// Begins a change, when its turn comes.
    pub(super) fn change(&self) -> WriteTxn<'_> {
        let meta = self.meta.lock().unwrap_or_else(PoisonError::into_inner);
        WriteTxn {
            inner: self,
            snapshot: self.store.snapshot(),
            batch: self.store.batch(),
            next: meta.clone(),
            meta,
        }
    }
}

impl<'a> WriteTxn<'a> {
    pub(super) fn spaces(&self) -> &'a Spaces {
        &self.inner.spaces
    }

    pub(super) fn get(&self, space: &Space, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        Ok(self.snapshot.get(space, key)?)
    }

    /// The next sequence number.
    pub(super) fn number(&mut self) -> u64 {
        self.next.seq += 1;
        self.next.seq
    }

    /// Writes it, durably, and wakes followers; the last sequence number. If there is nothing to
    /// change, nothing is written.
    pub(super) fn keep(mut self, room: SpaceUse) -> Result<Seq, EngineError> {
        let meta = &self.inner.spaces.meta;
        if self.next.seq != self.meta.seq {
            let mut w = Writer::new();
            w.unsigned(self.next.seq);
            self.batch.put(meta, SEQ, &w.finish());
        }
        if self.next.totals != self.meta.totals {
            self.batch.put(meta, TOTALS, &encode_totals(&self.next.totals));
        }
        match room {
            SpaceUse::Ordinary => self.inner.store.commit(self.batch)?,
            SpaceUse::Freeing => self.inner.store.commit_freeing(self.batch)?,
        }
        let seq = self.next.seq;
        *self.meta = self.next;
        // Under the lock of the meta, so that the number never goes back.
        *self.inner.last.lock().unwrap_or_else(PoisonError::into_inner) = seq;
        self.inner.news.notify_all();
        Ok(Seq(seq))
    }
}
