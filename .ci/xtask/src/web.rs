//! What the web UI step of `cargo xtask test` runs, and what it needs. Not the tests themselves: they
//! are in `dashboards/tests`.

use std::{
    env,
    path::PathBuf,
    process::{Command, Stdio},
};

use crate::{install, workspace};

/// The oldest Node that Vite 8 runs on.
const NODE: (u32, u32) = (20, 19);

/// What is missing, and where it comes from; `None` if the tests can run.
pub(crate) fn missing() -> Option<String> {
    let (major, minor) = NODE;
    let get = format!("Node {major}.{minor} or newer with npm is needed (https://nodejs.org)");
    match node() {
        None => return Some(format!("`node` is missing: {get}")),
        Some(found) if found < NODE => {
            return Some(format!("Node is {}.{}: {get}", found.0, found.1));
        }
        Some(_) if !install::has("npm") => return Some(format!("`npm` is missing: {get}")),
        Some(_) => {}
    }
    let browser = env::var_os("CHROMIUM").is_some() || install::has("chromium");
    (!browser)
        .then(|| "`chromium` is missing (Debian: chromium; or CHROMIUM names a browser)".to_owned())
}

/// `npm test` against the binary that was built before it; it installs its packages where they are
/// missing.
pub(crate) fn command() -> Command {
    let root = workspace();
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let mut npm = Command::new("npm");
    npm.args(["--silent", "test"]).current_dir(root.join("dashboards"));
    npm.env("SLUICE_BIN", target.join("debug/sluice"));
    npm
}

/// Its version, if it is there.
fn node() -> Option<(u32, u32)> {
    let said = Command::new("node").arg("--version").stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(said.stdout).ok()?;
    let mut numbers = text.trim().trim_start_matches('v').split('.').map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => Some((major, minor)),
        _ => None,
    }
}
