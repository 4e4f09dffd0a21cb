//! UTF-16, which Windows tools write, and UTF-32 as UTF-8: told by the byte order mark, UTF-16 also by
//! the zeros between its first letters. Not a guess of other encodings.

use std::{
    borrow::Cow,
    io::{self, Cursor, Read},
};

use encoding_rs_io::DecodeReaderBytesBuilder;

use crate::utf32::{self, Utf32};

/// Whether bytes are UTF-16 or UTF-32: they begin with its byte order mark, or with two ASCII characters in it
/// (RFC 4627, section 3: how JSON without a mark is told).
pub(crate) fn is_marked(bytes: &[u8]) -> bool {
    matches!(bytes, [0xff, 0xfe, ..] | [0xfe, 0xff, ..])
        || utf32::mark(bytes).is_some()
        || missing_mark(bytes).is_some()
}

/// The mark that UTF-16 without one lacks.
fn missing_mark(bytes: &[u8]) -> Option<[u8; 2]> {
    let letter = |byte: &u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
    match bytes {
        [a, 0, b, 0, ..] if letter(a) && letter(b) => Some([0xff, 0xfe]),
        [0, a, 0, b, ..] if letter(a) && letter(b) => Some([0xfe, 0xff]),
        _ => None,
    }
}

/// A reader of UTF-8 over one that may be UTF-16 or UTF-32; other bytes pass as they are.
pub(crate) fn reader(inner: Box<dyn Read + Send>) -> Box<dyn Read + Send> {
    Box::new(Unread { inner: Some(inner), decoded: None })
}

/// A reader whose first bytes are not yet looked at.
struct Unread {
    inner: Option<Box<dyn Read + Send>>,
    decoded: Option<Box<dyn Read + Send>>,
}

impl Read for Unread {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if let Some(mut inner) = self.inner.take() {
            let mut first = Vec::with_capacity(4);
            // What is damaged there is found again by who reads on.
            let looked = inner.by_ref().take(4).read_to_end(&mut first);
            let mark = missing_mark(&first).map(|mark| mark.to_vec()).unwrap_or_default();
            self.decoded = Some(match utf32::mark(&first) {
                Some(big_endian) => Box::new(Utf32::new(inner, big_endian)),
                None => Box::new(
                    DecodeReaderBytesBuilder::new()
                        .bom_override(true)
                        .utf8_passthru(true)
                        .build(Cursor::new(mark).chain(Cursor::new(first)).chain(inner)),
                ),
            });
            looked?;
        }
        self.decoded.as_mut().map_or(Ok(0), |decoded| decoded.read(out))
    }
}

/// A whole text as UTF-8.
pub(crate) fn decoded(bytes: &[u8]) -> Cow<'_, [u8]> {
    if !is_marked(bytes) {
        return Cow::Borrowed(bytes);
    }
    let mut text = Vec::with_capacity(bytes.len());
    let read = match (utf32::mark(bytes), bytes.get(4..)) {
        (Some(big_endian), Some(units)) => Utf32::new(units, big_endian).read_to_end(&mut text),
        _ => {
            let mark = missing_mark(bytes).map(|mark| mark.to_vec()).unwrap_or_default();
            let all = Cursor::new(mark).chain(bytes);
            let mut reader = DecodeReaderBytesBuilder::new().bom_override(true).build(all);
            reader.read_to_end(&mut text)
        }
    };
    match read {
        Ok(_) => Cow::Owned(text),
        // Reading memory does not fail.
        Err(_) => Cow::Borrowed(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_byte_orders_and_what_is_no_utf_16() {
        let text = "{\"a\":\"é😀\"}";
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let mut read = 0;
        for (mark, units) in [(&[0xff, 0xfe], &little), (&[0xfe, 0xff], &big)] {
            for bytes in [[mark.as_slice(), units].concat(), units.clone()] {
                assert_eq!(decoded(&bytes), text.as_bytes());
                let mut out = Vec::new();
                reader(Box::new(Cursor::new(bytes))).read_to_end(&mut out).unwrap();
                assert_eq!(out, text.as_bytes());
                read += 1;
            }
        }
        assert_eq!(read, 4);
        let units = |order: fn(u32) -> [u8; 4]| {
            text.chars().flat_map(|c| order(c.into()).into_iter()).collect::<Vec<u8>>()
        };
        for bytes in [
            [&[0xff, 0xfe, 0, 0][..], &units(u32::to_le_bytes)].concat(),
            [&[0, 0, 0xfe, 0xff][..], &units(u32::to_be_bytes)].concat(),
        ] {
            assert!(is_marked(&bytes));
            assert_eq!(decoded(&bytes), text.as_bytes());
            let mut out = Vec::new();
            reader(Box::new(Cursor::new(bytes.clone()))).read_to_end(&mut out).unwrap();
            assert_eq!(out, text.as_bytes());
            // Cut off in the middle of a character.
            let cut = decoded(&bytes[..bytes.len() - 1]).into_owned();
            assert_eq!(String::from_utf8(cut).unwrap(), text.replace('}', "\u{fffd}"));
        }
        for plain in [&b"\xffplain"[..], b"a\xffb", b"", b"a", b"\0\0a\0b\0", b"a\0"] {
            assert_eq!(decoded(plain), plain);
            let mut out = Vec::new();
            reader(Box::new(Cursor::new(plain.to_vec()))).read_to_end(&mut out).unwrap();
            assert_eq!(out, plain);
        }
    }
}
