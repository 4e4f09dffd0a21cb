//! The `sluice` binary: parses the command line, runs one verb, turns its outcome into an exit code.
#![forbid(unsafe_code)]

mod cli;
mod config;
mod http;
mod tokens;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run(std::env::args_os())
}
