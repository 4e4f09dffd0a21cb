//! A body as it was before compression. Not what is in it.

use std::io::{self, Read};

use flate2::{Decompress, FlushDecompress, Status};

use super::{PushError, PushLimits};
use crate::{
    frame::BOM,
    inflate::{FREE_BYTES, Frames, Members},
};

/// How a body is compressed: one `Content-Encoding`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// Not at all.
    #[default]
    Identity,
    /// `gzip`, one or more members.
    Gzip,
    /// `zstd`, with a window of 8 MiB at most (RFC 9659).
    Zstd,
    /// `deflate`: zlib as RFC 9110 has it, or raw as some senders have it.
    Deflate,
}

impl Encoding {
    /// Of the value of a `Content-Encoding` header; several layers are refused.
    ///
    /// # Errors
    /// [`PushError::Encoding`].
    pub fn parse(header: &str) -> Result<Encoding, PushError> {
        match header.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(Encoding::Identity),
            "gzip" | "x-gzip" => Ok(Encoding::Gzip),
            "zstd" => Ok(Encoding::Zstd),
            "deflate" => Ok(Encoding::Deflate),
            _ => Err(PushError::Encoding(header.chars().take(80).collect())),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Encoding::Identity => "identity",
            Encoding::Gzip => "gzip",
            Encoding::Zstd => "zstd",
            Encoding::Deflate => "deflate",
        }
    }
}

/// A window of 8 MiB: what every zstd sender over HTTP keeps to.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// The body as it was before compression. Never holds much more than the cap, whatever the body
/// would inflate to, and ends at the line that is one too many. `grow` is asked before more bytes are
/// held, and may say no.
///
/// # Errors
/// [`PushError::Damaged`], [`PushError::TooLarge`], [`PushError::TooMany`], [`PushError::NoMemory`].
pub fn inflate(
    encoding: Encoding,
    body: &[u8],
    limits: PushLimits,
    grow: &mut dyn FnMut(u64) -> bool,
) -> Result<Vec<u8>, PushError> {
    let damaged = |detail: &dyn std::fmt::Display| PushError::Damaged {
        encoding: encoding.name(),
        detail: detail.to_string(),
    };
    let ratio = limits.ratio.saturating_mul(body.len() as u64);
    let max = match encoding {
        Encoding::Identity => limits.decoded_bytes,
        _ => limits.decoded_bytes.min(ratio.saturating_add(FREE_BYTES)),
    };
    match encoding {
        Encoding::Identity if body.len() as u64 > max => Err(PushError::TooLarge { max }),
        Encoding::Identity if !grow(body.len() as u64) => Err(PushError::NoMemory),
        Encoding::Identity => Ok(body.to_vec()),
        Encoding::Gzip => fill(&mut Members::new(body), limits.records, max, grow, damaged),
        Encoding::Zstd => {
            let frames = Frames::new(body, ZSTD_WINDOW_LOG_MAX);
            fill(&mut frames.map_err(|e| damaged(&e))?, limits.records, max, grow, damaged)
        }
        Encoding::Deflate => {
            let zlib = matches!(body, [a, b, ..]
                if a & 0x0f == 8 && (u16::from(*a) << 8 | u16::from(*b)).is_multiple_of(31));
            let first = fill(&mut Deflated::new(body, zlib), limits.records, max, grow, damaged);
            match first {
                // Raw data may begin like a zlib header.
                Err(PushError::Damaged { .. }) if zlib => {
                    fill(&mut Deflated::new(body, false), limits.records, max, grow, damaged)
                        .or(first)
                }
                first => first,
            }
        }
    }
}

/// Bytes that are inflated at a time.
const STEP_BYTES: usize = 128 << 10;

