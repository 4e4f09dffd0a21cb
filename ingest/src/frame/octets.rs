//! Frames of RFC 6587 octet counting, `138 <38>1 ..`, one after another with or without a newline
//! between them, as a stream of syslog is recorded. The count is no part of the record. Not the line.
//!
//! A count may be wrong: the stream was cut, or its sender counted characters. Then the frame goes on
//! to the end of the line or to what looks like the next frame, whichever comes first.

use std::mem;

use super::{Framer, Mode};

/// Where in a frame the next byte is.
#[derive(Debug)]
pub(super) struct Octets {
    at: At,
}

#[derive(Debug)]
enum At {
    /// Before a frame: what was read of its count. The frame before it is open until this is one.
    Count(Vec<u8>),
    /// In a frame of which so many bytes are left.
    Body(usize),
    /// In a frame whose count was wrong.
    Line,
}

/// Whether bytes are the count of a frame, and the `<` that begins it.
enum Count {
    Of(usize),
    MayBe,
    No,
}

/// Digits of a count: a frame has less than 10 MB.
const DIGITS_MAX: usize = 7;
/// Bytes of a count, its blank and the longest priority, `<191>`.
const HEAD_MAX: usize = DIGITS_MAX + 1 + 5;

/// Whether an input begins with a frame; `None` if that is not to be told before more of it is read.
pub(super) fn begins(head: &[u8]) -> Option<bool> {
    let count = match count(head) {
        Count::No => return Some(false),
        Count::MayBe => return None,
        Count::Of(count) => count,
    };
    let start = head.iter().position(|b| *b == b'<').unwrap_or_default();
    let body = head.get(start..).unwrap_or_default();
    if !is_priority(body) {
        return if body.len() < 5 && !body.contains(&b'>') { None } else { Some(false) };
    }
    let after = body.get(count..)?;
    // The line end after a frame is counted by some senders and not by others.
    match after.iter().position(|b| !is_between(*b)) {
        Some(next) => match self::count(after.get(next..).unwrap_or_default()) {
            Count::Of(_) => Some(true),
            Count::MayBe => None,
            Count::No => Some(false),
        },
        None => None,
    }
}

/// Whether a whole input is a frame, or begins with one.
pub(crate) fn is_framed(input: &[u8]) -> bool {
    begins(input).unwrap_or_else(|| match count(input) {
        Count::Of(count) => {
            let start = input.iter().position(|b| *b == b'<').unwrap_or_default();
            let body = input.get(start..).unwrap_or_default();
            is_priority(body) && (body.len() >= count || !body.contains(&b'\n'))
        }
        Count::MayBe | Count::No => false,
    })
}

/// `138 <`.
fn count(bytes: &[u8]) -> Count {
    let digits = bytes.iter().take_while(|b| b.is_ascii_digit()).count();
    if digits > DIGITS_MAX || bytes.first() == Some(&b'0') {
        return Count::No;
    }
    match bytes.get(digits..).unwrap_or_default() {
        [] => Count::MayBe,
        [b' '] if digits > 0 => Count::MayBe,
        [b' ', b'<', ..] if digits > 0 => {
            let count = bytes.iter().take(digits);
            Count::Of(count.fold(0, |n, b| n * 10 + usize::from(b - b'0')))
        }
        _ => Count::No,
    }
}

/// What senders put between frames, or at the end of one.
fn is_between(byte: u8) -> bool {
    byte == 0 || byte.is_ascii_whitespace()
}

/// `<38>`.
fn is_priority(bytes: &[u8]) -> bool {
    let digits = bytes.iter().skip(1).take_while(|b| b.is_ascii_digit()).count();
    (1..=3).contains(&digits) && bytes.get(digits + 1) == Some(&b'>')
}

/// The count of the frame whose priority ends these bytes, and where the count begins.
fn ends_with_head(bytes: &[u8]) -> Option<(usize, usize)> {
    let from = bytes.len().saturating_sub(HEAD_MAX);
    let open = from + bytes.get(from..)?.iter().rposition(|b| *b == b'<')?;
    let blank = open.checked_sub(1)?;
    let before = bytes.get(..blank)?;
    let digits = before.iter().rev().take(DIGITS_MAX).take_while(|b| b.is_ascii_digit()).count();
    let start = blank - digits;
    match count(bytes.get(start..)?) {
        Count::Of(count) if is_priority(bytes.get(open..)?) => Some((start, count)),
        _ => None,
    }
}

