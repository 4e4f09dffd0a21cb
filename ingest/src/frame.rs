//! A byte stream cut into records, in bounded memory. Not decompression, not decoding.

use std::{collections::BTreeMap, mem, ops::Range};

use sluice_event::Records;

use self::{
    export::Export,
    octets::Octets,
    parts::{PartOf, Partial, Stream},
    scan::{Event, Scanner},
    table::{Rows, Table},
};
use crate::{DeadLetterCode, Fault, Limits, Original, detect::ask::looks_json};

pub(crate) mod export;
pub(crate) mod octets;
mod parts;
mod scan;
mod table;
mod unwrap;
mod verbose;

pub use unwrap::Unwrap;
pub(crate) use {parts::is_part, unwrap::Wrapped};

/// How the input of a source is cut into records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Framing {
    /// One record per line.
    Lines,
    /// One record per line, of fields with these names.
    Fields(Vec<String>),
    /// One record per line, whose time may have no year: then the order of the lines tells it.
    Syslog,
    /// JSON: one value per line, or pretty-printed values, or arrays of records, as the head of the
    /// input says.
    Json(Unwrap),
}

/// Cuts the bytes of one partition into records. Push bytes, then take what is complete.
///
/// A record over the limit becomes a [`Fault`] with its first bytes, its length and hash, and reading
/// goes on at the next record; nothing larger than the limit is ever held.
///
/// ```
/// use sluice_ingest::{Framer, Framing, Limits};
///
/// let mut framer = Framer::new(&Framing::Lines, Limits::default());
/// framer.push(b"one\ntw");
/// framer.push(b"o");
/// framer.finish();
/// let framed = framer.take();
/// let records: Vec<&[u8]> = framed.records.iter().collect();
/// assert_eq!(records, [b"one", b"two"]);
/// assert_eq!(framed.lines, [1, 2]);
/// ```
#[derive(Debug)]
pub struct Framer {
    limits: Limits,
    mode: Mode,
    bytes: Vec<u8>,
    spans: Vec<Range<usize>>,
    lines: Vec<u64>,
    offsets: Vec<u64>,
    faults: Vec<Fault>,
    open: Open,
    /// Lines of which parts have come.
    partial: BTreeMap<Stream, Partial>,
    /// The byte that ends a line, and whether it may be another than a newline.
    line_end: u8,
    is_message: bool,
    /// Position of the next byte.
    line: u64,
    offset: u64,
}

/// Complete records, in order.
#[derive(Debug)]
pub struct Framed {
    /// The original bytes.
    pub records: Records,
    /// Per record: the line it starts on, from 1.
    pub lines: Vec<u64>,
    /// Per record: the byte it starts at.
    pub offsets: Vec<u64>,
    /// Records that could not be cut out.
    pub faults: Vec<Fault>,
}

#[derive(Debug)]
enum Mode {
    /// Until the head of the input says which: the bytes so far.
    Undecided(Vec<u8>, Framing),
    /// One record per line; JSON lines may be unwrapped.
    Lines(Option<Wrapped>),
    /// JSON values that span lines, or arrays of records.
    Document(Box<Scanner>),
    /// Entries of a journal.
    Export(Export),
    /// Frames that each have their length before them.
    Octets(Octets),
    /// Rows of a table.
    Table(Table),
    /// Entries of a journal as people read them; whether a line begins next.
    Verbose(bool),
}

/// The record being read: `bytes[start..]`.
#[derive(Debug, Default)]
struct Open {
    start: usize,
    line: u64,
    offset: u64,
    /// Anything of it was read.
    begun: bool,
    oversize: Option<Oversize>,
}

#[derive(Debug)]
struct Oversize {
    head: Vec<u8>,
    length: u64,
    hasher: Box<blake3::Hasher>,
}

/// How much of the input is looked at to tell lines from documents.
const HEAD_BYTES: usize = 64 * 1024;

impl Framer {
    /// A framer at the start of its input.
    pub fn new(framing: &Framing, limits: Limits) -> Self {
        Framer {
            limits,
            mode: Mode::Undecided(Vec::new(), framing.clone()),
            bytes: Vec::new(),
            spans: Vec::new(),
            lines: Vec::new(),
            offsets: Vec::new(),
            faults: Vec::new(),
            open: Open { line: 1, ..Open::default() },
            partial: BTreeMap::new(),
            line_end: b'\n',
            is_message: false,
            line: 1,
            offset: 0,
        }
    }

