//! Where a session ends, to the millisecond.

use std::sync::Arc;

use sluice_event::PartitionId;
use sluice_stream::{Change, EmitMode, HistoryStart, Limits, Pace, Shard, ShardOptions, Window};

use crate::{
    model::{Having, Stage},
    run::{Case, RULE, keyed_batch, keyed_row, partition, plan},
};

/// The net sessions of one key with rows at these times: first row, end, rows.
fn sessions(gap: i64, times: &[i64]) -> Vec<(i64, i64, u64)> {
    let stage = Stage::Window { window: Window::Session { gap }, having: Having::Always };
    let case = Case {
        emit: EmitMode::OnClose,
        stage,
        history: HistoryStart::Always,
        native: false,
        kept: Case::ALL,
    };
    let options = ShardOptions {
        index: 0,
        shards: 1,
        secret: [0; 16],
        limits: Limits::default(),
        history_start: HistoryStart::Always,
    };
    let mut shard = Shard::new(&[(RULE, Arc::new(plan(&case)))], &[partition(0)], options);
    let rows: Vec<_> = times.iter().map(|t| keyed_row("a", *t)).collect();
    shard.push(PartitionId(0), &keyed_batch(&rows));
    shard.end(PartitionId(0));
    let upsert = |e: &sluice_stream::Emission| matches!(e.change, Change::Upsert(_));
    let found = shard.take(Pace::EveryChange).into_iter().filter(upsert);
    found.map(|e| e.window.map(|(start, end)| (start, end, e.count)).unwrap()).collect()
}

#[test]
fn gap_exactly_is_one_session_and_a_millisecond_more_is_two() {
    assert_eq!(sessions(15, &[100, 115]), [(100, 130, 2)]);
    assert_eq!(sessions(15, &[100, 116]), [(100, 115, 1), (116, 131, 1)]);
}

#[test]
fn row_between_joins_two_sessions_only_if_it_is_within_the_gap_of_both() {
    assert_eq!(sessions(15, &[100, 130, 115]), [(100, 145, 3)]);
    assert_eq!(sessions(15, &[100, 131, 115]), [(100, 130, 2), (131, 146, 1)]);
}
