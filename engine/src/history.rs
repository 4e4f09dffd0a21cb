//! Events for hunts: every row that came, by table. The newest are in memory, the others in Parquet files
//! that anybody can read (the layout is in `files`). Not used by detection, which never waits for it.
//!
//! A row is in the history once, whatever happens. In memory, rows are kept by the checkpoint that will
//! cover them. With the checkpoint they go to its tail file, which the store lists in the same batch; later
//! to Parquet files, which the store lists in the same batch in which it forgets the tail. What is not listed
//! does not count: after a crash those rows are read again by their input, from the last checkpoint on.
//!
//! A worker pushes rows (`memory`, `ring`), with a copy of their records, from which their `event_uid` is
//! computed when they are packed or a hunt asks for it (`identity`). On disk, a thread packs them under LZ4
//! as they come (`packed`, `packer`), the thread of checkpoints packs the others and seals all (`tail`), and a third
//! writes files, puts small ones together and applies retention (`writer`, `columnar`). A hunt reads all of it
//! (`reader`). What is missing from an answer is in [`HuntResult::gaps`].

mod columnar;
mod files;
mod identity;
mod list;
mod memory;
mod packed;
mod packer;
mod reader;
mod recover;
mod replay;
mod ring;
mod tail;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use arrow::record_batch::RecordBatch;
use sluice_event::{EventBatch, Schema, TableName};
use sluice_sql::{Cancel, Lookups, QueryLimits, QueryResult, SqlError, StoredRows, query_stored};
use sluice_stream::StateEntry;

pub use list::Loss;
pub(crate) use list::PREFIX;
use memory::{Table, Tables};
use packed::Held;
pub use reader::HistoryGap;
use reader::{ScanLog, TableView, schema_of};
pub use replay::HistorySource;
pub use writer::DiskSettings;
use writer::{Disk, Wake, remove_tails};

use crate::{EngineError, durable::FindingStore};

/// The rows of every table. Cheap to clone; clones share the rows. The last one ends the threads that pack
/// them and write files.
#[derive(Clone, Debug)]
pub struct EventHistory {
    inner: Arc<Inner>,
    _threads: Arc<[Background]>,
}

#[derive(Debug)]
struct Inner {
    tables: Mutex<Tables>,
    lookups: Mutex<Lookups>,
    table_bytes: usize,
    disk: Option<Disk>,
    /// Files that hunts have opened.
    files_read: AtomicU64,
}

/// A thread that works until it is dropped.
#[derive(Debug)]
struct Background {
    wake: Arc<Wake>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    fn start(
        name: &str,
        inner: &Arc<Inner>,
        wake: &Arc<Wake>,
        run: fn(&Inner, &Wake),
    ) -> Result<Background, EngineError> {
        let thread = std::thread::Builder::new().name(format!("sluice-{name}")).spawn({
            let (inner, wake) = (inner.clone(), wake.clone());
            move || run(&inner, &wake)
        });
        let thread = Some(thread.map_err(|_| EngineError::Thread("history"))?);
        Ok(Background { wake: wake.clone(), thread })
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.wake.stop.store(true, Ordering::Relaxed);
        self.wake.wake();
        if let Some(thread) = self.thread.take() {
            // One that panicked has said so.
            thread.join().ok();
        }
    }
}

/// The answer to a hunt.
#[derive(Clone, Debug)]
pub struct HuntResult {
    /// Rows and whether they were cut off.
    pub result: QueryResult,
    /// Rows read of all tables.
    pub rows_scanned: u64,
    /// Bytes of the columns that were read, in memory.
    pub bytes_scanned: u64,
    /// Parquet files opened.
    pub files_scanned: u64,
    /// Per table: the event time from which on every row that came is there, milliseconds; `None` for an
    /// empty one.
    pub covers_from: BTreeMap<TableName, Option<i64>>,
    /// Rows of the tables and times asked for that are not in the answer and should be.
    pub gaps: Vec<HistoryGap>,
}

