//! Compressed blocks that were opened last: what is shown of one event is often shown of its neighbours.

use std::collections::VecDeque;

use super::Segment;
use crate::packing::KEPT;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Opened(VecDeque<Open>);

#[derive(Debug)]
struct Open {
    /// The number of the segment, and the place of the block in it.
    place: (u64, usize),
    bytes: Vec<u8>,
}

/// Blocks kept open.
const BLOCKS: usize = 32;

impl Opened {
    /// The bytes of a compressed block; `None` if it is damaged.
    pub(super) fn block(&mut self, place: (u64, usize), segment: &Segment) -> Option<&[u8]> {
        if let Some(at) = self.0.iter().position(|open| open.place == place) {
            return self.0.get(at).map(|open| open.bytes.as_slice());
        }
        let full = self.0.len() >= BLOCKS;
        let oldest = if full { self.0.pop_front() } else { None };
        let buffer = oldest.map(|open| open.bytes).filter(|bytes| bytes.capacity() <= KEPT);
        let mut bytes = buffer.unwrap_or_default();
        segment.open(place.1, &mut bytes)?;
        self.0.push_back(Open { place, bytes });
        self.0.back().map(|open| open.bytes.as_slice())
    }

    /// Bytes of all buffers.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.0.iter().map(|open| open.bytes.capacity()).sum()
    }
}
