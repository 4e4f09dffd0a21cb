//! Blocks of events under zstd. The first block of a segment is the dictionary of its others, so that
//! a block of a few events takes little more than it would in one piece with all of them, and is read
//! alone. Does not know what is in a block.

use std::{fmt, io};

use zstd::{
    bulk::{Compressor, Decompressor},
    zstd_safe::CParameter,
};

/// Compresses and opens the blocks of one store.
#[derive(Default)]
pub(crate) struct Packing {
    compressor: Option<Compressor<'static>>,
    decompressor: Option<Decompressor<'static>>,
    /// The segments whose dictionaries these have.
    packs: Option<u64>,
    opens: Option<u64>,
}

/// Of blocks with a dictionary the higher levels make 2 % less, and take longer.
const LEVEL: i32 = 1;

impl fmt::Debug for Packing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packing").field("packs", &self.packs).finish_non_exhaustive()
    }
}

impl Packing {
    /// Compresses the first block of a segment, and gets ready for its others.
    pub(crate) fn pack_head(&mut self, segment: u64, head: &[u8]) -> io::Result<Box<[u8]>> {
        let compressor = compressor(&mut self.compressor)?;
        self.packs = None;
        compressor.set_dictionary(LEVEL, &[])?;
        let packed = compressor.compress(head)?;
        self.use_head(segment, head)?;
        Ok(packed.into())
    }

    /// Whether it is ready for the blocks of a segment.
    pub(crate) fn is_ready(&self, segment: u64) -> bool {
        self.packs == Some(segment)
    }

    /// Gets ready for the blocks of a segment that begins with `head`.
    pub(crate) fn use_head(&mut self, segment: u64, head: &[u8]) -> io::Result<()> {
        compressor(&mut self.compressor)?.set_dictionary(LEVEL, head)?;
        self.packs = Some(segment);
        Ok(())
    }

    /// Compresses a block of the segment that it is ready for.
    pub(crate) fn pack(&mut self, block: &[u8]) -> io::Result<Box<[u8]>> {
        Ok(compressor(&mut self.compressor)?.compress(block)?.into())
    }

    /// Opens the first block of a segment.
    pub(crate) fn open_head(&mut self, packed: &[u8], size: usize) -> io::Result<Vec<u8>> {
        let decompressor = decompressor(&mut self.decompressor)?;
        self.opens = None;
        decompressor.set_dictionary(&[])?;
        decompressor.decompress(packed, size)
    }

    /// Opens another block; `head` gives the first one of its segment.
    pub(crate) fn open(
        &mut self,
        segment: u64,
        head: impl FnOnce(&mut Self) -> io::Result<Vec<u8>>,
        packed: &[u8],
        size: usize,
    ) -> io::Result<Vec<u8>> {
        if self.opens != Some(segment) {
            let head = head(self)?;
            decompressor(&mut self.decompressor)?.set_dictionary(&head)?;
            self.opens = Some(segment);
        }
        decompressor(&mut self.decompressor)?.decompress(packed, size)
    }
}

fn compressor<'h>(
    held: &'h mut Option<Compressor<'static>>,
) -> io::Result<&'h mut Compressor<'static>> {
    if held.is_none() {
        let mut new = Compressor::new(LEVEL)?;
        // Sizes are kept beside the blocks.
        new.set_parameter(CParameter::ContentSizeFlag(false))?;
        *held = Some(new);
    }
    held.as_mut().ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}

fn decompressor<'h>(
    held: &'h mut Option<Decompressor<'static>>,
) -> io::Result<&'h mut Decompressor<'static>> {
    if held.is_none() {
        *held = Some(Decompressor::new()?);
    }
    held.as_mut().ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}