impl Octets {
    pub(super) fn new() -> Self {
        Octets { at: At::Count(Vec::new()) }
    }
}

impl Framer {
    pub(super) fn push_frames(&mut self, input: &[u8]) {
        let Mode::Octets(octets) = &mut self.mode else { return };
        let mut octets = mem::replace(octets, Octets::new());
        self.push_octets(&mut octets, input);
        self.mode = Mode::Octets(octets);
    }

    fn push_octets(&mut self, octets: &mut Octets, mut input: &[u8]) {
        while let Some(&first) = input.first() {
            let taken = match &mut octets.at {
                At::Count(read) if read.is_empty() && is_between(first) => {
                    self.close_frame();
                    1
                }
                At::Count(read) => {
                    read.push(first);
                    match count(read) {
                        Count::MayBe => {}
                        Count::Of(count) if (1..=self.limits.record_bytes).contains(&count) => {
                            self.close_frame();
                            self.offset += read.len() as u64 - 1;
                            self.append(b"<");
                            self.offset += 1;
                            octets.at = At::Body(count - 1);
                        }
                        found @ (Count::Of(_) | Count::No) => {
                            // The count is no use, but a frame begins.
                            if matches!(found, Count::Of(_)) {
                                self.close_frame();
                            }
                            let read = mem::take(read);
                            octets.at = At::Line;
                            self.push_octets(octets, &read);
                        }
                    }
                    input = input.get(1..).unwrap_or_default();
                    continue;
                }
                At::Body(0) => {
                    octets.at = At::Count(Vec::new());
                    continue;
                }
                At::Body(left) => {
                    let taken = (*left).min(input.len());
                    *left -= taken;
                    self.append(input.get(..taken).unwrap_or_default());
                    taken
                }
                At::Line => match memchr::memchr2(b'\n', b'>', input) {
                    Some(end) if input.get(end) == Some(&b'\n') => {
                        self.append(input.get(..end).unwrap_or_default());
                        self.close_frame();
                        octets.at = At::Count(Vec::new());
                        end + 1
                    }
                    Some(end) => {
                        self.append(input.get(..=end).unwrap_or_default());
                        self.offset += end as u64 + 1;
                        octets.at = self.next_frame().unwrap_or(At::Line);
                        input = input.get(end + 1..).unwrap_or_default();
                        continue;
                    }
                    None => {
                        self.append(input);
                        input.len()
                    }
                },
            };
            let (now, later) = input.split_at(taken);
            self.offset += taken as u64;
            self.line += memchr::memchr_iter(b'\n', now).count() as u64;
            input = later;
        }
    }

    /// The input has ended, maybe in the middle of a frame.
    pub(super) fn finish_octets(&mut self) {
        let Mode::Octets(octets) = &mut self.mode else { return };
        if let At::Count(read) = &mut octets.at {
            let read = mem::take(read);
            self.append(&read);
        }
        self.close_frame();
    }

    /// Ends the open record where the bytes that were read last are the head of the next frame, and
    /// begins that.
    fn next_frame(&mut self) -> Option<At> {
        let record = self.bytes.get(self.open.start..)?;
        let (start, count) = ends_with_head(record)?;
        let head = record.get(start..)?;
        let digits = head.iter().take_while(|b| **b != b'<').count();
        let head = head.get(digits..)?.to_vec();
        let left = count.checked_sub(head.len())?;
        if count > self.limits.record_bytes {
            return None;
        }
        self.bytes.truncate(self.open.start + start);
        self.close_frame();
        self.append(&head);
        self.open.offset -= head.len() as u64;
        Some(At::Body(left))
    }

    /// Ends the open record, if there is one, without the line end that its sender counted.
    fn close_frame(&mut self) {
        if self.open.oversize.is_none() {
            let end = |b: Option<&u8>| matches!(b, Some(b'\n' | b'\r' | 0));
            while self.bytes.len() > self.open.start && end(self.bytes.last()) {
                self.bytes.pop();
            }
        }
        if self.open.oversize.is_some() || self.bytes.len() > self.open.start {
            self.close();
        } else {
            self.discard_open();
        }
    }
}
