//! Text patterns: the shapes of LIKE, Sigma wildcards, regular expressions and CIDR blocks.

use std::{net::IpAddr, sync::Arc};

use sluice_event::Value;
use sluice_stream::{Test, Text};

/// Longest regular expression accepted, bytes.
const REGEX_MAX: usize = 1024;

/// One piece of a LIKE pattern.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Piece {
    Any,
    One,
    Char(char),
}

/// The cheapest test that means `x LIKE pattern` (`ILIKE` with `ignore_case`).
pub(super) fn like_test(pattern: &str, ignore_case: bool) -> Test {
    let general = || Test::Like(Text { needle: pattern.into(), ignore_case });
    let Some(pieces) = pieces(pattern) else { return general() };
    let from = pieces.iter().take_while(|p| **p == Piece::Any).count();
    let to = pieces.len() - pieces.iter().rev().take_while(|p| **p == Piece::Any).count();
    if from >= to {
        return if pieces.is_empty() { exact(String::new(), ignore_case) } else { general() };
    }
    let needle: Option<String> = pieces[from..to]
        .iter()
        .map(|piece| match piece {
            Piece::Char(c) => Some(*c),
            Piece::Any | Piece::One => None,
        })
        .collect();
    let Some(needle) = needle else { return general() };
    let text = |needle: String| Text { needle: needle.into(), ignore_case };
    match (from > 0, to < pieces.len()) {
        (true, true) => Test::Contains(text(needle)),
        (true, false) => Test::EndsWith(text(needle)),
        (false, true) => Test::StartsWith(text(needle)),
        (false, false) => exact(needle, ignore_case),
    }
}

fn exact(needle: String, ignore_case: bool) -> Test {
    if ignore_case {
        Test::EqualsIgnoreCase(needle.into())
    } else {
        Test::In([Value::Text(needle.into())].into())
    }
}

/// `None` if the pattern ends in a lone backslash.
fn pieces(pattern: &str) -> Option<Vec<Piece>> {
    let mut pieces = Vec::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        pieces.push(match c {
            '\\' => Piece::Char(chars.next()?),
            '%' => Piece::Any,
            '_' => Piece::One,
            c => Piece::Char(c),
        });
    }
    Some(pieces)
}

/// A Sigma pattern as a LIKE pattern: `*` and `?` are wildcards, a backslash escapes them and itself
/// and is a backslash before anything else.
pub(super) fn sigma_pattern(pattern: &str) -> String {
    let mut like = String::with_capacity(pattern.len() + 8);
    let literal = |like: &mut String, c: char| {
        if matches!(c, '%' | '_' | '\\') {
            like.push('\\');
        }
        like.push(c);
    };
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '*' => like.push('%'),
            '?' => like.push('_'),
            '\\' => match chars.peek() {
                Some(&next @ ('*' | '?' | '\\')) => {
                    chars.next();
                    literal(&mut like, next);
                }
                _ => literal(&mut like, '\\'),
            },
            c => literal(&mut like, c),
        }
    }
    like
}

/// A pattern with its flags inside; `None` for a flag that is not one of Rust's or a pattern that
/// does not compile.
pub(super) fn regex_with_flags(pattern: &str, flags: &str) -> Option<String> {
    if !flags.chars().all(|c| matches!(c, 'i' | 'm' | 's' | 'x' | 'U' | 'R')) {
        return None;
    }
    let pattern =
        if flags.is_empty() { pattern.to_owned() } else { format!("(?{flags}){pattern}") };
    regex::Regex::new(&pattern).is_ok().then_some(pattern)
}

/// What is wrong with a regular expression.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Flaw {
    /// One sentence.
    pub(crate) message: String,
    /// Where in the pattern, characters from 0.
    pub(crate) offset: usize,
}

