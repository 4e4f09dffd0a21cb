//! `tokens.json`: read whole, changed under a lock, replaced by rename, readable by its owner only.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sluice_ingest::files;

use super::{Principal, Role, TokenError, TokenInfo};

/// What the file holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    version: u32,
    pub(super) tokens: Vec<Record>,
}

/// One token. Times are milliseconds since 1970 UTC.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) role: Role,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) inputs: Option<Vec<String>>,
    /// SHA-256 of the secret, hex.
    pub(super) hash: String,
    pub(super) created: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) expires: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last_used: Option<i64>,
}

/// What tells one file from the next: (inode, length, modified seconds, nanoseconds).
pub(super) type Stamp = Option<(u64, u64, i64, i64)>;

const VERSION: u32 = 1;
/// A larger file was not written by this program: 16 MiB are 50,000 tokens.
const MAX_FILE_BYTES: u64 = 16 << 20;

impl Default for Table {
    fn default() -> Self {
        Table { version: VERSION, tokens: Vec::new() }
    }
}

impl Record {
    pub(super) fn principal(&self) -> Principal {
        Principal {
            id: self.id.clone(),
            name: self.name.clone(),
            role: self.role,
            inputs: self.inputs.clone(),
        }
    }

    pub(super) fn info(&self) -> TokenInfo {
        TokenInfo {
            id: self.id.clone(),
            name: self.name.clone(),
            role: self.role,
            inputs: self.inputs.clone(),
            created: self.created,
            expires: self.expires,
            last_used: self.last_used,
        }
    }
}

/// The tokens of a data directory and the stamp of the file they are from; no file, no tokens.
pub(super) fn read(dir: &Path) -> Result<(Table, Stamp), TokenError> {
    let path = dir.join("tokens.json");
    // The stamp first: if the file is replaced in between, the next look reads it again.
    let stamp = stamp(dir)?;
    let text = match files::read_regular(&path, MAX_FILE_BYTES) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok((Table::default(), None)),
        Err(source) => return Err(TokenError::File { action: "read", path, source }),
    };
    let table: Table = serde_json::from_slice(&text)
        .map_err(|e| TokenError::Damaged { path: path.clone(), detail: e.to_string() })?;
    if table.version != VERSION {
        let detail = format!("its version is {}, this program writes {VERSION}", table.version);
        return Err(TokenError::Damaged { path, detail });
    }
    Ok((table, stamp))
}

/// The stamp of the file as it is now.
pub(super) fn stamp(dir: &Path) -> Result<Stamp, TokenError> {
    let path = dir.join("tokens.json");
    match fs::metadata(&path) {
        Ok(m) => Ok(Some((m.ino(), m.len(), m.mtime(), m.mtime_nsec()))),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(TokenError::File { action: "look at", path, source }),
    }
}

/// Reads, changes and replaces the file while no other process does.
pub(super) fn change(
    dir: &Path,
    change: impl FnOnce(&mut Table) -> Result<(), TokenError>,
) -> Result<(Table, Stamp), TokenError> {
    let failed = |action: &'static str, path: &Path| {
        let path = path.to_owned();
        move |source: io::Error| TokenError::File { action, path, source }
    };
    fs::create_dir_all(dir).map_err(failed("create", dir))?;
    let lock_path = dir.join("tokens.lock");
    let lock = private(&lock_path).map_err(failed("open", &lock_path))?;
    lock.lock().map_err(failed("lock", &lock_path))?;
    let (mut table, _) = read(dir)?;
    change(&mut table)?;
    let temporary = dir.join("tokens.json.new");
    write(&temporary, &table).map_err(failed("write", &temporary))?;
    let path: PathBuf = dir.join("tokens.json");
    fs::rename(&temporary, &path).map_err(failed("replace", &path))?;
    File::open(dir).and_then(|d| d.sync_all()).map_err(failed("sync", dir))?;
    let stamp = stamp(dir)?;
    Ok((table, stamp))
}

fn write(path: &Path, table: &Table) -> io::Result<()> {
    // A file left behind by a crash may have another mode: a fresh one is made.
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        Ok(()) | Err(_) => {}
    }
    let mut file = private(path)?;
    file.write_all(&serde_json::to_vec_pretty(table)?)?;
    file.write_all(b"\n")?;
    file.sync_all()
}

fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).write(true).read(true).mode(0o600).open(path)
}
