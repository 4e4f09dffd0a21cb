//! What an analyzed plan means for a stream: rows of tables, rows that are the first of their kind,
//! or groups of a window. Works on node shapes; whatever is none of these is refused. Not how a
//! condition is evaluated: that is [`crate::predicate`].

mod groups;
mod rows;

use datafusion::logical_expr::{Distinct, Expr, LogicalPlan};

pub(crate) use groups::{Groups, unbounded};
pub(crate) use rows::{Arm, Rows, bare};

use crate::{
    error::SqlProblem,
    functions::{KeyedCall, keyed_call},
    walk,
};

/// A classified query.
pub(crate) enum Shape {
    /// Rows of tables, filtered and projected.
    Rows(Rows),
    /// Groups by key and window.
    Groups(Groups),
}

/// Classifies an analyzed plan. `events` stands for every typed table; `expand` gives the tables
/// behind a name.
pub(crate) fn classify(plan: &LogicalPlan) -> Result<Shape, SqlProblem> {
    match plan {
        LogicalPlan::TableScan(scan) => Rows::scan(scan).map(Shape::Rows),
        LogicalPlan::SubqueryAlias(alias) => classify(&alias.input),
        LogicalPlan::Projection(projection) => {
            let schema = projection.input.schema();
            match classify(&projection.input)? {
                Shape::Rows(rows) => {
                    no_markers(&projection.expr)?;
                    rows.project(&projection.expr, schema).map(Shape::Rows)
                }
                Shape::Groups(groups) => {
                    groups.project(&projection.expr, schema).map(Shape::Groups)
                }
            }
        }
        LogicalPlan::Filter(filter) => {
            let schema = filter.input.schema();
            match classify(&filter.input)? {
                Shape::Rows(rows) => rows.filter(&filter.predicate, schema).map(Shape::Rows),
                Shape::Groups(groups) => {
                    no_markers(std::slice::from_ref(&filter.predicate))?;
                    groups.filter(&filter.predicate, schema).map(Shape::Groups)
                }
            }
        }
        LogicalPlan::Union(union) => {
            let mut all: Option<Rows> = None;
            for input in &union.inputs {
                let Shape::Rows(rows) = classify(input)? else {
                    return Err(SqlProblem::new("R016", "windows cannot be joined by UNION")
                        .detail("each SELECT with a window keeps state of its own")
                        .hint("one rule per window, or UNION ALL below one GROUP BY"));
                };
                all = Some(match all {
                    None => rows,
                    Some(all) => all.union(rows)?,
                });
            }
            all.map(Shape::Rows).ok_or_else(|| refused("an empty UNION"))
        }
        LogicalPlan::Aggregate(aggregate) => match classify(&aggregate.input)? {
            Shape::Rows(rows) => Groups::new(rows, aggregate).map(Shape::Groups),
            Shape::Groups(_) => {
                Err(SqlProblem::new("R016", "a window over the groups of a window")
                    .detail("a rule keeps one level of windows")
                    .hint("put the inner SELECT into a rule of its own"))
            }
        },
        LogicalPlan::Distinct(Distinct::All(_) | Distinct::On(_)) => {
            Err(SqlProblem::new("R016", "DISTINCT would remember every row for ever").hint(
                "first_seen(INTERVAL '1 day', user_entity) in WHERE, or GROUP BY with sliding(..)",
            ))
        }
        LogicalPlan::Join(_) => Err(refused("a join of streams")),
        LogicalPlan::Sort(_) => Err(refused("ORDER BY")),
        LogicalPlan::Limit(_) => Err(refused("LIMIT")),
        LogicalPlan::Window(_) => Err(refused("OVER (..)")),
        LogicalPlan::Subquery(_) => Err(refused("a subquery")),
        LogicalPlan::Unnest(_) => Err(refused("unnest")),
        LogicalPlan::EmptyRelation(_) | LogicalPlan::Values(_) => {
            Err(SqlProblem::new("R016", "a rule reads a table")
                .hint("SELECT user_entity, time FROM authentication WHERE status = 'Failure'"))
        }
        LogicalPlan::RecursiveQuery(_) => Err(refused("WITH RECURSIVE")),
        _ => Err(refused("this statement")),
    }
}

fn refused(what: &str) -> SqlProblem {
    SqlProblem::new("R016", format!("{what} is not accepted in a rule"))
}

/// Refuses window functions and `first_seen` where they mean nothing.
fn no_markers(exprs: &[Expr]) -> Result<(), SqlProblem> {
    for expr in exprs {
        let mut found = None;
        walk::any(expr, |e| {
            found = keyed_call(e).map(|call| match call {
                KeyedCall::Window(kind, _) => kind.name(),
                KeyedCall::FirstSeen(_) => "first_seen",
            });
            found.is_some()
        });
        if let Some(name) = found {
            return Err(misplaced(name));
        }
    }
    Ok(())
}

/// A window or `first_seen` outside its place.
pub(crate) fn misplaced(name: &str) -> SqlProblem {
    if name == "first_seen" {
        SqlProblem::new("R016", "`first_seen` stands where it has no meaning")
            .detail("whether a row is the first of its kind is decided after all other conditions")
            .hint("WHERE status = 'Success' AND first_seen(INTERVAL '14 days', user_entity, src_country)")
    } else {
        SqlProblem::new("R016", format!("`{name}` is only valid in GROUP BY"))
            .detail("a window is what rows are grouped by, not a value of a row")
            .hint(format!("GROUP BY user_entity, {name}(time, INTERVAL '10 minutes')"))
    }
}
