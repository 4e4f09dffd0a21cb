//! The events that keyed state refers to, each once, in segments that are appended to, closed,
//! written to checkpoints once and dropped together. Does not know who refers to an event: a segment
//! goes when it is older than anything an operator may still show.
//!
//! An event costs its packed bytes under LZ4 (blocks of 8 KiB, see `packing`) and 17 bytes for its
//! identity. The newest blocks are not compressed yet: most findings show what has just come. A checkpoint
//! has a segment under zstd, in one piece, made by its own thread.

mod opened;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use foldhash::fast::RandomState;
use sluice_event::{EventUid, packed_json};

use self::opened::Opened;
use crate::{
    packing,
    state::{Reader, StateError, Writer},
};

/// An event of a shard, in 52 bits: segment, then row. The 12 bits above are free for who holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct EventRef(pub(crate) u64);

impl EventRef {
    pub(crate) const BITS: u32 = 52;

    fn new(segment: u64, row: usize) -> Self {
        EventRef(segment << ROW_BITS | row as u64)
    }

    fn segment(self) -> u64 {
        (self.0 & ((1 << Self::BITS) - 1)) >> ROW_BITS
    }

    fn row(self) -> usize {
        (self.0 & (ROWS as u64 - 1)) as usize
    }
}

const ROW_BITS: u32 = 12;
/// Most events of a segment.
const ROWS: usize = 1 << ROW_BITS;
/// A block has about so many bytes: what one event costs to be read.
const BLOCK: usize = 8 * 1024;
/// No block has more bytes: it ends with the event that fills it.
const BLOCK_MAX: usize = 64 << 20;
/// Bytes of the newest blocks, which are compressed when others have come.
const RECENT: usize = 2 << 20;
/// Texts kept: an event is shown by several rules, and again as a finding grows.
const TEXTS: usize = 4_096;
/// Of the stored form of a segment.
const FORMAT: u8 = 3;
/// A closed segment's payload may be dropped before its time, oldest first, above this.
const BYTES_MAX: usize = 512 << 20;

/// Events with about the same time to live.
#[derive(Debug)]
pub(crate) struct EventStore {
    segments: VecDeque<Segment>,
    /// The number of the first segment.
    first: u64,
    bytes: usize,
    /// Numbers of segments that were exported and are gone.
    gone: Vec<u64>,
    /// Events whose payload was dropped to stay within bounds.
    dropped: u64,
    opened: Opened,
    /// Where blocks are compressed.
    scratch: Vec<u8>,
    texts: HashMap<u64, Arc<str>, RandomState>,
    /// Which texts there are, oldest first.
    shown: VecDeque<u64>,
    /// Blocks that are not compressed, by segment and place, oldest first, with their bytes; and the
    /// sum of those.
    recent: VecDeque<(u64, usize, usize)>,
    recent_bytes: usize,
}

#[derive(Debug, Default)]
struct Segment {
    bits: Vec<u128>,
    native: Vec<bool>,
    /// The newest event time.
    newest: Option<i64>,
    /// Schemas that events were packed with.
    schemas: Vec<SchemaRef>,
    blocks: Vec<Block>,
    /// Bytes of the blocks.
    held: usize,
    /// The block being filled: per event its schema, length and packed bytes.
    open: Vec<u8>,
    open_first: usize,
    closed: bool,
    exported: bool,
    /// What the store has counted of it.
    counted: usize,
}

#[derive(Debug)]
struct Block {
    first: usize,
    size: usize,
    /// Compressed, or as they are.
    bytes: Box<[u8]>,
    compressed: bool,
}

/// An event by value, on its way from one store to another.
#[derive(Clone, Debug)]
pub(crate) struct EventCopy {
    pub(crate) schema: SchemaRef,
    pub(crate) uid: EventUid,
    /// At or after its event time: the newest of its segment.
    pub(crate) time: i64,
    pub(crate) packed: Vec<u8>,
}

/// An event where it is.
struct EventView<'a> {
    schema: &'a SchemaRef,
    uid: EventUid,
    /// As of an [`EventCopy`].
    time: i64,
    packed: &'a [u8],
}

impl EventStore {
    pub(crate) fn new() -> Self {
        EventStore {
            segments: VecDeque::new(),
            first: 0,
            bytes: 0,
            gone: Vec::new(),
            dropped: 0,
            opened: Opened::default(),
            scratch: Vec::new(),
            texts: HashMap::default(),
            shown: VecDeque::new(),
            recent: VecDeque::new(),
            recent_bytes: 0,
        }
    }

