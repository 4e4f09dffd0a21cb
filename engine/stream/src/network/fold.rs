//! Letter case, ignored the way ILIKE and `(?i)` ignore it: by Unicode simple case folding.
//!
//! Every character stands for its class of characters that differ in case only; the least of the
//! class represents it (`k`, `K` and the Kelvin sign all become `K`). Two texts are equal in all but
//! case if and only if their folded forms are equal, so a search for a folded needle in a folded
//! value is exact. ASCII values need no folding: searchers ignore ASCII case themselves.

use std::{borrow::Cow, sync::OnceLock};

use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

/// Letters with case all lie below this; what lies above folds to itself.
const CASED: usize = 0x2_0000;

/// The folded form. Its ASCII letters are upper case.
pub(super) fn fold(text: &str) -> String {
    text.chars().map(representative).collect()
}

/// A value as searchers that ignore ASCII case want it: itself if ASCII, else folded.
pub(super) fn searchable(value: &str) -> Cow<'_, str> {
    if value.is_ascii() { Cow::Borrowed(value) } else { Cow::Owned(fold(value)) }
}

/// The least character that differs from `c` in case only.
pub(super) fn representative(c: char) -> char {
    if c.is_ascii() {
        return c.to_ascii_uppercase();
    }
    static PAGES: [OnceLock<Box<[char]>>; CASED / 256] = [const { OnceLock::new() }; CASED / 256];
    let code = c as usize;
    match PAGES.get(code / 256) {
        Some(page) => page.get_or_init(|| fold_page(code / 256))[code % 256],
        None => c,
    }
}

fn fold_page(page: usize) -> Box<[char]> {
    (page * 256..(page + 1) * 256)
        .map(|code| {
            // Surrogates are no characters and never looked up.
            let Some(c) = char::from_u32(code as u32) else { return '\0' };
            let mut class = ClassUnicode::new([ClassUnicodeRange::new(c, c)]);
            match class.try_case_fold_simple() {
                Ok(()) => class.ranges().first().map_or(c, |r| r.start()),
                Err(_) => c,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folded_equality_is_what_the_regex_engine_calls_equal() {
        for c in [
            'k', 'K', '\u{212A}', 's', 'ſ', 'İ', 'i', 'ı', 'ς', 'σ', 'Σ', 'ß', 'ẞ', 'Ω', '\u{2126}',
        ] {
            let re = regex::Regex::new(&format!("(?i)^{c}$")).unwrap();
            for d in (0..0x1_0000).filter_map(char::from_u32) {
                assert_eq!(
                    re.is_match(d.encode_utf8(&mut [0; 4])),
                    representative(c) == representative(d),
                    "{c:?} {d:?}"
                );
            }
        }
    }
}
