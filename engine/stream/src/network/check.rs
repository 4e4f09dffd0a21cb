//! A test compiled for one type, run on one value. This is what a test *means*; the indexes only
//! find the values for which the answer is yes faster.

use std::{net::IpAddr, sync::Arc};

use memchr::memmem::Finder;
use regex::{Regex, RegexBuilder};
use sluice_event::Value;

use super::{
    fold::{fold, searchable},
    values::{Class, Data},
};
use crate::Test;

/// A compiled test.
#[derive(Debug)]
pub(super) enum Check {
    IsNull,
    IsPresent,
    /// The test does not fit the type, or its pattern is invalid: NULL on every value.
    Unfit,
    Text(TextCheck),
    /// A number between the two, inclusive.
    Between(i64, i64),
    /// One of the sorted numbers.
    OneOf(Box<[i64]>),
}

/// A compiled test of text.
#[derive(Debug)]
pub(super) enum TextCheck {
    /// One of the sorted texts.
    OneOf(Box<[Arc<str>]>),
    Contains(Box<Finder<'static>>),
    StartsWith(Arc<str>),
    EndsWith(Arc<str>),
    ContainsFolded(FoldedFinder),
    /// The needle is folded, here and below.
    StartsWithFolded(Arc<str>),
    EndsWithFolded(Arc<str>),
    EqualsFolded(Arc<str>),
    Matches(Regex),
    Less(Arc<str>),
    LessOrEqual(Arc<str>),
    Greater(Arc<str>),
    GreaterOrEqual(Arc<str>),
    Inside(Box<[Network]>),
}

impl Check {
    pub(super) fn new(test: &Test, class: Class) -> Check {
        match (test, class) {
            (Test::IsNull, _) => Check::IsNull,
            (_, Class::Text) => TextCheck::new(test).map_or(Check::Unfit, Check::Text),
            _ => Check::number(test, class).unwrap_or(Check::Unfit),
        }
    }

    fn number(test: &Test, class: Class) -> Option<Check> {
        let number = |v: &Value| class.number(v);
        // An empty range is written as one that no number is in.
        let below =
            |v: i64| v.checked_sub(1).map_or(Check::Between(1, 0), |v| Check::Between(i64::MIN, v));
        let above =
            |v: i64| v.checked_add(1).map_or(Check::Between(1, 0), |v| Check::Between(v, i64::MAX));
        Some(match test {
            Test::IsSet if class == Class::Bool => Check::Between(1, 1),
            Test::In(values) => {
                let mut numbers: Vec<i64> = values.iter().map(number).collect::<Option<_>>()?;
                numbers.sort_unstable();
                Check::OneOf(numbers.into())
            }
            Test::Less(v) => below(number(v)?),
            Test::LessOrEqual(v) => Check::Between(i64::MIN, number(v)?),
            Test::Greater(v) => above(number(v)?),
            Test::GreaterOrEqual(v) => Check::Between(number(v)?, i64::MAX),
            Test::IsNull
            | Test::IsSet
            | Test::Contains(_)
            | Test::StartsWith(_)
            | Test::EndsWith(_)
            | Test::EqualsIgnoreCase(_)
            | Test::Like(_)
            | Test::Regex(_)
            | Test::Cidr(_) => return None,
        })
    }

    /// The verdict on the value of index `value`, which is not NULL.
    pub(super) fn value(&self, data: &Data, value: usize) -> Option<bool> {
        match (self, data) {
            (Check::IsNull, _) => Some(false),
            (Check::IsPresent, _) => Some(true),
            (Check::Text(check), Data::Text(texts)) => check.verdict(texts.value(value)),
            (Check::Between(low, high), Data::Numbers(numbers)) => {
                Some((*low..=*high).contains(&numbers.value(value)))
            }
            (Check::OneOf(list), Data::Numbers(numbers)) => {
                Some(list.binary_search(&numbers.value(value)).is_ok())
            }
            (Check::Unfit | Check::Text(_) | Check::Between(..) | Check::OneOf(_), _) => None,
        }
    }

