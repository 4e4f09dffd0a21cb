//! The predicate network: the conditions of all rules on one table as shared atoms, evaluated so
//! that the cost of a batch grows far slower than the number of rules.
//!
//! Per batch: (1) each column that some rule's *witness* tests is reduced to its distinct values
//! and one index per column finds which witnesses are TRUE on which value; (2) only the rules of
//! those witnesses are candidates, on only those rows; (3) a candidate's whole condition is
//! evaluated there, in three-valued logic: row by row if they are few, as bitmaps if many. Atoms
//! nobody asks for are not computed, and a rule without a candidate row is not touched.
//!
//! It does not project, count or remember: what comes out are row numbers. No clock, no threads.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use arrow::{array::ArrayRef, datatypes::SchemaRef, record_batch::RecordBatch};

use crate::{Predicate, Test};

mod atoms;
mod bits;
mod check;
mod evaluate;
mod fold;
mod needles;
mod numbers;
mod program;
mod scratch;
mod text;
mod values;
mod witness;

pub use scratch::{Fault, Scratch, SlotCounters};

use atoms::Atoms;
use bits::Pool;
use check::Check;
use evaluate::Evaluator;
use numbers::NumberIndex;
use program::Node;
use text::TextIndex;
use values::{Class, Distinct, View};

/// An atom of one network.
type AtomId = u32;
/// A column, of the table or virtual, of one network.
type GroupId = u32;

/// The filters of all rules on one table.
///
/// Guarantees: what it says of a rule does not depend on which other rules are loaded, on their
/// order, on how rows are batched, or on how text is encoded. Share it between threads; each brings
/// its own [`Scratch`].
#[derive(Debug)]
pub struct PredicateNetwork {
    /// Tells scratch space of another network from this one's.
    identity: u64,
    schema: SchemaRef,
    atoms: Atoms,
    /// In order of slots.
    rules: Vec<Rule>,
    /// Per atom the rules it is a witness of.
    postings: Vec<Box<[u32]>>,
    /// Rules that must see every row.
    open: Vec<u32>,
    /// Per group, if some witness tests it.
    indexes: Vec<Option<GroupIndex>>,
    /// Per atom: whether an index finds all values on which it is TRUE.
    indexed: Vec<bool>,
}

/// One filter.
#[derive(Debug)]
struct Rule {
    slot: usize,
    node: Node,
    witness: witness::Witness,
}

/// What finds the witnesses over one column.
#[derive(Debug)]
struct GroupIndex {
    tests: Index,
    /// The atom "is not NULL", if it is a witness.
    presence: Option<AtomId>,
}

#[derive(Debug)]
enum Index {
    Text(Box<TextIndex>),
    Numbers(NumberIndex),
    /// Only presence.
    None,
}

/// What one filter came to in the network, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkView {
    /// The SQL of the atoms one of which is TRUE wherever the rule matches; `None`: the rule is
    /// evaluated on every row.
    pub witness: Option<Vec<Arc<str>>>,
    /// The SQL of each of its atoms and how many filters share it, this one included.
    pub atoms: Vec<(Arc<str>, usize)>,
}

/// The size of a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetworkStats {
    /// Filters.
    pub filters: usize,
    /// Distinct atoms.
    pub atoms: usize,
    /// Atoms that more than one filter has.
    pub shared: usize,
    /// Filters evaluated on every row.
    pub witnessless: usize,
    /// Memory of the text automata, in bytes.
    pub automaton_bytes: usize,
}

impl PredicateNetwork {
    /// The network of `filters`, each under the number its matches are reported with. `schema` is
    /// the full schema of the table, which atoms' columns index.
    pub fn new(schema: SchemaRef, mut filters: Vec<(usize, Predicate)>) -> Self {
        static IDENTITY: AtomicU64 = AtomicU64::new(1);
        filters.sort_by_key(|(slot, _)| *slot);
        let mut atoms = Atoms::new(Arc::clone(&schema));
        let nodes: Vec<(usize, Node)> =
            filters.iter().map(|(slot, p)| (*slot, Node::new(p, &mut atoms))).collect();
        let users = users(nodes.iter().map(|(_, n)| n), &atoms);
        let rules: Vec<Rule> = nodes
            .into_iter()
            .map(|(slot, node)| {
                let witness = witness::choose(&node, &mut atoms, &users);
                Rule { slot, node, witness }
            })
            .collect();

        let mut postings: Vec<Vec<u32>> = vec![Vec::new(); atoms.len()];
        let mut open = Vec::new();
        for (rule, number) in rules.iter().zip(0..) {
            match &rule.witness {
                None => open.push(number),
                Some(set) => set.iter().for_each(|a| postings[*a as usize].push(number)),
            }
        }
        let indexed: Vec<bool> = atoms
            .entries()
            .map(|(a, _)| !postings[a as usize].is_empty() && atoms.indexable(a))
            .collect();
        let indexes =
            (0..).zip(atoms.groups()).map(|(g, _)| index(g, &atoms, &postings, &indexed)).collect();
        PredicateNetwork {
            identity: IDENTITY.fetch_add(1, Ordering::Relaxed),
            schema,
            atoms,
            rules,
            postings: postings.into_iter().map(Vec::into_boxed_slice).collect(),
            open,
            indexes,
            indexed,
        }
    }

