//! Rules that could never fire are refused: what of their conditions the schema excludes, asked of
//! [`crate::dead`] for the rows of each table and for groups. Not whether the loaded mappings fill
//! what is asked for: the engine knows those.

use std::collections::BTreeMap;

use datafusion::logical_expr::Expr;
use sluice_stream::{Aggregate, AggregateFunction, AggregateRange, GroupColumn};

use super::lowering::{Lowering, Problems, problems};
use crate::{
    classify::{Arm, Groups},
    dead::{self, Domain, Known},
    error::SqlProblem,
};

impl Lowering<'_> {
    /// R034 if no row of any arm can pass its conditions; else what of them is never true is a
    /// warning.
    pub(super) fn alive(&mut self, arms: &[Arm]) -> Result<(), Problems> {
        let (mut dead, mut notes) = (true, Vec::new());
        for arm in arms {
            let filters = self.simplified(arm, &arm.filters)?;
            let verdict = of_rows(arm, &filters);
            dead &= verdict.dead;
            for note in verdict.notes {
                if !notes.contains(&note) {
                    notes.push(note);
                }
            }
        }
        self.judge(dead && !arms.is_empty(), notes, "WHERE")
    }

    /// The same for the conditions over groups.
    pub(super) fn groups_alive(
        &mut self,
        groups: &Groups,
        having: Option<&Expr>,
    ) -> Result<(), Problems> {
        let Some(having) = having else { return Ok(()) };
        let mut domains = BTreeMap::new();
        let mut aggregates = BTreeMap::new();
        for (field, column) in groups.group.fields().iter().zip(&groups.layout) {
            let domain = match column {
                GroupColumn::Aggregate(i) => {
                    aggregates.extend(groups.aggregates.get(*i).map(|a| (field.name(), a)));
                    self.aggregate_domain(groups, *i)?
                }
                GroupColumn::Key(key) => column_domain(groups, *key),
                GroupColumn::Window => Domain::default(),
            };
            domains.insert(field.name().clone(), domain);
        }
        let domain = |name: &str| domains.get(name).cloned().unwrap_or_default();
        let order = |a: &str, b: &str| {
            let find = |name: &str| aggregates.get(&name.to_owned()).copied();
            match (find(a), find(b)) {
                (Some(a), Some(b)) if never_more(a, b) => 3,
                (Some(a), Some(b)) if never_more(b, a) => 6,
                _ => 7,
            }
        };
        let known = Known { domain: &domain, order: &order };
        let verdict = dead::analyze(std::slice::from_ref(having), &known);
        self.judge(verdict.dead, verdict.notes, "HAVING")
    }

    /// What an aggregate can be: a group has at least one row, and a FILTER that no row of it passes
    /// leaves nothing to count.
    fn aggregate_domain(&mut self, groups: &Groups, index: usize) -> Result<Domain, Problems> {
        let Some(aggregate) = groups.aggregates.get(index) else { return Ok(Domain::default()) };
        let argument = || aggregate.argument.map(|i| column_domain(groups, i));
        match aggregate.function.range() {
            AggregateRange::Counted => {}
            AggregateRange::OfArgument => return Ok(argument().unwrap_or_default()),
            AggregateRange::SignOfArgument => {
                let nonnegative = groups.growth.get(index).is_some_and(|(_, n)| *n);
                return Ok(if nonnegative { Domain::from(0) } else { Domain::default() });
            }
            AggregateRange::Any => return Ok(Domain::default()),
        }
        let is_part = aggregate.filter.is_some() || aggregate.argument.is_some();
        let mut never = is_part;
        for arm in groups.rows.arms.iter().filter(|_| is_part) {
            let counted = aggregate.filter.and_then(|i| arm.columns.get(i)).cloned();
            let value = aggregate.argument.and_then(|i| arm.columns.get(i));
            let value = value.map(|value| Expr::IsNotNull(Box::new(value.clone())));
            let all: Vec<Expr> = arm.filters.iter().cloned().chain(counted).chain(value).collect();
            let all = self.simplified(arm, &all)?;
            never &= of_rows(arm, &all).dead;
        }
        if never {
            return Ok(Domain::between(0, 0));
        }
        if aggregate.function == AggregateFunction::Count {
            return Ok(Domain::from(i64::from(!is_part)));
        }
        let is_key = aggregate.argument.is_some_and(|i| is_key(groups, i));
        let most = if is_key { Some(1) } else { argument().and_then(|domain| domain.count()) };
        Ok(most.map_or_else(|| Domain::from(0), |most| Domain::between(0, most)))
    }

    fn judge(&mut self, dead: bool, notes: Problems, clause: &str) -> Result<(), Problems> {
        if !dead || self.allow_dead {
            // A part that is never true does not keep the others from it.
            self.warnings.extend(notes.into_iter().map(|n| SqlProblem { code: "R038", ..n }));
            return Ok(());
        }
        if notes.is_empty() {
            return Err(vec![
                SqlProblem::new("R034", format!("the {clause} is never true"))
                    .detail("the rule could never fire"),
            ]);
        }
        Err(notes)
    }

    fn simplified(&mut self, arm: &Arm, filters: &[Expr]) -> Result<Vec<Expr>, Problems> {
        let schema = self.schema(arm)?;
        let session = &self.compiler.session;
        let simple = |filter: &Expr| session.simplify(filter.clone(), &schema).map_err(problems);
        filters.iter().map(simple).collect()
    }
}

fn of_rows(arm: &Arm, filters: &[Expr]) -> dead::Verdict {
    let domain = |name: &str| Domain::column(&arm.table, name);
    dead::analyze(filters, &Known { domain: &domain, order: &dead::any_order })
}

/// The values of an intermediate column, whatever the table.
fn column_domain(groups: &Groups, index: usize) -> Domain {
    let of = |arm: &Arm| {
        let domain = |name: &str| Domain::column(&arm.table, name);
        let known = Known { domain: &domain, order: &dead::any_order };
        arm.columns.get(index).map_or_else(Domain::default, |column| Domain::of(column, &known))
    };
    groups.rows.arms.iter().map(of).reduce(Domain::or).unwrap_or_default()
}

/// Whether an intermediate column is one of the keys, or equal to one in every table.
fn is_key(groups: &Groups, index: usize) -> bool {
    (0..groups.keys).any(|key| {
        key == index
            || groups.rows.arms.iter().all(|arm| arm.columns.get(key) == arm.columns.get(index))
    })
}

/// Whether one aggregate of a group is never more than another.
fn never_more(one: &Aggregate, other: &Aggregate) -> bool {
    use AggregateFunction::{Count, CountDistinct, Max, Min};
    let same_rows = one.filter == other.filter;
    match (one.function, other.function) {
        (Min, Max) => same_rows && one.argument == other.argument,
        (Count | CountDistinct, Count) => {
            (same_rows || other.filter.is_none())
                && (other.argument.is_none() || other.argument == one.argument)
        }
        (CountDistinct, CountDistinct) => {
            (same_rows || other.filter.is_none()) && other.argument == one.argument
        }
        _ => false,
    }
}
