//! One batch through the network.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, new_null_array},
    datatypes::DataType,
    record_batch::RecordBatch,
};
use sluice_event::{Eval, EvalError};

use super::{
    AtomId, GroupId, Index, PredicateNetwork, Scratch,
    atoms::GroupSource,
    bits::Bits,
    check::Check,
    program::Node,
    values::{Data, Distinct, View},
};

/// Candidate rows up to this share of a batch (1 in 16) are evaluated row by row.
const FEW: usize = 16;
/// So many rows of an expression are evaluated one by one before the whole batch is.
const SINGLES: u32 = 8;
/// Stands for a witness in a rule that has none.
const OPEN: AtomId = AtomId::MAX;

/// The evaluation of one batch.
pub(super) struct Evaluator<'a> {
    network: &'a PredicateNetwork,
    batch: &'a RecordBatch,
    scratch: &'a mut Scratch,
    rows: usize,
}

impl<'a> Evaluator<'a> {
    pub(super) fn new(
        network: &'a PredicateNetwork,
        batch: &'a RecordBatch,
        scratch: &'a mut Scratch,
    ) -> Self {
        Evaluator { network, batch, scratch, rows: batch.num_rows() }
    }

    pub(super) fn run(mut self) -> Vec<(usize, Vec<u32>)> {
        if self.rows == 0 {
            return Vec::new();
        }
        self.scratch.begin(self.network);
        self.find_witnesses();
        self.find_candidates();
        let candidates = std::mem::take(&mut self.scratch.candidates);
        let mut found = Vec::new();
        for witnesses in candidates.chunk_by(|a, b| a >> 32 == b >> 32) {
            let rule = (witnesses[0] >> 32) as usize;
            let rows = self.candidate(rule, witnesses);
            if !rows.is_empty() {
                found.push((self.network.rules[rule].slot, rows));
            }
        }
        self.scratch.candidates = candidates;
        self.scratch.end();
        found
    }

    /// Runs each column's index over its distinct values.
    fn find_witnesses(&mut self) {
        let network = self.network;
        for (group, index) in (0..).zip(&network.indexes) {
            let Some(index) = index else { continue };
            self.prepare(group);
            let Scratch { views, seen, hits, scans, .. } = &mut *self.scratch;
            let Some(view) = &mut views[group as usize] else { continue };
            if view.valid_count == 0 {
                continue;
            }
            view.index_rows();
            match (&index.tests, &view.data) {
                (Index::Text(tests), Data::Text(texts)) => view.used(|value| {
                    tests.find(
                        texts.value(value),
                        &mut seen[group as usize],
                        |atom| &network.atoms.entry(atom).check,
                        |atom| hits.push(u64::from(atom) << 32 | value as u64),
                    );
                }),
                (Index::Numbers(tests), Data::Numbers(numbers)) => {
                    tests.equalities(numbers, |atom, row| {
                        hits.push(u64::from(atom) << 32 | row as u64);
                    });
                    tests.ranges(numbers, scans);
                }
                _ => {}
            }
            scans.extend(index.presence);
        }
    }

    /// From witnesses to rules.
    fn find_candidates(&mut self) {
        let mut hits = std::mem::take(&mut self.scratch.hits);
        hits.sort_unstable();
        hits.dedup();
        let mut start = 0;
        for run in hits.chunk_by(|a, b| a >> 32 == b >> 32) {
            let atom = (run[0] >> 32) as AtomId;
            let view = self
                .network
                .atoms
                .group(atom)
                .and_then(|g| self.scratch.views[g as usize].as_ref());
            let weight: usize =
                view.map_or(0, |v| run.iter().map(|h| v.weight(value_of(*h))).sum());
            let note = self.scratch.note(atom);
            note.hits = (start, start + run.len() as u32);
            note.weight = weight as u32;
            start += run.len() as u32;
            self.post(atom);
        }
        self.scratch.hits = hits;
        let scans = std::mem::take(&mut self.scratch.scans);
        for atom in &scans {
            let memo = self.whole(*atom);
            self.scratch.note(*atom).weight = self.scratch.memos[memo].yes_count as u32;
            self.post(*atom);
        }
        self.scratch.scans = scans;
        let open = self.network.open.iter().map(|r| u64::from(*r) << 32 | u64::from(OPEN));
        self.scratch.candidates.extend(open);
        self.scratch.candidates.sort_unstable();
    }

    fn post(&mut self, atom: AtomId) {
        let rules = self.network.postings[atom as usize].iter();
        self.scratch.candidates.extend(rules.map(|r| u64::from(*r) << 32 | u64::from(atom)));
    }

