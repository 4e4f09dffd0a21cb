//! Ad-hoc queries over given tables, by anyone: sandboxed, with a deadline, a memory limit and caps
//! on the result. Windows and `first_seen` mean what they mean in rules.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
    sync::Arc,
    time::Duration,
};

use arrow::{datatypes::SchemaRef, record_batch::RecordBatch};
use datafusion::{
    common::{
        Result,
        config::ConfigOptions,
        tree_node::{Transformed, TreeNode},
    },
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{ExecutionPlan, coop::CooperativeExec, execute_stream},
    sql::{
        parser::Statement,
        sqlparser::ast::{Ident, ObjectName, visit_relations},
    },
};
use futures::StreamExt;
use sluice_event::TableName;
use tokio::time::{Instant, timeout_at};

use crate::{
    deadline::{self, Cancel, Deadline},
    dialect,
    error::SqlError,
    lookup::Lookups,
    sandbox,
    session::{STACK, Session, Tables, with_stack},
    stored::StoredRows,
};

/// What one query may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryLimits {
    /// Time from the call to the last row, planning included.
    pub deadline: Duration,
    /// Bytes that sorts, joins and groups may hold.
    pub memory: usize,
    /// Rows of the result; the rest is cut off and said so.
    pub rows: usize,
    /// Bytes of the result; the rest is cut off and said so.
    pub bytes: usize,
    /// Bytes of the text.
    pub text: usize,
}

impl Default for QueryLimits {
    fn default() -> Self {
        QueryLimits {
            deadline: Duration::from_secs(30),
            memory: 512 << 20,
            rows: 10_000,
            bytes: 64 << 20,
            text: 64 << 10,
        }
    }
}

/// What a query gave.
#[derive(Clone, Debug)]
pub struct QueryResult {
    /// The columns.
    pub schema: SchemaRef,
    /// The rows.
    pub batches: Vec<RecordBatch>,
    /// Whether a cap cut rows off.
    pub truncated: bool,
}

/// Beyond the deadline, how long to wait for a query to notice it.
const GRACE: Duration = Duration::from_secs(1);

/// How often running work looks whether somebody still waits for it.
const LOOK: Duration = Duration::from_millis(100);

/// Runs a query on a thread of its own, until its deadline or until it is cancelled. A query that does
/// not stop within a second of that (one call of one function cannot be interrupted, and takes less by
/// the bounds of the functions) goes on without anybody waiting; what `cancel` holds is held until then.
pub fn query(
    sql: &str,
    tables: &BTreeMap<TableName, Vec<RecordBatch>>,
    limits: QueryLimits,
    cancel: &Cancel,
) -> Result<QueryResult, SqlError> {
    query_with(sql, tables, &Lookups::default(), limits, cancel)
}

/// [`query`] with lookups to ask and to read as `lookup.<name>`, and with the baselines among them: the
/// tables `baseline.<name>` and the function `surprise`.
pub fn query_with(
    sql: &str,
    tables: &BTreeMap<TableName, Vec<RecordBatch>>,
    lookups: &Lookups,
    limits: QueryLimits,
    cancel: &Cancel,
) -> Result<QueryResult, SqlError> {
    let over = |lookups: &Lookups| Tables::memory(tables, lookups);
    query_tables(sql, &over, lookups, limits, cancel)
}

/// [`query_with`] over rows that are read as they are scanned.
pub fn query_stored(
    sql: &str,
    rows: &BTreeMap<TableName, Arc<dyn StoredRows>>,
    lookups: &Lookups,
    limits: QueryLimits,
    cancel: &Cancel,
) -> Result<QueryResult, SqlError> {
    let over = |lookups: &Lookups| Tables::stored(rows, lookups);
    query_tables(sql, &over, lookups, limits, cancel)
}

