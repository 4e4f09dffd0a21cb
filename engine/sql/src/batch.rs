//! A rule's SQL over history, in plain DataFusion: the oracle of the streaming operators, backtests
//! and rule tests. Gives the rows and the same row keys as the operators.

use std::collections::BTreeMap;

use arrow::{
    array::{Array, ArrayRef, AsArray},
    compute::{cast, concat_batches},
    datatypes::{DataType, TimeUnit, TimestampMillisecondType},
    record_batch::RecordBatch,
};
use datafusion::{
    common::{Column, DataFusionError, Result, plan_datafusion_err, plan_err},
    logical_expr::{Expr, JoinType, LogicalPlan, LogicalPlanBuilder, Union},
    physical_plan::collect,
};
use sluice_event::{Encoder, TableName, Value};

use crate::{
    error::SqlError,
    functions::WindowKind,
    lookup::Lookups,
    lower::Windowed,
    session::{LOOKUP, Session, Tables, block_on, planned, with_stack},
};

/// What a rule finds in history.
#[derive(Debug)]
pub struct BatchFindings {
    /// The columns of the SELECT list; rows in no particular order.
    pub rows: RecordBatch,
    /// Per row the row key: the bytes of `Emission::key`.
    pub key: Vec<Vec<u8>>,
}

/// Runs a rule over whole tables.
///
/// The batches of a table have its full schema with `event_uid` filled (32 hex digits); those of a
/// raw table may carry `event_uid` as an additional column, without it stateless rules over it have
/// no row keys and fail. `history_start`: see `lower`.
pub fn batch(
    sql: &str,
    tables: &BTreeMap<TableName, Vec<RecordBatch>>,
    history_start: Option<i64>,
) -> Result<BatchFindings, SqlError> {
    batch_with(sql, tables, &Lookups::default(), history_start)
}

/// [`batch`] with lookups. A join with one by exact key is a join of tables here, while a stream
/// asks the lookup row by row.
pub fn batch_with(
    sql: &str,
    tables: &BTreeMap<TableName, Vec<RecordBatch>>,
    lookups: &Lookups,
    history_start: Option<i64>,
) -> Result<BatchFindings, SqlError> {
    let tables = Tables::memory(tables, lookups).map_err(|e| SqlError::planning(&e))?;
    let session = Session::batch(history_start).knowing(lookups).over(&tables);
    let planned = planned(|| {
        let plan = session.plan(sql, &tables)?;
        let width = plan.schema().fields().len();
        let keyed = Keyed::of(plan, &mut 0)?;
        let columns: Vec<Expr> = keyed
            .plan
            .schema()
            .columns()
            .into_iter()
            .filter(|c| !keyed.key.contains(c))
            .chain(keyed.key.iter().cloned())
            .map(Expr::Column)
            .collect();
        let plan = LogicalPlanBuilder::from(keyed.plan).project(columns)?.build()?;
        let plan = session.optimize(&plan)?;
        let physical = block_on(
            session.state().query_planner().create_physical_plan(&plan, session.state()),
        )??;
        Ok((physical, width, keyed.kind))
    });
    let (physical, width, kind) = planned.map_err(|e| SqlError::planning(&e))?;
    let run = || -> Result<BatchFindings> {
        let schema = physical.schema();
        let batches = block_on(collect(physical, session.state().task_ctx()))??;
        let all = concat_batches(&schema, &batches)?;
        let key = kind.encode(all.columns().get(width..).unwrap_or_default(), all.num_rows())?;
        let rows = all.project(&(0..width).collect::<Vec<_>>())?;
        Ok(BatchFindings { rows, key })
    };
    with_stack(run).map_err(|e| SqlError::running(&e))
}

