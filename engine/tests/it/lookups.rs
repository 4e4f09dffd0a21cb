//! Lookups from files to findings and hunts: what is read, what a rule and a hunt get, which version a
//! finding names, and what a file that cannot be read does.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use serde_json::{Value, json};
use sluice_engine::{
    Content, History, LoadedRule, Partition,
    history::EventHistory,
    replay::{Replay, ReplayBuilder},
    rule_test::{Bench, Way, agree, test_rule},
};
use sluice_event::{PartitionId, TableName, TimeSettings};
use sluice_sql::QueryLimits;

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn load(folder: &Path) -> Content {
    Content::load_with(&[], &[], &[folder.to_path_buf()]).unwrap()
}

fn rule(content: &Content, sql: &str) -> LoadedRule {
    let text = format!("/*---\nid: test.case\ntitle: Test\nseverity: low\n---*/\n{sql}\n");
    content.compile("test/case.sql", &text).unwrap_or_else(|p| panic!("{p:?}"))
}

/// Events of `authentication`, a minute apart.
fn replay(rows: &[&[(&str, &str)]]) -> Replay {
    let table = TableName::new("authentication");
    let only = Partition {
        id: PartitionId(0),
        source: None,
        name: None,
        tables: vec![table.clone()],
        time: TimeSettings::default(),
    };
    let mut builder = ReplayBuilder::new(vec![only]);
    for (at, row) in (0_i64..).zip(rows) {
        let columns: BTreeMap<String, Value> =
            row.iter().map(|(column, value)| ((*column).to_owned(), json!(value))).collect();
        builder.row(PartitionId(0), &table, 1_767_225_600_000 + at * 60_000, &columns).unwrap();
    }
    builder.finish().unwrap()
}

/// The fields of the findings, which every way of running and the batch form agree on.
fn found(content: &Content, loaded: &LoadedRule, replay: &Replay) -> Vec<Value> {
    let bench = Bench::new(content, loaded, History::None);
    let order: Vec<usize> = (0..replay.rows.len()).collect();
    let mut findings: Vec<_> =
        bench.run(replay, &Way::whole(&order)).unwrap().into_values().collect();
    findings.sort_by_key(|f| f.time);
    let agreement = agree(&bench, replay, 7, true).unwrap();
    assert!(agreement.failures.is_empty(), "{:?}", agreement.failures);
    assert_eq!(agreement.findings, findings.len());
    findings.into_iter().map(|f| Value::Object(f.fields)).collect()
}