    /// A framer of what one sender gave at once: a carriage return in it ends no record. There may be
    /// one line only, and who is named in that could write it.
    pub(crate) fn of_message(framing: &Framing, limits: Limits) -> Self {
        Framer { is_message: true, ..Framer::new(framing, limits) }
    }

    /// Reads more of the input.
    pub fn push(&mut self, input: &[u8]) {
        if let Mode::Undecided(head, framing) = &mut self.mode {
            let room = HEAD_BYTES - head.len().min(HEAD_BYTES);
            let (now, later) = input.split_at(room.min(input.len()));
            head.extend_from_slice(now);
            // Lines are lines at once: what is typed is read while it is typed.
            let start = head.strip_prefix(BOM).unwrap_or(head);
            let lines = !matches!(framing, Framing::Json(_)) && start.trim_ascii_start().len() > 1;
            let lines = lines && !looks_json(head) && !export::may_begin(head);
            let lines = lines && !verbose::may_begin(start) && !Table::may_begin(start);
            // But for frames, and not before the first of them has ended: with what is to be seen.
            let lines =
                lines && octets::begins(start).is_some() && memchr::memchr(b'\n', head).is_some();
            if head.len() >= HEAD_BYTES || lines {
                self.decide();
                self.push(later);
            }
            return;
        }
        match &self.mode {
            Mode::Undecided(..) => {}
            Mode::Lines(_) => self.push_lines(input),
            Mode::Document(_) => self.push_document(input),
            Mode::Export(_) => self.push_export(input),
            Mode::Octets(_) => self.push_frames(input),
            Mode::Table(_) => self.push_table(input),
            Mode::Verbose(_) => self.push_verbose(input),
        }
    }

    /// The input has ended: a last record without a newline counts.
    pub fn finish(&mut self) {
        self.decide();
        self.finish_octets();
        if self.open.begun {
            match &self.mode {
                Mode::Undecided(..) | Mode::Octets(_) => {}
                Mode::Lines(_) => self.end_line(),
                Mode::Document(_) | Mode::Export(_) => self.close(),
                Mode::Table(_) => self.end_row(),
                Mode::Verbose(_) => self.end_entry(),
            }
        }
        // Their last part never came.
        for (stream, mut partial) in mem::take(&mut self.partial) {
            PartOf::close(&mut partial.bytes, stream);
            self.whole(partial);
        }
    }

    /// Complete records waiting.
    pub fn len(&self) -> usize {
        self.spans.len() + self.faults.len()
    }

    /// Whether none is waiting.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes held, complete records and the open one.
    pub fn held(&self) -> usize {
        self.bytes.len() + self.partial.values().map(|p| p.bytes.len()).sum::<usize>()
    }

    /// Sets something aside that is no record of the input: its end is not what it should be.
    pub fn fault(&mut self, code: DeadLetterCode, message: String) {
        self.faults.push(Fault {
            code,
            message,
            line: self.line,
            offset: self.offset,
            original: Original::Whole(Vec::new()),
            received_at: None,
            envelope: None,
        });
    }

    /// Takes the complete records.
    pub fn take(&mut self) -> Framed {
        let start = self.open.start.min(self.bytes.len());
        // The next chunk is about as large; one that is a little larger is not to double the room.
        let mut tail = Vec::with_capacity(self.bytes.len() + self.bytes.len() / 8);
        tail.extend_from_slice(&self.bytes[start..]);
        let mut bytes = mem::replace(&mut self.bytes, tail);
        bytes.truncate(start);
        self.open.start = 0;
        Framed {
            records: Records::new(bytes.into(), mem::take(&mut self.spans)),
            lines: mem::take(&mut self.lines),
            offsets: mem::take(&mut self.offsets),
            faults: mem::take(&mut self.faults),
        }
    }

