//! How much work a text asks the planner for, counted on its syntax tree before anything is planned.
//! A column of a subquery or a WITH query stands for its expression wherever it is named, so a short
//! text can mean an expression of any size: counting is linear in the text, planning is not.

use std::{collections::BTreeMap, ops::ControlFlow, rc::Rc};

use datafusion::sql::sqlparser::ast::{
    Expr, GroupByExpr, Ident, OrderByKind, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, Spanned, TableFactor, TableWithJoins, Visit, Visitor,
};
use sluice_event::Schema;

use super::{Limits, place, refused};
use crate::{
    error::SqlProblem,
    functions::{Growth, growth},
};

/// Columns of a table nobody knows here: wider than any of ours.
const UNKNOWN_WIDTH: usize = 200;

/// Counts what a query expands to, and refuses more than the limits.
pub(super) fn check(query: &Query) -> Result<(), SqlProblem> {
    let mut written = Written::default();
    let ControlFlow::Continue(()) = query.visit(&mut written);
    let mut estimate = Estimate { tables: Vec::new(), limit: Limits::EXPANDED + 4 * written.nodes };
    estimate.query(query).map(|_| ())
}

/// What the rows of a query or a table stand for.
#[derive(Clone, Debug, Default)]
struct Rows {
    /// Columns with an expression of their own; the others are columns of a table.
    columns: BTreeMap<String, Cost>,
    /// How many columns there are.
    width: usize,
    /// Nodes of the plan that makes them and of all expressions in it.
    nodes: u64,
}

/// What an expression stands for once columns of subqueries are put in.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    nodes: u64,
    depth: u64,
    /// How deep calls nest whose result is larger than their arguments.
    growing: u64,
}

impl Cost {
    const COLUMN: Cost = Cost { nodes: 1, depth: 1, growing: 0 };

    fn or(self, other: Cost) -> Cost {
        Cost {
            nodes: self.nodes.max(other.nodes),
            depth: self.depth.max(other.depth),
            growing: self.growing.max(other.growing),
        }
    }
}

struct Estimate {
    /// WITH queries in scope, the innermost last.
    tables: Vec<(String, Rc<Rows>)>,
    limit: u64,
}

type Counted<T> = Result<T, SqlProblem>;

