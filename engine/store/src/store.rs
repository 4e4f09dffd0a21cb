//! Opening a store and writing to it.

use std::{
    fmt,
    fs::{self, File},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use crate::{
    Snapshot, StoreError,
    error::call,
    files::{self, Directory, SealedJournals},
};

/// How much memory a store uses, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Blocks read from disk are kept in so many. 16 MiB: the newest 5,000 findings of 3 kB.
    pub cache: u64,
    /// A keyspace holds so many of writes before it sorts them into a file; a batch may exceed it. Five
    /// times as much per keyspace at worst, when files cannot be written as fast; then writers wait.
    pub memtable: u64,
}

impl Default for Memory {
    fn default() -> Self {
        Memory { cache: 16 << 20, memtable: 4 << 20 }
    }
}

/// At this many bytes of journals, keyspaces are written out so that old ones can go. With the one
/// being written (64 MiB), what is read back at start (about a second), and a bound of what all
/// keyspaces hold in memory together.
const JOURNALS: u64 = 64 << 20;
/// Threads that sort: one can write files while the other merges them.
const WORKERS: usize = 2;
/// Files kept open.
const OPEN_FILES: usize = 256;
/// Bytes of disk that no ordinary batch may use: what is in memory must fit when it is written out,
/// and old data must be removable when all else is full.
const RESERVE: u64 = 64 << 20;
/// Bytes of disk that even freeing batches leave.
const LAST_RESERVE: u64 = 16 << 20;
/// Holds one key: the number of the last commit.
const COMMITS: &str = "commits";

/// What a directory holds.
#[derive(Clone, Copy, Debug)]
pub struct Layout<const N: usize> {
    /// What it is, one word.
    pub name: &'static str,
    /// Which version of that: a directory of another is refused.
    pub version: u32,
    /// The keyspaces, each 1 to 255 bytes.
    pub spaces: [&'static str; N],
}

/// An open store. Cheap to clone; the directory is locked while a clone, a [`Space`] or a
/// [`Snapshot`] lives.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

/// A keyspace of an open store.
#[derive(Clone)]
pub struct Space {
    pub(crate) keyspace: Keyspace,
    _store: Arc<Inner>,
}

pub(crate) struct Inner {
    // Dropped in this order: the database closes before the directory is unlocked.
    database: Database,
    commits: Keyspace,
    writer: Mutex<Writer>,
    pub(crate) directory: Directory,
}

/// One at a time, so that commits have one order.
struct Writer {
    /// The number of the last commit.
    number: u64,
    acknowledged: File,
    /// The failure after which nothing is written.
    stopped: Option<String>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("dir", &self.inner.directory.path()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Space").field(&&**self.keyspace.name()).finish()
    }
}

impl Store {
    /// Opens the store in a directory, which it creates (for its owner only) and locks.
    ///
    /// # Errors
    /// If another process has it, if it holds something else or another version, or if it is
    /// damaged: then nothing acknowledged is given up without saying so.
    ///
    /// ```
    /// use sluice_store::{Layout, Memory, Store};
    ///
    /// let dir = tempfile::tempdir().unwrap();
    /// let layout = Layout { name: "notes", version: 1, spaces: ["note"] };
    /// let (store, [notes]) = Store::open(dir.path(), &layout, Memory::default()).unwrap();
    /// let mut batch = store.batch();
    /// batch.put(&notes, b"one", b"kept");
    /// store.commit(batch).unwrap();
    /// let value = store.snapshot().get(&notes, b"one").unwrap().unwrap();
    /// assert_eq!(&*value, b"kept");
    /// ```
    pub fn open<const N: usize>(
        dir: &Path,
        layout: &Layout<N>,
        memory: Memory,
    ) -> Result<(Store, [Space; N]), StoreError> {
        let options = || KeyspaceCreateOptions::default().max_memtable_size(memory.memtable);
        let directory = Directory::lock(dir)?;
        directory.prepare(&format!("{} {}", layout.name, layout.version), |path| {
            let database = open(dir, path, memory)?;
            for name in layout.spaces.into_iter().chain([COMMITS]) {
                call(dir, "create", || database.keyspace(name, options))?;
            }
            call(dir, "sync", || database.persist(PersistMode::SyncAll))
        })?;
        let path = directory.database();
        let sealed = SealedJournals::look(&path)?;
        let (acknowledged, file) = directory.acknowledged()?;
        check_names(dir, &path)?;
        let database = open(dir, &path, memory)?;
        if let Some(cut) = sealed.cut()? {
            return Err(directory.condemn(&cut));
        }
        let space = |name: &str| {
            // Recovery drops a keyspace whose files it does not know as one that was never finished.
            if !database.keyspace_exists(name) {
                return Err(directory.condemn(&format!("the keyspace `{name}` is missing")));
            }
            call(dir, "open", || database.keyspace(name, options))
        };
        let commits = space(COMMITS)?;
        let keyspaces =
            layout.spaces.iter().map(|name| space(name)).collect::<Result<Vec<_>, _>>()?;
        let number = match call(dir, "read", || commits.get(COMMITS))? {
            Some(bytes) => match <[u8; 8]>::try_from(&*bytes) {
                Ok(bytes) => u64::from_be_bytes(bytes),
                Err(_) => return Err(directory.condemn("the number of commits is unreadable")),
            },
            None => 0,
        };
        if number < acknowledged {
            return Err(directory.condemn(&format!(
                "commit {acknowledged} was acknowledged and the last one found is {number}"
            )));
        }
        files::acknowledge(&file, number);
        let writer = Mutex::new(Writer { number, acknowledged: file, stopped: None });
        let inner = Arc::new(Inner { database, commits, writer, directory });
        let spaces = keyspaces
            .into_iter()
            .map(|keyspace| Space { keyspace, _store: inner.clone() })
            .collect::<Vec<_>>()
            .try_into()
            .map_err(|_| StoreError::damaged(dir, "a keyspace is missing"))?;
        Ok((Store { inner }, spaces))
    }

