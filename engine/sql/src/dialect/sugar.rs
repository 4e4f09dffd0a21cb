//! Short forms that stand for longer ones, rewritten before anything looks at the text:
//!
//! | written | means |
//! |---|---|
//! | `array_all_match(list, v -> c)` | `NOT array_any_match(list, v -> NOT (c))` |
//! | `json_any(doc, 'a', '*', v -> c)` | `array_any_match(json_list(doc, 'a', '*'), v -> c)` |
//! | `json_all(doc, 'a', '*', v -> c)` | the same of all |
//! | `user`, `v.user` | the column of that name, not the standard's function without parentheses |
//! | `window_start`, `window_end` beside a window in GROUP BY | the ends of that window |

use std::{convert::Infallible, ops::ControlFlow};

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Ident,
    ObjectName, ObjectNamePart, Query, Select, SelectItem, UnaryOperator, VisitMut, VisitorMut,
};

pub(super) struct Sugar;

impl VisitorMut for Sugar {
    type Break = Infallible;

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Infallible> {
        if let Some((start, end)) = ends(select) {
            name_ends(select, &start, &end);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Infallible> {
        if let Expr::Function(call) = expr
            && let Some(written) = column(call).or_else(|| rewritten(call))
        {
            *expr = written;
        }
        ControlFlow::Continue(())
    }
}

/// The column that the parser took for a call of `user`.
fn column(call: &Function) -> Option<Expr> {
    if !matches!(call.args, FunctionArguments::None) {
        return None;
    }
    let parts: Vec<Ident> = call.name.0.iter().filter_map(|p| p.as_ident().cloned()).collect();
    let last = parts.last().filter(|last| last.value.eq_ignore_ascii_case("user"))?;
    Some(match parts.as_slice() {
        [_] => Expr::Identifier(last.clone()),
        _ => Expr::CompoundIdentifier(parts),
    })
}

fn rewritten(call: &mut Function) -> Option<Expr> {
    let name = call.name.to_string().to_lowercase();
    let all = match name.as_str() {
        "array_all_match" | "json_all" => true,
        "json_any" => false,
        _ => return None,
    };
    let FunctionArguments::List(list) = &mut call.args else { return None };
    let is_lambda = |arg: &FunctionArg| {
        matches!(arg, FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Lambda(_))))
    };
    if list.args.len() < 2 || !list.args.last().is_some_and(is_lambda) {
        return None;
    }
    let mut lambda = list.args.pop()?;
    if all && let FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Lambda(inner))) = &mut lambda {
        let body = std::mem::replace(inner.body.as_mut(), super::placeholder());
        *inner.body = not(body);
    }
    let mut any = call.clone();
    any.name = named(&call.name, "array_any_match");
    if name.starts_with("json_") {
        let mut values = call.clone();
        values.name = named(&call.name, "json_list");
        let FunctionArguments::List(list) = &mut any.args else { return None };
        list.args = vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Function(values)))];
    }
    let FunctionArguments::List(list) = &mut any.args else { return None };
    list.args.push(lambda);
    let any = Expr::Function(any);
    Some(if all { not(any) } else { any })
}

fn not(expr: Expr) -> Expr {
    Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(Expr::Nested(Box::new(expr))) }
}

/// Another function at the place of this one.
fn named(written: &ObjectName, name: &str) -> ObjectName {
    let span = written.0.first().and_then(|p| p.as_ident()).map(|i| i.span);
    let mut ident = Ident::new(name);
    if let Some(span) = span {
        ident.span = span;
    }
    ObjectName(vec![ObjectNamePart::Identifier(ident)])
}

