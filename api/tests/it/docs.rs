//! What the Markdown files claim exists: links lead somewhere, commands parse, tests that a command
//! names are there. It does not run the commands.

use std::{collections::BTreeSet, fs, path::Path};

use crate::{
    support::{root, sluice},
    tidy::files,
};

#[test]
fn links_in_markdown_lead_somewhere() {
    let mut links = 0;
    let mut broken = Vec::new();
    for file in files("md") {
        let text = fs::read_to_string(&file).unwrap();
        for target in targets(&text) {
            links += 1;
            let path = target.split('#').next().unwrap_or(&target);
            let folder = file.parent().unwrap();
            if !path.is_empty() && !folder.join(path).try_exists().unwrap() {
                broken.push(format!("{}: {target}", shown(&file)));
            }
        }
    }
    assert!(links >= 30, "only {links} links found: the search is wrong");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn commands_in_markdown_parse() {
    let mut seen = BTreeSet::new();
    let mut wrong = Vec::new();
    for file in files("md") {
        let text = fs::read_to_string(&file).unwrap();
        for command in commands(&text) {
            if seen.insert(command.clone())
                && let Err(why) = check(&command)
            {
                wrong.push(format!("{}: `{command}`: {why}", shown(&file)));
            }
        }
    }
    assert!(seen.len() >= 25, "only {} commands found: the search is wrong", seen.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn shown(file: &Path) -> String {
    file.strip_prefix(root()).unwrap_or(file).display().to_string()
}

/// Targets of `[text](target)` that are paths.
fn targets(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for piece in text.split("](").skip(1) {
        let Some((target, _)) = piece.split_once(')') else { continue };
        if !target.contains("://") && !target.starts_with("mailto:") && !target.contains(' ') {
            found.push(target.to_owned());
        }
    }
    found
}

/// Lines of fenced blocks and inline code that begin like a command of ours.
fn commands(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            continue;
        }
        let pieces: Vec<&str> =
            if fenced { vec![line] } else { line.split('`').skip(1).step_by(2).collect() };
        for piece in pieces {
            // A comment, an alternative, a pipe: what stands before it is the command.
            let piece = piece.split(" # ").next().unwrap_or(piece);
            let piece = piece.split([';', '|', '>', '&']).next().unwrap_or(piece);
            let piece = piece.trim().trim_start_matches("$ ");
            let ours = ["sluice ", "cargo run -- ", "cargo xtask ", "cargo test "];
            let script = piece.split(' ').next().is_some_and(|w| w.ends_with(".sh"));
            if ours.iter().any(|o| piece.starts_with(o)) || script {
                found.push(piece.to_owned());
            }
        }
    }
    found
}

fn check(command: &str) -> Result<(), String> {
    let words: Vec<&str> = command.split_whitespace().collect();
    match words.as_slice() {
        ["cargo", "run", "--", verb @ ..] | ["sluice", verb @ ..] => parses(verb),
        ["cargo", "xtask", task, ..] => {
            let help = fs::read_to_string(root().join(".ci/xtask/src/main.rs")).unwrap();
            if help.contains(&format!("[\"{task}\"")) { Ok(()) } else { Err("no such task".into()) }
        }
        ["cargo", "test", rest @ ..] => names_a_test(rest),
        [script, ..] if root().join(script).try_exists().unwrap() => Ok(()),
        _ => Err("no such file".into()),
    }
}

/// The verbs are there, and their help has the flags.
fn parses(words: &[&str]) -> Result<(), String> {
    let plain =
        |w: &&&str| w.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !w.starts_with('-');
    let verbs: Vec<&str> = words.iter().take_while(plain).copied().collect();
    // The longest chain of words that is a verb: later words may be arguments.
    let help = (1..=verbs.len().min(3)).rev().find_map(|n| {
        let arguments: Vec<&str> = verbs.iter().take(n).copied().chain(["--help"]).collect();
        let run = sluice(&arguments);
        (run.code == 0 && n >= 1).then_some(run.stdout)
    });
    let Some(help) = help else { return Err("no such verb".into()) };
    for flag in words.iter().filter(|w| w.starts_with("--") && w.len() > 2) {
        let flag = flag.split('=').next().unwrap_or(flag);
        if !help.contains(flag) {
            return Err(format!("no flag {flag}"));
        }
    }
    Ok(())
}

/// The package is there, and some file or function of it has the filter in its name.
fn names_a_test(words: &[&str]) -> Result<(), String> {
    let package = words.iter().skip_while(|w| **w != "-p").nth(1);
    let mut rest = words.iter().copied().peekable();
    let mut filter = None;
    while let Some(word) = rest.next() {
        match word {
            "-p" | "--profile" | "--test" | "--features" => drop(rest.next()),
            "--" => break,
            flag if flag.starts_with('-') => {}
            other => filter = Some(other),
        }
    }
    let folder = match package {
        None => root(),
        Some(package) => files("toml")
            .into_iter()
            .find(|f| {
                let text = fs::read_to_string(f).unwrap();
                text.contains(&format!("name = \"{package}\""))
            })
            .and_then(|f| f.parent().map(Path::to_path_buf))
            .ok_or("no such package")?,
    };
    let Some(filter) = filter else { return Ok(()) };
    let wanted = filter.rsplit("::").next().unwrap_or(filter);
    let there = files("rs").into_iter().filter(|f| f.starts_with(&folder)).any(|f| {
        f.file_stem().is_some_and(|s| s.to_string_lossy().contains(wanted))
            || fs::read_to_string(&f)
                .unwrap()
                .lines()
                .any(|l| l.trim_start().starts_with("fn ") && l.contains(wanted))
    });
    if there { Ok(()) } else { Err(format!("no test has `{wanted}` in its name")) }
}
