//! Findings and triage: written apart, joined on read, followed by sequence.
//!
//! The evidence of a finding is stored beside its record, each event under the finding's id and a hash
//! of the event: an update writes the record and the events that are new, not those that are there.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    ops::Bound,
    sync::Arc,
};

use sluice_event::Encoder;
use sluice_finding::{
    Finding, FindingId, FindingState, Triage, TriageChange,
    contest::{self, settle},
    fold,
};
use sluice_store::Snapshot;

use super::{
    Inner, Stored, TriageError,
    layout::Spaces,
    recent::Known,
    records::{FindingRecord, decode_finding, decode_triage, encode_finding, encode_triage},
    risk::RiskCause,
    txn::WriteTxn,
    unreadable,
    verdicts::Judged,
};
use crate::{EngineError, Reported, Seq};

/// A finding as it was before a commit, and as it will be.
struct PendingFinding {
    before: Option<Known>,
    after: Option<Finding>,
    /// The epoch it was first reported in, if that is news.
    epoch: Option<u64>,
}

impl PendingFinding {
    fn known(&self) -> Option<&Finding> {
        self.after.as_ref().or(self.before.as_ref().map(|known| &known.finding))
    }
}

impl WriteTxn<'_> {
    /// Folds findings into those stored. What changes nothing gets no sequence number. Those that are
    /// `orphaned` are no more.
    pub(super) fn findings(
        &mut self,
        reported: Vec<Reported>,
        orphaned: &mut BTreeSet<FindingId>,
    ) -> Result<(), EngineError> {
        let mut pending = BTreeMap::new();
        let mut order = Vec::new();
        for Reported { epoch, finding } in reported {
            let claimed = finding.id;
            let mut entry = self.pending(claimed, &mut pending, &mut order)?;
            let finding = settle(entry.known(), finding);
            let contests = finding.id != claimed;
            if contests {
                entry = self.pending(finding.id, &mut pending, &mut order)?;
            }
            if entry.known().is_none() {
                if !self.has_room(&finding)? {
                    continue;
                }
                if contests {
                    self.contested.extend(contest::sources(&finding));
                }
            }
            let (id, known) = (finding.id, entry.known());
            // One that is back after it was withdrawn is as good as new.
            let is_back = known.is_some_and(|f| f.state == FindingState::Withdrawn);
            let is_news = known.is_none() || is_back;
            let kept = fold(known, finding);
            if orphaned.remove(&id) || is_news {
                entry.epoch = Some(epoch);
            }
            if let Some(kept) = kept {
                entry.after = Some(kept);
            }
        }
        for id in order {
            match pending.remove(&id) {
                Some(PendingFinding { before, after: Some(finding), epoch }) => {
                    self.put_finding(before, finding, epoch)?;
                }
                Some(PendingFinding { before: Some(known), after: None, epoch }) => {
                    self.keep_epoch(known, epoch);
                }
                Some(PendingFinding { before: None, after: None, .. }) | None => {}
            }
        }
        Ok(())
    }

    /// What this commit makes of a finding so far.
    fn pending<'p>(
        &mut self,
        id: FindingId,
        pending: &'p mut BTreeMap<FindingId, PendingFinding>,
        order: &mut Vec<FindingId>,
    ) -> Result<&'p mut PendingFinding, EngineError> {
        Ok(match pending.entry(id) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(gap) => {
                let before = self.known(id)?;
                order.push(id);
                gap.insert(PendingFinding { before, after: None, epoch: None })
            }
        })
    }

    /// A finding as it is stored; put it back, or what it becomes.
    pub(super) fn known(&mut self, id: FindingId) -> Result<Option<Known>, EngineError> {
        match self.state.recent.take(id) {
            Some(known) => Ok(Some(known)),
            None => load(self.spaces(), &self.snapshot, id),
        }
    }

    /// Reported again as it is: what changes is at most the checkpoint that covers it.
    fn keep_epoch(&mut self, mut known: Known, epoch: Option<u64>) {
        match epoch {
            Some(epoch) if epoch != known.current.epoch => {
                known.current.epoch = epoch;
                let (spaces, id) = (self.spaces(), known.finding.id);
                self.batch.put(&spaces.current, &key(id), &known.current.bytes());
                self.changed.push(known);
            }
            Some(_) | None => self.state.recent.insert(known),
        }
    }

    pub(super) fn put_finding(
        &mut self,
        before: Option<Known>,
        finding: Finding,
        epoch: Option<u64>,
    ) -> Result<(), EngineError> {
        let (spaces, id) = (self.spaces(), finding.id);
        let evidence = self.put_evidence(before.as_ref(), &finding);
        let record = FindingRecord { finding, evidence };
        let bytes = encode_finding(&record);
        let FindingRecord { finding, evidence } = record;
        self.batch.put(&spaces.finding, &key(id), &bytes);
        let bytes = bytes.len() as u64 + evidence_bytes(&finding, &evidence);
        let totals = &mut self.next.totals;
        totals.finding_bytes += bytes;
        match &before {
            Some(known) => {
                totals.finding_bytes = totals.finding_bytes.saturating_sub(known.bytes);
            }
            None => totals.findings += 1,
        }
        let time_before = before.as_ref().map(|k| k.finding.time);
        if time_before != Some(finding.time) {
            if let Some(time) = time_before {
                self.batch.remove(&spaces.age, &age_key(time, id));
            }
            self.batch.put(&spaces.age, &age_key(finding.time, id), &[]);
        }
        self.regroup(before.as_ref().map(|k| &k.finding), &finding)?;
        let triage = match before {
            Some(_) => self.triage_of(id)?,
            None => Triage::default(),
        };
        let cause = match finding.state {
            FindingState::Provisional | FindingState::Confirmed => RiskCause::Finding(id),
            FindingState::Withdrawn => RiskCause::Withdrawn(id),
        };
        let known = before.as_ref().map(|k| (&k.finding, &triage));
        self.weigh(known, (&finding, &triage), cause)?;
        let current = self.announce(&finding, before.map(|k| k.current), epoch);
        self.changed.push(Known { finding, evidence, bytes, current });
        Ok(())
    }

    /// Writes the events that were not there and removes those that are no longer shown; the hash of
    /// each.
    fn put_evidence(&mut self, before: Option<&Known>, finding: &Finding) -> Vec<u128> {
        let spaces = self.spaces();
        let stored: Vec<(&Arc<str>, u128)> = before.map_or_else(Vec::new, |known| {
            known.finding.evidence.iter().zip(known.evidence.iter().copied()).collect()
        });
        let mut there: BTreeSet<u128> = stored.iter().map(|(_, hash)| *hash).collect();
        let mut shown = BTreeSet::new();
        let mut hashes = Vec::with_capacity(finding.evidence.len());
        for event in &finding.evidence {
            let known = stored.iter().find(|(text, _)| *text == event).map(|(_, hash)| *hash);
            let hash = known.unwrap_or_else(|| hash(event));
            if there.insert(hash) {
                self.batch.put(&spaces.evidence, &evidence_key(finding.id, hash), event.as_bytes());
            }
            shown.insert(hash);
            hashes.push(hash);
        }
        for (_, hash) in stored {
            if shown.insert(hash) {
                self.batch.remove(&spaces.evidence, &evidence_key(finding.id, hash));
            }
        }
        hashes
    }

    /// Gives the change of a finding its number, in place of the one before.
    pub(super) fn announce(
        &mut self,
        finding: &Finding,
        before: Option<Current>,
        epoch: Option<u64>,
    ) -> Current {
        let (spaces, id) = (self.spaces(), finding.id);
        if let Some(before) = &before {
            self.batch.remove(&spaces.change, &before.seq.to_be_bytes());
        }
        let seq = self.number();
        let epoch = epoch.or(before.map(|b| b.epoch)).unwrap_or(0);
        let current = Current { seq, epoch };
        self.batch.put(&spaces.current, &key(id), &current.bytes());
        let change = Change { id, provisional: Some(finding.state == FindingState::Provisional) };
        self.batch.put(&spaces.change, &seq.to_be_bytes(), &change.bytes());
        current
    }

    pub(super) fn triage(
        &mut self,
        id: FindingId,
        expected: Option<u64>,
        change: TriageChange,
        at: i64,
        by: &str,
    ) -> Result<Stored, TriageError> {
        let Some(mut known) = self.known(id)? else {
            return Err(TriageError::NotFound(id));
        };
        let (before, length) = stored_triage(self.spaces(), &self.snapshot, id)?;
        if expected.is_some_and(|version| version != before.version) {
            return Err(TriageError::Conflict(before.version));
        }
        let triage = before.apply(change, at, by)?;
        let bytes = encode_triage(&triage);
        self.batch.put(&self.spaces().triage, &key(id), &bytes);
        let finding = &known.finding;
        self.judged.extend(Judged::of(finding, &triage));
        self.weigh(Some((finding, &before)), (finding, &triage), RiskCause::Verdict(id))?;
        let held = &mut self.next.totals.finding_bytes;
        *held = (*held + bytes.len() as u64).saturating_sub(length as u64);
        known.current = self.announce(&known.finding, Some(known.current), None);
        let (finding, seq) = (known.finding.clone(), Seq(known.current.seq));
        self.changed.push(known);
        let repeats = self.inner.repeats(&self.snapshot, &finding)?;
        Ok(Stored { finding, triage, repeats, seq })
    }

    /// What people did about a finding before this change.
    pub(super) fn triage_of(&self, id: FindingId) -> Result<Triage, EngineError> {
        Ok(stored_triage(self.spaces(), &self.snapshot, id)?.0)
    }

    /// Removes a finding and all that is about it; followers see the removal.
    pub(super) fn expire(&mut self, time: i64, id: FindingId) -> Result<(), EngineError> {
        let spaces = self.spaces();
        let mut bytes = 0;
        if let Some(known) = self.known(id)? {
            self.ungroup(&known.finding);
            bytes += known.bytes;
            self.batch.remove(&spaces.finding, &key(id));
            for hash in known.evidence.into_iter().collect::<BTreeSet<_>>() {
                self.batch.remove(&spaces.evidence, &evidence_key(id, hash));
            }
            self.batch.remove(&spaces.change, &known.current.seq.to_be_bytes());
            self.batch.remove(&spaces.current, &key(id));
        }
        if let Some(triage) = self.get(&spaces.triage, &key(id))? {
            bytes += triage.len() as u64;
            self.batch.remove(&spaces.triage, &key(id));
        }
        self.batch.remove(&spaces.age, &age_key(time, id));
        let seq = self.number();
        self.batch.put(&spaces.removed, &seq.to_be_bytes(), &key(id));
        let totals = &mut self.next.totals;
        totals.findings = totals.findings.saturating_sub(1);
        totals.finding_bytes = totals.finding_bytes.saturating_sub(bytes);
        totals.removed += 1;
        Ok(())
    }
}

