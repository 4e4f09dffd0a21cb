//! Blocks of events under LZ4. The first block of a segment stays as it is, and is the dictionary of its
//! others, so that a block of a few events takes little more than it would in one piece with all of them,
//! and is read alone. Does not know what is in a block.

use lz4_flex::block::{
    compress_into_with_dict, decompress_into_with_dict, get_maximum_output_size,
};

/// A buffer with more bytes is not kept for the next block: one large event would hold them for ever.
pub(crate) const KEPT: usize = 64 * 1024;

/// A block under LZ4; `None` if that gains nothing.
pub(crate) fn pack(head: &[u8], block: &[u8], scratch: &mut Vec<u8>) -> Option<Box<[u8]>> {
    let room = get_maximum_output_size(block.len());
    if scratch.len() < room {
        scratch.resize(room, 0);
    }
    let size = compress_into_with_dict(block, scratch, head).ok();
    let packed = size.filter(|size| *size < block.len()).and_then(|size| scratch.get(..size));
    let packed = packed.map(Into::into);
    if scratch.len() > KEPT {
        *scratch = Vec::new();
    }
    packed
}

/// Writes a packed block of so many bytes to `out`; `None` if it is damaged.
pub(crate) fn open(head: &[u8], packed: &[u8], size: usize, out: &mut Vec<u8>) -> Option<()> {
    out.resize(size, 0);
    (decompress_into_with_dict(packed, out, head).ok()? == size).then_some(())
}
