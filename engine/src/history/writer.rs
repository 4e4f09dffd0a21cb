//! The thread that keeps the files: writes the rows that checkpoints cover, puts small files together, and
//! drops what is too old or too much. Beside the path of findings: nothing waits for it, and what it
//! cannot write in time is counted as lost.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use arrow::{
    array::{AsArray, UInt32Array},
    compute::take_record_batch,
    datatypes::TimestampMillisecondType,
    record_batch::RecordBatch,
};
use sluice_event::TableName;
use sluice_stream::StateEntry;

use super::{
    Inner,
    columnar::{self, FileWriter},
    files::{self, HistoryFile},
    list::{self, FileEntry, Loss, Lost, TailEntry},
    memory::Table,
    packed::Held,
    reader::{self, conform, union},
    ring::extents,
    tail::{self, Frame},
};
use crate::{EngineError, clock::clock, durable::StateStore, error::chain, stopwatch::Timer};

const HOUR: i64 = 3_600_000;
/// How often it looks.
const PASS: Duration = Duration::from_millis(500);
/// Small files of an hour that are put together, while the hour gets more and when it does not.
const MERGE_AT: usize = 8;
const MERGE_QUIET: usize = 2;
/// Milliseconds without a file after which an hour gets no more, mostly.
const QUIET: i64 = 600_000;
/// Files of more bytes are not put together with others; together they may have four times as many.
const SMALL: u64 = 4 << 20;

/// Settings of the history on disk.
#[derive(Clone, Debug)]
pub struct DiskSettings {
    /// Its folder.
    pub dir: PathBuf,
    /// Rows are in memory and in the file of their checkpoint for at most this long.
    pub file_every: Duration,
    /// How long rows are kept after they were written.
    pub age: Duration,
    /// Bytes of files; beyond, the oldest by event time go.
    pub bytes: u64,
    /// Below this much free space nothing is written.
    pub min_free: u64,
}

/// The files of a history.
#[derive(Debug)]
pub(super) struct Disk {
    pub(super) settings: DiskSettings,
    pub(super) list: StateStore,
    /// The number of the next file.
    pub(super) next: AtomicU64,
    pub(super) since: i64,
    /// Attempts to write that failed, and what the last one said if it is not over.
    pub(super) failures: AtomicU64,
    pub(super) failing: Mutex<Option<String>>,
    /// Held while files are written; when hours without news and retention are looked at again.
    pub(super) passing: Mutex<Timer>,
    pub(super) wake: Arc<Wake>,
    /// Wakes the thread that packs rows.
    pub(super) packing: Arc<Wake>,
}

/// Ends the thread, or has it look at once.
#[derive(Debug, Default)]
pub(super) struct Wake {
    pub(super) stop: AtomicBool,
    lock: Mutex<()>,
    woken: Condvar,
}

impl Wake {
    pub(super) fn wake(&self) {
        // With the lock, so that it is not missed by whoever is about to sleep.
        let _lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.woken.notify_all();
    }

    pub(super) fn sleep(&self) {
        let lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if self.stop.load(Ordering::Relaxed) {
            return;
        }
        // Woken without reason, it looks once more.
        drop(self.woken.wait_timeout(lock, PASS).unwrap_or_else(PoisonError::into_inner));
    }
}

impl Disk {
    /// Writes the rows that a checkpoint covers; where each table is in it. If they cannot be written,
    /// the checkpoint says so.
    pub(super) fn seal(&self, epoch: u64, frames: &[Frame]) -> Vec<StateEntry> {
        let written = tail::encode(frames).and_then(|(bytes, entries)| {
            let path = files::tail(&self.settings.dir, epoch);
            self.room(bytes.len() as u64)?;
            files::write(&self.settings.dir, &path, &bytes).map_err(|e| e.to_string())?;
            Ok(entries)
        });
        let entries = self.noted(written).unwrap_or_else(|| {
            let unwritten = |frame: &Frame| {
                (frame.table.clone(), TailEntry { extent: frame.extent, place: None })
            };
            frames.iter().map(unwritten).collect()
        });
        entries.iter().map(|(table, tail)| list::put_tail(epoch, table, tail)).collect()
    }

    /// Whether so many bytes may be written.
    fn room(&self, bytes: u64) -> Result<(), String> {
        let free = self.list.free_bytes().map_err(|error| chain(&error))?;
        let least = self.settings.min_free.saturating_add(bytes);
        match free >= least {
            true => Ok(()),
            false => Err(format!("the disk has {free} bytes free, and {least} are needed")),
        }
    }

