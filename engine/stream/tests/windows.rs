//! Keyed operators against a naive model that defines each from the list of rows: whatever the
//! batching, the interleaving, the number of shards and the restarts, the net findings are equal.
//!
//! `WINDOWS_CASES` sets the cases per kind, `WINDOWS_SEED` runs one seed alone.

#![allow(clippy::unwrap_used, reason = "a failing unwrap is a failing test")]

#[path = "windows/limits.rs"]
mod limits;
#[path = "windows/model.rs"]
mod model;
#[path = "windows/parts.rs"]
mod parts;
#[path = "windows/run.rs"]
mod run;
#[path = "windows/sessions.rs"]
mod sessions;
#[path = "windows/sharing.rs"]
mod sharing;

use sluice_stream::{EmitMode, HistoryStart, Window};

use run::{Case, Random, Shape, check};

fn seeds() -> Vec<u64> {
    let number = |name| std::env::var(name).ok().and_then(|v| v.parse().ok());
    match number("WINDOWS_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("WINDOWS_CASES").unwrap_or(200)).collect(),
    }
}

fn windows(window: Window, modes: &[EmitMode]) {
    for seed in seeds() {
        let mut random = Random(seed);
        let emit = modes[random.below(modes.len() as u64) as usize];
        let case = Case {
            emit,
            stage: model::Stage::Window { window, having: model::Having::any(emit, &mut random) },
            history: HistoryStart::Always,
            native: random.below(3) > 0,
            kept: Case::ALL,
        };
        check(seed, &case, &Shape::any(&mut random));
    }
}

const ALL: &[EmitMode] = &[EmitMode::OnMatch, EmitMode::OnWatermark, EmitMode::OnClose];

#[test]
fn sliding_is_what_the_definition_says() {
    windows(Window::Sliding { size: 100 }, ALL);
    windows(Window::Sliding { size: 37 }, ALL);
}

#[test]
fn tumble_is_what_the_definition_says() {
    windows(Window::Tumble { size: 100 }, ALL);
}

#[test]
fn hop_is_what_the_definition_says() {
    windows(Window::Hop { slide: 25, size: 100 }, ALL);
}

#[test]
fn session_is_what_the_definition_says() {
    windows(Window::Session { gap: 15 }, &[EmitMode::OnWatermark, EmitMode::OnClose]);
}

/// Of a busy key the oldest rows are summed up: as long as no window cuts a sum, what is found is
/// what all rows would give, late ones, restarts and other numbers of shards included.
#[test]
fn rows_that_were_summed_up_count() {
    let mut folded = 0;
    for seed in seeds().into_iter().step_by(4) {
        let mut random = Random(seed);
        let window = match random.below(2) {
            0 => Window::Sliding { size: 100 },
            _ => Window::Session { gap: 15 },
        };
        let emit = [EmitMode::OnWatermark, EmitMode::OnClose][random.below(2) as usize];
        let case = Case {
            emit,
            stage: model::Stage::Window {
                window,
                having: model::Having::not_monotone(&mut random),
            },
            history: HistoryStart::Always,
            native: random.below(2) > 0,
            kept: 64,
        };
        let (range, keys) = ([500, 1_500][random.below(2) as usize], random.below(2) + 1);
        let shape = Shape { rows: 600, range, keys, partitions: 1, chunk: 100, grid: 1 };
        folded += check(seed, &case, &shape);
    }
    assert!(folded > 1_000, "{folded} rows were summed up: that proves too little");
}

#[test]
fn first_seen_is_what_the_definition_says() {
    for seed in seeds().into_iter().flat_map(|s| [2 * s, 2 * s + 1]) {
        let mut random = Random(seed);
        let history = match random.below(3) {
            0 => HistoryStart::Always,
            1 => HistoryStart::At(random.time()),
            _ => HistoryStart::FirstAccepted,
        };
        let span = [5, 60, 200, 5_000][random.below(4) as usize];
        let emit = [EmitMode::OnWatermark, EmitMode::OnClose][random.below(2) as usize];
        let case = Case {
            emit,
            stage: model::Stage::FirstSeen { span },
            history,
            native: false,
            kept: Case::ALL,
        };
        check(seed, &case, &Shape::any(&mut random));
    }
}

#[test]
fn hot_key_of_ten_thousand_rows() {
    for emit in [EmitMode::OnMatch, EmitMode::OnWatermark] {
        let window = Window::Sliding { size: 100 };
        let stage = model::Stage::Window { window, having: model::Having::Count(50) };
        let history = HistoryStart::Always;
        let case = Case { emit, stage, history, native: true, kept: Case::ALL };
        check(
            7,
            &case,
            &Shape { rows: 10_000, range: 10_000, keys: 1, partitions: 2, chunk: 500, grid: 1 },
        );
    }
}
