//! The files of a spool: their names, modes, and what is left of them after a crash.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use super::{
    SpoolError, io_error,
    record::{BYTES_MAX, Found, HEAD_BYTES, find, void},
};

/// The offsets a segment holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Segment {
    /// Of its first byte: its name.
    pub(super) first: u64,
    /// One past its last durable byte.
    pub(super) end: u64,
}

impl Segment {
    pub(super) fn path(&self, dir: &Path) -> PathBuf {
        dir.join(format!("{:020}.seg", self.first))
    }
}

/// Makes a folder that only its owner may enter.
pub(super) fn make_dir(dir: &Path) -> Result<(), SpoolError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir).map_err(|e| io_error(dir, &e))
}

/// Opens a file for appending that only its owner may read; with `durable`, its name is on disk
/// afterwards.
pub(super) fn create(path: &Path, durable: bool) -> Result<File, SpoolError> {
    let mut options = OpenOptions::new();
    options.create(true).read(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let open = || {
        let file = options.open(path)?;
        if durable && let Some(dir) = path.parent() {
            File::open(dir)?.sync_all()?;
        }
        Ok(file)
    };
    open().map_err(|e: io::Error| io_error(path, &e))
}

/// The segments in a folder, and the bytes at the end of the last that were no whole record. There is always one to
/// write to, which begins at `start` or after it.
pub(super) fn recover(dir: &Path, start: u64) -> Result<(Vec<Segment>, u64), SpoolError> {
    let mut segments = list(dir)?;
    let mut torn = 0;
    if let Some(last) = segments.last_mut() {
        let path = last.path(dir);
        let mut heal = || {
            let whole = whole_records(&path)?;
            torn = last.end - last.first - whole;
            let mut file = OpenOptions::new().write(true).open(&path)?;
            if torn > 0 {
                // Written over, not cut off: an offset that was once used never comes again, even
                // if what is damaged was whole before.
                let void = void(torn);
                file.seek(SeekFrom::Start(whole))?;
                file.write_all(&void)?;
                last.end = last.first + whole + void.len() as u64;
            }
            // What a dead process wrote may not have reached the disk; from here on it is promised.
            file.sync_all()
        };
        heal().map_err(|e: io::Error| io_error(&path, &e))?;
    }
    match segments.last() {
        Some(last) if last.end >= start => {}
        _ => segments.push(Segment { first: start, end: start }),
    }
    Ok((segments, torn))
}

fn list(dir: &Path) -> Result<Vec<Segment>, SpoolError> {
    let read = || {
        let mut segments = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let name = entry.file_name();
            let stem = name.to_str().and_then(|n| n.strip_suffix(".seg"));
            let Some(first) = stem.and_then(|s| s.parse::<u64>().ok()) else { continue };
            segments.push(Segment { first, end: first + entry.metadata()?.len() });
        }
        segments.sort_by_key(|s| s.first);
        Ok(segments)
    };
    read().map_err(|e: io::Error| io_error(dir, &e))
}

/// The length of the whole records at the beginning of a file.
fn whole_records(path: &Path) -> io::Result<u64> {
    let mut reader = BufReader::with_capacity(1 << 20, File::open(path)?);
    let mut whole = 0;
    let mut record = Vec::new();
    loop {
        record.clear();
        reader.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut record)?;
        let Found::Part(length) = find(&record) else { return Ok(whole) };
        if length <= record.len() || length > BYTES_MAX as usize + HEAD_BYTES {
            return Ok(whole);
        }
        let rest = (length - record.len()) as u64;
        reader.by_ref().take(rest).read_to_end(&mut record)?;
        let Found::Record(_, length) = find(&record) else { return Ok(whole) };
        whole += length as u64;
    }
}
