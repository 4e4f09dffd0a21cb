//! Blocks of events under LZ4. The first block of a segment stays as it is, and is the dictionary of its
//! others, so that a block of a few events takes little more than it would in one piece with all of them,
//! and is read alone. Does not know what is in a block.

use lz4_flex::block::{compress_with_dict, decompress_with_dict};

/// A block under LZ4; `None` if that gains nothing.
pub(crate) fn pack(head: &[u8], block: &[u8]) -> Option<Box<[u8]>> {
    let packed = compress_with_dict(block, head);
    (packed.len() < block.len()).then(|| packed.into())
}

/// A packed block of so many bytes; `None` if it is damaged.
pub(crate) fn open(head: &[u8], packed: &[u8], size: usize) -> Option<Vec<u8>> {
    decompress_with_dict(packed, size, head).ok().filter(|block| block.len() == size)
}
