//! All indexed tests of one text column at once: which of them are TRUE on a value.
//!
//! Equalities and path endings are hash probes, address ranges one probe per prefix length, and
//! everything else is one pass for all needles with an Aho-Corasick automaton per letter case.

use std::sync::Arc;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use hashbrown::HashMap;
use memchr::memmem::Finder;
use sluice_event::Value;

use super::{
    AtomId,
    check::{Check, Network, TextCheck},
    fold::{fold, searchable},
    needles::{Needles, Proves, last_component},
};
use crate::Test;

type Probes = HashMap<Box<str>, Vec<AtomId>, foldhash::fast::RandomState>;

/// The indexed tests of one text column.
#[derive(Debug, Default)]
pub(super) struct TextIndex {
    equal: Probes,
    equal_folded: Probes,
    tails: Probes,
    tails_folded: Probes,
    exact: Option<Literals>,
    folded: Option<Literals>,
    networks: HashMap<Network, Vec<AtomId>, foldhash::fast::RandomState>,
    /// Address version and prefix length of `networks`, each once.
    prefixes: Vec<(bool, u8)>,
}

/// Which needles have been found in the value at hand; kept between batches.
#[derive(Debug, Default)]
pub(super) struct Seen {
    stamps: Vec<u64>,
    now: u64,
    upper: String,
}

impl Seen {
    /// Upper case in ASCII, in a buffer that is used again.
    fn upper(&mut self, text: &str) -> &str {
        self.upper.clear();
        self.upper.push_str(text);
        self.upper.make_ascii_uppercase();
        &self.upper
    }
}

impl TextIndex {
    /// The index of tests that are all indexable.
    pub(super) fn new<'a>(tests: impl Iterator<Item = (AtomId, &'a Test, &'a Check)>) -> Self {
        let mut index = TextIndex::default();
        let (mut exact, mut folded) = (LiteralsBuilder::default(), LiteralsBuilder::default());
        for (atom, test, check) in tests {
            match (test, check) {
                (Test::In(values), _) => {
                    for text in values.iter().filter_map(Value::as_text) {
                        index.equal.entry(text.into()).or_default().push(atom);
                    }
                }
                (Test::EqualsIgnoreCase(text), _) => {
                    let text = fold(text).into();
                    index.equal_folded.entry(text).or_default().push(atom);
                }
                (_, Check::Text(TextCheck::Inside(networks))) => {
                    for network in networks {
                        index.networks.entry(*network).or_default().push(atom);
                        index.prefixes.push((network.v6, network.length));
                    }
                }
                _ => {
                    let Some(needles) = Needles::of(test) else { continue };
                    if let Some(tail) = needles.tail() {
                        let tails =
                            if needles.folded { &mut index.tails_folded } else { &mut index.tails };
                        tails.entry(tail.into()).or_default().push(atom);
                        continue;
                    }
                    let builder = if needles.folded { &mut folded } else { &mut exact };
                    for literal in &needles.literals {
                        builder.add(literal, Use { atom, proves: needles.proves });
                    }
                }
            }
        }
        index.prefixes.sort_unstable();
        index.prefixes.dedup();
        index.exact = exact.build(Case::Exact, 0);
        let first = index.exact.as_ref().map_or(0, |l| l.uses.len());
        index.folded = folded.build(Case::Ignored, first);
        index
    }

    /// Whether testing a value costs a pass over it, so that equal values are better tested once.
    pub(super) fn scans(&self) -> bool {
        self.exact.is_some() || self.folded.is_some()
    }

    /// Calls `hit` with every indexed atom that is TRUE on `value`, some perhaps twice.
    pub(super) fn find<'c>(
        &self,
        value: &str,
        seen: &mut Seen,
        check: impl Fn(AtomId) -> &'c Check,
        mut hit: impl FnMut(AtomId),
    ) {
        let probe = |map: &Probes, text: &str, hit: &mut dyn FnMut(AtomId)| {
            if let Some(atoms) = map.get(text) {
                atoms.iter().for_each(|a| hit(*a));
            }
        };
        if !self.equal.is_empty() {
            probe(&self.equal, value, &mut hit);
        }
        if !self.tails.is_empty()
            && let Some(tail) = last_component(value)
        {
            probe(&self.tails, tail, &mut hit);
        }
        if !self.prefixes.is_empty()
            && let Some(address) = Network::address(value)
        {
            for (_, length) in self.prefixes.iter().filter(|(v6, _)| *v6 == address.v6) {
                if let Some(atoms) = self.networks.get(&address.truncated(*length)) {
                    atoms.iter().for_each(|a| hit(*a));
                }
            }
        }
        let verify = |atom: AtomId| match check(atom) {
            Check::Text(check) => check.verdict(value) == Some(true),
            _ => false,
        };
        seen.now += 1;
        if let Some(literals) = &self.exact {
            literals.find(value, seen, &verify, &mut hit);
        }
        if self.folded.is_none() && self.equal_folded.is_empty() && self.tails_folded.is_empty() {
            return;
        }
        let value = searchable(value);
        if !self.equal_folded.is_empty() {
            probe(&self.equal_folded, seen.upper(&value), &mut hit);
        }
        if !self.tails_folded.is_empty()
            && let Some(tail) = last_component(&value)
        {
            probe(&self.tails_folded, seen.upper(tail), &mut hit);
        }
        if let Some(literals) = &self.folded {
            literals.find(&value, seen, &verify, &mut hit);
        }
    }

    /// Memory of the automata, in bytes.
    pub(super) fn automaton_bytes(&self) -> usize {
        [&self.exact, &self.folded]
            .into_iter()
            .flatten()
            .map(|l| match &l.searcher {
                Searcher::Automaton(automaton) => automaton.memory_usage(),
                Searcher::Each(_) => 0,
            })
            .sum()
    }
}

