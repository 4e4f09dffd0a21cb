//! Entries of journald's export format: `journalctl -o export`, `systemd-journal-remote`. A field is
//! `NAME=value` on a line, or the name on a line, the length of the value as eight bytes, and the value;
//! a blank line ends an entry. Not what the fields mean: an entry becomes the JSON of
//! `journalctl -o json`.
//!
//! Source: <https://systemd.io/JOURNAL_EXPORT_FORMATS/>.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{BOM, Framer, Mode};

/// Where in an entry the next byte is.
#[derive(Debug)]
pub(super) struct Export {
    at: At,
}

#[derive(Debug)]
enum At {
    /// In the name of a field, which has so many bytes.
    Name(usize),
    /// In a value that ends with its line.
    Value,
    /// In the length of a value: bytes read of it, and the length so far.
    Length(u32, u64),
    /// In a value of which so many bytes are left.
    Data(u64),
}

const MARKS: [&[u8]; 2] = [b"__CURSOR=", b"__REALTIME_TIMESTAMP="];

/// Whether bytes begin like an entry.
pub(crate) fn begins(bytes: &[u8]) -> bool {
    MARKS.iter().any(|mark| bytes.starts_with(mark))
}

/// Whether bytes that go on may begin like an entry.
pub(super) fn may_begin(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix(BOM).unwrap_or(bytes);
    MARKS.iter().any(|mark| mark.starts_with(bytes))
}

/// An entry as the JSON that journald itself writes: a value that is no text as an array of bytes, a
/// field that is given several times as an array. `None` if it is cut off or no entry.
pub(crate) fn to_json(entry: &[u8]) -> Option<String> {
    let mut fields: BTreeMap<&str, Vec<&[u8]>> = BTreeMap::new();
    let mut rest = entry;
    while !rest.is_empty() && !matches!(rest, b"\n" | b"\r\n") {
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let line = rest.get(..end)?;
        let after = rest.get(end + 1..).unwrap_or_default();
        let (name, value, after) = match memchr::memchr(b'=', line) {
            Some(equals) => {
                let value = line.get(equals + 1..)?;
                (line.get(..equals)?, value.strip_suffix(b"\r").unwrap_or(value), after)
            }
            None => {
                let (length, data) = after.split_first_chunk::<8>()?;
                let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
                let (value, after) = data.split_at_checked(length)?;
                (line, value, after.strip_prefix(b"\n").unwrap_or(after))
            }
        };
        fields.entry(std::str::from_utf8(name).ok()?).or_default().push(value);
        rest = after;
    }
    let value = |bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(text) => Value::from(text),
        Err(_) => bytes.iter().copied().map(Value::from).collect(),
    };
    let json: Map<String, Value> = fields
        .into_iter()
        .map(|(name, values)| {
            let value = match values.as_slice() {
                [one] => value(one),
                several => several.iter().map(|bytes| value(bytes)).collect(),
            };
            (name.to_owned(), value)
        })
        .collect();
    (!json.is_empty()).then(|| Value::from(json).to_string())
}

impl Framer {
    pub(super) fn push_export(&mut self, mut input: &[u8]) {
        let Mode::Export(export) = &mut self.mode else { return };
        let mut export = std::mem::replace(export, Export::new());
        while let Some(&first) = input.first() {
            let taken = match export.at {
                At::Name(0) if first == b'\n' => {
                    self.close();
                    self.offset += 1;
                    self.line += 1;
                    input = input.get(1..).unwrap_or_default();
                    continue;
                }
                At::Name(read) => {
                    let end = memchr::memchr2(b'=', b'\n', input);
                    export.at = match end.and_then(|end| input.get(end)) {
                        Some(b'=') => At::Value,
                        Some(_) => At::Length(0, 0),
                        None => At::Name(read + input.len()),
                    };
                    end.map_or(input.len(), |end| end + 1)
                }
                At::Value => match memchr::memchr(b'\n', input) {
                    Some(end) => {
                        export.at = At::Name(0);
                        end + 1
                    }
                    None => input.len(),
                },
                At::Length(read, length) => {
                    let length = length | u64::from(first) << (8 * read);
                    export.at = match read {
                        // The newline after the value is that of its line.
                        7 if length == 0 => At::Value,
                        7 => At::Data(length),
                        _ => At::Length(read + 1, length),
                    };
                    1
                }
                At::Data(left) => {
                    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                    export.at = match left - taken as u64 {
                        0 => At::Value,
                        left => At::Data(left),
                    };
                    taken
                }
            };
            let (piece, after) = input.split_at(taken.min(input.len()));
            self.append(piece);
            self.offset += piece.len() as u64;
            self.line += memchr::memchr_iter(b'\n', piece).count() as u64;
            input = after;
        }
        self.mode = Mode::Export(export);
    }
}

impl Export {
    pub(super) fn new() -> Self {
        Export { at: At::Name(0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Framing, Limits};

    fn entries(bytes: &[u8], step: usize) -> Vec<String> {
        let mut framer = Framer::new(&Framing::Syslog, Limits::default());
        bytes.chunks(step).for_each(|piece| framer.push(piece));
        framer.finish();
        let framed = framer.take();
        assert_eq!(framed.faults, []);
        framed.records.iter().map(|r| to_json(r).unwrap()).collect()
    }

    #[test]
    fn entries_however_the_input_comes() {
        let mut input = b"__CURSOR=a\nMESSAGE=x=y\n\n\n__CURSOR=b\nMESSAGE\n".to_vec();
        input.extend(4u64.to_le_bytes());
        input.extend(b"p\n\nq\nTAG=1\nTAG=2\n\n__CURSOR=c\nMESSAGE\n");
        input.extend(1u64.to_le_bytes());
        input.extend(b"\xff\n");
        let expected = [
            r#"{"MESSAGE":"x=y","__CURSOR":"a"}"#,
            r#"{"MESSAGE":"p\n\nq","TAG":["1","2"],"__CURSOR":"b"}"#,
            r#"{"MESSAGE":[255],"__CURSOR":"c"}"#,
        ];
        for step in [1, 2, 7, input.len()] {
            assert_eq!(entries(&input, step), expected, "{step}");
        }
    }

    #[test]
    fn what_is_cut_off_is_no_entry() {
        let mut cut = b"__CURSOR=b\nMESSAGE\n".to_vec();
        assert_eq!(to_json(&cut), None);
        cut.extend(u64::MAX.to_le_bytes());
        cut.extend(b"short");
        assert_eq!(to_json(&cut), None);
        assert_eq!(to_json(b""), None);
        assert_eq!(to_json(b"\n"), None);
        assert!(begins(b"__REALTIME_TIMESTAMP=1\n") && !begins(b"MESSAGE=x\n"));
    }
}
