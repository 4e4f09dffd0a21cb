//! `cargo xtask test`: the steps, what each printed, and the count at the end. Not the tests
//! themselves, and not what they talk to.

use std::{
    env, fs,
    io::{self, BufRead, BufReader, Write},
    path::PathBuf,
    process::{self, ExitCode, Stdio},
    time::Instant,
};

use crate::{broker, cargo, install, shippers, web};

/// The steps: a name and the arguments of cargo.
const STEPS: [(&str, &[&str]); 4] = [
    (TESTS, &["test", "--workspace", "--locked"]),
    ("documentation", &["doc", "--workspace", "--no-deps", "--locked", "--quiet"]),
    ("shipped mappings", &["run", "--locked", "--quiet", "--", "mapping", "test"]),
    ("shipped rules", &["run", "--locked", "--quiet", "--", "rule", "test"]),
];

/// The step that takes the caller's arguments.
const TESTS: &str = "unit and integration tests";

/// Runs every test.
pub(crate) fn run(arguments: &[&str]) -> ExitCode {
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
    let shippers = match shippers::for_tests() {
        Ok(folder) => Some(folder),
        Err(reason) if env::var_os("CI").is_some() => {
            eprintln!("== shippers: {reason}\nCI is set: tests without shippers do not count");
            return ExitCode::from(3);
        }
        Err(reason) => {
            println!("== shippers: {reason}\n== shippers: the tests that run them are skipped");
            None
        }
    };
    let skipped = env::temp_dir().join(format!("sluice-skipped-{}", process::id()));
    let mut count = Count::default();
    let mut code = ExitCode::SUCCESS;
    for (name, step) in STEPS {
        let started = now();
        println!("== {name}");
        let mut command = cargo();
        command.args(step).env("SLUICE_SKIPPED", &skipped).env("RUSTDOCFLAGS", "-D warnings");
        if name == TESTS {
            command.args(arguments);
        }
        if let Some(broker) = &broker {
            command.envs(broker.environment());
        }
        if let Some(folder) = &shippers {
            command.env(shippers::VARIABLE, folder);
        }
        match follow(command, &mut count) {
            Ok(true) => println!("== {name}: passed in {} s", started.elapsed().as_secs()),
            Ok(false) => {
                eprintln!("== {name}: failed");
                code = ExitCode::FAILURE;
                break;
            }
            Err(error) => {
                eprintln!("== {name}: cannot run cargo: {error}");
                code = ExitCode::from(3);
                break;
            }
        }
    }
    if code == ExitCode::SUCCESS {
        code = web_ui(&mut count);
    }
    count.report(&skipped);
    code
}

/// The tests of the web UI, last: they run the binary that the steps before have built.
fn web_ui(count: &mut Count) -> ExitCode {
    const NAME: &str = "web UI";
    println!("== {NAME}");
    if let Some(reason) = web::missing() {
        if env::var_os("CI").is_some() {
            eprintln!("== {NAME}: {reason}\nCI is set: tests without a browser do not count");
            return ExitCode::from(3);
        }
        println!("== skipped {NAME}: {reason}");
        count.ignored += 1;
        return ExitCode::SUCCESS;
    }
    let started = now();
    match follow(web::command(), count) {
        Ok(true) => {
            println!("== {NAME}: passed in {} s", started.elapsed().as_secs());
            ExitCode::SUCCESS
        }
        Ok(false) => {
            eprintln!("== {NAME}: failed");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("== {NAME}: cannot run npm: {error}");
            ExitCode::from(3)
        }
    }
}

/// Runs a command, passes on what it prints, and counts the tests in it. Whether it succeeded.
fn follow(mut command: process::Command, count: &mut Count) -> io::Result<bool> {
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    if let Some(out) = child.stdout.take() {
        for line in BufReader::new(out).split(b'\n') {
            let line = line?;
            count.line(&String::from_utf8_lossy(&line));
            let mut out = io::stdout().lock();
            out.write_all(&line)?;
            out.write_all(b"\n")?;
        }
    }
    Ok(child.wait()?.success())
}

/// Tests that ran, as the harness of Rust and our own `test` verbs print them.
#[derive(Default)]
struct Count {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Count {
    /// Reads `test result: ok. 3 passed; 0 failed; 1 ignored; ..` and the closing lines of the browser
    /// tests, `  42 passed (1.2m)`, `  1 failed`, `  2 skipped`; other lines count nothing.
    fn line(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [number, "passed", time] if time.starts_with('(') => self.passed += parsed(number),
            [number, "failed"] => self.failed += parsed(number),
            [number, "skipped"] => self.ignored += parsed(number),
            _ => {}
        }
        let Some((_, result)) = line.split_once("test result: ") else { return };
        let words: Vec<&str> = result.split([' ', ';', '.']).filter(|w| !w.is_empty()).collect();
        for pair in words.windows(2) {
            let [number, what] = pair else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            match *what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }

    /// Names what was skipped, and prints the closing line.
    fn report(&self, skipped: &PathBuf) {
        let lines = match fs::read_to_string(skipped) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => {
                eprintln!("{}: {error}", skipped.display());
                String::new()
            }
        };
        let mut names: Vec<&str> = lines.lines().collect();
        names.sort_unstable();
        names.dedup();
        for line in &names {
            let (test, reason) = line.split_once('\t').unwrap_or((line, "no reason given"));
            println!("== skipped {test}: {reason}");
        }
        if !lines.is_empty()
            && let Err(error) = fs::remove_file(skipped)
        {
            eprintln!("{}: {error}", skipped.display());
        }
        // A skipped test returns early, so the harness has counted it as passed.
        let skips = names.len() as u64;
        let passed = self.passed.saturating_sub(skips);
        println!("{passed} passed, {} failed, {} skipped", self.failed, skips + self.ignored);
    }
}

/// The number that a word is, else 0.
fn parsed(word: &str) -> u64 {
    word.parse().unwrap_or(0)
}

#[expect(clippy::disallowed_methods, reason = "a task runner may look at the clock")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::Count;

    #[test]
    fn result_lines_are_counted() {
        let mut count = Count::default();
        count.line("test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out");
        count.line("test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured");
        count.line("running 5 tests");
        count.line("  42 passed (1.2m)");
        count.line("  3 failed");
        count.line("  2 skipped");
        count.line("everything passed (so far)");
        assert_eq!((count.passed, count.failed, count.ignored), (56, 4, 3));
    }
}
