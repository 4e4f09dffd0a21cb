//! Which source an input looks like, and what that was told from. A guess for `--source auto`, not
//! a parse.

use std::fmt;

use self::ask::Asker;
use crate::{
    Framer, Limits, SourceSpec,
    envelope::Piece,
    frame::{BOM, export},
};

pub(crate) mod ask;

/// What an input looks like.
#[derive(Clone, Debug, PartialEq)]
pub struct Detection {
    /// The kind of bytes.
    pub looks: Looks,
    /// Records that were looked at.
    pub sampled: usize,
    /// The source most of them look like: at least half, or one in twenty where no other is seen.
    pub best: Option<Match>,
    /// The source that comes second, if any record looks like it.
    pub runner_up: Option<Match>,
    /// What it is, if it holds no events at all: `cloudtrail digest`.
    pub bystander: Option<String>,
    /// Why records in it are not read, if they are of a format that is known for that.
    pub refused: Option<String>,
    /// The format of a binary file that begins in a known way.
    pub format: Option<&'static str>,
}

/// How many records look like one source.
#[derive(Clone, Debug, PartialEq)]
pub struct Match {
    /// The source.
    pub source: String,
    /// How many of the records that were looked at.
    pub records: usize,
    /// Of how many.
    pub sampled: usize,
}

/// The kind of bytes of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looks {
    /// Nothing, or only white space.
    Empty,
    /// Not text.
    Binary,
    /// JSON values.
    Json,
    /// Lines of text.
    Text,
}

/// The most records looked at.
const SAMPLE_MAX: usize = 1_200;

/// The share of the records that look like a source from which on an input is of it.
const MOST: f64 = 0.5;
/// The same where no record looks like another source: a container that writes its audit log among
/// messages of its own.
const ALONE_MIN: f64 = 0.05;

/// Compares the head of an input with what each source declares in `detect`.
pub fn detect<'s>(sources: impl IntoIterator<Item = &'s SourceSpec>, head: &[u8]) -> Detection {
    let looks = looks(head);
    let mut found: Vec<(Match, usize)> = Vec::new();
    let mut sampled = 0;
    let (mut bystander, mut refused) = (None, None);
    if matches!(looks, Looks::Json | Looks::Text) {
        for spec in sources {
            let seen = compare(spec, head);
            sampled = sampled.max(seen.sampled);
            refused = refused.or(seen.refused);
            if seen.sampled == 0 && bystander.is_none() {
                bystander = seen.bystander;
            }
            if seen.records > 0 {
                let source = spec.source.to_string();
                let special = ask::special(spec);
                found.push((
                    Match { source, records: seen.records, sampled: seen.sampled },
                    special,
                ));
            }
        }
        if sampled == 0 && bystander.is_none() {
            sampled = records_of(&crate::Framing::Lines, head).0.len();
        }
    }
    // The larger share first; among equals the one that asks for more, then by name.
    found.sort_by(|(a, a_special), (b, b_special)| {
        b.share().total_cmp(&a.share()).then(b_special.cmp(a_special)).then(a.source.cmp(&b.source))
    });
    let mut found = found.into_iter().map(|(found, _)| found);
    let first = found.next();
    let next = found.next();
    // A source that is the only one has what else is among its records counted, not taken.
    let least = if next.is_none() { ALONE_MIN } else { MOST };
    let (best, runner_up) = match first {
        Some(first) if first.share() >= least => (Some(first), next),
        first => (None, first),
    };
    let format = format_of(head);
    Detection { looks, sampled, best, runner_up, bystander, refused, format }
}

impl Match {
    /// The share of the records, 0 to 1.
    pub fn share(&self) -> f64 {
        if self.sampled == 0 { 0.0 } else { self.records as f64 / self.sampled as f64 }
    }
}

