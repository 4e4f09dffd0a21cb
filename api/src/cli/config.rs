//! `sluice config ..`: check a configuration, show what takes effect, print its JSON Schema. Not
//! the configuration itself (see [`crate::config`]).

mod connect;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value as Json, json};

use super::{
    Format, errors,
    exit::{Exit, Failure},
    output::Output,
};
use crate::{
    config::{Effective, Layers, Loaded, Problem, json_schema},
    node::content::{self, with_problems},
};

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigVerb {
    /// List everything that is wrong, at once
    Check(Check),
    /// Print every setting that takes effect, and which layer gave it
    Show(Show),
    /// Print the JSON Schema of the file, for editors
    Schema,
}

impl ConfigVerb {
    pub(crate) fn run(self, out: &mut Output) -> Result<Exit, Failure> {
        match self {
            ConfigVerb::Check(verb) => verb.run(out),
            ConfigVerb::Show(verb) => verb.run(out),
            ConfigVerb::Schema => out.json(&json_schema()).map(|()| Exit::Done),
        }
    }
}

/// Which configuration. Weakest first: defaults, /etc/sluice/sluice.toml,
/// ~/.config/sluice/sluice.toml, this file, SLUICE_SECTION__KEY in the environment, flags; `conf.d/*.toml`
/// beside a file adds to it.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ConfigArgs {
    /// The configuration file; default: sluice.toml here, if there is one.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where to keep everything, instead of `data_dir`.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Address and port to serve on, instead of `api.listen`.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
}

impl ConfigArgs {
    /// The layers it stands for.
    pub(crate) fn layers(&self) -> Layers {
        Layers::of_process(self.config.clone())
            .flag("--data-dir", "data_dir", self.data_dir.clone())
            .flag("--listen", "api.listen", self.listen.clone())
    }

    /// The configuration, warnings printed.
    ///
    /// # Errors
    /// If anything in it is wrong: all of it.
    pub(crate) fn load(&self, quiet: bool) -> Result<Loaded, Failure> {
        let loaded = Loaded::read(&self.layers());
        if loaded.has_errors() {
            return Err(Failure::Config(loaded.problems));
        }
        if !quiet {
            errors::config_problems(&loaded.problems);
        }
        Ok(loaded)
    }
}

/// Exit code 3 if anything is wrong; warnings are no failure. Rules and mappings are loaded too, if
/// every file of the configuration can be read.
///
///   sluice config check
///   sluice config check --config /etc/sluice/sluice.toml --connect
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Check {
    #[command(flatten)]
    config: ConfigArgs,
    /// Also look outside: brokers, credentials and topics, up to 10 records of each topic and the
    /// rows they become, disk space, whether the port is free. Commits no offsets.
    #[arg(long)]
    connect: bool,
}

impl Check {
    fn run(self, out: &mut Output) -> Result<Exit, Failure> {
        let mut loaded = Loaded::read(&self.config.layers());
        // Without one of its files it is not known which rules and mappings are meant.
        let content = match loaded.is_whole() {
            true => content::check(&mut loaded),
            false => None,
        };
        content::check_secrets(&mut loaded);
        let samples = match self.connect {
            true => connect::check(&mut loaded, content.as_ref(), out.quiet()),
            false => Vec::new(),
        };
        // What is found in rules and mappings is part of the list.
        let problems = with_problems(loaded.problems, content.as_ref());
        let errors = problems.iter().filter(|p| p.diagnostic.is_error()).count();
        let warnings = problems.len() - errors;
        let list: Vec<Json> = problems.iter().map(|p| json!(p.diagnostic)).collect();
        match out.format() {
            Format::Json => {
                out.json(&json!({"files": loaded.files, "problems": list, "samples": samples}))?;
            }
            Format::Ndjson => {
                samples.iter().chain(&list).try_for_each(|line| out.json_line(line))?
            }
            Format::Table | Format::Md => {
                samples.iter().try_for_each(|s| out.line(&s.to_string()))?
            }
        }
        out.flush()?;
        errors::config_problems(&problems);
        if !out.quiet() {
            let files = match loaded.files.as_slice() {
                [] => "no file".to_owned(),
                files => files.join(", "),
            };
            eprintln!("{files}: {errors} errors, {warnings} warnings");
        }
        Ok(if errors == 0 { Exit::Done } else { Exit::Usage })
    }
}

/// Secrets are shown as the references they are in the configuration.
///
///   sluice config show
///   sluice config show --output json | jq '.[] | select(.origin != "default")'
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Show {
    #[command(flatten)]
    config: ConfigArgs,
}

impl Show {
    fn run(self, out: &mut Output) -> Result<Exit, Failure> {
        let loaded = Loaded::read(&self.config.layers());
        let settings: Vec<Json> = loaded.effective.iter().map(described).collect();
        match out.format() {
            Format::Json => out.json(&settings.into())?,
            Format::Ndjson => settings.iter().try_for_each(|s| out.json_line(s))?,
            Format::Table | Format::Md => {
                let rows: Vec<Vec<String>> = loaded
                    .effective
                    .iter()
                    .map(|e| vec![e.path.clone(), plain(&e.shown()), origin(e)])
                    .collect();
                out.table(&["SETTING", "VALUE", "FROM"], &rows)?;
            }
        }
        out.flush()?;
        let problems: Vec<Problem> = loaded.problems;
        errors::config_problems(&problems);
        let wrong = problems.iter().any(|p| p.diagnostic.is_error());
        Ok(if wrong { Exit::Usage } else { Exit::Done })
    }
}

fn described(setting: &Effective) -> Json {
    json!({"path": setting.path, "value": setting.shown(), "origin": origin(setting)})
}

fn origin(setting: &Effective) -> String {
    setting.origin.as_ref().map_or_else(|| "default".to_owned(), ToString::to_string)
}

/// A value as TOML would have it; `-` if it is not set.
fn plain(value: &Json) -> String {
    match value {
        Json::Null => "-".to_owned(),
        other => other.to_string(),
    }
}
