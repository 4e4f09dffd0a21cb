//! Dead letters of records and of faults of framing.

use std::sync::Arc;

use crate::{Chunk, DeadLetter, DeadLetterCode, Fault, Original};

pub(super) fn of_record(
    at: usize,
    code: DeadLetterCode,
    message: String,
    mapping: Option<&str>,
    source: &Arc<str>,
    chunk: &Chunk,
) -> DeadLetter {
    DeadLetter {
        code,
        message,
        source: source.clone(),
        mapping: mapping.map(str::to_owned),
        partition: chunk.partition,
        line: chunk.lines.get(at).copied().unwrap_or(0),
        offset: chunk.offsets.get(at).copied().unwrap_or(0),
        received_at: chunk.reference(at),
        envelope: chunk.envelope(at).cloned(),
        // Alone in its wrapper it is kept with it, so that a replay knows what the wrapper said.
        original: Original::Whole(match chunk.wrapper(at).and_then(|w| w.outer.as_ref()) {
            Some(outer) => outer.to_vec(),
            None => chunk.records.get(at).to_vec(),
        }),
    }
}

/// How much of a record over the size limit is kept.
const STUB_BYTES: usize = 4096;

pub(super) fn of_fault(fault: &Fault, source: &Arc<str>, chunk: &Chunk) -> DeadLetter {
    let original = match &fault.original {
        Original::Stub { head, length, hash } => Original::Stub {
            head: head.iter().take(STUB_BYTES).copied().collect(),
            length: *length,
            hash: *hash,
        },
        whole @ Original::Whole(_) => whole.clone(),
    };
    DeadLetter {
        code: fault.code,
        message: fault.message.clone(),
        source: source.clone(),
        mapping: None,
        partition: chunk.partition,
        line: fault.line,
        offset: fault.offset,
        received_at: fault.received_at.unwrap_or(chunk.received_at),
        envelope: fault.envelope.clone(),
        original,
    }
}
