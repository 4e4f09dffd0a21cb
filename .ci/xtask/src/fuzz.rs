//! `cargo xtask fuzz`: builds the driver with coverage counters and lets libFuzzer run one target. The
//! targets are in `testdata/fuzz`.

use std::process::{Command, ExitCode};

use crate::cargo;

/// What libFuzzer needs from the compiler; all of it is stable.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 -Copt-level=1";

/// Runs a target for so many seconds. The driver has its own target directory: its flags differ.
pub(crate) fn run(target: &str, seconds: &str) -> ExitCode {
    let Some(host) = host() else {
        eprintln!("cannot ask rustc which machine this is");
        return ExitCode::from(3);
    };
    let root = crate::workspace();
    let corpus = root.join("target/fuzz/corpus").join(target);
    if let Err(error) = std::fs::create_dir_all(&corpus) {
        eprintln!("{}: {error}", corpus.display());
        return ExitCode::from(3);
    }
    // With a target named, build scripts and macros are built without the flags.
    let status = cargo()
        .args([
            "run",
            "--locked",
            "-p",
            "sluice-fuzz",
            "--features",
            "libfuzzer",
            "--target",
            &host,
        ])
        .arg("--target-dir")
        .arg(root.join("target/fuzz"))
        .arg("--")
        .arg(&corpus)
        .arg(format!("-max_total_time={seconds}"))
        .env("RUSTFLAGS", FLAGS)
        .env("SLUICE_FUZZ", target)
        .status();
    match status {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("cannot run cargo: {error}");
            ExitCode::from(3)
        }
    }
}

/// The triple of this machine.
fn host() -> Option<String> {
    let output = Command::new("rustc").arg("-vV").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().find_map(|line| line.strip_prefix("host: ")).map(str::to_owned)
}
