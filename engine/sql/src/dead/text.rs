//! Tests of a text against a literal, tried on values and looked at for letters they need.

use std::{net::IpAddr, sync::OnceLock};

use regex::{Regex, RegexBuilder};
use regex_syntax::hir::{Class, Hir, HirKind, Look};

/// One test of a text.
pub(super) struct TextTest {
    kind: TextTestKind,
    /// The needle or pattern as written.
    needle: String,
    ignore_case: bool,
    compiled: OnceLock<Option<Regex>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum TextTestKind {
    Contains,
    Starts,
    Ends,
    Equal,
    Like,
    Sigma,
    Regex,
}

impl PartialEq for TextTest {
    fn eq(&self, other: &TextTest) -> bool {
        (self.kind, &self.needle, self.ignore_case)
            == (other.kind, &other.needle, other.ignore_case)
    }
}

impl TextTest {
    fn new(kind: TextTestKind, needle: &str, ignore_case: bool) -> TextTest {
        TextTest { kind, needle: needle.to_owned(), ignore_case, compiled: OnceLock::new() }
    }

    /// The test that a function makes with a needle; `None` if it makes none.
    pub(super) fn named(function: &str, needle: &str) -> Option<TextTest> {
        let (kind, ignore_case) = match function {
            "contains" => (TextTestKind::Contains, false),
            "starts_with" => (TextTestKind::Starts, false),
            "ends_with" => (TextTestKind::Ends, false),
            "icontains" => (TextTestKind::Contains, true),
            "istarts" => (TextTestKind::Starts, true),
            "iends" => (TextTestKind::Ends, true),
            "ieq" => (TextTestKind::Equal, true),
            "sigma_like" => (TextTestKind::Sigma, true),
            _ => return None,
        };
        Some(Self::new(kind, needle, ignore_case))
    }

    pub(super) fn like(pattern: &str, ignore_case: bool) -> TextTest {
        Self::new(TextTestKind::Like, pattern, ignore_case)
    }

    pub(super) fn regex(pattern: &str, flags: &str) -> TextTest {
        let pattern =
            if flags.is_empty() { pattern.to_owned() } else { format!("(?{flags}){pattern}") };
        Self::new(TextTestKind::Regex, &pattern, flags.contains('i'))
    }

    /// The same test in lower case; `None` where letters mean something else.
    pub(super) fn lowered(&self) -> Option<String> {
        (self.kind != TextTestKind::Regex).then(|| self.needle.to_lowercase())
    }

    /// The needle or pattern as written.
    pub(super) fn needle(&self) -> &str {
        &self.needle
    }

    /// Whether a value passes; `None` if the pattern is none.
    pub(super) fn matches(&self, value: &str) -> Option<bool> {
        let regex = self.compiled.get_or_init(|| {
            let escape = regex::escape(&self.needle);
            let pattern = match self.kind {
                TextTestKind::Contains => escape,
                TextTestKind::Starts => format!(r"\A{escape}"),
                TextTestKind::Ends => format!(r"{escape}\z"),
                TextTestKind::Equal => format!(r"\A{escape}\z"),
                TextTestKind::Like => wildcards(&self.needle, '%', '_')?,
                TextTestKind::Sigma => wildcards(&self.needle, '*', '?')?,
                TextTestKind::Regex => self.needle.clone(),
            };
            RegexBuilder::new(&pattern)
                .case_insensitive(self.ignore_case)
                .dot_matches_new_line(self.kind != TextTestKind::Regex)
                .build()
                .ok()
        });
        Some(regex.as_ref()?.is_match(value))
    }

    /// Whether no text can pass both.
    pub(super) fn excludes(&self, other: &TextTest) -> bool {
        let differ = |a: Option<String>, b: Option<String>, ends: bool| {
            let (Some(mut a), Some(mut b)) = (a, b) else { return false };
            if self.ignore_case || other.ignore_case {
                (a, b) = (a.to_lowercase(), b.to_lowercase());
            }
            if ends {
                !a.ends_with(&b) && !b.ends_with(&a)
            } else {
                !a.starts_with(&b) && !b.starts_with(&a)
            }
        };
        let whole = |a: &TextTest, b: &TextTest| {
            a.whole().is_some_and(|text| !a.ignore_case && b.matches(&text) == Some(false))
        };
        differ(self.start(), other.start(), false)
            || differ(self.end(), other.end(), true)
            || whole(self, other)
            || whole(other, self)
    }

    /// What every text that passes begins with.
    fn start(&self) -> Option<String> {
        match self.kind {
            TextTestKind::Starts | TextTestKind::Equal => Some(self.needle.clone()),
            TextTestKind::Like => plain(self.needle.chars(), '%', '_').map(|(text, _)| text),
            TextTestKind::Sigma => plain(self.needle.chars(), '*', '?').map(|(text, _)| text),
            TextTestKind::Contains | TextTestKind::Ends | TextTestKind::Regex => None,
        }
    }

    /// What every text that passes ends with.
    fn end(&self) -> Option<String> {
        match self.kind {
            TextTestKind::Ends | TextTestKind::Equal => Some(self.needle.clone()),
            // Read from the end, a backslash comes after what it escapes.
            TextTestKind::Like | TextTestKind::Sigma if !self.needle.contains('\\') => {
                let wild: &[char] =
                    if self.kind == TextTestKind::Like { &['%', '_'] } else { &['*', '?'] };
                self.needle.rsplit(wild).next().map(str::to_owned)
            }
            TextTestKind::Like
            | TextTestKind::Sigma
            | TextTestKind::Contains
            | TextTestKind::Starts
            | TextTestKind::Regex => None,
        }
    }