#[test]
fn a_rule_asks_files_and_a_finding_names_their_version() {
    let folder = folder(&[
        ("vip.csv", "user,tier\nann@example.com,gold\nbob,silver\n"),
        ("vip.yaml", "key: user\nmatch: ignore_case\n"),
        (
            "nets.json",
            r#"[{"net":"203.0.113.0/24","name":"lab"},{"net":"203.0.113.128/25","name":"vpn"}]"#,
        ),
        ("nets.yaml", "key: net\nmatch: cidr\n"),
        ("notes.txt", "not a lookup"),
    ]);
    let content = load(folder.path());
    assert_eq!(content.errors().count(), 0);
    let events = replay(&[
        &[("user_name", "Ann@Example.com"), ("src_ip", "203.0.113.200")],
        &[("user_name", "bob"), ("src_ip", "203.0.113.5")],
        &[("user_name", "eve"), ("src_ip", "203.0.113.5")],
        &[("src_ip", "198.51.100.7"), ("user_name", "bob")],
    ]);
    let version = |content: &Content, name: &str| {
        content.compiler.lookups().get(name).unwrap().table.version.to_string()
    };
    let calls = rule(
        &content,
        "SELECT user_name, lookup('vip', user_name, 'tier') AS tier, \
         lookup('nets', src_ip, 'name') AS net, time\n\
         FROM authentication WHERE in_lookup('vip', user_name) AND in_lookup('nets', src_ip)",
    );
    let rows = found(&content, &calls, &events);
    let seen: Vec<_> = rows.iter().map(|r| (&r["tier"], &r["net"])).collect();
    assert_eq!(seen, [(&json!("gold"), &json!("vpn")), (&json!("silver"), &json!("lab"))]);
    let versions = json!({"vip": version(&content, "vip"), "nets": version(&content, "nets")});
    assert_eq!(rows[0]["lookups"], versions);

    let join = rule(
        &content,
        "SELECT a.user_name, v.tier, a.time\n\
         FROM authentication AS a LEFT JOIN lookup.vip AS v ON v.user = a.user_name",
    );
    let rows = found(&content, &join, &events);
    let tiers: Vec<_> = rows.iter().map(|r| r["tier"].clone()).collect();
    assert_eq!(tiers, [json!("gold"), json!("silver"), Value::Null, json!("silver")]);
    assert_eq!(rows[0]["lookups"], json!({"vip": version(&content, "vip")}));

    // Another file is another version, and a rule keeps what it was compiled with.
    fs::write(folder.path().join("vip.csv"), "user,tier\nbob,gold\n").unwrap();
    let after = load(folder.path());
    assert_ne!(version(&after, "vip"), version(&content, "vip"));
    assert_eq!(version(&after, "nets"), version(&content, "nets"));
    assert_eq!(found(&content, &calls, &events).len(), 2);
    let calls = rule(&after, "SELECT time FROM authentication WHERE in_lookup('vip', user_name)");
    assert_eq!(found(&after, &calls, &events).len(), 2, "both events of bob");
}

#[test]
fn a_list_may_be_long() {
    let lines: Vec<String> =
        (0..200_000).map(|n| format!("10.{}.{}.{}/32", n >> 16, n >> 8 & 255, n & 255)).collect();
    let text = format!("net\n{}\n", lines.join("\n"));
    let folder = folder(&[("bad.csv", &text), ("bad.yaml", "key: net\nmatch: cidr\n")]);
    let content = load(folder.path());
    assert_eq!(content.errors().count(), 0);
    let loaded =
        rule(&content, "SELECT src_ip, time FROM authentication WHERE in_lookup('bad', src_ip)");
    let events = replay(&[&[("src_ip", "10.3.13.63")], &[("src_ip", "10.3.13.64")]]);
    assert_eq!(found(&content, &loaded, &events).len(), 1, "the last of them, not the one after");
}

#[test]
fn hunts_read_lookups_as_tables_and_ask_them() {
    let folder = folder(&[
        ("vip.csv", "user,tier\nann,gold\nann,gold\n"),
        ("zones.csv", "suffix,zone\nexample.com,inside\n"),
        ("zones.yaml", "key: suffix\nmatch: suffix\n"),
    ]);
    let content = load(folder.path());
    let history = EventHistory::new(1 << 20);
    history.know(content.compiler.lookups());
    let count = |sql: &str| {
        let result = history.hunt(sql, QueryLimits::default()).unwrap_or_else(|e| panic!("{e}"));
        result.result.batches.iter().map(|b| b.num_rows()).sum::<usize>()
    };
    assert_eq!(count("SELECT * FROM lookup.vip WHERE tier = 'gold'"), 1, "a row twice is a row");
    let names =
        "(SELECT 'ann' AS name UNION ALL SELECT 'mail.example.com' UNION ALL SELECT 'x.org')";
    assert_eq!(
        count(&format!(
            "SELECT n.name, v.tier FROM {names} AS n JOIN lookup.vip AS v ON v.user = n.name"
        )),
        1
    );
    let suffix = format!(
        "SELECT n.name, z.zone FROM {names} AS n JOIN lookup.zones AS z ON z.suffix = n.name ORDER BY z.zone"
    );
    assert_eq!(count(&suffix), 1);
    let error = history.hunt("SELECT lookup('vip', 'ann', 'teir')", QueryLimits::default());
    assert!(error.unwrap_err().to_string().contains("did you mean `tier`"));
}

