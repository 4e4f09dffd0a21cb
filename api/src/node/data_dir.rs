//! The data directory: made for its owner alone, refused if it holds something else, and the one
//! secret that is made with it.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use sluice_engine::durable::{FindingStore, Retention};
use sluice_ingest::files;

use super::silence;
use crate::{
    audit,
    exit::{Failure, engine_error},
    tokens,
};

/// What this program keeps in it.
const OURS: [&str; 11] = [
    "received",
    silence::FILE,
    "store",
    "index",
    "signals",
    "webhooks",
    "spool",
    "tokens.json",
    "tokens.lock",
    audit::FILE,
    KEY,
];
/// The key of the hash that spreads entities over shards.
const KEY: &str = "node.key";

/// The store's folder.
pub(super) fn store(dir: &Path) -> PathBuf {
    dir.join("store")
}

/// Opens the store of a data directory for one command, while no server runs on it.
///
/// # Errors
/// If there is none, or another process has it.
pub(crate) fn open_store(dir: &Path) -> Result<FindingStore, Failure> {
    let shown = dir.display();
    if !store(dir).is_dir() {
        return Err(Failure::argument(
            format!("there is no store in {shown}"),
            "--data-dir names the `data_dir` of the configuration",
        ));
    }
    // The bounds of what is kept are the service's; opening applies none.
    FindingStore::open(&store(dir), Retention::default()).map_err(|error| {
        Failure::argument(
            engine_error(&error),
            format!("if a server runs on {shown}, ask that one: leave out --data-dir, or name it with --url"),
        )
    })
}

/// Makes the directory if it is not there.
///
/// # Errors
/// If it cannot be made or written to, or holds the files of something else.
pub(crate) fn make(dir: &Path) -> Result<(), Failure> {
    let shown = dir.display();
    let failed = |what: &str, error: io::Error| {
        Failure::argument(
            format!("cannot {what} {shown}: {error}"),
            "`data_dir` names a directory that this user can write to",
        )
    };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|e| failed("make", e))?;
    narrow(dir).map_err(|e| failed("narrow the mode of", e))?;
    let mut foreign = None;
    for entry in fs::read_dir(dir).map_err(|e| failed("read", e))? {
        let name = entry.map_err(|e| failed("read", e))?.file_name();
        let name = name.to_string_lossy().into_owned();
        // Once something of ours is there, the directory is ours, whatever else people put in it.
        if OURS.contains(&name.as_str()) {
            return writable(dir).map_err(|e| failed("write to", e));
        }
        if !matches!(name.as_str(), "lost+found" | ".gitkeep") {
            foreign = Some(name);
        }
    }
    if let Some(name) = foreign {
        return Err(Failure::argument(
            format!("{shown} is not empty and not of Sluice: it holds `{name}`"),
            "`data_dir` names a directory for Sluice alone; it is made if it is not there",
        ));
    }
    writable(dir).map_err(|e| failed("write to", e))
}

/// Takes group and others their rights to a directory that was there before: it holds findings and
/// hashes of tokens. What is in it is behind it; files made from now on are 0600 by the umask.
fn narrow(dir: &Path) -> io::Result<()> {
    let mode = fs::metadata(dir)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        fs::set_permissions(dir, fs::Permissions::from_mode(mode & 0o700))?;
        tracing::warn!("{} had mode {mode:03o}; it is {:03o} now", dir.display(), mode & 0o700);
    }
    Ok(())
}

/// Tries whether files can be made.
fn writable(dir: &Path) -> io::Result<()> {
    let probe = dir.join(format!(".probe-{}", std::process::id()));
    fs::File::create(&probe)?;
    fs::remove_file(&probe)
}

/// The key that signs cursors of the API: a page can be asked for after a restart.
///
/// # Errors
/// As [`node_key`].
pub(super) fn cursor_key(dir: &Path) -> Result<[u8; 32], Failure> {
    Ok(blake3::derive_key("sluice 2026 cursors of the API", &node_key(dir)?))
}

/// The key of the access tokens of receivers: they outlive a restart.
///
/// # Errors
/// As [`node_key`].
pub(super) fn receiver_key(dir: &Path) -> Result<[u8; 32], Failure> {
    Ok(blake3::derive_key("sluice 2026 access tokens of receivers", &node_key(dir)?))
}

/// What this node is called among others; made of its key, so it stays.
///
/// # Errors
/// As [`node_key`].
pub(super) fn node_name(dir: &Path) -> Result<String, Failure> {
    let name = blake3::derive_key("sluice 2026 name of a node", &node_key(dir)?);
    Ok(name.iter().take(6).map(|byte| format!("{byte:02x}")).collect())
}

/// The key of the hash that spreads entities over shards; made once, so that nobody outside can
/// aim all load at one of them.
///
/// # Errors
/// If it cannot be read or made.
pub(super) fn node_key(dir: &Path) -> Result<[u8; 16], Failure> {
    let path = dir.join(KEY);
    let failed = |error: &dyn std::fmt::Display| {
        Failure::argument(
            format!("cannot use {}: {error}", path.display()),
            "it holds 16 bytes and belongs to the state beside it: restore both together",
        )
    };
    match files::read_regular(&path, 1 << 10) {
        Ok(bytes) => bytes
            .as_slice()
            .try_into()
            .map_err(|_| failed(&format!("it has {} bytes", bytes.len()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key: [u8; 16] = tokens::random().map_err(|e| failed(&e))?;
            let made = dir.join(format!("{KEY}.{}", std::process::id()));
            let write = || {
                let mut options = fs::OpenOptions::new();
                let mut file =
                    options.write(true).create(true).truncate(true).mode(0o600).open(&made)?;
                file.write_all(&key)?;
                file.sync_all()?;
                fs::rename(&made, &path)?;
                fs::File::open(dir)?.sync_all()
            };
            write().map_err(|e| failed(&e))?;
            Ok(key)
        }
        Err(error) => Err(failed(&error)),
    }
}
