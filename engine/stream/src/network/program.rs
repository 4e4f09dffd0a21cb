//! A rule's condition over interned atoms, cheapest parts first.

use super::{
    AtomId,
    atoms::Atoms,
    check::{Check, TextCheck},
};
use crate::Predicate;

/// A [`Predicate`] whose leaves are atoms of the network.
#[derive(Debug)]
pub(super) enum Node {
    All(Box<[Node]>),
    Any(Box<[Node]>),
    Not(Box<Node>),
    IsTrue(Box<Node>),
    IsFalse(Box<Node>),
    IsUnknown(Box<Node>),
    Constant(Option<bool>),
    Atom(AtomId),
}

impl Node {
    /// Interns the atoms of a condition.
    pub(super) fn new(predicate: &Predicate, atoms: &mut Atoms) -> Node {
        let mut boxed = |p: &Predicate| Box::new(Node::new(p, atoms));
        match predicate {
            Predicate::And(parts) => Node::All(Node::sorted(parts, atoms)),
            Predicate::Or(parts) => Node::Any(Node::sorted(parts, atoms)),
            Predicate::Not(p) => Node::Not(boxed(p)),
            Predicate::IsTrue(p) => Node::IsTrue(boxed(p)),
            Predicate::IsFalse(p) => Node::IsFalse(boxed(p)),
            Predicate::IsUnknown(p) => Node::IsUnknown(boxed(p)),
            Predicate::Constant(verdict) => Node::Constant(*verdict),
            Predicate::Leaf(leaf) => Node::Atom(atoms.intern(leaf)),
        }
    }

    /// Order does not matter to the verdict: atoms are total.
    fn sorted(parts: &[Predicate], atoms: &mut Atoms) -> Box<[Node]> {
        let mut nodes: Vec<Node> = parts.iter().map(|p| Node::new(p, atoms)).collect();
        nodes.sort_by_cached_key(|n| n.effort(atoms));
        nodes.into()
    }

    /// What evaluating on one row costs, in units that only compare.
    fn effort(&self, atoms: &Atoms) -> u32 {
        match self {
            Node::All(nodes) | Node::Any(nodes) => {
                nodes.iter().map(|n| n.effort(atoms)).fold(1, u32::saturating_add)
            }
            Node::Not(n) | Node::IsTrue(n) | Node::IsFalse(n) | Node::IsUnknown(n) => {
                n.effort(atoms)
            }
            Node::Constant(_) => 0,
            Node::Atom(atom) => {
                let entry = atoms.entry(*atom);
                let Some(group) = entry.group else { return 10_000 };
                let check = match &entry.check {
                    Check::IsNull | Check::IsPresent | Check::Unfit => 1,
                    Check::Between(..) | Check::OneOf(_) => 2,
                    Check::Text(TextCheck::Matches(_)) => 100,
                    Check::Text(
                        TextCheck::Contains(_)
                        | TextCheck::ContainsFolded(_)
                        | TextCheck::Inside(_),
                    ) => 20,
                    Check::Text(_) => 4,
                };
                if atoms.is_virtual(group) { check + 2_000 } else { check }
            }
        }
    }

    /// Calls `f` with every atom, repeated ones repeatedly.
    pub(super) fn atoms(&self, f: &mut impl FnMut(AtomId)) {
        match self {
            Node::All(nodes) | Node::Any(nodes) => nodes.iter().for_each(|n| n.atoms(f)),
            Node::Not(n) | Node::IsTrue(n) | Node::IsFalse(n) | Node::IsUnknown(n) => n.atoms(f),
            Node::Constant(_) => {}
            Node::Atom(atom) => f(*atom),
        }
    }
}
