//! Unknown tables, columns and functions, with the nearest name there is.

use std::{convert::Infallible, ops::ControlFlow, sync::Arc};

use arrow::datatypes::SchemaRef;
use datafusion::{
    common::Column,
    execution::FunctionRegistry,
    sql::sqlparser::ast::{
        Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, Select,
        SelectItem, Spanned, TableFactor, Visit, Visitor,
    },
};
use sluice_event::{Schema, TableName, TableSchema};
use sluice_rule::suggest;

use super::{Catalogue, Checker, dialects};
use crate::{
    error::SqlProblem,
    functions::BANNED,
    session::{LOOKUP, common_schema},
};

/// Functions of other dialects and what they are here.
const SYNONYMS: &[(&str, &str)] = &[
    ("endswith", "ends_with"),
    ("ifnull", "coalesce"),
    ("lcase", "lower"),
    ("len", "length"),
    ("lowercase", "lower"),
    ("startswith", "starts_with"),
    ("tolower", "lower"),
    ("toupper", "upper"),
    ("ucase", "upper"),
    ("uppercase", "upper"),
];

/// The columns a SELECT over one table may name.
pub(super) struct Columns {
    table: String,
    names: Vec<String>,
    pub(super) qualifier: String,
}

impl Catalogue<'_> {
    /// The columns of a table, `events` among them.
    pub(super) fn schema(&self, table: &str) -> Option<SchemaRef> {
        if table == "events" {
            return common_schema();
        }
        self.raw.get(&TableName::new(table)).cloned().or_else(|| typed(table))
    }

    fn tables(&self) -> Vec<String> {
        let typed = Schema::all().filter(|t| !t.rules.fields().is_empty());
        let typed = typed.map(|t| t.name.to_string());
        typed.chain(["events".to_owned()]).chain(self.raw.keys().map(ToString::to_string)).collect()
    }
}

/// The columns that rules read of a typed table; `None` if they read none.
pub(crate) fn typed(table: &str) -> Option<SchemaRef> {
    let table = Schema::any(table).filter(|t| !t.rules.fields().is_empty())?;
    Some(Arc::clone(&table.rules))
}

/// `column` is not one of `table`.
pub(crate) fn unknown_column(column: &str, table: &str, names: &[String]) -> SqlProblem {
    if let Some(same) = names.iter().find(|n| n.eq_ignore_ascii_case(column)) {
        return SqlProblem::new("R018", format!("`{column}` differs from a column only by case"))
            .detail(format!("it is `{same}`"))
            .hint(crate::text::identifier(same));
    }
    let known = Schema::any(table);
    let after = known.and_then(|t| t.columns.iter().find(|c| c.name == column && c.hunts_only));
    if after.is_some() && !names.iter().any(|n| n == column) {
        return SqlProblem::new("R011", format!("rules cannot read `{column}` of `{table}`"))
            .detail("people, time or the order of arrival change it after the fact")
            .hint(format!("`sluice schema {table}` says which columns are for hunts only"));
    }
    let listed = table == "events" || known.is_some();
    let problem = SqlProblem::new("R011", format!("no column `{column}` in `{table}`"));
    let problem = if listed {
        problem.hint(format!("`sluice schema {table}` lists all"))
    } else {
        problem.hint(format!("the columns are {}", names.join(", ")))
    };
    match suggest(column, names.iter().map(String::as_str)) {
        Some(near) => problem.detail(format!("did you mean `{near}`?")),
        None => {
            let has = |t: &TableSchema| t.name.as_str() != table && t.index(column).is_some();
            let others: Vec<String> = Schema::builtin()
                .tables()
                .filter(|t| listed && has(t))
                .map(|t| format!("`{}`", t.name))
                .collect();
            if others.is_empty() {
                return problem;
            }
            problem.detail(format!("it is a column of {}", others.join(", ")))
        }
    }
}

/// The plain arguments of a call.
pub(super) fn arguments(call: &Function) -> Vec<&Expr> {
    let FunctionArguments::List(list) = &call.args else { return Vec::new() };
    list.args
        .iter()
        .filter_map(|arg| match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
            _ => None,
        })
        .collect()
}

/// The name of the lookup that is read.
pub(super) fn lookup(factor: &TableFactor) -> Option<String> {
    let TableFactor::Table { name, args: None, .. } = factor else { return None };
    let parts: Vec<String> = name.0.iter().filter_map(|p| p.as_ident()).map(folded).collect();
    match parts.as_slice() {
        [schema, name] if schema == LOOKUP => Some(name.clone()),
        _ => None,
    }
}