#[test]
fn a_file_that_cannot_be_read_is_told_and_keeps_nobody_waiting() {
    let folder = folder(&[
        ("twice.csv", "a\nx\n"),
        ("twice.json", "[]"),
        ("rows.csv", "a,b\nx,1\nx,2\n"),
        ("width.csv", "a,b\nx\n"),
        ("nets.csv", "net\n10.0.0.0/99\n"),
        ("nets.yaml", "key: net\nmatch: cidr\n"),
        ("key.csv", "a,b\nx,1\n"),
        ("key.yaml", "key: c\n"),
        ("bytes.json", "{"),
        ("Upper.csv", "a\nx\n"),
    ]);
    let fifo = folder.path().join("fifo.csv");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    std::os::unix::fs::symlink("/dev/zero", folder.path().join("zero.csv")).unwrap();
    let content = load(folder.path());
    let told: Vec<String> =
        content.errors().map(|p| p.diagnostic.render(p.text.as_deref())).collect();
    for says in [
        "two files are the lookup `twice`",
        "no CSV",
        "no column `c`",
        "no JSON",
        "`Upper` cannot be the name of a lookup",
        "it is a FIFO, not a regular file",
        "it is a device, not a regular file",
    ] {
        assert!(told.iter().any(|t| t.contains(says)), "{says}: {told:#?}");
    }
    // What is wrong between rows is told of files that can be read.
    for (files, says) in [
        (&[("rows.csv", "a,b\nx,1\nx,2\n")][..], "the key `x` has two different rows"),
        (
            &[("nets.csv", "net\n10.0.0.0/99\n"), ("nets.yaml", "key: net\nmatch: cidr\n")][..],
            "is no network",
        ),
    ] {
        let folder = self::folder(files);
        let content = load(folder.path());
        let told: Vec<String> =
            content.errors().map(|p| p.diagnostic.render(p.text.as_deref())).collect();
        assert!(told.iter().any(|t| t.contains(says) && t.contains(".csv")), "{told:#?}");
    }
}

#[test]
fn what_is_wrong_with_asking_is_told_at_load() {
    let folder = folder(&[("vip.csv", "user,tier\nann,gold\n")]);
    let content = load(folder.path());
    for (sql, says) in [
        ("SELECT time FROM authentication WHERE in_lookup('vpi', user_name)", "did you mean `vip`"),
        ("SELECT lookup('vip', user_name, 'teir') AS t FROM authentication", "did you mean `tier`"),
        (
            "SELECT time FROM authentication WHERE in_lookup(user_name, user_name)",
            "takes a name first",
        ),
        ("SELECT time FROM authentication WHERE in_lookup('vip', src_port)", "must be text"),
        ("SELECT user FROM lookup.vip", "`lookup.vip` has no events"),
        (
            "SELECT a.time FROM authentication AS a JOIN lookup.vip AS v ON v.tier = a.user_name",
            "by its key",
        ),
        (
            "SELECT * FROM authentication AS a JOIN lookup.vip AS v ON v.user = a.user_name",
            "`*` beside a lookup",
        ),
        ("SELECT user_name AS lookups FROM authentication", "`lookups` is added by the engine"),
    ] {
        let text = format!("/*---\nid: test.case\ntitle: Test\nseverity: low\n---*/\n{sql}\n");
        let problems = content.compile("test/case.sql", &text).unwrap_err();
        let told: Vec<String> =
            problems.iter().map(|p| p.diagnostic.render(p.text.as_deref())).collect();
        assert!(told.iter().any(|t| t.contains(says)), "{sql}\n{}", told.join("\n"));
    }
}

