//! Which rules share their rows: thresholds over sliding windows of the same tables with the same
//! key. Their conditions, filters and window lengths may differ: a row says which of them it passes.

use std::sync::Arc;

use sluice_event::TableName;

use super::member::Member;
use crate::{
    Stage, StreamPlan, Window, WindowPlan,
    stage::window::{is_threshold, key_order, layout::Layout},
};

/// Rules with the index of each in the rule set.
type Rules = Vec<(usize, Arc<StreamPlan>)>;

/// The rules, those that share an operator together; a rule that shares none alone.
pub(crate) fn families(plans: &[(usize, Arc<StreamPlan>)]) -> Vec<Rules> {
    let mut families: Vec<Candidate> = Vec::new();
    for (rule_index, plan) in plans {
        let rule = (*rule_index, plan.clone());
        let shape = Shape::of(plan);
        let found = shape.as_ref().and_then(|shape| families.iter_mut().find(|f| f.takes(shape)));
        match found {
            Some(family) => family.add(rule, shape),
            None => families.push(Candidate { rules: vec![rule], shapes: Vec::from_iter(shape) }),
        }
    }
    families.into_iter().map(|family| family.rules).collect()
}

/// What a family says of each of its rules, and how many values its rows have.
pub(super) fn members(rules: &[(usize, Arc<StreamPlan>)]) -> (Vec<Member>, usize) {
    // Columns that are the same expression of the same tables are one.
    let (mut filters, mut columns) = (Vec::new(), Vec::new());
    let place = |known: &mut Vec<Option<Vec<u64>>>, column: Option<Vec<u64>>| {
        let found = column.as_ref().and_then(|c| known.iter().position(|k| k.as_ref() == Some(c)));
        found.unwrap_or_else(|| {
            known.push(column);
            known.len() - 1
        })
    };
    let mut members = Vec::with_capacity(rules.len());
    for (number, (rule_index, plan)) in rules.iter().enumerate() {
        let Stage::Window(window) = &plan.stage else { continue };
        let Window::Sliding { size } = window.window else { continue };
        let layout = Layout::new(window);
        let bits: Vec<u32> = layout
            .filters()
            .iter()
            .map(|c| (rules.len() + place(&mut filters, identity(plan, *c))) as u32)
            .collect();
        let places: Vec<usize> =
            layout.columns().iter().map(|c| place(&mut columns, identity(plan, *c))).collect();
        let own = 1 << number;
        let filters = layout.filters().iter().zip(&bits).map(|(c, bit)| (*c, 1 << bit)).collect();
        let kept = layout.columns().iter().copied().zip(places.iter().copied()).collect();
        let shared = layout.shared(own, &bits, &places);
        let rule = (*rule_index, plan.clone());
        members.push(Member::new(rule, shared, (size, own), filters, kept));
    }
    (members, columns.len())
}

/// What must be equal, and what must fit.
#[derive(Debug)]
struct Shape {
    tables: Vec<TableName>,
    /// Per table the expressions of the key, as they are encoded.
    keys: Vec<Vec<u64>>,
    lateness: Option<i64>,
    size: i64,
    filters: Vec<Option<Vec<u64>>>,
}

#[derive(Debug)]
struct Candidate {
    rules: Rules,
    /// Of the rules; none if it shares nothing.
    shapes: Vec<Shape>,
}

/// Bits of a row: one for each rule and each filter of a family.
const BITS: usize = 64;
/// A row is kept for the longest window of a family: the longest and the shortest differ by no more.
const RATIO: i64 = 4;

impl Shape {
    fn of(plan: &StreamPlan) -> Option<Shape> {
        let Stage::Window(window) = &plan.stage else { return None };
        let Window::Sliding { size } = window.window else { return None };
        let mut tables: Vec<TableName> = plan.branches.iter().map(|b| b.table.clone()).collect();
        let count = tables.len();
        tables.sort_unstable();
        tables.dedup();
        // A row that comes twice to a rule is two rows of it.
        if tables.len() < count || !is_threshold(window) {
            return None;
        }
        let layout = Layout::new(window);
        let filters: Vec<_> = layout.filters().iter().map(|c| identity(plan, *c)).collect();
        Some(Shape {
            tables: plan.branches.iter().map(|b| b.table.clone()).collect(),
            keys: keys(plan, window)?,
            lateness: plan.lateness,
            size: size.max(1),
            filters,
        })
    }
}

impl Candidate {
    fn takes(&self, shape: &Shape) -> bool {
        let Some(first) = self.shapes.first() else { return false };
        let same = first.tables == shape.tables
            && first.keys == shape.keys
            && first.lateness == shape.lateness;
        if !same {
            return false;
        }
        let sizes = || self.shapes.iter().map(|s| s.size).chain([shape.size]);
        let (least, most) = (sizes().min().unwrap_or(1), sizes().max().unwrap_or(1));
        let mut filters: Vec<&Vec<u64>> = Vec::new();
        let mut unknown = 0;
        for filter in self.shapes.iter().chain([shape]).flat_map(|s| &s.filters) {
            match filter {
                Some(filter) if !filters.contains(&filter) => filters.push(filter),
                Some(_) => {}
                None => unknown += 1,
            }
        }
        let bits = self.rules.len() + 1 + filters.len() + unknown;
        most <= least.saturating_mul(RATIO) && bits <= BITS
    }

    fn add(&mut self, rule: (usize, Arc<StreamPlan>), shape: Option<Shape>) {
        self.rules.push(rule);
        self.shapes.extend(shape);
    }
}

/// An intermediate column by the expressions that make it, per table; `None` if one has no identity.
fn identity(plan: &StreamPlan, column: usize) -> Option<Vec<u64>> {
    plan.branches.iter().map(|branch| branch.columns.get(column)?.id()).collect()
}

fn keys(plan: &StreamPlan, window: &WindowPlan) -> Option<Vec<Vec<u64>>> {
    let order = key_order(window);
    let of = |branch: &crate::Branch| {
        order.iter().map(|key| branch.columns.get(*key)?.id()).collect::<Option<Vec<u64>>>()
    };
    plan.branches.iter().map(of).collect()
}
