//! What the store lists of the history: which files count, which rows wait for one, what is gone. Not the
//! files (see [`super::files`]): one that is not listed does not count and is removed at start.
//!
//! | key below `history/` | value |
//! |---|---|
//! | `file/` path | a Parquet file |
//! | `tail/` epoch, `/` table | rows that a checkpoint covers and that are in no file yet |
//! | `dropped/` table | what retention has dropped |
//! | `lost/` table, `/` reason | rows that were not kept, or cannot be read any more |
//! | `sealed` | the last checkpoint whose rows are in the history |

use std::{collections::BTreeMap, sync::Arc};

use sluice_event::TableName;
use sluice_stream::StateEntry;

use crate::{
    EngineError,
    durable::{CodecError, Reader, Writer, unreadable},
};

/// What all keys begin with.
pub(crate) const PREFIX: &[u8] = b"history/";

/// Rows of one table: how many, and their event times in milliseconds if it has any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) rows: u64,
    pub(super) times: Option<(i64, i64)>,
}

impl Extent {
    pub(super) fn add(&mut self, other: Extent) {
        self.rows += other.rows;
        self.times = match (self.times, other.times) {
            (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
            (one, other) => one.or(other),
        };
    }
}

/// A Parquet file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileEntry {
    pub(super) table: TableName,
    /// Counts the files of a history.
    pub(super) number: u64,
    pub(super) extent: Extent,
    pub(super) bytes: u64,
    /// When the last of its rows was written, milliseconds since 1970 UTC.
    pub(super) written_at: i64,
    /// The checksum of each block.
    pub(super) blocks: Arc<[u32]>,
}

/// Rows of one table and epoch in a tail file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TailEntry {
    pub(super) extent: Extent,
    /// Where in the file, and how many bytes; `None` if they could not be written.
    pub(super) place: Option<(u64, u64)>,
}

/// What retention has dropped of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Dropped {
    pub(super) files: u64,
    pub(super) bytes: u64,
    pub(super) extent: Extent,
}

/// Why rows are missing that are not dropped by retention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loss {
    /// They came faster than they could be written.
    Overrun,
    /// They could not be written, and the process ended while they were in memory alone.
    Unwritten,
    /// They were written and cannot be read: a file is missing or damaged.
    Unreadable,
    /// They came while the history was off.
    Off,
}

impl Loss {
    /// All of them.
    pub const ALL: [Loss; 4] = [Loss::Overrun, Loss::Unwritten, Loss::Unreadable, Loss::Off];

    /// A word for it.
    pub fn name(self) -> &'static str {
        match self {
            Loss::Overrun => "overrun",
            Loss::Unwritten => "unwritten",
            Loss::Unreadable => "unreadable",
            Loss::Off => "off",
        }
    }
}

/// Rows that are missing for one reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) extent: Extent,
    /// What was said last.
    pub(super) detail: String,
}

/// The last checkpoint whose rows are in the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sealed {
    pub(super) epoch: u64,
    /// When, and since when there is a history.
    pub(super) at: i64,
    pub(super) since: i64,
}

/// Everything listed.
#[derive(Debug, Default)]
pub(super) struct Listed {
    pub(super) files: BTreeMap<String, FileEntry>,
    pub(super) tails: BTreeMap<(u64, TableName), TailEntry>,
    pub(super) dropped: BTreeMap<TableName, Dropped>,
    pub(super) lost: BTreeMap<(TableName, Loss), Lost>,
    pub(super) sealed: Option<Sealed>,
}

impl Listed {
    pub(super) fn read(entries: Vec<(Vec<u8>, Vec<u8>)>) -> Result<Listed, EngineError> {
        let mut listed = Listed::default();
        for (key, value) in entries {
            let shown = String::from_utf8_lossy(&key).into_owned();
            listed
                .take(&shown, &value)
                .map_err(unreadable(format!("list of history `{shown}`")))?;
        }
        Ok(listed)
    }

    fn take(&mut self, key: &str, value: &[u8]) -> Result<(), CodecError> {
        let unknown = || CodecError::Unknown("key");
        let rest = key.strip_prefix("history/").ok_or_else(unknown)?;
        if rest == "sealed" {
            let read = |r: &mut Reader<'_>| {
                Ok(Sealed { epoch: r.unsigned()?, at: r.signed()?, since: r.signed()? })
            };
            self.sealed = Some(Reader::whole(value, read)?);
            return Ok(());
        }
        let (kind, rest) = rest.split_once('/').ok_or_else(unknown)?;
        match kind {
            "file" => {
                self.files.insert(rest.to_owned(), Reader::whole(value, read_file)?);
            }
            "tail" => {
                let (epoch, table) = rest.split_once('/').ok_or_else(unknown)?;
                let epoch = epoch.parse().map_err(|_| unknown())?;
                let entry = Reader::whole(value, |r| {
                    let extent = read_extent(r)?;
                    let place = r.option(|r| Ok((r.unsigned()?, r.unsigned()?)))?;
                    Ok(TailEntry { extent, place })
                })?;
                self.tails.insert((epoch, TableName::new(table)), entry);
            }
            "dropped" => {
                let dropped = Reader::whole(value, |r| {
                    let (files, bytes) = (r.unsigned()?, r.unsigned()?);
                    Ok(Dropped { files, bytes, extent: read_extent(r)? })
                })?;
                self.dropped.insert(TableName::new(rest), dropped);
            }
            "lost" => {
                let (table, reason) = rest.rsplit_once('/').ok_or_else(unknown)?;
                let reason = Loss::ALL.into_iter().find(|loss| loss.name() == reason);
                let lost = Reader::whole(value, |r| {
                    Ok(Lost { extent: read_extent(r)?, detail: r.text()?.to_owned() })
                })?;
                self.lost.insert((TableName::new(table), reason.ok_or_else(unknown)?), lost);
            }
            _ => return Err(unknown()),
        }
        Ok(())
    }
}