impl Inner {
    pub(super) fn finding(&self, id: FindingId) -> Result<Option<Stored>, EngineError> {
        self.joined(&self.store.snapshot(), id)
    }

    pub(super) fn after(&self, seq: Seq, limit: usize) -> Result<(Vec<Stored>, Seq), EngineError> {
        self.follow(&self.spaces.change, seq, limit, |snapshot, seq, Change { id, .. }| match self
            .joined(
            snapshot, id,
        )? {
            Some(stored) if stored.seq == seq => Ok(Some(stored)),
            Some(_) | None => Err(EngineError::Stored {
                what: format!("change {}", seq.0),
                reason: format!("finding {id} is not as it says"),
            }),
        })
    }

    /// Findings that nothing can change any more, without their evidence.
    pub(super) fn confirmed_after(
        &self,
        seq: Seq,
        limit: usize,
    ) -> Result<(Vec<Finding>, Seq), EngineError> {
        self.follow(&self.spaces.change, seq, limit, |snapshot, _, change| {
            if change.provisional == Some(true) {
                return Ok(None);
            }
            let stored = stored_light(&self.spaces, snapshot, change.id)?;
            let finding = stored.map(|(finding, ..)| finding);
            Ok(finding.filter(|f| f.state == FindingState::Confirmed))
        })
    }

