//! One change of the store: put together while nothing else writes, then written at once or dropped.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, MutexGuard, PoisonError},
};

use sluice_finding::{
    Entity, FindingId,
    repeats::{Member, Standing},
};
use sluice_store::{Batch, Bytes, Snapshot, Space};

use super::{
    Inner,
    capped::{MinuteKey, OpenMinute},
    codec::{Reader, Writer},
    incidents::Incidents,
    layout::Spaces,
    letters::LetterKind,
    recent::{Known, RecentFindings},
    records::{Totals, decode_totals, encode_totals},
    risk::OpenRisk,
    suppressions::Suppressions,
    unreadable,
    verdicts::Judged,
};
use crate::{EngineError, Seq};

const SEQ: &[u8] = b"seq";
const TOTALS: &[u8] = b"totals";

/// What is known of the whole store without looking.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct StoreMeta {
    /// The last sequence number given.
    pub(super) seq: u64,
    pub(super) totals: Totals,
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
        Ok(StoreMeta { seq, totals })
    }
}

/// What writers share; each holds it for as long as its change takes.
#[derive(Debug)]
pub(super) struct WriteState {
    pub(super) meta: StoreMeta,
    pub(super) recent: RecentFindings,
    /// Findings made of records that claim the id of another, by mapping source, since the store was
    /// opened.
    pub(super) contested: BTreeMap<String, u64>,
    /// Findings that were not kept because there were too many in a minute, by rule, likewise.
    pub(super) capped: BTreeMap<Arc<str>, u64>,
    /// Minutes with more findings that were not kept than are reported.
    pub(super) unreported: BTreeSet<MinuteKey>,
    /// The last dead letter dropped of each kind that has too many: the next to go is after it. What
    /// was removed is slow to pass over.
    pub(super) evicted: BTreeMap<LetterKind, Vec<u8>>,
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
    /// The meta data as they will be.
    pub(super) next: StoreMeta,
    /// Findings as they will be.
    pub(super) changed: ChangedFindings,
    /// Standings of suppression that this change writes; `None` removes one.
    pub(super) standings: BTreeMap<(u128, Member), Option<Standing>>,
    /// What time it is for risk.
    pub(super) now: i64,
    /// Ledgers that this change touches.
    pub(super) risks: BTreeMap<Entity, OpenRisk>,
    /// Incidents and suppressions as they will be.
    pub(super) incidents: Incidents,
    pub(super) suppressions: Suppressions,
    /// Incidents and suppressions that are no more.
    pub(super) forgotten: Vec<FindingId>,
    /// Findings that other ones made stand out, or fold.
    pub(super) turned: BTreeSet<FindingId>,
    /// Findings of baselines that people judged.
    pub(super) judged: Vec<Judged>,
    /// The mapping sources of findings that contest another.
    pub(super) contested: Vec<String>,
    /// Minutes that findings of this change are counted in, and those to report.
    pub(super) minutes: BTreeMap<MinuteKey, OpenMinute>,
    pub(super) unreported: BTreeSet<MinuteKey>,
    pub(super) state: MutexGuard<'a, WriteState>,
}

/// Findings that a change has put, in order, found by id.
#[derive(Default)]
pub(super) struct ChangedFindings {
    all: Vec<Known>,
    /// The last of each id.
    at: BTreeMap<FindingId, usize>,
}

impl ChangedFindings {
    /// Adds one, or what has become of it since.
    pub(super) fn push(&mut self, known: Known) {
        self.at.insert(known.finding.id, self.all.len());
        self.all.push(known);
    }

    /// What the change leaves of a finding; `None` if it has not put it.
    pub(super) fn get(&self, id: FindingId) -> Option<&Known> {
        self.at.get(&id).and_then(|at| self.all.get(*at))
    }
}

impl Inner {
    /// Begins a change, when its turn comes.
    pub(super) fn begin(&self) -> WriteTxn<'_> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        WriteTxn {
            inner: self,
            snapshot: self.store.snapshot(),
            batch: self.store.batch(),
            next: state.meta.clone(),
            changed: ChangedFindings::default(),
            standings: BTreeMap::new(),
            now: self.clock.now(),
            risks: BTreeMap::new(),
            incidents: Incidents::default(),
            suppressions: Suppressions::new(),
            forgotten: Vec::new(),
            turned: BTreeSet::new(),
            judged: Vec::new(),
            contested: Vec::new(),
            minutes: BTreeMap::new(),
            unreported: state.unreported.clone(),
            state,
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
    pub(super) fn commit(mut self, space_use: SpaceUse) -> Result<Seq, EngineError> {
        self.write_standings()?;
        self.write_risks()?;
        self.write_incidents();
        self.write_minutes();
        let capped = self.newly_capped();
        let meta = &self.inner.spaces.meta;
        if self.next.seq != self.state.meta.seq {
            let mut w = Writer::new();
            w.unsigned(self.next.seq);
            self.batch.put(meta, SEQ, &w.finish());
        }
        if self.next.totals != self.state.meta.totals {
            self.batch.put(meta, TOTALS, &encode_totals(&self.next.totals));
        }
        match space_use {
            SpaceUse::Ordinary => self.inner.store.commit(self.batch)?,
            SpaceUse::Freeing => self.inner.store.commit_freeing(self.batch)?,
        }
        self.inner.publish_risks(self.risks, self.now);
        self.inner.publish_suppressions(self.suppressions);
        self.inner.publish_incidents(self.incidents, &self.forgotten);
        self.judged.iter().for_each(|judged| judged.say(&self.inner.verdicts));
        let seq = self.next.seq;
        self.state.meta = self.next;
        for source in self.contested {
            *self.state.contested.entry(source).or_default() += 1;
        }
        for (rule, more) in capped {
            *self.state.capped.entry(rule).or_default() += more;
        }
        self.state.unreported = self.unreported;
        for known in self.changed.all {
            self.state.recent.insert(known);
        }
        // Under the lock of the state, so that the number never goes back.
        *self.inner.last.lock().unwrap_or_else(PoisonError::into_inner) = seq;
        self.inner.changed.notify_all();
        Ok(Seq(seq))
    }
}
