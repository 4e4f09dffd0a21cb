//! Literals a value must contain for a test to be TRUE: what an index can look for.

use regex_syntax::hir::{Hir, HirKind};

use super::{
    check::{LikePart, like_parts},
    fold::{fold, representative},
};
use crate::Test;

/// A test is TRUE on a value only if the value holds at least one of the literals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Needles {
    /// The literals; folded if `folded`.
    pub(super) literals: Vec<String>,
    /// Whether they are to be found with letter case ignored.
    pub(super) folded: bool,
    /// What finding one proves.
    pub(super) proves: Proves,
}

/// What an occurrence of a needle proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proves {
    /// The test is TRUE.
    Anywhere,
    /// The test is TRUE if the occurrence is at the start.
    AtStart,
    /// The test is TRUE if the occurrence is at the end.
    AtEnd,
    /// Nothing: the test has to be run.
    Candidate,
}

/// More alternatives than this are not worth it.
const ALTERNATIVES: usize = 64;

impl Needles {
    /// The needles of a test; `None` if it has none (or an empty one).
    pub(super) fn of(test: &Test) -> Option<Needles> {
        let one = |needle: &str, folded: bool, proves| Needles {
            literals: vec![if folded { fold(needle) } else { needle.to_owned() }],
            folded,
            proves,
        };
        let needles = match test {
            Test::Contains(t) => one(&t.needle, t.ignore_case, Proves::Anywhere),
            Test::StartsWith(t) => one(&t.needle, t.ignore_case, Proves::AtStart),
            Test::EndsWith(t) => one(&t.needle, t.ignore_case, Proves::AtEnd),
            Test::Like(t) => {
                let longest = like_parts(&t.needle)
                    .into_iter()
                    .filter_map(|part| match part {
                        LikePart::Literal(text) => Some(text),
                        LikePart::One | LikePart::Any => None,
                    })
                    .max_by_key(String::len)?;
                one(&longest, t.ignore_case, Proves::Candidate)
            }
            Test::Regex(pattern) => Needles {
                literals: required(&regex_syntax::parse(pattern).ok()?)?,
                folded: true,
                proves: Proves::Candidate,
            },
            Test::IsNull
            | Test::IsSet
            | Test::In(_)
            | Test::EqualsIgnoreCase(_)
            | Test::Less(_)
            | Test::LessOrEqual(_)
            | Test::Greater(_)
            | Test::GreaterOrEqual(_)
            | Test::Cidr(_) => return None,
        };
        (needles.shortest() > 0).then_some(needles)
    }

    /// Bytes of the shortest literal.
    pub(super) fn shortest(&self) -> usize {
        self.literals.iter().map(String::len).min().unwrap_or(0)
    }

    /// For a test that a value ends in `\name` or `/name`: that ending, found by a probe with the
    /// value's last path component.
    pub(super) fn tail(&self) -> Option<&str> {
        match (self.proves, self.literals.as_slice()) {
            (Proves::AtEnd, [literal]) if last_component(literal) == Some(literal) => Some(literal),
            _ => None,
        }
    }
}

/// The part of a path from its last separator on.
pub(super) fn last_component(path: &str) -> Option<&str> {
    path.rfind(['\\', '/']).and_then(|at| path.get(at..))
}

/// Folded literals, one of which is in every text the expression matches: of all that qualify the
/// set whose shortest literal is longest.
fn required(hir: &Hir) -> Option<Vec<String>> {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => None,
        HirKind::Literal(_) | HirKind::Class(_) => exact(hir).map(|text| vec![text]),
        HirKind::Repetition(r) => {
            if r.min > 0 {
                required(&r.sub)
            } else {
                None
            }
        }
        HirKind::Capture(c) => required(&c.sub),
        HirKind::Concat(parts) => {
            let mut sets: Vec<Vec<String>> = Vec::new();
            let mut run = String::new();
            for part in parts {
                match part.kind() {
                    // Matches no character: what stands on both sides is adjacent.
                    HirKind::Look(_) | HirKind::Empty => {}
                    _ => match exact(part) {
                        Some(text) => run.push_str(&text),
                        None => {
                            sets.push(vec![std::mem::take(&mut run)]);
                            sets.extend(required(part));
                        }
                    },
                }
            }
            sets.push(vec![run]);
            let shortest = |set: &Vec<String>| set.iter().map(String::len).min().unwrap_or(0);
            sets.into_iter().filter(|set| shortest(set) > 0).max_by_key(shortest)
        }
        HirKind::Alternation(parts) => {
            let sets: Vec<Vec<String>> = parts.iter().map(required).collect::<Option<_>>()?;
            let mut all = sets.concat();
            all.sort_unstable();
            all.dedup();
            (all.len() <= ALTERNATIVES).then_some(all)
        }
    }
}

/// The folded form of every text that the expression matches, if that is one.
fn exact(hir: &Hir) -> Option<String> {
    match hir.kind() {
        HirKind::Literal(literal) => Some(fold(std::str::from_utf8(&literal.0).ok()?)),
        HirKind::Class(class) => {
            let class = match class {
                regex_syntax::hir::Class::Unicode(class) => class.clone(),
                regex_syntax::hir::Class::Bytes(class) => class.to_unicode_class()?,
            };
            let characters: u32 = class.iter().map(|r| r.end() as u32 - r.start() as u32 + 1).sum();
            if characters > 4 {
                return None;
            }
            let mut folded = class.iter().flat_map(|r| r.start()..=r.end()).map(representative);
            let first = folded.next()?;
            folded.all(|c| c == first).then(|| first.into())
        }
        HirKind::Capture(c) => exact(&c.sub),
        HirKind::Concat(parts) => parts.iter().map(exact).collect(),
        HirKind::Empty | HirKind::Look(_) | HirKind::Repetition(_) | HirKind::Alternation(_) => {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_match_of_a_regex_holds_one_of_its_needles() {
        let literals = |p: &str| required(&regex_syntax::parse(p).unwrap()).unwrap_or_default();
        assert_eq!(literals(r"cmd\.exe\s+/c"), ["CMD.EXE"]);
        assert_eq!(literals(r"(?i)power(shell|pwsh)x*"), ["POWER"]);
        assert_eq!(literals(r"^(foo|barbaz)$"), ["BARBAZ", "FOO"]);
        assert_eq!(literals(r"a?[0-9]+"), Vec::<String>::new());
        assert_eq!(literals(r"foo\bbar"), ["FOOBAR"]);
        assert_eq!(literals(r"x{2,}ab"), ["AB"]);
    }

    #[test]
    fn a_tail_is_one_path_component() {
        let tail = |needle: &str| {
            let text = crate::Text { needle: needle.into(), ignore_case: false };
            Needles::of(&Test::EndsWith(text)).unwrap().tail().map(str::to_owned)
        };
        assert_eq!(tail(r"\cmd.exe").as_deref(), Some(r"\cmd.exe"));
        assert_eq!(tail("/sh").as_deref(), Some("/sh"));
        assert_eq!(tail("cmd.exe"), None);
        assert_eq!(tail(r"\system32\cmd.exe"), None);
    }
}
