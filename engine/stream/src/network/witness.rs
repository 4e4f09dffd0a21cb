//! Witnesses: for each rule a set of atoms of which at least one is TRUE wherever the rule is.
//!
//! A rule none of whose witnesses is TRUE in a batch is never looked at. Any valid set gives the
//! same findings; which one is chosen decides the cost only. The choice is the set that is expected
//! to hold on the fewest rows: long literals and long equal texts first, then short ones, ranges,
//! and that the column is there at all. An equality that many rules share (`event_code = '4688'`)
//! names a kind of event, not a rare one, and ranks behind their own literals.

use super::{
    AtomId,
    atoms::Atoms,
    check::{Check, TextCheck},
    needles::Needles,
    program::Node,
    values::Class,
};
use crate::Test;

/// The witnesses of a rule; `None` if only looking at every row will do.
pub(super) type Witness = Option<Vec<AtomId>>;

/// Which verdict the witnesses are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Want {
    True,
    False,
}

/// Chooses a rule's witnesses. `users` is per atom the number of rules that have it.
pub(super) fn choose(node: &Node, atoms: &mut Atoms, users: &[u32]) -> Witness {
    extract(node, Want::True, atoms, users).map(|mut set| {
        set.sort_unstable();
        set.dedup();
        set
    })
}

fn extract(node: &Node, want: Want, atoms: &mut Atoms, users: &[u32]) -> Witness {
    use Want::{False, True};
    match (node, want) {
        (Node::Constant(verdict), _) => (*verdict != Some(want == True)).then(Vec::new),
        (Node::All(nodes), True) | (Node::Any(nodes), False) => {
            let sets: Vec<Vec<AtomId>> =
                nodes.iter().filter_map(|n| extract(n, want, atoms, users)).collect();
            sets.into_iter().min_by(|a, b| cost(a, atoms, users).total_cmp(&cost(b, atoms, users)))
        }
        (Node::Any(nodes), True) | (Node::All(nodes), False) => {
            let mut union = Vec::new();
            for node in nodes {
                union.extend(extract(node, want, atoms, users)?);
            }
            Some(union)
        }
        (Node::Not(node), True) | (Node::IsFalse(node), True) => extract(node, False, atoms, users),
        (Node::Not(node), False) | (Node::IsTrue(node), True) => extract(node, True, atoms, users),
        (Node::IsTrue(_) | Node::IsFalse(_), False) | (Node::IsUnknown(_), _) => None,
        (Node::Atom(atom), want) => leaf(*atom, want, atoms),
    }
}

fn leaf(atom: AtomId, want: Want, atoms: &mut Atoms) -> Witness {
    let group = atoms.group(atom)?;
    let indexed = match (&atoms.entry(atom).check, want) {
        (Check::IsNull, Want::True) => return None,
        (Check::IsNull, Want::False) => false,
        (_, Want::True) => atoms.indexable(atom),
        (_, Want::False) => false,
    };
    Some(vec![if indexed { atom } else { atoms.presence(group) }])
}

/// How many rows of a batch the set is expected to hold on, as a share.
fn cost(set: &[AtomId], atoms: &Atoms, users: &[u32]) -> f64 {
    set.iter().map(|a| share(*a, atoms, users)).sum()
}

/// Rough, and never more than a cost: see the module.
fn share(atom: AtomId, atoms: &Atoms, users: &[u32]) -> f64 {
    let entry = atoms.entry(atom);
    let popular = f64::from(users.get(atom as usize).copied().unwrap_or(0)) / 4.0;
    let share = match (&entry.check, &entry.test) {
        (Check::Text(TextCheck::OneOf(texts)), _) => {
            let texts = texts.iter().map(|t| equal(t)).sum::<f64>();
            texts * (1.0 + popular)
        }
        (Check::Text(TextCheck::EqualsFolded(text)), _) => equal(text) * (1.0 + popular),
        (Check::OneOf(numbers), _) => 0.01 * numbers.len() as f64 * (1.0 + popular),
        (Check::Text(TextCheck::Inside(_)), _) => 0.02 * (1.0 + popular),
        (Check::Text(_), Some(test)) => match Needles::of(test) {
            Some(needles) if needles.shortest() >= 8 || needles.tail().is_some() => 0.003,
            Some(needles) if needles.shortest() >= 5 => 0.008,
            Some(_) => 0.03,
            None => 1.0,
        },
        (Check::Between(1, 1), Some(Test::IsSet)) => 0.2,
        (Check::Between(..), _) => 0.3,
        (Check::IsPresent, _) => 0.7,
        (Check::IsNull | Check::Unfit | Check::Text(_), _) => 1.0,
    };
    // A virtual column has to be extracted from every batch.
    if entry.group.is_some_and(|g| atoms.is_virtual(g)) { share * 3.0 } else { share }
}

/// A short text is a name of many rows (`success`), a long one of few (a path, a hash).
fn equal(text: &str) -> f64 {
    if text.len() < 12 { 0.02 } else { 0.002 }
}

/// Literals shorter than this are found in too many values to be a witness.
pub(super) const LITERAL_BYTES_MIN: usize = 3;

/// Whether an index can find the values on which a test is TRUE.
pub(super) fn indexable(class: Class, check: &Check, test: Option<&Test>) -> bool {
    match check {
        Check::OneOf(_) | Check::Between(..) => class != Class::Other,
        Check::Text(TextCheck::OneOf(_) | TextCheck::EqualsFolded(_) | TextCheck::Inside(_)) => {
            true
        }
        Check::Text(_) => test
            .and_then(Needles::of)
            .is_some_and(|needles| needles.shortest() >= LITERAL_BYTES_MIN),
        Check::IsNull | Check::IsPresent | Check::Unfit => false,
    }
}
