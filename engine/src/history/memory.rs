//! The tables of the history at one moment: rows in memory, files, and what is missing. Behind one lock,
//! so that a row is in memory or in a file, and never in both or in neither.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use arrow::record_batch::RecordBatch;
use sluice_event::TableName;
use sluice_stream::StateEntry;

use super::{
    files::HistoryFile,
    list::{self, Dropped, Extent, Loss, Lost},
    ring::Ring,
    tail::Frame,
};

/// All tables.
#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) all: BTreeMap<TableName, Table>,
    /// The last checkpoint that is durable.
    pub(super) durable: u64,
    /// By checkpoint: the tables whose rows are in its tail file and in no other.
    pub(super) tails: BTreeMap<u64, BTreeSet<TableName>>,
}

/// One table.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) ring: Ring,
    /// In the order of their event times.
    pub(super) files: Vec<Arc<HistoryFile>>,
    pub(super) dropped: Dropped,
    pub(super) lost: BTreeMap<Loss, Lost>,
    /// Losses that the list does not have yet.
    unsaid: BTreeSet<Loss>,
    /// Checkpoints whose rows were dropped and are still listed.
    unlisted: Vec<u64>,
    /// Rows up to this checkpoint are being written to a file.
    pub(super) writing: u64,
}

impl Tables {
    /// Adds rows; the oldest of the table make room. Rows that would have gone to a file are then lost, others
    /// have had their time. Whether at least `loose` bytes of rows are to be packed; `None`: there are no files.
    pub(super) fn push(
        &mut self,
        name: &TableName,
        epoch: u64,
        batch: RecordBatch,
        most: usize,
        loose: Option<usize>,
    ) -> bool {
        let table = self.all.entry(name.clone()).or_default();
        table.ring.push(epoch, batch);
        table.ring.forget_records(most);
        let (gone, unlisted) = table.ring.trim(most, table.writing);
        table.unlisted.extend(unlisted);
        match (gone.rows, loose) {
            (0, _) => {}
            (_, Some(_)) => {
                let detail = format!("more than {most} bytes waited to be written");
                table.lose(Loss::Overrun, gone, detail);
            }
            (_, None) => table.dropped.extent.add(gone),
        }
        loose.is_some_and(|least| table.ring.is_loose(least))
    }

    /// Seals the rows up to a checkpoint: those of each table, and what else the list does not have yet.
    pub(super) fn seal(&mut self, epoch: u64) -> (Vec<Frame>, Vec<StateEntry>) {
        let (mut frames, mut changes) = (Vec::new(), Vec::new());
        for (name, table) in &mut self.all {
            for epoch in std::mem::take(&mut table.unlisted) {
                changes.push(list::remove_tail(epoch, name));
                if let Some(tables) = self.tails.get_mut(&epoch) {
                    tables.remove(name);
                }
            }
            for loss in std::mem::take(&mut table.unsaid) {
                if let Some(lost) = table.lost.get(&loss) {
                    changes.push(list::put_lost(name, loss, lost));
                }
            }
            let rows = table.ring.seal(epoch);
            if !rows.is_empty() {
                let mut extent = Extent::default();
                rows.iter().for_each(|held| extent.add(held.extent()));
                self.tails.entry(epoch).or_default().insert(name.clone());
                frames.push(Frame { table: name.clone(), extent, rows });
            }
        }
        (frames, changes)
    }

    /// Rows of a checkpoint that was sealed, packed.
    pub(super) fn packed(&mut self, epoch: u64, frames: &[Frame]) {
        for frame in frames {
            if let Some(table) = self.all.get_mut(&frame.table) {
                table.ring.replace(epoch, &frame.rows);
            }
        }
    }

    /// A checkpoint is durable; those whose tail files nothing refers to any more.
    pub(super) fn kept(&mut self, epoch: u64, on_disk: bool) -> Vec<u64> {
        self.durable = self.durable.max(epoch);
        if !on_disk {
            self.all.values_mut().for_each(|table| table.ring.settle(epoch));
        }
        self.empty_tails()
    }

    /// Takes empty ones away.
    pub(super) fn empty_tails(&mut self) -> Vec<u64> {
        let durable = self.durable;
        let empty = |(epoch, tables): (&u64, &BTreeSet<TableName>)| {
            (tables.is_empty() && *epoch <= durable).then_some(*epoch)
        };
        let empty: Vec<u64> = self.tails.iter().filter_map(empty).collect();
        empty.iter().for_each(|epoch| {
            self.tails.remove(epoch);
        });
        empty
    }

    /// A run goes on from this checkpoint: what came after it comes again.
    pub(super) fn begin(&mut self, epoch: u64) {
        self.durable = epoch;
        self.all.values_mut().for_each(|table| table.ring.forget_after(epoch));
        self.tails.retain(|of, _| *of <= epoch);
    }

    /// Sealed rows of a table up to a checkpoint are in these files.
    pub(super) fn written(&mut self, name: &TableName, last: u64, files: Vec<Arc<HistoryFile>>) {
        let Some(table) = self.all.get_mut(name) else { return };
        table.ring.remove(last);
        table.writing = 0;
        table.files.extend(files);
        table.sort();
        for tables in self.tails.range_mut(..=last).map(|(_, tables)| tables) {
            tables.remove(name);
        }
    }
}

impl Table {
    /// Rows are not in the history and should be.
    pub(super) fn lose(&mut self, loss: Loss, extent: Extent, detail: String) {
        let lost = self.lost.entry(loss).or_default();
        lost.extent.add(extent);
        lost.detail = detail;
        self.unsaid.insert(loss);
    }

    /// Replaces files by others.
    pub(super) fn replace(&mut self, gone: &[Arc<HistoryFile>], by: Vec<Arc<HistoryFile>>) {
        self.files.retain(|file| !gone.iter().any(|gone| Arc::ptr_eq(gone, file)));
        self.files.extend(by);
        self.sort();
    }

    pub(super) fn sort(&mut self) {
        self.files.sort_by_key(|file| {
            (file.entry.extent.times.map_or(i64::MIN, |(from, _)| from), file.entry.number)
        });
    }

    /// Event times of files and of batches: from, to.
    pub(super) fn times(&self) -> impl Iterator<Item = (i64, i64)> {
        let files = self.files.iter().filter_map(|file| file.entry.extent.times);
        files.chain(self.ring.all().filter_map(|held| held.extent().times))
    }

    /// Since when every row of it that came is here or noted as missing: the oldest row, or the end of what
    /// was dropped. `None` if there is no row with a time.
    pub(super) fn covers_from(&self) -> Option<i64> {
        let oldest = self.times().map(|(from, _)| from).min()?;
        let dropped = self.dropped.extent.times.map(|(_, to)| to.saturating_add(1));
        Some(dropped.map_or(oldest, |dropped| dropped.max(oldest)))
    }
}
