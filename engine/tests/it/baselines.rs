//! Baselines in the stream: the same findings however the stream comes, state over restarts and edits,
//! and what a baseline may not be.

use std::{num::NonZeroUsize, ops::Range, sync::Arc};

use sluice_baseline::{Verdict, Verdicts};
use sluice_engine::{
    Content, Engine, EngineConfig, History, LoadedRule, MemorySink, Partition, RuleSet, RunOptions,
    Unobserved,
    baseline::test_baseline,
    replay::{Dice, Replay, ReplayBuilder},
    rule_test::{Bench, same_in_every_way},
};
use sluice_event::{PartitionId, TableName, TimeSettings};
use sluice_finding::{Finding, FindingState, RiskLedger, evidence};
use sluice_stream::Stage;

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
/// 2026-01-05, a Monday.
const MONDAY: i64 = 20_458 * DAY;

fn load(folder: &tempfile::TempDir, text: &str) -> Content {
    let path = folder.path().join("rules/baselines");
    std::fs::create_dir_all(&path).unwrap();
    std::fs::write(path.join("signin.sql"), text).unwrap();
    Content::load(&[], &[folder.path().join("rules")]).unwrap()
}

/// A baseline of sign-ins; `more` are further features.
fn file(more: &str) -> String {
    format!(
        "/*---\nid: baselines.signin\ntitle: Sign-ins\nkind: baseline\nentity: {{user: user_entity}}\n\
         features:\n  country: {{kind: categorical, tactic: TA0001}}\n  \
         device: {{kind: categorical}}\n  hour: {{kind: time_of_week}}\n  \
         logons: {{kind: count, windows: [1h, 1d]}}\n{more}alarm_rate: 0.01\n---*/\n\
         SELECT time, user_entity, src_country AS country, device_uid AS device, app_name AS app,\n       \
         src_port AS port\nFROM authentication\n"
    )
}

/// Sign-ins of users with habits over some days, on two partitions; on the last day but one some come
/// from somewhere else.
fn organisation(users: u64, days: i64, seed: u64) -> Replay {
    organisation_with(users, days, seed, days - 2..days - 1)
}

/// The same with other strange days.
fn organisation_with(users: u64, days: i64, seed: u64, strange_on: Range<i64>) -> Replay {
    let time = TimeSettings::default();
    let partition =
        |id| Partition { id: PartitionId(id), source: None, name: None, tables: Vec::new(), time };
    let mut builder = ReplayBuilder::new(vec![partition(0), partition(1)]);
    let mut dice = Dice::new(seed);
    let table = TableName::new("authentication");
    let mut rows = Vec::new();
    for day in 0..days {
        for user in 0..users {
            let strange = strange_on.contains(&day) && user % 4 == 0;
            for _ in 0..1 + dice.below(3) {
                let hour = if strange { 2 } else { 8 + dice.below(9) as i64 };
                let at = MONDAY + day * DAY + hour * HOUR + dice.below(HOUR as usize) as i64;
                let of = |usual: u64| if strange { 90 + (user + usual) % 9 } else { usual };
                rows.push((at, user, of(user % 5), of(user % 7)));
            }
        }
    }
    rows.sort_unstable();
    for (at, user, country, device) in rows {
        let columns = serde_json::json!({
            "user_name": format!("u{user}@example.com"), "src_country": format!("c{country}"),
            "device_uid": format!("d{device}"), "app_name": "mail", "src_port": 443,
        });
        let columns = columns.as_object().unwrap().clone().into_iter().collect();
        builder.row(PartitionId((user % 2) as u32), &table, at, &columns).unwrap();
    }
    builder.finish().unwrap()
}

fn net(sink: &MemorySink) -> Vec<Finding> {
    let all = sink.findings().values().cloned();
    let mut all: Vec<Finding> = all
        .filter(|f| f.state != FindingState::Withdrawn)
        .map(|f| Finding { revision: 1, ..f })
        .collect();
    all.sort_by_key(|f| f.id);
    all
}

