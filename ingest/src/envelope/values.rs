//! The JSON values of a text, and what lies between them. Not their meaning.

use serde_json::value::RawValue;

/// A piece of a text.
#[derive(Debug)]
pub(super) enum Value<'t> {
    /// A JSON value.
    Json(&'t RawValue),
    /// What is none: a damaged value, a comment, a line of another kind.
    Damaged(&'t str),
}

/// Damaged pieces of one text that are told apart; the rest is one more.
const DAMAGED_MAX: usize = 64;

/// The values of a text in order. Blanks, commas, semicolons and the separator of RFC 7464 between
/// them mean nothing.
pub(super) fn values(text: &str) -> Vec<Value<'_>> {
    let mut found = Vec::new();
    let (mut damaged, mut closes) = (0, true);
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(is_separator);
        if rest.is_empty() {
            return found;
        }
        if damaged == DAMAGED_MAX {
            found.push(Value::Damaged(rest.trim_end()));
            return found;
        }
        let end = match value(rest) {
            Some((value, end)) => {
                found.push(Value::Json(value));
                end
            }
            None => {
                damaged += 1;
                let end = damaged_end(rest, &mut closes);
                found.push(Value::Damaged(rest.get(..end).unwrap_or(rest).trim_end()));
                end
            }
        };
        rest = rest.get(end..).unwrap_or_default();
    }
}

fn is_separator(c: char) -> bool {
    c.is_ascii_whitespace() || matches!(c, ',' | ';' | '\0' | '\u{1e}' | '\u{feff}')
}

/// The object, array or string at the start of a text, and where it ends.
fn value(text: &str) -> Option<(&RawValue, usize)> {
    if !text.starts_with(['{', '[', '"']) {
        return None;
    }
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
    let value = values.next()?.ok()?;
    Some((value, values.byte_offset()))
}

/// Where what is no value ends: a damaged value at its own closing bracket, a comment at the end of
/// its line, anything else before the next value. Brackets are followed until one is never closed
/// (`closes`), so that a text is gone through once.
fn damaged_end(text: &str, closes: &mut bool) -> usize {
    let line_end = || text.find('\n').unwrap_or(text.len());
    match text.as_bytes().first() {
        Some(b'{' | b'[') => {
            let end = if *closes { closing(text.as_bytes()) } else { None };
            *closes = end.is_some();
            end.unwrap_or_else(line_end)
        }
        Some(b'/' | b'#') => line_end(),
        // Not at its own first byte, so that each step goes on.
        Some(_) => {
            let from = text.chars().next().map_or(1, char::len_utf8);
            let after = text.get(from..).unwrap_or_default();
            after.find(['{', '[', '\n']).map_or(text.len(), |at| from + at)
        }
        None => text.len(),
    }
}

/// The end of a bracketed text, by its brackets and strings.
fn closing(text: &[u8]) -> Option<usize> {
    let (mut depth, mut string, mut escaped) = (0usize, false, false);
    for (at, byte) in text.iter().enumerate() {
        if string {
            (string, escaped) = (*byte != b'"' || escaped, *byte == b'\\' && !escaped);
            continue;
        }
        match byte {
            b'"' => string = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<String> {
        let show = |value: &Value<'_>| match value {
            Value::Json(value) => value.get().to_owned(),
            Value::Damaged(text) => format!("damaged: {text}"),
        };
        values(text).iter().map(show).collect()
    }

    #[test]
    fn values_and_what_lies_between_them() {
        for (text, expected) in [
            (r#"{"a":1}{"b":2}"#, &[r#"{"a":1}"#, r#"{"b":2}"#][..]),
            ("{\"a\":1},\n[2];\u{1e}\"x\"", &[r#"{"a":1}"#, "[2]", r#""x""#]),
            (r#"{"a":1} junk {"b":2}"#, &[r#"{"a":1}"#, "damaged: junk", r#"{"b":2}"#]),
            ("{\"a\":1}\n# {x\n{\"b\":2}", &[r#"{"a":1}"#, "damaged: # {x", r#"{"b":2}"#]),
            (r#"{"a":1}{"b":tru}{"c":3}"#, &[r#"{"a":1}"#, r#"damaged: {"b":tru}"#, r#"{"c":3}"#]),
            ("{\"a\":\n{\"b\":2}", &["damaged: {\"a\":", r#"{"b":2}"#]),
            ("é{}", &["damaged: é", "{}"]),
            ("", &[]),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn a_text_of_nothing_but_damage_costs_little() {
        let text = "{\n".repeat(1 << 20);
        let found = values(&text);
        assert_eq!(found.len(), DAMAGED_MAX + 1);
    }
}