/// A change of the list, for a batch of the store.
pub(super) fn put_file(path: &str, file: &FileEntry) -> StateEntry {
    let mut w = Writer::new();
    w.text(file.table.as_str());
    w.unsigned(file.number);
    write_extent(&mut w, file.extent);
    w.unsigned(file.bytes);
    w.signed(file.written_at);
    w.list(file.blocks.iter(), |w, block| w.unsigned(u64::from(*block)));
    put(&format!("file/{path}"), w)
}

pub(super) fn remove_file(path: &str) -> StateEntry {
    remove(&format!("file/{path}"))
}

pub(super) fn put_tail(epoch: u64, table: &TableName, tail: &TailEntry) -> StateEntry {
    let mut w = Writer::new();
    write_extent(&mut w, tail.extent);
    w.option(tail.place, |w, (start, length)| {
        w.unsigned(start);
        w.unsigned(length);
    });
    put(&format!("tail/{epoch:020}/{table}"), w)
}

pub(super) fn remove_tail(epoch: u64, table: &TableName) -> StateEntry {
    remove(&format!("tail/{epoch:020}/{table}"))
}

pub(super) fn put_dropped(table: &TableName, dropped: &Dropped) -> StateEntry {
    let mut w = Writer::new();
    w.unsigned(dropped.files);
    w.unsigned(dropped.bytes);
    write_extent(&mut w, dropped.extent);
    put(&format!("dropped/{table}"), w)
}

pub(super) fn put_lost(table: &TableName, reason: Loss, lost: &Lost) -> StateEntry {
    let mut w = Writer::new();
    write_extent(&mut w, lost.extent);
    w.text(&lost.detail);
    put(&format!("lost/{table}/{}", reason.name()), w)
}

pub(super) fn remove_lost(table: &TableName, reason: Loss) -> StateEntry {
    remove(&format!("lost/{table}/{}", reason.name()))
}

pub(super) fn put_sealed(sealed: Sealed) -> StateEntry {
    let mut w = Writer::new();
    w.unsigned(sealed.epoch);
    w.signed(sealed.at);
    w.signed(sealed.since);
    put("sealed", w)
}

fn put(key: &str, value: Writer) -> StateEntry {
    StateEntry { key: [PREFIX, key.as_bytes()].concat(), value: Some(value.finish()) }
}

fn remove(key: &str) -> StateEntry {
    StateEntry { key: [PREFIX, key.as_bytes()].concat(), value: None }
}

fn read_file(r: &mut Reader<'_>) -> Result<FileEntry, CodecError> {
    Ok(FileEntry {
        table: TableName::new(r.text()?),
        number: r.unsigned()?,
        extent: read_extent(r)?,
        bytes: r.unsigned()?,
        written_at: r.signed()?,
        blocks: r.list::<u32, Vec<u32>>(|r| r.narrow())?.into(),
    })
}

fn write_extent(w: &mut Writer, extent: Extent) {
    w.unsigned(extent.rows);
    w.option(extent.times, |w, (from, to)| {
        w.signed(from);
        w.signed(to);
    });
}

fn read_extent(r: &mut Reader<'_>) -> Result<Extent, CodecError> {
    let rows = r.unsigned()?;
    Ok(Extent { rows, times: r.option(|r| Ok((r.signed()?, r.signed()?)))? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_listed_reads_back() {
        let table = TableName::new("raw.okta_system");
        let extent = Extent { rows: 7, times: Some((-5, 9)) };
        let file = FileEntry {
            table: table.clone(),
            number: 3,
            extent,
            bytes: 99,
            written_at: 12,
            blocks: Arc::from([1, u32::MAX]),
        };
        let tail = TailEntry { extent: Extent { rows: 1, times: None }, place: Some((8, 20)) };
        let unwritten = TailEntry { extent, place: None };
        let dropped = Dropped { files: 2, bytes: 5, extent };
        let lost = Lost { extent, detail: "no space left".to_owned() };
        let sealed = Sealed { epoch: 4, at: 5, since: 6 };
        let changes = [
            put_file("table=a/date=b/1.parquet", &file),
            put_tail(7, &table, &tail),
            put_tail(8, &table, &unwritten),
            put_dropped(&table, &dropped),
            put_lost(&table, Loss::Overrun, &lost),
            put_sealed(sealed),
        ];
        let entries = changes.into_iter().map(|e| (e.key, e.value.unwrap())).collect();
        let listed = Listed::read(entries).unwrap();
        assert_eq!(listed.files["table=a/date=b/1.parquet"], file);
        assert_eq!(listed.tails[&(7, table.clone())], tail);
        assert_eq!(listed.tails[&(8, table.clone())], unwritten);
        assert_eq!(listed.dropped[&table], dropped);
        assert_eq!(listed.lost[&(table.clone(), Loss::Overrun)], lost);
        assert_eq!(listed.sealed, Some(sealed));
        assert!(Listed::read(vec![(b"history/other/x".to_vec(), vec![1])]).is_err());
        assert!(Listed::read(vec![(put_sealed(sealed).key, vec![1, 4])]).is_err());
    }
}
