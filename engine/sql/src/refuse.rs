//! Refusals that need only the syntax tree: clauses that would keep state for ever or mean nothing
//! on a stream, unknown names, patterns that do not say what they seem to. All of them at once, each
//! with its place. Types are checked by [`crate::blame`], shapes by [`crate::classify`].

mod dialects;
mod forms;
mod names;

use std::{collections::BTreeMap, convert::Infallible, ops::ControlFlow};

use arrow::datatypes::SchemaRef;
use datafusion::{
    common::DataFusionError,
    sql::{
        parser::Statement,
        sqlparser::{
            ast::{
                BinaryOperator, Distinct, Expr, Function, GroupByExpr, JoinOperator, LimitClause,
                Query, Select, SelectItem, SetExpr, SetOperator, SetQuantifier, Spanned,
                TableFactor, Value, Visit, Visitor,
            },
            tokenizer::Span,
        },
    },
};
use sluice_event::TableName;

use crate::{
    classify::{misplaced, unbounded},
    error::SqlProblem,
    functions,
    predicate::regex_flaw,
    session::Session,
};

pub(crate) use names::{typed, unresolved};

/// The names a text may use.
pub(crate) struct Catalogue<'a> {
    pub(crate) session: &'a Session,
    pub(crate) raw: &'a BTreeMap<TableName, SchemaRef>,
    pub(crate) sql: &'a str,
}

/// The simplest rule.
const EXAMPLE: &str = "SELECT user_entity, time FROM authentication WHERE status = 'Failure'";

/// A text that does not parse, or holds more than one statement.
pub(crate) fn syntax(error: &DataFusionError, sql: &str) -> SqlProblem {
    if let Some(problem) = crate::error::carried(error) {
        return problem.clone();
    }
    let text = crate::error::plain(error);
    let text = text.trim_start_matches("sql parser error: ").trim_start_matches("ParserError(\"");
    let text = text.trim_end_matches("\")");
    let (text, place) = match text.rsplit_once(" at Line: ") {
        Some((text, place)) => (text, Some(place)),
        None => (text, None),
    };
    let mut problem = SqlProblem::new("R009", text.to_owned());
    let place = place.and_then(|place| {
        let (line, column) = place.split_once(", Column: ")?;
        let digits = |t: &str| t.chars().take_while(char::is_ascii_digit).collect::<String>();
        let (line, column) = (line.parse().ok()?, digits(column).parse().ok()?);
        Some((line, column, word_length(sql, line, column)))
    });
    if text.contains("recursion limit") {
        problem = SqlProblem::new("R019", "the statement nests deeper than 50 levels");
    }
    let found = text.rsplit_once("found: ").map(|(_, word)| word.trim());
    let hint = match found {
        // A table function of other streaming systems.
        Some(_) if sql.to_ascii_lowercase().contains("descriptor(") => {
            "GROUP BY user_entity, tumble(time, INTERVAL '1 hour')"
        }
        Some(word) => dialects::word(word).unwrap_or(EXAMPLE),
        None => EXAMPLE,
    };
    if text.contains("an SQL statement") {
        problem = problem.detail("a rule is one SELECT, whatever language it comes from");
    }
    problem.hint(hint).at(place)
}

/// Everything the syntax tree shows to be wrong.
pub(crate) fn check(statement: &Statement, catalogue: &Catalogue<'_>) -> Checked {
    let mut checker = Checker {
        catalogue,
        found: Vec::new(),
        advice: Vec::new(),
        arrows: Vec::new(),
        ctes: Vec::new(),
        qualifiers: Vec::new(),
    };
    if let Statement::Statement(inner) = statement {
        let ControlFlow::Continue(()) = inner.visit(&mut checker);
    }
    Checked { refused: checker.found, advice: checker.advice }
}

/// What the syntax tree shows.
pub(crate) struct Checked {
    /// What refuses the text.
    pub(crate) refused: Vec<SqlProblem>,
    /// What loads and is probably not meant.
    pub(crate) advice: Vec<SqlProblem>,
}