/// Why a regular expression cannot run in time linear in the text, or at all.
pub(crate) fn regex_flaw(pattern: &str) -> Option<Flaw> {
    if pattern.len() > REGEX_MAX {
        let message = format!("this regular expression is longer than {REGEX_MAX} bytes");
        return Some(Flaw { message, offset: 0 });
    }
    let (kind, span) = match regex_syntax::Parser::new().parse(pattern) {
        Ok(_) => return None,
        Err(regex_syntax::Error::Parse(e)) => {
            use regex_syntax::ast::ErrorKind;
            let message = match e.kind() {
                ErrorKind::UnsupportedLookAround => "look-around cannot run in linear time".into(),
                ErrorKind::UnsupportedBackreference => {
                    "back-references cannot run in linear time".into()
                }
                kind => format!("this is not a regular expression: {kind}"),
            };
            (message, *e.span())
        }
        Err(regex_syntax::Error::Translate(e)) => {
            (format!("this is not a regular expression: {}", e.kind()), *e.span())
        }
        Err(_) => {
            return Some(Flaw { message: "this is not a regular expression".into(), offset: 0 });
        }
    };
    let offset = pattern.char_indices().take_while(|(at, _)| *at < span.start.offset).count();
    Some(Flaw { message: kind, offset })
}

/// A network in canonical text: host bits cleared, RFC 5952. `None` if it is not one.
pub(super) fn cidr(text: &str) -> Option<Arc<str>> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length.parse::<u32>().ok()?)),
        None => (text, None),
    };
    let canonical = match address.parse::<IpAddr>().ok()? {
        IpAddr::V4(v4) => {
            let length = length.unwrap_or(32);
            let mask = u32::MAX.checked_shl(32_u32.checked_sub(length)?).unwrap_or(0);
            format!("{}/{length}", std::net::Ipv4Addr::from(u32::from(v4) & mask))
        }
        // A network of mapped addresses is one of IPv4.
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() && length.unwrap_or(128) >= 96 => {
            let length = length.unwrap_or(128).checked_sub(96)?;
            return cidr(&format!("{}/{length}", v6.to_canonical()));
        }
        IpAddr::V6(v6) => {
            let length = length.unwrap_or(128);
            let mask = u128::MAX.checked_shl(128_u32.checked_sub(length)?).unwrap_or(0);
            format!("{}/{length}", std::net::Ipv6Addr::from(u128::from(v6) & mask))
        }
    };
    Some(canonical.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, ignore_case: bool, expected: &str) {
        let test = like_test(pattern, ignore_case);
        assert_eq!(super::super::describe("x", &test), expected, "{pattern}");
    }

    #[test]
    fn like_patterns_become_the_cheapest_test() {
        check("admin", false, "x = 'admin'");
        check("admin", true, "ieq(x, 'admin')");
        check("%admin%", false, "contains(x, 'admin')");
        check("%%admin%", true, "icontains(x, 'admin')");
        check("admin%", false, "starts_with(x, 'admin')");
        check("%admin", true, "iends(x, 'admin')");
        check("a%b", false, "x LIKE 'a%b'");
        check("a_b", true, "x ILIKE 'a_b'");
        check("%", false, "x LIKE '%'");
        check("", false, "x = ''");
        check(r"%100\%", false, "ends_with(x, '100%')");
        check(r"%C:\\x%", false, r"contains(x, 'C:\x')");
        check(r"a\", false, r"x LIKE 'a\'");
    }

    #[test]
    fn sigma_wildcards_become_like() {
        assert_eq!(sigma_pattern(r"*\cmd.exe"), r"%\\cmd.exe");
        assert_eq!(sigma_pattern(r"a?b\*c\\*"), r"a_b*c\\%");
        assert_eq!(sigma_pattern("100%_"), r"100\%\_");
    }

    #[test]
    fn networks_are_canonical() {
        assert_eq!(cidr("10.1.2.3/8").as_deref(), Some("10.0.0.0/8"));
        assert_eq!(cidr("0.0.0.0/0").as_deref(), Some("0.0.0.0/0"));
        assert_eq!(cidr("FE80:0::1/10").as_deref(), Some("fe80::/10"));
        assert_eq!(cidr("1.2.3.4").as_deref(), Some("1.2.3.4/32"));
        assert_eq!(cidr("1.2.3.4/33"), None);
        assert_eq!(cidr("ten"), None);
    }

    #[test]
    fn look_around_is_a_flaw_with_its_place() {
        let flaw = regex_flaw("ab(?=c)").unwrap();
        assert_eq!(
            (flaw.message.as_str(), flaw.offset),
            ("look-around cannot run in linear time", 2)
        );
        assert!(regex_flaw("^a+$").is_none());
    }
}
