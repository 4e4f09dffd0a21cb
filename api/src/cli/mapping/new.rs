//! `sluice mapping new`: a mapping file to begin with, on stdout.

use std::path::PathBuf;

use clap::Args;
use sluice_ingest::{Limits, find_files, sketch};
use sluice_rule::RuleId;

use crate::cli::{
    exit::{Exit, Failure},
    output::Output,
};

/// Its guesses are by name and marked so; the status is Unknown until you say where the record keeps
/// the outcome.
#[derive(Debug, Args)]
pub(crate) struct New {
    /// A log of the format; `-` for stdin.
    file: PathBuf,
    /// The name of the source, vendor and product.
    #[arg(long, default_value = "my.source")]
    source: String,
}

impl New {
    pub(crate) fn run(self, out: &mut Output) -> Result<Exit, Failure> {
        if RuleId::new(&self.source).is_none() {
            return Err(Failure::argument(
                format!("--source: `{}` is not the name of a source", self.source),
                "lower-case words of letters, digits and `_`, joined by dots: `acme.app`",
            ));
        }
        let wrong = |e: &dyn std::fmt::Display| {
            Failure::argument(format!("cannot read the log: {e}"), "name a readable log file")
        };
        let found = find_files(std::slice::from_ref(&self.file)).map_err(|e| wrong(&e))?;
        let Some(mut file) = found.files.into_iter().next() else {
            return Err(wrong(&"it is a folder without a file"));
        };
        let head = file.head(Limits::default()).map_err(|e| wrong(&e))?;
        let Some(text) = sketch(&self.source, &head) else {
            return Err(Failure::argument(
                format!("{}: no record of it can be read", self.file.display()),
                "a file of JSON records, or of lines of text",
            ));
        };
        for line in text.lines() {
            out.line(line)?;
        }
        out.flush()?;
        let place = format!("mappings/{}/api_activity.sql", self.source);
        eprintln!(
            "save it as {place}, mend it, then: sluice mapping test mappings && \
             sluice mapping run --mappings mappings --source {} {}",
            self.source,
            self.file.display()
        );
        Ok(Exit::Done)
    }
}
