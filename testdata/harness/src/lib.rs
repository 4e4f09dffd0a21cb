//! What tests of all crates share: skipping out loud, the Kafka broker and the data that a machine
//! may lack. It is not part of the product, and nothing but tests depends on it.
//!
//! A test that cannot run calls [`skip`] or [`lacks`] and returns. `cargo xtask test` counts and names
//! what was skipped; with `CI` set a part that the project can install or bring is a failure.
#![forbid(unsafe_code)]

use std::{
    env, fs,
    io::Write,
    path::{Path, PathBuf},
    thread,
};

/// The variable that names the file to which skipped tests are written, one `test<TAB>reason` a line.
pub const SKIPPED: &str = "SLUICE_SKIPPED";

/// Records that the calling test lacks a program, a broker or data, and does not run.
///
/// # Panics
/// With `CI` set: a proof must not pass there without proving.
pub fn lacks(part: &str) {
    assert!(env::var_os("CI").is_none(), "with CI set a missing part is a failure: {part}");
    skip(part);
}

/// Records that the calling test does not run because this machine does not permit what it does
/// (mounting a disk, tracing a process), and why.
///
/// # Panics
/// If the file that [`SKIPPED`] names cannot be written.
#[allow(clippy::panic, reason = "a failed test panics")]
pub fn skip(reason: &str) {
    let thread = thread::current();
    let test = thread.name().unwrap_or("unnamed test");
    eprintln!("SKIPPED {test}: {reason}");
    if let Some(path) = env::var_os(SKIPPED) {
        let line = format!("{test}\t{reason}\n");
        let file = fs::OpenOptions::new().append(true).create(true).open(&path);
        // One short append is one write: tests of several processes do not mix their lines.
        if let Err(error) = file.and_then(|mut file| file.write_all(line.as_bytes())) {
            panic!("{}: {error}", Path::new(&path).display());
        }
    }
}

/// The value of a variable that `cargo xtask test` sets, such as `SLUICE_TEST_KAFKA`, or a skip.
pub fn variable(name: &str) -> Option<String> {
    let found = env::var(name).ok().filter(|value| !value.is_empty());
    if found.is_none() {
        lacks(&format!(
            "{name} is not set; `cargo xtask test` starts what the tests talk to and sets it"
        ));
    }
    found
}

/// Data that is not part of the repository: below `SLUICE_SHARED_DATA`, or below `shared/data`
/// beside the repository. A skip where it is not there.
pub fn shared_data(below: &str) -> Option<PathBuf> {
    let folder = match env::var_os("SLUICE_SHARED_DATA") {
        Some(folder) => PathBuf::from(folder),
        None => repository().parent()?.join("shared/data"),
    };
    let path = folder.join(below);
    if path.try_exists().is_ok_and(|there| there) {
        return Some(path);
    }
    lacks(&format!("{} is not there; SLUICE_SHARED_DATA names its folder", path.display()));
    None
}

/// The root of the repository.
pub fn repository() -> &'static Path {
    const HERE: &str = env!("CARGO_MANIFEST_DIR");
    Path::new(HERE).ancestors().nth(2).unwrap_or(Path::new(HERE))
}
