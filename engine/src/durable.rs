//! Findings, triage, dead letters and state on disk, through [`sluice_store`]. Not the index, which
//! follows. Checkpoints have a database of their own (see `durable/state.rs`), in the folder `state`;
//! the keyspaces of this one are in `durable/layout.rs`.
//!
//! A sequence number is given to every change of a finding, its triage or a level and to every removal,
//! so that a follower can stop and go on anywhere. Writers take turns; readers never wait.

mod capped;
mod cases;
mod codec;
mod findings;
mod incidents;
mod kept;
mod layout;
mod ledgers;
mod letters;
mod orphaned;
mod recent;
mod records;
mod repeats;
mod retention;
mod risk;
mod sink;
mod state;
mod suppressions;
mod tables;
mod txn;
mod verdicts;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, Condvar, Mutex, PoisonError, RwLock},
    time::Duration,
};

use sluice_baseline::Verdicts;
use sluice_finding::{Finding, FindingId, TriageChange};
use sluice_ingest::{DeadLetter, live::Positions};
use sluice_store::Store;
use sluice_stream::StateEntry;

pub(crate) use codec::{CodecError, Reader, Writer};
pub use incidents::IncidentError;
use incidents::Incidents;
pub use kept::{LetterFilter, Retention, StoreStats, Stored, StoredLetter, TriageError};
use layout::Spaces;
use recent::RecentFindings;
use risk::Risks;
pub use risk::{Criticalities, LevelRow, RiskCause, RiskClock, RiskReason, RiskRow, reasons};
use sink::DurableSink;
pub use state::StateSnapshot;
pub(crate) use state::StateStore;
use suppressions::Suppressions;
pub use suppressions::{StoredSuppression, SuppressionError};
pub use tables::{TABLE_BYTES, TABLE_ROWS};
use txn::{SpaceUse, StoreMeta, WriteState};

use crate::{Checkpoint, CheckpointSink, EngineError, FindingSink, Seq};

/// The store of one node. Cheap to clone; the directory is locked while any clone lives.
#[derive(Clone, Debug)]
pub struct FindingStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    spaces: Spaces,
    retention: Retention,
    clock: RiskClock,
    risks: RwLock<Risks>,
    criticality: RwLock<Arc<Criticalities>>,
    incidents: RwLock<Incidents>,
    suppressions: RwLock<Suppressions>,
    verdicts: Arc<Verdicts>,
    /// Held while a change is put together and written.
    state: Mutex<WriteState>,
    /// The last sequence number that can be read.
    last: Mutex<u64>,
    changed: Condvar,
    checkpoints: StateStore,
}

impl FindingStore {
    /// Opens the store in a directory, which it creates and locks.
    ///
    /// # Errors
    /// If another process has it, or it is damaged.
    pub fn open(dir: &Path, retention: Retention) -> Result<FindingStore, EngineError> {
        FindingStore::open_at(dir, retention, RiskClock::new(crate::clock::clock))
    }

    /// Opens it with another clock for risk.
    ///
    /// # Errors
    /// As [`FindingStore::open`].
    pub fn open_at(
        dir: &Path,
        retention: Retention,
        clock: RiskClock,
    ) -> Result<FindingStore, EngineError> {
        let (store, spaces) = layout::open(dir)?;
        let meta = StoreMeta::load(&store.snapshot(), &spaces)?;
        let checkpoints = StateStore::open(&dir.join("state"))?;
        if let Some(checkpoint) = checkpoints.manifest()?
            && checkpoint.seq.0 > meta.seq
        {
            return Err(EngineError::Stored {
                what: "checkpoint".to_owned(),
                reason: format!(
                    "it follows change {}, and the last one found is {}",
                    checkpoint.seq.0, meta.seq
                ),
            });
        }
        let last = Mutex::new(meta.seq);
        let state = Mutex::new(WriteState {
            meta,
            recent: RecentFindings::default(),
            contested: BTreeMap::new(),
            capped: BTreeMap::new(),
            unreported: BTreeSet::new(),
            evicted: BTreeMap::new(),
        });
        let changed = Condvar::new();
        let snapshot = store.snapshot();
        let risks = RwLock::new(risk::load_all(&spaces, &snapshot, clock.now())?);
        let incidents = RwLock::new(incidents::load_all(&spaces, &snapshot)?);
        let suppressions = RwLock::new(suppressions::load_all(&spaces, &snapshot)?);
        let verdicts = Arc::new(Verdicts::default());
        let judged = verdicts::load_all(&spaces, &snapshot)?;
        judged.iter().for_each(|judged| judged.say(&verdicts));
        drop(snapshot);
        let inner = Inner {
            store,
            spaces,
            retention,
            clock,
            risks,
            criticality: RwLock::default(),
            incidents,
            suppressions,
            verdicts,
            state,
            last,
            changed,
            checkpoints,
        };
        Ok(FindingStore { inner: Arc::new(inner) })
    }

