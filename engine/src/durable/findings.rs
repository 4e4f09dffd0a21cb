//! Findings and triage: written apart, joined on read, followed by sequence.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    ops::Bound,
};

use sluice_finding::{Finding, FindingId, FindingState, Triage, TriageChange, fold};
use sluice_store::Snapshot;

use super::{
    Inner, Spaces, Stored, TriageError,
    change::WriteTxn,
    records::{decode_finding, decode_triage, encode_finding, encode_triage},
    unreadable,
};
use crate::{EngineError, Seq};

/// A finding as it was before a commit, and as it will be.
struct PendingFinding {
    /// With the length of its bytes.
    before: Option<(Finding, usize)>,
    after: Option<Finding>,
}

impl WriteTxn<'_> {
    /// Folds findings into those stored. What changes nothing gets no sequence number.
    pub(super) fn findings(&mut self, findings: Vec<Finding>) -> Result<(), EngineError> {
        let mut pending = BTreeMap::new();
        let mut order = Vec::new();
        for finding in findings {
            let id = finding.id;
            self.next.orphaned.remove(&id);
            let entry = match pending.entry(id) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(gap) => {
                    let before = stored_finding(self.spaces(), &self.snapshot, id)?;
                    gap.insert(PendingFinding { before, after: None })
                }
            };
            let known = entry.after.as_ref().or(entry.before.as_ref().map(|(f, _)| f));
            if let Some(kept) = fold(known, finding) {
                if entry.after.is_none() {
                    order.push(id);
                }
                entry.after = Some(kept);
            }
        }
        for id in order {
            if let Some(PendingFinding { before, after: Some(finding) }) = pending.remove(&id) {
                self.put_finding(before, &finding)?;
            }
        }
        Ok(())
    }

    pub(super) fn put_finding(
        &mut self,
        before: Option<(Finding, usize)>,
        finding: &Finding,
    ) -> Result<(), EngineError> {
        let (spaces, id) = (self.spaces(), finding.id);
        let bytes = encode_finding(finding);
        self.batch.put(&spaces.finding, &key(id), &bytes);
        let totals = &mut self.next.totals;
        totals.finding_bytes += bytes.len() as u64;
        match &before {
            Some((_, length)) => {
                totals.finding_bytes = totals.finding_bytes.saturating_sub(*length as u64);
            }
            None => totals.findings += 1,
        }
        let back = before.as_ref().is_some_and(|(f, _)| f.state == FindingState::Withdrawn);
        let time_before = before.map(|(f, _)| f.time);
        if time_before != Some(finding.time) {
            if let Some(time) = time_before {
                self.batch.remove(&spaces.age, &age_key(time, id));
            }
            self.batch.put(&spaces.age, &age_key(finding.time, id), &[]);
        }
        self.announce(id, back).map(drop)
    }

    /// Gives the change of a finding its number, in place of the one before. One that is back after
    /// it was withdrawn is as good as new.
    fn announce(&mut self, id: FindingId, back: bool) -> Result<Seq, EngineError> {
        let spaces = self.spaces();
        let before = self.get(&spaces.current, &key(id))?;
        let before = before.map(|bytes| Current::parse(&bytes)).transpose()?;
        if let Some(before) = &before {
            self.batch.remove(&spaces.change, &before.seq.to_be_bytes());
        }
        let seq = self.number();
        let current = Current { seq, first: before.filter(|_| !back).map_or(seq, |b| b.first) };
        self.batch.put(&spaces.current, &key(id), &current.bytes());
        self.batch.put(&spaces.change, &seq.to_be_bytes(), &key(id));
        Ok(Seq(seq))
    }

    pub(super) fn triage(
        &mut self,
        id: FindingId,
        expected: Option<u64>,
        change: TriageChange,
        at: i64,
        by: &str,
    ) -> Result<Stored, TriageError> {
        let Some((finding, _)) = stored_finding(self.spaces(), &self.snapshot, id)? else {
            return Err(TriageError::NotFound(id));
        };
        let (before, length) = stored_triage(self.spaces(), &self.snapshot, id)?;
        if expected.is_some_and(|version| version != before.version) {
            return Err(TriageError::Conflict(before.version));
        }
        let triage = before.apply(change, at, by).map_err(TriageError::Invalid)?;
        let bytes = encode_triage(&triage);
        self.batch.put(&self.spaces().triage, &key(id), &bytes);
        let held = &mut self.next.totals.finding_bytes;
        *held = (*held + bytes.len() as u64).saturating_sub(length as u64);
        let seq = self.announce(id, false)?;
        Ok(Stored { finding, triage, seq })
    }

    /// Removes a finding and all that is about it; followers are told.
    pub(super) fn expire(&mut self, time: i64, id: FindingId) -> Result<(), EngineError> {
        let spaces = self.spaces();
        let key = key(id);
        let mut bytes = 0;
        for space in [&spaces.finding, &spaces.triage] {
            if let Some(value) = self.get(space, &key)? {
                bytes += value.len() as u64;
                self.batch.remove(space, &key);
            }
        }
        if let Some(current) = self.get(&spaces.current, &key)? {
            let seq = Current::parse(&current)?.seq;
            self.batch.remove(&spaces.change, &seq.to_be_bytes());
            self.batch.remove(&spaces.current, &key);
        }
        self.batch.remove(&spaces.age, &age_key(time, id));
        let seq = self.number();
        self.batch.put(&spaces.removed, &seq.to_be_bytes(), &key);
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
        self.follow(&self.spaces.change, seq, limit, |snapshot, seq, id| {
            match self.joined(snapshot, id)? {
                Some(stored) if stored.seq == seq => Ok(Some(stored)),
                Some(_) | None => Err(EngineError::Stored {
                    what: format!("change {}", seq.0),
                    reason: format!("finding {id} is not as it says"),
                }),
            }
        })
    }

    pub(super) fn removed_after(
        &self,
        seq: Seq,
        limit: usize,
    ) -> Result<(Vec<FindingId>, Seq), EngineError> {
        self.follow(&self.spaces.removed, seq, limit, |snapshot, _, id| {
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
        mut item: impl FnMut(&Snapshot, Seq, FindingId) -> Result<Option<T>, EngineError>,
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
            let id = FindingId(u128::from_be_bytes(exactly(&id, "finding id")?));
            items.extend(item(&snapshot, at, id)?);
        }
        Ok((items, at.max(Seq(last))))
    }

    fn joined(&self, snapshot: &Snapshot, id: FindingId) -> Result<Option<Stored>, EngineError> {
        let spaces = &self.spaces;
        let Some((finding, _)) = stored_finding(spaces, snapshot, id)? else { return Ok(None) };
        let (triage, _) = stored_triage(spaces, snapshot, id)?;
        let current = snapshot.get(&spaces.current, &key(id))?;
        let current = Current::parse(current.as_deref().unwrap_or_default())?;
        Ok(Some(Stored { finding, triage, seq: Seq(current.seq) }))
    }
}

/// When a finding changed.
pub(super) struct Current {
    /// Its last change, of triage too.
    pub(super) seq: u64,
    /// The first since it was last withdrawn.
    pub(super) first: u64,
}

impl Current {
    pub(super) fn parse(bytes: &[u8]) -> Result<Current, EngineError> {
        let numbers = u128::from_be_bytes(exactly(bytes, "sequence number of a finding")?);
        Ok(Current { seq: (numbers >> 64) as u64, first: numbers as u64 })
    }

    fn bytes(&self) -> [u8; 16] {
        (u128::from(self.seq) << 64 | u128::from(self.first)).to_be_bytes()
    }
}

/// With the length of its bytes.
pub(super) fn stored_finding(
    spaces: &Spaces,
    snapshot: &Snapshot,
    id: FindingId,
) -> Result<Option<(Finding, usize)>, EngineError> {
    let Some(bytes) = snapshot.get(&spaces.finding, &key(id))? else { return Ok(None) };
    let finding = decode_finding(&bytes).map_err(unreadable(format!("finding {id}")))?;
    Ok(Some((finding, bytes.len())))
}

/// With the length of its bytes: 0 if nobody has touched it.
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
