//! What an SQL text may do: read tables, with bounded work. Checked in three steps: the text, its
//! syntax tree before anything is planned, and the plan. What is not on a list is refused.

mod budget;
mod limits;

use std::ops::ControlFlow;

use datafusion::{
    common::{
        Result,
        tree_node::{TreeNode, TreeNodeRecursion},
    },
    logical_expr::{Expr as PlanExpr, LogicalPlan},
    sql::{
        parser::Statement,
        sqlparser::{
            ast::{
                Expr, Query, Select, SetExpr, Spanned, Statement as SqlStatement, TableFactor,
                Value, ValueWithSpan, Visit, Visitor,
            },
            tokenizer::Span,
        },
    },
};

use crate::{error::SqlProblem, functions::BANNED};
use limits::{Limits, chain, pattern};

/// Bytes of one text: imported rules hold lists of thousands.
const TEXT_MAX: usize = 1 << 20;

/// Refuses a text that is too long to look at.
pub(crate) fn check_text(sql: &str) -> Result<()> {
    check_length(sql, TEXT_MAX)
}

/// Refuses a text longer than `most` bytes.
pub(crate) fn check_length(sql: &str, most: usize) -> Result<()> {
    if sql.len() <= most {
        return Ok(());
    }
    Err(refused(format!("the text has {} bytes, {most} are allowed", sql.len())).into())
}

/// Refuses everything but one query that reads tables.
pub(crate) fn check_statement(statement: &Statement) -> Result<()> {
    let query = match statement {
        Statement::Statement(inner) => match inner.as_ref() {
            SqlStatement::Query(query) => query,
            other => return Err(not_a_query(first_word(&other.to_string())).into()),
        },
        Statement::CreateExternalTable(_) => {
            return Err(not_a_query("CREATE EXTERNAL TABLE").into());
        }
        Statement::CopyTo(_) => return Err(not_a_query("COPY").into()),
        Statement::Explain(_) => return Err(not_a_query("EXPLAIN").into()),
        Statement::Reset(_) => return Err(not_a_query("RESET").into()),
    };
    finish(query.visit(&mut Checker::default()))?;
    budget::check(query)?;
    Ok(())
}

/// Refuses an expression that [`check_statement`] would refuse inside a query.
pub(crate) fn check_expression(expr: &Expr) -> Result<()> {
    finish(expr.visit(&mut Checker::default()))
}

/// Refuses plans with nodes or expressions that are not on the list.
pub(crate) fn check_plan(plan: &LogicalPlan) -> Result<()> {
    let mut joins = 0;
    plan.apply_with_subqueries(|node| {
        match node {
            LogicalPlan::Projection(_)
            | LogicalPlan::Filter(_)
            | LogicalPlan::Window(_)
            | LogicalPlan::Aggregate(_)
            | LogicalPlan::Sort(_)
            | LogicalPlan::Union(_)
            | LogicalPlan::TableScan(_)
            | LogicalPlan::EmptyRelation(_)
            | LogicalPlan::Subquery(_)
            | LogicalPlan::SubqueryAlias(_)
            | LogicalPlan::Limit(_)
            | LogicalPlan::Distinct(_)
            | LogicalPlan::Unnest(_) => {}
            LogicalPlan::Join(_) => joins += 1,
            LogicalPlan::Extension(node) if node.node.name() == "MatchRecognize" => {}
            other => {
                let name = other.display().to_string();
                return Err(refused(format!("{} is not allowed", first_word(&name))).into());
            }
        }
        if joins > Limits::JOINS {
            return Err(refused(format!("more than {} joins", Limits::JOINS)).into());
        }
        node.apply_expressions(|expr| {
            expr.apply(|e| match e {
                PlanExpr::Placeholder(_) => Err(refused("placeholders are not allowed").into()),
                PlanExpr::ScalarVariable(..) => Err(refused("variables are not allowed").into()),
                _ => Ok(TreeNodeRecursion::Continue),
            })
        })
    })
    .map(|_| ())
}

fn finish(flow: ControlFlow<SqlProblem>) -> Result<()> {
    match flow {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(problem) => Err(problem.into()),
    }
}

fn refused(message: impl Into<String>) -> SqlProblem {
    SqlProblem::new("R019", message)
}

fn not_a_query(word: &str) -> SqlProblem {
    refused(format!("only a query is allowed here, not {word}")).hint("start with SELECT or WITH")
}

fn first_word(text: &str) -> &str {
    text.split([' ', ':', '(', '\n']).next().unwrap_or(text)
}

/// A place in a syntax tree, if it has one.
pub(crate) fn place(span: Span) -> Option<(u64, u64, u64)> {
    if span.start.line == 0 {
        return None;
    }
    let same = span.start.line == span.end.line;
    let length = if same { span.end.column.saturating_sub(span.start.column).max(1) } else { 1 };
    Some((span.start.line, span.start.column, length))
}

/// Walks a syntax tree and stops at the first thing that is not allowed.
#[derive(Default)]
struct Checker {
    queries: usize,
    joins: usize,
}

type Flow = ControlFlow<SqlProblem>;