impl Estimate {
    fn query(&mut self, query: &Query) -> Counted<Rows> {
        let outer = self.tables.len();
        if let Some(with) = query.with.as_ref().filter(|w| w.cte_tables.len() > Limits::CTES) {
            let text = format!("a WITH of more than {} queries", Limits::CTES);
            return Err(refused(text).at(place(with.span())));
        }
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            let rows = self.query(&cte.query)?;
            let rows = renamed(rows, cte.alias.columns.iter().map(|c| &c.name));
            self.tables.push((folded(&cte.alias.name), Rc::new(rows)));
        }
        let mut rows = self.body(&query.body)?;
        if let Some(order) = &query.order_by
            && let OrderByKind::Expressions(exprs) = &order.kind
        {
            for order in exprs {
                let cost = self.cost(&order.expr, &[&rows])?;
                rows.nodes = rows.nodes.saturating_add(cost.nodes);
            }
        }
        self.tables.truncate(outer);
        self.within(&rows, query)?;
        Ok(rows)
    }

    fn body(&mut self, body: &SetExpr) -> Counted<Rows> {
        match body {
            SetExpr::Select(select) => self.select(select),
            SetExpr::Query(query) => self.query(query),
            SetExpr::SetOperation { left, right, .. } => {
                let (left, right) = (self.body(left)?, self.body(right)?);
                let nodes = left.nodes.saturating_add(right.nodes).saturating_add(1);
                let mut columns = left.columns;
                for (name, cost) in right.columns {
                    let known = columns.entry(name).or_default();
                    *known = known.or(cost);
                }
                Ok(Rows { columns, width: left.width.max(right.width), nodes })
            }
            // Refused elsewhere.
            SetExpr::Values(_)
            | SetExpr::Insert(_)
            | SetExpr::Update(_)
            | SetExpr::Delete(_)
            | SetExpr::Merge(_)
            | SetExpr::Table(_) => Ok(Rows::default()),
        }
    }

    fn select(&mut self, select: &Select) -> Counted<Rows> {
        let mut sources = Vec::new();
        for from in &select.from {
            self.from(from, &mut sources)?;
        }
        let mut scope: Vec<&Rows> = sources.iter().map(Rc::as_ref).collect();
        let mut rows = Rows { nodes: 1, ..Rows::default() };
        for source in &scope {
            rows.nodes = rows.nodes.saturating_add(source.nodes).saturating_add(1);
        }
        let add = |rows: &mut Rows, cost: Cost| {
            rows.nodes = rows.nodes.saturating_add(cost.nodes);
        };
        for item in &select.projection {
            match item {
                SelectItem::UnnamedExpr(expr) => {
                    let cost = self.cost(expr, &scope)?;
                    if let Some(name) = name_of(expr) {
                        rows.columns.insert(name, cost);
                    }
                    rows.width += 1;
                    add(&mut rows, cost);
                }
                SelectItem::ExprWithAlias { expr, alias } => {
                    let cost = self.cost(expr, &scope)?;
                    rows.columns.insert(folded(alias), cost);
                    rows.width += 1;
                    add(&mut rows, cost);
                }
                SelectItem::ExprWithAliases { expr, aliases } => {
                    let cost = self.cost(expr, &scope)?;
                    rows.columns.extend(aliases.iter().map(|alias| (folded(alias), cost)));
                    rows.width += aliases.len();
                    add(&mut rows, cost);
                }
                SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) => {
                    if let SelectItem::QualifiedWildcard(
                        SelectItemQualifiedWildcardKind::Expr(expr),
                        _,
                    ) = item
                    {
                        let cost = self.cost(expr, &scope)?;
                        add(&mut rows, cost);
                    }
                    for source in &scope {
                        rows.width = rows.width.saturating_add(source.width);
                        rows.nodes = rows.nodes.saturating_add(source.width as u64);
                        for (name, cost) in &source.columns {
                            rows.nodes = rows.nodes.saturating_add(cost.nodes);
                            let known = rows.columns.entry(name.clone()).or_default();
                            *known = known.or(*cost);
                        }
                    }
                }
            }
            if rows.width > Limits::WIDTH {
                let text = format!("a SELECT of more than {} columns", Limits::WIDTH);
                return Err(refused(text).at(place(select.select_token.0.span)));
            }
        }
        if let GroupByExpr::Expressions(keys, _) = &select.group_by
            && keys.len() > Limits::KEYS
        {
            let text = format!("GROUP BY of more than {} keys", Limits::KEYS);
            return Err(refused(text).at(place(select.select_token.0.span)));
        }
        let sets = grouping_sets(&select.group_by);
        if sets > Limits::GROUPING_SETS {
            let text = format!("GROUP BY of more than {} sets of keys", Limits::GROUPING_SETS);
            return Err(refused(text).at(place(select.select_token.0.span)));
        }
        // GROUP BY and HAVING may name what SELECT names.
        let named = Rows { columns: rows.columns.clone(), ..Rows::default() };
        scope.push(&named);
        let groups: &[Expr] = match &select.group_by {
            GroupByExpr::Expressions(exprs, _) => exprs,
            GroupByExpr::All(_) => &[],
        };
        let conditions = [&select.selection, &select.having, &select.qualify];
        for expr in conditions.into_iter().flatten().chain(groups) {
            let cost = self.cost(expr, &scope)?;
            add(&mut rows, cost);
        }
        Ok(rows)
    }

    fn from(&mut self, from: &TableWithJoins, sources: &mut Vec<Rc<Rows>>) -> Counted<()> {
        for factor in std::iter::once(&from.relation).chain(from.joins.iter().map(|j| &j.relation))
        {
            match factor {
                TableFactor::Table { name, .. } => {
                    let parts: Vec<String> =
                        name.0.iter().filter_map(|p| p.as_ident()).map(folded).collect();
                    sources.push(self.table(&parts.join(".")));
                }
                TableFactor::Derived { subquery, alias, .. } => {
                    let rows = self.query(subquery)?;
                    let columns = alias.iter().flat_map(|a| &a.columns).map(|c| &c.name);
                    sources.push(Rc::new(renamed(rows, columns)));
                }
                TableFactor::NestedJoin { table_with_joins, .. } => {
                    self.from(table_with_joins, sources)?;
                }
                TableFactor::MatchRecognize { table, .. } => {
                    let inner = TableWithJoins { relation: (**table).clone(), joins: Vec::new() };
                    self.from(&inner, sources)?;
                }
                _ => sources.push(self.table("")),
            }
        }
        Ok(())
    }

    fn table(&self, name: &str) -> Rc<Rows> {
        if let Some((_, rows)) = self.tables.iter().rev().find(|(known, _)| known == name) {
            return Rc::clone(rows);
        }
        let known = Schema::any(name).map(|t| t.arrow.fields().len());
        let width = known.unwrap_or(UNKNOWN_WIDTH);
        Rc::new(Rows { width, nodes: 1, ..Rows::default() })
    }

    fn cost(&mut self, expr: &Expr, scope: &[&Rows]) -> Counted<Cost> {
        let mut counter = Counter {
            estimate: self,
            scope,
            queries: 0,
            depth: 0,
            growing: 0,
            cost: Cost::default(),
        };
        if let ControlFlow::Break(problem) = expr.visit(&mut counter) {
            return Err(problem);
        }
        let cost = counter.cost;
        let limit = if cost.nodes > self.limit {
            Some(format!("more than {} parts", self.limit))
        } else if cost.depth > Limits::DEPTH {
            Some(format!("parts that nest more than {} deep", Limits::DEPTH))
        } else if cost.growing > Limits::GROWING {
            Some(format!(
                "more than {} functions in each other whose result is larger than their arguments",
                Limits::GROWING
            ))
        } else {
            None
        };
        match limit {
            Some(limit) => Err(refused(format!("this expression stands for {limit}"))
                .detail(
                    "a column of a subquery stands for its whole expression wherever it is named",
                )
                .hint("name a column once, or leave levels of subqueries out")
                .at(place(expr.span()))),
            None => Ok(cost),
        }
    }

    fn within(&self, rows: &Rows, query: &Query) -> Counted<()> {
        if rows.nodes <= self.limit {
            return Ok(());
        }
        Err(refused(format!("this query stands for more than {} parts", self.limit))
            .detail("a WITH query is planned again wherever it is named")
            .hint("name each WITH query once, or leave levels of subqueries out")
            .at(place(query.span())))
    }
}

