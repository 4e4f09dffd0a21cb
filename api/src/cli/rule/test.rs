//! `sluice rule test`: the tests block of each rule, on the real engine, every way that must agree.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use sluice_engine::{baseline::test_baseline, rule_test::test_rule};

use super::{ContentArgs, paths_or_default};
use crate::cli::{
    Format,
    exit::{Exit, Failure},
    load,
    output::Output,
    progress,
};

/// Each case runs as listed, one row per batch, split and sharded at random, shuffled within
/// lateness, saved and restored, and (but for baselines) by DataFusion in batch. Exit code 1 if any differs, 2 if a
/// rule could not be loaded.
#[derive(Debug, Args)]
pub(crate) struct Test {
    /// Rule files or folders; default: `rules`, else the shipped rules.
    paths: Vec<PathBuf>,
    /// Only rules and cases whose id or name contains this.
    #[arg(long, default_value = "")]
    filter: String,
    /// Decides splits and shuffles; a failure prints it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Fail rules with fewer tests than this.
    #[arg(long, default_value_t = 0)]
    min_tests: usize,
    #[command(flatten)]
    content: ContentArgs,
}

impl Test {
    pub(crate) fn run(self, out: &mut Output) -> Result<Exit, Failure> {
        let paths = paths_or_default(self.paths)?;
        let (content, whole) =
            load::usable(&self.content.mappings, &paths, &self.content.lookups, out.quiet())?;
        let bar = progress::bar(0, out.quiet());
        let (mut passed, mut failed) = (0, 0);
        for loaded in content.running() {
            let id = loaded.rule.id.to_string();
            bar.set_message(id.clone());
            let reports = match content.baselines.iter().find(|b| b.file.id == loaded.rule.id) {
                Some(baseline) => test_baseline(&content, baseline, self.seed),
                None => test_rule(&content, loaded, self.seed),
            };
            if reports.len() < self.min_tests {
                failed += 1;
                let has = reports.len();
                out.line(&format!("FAIL {id}: {has} tests, at least {} wanted", self.min_tests))?;
            }
            for report in reports {
                if !id.contains(&self.filter) && !report.name.contains(&self.filter) {
                    continue;
                }
                let ok = report.failures.is_empty();
                if ok {
                    passed += 1
                } else {
                    failed += 1
                }
                if out.format() == Format::Table {
                    let word = if ok { "ok  " } else { "FAIL" };
                    out.line(&format!("{word} {id}: {}", report.name))?;
                    for failure in &report.failures {
                        out.line(&format!("     {failure}"))?;
                    }
                    if !ok {
                        let path = &loaded.rule.file.path;
                        out.line(&format!("     at {path}:{} (seed {})", report.line, self.seed))?;
                    }
                } else {
                    out.json_line(&json!({
                        "rule_id": id, "case": report.name, "line": report.line, "passed": ok,
                        "failures": report.failures, "seed": self.seed,
                    }))?;
                }
            }
        }
        bar.finish_and_clear();
        let rules = content.running().count();
        eprintln!("{rules} rules: {passed} passed, {failed} failed");
        Ok(match (failed == 0, whole) {
            (false, _) => Exit::CheckFailed,
            (true, false) => Exit::NotLoaded,
            (true, true) => Exit::Done,
        })
    }
}
