//! Tasks of this repository, run as `cargo xtask <task>`. Not part of the product.
//!
//! `test` installs what the tests need, starts what they talk to, runs all of them, and stops what
//! it started.
#![allow(clippy::print_stdout, reason = "a task runner talks to a person")]

use std::{
    env,
    process::{Command, ExitCode},
    time::Instant,
};

mod broker;
mod install;

const HELP: &str = "usage: cargo xtask <task>

tasks:
  test [ARGS]   every test of the workspace, then the tests in shipped mappings and rules;
                ARGS go to `cargo test`. Starts a Kafka broker for them if there is Java and Maven
                (installed when root on Debian); with CI set, a missing broker is a failure
  kafka start   a broker to develop against; prints where it is
  kafka stop    ends it
";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["test", rest @ ..] => test(rest),
        ["kafka", verb @ ("start" | "stop")] => broker::develop(verb),
        [] | ["help" | "--help" | "-h", ..] => {
            println!("{HELP}");
            ExitCode::SUCCESS
        }
        other => {
            eprintln!("no task `{}`\n\n{HELP}", other.join(" "));
            ExitCode::from(3)
        }
    }
}

/// Runs every test.
fn test(arguments: &[&str]) -> ExitCode {
    install::tools();
    let broker = match broker::for_tests() {
        Ok(broker) => Some(broker),
        Err(reason) if env::var_os("CI").is_some() => {
            eprintln!("== kafka: {reason}\nCI is set: tests without a broker do not count");
            return ExitCode::from(3);
        }
        Err(reason) => {
            println!("== kafka: {reason}\n== kafka: the tests that need a broker are skipped");
            None
        }
    };
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
        if let Some(broker) = &broker {
            cargo.envs(broker.environment());
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
