//! Where files of the history are, and how they come and go. The layout is open: any program that reads
//! Parquet reads `<dir>/table=<table>/date=<YYYY-MM-DD>/hour=<HH>/<number>.parquet`, the hour being that
//! of event time in UTC. Not what is in them (see [`super::columnar`] and [`super::tail`]).

use std::{
    collections::BTreeSet,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use sluice_event::{TableName, rfc3339};

use super::list::FileEntry;

/// The folder of rows that wait for a file.
const TAIL: &str = "tail";

/// A Parquet file that is listed. When nobody reads it any more after it was taken off the list, it is
/// removed.
#[derive(Debug)]
pub(super) struct HistoryFile {
    /// Below the folder of the history, with `/`.
    pub(super) relative: String,
    pub(super) path: PathBuf,
    pub(super) entry: FileEntry,
    /// Why it cannot be read.
    damaged: Mutex<Option<String>>,
    unlisted: AtomicBool,
}

impl HistoryFile {
    pub(super) fn new(dir: &Path, relative: String, entry: FileEntry) -> HistoryFile {
        let path = dir.join(&relative);
        let damaged = Mutex::default();
        HistoryFile { relative, path, entry, damaged, unlisted: AtomicBool::new(false) }
    }

    /// The folder it is in.
    pub(super) fn folder(&self) -> &str {
        self.relative.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    pub(super) fn damaged(&self) -> Option<String> {
        self.damaged.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// It cannot be read; the first reason stays. Whether that is news.
    pub(super) fn is_damaged(&self, reason: &str) -> bool {
        let mut damaged = self.damaged.lock().unwrap_or_else(PoisonError::into_inner);
        let news = damaged.is_none();
        damaged.get_or_insert_with(|| reason.to_owned());
        news
    }

    /// It does not count any more.
    pub(super) fn unlist(&self) {
        self.unlisted.store(true, Ordering::Release);
    }
}

impl Drop for HistoryFile {
    fn drop(&mut self) {
        if self.unlisted.load(Ordering::Acquire)
            && let Err(error) = fs::remove_file(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            // What is left is removed at the next start.
            tracing::warn!(path = %self.path.display(), %error, "cannot remove a file of history");
        }
    }
}

/// The folder of an hour of event time; rows of tables without one are in the hour they were written in.
pub(super) fn folder(table: &TableName, hour_start: i64) -> String {
    let text = rfc3339(hour_start);
    let (date, clock) = text.split_once('T').unwrap_or((&text, ""));
    let hour = clock.get(..2).unwrap_or("00");
    format!("table={}/date={date}/hour={hour}", escaped(table.as_str()))
}

/// As Hive's layout has values: what could be read as another path is `%` and two hex digits.
fn escaped(name: &str) -> String {
    name.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-' => out.push(byte.into()),
            _ => out += &format!("%{byte:02X}"),
        }
        out
    })
}

/// The path of a file in a folder.
pub(super) fn relative(folder: &str, number: u64) -> String {
    format!("{folder}/{number:012}.parquet")
}

/// The file of rows that a checkpoint covers.
pub(super) fn tail(dir: &Path, epoch: u64) -> PathBuf {
    dir.join(TAIL).join(format!("{epoch:020}.rows"))
}

/// Writes a file that is there whole or not at all, durably.
pub(super) fn write(dir: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(dir);
    make(dir, folder)?;
    let unfinished = path.with_added_extension("tmp");
    let finished = (|| {
        let mut options = OpenOptions::new();
        let mut file =
            options.write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&unfinished, path)?;
        File::open(folder)?.sync_all()
    })();
    if finished.is_err() {
        // At the latest it is removed at the next start.
        fs::remove_file(&unfinished).or_else(|_| fs::remove_file(path)).ok();
    }
    finished
}

/// Makes a folder below `dir`, durably.
fn make(dir: &Path, folder: &Path) -> io::Result<()> {
    let missing: Vec<&Path> =
        folder.ancestors().take_while(|f| f.starts_with(dir) && !f.is_dir()).collect();
    for folder in missing.into_iter().rev() {
        match DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        if let Some(parent) = folder.parent() {
            File::open(parent)?.sync_all()?;
        }
    }
    Ok(())
}

