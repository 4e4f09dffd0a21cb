//! Lines that a container runtime has cut in parts, put together: `P` lines of the CRI format, and
//! lines of Docker's json-file without the newline that ends a message. Not the envelopes, which open
//! the line.
//!
//! Only within one input or message. Parts that come as messages of a queue stay apart: such a line
//! names no container, so the parts of two that share a partition could be put together; and the
//! position after a first part may be kept before its last has come. They are set aside as what they
//! are ([`is_part`]).

use memchr::memmem;

use super::{Framer, Open, Oversize};

/// A line that is part of a longer one, or completes it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PartOf<'l> {
    /// The stream it was written to: each has its own parts.
    pub(super) stream: Stream,
    /// Whether nothing follows.
    pub(super) last: bool,
    format: Format<'l>,
}

/// What a container writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stream {
    Out,
    Err,
}

#[derive(Debug, PartialEq, Eq)]
enum Format<'l> {
    /// Before the mark, after it, and what was written.
    Cri { head: &'l [u8], tags: &'l [u8], text: &'l [u8] },
    /// The text as JSON has it, and what follows it.
    Docker { text: &'l [u8], tail: &'l [u8] },
}

/// A line of which parts have come.
#[derive(Debug)]
pub(super) struct Partial {
    pub(super) bytes: Vec<u8>,
    /// Where its first part was.
    line: u64,
    offset: u64,
    oversize: Option<Oversize>,
}

/// Docker cuts at 16 KiB. A shorter line without a newline at its end is the last a process wrote.
const DOCKER_PART: usize = 16 << 10;
const DOCKER_HEAD: &[u8] = b"{\"log\":\"";

/// Whether a line is a part that another follows.
pub(crate) fn is_part(line: &[u8]) -> bool {
    PartOf::of(line, |_| false).is_some()
}

impl Framer {
    /// Puts the line that has ended together with those it is a part of; `false` if it is none.
    pub(super) fn join(&mut self) -> bool {
        let Open { start, line, offset, .. } = self.open;
        let partial = &self.partial;
        let Some(part) = PartOf::of(&self.bytes[start..], |s| partial.contains_key(&s)) else {
            return false;
        };
        let mut joined = self.partial.remove(&part.stream).unwrap_or_else(|| Partial {
            bytes: Vec::new(),
            line,
            offset,
            oversize: None,
        });
        let before = joined.bytes.len();
        part.append_to(&mut joined.bytes);
        if joined.bytes.len() > self.limits.record_bytes {
            joined.overflow(before, self.limits.record_bytes);
        }
        let (stream, last) = (part.stream, part.last);
        self.bytes.truncate(start);
        self.discard_open();
        match last {
            true => self.whole(joined),
            false => drop(self.partial.insert(stream, joined)),
        }
        true
    }

    /// A line that was put together.
    pub(super) fn whole(&mut self, partial: Partial) {
        let Partial { bytes, line, offset, oversize } = partial;
        let start = self.bytes.len();
        // What is over the limit is held by its first bytes only.
        if oversize.is_none() {
            self.bytes.extend_from_slice(&bytes);
        }
        self.open = Open { start, line, offset, begun: true, oversize };
        self.close();
    }
}

impl Partial {
    /// Keeps the first `max` bytes of what has grown over them, and the length and hash of all.
    fn overflow(&mut self, before: usize, max: usize) {
        match &mut self.oversize {
            Some(over) => {
                let added = self.bytes.split_off(before);
                over.hasher.update(&added);
                over.length += added.len() as u64;
            }
            None => {
                let mut hasher = Box::new(blake3::Hasher::new());
                hasher.update(&self.bytes);
                let length = self.bytes.len() as u64;
                let head = self.bytes[..max.min(self.bytes.len())].to_vec();
                self.oversize = Some(Oversize { head, length, hasher });
            }
        }
    }
}

impl<'l> PartOf<'l> {
    /// What a line is, if one of its stream is to be put together (`open`) or it begins one.
    pub(super) fn of(line: &'l [u8], open: impl Fn(Stream) -> bool) -> Option<PartOf<'l>> {
        let part = match line.first()? {
            b'{' => docker(line, &open)?,
            b'0'..=b'9' => cri(line)?,
            _ => return None,
        };
        (!part.last || open(part.stream)).then_some(part)
    }

    /// The line so far with this part at its end; `line` is empty before the first.
    pub(super) fn append_to(&self, line: &mut Vec<u8>) {
        match &self.format {
            Format::Cri { head, tags, text } => {
                if line.is_empty() {
                    line.extend_from_slice(head);
                    line.push(b'F');
                    line.extend_from_slice(tags);
                    line.push(b' ');
                }
                line.extend_from_slice(text);
            }
            Format::Docker { text, tail } => {
                if line.is_empty() {
                    line.extend_from_slice(DOCKER_HEAD);
                }
                line.extend_from_slice(text);
                // What follows the text is of the part that ends it: the others have no time to keep.
                if self.last {
                    line.extend_from_slice(tail);
                }
            }
        }
    }

    /// What makes a line whole whose last part never came.
    pub(super) fn close(line: &mut Vec<u8>, stream: Stream) {
        if line.starts_with(DOCKER_HEAD) {
            line.extend_from_slice(b"\",\"stream\":\"");
            line.extend_from_slice(stream.name());
            line.extend_from_slice(b"\"}");
        } else if let Some(time) = memchr::memchr(b' ', line)
            && let Some(mark) = line.get_mut(time + 1 + stream.name().len() + 1)
        {
            // It stays a part.
            *mark = b'P';
        }
    }
}

impl Stream {
    pub(super) const ALL: [Stream; 2] = [Stream::Out, Stream::Err];

