//! What happens at the limits of state: nothing silently.

use std::sync::Arc;

use sluice_event::PartitionId;
use sluice_stream::{Change, Class, HistoryStart, Limits, Shard, ShardOptions, Window};

use crate::{
    model::{Having, Stage},
    run::{Case, SLOT, keyed_row, partition, plan},
};

fn shard(limits: Limits) -> Shard {
    let stage = Stage::Window { window: Window::Sliding { size: 100 }, having: Having::Count(3) };
    let case = Case { class: Class::Monotone, stage, history: HistoryStart::Always };
    let history_start = HistoryStart::Always;
    let options = ShardOptions { index: 0, secret: [0; 16], limits, history_start };
    Shard::new(&[(SLOT, Arc::new(plan(&case)))], &[partition(0)], options)
}

#[test]
fn too_many_rows_of_a_key_give_a_lower_bound_that_is_never_withdrawn() {
    let mut shard = shard(Limits { window_events_max: 5, ..Limits::default() });
    shard.push(SLOT, PartitionId(0), (0..5).map(|t| keyed_row("a", t)).collect());
    assert!(shard.take().iter().all(|e| !e.capped && e.count == 5));
    shard.push(SLOT, PartitionId(0), (5..12).map(|t| keyed_row("a", t)).collect());
    let emissions = shard.take();
    assert_eq!(emissions.len(), 1);
    assert!(emissions[0].capped);
    assert_eq!((emissions[0].count, shard.stats()[0].thinned), (5, 7));
    shard.end(PartitionId(0));
    assert!(shard.take().iter().all(|e| e.change != Change::Withdraw));
}

#[test]
fn too_many_keys_forget_the_smallest_quiet_one() {
    let mut shard = shard(Limits { keys_max: 2, ..Limits::default() });
    let rows = |key, n| (0..n).map(|t| keyed_row(key, t)).collect();
    shard.push(SLOT, PartitionId(0), rows("near", 2));
    shard.push(SLOT, PartitionId(0), rows("far", 1));
    shard.push(SLOT, PartitionId(0), rows("new", 1));
    shard.push(SLOT, PartitionId(0), vec![keyed_row("near", 2)]);
    let emissions = shard.take();
    assert_eq!(emissions.len(), 1, "the one nearest to its threshold was kept");
    assert!(emissions[0].capped, "some key lost rows in this window");
    assert_eq!((shard.stats()[0].evicted, shard.stats()[0].keys), (1, 2));
}

#[test]
fn row_behind_everything_is_counted() {
    let mut shard = shard(Limits::default());
    shard.observe(PartitionId(0), 1_000);
    shard.push(SLOT, PartitionId(0), vec![keyed_row("a", 10)]);
    let stats = &shard.stats()[0];
    assert_eq!((stats.rows_in, stats.too_late, stats.keys), (1, 1, 0));
}
