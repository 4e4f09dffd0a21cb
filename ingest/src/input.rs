//! Files, folders and stdin as partitions, read aligned by event time. Not their records' meaning.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use sluice_event::PartitionId;

use crate::{
    Chunk, DeadLetterCode, Framer, Framing, Limits,
    detect::{FORMAT_BYTES, format_of},
    inflate::{Inflate, InflateError},
};

mod find;
mod years;

pub use find::{FoundFile, FoundFiles, InputError, find_files, stdin_file};

/// Inputs that end, each a partition.
///
/// Files are opened when they are first read; at most 64 are open at a time. Past that, the one
/// whose event time is furthest ahead is closed and later read again up to where it stood.
#[derive(Debug)]
pub struct FileInput {
    files: Vec<OneFile>,
    limits: Limits,
    buffer: Vec<u8>,
}

/// One step of an input.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one at a time, and it is taken apart at once"
)]
pub enum NextChunk {
    /// Records of a partition.
    Chunk(Chunk),
    /// A partition has ended; it sends nothing more.
    End(PartitionId),
}

#[derive(Debug)]
struct OneFile {
    file: FoundFile,
    received_at: i64,
    framer: Framer,
    /// Its times may have no year.
    yearless: bool,
    /// The year of its first date without one, once it was read for that.
    first_year: Option<i32>,
    state: FileState,
    /// Decompressed bytes given to the framer.
    decoded: u64,
    /// Bytes read of the file as it lies there.
    raw: u64,
    /// Event-time progress when it was last read, and how often it was read since.
    progress: i64,
    ahead: u64,
}

#[derive(Debug)]
enum FileState {
    Closed,
    Open(Inflate),
    /// Read to its end, which is not yet told.
    Read,
    Ended,
}

const OPEN_MAX: usize = 64;
const BLOCK_BYTES: usize = 64 * 1024;

impl FileInput {
    /// An input without files.
    pub fn new(limits: Limits) -> Self {
        FileInput { files: Vec::new(), limits, buffer: vec![0; BLOCK_BYTES] }
    }

    /// Adds a file as the next partition, numbered from 0. `received_at` is the receive reference
    /// of its records in milliseconds: its modification time unless the user says otherwise.
    pub fn add(&mut self, file: FoundFile, framing: &Framing, received_at: i64) -> PartitionId {
        let id = PartitionId(self.files.len() as u32);
        self.files.push(OneFile {
            file,
            received_at,
            framer: Framer::new(framing, self.limits),
            yearless: *framing == Framing::Syslog,
            first_year: None,
            state: FileState::Closed,
            decoded: 0,
            raw: 0,
            progress: i64::MIN,
            ahead: 0,
        });
        id
    }

    /// The path of a partition, as given.
    pub fn path(&self, partition: PartitionId) -> Option<&Path> {
        self.files.get(partition.0 as usize).map(|f| f.file.path.as_path())
    }

    /// Bytes of all files as they lie there; stdin counts what was read.
    pub fn bytes_total(&self) -> u64 {
        self.files.iter().map(|f| f.file.size.unwrap_or(f.raw)).sum()
    }

    /// Bytes read so far.
    pub fn bytes_read(&self) -> u64 {
        self.files.iter().map(|f| f.raw).sum()
    }

    /// Reads on in the partition that is least far in event time by `progress` (its newest event
    /// time, `i64::MIN` before its first); among equals in the one read least since. `None` when
    /// every partition has ended.
    ///
    /// # Errors
    /// None at present: what cannot be read becomes a fault of its partition, so that one file
    /// does not stop the others.
    pub fn next_chunk(
        &mut self,
        progress: &dyn Fn(PartitionId) -> i64,
    ) -> Result<Option<NextChunk>, InputError> {
        let mut best: Option<((i64, u64), usize)> = None;
        for (index, file) in self.files.iter_mut().enumerate() {
            if matches!(file.state, FileState::Ended) {
                continue;
            }
            let now = progress(PartitionId(index as u32));
            if now != file.progress {
                file.progress = now;
                file.ahead = 0;
            }
            let key = (now, file.ahead);
            if best.is_none_or(|(least, _)| key < least) {
                best = Some((key, index));
            }
        }
        let Some((_, index)) = best else { return Ok(None) };
        let partition = PartitionId(index as u32);
        if matches!(self.files[index].state, FileState::Read) {
            self.files[index].state = FileState::Ended;
            return Ok(Some(NextChunk::End(partition)));
        }
        self.make_room(index);
        let file = &mut self.files[index];
        file.ahead += 1;
        let chunk = file.read_chunk(partition, self.limits, &mut self.buffer);
        if chunk.received() == 0 && chunk.at_end {
            file.state = FileState::Ended;
            return Ok(Some(NextChunk::End(partition)));
        }
        Ok(Some(NextChunk::Chunk(chunk)))
    }

