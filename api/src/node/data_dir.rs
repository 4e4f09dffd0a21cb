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

use super::{recorded, silence};
use crate::{
    audit,
    exit::{Failure, engine_error},
    tokens,
};

/// What this program keeps in it.
const OURS: [&str; 13] = [
    recorded::FILE,
    HISTORY,
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

/// The folder of the history.
const HISTORY: &str = "history";

/// The history's folder.
pub(crate) fn history(dir: &Path) -> PathBuf {
    dir.join(HISTORY)
}

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

/// Opens the store of a data directory, made if it is not there, for one command that writes state, while
/// no server runs on it; and the key that says where state lies.
///
/// # Errors
/// If it cannot be made, or another process has it.
pub(crate) fn open_for_state(dir: &Path) -> Result<(FindingStore, [u8; 16]), Failure> {
    make(dir)?;
    let key = node_key(dir)?;
    let store = FindingStore::open(&store(dir), Retention::default()).map_err(|error| {
        let shown = dir.display();
        Failure::argument(
            engine_error(&error),
            format!("if a server runs on {shown}, stop it first"),
        )
    })?;
    Ok((store, key))
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
    let (mut ours, mut foreign) = (false, None);
    for entry in fs::read_dir(dir).map_err(|e| failed("read", e))? {
        let name = entry.map_err(|e| failed("read", e))?.file_name();
        let name = name.to_string_lossy().into_owned();
        if OURS.contains(&name.as_str()) {
            ours = true;
        } else if !matches!(name.as_str(), "lost+found" | ".gitkeep") {
            foreign = Some(name);
        }
    }
    // Once something of ours is there, the directory is ours, whatever else people put in it.
    if let Some(name) = foreign.filter(|_| !ours) {
        return Err(Failure::argument(
            format!("{shown} is not empty and not of Sluice: it holds `{name}`"),
            "`data_dir` names a directory for Sluice alone; it is made if it is not there",
        ));
    }
    narrow(dir).map_err(|e| failed("narrow the mode of", e))?;
    writable(dir).map_err(|e| failed("write to", e))
}

/// Takes group and others their rights to a directory that was there before, and to what of ours is in
/// it: it holds findings and hashes of tokens. Files made from now on are 0600 by the umask.
fn narrow(dir: &Path) -> io::Result<()> {
    let mode = fs::metadata(dir)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        fs::set_permissions(dir, fs::Permissions::from_mode(mode & 0o700))?;
        tracing::warn!("{} had mode {mode:03o}; it is {:03o} now", dir.display(), mode & 0o700);
    }
    let mut narrowed = 0;
    let mut paths: Vec<PathBuf> = OURS.iter().map(|name| dir.join(name)).collect();
    while let Some(path) = paths.pop() {
        let Some(metadata) = found(fs::symlink_metadata(&path))? else { continue };
        let mode = metadata.permissions().mode() & 0o777;
        // The mode of a link is nobody's; where it leads is not ours.
        if metadata.is_symlink() {
            continue;
        }
        if mode & 0o077 != 0 {
            let narrow = fs::Permissions::from_mode(mode & 0o700);
            narrowed += usize::from(found(fs::set_permissions(&path, narrow))?.is_some());
        }
        if metadata.is_dir() {
            for entry in found(fs::read_dir(&path))?.into_iter().flatten() {
                paths.push(entry?.path());
            }
        }
    }
    if narrowed > 0 {
        let shown = dir.display();
        tracing::warn!("group or others had rights to {narrowed} files and folders in {shown}");
    }
    Ok(())
}

/// `None` for what is not there, or not any more.
fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
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