/// What the history holds and has thrown away.
#[derive(Clone, Debug, Default)]
pub struct HistoryStats {
    /// Whether it is on disk.
    pub is_on_disk: bool,
    /// By table.
    pub tables: BTreeMap<TableName, TableStats>,
    /// Attempts to write to disk that failed since the process started.
    pub write_failures: u64,
    /// Why nothing can be written, if nothing can.
    pub failing: Option<String>,
    /// Files that hunts have opened since the process started.
    pub files_read: u64,
}

/// What the history holds of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableStats {
    /// Rows in memory, and their bytes.
    pub memory_rows: u64,
    /// See `memory_rows`.
    pub memory_bytes: u64,
    /// Parquet files, their rows and bytes.
    pub files: u64,
    /// See `files`.
    pub file_rows: u64,
    /// See `files`.
    pub file_bytes: u64,
    /// Files that cannot be read, and their rows.
    pub unreadable_files: u64,
    /// See `unreadable_files`.
    pub unreadable_rows: u64,
    /// Rows that retention has dropped, or that made room in memory where there are no files.
    pub dropped_rows: u64,
    /// Bytes of files that retention has dropped.
    pub dropped_bytes: u64,
    /// Rows that should be there and are not, by reason, beside those of unreadable files.
    pub lost_rows: BTreeMap<Loss, u64>,
    /// As [`HuntResult::covers_from`].
    pub covers_from: Option<i64>,
}

impl EventHistory {
    /// A history in memory alone, that keeps at most so many bytes of each table.
    pub fn new(table_bytes: usize) -> Self {
        EventHistory { inner: Arc::new(Inner::new(table_bytes, None)), _threads: Arc::new([]) }
    }

    /// A history on disk, listed in this store. Rows of a table go to a file when they take so many bytes
    /// as they came, which is about three times what they take packed; at most twice as many bytes of memory
    /// wait to be written.
    ///
    /// # Errors
    /// If the folder cannot be read or the list is damaged. A file that is missing or damaged is no error:
    /// answers say so.
    pub fn open(
        settings: DiskSettings,
        table_bytes: usize,
        store: &FindingStore,
    ) -> Result<Self, EngineError> {
        let inner = Arc::new(recover::open(settings, table_bytes, store)?);
        let threads = match &inner.disk {
            Some(disk) => vec![
                Background::start("history", &inner, &disk.wake, writer::run)?,
                Background::start("history-pack", &inner, &disk.packing, packer::run)?,
            ],
            None => Vec::new(),
        };
        Ok(EventHistory { inner, _threads: threads.into() })
    }

    /// A history on disk that nothing is written to, for a store that no node runs on.
    ///
    /// # Errors
    /// As [`EventHistory::open`].
    pub fn at_rest(dir: &Path, store: &FindingStore) -> Result<Self, EngineError> {
        let settings = DiskSettings {
            dir: dir.to_path_buf(),
            file_every: Duration::MAX,
            age: Duration::MAX,
            bytes: u64::MAX,
            min_free: 0,
        };
        let inner = Arc::new(recover::open(settings, usize::MAX, store)?);
        Ok(EventHistory { inner, _threads: Arc::new([]) })
    }

    /// Sets the lookups that hunts ask.
    pub fn know(&self, lookups: &Lookups) {
        *self.inner.lookups.lock().unwrap_or_else(PoisonError::into_inner) = lookups.clone();
    }

    /// Adds rows that came outside of a run: the next checkpoint covers them.
    pub fn push(&self, batch: &EventBatch) {
        self.push_before(0, batch);
    }

    /// Adds rows that the checkpoint of this number will cover; the oldest of the table make room.
    pub(crate) fn push_before(&self, epoch: u64, batch: &EventBatch) {
        let inner = &self.inner;
        let most = inner.table_bytes.saturating_mul(if inner.disk.is_some() { 2 } else { 1 });
        let loose = inner.disk.as_ref().map(|_| inner.loose_bytes());
        let rows = identity::with_records(batch);
        let is_due = inner.tables().push(&batch.table, epoch, rows, most, loose);
        if let Some(disk) = inner.disk.as_ref().filter(|_| is_due) {
            disk.packing.wake();
        }
    }

