//! One spelling of JSON: no blanks between tokens, `\/` as `/`. Not a parser: what is no JSON comes
//! out somehow.

use std::borrow::Cow;

/// JSON text without what only its writer chose: blanks outside strings, and escapes of `/`.
/// Borrowed if there is none, which one pass over the bytes tells.
pub fn compact_json(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let Some(first) = first_to_drop(bytes) else { return Cow::Borrowed(text) };
    let mut out = Vec::with_capacity(bytes.len());
    out.extend_from_slice(bytes.get(..first).unwrap_or_default());
    let mut scanner = Scanner::default();
    for (at, byte) in bytes.iter().enumerate() {
        let drop = scanner.drops(*byte, bytes.get(at + 1).copied());
        if at >= first && !drop {
            out.push(*byte);
        }
    }
    // Only ASCII was left out.
    String::from_utf8(out).map_or(Cow::Borrowed(text), Cow::Owned)
}

fn first_to_drop(bytes: &[u8]) -> Option<usize> {
    let mut scanner = Scanner::default();
    (0..bytes.len()).find(|at| scanner.drops(bytes[*at], bytes.get(at + 1).copied()))
}

/// Where in the text one is.
#[derive(Default)]
struct Scanner {
    in_string: bool,
    escaped: bool,
}

impl Scanner {
    /// Steps over a byte; whether it is left out.
    fn drops(&mut self, byte: u8, next: Option<u8>) -> bool {
        if !self.in_string {
            self.in_string = byte == b'"';
            return matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
        }
        if self.escaped {
            self.escaped = false;
            return false;
        }
        match byte {
            b'"' => self.in_string = false,
            // The slash after it stands for itself.
            b'\\' if next == Some(b'/') => return true,
            b'\\' => self.escaped = true,
            _ => {}
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelling_is_left_out_and_values_are_kept() {
        for (text, compact) in [
            (r#"{"a":1}"#, r#"{"a":1}"#),
            ("{ \"a b\" : [ 1 ,\n\t2 ] }", r#"{"a b":[1,2]}"#),
            (r#"{"cidr":"0.0.0.0\/0"}"#, r#"{"cidr":"0.0.0.0/0"}"#),
            (r#"{"p":"C:\\/x \" y"}"#, r#"{"p":"C:\\/x \" y"}"#),
            (r#""\\\/""#, r#""\\/""#),
            ("\"\u{e9} x\" ", "\"\u{e9} x\""),
        ] {
            assert_eq!(compact_json(text), compact, "{text}");
        }
        assert!(matches!(compact_json(r#"{"a":"b c"}"#), Cow::Borrowed(_)));
    }
}
