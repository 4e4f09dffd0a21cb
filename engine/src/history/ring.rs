//! The rows of one table in memory, by the checkpoint that covers them: what is not in a file yet, or,
//! without files, the newest. Bounded in bytes. Not which tables there are (see [`super::memory`]).

use std::{
    collections::{BTreeSet, VecDeque},
    ops::Range,
    sync::Arc,
    time::Duration,
};

use arrow::{
    array::{ArrayData, AsArray},
    buffer::Buffer,
    compute::concat_batches,
    datatypes::{SchemaRef, TimestampMillisecondType},
    record_batch::RecordBatch,
};

use super::{
    identity,
    list::Extent,
    packed::{Held, Packed},
};
use crate::stopwatch::Stopwatch;

/// Rows of batches that were put together, at most. A batch costs [`COLUMN_BYTES`] a column beside its values: with
/// so many rows and 110 columns, 17 bytes a row. Each doubling of it would copy each row once more.
const MERGED_ROWS: usize = 1_024;

/// Rows of one table.
#[derive(Debug, Default)]
pub(super) struct Ring {
    /// In the order of their epochs.
    groups: VecDeque<Group>,
    bytes: usize,
    /// The number of the next batch.
    next: u64,
}

/// Rows that the same checkpoint covers.
#[derive(Debug)]
struct Group {
    /// Its number; 0 for rows that wait for none.
    epoch: u64,
    batches: VecDeque<Batch>,
    bytes: usize,
    /// From the first: batches without what their identity is computed from.
    plain: usize,
    /// Whether they are in the tail file of their checkpoint, so that there will be no more of them.
    is_sealed: bool,
    age: Stopwatch,
}

#[derive(Debug)]
struct Batch {
    /// Of this ring, until its rows are put together with others or packed.
    number: u64,
    held: Held,
    bytes: usize,
}

/// Rows to be packed, and the numbers of their batches.
pub(super) type Loose = (Vec<u64>, Vec<RecordBatch>);

impl Ring {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn rows(&self) -> u64 {
        self.all().map(|held| held.extent().rows).sum()
    }

    /// All rows, oldest first.
    pub(super) fn all(&self) -> impl Iterator<Item = &Held> {
        self.groups.iter().flat_map(|group| group.batches.iter().map(|batch| &batch.held))
    }

    /// Adds rows that the checkpoint of this number will cover.
    pub(super) fn push(&mut self, epoch: u64, batch: RecordBatch) {
        self.add(epoch, Held::Loose(batch));
    }

    fn add(&mut self, epoch: u64, held: Held) {
        self.next += 1;
        let at = self.groups.iter().rposition(|group| group.epoch <= epoch);
        let at = match at {
            Some(at) if self.groups.get(at).is_some_and(|group| group.epoch == epoch) => at,
            before => {
                let at = before.map_or(0, |before| before + 1);
                self.groups.insert(at, Group::new(epoch));
                at
            }
        };
        if let Some(group) = self.groups.get_mut(at) {
            let before = group.bytes;
            group.push(self.next, held);
            self.bytes = self.bytes + group.bytes - before;
        }
    }

    /// Whether there are rows for [`loose`](Self::loose).
    pub(super) fn is_loose(&self, least: usize) -> bool {
        self.open().any(|group| group.loose(least).is_some())
    }

    /// Rows that no checkpoint covers yet and that are as they came, if they take at least so many bytes; the
    /// oldest, up to about as many. Others may still be put together with the last batch.
    pub(super) fn loose(&self, least: usize) -> Option<Loose> {
        self.open().find_map(|group| {
            let batches = group.batches.range(group.loose(least)?);
            let rows = batches.filter_map(|batch| match &batch.held {
                Held::Loose(rows) => Some((batch.number, rows.clone())),
                Held::Packed(_) => None,
            });
            Some(rows.unzip())
        })
    }

    /// Groups that more rows may come to.
    fn open(&self) -> impl Iterator<Item = &Group> {
        self.groups.iter().filter(|group| !group.is_sealed)
    }