impl Visitor for Checker {
    type Break = SqlProblem;

    fn pre_visit_query(&mut self, query: &Query) -> Flow {
        self.queries += 1;
        if self.queries > Limits::NESTING {
            let text = format!("subqueries nest deeper than {}", Limits::NESTING);
            return ControlFlow::Break(refused(text));
        }
        let clause = if query.with.as_ref().is_some_and(|w| w.recursive) {
            Some("WITH RECURSIVE")
        } else if !query.locks.is_empty() {
            Some("FOR UPDATE")
        } else if query.for_clause.is_some() {
            Some("FOR XML, JSON or BROWSE")
        } else if query.settings.is_some() {
            Some("SETTINGS")
        } else if query.format_clause.is_some() {
            Some("FORMAT")
        } else if !query.pipe_operators.is_empty() {
            Some("a pipe")
        } else {
            body(&query.body)
        };
        match clause {
            Some(clause) => ControlFlow::Break(
                refused(format!("{clause} is not allowed")).at(place(query.span())),
            ),
            None => ControlFlow::Continue(()),
        }
    }

    fn post_visit_query(&mut self, _: &Query) -> Flow {
        self.queries -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> Flow {
        let (clause, hint) = if select.into.is_some() {
            ("SELECT INTO", "leave INTO out: a query only reads")
        } else if select.top.is_some() {
            ("TOP", "a rule returns every row that passes; a hunt ends with LIMIT 10")
        } else if !select.lateral_views.is_empty() {
            ("LATERAL VIEW", "array_has(users, 'admin') tests a list")
        } else if !select.connect_by.is_empty() {
            ("CONNECT BY", "each level is a join by its key")
        } else if select.prewhere.is_some() {
            ("PREWHERE", "WHERE")
        } else {
            self.joins += select.from.len().saturating_sub(1)
                + select.from.iter().map(|t| t.joins.len()).sum::<usize>();
            if self.joins > Limits::JOINS {
                let text = format!("more than {} joins", Limits::JOINS);
                return ControlFlow::Break(refused(text).at(place(select.span())));
            }
            return ControlFlow::Continue(());
        };
        let problem = refused(format!("{clause} is not allowed")).hint(hint);
        ControlFlow::Break(problem.at(place(select.span())))
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> Flow {
        let what = match factor {
            TableFactor::Table { args: None, .. }
            | TableFactor::Derived { .. }
            | TableFactor::NestedJoin { .. }
            | TableFactor::UNNEST { .. }
            | TableFactor::MatchRecognize { .. } => return ControlFlow::Continue(()),
            TableFactor::Table { name, .. } => format!("table function {name}"),
            other => format!("FROM {}", first_word(&other.to_string())),
        };
        ControlFlow::Break(
            refused(format!("{what} is not allowed"))
                .detail("a query reads tables; nothing here makes rows or opens files")
                .hint("FROM authentication")
                .at(place(factor.span())),
        )
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> Flow {
        match expr {
            Expr::Function(call) => {
                let name = call.name.to_string().to_lowercase();
                if BANNED.contains(&name.as_str()) {
                    return ControlFlow::Break(banned(&name).at(place(call.name.span())));
                }
            }
            Expr::InList { list, .. } if list.len() > Limits::LIST => {
                let text = format!("a list of {} values, {} are allowed", list.len(), Limits::LIST);
                return ControlFlow::Break(refused(text).at(place(expr.span())));
            }
            Expr::BinaryOp { op, .. } => {
                if let Some(problem) = chain(expr, op) {
                    return ControlFlow::Break(problem.at(place(expr.span())));
                }
            }
            _ => {}
        }
        match pattern(expr) {
            Some(problem) => ControlFlow::Break(problem.at(place(expr.span()))),
            None => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_value(&mut self, value: &ValueWithSpan) -> Flow {
        match &value.value {
            Value::Placeholder(name) => ControlFlow::Break(
                refused(format!("placeholder {name} is not allowed")).at(place(value.span)),
            ),
            _ => ControlFlow::Continue(()),
        }
    }
}

/// What is wrong with the body of a query.
fn body(body: &SetExpr) -> Option<&'static str> {
    match body {
        SetExpr::Select(_) | SetExpr::Query(_) => None,
        SetExpr::SetOperation { left, right, .. } => self::body(left).or_else(|| self::body(right)),
        SetExpr::Values(_) => Some("VALUES"),
        SetExpr::Insert(_) => Some("INSERT"),
        SetExpr::Update(_) => Some("UPDATE"),
        SetExpr::Delete(_) => Some("DELETE"),
        SetExpr::Merge(_) => Some("MERGE"),
        SetExpr::Table(_) => Some("TABLE"),
    }
}

fn banned(name: &str) -> SqlProblem {
    let rows = ["generate_series", "gen_series", "range", "list_range"].contains(&name);
    if rows {
        return refused(format!("`{name}` is not allowed")).detail("it makes rows out of nothing");
    }
    SqlProblem::new("R010", format!("`{name}` is not allowed"))
        .detail("the same events must give the same findings, whenever they are read")
        .hint("event time is `time`; how long to wait for late events is a setting")
}
