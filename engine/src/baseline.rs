//! A baseline file ready to run: its SELECT compiled, its columns found, rows of batches fed to the
//! model, and the plan of its operator in the stream. Not the model (`baseline`), and not where the
//! rows come from.

mod columns;
mod known;
mod plan;
mod profiles;
mod test;
mod warm;

use std::{path::PathBuf, sync::Arc};

use arrow::record_batch::RecordBatch;
use sluice_baseline::{Baseline, Feature, FeatureKind, POLICY, PeerSource, Spec, Unit};
use sluice_rule::{BaselineFile, BaselineKind, BaselineUnit, Diagnostic, Span};
use sluice_sql::{Compiler, Select, SqlProblem};

use crate::{
    EngineError, LoadedRule, Problem,
    content::{SqlText, builtin_baselines, read_sql},
};
use columns::Columns;

pub use known::StoredBaselines;
pub(crate) use known::{sample, table, tables};
pub(crate) use profiles::{BaselineState, comparisons, profiles};
pub use profiles::{ComparedEntity, KnownEntity};
pub use test::test_baseline;
pub use warm::{WarmStart, Warmed, warm_start};

/// A baseline file, compiled.
#[derive(Debug)]
pub struct LoadedBaseline {
    /// The file.
    pub file: BaselineFile,
    /// The rule its findings are of, with the plan that the stream runs; `None` for one over the
    /// records of a file.
    pub rule: Option<LoadedRule>,
    select: Select,
    columns: Columns,
}

/// Rows that could not be fed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unfed {
    /// Rows without a time.
    pub no_time: u64,
    /// Rows on which an expression of the SELECT failed.
    pub failed: u64,
}

impl LoadedBaseline {
    /// Reads a file and compiles its SELECT. `below` is its path below the content directory; `None`
    /// for a file outside of one. Warnings come beside it.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(
        path: &str,
        below: Option<&str>,
        text: &str,
    ) -> Result<(LoadedBaseline, Vec<Problem>), Vec<Problem>> {
        let problems = |found: Vec<Diagnostic>| {
            let shown: Arc<str> = text.into();
            let problem = |diagnostic| Problem { diagnostic, text: Some(shown.clone()) };
            found.into_iter().map(problem).collect::<Vec<_>>()
        };
        let (file, warnings) = BaselineFile::parse(path, below, text).map_err(problems)?;
        let wire = file.columns.as_ref().map(|c| c.arrow());
        let select = Select::compile(wire.as_ref(), &file.file.sql)
            .map_err(|found| problems(found.into_iter().map(|p| diagnostic(path, p)).collect()))?;
        let columns = Columns::find(&file, select.schema()).map_err(problems)?;
        Ok((LoadedBaseline { file, rule: None, select, columns }, problems(warnings)))
    }

    /// Plans its operator over the tables of `compiler`; one over the records of a file has none.
    fn plan(&mut self, compiler: &Compiler) -> Result<Vec<Problem>, Vec<Problem>> {
        if self.file.columns.is_some() {
            return Ok(Vec::new());
        }
        let file = &self.file.file;
        let problem = |diagnostic| Problem { diagnostic, text: Some(file.text.clone()) };
        let problems = |found: Vec<Diagnostic>| found.into_iter().map(problem).collect::<Vec<_>>();
        let planned = plan::compile(compiler, &self.file, &self.columns, self.spec());
        let (rule, mut warnings) = planned.map_err(problems)?;
        warnings.retain(|warning| !file.is_allowed(warning));
        let warnings = problems(warnings);
        self.rule = Some(rule);
        Ok(warnings)
    }

    /// The table FROM names; `input` for a file's own records.
    pub fn from(&self) -> &str {
        self.select.from()
    }

    /// What the model is told.
    pub fn spec(&self) -> Spec {
        let file = &self.file;
        Spec {
            id: file.id.as_str().into(),
            entity: file.entity,
            unit: match file.unit {
                BaselineUnit::Day => Unit::Day,
                BaselineUnit::Session(gap) => Unit::Session(gap),
                BaselineUnit::Events(n) => Unit::Events(n),
            },
            features: file
                .features
                .iter()
                .map(|f| Feature {
                    name: f.name.as_str().into(),
                    kind: match &f.kind {
                        BaselineKind::Categorical(_) => FeatureKind::Categorical,
                        BaselineKind::Edge(_) => FeatureKind::Edge,
                        BaselineKind::TimeOfWeek(_) => FeatureKind::TimeOfWeek,
                        BaselineKind::Count(windows) => FeatureKind::Count(windows.clone()),
                        BaselineKind::Distinct(_, windows) => {
                            FeatureKind::Distinct(windows.clone())
                        }
                        BaselineKind::Numeric(_) => FeatureKind::Numeric,
                    },
                    reads: match &f.kind {
                        BaselineKind::Count(_) | BaselineKind::TimeOfWeek(None) => "",
                        BaselineKind::Categorical(column)
                        | BaselineKind::Edge(column)
                        | BaselineKind::Numeric(column)
                        | BaselineKind::Distinct(column, _)
                        | BaselineKind::TimeOfWeek(Some(column)) => column.name.as_str(),
                    }
                    .into(),
                    tactic: f.tactic.as_deref().map(Into::into),
                })
                .collect(),
            alarm_rate: file.alarm_rate,
            half_life: file.half_life,
            warmup: file.warmup,
            peers: PeerSource { directory: file.peers.directory, learned: file.peers.learned },
        }
    }

    /// The model without history.
    pub fn baseline(&self) -> Baseline {
        Baseline::new(self.spec(), POLICY, 1)
    }

    /// Feeds rows of the input to the model. `uid` gives the identity of a row by its index; it
    /// breaks ties of time. Returns the newest time and what could not be fed.
    pub fn feed(
        &self,
        baseline: &mut Baseline,
        batch: &RecordBatch,
        uid: impl Fn(u32) -> u128,
    ) -> (Option<i64>, Unfed) {
        let selected = self.select.apply(batch);
        let mut unfed = Unfed { failed: selected.failed.len() as u64, ..Unfed::default() };
        let newest = self.columns.feed(baseline, &selected, uid, &mut unfed);
        (newest, unfed)
    }
}

