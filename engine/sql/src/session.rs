//! DataFusion sessions: which functions, analyzer and optimizer rules exist for what purpose, and
//! the tables a text may name. Nothing here reads a file, a URL or the clock.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, LazyLock},
    time::Duration,
};

use arrow::{
    datatypes::{Schema as ArrowSchema, SchemaRef},
    record_batch::RecordBatch,
};
use datafusion::{
    catalog::{
        CatalogProvider, CatalogProviderList, MemTable, MemoryCatalogProvider,
        MemoryCatalogProviderList, MemorySchemaProvider, SchemaProvider, TableProvider,
    },
    common::{
        Column, DFSchema, DataFusionError, Result,
        tree_node::{Transformed, TreeNode},
    },
    datasource::empty::EmptyTable,
    execution::{
        SessionState, SessionStateBuilder, SessionStateDefaults,
        disk_manager::{DiskManagerBuilder, DiskManagerMode},
        memory_pool::GreedyMemoryPool,
        object_store::{DefaultObjectStoreRegistry, ObjectStoreRegistry, ObjectStoreUrl},
        runtime_env::RuntimeEnvBuilder,
    },
    logical_expr::{Expr, LogicalPlan, execution_props::ExecutionProps, simplify::SimplifyContext},
    optimizer::{
        AnalyzerRule, Optimizer, OptimizerRule,
        analyzer::{
            resolve_grouping_function::ResolveGroupingFunction, type_coercion::TypeCoercion,
        },
        decorrelate_predicate_subquery::DecorrelatePredicateSubquery,
        extract_equijoin_predicate::ExtractEquijoinPredicate,
        simplify_expressions::{ExprSimplifier, SimplifyExpressions},
    },
    physical_expr::PhysicalExpr,
    prelude::SessionConfig,
    sql::parser::Statement,
};
use sluice_event::{Schema, TableName};

use crate::{
    deadline::{self, Checkpoint, Deadline, interleaved, within},
    dialect,
    error::SqlProblem,
    eval::PhysicalEval,
    functions,
    known::{self, Asked, BASELINE},
    lookup::{Joins, Lookups, joins_as_calls},
    lower, query, rowwise, sandbox,
    stored::{StoredRows, StoredTable},
};

/// Bytes that planning and batch runs may hold in tracked memory.
const MEMORY_MAX: usize = 512 << 20;

/// Rows per batch: small enough that a deadline is met between two.
const BATCH_ROWS: usize = 8192;

const CATALOG: &str = "sluice";
const TABLES: &str = "main";
const RAW: &str = "raw";
pub(crate) const LOOKUP: &str = "lookup";

/// Stack of the threads that plan: long lists and deep nesting recurse. Reserved, not touched: a
/// simple text uses a few KiB of it.
pub(crate) const STACK: usize = 64 << 20;

/// A DataFusion session for one purpose. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    state: Arc<SessionState>,
    lookups: Lookups,
}

impl Session {
    /// For the classifier: only analyzer and optimizer rules that keep the shape of a rule.
    pub(crate) fn rules() -> Session {
        static SESSION: LazyLock<Session> =
            LazyLock::new(|| Session::shape_preserving(Identifiers::Folded));
        SESSION.clone()
    }

    /// For mappings: wire names are camelCase and keep their case.
    pub(crate) fn mappings() -> Session {
        static SESSION: LazyLock<Session> =
            LazyLock::new(|| Session::shape_preserving(Identifiers::AsWritten));
        SESSION.clone()
    }

    /// For running a rule over history: windows and `first_seen` become plain SQL, then everything
    /// DataFusion has. `history_start`: before it nothing is known of a table, milliseconds.
    pub(crate) fn batch(history_start: Option<i64>) -> Session {
        Session::executing(
            vec![Arc::new(lower::LowerWindows), Arc::new(lower::LowerFirstSeen { history_start })],
            MEMORY_MAX,
            Failing::LeavesRowOut,
        )
    }

    /// For ad-hoc queries: like batch, with `memory` bytes for what they hold.
    pub(crate) fn hunts(memory: usize) -> Session {
        Session::executing(
            vec![
                Arc::new(lower::LowerWindows),
                Arc::new(lower::LowerFirstSeen { history_start: None }),
            ],
            memory,
            Failing::FailsQuery,
        )
    }

