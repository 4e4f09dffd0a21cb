//! Builds the web UI into `OUT_DIR/ui`, or puts a page there that says how to get it.
//!
//! Node and the npm registry are used where they are there. The build itself runs in a cache in the
//! target directory, named by a hash of the sources: nothing is written into the source tree, and
//! profiles share one build. `SLUICE_UI` decides: `auto` (default), `skip` (the page, at once) or
//! `require` (an error if the UI cannot be built). Clippy skips.

use std::{
    env,
    error::Error,
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What the UI is made from.
const SOURCES: [&str; 9] = [
    "index.html",
    "package.json",
    "package-lock.json",
    "public",
    "scripts",
    "src",
    "svelte.config.js",
    "tsconfig.json",
    "vite.config.ts",
];
/// The oldest Node that Vite 8 runs on.
const NODE: (u32, u32) = (20, 19);

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=SLUICE_UI");
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let ui = out.join("ui");
    if ui.try_exists()? {
        fs::remove_dir_all(&ui)?;
    }
    let wish = env::var("SLUICE_UI").unwrap_or_else(|_| "auto".to_owned());
    let built = match wish.as_str() {
        "skip" => Err("SLUICE_UI=skip was set when this binary was built".into()),
        "auto" if is_clippy() => Err("this is a clippy run".into()),
        "auto" | "require" => build(&here, &cache(&out)),
        other => return Err(format!("SLUICE_UI is auto, skip or require, not `{other}`").into()),
    };
    match built {
        Ok(dist) => copy(&dist, &ui)?,
        Err(reason) if wish == "require" => return Err(reason),
        Err(reason) => {
            if wish == "auto" && !is_clippy() {
                println!("cargo::warning=the web UI is left out: {reason}");
            }
            copy(&here.join("public"), &ui)?;
            let page = include_str!("missing.html").replace("{reason}", &escaped(reason.as_ref()));
            fs::write(ui.join("index.html"), page)?;
            fs::write(ui.join("missing.txt"), reason.to_string())?;
        }
    }
    Ok(())
}

fn is_clippy() -> bool {
    env::var("RUSTC_WORKSPACE_WRAPPER").is_ok_and(|wrapper| wrapper.contains("clippy"))
}

/// `target/sluice-ui`: `OUT_DIR` is `target/<profile>/build/<package>/out`.
fn cache(out: &Path) -> PathBuf {
    let target = out.ancestors().nth(4);
    target.unwrap_or(out).join("sluice-ui")
}

/// The folder of the built UI.
fn build(here: &Path, cache: &Path) -> Result<PathBuf> {
    let mut hasher = blake3::Hasher::new();
    hash(here, &SOURCES.map(PathBuf::from), &mut hasher)?;
    let name: String = hasher.finalize().to_hex().chars().take(16).collect();
    let dist = cache.join(&name);
    if dist.try_exists()? {
        return Ok(dist);
    }
    node()?;
    fs::create_dir_all(cache)?;
    // Two profiles are built under two locks of cargo, but share the cache.
    let lock = fs::File::create(cache.join("lock"))?;
    lock.lock()?;
    if dist.try_exists()? {
        return Ok(dist);
    }
    // One folder for all builds: what npm installed for the last one is mostly right for the next.
    let work = cache.join("work");
    fs::create_dir_all(&work)?;
    for source in SOURCES {
        let to = work.join(source);
        if to.is_dir() {
            fs::remove_dir_all(&to)?;
        }
        copy(&here.join(source), &to)?;
    }
    run(&work, "npm", &["ci", "--omit=dev", "--no-audit", "--no-fund", "--ignore-scripts"])?;
    run(&work, "npm", &["run", "build"])?;
    fs::rename(work.join("dist"), &dist)?;
    Ok(dist)
}

fn hash(root: &Path, entries: &[PathBuf], hasher: &mut blake3::Hasher) -> Result<()> {
    for entry in entries {
        let path = root.join(entry);
        hasher.update(entry.to_string_lossy().as_bytes());
        if path.is_dir() {
            let mut inside = Vec::new();
            for child in fs::read_dir(&path)? {
                inside.push(entry.join(child?.file_name()));
            }
            inside.sort();
            hash(root, &inside, hasher)?;
        } else {
            let bytes = fs::read(&path)?;
            hasher.update(&(bytes.len() as u64).to_le_bytes()).update(&bytes);
        }
    }
    Ok(())
}

/// Whether Node is there and new enough.
fn node() -> Result<()> {
    let (major, minor) = NODE;
    let get = format!("Node {major}.{minor} or newer is needed to build it");
    let output = Command::new("node").arg("--version").output();
    let output = output.map_err(|error| format!("{get}, and `node` does not start: {error}"))?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let mut numbers = version.trim_start_matches('v').split('.').map(str::parse);
    let found = match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor),
        _ => return Err(format!("{get}, and `node --version` says `{version}`").into()),
    };
    if found < NODE {
        return Err(format!("{get}, and this is {version}").into());
    }
    Ok(())
}

/// Runs a command with its output kept for the error.
fn run(folder: &Path, program: &str, arguments: &[&str]) -> Result<()> {
    let what = format!("`{program} {}`", arguments.join(" "));
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        // An unreachable registry must not hold a build up for minutes.
        .env("npm_config_fetch_retries", "1")
        .env("npm_config_fetch_timeout", "30000")
        .env("npm_config_update_notifier", "false")
        .output()
        .map_err(|error| format!("{what} does not start: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stderr, output.stdout].concat();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let first = lines.iter().take(4).copied().collect::<Vec<_>>().join(" | ");
    Err(format!("{what} failed ({}): {first}", output.status).into())
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if !from.is_dir() {
        return fs::copy(from, to).map(|_| ());
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

fn escaped(reason: &dyn Error) -> String {
    reason.to_string().replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
