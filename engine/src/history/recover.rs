//! The history as a process finds it: what the store lists, held against what is on disk. Everything that is
//! listed and not there is noted, everything that is there and not listed is removed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    sync::{Arc, Mutex, atomic::AtomicU64},
};

use sluice_event::{TableName, rfc3339};
use sluice_stream::StateEntry;

use super::{
    Inner,
    files::{self, HistoryFile},
    list::{self, Extent, Listed, Loss, TailEntry},
    memory::Tables,
    tail,
    writer::{Disk, DiskSettings},
};
use crate::{EngineError, clock::clock, durable::FindingStore, stopwatch::Timer};

/// Milliseconds between two looks at hours that get no more files, and at retention.
const HOUSEKEEPING: i64 = 60_000;

pub(super) fn open(
    settings: DiskSettings,
    table_bytes: usize,
    store: &FindingStore,
) -> Result<Inner, EngineError> {
    let dir = settings.dir.clone();
    let list = store.history_list();
    let epoch = store.manifest()?.map_or(0, |checkpoint| checkpoint.epoch);
    let listed = Listed::read(list.listed()?)?;
    let since = listed.sealed.map_or_else(clock, |sealed| sealed.since);
    let mut tables = Tables { durable: epoch, ..Tables::default() };
    let mut paths = BTreeSet::new();
    for (table, dropped) in listed.dropped {
        tables.all.entry(table).or_default().dropped = dropped;
    }
    for ((table, loss), lost) in listed.lost {
        tables.all.entry(table).or_default().lost.insert(loss, lost);
    }
    for (relative, entry) in listed.files {
        let name = entry.table.clone();
        let file = Arc::new(HistoryFile::new(&dir, relative, entry));
        files::check(&file);
        paths.insert(file.path.clone());
        tables.all.entry(name).or_default().files.push(file);
    }
    tables.all.values_mut().for_each(|table| table.sort());
    let mut changes = Vec::new();
    let tails: BTreeSet<PathBuf> =
        listed.tails.keys().map(|(epoch, _)| files::tail(&dir, *epoch)).collect();
    read_tails(&mut tables, &dir, listed.tails, &mut changes);
    // Of every table that is known by now, those in memory among them.
    if let Some(sealed) = listed.sealed
        && sealed.epoch < epoch
    {
        note_off(&mut tables, sealed.at);
    }
    changes.extend(tables.seal(0).1);
    let read = |source| EngineError::Read { path: dir.clone(), source };
    let greatest = files::clean(&dir, &paths, &tails).map_err(read)?;
    let listed = tables.all.values().flat_map(|t| t.files.iter().map(|file| file.entry.number));
    let next = AtomicU64::new(listed.max().unwrap_or(0).max(greatest) + 1);
    if !changes.is_empty() {
        list.list(changes, true)?;
    }
    let inner = Inner::new(
        table_bytes,
        Some(Disk {
            settings,
            list,
            next,
            since,
            failures: AtomicU64::new(0),
            failing: Mutex::default(),
            passing: Mutex::new(Timer::every(HOUSEKEEPING)),
            wake: Arc::default(),
            packing: Arc::default(),
        }),
    );
    *inner.tables() = tables;
    Ok(inner)
}

/// Checkpoints were kept without the history.
fn note_off(tables: &mut Tables, from: i64) {
    let to = clock();
    for table in tables.all.values_mut() {
        let extent = Extent { rows: 0, times: Some((from.min(to), to)) };
        let (from, to) = (rfc3339(from), rfc3339(to));
        table.lose(Loss::Off, extent, format!("the history was off from {from} to {to}"));
    }
}

/// Takes rows that wait for a file back into memory.
fn read_tails(
    tables: &mut Tables,
    dir: &std::path::Path,
    tails: BTreeMap<(u64, TableName), TailEntry>,
    changes: &mut Vec<StateEntry>,
) {
    let mut last: Option<(u64, Result<Vec<u8>, String>)> = None;
    for ((epoch, name), entry) in tails {
        if last.as_ref().is_none_or(|(of, _)| *of != epoch) {
            let bytes = fs::read(files::tail(dir, epoch)).map_err(|error| error.to_string());
            last = Some((epoch, bytes));
        }
        let bytes = last.as_ref().map(|(_, bytes)| bytes);
        let rows = match (entry.place, bytes) {
            (None, _) => Err((Loss::Unwritten, "the disk had no room for them".to_owned())),
            (Some(place), Some(Ok(bytes))) => {
                tail::decode(bytes, place, &name).map_err(|reason| (Loss::Unreadable, reason))
            }
            (Some(_), Some(Err(reason))) => Err((Loss::Unreadable, reason.clone())),
            (Some(_), None) => continue,
        };
        let table = tables.all.entry(name.clone()).or_default();
        match rows {
            Ok(rows) => {
                table.ring.restore(epoch, rows);
                tables.tails.entry(epoch).or_default().insert(name);
            }
            Err((loss, reason)) => {
                let rows = entry.extent.rows;
                tracing::error!(table = %name, rows, reason, "rows of history are lost");
                table.lose(loss, entry.extent, format!("rows of checkpoint {epoch}: {reason}"));
                changes.push(list::remove_tail(epoch, &name));
            }
        }
    }
}