    fn shape_preserving(identifiers: Identifiers) -> Session {
        let analyzer: Vec<Arc<dyn AnalyzerRule + Send + Sync>> = vec![
            Arc::new(ResolveGroupingFunction::new()),
            Arc::new(lower::TimeDifference),
            Arc::new(TypeCoercion::new()),
        ];
        let optimizer: Vec<Arc<dyn OptimizerRule + Send + Sync>> = vec![
            Arc::new(SimplifyExpressions::new()),
            Arc::new(DecorrelatePredicateSubquery::new()),
            Arc::new(ExtractEquijoinPredicate::new()),
        ];
        let state = parts(identifiers, MEMORY_MAX)
            .with_analyzer_rules(interleaved(analyzer, || Arc::new(Checkpoint)))
            .with_optimizer_rules(interleaved(optimizer, || Arc::new(Checkpoint)))
            .build();
        Session { state: Arc::new(state), lookups: Lookups::default() }
    }

    fn executing(
        lowering: Vec<Arc<dyn AnalyzerRule + Send + Sync>>,
        memory: usize,
        failing: Failing,
    ) -> Session {
        let mut analyzer: Vec<Arc<dyn AnalyzerRule + Send + Sync>> =
            vec![Arc::new(ResolveGroupingFunction::new()), Arc::new(lower::TimeDifference)];
        analyzer.extend(lowering);
        analyzer.push(Arc::new(TypeCoercion::new()));
        let optimizer = Optimizer::new().rules;
        let mut state = parts(Identifiers::Folded, memory)
            .with_analyzer_rules(interleaved(analyzer, || Arc::new(Checkpoint)))
            .with_optimizer_rules(interleaved(optimizer, || Arc::new(Checkpoint)));
        if failing == Failing::LeavesRowOut {
            state = state.with_physical_optimizer_rule(Arc::new(rowwise::RowByRow));
        }
        let state =
            state.with_physical_optimizer_rule(Arc::new(query::CooperateEverywhere)).build();
        Session { state: Arc::new(state), lookups: Lookups::default() }
    }

    /// The state.
    pub(crate) fn state(&self) -> &SessionState {
        &self.state
    }

    /// The same session with these lookups to ask.
    pub(crate) fn knowing(&self, lookups: &Lookups) -> Session {
        let mut builder = SessionStateBuilder::new_from_existing((*self.state).clone());
        let functions = builder.scalar_functions().get_or_insert_default();
        functions.extend(functions::asking(lookups));
        functions.extend(lookups.asked().map(known::surprise));
        Session { state: Arc::new(builder.build()), lookups: lookups.clone() }
    }

    /// The same session with the function `surprise` over these baselines.
    pub(crate) fn asking(&self, asked: &Asked) -> Session {
        let mut builder = SessionStateBuilder::new_from_existing((*self.state).clone());
        builder.scalar_functions().get_or_insert_default().push(known::surprise(asked));
        Session { state: Arc::new(builder.build()), lookups: self.lookups.clone() }
    }

    /// The same session over other tables.
    pub(crate) fn over(&self, tables: &Tables) -> Session {
        let state = SessionStateBuilder::new_from_existing((*self.state).clone())
            .with_catalog_list(Arc::clone(&tables.list))
            .build();
        Session { state: Arc::new(state), lookups: self.lookups.clone() }
    }

    /// Parses, checks against the sandbox and plans one query; neither analyzed nor optimized.
    pub(crate) fn plan(&self, sql: &str, tables: &Tables) -> Result<LogicalPlan> {
        sandbox::check_text(sql)?;
        let mut statement = dialect::parse_one(sql)?;
        let wrong = joins_as_calls(&mut statement, &self.lookups, Joins::Inexact);
        if let Some(problem) = wrong.into_iter().next() {
            return Err(problem.into());
        }
        sandbox::check_statement(&statement)?;
        let plan = self
            .over(tables)
            .statement_to_plan(statement)
            .map_err(|e| SqlProblem::unknown_table(&e, tables.names()).map_or(e, Into::into))?;
        sandbox::check_plan(&plan)?;
        Ok(plan)
    }