    /// Whether the verdict can be NULL on a value that is not.
    pub(super) fn may_be_unknown(&self) -> bool {
        matches!(self, Check::Unfit | Check::Text(TextCheck::Inside(_)))
    }
}

impl TextCheck {
    fn new(test: &Test) -> Option<TextCheck> {
        let text = |v: &Value| match v {
            Value::Text(t) => Some(t.as_str().into()),
            _ => None,
        };
        Some(match test {
            Test::In(values) => {
                let mut texts: Vec<Arc<str>> = values.iter().map(text).collect::<Option<_>>()?;
                texts.sort_unstable();
                TextCheck::OneOf(texts.into())
            }
            Test::Contains(t) if t.ignore_case => {
                TextCheck::ContainsFolded(FoldedFinder::new(fold(&t.needle).into()))
            }
            Test::StartsWith(t) if t.ignore_case => {
                TextCheck::StartsWithFolded(fold(&t.needle).into())
            }
            Test::EndsWith(t) if t.ignore_case => TextCheck::EndsWithFolded(fold(&t.needle).into()),
            Test::Contains(t) => {
                TextCheck::Contains(Box::new(Finder::new(t.needle.as_bytes()).into_owned()))
            }
            Test::StartsWith(t) => TextCheck::StartsWith(Arc::clone(&t.needle)),
            Test::EndsWith(t) => TextCheck::EndsWith(Arc::clone(&t.needle)),
            Test::EqualsIgnoreCase(needle) => TextCheck::EqualsFolded(fold(needle).into()),
            Test::Like(t) => TextCheck::Matches(like(&t.needle, t.ignore_case)?),
            Test::Regex(pattern) => TextCheck::Matches(Regex::new(pattern).ok()?),
            Test::Less(v) => TextCheck::Less(text(v)?),
            Test::LessOrEqual(v) => TextCheck::LessOrEqual(text(v)?),
            Test::Greater(v) => TextCheck::Greater(text(v)?),
            Test::GreaterOrEqual(v) => TextCheck::GreaterOrEqual(text(v)?),
            Test::Cidr(networks) => {
                TextCheck::Inside(networks.iter().filter_map(|n| Network::parse(n)).collect())
            }
            Test::IsNull | Test::IsSet => return None,
        })
    }

    /// The verdict on a text; NULL only for an address that is none.
    pub(super) fn verdict(&self, value: &str) -> Option<bool> {
        Some(match self {
            TextCheck::OneOf(list) => list.binary_search_by(|t| (**t).cmp(value)).is_ok(),
            TextCheck::Contains(needle) => needle.find(value.as_bytes()).is_some(),
            TextCheck::StartsWith(needle) => value.starts_with(&**needle),
            TextCheck::EndsWith(needle) => value.ends_with(&**needle),
            TextCheck::ContainsFolded(needle) => needle.is_in(searchable(value).as_bytes()),
            TextCheck::StartsWithFolded(needle) => searchable(value)
                .as_bytes()
                .get(..needle.len())
                .is_some_and(|head| head.eq_ignore_ascii_case(needle.as_bytes())),
            TextCheck::EndsWithFolded(needle) => {
                let value = searchable(value);
                let start = value.len().checked_sub(needle.len());
                start.is_some_and(|s| value.as_bytes()[s..].eq_ignore_ascii_case(needle.as_bytes()))
            }
            TextCheck::EqualsFolded(needle) => searchable(value).eq_ignore_ascii_case(needle),
            TextCheck::Matches(regex) => regex.is_match(value),
            TextCheck::Less(v) => value < &**v,
            TextCheck::LessOrEqual(v) => value <= &**v,
            TextCheck::Greater(v) => value > &**v,
            TextCheck::GreaterOrEqual(v) => value >= &**v,
            TextCheck::Inside(networks) => {
                let address = Network::address(value)?;
                networks.iter().any(|n| n.holds(address))
            }
        })
    }
}

/// A folded needle, found by the byte of it that texts hold least often.
#[derive(Debug)]
pub(super) struct FoldedFinder {
    needle: Arc<str>,
    rarest: usize,
}

impl FoldedFinder {
    fn new(needle: Arc<str>) -> Self {
        /// Bytes of paths and command lines, most common first; what is not here is rare.
        const COMMON: &[u8] = b"E SITNORACLD\\MPU.H-/XFGY0VBWK12:3_\"=4568J97QZ,";
        let rank = |b: u8| COMMON.iter().position(|c| *c == b).unwrap_or(COMMON.len());
        let bytes = needle.bytes().enumerate();
        let rarest = bytes.max_by_key(|(_, b)| rank(*b)).map_or(0, |(at, _)| at);
        FoldedFinder { needle, rarest }
    }