    /// Puts packed rows in the place of those of these batches, if all of them are there.
    pub(super) fn pack(&mut self, numbers: &[u64], packed: Arc<Packed>) {
        for group in &mut self.groups {
            let Some(at) = group.batches.iter().position(|b| numbers.first() == Some(&b.number))
            else {
                continue;
            };
            let there = group.batches.range(at..).map(|b| &b.number).take(numbers.len());
            if !there.eq(numbers) {
                return;
            }
            let freed: usize = group.batches.drain(at..at + numbers.len()).map(|b| b.bytes).sum();
            let held = Held::Packed(packed);
            let bytes = held.bytes();
            group.batches.insert(at, Batch { number: 0, held, bytes });
            if group.plain >= at {
                group.plain = (group.plain + 1).saturating_sub(numbers.len()).max(at + 1);
            }
            group.bytes = group.bytes - freed + bytes;
            self.bytes = self.bytes - freed + bytes;
            return;
        }
    }

    /// While there are more bytes than this, the oldest rows lose what their identity is computed from: their
    /// `event_uid` is then NULL.
    pub(super) fn forget_records(&mut self, most: usize) {
        for group in self.groups.iter_mut().filter(|group| !group.is_sealed) {
            // Batches before these have none.
            while let Some(batch) = group.batches.get_mut(group.plain) {
                if self.bytes <= most {
                    return;
                }
                group.plain += 1;
                let Held::Loose(rows) = &batch.held else { continue };
                let held = Held::Loose(identity::without_records(rows));
                let smaller = held.bytes();
                self.bytes = self.bytes - batch.bytes + smaller;
                group.bytes = group.bytes - batch.bytes + smaller;
                (batch.held, batch.bytes) = (held, smaller);
            }
        }
    }

    /// Drops the oldest rows until there are at most so many bytes; what was dropped, and which sealed
    /// checkpoints have no rows here any more. Those of checkpoints up to `spared`, which are being written,
    /// stay, and rows that are sealed go all at once.
    pub(super) fn trim(&mut self, most: usize, spared: u64) -> (Extent, Vec<u64>) {
        let (mut dropped, mut unlisted) = (Extent::default(), Vec::new());
        while self.bytes > most {
            let at = self.groups.iter().position(|group| group.epoch > spared || spared == 0);
            let Some(at) = at else { break };
            let Some(group) = self.groups.get_mut(at) else { break };
            loop {
                let Some(batch) = group.batches.pop_front() else { break };
                group.plain = group.plain.saturating_sub(1);
                group.bytes -= batch.bytes;
                self.bytes -= batch.bytes;
                dropped.add(batch.held.extent());
                if !group.is_sealed {
                    break;
                }
            }
            if group.batches.is_empty() {
                if group.is_sealed {
                    unlisted.push(group.epoch);
                }
                self.groups.remove(at);
            }
        }
        (dropped, unlisted)
    }

    /// Rows up to this checkpoint wait for none any more.
    pub(super) fn settle(&mut self, epoch: u64) {
        while let Some(at) = self.groups.iter().position(|g| g.epoch > 0 && g.epoch <= epoch) {
            let Some(group) = self.groups.remove(at) else { break };
            self.bytes -= group.bytes;
            group.batches.into_iter().for_each(|batch| self.add(0, batch.held));
        }
    }

    /// Rows that come again, since the run goes on from this checkpoint, are dropped.
    pub(super) fn forget_after(&mut self, epoch: u64) {
        let gone: usize = self.groups.iter().filter(|g| g.epoch > epoch).map(|g| g.bytes).sum();
        self.bytes -= gone;
        self.groups.retain(|group| group.epoch <= epoch);
    }

    /// Seals the rows up to a checkpoint; those that it covers.
    pub(super) fn seal(&mut self, epoch: u64) -> Vec<Held> {
        let open = |group: &Group| group.epoch <= epoch && !group.is_sealed;
        let mut sealed = Group::new(epoch);
        while let Some(at) = self.groups.iter().position(open) {
            let Some(group) = self.groups.remove(at) else { break };
            sealed.bytes += group.bytes;
            sealed.batches.extend(group.batches);
        }
        if sealed.batches.is_empty() {
            return Vec::new();
        }
        sealed.is_sealed = true;
        let rows = sealed.batches.iter().map(|batch| batch.held.clone()).collect();
        self.insert(sealed);
        rows
    }

    /// Puts rows in the place of the same ones that were sealed by the checkpoint of this number.
    pub(super) fn replace(&mut self, epoch: u64, rows: &[Held]) {
        let sealed = |group: &&mut Group| group.is_sealed && group.epoch == epoch;
        let Some(group) = self.groups.iter_mut().find(sealed) else { return };
        self.bytes -= group.bytes;
        group.set(rows.to_vec());
        self.bytes += group.bytes;
    }