/// Removes what is not listed and what was not finished, and folders that are empty; the greatest number
/// of a file that was there. Leaves alone what has no name of ours.
pub(super) fn clean(
    dir: &Path,
    files: &BTreeSet<PathBuf>,
    tails: &BTreeSet<PathBuf>,
) -> io::Result<u64> {
    let mut greatest = 0;
    let mut folders = vec![dir.to_path_buf()];
    let mut visited = Vec::new();
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            if entry.file_type()?.is_dir() {
                let is_ours = ["table=", "date=", "hour="].iter().any(|p| name.starts_with(p));
                if is_ours || *name == *TAIL {
                    folders.push(path);
                }
                continue;
            }
            let whole = name.strip_suffix(".tmp").unwrap_or(&name);
            let stem = whole.strip_suffix(".parquet").or_else(|| whole.strip_suffix(".rows"));
            let Some(number) = stem.and_then(|stem| stem.parse::<u64>().ok()) else { continue };
            if whole.ends_with(".parquet") {
                greatest = greatest.max(number);
            }
            if !files.contains(&path) && !tails.contains(&path) {
                tracing::info!(path = %path.display(), "removes a file that no checkpoint covers");
                fs::remove_file(&path)?;
            }
        }
        visited.push(folder);
    }
    // Children come after their parents. Those that are not empty stay.
    for folder in visited.iter().skip(1).rev() {
        fs::remove_dir(folder).ok();
    }
    Ok(greatest)
}

/// Opens the listed files of a folder: those that are gone or have another length are damaged.
pub(super) fn check(file: &Arc<HistoryFile>) {
    let reason = match fs::metadata(&file.path) {
        Ok(found) if found.len() == file.entry.bytes => return,
        Ok(found) => {
            format!("it has {} bytes, and {} were written", found.len(), file.entry.bytes)
        }
        Err(error) => error.to_string(),
    };
    report(file, &reason);
}

/// A file cannot be read: it is said once in the log, and with every answer that needs it.
pub(super) fn report(file: &HistoryFile, reason: &str) {
    if file.is_damaged(reason) {
        let (path, rows) = (file.path.display(), file.entry.extent.rows);
        tracing::error!(%path, rows, reason, "a file of history cannot be read");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_name_table_date_and_hour_and_nothing_else() {
        let at = 1_767_225_600_000 + 7 * 3_600_000 + 5;
        let of = |name: &str, at| folder(&TableName::new(name), at);
        assert_eq!(of("authentication", at), "table=authentication/date=2026-01-01/hour=07");
        assert_eq!(of("raw.okta_system", 0), "table=raw.okta_system/date=1970-01-01/hour=00");
        assert_eq!(of("a/../b=c", -1), "table=a%2F..%2Fb%3Dc/date=1969-12-31/hour=23");
    }

    #[test]
    fn what_is_not_listed_goes_and_what_is_not_ours_stays() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let file = |number| dir.join(relative(&folder(&TableName::new("dns"), 0), number));
        for number in [1, 2] {
            write(dir, &file(number), b"rows").unwrap();
        }
        let (kept, gone) = (tail(dir, 4), tail(dir, 5));
        write(dir, &kept, b"rows").unwrap();
        write(dir, &gone, b"rows").unwrap();
        let other = file(1).with_file_name("notes.txt");
        fs::write(&other, b"mine").unwrap();
        fs::write(file(9).with_added_extension("tmp"), b"half").unwrap();
        let empty = dir.join(folder(&TableName::new("http"), 0));
        fs::create_dir_all(&empty).unwrap();
        let greatest =
            clean(dir, &BTreeSet::from([file(1)]), &BTreeSet::from([kept.clone()])).unwrap();
        assert_eq!(greatest, 9);
        let there = |path: &Path| path.try_exists().unwrap();
        assert!(there(&file(1)) && there(&kept) && there(&other));
        assert!(!there(&file(2)) && !there(&gone) && !there(&empty));
        assert!(!there(&file(9).with_added_extension("tmp")));
    }
}
