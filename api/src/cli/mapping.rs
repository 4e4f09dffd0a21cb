//! `sluice mapping ..`: test mappings, or show the rows they make of a file.

mod drift;
mod new;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;
use sluice_engine::{Content, mapping_test::test_mapping};

use super::{
    Format,
    eval::{InputArgs, map_rows},
    exit::{Exit, Failure},
    load,
    output::Output,
};

#[derive(Debug, Subcommand)]
pub(crate) enum MappingVerb {
    /// Run the tests in mapping files
    Test(Test),
    /// Print the rows a mapping makes of a file, one JSON object a line
    Run(Run),
    /// List the fields of a file that no mapping reads, nested ones too
    Drift(drift::Drift),
    /// Write a mapping to begin with for a log that no source knows
    New(new::New),
}

impl MappingVerb {
    pub(crate) fn run(self, out: &mut Output) -> Result<Exit, Failure> {
        match self {
            MappingVerb::Test(verb) => verb.run(out),
            MappingVerb::Run(verb) => verb.run(out),
            MappingVerb::Drift(verb) => verb.run(out),
            MappingVerb::New(verb) => verb.run(out),
        }
    }
}

/// Exit code 1 if a row is not as expected.
#[derive(Debug, Args)]
pub(crate) struct Test {
    /// Mapping files or folders; default: what this binary ships.
    paths: Vec<PathBuf>,
    /// Only mappings and cases whose id or name contains this.
    #[arg(long, default_value = "")]
    filter: String,
}

impl Test {
    fn run(self, out: &mut Output) -> Result<Exit, Failure> {
        let paths = if self.paths.is_empty() { vec!["builtin".into()] } else { self.paths };
        let content: Content = load::content(&paths, &[], &[], out.quiet())?;
        let (mut passed, mut failed) = (0, 0);
        for mapping in &content.mappings {
            for report in test_mapping(&content, mapping) {
                let id = mapping.id.as_str();
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
                        out.line(&format!("     at {}:{}", mapping.file.path, report.line))?;
                    }
                } else {
                    out.json_line(&json!({
                        "mapping_id": id, "case": report.name, "line": report.line,
                        "passed": ok, "failures": report.failures,
                    }))?;
                }
            }
        }
        eprintln!("{} mappings: {passed} passed, {failed} failed", content.mappings.len());
        Ok(if failed == 0 { Exit::Done } else { Exit::CheckFailed })
    }
}

/// Records that make no row are reported on stderr by line, code and reason, and counted.
#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    input: InputArgs,
}

impl Run {
    fn run(self, out: &mut Output) -> Result<Exit, Failure> {
        map_rows(&self.input, out)
    }
}