    /// Whether it is in a value, which need not be folded if it is ASCII.
    fn is_in(&self, value: &[u8]) -> bool {
        let needle = self.needle.as_bytes();
        let Some(byte) = needle.get(self.rarest) else { return true };
        let Some(last) = value.len().checked_sub(needle.len()) else { return false };
        let places = &value[self.rarest..=self.rarest + last];
        memchr::memchr2_iter(byte.to_ascii_lowercase(), *byte, places)
            .any(|at| value[at..at + needle.len()].eq_ignore_ascii_case(needle))
    }
}

/// A LIKE pattern in pieces.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LikePart {
    /// These characters.
    Literal(String),
    /// `_`: any one character.
    One,
    /// `%`: any characters.
    Any,
}

/// Splits a LIKE pattern: a backslash makes the next character a literal; alone at the end it is
/// one itself.
pub(super) fn like_parts(pattern: &str) -> Vec<LikePart> {
    let mut parts = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        let literal = match c {
            '%' => {
                parts.push(LikePart::Any);
                continue;
            }
            '_' => {
                parts.push(LikePart::One);
                continue;
            }
            '\\' => chars.next().unwrap_or('\\'),
            c => c,
        };
        match parts.last_mut() {
            Some(LikePart::Literal(text)) => text.push(literal),
            _ => parts.push(LikePart::Literal(literal.into())),
        }
    }
    parts
}

/// Anchored at both ends; wildcards match newlines too.
fn like(pattern: &str, ignore_case: bool) -> Option<Regex> {
    let mut text = String::from("^");
    for part in like_parts(pattern) {
        match part {
            LikePart::Literal(literal) => text.push_str(&regex::escape(&literal)),
            LikePart::One => text.push('.'),
            LikePart::Any => text.push_str(".*"),
        }
    }
    text.push('$');
    RegexBuilder::new(&text).case_insensitive(ignore_case).dot_matches_new_line(true).build().ok()
}

/// An IP network: version, leading bits, and how many of them count. IPv4 sits in the top 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Network {
    pub(super) v6: bool,
    pub(super) bits: u128,
    pub(super) length: u8,
}

impl Network {
    /// `10.0.0.0/8`, `2001:db8::/32`, or an address for itself alone.
    pub(super) fn parse(text: &str) -> Option<Network> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length.parse::<u8>().ok()?)),
            None => (text, None),
        };
        let whole = Self::address(address)?;
        match length {
            None => Some(whole),
            Some(length) if length <= whole.length => Some(whole.truncated(length)),
            Some(_) => None,
        }
    }

    /// An address as the network of itself alone; IPv4 mapped into IPv6 is IPv4.
    pub(super) fn address(text: &str) -> Option<Network> {
        Some(match text.parse::<IpAddr>().ok()?.to_canonical() {
            IpAddr::V4(v4) => {
                Network { v6: false, bits: u128::from(u32::from(v4)) << 96, length: 32 }
            }
            IpAddr::V6(v6) => Network { v6: true, bits: u128::from(v6), length: 128 },
        })
    }

    pub(super) fn truncated(self, length: u8) -> Network {
        let mask = match length {
            0 => 0,
            n => u128::MAX << (128 - u32::from(n)),
        };
        Network { bits: self.bits & mask, length, ..self }
    }

    fn holds(&self, address: Network) -> bool {
        self.v6 == address.v6 && address.truncated(self.length) == *self
    }
}
