//! `sluice rule lint`: every problem of every file at once, offline.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use sluice_engine::Content;
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
        let content = Content::load(&self.content.mappings, &paths)?;
        let format = out.format();
        let problems = &content.problems;
        match format {
            Format::Table | Format::Md => {
                for problem in problems {
                    out.text(&problem.diagnostic.render(problem.text.as_deref()))?;
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
            eprintln!("{} rules loaded, {} problems", content.rules.len(), problems.len());
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
