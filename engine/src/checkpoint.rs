//! What a run resumes from: the keyed state of all shards and the place of every partition, taken
//! at one batch boundary. Not how it is stored.

use std::collections::BTreeMap;

use sluice_event::PartitionId;
use sluice_ingest::live::Positions;
use sluice_stream::StateEntry;

use crate::PartitionName;

/// The state of a whole run at a batch boundary.
///
/// Aligned: it reflects exactly the deliveries before [`Checkpoint::delivered`], on every shard.
#[derive(Clone, Debug, Default)]
pub struct Checkpoint {
    /// Its number: one more than that of the checkpoint before, through all runs.
    pub epoch: u64,
    /// Every change of a finding that this checkpoint does not cover has a greater sequence. A lower
    /// bound: some it covers may have one too.
    pub seq: Seq,
    /// Keyed state of all shards, watermarks included; independent of the number of shards.
    pub state: Vec<StateEntry>,
    /// Whether `state` is all of it. Otherwise it is what changed since the last checkpoint of the
    /// run, with `None` for what is gone.
    pub full: bool,
    /// What changes with it in the list of the history: rows that it covers count as kept.
    pub history: Vec<StateEntry>,
    /// Per partition: the greatest event time seen, `i64::MIN` before the first row.
    pub seen: BTreeMap<PartitionId, i64>,
    /// How many deliveries of the source it reflects.
    pub delivered: u64,
    /// Per place of a live input: the offset to read next.
    pub positions: Positions,
    /// The partitions of live inputs by number: their numbers stay for ever, since state names them.
    pub partitions: Vec<PartitionName>,
}

/// The number of a change of a finding, from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

/// The state entries of each shard, by their virtual nodes; what belongs to no key goes to all.
pub(crate) fn split(state: Vec<StateEntry>, shards: usize) -> Vec<Vec<StateEntry>> {
    let mut split = vec![Vec::new(); shards];
    for entry in state {
        let vnode = entry.vnode();
        if vnode == StateEntry::SHARED {
            split.iter_mut().for_each(|shard| shard.push(entry.clone()));
        } else if let Some(shard) = split.get_mut(usize::from(vnode) % shards) {
            shard.push(entry);
        }
    }
    split
}