    fn decide(&mut self) {
        if let Mode::Undecided(head, framing) = &mut self.mode {
            let head = mem::take(head);
            let framing = mem::replace(framing, Framing::Lines);
            let start = head.strip_prefix(BOM).unwrap_or(&head);
            self.line_end = if self.is_message { b'\n' } else { line_end(&head) };
            let rows = match &framing {
                Framing::Lines | Framing::Syslog => Rows::Wrappers(&[]),
                Framing::Fields(names) => Rows::Wrappers(names),
                Framing::Json(_) => Rows::Records,
            };
            let table = Table::begin(start, rows);
            let header = table.as_ref().map_or(0, |(_, length)| *length);
            self.mode = match (table, &framing) {
                _ if export::begins(start) => Mode::Export(Export::new()),
                _ if octets::is_framed(start) => Mode::Octets(Octets::new()),
                _ if verbose::begins(start) => Mode::Verbose(true),
                (Some((table, _)), _) => Mode::Table(table),
                (None, Framing::Lines | Framing::Syslog | Framing::Fields(_))
                    if !looks_json(start) =>
                {
                    Mode::Lines(None)
                }
                (None, framing) => {
                    // What is sent as lines may be JSON around them.
                    let unwrap = match framing {
                        Framing::Json(unwrap) => unwrap.clone(),
                        Framing::Lines | Framing::Syslog | Framing::Fields(_) => Unwrap::default(),
                    };
                    match is_document(&head, self.line_end, &unwrap) {
                        true => Mode::Document(Box::new(Scanner::new(&unwrap))),
                        false => Mode::Lines(Some(Wrapped::new(unwrap))),
                    }
                }
            };
            let head: &[u8] = match &self.mode {
                Mode::Export(_) | Mode::Octets(_) => {
                    self.offset = (head.len() - start.len()) as u64;
                    start
                }
                Mode::Table(_) => {
                    self.offset = (head.len() - start.len() + header) as u64;
                    let lines = start.get(..header).unwrap_or_default();
                    self.line += memchr::memchr_iter(b'\n', lines).count() as u64;
                    start.get(header..).unwrap_or_default()
                }
                Mode::Undecided(..) | Mode::Lines(_) | Mode::Document(_) | Mode::Verbose(_) => {
                    &head
                }
            };
            self.push(head);
        }
    }

    fn push_lines(&mut self, mut input: &[u8]) {
        while let Some(at) = memchr::memchr(self.line_end, input) {
            self.append(&input[..at]);
            self.open.begun = true;
            self.advance(&input[..at]);
            self.end_line();
            self.offset += 1;
            self.line += 1;
            self.begin();
            self.open.begun = false;
            input = &input[at + 1..];
        }
        if !input.is_empty() {
            self.append(input);
            self.advance(input);
        }
    }

    fn push_document(&mut self, input: &[u8]) {
        let Mode::Document(scanner) = &mut self.mode else { return };
        let mut scanner = mem::take(scanner);
        // Where the bytes of the open record that are not yet appended begin.
        let mut from = 0;
        let mut at = 0;
        while at < input.len() {
            if let Some(skip) = scanner.skip(&input[at..]) {
                at += skip;
                self.offset += skip as u64;
                continue;
            }
            let byte = input[at];
            match scanner.step(byte) {
                Event::None => {}
                Event::Begin => {
                    from = at;
                    self.begin();
                }
                Event::Discard => {
                    self.discard();
                    from = at + 1;
                }
                Event::DiscardAndBegin => {
                    self.discard();
                    self.begin();
                    from = at;
                }
                Event::End => {
                    self.append(&input[from..=at]);
                    self.close();
                    from = at + 1;
                }
                Event::EndBefore => {
                    self.append(&input[from..at]);
                    self.close();
                    from = at + 1;
                }
                Event::EndBeforeAndBegin => {
                    self.append(&input[from..at]);
                    self.close();
                    self.begin();
                    from = at;
                }
            }
            self.offset += 1;
            self.line += u64::from(byte == b'\n');
            at += 1;
        }
        if self.open.begun {
            self.append(&input[from.min(input.len())..]);
        }
        self.mode = Mode::Document(scanner);
    }

    fn begin(&mut self) {
        self.open = Open {
            start: self.bytes.len(),
            line: self.line,
            offset: self.offset,
            begun: true,
            oversize: None,
        };
    }

    fn append(&mut self, piece: &[u8]) {
        if piece.is_empty() {
            return;
        }
        if !self.open.begun {
            self.begin();
        }
        let held = self.bytes.len() - self.open.start;
        if let Some(over) = &mut self.open.oversize {
            over.hasher.update(piece);
            over.length += piece.len() as u64;
        } else if held + piece.len() > self.limits.record_bytes {
            let mut hasher = Box::new(blake3::Hasher::new());
            hasher.update(&self.bytes[self.open.start..]);
            hasher.update(piece);
            let mut head = self.bytes.split_off(self.open.start);
            let length = (head.len() + piece.len()) as u64;
            let room = self.limits.record_bytes.saturating_sub(head.len());
            head.extend_from_slice(&piece[..piece.len().min(room)]);
            self.open.oversize = Some(Oversize { head, length, hasher });
        } else {
            self.bytes.extend_from_slice(piece);
        }
    }