    /// A run goes on from this checkpoint: rows that came after it come again.
    pub(crate) fn begin(&self, epoch: u64) {
        self.inner.tables().begin(epoch);
    }

    /// Every row that this checkpoint covers has been pushed: what it changes in the list of the history.
    pub(crate) fn seal(&self, epoch: u64) -> Vec<StateEntry> {
        let Some(disk) = &self.inner.disk else { return Vec::new() };
        let (mut frames, mut changes) = self.inner.tables().seal(epoch);
        if !frames.is_empty() {
            // Not behind the lock that workers take.
            for frame in &mut frames {
                if let Err(reason) = frame.pack() {
                    tracing::warn!(name = %frame.table, reason, "rows of history stay as they came");
                }
            }
            self.inner.tables().packed(epoch, &frames);
            changes.extend(disk.seal(epoch, &frames));
        }
        changes.push(list::put_sealed(list::Sealed {
            epoch,
            at: crate::clock::clock(),
            since: disk.since,
        }));
        changes
    }

    /// This checkpoint is durable.
    pub(crate) fn kept(&self, epoch: u64) {
        let gone = self.inner.tables().kept(epoch, self.inner.disk.is_some());
        if let Some(disk) = &self.inner.disk {
            remove_tails(&disk.settings.dir, &gone);
            disk.wake.wake();
        }
    }

    /// Writes all rows that checkpoints cover to files, and applies retention, without waiting for the
    /// time to do so.
    pub fn write_files(&self) {
        self.inner.pass(true);
    }

    /// Since when events are kept, milliseconds since 1970 UTC; `None` if that is since the process started.
    pub fn kept_since(&self) -> Option<i64> {
        self.inner.disk.as_ref().map(|disk| disk.since)
    }

    /// What it holds and has thrown away.
    pub fn stats(&self) -> HistoryStats {
        let tables = self.inner.tables();
        let tables = tables.all.iter().map(|(name, t)| (name.clone(), TableStats::of(t))).collect();
        let disk = self.inner.disk.as_ref();
        let failing =
            disk.map(|d| d.failing.lock().unwrap_or_else(PoisonError::into_inner).clone());
        HistoryStats {
            is_on_disk: disk.is_some(),
            tables,
            write_failures: disk.map_or(0, |disk| disk.failures.load(Ordering::Relaxed)),
            failing: failing.flatten(),
            files_read: self.inner.files_read.load(Ordering::Relaxed),
        }
    }

    /// Runs sandboxed SQL over the rows held now. Blocks until it is done or its deadline.
    ///
    /// # Errors
    /// What is wrong with the SQL, or the limit it hit.
    pub fn hunt(&self, sql: &str, limits: QueryLimits) -> Result<HuntResult, SqlError> {
        self.hunt_between(sql, (None, None), limits, &Cancel::default())
    }

    /// [`EventHistory::hunt`] over the rows whose event time is at or after the first time and
    /// before the second, milliseconds; the others are not scanned. Ends soon after it is cancelled.
    ///
    /// # Errors
    /// What is wrong with the SQL, or the limit it hit.
    pub fn hunt_between(
        &self,
        sql: &str,
        between: (Option<i64>, Option<i64>),
        limits: QueryLimits,
        cancel: &Cancel,
    ) -> Result<HuntResult, SqlError> {
        self.hunt_beside(sql, BTreeMap::new(), between, limits, cancel)
    }