/// `98 % of 1,200 records look like okta.system; next is aws.cloudtrail with 1 %`.
impl fmt::Display for Detection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let records = |n: usize| match n {
            1 => "1 record".to_owned(),
            n => format!("{} records", thousands(n)),
        };
        match (&self.best, self.looks) {
            (Some(best), _) => {
                let percent = (best.share() * 100.0).floor();
                write!(f, "{percent} % of {} look like {}", records(best.sampled), best.source)?;
            }
            (None, _) if self.bystander.is_some() => {
                let what = self.bystander.as_deref().unwrap_or_default();
                return write!(f, "{what}: no events");
            }
            (None, Looks::Json | Looks::Text) if self.refused.is_some() => {
                return f.write_str(self.refused.as_deref().unwrap_or_default());
            }
            (None, Looks::Empty) => return f.write_str("the input is empty"),
            (None, Looks::Binary) => {
                f.write_str("the input is not text: not a log")?;
                return match self.format {
                    Some(format) => write!(f, "; it begins like {format}"),
                    None => Ok(()),
                };
            }
            (None, Looks::Json) => {
                write!(f, "JSON, but no source looks like it ({} seen)", records(self.sampled))?;
            }
            (None, Looks::Text) => {
                write!(f, "lines of text, but no source looks like them")?;
                write!(f, " ({} seen)", records(self.sampled))?;
            }
        }
        match &self.runner_up {
            Some(next) => {
                write!(f, "; next is {} with {} %", next.source, (next.share() * 100.0).floor())
            }
            None => Ok(()),
        }
    }
}

fn thousands(n: usize) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// The formats that logs are also kept in and that are not read, by how they begin.
const FORMATS: [(&[u8], &str); 14] = [
    (b"BZh", "bzip2: decompress it first"),
    (b"\xfd7zXZ\0", "xz: decompress it first"),
    (b"PK\x03\x04", "a zip archive: unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it first"),
    (b"\x04\x22\x4d\x18", "lz4: decompress it first"),
    (b"\x1f\x9d", "compress: decompress it first"),
    (b"PAR1", "Parquet: export it as JSON lines"),
    (b"Obj\x01", "Avro: export it as JSON lines"),
    (b"ORC", "ORC: export it as JSON lines"),
    (b"ElfFile\0", "a Windows event log: export it as JSON lines"),
    (b"LPKSHHRH", "a journal: export it with `journalctl --file FILE -o json`"),
    (b"\xd4\xc3\xb2\xa1", "a packet capture, which is no log"),
    (b"\xa1\xb2\xc3\xd4", "a packet capture, which is no log"),
    (b"SQLite format 3\0", "SQLite: export the table as JSON lines"),
];

/// Bytes of a head that tell its format.
pub(crate) const FORMAT_BYTES: usize = 512;

/// The format of a head, and what to do with it, if it is one of those that are not read.
pub(crate) fn format_of(head: &[u8]) -> Option<&'static str> {
    // POSIX, ustar: the name of the first file is padded with zeros, which no text has.
    let tar = head.get(257..262) == Some(b"ustar");
    if tar && head.iter().take(257).any(|b| *b == 0) {
        return Some("a tar archive: unpack it first");
    }
    let (mark, format) = FORMATS.iter().find(|(mark, _)| head.starts_with(mark))?;
    // Text may begin with the letters of a mark.
    let is_text = mark.is_ascii() && !mark.iter().any(u8::is_ascii_control);
    let printed = |b: &u8| b.is_ascii_graphic() || b.is_ascii_whitespace();
    let next = head.get(mark.len()..).unwrap_or_default();
    (!is_text || !next.iter().take(16).all(printed)).then_some(*format)
}