/// What an atom wants of a needle.
#[derive(Clone, Copy, Debug)]
struct Use {
    atom: AtomId,
    proves: Proves,
}

/// Needles of one letter case.
#[derive(Debug)]
struct Literals {
    searcher: Searcher,
    /// Per needle.
    uses: Vec<Box<[Use]>>,
    /// Where the needles' stamps begin in [`Seen`].
    first: usize,
}

#[derive(Debug)]
enum Searcher {
    Automaton(AhoCorasick),
    Each(Vec<Finder<'static>>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    Exact,
    Ignored,
}

#[derive(Default)]
struct LiteralsBuilder {
    numbers: HashMap<Arc<str>, usize, foldhash::fast::RandomState>,
    needles: Vec<Arc<str>>,
    uses: Vec<Vec<Use>>,
}

impl LiteralsBuilder {
    fn add(&mut self, literal: &str, used: Use) {
        match self.numbers.get(literal) {
            Some(number) => self.uses[*number].push(used),
            None => {
                let needle: Arc<str> = literal.into();
                self.numbers.insert(Arc::clone(&needle), self.needles.len());
                self.needles.push(needle);
                self.uses.push(vec![used]);
            }
        }
    }

    fn build(self, case: Case, first: usize) -> Option<Literals> {
        /// From here on one automaton is faster than one search per needle.
        const AUTOMATON_FROM: usize = 8;
        /// A DFA is several times faster than an NFA and several times larger: up to here it
        /// stays in the processor's cache.
        const DFA_BYTES: usize = 16 * 1024;
        if self.needles.is_empty() {
            return None;
        }
        let each = || {
            Searcher::Each(
                self.needles.iter().map(|n| Finder::new(n.as_bytes()).into_owned()).collect(),
            )
        };
        let searcher = if self.needles.len() < AUTOMATON_FROM && case == Case::Exact {
            each()
        } else {
            let bytes: usize = self.needles.iter().map(|n| n.len()).sum();
            let kind = match bytes {
                ..=DFA_BYTES => AhoCorasickKind::DFA,
                _ => AhoCorasickKind::ContiguousNFA,
            };
            let automaton = AhoCorasick::builder()
                .match_kind(MatchKind::Standard)
                .ascii_case_insensitive(case == Case::Ignored)
                .kind(Some(kind))
                .build(self.needles.iter().map(|n| n.as_bytes()));
            match automaton {
                Ok(automaton) => Searcher::Automaton(automaton),
                // Only beyond 2^31 states.
                Err(_) => each(),
            }
        };
        let uses = self.uses.into_iter().map(Vec::into_boxed_slice).collect();
        Some(Literals { searcher, uses, first })
    }
}

impl Literals {
    fn find(
        &self,
        value: &str,
        seen: &mut Seen,
        verify: &impl Fn(AtomId) -> bool,
        hit: &mut impl FnMut(AtomId),
    ) {
        if seen.stamps.len() < self.first + self.uses.len() {
            seen.stamps.resize(self.first + self.uses.len(), 0);
        }
        let mut found = |needle: usize, start: usize, end: usize| {
            let stamp = &mut seen.stamps[self.first + needle];
            let first_time = std::mem::replace(stamp, seen.now) != seen.now;
            for used in &self.uses[needle] {
                let holds = match used.proves {
                    Proves::Anywhere => first_time,
                    Proves::AtStart => start == 0,
                    Proves::AtEnd => end == value.len(),
                    Proves::Candidate => first_time && verify(used.atom),
                };
                if holds {
                    hit(used.atom);
                }
            }
        };
        match &self.searcher {
            // Overlapping: needles contain each other, and each occurrence may be the one that
            // stands at an end.
            Searcher::Automaton(automaton) => automaton
                .find_overlapping_iter(value)
                .for_each(|m| found(m.pattern().as_usize(), m.start(), m.end())),
            Searcher::Each(finders) => {
                for (needle, finder) in finders.iter().enumerate() {
                    let length = finder.needle().len();
                    for start in finder.find_iter(value.as_bytes()) {
                        found(needle, start, start + length);
                    }
                    // Occurrences found one after the other do not overlap: the last may hide
                    // the one at the end.
                    if value.as_bytes().ends_with(finder.needle()) {
                        found(needle, value.len() - length, value.len());
                    }
                }
            }
        }
    }
}
