//! How operator state becomes bytes: entries, their keys and a compact encoding with a checksum.
//! Not where they are stored.

use std::{borrow::Cow, sync::Arc};

use sluice_event::{Value, ValueList};
use thiserror::Error;

use crate::{events::StoredSegment, shard::COMMON};

/// One entry of keyed state; `None` deletes it.
///
/// Key: `vnode u16 BE | operator u64 BE | key bytes`, so that a virtual node is one range. What belongs
/// to no key, and the parts that hold many keys of a window (see `parts`), are [shared](Self::SHARED).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateEntry {
    /// The key.
    pub key: Vec<u8>,
    /// Version byte, payload (under zstd after [`pack`](Self::pack)), CRC-32C; `None`: deleted.
    pub value: Option<Vec<u8>>,
}

impl StateEntry {
    /// The virtual node of entries that belong to no key (watermarks, operators): every shard
    /// imports them.
    pub const SHARED: u16 = u16::MAX;

    /// Compresses the value of a part or of a segment of events, which takes about a microsecond a key or an event:
    /// for another thread than a shard's. Other values stay as they are.
    pub fn pack(&mut self) {
        let Some(value) = &mut self.value else { return };
        let Ok((operator, key)) = StateEntry::split(&self.key) else { return };
        if !self.key.starts_with(&Self::SHARED.to_be_bytes()) {
            return;
        }
        let packed = match key.len() {
            PART_KEY => packed(value, LEVEL),
            SEGMENT_KEY if operator == COMMON => {
                let plain = Reader::new(value).ok().and_then(|mut r| StoredSegment::plain(&mut r));
                plain.and_then(|plain| packed(&plain.finish(), SEGMENT_LEVEL))
            }
            _ => None,
        };
        if let Some(packed) = packed {
            *value = packed;
        }
    }

    /// The virtual node of this entry.
    pub fn vnode(&self) -> u16 {
        match self.key.first_chunk() {
            Some(bytes) => u16::from_be_bytes(*bytes),
            None => Self::SHARED,
        }
    }

    pub(crate) fn new(vnode: u16, operator: u64, key: &[u8], value: Option<Writer>) -> Self {
        let mut bytes = Vec::with_capacity(10 + key.len());
        bytes.extend(vnode.to_be_bytes());
        bytes.extend(operator.to_be_bytes());
        bytes.extend(key);
        StateEntry { key: bytes, value: value.map(Writer::finish) }
    }

    /// Operator and key bytes.
    pub(crate) fn parts(&self) -> Result<(u64, &[u8]), StateError> {
        StateEntry::split(&self.key)
    }

    fn split(key: &[u8]) -> Result<(u64, &[u8]), StateError> {
        let rest = key.get(2..).ok_or(StateError::Truncated)?;
        let (operator, key) = rest.split_first_chunk().ok_or(StateError::Truncated)?;
        Ok((u64::from_be_bytes(*operator), key))
    }
}

/// Why saved state could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StateError {
    /// The value ends inside a field.
    #[error("saved operator state is truncated")]
    Truncated,
    /// The checksum does not match: the bytes are not those written.
    #[error("saved operator state has a wrong checksum")]
    Checksum,
    /// Written by a version this one does not know.
    #[error("saved operator state has version {0}, this build reads {VERSION}")]
    Version(u8),
    /// A tag no version writes.
    #[error("saved operator state holds an unknown tag {0}")]
    Tag(u8),
    /// Written key by key, before there were parts.
    #[error("saved operator state is an entry for each key, this build reads parts of many keys")]
    KeyByKey,
    /// Of a baseline.
    #[error("{0}")]
    Baseline(sluice_baseline::StateError),
}

const VERSION: u8 = 1;
/// The same under zstd: the length of the payload, then the payload.
const PACKED: u8 = 2;
/// Level of parts: 10 % less than level 1 makes of them.
const LEVEL: i32 = 3;
/// Level of events.
const SEGMENT_LEVEL: i32 = 1;
/// A payload that claims more bytes is damaged.
const PAYLOAD_MAX: usize = 1 << 30;
/// The length of the key of a part: shard and number.
pub(crate) const PART_KEY: usize = 8;
/// The length of the key of a segment of events: shard, store and number.
pub(crate) const SEGMENT_KEY: usize = 13;

