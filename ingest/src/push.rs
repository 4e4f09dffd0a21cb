//! What a sender posts, from the bytes of a request to records for the spool and the answer about
//! them. Pure: not HTTP, not the spool.

use std::{io::Read, sync::Arc};

use flate2::{Decompress, FlushDecompress, Status, bufread::MultiGzDecoder};
use serde::Serialize;
use thiserror::Error;

use crate::{DeadLetterCode, Framer, Framing, Limits, Router, Unwrap, inflate, spool::SpoolRecord};

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

/// How far a body may inflate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PushLimits {
    /// Decompressed bytes of one request; a body with more is refused whole.
    pub decoded_bytes: u64,
    /// Beyond the first 16 MiB, decompressed bytes per compressed byte.
    pub ratio: u64,
}

impl Default for PushLimits {
    fn default() -> Self {
        PushLimits { decoded_bytes: 128 << 20, ratio: 100 }
    }
}

/// Why a request is refused whole. Nothing of it is stored.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PushError {
    /// 415.
    #[error("content encoding `{0}`; one of identity, gzip, zstd, deflate is read, and only one")]
    Encoding(String),
    /// 400.
    #[error("the body is no whole {encoding}: {detail}")]
    Damaged {
        /// What it should be.
        encoding: &'static str,
        /// What is wrong.
        detail: String,
    },
    /// 413.
    #[error("the body inflates to more than {max} bytes; send less at once")]
    TooLarge {
        /// The most for a body of this length.
        max: u64,
    },
    /// 400.
    #[error("the body holds no record; send one JSON object or one line of text per line")]
    Empty,
}

impl PushError {
    /// The HTTP status of the answer.
    pub fn status(&self) -> u16 {
        match self {
            PushError::Encoding(_) => 415,
            PushError::Damaged { .. } | PushError::Empty => 400,
            PushError::TooLarge { .. } => 413,
        }
    }
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
/// would inflate to.
///
/// # Errors
/// [`PushError::Damaged`], [`PushError::TooLarge`].
pub fn inflate(encoding: Encoding, body: &[u8], limits: PushLimits) -> Result<Vec<u8>, PushError> {
    let damaged = |detail: &dyn std::fmt::Display| PushError::Damaged {
        encoding: encoding.name(),
        detail: detail.to_string(),
    };
    let ratio = limits.ratio.saturating_mul(body.len() as u64);
    let max = match encoding {
        Encoding::Identity => limits.decoded_bytes,
        _ => limits.decoded_bytes.min(ratio.saturating_add(inflate::FREE_BYTES)),
    };
    let mut out = Vec::new();
    match encoding {
        Encoding::Identity if body.len() as u64 <= max => out.extend_from_slice(body),
        Encoding::Identity => return Err(PushError::TooLarge { max }),
        Encoding::Gzip => {
            let gzip = MultiGzDecoder::new(body);
            gzip.take(max.saturating_add(1)).read_to_end(&mut out).map_err(|e| damaged(&e))?;
        }
        Encoding::Zstd => {
            let mut zstd =
                zstd::stream::read::Decoder::with_buffer(body).map_err(|e| damaged(&e))?;
            zstd.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(|e| damaged(&e))?;
            zstd.take(max.saturating_add(1)).read_to_end(&mut out).map_err(|e| damaged(&e))?;
        }
        Encoding::Deflate => {
            let zlib = matches!(body, [a, b, ..]
                if a & 0x0f == 8 && (u16::from(*a) << 8 | u16::from(*b)).is_multiple_of(31));
            let first = inflate_stream(body, zlib, max);
            // Raw data may begin like a zlib header.
            out = match first {
                Err(_) if zlib => inflate_stream(body, false, max).or(first),
                first => first,
            }
            .map_err(|e| damaged(&e))?;
        }
    }
    if out.len() as u64 > max { Err(PushError::TooLarge { max }) } else { Ok(out) }
}

/// One zlib or raw deflate stream, to its end or a little more than `max` bytes of it. (The readers
/// of flate2 take a stream that is cut off for one that ends.)
fn inflate_stream(body: &[u8], zlib: bool, max: u64) -> Result<Vec<u8>, String> {
    let mut stream = Decompress::new(zlib);
    let mut out = Vec::new();
    while out.len() as u64 <= max {
        let rest = body.get(stream.total_in() as usize..).unwrap_or_default();
        out.reserve(64 * 1024);
        let (read, made) = (stream.total_in(), stream.total_out());
        let status = stream
            .decompress_vec(rest, &mut out, FlushDecompress::None)
            .map_err(|e| e.to_string())?;
        if status == Status::StreamEnd {
            return match body.len() as u64 - stream.total_in() {
                0 => Ok(out),
                more => Err(format!("{more} bytes after its end")),
            };
        }
        if stream.total_in() == read && stream.total_out() == made {
            return Err("it is cut off".into());
        }
    }
    Ok(out)
}

/// What becomes of a request: records to store, and what the sender is told once they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// All of them, the bad ones too: those become dead letters by the way every record takes.
    pub records: Vec<SpoolRecord>,
    /// What the sender is told.
    pub answer: PushAnswer,
}