/// The baselines in files, folders or `builtin` that compiled, in id order, and what is wrong with
/// any.
///
/// # Errors
/// If a named file or folder cannot be read.
pub fn load_baselines(
    paths: &[PathBuf],
) -> Result<(Vec<LoadedBaseline>, Vec<Problem>), EngineError> {
    let files = read_sql(paths, builtin_baselines)?.into_iter();
    // A folder of content holds rules beside them.
    let files = files.filter(|file| !file.below.contains('/') || is_baseline(file));
    let mut problems = Vec::new();
    let loaded = load_files(&Compiler::new(Vec::new()), files.collect(), &mut problems);
    Ok((loaded, problems))
}

/// Whether a file is one of a baseline, by its place.
pub(crate) fn is_baseline(file: &SqlText) -> bool {
    file.below.starts_with("baselines/")
}

/// The shipped baselines that rules ask by name and that are not among those given: rules of one folder ask
/// what lies beside the folder.
pub(crate) fn asked_of_builtin(rules: &[SqlText], given: &[SqlText]) -> Vec<SqlText> {
    let asks = |name: &str| {
        let texts = rules.iter().filter_map(|rule| rule.text.as_deref().ok());
        let mut asking = texts.filter(|text| text.contains("surprise("));
        let names = [format!("'{name}'"), format!("'baselines.{name}'")];
        asking.any(|text| names.iter().any(|name| text.contains(name)))
    };
    let name =
        |below: &str| below.strip_prefix("baselines/")?.strip_suffix(".sql").map(str::to_owned);
    let is_asked = |file: &SqlText| {
        let is_given = given.iter().any(|other| other.below == file.below);
        !is_given && name(&file.below).is_some_and(|name| asks(&name))
    };
    builtin_baselines().into_iter().filter(is_asked).collect()
}

/// The baselines that compiled, in id order.
pub(crate) fn load_files(
    compiler: &Compiler,
    files: Vec<SqlText>,
    problems: &mut Vec<Problem>,
) -> Vec<LoadedBaseline> {
    let mut loaded: Vec<LoadedBaseline> = Vec::new();
    for file in files {
        let text = match file.text {
            Ok(text) => text,
            Err(reason) => {
                let diagnostic = Diagnostic::error("R006", &file.path, reason);
                problems.push(Problem { diagnostic, text: None });
                continue;
            }
        };
        let planned = LoadedBaseline::load(&file.path, Some(&file.below), &text).and_then(
            |(mut baseline, mut warnings)| {
                warnings.extend(baseline.plan(compiler)?);
                Ok((baseline, warnings))
            },
        );
        match planned {
            Ok((baseline, warnings)) => {
                problems.extend(warnings);
                loaded.push(baseline);
            }
            Err(errors) => problems.extend(errors),
        }
    }
    loaded.sort_by(|a, b| a.file.id.cmp(&b.file.id));
    loaded
}

fn diagnostic(path: &str, problem: SqlProblem) -> Diagnostic {
    let mut found = Diagnostic::error(problem.code, path, problem.message);
    if let Some((line, column, length)) = problem.span {
        let small = |x: u64| u32::try_from(x).unwrap_or(u32::MAX);
        found = found.at(Span::new(small(line), small(column), small(length)));
    }
    if let Some(detail) = problem.detail {
        found = found.detail(detail);
    }
    match problem.hint {
        Some(hint) => found.hint(hint),
        None => found,
    }
}
