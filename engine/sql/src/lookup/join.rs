//! `JOIN lookup.x AS v ON v.key = expr` as what it means: `v.tier` is `lookup('x', expr, 'tier')`, and
//! an inner join asks `in_lookup('x', expr)` besides. A key has one row, so no row is doubled.

use std::{collections::BTreeSet, convert::Infallible, ops::ControlFlow};

use datafusion::sql::{
    parser::Statement,
    sqlparser::{
        ast::{
            BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident,
            JoinConstraint, JoinOperator, ObjectName, Query, Select, SelectItem, SetExpr, Spanned,
            TableFactor, Value, Visit, VisitMut, Visitor, VisitorMut,
        },
        tokenizer::Span,
    },
};
use sluice_rule::KeyMatch;

use super::{Lookup, Lookups};
use crate::{dialect, error::SqlProblem, functions};

/// Which joins are written out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Joins {
    /// All, and what cannot be is a problem: a stream has no other join.
    All,
    /// Those whose keys are not compared as `=` compares; the rest stay joins.
    Inexact,
}

/// Writes joins with lookups out; what is wrong with those that are none of a key.
pub(crate) fn joins_as_calls(
    statement: &mut Statement,
    lookups: &Lookups,
    which: Joins,
) -> Vec<SqlProblem> {
    let mut writer = JoinWriter { lookups, which, found: Vec::new() };
    if let Statement::Statement(inner) = statement {
        let ControlFlow::Continue(()) = VisitMut::visit(inner.as_mut(), &mut writer);
    }
    writer.found
}

/// The lookups that a text asks.
pub(crate) fn used(statement: &Statement) -> BTreeSet<String> {
    let mut calls = Calls::default();
    if let Statement::Statement(inner) = statement {
        let ControlFlow::Continue(()) = Visit::visit(inner.as_ref(), &mut calls);
    }
    calls.names
}

struct JoinWriter<'a> {
    lookups: &'a Lookups,
    which: Joins,
    found: Vec<SqlProblem>,
}

/// A join that is written out.
struct Join {
    lookup: String,
    /// What stands before its columns, lower case.
    qualifiers: [String; 2],
    /// What the key is compared with.
    value: Expr,
}

impl VisitorMut for JoinWriter<'_> {
    type Break = Infallible;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Infallible> {
        if let SetExpr::Select(select) = query.body.as_mut() {
            let joins = self.select(select);
            if !joins.is_empty() {
                let ControlFlow::Continue(()) =
                    VisitMut::visit(&mut query.order_by, &mut Columns { joins: &joins });
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Infallible> {
        self.select(select);
        ControlFlow::Continue(())
    }
}

impl JoinWriter<'_> {
    fn select(&mut self, select: &mut Select) -> Vec<Join> {
        let mut written = Vec::new();
        let mut conditions = Vec::new();
        for from in &mut select.from {
            from.joins.retain(|join| {
                let TableFactor::Table { name, alias, args: None, .. } = &join.relation else {
                    return true;
                };
                let Some(lookup) = named(name) else { return true };
                let found = self.lookups.get(&lookup);
                if found.is_some_and(|l| {
                    self.which == Joins::Inexact && l.table.matching == KeyMatch::Exact
                }) {
                    return true;
                }
                let qualifier =
                    alias.as_ref().map_or(lookup.clone(), |a| a.name.value.to_lowercase());
                let (constraint, is_inner) = match &join.join_operator {
                    JoinOperator::Join(on) | JoinOperator::Inner(on) => (Some(on), true),
                    JoinOperator::Left(on) | JoinOperator::LeftOuter(on) => (Some(on), false),
                    _ => (None, false),
                };
                let value = found.zip(constraint).and_then(|(l, on)| compared(on, l, &qualifier));
                let Some(value) = value else {
                    let problem = match found {
                        None => functions::unknown_lookup(&lookup, self.lookups),
                        Some(lookup) => by_key(lookup),
                    };
                    if self.which == Joins::All {
                        self.found.push(problem.at(place(join.relation.span())));
                    }
                    return true;
                };
                if is_inner {
                    conditions
                        .extend(dialect::expression(&format!("in_lookup('{lookup}', {value})")));
                }
                let qualifiers = [qualifier, format!("lookup.{lookup}")];
                written.push(Join { lookup, qualifiers, value });
                false
            });
        }
        if written.is_empty() {
            return written;
        }
        for item in &mut select.projection {
            match item {
                SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) => self.found.push(
                    SqlProblem::new("R016", "`*` beside a lookup")
                        .detail("which of its columns a finding has must be said")
                        .hint("name the columns: SELECT user_entity, v.tier")
                        .at(place(item.span())),
                ),
                SelectItem::UnnamedExpr(expr) => {
                    if let (Expr::CompoundIdentifier(parts), Some(call)) =
                        (&*expr, call(expr, &written))
                        && let Some(alias) = parts.last().cloned()
                    {
                        *item = SelectItem::ExprWithAlias { expr: call, alias };
                    }
                }
                _ => {}
            }
        }
        let mut columns = Columns { joins: &written };
        let ControlFlow::Continue(()) = VisitMut::visit(&mut select.projection, &mut columns);
        let ControlFlow::Continue(()) = VisitMut::visit(&mut select.selection, &mut columns);
        let ControlFlow::Continue(()) = VisitMut::visit(&mut select.group_by, &mut columns);
        let ControlFlow::Continue(()) = VisitMut::visit(&mut select.having, &mut columns);
        for condition in conditions {
            select.selection = Some(match select.selection.take() {
                None => condition,
                Some(before) => Expr::BinaryOp {
                    left: Box::new(Expr::Nested(Box::new(before))),
                    op: BinaryOperator::And,
                    right: Box::new(condition),
                },
            });
        }
        written
    }
}