/// A plan whose rows carry what their keys are made of.
struct Keyed {
    plan: LogicalPlan,
    /// The added columns: `event_uid`s; or the group keys in key order and the window.
    key: Vec<Column>,
    kind: KeyKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyKind {
    Row,
    Window { kind: WindowKind, size: i64 },
}

impl Keyed {
    /// Carries the keys from the tables or the windowed aggregate up to the result.
    fn of(plan: LogicalPlan, names: &mut usize) -> Result<Keyed> {
        match plan {
            LogicalPlan::TableScan(_) => {
                let uid = plan
                    .schema()
                    .columns()
                    .into_iter()
                    .find(|c| c.name == "event_uid")
                    .ok_or_else(|| plan_datafusion_err!("this table has no event_uid"))?;
                Self::append(plan, vec![uid], KeyKind::Row, names)
            }
            LogicalPlan::Aggregate(_) => Self::of_aggregate(plan, names),
            LogicalPlan::Filter(filter)
                if matches!(filter.input.as_ref(), LogicalPlan::Aggregate(_)) =>
            {
                // HAVING must stay right above the aggregate: lowering looks for it there.
                Self::of_aggregate(LogicalPlan::Filter(filter), names)
            }
            LogicalPlan::Projection(projection) => {
                let input = Self::of(projection.input.as_ref().clone(), names)?;
                let exprs =
                    projection.expr.into_iter().chain(input.key.iter().cloned().map(Expr::Column));
                let plan = LogicalPlanBuilder::from(input.plan).project(exprs)?.build()?;
                Ok(Keyed { plan, key: input.key, kind: input.kind })
            }
            LogicalPlan::SubqueryAlias(alias) => {
                let input = Self::of(alias.input.as_ref().clone(), names)?;
                let key = input
                    .key
                    .into_iter()
                    .map(|c| Column::new(Some(alias.alias.clone()), c.name))
                    .collect();
                let plan = LogicalPlanBuilder::from(input.plan).alias(alias.alias)?.build()?;
                Ok(Keyed { plan, key, kind: input.kind })
            }
            LogicalPlan::Union(union) => {
                let arms = union
                    .inputs
                    .into_iter()
                    .map(|arm| Self::arm(arm.as_ref().clone(), names))
                    .collect::<Result<Vec<_>>>()?;
                let Some(first) = arms.first() else { return plan_err!("an empty UNION") };
                let kind = first.kind;
                if arms.iter().any(|a| a.kind != kind || a.key.len() != first.key.len()) {
                    return plan_err!("the arms of UNION ALL have keys of different kinds");
                }
                let key: Vec<Column> =
                    first.key.iter().map(|c| Column::new_unqualified(c.name.clone())).collect();
                let plan = LogicalPlan::Union(Union::try_new_with_loose_types(
                    arms.into_iter().map(|a| a.plan.into()).collect(),
                )?);
                Ok(Keyed { plan, key, kind })
            }
            LogicalPlan::Join(ref join) => {
                let left = Self::of(join.left.as_ref().clone(), names)?;
                let (right, key) = match join.join_type {
                    JoinType::LeftSemi | JoinType::LeftAnti => {
                        (join.right.as_ref().clone(), left.key)
                    }
                    // A key of a lookup has one row.
                    _ if is_lookup(&join.right) => (join.right.as_ref().clone(), left.key),
                    _ => {
                        let right = Self::of(join.right.as_ref().clone(), names)?;
                        if left.kind != KeyKind::Row || right.kind != KeyKind::Row {
                            return plan_err!("a join of windows has no row key");
                        }
                        (right.plan, left.key.into_iter().chain(right.key).collect())
                    }
                };
                let plan = plan.with_new_exprs(plan.expressions(), vec![left.plan, right])?;
                Ok(Keyed { plan, key, kind: left.kind })
            }
            LogicalPlan::Filter(_)
            | LogicalPlan::Window(_)
            | LogicalPlan::Sort(_)
            | LogicalPlan::Limit(_) => {
                let inputs = plan.inputs();
                let [input] = inputs.as_slice() else {
                    return plan_err!("one input expected");
                };
                let input = Self::of((*input).clone(), names)?;
                let plan = plan.with_new_exprs(plan.expressions(), vec![input.plan])?;
                Ok(Keyed { plan, key: input.key, kind: input.kind })
            }
            other => plan_err!("the rows of {} have no key", other.display()),
        }
    }

    /// An arm of a UNION ALL: its key columns last, in order.
    fn arm(plan: LogicalPlan, names: &mut usize) -> Result<Keyed> {
        let keyed = Self::of(plan, names)?;
        let columns: Vec<Expr> = keyed
            .plan
            .schema()
            .columns()
            .into_iter()
            .filter(|c| !keyed.key.contains(c))
            .chain(keyed.key.iter().cloned())
            .map(Expr::Column)
            .collect();
        let plan = LogicalPlanBuilder::from(keyed.plan).project(columns)?.build()?;
        Ok(Keyed { plan, ..keyed })
    }