#[test]
fn p6_findings_do_not_depend_on_order_cuts_shards_or_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let content = load(&folder, &file(""));
    let rule = content.baselines[0].rule.as_ref().unwrap();
    let replay = organisation(8, 45, 3);
    let bench = Bench::new(&content, rule, History::None);
    let (found, failures) = same_in_every_way(&bench, &replay, 5).unwrap();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    let strange = |f: &&Finding| f.time >= MONDAY + 43 * DAY;
    assert!(found.values().filter(strange).count() >= 2, "{} findings", found.len());
    for finding in found.values() {
        assert_eq!(finding.state, FindingState::Confirmed);
        assert!(finding.title.starts_with("Unusual for u"), "{}", finding.title);
        let mut ledger = RiskLedger::default();
        assert!(ledger.add(&evidence(finding).expect("it weighs something")));
        let shown = finding.evidence.iter().filter(|e| e.contains("\"user_name\":\"u"));
        assert!(finding.evidence.len() <= 10 && shown.count() > 0, "{:?}", finding.evidence);
        let features = finding.fields["features"].as_array().unwrap();
        assert!(features.iter().any(|f| f["feature"] == finding.fields["feature"]));
    }
}

fn engine(content: &Content, shards: usize) -> Engine {
    Engine {
        rules: content.rule_set().into(),
        sources: Vec::new(),
        config: EngineConfig {
            workers: NonZeroUsize::MIN,
            shards: NonZeroUsize::new(shards).unwrap(),
            history: History::None,
            ..EngineConfig::default()
        },
    }
}

/// Findings of the replay, stopped before its last days and gone on with other content.
fn edited(before: &Content, after: &Content) -> Vec<Finding> {
    let replay = organisation(8, 45, 3);
    let order: Vec<usize> = (0..replay.rows.len()).collect();
    let cut = replay.rows.iter().position(|r| r.time >= MONDAY + 42 * DAY).unwrap();
    let mut source = replay.source(&order, &[cut], true).unwrap();
    let stop = source.deliveries_of(cut);
    let mut sink = MemorySink::default();
    let options = RunOptions { stop_after: Some(stop), ..RunOptions::default() };
    engine(before, 1).run(&mut source, &mut sink, &Unobserved, options).unwrap();
    let resume = sink.take_checkpoint();
    assert!(resume.is_some());
    let options = RunOptions { resume, ..RunOptions::default() };
    engine(after, 3).run(&mut source, &mut sink, &Unobserved, options).unwrap();
    net(&sink).into_iter().filter(|f| f.time >= MONDAY + 43 * DAY).collect()
}

#[test]
fn f1_an_edited_feature_begins_anew_and_the_others_go_on() {
    let folders: [tempfile::TempDir; 3] = std::array::from_fn(|_| tempfile::tempdir().unwrap());
    let same = load(&folders[0], &file(""));
    let expected = edited(&same, &same);
    assert!(expected.len() >= 2, "{}", expected.len());
    let more = load(&folders[1], &file("  app: {kind: categorical}\n"));
    let found = edited(&same, &more);
    let entities = |findings: &[Finding]| -> Vec<String> {
        let mut ids: Vec<String> = findings.iter().map(|f| f.entities[0].id.clone()).collect();
        ids.sort();
        ids
    };
    assert_eq!(entities(&found), entities(&expected));
    // Another condition is another baseline: what it knew is of other rows.
    let other = file("").replace("FROM authentication", "FROM authentication WHERE src_port > 1");
    let other = load(&folders[2], &other);
    assert_eq!(edited(&same, &other), []);
}

