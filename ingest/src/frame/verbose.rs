//! Entries of `journalctl -o verbose`: a line with the time and the cursor, then a field a line, indented.
//! An entry becomes the JSON of `journalctl -o json`. Not what the fields mean.

use serde_json::{Map, Value};

use super::{BOM, Framer, Mode};

/// Lines before the first entry, `-- Boot 1a2b --`.
const COMMENTS_MAX: usize = 3;

/// Whether bytes begin like an entry, or like the lines before the first that journalctl writes.
pub(super) fn begins(bytes: &[u8]) -> bool {
    let mut lines = bytes.split(|b| *b == b'\n').take(COMMENTS_MAX + 1);
    let first = lines.find(|line| !line.starts_with(b"-- "));
    first.is_some_and(|line| cursor(line).is_some())
}

/// Whether bytes that go on may begin like one: there is nothing yet but the lines before.
pub(super) fn may_begin(bytes: &[u8]) -> bool {
    let mut lines = bytes.split_inclusive(|b| *b == b'\n');
    let comment = |line: &[u8]| line.starts_with(b"-- ") || !line.ends_with(b"\n");
    bytes.starts_with(b"-- ")
        && lines.by_ref().take(COMMENTS_MAX).all(comment)
        && lines.next().is_none_or(|line| !line.ends_with(b"\n"))
}

/// The cursor of the line that begins an entry: `Fri 2026-11-20 10:00:00.123456 UTC [s=..;i=..]`.
fn cursor(line: &[u8]) -> Option<&str> {
    let line = std::str::from_utf8(line).ok()?.trim_end();
    let (weekday, rest) = line.split_once(' ')?;
    let is_day = matches!(weekday, "Mon" | "Tue" | "Wed" | "Thu" | "Fri" | "Sat" | "Sun");
    let (_, cursor) = rest.split_once(" [s=")?;
    (is_day && cursor.contains(';')).then(|| cursor.strip_suffix(']')).flatten()
}

/// An entry as JSON; `None` if it is none.
fn to_json(entry: &str) -> Option<String> {
    let mut lines = entry.lines();
    let cursor = cursor(lines.next()?.as_bytes())?;
    let mut object = Map::new();
    // The time of the first line has the zone of who printed it, that of the cursor has none.
    let micros = cursor.split(';').find_map(|part| part.strip_prefix("t="));
    let micros = u64::from_str_radix(micros?, 16).ok()?;
    object.insert("__REALTIME_TIMESTAMP".to_owned(), micros.to_string().into());
    let mut last: Option<(String, usize)> = None;
    for line in lines {
        let text = line.trim_start_matches(' ');
        let indent = line.len() - text.len();
        // A further line of a value is below its first.
        if let Some((name, column)) = &last
            && indent >= *column
            && let Some(Value::String(value)) = object.get_mut(name)
        {
            value.push('\n');
            value.push_str(line.get(*column..).unwrap_or_default());
            continue;
        }
        let Some((name, value)) = text.split_once('=') else { continue };
        last = Some((name.to_owned(), indent + name.len() + 1));
        object.insert(name.to_owned(), value.into());
    }
    Some(Value::Object(object).to_string())
}

impl Framer {
    pub(super) fn push_verbose(&mut self, mut input: &[u8]) {
        while !input.is_empty() {
            let end = memchr::memchr(b'\n', input).map_or(input.len(), |end| end + 1);
            let (piece, after) = input.split_at(end);
            let at_start = matches!(self.mode, Mode::Verbose(true));
            // The next entry begins where a line is not indented.
            if at_start
                && self.open.begun
                && piece.first().is_some_and(|b| !matches!(b, b' ' | b'\r' | b'\n'))
            {
                self.end_entry();
            }
            self.mode = Mode::Verbose(piece.ends_with(b"\n"));
            self.append(piece);
            self.advance(piece);
            self.line += u64::from(piece.ends_with(b"\n"));
            input = after;
        }
    }

    /// Ends an entry.
    pub(super) fn end_entry(&mut self) {
        if self.open.oversize.is_none() {
            let entry = self.bytes.get(self.open.start..).unwrap_or_default();
            let text = String::from_utf8_lossy(entry.strip_prefix(BOM).unwrap_or(entry));
            let text = text.trim_end();
            // What journalctl writes between entries, `-- Boot 1a2b --`, is a record that says nothing.
            let json = to_json(text).unwrap_or_else(|| text.to_owned());
            self.bytes.truncate(self.open.start);
            self.bytes.extend_from_slice(json.as_bytes());
        }
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Framing, Limits};

    const TEXT: &str = concat!(
        "-- Logs begin at Fri 2026-11-20 09:00:00 CET. --\n",
        "Fri 2026-11-20 11:00:00.123456 CET [s=0a;i=1;b=2;m=3;t=64405f6177640;x=5]\n",
        "    PRIORITY=6\n",
        "    MESSAGE=first a=b\n",
        "            second\n",
        "    _COMM=sshd\n",
        "Fri 2026-11-20 11:00:01.123456 CET [s=0a;i=2;b=2;m=3;t=64405f626b880;x=5]\n",
        "    MESSAGE=m\n",
    );

    #[test]
    fn an_entry_is_its_json() {
        assert!(begins(TEXT.as_bytes()));
        let micros = |text: &str| u64::from_str_radix(text, 16).unwrap();
        let (first, second) = (micros("64405f6177640"), micros("64405f626b880"));
        let expected = [
            "-- Logs begin at Fri 2026-11-20 09:00:00 CET. --".to_owned(),
            format!(
                r#"{{"__REALTIME_TIMESTAMP":"{first}","PRIORITY":"6","MESSAGE":"first a=b\nsecond","_COMM":"sshd"}}"#
            ),
            format!(r#"{{"__REALTIME_TIMESTAMP":"{second}","MESSAGE":"m"}}"#),
        ];
        for piece in [1, 40, 4096] {
            let mut framer = Framer::new(&Framing::Syslog, Limits::default());
            TEXT.as_bytes().chunks(piece).for_each(|bytes| framer.push(bytes));
            framer.finish();
            let framed = framer.take();
            let records: Vec<_> = framed.records.iter().map(String::from_utf8_lossy).collect();
            assert_eq!(records, expected, "{piece}");
            assert_eq!(framed.lines, [1, 2, 7]);
        }
    }

    #[test]
    fn what_is_no_entry() {
        for text in [
            "Fri 2026-11-20 11:00:00 CET h sshd[7]: m",
            "Fri 2026-11-20 11:00:00 CET h sshd[7]: m [s=1",
            "    MESSAGE=x",
            "",
        ] {
            assert!(!begins(text.as_bytes()), "{text}");
        }
    }
}