/// What baselines know in all is for hunts.
fn of_hunts(name: &str) -> SqlProblem {
    SqlProblem::new("R016", format!("`{name}` is for hunts, a rule cannot ask it"))
        .detail("it changes with every day that is learned: the same events would give other findings when they are read again")
        .hint("WHERE surprise('user_signin', 'country', user_entity, src_country) > 3 asks about the day of the row")
}

fn folded(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

impl Checker<'_> {
    pub(super) fn table(&mut self, name: &ObjectName) {
        let parts: Vec<String> = name.0.iter().filter_map(|p| p.as_ident()).map(folded).collect();
        let table = parts.join(".");
        let is_lookup = table.starts_with("lookup.");
        if is_lookup || self.ctes.contains(&table) || self.catalogue.schema(&table).is_some() {
            return;
        }
        let quoted =
            name.0.iter().filter_map(|p| p.as_ident()).any(|p| p.quote_style == Some('\''));
        let file = quoted || table.contains('/') || table.contains('\\') || table.contains(':');
        let problem = if file {
            SqlProblem::new("R019", format!("`{table}` is a file or URL, a rule reads tables"))
                .hint("sluice eval -r RULES FILE reads a file through its mapping")
        } else if table.starts_with("baseline.") {
            of_hunts(&table)
        } else if Schema::own().table(&table).is_some() {
            SqlProblem::new("R011", format!("rules cannot read `{table}`"))
                .detail("rules read tables of events, `findings`, `events` and `raw.<source>`")
                .hint("hunts read `incidents` and `entity_risk`")
        } else {
            let tables = self.catalogue.tables();
            let known = tables.iter().map(String::as_str);
            let names = known.chain(self.ctes.iter().map(String::as_str));
            let problem = SqlProblem::new("R011", format!("no table `{table}`"))
                .hint("`sluice schema` lists all");
            let begins = || tables.iter().map(String::as_str).find(|name| name.starts_with(&table));
            match suggest(&table, names).or_else(begins) {
                Some(near) => problem.detail(format!("did you mean `{near}`?")),
                None => problem,
            }
        };
        self.refuse(name.span(), problem);
    }

    pub(super) fn function(&mut self, call: &Function) {
        let name = call.name.to_string().to_lowercase();
        let state = self.catalogue.session.state();
        if BANNED.contains(&name.as_str()) {
            // The sandbox says which are refused for what; those of the clock are refused here with
            // everything else.
            if ["generate_series", "gen_series", "range", "list_range"].contains(&name.as_str()) {
                return;
            }
            let problem = SqlProblem::new("R010", format!("`{name}` is not allowed"))
                .detail("the same events must give the same findings, whenever they are read")
                .hint("event time is `time`; lateness is a setting");
            return self.refuse(call.name.span(), problem);
        }
        if name == "surprise" && state.udf(&name).is_err() {
            let problem = SqlProblem::new("R016", "`surprise` is for rules and hunts")
                .detail("a baseline does not ask another: what it counts would follow from what that learned")
                .hint("declare the column as a feature");
            return self.refuse(call.name.span(), problem);
        }
        let known = state.udf(&name).is_ok()
            || state.udaf(&name).is_ok()
            || state.udwf(&name).is_ok()
            || state.higher_order_functions().contains_key(&name)
            || ["first_value", "last_value", "extract", "position"].contains(&name.as_str());
        if known {
            return;
        }
        let mut names: Vec<String> = state.udfs().into_iter().chain(state.udafs()).collect();
        names.sort_unstable();
        let problem = SqlProblem::new("R012", format!("no function `{name}`"));
        let args = arguments(call);
        if let Some(here) = dialects::call(&name, &args) {
            return self.refuse(call.name.span(), problem.hint(here));
        }
        let known = SYNONYMS.iter().find(|(other, _)| *other == name).map(|(_, ours)| *ours);
        let problem = match known.or_else(|| suggest(&name, names.iter().map(String::as_str))) {
            Some(near) => {
                let given: Vec<_> = args.iter().map(ToString::to_string).collect();
                problem
                    .detail(format!("did you mean `{near}`?"))
                    .hint(format!("{near}({})", given.join(", ")))
            }
            None => problem.hint(
                "icontains(user_name, 'adm'), cidr_match(src_ip, '10.0.0.0/8'), regexp_like(user_name, '^adm')",
            ),
        };
        self.refuse(call.name.span(), problem);
    }

    /// The columns in scope if FROM is one table of the catalogue, and the names SELECT gives.
    pub(super) fn scope(&self, select: &Select) -> (Option<Columns>, Vec<String>) {
        let aliases = select
            .projection
            .iter()
            .filter_map(|item| match item {
                SelectItem::ExprWithAlias { alias, .. } => Some(folded(alias)),
                _ => None,
            })
            .collect();
        let [from] = select.from.as_slice() else { return (None, aliases) };
        let TableFactor::Table { name, alias, args: None, .. } = &from.relation else {
            return (None, aliases);
        };
        let parts: Vec<String> = name.0.iter().filter_map(|p| p.as_ident()).map(folded).collect();
        let table = parts.join(".");
        if !from.joins.is_empty() || self.ctes.contains(&table) {
            return (None, aliases);
        }
        let qualifier = match alias {
            Some(alias) => folded(&alias.name),
            None => parts.last().cloned().unwrap_or_default(),
        };
        let columns = self.catalogue.schema(&table).map(|schema| Columns {
            names: schema.fields().iter().map(|f| f.name().clone()).collect(),
            table,
            qualifier,
        });
        (columns, aliases)
    }

    /// Every column named in a SELECT over one table.
    pub(super) fn columns(&mut self, select: &Select, columns: &Columns, aliases: &[String]) {
        let mut idents = Identifiers::default();
        let ControlFlow::Continue(()) = select.projection.visit(&mut idents);
        let ControlFlow::Continue(()) = select.selection.visit(&mut idents);
        let ControlFlow::Continue(()) = select.group_by.visit(&mut idents);
        let ControlFlow::Continue(()) = select.having.visit(&mut idents);
        for parts in idents.found {
            let (qualifier, ident) = match parts.as_slice() {
                [ident] => (None, ident),
                [first, second, ..] if folded(first) == columns.qualifier => (Some(first), second),
                [first, ..] => (None, first),
                [] => continue,
            };
            let name = folded(ident);
            let alias = qualifier.is_none() && aliases.contains(&name);
            // Of a query around this one.
            if parts.len() > 1 && qualifier.is_none() && self.qualifiers.contains(&name) {
                continue;
            }
            if alias || columns.names.contains(&name) || idents.parameters.contains(&name) {
                continue;
            }
            let shown = if ident.quote_style.is_some() { &name } else { &ident.value };
            let mut problem = unknown_column(shown, &columns.table, &columns.names);
            if ident.quote_style == Some('"') && problem.code == "R011" {
                problem = problem
                    .detail("double quotes are around names; a text stands between single ones")
                    .hint(format!("'{shown}'"));
            } else if ["window_start", "window_end"].contains(&name.as_str()) {
                problem = problem
                    .detail("a window has ends, and this SELECT has no window")
                    .hint("GROUP BY user_entity, tumble(time, INTERVAL '1 hour')");
            }
            self.refuse(ident.span, problem);
        }
    }
}