/// Findings of a replay that is strange for three days, with a verdict about the first of them that is
/// given when it has closed.
fn judged(content: &Content, verdict: Option<Verdict>) -> Vec<Finding> {
    let replay = organisation_with(8, 47, 3, 42..46);
    let order: Vec<usize> = (0..replay.rows.len()).collect();
    let cut = replay.rows.iter().position(|r| r.time >= MONDAY + 43 * DAY + 12 * HOUR).unwrap();
    let mut source = replay.source(&order, &[cut], true).unwrap();
    let stop = source.deliveries_of(cut);
    let mut sink = MemorySink::default();
    let options = RunOptions { stop_after: Some(stop), ..RunOptions::default() };
    let verdicts = Arc::new(Verdicts::default());
    let with_verdicts = || {
        let mut engine = engine(content, 2);
        engine.config.verdicts = verdicts.clone();
        engine
    };
    with_verdicts().run(&mut source, &mut sink, &Unobserved, options).unwrap();
    verdicts.say(&"baselines.signin".into(), "u0@example.com", MONDAY + 42 * DAY, verdict);
    let options = RunOptions { resume: sink.take_checkpoint(), ..RunOptions::default() };
    with_verdicts().run(&mut source, &mut sink, &Unobserved, options).unwrap();
    let found = net(&sink).into_iter();
    found.filter(|f| f.time >= MONDAY + 44 * DAY && f.entities[0].id == "u0@example.com").collect()
}

#[test]
fn a_verdict_on_a_finding_decides_what_is_usual_from_then_on() {
    let folder = tempfile::tempdir().unwrap();
    let content = load(&folder, &file(""));
    let none = judged(&content, None);
    assert!(none.len() >= 2, "days after it are as unusual: {none:?}");
    assert_eq!(judged(&content, Some(Verdict::Compromised)).len(), none.len());
    let benign = judged(&content, Some(Verdict::Benign));
    assert!(benign.len() < none.len(), "{} of {}", benign.len(), none.len());
}

#[test]
fn a_peer_group_of_the_directory_is_a_column_of_the_select() {
    let declared = "entity: {user: user_entity}\npeer_group: [directory, learned]\n";
    let text = file("").replace("entity: {user: user_entity}\n", declared);
    let folders: [tempfile::TempDir; 2] = std::array::from_fn(|_| tempfile::tempdir().unwrap());
    let content = load(&folders[0], &text);
    let found: Vec<String> =
        content.errors().map(|p| p.diagnostic.render(p.text.as_deref())).collect();
    assert!(found.iter().any(|f| f.contains("`peer_group`") && f.contains("R008")), "{found:?}");
    let text = text.replace("src_port AS port", "src_port AS port, 'staff' AS peer_group");
    let content = load(&folders[1], &text);
    assert_eq!(content.errors().count(), 0);
    let rule = content.baselines[0].rule.as_ref().unwrap();
    let bench = Bench::new(&content, rule, History::None);
    let (found, failures) = same_in_every_way(&bench, &organisation(8, 45, 3), 5).unwrap();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    let groups = |f: &Finding| f.fields["peer_group"].as_str().map(str::to_owned);
    let last = found.values().filter(|f| f.time >= MONDAY + 43 * DAY);
    assert!(last.clone().count() >= 2);
    for finding in last {
        assert_eq!(groups(finding).as_deref(), Some("staff (8 members)"));
    }
}