/// A value with its payload compressed; `None` if that gains nothing.
fn packed(value: &[u8], level: i32) -> Option<Vec<u8>> {
    let (payload, _) = value.split_last_chunk::<4>()?;
    let (&VERSION, payload) = payload.split_first()? else { return None };
    if payload.len() > PAYLOAD_MAX {
        return None;
    }
    let mut w = Writer { bytes: vec![PACKED] };
    w.length(payload.len());
    w.bytes.extend(zstd::bulk::compress(payload, level).ok()?);
    (w.bytes.len() + 4 < value.len()).then(|| w.finish())
}

/// The payload of a value whose checksum and version are right.
pub(crate) fn payload(value: &[u8]) -> Result<Cow<'_, [u8]>, StateError> {
    let (bytes, sum) = value.split_last_chunk().ok_or(StateError::Truncated)?;
    if crc32c::crc32c(bytes) != u32::from_be_bytes(*sum) {
        return Err(StateError::Checksum);
    }
    match bytes.split_first() {
        Some((&VERSION, bytes)) => Ok(Cow::Borrowed(bytes)),
        Some((&PACKED, bytes)) => {
            let mut r = Reader { bytes };
            let size = usize::try_from(r.unsigned()?).unwrap_or(usize::MAX);
            if size > PAYLOAD_MAX {
                return Err(StateError::Truncated);
            }
            let payload = zstd::bulk::decompress(r.bytes, size);
            payload.map(Cow::Owned).map_err(|_| StateError::Truncated)
        }
        Some((&other, _)) => Err(StateError::Version(other)),
        None => Err(StateError::Truncated),
    }
}

/// Appends fields to a value.
#[derive(Debug)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub(crate) fn new() -> Self {
        Writer { bytes: vec![VERSION] }
    }

    pub(crate) fn byte(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub(crate) fn bool(&mut self, value: bool) {
        self.byte(value.into());
    }

    /// LEB128.
    pub(crate) fn unsigned(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    pub(crate) fn length(&mut self, value: usize) {
        self.unsigned(value as u64);
    }

    /// Zigzag, then LEB128.
    pub(crate) fn signed(&mut self, value: i64) {
        self.unsigned(((value << 1) ^ (value >> 63)) as u64);
    }

    pub(crate) fn option(&mut self, value: Option<i64>) {
        self.bool(value.is_some());
        if let Some(v) = value {
            self.signed(v);
        }
    }

    pub(crate) fn wide(&mut self, value: u128) {
        self.bytes.extend(value.to_be_bytes());
    }

    pub(crate) fn float(&mut self, value: f64) {
        self.bytes.extend(value.to_bits().to_be_bytes());
    }

    pub(crate) fn text(&mut self, value: &str) {
        self.length(value.len());
        self.bytes.extend(value.as_bytes());
    }

    pub(crate) fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.byte(0),
            Value::Bool(false) => self.byte(1),
            Value::Bool(true) => self.byte(2),
            Value::Int(v) => {
                self.byte(3);
                self.signed(*v);
            }
            Value::Float(v) => {
                self.byte(4);
                self.float(*v);
            }
            Value::Text(v) => {
                self.byte(5);
                self.text(v);
            }
            Value::Time(v) => {
                self.byte(6);
                self.signed(*v);
            }
            Value::List(list) => {
                self.byte(if list.truncated { 8 } else { 7 });
                self.values(&list.values);
            }
        }
    }

    pub(crate) fn values(&mut self, values: &[Value]) {
        self.length(values.len());
        values.iter().for_each(|v| self.value(v));
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) {
        self.length(value.len());
        self.bytes.extend_from_slice(value);
    }

    /// What another one has written, as [`bytes`](Self::bytes); that one is empty then.
    pub(crate) fn nested(&mut self, other: &mut Writer) {
        self.bytes(other.bytes.get(1..).unwrap_or_default());
        other.bytes.truncate(1);
    }

    /// Bytes written.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - 1
    }

    fn finish(mut self) -> Vec<u8> {
        let sum = crc32c::crc32c(&self.bytes);
        self.bytes.extend(sum.to_be_bytes());
        self.bytes
    }
}