    /// The outcome of an attempt to write, counted and said if it failed.
    fn noted<T>(&self, outcome: Result<T, String>) -> Option<T> {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(written) => {
                if failing.take().is_some() {
                    tracing::info!("the history is written to disk again");
                }
                Some(written)
            }
            Err(reason) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                if failing.is_none() {
                    tracing::error!(reason, "the history cannot be written to disk");
                }
                *failing = Some(reason);
                None
            }
        }
    }

    /// A new file with these rows of one hour.
    fn write(
        &self,
        table: &TableName,
        folder: &str,
        batches: &mut dyn Iterator<Item = Result<RecordBatch, String>>,
        schema: &arrow::datatypes::SchemaRef,
        written_at: i64,
    ) -> Result<Arc<HistoryFile>, String> {
        let mut writer = FileWriter::new(schema.clone())?;
        let mut extent = list::Extent::default();
        for batch in batches {
            let batch = conform(&batch?, schema)?;
            extent.add(extents([&batch]));
            writer.write(&batch)?;
        }
        let bytes = writer.finish()?;
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let relative = files::relative(folder, number);
        self.room(bytes.len() as u64)?;
        let path = self.settings.dir.join(&relative);
        files::write(&self.settings.dir, &path, &bytes).map_err(|error| error.to_string())?;
        let entry = FileEntry {
            table: table.clone(),
            number,
            extent,
            bytes: bytes.len() as u64,
            written_at,
            blocks: columnar::checksums(&bytes).into(),
        };
        Ok(Arc::new(HistoryFile::new(&self.settings.dir, relative, entry)))
    }

    fn change(&self, changes: Vec<StateEntry>, frees: bool) -> Result<(), String> {
        self.list.list(changes, frees).map_err(|error: EngineError| chain(&error))
    }
}

/// Until it is told to stop.
pub(super) fn run(inner: &Inner, wake: &Wake) {
    while !wake.stop.load(Ordering::Relaxed) {
        inner.pass(false);
        wake.sleep();
    }
}

impl Inner {
    /// Writes what is due, or all that checkpoints cover; puts small files together, and applies retention.
    pub(super) fn pass(&self, all: bool) {
        let Some(disk) = &self.disk else { return };
        let mut passing = disk.passing.lock().unwrap_or_else(PoisonError::into_inner);
        let everything = passing.is_due() || all;
        let mut wrote_any = everything;
        let names: Vec<TableName> = self.tables().all.keys().cloned().collect();
        for name in &names {
            let wrote = self.write_due(disk, name, all);
            while (wrote || everything) && self.merge_one(disk, name) {}
            wrote_any |= wrote;
        }
        if wrote_any {
            self.retain(disk, clock());
        }
        let gone = self.tables().empty_tails();
        remove_tails(&disk.settings.dir, &gone);
    }

    /// Writes the rows of a table that checkpoints cover, if it is time; whether there are more files.
    fn write_due(&self, disk: &Disk, name: &TableName, all: bool) -> bool {
        let (last, rows) = {
            let mut tables = self.tables();
            let durable = tables.durable;
            let Some(table) = tables.all.get_mut(name) else { return false };
            let least = if all { 0 } else { self.table_bytes };
            let due = table.ring.due(durable, least, disk.settings.file_every);
            let Some((last, rows)) = due else { return false };
            table.writing = last;
            (last, rows)
        };
        let now = clock();
        let mut written = Vec::new();
        let outcome = (|| {
            disk.room(0)?;
            let schema = union(rows.iter().rev().map(Held::schema));
            // A stay of the disk leaves more than goes into one file.
            for part in parts(&rows, self.table_bytes) {
                for (hour, batches) in by_hour(part, now)? {
                    let folder = files::folder(name, hour);
                    let mut rows = batches.into_iter().map(Ok);
                    written.push(disk.write(name, &folder, &mut rows, &schema, now)?);
                }
            }
            let before: u64 = rows.iter().map(|held| held.extent().rows).sum();
            let after = total(&written);
            if before != after {
                return Err(format!("{before} rows of {name} would become {after}"));
            }
            let epochs = {
                let tables = self.tables();
                tables.all.get(name).map_or(Vec::new(), |table| table.ring.epochs(last))
            };
            let files = written.iter().map(|file| list::put_file(&file.relative, &file.entry));
            let tails = epochs.iter().map(|epoch| list::remove_tail(*epoch, name));
            disk.change(files.chain(tails).collect(), false)
        })();
        match disk.noted(outcome) {
            Some(()) => {
                self.tables().written(name, last, written);
                true
            }
            None => {
                written.iter().for_each(|file| file.unlist());
                if let Some(table) = self.tables().all.get_mut(name) {
                    table.writing = 0;
                }
                false
            }
        }
    }

