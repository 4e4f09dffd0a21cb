//! `sluice baseline ..`: check baseline files, run their tests, measure one against labels, learn before
//! going live.

mod eval;
mod read;
mod warm;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;
use sluice_engine::{
    Content, Problem,
    baseline::{LoadedBaseline, load_baselines, test_baseline},
};
use sluice_rule::Level;

use super::{
    Format,
    exit::{Exit, Failure},
    output::Output,
};

#[derive(Debug, Subcommand)]
pub(crate) enum BaselineVerb {
    /// Check baseline files without running them
    Lint(Lint),
    /// Run the tests in baseline files
    Test(Test),
    /// Score labelled events: each unit before it is learned
    Eval(eval::Eval),
    WarmStart(Box<warm::Warm>),
}

impl BaselineVerb {
    pub(crate) fn run(self, out: &mut Output) -> Result<Exit, Failure> {
        match self {
            BaselineVerb::Lint(verb) => verb.run(out),
            BaselineVerb::Test(verb) => verb.run(out),
            BaselineVerb::Eval(verb) => verb.run(out),
            BaselineVerb::WarmStart(verb) => verb.run(out),
        }
    }
}

/// Exit code 2 if a file has an error.
#[derive(Debug, Args)]
pub(crate) struct Lint {
    /// Baseline files or folders; default: what this binary ships.
    paths: Vec<PathBuf>,
}

impl Lint {
    fn run(self, out: &mut Output) -> Result<Exit, Failure> {
        let (loaded, problems) = load(self.paths)?;
        let errors = problems.iter().filter(|p| p.diagnostic.level == Level::Error).count();
        for problem in &problems {
            if out.format() == Format::Table {
                out.text(&problem.diagnostic.render(problem.text.as_deref()))?;
                out.text("\n")?;
            } else {
                out.json_line(&json!(problem.diagnostic))?;
            }
        }
        eprintln!("{} baselines, {errors} errors", loaded.len());
        Ok(if errors == 0 { Exit::Done } else { Exit::NotLoaded })
    }
}

/// Exit code 1 if a case fails.
#[derive(Debug, Args)]
pub(crate) struct Test {
    /// Baseline files or folders; default: what this binary ships.
    paths: Vec<PathBuf>,
    /// Only baselines and cases whose id or name contains this.
    #[arg(long, default_value = "")]
    filter: String,
    /// Of the shuffles and splits.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl Test {
    fn run(self, out: &mut Output) -> Result<Exit, Failure> {
        let (loaded, problems) = load(self.paths)?;
        refuse(problems)?;
        let content = Content::load(&[], &[])?;
        let (mut passed, mut failed) = (0, 0);
        for baseline in &loaded {
            let id = baseline.file.id.as_str();
            for report in test_baseline(&content, baseline, self.seed) {
                if !id.contains(&self.filter) && !report.name.contains(&self.filter) {
                    continue;
                }
                let ok = report.failures.is_empty();
                passed += usize::from(ok);
                failed += usize::from(!ok);
                if out.format() != Format::Table {
                    out.json_line(&json!({
                        "baseline_id": id, "case": report.name, "line": report.line,
                        "passed": ok, "failures": report.failures,
                    }))?;
                    continue;
                }
                let word = if ok { "ok  " } else { "FAIL" };
                out.line(&format!("{word} {id}: {}", report.name))?;
                for failure in &report.failures {
                    out.line(&format!("     {failure}"))?;
                }
                if !ok {
                    out.line(&format!("     at {}:{}", baseline.file.file.path, report.line))?;
                }
            }
        }
        eprintln!("{} baselines: {passed} passed, {failed} failed", loaded.len());
        Ok(if failed == 0 { Exit::Done } else { Exit::CheckFailed })
    }
}

fn load(mut paths: Vec<PathBuf>) -> Result<(Vec<LoadedBaseline>, Vec<Problem>), Failure> {
    if paths.is_empty() {
        paths.push("builtin".into());
    }
    Ok(load_baselines(&paths)?)
}

/// All errors at once, if there is one.
fn refuse(problems: Vec<Problem>) -> Result<(), Failure> {
    let errors: Vec<_> = problems
        .into_iter()
        .filter(|p| p.diagnostic.level == Level::Error)
        .map(|p| (p.diagnostic, p.text.as_deref().map(str::to_owned)))
        .collect();
    if errors.is_empty() { Ok(()) } else { Err(Failure::NotLoaded(errors)) }
}