    pub(super) fn removed_after(
        &self,
        seq: Seq,
        limit: usize,
    ) -> Result<(Vec<FindingId>, Seq), EngineError> {
        self.follow(&self.spaces.removed, seq, limit, |snapshot, _, Change { id, .. }| {
            let back = snapshot.get(&self.spaces.finding, &key(id))?.is_some();
            Ok((!back).then_some(id))
        })
    }

    /// At most `limit` entries of a feed after `seq`, and the sequence to go on from.
    fn follow<T>(
        &self,
        space: &sluice_store::Space,
        seq: Seq,
        limit: usize,
        mut item: impl FnMut(&Snapshot, Seq, Change) -> Result<Option<T>, EngineError>,
    ) -> Result<(Vec<T>, Seq), EngineError> {
        // The number first: everything up to it is in a snapshot taken after.
        let last = *self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let snapshot = self.store.snapshot();
        let mut items = Vec::new();
        let start = seq.0.to_be_bytes();
        let rows = snapshot.range(space, Bound::Excluded(&start), Bound::Unbounded);
        let mut at = seq;
        for row in rows {
            if items.len() == limit {
                return Ok((items, at));
            }
            let (number, id) = row?;
            at = Seq(u64::from_be_bytes(exactly(&number, "sequence number")?));
            items.extend(item(&snapshot, at, Change::parse(&id)?)?);
        }
        Ok((items, at.max(Seq(last))))
    }

