//! Dead letters through the current mappings again.

use std::{collections::BTreeMap, sync::Arc};

use sluice_event::{PartitionId, Records};
use sluice_ingest::{Chunk, DeadLetter, Mapper, Original, SourceSpec, live::UNKNOWN};

use super::{Shared, State};
use crate::{Content, EngineError, durable::StoredLetter, live_source::Replay};

/// What a replay of dead letters did.
#[derive(Clone, Debug, Default)]
pub struct ReplayReport {
    /// Letters that made rows, or that their mapping makes no row of.
    pub replayed: u64,
    /// Letters that failed again: id and present reason.
    pub failed: Vec<(String, String)>,
}

pub(super) fn replay(
    shared: &Shared,
    letters: Vec<StoredLetter>,
) -> Result<ReplayReport, EngineError> {
    let content = shared.lock().content.clone();
    let mut report = ReplayReport::default();
    let mut parts: BTreeMap<Arc<str>, Vec<&StoredLetter>> = BTreeMap::new();
    for stored in &letters {
        match attempt(&content, &stored.letter) {
            Ok(source) => parts.entry(source).or_default().push(stored),
            Err(again) => {
                shared.store.failed_again(&stored.id, &again)?;
                report.failed.push((stored.id.clone(), again.message));
            }
        }
    }
    if parts.is_empty() {
        return Ok(report);
    }
    let ids: Vec<String> = parts.values().flatten().map(|s| s.id.clone()).collect();
    let parts = parts
        .into_iter()
        .map(|(source, letters)| {
            (source, chunk(&letters.iter().map(|s| &s.letter).collect::<Vec<_>>()))
        })
        .collect();
    let (number, rewinds) = {
        let mut state = shared.lock();
        if !state.is_running() {
            return Err(EngineError::Thread("run"));
        }
        if state.refused.is_some() {
            return Err(EngineError::NoRoom);
        }
        state.replays_sent += 1;
        (state.replays_sent, state.rewinds)
    };
    shared.replays.send(Replay { number, parts }).map_err(|_| EngineError::Thread("run"))?;
    let durable = |s: &State| s.position.replays >= number;
    let state = shared.wait_while(|s| !durable(s) && s.is_running() && s.rewinds == rewinds);
    if state.rewinds != rewinds {
        return Err(EngineError::NoRoom);
    }
    if !durable(&state) {
        return Err(EngineError::Thread("run"));
    }
    drop(state);
    shared.store.drop_dead_letters(&ids)?;
    report.replayed = ids.len() as u64;
    Ok(report)
}

/// The source that takes a letter now, or why none does.
fn attempt(content: &Content, letter: &DeadLetter) -> Result<Arc<str>, DeadLetter> {
    if let Original::Stub { length, .. } = &letter.original {
        let message = format!("only the first bytes of {length} were kept; it cannot be replayed");
        return Err(DeadLetter { message, ..letter.clone() });
    }
    let candidates =
        content.sources.iter().filter(|s| *letter.source == *UNKNOWN || s.source == letter.source);
    let mut reason = None;
    for spec in candidates {
        match map(spec, letter) {
            None => return Ok(spec.source.clone()),
            Some(again) => reason = reason.or(Some(again)),
        }
    }
    Err(reason.unwrap_or_else(|| {
        let message = format!("there is no mapping source `{}`", letter.source);
        DeadLetter { message, ..letter.clone() }
    }))
}

/// Maps one letter, without consequence: why it fails, if it does.
fn map(spec: &Arc<SourceSpec>, letter: &DeadLetter) -> Option<DeadLetter> {
    let none = PartitionId(0);
    let mut mapper =
        Mapper::new(spec.clone(), "default", none, spec.time_settings, false, i64::MIN);
    let mut chunk = chunk(&[letter]);
    chunk.partition = none;
    mapper.process(&chunk).dead_letters.into_iter().next()
}

/// Letters as records again, each with its own receive time and envelope.
fn chunk(letters: &[&DeadLetter]) -> Chunk {
    let mut bytes = Vec::new();
    let mut spans = Vec::with_capacity(letters.len());
    for letter in letters {
        let start = bytes.len();
        bytes.extend_from_slice(letter.original.bytes());
        spans.push(start..bytes.len());
    }
    let envelopes = if letters.iter().any(|l| l.envelope.is_some()) {
        letters.iter().map(|l| l.envelope.clone().unwrap_or_default()).collect()
    } else {
        Vec::new()
    };
    Chunk {
        partition: PartitionId(0),
        records: Records::new(bytes.into(), spans),
        lines: letters.iter().map(|l| l.line).collect(),
        offsets: letters.iter().map(|l| l.offset).collect(),
        faults: Vec::new(),
        received_at: letters.first().map_or(0, |l| l.received_at),
        received_each: letters.iter().map(|l| l.received_at).collect(),
        envelopes,
        wrappers: Vec::new(),
        first_year: None,
        at_end: false,
        messages: true,
        continues: false,
    }
}
