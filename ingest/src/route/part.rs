//! The records of one source while they are collected.

use std::{ops::Range, sync::Arc};

use sluice_event::{PartitionId, Records};

use super::Message;
use crate::{Chunk, DeadLetterCode, Envelope, Fault, Original, Wrapper};

/// Where in which message the next record is.
#[derive(Default)]
pub(super) struct At<'m> {
    offset: u64,
    received_at: i64,
    envelope: Option<&'m Arc<Envelope>>,
    /// Records of the message so far.
    number: u64,
}

impl<'m> At<'m> {
    pub(super) fn of(message: &'m Message) -> Self {
        At {
            offset: message.offset,
            received_at: message.received_at,
            envelope: message.envelope.as_ref(),
            number: 0,
        }
    }
}

/// What is collected for one source.
#[derive(Default)]
pub(super) struct Part {
    bytes: Vec<u8>,
    spans: Vec<Range<usize>>,
    lines: Vec<u64>,
    offsets: Vec<u64>,
    received: Vec<i64>,
    envelopes: Vec<Option<Arc<Envelope>>>,
    wrappers: Vec<Option<Arc<Wrapper>>>,
    faults: Vec<Fault>,
}

impl Part {
    pub(super) fn record(&mut self, record: &[u8], at: &mut At<'_>, wrapper: Option<Arc<Wrapper>>) {
        at.number += 1;
        let start = self.bytes.len();
        self.bytes.extend_from_slice(record);
        self.spans.push(start..self.bytes.len());
        self.lines.push(at.number);
        self.offsets.push(at.offset);
        let received = wrapper.as_ref().and_then(|w| w.received(at.received_at));
        self.received.push(received.unwrap_or(at.received_at));
        self.wrappers.push(wrapper);
        self.envelopes.push(at.envelope.cloned());
    }

    /// A record that could not be cut out: its place is that of its message.
    pub(super) fn fault(&mut self, fault: Fault, at: &mut At<'_>) {
        self.set_aside(fault.code, fault.message, fault.original, at);
    }

    pub(super) fn set_aside(
        &mut self,
        code: DeadLetterCode,
        message: String,
        original: Original,
        at: &mut At<'_>,
    ) {
        at.number += 1;
        self.faults.push(Fault {
            code,
            message,
            line: at.number,
            offset: at.offset,
            received_at: Some(at.received_at),
            original,
            envelope: at.envelope.cloned(),
        });
    }

    /// What was collected, if anything.
    pub(super) fn chunk(self) -> Option<Chunk> {
        if self.spans.is_empty() && self.faults.is_empty() {
            return None;
        }
        let received_at = self
            .received
            .first()
            .copied()
            .or_else(|| self.faults.first().and_then(|f| f.received_at))
            .unwrap_or_default();
        let each = self.received.iter().any(|r| *r != received_at);
        let enveloped = self.envelopes.iter().any(Option::is_some);
        let bare = Arc::new(Envelope::default());
        Some(Chunk {
            partition: PartitionId(0),
            records: Records::new(self.bytes.into(), self.spans),
            lines: self.lines,
            offsets: self.offsets,
            faults: self.faults,
            received_at,
            received_each: if each { self.received } else { Vec::new() },
            envelopes: match enveloped {
                true => {
                    self.envelopes.into_iter().map(|e| e.unwrap_or_else(|| bare.clone())).collect()
                }
                false => Vec::new(),
            },
            wrappers: match self.wrappers.iter().any(Option::is_some) {
                true => self.wrappers,
                false => Vec::new(),
            },
            first_year: None,
            at_end: false,
            messages: true,
            continues: false,
        })
    }
}
