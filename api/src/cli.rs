//! The command line: one verb per file, one table of exit codes. Not the work itself.

mod audit;
mod baseline;
mod client;
mod config;
mod demo;
mod dlq;
mod errors;
mod eval;
mod init;
mod load;
mod mapping;
mod output;
mod progress;
mod quarantine;
mod rule;
mod run;
mod schema;
mod setup;
mod signal;
mod status;
mod token;
mod view;
mod webhook;

use std::{ffi::OsString, process::ExitCode};

use clap::{CommandFactory, Parser, Subcommand, ValueEnum};

use crate::exit;
use exit::{Exit, Failure};

/// Streaming security-event analytics: detection rules as SQL files over logs.
///
/// Data goes to stdout, everything else to stderr. Exit codes: 0 done, 1 a check failed, 2 a rule or
/// mapping could not be loaded, 3 wrong configuration or argument, unreadable input or no connection,
/// 130 interrupted.
#[derive(Debug, Parser)]
#[command(name = "sluice", version, max_term_width = 100)]
struct Cli {
    /// How data is printed; a table on a terminal and ndjson when piped.
    #[arg(long, global = true, value_enum)]
    output: Option<Format>,
    /// Say more on stderr; twice for debugging.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Print errors only.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    #[command(subcommand)]
    verb: Verb,
}

/// How data is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Table,
    /// One JSON document.
    Json,
    /// One JSON object a line.
    Ndjson,
    /// Markdown; `schema` only.
    Md,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Replay three attacks inside everyday logs and show what the shipped rules find
    Demo(demo::Demo),
    /// Run the service: consume logs, keep findings, serve the API
    Run(run::Run),
    /// Run rules over log files: same engine, same findings as a live stream
    Eval(eval::Eval),
    /// Write, check, test and explain rules
    #[command(subcommand)]
    Rule(rule::RuleVerb),
    /// Test mappings, or show the rows they make of a file
    #[command(subcommand)]
    Mapping(mapping::MappingVerb),
    /// Check, test and measure baselines of behaviour
    #[command(subcommand)]
    Baseline(baseline::BaselineVerb),
    /// Tables and columns that rules can use
    Schema(schema::SchemaVerb),
    /// What a running service is doing
    Status(status::Status),
    /// Records that could not become rows: look at them, send them through again, drop them
    #[command(subcommand)]
    Dlq(dlq::DlqVerb),
    /// Signals: streams of a running server, an event sent by hand, a SET looked into
    #[command(subcommand)]
    Signal(signal::SignalVerb),
    /// Devices and accounts kept apart on a running server: list, begin, release
    #[command(subcommand)]
    Quarantine(quarantine::QuarantineVerb),
    /// Webhooks of a running server: how they do, a test, dead letters again
    #[command(subcommand)]
    Webhook(webhook::WebhookVerb),
    /// Make, list and revoke the tokens of the API
    #[command(subcommand)]
    Token(token::TokenVerb),
    /// Check the audit log
    #[command(subcommand)]
    Audit(audit::AuditVerb),
    /// Check a configuration, show what takes effect, or print its JSON Schema
    #[command(subcommand)]
    Config(config::ConfigVerb),
    /// Write a configuration to begin with
    #[command(subcommand)]
    Init(init::InitVerb),
    /// Print a shell completion script
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// Runs one command line, the name of the program first, and returns the exit code: 0 done, 1 a check
/// failed, 2 a rule or mapping could not be loaded, 3 misuse, 130 interrupted.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let failed = error.use_stderr();
            // Help and version go to stdout and are no failure; clap's own code for misuse is 2,
            // which here means "a rule could not be loaded".
            if failed {
                // It quotes the arguments, which may come from a file name.
                eprintln!("{}", error.render().to_string().trim_end());
                return Exit::Usage.into();
            }
            return if error.print().is_err() { Exit::Usage.into() } else { Exit::Done.into() };
        }
    };
    // `run` logs as its configuration says.
    if !matches!(cli.verb, Verb::Run(_)) {
        setup::logging(cli.verbose, cli.quiet);
    }
    let mut out = output::Output::new(cli.output, cli.quiet);
    let outcome = match cli.verb {
        Verb::Demo(verb) => verb.run(&mut out),
        Verb::Run(verb) => verb.run(cli.verbose, &out),
        Verb::Eval(verb) => verb.run(&mut out),
        Verb::Rule(verb) => verb.run(&mut out),
        Verb::Mapping(verb) => verb.run(&mut out),
        Verb::Baseline(verb) => verb.run(&mut out),
        Verb::Schema(verb) => verb.run(&mut out),
        Verb::Status(verb) => verb.run(&mut out),
        Verb::Dlq(verb) => verb.run(&mut out),
        Verb::Signal(verb) => verb.run(&mut out),
        Verb::Quarantine(verb) => verb.run(&mut out),
        Verb::Webhook(verb) => verb.run(&mut out),
        Verb::Token(verb) => verb.run(&mut out),
        Verb::Audit(verb) => verb.run(&mut out),
        Verb::Config(verb) => verb.run(&mut out),
        Verb::Init(verb) => verb.run(&mut out),
        Verb::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "sluice", &mut out);
            Ok(Exit::Done)
        }
    };
    finish(outcome.and_then(|exit| out.flush().map(|()| exit)))
}

fn finish(outcome: Result<Exit, Failure>) -> ExitCode {
    match outcome {
        Ok(exit) => exit.into(),
        Err(failure) => {
            errors::report(&failure);
            failure.exit().into()
        }
    }
}
