//! The spool as an input: what it reads, when it is idle, what it frees.

use std::{sync::Arc, thread, time::Duration};

use crossbeam_channel::{Receiver, bounded};
use sluice_event::{TimeSettings, WireSchema};

use super::*;
use crate::{
    Codec, Limits, Router, SourceSpec, Unwrap,
    live::{Arrival, Input, InputControl, InputPhase, Place, Positions},
};

fn router(idle: i64) -> Router {
    let spec = SourceSpec {
        source: "app.log".into(),
        codec: Codec::Json,
        unwrap: Unwrap::default(),
        wire: WireSchema::default(),
        time: None,
        native_id: None,
        time_settings: TimeSettings { idle, ..TimeSettings::default() },
        detect_has: vec!["app".into()],
        detect_lacks: Vec::new(),
        limits: Limits::default(),
        surroundings: Arc::default(),
        aliases: Arc::default(),
        detect_line: None,
        detect_message: None,
        mappings: Vec::new(),
    };
    Router::new(vec![Arc::new(spec)], None).unwrap()
}

/// Runs an input until the end of `f`, which gets its arrivals.
fn with_input(
    spool: &Spool,
    from: &Positions,
    f: impl FnOnce(&Receiver<Arrival>, &InputControl),
) -> InputControl {
    let control = InputControl::default();
    let (out, arrivals) = bounded(1);
    let mut input = SpoolInput::new("push".into(), spool, router(200));
    thread::scope(|scope| {
        let running = scope.spawn(|| input.run(from, &out, &control));
        let first = arrivals.recv_timeout(Duration::from_secs(20)).unwrap();
        assert!(matches!(first, Arrival::Assigned(_)), "{first:?}");
        f(&arrivals, &control);
        control.stop();
        running.join().unwrap().unwrap();
    });
    control
}

/// The records of the next arrival, and the position after it.
fn records(arrivals: &Receiver<Arrival>) -> (Vec<String>, u64) {
    match arrivals.recv_timeout(Duration::from_secs(20)).unwrap() {
        Arrival::Records { parts, next, .. } => {
            let texts = parts.iter().flat_map(|(_, chunk)| {
                let faults = chunk.faults.iter().map(|f| f.code.to_string());
                let records = chunk.records.iter().map(|r| String::from_utf8_lossy(r).into_owned());
                records.chain(faults).collect::<Vec<_>>()
            });
            (texts.collect(), next)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_input_reads_waits_says_idle_and_frees() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path(), SMALL).unwrap();
    let place = Place { input: "push".into(), part: "".into() };
    let app = |n: usize| format!("{{\"app\":{n},\"x\":\"{}\"}}", "y".repeat(700));
    let control = with_input(&spool, &Positions::new(), |arrivals, control| {
        // Idle although it never had a record, and once only.
        let idle = arrivals.recv_timeout(Duration::from_secs(20)).unwrap();
        assert!(matches!(idle, Arrival::Idle(ref p) if *p == place), "{idle:?}");
        assert!(arrivals.recv_timeout(Duration::from_millis(500)).is_err());

        append(&spool, &[record(app(0)), record("no json")]).unwrap();
        let (texts, next) = records(arrivals);
        assert_eq!(texts, [app(0), "no_source".into()]);
        assert_eq!(next, spool.stats().end);
        assert!(matches!(
            arrivals.recv_timeout(Duration::from_secs(20)).unwrap(),
            Arrival::Idle(_)
        ));

        // Told to read nothing.
        control.pause(true);
        thread::sleep(Duration::from_millis(200));
        append(&spool, &[record(app(1))]).unwrap();
        assert!(arrivals.recv_timeout(Duration::from_millis(300)).is_err());
        let status = control.status();
        assert_eq!(status.phase, InputPhase::Paused);
        assert_eq!(status.places[&place], Some(spool.stats().end - next));
        control.pause(false);
        assert_eq!(records(arrivals).0, [app(1)]);

        // What is durable elsewhere is freed, the segment that is written to stays.
        for n in 2..20 {
            append(&spool, &[record(app(n))]).unwrap();
        }
        let mut texts = Vec::new();
        while texts.len() < 18 {
            texts.extend(records(arrivals).0);
        }
        assert_eq!(texts, (2..20).map(app).collect::<Vec<_>>());
        assert_eq!(spool.stats().first, 0);
        let end = spool.stats().end;
        assert_eq!(control.status().spool_bytes, end);
        control.set_durable([(place.clone(), end)].into());
        thread::sleep(Duration::from_millis(300));
        assert!(spool.stats().disk_bytes < 2_000);
        assert_eq!(control.status().spool_bytes, 0);
    });
    assert_eq!(control.status().phase, InputPhase::Stopped);
    // From a position, the same records come again; from one that was freed, a gap is shown.
    let control = with_input(&spool, &[(place.clone(), 100)].into(), |arrivals, _| {
        let first = spool.stats().first;
        append(&spool, &[record(app(20))]).unwrap();
        let mut texts = Vec::new();
        while texts.last() != Some(&app(20)) {
            texts.extend(records(arrivals).0);
        }
        assert!(first > 100);
    });
    let gaps = control.status().gaps;
    assert_eq!((gaps.len(), gaps[0].1), (1, 100), "{gaps:?}");
}

#[test]
fn after_a_failed_write_nothing_is_claimed() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path(), SMALL).unwrap();
    append(&spool, &[record("kept")]).unwrap();
    spool.shared.fail("fsync: input/output error");
    let failed = SpoolError::Failed("fsync: input/output error".into());
    assert_eq!(append(&spool, &[record("lost")]).unwrap_err(), failed);
    assert_eq!(read_all(&spool, 0).0.len(), 1);
    let mut input = SpoolInput::new("push".into(), &spool, router(60_000));
    let (out, arrivals) = bounded(4);
    let failure = input.run(&Positions::new(), &out, &InputControl::default()).unwrap_err();
    assert!(failure.detail.unwrap().contains("fsync"));
    assert!(matches!(arrivals.recv().unwrap(), Arrival::Assigned(_)));
    assert!(matches!(arrivals.recv().unwrap(), Arrival::Records { .. }));
}

#[test]
fn a_position_after_the_end_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path(), SMALL).unwrap();
    let mut input = SpoolInput::new("push".into(), &spool, router(200));
    let place = Place { input: "push".into(), part: "".into() };
    let (out, _arrivals) = bounded(1);
    let failure = input.run(&[(place, 1)].into(), &out, &InputControl::default()).unwrap_err();
    assert!(failure.hint.unwrap().contains("start"));
}
