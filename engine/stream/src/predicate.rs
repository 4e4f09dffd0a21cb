//! A rule's condition as a tree over atoms, in SQL's three-valued logic. Not how it is evaluated
//! for many rules at once: that is the network.

use std::sync::Arc;

use sluice_event::{Eval, Value};

/// A condition on one row of a table. Evaluates to TRUE, FALSE or NULL; a row is kept on TRUE.
///
/// The compiler has normalised it: constants folded, literal on the right, negations of atoms as
/// `Not(atom)`, AND and OR flattened.
#[derive(Clone, Debug)]
pub enum Predicate {
    /// All of them; `And([])` is TRUE.
    And(Vec<Predicate>),
    /// Any of them; `Or([])` is FALSE.
    Or(Vec<Predicate>),
    /// Three-valued NOT.
    Not(Box<Predicate>),
    /// `x IS TRUE`: never NULL.
    IsTrue(Box<Predicate>),
    /// `x IS FALSE`: never NULL.
    IsFalse(Box<Predicate>),
    /// `x IS NULL` over a boolean condition: never NULL.
    IsUnknown(Box<Predicate>),
    /// A constant; `None` is NULL.
    Constant(Option<bool>),
    /// A leaf.
    Leaf(Leaf),
}

/// A leaf of a condition and the SQL it came from.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// What is tested.
    pub atom: Atom,
    /// The SQL, for `explain`.
    pub sql: Arc<str>,
}

/// One indivisible predicate on one table. Equal atoms of different rules are evaluated once.
#[derive(Clone, Debug)]
pub enum Atom {
    /// A typed test of a column.
    Column {
        /// Index in the full schema of the table.
        column: usize,
        /// The test; strict (NULL in, NULL out) but for [`Test::IsNull`].
        test: Test,
    },
    /// A typed test of an expression of the row (`lower(x)`, `json_get_str(unmapped, 'k')`),
    /// extracted once per batch for all atoms over it.
    Virtual {
        /// The expression; its result is text. Infallible.
        column: Arc<dyn Eval>,
        /// Its identity: equal ids are the same expression (hash-consed by the compiler).
        id: u64,
        /// The test.
        test: Test,
    },
    /// Anything else, infallible, evaluated on whole batches, memoised by id.
    Opaque {
        /// A boolean expression over the table's schema.
        eval: Arc<dyn Eval>,
        /// Its identity, as above.
        id: u64,
    },
}

/// A typed test of one value.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Test {
    /// `x IS NULL`: the only test that is never NULL.
    IsNull,
    /// The boolean column itself.
    IsSet,
    /// `x = v` or `x IN (v, ..)`: sorted, distinct, no NULL, all of the column's kind.
    In(Arc<[Value]>),
    /// Text contains the needle.
    Contains(Text),
    /// Text starts with the needle.
    StartsWith(Text),
    /// Text ends with the needle.
    EndsWith(Text),
    /// Text equals the needle, letter case ignored (ASCII; Unicode simple folding otherwise).
    EqualsIgnoreCase(Arc<str>),
    /// A LIKE pattern that is none of the above: `%`, `_`, backslash escapes.
    Like(Text),
    /// An unanchored regular expression, as `regexp_like` reads it.
    Regex(Arc<str>),
    /// `x < v`, with the value's order; numbers, times and text.
    Less(Value),
    /// `x <= v`.
    LessOrEqual(Value),
    /// `x > v`.
    Greater(Value),
    /// `x >= v`.
    GreaterOrEqual(Value),
    /// An IP address inside any of the networks, in canonical CIDR text; unparsable text is NULL.
    Cidr(Arc<[Arc<str>]>),
}

/// A needle or pattern and whether letter case counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Text {
    /// Verbatim for needles; with wildcards for [`Test::Like`].
    pub needle: Arc<str>,
    /// Whether letter case is ignored as ILIKE does.
    pub ignore_case: bool,
}
