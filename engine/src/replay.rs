//! Rows in memory as a source, in any order and cut anywhere: rule tests and the oracle. Not a file
//! format, and not how recorded logs are replayed.

mod builder;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use arrow::{
    array::UInt32Array, compute::take_record_batch, error::ArrowError, record_batch::RecordBatch,
};
use sluice_event::{EventBatch, Origin, PartitionId, Records, TableName};

use crate::{Delivery, EngineError, Partition, Progress, Source};

pub use builder::ReplayBuilder;

/// Rows of some tables and the partition each arrives on.
#[derive(Clone, Debug)]
pub struct Replay {
    /// The partitions, ids dense from 0.
    pub partitions: Vec<Partition>,
    /// The rows, in the full schema of their table, engine columns filled.
    pub tables: BTreeMap<TableName, RecordBatch>,
    /// In order of arrival.
    pub rows: Vec<ReplayRow>,
}

/// One row of a [`Replay`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayRow {
    /// Where it arrives.
    pub partition: PartitionId,
    /// Its table.
    pub table: TableName,
    /// Its place in the table's batch.
    pub index: u32,
    /// Its event time, milliseconds.
    pub time: i64,
    /// The bytes that identify it where it has no native id.
    pub original: Arc<[u8]>,
}

/// Deliveries made ahead.
#[derive(Clone, Debug)]
pub struct ReplaySource {
    partitions: Vec<Partition>,
    deliveries: std::vec::IntoIter<Step>,
}

#[derive(Clone, Debug)]
enum Step {
    Rows(Box<EventBatch>),
    Idle(PartitionId),
    End(PartitionId),
}

impl Replay {
    /// The rows in the order given (indices into `rows`), cut before each position of `cuts`.
    /// Partitions end after their last row if `ends`, else the source just stops.
    ///
    /// # Errors
    /// If `tables` does not hold the rows.
    pub fn source(
        &self,
        order: &[usize],
        cuts: &[usize],
        ends: bool,
    ) -> Result<ReplaySource, ArrowError> {
        let mut seen: BTreeMap<PartitionId, i64> = BTreeMap::new();
        let cuts: BTreeSet<usize> = cuts.iter().copied().collect();
        let last: BTreeMap<PartitionId, usize> =
            order.iter().enumerate().map(|(at, i)| (self.rows[*i].partition, at)).collect();
        let mut steps = Vec::new();
        let mut start = 0;
        while start < order.len() {
            let first = &self.rows[order[start]];
            let same = |i: usize| {
                let row = &self.rows[order[i]];
                row.partition == first.partition && row.table == first.table && !cuts.contains(&i)
            };
            let mut end = start + 1;
            while end < order.len() && same(end) {
                end += 1;
            }
            let rows: Vec<&ReplayRow> = order[start..end].iter().map(|i| &self.rows[*i]).collect();
            let seen = seen.entry(first.partition).or_insert(i64::MIN);
            steps.push(Step::Rows(Box::new(self.batch(&rows, seen)?)));
            // A partition with nothing more to say must not hold the others back.
            if last.get(&first.partition) == Some(&(end - 1)) {
                steps.push(Step::Idle(first.partition));
            }
            start = end;
        }
        if ends {
            steps.extend(self.partitions.iter().map(|p| Step::End(p.id)));
        }
        Ok(ReplaySource { partitions: self.partitions.clone(), deliveries: steps.into_iter() })
    }

    /// Per row in the order given: whether keyed rules of this lateness (the source's, if `None`)
    /// get to see it.
    pub fn accepted(&self, order: &[usize], lateness: Option<i64>) -> Vec<bool> {
        let mut seen: BTreeMap<PartitionId, i64> = BTreeMap::new();
        order
            .iter()
            .map(|i| {
                let row = &self.rows[*i];
                let lateness =
                    lateness.unwrap_or(self.partitions[row.partition.0 as usize].time.lateness);
                let seen = seen.entry(row.partition).or_insert(i64::MIN);
                let accepted = row.time >= seen.saturating_sub(lateness);
                *seen = (*seen).max(row.time);
                accepted
            })
            .collect()
    }

    fn batch(&self, rows: &[&ReplayRow], seen: &mut i64) -> Result<EventBatch, ArrowError> {
        let indices: UInt32Array = rows.iter().map(|r| Some(r.index)).collect();
        let columns = take_record_batch(&self.tables[&rows[0].table], &indices)?;
        let (batch, newest) = self.batch_of(rows, columns, *seen);
        *seen = newest;
        Ok(batch)
    }

    /// Rows of one table and partition as a batch that can name them, after rows as new as `seen`;
    /// with the newest time after it.
    pub(crate) fn batch_of(
        &self,
        rows: &[&ReplayRow],
        columns: RecordBatch,
        mut seen: i64,
    ) -> (EventBatch, i64) {
        let first = rows[0];
        let mut bytes = Vec::new();
        let mut spans = Vec::new();
        let mut seen_before = Vec::new();
        for row in rows {
            spans.push(bytes.len()..bytes.len() + row.original.len());
            bytes.extend_from_slice(&row.original);
            seen_before.push(seen);
            seen = seen.max(row.time);
        }
        let batch = EventBatch {
            table: first.table.clone(),
            columns,
            origin: Arc::new(Origin {
                source: "replay".into(),
                tenant: "default".into(),
                partition: first.partition,
                time: self.partitions[first.partition.0 as usize].time,
            }),
            records: Records::new(bytes.into(), spans),
            record: (0..rows.len() as u32).collect(),
            sub_index: vec![0; rows.len()],
            seen_before,
        };
        (batch, seen)
    }
}

impl ReplaySource {
    /// How many deliveries it takes until so many of its rows have come.
    pub fn deliveries_of(&self, rows: usize) -> u64 {
        let mut come = 0;
        let until = |step: &&Step| {
            let more = come < rows;
            come += match step {
                Step::Rows(batch) => batch.len(),
                Step::Idle(_) | Step::End(_) => 0,
            };
            more
        };
        self.deliveries.as_slice().iter().take_while(until).count() as u64
    }
}

impl Source for ReplaySource {
    fn partitions(&self) -> Vec<Partition> {
        self.partitions.clone()
    }

    fn next(&mut self, _progress: &Progress) -> Result<Option<Delivery>, EngineError> {
        Ok(self.deliveries.next().map(|step| match step {
            Step::Rows(batch) => Delivery::Rows(*batch),
            Step::Idle(partition) => Delivery::Idle(partition),
            Step::End(partition) => Delivery::End(partition),
        }))
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): a stream of numbers that is the same for a seed on every
/// machine and version.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Self {
        Dice(seed)
    }

    /// The next number.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 if `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        if bound == 0 { 0 } else { (self.roll() % bound as u64) as usize }
    }

    /// TRUE once in `n` times.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}
