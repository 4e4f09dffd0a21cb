//! What one thread keeps between batches so that evaluating allocates next to nothing.

use std::sync::Arc;

use sluice_event::EvalError;

use super::{
    AtomId, PredicateNetwork,
    bits::{Bits, Pool},
    text::Seen,
    values::View,
};

/// Working memory of one thread for [`PredicateNetwork::evaluate`], and what it counted there.
///
/// Used with another network it starts anew: read the counters first.
#[derive(Debug, Default)]
pub struct Scratch {
    identity: u64,
    /// The number of the batch: what carries another one is stale, so nothing is cleared.
    epoch: u64,
    pub(super) hasher: foldhash::fast::RandomState,
    pub(super) pool: Pool,
    /// Per group.
    pub(super) views: Vec<Option<View>>,
    pub(super) seen: Vec<Seen>,
    pub(super) group_asked: Vec<u32>,
    /// Verdicts on the whole batch.
    pub(super) memos: Vec<Memo>,
    /// Per atom.
    notes: Vec<Note>,
    /// `atom << 32 | value` of each indexed atom that is TRUE on a value; sorted.
    pub(super) hits: Vec<u64>,
    /// `rule << 32 | witness` of each candidate; sorted.
    pub(super) candidates: Vec<u64>,
    pub(super) scans: Vec<AtomId>,
    pub(super) rows: Vec<u32>,
    counters: Vec<SlotCounters>,
    fault: Option<Fault>,
}

/// What a filter met since the scratch was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotCounters {
    /// Rows on which a witness was TRUE: those the whole condition was evaluated on.
    pub candidates: u64,
    /// Rows on which the condition was TRUE.
    pub matches: u64,
}

/// An expression that was declared infallible and failed; it was NULL there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The expression that failed first.
    pub sql: Arc<str>,
    /// How it failed.
    pub error: EvalError,
    /// How many evaluations failed.
    pub count: u64,
}

/// The verdicts of one atom on a batch.
#[derive(Debug)]
pub(super) struct Memo {
    /// Where it is TRUE.
    pub(super) yes: Bits,
    pub(super) yes_count: usize,
    /// Where it is not NULL, if that is not where its column is not NULL.
    pub(super) known: Option<Bits>,
}

/// What is known of an atom in the batch of its epoch.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Note {
    epoch: u64,
    /// Its memo plus one; 0 is none.
    memo: u32,
    /// Its part of `hits`.
    pub(super) hits: (u32, u32),
    /// How many rows those are.
    pub(super) weight: u32,
    /// How often it was asked row by row.
    pub(super) asked: u32,
}

impl Scratch {
    /// Working memory for any network.
    pub fn new() -> Self {
        Self::default()
    }

    /// What each filter of `network` met, in slot order; empty if this was last used with another.
    pub fn counters<'a>(
        &'a self,
        network: &'a PredicateNetwork,
    ) -> impl Iterator<Item = (usize, SlotCounters)> + 'a {
        let counters = if self.identity == network.identity { &self.counters[..] } else { &[] };
        network.rules.iter().map(|r| r.slot).zip(counters.iter().copied())
    }

    /// Failures of expressions that should not fail, since this was last asked.
    pub fn take_fault(&mut self) -> Option<Fault> {
        self.fault.take()
    }

    pub(super) fn begin(&mut self, network: &PredicateNetwork) {
        if self.identity != network.identity {
            let fault = self.fault.take();
            *self = Scratch { identity: network.identity, fault, ..Scratch::default() };
            let groups = network.atoms.groups().len();
            self.views.resize_with(groups, || None);
            self.seen.resize_with(groups, Seen::default);
            self.group_asked.resize(groups, 0);
            self.notes.resize(network.atoms.len(), Note::default());
            self.counters.resize(network.rules.len(), SlotCounters::default());
        }
        self.epoch += 1;
        self.group_asked.fill(0);
        self.hits.clear();
        self.candidates.clear();
        self.scans.clear();
    }

    /// Lets go of the batch.
    pub(super) fn end(&mut self) {
        for view in self.views.iter_mut().filter_map(Option::take) {
            self.pool.release(view.valid);
        }
        for memo in self.memos.drain(..) {
            self.pool.release(memo.yes);
            if let Some(known) = memo.known {
                self.pool.release(known);
            }
        }
    }

    pub(super) fn note(&mut self, atom: AtomId) -> &mut Note {
        let note = &mut self.notes[atom as usize];
        if note.epoch != self.epoch {
            *note = Note { epoch: self.epoch, ..Note::default() };
        }
        note
    }

    pub(super) fn memo(&mut self, atom: AtomId) -> Option<usize> {
        (self.note(atom).memo as usize).checked_sub(1)
    }

    /// Remembers the verdicts of an atom on the batch; returns their place.
    pub(super) fn remember(&mut self, atom: AtomId, yes: Bits, known: Option<Bits>) -> usize {
        let yes_count = yes.count();
        self.memos.push(Memo { yes, yes_count, known });
        self.note(atom).memo = self.memos.len() as u32;
        self.memos.len() - 1
    }

    pub(super) fn count(&mut self, rule: usize, candidates: usize, matches: usize) {
        let counters = &mut self.counters[rule];
        counters.candidates += candidates as u64;
        counters.matches += matches as u64;
    }

    pub(super) fn failed(&mut self, sql: &str, error: EvalError) {
        match &mut self.fault {
            Some(fault) => fault.count += 1,
            None => self.fault = Some(Fault { sql: sql.into(), error, count: 1 }),
        }
    }
}
