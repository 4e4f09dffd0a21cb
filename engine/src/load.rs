//! From folders of SQL files to something that runs: parse, compile, merge. Every problem of every
//! file at once; one bad file never hides another.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use sluice_event::{Aliases, TableName};
use sluice_ingest::{SourceSpec, builtin_mappings};
use sluice_rule::{Diagnostic, Level, Mapping, Rule, duplicate_ids, lint};
use sluice_sql::{Compiler, RawTable};

use crate::{
    EngineError, LoadedRule, RuleSet,
    baseline::{self, LoadedBaseline},
    content::{SqlText, builtin_baselines, builtin_rules, read_sql},
    durable::Criticalities,
    fillable,
    layers::{self, Layers},
    lookups,
};

/// What the given folders hold, compiled.
#[derive(Debug)]
pub struct Content {
    /// Compiles further SQL over the same tables.
    pub compiler: Compiler,
    /// The sources, in name order.
    pub sources: Vec<Arc<SourceSpec>>,
    /// The mapping files of them.
    pub mappings: Vec<Arc<Mapping>>,
    /// Other names of users and devices, from the lookups `identity` and `asset`.
    pub aliases: Arc<Aliases>,
    /// How much users and devices matter, from the same lookups.
    pub criticality: Arc<Criticalities>,
    /// The rules that compiled, in id order.
    pub rules: Vec<LoadedRule>,
    /// The baselines that compiled, in id order.
    pub baselines: Vec<LoadedBaseline>,
    /// What is wrong, or could be better, with any file.
    pub problems: Vec<Problem>,
    /// Whether every mapping was loaded.
    pub mappings_loaded: bool,
}

/// A diagnostic and the text of its file.
#[derive(Clone, Debug)]
pub struct Problem {
    /// What is wrong.
    pub diagnostic: Diagnostic,
    /// The file's text, to show the line.
    pub text: Option<Arc<str>>,
}

impl Content {
    /// Reads and compiles `mappings` and `rules`: files, folders, or `builtin`.
    ///
    /// # Errors
    /// If a named file or folder cannot be read. What is wrong *in* a file is in `problems`.
    pub fn load(mappings: &[PathBuf], rules: &[PathBuf]) -> Result<Content, EngineError> {
        Content::load_with(mappings, rules, &[])
    }

