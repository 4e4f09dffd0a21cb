//! Text on its way to a terminal. File names, arguments, answers of servers and what events say are
//! written by others: control characters, escape sequences and characters that reorder text are
//! shown as `\u{..}` instead of acting. Not the formats (see `cli::output`).

use std::{
    borrow::Cow,
    fmt,
    io::{self, Write},
};

/// Prints a line to stderr, escaped. It stands in for the macro of `std` in the whole crate.
macro_rules! eprintln {
    ($($text:tt)*) => { $crate::terminal::print_error(format_args!($($text)*)) };
}

/// Writes a message and a line break to stderr. Line breaks and tabs of the message are kept: it is
/// made of several lines where it shows a file. A stderr that is gone takes the message with it.
pub(crate) fn print_error(message: fmt::Arguments<'_>) {
    let text = printable_lines(&message.to_string()) + "\n";
    io::stderr().lock().write_all(text.as_bytes()).ok();
}

/// One line of text made harmless: line breaks are escaped too.
pub(crate) fn printable(text: &str) -> String {
    escaped(text, |_| false)
}

/// Text of several lines made harmless.
pub(crate) fn printable_lines(text: &str) -> String {
    escaped(text, |c| matches!(c, '\n' | '\t'))
}

/// JSON text in which no character acts on a terminal. Outside of its strings JSON is ASCII, so that an
/// escape `\uXXXX` means the same.
pub(crate) fn printable_json(text: &str) -> Cow<'_, str> {
    // Nearly all of it: evidence makes a megabyte of a hundred findings. Without an early end, many bytes are
    // looked at in one step.
    let plain = |byte: &u8| matches!(byte, b' '..=b'~' | b'\n');
    if text.as_bytes().chunks(1_024).all(|bytes| bytes.iter().fold(true, |all, b| all & plain(b))) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().fold(String::with_capacity(text.len()), |mut shown, c| {
        if acts(c) && !matches!(c, '\n') {
            // All of them are below U+10000: one unit of UTF-16.
            shown.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            shown.push(c);
        }
        shown
    }))
}

/// Whether a character acts on a terminal or on the order of text instead of being seen: controls
/// (C0, DEL, C1), directional marks, embeddings, overrides and isolates, line and paragraph separators.
pub(crate) fn acts(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}'
                | '\u{feff}'
        )
}

fn escaped(text: &str, kept: impl Fn(char) -> bool) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut shown, c| {
        if acts(c) && !kept(c) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
        shown
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_the_terminal_that_acts_on_it() {
        for hostile in ["\u{1b}[2J", "\u{9b}31m", "\u{202e}gpj.exe", "a\rb", "\u{7f}", "\u{2066}"] {
            let json = printable_json(hostile).into_owned();
            for shown in [printable(hostile), printable_lines(hostile), json] {
                assert!(!shown.chars().any(acts), "{hostile:?}: {shown:?}");
            }
        }
        assert_eq!(printable("a\nb"), "a\\u{a}b");
        assert_eq!(printable_lines("a\n\tb"), "a\n\tb");
        let value = serde_json::json!({"name": "\u{202e}\u{9b}\u{1b}é"});
        let text = value.to_string();
        let shown = printable_json(&text);
        assert!(!shown.chars().any(acts), "{shown:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }
}
