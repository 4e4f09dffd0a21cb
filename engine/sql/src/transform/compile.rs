//! A mapping's SQL into expressions: one SELECT over the wire record, columns matched to the table by
//! name. Problems are in terms of the file.

use std::sync::Arc;

use arrow::{
    compute::can_cast_types,
    datatypes::{DataType, Field, Schema as ArrowSchema, SchemaRef},
};
use datafusion::{
    common::{
        DFSchema, DataFusionError, Result,
        tree_node::{TreeNode, TreeNodeRecursion},
    },
    logical_expr::{Expr, LogicalPlan, utils::find_aggregate_exprs},
    physical_expr::PhysicalExpr,
    sql::{
        parser::Statement,
        sqlparser::ast::{SelectItem, SetExpr, Spanned, Statement as SqlStatement},
    },
};
use sluice_event::{ColumnType, TableSchema, Transform};

use super::{Condition, NullColumns, Output, Shared, SqlTransform, Stage, like, reads};
use crate::{
    blame,
    compiler::place_in,
    dialect,
    error::SqlProblem,
    functions::keyed_call,
    sandbox,
    session::{Session, Tables, planned},
};

/// The prefix of output columns that go into the `unmapped` object.
const UNMAPPED: &str = "unmapped.";

/// Compiles a mapping into a [`Transform`] to `table`.
///
/// `source_table` is what FROM names: the source with `.` as `_`. `wire` are the columns of the
/// record. `sql_line_offset` is added to the lines of problems: 0 if the text before the SELECT was
/// blanked rather than cut.
///
/// # Errors
/// Every problem found: unknown wire or table columns (with the nearest name), types that cannot
/// become the column's, statements other than one SELECT over the record.
pub fn compile_transform(
    table: &TableSchema,
    source_table: &str,
    wire: SchemaRef,
    when: Option<&str>,
    sql: &str,
    sql_line_offset: u64,
) -> Result<Arc<dyn Transform>, Vec<SqlProblem>> {
    let compiled = planned(|| Ok(compile(table, source_table, &wire, when, sql)));
    let transform = compiled.unwrap_or_else(|e| Err(SqlProblem::all(&e)));
    transform.map(|t| Arc::new(t) as Arc<dyn Transform>).map_err(|mut problems| {
        for problem in &mut problems {
            if let Some((line, _, _)) = &mut problem.span {
                *line += sql_line_offset;
            }
        }
        problems
    })
}

pub(super) fn compile(
    table: &TableSchema,
    source_table: &str,
    wire: &SchemaRef,
    when: Option<&str>,
    sql: &str,
) -> Result<SqlTransform, Vec<SqlProblem>> {
    let all = |e: DataFusionError| SqlProblem::all(&e);
    let session = Session::mappings();
    let record = DFSchema::try_from_qualified_schema(source_table, wire).map_err(all)?;
    let when = match when {
        Some(text) => {
            let condition = condition(&session, text, &record);
            Some(condition.and_then(|c| Condition::new(c, record.as_arrow())).map_err(all)?)
        }
        None => None,
    };
    let tables = Tables::single(source_table, wire).map_err(all)?;
    let raw = session.plan(sql, &tables).map_err(|e| located(&e, sql))?;
    let plan = session.analyze(raw.clone()).map_err(|e| {
        let problems = blame::analysis(&e, &raw);
        problems.into_iter().map(|p| placed(p, sql)).collect::<Vec<_>>()
    })?;
    let LogicalPlan::Projection(select) = plan else {
        return Err(vec![placed(shape(&plan), sql)]);
    };
    let mut stages = Vec::new();
    stages_below(&session, &select.input, &mut stages)
        .map_err(|problems| problems.into_iter().map(|p| placed(p, sql)).collect::<Vec<_>>())?;

    let mut builder = Columns::new(table);
    let input = select.input.schema();
    let mut places = places(sql).into_iter();
    for (expr, column) in select.expr.iter().zip(select.schema.columns()) {
        let place = places.next().flatten();
        if let Err(problems) = builder.add(&session, expr, &column.name, input) {
            let problems = problems.into_iter().map(|p| placed(p.at(place), sql));
            builder.problems.extend(problems);
        }
    }
    let (sources, fields, columns, unmapped) = builder.finish()?;
    let shared = Shared::new(&sources, &fields, input.as_arrow()).map_err(all)?;
    let output = table.arrow.fields().iter().map(|f| match f.name().as_str() {
        "time" => Arc::new(f.as_ref().clone().with_nullable(true)),
        _ => Arc::clone(f),
    });
    Ok(SqlTransform {
        reads: reads(&stages, &sources, wire.fields().len()).map_err(all)?,
        table: table.name.clone(),
        output: Arc::new(ArrowSchema::new(output.collect::<Vec<_>>())),
        when,
        stages,
        sources,
        shared,
        evaluated: Arc::new(ArrowSchema::new(fields)),
        columns,
        unmapped,
        nulls: NullColumns::default(),
    })
}