    /// Closes the file that is needed last, if one more would be too many.
    fn make_room(&mut self, next: usize) {
        if matches!(self.files[next].state, FileState::Open(_)) {
            return;
        }
        let open = self.files.iter().filter(|f| matches!(f.state, FileState::Open(_))).count();
        if open < OPEN_MAX {
            return;
        }
        let furthest = self
            .files
            .iter_mut()
            .filter(|f| matches!(f.state, FileState::Open(_)) && f.file.can_reopen())
            .max_by_key(|f| f.progress);
        if let Some(file) = furthest {
            file.state = FileState::Closed;
        }
    }
}

impl OneFile {
    fn read_chunk(&mut self, partition: PartitionId, limits: Limits, buffer: &mut [u8]) -> Chunk {
        while self.framer.len() < limits.chunk_records && self.framer.held() < limits.chunk_bytes
            || self.framer.is_empty()
        {
            match self.read_block(limits, buffer) {
                Ok(0) => {
                    self.framer.finish();
                    self.state = FileState::Read;
                    break;
                }
                Ok(read) => {
                    self.framer.push(&buffer[..read]);
                    self.decoded += read as u64;
                }
                Err(error) => {
                    let (code, message) = match error {
                        InflateError::Read(e) => {
                            (DeadLetterCode::Unreadable, format!("cannot be read: {e}"))
                        }
                        InflateError::Decompress(m) => (DeadLetterCode::Decompress, m),
                    };
                    self.framer.finish();
                    self.framer.fault(code, format!("{message}; the rest is not read"));
                    self.state = FileState::Read;
                    break;
                }
            }
        }
        let framed = self.framer.take();
        Chunk {
            partition,
            records: framed.records,
            lines: framed.lines,
            offsets: framed.offsets,
            faults: framed.faults,
            received_at: self.received_at,
            received_each: Vec::new(),
            envelopes: Vec::new(),
            wrappers: Vec::new(),
            first_year: self.first_year,
            at_end: matches!(self.state, FileState::Read),
            messages: false,
            continues: false,
        }
    }

    fn read_block(&mut self, limits: Limits, buffer: &mut [u8]) -> Result<usize, InflateError> {
        if matches!(self.state, FileState::Closed) {
            if self.decoded == 0 && self.file.can_reopen() {
                let reader = self.file.open().map_err(InflateError::Read)?;
                let first = head(reader, FORMAT_BYTES, limits).map_err(InflateError::Read)?;
                if let Some(format) = format_of(&first) {
                    let error = io::Error::other(format!("it begins like {format}"));
                    return Err(InflateError::Read(error));
                }
            }
            if self.yearless && self.decoded == 0 && self.file.can_reopen() {
                let reader = self.file.open().map_err(InflateError::Read)?;
                self.first_year = years::first(reader, limits, self.received_at);
            }
            let reader = self.file.open().map_err(InflateError::Read)?;
            let mut inflate = Inflate::new(reader, limits).map_err(InflateError::Read)?;
            let mut skip = self.decoded;
            while skip > 0 {
                let most = buffer.len().min(usize::try_from(skip).unwrap_or(usize::MAX));
                let read = inflate.read(&mut buffer[..most])?;
                if read == 0 {
                    let short = io::Error::other("the file has become shorter while it was read");
                    return Err(InflateError::Read(short));
                }
                skip -= read as u64;
            }
            self.state = FileState::Open(inflate);
        }
        let FileState::Open(inflate) = &mut self.state else { return Ok(0) };
        let read = inflate.read(buffer);
        self.raw = self.raw.max(inflate.raw());
        read
    }
}

/// The first decompressed bytes of an input; what is damaged ends them.
fn head(reader: Box<dyn Read + Send>, most: usize, limits: Limits) -> io::Result<Vec<u8>> {
    let mut inflate = Inflate::new(reader, limits)?;
    let mut head = vec![0; most];
    let mut filled = 0;
    while filled < most {
        match inflate.read(&mut head[filled..]) {
            Ok(0) | Err(InflateError::Decompress(_)) => break,
            Ok(read) => filled += read,
            Err(InflateError::Read(e)) => return Err(e),
        }
    }
    head.truncate(filled);
    Ok(head)
}

fn open_file(path: &Path) -> io::Result<Box<dyn Read + Send>> {
    Ok(Box::new(File::open(path)?))
}

/// Whether a path means stdin.
fn is_stdin(path: &Path) -> bool {
    path == PathBuf::from("-").as_path()
}
