//! The `sluice` binary: parses the command line, runs one verb, turns its outcome into an exit code.
#![forbid(unsafe_code)]

mod cli;
#[allow(dead_code, unused_imports, reason = "`run` serves it")]
mod http;
#[allow(dead_code, reason = "`token` makes them, `run` reads them")]
mod tokens;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run(std::env::args_os())
}
