//! Regular expressions of mappings and envelopes, compiled when they are first asked: of the hundred
//! patterns of a source most never are, and one compiled takes up to a quarter of a MiB.

use std::{
    fmt,
    str::FromStr,
    sync::{Arc, OnceLock},
};

use regex::{Regex, RegexBuilder};
use sluice_event::defect::OrDefect;

/// A regular expression that compiles, in at most 1 MiB. Copies share what is compiled.
///
/// ```
/// use sluice_rule::Pattern;
///
/// let pattern: Pattern = "^Failed (?<method>[a-z]+) for (?<user>.*)$".parse().unwrap();
/// assert_eq!(pattern.groups().collect::<Vec<_>>(), [(1, "method"), (2, "user")]);
/// assert!(pattern.regex().is_some_and(|regex| regex.is_match("Failed none for root")));
/// assert!("(".parse::<Pattern>().is_err());
/// ```
#[derive(Clone)]
pub struct Pattern(Arc<Inner>);

struct Inner {
    text: String,
    groups: Vec<(usize, String)>,
    regex: OnceLock<Option<Regex>>,
}

/// Bytes of a compiled pattern.
const SIZE_MAX: usize = 1 << 20;

impl Pattern {
    /// The text of the expression.
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// Its named groups with their numbers, in the order of the text.
    pub fn groups(&self) -> impl Iterator<Item = (usize, &str)> {
        self.0.groups.iter().map(|(number, name)| (*number, name.as_str()))
    }

    /// The compiled expression; whoever asks first waits for it, a millisecond. It compiled when it was read:
    /// that it does not now is a defect.
    pub fn regex(&self) -> Option<&Regex> {
        self.0.regex.get_or_init(|| compile(&self.0.text).or_defect("pattern")).as_ref()
    }
}

impl FromStr for Pattern {
    type Err = regex::Error;

    fn from_str(text: &str) -> Result<Pattern, regex::Error> {
        let compiled = compile(text)?;
        let named = compiled.capture_names().enumerate();
        let groups = named.filter_map(|(number, name)| Some((number, name?.to_owned()))).collect();
        Ok(Pattern(Arc::new(Inner { text: text.to_owned(), groups, regex: OnceLock::new() })))
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.0.text == other.0.text
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0.text, f)
    }
}

fn compile(text: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(text).size_limit(SIZE_MAX).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_share_what_the_first_of_them_compiled() {
        let pattern: Pattern = r"^(?<a>\d+)(x)(?<b>y)$".parse().unwrap();
        let copy = pattern.clone();
        assert!(copy.0.regex.get().is_none());
        assert!(pattern.regex().is_some_and(|regex| regex.is_match("12xy")));
        assert!(copy.0.regex.get().is_some());
        assert_eq!(copy.groups().collect::<Vec<_>>(), [(1, "a"), (3, "b")]);
        assert_eq!((format!("{copy:?}"), copy), (format!("{:?}", pattern.as_str()), pattern));
    }

    #[test]
    fn what_takes_too_much_is_refused_when_it_is_read() {
        assert!(r"(?:\w{1000}){1000}".parse::<Pattern>().is_err());
    }
}