    /// [`Content::load`] with `lookups`: files, or folders of files, that rules ask.
    ///
    /// # Errors
    /// If a named file or folder cannot be read.
    pub fn load_with(
        mappings: &[PathBuf],
        rules: &[PathBuf],
        lookups: &[PathBuf],
    ) -> Result<Content, EngineError> {
        let mut problems = Vec::new();
        let mapping_files = read_sql(mappings, || {
            let shown = |below: &str| format!("ingest/mappings/{below}");
            builtin_mappings()
                .into_iter()
                .map(|(below, text)| SqlText { path: shown(&below), below, text: Ok(text) })
                .collect()
        })?;
        let mut mappings: Vec<Arc<Mapping>> =
            parse(mapping_files, &mut problems, Mapping::parse).into_iter().map(Arc::new).collect();
        // One that is not where its id says parses and is refused.
        mappings.retain(|m| !problems.iter().any(|p| refuses(p, &m.file.path)));
        let schemas = SourceSpec::wire_schemas(&mappings);
        let raw = schemas
            .iter()
            .map(|(source, schema)| RawTable {
                name: TableName::raw(source),
                schema: schema.clone(),
            })
            .collect();
        let lookups = lookups::read(lookups, &mut problems)?;
        let compiler = Compiler::new(raw).knowing(&lookups);
        let aliases = lookups::aliases(&lookups).unwrap_or_else(|diagnostic| {
            problems.push(Problem { diagnostic, text: None });
            Aliases::default()
        });
        let aliases = Arc::new(aliases);
        let criticality = lookups::criticality(&lookups).unwrap_or_else(|wrong| {
            problems.extend(wrong.into_iter().map(|diagnostic| Problem { diagnostic, text: None }));
            Criticalities::default()
        });
        let sources = match SourceSpec::from_mappings(&mappings, |mapping, wire| {
            compiler.compile_mapping(mapping, wire)
        }) {
            Ok(sources) => sources
                .into_iter()
                .map(|source| Arc::new(SourceSpec { aliases: aliases.clone(), ..source }))
                .collect(),
            Err(diagnostics) => {
                let texts: BTreeMap<&str, &Arc<str>> =
                    mappings.iter().map(|m| (m.file.path.as_str(), &m.file.text)).collect();
                problems.extend(diagnostics.into_iter().map(|diagnostic| Problem {
                    text: texts.get(diagnostic.path.as_str()).map(|t| (*t).clone()),
                    diagnostic,
                }));
                Vec::new()
            }
        };
        let mappings_loaded = problems.iter().all(|p| p.diagnostic.level != Level::Error);
        let builtin = || [builtin_rules(), builtin_baselines()].into_iter().flatten().collect();
        // Baselines lie beside the rules.
        let (mut baseline_files, rule_files): (Vec<SqlText>, Vec<SqlText>) =
            read_sql(rules, builtin)?.into_iter().partition(baseline::is_baseline);
        baseline_files.extend(baseline::asked_of_builtin(&rule_files, &baseline_files));
        let baselines = baseline::load_files(&compiler, baseline_files, &mut problems);
        let compiler = compiler.asking(baseline::tables(&baselines));
        let parsed = parse(rule_files, &mut problems, Rule::parse);
        problems.extend(duplicate_ids(&parsed).into_iter().map(|diagnostic| {
            let file = parsed.iter().find(|r| r.file.path == diagnostic.path);
            Problem { text: file.map(|r| r.file.text.clone()), diagnostic }
        }));
        let mut rules: Vec<LoadedRule> =
            parsed.into_iter().filter_map(|rule| compile(&compiler, rule, &mut problems)).collect();
        rules.sort_by(|a, b| a.plan.rule.cmp(&b.plan.rule));
        refuse_circles(&mut rules, &mut problems);
        {
            let found_by = baselines.iter().filter_map(|b| b.rule.as_ref());
            let all: Vec<&LoadedRule> = rules.iter().chain(found_by).collect();
            problems.extend(rules.iter().filter_map(|loaded| reads_nobody(loaded, &all)));
        }
        problems.extend(rules.iter().filter_map(|loaded| {
            let files = mappings.iter().map(AsRef::as_ref);
            let why = fillable::cannot_fire(&loaded.plan.branches, files)?;
            let file = &loaded.rule.file;
            let diagnostic =
                Diagnostic::warning("R039", &file.path, "the rule cannot fire as things are")
                    .at(loaded.rule.place("id"))
                    .detail(why)
                    .hint("it will with a mapping that does: `--mappings`");
            let told = !file.is_allowed(&diagnostic);
            told.then(|| Problem { diagnostic, text: Some(file.text.clone()) })
        }));
        Ok(Content {
            compiler,
            sources,
            mappings,
            aliases,
            criticality: Arc::new(criticality),
            rules,
            baselines,
            problems,
            mappings_loaded,
        })
    }

    /// Compiles one more rule, from text.
    ///
    /// # Errors
    /// Everything that keeps it from being loaded.
    pub fn compile(&self, path: &str, text: &str) -> Result<LoadedRule, Vec<Problem>> {
        let mut problems = Vec::new();
        let file = SqlText { path: path.into(), below: path.into(), text: Ok(text.to_owned()) };
        let rule = parse(vec![file], &mut problems, Rule::parse).pop();
        rule.and_then(|rule| compile(&self.compiler, rule, &mut problems)).ok_or(problems)
    }

    /// Everything that makes findings: the rules, then those of the baselines.
    pub fn running(&self) -> impl Iterator<Item = &LoadedRule> {
        self.rules.iter().chain(self.baselines.iter().filter_map(|b| b.rule.as_ref()))
    }

    /// The rules and baselines as a set that runs.
    pub fn rule_set(&self) -> RuleSet {
        RuleSet::new(self.running().cloned().collect(), |table| self.compiler.schema(table))
    }

    /// Problems that kept a file from being loaded.
    pub fn errors(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter().filter(|p| p.diagnostic.level == Level::Error)
    }
}