    fn joined(&self, snapshot: &Snapshot, id: FindingId) -> Result<Option<Stored>, EngineError> {
        let spaces = &self.spaces;
        let Some(known) = load(spaces, snapshot, id)? else { return Ok(None) };
        let (triage, _) = stored_triage(spaces, snapshot, id)?;
        let repeats = self.repeats(snapshot, &known.finding)?;
        let seq = Seq(known.current.seq);
        Ok(Some(Stored { finding: known.finding, triage, repeats, seq }))
    }
}

/// What is said of a change: whose it is, and whether that can still change by itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    pub(super) id: FindingId,
    /// `None`: its entry does not say.
    pub(super) provisional: Option<bool>,
}

impl Change {
    /// Of an id, and a byte that says whether the finding is provisional.
    pub(super) fn parse(bytes: &[u8]) -> Result<Change, EngineError> {
        let (id, provisional) = match bytes.split_at_checked(16) {
            Some((id, [said @ (0 | 1)])) => (id, Some(*said == 1)),
            _ => (bytes, None),
        };
        Ok(Change { id: FindingId(u128::from_be_bytes(exactly(id, "finding id")?)), provisional })
    }

    fn bytes(self) -> Vec<u8> {
        let said = self.provisional.map(u8::from);
        key(self.id).into_iter().chain(said).collect()
    }
}

/// When a finding changed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Current {
    /// Its last change, of triage too.
    pub(super) seq: u64,
    /// The epoch in which it was first reported, or first since it was last withdrawn: checkpoints of
    /// greater epochs cover it.
    pub(super) epoch: u64,
}

impl Current {
    fn parse(bytes: &[u8]) -> Result<Current, EngineError> {
        let numbers = u128::from_be_bytes(exactly(bytes, "sequence number of a finding")?);
        Ok(Current { seq: (numbers >> 64) as u64, epoch: numbers as u64 })
    }

    fn bytes(self) -> [u8; 16] {
        (u128::from(self.seq) << 64 | u128::from(self.epoch)).to_be_bytes()
    }
}

/// A finding as it is stored, with its evidence.
pub(super) fn load(
    spaces: &Spaces,
    snapshot: &Snapshot,
    id: FindingId,
) -> Result<Option<Known>, EngineError> {
    let Some(bytes) = snapshot.get(&spaces.finding, &key(id))? else { return Ok(None) };
    let missing = |what: &str| EngineError::Stored {
        what: format!("finding {id}"),
        reason: format!("its {what} is missing"),
    };
    let record = decode_finding(&bytes).map_err(unreadable(format!("finding {id}")))?;
    let FindingRecord { mut finding, evidence } = record;
    let mut events: BTreeMap<u128, Arc<str>> = BTreeMap::new();
    if !evidence.is_empty() {
        for row in snapshot.prefix(&spaces.evidence, &key(id)) {
            let (key, event) = row?;
            let [_, hash] = halves(exactly(&key, "key of evidence")?);
            let event = std::str::from_utf8(&event).map_err(|_| missing("evidence as text"))?;
            events.insert(hash, event.into());
        }
    }
    for hash in &evidence {
        finding.evidence.push(events.get(hash).ok_or_else(|| missing("evidence"))?.clone());
    }
    let current =
        stored_current(spaces, snapshot, id)?.ok_or_else(|| missing("sequence number"))?;
    let bytes = bytes.len() as u64 + evidence_bytes(&finding, &evidence);
    Ok(Some(Known { finding, evidence, bytes, current }))
}

