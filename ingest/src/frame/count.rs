//! How many records a line holds, counted without decoding it. Not where they begin.

/// How many records a line becomes when it is decoded: JSON values may follow each other on it, and a
/// wrapper holds them in an array of its own. Not less than one.
pub(crate) fn records_in(line: &[u8]) -> u64 {
    if !matches!(line.trim_ascii_start().first(), Some(b'{' | b'[')) {
        return 1;
    }
    // Per open bracket of the first two levels: whether it is an array, and its commas.
    let mut open = [(false, 0_u64); 2];
    let (mut depth, mut values, mut longest) = (0_usize, 0_u64, 0_u64);
    let (mut in_text, mut escaped, mut in_word) = (false, false, false);
    for &byte in line {
        if in_text {
            (in_text, escaped) = (byte != b'"' || escaped, byte == b'\\' && !escaped);
            continue;
        }
        let begins = match byte {
            b'"' => {
                in_text = true;
                true
            }
            b'{' | b'[' => true,
            b'}' | b']' | b',' | b':' => false,
            byte => !byte.is_ascii_whitespace() && !in_word,
        };
        in_word = !byte.is_ascii_whitespace()
            && !matches!(byte, b'"' | b'{' | b'[' | b'}' | b']' | b',' | b':');
        values += u64::from(begins && depth == 0);
        match byte {
            b'{' | b'[' => {
                if let Some(level) = open.get_mut(depth) {
                    *level = (byte == b'[', 0);
                }
                depth += 1;
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if let Some((true, commas)) = open.get(depth) {
                    longest = longest.max(commas + 1);
                }
            }
            b',' => {
                if let Some((_, commas)) = depth.checked_sub(1).and_then(|d| open.get_mut(d)) {
                    *commas += 1;
                }
            }
            _ => {}
        }
    }
    values.max(longest).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_counted_as_they_are_decoded() {
        for (line, count) in [
            (r#"{"a":1}"#, 1),
            ("plain text }{ with [1,2,3] in it", 1),
            (r#"{"a":1}{"b":2} {"c":3}"#, 3),
            (r#"{"message":"}{}{}{ \" }{"}"#, 1),
            (r#"{"a":"\\"}{"b":"}{"}"#, 2),
            (r#"[1,2,3]"#, 3),
            (r#"{"Records":[{"a":[1,2,3,4,5]},{"b":1}]}"#, 2),
            (r#"{"a":{"list":[1,2,3,4,5,6]}}"#, 1),
            (r#"{} 1 2 "x" true[]"#, 6),
            (r#"{"a":"cut off"#, 1),
        ] {
            assert_eq!(records_in(line.as_bytes()), count, "{line}");
        }
    }
}
