//! Rows under LZ4, as they wait for their Parquet file in memory and in tail files: one Arrow IPC stream of
//! one batch. Not where they are kept (see `ring` and `tail`), not when they are packed (see `packer`).

use std::{io::Cursor, sync::Arc};

use arrow::{
    compute::concat_batches,
    datatypes::SchemaRef,
    ipc::{reader::StreamReader, writer::StreamWriter},
    record_batch::RecordBatch,
};
use sluice_event::{Schema, TableName};

use super::{
    identity,
    list::Extent,
    reader::union,
    ring::{bytes, extent},
};

/// Rows in memory.
#[derive(Clone, Debug)]
pub(super) enum Held {
    /// As they came.
    Loose(RecordBatch),
    /// With their identity.
    Packed(Arc<Packed>),
}

/// Rows of one table under LZ4, with their identity: about a third of what they take as they came (`api/bench`).
#[derive(Debug)]
pub(super) struct Packed {
    schema: SchemaRef,
    /// The columns of the block. Those of a table of the schema that are all NULL are not in it.
    stored: SchemaRef,
    extent: Extent,
    /// Bytes before compression.
    size: usize,
    block: Box<[u8]>,
}

impl Held {
    pub(super) fn schema(&self) -> SchemaRef {
        match self {
            Held::Loose(batch) => batch.schema(),
            Held::Packed(packed) => packed.schema.clone(),
        }
    }

    pub(super) fn extent(&self) -> Extent {
        match self {
            Held::Loose(batch) => extent(batch),
            Held::Packed(packed) => packed.extent,
        }
    }

    /// The memory it takes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Held::Loose(batch) => bytes(batch),
            Held::Packed(packed) => packed.block.len() + size_of::<Packed>(),
        }
    }

    /// The memory its rows take when they are read, of a `Loose` one that takes `bytes`.
    pub(super) fn size(&self, bytes: usize) -> usize {
        match self {
            Held::Loose(_) => bytes,
            Held::Packed(packed) => packed.size,
        }
    }

    /// The rows with their identity. Columns that `wanted` does not name, and those that are all NULL, may be
    /// missing.
    ///
    /// # Errors
    /// If the memory is not what was written to it.
    pub(super) fn rows(&self, wanted: &dyn Fn(&str) -> bool) -> Result<RecordBatch, String> {
        match self {
            Held::Loose(batch) if wanted(identity::UID) => Ok(identity::identified(batch)),
            Held::Loose(batch) => Ok(identity::without_records(batch)),
            Held::Packed(packed) => packed.rows(wanted),
        }
    }
}

impl Packed {
    /// Packs rows of one table, which have one schema.
    ///
    /// # Errors
    /// If they have not.
    pub(super) fn new(table: &TableName, batches: &[RecordBatch]) -> Result<Packed, String> {
        let batches: Vec<RecordBatch> = batches.iter().map(identity::identified).collect();
        let schema = batches.first().map(RecordBatch::schema).ok_or("no rows")?;
        let all = concat_batches(&schema, &batches).map_err(said)?;
        // A raw table has the columns of its rows.
        let is_known = Schema::builtin().table(table.as_str()).is_some();
        let columns = all.columns().iter().enumerate();
        let columns = columns.filter(|(_, c)| !is_known || c.null_count() < c.len());
        let kept: Vec<usize> = columns.map(|(at, _)| at).collect();
        let kept = all.project(&kept).map_err(said)?;
        let (stored, mut plain) = (kept.schema(), Vec::new());
        let mut stream = StreamWriter::try_new(&mut plain, &stored).map_err(said)?;
        stream.write(&kept).and_then(|()| stream.finish()).map_err(said)?;
        let block = lz4_flex::block::compress(&plain).into();
        Ok(Packed { schema, stored, extent: extent(&all), size: plain.len(), block })
    }

    /// Takes a block of rows of a table as it was written.
    ///
    /// # Errors
    /// If it is damaged.
    pub(super) fn read(table: &TableName, size: usize, block: &[u8]) -> Result<Packed, String> {
        let plain = lz4_flex::block::decompress(block, size).map_err(said)?;
        let rows = decode(&plain, None)?;
        let (stored, extent) = (rows.schema(), extent(&rows));
        let table = Schema::builtin().table(table.as_str()).map(|table| table.arrow.clone());
        let schema = union(table.into_iter().chain([stored.clone()]));
        Ok(Packed { schema, stored, extent, size, block: block.into() })
    }

    /// Bytes before compression, and the block.
    pub(super) fn block(&self) -> (usize, &[u8]) {
        (self.size, &self.block)
    }

    fn rows(&self, wanted: &dyn Fn(&str) -> bool) -> Result<RecordBatch, String> {
        let fields = self.stored.fields().iter().enumerate();
        let columns = fields.filter(|(_, field)| wanted(field.name())).map(|(at, _)| at).collect();
        let plain = lz4_flex::block::decompress(&self.block, self.size).map_err(said)?;
        decode(&plain, Some(columns))
    }
}

fn decode(plain: &[u8], columns: Option<Vec<usize>>) -> Result<RecordBatch, String> {
    let mut stream = StreamReader::try_new(Cursor::new(plain), columns).map_err(said)?;
    stream.next().ok_or("it has no rows")?.map_err(said)
}

fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}
