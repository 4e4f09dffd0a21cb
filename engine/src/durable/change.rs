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
    records::{Totals, decode_totals, encode_totals},
    state::checkpoint_seq,
    unreadable,
    unsaid::unsaid,
};
use crate::{EngineError, Seq};

const SEQ: &[u8] = b"seq";
const TOTALS: &[u8] = b"totals";

/// What writers know without looking.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Book {
    /// The last sequence number given.
    pub(super) seq: u64,
    pub(super) totals: Totals,
    /// Findings that were said after the checkpoint and, since the start, not again.
    pub(super) unsaid: BTreeSet<FindingId>,
}

impl Book {
    pub(super) fn load(snapshot: &Snapshot, spaces: &Spaces) -> Result<Book, EngineError> {
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
        let unsaid = unsaid(snapshot, spaces, checkpoint_seq(snapshot, spaces)?)?;
        Ok(Book { seq, totals, unsaid })
    }
}

/// How much of the disk a change may use.
#[derive(Clone, Copy, Debug)]
pub(super) enum Room {
    /// Not the reserve.
    Ordinary,
    /// Some of the reserve: it removes more than it adds.
    Freeing,
}

/// A change that is being put together. It sees the store as it was before.
pub(super) struct Draft<'a> {
    pub(super) inner: &'a Inner,
    pub(super) snapshot: Snapshot,
    pub(super) batch: Batch,
    /// The book as it will be.
    pub(super) next: Book,
    book: MutexGuard<'a, Book>,
}

impl Inner {
    /// Begins a change, when its turn comes.
    pub(super) fn change(&self) -> Draft<'_> {
        let book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        Draft {
            inner: self,
            snapshot: self.store.snapshot(),
            batch: self.store.batch(),
            next: book.clone(),
            book,
        }
    }
}

impl<'a> Draft<'a> {
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
    pub(super) fn keep(mut self, room: Room) -> Result<Seq, EngineError> {
        let meta = &self.inner.spaces.meta;
        if self.next.seq != self.book.seq {
            let mut w = Writer::new();
            w.unsigned(self.next.seq);
            self.batch.put(meta, SEQ, &w.finish());
        }
        if self.next.totals != self.book.totals {
            self.batch.put(meta, TOTALS, &encode_totals(&self.next.totals));
        }
        match room {
            Room::Ordinary => self.inner.store.commit(self.batch)?,
            Room::Freeing => self.inner.store.commit_freeing(self.batch)?,
        }
        let seq = self.next.seq;
        *self.book = self.next;
        // Under the lock of the book, so that the number never goes back.
        *self.inner.last.lock().unwrap_or_else(PoisonError::into_inner) = seq;
        self.inner.news.notify_all();
        Ok(Seq(seq))
    }
}