    /// An empty batch.
    pub fn batch(&self) -> Batch {
        let inner = self.inner.database.batch().durability(Some(PersistMode::SyncAll));
        Batch { inner, bytes: 0, too_long: None }
    }

    /// Writes a batch; on disk when this returns.
    ///
    /// # Errors
    /// [`StoreError::Full`] if less would be left than the reserve: nothing was written. Any other
    /// failure to write stops the store.
    pub fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        self.write(batch, RESERVE)
    }

    /// Like [`Store::commit`], for batches that remove more than they add: they may use most of the
    /// reserve.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub fn commit_freeing(&self, batch: Batch) -> Result<(), StoreError> {
        self.write(batch, LAST_RESERVE)
    }

    /// The store as it is now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { inner: self.inner.database.snapshot(), store: self.inner.clone() }
    }

    /// Bytes of its files. Journals count as allocated: at least 64 MiB.
    ///
    /// # Errors
    /// If the journal cannot be looked at.
    pub fn disk_bytes(&self) -> Result<u64, StoreError> {
        call(self.dir(), "measure", || self.inner.database.disk_space())
    }

    /// Bytes free for this user on the disk it is on.
    ///
    /// # Errors
    /// If the system cannot tell.
    pub fn free_bytes(&self) -> Result<u64, StoreError> {
        free(self.dir())
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        self.inner.directory.path()
    }

    fn write(&self, mut batch: Batch, reserve: u64) -> Result<(), StoreError> {
        if let Some(length) = batch.too_long {
            return Err(StoreError::KeyTooLong { length });
        }
        if batch.is_empty() {
            return Ok(());
        }
        let mut writer = self.writer();
        let stopped = |reason: String| StoreError::Stopped { dir: self.dir().to_owned(), reason };
        if let Some(reason) = &writer.stopped {
            return Err(stopped(reason.clone()));
        }
        // Once in the journal, once in a sorted file.
        let needed = reserve + 2 * batch.bytes;
        let free = self.free_bytes()?;
        if free < needed {
            return Err(StoreError::Full { dir: self.dir().to_owned(), free, needed });
        }
        let number = writer.number + 1;
        batch.inner.insert(&self.inner.commits, COMMITS, number.to_be_bytes());
        if let Err(error) = call(self.dir(), "write", || batch.inner.commit()) {
            let reason = match std::error::Error::source(&error) {
                Some(source) => format!("{error}: {source}"),
                None => error.to_string(),
            };
            tracing::error!(%reason, "the store stops writing");
            writer.stopped = Some(reason.clone());
            return Err(stopped(reason));
        }
        writer.number = number;
        files::acknowledge(&writer.acknowledged, number);
        Ok(())
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.inner.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Changes that are made together.
pub struct Batch {
    inner: fjall::OwnedWriteBatch,
    bytes: u64,
    too_long: Option<usize>,
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("changes", &self.inner.len()).finish_non_exhaustive()
    }
}

impl Batch {
    /// The longest key, in bytes.
    pub const MAX_KEY: usize = u16::MAX as usize;

    /// Sets a key.
    pub fn put(&mut self, space: &Space, key: &[u8], value: &[u8]) {
        if self.accepts(key) {
            self.bytes += (key.len() + value.len()) as u64;
            self.inner.insert(&space.keyspace, key, value);
        }
    }

    /// Removes a key, if it is there.
    pub fn remove(&mut self, space: &Space, key: &[u8]) {
        if self.accepts(key) {
            self.bytes += key.len() as u64;
            self.inner.remove(&space.keyspace, key);
        }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.inner.is_empty()
    }

    /// Bytes of its keys and values.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn accepts(&mut self, key: &[u8]) -> bool {
        let fits = key.len() <= Self::MAX_KEY;
        if !fits {
            self.too_long = Some(key.len());
        }
        fits
    }
}

fn open(dir: &Path, path: &Path, memory: Memory) -> Result<Database, StoreError> {
    call(dir, "open", || {
        Database::builder(path)
            .cache_size(memory.cache)
            .max_journaling_size(JOURNALS)
            .worker_threads(WORKERS)
            .max_cached_files(Some(OPEN_FILES))
            .open()
    })
}

fn free(dir: &Path) -> Result<u64, StoreError> {
    let stat = rustix::fs::statvfs(dir)
        .map_err(|e| StoreError::io("measure free space of", dir)(e.into()))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// The database cannot bear folders it did not make.
fn check_names(dir: &Path, database: &Path) -> Result<(), StoreError> {
    let folder = database.join("keyspaces");
    for entry in fs::read_dir(&folder).map_err(StoreError::io("list", &folder))? {
        let name = entry.map_err(StoreError::io("list", &folder))?.file_name();
        if name.to_str().and_then(|n| n.parse::<u64>().ok()).is_none() {
            let what = format!("`{}` does not belong in db/keyspaces", name.to_string_lossy());
            return Err(StoreError::damaged(dir, what));
        }
    }
    Ok(())
}
