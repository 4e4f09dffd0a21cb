//! Rules, mappings and queries in, plans out. This file is the order of the steps; each step is a
//! module: text ([`crate::refuse`]), types ([`crate::blame`]), shape ([`crate::classify`]),
//! conditions ([`crate::predicate`]), lowering (`lowering`).

mod alive;
mod asking;
mod lowering;
mod report;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc};

use arrow::{datatypes::SchemaRef, record_batch::RecordBatch};
use sluice_event::{Schema, TableName, Transform};
use sluice_rule::{Diagnostic, Mapping, Rule, Span};
use sluice_stream::StreamPlan;

use crate::{
    BatchFindings, SqlError, blame,
    classify::classify,
    dialect,
    error::SqlProblem,
    eval::Interner,
    known::{Asked, BaselineTable, KnownBaselines},
    lookup::{self, Joins, Lookups, joins_as_calls},
    refuse, sandbox,
    session::{Session, Tables, planned},
};

pub(crate) use report::place_in;

/// The typed wire records of a source before mapping.
#[derive(Clone, Debug)]
pub struct RawTable {
    /// `raw.<source>`, dots of the source as underscores.
    pub name: TableName,
    /// The wire columns.
    pub schema: SchemaRef,
}

/// Compiles SQL over a fixed set of tables.
///
/// Conditions of all rules compiled by one `Compiler` share ids: equal expressions are one.
///
/// ```
/// use sluice_rule::Rule;
/// use sluice_sql::Compiler;
/// use sluice_stream::Stage;
///
/// let text = "/*---
/// id: identity.refused
/// title: Many refused sign-ins of a user
/// severity: low
/// ---*/
/// SELECT user_name, count(*) AS n FROM authentication WHERE status = 'Failure'
/// GROUP BY user_name, sliding(time, INTERVAL '10 minutes') HAVING count(*) >= 10
/// ";
/// let (rule, _) = Rule::parse("identity/refused.sql", "identity/refused.sql", text).unwrap();
/// let compiled = Compiler::new(vec![]).compile_rule(&rule).unwrap();
/// assert!(matches!(compiled.plan.stage, Stage::Window(_)));
/// ```
#[derive(Debug)]
pub struct Compiler {
    session: Session,
    tables: Result<Tables, SqlProblem>,
    raw: BTreeMap<TableName, SchemaRef>,
    lookups: Lookups,
    /// The baselines that rules may ask, by name; `None` where nothing may.
    baselines: Option<Asked>,
    interner: Interner,
}

/// The table of what was found.
const FINDINGS: &str = "findings";

/// A rule that runs, and what its author should look at.
#[derive(Clone, Debug)]
pub struct CompiledRule {
    /// The plan.
    pub plan: StreamPlan,
    /// The lookups it asks, each with the version.
    pub lookups: Vec<(Arc<str>, Arc<str>)>,
    /// Warnings and remarks, in the order of their places.
    pub warnings: Vec<Diagnostic>,
}

/// The plan of a rule, the lookups it asks, and warnings.
type Compiled = (StreamPlan, Vec<(Arc<str>, Arc<str>)>, Vec<SqlProblem>);

/// What compiling needs to know of a rule.
#[derive(Clone, Debug, Default)]
pub(crate) struct RuleText<'a> {
    /// The id.
    pub(crate) id: &'a str,
    /// The file, for diagnostics.
    pub(crate) path: &'a str,
    /// The statement, blanked so that places are those of the file.
    pub(crate) sql: &'a str,
    /// The rule's own lateness, milliseconds.
    pub(crate) lateness: Option<i64>,
    /// A later moment to speak.
    pub(crate) emit: Option<Emit>,
    /// Compiles conditions that no row fulfils, for tests of how conditions are compiled.
    pub(crate) allow_dead: bool,
    /// The span of `suppression`, and whether it names columns.
    pub(crate) suppression: Option<(bool, Option<Span>)>,
    /// Output columns that the front matter names: key, column, where.
    pub(crate) columns: Vec<(&'static str, &'a str, Option<Span>)>,
}

/// When a rule speaks, if not as soon as it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Emit {
    /// When the watermark passes.
    Watermark,
    /// When nothing can change it.
    Final,
}

impl Compiler {
    /// A compiler over every table of the vocabulary, `events` and these.
    pub fn new(raw: Vec<RawTable>) -> Compiler {
        let raw: BTreeMap<_, _> = raw.into_iter().map(|t| (t.name, t.schema)).collect();
        let tables =
            Tables::stream(&raw).map_err(|e| SqlProblem::new("R011", crate::error::plain(&e)));
        let lookups = Lookups::default();
        Compiler {
            session: Session::rules(),
            tables,
            raw,
            lookups,
            baselines: None,
            interner: Interner::default(),
        }
    }

    /// A compiler over the same tables with these lookups. What both compile shares ids.
    pub fn knowing(&self, lookups: &Lookups) -> Compiler {
        self.over(lookups, self.baselines.clone())
    }

    /// A compiler over the same tables and lookups of rules that may ask these baselines with `surprise`.
    pub fn asking(&self, baselines: Vec<BaselineTable>) -> Compiler {
        self.over(&self.lookups, Some(Asked::declared(baselines)))
    }

    fn over(&self, lookups: &Lookups, baselines: Option<Asked>) -> Compiler {
        let session = Session::rules().knowing(lookups);
        Compiler {
            session: baselines.iter().fold(session, |session, asked| session.asking(asked)),
            tables: self.tables.clone(),
            raw: self.raw.clone(),
            lookups: lookups.clone(),
            baselines,
            interner: self.interner.clone(),
        }
    }

    /// The lookups it knows.
    pub fn lookups(&self) -> &Lookups {
        &self.lookups
    }