    pub(crate) fn push(
        &mut self,
        schema: &SchemaRef,
        uid: EventUid,
        time: i64,
        packed: &[u8],
    ) -> EventRef {
        let full = |s: &Segment| s.closed || s.bits.len() >= ROWS;
        if self.segments.back().is_none_or(full) {
            let number = (self.first + self.segments.len() as u64).saturating_sub(1);
            if let Some(last) = self.segments.back_mut() {
                // Its last block waits with the other recent ones.
                let blocks = last.blocks.len();
                last.close();
                last.recount(&mut self.bytes);
                if let Some(block) = last.blocks.get(blocks) {
                    self.recent_bytes += block.size;
                    self.recent.push_back((number, blocks, block.size));
                }
            }
            self.segments.push_back(Segment::default());
            self.shed();
        }
        let number = self.first + self.segments.len() as u64 - 1;
        let Some(segment) = self.segments.back_mut() else { return EventRef(0) };
        let row = segment.bits.len();
        segment.push(schema, uid, time, packed);
        if segment.open.len() >= BLOCK {
            segment.end_block();
            let size = segment.blocks.last().map_or(0, |b| b.size);
            self.recent_bytes += size;
            self.recent.push_back((number, segment.blocks.len() - 1, size));
        }
        segment.recount(&mut self.bytes);
        while self.recent_bytes > RECENT {
            self.compress_oldest();
        }
        EventRef::new(number, row)
    }

    fn compress_oldest(&mut self) {
        let Some((number, at, size)) = self.recent.pop_front() else {
            self.recent_bytes = 0;
            return;
        };
        self.recent_bytes = self.recent_bytes.saturating_sub(size);
        let place = number.checked_sub(self.first).and_then(|n| usize::try_from(n).ok());
        if let Some(segment) = place.and_then(|n| self.segments.get_mut(n)) {
            segment.compress(at, &mut self.scratch);
            segment.recount(&mut self.bytes);
        }
    }

    /// Who the event is; zero if the store does not have it any more.
    pub(crate) fn uid(&self, event: EventRef) -> EventUid {
        let found = self.segment(event.segment()).and_then(|s| {
            Some(EventUid { bits: *s.bits.get(event.row())?, native: *s.native.get(event.row())? })
        });
        found.unwrap_or(EventUid { bits: 0, native: false })
    }

    /// The event as JSON; `None` if its payload is not kept any more.
    pub(crate) fn text(&mut self, event: EventRef) -> Option<Arc<str>> {
        if let Some(text) = self.texts.get(&event.0) {
            return Some(text.clone());
        }
        let view = self.view(event)?;
        let text: Arc<str> = packed_json(view.packed, view.schema, view.uid)?.into();
        if self.shown.len() >= TEXTS
            && let Some(oldest) = self.shown.pop_front()
        {
            self.texts.remove(&oldest);
        }
        self.shown.push_back(event.0);
        self.texts.insert(event.0, text.clone());
        Some(text)
    }

    pub(crate) fn copy(&mut self, event: EventRef) -> Option<EventCopy> {
        let EventView { schema, uid, time, packed } = self.view(event)?;
        Some(EventCopy { schema: schema.clone(), uid, time, packed: packed.to_vec() })
    }