fn looks(head: &[u8]) -> Looks {
    let head = head.strip_prefix(BOM).unwrap_or(head);
    // The lengths of its values are binary.
    if export::begins(head) {
        return Looks::Text;
    }
    // A file that was truncated while it was written begins with zeros.
    let zeros = head.iter().take_while(|b| **b == 0).count();
    let head = head.get(zeros..).unwrap_or_default();
    let text = head.trim_ascii_start();
    if text.is_empty() {
        return if zeros == 0 { Looks::Empty } else { Looks::Binary };
    }
    // Logs have few control characters other than tabs and line ends; but where a machine lost its power
    // while it wrote, there are blocks of zeros.
    let zeros: usize =
        head.chunk_by(|a, b| a == b).filter(|run| is_block(run)).map(<[u8]>::len).sum();
    let control = head.iter().filter(|b| **b < 0x20 && !b.is_ascii_whitespace()).count() - zeros;
    let broken = match std::str::from_utf8(head) {
        Ok(_) => 0,
        Err(_) => String::from_utf8_lossy(head).matches('\u{fffd}').count(),
    };
    if format_of(head).is_some() || (control + broken) * 10 > head.len() {
        return Looks::Binary;
    }
    if ask::looks_json(text) { Looks::Json } else { Looks::Text }
}

/// Whether a run of one byte is part of a block of zeros.
fn is_block(run: &[u8]) -> bool {
    run.len() >= 16 && run.first() == Some(&0)
}

/// What a head is to one source.
#[derive(Default)]
struct Seen {
    /// Records that look like the source.
    records: usize,
    /// Records that were looked at, bystanders left out.
    sampled: usize,
    bystander: Option<String>,
    refused: Option<String>,
}

/// How many records of the head look like a source.
fn compare(spec: &SourceSpec, head: &[u8]) -> Seen {
    let (records, cut) = records_of(&spec.framing(), head);
    let mut asker = Asker::new(spec);
    let mut seen = Seen::default();
    // `{"Records":[]}`, `[]`
    if records.is_empty() && serde_json::from_slice::<serde::de::IgnoredAny>(head).is_ok() {
        seen.bystander = Some("a list without records".to_owned());
    }
    // Lines among which there is one of the source, and which it can read.
    let mut readable = 0;
    let records = records.iter().filter(|r| !r.trim_ascii().is_empty()).take(SAMPLE_MAX);
    for record in records {
        if asker.fits_here(record) {
            seen.records += 1;
            seen.sampled += 1;
            continue;
        }
        let (mut hits, mut pieces, mut skipped) = (0, 0, false);
        asker.open(record, &mut |piece, fits| match piece {
            Piece::Record(..) => {
                pieces += 1;
                hits += usize::from(fits);
            }
            Piece::Skipped(reason, _) => {
                skipped = true;
                seen.bystander = Some(reason.to_string());
            }
            Piece::Refused(_, reason, _) => {
                pieces += 1;
                seen.refused = Some(reason);
            }
        });
        if pieces == 0 && skipped {
            continue;
        }
        seen.sampled += 1;
        seen.records += usize::from(hits > 0);
        readable += usize::from(hits == 0 && pieces == 0 && asker.reads(record));
    }
    if seen.records == 0 && seen.sampled <= 1 && cut && asker.fits_cut(head) {
        return Seen { records: 1, sampled: 1, ..Seen::default() };
    }
    // A log of many programs, one of which the source knows: it reads the lines of the others too.
    if seen.records > 0 && (seen.records + readable) * 2 >= seen.sampled && readable > 0 {
        seen.records = seen.records.max(seen.sampled.div_ceil(2));
    }
    seen
}

/// The complete records of a head, a last one that may be cut off only if it is the only; and
/// whether the head ends in the middle of one.
fn records_of(framing: &crate::Framing, head: &[u8]) -> (Vec<Vec<u8>>, bool) {
    let mut framer = Framer::new(framing, Limits::default());
    framer.push(head);
    framer.finish();
    let framed = framer.take();
    let mut records: Vec<Vec<u8>> = framed.records.iter().map(<[u8]>::to_vec).collect();
    let cut = head.len() >= 256 * 1024 || !head.ends_with(b"\n");
    if cut && records.len() > 1 {
        records.pop();
    }
    (records, cut)
}
