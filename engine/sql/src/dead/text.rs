//! Tests of a text against a literal, tried on values and looked at for letters they need.

use std::net::IpAddr;

use regex::RegexBuilder;
use regex_syntax::hir::literal::Extractor;

/// One test of a text.
pub(super) struct TextTest {
    kind: Kind,
    /// The needle or pattern as written.
    needle: String,
    ignore_case: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Contains,
    Starts,
    Ends,
    Equal,
    Like,
    Sigma,
    Regex,
}

impl TextTest {
    fn new(kind: Kind, needle: &str, ignore_case: bool) -> TextTest {
        TextTest { kind, needle: needle.to_owned(), ignore_case }
    }

    pub(super) fn contains(needle: &str, ignore_case: bool) -> TextTest {
        Self::new(Kind::Contains, needle, ignore_case)
    }

    pub(super) fn starts(needle: &str, ignore_case: bool) -> TextTest {
        Self::new(Kind::Starts, needle, ignore_case)
    }

    pub(super) fn ends(needle: &str, ignore_case: bool) -> TextTest {
        Self::new(Kind::Ends, needle, ignore_case)
    }

    /// `ieq`.
    pub(super) fn equal(needle: &str) -> TextTest {
        Self::new(Kind::Equal, needle, true)
    }

    pub(super) fn like(pattern: &str, ignore_case: bool) -> TextTest {
        Self::new(Kind::Like, pattern, ignore_case)
    }

    pub(super) fn sigma(pattern: &str) -> TextTest {
        Self::new(Kind::Sigma, pattern, true)
    }

    pub(super) fn regex(pattern: &str, flags: &str) -> TextTest {
        let pattern =
            if flags.is_empty() { pattern.to_owned() } else { format!("(?{flags}){pattern}") };
        Self::new(Kind::Regex, &pattern, flags.contains('i'))
    }

    /// Whether a value passes; `None` if the pattern is none.
    pub(super) fn matches(&self, value: &str) -> Option<bool> {
        let escape = regex::escape(&self.needle);
        let pattern = match self.kind {
            Kind::Contains => escape,
            Kind::Starts => format!(r"\A{escape}"),
            Kind::Ends => format!(r"{escape}\z"),
            Kind::Equal => format!(r"\A{escape}\z"),
            Kind::Like => wildcards(&self.needle, '%', '_')?,
            Kind::Sigma => wildcards(&self.needle, '*', '?')?,
            Kind::Regex => self.needle.clone(),
        };
        let regex = RegexBuilder::new(&pattern)
            .case_insensitive(self.ignore_case)
            .dot_matches_new_line(self.kind != Kind::Regex)
            .build()
            .ok()?;
        Some(regex.is_match(value))
    }

    /// Whether every text that passes has a letter of this kind.
    pub(super) fn needs(&self, letter: impl Fn(char) -> bool) -> bool {
        if self.ignore_case {
            return false;
        }
        match self.kind {
            Kind::Contains | Kind::Starts | Kind::Ends | Kind::Equal => {
                self.needle.chars().any(letter)
            }
            // A letter after a backslash stands for itself; the wildcards are no letters.
            Kind::Like | Kind::Sigma => self.needle.chars().any(letter),
            Kind::Regex => {
                let Ok(parsed) = regex_syntax::parse(&self.needle) else { return false };
                let prefixes = Extractor::new().extract(&parsed);
                let Some(literals) = prefixes.literals().filter(|l| !l.is_empty()) else {
                    return false;
                };
                literals.iter().all(|l| String::from_utf8_lossy(l.as_bytes()).chars().any(&letter))
            }
        }
    }

    /// Whether the needle is an address, or the beginning of one, in another than canonical form.
    pub(super) fn is_raw_address(&self) -> bool {
        if self.ignore_case || matches!(self.kind, Kind::Regex) {
            return false;
        }
        let bare = self.needle.trim_matches(|c| c == '%' || c == '_');
        let hex = |c: char| c.is_ascii_hexdigit() || c == ':';
        let v6 = bare.contains(':') && bare.chars().all(hex);
        v6 && bare.chars().any(|c| c.is_ascii_uppercase())
            || bare == self.needle
                && bare.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().to_string() != bare)
    }
}

/// A pattern with two wildcards and backslash escapes as a regular expression.
fn wildcards(pattern: &str, any: char, one: char) -> Option<String> {
    let mut regex = String::from(r"\A");
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => regex.push_str(&regex::escape(&chars.next()?.to_string())),
            c if c == any => regex.push_str(".*"),
            c if c == one => regex.push('.'),
            c => regex.push_str(&regex::escape(&c.to_string())),
        }
    }
    regex.push_str(r"\z");
    Some(regex)
}
