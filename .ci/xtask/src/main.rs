//! Tasks of this repository, run as `cargo xtask <task>`. Not part of the product.
//!
//! `test` installs what the tests need, starts what they talk to, runs all of them, stops what it
//! started, and says how many tests ran and which were skipped. `bless` writes what tests expect. `fuzz`
//! runs one fuzz target.
#![allow(clippy::print_stdout, reason = "a task runner talks to a person")]

use std::{
    env,
    path::PathBuf,
    process::{Command, ExitCode},
};

mod bless;
mod broker;
mod fuzz;
mod install;
mod shippers;
mod suite;
mod web;

const HELP: &str = "usage: cargo xtask <task>

tasks:
  test [ARGS]   every test of the workspace, then the tests in shipped mappings and rules, then those of the web UI in chromium (Node 20.19 or newer); ARGS go to
                `cargo test`. Starts a Kafka broker for them if there is Java and Maven, and unpacks rsyslog, syslog-ng and journald's tools from Debian packages. Java,
                Maven and chromium are installed when root on Debian; with CI set, a missing part is a failure
  bless         writes every file that a test compares with what the program makes: look at the difference
                before you commit it
  fuzz TARGET [SECONDS]
                one of frame, decode, mapping, rule, state, search, for 60 s or as long as said
  kafka start   a broker to develop against; prints where it is
  kafka stop    ends it
  shippers      log shippers to develop against, from Debian packages; prints where they are
";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["test", rest @ ..] => suite::run(rest),
        ["bless"] => bless::run(),
        ["fuzz", target] => fuzz::run(target, "60"),
        ["fuzz", target, seconds] => fuzz::run(target, seconds),
        ["kafka", verb @ ("start" | "stop")] => broker::develop(verb),
        ["shippers"] => shippers::develop(),
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

/// The root of the workspace. Asked of the running cargo: a target directory shared by two checkouts
/// may hold a binary that was built in the other one.
fn workspace() -> PathBuf {
    let built = || env!("CARGO_MANIFEST_DIR").into();
    let here: PathBuf = env::var_os("CARGO_MANIFEST_DIR").map_or_else(built, PathBuf::from);
    here.join("../..")
}

/// What is kept between runs.
fn cache() -> PathBuf {
    let home = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let base = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
    base.unwrap_or_else(env::temp_dir).join("sluice")
}

/// The cargo that runs this, without what it sets for a program it runs: build scripts that look at
/// `CARGO_PKG_NAME` and the like (that of ring) would run again, and everything above them be built
/// again, each time this and a cargo of the user take turns.
fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&*name);
        }
    }
    cargo
}
