//! Log shippers that the tests run: unpacked from Debian packages into a cache, installed nowhere, so
//! that two that exclude each other can both be there. Not their settings, which are in the tests.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Output},
};

use crate::install::has;

/// Where tests find them.
pub(crate) const VARIABLE: &str = "SLUICE_TEST_SHIPPERS";

/// A folder of the cache, and the packages in it. What they depend on and is not installed comes
/// with them.
const SHIPPERS: [(&str, &[&str]); 3] = [
    ("rsyslog", &["rsyslog", "rsyslog-kafka"]),
    ("syslog-ng", &["syslog-ng-core", "syslog-ng-mod-rdkafka"]),
    ("journald", &["systemd", "systemd-journal-remote"]),
];

/// A file that says that a folder is complete.
const COMPLETE: &str = "complete";

/// Where the shippers are, a folder each; fetched if they are not there yet.
///
/// # Errors
/// Why there are none.
pub(crate) fn for_tests() -> Result<PathBuf, String> {
    let cache = crate::cache().join("shippers");
    for (name, packages) in SHIPPERS {
        let folder = cache.join(name);
        let complete = folder.join(COMPLETE);
        if complete.try_exists().unwrap_or(false) {
            continue;
        }
        for program in ["apt-get", "dpkg-deb"] {
            if !has(program) {
                return Err(format!("`{program}` is missing: {name} comes from Debian packages"));
            }
        }
        println!("== fetching {}", packages.join(" "));
        // A fresh machine has no lists of packages, an old one lists of packages that are gone.
        unpack(&folder, packages)
            .or_else(|_| {
                output(Command::new("apt-get").args(["-qq", "update"]))?;
                unpack(&folder, packages)
            })
            .map_err(|reason| format!("{name}: {reason}"))?;
        fs::write(complete, packages.join("\n")).map_err(|error| format!("{name}: {error}"))?;
    }
    Ok(cache)
}

/// `cargo xtask shippers`.
pub(crate) fn develop() -> ExitCode {
    match for_tests() {
        Ok(folder) => {
            println!("{VARIABLE}={}", folder.display());
            ExitCode::SUCCESS
        }
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

/// Downloads packages, with what they need, and unpacks them into a folder.
fn unpack(folder: &Path, packages: &[&str]) -> Result<(), String> {
    let said = |error: io::Error| format!("{}: {error}", folder.display());
    // What an attempt that was cut off has left.
    if folder.try_exists().map_err(said)? {
        fs::remove_dir_all(folder).map_err(said)?;
    }
    let downloads = folder.join("packages");
    fs::create_dir_all(&downloads).map_err(said)?;
    let apt = |arguments: &[&str]| {
        let mut apt = Command::new("apt-get");
        apt.arg("-qq").args(arguments).current_dir(&downloads);
        output(apt.env("DEBIAN_FRONTEND", "noninteractive"))
    };
    let simulate = [&["install", "--simulate", "--no-install-recommends"], packages].concat();
    let plan = String::from_utf8_lossy(&apt(&simulate)?.stdout).into_owned();
    let missing = plan.lines().filter_map(|line| line.strip_prefix("Inst ")?.split(' ').next());
    let mut wanted: Vec<&str> = packages.iter().copied().chain(missing).collect();
    wanted.sort_unstable();
    wanted.dedup();
    apt(&[&["download"], &wanted[..]].concat())?;
    for package in fs::read_dir(&downloads).map_err(said)? {
        let package = package.map_err(said)?.path();
        output(Command::new("dpkg-deb").arg("-x").arg(package).arg(folder))?;
    }
    fs::remove_dir_all(&downloads).map_err(said)
}

fn output(command: &mut Command) -> Result<Output, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("cannot run {program}: {error}"))?;
    if output.status.success() {
        return Ok(output);
    }
    Err(format!("{program} failed: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