    /// Plans a statement that the sandbox has seen.
    pub(crate) fn statement_to_plan(&self, statement: Statement) -> Result<LogicalPlan> {
        block_on(self.state.statement_to_plan(statement))?
    }

    /// Runs the analyzer rules of this session.
    pub(crate) fn analyze(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        self.state.analyzer().execute_and_check(plan, self.state.config_options(), |_, _| {})
    }

    /// Runs the analyzer and optimizer rules of this session.
    pub(crate) fn optimize(&self, plan: &LogicalPlan) -> Result<LogicalPlan> {
        self.state.optimize(plan)
    }

    /// The physical form of an expression over a full table schema: qualifiers dropped, coerced,
    /// simplified. Equal conditions of different rules on one table give equal expressions.
    pub(crate) fn physical(&self, expr: Expr, schema: &DFSchema) -> Result<Arc<dyn PhysicalExpr>> {
        let simple = self.simplify(expr, schema)?;
        let physical = self.state.create_physical_expr(simple, schema)?;
        rowwise::checked(physical, schema.as_arrow())
    }

    /// The simplified form of an expression over a full table schema, qualifiers dropped.
    pub(crate) fn simplify(&self, expr: Expr, schema: &DFSchema) -> Result<Expr> {
        deadline::check()?;
        let bare = expr
            .transform(|e| {
                Ok(match e {
                    // The place stays: messages point at it.
                    Expr::Column(Column { name, spans, .. }) => {
                        Transformed::yes(Expr::Column(Column { relation: None, name, spans }))
                    }
                    e => Transformed::no(e),
                })
            })?
            .data;
        let context = SimplifyContext::builder()
            .with_schema(Arc::new(schema.clone()))
            .with_config_options(Arc::clone(self.state.config_options()))
            .build();
        let simplifier = ExprSimplifier::new(context);
        simplifier.simplify(simplifier.coerce(bare, schema)?)
    }

    /// [`Session::physical`] as an [`sluice_event::Eval`].
    pub(crate) fn eval(&self, expr: Expr, sql: String, schema: &DFSchema) -> Result<PhysicalEval> {
        PhysicalEval::new(self.physical(expr, schema)?, schema.as_arrow(), sql)
    }
}

/// The tables a text may name. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Tables {
    list: Arc<dyn CatalogProviderList>,
    names: Arc<[String]>,
}

