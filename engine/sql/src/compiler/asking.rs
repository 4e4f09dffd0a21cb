//! Rules that ask a baseline with `surprise(..)`: what is asked about each row, which conditions are decided
//! before the answer and which after it. Not who answers: that is the operator of the baseline.

use std::{collections::BTreeSet, sync::Arc};

use arrow::datatypes::{DataType, Field, Schema as ArrowSchema, SchemaRef};
use datafusion::{
    common::{
        DFSchema,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    logical_expr::{Expr, ExprSchemable},
};
use sluice_event::Eval;
use sluice_stream::{EmitMode, Question, Stage, SurprisePlan};

use super::lowering::{Identity, Lowered, Lowering, Problems, problems};
use crate::{
    classify::{Arm, Groups, Rows, bare},
    error::SqlProblem,
    known::{BaselineTable, surprise_call},
    text::sql_text,
    walk,
};

const EXAMPLE: &str = "SELECT user_entity, src_country, time FROM authentication \
                       WHERE surprise('user_signin', 'country', user_entity, src_country) > 3";

/// Whether an expression asks.
fn asks(expr: &Expr) -> bool {
    walk::any(expr, |e| surprise_call(e).is_some())
}

/// Whether rows ask.
pub(super) fn rows_ask(rows: &Rows) -> bool {
    let of_arm = |arm: &Arm| arm.filters.iter().chain(&arm.columns).chain(&arm.keys).any(asks);
    rows.arms.iter().any(of_arm)
}

/// Refuses windows that ask.
pub(super) fn refuse_groups(groups: &Groups) -> Result<(), Problems> {
    let of_groups = groups.having.iter().chain(&groups.columns).any(asks);
    if of_groups || rows_ask(&groups.rows) {
        return Err(vec![misplaced("a window")]);
    }
    Ok(())
}

fn misplaced(beside: &str) -> SqlProblem {
    SqlProblem::new("R016", format!("`surprise` beside {beside}"))
        .detail("a row that asks waits for its day at the baseline and is judged there, by itself")
        .hint(format!(
            "{EXAMPLE}; a rule over `findings` counts what that one found, or what the baseline did"
        ))
}

/// What is asked about a row.
#[derive(Default)]
struct Questions {
    all: Vec<Asked>,
}

#[derive(PartialEq)]
struct Asked {
    baseline: String,
    feature: String,
    entity: Expr,
    value: Expr,
}

impl Questions {
    /// The expression with each question replaced by the column of its answer.
    fn answered(&mut self, expr: Expr) -> Result<Expr, Problems> {
        let mut wrong = None;
        let replaced = expr.transform_down(|e| {
            let Some((baseline, feature, entity, value)) = surprise_call(&e) else {
                return Ok(Transformed::no(e));
            };
            if asks(entity) || asks(value) {
                wrong = Some(
                    SqlProblem::new("R016", "`surprise` within `surprise`")
                        .detail("a value is asked about as the event has it")
                        .hint(EXAMPLE),
                );
            }
            let (entity, value) = (entity.clone(), value.clone());
            let asked = Asked { baseline, feature, entity, value };
            let at = self.all.iter().position(|known| *known == asked).unwrap_or_else(|| {
                self.all.push(asked);
                self.all.len() - 1
            });
            Ok(Transformed::new(bare(&answer(at)), true, TreeNodeRecursion::Jump))
        });
        match wrong {
            Some(wrong) => Err(vec![wrong]),
            None => replaced.map(|replaced| replaced.data).map_err(problems),
        }
    }

    /// The one baseline that is asked.
    fn baseline<'b>(&self, known: &'b [BaselineTable]) -> Result<&'b BaselineTable, SqlProblem> {
        let name = |asked: &Asked| {
            let name = asked.baseline.as_str();
            name.strip_prefix("baselines.").unwrap_or(name).to_owned()
        };
        let names: BTreeSet<String> = self.all.iter().map(name).collect();
        let mut names = names.into_iter();
        let first = names.next().unwrap_or_default();
        if let Some(second) = names.next() {
            return Err(SqlProblem::new(
                "R016",
                format!("the rule asks two baselines, `{first}` and `{second}`"),
            )
            .detail("a row that asks is judged where the baseline is, and two are at two places")
            .hint("a rule for each, and one over `findings` where both found something"));
        }
        let Some(found) = known.iter().find(|table| table.name == first) else {
            return Err(SqlProblem::new("R011", format!("no baseline `{first}`")).hint(EXAMPLE));
        };
        if !found.by_day {
            return Err(SqlProblem::new(
                "R016",
                format!("a rule cannot ask `{first}`, whose unit is no day"),
            )
            .detail(
                "it learns while a day goes on: what it answers would depend on when it is asked",
            )
            .hint(format!(
                "SELECT * FROM findings WHERE rule_id = '{}': what is unusual is a finding of it",
                found.id
            )));
        }
        Ok(found)
    }
}

fn answer(at: usize) -> String {
    format!("__surprise_{at}")
}

