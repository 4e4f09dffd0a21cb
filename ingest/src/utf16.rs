//! UTF-16 with a byte order mark, which Windows tools write, as UTF-8. Not a guess of encodings.

use std::{borrow::Cow, io::Read};

use encoding_rs_io::DecodeReaderBytesBuilder;

/// Whether bytes begin with a UTF-16 byte order mark.
pub(crate) fn is_marked(bytes: &[u8]) -> bool {
    matches!(bytes, [0xff, 0xfe, ..] | [0xfe, 0xff, ..])
}

/// A reader of UTF-8 over one that may be UTF-16; other bytes pass as they are.
pub(crate) fn reader(inner: Box<dyn Read + Send>) -> Box<dyn Read + Send> {
    Box::new(DecodeReaderBytesBuilder::new().bom_override(true).utf8_passthru(true).build(inner))
}

/// A whole text as UTF-8.
pub(crate) fn decoded(bytes: &[u8]) -> Cow<'_, [u8]> {
    if !is_marked(bytes) {
        return Cow::Borrowed(bytes);
    }
    let mut text = Vec::with_capacity(bytes.len());
    let mut reader = DecodeReaderBytesBuilder::new().bom_override(true).build(bytes);
    match reader.read_to_end(&mut text) {
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
        let little: Vec<u8> = [0xff, 0xfe]
            .into_iter()
            .chain(text.encode_utf16().flat_map(u16::to_le_bytes))
            .collect();
        let big: Vec<u8> = [0xfe, 0xff]
            .into_iter()
            .chain(text.encode_utf16().flat_map(u16::to_be_bytes))
            .collect();
        assert_eq!(decoded(&little), text.as_bytes());
        assert_eq!(decoded(&big), text.as_bytes());
        assert_eq!(decoded(b"\xffplain"), b"\xffplain".as_slice());
        let mut out = Vec::new();
        reader(Box::new(std::io::Cursor::new(little))).read_to_end(&mut out).unwrap();
        assert_eq!(out, text.as_bytes());
        out.clear();
        reader(Box::new(std::io::Cursor::new(b"a\xffb".to_vec()))).read_to_end(&mut out).unwrap();
        assert_eq!(out, b"a\xffb");
    }
}