impl Tables {
    /// Every table that rules read, `events`, and these raw tables: schemas without rows.
    pub(crate) fn stream<'a>(
        raw: impl IntoIterator<Item = (&'a TableName, &'a SchemaRef)>,
    ) -> Result<Tables> {
        let empty = |schema: &SchemaRef| -> Arc<dyn TableProvider> {
            Arc::new(EmptyTable::new(Arc::clone(schema)))
        };
        let mut tables = BTreeMap::new();
        for table in Schema::builtin().tables() {
            tables.insert(table.name.clone(), empty(&table.arrow));
        }
        for table in Schema::own().tables().filter(|t| !t.rules.fields().is_empty()) {
            tables.insert(table.name.clone(), empty(&table.rules));
        }
        if let Some(schema) = common_schema() {
            tables.entry(TableName::new("events")).or_insert_with(|| empty(&schema));
        }
        for (name, schema) in raw {
            tables.insert(name.clone(), empty(schema));
        }
        Tables::new(tables)
    }

    /// One table without rows: the wire record of a mapping.
    pub(crate) fn single(name: &str, schema: &SchemaRef) -> Result<Tables> {
        let table: Arc<dyn TableProvider> = Arc::new(EmptyTable::new(Arc::clone(schema)));
        Tables::new(BTreeMap::from([(TableName::new(name), table)]))
    }

    /// Every table of the vocabulary, `events` and these; those given hold rows, the rest none. A table
    /// that Sluice fills itself has the columns of its rows, without rows all of them. Lookups are the
    /// tables `lookup.<name>`.
    pub(crate) fn memory(
        batches: &BTreeMap<TableName, Vec<RecordBatch>>,
        lookups: &Lookups,
    ) -> Result<Tables> {
        let mut tables = BTreeMap::new();
        let mut union = Vec::new();
        let common = common_schema();
        for table in Schema::builtin().tables() {
            let rows = batches.get(&table.name).cloned().unwrap_or_default();
            if let Some(schema) = &common {
                let width: Vec<usize> = (0..schema.fields().len()).collect();
                for batch in &rows {
                    let batch = batch.project(&width)?;
                    union.push(RecordBatch::try_new(Arc::clone(schema), batch.columns().to_vec())?);
                }
            }
            tables.insert(table.name.clone(), memory(&table.arrow, rows)?);
        }
        if let Some(schema) = &common {
            let union = memory(schema, union)?;
            tables.entry(TableName::new("events")).or_insert(union);
        }
        for (name, rows) in batches {
            if let (false, Some(first)) = (tables.contains_key(name), rows.first()) {
                tables.insert(name.clone(), memory(&first.schema(), rows.clone())?);
            }
        }
        Tables::beside(tables, lookups)
    }

    /// [`Tables::memory`] with rows that are read as they are scanned.
    pub(crate) fn stored(
        rows: &BTreeMap<TableName, Arc<dyn StoredRows>>,
        lookups: &Lookups,
    ) -> Result<Tables> {
        let of = |schema: SchemaRef, parts: Vec<Arc<dyn StoredRows>>| -> Arc<dyn TableProvider> {
            Arc::new(StoredTable { schema, parts })
        };
        let builtin = || Schema::builtin().tables();
        let mut tables = BTreeMap::new();
        for table in builtin() {
            let parts = rows.get(&table.name).cloned().into_iter().collect();
            tables.insert(table.name.clone(), of(Arc::clone(&table.arrow), parts));
        }
        if let Some(schema) = common_schema() {
            let parts = builtin().filter_map(|table| rows.get(&table.name).cloned()).collect();
            tables.entry(TableName::new("events")).or_insert_with(|| of(schema, parts));
        }
        for (name, rows) in rows {
            tables.entry(name.clone()).or_insert_with(|| of(rows.schema(), vec![rows.clone()]));
        }
        Tables::beside(tables, lookups)
    }

    /// These with the tables that Sluice fills itself, where they are not given, and what can be asked.
    fn beside(
        mut tables: BTreeMap<TableName, Arc<dyn TableProvider>>,
        lookups: &Lookups,
    ) -> Result<Tables> {
        for table in Schema::own().tables() {
            if !tables.contains_key(&table.name) {
                tables.insert(table.name.clone(), memory(&table.arrow, Vec::new())?);
            }
        }
        for (name, lookup) in lookups.iter() {
            let rows = lookup.rows()?;
            tables.insert(
                TableName::new(&format!("lookup.{name}")),
                memory(&rows.schema(), vec![rows])?,
            );
        }
        for (name, table) in lookups.asked().into_iter().flat_map(known::tables) {
            tables.insert(TableName::new(&name), table);
        }
        Tables::new(tables)
    }

    /// The names in order, as SQL spells them.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    fn new(tables: BTreeMap<TableName, Arc<dyn TableProvider>>) -> Result<Tables> {
        let (main, raw) = (MemorySchemaProvider::new(), MemorySchemaProvider::new());
        let (lookups, baselines) = (MemorySchemaProvider::new(), MemorySchemaProvider::new());
        let mut names = Vec::new();
        for (name, table) in tables {
            names.push(name.as_str().to_owned());
            match name.as_str().split_once('.') {
                Some((RAW, name)) => raw.register_table(name.to_owned(), table)?,
                Some((LOOKUP, name)) => lookups.register_table(name.to_owned(), table)?,
                Some((BASELINE, name)) => baselines.register_table(name.to_owned(), table)?,
                _ => main.register_table(name.as_str().to_owned(), table)?,
            };
        }
        let catalog = MemoryCatalogProvider::new();
        catalog.register_schema(TABLES, Arc::new(main))?;
        catalog.register_schema(RAW, Arc::new(raw))?;
        catalog.register_schema(LOOKUP, Arc::new(lookups))?;
        catalog.register_schema(BASELINE, Arc::new(baselines))?;
        let list = MemoryCatalogProviderList::new();
        list.register_catalog(CATALOG.to_owned(), Arc::new(catalog));
        Ok(Tables { list: Arc::new(list), names: names.into() })
    }
}