    /// The rows on which a rule is TRUE, given those of its witnesses that are TRUE somewhere.
    fn candidate(&mut self, rule: usize, witnesses: &[u64]) -> Vec<u32> {
        let node = &self.network.rules[rule].node;
        let atoms = witnesses.iter().map(|w| *w as AtomId);
        let open = atoms.clone().any(|a| a == OPEN);
        let weight: usize = match open {
            true => self.rows,
            false => atoms.clone().map(|a| self.scratch.note(a).weight as usize).sum(),
        };
        if weight * FEW < self.rows {
            let mut rows = std::mem::take(&mut self.scratch.rows);
            rows.clear();
            atoms.for_each(|a| self.witness_rows(a, |r| rows.push(r)));
            rows.sort_unstable();
            rows.dedup();
            let candidates = rows.len();
            rows.retain(|r| self.is(node, true, *r as usize));
            let found = rows.clone();
            self.scratch.rows = rows;
            self.scratch.count(rule, candidates, found.len());
            return found;
        }
        let mut mask = self.scratch.pool.empty(self.rows);
        if open {
            mask.fill();
        } else {
            atoms.for_each(|a| self.witness_rows(a, |r| mask.set(r as usize)));
        }
        let candidates = mask.count();
        let yes = self.select(node, true, mask);
        let found: Vec<u32> = yes.iter().collect();
        self.scratch.pool.release(yes);
        self.scratch.count(rule, candidates, found.len());
        found
    }

    fn witness_rows(&mut self, atom: AtomId, mut f: impl FnMut(u32)) {
        if let Some(memo) = self.scratch.memo(atom) {
            self.scratch.memos[memo].yes.iter().for_each(f);
            return;
        }
        let (start, end) = self.scratch.note(atom).hits;
        let group = self.network.atoms.group(atom);
        if let Some(view) = group.and_then(|g| self.scratch.views[g as usize].as_ref()) {
            for hit in &self.scratch.hits[start as usize..end as usize] {
                view.rows(value_of(*hit), &mut f);
            }
        }
    }

    /// Whether a condition has the wanted verdict on a row; false if it is NULL.
    fn is(&mut self, node: &Node, want: bool, row: usize) -> bool {
        match node {
            Node::All(nodes) if want => nodes.iter().all(|n| self.is(n, true, row)),
            Node::All(nodes) => nodes.iter().any(|n| self.is(n, false, row)),
            Node::Any(nodes) if want => nodes.iter().any(|n| self.is(n, true, row)),
            Node::Any(nodes) => nodes.iter().all(|n| self.is(n, false, row)),
            Node::Not(n) => self.is(n, !want, row),
            Node::IsTrue(n) => self.is(n, true, row) == want,
            Node::IsFalse(n) => self.is(n, false, row) == want,
            Node::IsUnknown(n) => {
                let known = self.is(n, true, row) || self.is(n, false, row);
                known != want
            }
            Node::Constant(verdict) => *verdict == Some(want),
            Node::Atom(atom) => self.verdict(*atom, row) == Some(want),
        }
    }

    /// Those rows of `mask` on which a condition has the wanted verdict.
    fn select(&mut self, node: &Node, want: bool, mut mask: Bits) -> Bits {
        if !matches!(node, Node::Atom(_)) && mask.count() * FEW < self.rows {
            return self.filter(node, want, mask);
        }
        match (node, want) {
            (Node::All(nodes), true) | (Node::Any(nodes), false) => {
                for node in nodes {
                    if mask.is_empty() {
                        break;
                    }
                    mask = self.select(node, want, mask);
                }
                mask
            }
            (Node::Any(nodes), true) | (Node::All(nodes), false) => {
                let mut found = self.scratch.pool.empty(self.rows);
                for node in nodes {
                    if mask.is_empty() {
                        break;
                    }
                    let rest = self.scratch.pool.copy(&mask);
                    let more = self.select(node, want, rest);
                    found.or(&more);
                    mask.subtract(&more);
                    self.scratch.pool.release(more);
                }
                self.scratch.pool.release(mask);
                found
            }
            (Node::Not(n), _) => self.select(n, !want, mask),
            (Node::IsTrue(n), true) => self.select(n, true, mask),
            (Node::IsFalse(n), true) => self.select(n, false, mask),
            (Node::IsTrue(n), false) => self.without(n, true, mask),
            (Node::IsFalse(n), false) => self.without(n, false, mask),
            (Node::IsUnknown(n), true) => {
                let rest = self.without(n, true, mask);
                self.without(n, false, rest)
            }
            (Node::IsUnknown(_), false) => {
                let all = self.scratch.pool.copy(&mask);
                let unknown = self.select(node, true, all);
                mask.subtract(&unknown);
                self.scratch.pool.release(unknown);
                mask
            }
            (Node::Constant(verdict), _) => {
                if *verdict == Some(want) {
                    return mask;
                }
                self.scratch.pool.release(mask);
                self.scratch.pool.empty(self.rows)
            }
            (Node::Atom(atom), _) => self.select_atom(node, *atom, want, mask),
        }
    }