    /// [`EventHistory::hunt_between`] with these tables beside those of events.
    ///
    /// # Errors
    /// What is wrong with the SQL, or the limit it hit.
    pub fn hunt_beside(
        &self,
        sql: &str,
        beside: BTreeMap<TableName, Vec<RecordBatch>>,
        between: (Option<i64>, Option<i64>),
        limits: QueryLimits,
        cancel: &Cancel,
    ) -> Result<HuntResult, SqlError> {
        let log = Arc::<Mutex<ScanLog>>::default();
        let (mut views, mut covers_from) = self.views(between, &log);
        for (name, batches) in beside {
            let oldest = ring::extents(&batches).times.map(|(from, _)| from);
            covers_from.insert(name.clone(), oldest);
            let (files, lost) = Default::default();
            let rows = batches.into_iter().map(Held::Loose).collect();
            let view = view(name.clone(), rows, files, lost, (between, log.clone()));
            views.insert(name, view);
        }
        let lookups = self.inner.lookups.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let result = query_stored(sql, &views, &lookups, limits, cancel)?;
        let log = log.lock().unwrap_or_else(PoisonError::into_inner);
        let files_scanned = log.files.len() as u64;
        self.inner.files_read.fetch_add(files_scanned, Ordering::Relaxed);
        Ok(HuntResult {
            result,
            rows_scanned: log.rows,
            bytes_scanned: log.bytes,
            files_scanned,
            covers_from,
            gaps: log.gaps.clone(),
        })
    }

    /// All tables at one moment, and since when each is complete.
    fn views(
        &self,
        between: reader::Between,
        log: &Arc<Mutex<ScanLog>>,
    ) -> (Views, BTreeMap<TableName, Option<i64>>) {
        let (mut held, mut covers_from) = (Vec::new(), BTreeMap::new());
        for (name, table) in &self.inner.tables().all {
            let rows: Vec<Held> = table.ring.all().cloned().collect();
            held.push((name.clone(), rows, table.files.clone(), table.lost.clone()));
            covers_from.insert(name.clone(), table.covers_from());
        }
        // Nobody waits for files that are looked into.
        let views = held.into_iter().map(|(name, rows, files, lost)| {
            (name.clone(), view(name, rows, files, lost, (between, log.clone())))
        });
        (views.collect(), covers_from)
    }
}

/// The rows of each table.
type Views = BTreeMap<TableName, Arc<dyn StoredRows>>;

fn view(
    name: TableName,
    rows: Vec<Held>,
    files: Vec<Arc<files::HistoryFile>>,
    lost: BTreeMap<Loss, list::Lost>,
    (between, log): (reader::Between, Arc<Mutex<ScanLog>>),
) -> Arc<dyn StoredRows> {
    let schema = match Schema::builtin().table(name.as_str()) {
        Some(table) => table.arrow.clone(),
        None => schema_of(&rows, &files),
    };
    Arc::new(TableView { name, schema, rows, files, lost, between, log })
}

impl Inner {
    fn new(table_bytes: usize, disk: Option<Disk>) -> Inner {
        let (tables, lookups) = Default::default();
        Inner { tables, lookups, table_bytes, disk, files_read: AtomicU64::new(0) }
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TableStats {
    fn of(table: &Table) -> TableStats {
        let sum = |of: &dyn Fn(&files::HistoryFile) -> u64| -> u64 {
            table.files.iter().map(|file| of(file)).sum()
        };
        let if_damaged = |file: &files::HistoryFile, n: u64| file.damaged().map_or(0, |_| n);
        TableStats {
            memory_rows: table.ring.rows(),
            memory_bytes: table.ring.bytes() as u64,
            files: table.files.len() as u64,
            file_rows: sum(&|file| file.entry.extent.rows),
            file_bytes: sum(&|file| file.entry.bytes),
            unreadable_files: sum(&|file| if_damaged(file, 1)),
            unreadable_rows: sum(&|file| if_damaged(file, file.entry.extent.rows)),
            dropped_rows: table.dropped.extent.rows,
            dropped_bytes: table.dropped.bytes,
            lost_rows: table.lost.iter().map(|(loss, lost)| (*loss, lost.extent.rows)).collect(),
            covers_from: table.covers_from(),
        }
    }
}