/// The problems of an error, each with a place.
fn located(error: &DataFusionError, sql: &str) -> Vec<SqlProblem> {
    SqlProblem::all(error).into_iter().map(|problem| placed(problem, sql)).collect()
}

/// At what the message names, or where the statement starts, if it has no place of its own.
pub(crate) fn placed(problem: SqlProblem, sql: &str) -> SqlProblem {
    let place = problem.span.or_else(|| place_in(sql, &problem.message));
    problem.at(place)
}

/// The condition of `when`.
fn condition(session: &Session, text: &str, record: &DFSchema) -> Result<Arc<dyn PhysicalExpr>> {
    sandbox::check_text(text)?;
    let parsed = dialect::parse_expression(text)?;
    sandbox::check_expression(&parsed.expr)?;
    let expr = session.state().create_logical_expr_from_sql_expr(parsed, record)?;
    plain_expression(&expr)?;
    let physical = physical(session, expr, record)?;
    match physical.data_type(record.as_arrow())? {
        DataType::Boolean | DataType::Null => Ok(physical),
        other => Err(SqlProblem::new("R016", format!("`when` is {other}, not a condition")).into()),
    }
}

/// Subqueries and WHERE between the SELECT list and the record, innermost first.
pub(crate) fn stages_below(
    session: &Session,
    plan: &LogicalPlan,
    stages: &mut Vec<Stage>,
) -> Result<(), Vec<SqlProblem>> {
    let all = |e: DataFusionError| SqlProblem::all(&e);
    match plan {
        LogicalPlan::TableScan(_) => Ok(()),
        LogicalPlan::SubqueryAlias(alias) => stages_below(session, &alias.input, stages),
        LogicalPlan::Filter(filter) => {
            stages_below(session, &filter.input, stages)?;
            plain_expression(&filter.predicate).map_err(all)?;
            let condition =
                physical(session, filter.predicate.clone(), filter.input.schema()).map_err(all)?;
            stages.push(Stage::Filter(condition));
            Ok(())
        }
        LogicalPlan::Projection(projection) => {
            stages_below(session, &projection.input, stages)?;
            let mut exprs = Vec::new();
            for expr in &projection.expr {
                plain_expression(expr).map_err(all)?;
                let input = projection.input.schema();
                exprs.push(physical(session, expr.clone(), input).map_err(all)?);
            }
            stages.push(Stage::Project(exprs, Arc::clone(projection.schema.inner())));
            Ok(())
        }
        other => Err(vec![shape(other)]),
    }
}

pub(crate) fn shape(plan: &LogicalPlan) -> SqlProblem {
    let what = match plan {
        LogicalPlan::Aggregate(_) => "GROUP BY and aggregates",
        LogicalPlan::Window(_) => "window functions",
        LogicalPlan::Join(_) => "joins",
        LogicalPlan::Sort(_) | LogicalPlan::Limit(_) => "ORDER BY and LIMIT",
        LogicalPlan::Union(_) => "UNION",
        LogicalPlan::Distinct(_) => "DISTINCT",
        LogicalPlan::Unnest(_) => "unnest",
        _ => "this form",
    };
    SqlProblem::new("R016", format!("a mapping cannot use {what}"))
        .detail("each record becomes one row, by itself")
        .hint("SELECT expressions FROM the source, with WHERE where needed")
}

fn physical(session: &Session, expr: Expr, schema: &DFSchema) -> Result<Arc<dyn PhysicalExpr>> {
    like::compiled(session.physical(expr, schema)?)
}

/// Refuses what has no meaning for one record.
pub(crate) fn plain_expression(expr: &Expr) -> Result<()> {
    expr.apply(|e| match keyed_call(e) {
        Some(_) => Err(SqlProblem::new("R016", format!("a mapping cannot use `{e}`")).into()),
        None => Ok(TreeNodeRecursion::Continue),
    })?;
    if !find_aggregate_exprs([expr]).is_empty() {
        return Err(SqlProblem::new("R016", "a mapping cannot use aggregates").into());
    }
    Ok(())
}

/// The output columns as they are found.
struct Columns<'a> {
    table: &'a TableSchema,
    sources: Vec<Arc<dyn PhysicalExpr>>,
    fields: Vec<Field>,
    outputs: Vec<Output>,
    unmapped: Vec<(String, usize)>,
    problems: Vec<SqlProblem>,
}

type Compiled =
    (Vec<Arc<dyn PhysicalExpr>>, Vec<Field>, Vec<Output>, Option<(usize, Vec<(String, usize)>)>);

impl<'a> Columns<'a> {
    fn new(table: &'a TableSchema) -> Self {
        Columns {
            table,
            sources: Vec::new(),
            fields: Vec::new(),
            outputs: vec![Output::Null; table.columns.len()],
            unmapped: Vec::new(),
            problems: Vec::new(),
        }
    }

