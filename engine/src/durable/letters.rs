//! Dead letters: by source, code and receive time, so that one kind cannot push out another.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    ops::Bound,
    sync::Arc,
};

use sluice_event::Encoder;
use sluice_ingest::{DeadLetter, DeadLetterCode, live::Place};
use sluice_store::{Bytes, Range, Snapshot};

use super::{
    Inner, LetterFilter, StoredLetter,
    findings::{exactly, sortable},
    records::{decode_letter, encode_letter},
    txn::WriteTxn,
    unreadable,
};
use crate::{EngineError, PlacedDeadLetter};

/// Mapping source and code.
pub(super) type LetterKind = (String, DeadLetterCode);

/// Letters that one commit drops for want of room: four times as many as a service adds with one, some
/// milliseconds.
const EVICTED: usize = 1_024;

impl WriteTxn<'_> {
    /// Keeps records set aside. One that is there already is the same: a crash made it come again.
    pub(super) fn keep_dead_letters(
        &mut self,
        records: Vec<PlacedDeadLetter>,
    ) -> Result<(), EngineError> {
        let mut new = BTreeSet::new();
        let mut kinds = BTreeSet::new();
        for PlacedDeadLetter { place, letter } in records {
            let place = place
                .unwrap_or_else(|| Place { input: letter.source.clone(), part: Arc::from("") });
            let id = letter_id(&place, &letter);
            let known = self.get(&self.spaces().letter_id, &id.to_be_bytes())?.is_some();
            if !known && new.insert(id) {
                self.put_letter(id, &place, &letter, 0);
                kinds.insert((letter.source.to_string(), letter.code));
            }
        }
        for kind in kinds {
            self.evict_letters(&kind)?;
        }
        Ok(())
    }

    pub(super) fn drop_letters(&mut self, ids: &[String]) -> Result<u64, EngineError> {
        let ids: BTreeSet<u128> = ids.iter().filter_map(|id| parse_id(id)).collect();
        let mut dropped = 0;
        for id in ids {
            if let Some((key, bytes)) = find(self.inner, &self.snapshot, id)? {
                let old = decode(id, &bytes)?;
                let kind = (old.letter.source.to_string(), old.letter.code);
                self.remove_letter(&kind, id, &key, bytes.len());
                dropped += 1;
            }
        }
        Ok(dropped)
    }

    pub(super) fn failed_again(
        &mut self,
        id: &str,
        letter: &DeadLetter,
    ) -> Result<(), EngineError> {
        let Some(id) = parse_id(id) else { return Ok(()) };
        let Some((key, bytes)) = find(self.inner, &self.snapshot, id)? else { return Ok(()) };
        let old = decode(id, &bytes)?;
        let kind = (old.letter.source.to_string(), old.letter.code);
        self.uncount(&kind, key.len() + bytes.len());
        // One batch must not both set and remove a key.
        if *key != *letter_key(id, letter) {
            self.batch.remove(&self.spaces().letter, &key);
        }
        self.put_letter(id, &old.place, letter, old.attempts.saturating_add(1));
        Ok(())
    }

    fn put_letter(&mut self, id: u128, place: &Place, letter: &DeadLetter, attempts: u32) {
        let spaces = self.spaces();
        let (key, value) = (letter_key(id, letter), encode_letter(place, letter, attempts));
        self.batch.put(&spaces.letter, &key, &value);
        self.batch.put(&spaces.letter_id, &id.to_be_bytes(), &key);
        let kind = (letter.source.to_string(), letter.code);
        let (count, bytes) = self.next.totals.letters.entry(kind).or_default();
        *count += 1;
        *bytes += (key.len() + value.len()) as u64;
    }

    /// Removes a letter of a kind with so long a value.
    pub(super) fn remove_letter(&mut self, kind: &LetterKind, id: u128, key: &[u8], value: usize) {
        self.batch.remove(&self.spaces().letter, key);
        self.batch.remove(&self.spaces().letter_id, &id.to_be_bytes());
        self.uncount(kind, key.len() + value);
    }

    fn uncount(&mut self, kind: &LetterKind, length: usize) {
        let letters = &mut self.next.totals.letters;
        if let Some((count, bytes)) = letters.get_mut(kind) {
            *count = count.saturating_sub(1);
            *bytes = bytes.saturating_sub(length as u64);
            if *count == 0 {
                letters.remove(kind);
            }
        }
    }

    /// Drops the oldest letters of a kind that holds more bytes than it may: at most [`EVICTED`], so
    /// that a flood makes each commit a little longer and none much longer.
    fn evict_letters(&mut self, kind: &LetterKind) -> Result<(), EngineError> {
        let quota = self.inner.retention.dead_letter_bytes;
        let held = |d: &Self| d.next.totals.letters.get(kind).map_or(0, |(_, bytes)| *bytes);
        if held(self) <= quota {
            // Older ones may come, of a replay: the next time all are looked at.
            self.state.evicted.remove(kind);
            return Ok(());
        }
        let prefix = kind_prefix(&kind.0, kind.1);
        let end = with_order(&prefix, i64::MAX, u128::MAX);
        let from = self.state.evicted.get(kind).map(Vec::as_slice);
        let from = from.map_or(Bound::Included(prefix.as_slice()), Bound::Excluded);
        let rows = self.snapshot.range(&self.spaces().letter, from, Bound::Included(&end));
        let mut last = None;
        for row in rows.take(EVICTED) {
            if held(self) <= quota {
                break;
            }
            let (key, value) = row?;
            let (_, id) = parse_key(&key)?;
            self.remove_letter(kind, id, &key, value.len());
            self.next.totals.letters_expired.1 += 1;
            last = Some(key.to_vec());
        }
        match last {
            Some(last) => self.state.evicted.insert(kind.clone(), last),
            None => self.state.evicted.remove(kind),
        };
        Ok(())
    }

    /// Drops letters of a kind that are older than `before` or too many, at most `limit`; how many.
    pub(super) fn expire_letters(
        &mut self,
        kind: &LetterKind,
        before: i64,
        limit: usize,
    ) -> Result<usize, EngineError> {
        let quota = self.inner.retention.dead_letter_bytes;
        let mut dropped = 0;
        for row in self.snapshot.prefix(&self.spaces().letter, &kind_prefix(&kind.0, kind.1)) {
            let (key, value) = row?;
            let (received_at, id) = parse_key(&key)?;
            let old = received_at < before;
            let held = self.next.totals.letters.get(kind).map_or(0, |(_, bytes)| *bytes);
            if dropped == limit || !(old || held > quota) {
                break;
            }
            self.remove_letter(kind, id, &key, value.len());
            let expired = &mut self.next.totals.letters_expired;
            *(if old { &mut expired.0 } else { &mut expired.1 }) += 1;
            dropped += 1;
        }
        Ok(dropped)
    }
}