    /// Puts small files of one hour together; whether there may be more.
    fn merge_one(&self, disk: &Disk, name: &TableName) -> bool {
        if disk.room(4 * SMALL).is_err() {
            return false;
        }
        let now = clock();
        let mut folders: BTreeMap<String, Vec<Arc<HistoryFile>>> = BTreeMap::new();
        {
            let tables = self.tables();
            let files = tables.all.get(name).map_or(&[][..], |table| table.files.as_slice());
            let small = |f: &&Arc<HistoryFile>| f.entry.bytes <= SMALL && f.damaged().is_none();
            for file in files.iter().filter(small) {
                folders.entry(file.folder().to_owned()).or_default().push(file.clone());
            }
        }
        for (folder, mut files) in folders {
            let newest = files.iter().map(|file| file.entry.written_at).max().unwrap_or(0);
            let is_quiet = newest < now.saturating_sub(QUIET);
            if files.len() < if is_quiet { MERGE_QUIET } else { MERGE_AT } {
                continue;
            }
            files.sort_by_key(|file| file.entry.bytes);
            let mut bytes = 0;
            files.retain(|file| {
                bytes += file.entry.bytes;
                bytes <= 4 * SMALL
            });
            if files.len() < MERGE_QUIET {
                continue;
            }
            files.sort_by_key(|file| file.entry.number);
            match self.merge(disk, name, &folder, &files, newest) {
                Ok(()) => return true,
                // A damaged file is left alone from now on.
                Err(reason) => {
                    tracing::warn!(%name, folder, reason, "small files are not put together");
                    return false;
                }
            }
        }
        false
    }

    fn merge(
        &self,
        disk: &Disk,
        name: &TableName,
        folder: &str,
        files: &[Arc<HistoryFile>],
        written_at: i64,
    ) -> Result<(), String> {
        let open = |file: &Arc<HistoryFile>| {
            let reader = reader::open(file, &|_| true, (None, None));
            reader.inspect_err(|reason| files::report(file, reason))
        };
        let schemas = files.iter().rev().map(|file| {
            open(file).map(|reader| arrow::record_batch::RecordBatchReader::schema(&reader))
        });
        let schema = union(schemas.collect::<Result<Vec<_>, _>>()?);
        let mut rows = files.iter().flat_map(|file| {
            let (reader, failed) = match open(file) {
                Ok(reader) => (Some(reader), None),
                Err(reason) => (None, Some(Err(reason))),
            };
            let read = reader.into_iter().flatten().map(move |batch| {
                batch.map_err(|error| {
                    let reason = error.to_string();
                    files::report(file, &reason);
                    reason
                })
            });
            failed.into_iter().chain(read)
        });
        let merged = disk.write(name, folder, &mut rows, &schema, written_at)?;
        let (before, after) = (total(files), merged.entry.extent.rows);
        let changes = files.iter().map(|file| list::remove_file(&file.relative));
        let added = list::put_file(&merged.relative, &merged.entry);
        let kept = match before == after {
            true => disk.change(changes.chain([added]).collect(), false),
            false => Err(format!("{before} rows of {folder} would become {after}")),
        };
        if kept.is_err() {
            merged.unlist();
            return kept;
        }
        if let Some(table) = self.tables().all.get_mut(name) {
            table.replace(files, vec![merged]);
        }
        files.iter().for_each(|file| file.unlist());
        Ok(())
    }

    /// Drops files that are too old, and the oldest by event time while there are too many bytes; what was
    /// lost and is older than anything that is kept is forgotten.
    fn retain(&self, disk: &Disk, now: i64) {
        let age = i64::try_from(disk.settings.age.as_millis()).unwrap_or(i64::MAX);
        let before = now.saturating_sub(age);
        let mut files: Vec<(TableName, Arc<HistoryFile>)> = {
            let tables = self.tables();
            let of = |(name, table): (&TableName, &Table)| {
                table.files.iter().map(|file| (name.clone(), file.clone())).collect::<Vec<_>>()
            };
            tables.all.iter().flat_map(of).collect()
        };
        files.sort_by_key(|(_, file)| {
            let newest = file.entry.extent.times.map_or(file.entry.written_at, |(_, to)| to);
            (newest, file.entry.number)
        });
        let mut excess = files
            .iter()
            .map(|(_, file)| file.entry.bytes)
            .sum::<u64>()
            .saturating_sub(disk.settings.bytes);
        let mut gone: BTreeMap<TableName, Vec<Arc<HistoryFile>>> = BTreeMap::new();
        for (name, file) in files {
            if file.entry.written_at < before || excess > 0 {
                excess = excess.saturating_sub(file.entry.bytes);
                gone.entry(name).or_default().push(file);
            }
        }
        for (name, files) in gone {
            self.drop_files(disk, &name, &files);
        }
        self.forget_lost(disk, before);
    }

