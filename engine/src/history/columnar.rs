//! Parquet files of the history: rows to bytes and back. Every block of a file is verified against the
//! checksum that the store has of it before anything reads it, so that a damaged file is an error and
//! never another answer. Not where files are (see [`super::files`]).

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use arrow::{datatypes::SchemaRef, record_batch::RecordBatch};
use bytes::Bytes;
use parquet::{
    arrow::{
        ArrowWriter, ProjectionMask,
        arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder},
    },
    basic::{Compression, ZstdLevel},
    errors::ParquetError,
    file::{
        metadata::RowGroupMetaData,
        properties::{EnabledStatistics, WriterProperties},
        reader::{ChunkReader, Length},
        statistics::Statistics,
    },
};

/// Bytes of a block that has a checksum.
pub(super) const BLOCK: usize = 64 << 10;
/// Rows of a row group: what is skipped, or decoded, at once.
const GROUP_ROWS: usize = 64 << 10;
/// Rows of a batch that is read.
const BATCH_ROWS: usize = 8_192;

/// Writes rows of one schema as the bytes of a file.
pub(super) struct FileWriter(ArrowWriter<Vec<u8>>);

impl FileWriter {
    pub(super) fn new(schema: SchemaRef) -> Result<FileWriter, String> {
        let level = ZstdLevel::try_new(1).map_err(said)?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true)
            .set_created_by(concat!("sluice ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        ArrowWriter::try_new(Vec::new(), schema, Some(properties)).map(FileWriter).map_err(said)
    }

    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<(), String> {
        self.0.write(batch).map_err(said)
    }

    pub(super) fn finish(self) -> Result<Vec<u8>, String> {
        self.0.into_inner().map_err(said)
    }
}

/// The checksums of the blocks of a file.
pub(super) fn checksums(bytes: &[u8]) -> Vec<u32> {
    bytes.chunks(BLOCK).map(crc32c::crc32c).collect()
}

/// An open file whose blocks are verified as they are read.
pub(super) struct VerifiedFile(Arc<Verified>);

struct Verified {
    file: Mutex<Open>,
    bytes: u64,
    blocks: Arc<[u32]>,
}

struct Open {
    file: File,
    /// The block that was read last.
    last: Option<(usize, Bytes)>,
}

impl VerifiedFile {
    /// Opens a file that has so many bytes in these blocks.
    pub(super) fn open(path: &Path, bytes: u64, blocks: Arc<[u32]>) -> Result<Self, String> {
        let file = File::open(path).map_err(said)?;
        let found = file.metadata().map_err(said)?.len();
        if found != bytes {
            return Err(format!("it has {found} bytes, and {bytes} were written"));
        }
        let open = Open { file, last: None };
        Ok(VerifiedFile(Arc::new(Verified { file: Mutex::new(open), bytes, blocks })))
    }

    /// The rows, of the columns that `wanted` names and the file has, without row groups that have no
    /// event time from `between.0` to before `between.1`.
    pub(super) fn rows(
        self,
        wanted: &dyn Fn(&str) -> bool,
        between: (Option<i64>, Option<i64>),
    ) -> Result<ParquetRecordBatchReader, String> {
        let builder = ParquetRecordBatchReaderBuilder::try_new(Shared(self.0)).map_err(said)?;
        let names = builder.schema().fields().iter().enumerate();
        let roots: Vec<usize> = names.filter(|(_, f)| wanted(f.name())).map(|(n, _)| n).collect();
        let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
        let groups = builder.metadata().row_groups().iter().enumerate();
        let groups = groups.filter(|(_, group)| may_hold(group, between)).map(|(n, _)| n).collect();
        builder
            .with_projection(mask)
            .with_row_groups(groups)
            .with_batch_size(BATCH_ROWS)
            .build()
            .map_err(said)
    }
}

/// Whether a row group may hold an event time in the range, by its statistics.
fn may_hold(group: &RowGroupMetaData, (from, to): (Option<i64>, Option<i64>)) -> bool {
    let time = group.columns().iter().find(|column| column.column_path().string() == "time");
    let Some(Statistics::Int64(times)) = time.and_then(|time| time.statistics()) else {
        return true;
    };
    let ends_before = from.is_some_and(|from| times.max_opt().is_some_and(|max| *max < from));
    let begins_after = to.is_some_and(|to| times.min_opt().is_some_and(|min| *min >= to));
    !ends_before && !begins_after
}

/// What the reader takes by value.
struct Shared(Arc<Verified>);

impl Verified {
    /// A block, once it is what was written.
    fn block(&self, number: usize) -> io::Result<Bytes> {
        let mut open = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((last, bytes)) = &open.last
            && *last == number
        {
            return Ok(bytes.clone());
        }
        let damaged = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let expected = self.blocks.get(number).ok_or_else(|| damaged("it reads past its end"))?;
        let start = number as u64 * BLOCK as u64;
        let length = (self.bytes - start).min(BLOCK as u64) as usize;
        let mut bytes = vec![0; length];
        open.file.seek(SeekFrom::Start(start))?;
        open.file.read_exact(&mut bytes)?;
        if crc32c::crc32c(&bytes) != *expected {
            return Err(damaged(&format!(
                "its bytes {start} to {} are not those that were written",
                start + length as u64
            )));
        }
        let bytes = Bytes::from(bytes);
        open.last = Some((number, bytes.clone()));
        Ok(bytes)
    }

    /// What is left of the block that a place lies in.
    fn rest_of_block(&self, at: u64) -> io::Result<Bytes> {
        if at >= self.bytes {
            return Ok(Bytes::new());
        }
        let block = self.block((at / BLOCK as u64) as usize)?;
        Ok(block.slice((at % BLOCK as u64) as usize..))
    }
}

impl Length for Shared {
    fn len(&self) -> u64 {
        self.0.bytes
    }
}

impl ChunkReader for Shared {
    type T = ReadFrom;

    fn get_read(&self, start: u64) -> Result<ReadFrom, ParquetError> {
        Ok(ReadFrom { file: self.0.clone(), at: start })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let first = self.0.rest_of_block(start)?;
        if first.len() >= length {
            return Ok(first.slice(..length));
        }
        let mut bytes = Vec::new();
        let read = ReadFrom { file: self.0.clone(), at: start };
        let read = read.take(length as u64).read_to_end(&mut bytes)?;
        match read == length {
            true => Ok(bytes.into()),
            false => Err(ParquetError::EOF(format!("{length} bytes asked, {read} there"))),
        }
    }
}

/// Reads from a place on.
struct ReadFrom {
    file: Arc<Verified>,
    at: u64,
}

impl Read for ReadFrom {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let there = self.file.rest_of_block(self.at)?;
        let taken = there.len().min(into.len());
        let (Some(from), Some(into)) = (there.get(..taken), into.get_mut(..taken)) else {
            return Ok(0);
        };
        into.copy_from_slice(from);
        self.at += taken as u64;
        Ok(taken)
    }
}

fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}