    fn advance(&mut self, piece: &[u8]) {
        self.offset += piece.len() as u64;
    }

    /// Ends the record of a line.
    fn end_line(&mut self) {
        if self.open.oversize.is_none() {
            if self.bytes.len() > self.open.start && self.bytes.last() == Some(&b'\r') {
                self.bytes.pop();
            }
            // A file put together of some with other line ends.
            if self.line_end == b'\r' && self.bytes.get(self.open.start) == Some(&b'\n') {
                self.open.start += 1;
            }
            if self.open.offset == 0 && self.bytes[self.open.start..].starts_with(BOM) {
                self.open.start += BOM.len();
            }
            // A file that was truncated while it was written begins with zeros.
            let line = &self.bytes[self.open.start..];
            if line.first() == Some(&0) || line.last() == Some(&0) {
                let before = line.iter().take_while(|b| **b == 0).count();
                let after = line.iter().rev().take_while(|b| **b == 0).count();
                let end = self.bytes.len() - if before < line.len() { after } else { 0 };
                self.bytes.truncate(end);
                self.open.start += before;
            }
            if self.join() {
                return;
            }
            if let Mode::Lines(Some(wrapped)) = &self.mode {
                let line = &self.bytes[self.open.start..];
                if let Some(spans) = wrapped.elements(line) {
                    for span in spans {
                        let start = self.open.start + span.start;
                        self.spans.push(start..self.open.start + span.end);
                        self.lines.push(self.open.line);
                        self.offsets.push(self.open.offset + span.start as u64);
                    }
                    self.discard_open();
                    return;
                }
            }
        }
        self.close();
    }

    /// Ends the open record.
    fn close(&mut self) {
        if !self.open.begun {
            return;
        }
        match self.open.oversize.take() {
            Some(Oversize { head, length, hasher }) => {
                let max = self.limits.record_bytes;
                self.faults.push(Fault {
                    code: DeadLetterCode::TooLarge,
                    message: format!("a record of {length} bytes; the limit is {max}"),
                    line: self.open.line,
                    offset: self.open.offset,
                    original: Original::Stub { head, length, hash: *hasher.finalize().as_bytes() },
                    received_at: None,
                    envelope: None,
                });
            }
            None => {
                self.spans.push(self.open.start..self.bytes.len());
                self.lines.push(self.open.line);
                self.offsets.push(self.open.offset);
            }
        }
        self.discard_open();
    }

    /// What was read of the open value is a wrapper around records, not a record.
    fn discard(&mut self) {
        self.bytes.truncate(self.open.start);
        self.discard_open();
    }

    fn discard_open(&mut self) {
        self.open = Open { start: self.bytes.len(), ..Open::default() };
    }
}

pub(crate) const BOM: &[u8] = b"\xef\xbb\xbf";

/// What ends the lines of an input, by its head: a carriage return only if there is no newline.
fn line_end(head: &[u8]) -> u8 {
    match memchr::memchr(b'\n', head).is_none() && memchr::memchr(b'\r', head).is_some() {
        true => b'\r',
        false => b'\n',
    }
}

/// Whether the head of a JSON input shows values that span lines, or records inside a value.
fn is_document(head: &[u8], line_end: u8, unwrap: &Unwrap) -> bool {
    let head = head.strip_prefix(BOM).unwrap_or(head);
    let zeros = head.iter().take_while(|b| **b == 0).count();
    let head = head.get(zeros..).unwrap_or_default().trim_ascii_start();
    let head = head.strip_prefix(b"\x1e").unwrap_or(head);
    match head.first() {
        // `[pod/web-1/main] {..}` is a line of text, `["tag",1767225600,{..}]` one record.
        Some(b'[') => return looks_json(head) && !scan::is_tuple(head),
        Some(b'{') => {}
        _ => return false,
    }
    let complete = |line: &[u8]| scan::is_one_object(line.trim_ascii());
    let mut lines = head.split(|b| *b == line_end).filter(|l| !l.trim_ascii().is_empty());
    let first = lines.next().unwrap_or(head);
    let second = lines.next();
    if complete(first) && second.is_some_and(|l| l.trim_ascii_start().starts_with(b"{")) {
        return false;
    }
    if scan::finds_elements(head, unwrap) {
        return true;
    }
    // The first line may be a damaged one: the others tell.
    let rest: Vec<&[u8]> = second.into_iter().chain(lines).take(64).collect();
    let (whole, all) = (rest.iter().filter(|l| complete(l)).count(), rest.len());
    !complete(first) && whole * 2 < all
}
