//! Reads a spool from an offset on, as far as it is durable.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    sync::Arc,
};

use super::{
    Shared, SpoolError, SpoolRecord, io_error,
    record::{Body, Found, decode, find},
    segment::Segment,
};

/// Where one reader stands.
#[derive(Debug)]
pub(super) struct Reader {
    shared: Arc<Shared>,
    at: u64,
    /// The open file and the offset it begins at.
    file: Option<(u64, File)>,
    /// Ranges that could not be read.
    gaps: Vec<(u64, u64)>,
}

/// Records of one read: other inputs wait for what is made of them, some milliseconds. Each may be a
/// finding, or a dead letter, however few bytes it has.
const RECORDS_MAX: usize = 512;

impl Reader {
    pub(super) fn new(shared: Arc<Shared>, at: u64) -> Self {
        Reader { shared, at, file: None, gaps: Vec::new() }
    }

    /// The offset to read next.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Ranges that were skipped since the last call.
    pub(super) fn take_gaps(&mut self) -> Vec<(u64, u64)> {
        std::mem::take(&mut self.gaps)
    }

    /// The next records with their offsets, about `budget` bytes of them but at least one; none at
    /// the end.
    pub(super) fn read(&mut self, budget: usize) -> Result<Vec<(u64, SpoolRecord)>, SpoolError> {
        while let Some((segment, next)) = self.segment() {
            if self.at < segment.first {
                self.skip(segment.first);
            }
            if self.at >= segment.end {
                let Some(next) = next else { return Ok(Vec::new()) };
                // A segment that is shorter than it was has lost its end.
                if self.at < next {
                    self.skip(next);
                }
                self.at = next;
                continue;
            }
            let start = self.at;
            let bytes = match self.whole(segment, budget) {
                Ok(bytes) => bytes,
                Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
                Err(e) => return Err(io_error(&segment.path(&self.shared.dir), &e)),
            };
            let records = self.records(&bytes);
            if !records.is_empty() {
                return Ok(records);
            }
            if self.at > start {
                continue;
            }
            // Not a record where one must be. Records have no marks to go on at; the next segment
            // begins with one, and so does what is written from now on.
            self.skip(next.unwrap_or(segment.end));
        }
        Ok(Vec::new())
    }

    /// The segment that holds or follows the place, and where the next one begins.
    fn segment(&self) -> Option<(Segment, Option<u64>)> {
        let state = self.shared.lock();
        let at = state.segments.iter().rposition(|s| s.first <= self.at).unwrap_or(0);
        let segment = *state.segments.get(at)?;
        Some((segment, state.segments.get(at + 1).map(|s| s.first)))
    }

    /// Bytes of a segment from the place on that begin with a whole record, if one is there.
    fn whole(&mut self, segment: Segment, budget: usize) -> io::Result<Vec<u8>> {
        let bytes = self.bytes(segment, budget)?;
        match find(&bytes) {
            Found::Part(length) if length > bytes.len() => self.bytes(segment, length),
            _ => Ok(bytes),
        }
    }

    /// Bytes of a segment from the place on.
    fn bytes(&mut self, segment: Segment, length: usize) -> io::Result<Vec<u8>> {
        if self.file.as_ref().is_none_or(|(first, _)| *first != segment.first) {
            self.file = Some((segment.first, File::open(segment.path(&self.shared.dir))?));
        }
        let mut bytes = Vec::new();
        if let Some((first, file)) = &mut self.file {
            file.seek(SeekFrom::Start(self.at - *first))?;
            let length = (length as u64).min(segment.end - self.at);
            bytes.reserve(length as usize);
            file.take(length).read_to_end(&mut bytes)?;
        }
        Ok(bytes)
    }

    /// The whole records at the beginning of some bytes, at most [`RECORDS_MAX`]; the place moves after
    /// them.
    fn records(&mut self, mut bytes: &[u8]) -> Vec<(u64, SpoolRecord)> {
        let mut records = Vec::new();
        while records.len() < RECORDS_MAX
            && let Found::Record(body, length) = find(bytes)
        {
            let next = self.at + length as u64;
            match decode(body) {
                Body::Record(record) => records.push((self.at, record)),
                Body::Void => {}
                Body::Unknown => self.skip(next),
            }
            self.at = next;
            bytes = bytes.get(length..).unwrap_or_default();
        }
        records
    }

    fn skip(&mut self, to: u64) {
        tracing::warn!(from = self.at, to, "a part of the spool cannot be read");
        match self.gaps.last_mut() {
            Some(gap) if gap.1 == self.at => gap.1 = to,
            _ => {
                self.gaps.push((self.at, to));
                self.shared.lock().gaps += 1;
            }
        }
        self.at = to;
    }
}