impl Lowering<'_> {
    /// Rows that ask.
    pub(super) fn asking(&mut self, rows: Rows, output: &SchemaRef) -> Result<Lowered, Problems> {
        let refused = |problem: SqlProblem| vec![problem];
        if rows.first_seen.is_some() {
            return Err(refused(misplaced("`first_seen`")));
        }
        let arms: Result<[Arm; 1], _> = rows.arms.try_into();
        let Ok([mut arm]) = arms else {
            return Err(refused(
                SqlProblem::new("R016", "a rule with `surprise` reads one table")
                    .detail("which value is asked about is a column of its own in each")
                    .hint("a rule for each table"),
            ));
        };
        if arm.table.is_findings() {
            return Err(refused(
                SqlProblem::new("R016", "`surprise` over `findings`")
                    .detail("what was found on a day is read when the day may be over, and learned")
                    .hint("a finding of a baseline has `surprise` among its columns"),
            ));
        }
        let schema = self.schema(&arm)?;
        let mut questions = Questions::default();
        let (after, before): (Vec<Expr>, Vec<Expr>) =
            std::mem::take(&mut arm.filters).into_iter().partition(asks);
        arm.filters = before;
        // What is decided after the answer, with its text.
        let mut conditions: Vec<(Expr, String)> = Vec::new();
        for condition in after {
            let sql = sql_text(&condition);
            conditions.push((questions.answered(condition)?, sql));
        }
        let mut columns: Vec<(String, Expr, DataType)> = Vec::new();
        let mut select: Vec<(Expr, String)> = Vec::new();
        for (i, column) in std::mem::take(&mut arm.columns).into_iter().enumerate() {
            let sql = sql_text(&column);
            if asks(&column) {
                select.push((questions.answered(column)?, sql));
            } else {
                let name = format!("__column_{i}");
                select.push((bare(&name), sql));
                columns.push((name, column, output.field(i).data_type().clone()));
            }
        }
        let known = self.compiler.baselines.as_ref().map(|asked| asked.0.baselines());
        let baseline = questions.baseline(known.unwrap_or_default()).map_err(refused)?;
        let (id, mut plan): (Arc<str>, Vec<Question>) = (baseline.id.as_str().into(), Vec::new());
        let kind = |expr: &Expr| expr.get_type(&schema).map_err(problems);
        for (at, asked) in questions.all.into_iter().enumerate() {
            let entity = columns.len();
            columns.push((format!("__entity_{at}"), asked.entity, DataType::Utf8));
            let of_value = kind(&asked.value)?;
            columns.push((format!("__value_{at}"), asked.value, of_value));
            let feature = asked.feature.as_str().into();
            plan.push(Question { feature, entity, value: entity + 1 });
        }
        let own: BTreeSet<String> = columns.iter().map(|(name, ..)| name.clone()).collect();
        let mut read = BTreeSet::new();
        for (expr, _) in conditions.iter().chain(&select) {
            read.extend(expr.column_refs().into_iter().map(|column| column.name.clone()));
        }
        read.retain(|name| !own.contains(name) && (0..plan.len()).all(|at| answer(at) != *name));
        for name in read {
            let (column, of) = (bare(&name), kind(&bare(&name))?);
            columns.push((name, column, of));
        }
        for (_, column, of) in &columns {
            if !crate::types::is_scalar(of) {
                let (text, of) = (sql_text(column), crate::types::kind_name(of));
                return Err(refused(
                    SqlProblem::new(
                        "R016",
                        format!("`{text}` is {of}, which cannot wait for an answer"),
                    )
                    .detail("a row with `surprise` is kept until its day has begun for certain")
                    .hint("a single value of it: `array_to_string(.., ',')`, or one element"),
                ));
            }
        }
        let mut identity = Identity::new("surprise");
        identity.part(&id);
        plan.iter().for_each(|question| identity.part(&question.feature));
        arm.columns = columns.iter().map(|(_, column, _)| column.clone()).collect();
        let arms = [arm];
        self.alive(&arms)?;
        let [arm] = arms;
        identity.arm(&arm, self.conditions(&arm)?, &arm.columns);
        let fields = columns.into_iter().map(|(name, _, of)| Field::new(name, of, true));
        let fields: Vec<Field> = fields.collect();
        let answers = (0..plan.len()).map(|at| Field::new(answer(at), DataType::Float64, true));
        let asked = ArrowSchema::new(fields.iter().cloned().chain(answers).collect::<Vec<_>>());
        let (intermediate, asked) = (Arc::new(ArrowSchema::new(fields)), Arc::new(asked));
        let branches = self.branches(vec![arm], &intermediate, &[])?;
        let answered = DFSchema::try_from(Arc::clone(&asked)).map_err(problems)?;
        let evals = |exprs: Vec<(Expr, String)>, to: &dyn Fn(usize) -> DataType| {
            let exprs = exprs.into_iter().enumerate();
            let eval = |(i, (expr, sql)): (usize, (Expr, String))| {
                self.eval_as(&expr, sql, &to(i), &answered)
            };
            exprs.map(eval).collect::<Result<Vec<Arc<dyn Eval>>, Problems>>()
        };
        let stage = Stage::Surprise(SurprisePlan {
            baseline: id,
            questions: plan,
            conditions: evals(conditions, &|_| DataType::Boolean)?,
            select: evals(select, &|i| output.field(i).data_type().clone())?,
            schema: asked,
        });
        Ok((branches, intermediate, stage, EmitMode::OnMatch, identity.hash()))
    }
}
