//! `sluice rule ..`: write, check, test and explain rules. The work is in `rule`, `sql`, `engine`.

mod explain;
mod lint;
mod test;

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use sluice_rule::{Level, Rule};

use super::{
    exit::{Exit, Failure},
    output::Output,
    schema,
};

#[derive(Debug, Subcommand)]
pub(crate) enum RuleVerb {
    /// Write a rule file that loads, with a firing and a quiet test
    New(New),
    /// Check rule files without any data
    Lint(lint::Lint),
    /// Run the tests in rule files, in every way a stream may come
    Test(test::Test),
    /// Show how a rule runs, and why an event did or did not match
    Explain(explain::Explain),
}

impl RuleVerb {
    pub(crate) fn run(self, out: &mut Output) -> Result<Exit, Failure> {
        match self {
            RuleVerb::New(verb) => verb.run(out),
            RuleVerb::Lint(verb) => verb.run(out),
            RuleVerb::Test(verb) => verb.run(out),
            RuleVerb::Explain(verb) => verb.run(out),
        }
    }
}

/// Where rules and mappings come from; the same for every verb.
#[derive(Debug, Args, Clone)]
pub(crate) struct ContentArgs {
    /// Mapping files or folders; `builtin` is what this binary ships.
    #[arg(long, value_name = "PATH", default_value = "builtin")]
    pub(crate) mappings: Vec<PathBuf>,
    /// Lookup files or folders: CSV or JSON, the key declared in a YAML file beside.
    #[arg(long, value_name = "PATH")]
    pub(crate) lookups: Vec<PathBuf>,
}

/// Writes `<folder>/<id as path>.sql`; never over a file that is there.
#[derive(Debug, Args)]
pub(crate) struct New {
    /// The id, `identity.my_rule`: it becomes the path below the rules folder.
    id: String,
    /// The table the rule reads.
    #[arg(long, default_value = "authentication")]
    table: String,
    /// The rules folder.
    #[arg(long, default_value = "rules")]
    dir: PathBuf,
}

impl New {
    fn run(self, out: &mut Output) -> Result<Exit, Failure> {
        let well_formed = !self.id.is_empty()
            && self.id.split('.').all(|part| {
                !part.is_empty()
                    && part
                        .chars()
                        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
            });
        if !well_formed {
            return Err(Failure::argument(
                format!("`{}` is not a rule id", self.id),
                "lower-case words of letters, digits and _, separated by dots: identity.my_rule",
            ));
        }
        schema::find(sluice_event::Schema::builtin(), &self.table)?;
        let path = self.dir.join(self.id.replace('.', "/")).with_extension("sql");
        if path.try_exists()? {
            return Err(Failure::argument(
                format!("{} is already there", path.display()),
                "choose another id, or edit that file",
            ));
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&path, Rule::template(&self.id, &self.table))?;
        out.line(&path.display().to_string())?;
        eprintln!("next: sluice rule test {}", path.display());
        Ok(Exit::Done)
    }
}

/// Rule files to work on: those named, else the folder `rules`, else what the binary ships.
pub(crate) fn paths_or_default(paths: Vec<PathBuf>) -> Result<Vec<PathBuf>, Failure> {
    if !paths.is_empty() {
        return Ok(paths);
    }
    let folder = Path::new("rules");
    Ok(vec![if folder.try_exists()? { folder.to_owned() } else { "builtin".into() }])
}

/// Parses a level by its name.
pub(crate) fn level(text: &str) -> Result<Level, String> {
    [Level::Error, Level::Warning, Level::Info]
        .into_iter()
        .find(|l| l.name() == text)
        .ok_or_else(|| "one of error, warning, info".to_owned())
}