    /// The engine's way in. There is one at a time.
    pub fn sink(&self) -> impl FindingSink + use<> {
        DurableSink::new(self.inner.clone())
    }

    /// Keeps a finding about the service itself. It is confirmed, so that no run takes it back.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn report(&self, finding: Finding) -> Result<Seq, EngineError> {
        let mut txn = self.inner.begin();
        txn.findings(vec![finding.into()], &mut BTreeSet::new())?;
        txn.commit(SpaceUse::Ordinary)
    }

    /// What to resume from: the last checkpoint with all state (`full`), if there is one.
    ///
    /// # Errors
    /// If it cannot be read. It is never taken for none: that would lose what positions stand for.
    pub fn checkpoint(&self) -> Result<Option<Checkpoint>, EngineError> {
        self.inner.checkpoints.load()
    }

    /// The last checkpoint without its state: where inputs go on and which partitions there are.
    ///
    /// # Errors
    /// As [`FindingStore::checkpoint`].
    pub fn manifest(&self) -> Result<Option<Checkpoint>, EngineError> {
        self.inner.checkpoints.manifest()
    }

    /// Where inputs go on: the positions of the last checkpoint.
    ///
    /// # Errors
    /// As [`FindingStore::checkpoint`].
    pub fn positions(&self) -> Result<Positions, EngineError> {
        self.inner.checkpoints.positions()
    }

    /// Removes state that belongs to none of these operators; the bytes freed.
    ///
    /// # Errors
    /// If the store fails.
    pub fn sweep_state(&self, operators: &[u64]) -> Result<u64, EngineError> {
        self.inner.checkpoints.sweep(operators)
    }

    /// Where the files of the history are listed: in the batches of checkpoints.
    pub(crate) fn history_list(&self) -> StateStore {
        self.inner.checkpoints.clone()
    }

    /// The state of the last checkpoint.
    pub fn state(&self) -> StateSnapshot {
        self.inner.checkpoints.snapshot()
    }

    /// Changes entries of state, in a checkpoint that is otherwise the last one, or the first of all. For
    /// a store that no node runs on.
    ///
    /// # Errors
    /// If they are not kept: then all is as before.
    pub fn put_state(&self, state: Vec<StateEntry>) -> Result<(), EngineError> {
        let last = self.inner.checkpoints.manifest()?.unwrap_or_default();
        self.inner.checkpoints.clone().keep(Checkpoint { state, full: false, ..last })
    }

    /// A finding.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn finding(&self, id: FindingId) -> Result<Option<Stored>, EngineError> {
        self.inner.finding(id)
    }

    /// Findings whose last change is after `seq`, in that order, at most `limit`; and the sequence
    /// to go on from (which may be past the last one returned).
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn after(&self, seq: Seq, limit: usize) -> Result<(Vec<Stored>, Seq), EngineError> {
        self.inner.after(seq, limit)
    }

    /// Findings removed by retention after `seq` and not found again since: followers forget them.
    /// The last million are remembered: a follower further behind than that starts anew.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn removed_after(
        &self,
        seq: Seq,
        limit: usize,
    ) -> Result<(Vec<FindingId>, Seq), EngineError> {
        self.inner.removed_after(seq, limit)
    }

    /// The last change.
    pub fn last(&self) -> Seq {
        Seq(*self.inner.last.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until there is a change after `seq`, at most `patience`; the last change.
    pub fn wait(&self, seq: Seq, patience: Duration) -> Seq {
        let last = self.inner.last.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.inner.changed.wait_timeout_while(last, patience, |last| *last <= seq.0);
        Seq(*waited.unwrap_or_else(PoisonError::into_inner).0)
    }

    /// Changes the triage of a finding, durably. With `expected`, only if that is its version.
    ///
    /// # Errors
    /// If there is no such finding, it has another version, the change makes no sense, or it cannot
    /// be written.
    pub fn triage(
        &self,
        id: FindingId,
        expected: Option<u64>,
        change: TriageChange,
        at: i64,
        by: &str,
    ) -> Result<Stored, TriageError> {
        let mut txn = self.inner.begin();
        let stored = txn.triage(id, expected, change, at, by)?;
        txn.commit(SpaceUse::Ordinary)?;
        Ok(stored)
    }

    /// What people decided about findings of baselines, now and from now on.
    pub fn verdicts(&self) -> Arc<Verdicts> {
        self.inner.verdicts.clone()
    }

    /// Dead letters, oldest first, after the one with id `after`.
    ///
    /// # Errors
    /// If they cannot be read, or `after` is gone: then it is not known where to go on.
    pub fn dead_letters(
        &self,
        filter: &LetterFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<StoredLetter>, EngineError> {
        self.inner.dead_letters(filter, after, limit)
    }

    /// One dead letter.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn dead_letter(&self, id: &str) -> Result<Option<StoredLetter>, EngineError> {
        self.inner.dead_letter(id)
    }

    /// Removes dead letters, durably; how many there were.
    ///
    /// # Errors
    /// If the store fails.
    pub fn drop_dead_letters(&self, ids: &[String]) -> Result<u64, EngineError> {
        let mut txn = self.inner.begin();
        let dropped = txn.drop_letters(ids)?;
        txn.commit(SpaceUse::Freeing)?;
        Ok(dropped)
    }

    /// A replay was in vain: keeps the letter with its present reason and counts the attempt.
    ///
    /// # Errors
    /// If the store fails. A letter that is gone meanwhile is no error.
    pub fn failed_again(&self, id: &str, letter: &DeadLetter) -> Result<(), EngineError> {
        let mut txn = self.inner.begin();
        txn.failed_again(id, letter)?;
        txn.commit(SpaceUse::Ordinary)?;
        Ok(())
    }

    /// Applies retention at a time (milliseconds since 1970 UTC). Called every minute or so.
    ///
    /// # Errors
    /// If the store fails.
    pub fn retain(&self, now: i64) -> Result<(), EngineError> {
        self.inner.retain(now)
    }

    /// Findings made of records that claim the id of another record and say something else, by
    /// mapping source, since the store was opened.
    pub fn contested(&self) -> BTreeMap<String, u64> {
        let state = self.inner.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.contested.clone()
    }

    /// What it holds and has thrown away.
    pub fn stats(&self) -> StoreStats {
        let state = self.inner.state.lock().unwrap_or_else(PoisonError::into_inner);
        let totals = state.meta.totals.clone();
        let (contested, findings_capped) = (state.contested.clone(), state.capped.clone());
        drop(state);
        let findings = self.inner.store.disk_bytes().map_err(EngineError::from);
        let disk_bytes =
            findings.and_then(|bytes| Ok(bytes + self.inner.checkpoints.disk_bytes()?));
        let disk_bytes = disk_bytes.unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot measure the store");
            0
        });
        StoreStats {
            findings: totals.findings,
            finding_bytes: totals.finding_bytes,
            findings_expired: totals.findings_expired,
            findings_capped,
            dead_letters: totals.letters,
            dead_letters_expired: totals.letters_expired,
            contested,
            disk_bytes,
        }
    }

    /// Bytes free for this user on the disk the store is on.
    ///
    /// # Errors
    /// If the system cannot tell.
    pub fn free_bytes(&self) -> Result<u64, EngineError> {
        Ok(self.inner.store.free_bytes()?)
    }
}

/// What is stored under a name cannot be read.
pub(crate) fn unreadable(what: impl Into<String>) -> impl FnOnce(CodecError) -> EngineError {
    move |reason| EngineError::Stored { what: what.into(), reason: reason.to_string() }
}