#[test]
fn one_attack_over_several_names_is_one_entity() {
    let folder = folder(&[("identity.csv", "user,aliases\nann@example.com,CORP\\ann; 00uann\n")]);
    let content =
        Content::load_with(&["builtin".into()], &[], &[folder.path().to_path_buf()]).unwrap();
    assert_eq!(content.errors().count(), 0);
    let text = "/*---\nid: test.case\ntitle: Test\nseverity: low\n---*/\n\
        SELECT user_entity, count(*) AS n\nFROM authentication\n\
        WHERE status = 'Failure' AND user_entity IS NOT NULL\n\
        GROUP BY user_entity, sliding(time, INTERVAL '10 minutes') HAVING count(*) >= 4\n\
        /*--- tests\n- name: by e-mail, by name, by id and as Okta says it\n  events:\n\
        \u{20}   - {t: +0s, table: authentication, status: Failure, user_email: Ann@example.com}\n\
        \u{20}   - {t: +1m, table: authentication, status: Failure, user_name: 'corp\\ann'}\n\
        \u{20}   - {t: +2m, table: authentication, status: Failure, user_name: Somebody, user_uid: 00uAnn}\n\
        \u{20}   - {t: +3m, source: okta.system, raw: '{\"uuid\":\"1\",\"published\":\"2026-01-01T00:03:00.000Z\",\"eventType\":\"user.session.start\",\"outcome\":{\"result\":\"FAILURE\"},\"actor\":{\"id\":\"00uANN\",\"type\":\"User\",\"alternateId\":\"a.smith\"},\"target\":[]}'}\n\
        \u{20} expect: [{user_entity: ann@example.com, n: 4}]\n\
        - name: with other names in the case\n  lookups: {identity: [{user: bob, aliases: 'robert;rob'}]}\n  events:\n\
        \u{20}   - {t: +0s, table: authentication, status: Failure, user_name: Rob, repeat: 2, every: 1m}\n\
        \u{20}   - {t: +3m, table: authentication, status: Failure, user_name: robert, repeat: 2, every: 1m}\n\
        \u{20} expect: [{user_entity: bob, n: 4}]\n---*/\n";
    let loaded = content.compile("test/case.sql", text).unwrap_or_else(|p| panic!("{p:?}"));
    let reports = test_rule(&content, &loaded, 3);
    assert_eq!(reports.len(), 2);
    for report in reports {
        assert!(report.failures.is_empty(), "{}: {:?}", report.name, report.failures);
    }
    // A name of two.
    fs::write(folder.path().join("identity.csv"), "user,aliases\nann,x\nbob,X\n").unwrap();
    let content = load(folder.path());
    let told: Vec<&str> = content.errors().map(|p| p.diagnostic.primary.as_str()).collect();
    assert_eq!(told, ["`X` names both `ann` and `bob`"]);
}

#[test]
fn how_much_users_and_devices_matter_is_read_from_the_lookups() {
    let folder = folder(&[
        ("identity.csv", "user,criticality\nAnn@example.com,Extreme\nbob,\ncarl,low\n"),
        ("asset.csv", "device,criticality\nDB-1,high\n"),
    ]);
    let content = load(folder.path());
    assert_eq!(content.errors().count(), 0);
    let told: Vec<(String, &str)> = content
        .criticality
        .iter()
        .map(|(entity, c)| (format!("{}:{}", entity.kind.name(), entity.id), c.name()))
        .collect();
    let ours = |id: &str, word| (id.to_owned(), word);
    assert_eq!(
        told,
        [
            ours("user:ann@example.com", "extreme"),
            ours("user:carl", "low"),
            ours("device:db-1", "high")
        ]
    );
    fs::write(folder.path().join("asset.csv"), "device,criticality\ndb-1,crucial\n").unwrap();
    let content = load(folder.path());
    let told: Vec<&str> = content.errors().map(|p| p.diagnostic.primary.as_str()).collect();
    assert_eq!(told, ["`crucial` is no criticality of `db-1`"]);
}
