//! Rows that a checkpoint covers and that are in no Parquet file yet: one file per checkpoint, a frame
//! for each table. Read at start only; gone when the rows are in Parquet files.
//!
//! A frame is a row of blocks (see `packed`): `crc32c u32 | size u64 | length u64 | block`, little endian; the sum
//! covers what follows it, the size is that of the block before compression.

use std::{collections::BTreeMap, sync::Arc};

use arrow::record_batch::RecordBatch;
use sluice_event::TableName;

use super::{
    list::{Extent, TailEntry},
    packed::{Held, Packed},
    packer::LOOSE,
};

const HEAD: usize = 20;

/// Rows of one table and epoch.
pub(super) struct Frame {
    pub(super) table: TableName,
    pub(super) extent: Extent,
    pub(super) rows: Vec<Held>,
}

impl Frame {
    /// Packs the rows that are not.
    pub(super) fn pack(&mut self) -> Result<(), String> {
        let (mut rows, mut loose, mut bytes) = (Vec::new(), Vec::new(), 0);
        let end = |loose: &mut Vec<_>, rows: &mut Vec<Held>| -> Result<(), String> {
            if !loose.is_empty() {
                rows.push(Held::Packed(Arc::new(Packed::new(&self.table, loose)?)));
                loose.clear();
            }
            Ok(())
        };
        for held in &self.rows {
            match held {
                Held::Packed(_) => {
                    end(&mut loose, &mut rows)?;
                    rows.push(held.clone());
                }
                Held::Loose(batch) => {
                    // Batches differ in their columns across a reload.
                    let same =
                        loose.first().is_none_or(|b: &RecordBatch| b.schema() == batch.schema());
                    if !same || bytes >= LOOSE {
                        end(&mut loose, &mut rows)?;
                        bytes = 0;
                    }
                    bytes += held.bytes();
                    loose.push(batch.clone());
                }
            }
        }
        end(&mut loose, &mut rows)?;
        self.rows = rows;
        Ok(())
    }
}

/// The bytes of a file, and where in it each table is. The rows are packed.
pub(super) fn encode(
    frames: &[Frame],
) -> Result<(Vec<u8>, BTreeMap<TableName, TailEntry>), String> {
    let mut bytes = Vec::new();
    let mut entries = BTreeMap::new();
    for frame in frames {
        let start = bytes.len() as u64;
        for held in &frame.rows {
            let Held::Packed(packed) = held else {
                return Err("its rows are not packed".to_owned());
            };
            let (size, block) = packed.block();
            let sizes = [size as u64, block.len() as u64].map(u64::to_le_bytes).concat();
            bytes.extend(sum(&sizes, block).to_le_bytes());
            bytes.extend(sizes);
            bytes.extend(block);
        }
        let place = Some((start, bytes.len() as u64 - start));
        entries.insert(frame.table.clone(), TailEntry { extent: frame.extent, place });
    }
    Ok((bytes, entries))
}

/// The rows of a frame of this table.
pub(super) fn decode(
    file: &[u8],
    (start, length): (u64, u64),
    table: &TableName,
) -> Result<Vec<Held>, String> {
    const SHORT: &str = "it ends too early";
    let frame = usize::try_from(start).ok().zip(usize::try_from(length).ok());
    let frame = frame.and_then(|(start, length)| file.get(start..start.checked_add(length)?));
    let mut frame = frame.ok_or(SHORT)?;
    let mut rows = Vec::new();
    while !frame.is_empty() {
        let (head, rest) = frame.split_at_checked(HEAD).ok_or(SHORT)?;
        let (expected, sizes) = head.split_first_chunk::<4>().ok_or(SHORT)?;
        let (size, length) = sizes.split_first_chunk::<8>().ok_or(SHORT)?;
        let length = u64::from_le_bytes(*length.first_chunk().ok_or(SHORT)?);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let (block, rest) = rest.split_at_checked(length).ok_or(SHORT)?;
        if sum(sizes, block) != u32::from_le_bytes(*expected) {
            return Err("its bytes are not those that were written".to_owned());
        }
        let packed = Packed::read(table, u64::from_le_bytes(*size) as usize, block)?;
        rows.push(Held::Packed(Arc::new(packed)));
        frame = rest;
    }
    Ok(rows)
}

fn sum(sizes: &[u8], block: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(sizes), block)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{ArrayRef, DictionaryArray, Int64Array, StringArray},
        compute::concat_batches,
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
            rows: batches.into_iter().map(Held::Loose).collect(),
        };
        // A run of one schema is one block.
        let a = vec![one.clone(), one.clone(), other.clone()];
        let mut frames = [frame("a", a), frame("b", vec![one.clone()])];
        assert!(encode(&frames).is_err());
        frames.iter_mut().for_each(|frame| frame.pack().unwrap());
        assert_eq!(frames[0].rows.len(), 2);
        let (mut bytes, entries) = encode(&frames).unwrap();
        let place = |name: &str| entries[&TableName::new(name)].place.unwrap();
        let read = |bytes: &[u8], place, name: &str| -> Result<Vec<RecordBatch>, String> {
            let held = decode(bytes, place, &TableName::new(name))?;
            held.iter().map(|held| held.rows(&|_| true)).collect()
        };
        let twice = concat_batches(&one.schema(), [&one, &one]).unwrap();
        assert_eq!(read(&bytes, place("a"), "a").unwrap(), [twice, other]);
        assert_eq!(read(&bytes, place("b"), "b").unwrap(), [one]);
        let (start, length) = place("b");
        assert!(read(&bytes[..bytes.len() - 1], (start, length), "b").is_err());
        assert!(read(&bytes, (u64::MAX, 2), "b").is_err());
        for at in start..start + length {
            bytes[at as usize] ^= 1;
            assert!(read(&bytes, (start, length), "b").is_err(), "{at}");
            bytes[at as usize] ^= 1;
        }
        assert!(read(&bytes, place("a"), "a").is_ok(), "the frame before is whole");
    }
}
