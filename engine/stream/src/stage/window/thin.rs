//! Which rows of a sliding cell can go without any window reaching a threshold later or never.
//!
//! A window covers the end of one cell and the beginning of the next. For a monotone tree of
//! thresholds it is enough to know, of every beginning and every end of a cell, what each threshold
//! asks for, and no more once it is reached: a beginning (an end) that reaches a threshold makes
//! every window that holds it reach it, one that does not is kept whole as far as the threshold is
//! concerned. So from either end of the cell those rows stay that bring a threshold closer that is
//! not reached yet: at most twice the sum of the thresholds. The rows that evidence shows stay too.

use std::ops::Range;

use sluice_event::Value;

use super::{
    aggregate::{Accumulators, Mode},
    bucket::EVIDENCE,
    layout::{Compiled, Layout, Rows},
};
use crate::{AggregateRange, Comparison, Condition, Growth};

/// Sets `keep` of the rows of one cell that a rule needs; its rows have the bit `own`.
pub(crate) fn cell(
    condition: &Condition,
    layout: &Layout,
    own: u64,
    rows: &Rows,
    range: Range<usize>,
    keep: &mut [bool],
) {
    mark(condition, layout, rows, range.clone(), &mut |at| keep[at] = true);
    mark(condition, layout, rows, range.clone().rev(), &mut |at| keep[at] = true);
    let shown = || range.clone().filter(|at| rows.list()[*at].bits & own != 0);
    shown().take(EVIDENCE).chain(shown().rev().take(EVIDENCE)).for_each(|at| keep[at] = true);
}

/// Whether [`cell()`] knows every threshold of a condition that is monotone.
pub(crate) fn is_thinnable(condition: &Condition, layout: &Layout) -> bool {
    condition.leaves().into_iter().all(|leaf| {
        let Condition::Compare { aggregate, comparison, .. } = leaf else { return false };
        // Of a monotone condition: a sum in it grows.
        layout.aggregates.get(*aggregate).is_some_and(|a| match a.function.growth(true) {
            Growth::Up => matches!(comparison, Comparison::Greater | Comparison::GreaterOrEqual),
            Growth::Down => matches!(comparison, Comparison::Less | Comparison::LessOrEqual),
            Growth::Still | Growth::Unknown => false,
        })
    })
}

/// No condition is TRUE of fewer rows than this.
pub(crate) fn least_rows(condition: &Condition, layout: &Layout) -> usize {
    match condition {
        Condition::All(parts) => parts.iter().map(|p| least_rows(p, layout)).max().unwrap_or(0),
        Condition::Any(parts) => parts.iter().map(|p| least_rows(p, layout)).min().unwrap_or(0),
        Condition::Compare { aggregate, comparison, constant: Value::Int(n) } => {
            let function = layout.aggregates.get(*aggregate).map(|a| a.function.range());
            let counts = function == Some(AggregateRange::Counted);
            let n = match comparison {
                Comparison::Greater => n.saturating_add(1),
                Comparison::GreaterOrEqual | Comparison::Equal => *n,
                Comparison::Less | Comparison::LessOrEqual | Comparison::NotEqual => 0,
            };
            if counts { usize::try_from(n).unwrap_or(0) } else { 0 }
        }
        Condition::Compare { .. } => 0,
    }
}

/// The greatest number of rows or distinct values that a condition compares with.
pub(crate) fn greatest_threshold(condition: &Condition, layout: &Layout) -> usize {
    let threshold = |leaf: &Condition| match leaf {
        Condition::Compare { aggregate, constant: Value::Int(n), .. } => {
            let function = layout.aggregates.get(*aggregate).map(|a| a.function.range());
            let counts = function == Some(AggregateRange::Counted);
            if counts { usize::try_from(*n).unwrap_or(0) } else { 0 }
        }
        Condition::Compare { .. } | Condition::All(_) | Condition::Any(_) => 0,
    };
    condition.leaves().into_iter().map(threshold).max().unwrap_or(0)
}

fn mark(
    condition: &Condition,
    layout: &Layout,
    rows: &Rows,
    range: impl Iterator<Item = usize>,
    useful: &mut dyn FnMut(usize),
) {
    let mut open: Vec<(&Condition, Compiled, Accumulators)> = condition
        .leaves()
        .into_iter()
        .filter_map(|leaf| {
            let Condition::Compare { aggregate, .. } = leaf else { return None };
            let compiled = *layout.aggregates.get(*aggregate)?;
            Some((leaf, compiled, Accumulators::new([&compiled], Mode::Growing)))
        })
        .collect();
    for at in range {
        if open.is_empty() {
            return;
        }
        let view = rows.view(at);
        open.retain_mut(|(leaf, compiled, accumulators)| {
            let before = accumulators.value(0);
            accumulators.add([&*compiled], &view, usize::MAX);
            let after = accumulators.value(0);
            if after == before {
                return true;
            }
            useful(at);
            !leaf.holds(&|_| after.clone())
        });
    }
}