    /// `mask` without the rows on which a condition has the given verdict.
    fn without(&mut self, node: &Node, verdict: bool, mut mask: Bits) -> Bits {
        let copy = self.scratch.pool.copy(&mask);
        let gone = self.select(node, verdict, copy);
        mask.subtract(&gone);
        self.scratch.pool.release(gone);
        mask
    }

    fn select_atom(&mut self, node: &Node, atom: AtomId, want: bool, mut mask: Bits) -> Bits {
        let memo = match self.scratch.memo(atom) {
            Some(memo) => memo,
            None if mask.count() * FEW < self.rows => return self.filter(node, want, mask),
            None => self.whole(atom),
        };
        let memo = &self.scratch.memos[memo];
        if want {
            mask.and(&memo.yes);
            return mask;
        }
        let group = self.network.atoms.group(atom);
        match (&memo.known, group.and_then(|g| self.scratch.views[g as usize].as_ref())) {
            (Some(known), _) => mask.and(known),
            (None, Some(view)) => mask.and(&view.valid),
            (None, None) => {}
        }
        mask.subtract(&memo.yes);
        mask
    }

    /// As `select`, row by row.
    fn filter(&mut self, node: &Node, want: bool, mask: Bits) -> Bits {
        let mut found = self.scratch.pool.empty(self.rows);
        for row in mask.iter() {
            if self.is(node, want, row as usize) {
                found.set(row as usize);
            }
        }
        self.scratch.pool.release(mask);
        found
    }

    /// The verdict of an atom on a row.
    fn verdict(&mut self, atom: AtomId, row: usize) -> Option<bool> {
        if let Some(memo) = self.scratch.memo(atom) {
            return self.remembered(memo, atom, row);
        }
        let entry = self.network.atoms.entry(atom);
        let note = self.scratch.note(atom);
        note.asked += 1;
        let (asked, hits) = (note.asked, note.hits);
        let Some(group) = entry.group else {
            if asked > SINGLES {
                let memo = self.whole(atom);
                return self.remembered(memo, atom, row);
            }
            let eval = entry.opaque.as_ref()?;
            let verdict = self.eval(eval, &self.batch.slice(row, 1));
            let verdict = verdict.as_boolean_opt()?;
            return verdict.is_valid(0).then(|| verdict.value(0));
        };
        if let GroupSource::Virtual(eval) = &self.network.atoms.groups()[group as usize].source
            && self.scratch.views[group as usize].is_none()
        {
            let asked = &mut self.scratch.group_asked[group as usize];
            *asked += 1;
            if *asked <= SINGLES {
                let array = self.eval(eval, &self.batch.slice(row, 1));
                let view = self.view(group, &array, Distinct::No);
                let verdict = on_row(&entry.check, &view, 0);
                self.scratch.pool.release(view.valid);
                return verdict;
            }
        }
        self.prepare(group);
        if asked as usize * 4 > self.rows {
            let memo = self.whole(atom);
            return self.remembered(memo, atom, row);
        }
        let view = self.scratch.views[group as usize].as_ref()?;
        if self.network.by_value(atom) {
            let value = view.value(row)?;
            let hits = &self.scratch.hits[hits.0 as usize..hits.1 as usize];
            if hits.binary_search(&(u64::from(atom) << 32 | value as u64)).is_ok() {
                return Some(true);
            }
            if !entry.check.may_be_unknown() {
                return Some(false);
            }
        }
        on_row(&entry.check, view, row)
    }

    fn remembered(&self, memo: usize, atom: AtomId, row: usize) -> Option<bool> {
        let memo = &self.scratch.memos[memo];
        if memo.yes.get(row) {
            return Some(true);
        }
        let known = match &memo.known {
            Some(known) => known.get(row),
            None => {
                let group = self.network.atoms.group(atom)?;
                self.scratch.views[group as usize].as_ref()?.valid.get(row)
            }
        };
        known.then_some(false)
    }

