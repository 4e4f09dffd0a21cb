//! A node for tests: two pushed inputs of Okta's log, two rules, and findings put into its store.

use std::{fs, path::Path};

use arrow::{
    array::{ArrayRef, StringArray, TimestampMillisecondArray, new_null_array},
    compute::cast,
    record_batch::RecordBatch,
};
use serde_json::Map;
use sluice_engine::{Commit, Content, FindingSink, PlacedDeadLetter, Reported};
use sluice_event::{EventBatch, Origin, PartitionId, Records, Schema, TableName};
use sluice_finding::{Finding, FindingId, FindingState};
use sluice_ingest::{DeadLetter, DeadLetterCode, Original, live::Place};
use sluice_rule::Severity;

use super::*;
use crate::config::{Config, Layers};

/// The configuration of a node in a folder.
pub(super) fn config(folder: &Path) -> Config {
    // What tests keep happened in 1970.
    let text = format!(
        "data_dir = {:?}\n[retention]\nfinding_age = \"36500d\"\ndead_letter_age = \"36500d\"\n\
         [sources.push]\nmapping = \"okta.system\"\nhttp = {{}}\n\
         [sources.other]\nmapping = \"okta.system\"\nhttp = {{}}\n",
        folder.join("data").display().to_string(),
    );
    let loaded = Layers::of_text("test", &text);
    assert!(!loaded.has_errors(), "{:?}", loaded.problems);
    loaded.config
}

/// The rules `identity.x`, `network.y`, which no input feeds, and a shipped one.
pub(super) fn content(folder: &Path) -> Content {
    let rule = |id: &str, sql: &str| {
        let path = folder.join("rules").join(id.replace('.', "/") + ".sql");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let text = format!(
            "/*---\nid: {id}\ntitle: A rule of the tests\nseverity: high\n\
             false_positives: [none]\nrunbook: Ask.\n---*/\n{sql}\n"
        );
        fs::write(path, text).unwrap();
    };
    rule("identity.x", "SELECT time, user_name FROM authentication WHERE status = 'Failure'");
    rule("network.y", "SELECT time, src_ip FROM network WHERE dst_port = 23");
    let shipped = include_str!("../../../../rules/identity/mfa_fatigue.sql");
    fs::write(folder.join("rules/identity/mfa_fatigue.sql"), shipped).unwrap();
    let content = Content::load(&["builtin".into()], &[folder.join("rules")]).unwrap();
    assert_eq!(content.errors().count(), 0);
    content
}

/// A running node with sign-ins of ann in its history, one a second from 1,000 s after 1970.
pub(super) fn start(config: &Config) -> Node {
    let content = content(config.data_dir.parent().unwrap());
    let node = Node::start(config, content).unwrap();
    let times: Vec<i64> = (0..100).map(|i| 1_000_000 + i * 1_000).collect();
    let time: ArrayRef = Arc::new(TimestampMillisecondArray::from(times));
    let names = (0..100).map(|i| Some(if i == 0 { "=1+1".to_owned() } else { format!("ann{i}") }));
    let name: ArrayRef = Arc::new(names.collect::<StringArray>());
    node.history.push(&batch("authentication", &[("time", time), ("user_name", name)]));
    node
}

impl Fixture {
    /// Keeps findings in one commit; the last change. Returns when they can be searched.
    pub(super) fn commit(&self, findings: impl IntoIterator<Item = Finding>) -> u64 {
        let seq = self.keep(findings);
        self.indexed();
        seq
    }

    /// Keeps findings in one commit; the last change.
    pub(super) fn keep(&self, findings: impl IntoIterator<Item = Finding>) -> u64 {
        let findings = findings.into_iter().map(Reported::from).collect();
        let commit = Commit { findings, ..Commit::default() };
        self.node.store.sink().commit(commit).unwrap().0
    }

    /// Waits until all changes can be searched.
    pub(super) fn indexed(&self) {
        let last = self.node.store.last().0;
        let followers = self.node.followers();
        let index = followers.iter().find(|f| f.name == "index").unwrap();
        wait_for("the index", || index.now().at >= last);
    }

    /// Keeps a dead letter of the input `push`, received `n` seconds after 1970.
    pub(super) fn set_aside(&self, n: u32, source: &str, code: DeadLetterCode, bytes: &[u8]) {
        let letter = DeadLetter {
            code,
            message: "it is bad".to_owned(),
            source: source.into(),
            mapping: None,
            partition: PartitionId(0),
            line: 3,
            offset: u64::from(n),
            received_at: 1_000 * i64::from(n),
            envelope: None,
            original: Original::Whole(bytes.to_vec()),
        };
        let place = Some(Place { input: "push".into(), part: "".into() });
        let dead_letters = vec![PlacedDeadLetter { place, letter }];
        self.node.store.sink().commit(Commit { dead_letters, ..Commit::default() }).unwrap();
    }
}

/// A finding.
pub(super) fn finding(n: u128, time: i64, rule: &str, severity: Severity) -> Finding {
    Finding {
        id: FindingId(n),
        rule_id: rule.into(),
        rule_version: "1f2e3d4c5b6a".into(),
        title: format!("finding {n}"),
        severity,
        time,
        state: FindingState::Confirmed,
        revision: 1,
        entities: Vec::new(),
        attack: vec!["T1621".to_owned()].into(),
        risk: 30,
        shadow: false,
        suppression: None,
        fields: Map::from_iter([("user_name".to_owned(), "<img src=x>".into())]),
        window: Some((time - 1_000, time)),
        count: 2,
        late: false,
        capped: false,
        capped_by: Vec::new(),
        time_flags: sluice_event::TimeFlags::NONE,
        contested: false,
        evidence: vec![r#"{"user_name":"ann"}"#.into()],
        evidence_total: 1,
    }
}

/// Rows of a table: these columns, the others NULL.
fn batch(table: &str, given: &[(&str, ArrayRef)]) -> EventBatch {
    let schema = &Schema::builtin().table(table).unwrap().arrow;
    let rows = given[0].1.len();
    let columns = schema.fields().iter().map(|field| {
        match given.iter().find(|(name, _)| name == field.name()) {
            Some((_, column)) => cast(column, field.data_type()).unwrap(),
            None => new_null_array(field.data_type(), rows),
        }
    });
    EventBatch {
        table: TableName::new(table),
        columns: RecordBatch::try_new(schema.clone(), columns.collect()).unwrap(),
        origin: Arc::new(Origin {
            source: "test".into(),
            tenant: "default".into(),
            partition: PartitionId(0),
            time: sluice_event::TimeSettings::default(),
        }),
        records: Records::new(Vec::<u8>::new().into(), Vec::new()),
        record: Vec::new(),
        sub_index: Vec::new(),
        seen_before: Vec::new(),
    }
}
