//! `cargo xtask bless`: writes every file that a test compares with what the program makes. Not the
//! comparison, which is in those tests.

use std::{
    path::Path,
    process::{Command, ExitCode},
};

use crate::{cargo, install, workspace};

/// The tests that write what they expect when `UPDATE_EXPECT` is set, and what that is. A test of
/// `api` holds that no other asks for the variable.
const GOLDENS: [(&str, &str); 8] = [
    ("a_bare_rule_gets_advice", "what is said about a rule without more"),
    ("refused_rules::", "what is said about bad rule files"),
    ("refused_rule_values::", "what is said about bad values in them"),
    ("refused_mappings::", "what is said about bad mapping files"),
    ("refusals_say_where_and_what_to_write_instead", "testdata/rules/_refused/*.txt"),
    ("the_language_page_is_up_to_date", "rules/LANGUAGE.md"),
    ("the_page_of_the_mappings_is_what_the_files_say", "ingest/mappings/README.md"),
    ("the_committed_description_is_the_one_made_from_the_handlers", "api/openapi.json"),
];

/// Runs them, then the tool that makes the types of the web UI from the description of the API.
pub(crate) fn run() -> ExitCode {
    for (_, written) in GOLDENS {
        println!("== {written}");
    }
    // The build of `cargo xtask test`, so that nothing is built twice.
    let mut tests = cargo();
    tests.args(["test", "--workspace", "--locked", "--quiet", "--"]);
    tests.args(GOLDENS.map(|(test, _)| test)).env("UPDATE_EXPECT", "1");
    let code = finish(tests);
    if code != ExitCode::SUCCESS {
        return code;
    }
    if !install::has("npm") {
        eprintln!("`npm` is missing: dashboards/src/api/schema.d.ts is left as it is");
        return ExitCode::FAILURE;
    }
    println!("== dashboards/src/api/schema.d.ts");
    let folder = workspace().join("dashboards");
    if !matches!(folder.join("node_modules/openapi-typescript").try_exists(), Ok(true)) {
        let code = finish(npm(&folder, &["ci", "--no-audit", "--no-fund", "--ignore-scripts"]));
        if code != ExitCode::SUCCESS {
            return code;
        }
    }
    finish(npm(&folder, &["run", "types"]))
}

fn npm(folder: &Path, arguments: &[&str]) -> Command {
    let mut npm = Command::new("npm");
    npm.arg("--silent").args(arguments).current_dir(folder);
    npm
}

/// Runs a command and waits for its end.
fn finish(mut command: Command) -> ExitCode {
    match command.status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("cannot run {}: {error}", command.get_program().display());
            ExitCode::from(3)
        }
    }
}