    /// The rows of `batch` on which each filter is TRUE, ascending: only slots with rows, in slot
    /// order. Columns the batch lacks are NULL.
    pub fn evaluate(&self, batch: &RecordBatch, scratch: &mut Scratch) -> Vec<(usize, Vec<u32>)> {
        Evaluator::new(self, batch, scratch).run()
    }

    /// Whether the index has looked the values on which an atom is TRUE up, in every batch.
    fn by_value(&self, atom: AtomId) -> bool {
        let range = match self.atoms.entry(atom).check {
            Check::Between(low, high) => low != high,
            _ => false,
        };
        self.indexed[atom as usize] && !range
    }

    /// The schema the network was made for.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// How the filter of a slot is found; `None` if there is none.
    pub fn describe(&self, slot: usize) -> Option<NetworkView> {
        let rule = self.rules.iter().find(|r| r.slot == slot)?;
        let users = users(self.rules.iter().map(|r| &r.node), &self.atoms);
        let sql = |atom: AtomId| Arc::clone(&self.atoms.entry(atom).sql);
        let mut used = Vec::new();
        rule.node.atoms(&mut |a| used.push(a));
        used.sort_unstable();
        used.dedup();
        Some(NetworkView {
            witness: rule.witness.as_ref().map(|set| set.iter().map(|a| sql(*a)).collect()),
            atoms: used.into_iter().map(|a| (sql(a), users[a as usize] as usize)).collect(),
        })
    }

    /// The size of the network.
    pub fn stats(&self) -> NetworkStats {
        let users = users(self.rules.iter().map(|r| &r.node), &self.atoms);
        NetworkStats {
            filters: self.rules.len(),
            atoms: users.iter().filter(|n| **n > 0).count(),
            shared: users.iter().filter(|n| **n > 1).count(),
            witnessless: self.open.len(),
            automaton_bytes: self
                .indexes
                .iter()
                .flatten()
                .map(|i| match &i.tests {
                    Index::Text(text) => text.automaton_bytes(),
                    Index::Numbers(_) | Index::None => 0,
                })
                .sum(),
        }
    }
}

/// The verdict of a test on the one value of `array`.
pub(crate) fn verdict(test: &Test, array: &ArrayRef) -> Option<bool> {
    let class = Class::of(array.data_type());
    let view = View::new(array, class, Distinct::No, &mut Pool::default(), &Default::default());
    evaluate::on_row(&Check::new(test, class), &view, 0)
}

/// Per atom how many conditions have it.
fn users<'a>(nodes: impl Iterator<Item = &'a Node>, atoms: &Atoms) -> Vec<u32> {
    let mut users = vec![0; atoms.len()];
    let mut used = Vec::new();
    for node in nodes {
        used.clear();
        node.atoms(&mut |a| used.push(a));
        used.sort_unstable();
        used.dedup();
        used.iter().for_each(|a| users[*a as usize] += 1);
    }
    users
}

fn index(
    group: GroupId,
    atoms: &Atoms,
    postings: &[Vec<u32>],
    indexed: &[bool],
) -> Option<GroupIndex> {
    let posted = || {
        atoms.entries().filter(|(a, e)| e.group == Some(group) && !postings[*a as usize].is_empty())
    };
    posted().next()?;
    let presence = posted().find(|(_, e)| matches!(e.check, Check::IsPresent)).map(|(a, _)| a);
    let tests = || posted().filter(|(a, _)| indexed[*a as usize]);
    let tests = match atoms.groups()[group as usize].class {
        _ if tests().next().is_none() => Index::None,
        Class::Text => Index::Text(Box::new(TextIndex::new(
            tests().filter_map(|(a, e)| Some((a, e.test.as_ref()?, &e.check))),
        ))),
        Class::Int | Class::Time | Class::Float | Class::Bool => {
            Index::Numbers(NumberIndex::new(tests().map(|(a, e)| (a, &e.check))))
        }
        Class::Other => Index::None,
    };
    Some(GroupIndex { tests, presence })
}
