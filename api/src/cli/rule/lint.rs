//! `sluice rule lint`: every problem of every file at once, offline.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use sluice_engine::{Content, Problem};
use sluice_rule::Level;

use super::{ContentArgs, level, paths_or_default};
use crate::cli::{
    Format,
    exit::{Exit, Failure},
    output::Output,
};

/// Exit code 1 if a problem is at or above the fail level, 2 if a rule could not be loaded.
#[derive(Debug, Args)]
pub(crate) struct Lint {
    /// Rule files or folders; default: `rules`, else the shipped rules.
    paths: Vec<PathBuf>,
    /// The least serious level that fails: error, warning or info.
    #[arg(long, default_value = "error", value_parser = level)]
    fail_level: Level,
    #[command(flatten)]
    content: ContentArgs,
}

impl Lint {
    pub(crate) fn run(self, out: &mut Output) -> Result<Exit, Failure> {
        let paths = paths_or_default(self.paths)?;
        let content = Content::load_with(&self.content.mappings, &paths, &self.content.lookups)?;
        let format = out.format();
        let problems = &content.problems;
        match format {
            Format::Table | Format::Md => {
                for group in groups(problems) {
                    let Some((first, others)) = group.split_first() else { continue };
                    out.text(&first.diagnostic.render(first.text.as_deref()))?;
                    if !others.is_empty() {
                        out.text(&also(others))?;
                    }
                    out.text("\n")?;
                }
            }
            Format::Ndjson => {
                for problem in problems {
                    out.json_line(&json!(problem.diagnostic))?;
                }
            }
            Format::Json => {
                let of =
                    |level: Level| problems.iter().filter(|p| p.diagnostic.level == level).count();
                let findings: Vec<_> = problems.iter().map(|p| json!(p.diagnostic)).collect();
                out.json(&json!({
                    "summary": {
                        "rules": content.rules.len(), "errors": of(Level::Error),
                        "warnings": of(Level::Warning), "infos": of(Level::Info),
                    },
                    "findings": findings,
                }))?;
            }
        }
        if !out.quiet() {
            let of = |level: Level| problems.iter().filter(|p| p.diagnostic.level == level).count();
            eprintln!(
                "{} rules loaded; {} errors, {} warnings, {} remarks",
                content.rules.len(),
                of(Level::Error),
                of(Level::Warning),
                of(Level::Info)
            );
        }
        let serious = |level: Level| match level {
            Level::Error => 2,
            Level::Warning => 1,
            Level::Info => 0,
        };
        if content.errors().next().is_some() {
            return Ok(Exit::NotLoaded);
        }
        let fails =
            problems.iter().any(|p| serious(p.diagnostic.level) >= serious(self.fail_level));
        Ok(if fails { Exit::CheckFailed } else { Exit::Done })
    }
}

/// Problems in the order they are printed: the least serious first, so that errors stand at the end;
/// the same advice for many files together.
fn groups(problems: &[Problem]) -> Vec<Vec<&Problem>> {
    let mut groups: Vec<Vec<&Problem>> = Vec::new();
    for level in [Level::Info, Level::Warning, Level::Error] {
        for problem in problems.iter().filter(|p| p.diagnostic.level == level) {
            let same = |group: &&mut Vec<&Problem>| {
                level != Level::Error
                    && group.first().is_some_and(|first| {
                        let (a, b) = (&first.diagnostic, &problem.diagnostic);
                        (a.code, &a.primary, &a.hint) == (b.code, &b.primary, &b.hint)
                    })
            };
            match groups.iter_mut().find(same) {
                Some(group) => group.push(problem),
                None => groups.push(vec![problem]),
            }
        }
    }
    groups
}

/// Where else the advice above holds.
fn also(others: &[&Problem]) -> String {
    const SHOWN: usize = 5;
    let place = |p: &&Problem| match p.diagnostic.span {
        Some(span) => format!("{}:{}", p.diagnostic.path, span.line),
        None => p.diagnostic.path.clone(),
    };
    let mut places: Vec<String> = others.iter().take(SHOWN).map(place).collect();
    if others.len() > SHOWN {
        places.push(format!("{} more (--output json lists all)", others.len() - SHOWN));
    }
    format!("   = also: {}\n", places.join(", "))
}