impl Inner {
    pub(super) fn dead_letter(&self, id: &str) -> Result<Option<StoredLetter>, EngineError> {
        let Some(id) = parse_id(id) else { return Ok(None) };
        let found = find(self, &self.store.snapshot(), id)?;
        found.map(|(_, bytes)| decode(id, &bytes)).transpose()
    }

    /// Merges the kinds that fit by (receive time, id).
    pub(super) fn dead_letters(
        &self,
        filter: &LetterFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<StoredLetter>, EngineError> {
        let kinds: Vec<LetterKind> = {
            let state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            state.meta.totals.letters.keys().cloned().collect()
        };
        let snapshot = self.store.snapshot();
        let after = after.map(|id| self.order_of(&snapshot, id)).transpose()?;
        let mut ranges = BTreeMap::new();
        let mut heads = BinaryHeap::new();
        for (index, (source, code)) in kinds.into_iter().enumerate() {
            if filter.source.as_ref().is_some_and(|s| *s != source)
                || filter.code.is_some_and(|c| c != code)
            {
                continue;
            }
            let prefix = kind_prefix(&source, code);
            let since = (filter.since.unwrap_or(i64::MIN), 0);
            let start = match after.filter(|order| *order >= since) {
                Some((time, id)) => Bound::Excluded(with_order(&prefix, time, id)),
                None => Bound::Included(with_order(&prefix, since.0, since.1)),
            };
            let end = with_order(&prefix, i64::MAX, u128::MAX);
            let range = snapshot.range(
                &self.spaces.letter,
                start.as_ref().map(Vec::as_slice),
                Bound::Included(&end),
            );
            ranges.insert(index, range);
            advance(index, &mut ranges, &mut heads)?;
        }
        let mut letters = Vec::new();
        while letters.len() < limit {
            let Some(Reverse(Head { order: (_, id), index, value })) = heads.pop() else { break };
            letters.push(decode(id, &value)?);
            advance(index, &mut ranges, &mut heads)?;
        }
        Ok(letters)
    }

    fn order_of(&self, snapshot: &Snapshot, id: &str) -> Result<(i64, u128), EngineError> {
        let found = match parse_id(id) {
            Some(id) => snapshot.get(&self.spaces.letter_id, &id.to_be_bytes())?,
            None => None,
        };
        let key = found.ok_or_else(|| EngineError::Stored {
            what: format!("dead letter `{id}`"),
            reason: "it is gone, so it is not known what comes after it: list from the start"
                .to_owned(),
        })?;
        parse_key(&key)
    }
}

/// The next letter of a kind.
struct Head {
    order: (i64, u128),
    index: usize,
    value: Bytes,
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        (self.order, self.index) == (other.order, other.index)
    }
}

