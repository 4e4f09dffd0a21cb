//! What a rule with a window asks for: keys, window, aggregates and the condition over them. Not how its
//! rows are kept.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use sluice_event::{Eval, Value};

/// `GROUP BY keys, window HAVING ..`.
#[derive(Clone, Debug)]
pub struct WindowPlan {
    /// The window.
    pub window: Window,
    /// Intermediate columns `0..keys` are the group keys; the rest are arguments of aggregates.
    pub keys: usize,
    /// The aggregates.
    pub aggregates: Vec<Aggregate>,
    /// The columns of a group, in the order HAVING and the SELECT list were planned against:
    /// keys and aggregates by name, and where the window stands.
    pub group: SchemaRef,
    /// Per column of `group`: what fills it.
    pub layout: Vec<GroupColumn>,
    /// Intermediate columns that are the event's own time.
    pub times: Vec<usize>,
    /// HAVING over `group`; `None` keeps every window.
    pub having: Option<Arc<dyn Eval>>,
    /// The same as a tree of comparisons of an aggregate with a constant, if it is one.
    pub condition: Option<Condition>,
    /// Whether HAVING, once TRUE, stays TRUE however many rows still come.
    pub monotone: bool,
    /// The finding's columns over `group`.
    pub select: Vec<Arc<dyn Eval>>,
}

/// What fills a column of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupColumn {
    /// The n-th key.
    Key(usize),
    /// The window, `Struct{start, end: Timestamp(ms, UTC)}`.
    Window,
    /// The n-th aggregate.
    Aggregate(usize),
}

/// A condition over the aggregates of a group. TRUE or not: NULL is not TRUE.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// All are TRUE.
    All(Vec<Condition>),
    /// One is TRUE.
    Any(Vec<Condition>),
    /// An aggregate against a constant of the same type, not NULL.
    Compare {
        /// Which aggregate.
        aggregate: usize,
        /// How.
        comparison: Comparison,
        /// With what.
        constant: Value,
    },
}

/// A comparison, the aggregate on the left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `=`
    Equal,
    /// `<>`
    NotEqual,
}

impl Comparison {
    /// Whether this holds for values that compare so.
    pub fn holds(self, ordering: std::cmp::Ordering) -> bool {
        match self {
            Comparison::Less => ordering.is_lt(),
            Comparison::LessOrEqual => ordering.is_le(),
            Comparison::Greater => ordering.is_gt(),
            Comparison::GreaterOrEqual => ordering.is_ge(),
            Comparison::Equal => ordering.is_eq(),
            Comparison::NotEqual => ordering.is_ne(),
        }
    }
}

impl Condition {
    /// Whether it is TRUE of the values of the aggregates.
    pub fn holds(&self, value: &impl Fn(usize) -> Value) -> bool {
        match self {
            Condition::All(parts) => parts.iter().all(|p| p.holds(value)),
            Condition::Any(parts) => parts.iter().any(|p| p.holds(value)),
            Condition::Compare { aggregate, comparison, constant } => {
                let ordering = match (value(*aggregate), constant) {
                    (Value::Null, _) | (_, Value::Null) => return false,
                    // As arrow compares: by total order, -0.0 below 0.0.
                    (Value::Float(a), Value::Float(b)) => a.total_cmp(b),
                    (a, b) => a.cmp(b),
                };
                comparison.holds(ordering)
            }
        }
    }

    /// The aggregates it reads, each once, ascending.
    pub fn aggregates(&self) -> Vec<usize> {
        let read = |leaf: &Condition| match leaf {
            Condition::Compare { aggregate, .. } => Some(*aggregate),
            Condition::All(_) | Condition::Any(_) => None,
        };
        let mut all: Vec<usize> = self.leaves().into_iter().filter_map(read).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Its comparisons.
    pub fn leaves(&self) -> Vec<&Condition> {
        match self {
            Condition::All(parts) | Condition::Any(parts) => {
                parts.iter().flat_map(Condition::leaves).collect()
            }
            Condition::Compare { .. } => vec![self],
        }
    }
}

/// An aggregate over the rows of a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aggregate {
    /// Which one.
    pub function: AggregateFunction,
    /// The intermediate column it reads; `None` for `count(*)`.
    pub argument: Option<usize>,
    /// A boolean intermediate column: only rows where it is TRUE count (`FILTER (WHERE ..)`).
    pub filter: Option<usize>,
}

/// Aggregates that run incrementally, all exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AggregateFunction {
    /// Rows, or rows whose argument is not NULL.
    Count,
    /// Distinct non-NULL values.
    CountDistinct,
    /// Sum; NULL over no value.
    Sum,
    /// Least value.
    Min,
    /// Greatest value.
    Max,
    /// Mean; NULL over no value.
    Avg,
    /// Every non-NULL value in order, the first [`LIST_MAX`] of them; NULL over no value.
    List,
    /// The same of the distinct values.
    ListDistinct,
}

/// How a value of a group moves as rows are added to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Growth {
    /// The same for every row of the group.
    Still,
    /// Never falls.
    Up,
    /// Never rises.
    Down,
    /// Not known.
    Unknown,
}

/// What the value of an aggregate can be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AggregateRange {
    /// A whole number of rows or values, from 0.
    Counted,
    /// One of the values of its argument.
    OfArgument,
    /// Any number; not below zero if no value of its argument is.
    SignOfArgument,
    /// Anything.
    Any,
}

impl AggregateFunction {
    /// How its value moves as rows are added. `nonnegative`: no value of its argument is below zero.
    pub fn growth(self, nonnegative: bool) -> Growth {
        match self {
            AggregateFunction::Count
            | AggregateFunction::CountDistinct
            | AggregateFunction::Max => Growth::Up,
            AggregateFunction::Min => Growth::Down,
            AggregateFunction::Sum if nonnegative => Growth::Up,
            AggregateFunction::Sum
            | AggregateFunction::Avg
            | AggregateFunction::List
            | AggregateFunction::ListDistinct => Growth::Unknown,
        }
    }

    /// What its value can be.
    pub fn range(self) -> AggregateRange {
        match self {
            AggregateFunction::Count | AggregateFunction::CountDistinct => AggregateRange::Counted,
            AggregateFunction::Min | AggregateFunction::Max => AggregateRange::OfArgument,
            AggregateFunction::Sum | AggregateFunction::Avg => AggregateRange::SignOfArgument,
            AggregateFunction::List | AggregateFunction::ListDistinct => AggregateRange::Any,
        }
    }
}

/// How many values a list of an aggregate holds; a finding with a longer one is `capped`.
pub const LIST_MAX: usize = 100;

/// A window over event time; milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Window {
    /// `[n * size, (n + 1) * size)`.
    Tumble {
        /// Length.
        size: i64,
    },
    /// `[n * slide, n * slide + size)`; `size` is a multiple of `slide`.
    Hop {
        /// Distance between starts.
        slide: i64,
        /// Length.
        size: i64,
    },
    /// Rows closer than or equal to `gap`.
    Session {
        /// Greatest silence inside one session.
        gap: i64,
    },
    /// For each row the closed interval `[time - size, time]`; one finding per key and cell
    /// (`time` rounded down to `size`) that holds a qualifying row: that of its latest one.
    Sliding {
        /// Length.
        size: i64,
    },
}