/// Many new names on one day, a name of a megabyte, values that are none: left out, counted, reported.
#[test]
fn a_flood_of_entities_and_bad_values_is_bounded_counted_and_reported() {
    let folder = tempfile::tempdir().unwrap();
    let content = load(&folder, &file("  port: {kind: numeric}\n"));
    let loaded = content.baselines[0].rule.as_ref().unwrap();
    let mut plan = (*loaded.plan).clone();
    let Stage::Baseline(stage) = &mut plan.stage else { panic!("not a baseline") };
    stage.policy.entities_max = 100;
    let rule = LoadedRule { plan: plan.into(), ..loaded.clone() };
    let only = Partition {
        id: PartitionId(0),
        source: None,
        name: None,
        tables: Vec::new(),
        time: TimeSettings::default(),
    };
    let mut builder = ReplayBuilder::new(vec![only]);
    let table = TableName::new("authentication");
    let mut row = |at: i64, columns: serde_json::Value| {
        let columns = columns.as_object().unwrap().clone().into_iter().collect();
        builder.row(PartitionId(0), &table, MONDAY + at, &columns).unwrap();
    };
    row(0, serde_json::json!({"src_country": "c1"}));
    row(1, serde_json::json!({"user_name": "x".repeat(1 << 20), "src_country": "c1"}));
    row(2, serde_json::json!({"user_name": "ann", "src_country": "y".repeat(1 << 20)}));
    for i in 0..1_000 {
        row(3 + i, serde_json::json!({"user_name": format!("flood{i}"), "src_country": "c1"}));
    }
    let replay = builder.finish().unwrap();
    let order: Vec<usize> = (0..replay.rows.len()).collect();
    let mut source = replay.source(&order, &[], true).unwrap();
    let rules = RuleSet::new(vec![rule], |table| content.compiler.schema(table));
    let engine = Engine { rules: rules.into(), ..engine(&content, 2) };
    let mut sink = MemorySink::default();
    let run = engine.run(&mut source, &mut sink, &Unobserved, RunOptions::default()).unwrap();
    let counts = &run.counters.rules["baselines.signin"];
    assert!(counts.evicted >= 901 && counts.degraded >= 1, "{counts:?}");
    assert_eq!(counts.errors, 2, "{counts:?}");
    let found: Vec<&Finding> = sink.findings().values().collect();
    assert_eq!(found.len() as u64, counts.degraded, "{found:?}");
    assert!(found.iter().all(|f| &*f.rule_id == "sluice.rule_degraded"), "{found:?}");
    assert!(found[0].title.contains("100 entities are kept"), "{}", found[0].title);
}

#[test]
fn f3_every_shipped_baseline_passes_its_tests_in_every_way() {
    let content = Content::load(&["builtin".into()], &["builtin".into()]).unwrap();
    assert!(content.baselines.len() >= 3, "{}", content.baselines.len());
    let mut failures = Vec::new();
    for baseline in &content.baselines {
        let id = &baseline.file.id;
        let quiet = baseline.file.tests.iter().filter(|t| t.expect.is_empty()).count();
        assert!(
            quiet > 0 && quiet < baseline.file.tests.len(),
            "{id}: tests that fire and are quiet"
        );
        for report in test_baseline(&content, baseline, 7) {
            failures.extend(report.failures.iter().map(|f| format!("{id}: {}: {f}", report.name)));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn f1_what_cannot_be_a_baseline_is_refused_with_its_reason() {
    let cases = [
        ("AS country", "AS land", "country"),
        ("src_country AS country", "src_contry AS country", "src_contry"),
        ("entity: {user: user_entity}\n", "", "entity"),
        ("src_country AS country", "message AS country", "another value in nearly every event"),
        ("SELECT time,", "SELECT now() AS time,", "now"),
        ("SELECT time,", "SELECT ingest_time AS time,", "not the time of the event"),
        (
            "FROM authentication",
            "FROM authentication WHERE first_seen(INTERVAL '1 day', user_entity)",
            "first_seen",
        ),
        ("FROM authentication", "FROM authentication GROUP BY user_entity", ""),
    ];
    for (from, to, reason) in cases {
        let folder = tempfile::tempdir().unwrap();
        let text = file("").replace(from, to);
        assert_ne!(text, file(""), "{from}");
        let content = load(&folder, &text);
        let found: Vec<String> =
            content.errors().map(|p| p.diagnostic.render(p.text.as_deref())).collect();
        assert!(content.baselines.is_empty() && !found.is_empty(), "{to}");
        assert!(found.iter().any(|f| f.contains(reason)), "{to}: {}", found.join("\n"));
    }
}