/// A finding without its evidence, the work on it, when it changed, and the bytes of its record.
pub(super) fn stored_light(
    spaces: &Spaces,
    snapshot: &Snapshot,
    id: FindingId,
) -> Result<Option<(Finding, Triage, Current, usize)>, EngineError> {
    let Some(bytes) = snapshot.get(&spaces.finding, &key(id))? else { return Ok(None) };
    let record = decode_finding(&bytes).map_err(unreadable(format!("finding {id}")))?;
    let Some(current) = stored_current(spaces, snapshot, id)? else { return Ok(None) };
    let (triage, _) = stored_triage(spaces, snapshot, id)?;
    Ok(Some((record.finding, triage, current, bytes.len())))
}

/// When a finding changed, without the finding.
pub(super) fn stored_current(
    spaces: &Spaces,
    snapshot: &Snapshot,
    id: FindingId,
) -> Result<Option<Current>, EngineError> {
    snapshot.get(&spaces.current, &key(id))?.map(|bytes| Current::parse(&bytes)).transpose()
}

/// With the length of its bytes: 0 if it was never touched.
fn stored_triage(
    spaces: &Spaces,
    snapshot: &Snapshot,
    id: FindingId,
) -> Result<(Triage, usize), EngineError> {
    let Some(bytes) = snapshot.get(&spaces.triage, &key(id))? else {
        return Ok((Triage::default(), 0));
    };
    let triage = decode_triage(&bytes).map_err(unreadable(format!("triage of finding {id}")))?;
    Ok((triage, bytes.len()))
}

/// The bytes of distinct events.
fn evidence_bytes(finding: &Finding, hashes: &[u128]) -> u64 {
    let events: BTreeMap<u128, usize> =
        hashes.iter().copied().zip(finding.evidence.iter().map(|e| e.len())).collect();
    events.values().map(|length| *length as u64).sum()
}

fn hash(event: &str) -> u128 {
    let mut encoder = Encoder::default();
    encoder.text(event);
    encoder.hash128()
}

fn evidence_key(id: FindingId, hash: u128) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(&key(id));
    bytes[16..].copy_from_slice(&hash.to_be_bytes());
    bytes
}

/// What [`evidence_key`] was made of.
fn halves(bytes: [u8; 32]) -> [u128; 2] {
    let (mut id, mut hash) = ([0; 16], [0; 16]);
    id.copy_from_slice(&bytes[..16]);
    hash.copy_from_slice(&bytes[16..]);
    [u128::from_be_bytes(id), u128::from_be_bytes(hash)]
}

pub(super) fn key(id: FindingId) -> [u8; 16] {
    id.0.to_be_bytes()
}

/// Orders by time, then id.
fn age_key(time: i64, id: FindingId) -> [u8; 24] {
    let mut bytes = [0; 24];
    bytes[..8].copy_from_slice(&sortable(time));
    bytes[8..].copy_from_slice(&key(id));
    bytes
}

/// What [`age_key`] was made of.
pub(super) fn parse_age_key(bytes: &[u8]) -> Result<(i64, FindingId), EngineError> {
    let bytes: [u8; 24] = exactly(bytes, "age of a finding")?;
    let (time, id) = bytes.split_at(8);
    let time = i64::from_be_bytes(exactly(time, "time")?) ^ i64::MIN;
    Ok((time, FindingId(u128::from_be_bytes(exactly(id, "finding id")?))))
}

/// Bytes that order as the number does.
pub(super) fn sortable(number: i64) -> [u8; 8] {
    (number ^ i64::MIN).to_be_bytes()
}

/// So many bytes and no others.
pub(super) fn exactly<const N: usize>(bytes: &[u8], what: &str) -> Result<[u8; N], EngineError> {
    bytes.try_into().map_err(|_| EngineError::Stored {
        what: what.to_owned(),
        reason: format!("it has {} bytes, not {N}", bytes.len()),
    })
}