/// The answer to a request: 202, or 422 where all records are set aside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PushAnswer {
    /// Records that will be mapped.
    pub accepted: u64,
    /// Records that are set aside.
    pub rejected: u64,
    /// Why, for the first 100 of them.
    pub errors: Vec<LineError>,
    /// How many more there are.
    #[serde(skip_serializing_if = "is_zero")]
    pub more_errors: u64,
}

/// Why a record of a request is set aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LineError {
    /// The line it starts on, from 1; in an array, its number.
    pub line: u64,
    /// A dead-letter code, `bad_json`.
    pub code: &'static str,
    /// What is wrong, for people.
    pub detail: String,
}

/// Lines that are stored together with their header line.
const GROUP_BYTES: usize = 256 << 10;
/// Errors that are listed.
const ERRORS_MAX: usize = 100;

impl PushAnswer {
    /// The HTTP status of the answer.
    pub fn status(&self) -> u16 {
        if self.accepted == 0 && self.rejected > 0 { 422 } else { 202 }
    }

    fn reject(&mut self, line: u64, code: DeadLetterCode, detail: String) {
        self.rejected += 1;
        if self.errors.len() < ERRORS_MAX {
            self.errors.push(LineError { line, code: code.name(), detail });
        } else {
            self.more_errors += 1;
        }
    }
}

/// Cuts a body into records and looks at each. `source` is the mapping source where the address of
/// the request decides it; the router must be one for it, or for all.
///
/// # Errors
/// [`PushError::Empty`].
pub fn read(
    router: &mut Router,
    body: &[u8],
    received_at: i64,
    source: Option<&Arc<str>>,
) -> Result<Pushed, PushError> {
    let mut pushed = Pushed { records: Vec::new(), answer: PushAnswer::default() };
    let spooled =
        |bytes: &[u8]| SpoolRecord { received_at, source: source.cloned(), bytes: bytes.to_vec() };
    // Lines below a header line go with it: alone they would be read in another order of fields.
    let mut header: Option<SpoolRecord> = None;
    split(body, |line, record| {
        if router.is_header(record) {
            header = Some(spooled(record));
            pushed.records.push(spooled(record));
            return;
        }
        match router.check(record) {
            Ok(()) => pushed.answer.accepted += 1,
            Err((code, detail)) => pushed.answer.reject(line, code, detail),
        }
        let Some(header) = &header else {
            pushed.records.push(spooled(record));
            return;
        };
        match pushed.records.last_mut() {
            Some(last) if last.bytes.len() + record.len() < GROUP_BYTES => last.bytes.push(b'\n'),
            _ => {
                let mut next = header.clone();
                next.bytes.push(b'\n');
                pushed.records.push(next);
            }
        }
        if let Some(last) = pushed.records.last_mut() {
            last.bytes.extend_from_slice(record);
        }
    });
    if pushed.records.is_empty() { Err(PushError::Empty) } else { Ok(pushed) }
}

/// Gives each record of a body with its line (in an array: its number): JSON or text lines, one JSON
/// array, or JSON values over several lines. Blank lines are none; a last line needs no newline.
fn split(body: &[u8], mut give: impl FnMut(u64, &[u8])) {
    let text = body.strip_prefix(crate::frame::BOM).unwrap_or(body).trim_ascii_start();
    let array = text.first() == Some(&b'[');
    let json = array || text.first() == Some(&b'{');
    let framing = if json { Framing::Json(Unwrap::default()) } else { Framing::Lines };
    // The body has its own limit; what is too large is set aside later, whole.
    let mut framer =
        Framer::new(&framing, Limits { record_bytes: usize::MAX, ..Limits::default() });
    let mut number = 0;
    let mut hand_on = |framer: &mut Framer| {
        let framed = framer.take();
        for (record, line) in framed.records.iter().zip(&framed.lines) {
            if !record.trim_ascii().is_empty() {
                number += 1;
                give(if array { number } else { *line }, record);
            }
        }
    };
    for piece in body.chunks(1 << 20) {
        framer.push(piece);
        hand_on(&mut framer);
    }
    framer.finish();
    hand_on(&mut framer);
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}
