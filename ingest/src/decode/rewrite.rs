//! A chunk whose envelopes are replaced by what is in them. Costs nothing while there is none.

use std::{ops::Range, sync::Arc};

use sluice_event::Records;

use crate::{Chunk, Fault, Wrapper};

/// The records that a chunk comes to, in order.
#[derive(Debug, Default)]
pub(super) struct Rewrite {
    /// Records so far.
    count: u32,
    /// Where each comes from, once one is new.
    items: Option<Vec<Item>>,
    /// The bytes of those that are new.
    bytes: Vec<u8>,
    /// Faults that became records.
    faults: Vec<usize>,
}

#[derive(Debug)]
struct Item {
    /// The record of the chunk it stands for.
    at: usize,
    /// Its bytes among the new ones.
    span: Option<Range<usize>>,
    wrapper: Option<Arc<Wrapper>>,
    /// Line and offset, where it was a fault.
    place: Option<(u64, u64)>,
    received: Option<i64>,
}

impl Rewrite {
    /// The number of a record that stays as it is.
    pub(super) fn keep(&mut self, at: usize) -> u32 {
        let index = self.count;
        self.count += 1;
        if let Some(items) = &mut self.items {
            items.push(Item { at, span: None, wrapper: None, place: None, received: None });
        }
        index
    }

    /// The number of a record that was in the `at`-th of the chunk.
    pub(super) fn add(
        &mut self,
        chunk: &Chunk,
        at: usize,
        payload: &[u8],
        wrapper: Option<Arc<Wrapper>>,
    ) -> u32 {
        let received = wrapper.as_ref().and_then(|w| w.received(chunk.reference(at)));
        self.push(Item { at, span: None, wrapper, place: None, received }, payload)
    }

    /// The number of a fault that became a record.
    pub(super) fn fault(&mut self, at: usize, fault: &Fault, head: &[u8]) -> u32 {
        self.faults.push(at);
        let place = Some((fault.line, fault.offset));
        let received = fault.received_at;
        self.push(Item { at: usize::MAX, span: None, wrapper: None, place, received }, head)
    }

    fn push(&mut self, item: Item, payload: &[u8]) -> u32 {
        let before = self.count as usize;
        let items = self.items.get_or_insert_with(|| {
            let kept = |at| Item { at, span: None, wrapper: None, place: None, received: None };
            (0..before).map(kept).collect()
        });
        let start = self.bytes.len();
        self.bytes.extend_from_slice(payload);
        items.push(Item { span: Some(start..self.bytes.len()), ..item });
        self.count += 1;
        self.count - 1
    }

    /// The chunk of these records; `None` if it is the one there was.
    pub(super) fn chunk(self, chunk: &Chunk) -> Option<Chunk> {
        let items = self.items?;
        let mut bytes = Vec::new();
        let mut spans = Vec::with_capacity(items.len());
        for item in &items {
            let start = bytes.len();
            match &item.span {
                Some(span) => bytes.extend_from_slice(self.bytes.get(span.clone()).unwrap_or(&[])),
                None => bytes.extend_from_slice(chunk.records.get(item.at)),
            }
            spans.push(start..bytes.len());
        }
        let each = |of: &dyn Fn(&Item) -> i64| items.iter().map(of).collect();
        let place = |item: &Item| {
            item.place.unwrap_or_else(|| {
                let of = |list: &[u64]| list.get(item.at).copied().unwrap_or(0);
                (of(&chunk.lines), of(&chunk.offsets))
            })
        };
        let faults = chunk.faults.iter().enumerate();
        Some(Chunk {
            partition: chunk.partition,
            records: Records::new(bytes.into(), spans),
            lines: items.iter().map(|i| place(i).0).collect(),
            offsets: items.iter().map(|i| place(i).1).collect(),
            faults: faults
                .filter(|(at, _)| !self.faults.contains(at))
                .map(|(_, fault)| fault.clone())
                .collect(),
            received_at: chunk.received_at,
            received_each: each(&|i| i.received.unwrap_or_else(|| chunk.reference(i.at))),
            envelopes: match chunk.envelopes.is_empty() {
                true => Vec::new(),
                false => items
                    .iter()
                    .map(|i| chunk.envelopes.get(i.at).cloned().unwrap_or_default())
                    .collect(),
            },
            wrappers: items
                .iter()
                .map(|i| i.wrapper.clone().or_else(|| chunk.wrapper(i.at).cloned()))
                .collect(),
            first_year: chunk.first_year,
            at_end: chunk.at_end,
            messages: chunk.messages,
            continues: chunk.continues,
        })
    }
}
