//! Which mapping source each record of a live input goes to. Everything is for one source.

use std::sync::Arc;

use sluice_event::{PartitionId, Records};

use crate::{Chunk, DeadLetterCode, Envelope, Fault, Original, SourceSpec};

/// Stands in for the router.
#[derive(Debug)]
pub struct Router {
    specs: Vec<Arc<SourceSpec>>,
}

/// What came in at one offset.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its bytes; empty where the queue gave a null value.
    pub bytes: Vec<u8>,
    /// Its offset.
    pub offset: u64,
    /// When it was received, milliseconds since 1970 UTC.
    pub received_at: i64,
    /// What came around it.
    pub envelope: Option<Arc<Envelope>>,
    /// The mapping source, if that was decided before.
    pub source: Option<Arc<str>>,
}

impl Router {
    /// A router.
    ///
    /// # Errors
    /// None.
    pub fn new(specs: Vec<Arc<SourceSpec>>, _mapping: Option<&str>) -> Result<Router, String> {
        Ok(Router { specs })
    }

    /// The sources.
    pub fn sources(&self) -> impl Iterator<Item = &SourceSpec> {
        self.specs.iter().map(AsRef::as_ref)
    }

    /// One chunk.
    pub fn chunks(&mut self, messages: Vec<Message>) -> Vec<(Arc<str>, Chunk)> {
        let mut bytes = Vec::new();
        let mut spans = Vec::new();
        let mut faults = Vec::new();
        let (mut offsets, mut received, mut envelopes) = (Vec::new(), Vec::new(), Vec::new());
        for m in messages {
            let code = match m.bytes.len() {
                0 => Some(DeadLetterCode::Empty),
                n if n > 1 << 20 => Some(DeadLetterCode::TooLarge),
                _ => None,
            };
            if let Some(code) = code {
                faults.push(Fault {
                    code,
                    message: String::new(),
                    line: 1,
                    offset: m.offset,
                    original: Original::Whole(m.bytes.into_iter().take(4096).collect()),
                    envelope: m.envelope,
                });
                continue;
            }
            let start = bytes.len();
            bytes.extend_from_slice(&m.bytes);
            spans.push(start..bytes.len());
            offsets.push(m.offset);
            received.push(m.received_at);
            envelopes.extend(m.envelope);
        }
        let chunk = Chunk {
            partition: PartitionId(0),
            lines: vec![1; spans.len()],
            offsets,
            records: Records::new(bytes.into(), spans),
            faults,
            received_at: 0,
            received_each: received,
            envelopes,
            at_end: false,
        };
        vec![(self.specs[0].source.clone(), chunk)]
    }
}