    /// Takes back rows that were sealed by the checkpoint of this number.
    pub(super) fn restore(&mut self, epoch: u64, rows: Vec<Held>) {
        let mut group = Group::new(epoch);
        group.set(rows);
        group.is_sealed = true;
        self.bytes += group.bytes;
        self.insert(group);
    }

    fn insert(&mut self, group: Group) {
        let at = self.groups.iter().rposition(|g| g.epoch <= group.epoch);
        self.groups.insert(at.map_or(0, |at| at + 1), group);
    }

    /// The sealed rows up to a checkpoint and the number of the last one, if they are so many bytes when they
    /// are read, or one of them is so old.
    pub(super) fn due(
        &self,
        durable: u64,
        bytes: usize,
        age: Duration,
    ) -> Option<(u64, Vec<Held>)> {
        let sealed = || self.groups.iter().filter(move |g| g.is_sealed && g.epoch <= durable);
        let batches = || sealed().flat_map(|group| &group.batches);
        let is_large = batches().map(|b| b.held.size(b.bytes)).sum::<usize>() >= bytes;
        let is_old = sealed().any(|group| group.age.elapsed() >= age);
        let last = sealed().map(|group| group.epoch).max()?;
        (is_large || is_old).then(|| (last, batches().map(|batch| batch.held.clone()).collect()))
    }

    /// Which checkpoints have sealed rows here, up to this one.
    pub(super) fn epochs(&self, last: u64) -> Vec<u64> {
        let sealed = self.groups.iter().filter(|g| g.is_sealed && g.epoch <= last);
        sealed.map(|group| group.epoch).collect()
    }

    /// Sealed rows up to this checkpoint are elsewhere.
    pub(super) fn remove(&mut self, last: u64) {
        let gone = |group: &Group| group.is_sealed && group.epoch <= last;
        self.bytes -= self.groups.iter().filter(|g| gone(g)).map(|g| g.bytes).sum::<usize>();
        self.groups.retain(|group| !gone(group));
    }
}

impl Group {
    fn new(epoch: u64) -> Group {
        let (batches, age) = (VecDeque::new(), Stopwatch::start());
        Group { epoch, batches, bytes: 0, plain: 0, is_sealed: false, age }
    }

    /// Adds rows to those of small batches before them: a batch of a single row takes as much memory
    /// beside its values as one of thousands, and a hunt looks at each. A batch is put together with
    /// others of its size, so that each row is copied a few times at most.
    fn push(&mut self, number: u64, held: Held) {
        let held = match held {
            Held::Loose(batch) => Held::Loose(self.merged(batch)),
            Held::Packed(_) => held,
        };
        let bytes = held.bytes();
        self.bytes += bytes;
        self.batches.push_back(Batch { number, held, bytes });
    }

    fn merged(&mut self, mut batch: RecordBatch) -> RecordBatch {
        while let Some(Batch { held: Held::Loose(last), bytes, .. }) = self.batches.back()
            && last.num_rows() <= 2 * batch.num_rows()
            && last.num_rows() + batch.num_rows() <= MERGED_ROWS
            // They differ across a reload.
            && last.schema() == batch.schema()
        {
            let Ok(merged) = concat_batches(&last.schema(), [last, &batch]) else { break };
            self.bytes -= bytes;
            self.batches.pop_back();
            self.plain = self.plain.min(self.batches.len());
            batch = merged;
        }
        batch
    }

    fn set(&mut self, rows: Vec<Held>) {
        let batch = |held: Held| Batch { number: 0, bytes: held.bytes(), held };
        self.batches = rows.into_iter().map(batch).collect();
        self.bytes = self.batches.iter().map(|batch| batch.bytes).sum();
        self.plain = 0;
    }

    /// The places of the batches of [`Ring::loose`].
    fn loose(&self, least: usize) -> Option<Range<usize>> {
        let closed = self.batches.len().saturating_sub(1);
        let (mut start, mut bytes) = (0, 0);
        let mut schema: Option<SchemaRef> = None;
        for (at, batch) in self.batches.range(..closed).enumerate() {
            let Held::Loose(rows) = &batch.held else {
                (start, bytes, schema) = (at + 1, 0, None);
                continue;
            };
            // What was before another schema is left to the checkpoint.
            if schema.as_ref().is_some_and(|schema| *schema != rows.schema()) {
                (start, bytes) = (at, 0);
            }
            schema = Some(rows.schema());
            bytes += batch.bytes;
            if bytes >= least {
                return Some(start..at + 1);
            }
        }
        None
    }
}

