//! Findings to search for.

use serde_json::{Map, Value, json};
use sluice_event::EntityKind;
use sluice_finding::{Entity, Finding, FindingId, FindingState, Triage};
use sluice_index::{FindingIndex, IndexSettings, SearchError, SearchPage, SearchRequest};
use sluice_rule::Severity;

/// 2026-03-01T12:00:00Z.
pub(crate) const NOW: i64 = 1_772_366_400_000;
pub(crate) const HOUR: i64 = 3_600_000;

/// An index in a folder that goes with it.
pub(crate) struct Scratch {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) index: FindingIndex,
}

pub(crate) fn settings() -> IndexSettings {
    IndexSettings { writer_memory: 15 << 20, ..IndexSettings::default() }
}

pub(crate) fn scratch() -> Scratch {
    let dir = tempfile::tempdir().unwrap();
    let index = FindingIndex::open(&dir.path().join("index"), settings()).unwrap();
    Scratch { dir, index }
}

/// A committed index of these findings, untouched.
pub(crate) fn filled(findings: &[Finding]) -> Scratch {
    let scratch = scratch();
    put(&scratch.index, findings, 1);
    scratch
}

pub(crate) fn put(index: &FindingIndex, findings: &[Finding], cursor: u64) {
    let triage = Triage::default();
    let changed: Vec<_> = findings.iter().map(|f| (f, &triage)).collect();
    index.apply(&changed, &[], cursor).unwrap();
    index.commit().unwrap();
}

pub(crate) fn finding(id: u128) -> Finding {
    Finding {
        id: FindingId(id),
        rule_id: "identity.mfa_fatigue".into(),
        rule_version: "0123456789ab".into(),
        title: "Push spray against one user".to_owned(),
        severity: Severity::High,
        time: NOW - HOUR,
        state: FindingState::Confirmed,
        revision: 1,
        entities: vec![Entity { kind: EntityKind::User, id: "ann@example.com".to_owned() }],
        attack: vec!["T1621".to_owned()].into(),
        risk: 30,
        shadow: false,
        suppression: None,
        fields: Map::new(),
        window: None,
        count: 5,
        late: false,
        capped: false,
        capped_by: Vec::new(),
        time_flags: sluice_event::TimeFlags::NONE,
        contested: false,
        evidence: Vec::new(),
        evidence_total: 0,
    }
}

pub(crate) fn columns(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// Four findings that differ in everything.
pub(crate) fn mixed() -> Vec<Finding> {
    let mut push = finding(1);
    push.fields = columns(json!({ "user_name": "ann@example.com", "denied": 7, "country": "DE" }));
    push.evidence =
        vec![r#"{"src_ip":"203.0.113.9","app":{"name":"VPN Gateway"},"count":3}"#.into()];
    let mut key = finding(2);
    key.rule_id = "cloud.access_key".into();
    key.title = "Access key used from a first-seen address".to_owned();
    key.severity = Severity::Low;
    key.time = NOW - 48 * HOUR;
    key.entities = vec![
        Entity { kind: EntityKind::User, id: "arn:aws:iam::1:user/x".to_owned() },
        Entity { kind: EntityKind::Ip, id: "198.51.100.7".to_owned() },
    ];
    key.attack = vec!["T1078.004".to_owned()].into();
    key.risk = 8;
    key.count = 1;
    key.fields = columns(json!({
        "bytes": 2.5e6, "path": "/etc/cron.d/job", "tags": ["blue", "green"],
        "image": r"C:\Windows\System32\cmd.exe", "peer": "fe80::1", "ok": true,
    }));
    let mut trial = finding(3);
    trial.rule_id = "network.beacon".into();
    trial.title = "Beacon to a rare host".to_owned();
    trial.severity = Severity::Critical;
    trial.time = NOW - 3 * HOUR;
    trial.state = FindingState::Provisional;
    trial.shadow = true;
    trial.entities =
        vec![Entity { kind: EntityKind::Device, id: "laptop-7.corp.example".to_owned() }];
    trial.attack = vec!["TA0011".to_owned()].into();
    trial.risk = 60;
    trial.count = 120;
    let mut gone = finding(4);
    gone.title = "Taken back".to_owned();
    gone.state = FindingState::Withdrawn;
    gone.time = NOW - 2 * HOUR;
    vec![push, key, trial, gone]
}

pub(crate) fn search(index: &FindingIndex, query: &str) -> Result<SearchPage, SearchError> {
    index.search(&SearchRequest { limit: 500, ..SearchRequest::new(query, NOW) })
}

/// The ids a query finds, newest first.
pub(crate) fn ids(index: &FindingIndex, query: &str) -> Vec<u128> {
    let page = search(index, query).unwrap_or_else(|e| panic!("{query}: {e}"));
    assert_eq!(page.total as usize, page.hits.len(), "{query}");
    page.hits.iter().map(|hit| hit.id.0).collect()
}
