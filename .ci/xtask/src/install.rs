//! Programs that the tests talk to, installed where that is possible. Not Rust's own tools.

use std::process::{Command, Stdio};

/// A program, the Debian package it is in, and what is not tested without it.
const TOOLS: [(&str, &str, &str); 6] = [
    ("java", "default-jre-headless", "Kafka"),
    ("mvn", "maven", "Kafka"),
    ("kcat", "kcat", "a foreign Kafka client"),
    ("strace", "strace", "an fsync that fails"),
    ("chromium", "chromium", "the web UI in a browser"),
    ("promtool", "prometheus", "the text of /metrics"),
];

/// Installs what is missing; what cannot be installed is named, with what goes untested.
pub(crate) fn tools() {
    let missing = || TOOLS.iter().filter(|(program, ..)| !has(program)).collect::<Vec<_>>();
    let wanted = missing();
    if wanted.is_empty() {
        return;
    }
    if is_root() && has("apt-get") {
        let packages: Vec<&str> = wanted.iter().map(|(_, package, _)| *package).collect();
        println!("== installing {}", packages.join(" "));
        // Without an update first: most often the lists are there.
        if !install(&packages) && apt(&["update", "-qq"]) {
            install(&packages);
        }
    }
    for (program, package, untested) in missing() {
        println!("== `{program}` is missing (Debian: {package}): {untested} is not tested");
    }
}

/// Whether a program is on the path.
pub(crate) fn has(program: &str) -> bool {
    let mut find = Command::new("sh");
    succeeds(find.args(["-c", "command -v -- \"$0\"", program]).stdout(Stdio::null()))
}

fn is_root() -> bool {
    let said = Command::new("id").arg("-u").output();
    said.is_ok_and(|said| said.stdout.trim_ascii() == b"0")
}

fn install(packages: &[&str]) -> bool {
    let options = ["install", "-y", "-qq", "--no-install-recommends"];
    apt(&[&options[..], packages].concat())
}

fn apt(arguments: &[&str]) -> bool {
    let mut apt = Command::new("apt-get");
    // Its output is long, and of interest only if it fails: then a person runs it by hand.
    succeeds(apt.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").stdout(Stdio::null()))
}

fn succeeds(command: &mut Command) -> bool {
    command.status().is_ok_and(|status| status.success())
}