    /// What was lost longer ago than anything is kept is not said any more.
    fn forget_lost(&self, disk: &Disk, before: i64) {
        let is_old = |lost: &Lost| lost.extent.times.is_some_and(|(_, to)| to < before);
        let old: Vec<(TableName, Loss)> = {
            let tables = self.tables();
            let of = |(name, table): (&TableName, &Table)| {
                let old = table.lost.iter().filter(|(_, lost)| is_old(lost));
                old.map(|(loss, _)| (name.clone(), *loss)).collect::<Vec<_>>()
            };
            tables.all.iter().flat_map(of).collect()
        };
        if old.is_empty() {
            return;
        }
        let changes = old.iter().map(|(name, loss)| list::remove_lost(name, *loss)).collect();
        if disk.noted(disk.change(changes, true)).is_some() {
            let mut tables = self.tables();
            for (name, loss) in old {
                if let Some(table) = tables.all.get_mut(&name) {
                    table.lost.remove(&loss);
                }
            }
        }
    }

    fn drop_files(&self, disk: &Disk, name: &TableName, files: &[Arc<HistoryFile>]) {
        let mut dropped = self.tables().all.get(name).map(|t| t.dropped).unwrap_or_default();
        for file in files {
            dropped.files += 1;
            dropped.bytes += file.entry.bytes;
            dropped.extent.add(file.entry.extent);
        }
        let mut changes: Vec<StateEntry> =
            files.iter().map(|file| list::remove_file(&file.relative)).collect();
        changes.push(list::put_dropped(name, &dropped));
        if disk.noted(disk.change(changes, true)).is_none() {
            return;
        }
        if let Some(table) = self.tables().all.get_mut(name) {
            table.replace(files, Vec::new());
            table.dropped = dropped;
        }
        files.iter().for_each(|file| file.unlist());
        tracing::info!(%name, files = files.len(), "retention dropped files of history");
    }
}

/// Removes the tail files of these checkpoints.
pub(super) fn remove_tails(dir: &Path, epochs: &[u64]) {
    for epoch in epochs {
        // One that could not be written is not there; one that stays is removed at the next start.
        std::fs::remove_file(files::tail(dir, *epoch)).ok();
    }
}

fn total(files: &[Arc<HistoryFile>]) -> u64 {
    files.iter().map(|file| file.entry.extent.rows).sum()
}

/// Runs of rows that take about so many bytes when they are read.
fn parts(rows: &[Held], bytes: usize) -> Vec<&[Held]> {
    let (mut parts, mut rest) = (Vec::new(), rows);
    while !rest.is_empty() {
        let mut sum = 0;
        let size = rest.iter().take_while(|held| {
            let fits = sum < bytes;
            sum += held.size(held.bytes());
            fits
        });
        let (part, others) = rest.split_at(size.count().max(1));
        parts.push(part);
        rest = others;
    }
    parts
}

/// Rows by the start of the hour of their event time, in order; where there is none, of `now`.
fn by_hour(rows: &[Held], now: i64) -> Result<BTreeMap<i64, Vec<RecordBatch>>, String> {
    let mut hours: BTreeMap<i64, Vec<RecordBatch>> = BTreeMap::new();
    let start = |time: i64| time.div_euclid(HOUR).saturating_mul(HOUR);
    for held in rows {
        let batch = held.rows(&|_| true)?;
        let time = batch.column_by_name("time");
        let Some(time) = time.and_then(|t| t.as_primitive_opt::<TimestampMillisecondType>()) else {
            hours.entry(start(now)).or_default().push(batch);
            continue;
        };
        let mut rows: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
        for (row, time) in (0_u32..).zip(time.iter()) {
            rows.entry(start(time.unwrap_or(now))).or_default().push(row);
        }
        if let (1, Some((hour, _))) = (rows.len(), rows.first_key_value()) {
            hours.entry(*hour).or_default().push(batch.clone());
            continue;
        }
        for (hour, rows) in rows {
            let taken = take_record_batch(&batch, &UInt32Array::from(rows));
            hours.entry(hour).or_default().push(taken.map_err(|error| error.to_string())?);
        }
    }
    Ok(hours)
}
