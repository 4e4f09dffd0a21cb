//! The files beside the database: lock, format marker, how far commits were acknowledged, and what
//! is noticed about damage. Not the database's own files.
//!
//! ```text
//! lock          held while open; the process id as text
//! format        what the directory holds: `NAME VERSION`
//! acknowledged  number of the last acknowledged commit, u64 BE, and its complement
//! damaged       only after damage was seen: what it was
//! db/           the database
//! ```

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::StoreError;

/// The directory of a store, locked.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    _lock: File,
}

/// A locked directory is asked for this often,
const LOCK_TRIES: u32 = 20;
/// with so long between: a second in all.
const LOCK_WAIT: Duration = Duration::from_millis(50);

impl Directory {
    /// Creates and locks it. Only its owner can enter it: that protects every file in it.
    pub(crate) fn lock(dir: &Path) -> Result<Directory, StoreError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(StoreError::io("create", dir))?;
        let lock_path = dir.join("lock");
        let mut lock = private(&lock_path).map_err(StoreError::io("open", &lock_path))?;
        // A process that is just ending lets go in a moment.
        let mut tries = 0;
        while let Err(error) = lock.try_lock() {
            match error {
                TryLockError::WouldBlock if tries < LOCK_TRIES => {
                    tries += 1;
                    std::thread::sleep(LOCK_WAIT);
                }
                TryLockError::WouldBlock => {
                    let mut text = String::new();
                    let read = lock.read_to_string(&mut text);
                    let process = read.ok().and_then(|_| text.trim().parse().ok());
                    return Err(StoreError::Locked { dir: dir.to_owned(), process });
                }
                TryLockError::Error(e) => return Err(StoreError::io("lock", &lock_path)(e)),
            }
        }
        lock.set_len(0)
            .and_then(|()| writeln!(lock, "{}", std::process::id()))
            .map_err(StoreError::io("write", &lock_path))?;
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700))
            .map_err(StoreError::io("set permissions of", dir))?;
        Ok(Directory { path: dir.to_owned(), _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the database is.
    pub(crate) fn database(&self) -> PathBuf {
        self.path.join("db")
    }

    /// Checks the marker; without one, lets `create` make the database and then writes it.
    ///
    /// Made beside and renamed, so that a crash at any moment leaves either nothing that counts or
    /// all of it, and a marker that was removed is never taken for a crash.
    pub(crate) fn prepare(
        &self,
        format: &str,
        create: impl FnOnce(&Path) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.refuse_damaged()?;
        let (marker, database, unfinished) =
            (self.path.join("format"), self.database(), self.path.join("db.new"));
        let exists = |path: &Path| path.try_exists().map_err(StoreError::io("look at", path));
        match fs::read_to_string(&marker) {
            Ok(found) if found.trim_end() == format => {}
            Ok(found) => {
                return Err(StoreError::Format {
                    dir: self.path.clone(),
                    found: format!("`{}`", found.trim_end().escape_debug()),
                    expected: format!("`{format}`"),
                });
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                if exists(&database)? {
                    return Err(StoreError::damaged(&self.path, "its file `format` is missing"));
                }
                self.refuse_foreign()?;
                if exists(&unfinished)? {
                    fs::remove_dir_all(&unfinished)
                        .map_err(StoreError::io("remove", &unfinished))?;
                }
                DirBuilder::new()
                    .mode(0o700)
                    .create(&unfinished)
                    .map_err(StoreError::io("create", &unfinished))?;
                create(&unfinished)?;
                self.write("acknowledged", &record(0))?;
                self.write("format", format!("{format}\n").as_bytes())?;
            }
            Err(e) if e.kind() == io::ErrorKind::InvalidData => {
                return Err(StoreError::damaged(&self.path, "its file `format` is not text"));
            }
            Err(e) => return Err(StoreError::io("read", &marker)(e)),
        }
        if !exists(&database)? {
            if !exists(&unfinished)? {
                return Err(StoreError::damaged(&self.path, "its folder `db` is missing"));
            }
            fs::rename(&unfinished, &database).map_err(StoreError::io("rename", &unfinished))?;
            self.sync()?;
        }
        Ok(())
    }

    /// What was acknowledged, and the file to keep it in.
    pub(crate) fn acknowledged(&self) -> Result<(u64, File), StoreError> {
        let path = self.path.join("acknowledged");
        let damaged = |how: &str| {
            let what = format!(
                "its file `acknowledged` {how}, so that it cannot be told whether commits are lost"
            );
            StoreError::damaged(&self.path, what)
        };
        let file = match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(damaged("is missing")),
            Err(e) => return Err(StoreError::io("open", &path)(e)),
        };
        let mut bytes = Vec::new();
        (&file).take(64).read_to_end(&mut bytes).map_err(StoreError::io("read", &path))?;
        let number = bytes.first_chunk().map(|n| u64::from_be_bytes(*n));
        match number {
            Some(number) if bytes == record(number) => Ok((number, file)),
            Some(_) | None => Err(damaged("does not hold what was written")),
        }
    }

    /// Remembers damage, so that it is refused from now on: opening the database may mend it away.
    pub(crate) fn condemn(&self, what: &str) -> StoreError {
        if let Err(error) = self.write("damaged", what.as_bytes()) {
            tracing::error!(%error, "cannot keep what is damaged");
        }
        StoreError::damaged(&self.path, what)
    }

    fn refuse_damaged(&self) -> Result<(), StoreError> {
        let path = self.path.join("damaged");
        match fs::read(&path) {
            Ok(what) => Err(StoreError::damaged(&self.path, String::from_utf8_lossy(&what))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(StoreError::io("read", &path)(e)),
        }
    }

    /// A directory with files of another program is no place for a store.
    fn refuse_foreign(&self) -> Result<(), StoreError> {
        let entries = fs::read_dir(&self.path).map_err(StoreError::io("list", &self.path))?;
        for entry in entries {
            let name = entry.map_err(StoreError::io("list", &self.path))?.file_name();
            if !["lock", "db.new", "write.new", "acknowledged"].iter().any(|ours| name == *ours) {
                return Err(StoreError::Format {
                    dir: self.path.clone(),
                    found: format!("other files, such as `{}`", name.to_string_lossy()),
                    expected: "an empty directory or a store".to_owned(),
                });
            }
        }
        Ok(())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.path.join(name);
        let unfinished = self.path.join("write.new");
        private(&unfinished)
            .and_then(|mut file| {
                file.set_len(0)?;
                file.write_all(bytes)?;
                file.sync_all()
            })
            .map_err(StoreError::io("write", &unfinished))?;
        fs::rename(&unfinished, &path).map_err(StoreError::io("rename", &unfinished))?;
        self.sync()
    }

    fn sync(&self) -> Result<(), StoreError> {
        File::open(&self.path)
            .and_then(|dir| dir.sync_all())
            .map_err(StoreError::io("sync", &self.path))
    }
}

/// Keeps the number of a commit that is on disk. Not synced: after a loss of power an older number
/// is there, which only notices less.
pub(crate) fn acknowledge(file: &File, number: u64) {
    if let Err(error) = file.write_all_at(&record(number), 0) {
        tracing::warn!(%error, "cannot keep the number of the last commit");
    }
}

fn record(number: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    bytes[8..].copy_from_slice(&(!number).to_be_bytes());
    bytes
}

/// A file only its owner can read.
fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// Sealed journals as they are before the database recovers from them. Recovery cuts a journal off
/// where it cannot read on: right for the end of the last one, where a crash may have torn a batch;
/// for others, which were synced when they were sealed, that would lose commits silently.
#[derive(Debug)]
pub(crate) struct SealedJournals(Vec<(PathBuf, File, u64)>);

impl SealedJournals {
    pub(crate) fn look(database: &Path) -> Result<SealedJournals, StoreError> {
        let mut journals = Vec::new();
        for entry in fs::read_dir(database).map_err(StoreError::io("list", database))? {
            let path = entry.map_err(StoreError::io("list", database))?.path();
            let number = path.file_stem().and_then(|s| s.to_str()?.parse::<u64>().ok());
            if let (Some(number), Some(true)) = (number, path.extension().map(|e| e == "jnl")) {
                journals.push((number, path));
            }
        }
        journals.sort_unstable();
        journals.pop();
        let sealed = journals.into_iter().map(|(_, path)| {
            let file = File::open(&path).map_err(StoreError::io("open", &path))?;
            let end = written(&file).map_err(StoreError::io("read", &path))?;
            Ok((path, file, end))
        });
        sealed.collect::<Result<_, _>>().map(SealedJournals)
    }

    /// What recovery cut off, if it did.
    ///
    /// # Errors
    /// If a journal cannot be looked at.
    pub(crate) fn cut(&self) -> Result<Option<String>, StoreError> {
        for (path, file, end) in &self.0 {
            let left = file.metadata().map_err(StoreError::io("look at", path))?.len();
            if left < *end {
                let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
                return Ok(Some(format!(
                    "the journal `{name}` is unreadable from byte {left} of {end}, commits are lost"
                )));
            }
        }
        Ok(None)
    }
}

/// Where the bytes end and the zeros begin that a journal is allocated with.
fn written(file: &File) -> io::Result<u64> {
    const BLOCK: u64 = 1 << 16;
    let mut end = file.metadata()?.len();
    let mut block = vec![0; BLOCK as usize];
    while end > 0 {
        let start = (end - 1) / BLOCK * BLOCK;
        let bytes = &mut block[..(end - start) as usize];
        file.read_exact_at(bytes, start)?;
        if let Some(last) = bytes.iter().rposition(|b| *b != 0) {
            return Ok(start + last as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}
