//! UTF-32 with its byte order mark as UTF-8. Without the mark it is not told from other binary data.

use std::io::{self, Read};

/// Whether bytes begin with the mark of UTF-32, and whether its units are big-endian. That of the
/// little-endian order begins with that of UTF-16.
pub(crate) fn mark(bytes: &[u8]) -> Option<bool> {
    match bytes {
        [0xff, 0xfe, 0, 0, ..] => Some(false),
        [0, 0, 0xfe, 0xff, ..] => Some(true),
        _ => None,
    }
}

/// A reader of UTF-8 over one of UTF-32 after its mark. What is no character becomes U+FFFD.
pub(crate) struct Utf32<R> {
    inner: R,
    big_endian: bool,
    /// Text that is not yet read.
    text: Vec<u8>,
    at: usize,
}

/// Bytes that are read at once.
const BLOCK_BYTES: u64 = 16 << 10;

impl<R: Read> Utf32<R> {
    pub(crate) fn new(inner: R, big_endian: bool) -> Self {
        Utf32 { inner, big_endian, text: Vec::new(), at: 0 }
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut units = Vec::new();
        self.inner.by_ref().take(BLOCK_BYTES).read_to_end(&mut units)?;
        let (whole, rest) = units.as_chunks::<4>();
        let mut text = String::with_capacity(whole.len());
        text.extend(whole.iter().map(|unit| {
            let code = match self.big_endian {
                true => u32::from_be_bytes(*unit),
                false => u32::from_le_bytes(*unit),
            };
            char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
        }));
        if !rest.is_empty() {
            text.push(char::REPLACEMENT_CHARACTER);
        }
        (self.text, self.at) = (text.into_bytes(), 0);
        Ok(())
    }
}

impl<R: Read> Read for Utf32<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.text.len() {
            self.fill()?;
        }
        let left = self.text.get(self.at..).unwrap_or_default();
        let most = left.len().min(out.len());
        if let (Some(to), Some(from)) = (out.get_mut(..most), left.get(..most)) {
            to.copy_from_slice(from);
        }
        self.at += most;
        Ok(most)
    }
}