    fn name(self) -> &'static [u8] {
        match self {
            Stream::Out => b"stdout",
            Stream::Err => b"stderr",
        }
    }
}

/// `2026-01-01T00:00:00.123456789Z stdout P text`.
fn cri(line: &[u8]) -> Option<PartOf<'_>> {
    if line.get(4) != Some(&b'-') || line.get(10) != Some(&b'T') {
        return None;
    }
    // The longest time has nanoseconds and an offset.
    let space = memchr::memchr(b' ', line.get(..line.len().min(40))?)?;
    let rest = line.get(space + 1..)?;
    let stream = Stream::ALL.into_iter().find(|s| rest.starts_with(s.name()))?;
    let [b' ', mark @ (b'P' | b'F'), rest @ ..] = rest.get(stream.name().len()..)? else {
        return None;
    };
    let (tags, text) = match memchr::memchr(b' ', rest) {
        Some(end) => (rest.get(..end)?, rest.get(end + 1..)?),
        None => (rest, &b""[..]),
    };
    if !tags.is_empty() && tags.first() != Some(&b':') {
        return None;
    }
    let head = line.get(..space + 1 + stream.name().len() + 1)?;
    Some(PartOf { stream, last: *mark == b'F', format: Format::Cri { head, tags, text } })
}

/// `{"log":"text","stream":"stdout","time":".."}`.
fn docker<'l>(line: &'l [u8], open: &impl Fn(Stream) -> bool) -> Option<PartOf<'l>> {
    let any = Stream::ALL.into_iter().any(open);
    if !line.starts_with(DOCKER_HEAD) || (line.len() < DOCKER_PART && !any) {
        return None;
    }
    let key = b"\",\"stream\":\"";
    let at = memmem::rfind(line, key)?;
    let stream = line.get(at + key.len()..)?;
    let stream = Stream::ALL.into_iter().find(|s| stream.starts_with(s.name()))?;
    let text = line.get(DOCKER_HEAD.len()..at)?;
    let tail = line.get(at..)?;
    let last = text.ends_with(b"\\n") || text.len() < DOCKER_PART;
    Some(PartOf { stream, last, format: Format::Docker { text, tail } })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(lines: &[&str]) -> String {
        let mut line = Vec::new();
        for part in lines {
            let begun = !line.is_empty();
            PartOf::of(part.as_bytes(), |_| begun).unwrap().append_to(&mut line);
        }
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn parts_of_a_cri_line() {
        let parts =
            ["2026-01-01T00:00:00.1Z stdout P {\"a\":", "2026-01-01T00:00:00.2Z stdout F 1}"];
        assert_eq!(whole(&parts), "2026-01-01T00:00:00.1Z stdout F {\"a\":1}");
        for none in [
            "2026-01-01T00:00:00.1Z stdout F {}",
            "2026-01-01T00:00:00.1Z stdout Px y",
            "2026-01-01T00:00:00.1Z host P x",
            "2 111122223333 eni-1 P",
            "",
        ] {
            assert_eq!(PartOf::of(none.as_bytes(), |_| false), None, "{none}");
        }
    }

    #[test]
    fn parts_of_a_docker_line() {
        let line = |text: &str, n: u8| {
            format!("{{\"log\":\"{text}\",\"stream\":\"stderr\",\"time\":\"{n}\"}}")
        };
        let long = "x".repeat(DOCKER_PART);
        let (first, last) = (line(&long, 1), line("y\\n", 2));
        assert_eq!(whole(&[&first, &last]), line(&format!("{long}y\\n"), 2));
        assert_eq!(PartOf::of(last.as_bytes(), |_| false), None);
        // The last words of a process that wrote no newline are whole.
        assert_eq!(PartOf::of(line("short", 1).as_bytes(), |_| false), None);
        let mut cut = Vec::new();
        PartOf::of(first.as_bytes(), |_| false).unwrap().append_to(&mut cut);
        PartOf::close(&mut cut, Stream::Err);
        let closed = format!("{{\"log\":\"{long}\",\"stream\":\"stderr\"}}");
        assert_eq!(String::from_utf8(cut).unwrap(), closed);
    }
}
