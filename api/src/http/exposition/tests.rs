//! `/metrics`: what Prometheus' own checker asks of an exposition, and that it shows the snapshot.

use std::collections::{BTreeMap, BTreeSet};

use sluice_engine::{
    SourceCounts,
    service::{InputHealth, Phase, RuleHealth},
};
use sluice_ingest::live::{InputStatus, Place};

use super::{super::counters::Counters, *};

fn scraped() -> String {
    let hostile = "x\"\\\n".to_owned();
    let conflicts = BTreeMap::from([(hostile, 3)]);
    let counts = SourceCounts { received: 5, mapped: 5, conflicts, ..SourceCounts::default() };
    let mut status = ServiceStatus { phase: Phase::Running, ..ServiceStatus::default() };
    status.counters.sources.insert("okta.system".to_owned(), counts);
    status.rules =
        vec![RuleHealth { id: "identity.x".into(), nanos: 2_500_000_000, ..RuleHealth::default() }];
    let place = Place { input: "okta".into(), part: "a/b/3".into() };
    let places = BTreeMap::from([(place, Some(7))]);
    let shown = InputStatus { places, ..InputStatus::default() };
    status.inputs = vec![InputHealth {
        name: "okta".into(),
        status: shown,
        dead_letters_waiting: 12,
        ..InputHealth::default()
    }];
    let pool = PoolStats { name: "hunts", places: 2, busy: 1, waiting: 0, refused: 4 };
    let progress = Progress { at: 40, failures_total: 2, ..Progress::default() };
    let snapshot = Snapshot {
        status,
        stats: StoreStats::default(),
        history: HistoryStats::default(),
        index_lag: Some(40),
        followers: vec![("index", progress)],
        pools: vec![pool],
        processor: ProcessorStats { charged: 3.5, heavy: 1, waited: 5, refused: 2 },
        request_memory: (100, 7, 1),
        memory: (70, 100),
        pressure: Pressure::Queries,
        signals: None,
        webhooks: None,
        received: Vec::new(),
        silent: vec![("okta".to_owned(), true)],
        last: 43,
        version: "0.0.0",
        now: 0,
    };
    let mut families = families::families(&snapshot);
    families.extend(Counters::new().unwrap().gather());
    let mut text = Vec::new();
    TextEncoder::new().encode(&families, &mut text).unwrap();
    String::from_utf8(text).unwrap()
}

#[test]
fn every_family_is_as_promtool_wants_it() {
    let text = scraped();
    let mut kinds = BTreeMap::new();
    let mut helped = BTreeSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(helped.insert(name.to_owned()), "{name} twice");
            assert!(help.ends_with('.'), "{name}");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(name.starts_with("sluice_") && name == name.to_lowercase(), "{name}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
            for unit in ["_ms", "_millis", "_nanos", "_minutes", "_kb", "_mib", "_count", "_sum"] {
                assert!(!name.contains(&format!("{unit}_")) && !name.ends_with(unit), "{name}");
            }
            kinds.insert(name.to_owned(), kind.to_owned());
        } else {
            let name = line.split(['{', ' ']).next().unwrap();
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|part| name.strip_suffix(part).filter(|f| kinds.contains_key(*f)))
                .unwrap_or(name);
            assert!(kinds.contains_key(family), "{name} has no TYPE");
            assert!(helped.contains(family), "{name} has no HELP");
            assert!(line.rsplit_once(' ').unwrap().1.parse::<f64>().is_ok(), "{line}");
        }
    }
    assert_eq!(kinds.len(), helped.len());
}

#[test]
fn it_shows_the_snapshot() {
    let text = scraped();
    for line in [
        "sluice_records_received_total{source=\"okta.system\"} 5",
        "sluice_schema_conflicts_total{source=\"okta.system\",column=\"x\\\"\\\\\\n\"} 3",
        "sluice_rule_eval_seconds_total{rule=\"identity.x\"} 2.5",
        "sluice_kafka_lag{source=\"okta\",topic=\"a/b\",partition=\"3\"} 7",
        "sluice_dead_letters_waiting{source=\"okta\"} 12",
        "sluice_phase{phase=\"running\"} 1",
        "sluice_phase{phase=\"failed\"} 0",
        "sluice_conservation_error 0",
        "sluice_index_lag_seconds 0.04",
        "sluice_rules_loaded 1",
        "sluice_build_info{version=\"0.0.0\"} 1",
        "sluice_follower_behind{follower=\"index\"} 3",
        "sluice_follower_failures_total{follower=\"index\"} 2",
        "sluice_pool_busy{pool=\"hunts\"} 1",
        "sluice_pool_refused_total{pool=\"hunts\"} 4",
        "sluice_token_processor_seconds_total 3.5",
        "sluice_tokens_heavy 1",
        "sluice_token_processor_waited_total 5",
        "sluice_token_processor_refused_total 2",
        "sluice_request_memory_bytes 7",
        "sluice_memory_limit_bytes 100",
        "sluice_memory_pressure{refused=\"queries\"} 1",
        "sluice_memory_pressure{refused=\"inputs\"} 0",
    ] {
        assert!(text.lines().any(|l| l == line), "no `{line}` in\n{text}");
    }
}