/// The lookup that a table name stands for.
fn named(name: &ObjectName) -> Option<String> {
    let parts: Vec<String> =
        name.0.iter().filter_map(|p| p.as_ident()).map(|i| i.value.to_lowercase()).collect();
    match parts.as_slice() {
        [schema, lookup] if schema == "lookup" => Some(lookup.clone()),
        _ => None,
    }
}

/// What the key of a lookup is compared with, if that is all that ON says.
fn compared(on: &JoinConstraint, lookup: &Lookup, qualifier: &str) -> Option<Expr> {
    let JoinConstraint::On(on) = on else { return None };
    let mut on = on;
    while let Expr::Nested(inner) = on {
        on = inner;
    }
    let Expr::BinaryOp { left, op: BinaryOperator::Eq, right } = on else { return None };
    let key = lookup.table.columns.get(lookup.table.key)?;
    let full = format!("lookup.{}", lookup.table.name);
    let qualifiers = [qualifier.to_owned(), full];
    let is_key =
        |expr: &Expr| column(expr, &qualifiers).is_some_and(|c| c.value.eq_ignore_ascii_case(key));
    let value = match (is_key(left), is_key(right)) {
        (true, false) => right,
        (false, true) => left,
        _ => return None,
    };
    let mut own = Mentions { qualifiers: &qualifiers };
    Visit::visit(value.as_ref(), &mut own).is_continue().then(|| value.as_ref().clone())
}

/// The column of a qualified name, if its qualifier is one of these.
fn column<'e>(expr: &'e Expr, qualifiers: &[String; 2]) -> Option<&'e Ident> {
    let Expr::CompoundIdentifier(parts) = expr else { return None };
    let (column, before) = parts.split_last()?;
    let before: Vec<String> = before.iter().map(|i| i.value.to_lowercase()).collect();
    qualifiers.contains(&before.join(".")).then_some(column)
}

/// The call that a column of a joined lookup stands for.
fn call(expr: &Expr, joins: &[Join]) -> Option<Expr> {
    joins.iter().find_map(|join| {
        let column = column(expr, &join.qualifiers)?;
        let (name, value) = (column.value.to_lowercase().replace('\'', "''"), &join.value);
        let mut made =
            dialect::expression(&format!("lookup('{}', {value}, '{name}')", join.lookup))?;
        // Messages point at the column as it is written.
        if let Expr::Function(call) = &mut made
            && let Some(ident) = call.name.0.first_mut().and_then(|p| match p {
                datafusion::sql::sqlparser::ast::ObjectNamePart::Identifier(ident) => Some(ident),
                datafusion::sql::sqlparser::ast::ObjectNamePart::Function(_) => None,
            })
        {
            ident.span = column.span;
        }
        Some(made)
    })
}