/// The start and the end of the one window of a GROUP BY, as expressions.
fn ends(select: &Select) -> Option<(Expr, Expr)> {
    let GroupByExpr::Expressions(groups, _) = &select.group_by else { return None };
    let aliased = |name: &Ident| {
        select.projection.iter().find_map(|item| match item {
            SelectItem::ExprWithAlias { expr, alias } if alias.value == name.value => Some(expr),
            _ => None,
        })
    };
    let window = groups.iter().find_map(|group| {
        let group = match group {
            Expr::Identifier(name) => aliased(name).unwrap_or(group),
            other => other,
        };
        let Expr::Function(call) = group else { return None };
        let name = call.name.to_string().to_lowercase();
        let window = ["tumble", "hop", "session", "sliding", "date_bin"].contains(&name.as_str());
        window.then_some((name, call))
    });
    let (name, call) = window?;
    let text = Expr::Function(call.clone()).to_string();
    if name == "date_bin" {
        let FunctionArguments::List(list) = &call.args else { return None };
        let size = list.args.first()?.to_string();
        return Some((super::expression(&text)?, super::expression(&format!("{text} + {size}"))?));
    }
    let part = |end: &str| super::expression(&format!("get_field({text}, '{end}')"));
    Some((part("start")?, part("end")?))
}

fn name_ends(select: &mut Select, start: &Expr, end: &Expr) {
    let which = |expr: &Expr| match expr {
        Expr::Identifier(name) if name.value.eq_ignore_ascii_case("window_start") => Some(start),
        Expr::Identifier(name) if name.value.eq_ignore_ascii_case("window_end") => Some(end),
        _ => None,
    };
    for item in &mut select.projection {
        if let SelectItem::UnnamedExpr(expr) = item
            && let (Some(with), Expr::Identifier(name)) = (which(expr), &*expr)
        {
            let alias = Ident { value: name.value.to_lowercase(), ..name.clone() };
            *item = SelectItem::ExprWithAlias { expr: with.clone(), alias };
        }
    }
    let mut ends = Ends { start, end, queries: 0 };
    let ControlFlow::Continue(()) = select.projection.visit(&mut ends);
    let ControlFlow::Continue(()) = select.having.visit(&mut ends);
}

struct Ends<'a> {
    start: &'a Expr,
    end: &'a Expr,
    queries: usize,
}

impl VisitorMut for Ends<'_> {
    type Break = Infallible;

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<Infallible> {
        self.queries += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<Infallible> {
        self.queries -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Infallible> {
        if self.queries == 0
            && let Expr::Identifier(name) = &*expr
        {
            if name.value.eq_ignore_ascii_case("window_start") {
                *expr = self.start.clone();
            } else if name.value.eq_ignore_ascii_case("window_end") {
                *expr = self.end.clone();
            }
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    fn rewritten(sql: &str) -> String {
        crate::dialect::parse_one(sql).unwrap().to_string()
    }

    #[test]
    fn short_forms_are_written_out() {
        for (written, means) in [
            (
                "SELECT 1 FROM t WHERE array_all_match(users, v -> v = 'a')",
                "SELECT 1 FROM t WHERE NOT (array_any_match(users, v -> NOT (v = 'a')))",
            ),
            (
                "SELECT 1 FROM t WHERE json_any(request, 'items', '*', v -> v = 'a')",
                "SELECT 1 FROM t WHERE array_any_match(json_list(request, 'items', '*'), v -> v = 'a')",
            ),
            (
                "SELECT k, window_start, concat(window_end, 'x') AS e FROM t \
                 GROUP BY k, tumble(time, INTERVAL '5 minutes')",
                "SELECT k, get_field(tumble(time, INTERVAL '5 minutes'), 'start') AS window_start, \
                 concat(get_field(tumble(time, INTERVAL '5 minutes'), 'end'), 'x') AS e FROM t \
                 GROUP BY k, tumble(time, INTERVAL '5 minutes')",
            ),
            ("SELECT window_start FROM t", "SELECT window_start FROM t"),
            ("SELECT user, v.user FROM v", "SELECT user, v.user FROM v"),
        ] {
            assert_eq!(rewritten(written), means);
        }
    }
}
