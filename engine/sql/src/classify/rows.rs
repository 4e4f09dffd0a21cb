//! Rows of tables: scans, filters, projections and UNION ALL folded into one arm per table, its
//! expressions over the table's own columns.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::{
    common::{
        Column, DFSchema, Result,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    logical_expr::{Expr, Operator, TableScan},
};
use sluice_event::{Schema, TableName};

use super::misplaced;
use crate::{
    error::SqlProblem,
    functions::{KeyedCall, interval_millis, keyed_call},
    predicate::terms,
    walk,
};

/// Rows out of one or more tables, all with the same columns.
pub(crate) struct Rows {
    /// One per table and UNION ALL arm, in order.
    pub(crate) arms: Vec<Arm>,
    /// Set if a row must be the first of its kind.
    pub(crate) first_seen: Option<FirstSeen>,
}

/// The rows of one table that pass, and the columns they give.
pub(crate) struct Arm {
    /// The table.
    pub(crate) table: TableName,
    /// Its full schema.
    pub(crate) schema: SchemaRef,
    /// Conjuncts over the table's columns, unqualified.
    pub(crate) filters: Vec<Expr>,
    /// The columns over the table's columns, unqualified, in the order of the plan's schema.
    pub(crate) columns: Vec<Expr>,
    /// The key tuple of `first_seen`, over the table's columns.
    pub(crate) keys: Vec<Expr>,
}

/// `first_seen(span, ..)`.
#[derive(Clone, Copy)]
pub(crate) struct FirstSeen {
    /// Milliseconds.
    pub(crate) span: i64,
}

impl Rows {
    /// A table; `events` is every typed table with the columns all have.
    pub(crate) fn scan(scan: &TableScan) -> Result<Rows, SqlProblem> {
        let name = match scan.table_name.schema() {
            Some("raw") => format!("raw.{}", scan.table_name.table()),
            _ => scan.table_name.table().to_owned(),
        };
        let arm = |table: TableName, schema: SchemaRef, width: usize| {
            let columns = match &scan.projection {
                Some(indices) => indices.clone(),
                None => (0..width).collect(),
            };
            let columns = columns.into_iter().map(|i| bare(schema.field(i).name())).collect();
            Arm { table, schema, filters: scan.filters.clone(), columns, keys: Vec::new() }
        };
        let arms = if name == "events" {
            Schema::builtin()
                .tables()
                .map(|t| arm(t.name.clone(), Arc::clone(&t.arrow), t.common))
                .collect()
        } else {
            let schema = scan.source.schema();
            let width = schema.fields().len();
            vec![arm(TableName::new(&name), schema, width)]
        };
        Ok(Rows { arms, first_seen: None })
    }

    /// SELECT.
    pub(crate) fn project(mut self, exprs: &[Expr], input: &DFSchema) -> Result<Rows, SqlProblem> {
        for arm in &mut self.arms {
            arm.columns = exprs
                .iter()
                .map(|e| substitute(e.clone(), input, &arm.columns))
                .collect::<Result<_, _>>()?;
        }
        Ok(self)
    }

    /// WHERE; `first_seen` may be one of the conjuncts.
    pub(crate) fn filter(mut self, predicate: &Expr, input: &DFSchema) -> Result<Rows, SqlProblem> {
        if self.first_seen.is_some() {
            return Err(SqlProblem::new("R016", "a condition after `first_seen`")
                .detail("a row that fails it would still be remembered as seen")
                .hint("put every condition into the WHERE that holds `first_seen`"));
        }
        for term in terms(predicate, Operator::And) {
            match keyed_call(term) {
                Some(KeyedCall::FirstSeen(args)) => self.first_of(args, input)?,
                Some(KeyedCall::Window(kind, _)) => return Err(misplaced(kind.name())),
                None => {
                    if contains_first_seen(term) {
                        return Err(misplaced("first_seen"));
                    }
                    super::no_markers(std::slice::from_ref(term))?;
                    for arm in &mut self.arms {
                        arm.filters.push(substitute(term.clone(), input, &arm.columns)?);
                    }
                }
            }
        }
        Ok(self)
    }

    fn first_of(&mut self, args: &[Expr], input: &DFSchema) -> Result<(), SqlProblem> {
        if self.first_seen.is_some() {
            return Err(SqlProblem::new("R016", "two `first_seen` in one rule").hint(
                "name all keys in one: first_seen(INTERVAL '14 days', user_entity, src_country)",
            ));
        }
        let Some((span, keys)) = args.split_first() else { return Err(misplaced("first_seen")) };
        let span = interval_millis(span).ok_or_else(|| {
            SqlProblem::new(
                "R016",
                "the first argument of `first_seen` is a fixed positive interval",
            )
            .detail("months have no fixed length and times are whole milliseconds")
            .hint("first_seen(INTERVAL '14 days', user_entity, src_country)")
        })?;
        for arm in &mut self.arms {
            arm.keys = keys
                .iter()
                .map(|key| substitute(key.clone(), input, &arm.columns))
                .collect::<Result<_, _>>()?;
        }
        self.first_seen = Some(FirstSeen { span });
        Ok(())
    }

    /// UNION ALL.
    pub(crate) fn union(mut self, other: Rows) -> Result<Rows, SqlProblem> {
        if self.first_seen.is_some() || other.first_seen.is_some() {
            return Err(SqlProblem::new("R016", "`first_seen` inside a UNION")
                .detail("what is new would be decided per arm")
                .hint("SELECT .. FROM (SELECT .. UNION ALL SELECT ..) AS u WHERE first_seen(INTERVAL '14 days', user_entity)"));
        }
        self.arms.extend(other.arms);
        Ok(self)
    }
}

fn contains_first_seen(expr: &Expr) -> bool {
    walk::any(expr, |e| matches!(keyed_call(e), Some(KeyedCall::FirstSeen(_))))
}

/// A column without a qualifier.
pub(crate) fn bare(name: &str) -> Expr {
    Expr::Column(Column::new_unqualified(name))
}

/// `expr` with each column of `schema` replaced by the expression at its place.
pub(crate) fn substitute(
    expr: Expr,
    schema: &DFSchema,
    columns: &[Expr],
) -> Result<Expr, SqlProblem> {
    let replaced = expr.transform(|e| match &e {
        Expr::Column(column) => {
            let index = schema.index_of_column(column)?;
            Ok(match columns.get(index) {
                Some(with) => {
                    let mut with = with.clone().unalias_nested().data;
                    // The place in the text stays with the column.
                    if let Expr::Column(inner) = &mut with
                        && inner.spans.first().is_none()
                    {
                        inner.spans = column.spans.clone();
                    }
                    Transformed::new(with, true, TreeNodeRecursion::Jump)
                }
                None => Transformed::no(e),
            })
        }
        _ => Ok(Transformed::no(e)),
    });
    match replaced {
        Ok(replaced) => Ok(replaced.data),
        Err(error) => Err(SqlProblem::all(&error).into_iter().next().unwrap_or_else(|| {
            SqlProblem::new("R016", "this column cannot be traced to its table")
        })),
    }
}