    /// The full schema of a table; `None` for `events` and unknown ones.
    pub fn schema(&self, table: &TableName) -> Option<SchemaRef> {
        // Each layer of rules over findings has a table of its own, with the same columns.
        let name = if table.is_findings() { FINDINGS } else { table.as_str() };
        self.raw.get(table).cloned().or_else(|| refuse::typed(name))
    }

    /// Compiles a rule.
    ///
    /// # Errors
    /// Everything that is wrong with it, in the order of places.
    pub fn compile_rule(&self, rule: &Rule) -> Result<CompiledRule, Vec<Diagnostic>> {
        let entity = rule.entity.iter().map(|(column, _)| ("entity", column.as_str()));
        let by = rule.suppression.iter().flat_map(|s| &s.by);
        let columns = entity.chain(by.map(|column| ("suppression", column.as_str())));
        self.compile_text(&RuleText {
            id: rule.id.as_str(),
            path: &rule.file.path,
            sql: &rule.file.sql,
            allow_dead: false,
            lateness: rule.lateness,
            emit: rule.emit.map(|emit| match emit {
                sluice_rule::Emit::Watermark => Emit::Watermark,
                sluice_rule::Emit::Final => Emit::Final,
            }),
            suppression: rule
                .suppression
                .as_ref()
                .map(|s| (!s.by.is_empty(), rule.place("suppression"))),
            columns: columns.map(|(key, column)| (key, column, rule.place(key))).collect(),
        })
    }

    /// Compiles a mapping over the wire columns of its source.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn compile_mapping(
        &self,
        mapping: &Mapping,
        wire: SchemaRef,
    ) -> Result<Arc<dyn Transform>, Vec<Diagnostic>> {
        let path = mapping.file.path.as_str();
        let Some(table) = Schema::builtin().table(mapping.to.as_str()) else {
            let primary = format!("no table `{}`", mapping.to);
            return Err(vec![Diagnostic::error("R011", path, primary)]);
        };
        let source = mapping.source.replace('.', "_");
        let when = mapping.when.as_ref().map(|when| when.text.as_str());
        crate::compile_transform(table, &source, wire, when, &mapping.file.sql, 0)
            .map_err(|found| report::diagnostics(found, &RuleText { path, ..RuleText::default() }))
    }

    /// Runs a rule over whole tables in DataFusion: what the stream must agree with.
    ///
    /// # Errors
    /// What is wrong with the text, or the value it fails on.
    pub fn batch(
        &self,
        rule: &Rule,
        tables: &BTreeMap<TableName, Vec<RecordBatch>>,
        history_start: Option<i64>,
    ) -> Result<BatchFindings, SqlError> {
        crate::batch_with(&rule.file.sql, tables, &self.lookups, history_start)
    }

    /// [`Compiler::batch`] of a rule that asks baselines: over rows of one day, `known` being what is known
    /// about it.
    ///
    /// # Errors
    /// What is wrong with the text, or the value it fails on.
    pub fn batch_of_day(
        &self,
        rule: &Rule,
        tables: &BTreeMap<TableName, Vec<RecordBatch>>,
        known: Arc<dyn KnownBaselines>,
    ) -> Result<BatchFindings, SqlError> {
        let lookups = self.lookups.asking(Asked(known));
        crate::batch_with(&rule.file.sql, tables, &lookups, None)
    }

    pub(crate) fn compile_text(
        &self,
        text: &RuleText<'_>,
    ) -> Result<CompiledRule, Vec<Diagnostic>> {
        // Planning recurses: on a stack of known size.
        let planned = planned(|| Ok(self.compile(text)));
        match planned {
            Ok(Ok((plan, lookups, warnings))) => {
                Ok(CompiledRule { plan, lookups, warnings: report::diagnostics(warnings, text) })
            }
            Ok(Err(problems)) => Err(report::diagnostics(problems, text)),
            Err(error) => Err(report::diagnostics(SqlProblem::all(&error), text)),
        }
    }

    fn compile(&self, text: &RuleText<'_>) -> Result<Compiled, Vec<SqlProblem>> {
        let all = |e: datafusion::common::DataFusionError| SqlProblem::all(&e);
        let tables = self.tables.as_ref().map_err(|e| vec![e.clone()])?;
        sandbox::check_text(text.sql).map_err(all)?;
        let mut statement =
            dialect::parse_one(text.sql).map_err(|e| vec![refuse::syntax(&e, text.sql)])?;
        let mut joins = joins_as_calls(&mut statement, &self.lookups, Joins::All);
        let catalogue = refuse::Catalogue { session: &self.session, raw: &self.raw, sql: text.sql };
        let mut checked = refuse::check(&statement, &catalogue);
        checked.refused.append(&mut joins);
        checked.refused.retain(|problem| !(text.allow_dead && problem.code == "R034"));
        if !checked.refused.is_empty() {
            return Err(checked.refused);
        }
        sandbox::check_statement(&statement).map_err(all)?;
        let asked = lookup::used(&statement);
        let raw = self
            .session
            .over(tables)
            .statement_to_plan(statement)
            .map_err(|e| blame::planning(&e, &catalogue))?;
        let mistyped = blame::types(&raw);
        if !mistyped.is_empty() {
            return Err(mistyped);
        }
        let plan = self.session.analyze(raw.clone()).map_err(|e| blame::analysis(&e, &raw))?;
        let shape = classify(&plan).map_err(|p| vec![p])?;
        let (plan, mut warnings) = lowering::lower(self, text, &plan, shape)?;
        warnings.extend(checked.advice);
        let lookups = self.lookups.iter().filter(|(name, _)| asked.contains(*name));
        let lookups = lookups.map(|(name, l)| (name.into(), Arc::clone(&l.table.version)));
        Ok((plan, lookups.collect(), warnings))
    }
}
