//! What a sender posts, from the bytes of a request to records for the spool and the answer about
//! them. Pure: not HTTP, not the spool.

mod inflate;

use std::{ops::ControlFlow, sync::Arc};

use serde::Serialize;
use thiserror::Error;

pub use self::inflate::{Encoding, inflate};
use crate::{DeadLetterCode, Framer, Framing, Limits, Router, Unwrap, spool::SpoolRecord};

/// How far a body may inflate, and into how many records it may fall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PushLimits {
    /// Decompressed bytes of one request; a body with more is refused whole.
    pub decoded_bytes: u64,
    /// Beyond the first 16 MiB, decompressed bytes per compressed byte.
    pub ratio: u64,
    /// Records of one request: each costs some microseconds, however few bytes it has. A body with
    /// more is refused whole.
    pub records: u64,
}

impl Default for PushLimits {
    fn default() -> Self {
        PushLimits { decoded_bytes: 64 << 20, ratio: 100, records: 50_000 }
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
    /// 413.
    #[error("the body holds more than {max} records; send fewer at once")]
    TooMany {
        /// The most.
        max: u64,
    },
    /// 503: as much memory as may be is in use.
    #[error("there is no memory for the body now; send it again, or less at once")]
    NoMemory,
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
            PushError::TooLarge { .. } | PushError::TooMany { .. } => 413,
            PushError::NoMemory => 503,
        }
    }
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
/// [`PushError::Empty`], [`PushError::TooMany`].
pub fn read(
    router: &mut Router,
    body: &[u8],
    received_at: i64,
    source: Option<&Arc<str>>,
    limits: PushLimits,
) -> Result<Pushed, PushError> {
    // All of them are counted before one is looked at, which costs far more.
    let (mut records, mut seen) = (Vec::new(), 0);
    let all = split(body, |line, record| {
        seen += records_in(record);
        if seen > limits.records {
            return ControlFlow::Break(());
        }
        records.push((line, record.to_vec()));
        ControlFlow::Continue(())
    });
    if all.is_break() {
        return Err(PushError::TooMany { max: limits.records });
    }
    if records.is_empty() {
        return Err(PushError::Empty);
    }
    let mut pushed = Pushed { records: Vec::new(), answer: PushAnswer::default() };
    let spooled = |bytes: Vec<u8>| SpoolRecord { received_at, source: source.cloned(), bytes };
    // Lines below a header line go with it: alone they would be read in another order of fields.
    let mut header: Option<SpoolRecord> = None;
    for (line, record) in records {
        if router.is_header(&record) {
            header = Some(spooled(record.clone()));
            pushed.records.push(spooled(record));
            continue;
        }
        match router.check(&record) {
            Ok(()) => pushed.answer.accepted += 1,
            Err((code, detail)) => pushed.answer.reject(line, code, detail),
        }
        let Some(header) = &header else {
            pushed.records.push(spooled(record));
            continue;
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
            last.bytes.extend_from_slice(&record);
        }
    }
    Ok(pushed)
}

/// How many records a line becomes when it is decoded: JSON values may follow each other on it, and a
/// wrapper holds them in an array of its own. Not less than one.
fn records_in(line: &[u8]) -> u64 {
    if !matches!(line.trim_ascii_start().first(), Some(b'{' | b'[')) {
        return 1;
    }
    // Per open bracket of the first two levels: whether it is an array, and its commas.
    let mut open = [(false, 0_u64); 2];
    let (mut depth, mut values, mut longest) = (0_usize, 0_u64, 0_u64);
    let (mut in_text, mut escaped, mut in_word) = (false, false, false);
    for &byte in line {
        if in_text {
            (in_text, escaped) = (byte != b'"' || escaped, byte == b'\\' && !escaped);
            continue;
        }
        let begins = match byte {
            b'"' => {
                in_text = true;
                true
            }
            b'{' | b'[' => true,
            b'}' | b']' | b',' | b':' => false,
            byte => !byte.is_ascii_whitespace() && !in_word,
        };
        in_word = !byte.is_ascii_whitespace()
            && !matches!(byte, b'"' | b'{' | b'[' | b'}' | b']' | b',' | b':');
        values += u64::from(begins && depth == 0);
        match byte {
            b'{' | b'[' => {
                if let Some(level) = open.get_mut(depth) {
                    *level = (byte == b'[', 0);
                }
                depth += 1;
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if let Some((true, commas)) = open.get(depth) {
                    longest = longest.max(commas + 1);
                }
            }
            b',' => {
                if let Some((_, commas)) = depth.checked_sub(1).and_then(|d| open.get_mut(d)) {
                    *commas += 1;
                }
            }
            _ => {}
        }
    }
    values.max(longest).max(1)
}

/// Gives each record of a body with its line (in an array: its number): JSON or text lines, one JSON
/// array, or JSON values over several lines. Blank lines are none; a last line needs no newline.
fn split(body: &[u8], mut give: impl FnMut(u64, &[u8]) -> ControlFlow<()>) -> ControlFlow<()> {
    let text = body.strip_prefix(crate::frame::BOM).unwrap_or(body).trim_ascii_start();
    let array = text.first() == Some(&b'[');
    let json = array || text.first() == Some(&b'{');
    let framing = if json { Framing::Json(Unwrap::default()) } else { Framing::Lines };
    // The body has its own limit; what is too large is set aside later, whole.
    let mut framer =
        Framer::of_message(&framing, Limits { record_bytes: usize::MAX, ..Limits::default() });
    let mut number = 0;
    let mut hand_on = |framer: &mut Framer| {
        let framed = framer.take();
        for (record, line) in framed.records.iter().zip(&framed.lines) {
            if !record.trim_ascii().is_empty() {
                number += 1;
                give(if array { number } else { *line }, record)?;
            }
        }
        ControlFlow::Continue(())
    };
    for piece in body.chunks(1 << 20) {
        framer.push(piece);
        hand_on(&mut framer)?;
    }
    framer.finish();
    hand_on(&mut framer)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_counted_as_they_are_decoded() {
        for (line, count) in [
            (r#"{"a":1}"#, 1),
            ("plain text }{ with [1,2,3] in it", 1),
            (r#"{"a":1}{"b":2} {"c":3}"#, 3),
            (r#"{"message":"}{}{}{ \" }{"}"#, 1),
            (r#"{"a":"\\"}{"b":"}{"}"#, 2),
            (r#"[1,2,3]"#, 3),
            (r#"{"Records":[{"a":[1,2,3,4,5]},{"b":1}]}"#, 2),
            (r#"{"a":{"list":[1,2,3,4,5,6]}}"#, 1),
            (r#"{} 1 2 "x" true[]"#, 6),
            (r#"{"a":"cut off"#, 1),
        ] {
            assert_eq!(records_in(line.as_bytes()), count, "{line}");
        }
    }
}