/// Rows and event times of a batch.
pub(super) fn extent(batch: &RecordBatch) -> Extent {
    let time = batch.column_by_name("time");
    let time = time.and_then(|t| t.as_primitive_opt::<TimestampMillisecondType>());
    let times = time.map(|time| time.iter().flatten());
    let times = times.and_then(|mut times| {
        let first = times.next()?;
        Some(times.fold((first, first), |(from, to), t| (from.min(t), to.max(t))))
    });
    Extent { rows: batch.num_rows() as u64, times }
}

/// Rows and event times of batches.
pub(super) fn extents<'a>(batches: impl IntoIterator<Item = &'a RecordBatch>) -> Extent {
    batches.into_iter().fold(Extent::default(), |mut all, batch| {
        all.add(extent(batch));
        all
    })
}

/// Bytes of a column of a batch beside its values.
const COLUMN_BYTES: usize = 160;

/// The memory a batch takes. Columns share buffers (an entity is often a user's name as it is), which
/// count once; columns that are all NULL share theirs with other batches and do not count.
pub(super) fn bytes(batch: &RecordBatch) -> usize {
    fn add(data: &ArrayData, seen: &mut BTreeSet<usize>) -> usize {
        let nulls = data.nulls().map(|nulls| nulls.buffer());
        let own: usize = data
            .buffers()
            .iter()
            .chain(nulls)
            .filter(|buffer| seen.insert(buffer.data_ptr().as_ptr() as usize))
            .map(Buffer::capacity)
            .sum();
        own + data.child_data().iter().map(|child| add(child, seen)).sum::<usize>()
    }
    let mut seen = BTreeSet::new();
    let columns = batch.columns().iter().filter(|column| column.null_count() < column.len());
    let values: usize = columns.map(|column| add(&column.to_data(), &mut seen)).sum();
    values + batch.num_columns() * COLUMN_BYTES
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{ArrayRef, Int64Array, StringArray, new_null_array},
        datatypes::{DataType, Int64Type},
    };
    use sluice_event::TableName;

    use super::*;

    fn row(n: i64) -> RecordBatch {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values([n]));
        RecordBatch::try_from_iter([("n", numbers)]).unwrap()
    }

    fn rows(ring: &Ring) -> Vec<i64> {
        let numbers = |b: &RecordBatch| b.column(0).as_primitive::<Int64Type>().values().to_vec();
        let batches = ring.all().map(|held| held.rows(&|_| true).unwrap());
        batches.flat_map(|batch| numbers(&batch)).collect()
    }

    #[track_caller]
    fn adds_up(ring: &Ring) {
        let sizes: usize = ring.all().map(Held::bytes).sum();
        assert_eq!(ring.bytes, sizes);
    }

    #[test]
    fn shared_buffers_count_once_and_nulls_not_at_all() {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..1_000));
        let texts: ArrayRef =
            Arc::new(StringArray::from_iter_values((0..1_000).map(|n| n.to_string())));
        let nulls = new_null_array(&DataType::Utf8, 1_000);
        let batch = |columns: Vec<(&str, &ArrayRef)>| {
            let columns = columns.into_iter().map(|(name, array)| (name, array.clone()));
            RecordBatch::try_from_iter(columns).unwrap()
        };
        let one = bytes(&batch(vec![("a", &numbers), ("b", &texts)]));
        assert!((8_000 + 4_000 + 2_890..40_000).contains(&one), "{one}");
        let shared =
            [("a", &numbers), ("b", &texts), ("c", &texts), ("d", &nulls), ("e", &numbers)];
        assert_eq!(bytes(&batch(shared.to_vec())), one + 3 * COLUMN_BYTES);
    }

    #[test]
    fn rows_that_come_one_by_one_are_put_together_in_order() {
        let mut ring = Ring::default();
        (0..10_000).for_each(|n| ring.push(0, row(n)));
        assert!(ring.all().count() < 20, "{}", ring.all().count());
        adds_up(&ring);
        assert_eq!(rows(&ring), Vec::from_iter(0..10_000));
        // What does not fit goes, the oldest first.
        let most = ring.bytes / 2;
        ring.push(0, row(10_000));
        let (dropped, unlisted) = ring.trim(most, 0);
        assert!(ring.bytes <= most && dropped.rows >= 4_096 && unlisted.is_empty());
        assert_eq!(dropped.rows + ring.rows(), 10_001);
        adds_up(&ring);
    }

    #[test]
    fn rows_go_by_the_checkpoint_that_covers_them() {
        let mut ring = Ring::default();
        // Two workers pass a barrier one after the other.
        for (epoch, n) in [(1, 1), (2, 4), (1, 2), (2, 5), (3, 6), (1, 3)] {
            ring.push(epoch, row(n));
        }
        assert_eq!(rows(&ring), [1, 2, 3, 4, 5, 6]);
        assert_eq!(ring.seal(1).iter().map(|held| held.extent().rows).sum::<u64>(), 3);
        assert!(ring.seal(1).is_empty());
        assert!(ring.due(0, 0, Duration::ZERO).is_none(), "no checkpoint is durable");
        assert!(ring.due(1, usize::MAX, Duration::from_secs(60)).is_none());
        assert_eq!(ring.due(1, 1, Duration::from_secs(60)).unwrap().0, 1);
        assert_eq!(ring.due(1, usize::MAX, Duration::ZERO).unwrap().0, 1);
        adds_up(&ring);
        // The run begins anew from the first checkpoint.
        ring.forget_after(1);
        assert_eq!(rows(&ring), [1, 2, 3]);
        ring.push(2, row(4));
        ring.push(3, row(5));
        assert_eq!(ring.seal(2).len(), 1);
        assert_eq!(ring.epochs(2), [1, 2]);
        ring.remove(1);
        assert_eq!(rows(&ring), [4, 5]);
        adds_up(&ring);
        // Sealed rows go all at once, and those that are being written stay.
        assert_eq!(ring.trim(0, 3), (Extent::default(), vec![]));
        let (dropped, unlisted) = ring.trim(0, 0);
        assert_eq!((dropped.rows, unlisted, ring.bytes), (2, vec![2], 0));
        ring.restore(7, vec![Held::Loose(row(8)), Held::Loose(row(9))]);
        assert_eq!(ring.epochs(9), [7]);
        adds_up(&ring);
        let mut ring = Ring::default();
        (1..=3).for_each(|n| ring.push(n as u64, row(n)));
        ring.settle(2);
        assert_eq!((rows(&ring), ring.groups.len()), (vec![1, 2, 3], 2));
        adds_up(&ring);
    }

    #[test]
    fn rows_are_packed_in_their_place() {
        let mut ring = Ring::default();
        let batch = |from: i64| {
            let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(from..from + 1_000));
            RecordBatch::try_from_iter([("n", numbers)]).unwrap()
        };
        (0..5).for_each(|n| ring.push(1, batch(n * 1_000)));
        (5..8).for_each(|n| ring.push(2, batch(n * 1_000)));
        let size = bytes(&batch(0));
        assert!(ring.loose(5 * size).is_none(), "the last one may still grow");
        let table = TableName::new("raw.numbers");
        let pack = |ring: &mut Ring, change: &dyn Fn(&mut Ring)| {
            let (numbers, batches) = ring.loose(2 * size).unwrap();
            assert_eq!((numbers.len(), batches.len()), (2, 2));
            change(ring);
            ring.pack(&numbers, Arc::new(Packed::new(&table, &batches).unwrap()));
            adds_up(ring);
        };
        pack(&mut ring, &|_| {});
        pack(&mut ring, &|_| {});
        assert_eq!(rows(&ring), Vec::from_iter(0..8_000));
        // Rows of the second group, which a checkpoint seals meanwhile.
        pack(&mut ring, &|ring| drop(ring.seal(2)));
        assert_eq!(rows(&ring), Vec::from_iter(0..8_000));
        let packed = ring.all().filter(|held| matches!(held, Held::Packed(_))).count();
        assert_eq!((packed, ring.all().count(), ring.rows()), (3, 5, 8_000));
        // Nothing of it is lost when its identity is given up, and it goes as a whole.
        ring.forget_records(0);
        adds_up(&ring);
        ring.push(3, batch(8_000));
        let most = ring.bytes - 1;
        assert_eq!(ring.trim(most, 2).0.rows, 1_000);
        assert_eq!(rows(&ring), Vec::from_iter(0..8_000));
        assert_eq!(ring.trim(0, 0).0.rows, 8_000);
        adds_up(&ring);
    }
}