/// Takes out rules that read each other's findings in a circle.
fn refuse_circles(rules: &mut Vec<LoadedRule>, problems: &mut Vec<Problem>) {
    let (_, circles) = Layers::of(rules);
    rules.retain(|loaded| {
        let refused = circles.iter().find_map(|circle| circle.refuses(loaded));
        let keeps = refused.is_none();
        problems.extend(
            refused.map(|diagnostic| Problem {
                diagnostic,
                text: Some(loaded.rule.file.text.clone()),
            }),
        );
        keeps
    });
}

/// A rule over the findings of rules that are not loaded.
fn reads_nobody(loaded: &LoadedRule, all: &[&LoadedRule]) -> Option<Problem> {
    let file = &loaded.rule.file;
    let diagnostic = Diagnostic::warning("R039", &file.path, "the rule cannot fire as things are")
        .at(loaded.rule.place("id"))
        .detail("it reads findings of rules that are not loaded")
        .hint("it will when rules of such ids are loaded");
    let told = layers::names_nobody(loaded, all) && !file.is_allowed(&diagnostic);
    told.then(|| Problem { diagnostic, text: Some(file.text.clone()) })
}

/// Parses every file; the readable reason why one could not be is a problem like any other.
fn parse<T>(
    files: Vec<SqlText>,
    problems: &mut Vec<Problem>,
    parse: impl Fn(&str, &str, &str) -> Result<(T, Vec<Diagnostic>), Vec<Diagnostic>>,
) -> Vec<T> {
    let mut parsed = Vec::new();
    for file in files {
        let text = match file.text {
            Ok(text) => text,
            Err(reason) => {
                let diagnostic = Diagnostic::error("R006", &file.path, reason);
                problems.push(Problem { diagnostic, text: None });
                continue;
            }
        };
        let found = match parse(&file.path, &file.below, &text) {
            Ok((value, warnings)) => {
                parsed.push(value);
                warnings
            }
            Err(errors) => errors,
        };
        let text: Arc<str> = text.into();
        problems.extend(
            found.into_iter().map(|diagnostic| Problem { diagnostic, text: Some(text.clone()) }),
        );
    }
    parsed
}

/// Whether a problem keeps a file from being loaded.
fn refuses(problem: &Problem, path: &str) -> bool {
    problem.diagnostic.level == Level::Error && problem.diagnostic.path == path
}

fn compile(compiler: &Compiler, rule: Rule, problems: &mut Vec<Problem>) -> Option<LoadedRule> {
    let text = rule.file.text.clone();
    if !rule.is_enabled() {
        let diagnostic = Diagnostic::info(
            "R037",
            &rule.file.path,
            "the rule is not loaded: `status: unsupported`",
        )
        .at(rule.place("status"));
        problems.push(Problem { diagnostic, text: Some(text) });
        return None;
    }
    let mut note = |list: Vec<Diagnostic>| {
        let list = list.into_iter().filter(|d| !rule.file.is_allowed(d));
        problems.extend(list.map(|diagnostic| Problem { diagnostic, text: Some(text.clone()) }));
    };
    let own = match lookups::for_cases(compiler, &rule, None) {
        Ok(own) => own,
        Err(wrong) => {
            note(vec![Diagnostic::error("R009", &rule.file.path, wrong)]);
            return None;
        }
    };
    note(
        lookups::missing(compiler, &rule)
            .into_iter()
            .map(|name| {
                let text = format!("the lookup `{name}` is not loaded: it has no rows");
                Diagnostic::warning("R039", &rule.file.path, text)
                    .at(rule.place("id"))
                    .hint(format!("a file {name}.csv or {name}.json in a folder of `lookups`"))
            })
            .collect(),
    );
    let compiled = match own.as_ref().unwrap_or(compiler).compile_rule(&rule) {
        Ok(compiled) => compiled,
        Err(errors) => {
            note(errors);
            return None;
        }
    };
    note(compiled.warnings);
    note(lint(&rule));
    if problems.iter().any(|p| refuses(p, &rule.file.path)) {
        return None;
    }
    let lookups = compiled.lookups.into();
    Some(LoadedRule { plan: Arc::new(compiled.plan), rule: Arc::new(rule), lookups })
}
