//! Rows that a checkpoint covers and that are in no Parquet file yet: one file per checkpoint, a frame
//! for each table. Read at start only; gone when the rows are in Parquet files.
//!
//! A frame is an Arrow IPC stream, compressed as an LZ4 block: `crc32c u32 | length u64 | block`, little
//! endian; the sum covers the length and the block.

use std::{collections::BTreeMap, io::Cursor};

use arrow::{
    ipc::{reader::StreamReader, writer::StreamWriter},
    record_batch::RecordBatch,
};
use sluice_event::TableName;

use super::list::{Extent, TailEntry};

const HEAD: usize = 12;

/// Rows of one table and epoch.
pub(super) struct Frame {
    pub(super) table: TableName,
    pub(super) extent: Extent,
    pub(super) batches: Vec<RecordBatch>,
}

/// The bytes of a file, and where in it each table is.
pub(super) fn encode(
    frames: &[Frame],
) -> Result<(Vec<u8>, BTreeMap<TableName, TailEntry>), String> {
    let mut bytes = Vec::new();
    let mut entries = BTreeMap::new();
    for frame in frames {
        let start = bytes.len() as u64;
        let mut plain = Vec::new();
        // A stream has one schema; batches differ in theirs across a reload.
        for batch in &frame.batches {
            let mut stream = StreamWriter::try_new(&mut plain, &batch.schema()).map_err(said)?;
            stream.write(batch).and_then(|()| stream.finish()).map_err(said)?;
        }
        let block = lz4_flex::block::compress(&plain);
        let size = (plain.len() as u64).to_le_bytes();
        bytes.extend(sum(&size, &block).to_le_bytes());
        bytes.extend(size);
        bytes.extend(block);
        let place = Some((start, bytes.len() as u64 - start));
        entries.insert(frame.table.clone(), TailEntry { extent: frame.extent, place });
    }
    Ok((bytes, entries))
}

/// The rows of a frame.
pub(super) fn decode(file: &[u8], (start, length): (u64, u64)) -> Result<Vec<RecordBatch>, String> {
    let frame = usize::try_from(start).ok().zip(usize::try_from(length).ok());
    let frame = frame.and_then(|(start, length)| file.get(start..start.checked_add(length)?));
    let frame = frame.ok_or("it ends too early")?;
    let (head, block) = frame.split_at_checked(HEAD).ok_or("it ends too early")?;
    let (expected, size) = head.split_first_chunk::<4>().ok_or("it ends too early")?;
    let size = size.first_chunk::<8>().ok_or("it ends too early")?;
    if sum(size, block) != u32::from_le_bytes(*expected) {
        return Err("its bytes are not those that were written".to_owned());
    }
    let plain = lz4_flex::block::decompress(block, u64::from_le_bytes(*size) as usize);
    let plain = plain.map_err(said)?;
    let mut at = Cursor::new(plain.as_slice());
    let mut batches = Vec::new();
    while at.position() < plain.len() as u64 {
        let mut stream = StreamReader::try_new(&mut at, None).map_err(said)?;
        // To its end mark, behind which the next begins.
        for batch in stream.by_ref() {
            batches.push(batch.map_err(said)?);
        }
    }
    Ok(batches)
}

fn sum(size: &[u8], block: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(size), block)
}

fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{ArrayRef, DictionaryArray, Int64Array, StringArray},
        datatypes::Int32Type,
    };

    use super::*;

    #[test]
    fn frames_read_back_and_damage_is_noticed() {
        let number: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(3)]));
        let words: DictionaryArray<Int32Type> = ["a", "b", "a"].into_iter().collect();
        let words: ArrayRef = Arc::new(words);
        let text: ArrayRef = Arc::new(StringArray::from(vec!["x", "y", "z"]));
        let one = RecordBatch::try_from_iter([("n", number.clone()), ("w", words)]).unwrap();
        let other = RecordBatch::try_from_iter([("n", number), ("t", text)]).unwrap();
        let frame = |name: &str, batches: Vec<RecordBatch>| Frame {
            table: TableName::new(name),
            extent: Extent { rows: 3, times: None },
            batches,
        };
        let frames = [frame("a", vec![one.clone(), other.clone()]), frame("b", vec![one.clone()])];
        let (mut bytes, entries) = encode(&frames).unwrap();
        let place = |name: &str| entries[&TableName::new(name)].place.unwrap();
        assert_eq!(decode(&bytes, place("a")).unwrap(), [one.clone(), other]);
        assert_eq!(decode(&bytes, place("b")).unwrap(), [one]);
        let (start, length) = place("b");
        assert!(decode(&bytes[..bytes.len() - 1], (start, length)).is_err());
        assert!(decode(&bytes, (u64::MAX, 2)).is_err());
        for at in start..start + length {
            bytes[at as usize] ^= 1;
            assert!(decode(&bytes, (start, length)).is_err(), "{at}");
            bytes[at as usize] ^= 1;
        }
        assert!(decode(&bytes, place("a")).is_ok(), "the frame before is whole");
    }
}