/// The columns every table has.
pub(crate) fn common_schema() -> Option<SchemaRef> {
    let table = Schema::builtin().tables().next()?;
    let fields: Vec<_> = table.arrow.fields().iter().take(table.common).cloned().collect();
    Some(Arc::new(ArrowSchema::new(fields)))
}

fn memory(schema: &SchemaRef, rows: Vec<RecordBatch>) -> Result<Arc<dyn TableProvider>> {
    let rows = rows
        .into_iter()
        .map(|batch| RecordBatch::try_new(Arc::clone(schema), batch.columns().to_vec()))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Arc::new(MemTable::try_new(Arc::clone(schema), vec![rows])?))
}

/// What a row does on which an expression fails.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Failing {
    /// It is left out, as in a stream.
    LeavesRowOut,
    /// The query says so and ends.
    FailsQuery,
}

/// Whether unquoted identifiers are lower-cased.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Identifiers {
    Folded,
    AsWritten,
}

/// What every session is built from: functions on the allow-list, no stores, no files, no disk.
fn parts(identifiers: Identifiers, memory: usize) -> SessionStateBuilder {
    let mut config = SessionConfig::new()
        .with_default_catalog_and_schema(CATALOG, TABLES)
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(false)
        .with_batch_size(BATCH_ROWS)
        .with_target_partitions(1);
    let options = config.options_mut();
    options.sql_parser.collect_spans = true;
    options.sql_parser.enable_ident_normalization = identifiers == Identifiers::Folded;
    options.sql_parser.map_string_types_to_utf8view = false;
    // Without them here, each function of an expression gets default options of its own: some kilobytes
    // that are compared entry by entry when expressions are.
    let execution = ExecutionProps {
        config_options: Some(Arc::clone(config.options())),
        ..ExecutionProps::new()
    };
    let stores = DefaultObjectStoreRegistry::new();
    // Registered by default; without it no URL resolves to anything.
    stores.deregister_store(ObjectStoreUrl::local_filesystem().as_ref()).ok();
    let mut builder = SessionStateBuilder::new()
        .with_config(config)
        .with_execution_props(execution)
        .with_scalar_functions(functions::scalars())
        .with_higher_order_functions(SessionStateDefaults::default_higher_order_functions())
        .with_aggregate_functions(functions::aggregates())
        .with_window_functions(SessionStateDefaults::default_window_functions())
        .with_expr_planners(functions::expr_planners())
        .with_table_functions(Default::default())
        .with_file_formats(vec![]);
    if let Ok(runtime) = RuntimeEnvBuilder::new()
        .with_object_store_registry(Arc::new(stores))
        .with_memory_pool(Arc::new(GreedyMemoryPool::new(memory)))
        .with_disk_manager_builder(
            DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled),
        )
        .build_arc()
    {
        builder = builder.with_runtime_env(runtime);
    }
    builder
}

/// Runs a future that only computes (planning) to its end on this thread.
pub(crate) fn block_on<F: Future>(future: F) -> Result<F::Output> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .map_err(|e| DataFusionError::External(Box::new(e)))?;
    Ok(runtime.block_on(future))
}

/// Time of a thread that planning one text may take. Texts within the budget of [`sandbox`] take milliseconds.
/// A build without optimisation takes many times as long.
const PLANNING: Duration = Duration::from_secs(if cfg!(debug_assertions) { 60 } else { 4 });

/// Plans on a thread with a stack of a known size, within [`PLANNING`].
pub(crate) fn planned<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    with_stack(|| within(Deadline::of_work(PLANNING), work))
}

/// Runs `work` on a thread with a stack of a known size; a panic there is an error here.
pub(crate) fn with_stack<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("sql".to_owned())
            .stack_size(STACK)
            .spawn_scoped(scope, work)
            .map_err(|e| DataFusionError::External(Box::new(e)))?;
        thread.join().unwrap_or_else(|_| {
            Err(DataFusionError::Execution("this text makes the planner panic".to_owned()))
        })
    })
}