fn by_key(lookup: &Lookup) -> SqlProblem {
    let table = &lookup.table;
    let key = table.columns.get(table.key).map_or("", String::as_str);
    SqlProblem::new("R016", format!("`lookup.{}` is joined otherwise than by its key", table.name))
        .detail(format!("its key is `{key}`; a key has one row, so that no row is doubled"))
        .hint(format!("JOIN lookup.{} AS v ON v.{key} = user_entity, or LEFT JOIN", table.name))
}

fn place(span: Span) -> Option<(u64, u64, u64)> {
    let length = span.end.column.saturating_sub(span.start.column).max(1);
    (span.start.line > 0).then_some((span.start.line, span.start.column, length))
}

/// Puts calls in the place of columns.
struct Columns<'a> {
    joins: &'a [Join],
}

impl VisitorMut for Columns<'_> {
    type Break = Infallible;

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Infallible> {
        if let Some(made) = call(expr, self.joins) {
            *expr = made;
        }
        ControlFlow::Continue(())
    }
}

/// Stops at a column of one of these.
struct Mentions<'a> {
    qualifiers: &'a [String; 2],
}

impl Visitor for Mentions<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if column(expr, self.qualifiers).is_some() {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}

#[derive(Default)]
struct Calls {
    names: BTreeSet<String>,
}

impl Visitor for Calls {
    type Break = Infallible;

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Infallible> {
        if let Expr::Function(call) = expr
            && let Some(name) = asked(call)
        {
            self.names.insert(name);
        }
        ControlFlow::Continue(())
    }
}

/// The lookup a call asks.
fn asked(call: &Function) -> Option<String> {
    let name = call.name.to_string().to_lowercase();
    if !["lookup", "in_lookup"].contains(&name.as_str()) {
        return None;
    }
    let FunctionArguments::List(list) = &call.args else { return None };
    let FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(first))) = list.args.first()? else {
        return None;
    };
    match &first.value {
        Value::SingleQuotedString(name) => Some(name.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(sql: &str) -> (String, Vec<SqlProblem>) {
        let mut statement = dialect::parse_one(sql).unwrap();
        let problems = joins_as_calls(&mut statement, &Lookups::default(), Joins::All);
        (statement.to_string(), problems)
    }

    #[test]
    fn a_join_by_key_is_calls() {
        for (sql, means) in [
            (
                "SELECT a.user_entity, i.class FROM authentication AS a \
                 JOIN lookup.identity AS i ON i.user = a.user_entity WHERE i.criticality = 'high' OR a.is_mfa",
                "SELECT a.user_entity, lookup('identity', a.user_entity, 'class') AS class \
                 FROM authentication AS a WHERE \
                 (lookup('identity', a.user_entity, 'criticality') = 'high' OR a.is_mfa) \
                 AND in_lookup('identity', a.user_entity)",
            ),
            (
                "SELECT identity.class AS c, count(*) FROM authentication \
                 LEFT JOIN lookup.identity ON lower(user_name) = identity.user \
                 GROUP BY identity.class, tumble(time, INTERVAL '1 hour')",
                "SELECT lookup('identity', lower(user_name), 'class') AS c, count(*) FROM authentication \
                 GROUP BY lookup('identity', lower(user_name), 'class'), tumble(time, INTERVAL '1 hour')",
            ),
        ] {
            let (text, problems) = written(sql);
            assert_eq!(text, means);
            assert!(problems.is_empty(), "{problems:?}");
        }
    }

    #[test]
    fn other_joins_are_told_what_is_wrong() {
        for (join, says) in [
            ("JOIN lookup.identity AS i ON i.class = a.user_type", "otherwise than by its key"),
            ("JOIN lookup.identity AS i ON i.user = i.class", "otherwise than by its key"),
            ("JOIN lookup.identity AS i ON i.user > a.user_name", "otherwise than by its key"),
            ("CROSS JOIN lookup.identity AS i", "otherwise than by its key"),
            (
                "RIGHT JOIN lookup.identity AS i ON i.user = a.user_name",
                "otherwise than by its key",
            ),
            ("JOIN lookup.identiti AS i ON i.user = a.user_name", "no lookup `identiti`"),
        ] {
            let (_, problems) = written(&format!("SELECT a.time FROM authentication AS a {join}"));
            assert!(problems.iter().any(|p| p.message.contains(says)), "{join}: {problems:?}");
        }
    }
}
