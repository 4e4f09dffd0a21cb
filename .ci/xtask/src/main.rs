//! Tasks of this repository, run as `cargo xtask <task>`. Not part of the product.
//!
//! `test` installs what the tests need, runs all of them, and stops what it started.
#![allow(clippy::print_stdout, reason = "a task runner talks to a person")]

use std::{
    env,
    process::{Command, ExitCode},
    time::Instant,
};

const HELP: &str = "usage: cargo xtask <task>

tasks:
  test [ARGS]   every test of the workspace, then the tests in shipped mappings and rules;
                ARGS go to `cargo test`
";

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    match arguments.next().as_deref() {
        Some("test") => test(&arguments.collect::<Vec<_>>()),
        Some("help" | "--help" | "-h") | None => {
            println!("{HELP}");
            ExitCode::SUCCESS
        }
        Some(other) => {
            eprintln!("no task `{other}`\n\n{HELP}");
            ExitCode::from(3)
        }
    }
}

/// Runs every test. Nothing outside Rust is needed yet: no service to install or start.
fn test(arguments: &[String]) -> ExitCode {
    let steps: &[(&str, &[&str])] = &[
        ("unit and integration tests", &["test", "--workspace", "--locked"]),
        ("shipped mappings", &["run", "--locked", "--quiet", "--", "mapping", "test"]),
        ("shipped rules", &["run", "--locked", "--quiet", "--", "rule", "test"]),
    ];
    for (name, step) in steps {
        let started = start();
        println!("== {name}");
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(*step);
        if step.first() == Some(&"test") {
            cargo.args(arguments);
        }
        match cargo.status() {
            Ok(status) if status.success() => {
                println!("== {name}: passed in {} s", started.elapsed().as_secs());
            }
            Ok(status) => {
                eprintln!("== {name}: failed ({status})");
                return ExitCode::FAILURE;
            }
            Err(error) => {
                eprintln!("== {name}: cannot run cargo: {error}");
                return ExitCode::from(3);
            }
        }
    }
    ExitCode::SUCCESS
}

#[expect(clippy::disallowed_methods, reason = "a task runner may look at the clock")]
fn start() -> Instant {
    Instant::now()
}