struct Checker<'a> {
    catalogue: &'a Catalogue<'a>,
    found: Vec<SqlProblem>,
    advice: Vec<SqlProblem>,
    /// Operands of paths that have been refused.
    arrows: Vec<*const Expr>,
    ctes: Vec<String>,
    /// Names of tables in the queries around and before this one.
    qualifiers: Vec<String>,
}

const MARKERS: &[&str] = &["tumble", "hop", "session", "sliding"];

impl Checker<'_> {
    fn refuse(&mut self, span: Span, problem: SqlProblem) {
        let place = self.place(span);
        self.found.push(problem.at(place));
    }

    /// From the keyword that stands before `span`, if it is near.
    fn clause(&mut self, keyword: &str, span: Span, problem: SqlProblem) {
        let place = self.place(span).map(|(line, column, length)| {
            let text = self.catalogue.sql.lines().nth(line as usize - 1).unwrap_or_default();
            let before: String =
                text.chars().take(column as usize - 1).collect::<String>().to_uppercase();
            match before.rfind(keyword) {
                Some(at) => {
                    let start = before.bytes().take(at).filter(|b| (b & 0xC0) != 0x80).count();
                    let start = start as u64 + 1;
                    (line, start, length + column - start)
                }
                None => (line, column, length),
            }
        });
        self.found.push(problem.at(place));
    }

    fn place(&self, span: Span) -> Option<(u64, u64, u64)> {
        if span.start.line == 0 {
            return None;
        }
        let (line, column) = (span.start.line, span.start.column);
        let length = if line == span.end.line {
            span.end.column.saturating_sub(column).max(1)
        } else {
            let text = self.catalogue.sql.lines().nth(line as usize - 1).unwrap_or_default();
            (text.trim_end().chars().count() as u64 + 1).saturating_sub(column).max(1)
        };
        Some((line, column, length))
    }

    fn select(&mut self, select: &Select) {
        match &select.distinct {
            Some(Distinct::Distinct | Distinct::On(_)) => {
                let span = select.select_token.0.span;
                self.refuse(
                    span,
                    SqlProblem::new("R016", "DISTINCT would remember every row for ever")
                        .hint("WHERE first_seen(INTERVAL '1 day', user_entity), or GROUP BY user_entity, sliding(time, INTERVAL '10 minutes')"),
                );
            }
            Some(Distinct::All) | None => {}
        }
        if let Some(qualify) = &select.qualify {
            let problem = not_here("QUALIFY", "it filters OVER windows").hint(
                "GROUP BY user_entity, sliding(time, INTERVAL '10 minutes') HAVING count(*) >= 5",
            );
            self.clause("QUALIFY", qualify.span(), problem);
        }
        if select.from.len() > 1 {
            self.clause("FROM", select.from[1].span(), cross_join());
        }
        if select.from.is_empty() {
            self.refuse(
                select.select_token.0.span,
                SqlProblem::new("R016", "a rule reads a table").hint(EXAMPLE),
            );
        }
        for from in &select.from {
            if let Some(name) = names::lookup(&from.relation) {
                let text = format!("`lookup.{name}` has no events");
                let hint = format!(
                    "FROM authentication AS a JOIN lookup.{name} AS v ON v.key = a.user_entity, or in_lookup('{name}', user_entity)"
                );
                self.refuse(
                    from.relation.span(),
                    SqlProblem::new("R016", text)
                        .detail("a rule reads events and asks lookups")
                        .hint(hint),
                );
            }
            // Those with lookups have been written out, or are told of by who could not.
            for join in from.joins.iter().filter(|j| names::lookup(&j.relation).is_none()) {
                let problem = match &join.join_operator {
                    JoinOperator::CrossJoin(_) => cross_join(),
                    _ => SqlProblem::new("R016", "joins of streams are not available in this build")
                        .detail("each side would have to be kept until the other comes")
                        .hint("one table: count both kinds in one window, HAVING count(*) FILTER (WHERE status = 'Failure') >= 5 AND count(*) FILTER (WHERE status = 'Success') >= 1; two tables: SELECT user_entity, time, 'a' AS kind FROM .. UNION ALL SELECT user_entity, time, 'b' AS kind FROM .., and the same over it"),
                };
                self.refuse(join.relation.span(), problem);
            }
        }
        self.group_by(select);
        let (columns, aliases) = self.scope(select);
        if let Some(columns) = columns {
            self.columns(select, &columns, &aliases);
            self.qualifiers.push(columns.qualifier);
        }
    }

    /// Exactly one window where rows are aggregated.
    fn group_by(&mut self, select: &Select) {
        let exprs = match &select.group_by {
            GroupByExpr::All(_) => {
                return self.refuse(
                    select.select_token.0.span,
                    SqlProblem::new("R016", "GROUP BY ALL is not accepted in a rule")
                        .hint("GROUP BY user_entity, sliding(time, INTERVAL '10 minutes')"),
                );
            }
            GroupByExpr::Expressions(exprs, _) => exprs,
        };
        let resolved = |expr: &Expr| -> Option<Expr> {
            let index = match expr {
                Expr::Identifier(name) => select.projection.iter().position(|item| {
                    matches!(item, SelectItem::ExprWithAlias { alias, .. } if alias.value == name.value)
                })?,
                Expr::Value(v) => match &v.value {
                    Value::Number(n, _) => n.parse::<usize>().ok()?.checked_sub(1)?,
                    _ => return None,
                },
                _ => return None,
            };
            match select.projection.get(index)? {
                SelectItem::ExprWithAlias { expr, .. } | SelectItem::UnnamedExpr(expr) => {
                    Some(expr.clone())
                }
                _ => None,
            }
        };
        let windows: Vec<&Expr> = exprs
            .iter()
            .filter(|e| is_window(e) || resolved(e).as_ref().is_some_and(is_window))
            .collect();
        let from = select.from.first().map(|f| f.relation.to_string()).unwrap_or_default();
        if let [_, second, ..] = windows.as_slice() {
            self.refuse(
                second.span(),
                SqlProblem::new("R016", "two windows in one GROUP BY")
                    .detail("a group has one place in time")
                    .hint("GROUP BY user_entity, sliding(time, INTERVAL '10 minutes')"),
            );
        } else if windows.is_empty() && !exprs.is_empty() {
            let span = Span::union_iter(exprs.iter().map(Spanned::span));
            let truncated = exprs.iter().find_map(truncation);
            let keys = exprs.iter().filter(|e| truncation(e).is_none()).map(ToString::to_string);
            let window = match &truncated {
                Some(unit) => format!("tumble(time, INTERVAL '1 {unit}')"),
                None => "sliding(time, INTERVAL '10 minutes')".to_owned(),
            };
            let groups: Vec<String> = keys.chain([window]).collect();
            let detail = match truncated {
                Some(_) => "`date_trunc` is a value; only a window says when a group is complete"
                    .to_owned(),
                None => format!("groups of `{from}` never close without a window"),
            };
            self.clause(
                "GROUP BY",
                span,
                unbounded().detail(detail).hint(format!("GROUP BY {}", groups.join(", "))),
            );
        } else if exprs.is_empty() {
            let mut aggregates = FindCalls { names: functions::AGGREGATES, found: None };
            for item in &select.projection {
                aggregates.search(item);
            }
            if let Some(having) = &select.having {
                aggregates.search(having);
            }
            if let Some(span) = aggregates.found {
                self.refuse(
                    span,
                    unbounded()
                        .detail(format!("an aggregate over all of `{from}` never closes"))
                        .hint("GROUP BY sliding(time, INTERVAL '10 minutes')"),
                );
            }
        }
        for item in &select.projection {
            if let SelectItem::Wildcard(options) = item
                && !exprs.is_empty()
            {
                self.refuse(
                    options.wildcard_token.0.span,
                    SqlProblem::new("R016", "SELECT * over groups")
                        .hint("name the columns: SELECT user_entity, count(*) AS n"),
                );
            }
        }
        // `first_seen` is a condition of WHERE joined by AND.
        let mut stray = FindCalls { names: &["first_seen"], found: None };
        for item in &select.projection {
            stray.search(item);
        }
        for expr in exprs.iter().chain(&select.having) {
            stray.search(expr);
        }
        for conjunct in select.selection.iter().flat_map(conjuncts) {
            if !matches!(conjunct, Expr::Function(f) if is_called(f, &["first_seen"])) {
                stray.search(conjunct);
            }
            let mut windows = FindCalls { names: MARKERS, found: None };
            windows.search(conjunct);
            if let Some(span) = windows.found {
                self.refuse(span, misplaced("sliding"));
            }
        }
        if let Some(span) = stray.found {
            self.refuse(span, misplaced("first_seen"));
        }
    }
}