    fn of_aggregate(plan: LogicalPlan, names: &mut usize) -> Result<Keyed> {
        let aggregate = match &plan {
            LogicalPlan::Filter(filter) => filter.input.as_ref(),
            other => other,
        };
        let LogicalPlan::Aggregate(aggregate) = aggregate else {
            return plan_err!("an aggregate expected");
        };
        let Some(window) = Windowed::find(aggregate)?.or_else(|| Windowed::binned(aggregate))
        else {
            return plan_err!("GROUP BY without a window has no key that stays");
        };
        let kind = KeyKind::Window { kind: window.kind, size: window.size };
        let columns = aggregate.schema.columns();
        let mut keys: Vec<Column> = columns
            .iter()
            .take(aggregate.group_expr.len())
            .enumerate()
            .filter(|(i, _)| *i != window.position)
            .map(|(_, c)| c.clone())
            .collect();
        keys.sort_by(|a, b| a.name.cmp(&b.name));
        keys.push(columns[window.position].clone());
        Self::append(plan, keys, kind, names)
    }

    /// Adds copies of columns under names that no text can have.
    fn append(
        plan: LogicalPlan,
        columns: Vec<Column>,
        kind: KeyKind,
        names: &mut usize,
    ) -> Result<Keyed> {
        let mut exprs: Vec<Expr> = plan.schema().columns().into_iter().map(Expr::Column).collect();
        let mut key = Vec::new();
        for column in columns {
            let name = format!("__key_{names}");
            *names += 1;
            exprs.push(Expr::Column(column).alias(&name));
            key.push(Column::new_unqualified(name));
        }
        let plan = LogicalPlanBuilder::from(plan).project(exprs)?.build()?;
        Ok(Keyed { plan, key, kind })
    }
}

impl KeyKind {
    /// The row keys from the key columns.
    fn encode(self, columns: &[ArrayRef], rows: usize) -> Result<Vec<Vec<u8>>> {
        let mut keys = vec![Encoder::default(); rows];
        match self {
            KeyKind::Row => {
                for column in columns {
                    let uids = cast(column, &DataType::Utf8)?;
                    for (key, uid) in keys.iter_mut().zip(uids.as_string::<i32>()) {
                        let bits = uid
                            .and_then(|uid| u128::from_str_radix(uid, 16).ok())
                            .ok_or_else(|| failed("a row has no event_uid of 32 hex digits"))?;
                        key.bytes(&bits.to_be_bytes());
                    }
                }
            }
            KeyKind::Window { kind, size } => {
                let Some((window, columns)) = columns.split_last() else {
                    return Err(failed("no window column"));
                };
                for column in columns {
                    let values = Value::column(column).ok_or_else(|| {
                        failed(&format!("{} cannot be a key", column.data_type()))
                    })?;
                    keys.iter_mut().zip(&values).for_each(|(key, value)| key.value(value));
                }
                let time = |name: &str| -> Result<Vec<i64>> {
                    let column = match window.as_struct_opt() {
                        Some(window) => window.column_by_name(name),
                        // `date_bin`: the start alone.
                        None => Some(window),
                    };
                    let column = column.ok_or_else(|| failed("no window"))?;
                    let utc = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
                    let column = cast(column, &utc)?;
                    Ok(column.as_primitive::<TimestampMillisecondType>().values().to_vec())
                };
                let starts = match kind {
                    WindowKind::Sliding => time("end")?
                        .into_iter()
                        .map(|end| crate::functions::floor(end, size))
                        .collect(),
                    WindowKind::Tumble | WindowKind::Hop | WindowKind::Session => time("start")?,
                };
                for (key, start) in keys.iter_mut().zip(starts) {
                    key.text(kind.name());
                    key.int(size);
                    key.time(start);
                }
            }
        }
        Ok(keys.into_iter().map(Encoder::into_bytes).collect())
    }
}

fn is_lookup(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::TableScan(scan) => scan.table_name.schema() == Some(LOOKUP),
        LogicalPlan::SubqueryAlias(alias) => is_lookup(&alias.input),
        _ => false,
    }
}

fn failed(text: &str) -> DataFusionError {
    DataFusionError::Execution(text.to_owned())
}