    /// The event where it is; `None` if its payload is not kept any more.
    fn view(&mut self, event: EventRef) -> Option<EventView<'_>> {
        let (number, row) = (event.segment(), event.row());
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        let segment = self.segments.get(index)?;
        let uid = EventUid { bits: *segment.bits.get(row)?, native: *segment.native.get(row)? };
        let time = segment.newest.unwrap_or(i64::MIN);
        let (first, bytes) = if row >= segment.open_first && !segment.closed {
            (segment.open_first, segment.open.as_slice())
        } else {
            let at = segment.blocks.partition_point(|b| b.first <= row).checked_sub(1)?;
            let block = segment.blocks.get(at)?;
            let bytes = match block.compressed {
                true => self.opened.block((number, at), segment)?,
                false => &block.bytes,
            };
            (block.first, bytes)
        };
        let (schema, packed) = nth(bytes, row - first)?;
        Some(EventView { schema: segment.schemas.get(schema)?, uid, time, packed })
    }

    /// Drops the leading segments that hold nothing from `horizon` on.
    pub(crate) fn release(&mut self, horizon: i64) {
        while self.segments.len() > 1
            && self.segments.front().is_some_and(|s| s.newest.is_none_or(|t| t < horizon))
        {
            if let Some(segment) = self.segments.pop_front() {
                self.bytes -= segment.counted;
                if segment.exported {
                    self.gone.push(self.first);
                }
                self.first += 1;
            }
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Segments to store: all, or those closed since the last call; `None` for those that are gone.
    /// Closes the one being filled, so that each is written once.
    pub(crate) fn export(&mut self, full: bool) -> Vec<(u64, Option<Writer>)> {
        let mut out: Vec<(u64, Option<Writer>)> =
            std::mem::take(&mut self.gone).into_iter().map(|number| (number, None)).collect();
        for (number, segment) in (self.first..).zip(&mut self.segments) {
            if segment.bits.is_empty() || (segment.exported && !full) {
                continue;
            }
            segment.close();
            for at in 0..segment.blocks.len() {
                segment.compress(at, &mut self.scratch);
            }
            segment.recount(&mut self.bytes);
            segment.exported = true;
            let mut w = Writer::new();
            segment.encode(&mut w);
            out.push((number, Some(w)));
        }
        out
    }

    /// Takes over stored segments of this store; ascending numbers, gaps where segments are gone.
    pub(crate) fn restore(&mut self, segments: BTreeMap<u64, StoredSegment>) {
        let Some(first) = segments.keys().next().copied() else { return };
        self.first = first;
        for (number, StoredSegment(mut segment)) in segments {
            // A gap is an empty segment: the number of one is its place.
            while self.first + (self.segments.len() as u64) < number {
                self.segments.push_back(Segment { closed: true, ..Segment::default() });
            }
            (0..segment.blocks.len()).for_each(|at| segment.compress(at, &mut self.scratch));
            segment.recount(&mut self.bytes);
            self.segments.push_back(segment);
        }
    }

    fn segment(&self, number: u64) -> Option<&Segment> {
        self.segments.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    /// Drops payloads, oldest first, to stay within bounds. Identities stay.
    fn shed(&mut self) {
        let mut at = 0;
        while self.bytes > BYTES_MAX && at + 1 < self.segments.len() {
            if let Some(segment) = self.segments.get_mut(at)
                && !segment.blocks.is_empty()
            {
                self.dropped += segment.bits.len() as u64;
                (segment.blocks, segment.held) = (Vec::new(), 0);
                segment.recount(&mut self.bytes);
            }
            at += 1;
        }
    }
}

/// A segment read from a checkpoint.
#[derive(Debug)]
pub(crate) struct StoredSegment(Segment);

impl StoredSegment {
    /// The same with its blocks as they are, for what compresses all of it; `None` if it is damaged or large.
    pub(crate) fn plain(r: &mut Reader<'_>) -> Option<Writer> {
        let StoredSegment(mut segment) = StoredSegment::decode(r).ok()?;
        if segment.blocks.iter().map(|b| b.size).sum::<usize>() > BLOCK_MAX {
            return None;
        }
        for at in 0..segment.blocks.len() {
            if segment.blocks[at].compressed {
                let mut bytes = Vec::new();
                segment.open(at, &mut bytes)?;
                let block = &mut segment.blocks[at];
                (block.bytes, block.compressed) = (bytes.into(), false);
            }
        }
        let mut w = Writer::new();
        segment.encode(&mut w);
        Some(w)
    }

    /// Stands for one that cannot be read: its number is taken, and its entry goes.
    pub(crate) fn unreadable() -> Self {
        StoredSegment(Segment { closed: true, exported: true, ..Segment::default() })
    }

    pub(crate) fn decode(r: &mut Reader<'_>) -> Result<Self, StateError> {
        match r.byte()? {
            FORMAT => {}
            format => return Err(StateError::Version(format)),
        }
        let newest = r.option()?;
        let bits = r.list(Reader::wide)?;
        let marks = r.bytes()?;
        let mark = |at: usize| marks.get(at / 8).is_some_and(|byte| byte >> (at % 8) & 1 == 1);
        let native: Vec<bool> = (0..bits.len()).map(mark).collect();
        let schemas = r.list(|r| {
            let fields = r.list(|r| Ok(Field::new(r.text()?, DataType::Null, true)))?;
            Ok(Arc::new(Schema::new(fields)))
        })?;
        let blocks: Vec<Block> = r.list(|r| {
            let (first, size) = (r.unsigned()? as usize, r.unsigned()? as usize);
            if size > BLOCK_MAX {
                return Err(StateError::Truncated);
            }
            let bytes: Box<[u8]> = r.bytes()?.into();
            Ok(Block { first, size, compressed: bytes.len() != size, bytes })
        })?;
        Ok(StoredSegment(Segment {
            open_first: bits.len(),
            bits,
            native,
            newest,
            schemas,
            held: blocks.iter().map(|b| b.bytes.len() + 40).sum(),
            blocks,
            open: Vec::new(),
            closed: true,
            exported: true,
            counted: 0,
        }))
    }
}

impl Segment {
    fn push(&mut self, schema: &SchemaRef, uid: EventUid, time: i64, packed: &[u8]) {
        let known = self.schemas.iter().position(|s| Arc::ptr_eq(s, schema));
        let known = known.or_else(|| self.schemas.iter().position(|s| s == schema));
        let number = known.unwrap_or_else(|| {
            self.schemas.push(schema.clone());
            self.schemas.len() - 1
        });
        self.bits.push(uid.bits);
        self.native.push(uid.native);
        self.newest = self.newest.max(Some(time));
        length(number, &mut self.open);
        length(packed.len(), &mut self.open);
        self.open.extend_from_slice(packed);
    }

    /// What is open becomes a block.
    fn end_block(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let bytes: Box<[u8]> = self.open.as_slice().into();
        self.held += bytes.len() + 40;
        let (first, size) = (self.open_first, bytes.len());
        self.blocks.push(Block { first, size, bytes, compressed: false });
        self.open.clear();
        self.open_first = self.bits.len();
    }

    /// Compresses a block, if it is not the first.
    fn compress(&mut self, at: usize, scratch: &mut Vec<u8>) {
        let Some((head, [block, ..])) = self
            .blocks
            .split_first_mut()
            .and_then(|(head, rest)| Some((head, rest.get_mut(at.checked_sub(1)?..)?)))
        else {
            return;
        };
        if !block.compressed
            && let Some(packed) = packing::pack(&head.bytes, &block.bytes, scratch)
        {
            self.held = self.held + packed.len() - block.bytes.len();
            (block.bytes, block.compressed) = (packed, true);
        }
    }

    /// Writes a compressed block to `out`; `None` if it is damaged.
    fn open(&self, at: usize, out: &mut Vec<u8>) -> Option<()> {
        let (head, block) = (self.blocks.first()?, self.blocks.get(at)?);
        packing::open(&head.bytes, &block.bytes, block.size, out)
    }

    /// Nothing is appended any more.
    fn close(&mut self) {
        if !self.closed {
            self.end_block();
            self.open = Vec::new();
            self.bits.shrink_to_fit();
            self.native.shrink_to_fit();
            self.closed = true;
        }
    }

    fn size(&self) -> usize {
        self.bits.len() * 17 + self.held + self.open.len() + 256
    }

    /// Brings a sum of sizes up to date.
    fn recount(&mut self, sum: &mut usize) {
        let size = self.size();
        *sum = *sum + size - self.counted;
        self.counted = size;
    }

    fn encode(&self, w: &mut Writer) {
        w.byte(FORMAT);
        w.option(self.newest);
        w.length(self.bits.len());
        self.bits.iter().for_each(|bits| w.wide(*bits));
        let mark = |eight: &[bool]| (0..).zip(eight).map(|(n, is)| u8::from(*is) << n).sum();
        w.bytes(&self.native.chunks(8).map(mark).collect::<Vec<u8>>());
        w.length(self.schemas.len());
        for schema in &self.schemas {
            w.length(schema.fields().len());
            schema.fields().iter().for_each(|f| w.text(f.name()));
        }
        w.length(self.blocks.len());
        for block in &self.blocks {
            w.length(block.first);
            w.length(block.size);
            w.bytes(&block.bytes);
        }
    }
}

fn length(mut value: usize, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Schema and packed bytes of the n-th event of a block.
fn nth(mut block: &[u8], n: usize) -> Option<(usize, &[u8])> {
    fn number(block: &mut &[u8]) -> Option<usize> {
        let mut value = 0;
        for shift in (0..usize::BITS).step_by(7) {
            let (byte, rest) = block.split_first()?;
            *block = rest;
            value |= usize::from(byte & 0x7f) << shift;
            if *byte < 0x80 {
                return Some(value);
            }
        }
        None
    }
    for _ in 0..n {
        number(&mut block)?;
        let length = number(&mut block)?;
        block = block.get(length..)?;
    }
    let schema = number(&mut block)?;
    let length = number(&mut block)?;
    Some((schema, block.get(..length)?))
}

#[cfg(test)]
mod tests;