/// Identifiers of expressions, and the parameters of lambdas among them; not those of subqueries.
#[derive(Default)]
struct Identifiers {
    found: Vec<Vec<Ident>>,
    parameters: Vec<String>,
    depth: usize,
}

impl Visitor for Identifiers {
    type Break = Infallible;

    fn pre_visit_query(
        &mut self,
        _: &datafusion::sql::sqlparser::ast::Query,
    ) -> ControlFlow<Infallible> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(
        &mut self,
        _: &datafusion::sql::sqlparser::ast::Query,
    ) -> ControlFlow<Infallible> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Infallible> {
        use datafusion::sql::sqlparser::ast::OneOrManyWithParens::{Many, One};
        if self.depth > 0 {
            return ControlFlow::Continue(());
        }
        match expr {
            Expr::Identifier(ident) => self.found.push(vec![ident.clone()]),
            Expr::CompoundIdentifier(parts) => self.found.push(parts.clone()),
            Expr::Lambda(lambda) => match &lambda.params {
                One(parameter) => self.parameters.push(folded(&parameter.name)),
                Many(all) => self.parameters.extend(all.iter().map(|p| folded(&p.name))),
            },
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// What DataFusion could not resolve, in our words.
pub(crate) fn unresolved(field: &Column, valid: &[Column]) -> SqlProblem {
    let names: Vec<String> = valid.iter().map(|c| c.name.clone()).collect();
    let table = valid
        .first()
        .and_then(|c| c.relation.as_ref())
        .map_or_else(|| "the query".to_owned(), |r| r.table().to_owned());
    unknown_column(&field.name, &table, &names)
}