impl Eq for Head {}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.order, self.index).cmp(&(other.order, other.index))
    }
}

fn advance(
    index: usize,
    ranges: &mut BTreeMap<usize, Range>,
    heads: &mut BinaryHeap<Reverse<Head>>,
) -> Result<(), EngineError> {
    if let Some(row) = ranges.get_mut(&index).and_then(Iterator::next) {
        let (key, value) = row?;
        heads.push(Reverse(Head { order: parse_key(&key)?, index, value }));
    }
    Ok(())
}

/// The key of a letter and its bytes.
fn find(
    inner: &Inner,
    snapshot: &Snapshot,
    id: u128,
) -> Result<Option<(Bytes, Bytes)>, EngineError> {
    let Some(key) = snapshot.get(&inner.spaces.letter_id, &id.to_be_bytes())? else {
        return Ok(None);
    };
    match snapshot.get(&inner.spaces.letter, &key)? {
        Some(bytes) => Ok(Some((key, bytes))),
        None => Err(EngineError::Stored {
            what: format!("dead letter {id:032x}"),
            reason: "only its id is there".to_owned(),
        }),
    }
}

fn decode(id: u128, bytes: &[u8]) -> Result<StoredLetter, EngineError> {
    let id = format!("{id:032x}");
    decode_letter(id.clone(), bytes).map_err(unreadable(format!("dead letter {id}")))
}

/// Made of where it was read and why it was set aside: the same after a crash.
fn letter_id(place: &Place, letter: &DeadLetter) -> u128 {
    let mut encoder = Encoder::default();
    encoder.text(&place.input);
    encoder.text(&place.part);
    encoder.bytes(&letter.offset.to_be_bytes());
    encoder.bytes(&letter.line.to_be_bytes());
    encoder.text(letter.code.name());
    encoder.hash128()
}

fn parse_id(id: &str) -> Option<u128> {
    (id.len() == 32).then(|| u128::from_str_radix(id, 16).ok())?
}

fn letter_key(id: u128, letter: &DeadLetter) -> Vec<u8> {
    with_order(&kind_prefix(&letter.source, letter.code), letter.received_at, id)
}

/// Encoded with lengths, so that no kind is the start of another.
fn kind_prefix(source: &str, code: DeadLetterCode) -> Vec<u8> {
    let mut encoder = Encoder::default();
    encoder.text(source);
    encoder.text(code.name());
    encoder.into_bytes()
}

fn with_order(prefix: &[u8], received_at: i64, id: u128) -> Vec<u8> {
    [prefix, &sortable(received_at), &id.to_be_bytes()].concat()
}

/// Receive time and id: the last 24 bytes.
fn parse_key(key: &[u8]) -> Result<(i64, u128), EngineError> {
    let start = key.len().saturating_sub(24);
    let order: [u8; 24] = exactly(&key[start..], "key of a dead letter")?;
    let (time, id) = order.split_at(8);
    let time = i64::from_be_bytes(exactly(time, "time")?) ^ i64::MIN;
    Ok((time, u128::from_be_bytes(exactly(id, "id")?)))
}
