//! What a strict JSON parser cannot say about a record, or refuses although it can be read.
//! Not on the path of good records, but for one count of brackets.

/// Whether a JSON text nests deeper than `max`. Counts brackets outside strings.
pub(crate) fn too_deep(text: &[u8], max: usize) -> bool {
    // Fewer brackets in total than levels allowed: the usual case. `[` and `{` differ in one bit, and
    // counts of a byte are added many at a time; 128 of them cannot overflow.
    let opens =
        |part: &[u8]| part.iter().fold(0u8, |n, b| n.wrapping_add(u8::from(b & 0xdf == b'[')));
    if text.chunks(128).map(|part| usize::from(opens(part))).sum::<usize>() <= max {
        return false;
    }
    let mut depth = 0usize;
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'[' => {
                depth += 1;
                if depth > max {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                while let Some(byte) = bytes.next() {
                    match byte {
                        b'\\' => _ = bytes.next(),
                        b'"' => break,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    false
}

/// A JSON text with lone surrogates replaced by U+FFFD, and numbers beyond a double given as text
/// (`1e400` becomes `"1e400"`: text columns keep it, number columns count a conflict). `None` if
/// there is neither.
pub(crate) fn numbers_and_surrogates(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut out: Vec<u8> = Vec::with_capacity(bytes.len());
    let mut changed = false;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => at = string(bytes, at, &mut out, &mut changed),
            b'-' | b'0'..=b'9' => {
                let start = at;
                while at < bytes.len()
                    && matches!(bytes[at], b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9')
                {
                    at += 1;
                }
                let token = &bytes[start..at];
                let number = std::str::from_utf8(token).ok().and_then(|t| t.parse::<f64>().ok());
                if number.is_some_and(f64::is_infinite) {
                    changed = true;
                    out.push(b'"');
                    out.extend_from_slice(token);
                    out.push(b'"');
                } else {
                    out.extend_from_slice(token);
                }
            }
            byte => {
                out.push(byte);
                at += 1;
            }
        }
    }
    if !changed {
        return None;
    }
    String::from_utf8(out).ok()
}

/// Copies the string that starts at `at`; returns the position after it.
fn string(bytes: &[u8], mut at: usize, out: &mut Vec<u8>, changed: &mut bool) -> usize {
    let unit = |at: usize| -> Option<u16> {
        let digits = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    out.push(b'"');
    at += 1;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                out.push(b'"');
                return at + 1;
            }
            b'\\' => match (unit(at), unit(at + 6)) {
                (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => {
                    out.extend_from_slice(&bytes[at..at + 12]);
                    at += 12;
                }
                (Some(0xd800..=0xdfff), _) => {
                    out.extend_from_slice(b"\\ufffd");
                    *changed = true;
                    at += 6;
                }
                _ => {
                    out.extend_from_slice(&bytes[at..(at + 2).min(bytes.len())]);
                    at += 2;
                }
            },
            byte => {
                out.push(byte);
                at += 1;
            }
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_counts_brackets_outside_strings() {
        let nested = |n: usize| format!("{}1{}", "[".repeat(n), "]".repeat(n));
        assert!(!too_deep(nested(64).as_bytes(), 64));
        assert!(too_deep(nested(65).as_bytes(), 64));
        let text = format!(r#"{{"a":"{}\"{}"}}"#, "[".repeat(100), "{".repeat(100));
        assert!(!too_deep(text.as_bytes(), 64));
        assert!(!too_deep("[]".repeat(100).as_bytes(), 64));
    }

    #[test]
    fn repairs_only_what_is_broken() {
        assert_eq!(numbers_and_surrogates(r#"{"a":1e30,"b":"\ud83d\ude00 1e400"}"#), None);
        assert_eq!(
            numbers_and_surrogates(r#"{"a":-1e400,"b":"x\ud800y\\ud800"}"#).unwrap(),
            r#"{"a":"-1e400","b":"x\ufffdy\\ud800"}"#
        );
        assert_eq!(numbers_and_surrogates("\"\\ud800"), Some("\"\\ufffd".to_owned()));
    }
}