/// Counts one expression.
struct Counter<'e, 's> {
    estimate: &'e mut Estimate,
    scope: &'s [&'s Rows],
    /// How many queries are open around the present part.
    queries: usize,
    depth: u64,
    growing: u64,
    cost: Cost,
}

impl Counter<'_, '_> {
    fn column(&self, name: &Ident) -> Cost {
        let name = folded(name);
        self.scope
            .iter()
            .filter_map(|rows| rows.columns.get(&name))
            .fold(Cost::COLUMN, |known, cost| known.or(*cost))
    }
}

impl Visitor for Counter<'_, '_> {
    type Break = SqlProblem;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<SqlProblem> {
        self.queries += 1;
        if self.queries > 1 {
            return ControlFlow::Continue(());
        }
        match self.estimate.query(query) {
            Ok(rows) => {
                self.cost.nodes = self.cost.nodes.saturating_add(rows.nodes);
                ControlFlow::Continue(())
            }
            Err(problem) => ControlFlow::Break(problem),
        }
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<SqlProblem> {
        self.queries -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<SqlProblem> {
        if self.queries > 0 {
            return ControlFlow::Continue(());
        }
        self.depth += 1;
        self.growing += u64::from(grows(expr));
        let part = match expr {
            Expr::Identifier(name) => self.column(name),
            Expr::CompoundIdentifier(parts) => {
                parts.last().map_or(Cost::COLUMN, |p| self.column(p))
            }
            _ => Cost { nodes: 1, depth: 0, growing: 0 },
        };
        self.cost.nodes = self.cost.nodes.saturating_add(part.nodes);
        self.cost.depth = self.cost.depth.max(self.depth.saturating_add(part.depth));
        self.cost.growing = self.cost.growing.max(self.growing.saturating_add(part.growing));
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<SqlProblem> {
        if self.queries == 0 {
            self.depth -= 1;
            self.growing -= u64::from(grows(expr));
        }
        ControlFlow::Continue(())
    }
}

/// How many ways rows are grouped: every way is a pass over all of them.
fn grouping_sets(groups: &GroupByExpr) -> u64 {
    let cube = |keys: usize| 2_u64.saturating_pow(u32::try_from(keys).unwrap_or(u32::MAX));
    let of = |expr: &Expr| match expr {
        Expr::Cube(keys) => cube(keys.len()),
        Expr::Rollup(keys) => keys.len() as u64 + 1,
        Expr::GroupingSets(sets) => sets.len() as u64,
        _ => 1,
    };
    match groups {
        GroupByExpr::Expressions(exprs, modifiers) => {
            let each = exprs.iter().map(of).fold(1, u64::saturating_mul);
            let whole = if modifiers.is_empty() { 1 } else { cube(exprs.len()) };
            each.saturating_mul(whole)
        }
        GroupByExpr::All(_) => 1,
    }
}

/// Whether the result of a call can be larger than its arguments.
fn grows(expr: &Expr) -> bool {
    let Expr::Function(call) = expr else { return false };
    let name = call.name.to_string().to_lowercase();
    match growth(&name) {
        Some(Growth::Bounded | Growth::Work | Growth::WorkOfLists) => false,
        Some(_) => true,
        // A second name of a function over lists.
        None => name.starts_with("list_"),
    }
}

/// The parts of a text as it is written.
#[derive(Default)]
struct Written {
    nodes: u64,
}

impl Visitor for Written {
    type Break = std::convert::Infallible;

    fn pre_visit_expr(&mut self, _: &Expr) -> ControlFlow<std::convert::Infallible> {
        self.nodes += 1;
        ControlFlow::Continue(())
    }
}

fn name_of(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(name) => Some(folded(name)),
        Expr::CompoundIdentifier(parts) => parts.last().map(folded),
        _ => None,
    }
}

/// With the names that an alias gives: then every column may be the costliest.
fn renamed<'a>(rows: Rows, names: impl Iterator<Item = &'a Ident>) -> Rows {
    let mut names = names.peekable();
    if names.peek().is_none() {
        return rows;
    }
    let worst = rows.columns.values().fold(Cost::COLUMN, |known, cost| known.or(*cost));
    Rows { columns: names.map(|name| (folded(name), worst)).collect(), ..rows }
}

/// Wire names of mappings keep their case, which only makes them more alike here.
fn folded(ident: &Ident) -> String {
    ident.value.to_lowercase()
}