fn query_tables(
    sql: &str,
    over: &dyn Fn(&Lookups) -> Result<Tables>,
    lookups: &Lookups,
    limits: QueryLimits,
    cancel: &Cancel,
) -> Result<QueryResult, SqlError> {
    sandbox::check_length(sql, limits.text).map_err(|e| SqlError::planning(&e))?;
    let lookups = &lookups.snapshot().map_err(SqlError::Failed)?;
    let tables = over(lookups).map_err(|e| SqlError::planning(&e))?;
    let session = Session::hunts(limits.memory).knowing(lookups).over(&tables);
    let (sender, receiver) = std::sync::mpsc::sync_channel(1);
    let end = Instant::now() + limits.deadline;
    let deadline = Deadline::at(end, limits.deadline, cancel.clone());
    let sql = sql.to_owned();
    std::thread::Builder::new()
        .name("sql-query".to_owned())
        .stack_size(STACK)
        .spawn(move || {
            // The receiver is gone if it has given up waiting.
            sender
                .send(deadline::within(deadline, || run(&session, &tables, &sql, limits, end)))
                .ok();
        })
        .map_err(|e| SqlError::Failed(e.to_string()))?;
    // Once somebody gives up, the work has a moment to notice.
    let mut patience = end + GRACE;
    loop {
        match receiver.recv_timeout(LOOK) {
            Ok(result) => return result,
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => {
                return Err(SqlError::Failed("the query panicked".to_owned()));
            }
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
        }
        if cancel.is_cancelled() {
            patience = patience.min(Instant::now() + GRACE);
        }
        if Instant::now() >= patience {
            return Err(match cancel.is_cancelled() {
                true => SqlError::Cancelled,
                false => SqlError::Deadline(limits.deadline),
            });
        }
    }
}

/// The tables that a query names, its own WITH queries among them; none if it is no query: running it
/// says why. For who must look a table up, or look whether it may be read.
pub fn tables_named(sql: &str) -> BTreeSet<TableName> {
    let mut named = BTreeSet::new();
    let parsed = with_stack(|| {
        let found = sandbox::check_text(sql).and_then(|()| dialect::parse_one(sql));
        if let Ok(Statement::Statement(statement)) = found {
            let ControlFlow::<()>::Continue(()) = visit_relations(statement.as_ref(), |name| {
                named.insert(TableName::new(&table_name(name)));
                ControlFlow::Continue(())
            }) else {
                return Ok(());
            };
        }
        Ok(())
    });
    // What makes the parser panic is refused when it is run.
    parsed.ok();
    named
}

/// A name as SQL reads it: in lower case where it is not quoted.
fn table_name(name: &ObjectName) -> String {
    let folded = |ident: &Ident| match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_lowercase(),
    };
    let parts: Vec<String> = name.0.iter().filter_map(|p| p.as_ident()).map(folded).collect();
    parts.join(".")
}

fn run(
    session: &Session,
    tables: &Tables,
    sql: &str,
    limits: QueryLimits,
    end: Instant,
) -> Result<QueryResult, SqlError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(|e| SqlError::Failed(e.to_string()))?;
    let late = |error: SqlError| {
        if Instant::now() >= end { SqlError::Deadline(limits.deadline) } else { error }
    };
    let plan = session.plan(sql, tables).map_err(|e| late(SqlError::planning(&e)))?;
    runtime.block_on(async {
        let work = async {
            let plan = session
                .state()
                .create_physical_plan(&plan)
                .await
                .map_err(|e| late(SqlError::running(&e)))?;
            let mut stream = execute_stream(plan, session.state().task_ctx())
                .map_err(|e| SqlError::running(&e))?;
            let mut result =
                QueryResult { schema: stream.schema(), batches: Vec::new(), truncated: false };
            let (mut rows, mut bytes) = (0, 0);
            loop {
                let Ok(next) = timeout_at(Instant::now() + LOOK, stream.next()).await else {
                    deadline::check().map_err(|e| late(SqlError::running(&e)))?;
                    continue;
                };
                let Some(batch) = next else { break };
                deadline::check().map_err(|e| late(SqlError::running(&e)))?;
                let batch = batch.map_err(|e| late(SqlError::running(&e)))?;
                bytes += batch.get_array_memory_size();
                let room = limits.rows - rows;
                if batch.num_rows() > room || bytes > limits.bytes {
                    result.truncated = true;
                    if bytes <= limits.bytes {
                        result.batches.push(batch.slice(0, room));
                    }
                    break;
                }
                rows += batch.num_rows();
                result.batches.push(batch);
            }
            Ok(result)
        };
        timeout_at(end, work).await.unwrap_or(Err(SqlError::Deadline(limits.deadline)))
    })
}

/// Puts a point where a query can be stopped above every node: joins that multiply rows have none of
/// their own, and a deadline only acts between two.
#[derive(Debug)]
pub(crate) struct CooperateEverywhere;

impl PhysicalOptimizerRule for CooperateEverywhere {
    fn name(&self) -> &str {
        "cooperate_everywhere"
    }

    fn schema_check(&self) -> bool {
        true
    }

    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            Ok(Transformed::yes(Arc::new(CooperativeExec::new(node)) as Arc<dyn ExecutionPlan>))
        })
        .map(|done| done.data)
    }
}