    /// The only text that passes, if it is one.
    fn whole(&self) -> Option<String> {
        let found = match self.kind {
            TextTestKind::Equal => return Some(self.needle.clone()),
            TextTestKind::Like => plain(self.needle.chars(), '%', '_'),
            TextTestKind::Sigma => plain(self.needle.chars(), '*', '?'),
            TextTestKind::Contains
            | TextTestKind::Starts
            | TextTestKind::Ends
            | TextTestKind::Regex => None,
        };
        found.and_then(|(text, all)| all.then_some(text))
    }

    /// Whether no text at all can pass: a pattern that asks for something after the end, or before
    /// the start.
    pub(super) fn is_impossible(&self) -> bool {
        self.kind == TextTestKind::Regex
            && regex_syntax::parse(&self.needle).is_ok_and(|parsed| impossible(&parsed))
    }

    /// Whether every text that passes has a letter of this kind.
    pub(super) fn needs(&self, letter: impl Fn(char) -> bool) -> bool {
        if self.ignore_case {
            return false;
        }
        match self.kind {
            TextTestKind::Contains
            | TextTestKind::Starts
            | TextTestKind::Ends
            | TextTestKind::Equal => self.needle.chars().any(letter),
            // A letter after a backslash stands for itself; the wildcards are no letters.
            TextTestKind::Like | TextTestKind::Sigma => self.needle.chars().any(letter),
            TextTestKind::Regex => {
                regex_syntax::parse(&self.needle).is_ok_and(|parsed| needs(&parsed, &letter))
            }
        }
    }

    /// Whether the needle is an address, or the beginning of one, in another than canonical form.
    pub(super) fn is_raw_address(&self) -> bool {
        if self.ignore_case || matches!(self.kind, TextTestKind::Regex) {
            return false;
        }
        let bare = self.needle.trim_matches(|c| c == '%' || c == '_');
        let hex = |c: char| c.is_ascii_hexdigit() || c == ':';
        let v6 = bare.contains(':') && bare.chars().all(hex);
        v6 && bare.chars().any(|c| c.is_ascii_uppercase())
            || bare == self.needle
                && bare.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().to_string() != bare)
            || self.start().is_some_and(|start| is_no_address(&start))
    }
}

/// Whether a text begins like an IPv4 address and cannot be one: a number over 255 or with a leading
/// zero, a network's slash.
pub(super) fn is_no_address(text: &str) -> bool {
    let dotted = text.matches('.').count();
    let digits = text.chars().all(|c| c.is_ascii_digit() || c == '.' || c == '/');
    if !digits || dotted == 0 || dotted > 3 {
        return false;
    }
    let address = text.split('/').next().unwrap_or_default();
    text.contains('/') && dotted == 3
        || address.split('.').any(|part| {
            part.len() > 1 && part.starts_with('0') || part.parse::<u32>().is_ok_and(|n| n > 255)
        })
}

/// The text before the first wildcard without escapes, and whether that is all.
fn plain(mut chars: std::str::Chars<'_>, any: char, one: char) -> Option<(String, bool)> {
    let mut text = String::new();
    while let Some(c) = chars.next() {
        match c {
            '\\' => text.push(chars.next()?),
            c if c == any || c == one => return Some((text, false)),
            c => text.push(c),
        }
    }
    Some((text, true))
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

/// Classes with more letters than this are not looked through.
const LETTERS_MAX: u32 = 256;

/// Whether every match of a pattern has such a letter.
fn needs(pattern: &Hir, letter: &impl Fn(char) -> bool) -> bool {
    match pattern.kind() {
        HirKind::Literal(literal) => String::from_utf8_lossy(&literal.0).chars().any(letter),
        HirKind::Class(Class::Unicode(class)) => {
            let letters: u32 =
                class.ranges().iter().map(|r| r.end() as u32 - r.start() as u32 + 1).sum();
            (1..=LETTERS_MAX).contains(&letters)
                && class.ranges().iter().flat_map(|r| r.start()..=r.end()).all(letter)
        }
        HirKind::Class(Class::Bytes(_)) | HirKind::Empty | HirKind::Look(_) => false,
        HirKind::Repetition(repetition) => repetition.min > 0 && needs(&repetition.sub, letter),
        HirKind::Capture(capture) => needs(&capture.sub, letter),
        HirKind::Concat(parts) => parts.iter().any(|part| needs(part, letter)),
        HirKind::Alternation(parts) => parts.iter().all(|part| needs(part, letter)),
    }
}

/// Whether a pattern matches nothing, in any text.
fn impossible(pattern: &Hir) -> bool {
    let Some(_) = pattern.properties().minimum_len() else { return true };
    match pattern.kind() {
        HirKind::Capture(capture) => impossible(&capture.sub),
        HirKind::Repetition(repetition) => repetition.min > 0 && impossible(&repetition.sub),
        HirKind::Alternation(parts) => parts.iter().all(impossible),
        HirKind::Concat(parts) => {
            let consumes = |part: &Hir| part.properties().minimum_len().is_some_and(|n| n > 0);
            let is = |part: &Hir, look: Look| matches!(part.kind(), HirKind::Look(l) if *l == look);
            parts.iter().any(impossible)
                || parts.iter().enumerate().any(|(i, part)| {
                    is(part, Look::Start) && parts[..i].iter().any(consumes)
                        || is(part, Look::End) && parts[i + 1..].iter().any(consumes)
                })
        }
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) | HirKind::Look(_) => false,
    }
}