/// Reads fields back in the order they were written.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Checks checksum and version.
    pub(crate) fn new(value: &'a [u8]) -> Result<Self, StateError> {
        match payload(value)? {
            Cow::Borrowed(bytes) => Ok(Reader { bytes }),
            // Only parts and segments are compressed, and those are read from their payload.
            Cow::Owned(_) => Err(StateError::Version(PACKED)),
        }
    }

    /// Reads a payload, or a part of one.
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        Reader { bytes }
    }

    /// Whether everything was read.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn byte(&mut self) -> Result<u8, StateError> {
        let (&first, rest) = self.bytes.split_first().ok_or(StateError::Truncated)?;
        self.bytes = rest;
        Ok(first)
    }

    pub(crate) fn bool(&mut self) -> Result<bool, StateError> {
        Ok(self.byte()? != 0)
    }

    pub(crate) fn unsigned(&mut self) -> Result<u64, StateError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(StateError::Truncated)
    }

    pub(crate) fn signed(&mut self) -> Result<i64, StateError> {
        let value = self.unsigned()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    pub(crate) fn option(&mut self) -> Result<Option<i64>, StateError> {
        if self.bool()? { self.signed().map(Some) } else { Ok(None) }
    }

    pub(crate) fn wide(&mut self) -> Result<u128, StateError> {
        self.chunk().map(u128::from_be_bytes)
    }

    pub(crate) fn float(&mut self) -> Result<f64, StateError> {
        self.chunk().map(|b| f64::from_bits(u64::from_be_bytes(b)))
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, StateError> {
        let length = self.unsigned()? as usize;
        let (text, rest) = self.bytes.split_at_checked(length).ok_or(StateError::Truncated)?;
        self.bytes = rest;
        std::str::from_utf8(text).map_err(|_| StateError::Checksum)
    }

    /// As many of `item` as the length before them says.
    pub(crate) fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T, StateError>,
    ) -> Result<Vec<T>, StateError> {
        let length = self.unsigned()?;
        (0..length).map(|_| item(self)).collect()
    }

    pub(crate) fn value(&mut self) -> Result<Value, StateError> {
        Ok(match self.byte()? {
            0 => Value::Null,
            1 => Value::Bool(false),
            2 => Value::Bool(true),
            3 => Value::Int(self.signed()?),
            4 => Value::Float(self.float()?),
            5 => Value::Text(self.text()?.into()),
            6 => Value::Time(self.signed()?),
            tag @ (7 | 8) => {
                // Lists hold scalars: bytes that say otherwise are damaged, and must not recurse.
                let scalar = |r: &mut Self| match r.bytes.first() {
                    Some(7 | 8) => Err(StateError::Tag(tag)),
                    _ => r.value(),
                };
                let values = self.list(scalar)?;
                Value::List(Arc::new(ValueList { values, truncated: tag == 8 }))
            }
            tag => return Err(StateError::Tag(tag)),
        })
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], StateError> {
        let length = self.unsigned()? as usize;
        let (bytes, rest) = self.bytes.split_at_checked(length).ok_or(StateError::Truncated)?;
        self.bytes = rest;
        Ok(bytes)
    }

    fn chunk<const N: usize>(&mut self) -> Result<[u8; N], StateError> {
        let (chunk, rest) = self.bytes.split_first_chunk().ok_or(StateError::Truncated)?;
        self.bytes = rest;
        Ok(*chunk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        let numbers = [0, 1, -1, 63, -64, 64, i64::MIN, i64::MAX];
        let mut w = Writer::new();
        numbers.iter().for_each(|n| w.signed(*n));
        w.option(None);
        w.option(Some(-5));
        let bytes = w.finish();
        let mut r = Reader::new(&bytes).unwrap();
        for n in numbers {
            assert_eq!(r.signed(), Ok(n));
        }
        assert_eq!((r.option(), r.option()), (Ok(None), Ok(Some(-5))));
        assert_eq!(r.byte(), Err(StateError::Truncated));
    }

    #[test]
    fn parts_are_compressed_and_read_again() {
        let mut w = Writer::new();
        (0..1_000).for_each(|_| w.text("the same again"));
        let key = [&7_u32.to_be_bytes()[..], &1_u32.to_be_bytes()].concat();
        let mut entry = StateEntry::new(StateEntry::SHARED, 9, &key, Some(w));
        let plain = entry.value.clone().unwrap();
        entry.pack();
        let value = entry.value.clone().unwrap();
        assert!(value.len() * 20 < plain.len(), "{}", value.len());
        assert_eq!(payload(&value), payload(&plain));
        // Once more changes nothing, and neither is what is no part.
        entry.pack();
        assert_eq!(entry.value.as_ref(), Some(&value));
        let mut other = StateEntry { key: entry.key[..12].to_vec(), value: Some(plain.clone()) };
        other.pack();
        assert_eq!(other.value, Some(plain));
    }

    #[test]
    fn flipped_bit_is_refused() {
        let mut w = Writer::new();
        w.text("abc");
        let mut bytes = w.finish();
        bytes[2] ^= 1;
        assert_eq!(Reader::new(&bytes).err(), Some(StateError::Checksum));
    }
}