impl Visitor for Checker<'_> {
    type Break = Infallible;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Infallible> {
        if let Some(with) = &query.with {
            self.ctes.extend(with.cte_tables.iter().map(|cte| cte.alias.name.value.clone()));
            if with.recursive {
                self.refuse(with.span(), not_here("WITH RECURSIVE", "it may never end"));
            }
        }
        if let Some(order) = &query.order_by {
            let problem =
                not_here("ORDER BY", "a stream has no end to sort at; findings carry `time`");
            self.clause("ORDER BY", order.span(), problem.hint("leave ORDER BY out"));
        }
        if let Some(limit) = &query.limit_clause {
            let word = match limit {
                LimitClause::LimitOffset { limit: Some(_), .. } => "LIMIT",
                _ => "OFFSET",
            };
            let problem = not_here(word, "which rows come first depends on how they arrive");
            self.clause(
                word,
                limit.span(),
                problem.hint("leave it out: each row is a finding. For the n-th event: GROUP BY user_entity, sliding(time, INTERVAL '10 minutes') HAVING count(*) >= 5"),
            );
        }
        if let Some(fetch) = &query.fetch {
            self.clause(
                "FETCH",
                fetch.span(),
                not_here("FETCH", "which rows come first depends on how they arrive"),
            );
        }
        if let SetExpr::SetOperation { op, set_quantifier, .. } = query.body.as_ref() {
            let all = matches!(set_quantifier, SetQuantifier::All | SetQuantifier::AllByName);
            if !(*op == SetOperator::Union && all) {
                self.refuse(
                    query.body.span(),
                    SqlProblem::new("R016", format!("{op} would remember every row for ever"))
                        .hint("UNION ALL keeps both sides as they are"),
                );
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Infallible> {
        self.select(select);
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Infallible> {
        match factor {
            TableFactor::Table { name, args: None, .. } => self.table(name),
            TableFactor::MatchRecognize { .. } => self.refuse(
                factor.span(),
                SqlProblem::new("R016", "MATCH_RECOGNIZE is not available in this build")
                    .detail("each partial match would be kept")
                    .hint("GROUP BY user_entity, sliding(time, INTERVAL '10 minutes') HAVING count(*) FILTER (WHERE status = 'Failure') >= 5"),
            ),
            TableFactor::UNNEST { .. } => {
                self.refuse(factor.span(), not_here("UNNEST", "a row is one finding")
                    .hint("array_has(users, 'admin')"));
            }
            TableFactor::Derived { lateral: true, .. } => {
                self.refuse(factor.span(), not_here("LATERAL", "it is a join"));
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Infallible> {
        self.form(expr);
        match expr {
            Expr::Function(call) => {
                self.function(call);
                if call.over.is_some() {
                    self.refuse(
                        call.name.span(),
                        SqlProblem::new("R016", "OVER windows are not available in this build")
                            .detail("every row of the frame would be kept")
                            .hint("GROUP BY user_entity, sliding(time, INTERVAL '10 minutes')"),
                    );
                }
            }
            Expr::Exists { subquery, negated } => {
                let what = if *negated { "NOT EXISTS" } else { "EXISTS" };
                self.refuse(
                    subquery.span(),
                    SqlProblem::new("R016", format!("{what} is not available in this build"))
                        .detail("rows would have to be kept until the other event comes")
                        .hint("GROUP BY user_entity, sliding(time, INTERVAL '10 minutes') HAVING count(*) FILTER (WHERE status = 'Failure') >= 5"),
                );
            }
            Expr::InSubquery { expr, .. } => self.refuse(
                expr.span(),
                SqlProblem::new("R016", "IN (SELECT ..) is not available in this build")
                    .detail("every value of the subquery would be kept for ever")
                    .hint("a list: user_name IN ('root', 'admin')"),
            ),
            Expr::Subquery(query) => self.refuse(
                query.span(),
                SqlProblem::new("R016", "a subquery as a value")
                    .detail("over a stream it changes with every row")
                    .hint("a number, or HAVING over a window"),
            ),
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// The operands of AND, without recursion.
fn conjuncts(expr: &Expr) -> Vec<&Expr> {
    let (mut found, mut open) = (Vec::new(), vec![expr]);
    while let Some(expr) = open.pop() {
        match expr {
            Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
                open.extend([right.as_ref(), left.as_ref()]);
            }
            Expr::Nested(inner) => open.push(inner),
            other => found.push(other),
        }
    }
    found
}

/// The unit of `date_trunc('hour', ..)`.
fn truncation(expr: &Expr) -> Option<String> {
    let Expr::Function(call) = expr else { return None };
    let unit = names::arguments(call).first().and_then(|unit| literal(unit))?;
    let known = ["second", "minute", "hour", "day", "week"].contains(&unit.to_lowercase().as_str());
    (is_called(call, &["date_trunc"]) && known).then(|| unit.to_lowercase())
}

fn is_window(expr: &Expr) -> bool {
    matches!(expr, Expr::Function(f) if is_called(f, MARKERS) || is_called(f, &["date_bin"]))
}

fn is_called(call: &Function, names: &[&str]) -> bool {
    names.iter().any(|n| call.name.to_string().eq_ignore_ascii_case(n))
}

/// Finds the first call of one of some functions.
struct FindCalls<'a> {
    names: &'a [&'a str],
    found: Option<Span>,
}

impl FindCalls<'_> {
    /// Looks in a part of the statement unless it has been found.
    fn search(&mut self, part: &impl Visit) -> bool {
        self.found.is_some() || part.visit(self).is_break()
    }
}

impl Visitor for FindCalls<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Function(call) if call.over.is_none() && is_called(call, self.names) => {
                self.found = Some(call.name.span());
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

fn literal(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Value(value) => value.value.clone().into_string(),
        Expr::Nested(inner) => literal(inner),
        _ => None,
    }
}

fn not_here(what: &str, why: &str) -> SqlProblem {
    SqlProblem::new("R016", format!("{what} is not accepted in a rule")).detail(why)
}

fn cross_join() -> SqlProblem {
    SqlProblem::new("R015", "this rule would keep state for ever")
        .detail("a cross join pairs every row with every other")
        .hint("GROUP BY user_entity, sliding(time, INTERVAL '10 minutes')")
}

/// How long the word at a place is.
fn word_length(sql: &str, line: u64, column: u64) -> u64 {
    let text = sql.lines().nth((line as usize).saturating_sub(1)).unwrap_or_default();
    let rest = text.chars().skip((column as usize).saturating_sub(1));
    (rest.take_while(|c| c.is_alphanumeric() || *c == '_').count() as u64).max(1)
}