/// Reads to the end, or a little more than `max` bytes.
fn fill(
    reader: &mut dyn Read,
    records: u64,
    max: u64,
    grow: &mut dyn FnMut(u64) -> bool,
    damaged: impl Fn(&dyn std::fmt::Display) -> PushError,
) -> Result<Vec<u8>, PushError> {
    let mut out = Vec::new();
    let mut step = vec![0; STEP_BYTES];
    let mut lines = Lines::default();
    loop {
        let read = reader.read(&mut step).map_err(|e| damaged(&e))?;
        if read == 0 {
            return Ok(out);
        }
        if !grow(read as u64) {
            return Err(PushError::NoMemory);
        }
        let part = step.get(..read).unwrap_or_default();
        if lines.with(part) > records {
            return Err(PushError::TooMany { max: records });
        }
        out.extend_from_slice(part);
        if out.len() as u64 > max {
            return Err(PushError::TooLarge { max });
        }
    }
}

/// One zlib or raw deflate stream. (The readers of flate2 take a stream that is cut off for one that
/// ends.)
struct Deflated<'b> {
    body: &'b [u8],
    stream: Decompress,
    ended: bool,
}

impl<'b> Deflated<'b> {
    fn new(body: &'b [u8], zlib: bool) -> Self {
        Deflated { body, stream: Decompress::new(zlib), ended: false }
    }
}

impl Read for Deflated<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.ended {
            return Ok(0);
        }
        let (read, made) = (self.stream.total_in(), self.stream.total_out());
        let rest = self.body.get(read as usize..).unwrap_or_default();
        let status = self.stream.decompress(rest, out, FlushDecompress::None)?;
        let given = (self.stream.total_out() - made) as usize;
        if status == Status::StreamEnd {
            self.ended = true;
            let more = self.body.len() as u64 - self.stream.total_in();
            if more > 0 {
                return Err(io::Error::other(format!("{more} bytes after its end")));
            }
        } else if self.stream.total_in() == read && given == 0 {
            return Err(io::Error::other("it is cut off"));
        }
        if given == 0 && !self.ended {
            // It has read and made nothing yet: go on.
            return self.read(out);
        }
        Ok(given)
    }
}

/// Counts lines of text as they come, each of which is a record; of JSON none, as its values may take
/// several lines or share one, nor of UTF-16, which is decoded first.
#[derive(Debug, Default)]
struct Lines {
    count: u64,
    /// Whether lines are records, once something has come that is not blank.
    text: Option<bool>,
    /// Whether the line at hand has something that is not blank.
    begun: bool,
}

impl Lines {
    /// With another part of the body.
    fn with(&mut self, part: &[u8]) -> u64 {
        for &byte in part {
            if byte == b'\n' {
                self.count += u64::from(std::mem::take(&mut self.begun));
            } else if byte == 0 {
                self.text = Some(false);
            } else if !byte.is_ascii_whitespace() && !BOM.contains(&byte) {
                self.begun = true;
                self.text.get_or_insert(!matches!(byte, b'{' | b'[' | 0xfe | 0xff));
            }
            if self.text == Some(false) {
                return 0;
            }
        }
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_text_are_counted_as_they_come_and_those_of_json_are_not() {
        let count = |parts: &[&str]| {
            let mut lines = Lines::default();
            parts.iter().map(|part| lines.with(part.as_bytes())).last().unwrap()
        };
        assert_eq!(count(&["1\n\n2", "3\n \r\n4\n5"]), 3, "the last may go on");
        assert_eq!(count(&["\u{feff}\n\n1\n"]), 1);
        assert_eq!(count(&["  \n{\n\"a\":\n1}\n", "2\n"]), 0);
        assert_eq!(count(&["[\n1,\n2]"]), 0);
        assert_eq!(count(&["1\0\n\0", "2\0\n\0"]), 0);
    }

    #[test]
    fn a_body_of_millions_of_lines_is_refused_at_the_first_that_is_too_many() {
        let body = b"1\n".repeat(4_000_000);
        let packed = zstd::encode_all(&body[..], 1).unwrap();
        let limits = PushLimits { records: 50_000, ..PushLimits::default() };
        let mut held = 0;
        let mut grow = |bytes| {
            held += bytes;
            true
        };
        let refused = inflate(Encoding::Zstd, &packed, limits, &mut grow);
        assert_eq!(refused, Err(PushError::TooMany { max: 50_000 }));
        assert!(held < 300_000, "{held} bytes were inflated");
    }
}