    /// The verdicts of an atom on the whole batch, computed once: their place among the memos.
    fn whole(&mut self, atom: AtomId) -> usize {
        if let Some(memo) = self.scratch.memo(atom) {
            return memo;
        }
        let network = self.network;
        let entry = network.atoms.entry(atom);
        let mut yes = self.scratch.pool.empty(self.rows);
        let Some(group) = entry.group else {
            let mut known = self.scratch.pool.empty(self.rows);
            if let Some(eval) = &entry.opaque {
                let verdicts = self.eval(eval, self.batch);
                let verdicts = verdicts.as_boolean_opt().into_iter().flatten().enumerate();
                for (row, verdict) in verdicts.filter_map(|(r, v)| Some((r, v?))) {
                    known.set(row);
                    if verdict {
                        yes.set(row);
                    }
                }
            }
            return self.scratch.remember(atom, yes, Some(known));
        };
        self.prepare(group);
        let hits = self.scratch.note(atom).hits;
        let Scratch { views, pool, hits: all_hits, .. } = &mut *self.scratch;
        let Some(view) = &mut views[group as usize] else {
            return self.scratch.remember(atom, yes, None);
        };
        let mut known = None;
        match &entry.check {
            Check::IsNull | Check::IsPresent => {
                let mut all = pool.empty(self.rows);
                all.fill();
                if matches!(entry.check, Check::IsPresent) {
                    yes.or(&view.valid);
                } else {
                    yes.or(&all);
                    yes.subtract(&view.valid);
                }
                known = Some(all);
            }
            check if network.by_value(atom) && !check.may_be_unknown() => {
                for hit in &all_hits[hits.0 as usize..hits.1 as usize] {
                    view.rows(value_of(*hit), |r| yes.set(r as usize));
                }
            }
            check => {
                let mut certain = check.may_be_unknown().then(|| pool.empty(self.rows));
                view.index_rows();
                view.used(|value| {
                    let verdict = check.value(&view.data, value);
                    if verdict == Some(true) {
                        view.rows(value, |r| yes.set(r as usize));
                    }
                    if let (Some(known), Some(_)) = (&mut certain, verdict) {
                        view.rows(value, |r| known.set(r as usize));
                    }
                });
                known = certain;
            }
        }
        self.scratch.remember(atom, yes, known)
    }

    /// Reads a column of the batch, once.
    fn prepare(&mut self, group: GroupId) {
        if self.scratch.views[group as usize].is_some() {
            return;
        }
        let array = match &self.network.atoms.groups()[group as usize].source {
            GroupSource::Column(column) => match self.batch.columns().get(*column) {
                Some(array) => Arc::clone(array),
                None => new_null_array(&DataType::Null, self.rows),
            },
            GroupSource::Virtual(eval) => self.eval(eval, self.batch),
        };
        let distinct = match &self.network.indexes[group as usize] {
            Some(index) => match &index.tests {
                Index::Text(tests) if tests.scans() => Distinct::IfItPays,
                Index::Text(_) | Index::Numbers(_) | Index::None => Distinct::No,
            },
            None => Distinct::No,
        };
        let view = self.view(group, &array, distinct);
        self.scratch.views[group as usize] = Some(view);
    }

    fn view(&mut self, group: GroupId, array: &ArrayRef, distinct: Distinct) -> View {
        let class = self.network.atoms.groups()[group as usize].class;
        View::new(array, class, distinct, &mut self.scratch.pool, &self.scratch.hasher)
    }

    /// The result of an expression; NULLs, and a fault, if it fails.
    fn eval(&mut self, eval: &Arc<dyn Eval>, batch: &RecordBatch) -> ArrayRef {
        let error = match eval.eval(batch) {
            Ok(array) if array.len() == batch.num_rows() => return array,
            Ok(array) => EvalError(format!("{} values for {} rows", array.len(), batch.num_rows())),
            Err(error) => error,
        };
        self.scratch.failed(eval.sql(), error);
        new_null_array(eval.output(), batch.num_rows())
    }
}

/// The verdict of a test on one row of a column.
pub(super) fn on_row(check: &Check, view: &View, row: usize) -> Option<bool> {
    match (check, view.value(row)) {
        (Check::IsNull, value) => Some(value.is_none()),
        (Check::IsPresent, value) => Some(value.is_some()),
        (check, Some(value)) => check.value(&view.data, value),
        (_, None) => None,
    }
}

fn value_of(hit: u64) -> usize {
    (hit & u64::from(u32::MAX)) as usize
}
