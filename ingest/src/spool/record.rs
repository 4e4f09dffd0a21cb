//! A record of a spool as bytes: `len u32 | crc32c u32 | body`, little endian; the sum covers the
//! length too, so that a file of zeros holds no record. The body is
//! `1 u8 | received_at i64 | source length u16 | source | original`; no source has length 0. A body
//! that begins with 0 says nothing: it stands where a write was cut short.

use std::sync::Arc;

/// What a sender gave, and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolRecord {
    /// When it was received, milliseconds since 1970 UTC.
    pub received_at: i64,
    /// The mapping source, if the sender's address decided it.
    pub source: Option<Arc<str>>,
    /// The original bytes.
    pub bytes: Vec<u8>,
}

/// Length and sum.
pub(super) const HEAD_BYTES: usize = 8;
/// A longer body is taken for damage.
pub(super) const BYTES_MAX: u32 = 1 << 30;
const FORMAT: u8 = 1;
const VOID: u8 = 0;
/// The shortest record.
const LEAST_BYTES: usize = HEAD_BYTES + 1;
const FIXED_BYTES: usize = 1 + 8 + 2;

impl SpoolRecord {
    /// Its length on disk.
    pub(super) fn encoded_bytes(&self) -> u64 {
        (HEAD_BYTES + FIXED_BYTES + self.source_bytes().len() + self.bytes.len()) as u64
    }

    fn source_bytes(&self) -> &[u8] {
        // Names of mapping sources are short; one that is not decides nothing.
        let source = self.source.as_deref().unwrap_or_default().as_bytes();
        if source.len() > usize::from(u16::MAX) { &[] } else { source }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        let source = self.source_bytes();
        // `Spool::append` refuses what would not fit.
        let length = (FIXED_BYTES + source.len() + self.bytes.len()) as u32;
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.push(FORMAT);
        out.extend_from_slice(&self.received_at.to_le_bytes());
        out.extend_from_slice(&(source.len() as u16).to_le_bytes());
        out.extend_from_slice(source);
        out.extend_from_slice(&self.bytes);
        let sum = sum(length, &out[start + HEAD_BYTES..]);
        out[start + 4..start + HEAD_BYTES].copy_from_slice(&sum.to_le_bytes());
    }
}

/// What a body says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Body {
    Record(SpoolRecord),
    Void,
    /// Whole, but not of this format.
    Unknown,
}

/// Reads the body of a record whose sum is right.
pub(super) fn decode(body: &[u8]) -> Body {
    match body.split_first() {
        Some((&VOID, _)) => Body::Void,
        Some((&FORMAT, rest)) => fields(rest).map_or(Body::Unknown, Body::Record),
        _ => Body::Unknown,
    }
}

fn fields(rest: &[u8]) -> Option<SpoolRecord> {
    let (received_at, rest) = rest.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let (source, bytes) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
    let source = std::str::from_utf8(source).ok()?;
    Some(SpoolRecord {
        received_at: i64::from_le_bytes(*received_at),
        source: Some(source).filter(|s| !s.is_empty()).map(Arc::from),
        bytes: bytes.to_vec(),
    })
}

/// A record that says nothing, of a length on disk, or of the least there is.
pub(super) fn void(bytes: u64) -> Vec<u8> {
    let length = (bytes as usize).max(LEAST_BYTES) - HEAD_BYTES;
    let mut out = Vec::with_capacity(HEAD_BYTES + length);
    out.extend_from_slice(&(length as u32).to_le_bytes());
    let body = vec![VOID; length];
    out.extend_from_slice(&sum(length as u32, &body).to_le_bytes());
    out.extend(body);
    out
}

/// Records one after the other.
pub(super) fn encode_all(records: &[SpoolRecord], bytes: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes as usize);
    records.iter().for_each(|r| r.encode(&mut out));
    out
}

/// What is at the beginning of some bytes of a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<'b> {
    /// The body of a record, and the length of the record on disk.
    Record(&'b [u8], usize),
    /// The beginning of a record of that length on disk.
    Part(usize),
    /// Not a record.
    Damaged,
}

pub(super) fn find(bytes: &[u8]) -> Found<'_> {
    let Some((head, rest)) = bytes.split_first_chunk::<HEAD_BYTES>() else {
        return Found::Part(HEAD_BYTES);
    };
    let [a, b, c, d, sum_bytes @ ..] = *head;
    let length = u32::from_le_bytes([a, b, c, d]);
    if length > BYTES_MAX || length == 0 {
        return Found::Damaged;
    }
    let whole = HEAD_BYTES + length as usize;
    let Some(body) = rest.get(..length as usize) else { return Found::Part(whole) };
    if sum(length, body) != u32::from_le_bytes(sum_bytes) {
        return Found::Damaged;
    }
    Found::Record(body, whole)
}

fn sum(length: u32, body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&length.to_le_bytes()), body)
}