    fn add(
        &mut self,
        session: &Session,
        expr: &Expr,
        name: &str,
        input: &DFSchema,
    ) -> Result<(), Vec<SqlProblem>> {
        let all = |e: DataFusionError| SqlProblem::all(&e);
        let one = |p: SqlProblem| vec![p];
        if let Some(key) = name.strip_prefix(UNMAPPED) {
            let source = self.source(session, expr, input).map_err(all)?;
            let key = serde_json::Value::String(key.to_owned()).to_string();
            self.unmapped.push((key, source));
            return Ok(());
        }
        let Some(index) = self.table.index(name) else {
            let names = self.table.columns.iter().map(|c| c.name);
            let problem = match (aliased(expr), sluice_rule::suggest(name, names)) {
                (false, _) => {
                    SqlProblem::new("R011", format!("`{expr}` has no name in {}", self.table.name))
                        .hint("give it one: expression AS column")
                }
                (true, Some(near)) => {
                    unknown(name, self.table).hint(format!("did you mean {near}?"))
                }
                (true, None) => unknown(name, self.table).hint(format!(
                    "`sluice schema {}` lists them; \"{UNMAPPED}{name}\" keeps it beside them",
                    self.table.name
                )),
            };
            return Err(one(problem));
        };
        if !matches!(self.outputs[index], Output::Null) {
            return Err(one(SqlProblem::new("R016", format!("column {name} is filled twice"))));
        }
        let source = self.source(session, expr, input).map_err(all)?;
        let (from, column) = (self.fields[source].data_type(), &self.table.columns[index]);
        let to = column.kind.arrow();
        self.outputs[index] = if *from == to {
            Output::Source(source)
        } else if from.is_nested() && matches!(column.kind, ColumnType::Json | ColumnType::Text) {
            Output::Json(source)
        } else if can_cast_types(from, &to) && from.is_nested() == to.is_nested() {
            Output::Source(source)
        } else {
            return Err(one(SqlProblem::new(
                "R013",
                format!("column {name} is {}, this is {from}", column.kind.name()),
            )
            .hint("take the part that is meant: x['key'], x[1]")));
        };
        Ok(())
    }

    /// The number of an expression among the distinct ones.
    fn source(&mut self, session: &Session, expr: &Expr, input: &DFSchema) -> Result<usize> {
        plain_expression(expr)?;
        let physical = physical(session, expr.clone().unalias(), input)?;
        if let Some(known) = self.sources.iter().position(|s| s == &physical) {
            return Ok(known);
        }
        let data_type = physical.data_type(input.as_arrow())?;
        self.fields.push(Field::new(format!("c{}", self.sources.len()), data_type, true));
        self.sources.push(physical);
        Ok(self.sources.len() - 1)
    }

    fn finish(mut self) -> Result<Compiled, Vec<SqlProblem>> {
        self.keywords();
        let unmapped = match self.table.index("unmapped") {
            _ if self.unmapped.is_empty() => None,
            Some(index) if matches!(self.outputs[index], Output::Null) => {
                Some((index, self.unmapped))
            }
            _ => {
                self.problems.push(SqlProblem::new(
                    "R016",
                    "`unmapped` is filled both as a column and by \"unmapped.key\"",
                ));
                None
            }
        };
        if self.problems.is_empty() {
            Ok((self.sources, self.fields, self.outputs, unmapped))
        } else {
            Err(self.problems)
        }
    }
}

impl Columns<'_> {
    /// Sources that fill keyword columns only give keywords: the few values of a batch are sorted once.
    fn keywords(&mut self) {
        let keyword = ColumnType::Keyword.arrow();
        for (number, field) in self.fields.iter_mut().enumerate() {
            let mut uses =
                self.outputs.iter().zip(&self.table.columns).filter_map(|(output, column)| {
                    match output {
                        Output::Source(source) if *source == number => {
                            Some(column.kind == ColumnType::Keyword)
                        }
                        Output::Json(source) if *source == number => Some(false),
                        Output::Source(_) | Output::Json(_) | Output::Null => None,
                    }
                });
            let in_unmapped = self.unmapped.iter().any(|(_, source)| *source == number);
            if *field.data_type() == DataType::Utf8 && !in_unmapped && uses.all(|keyword| keyword) {
                *field = Field::new(field.name(), keyword.clone(), true);
            }
        }
    }
}

fn unknown(name: &str, table: &TableSchema) -> SqlProblem {
    SqlProblem::new("R011", format!("table {} has no column {name}", table.name))
}

fn aliased(expr: &Expr) -> bool {
    matches!(expr, Expr::Alias(_) | Expr::Column(_))
}

/// Where the columns of the SELECT list are named; empty if a wildcard hides how many there are.
fn places(sql: &str) -> Vec<Option<(u64, u64, u64)>> {
    let Ok(Statement::Statement(statement)) = dialect::parse_one(sql) else { return Vec::new() };
    let SqlStatement::Query(query) = *statement else { return Vec::new() };
    let SetExpr::Select(select) = *query.body else { return Vec::new() };
    let mut places = Vec::new();
    for item in &select.projection {
        places.push(match item {
            SelectItem::ExprWithAlias { alias, .. } => sandbox::place(alias.span),
            SelectItem::UnnamedExpr(expr) => sandbox::place(expr.span()),
            _ => return Vec::new(),
        });
    }
    places
}
