//! The facts the demo and the rules rely on, read back from the lines.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::*;

/// 2026-01-01T09:00:00Z.
const START: i64 = 1_767_258_000_000;

fn lines(scenario: Scenario, source: &str) -> Vec<Line> {
    let all = Generator::new(1, START).scenario(scenario);
    all.into_iter().filter(|l| l.source == source).collect()
}

fn records(scenario: Scenario, source: &str) -> Vec<(i64, Value)> {
    let parse = |l: Line| (l.time_ms, serde_json::from_str(&l.text).unwrap());
    lines(scenario, source).into_iter().map(parse).collect()
}

/// The most rows of one key within `span` milliseconds.
fn densest<K: Ord + Clone>(rows: impl Iterator<Item = (i64, K)>, span: i64) -> BTreeMap<K, usize> {
    let mut times: BTreeMap<K, Vec<i64>> = BTreeMap::new();
    rows.for_each(|(t, k)| times.entry(k).or_default().push(t));
    times.values_mut().for_each(|t| t.sort_unstable());
    let most = |t: &Vec<i64>| {
        t.iter().map(|end| t.iter().filter(|x| (end - span..=*end).contains(*x)).count()).max()
    };
    times.iter().map(|(k, t)| (k.clone(), most(t).unwrap_or(0))).collect()
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    for scenario in Scenario::ALL {
        let make = |seed| Generator::new(seed, START).scenario(scenario);
        assert_eq!(make(7), make(7));
        assert_ne!(make(7), make(8));
    }
    for source in SOURCES {
        let make = |seed| -> Vec<Line> {
            Generator::new(seed, START).bulk(source).unwrap().take(200).collect()
        };
        assert_eq!(make(7), make(7));
        assert_ne!(make(7), make(8));
    }
    // The bytes are part of docs and tests: they do not change with a dependency or by accident.
    assert_eq!(Random::new(1, "x").next(), 18_022_757_533_597_152_171);
    assert!(Generator::new(1, START).bulk("okta").is_none());
}

#[test]
fn lines_are_in_order_but_for_seconds_and_within_the_scenario() {
    for scenario in Scenario::ALL {
        let all = Generator::new(1, START).scenario(scenario);
        assert!((1_500..6_000).contains(&all.len()), "{scenario:?}: {}", all.len());
        let mut newest = i64::MIN;
        for line in &all {
            assert!(newest.saturating_sub(line.time_ms) <= 4_000, "{line:?}");
            newest = newest.max(line.time_ms);
            let offset = line.time_ms - START;
            assert!((0..=scenario.length_ms()).contains(&offset), "{line:?}");
        }
        assert!(all.windows(2).any(|w| w[1].time_ms < w[0].time_ms), "a little out of order");
    }
}

#[test]
fn pushes_are_denied_to_one_user_only() {
    let events = records(Scenario::Takeover, "okta.system");
    let of = |kind: &str| -> Vec<(i64, &Value)> {
        events.iter().filter(|(_, e)| e["eventType"] == kind).map(|(t, e)| (*t, e)).collect()
    };
    let denied = of("user.mfa.okta_verify.deny_push");
    assert_eq!(denied.len(), 8);
    assert!(denied.iter().all(|(_, e)| e["actor"]["alternateId"] == "hana.haas@example.com"));
    assert_eq!(denied[7].0 - denied[0].0, 280_000, "8 in 4:40");
    let grant = of("user.account.privilege.grant");
    assert_eq!(grant[0].1["target"][0]["alternateId"], "nils.novak@example.com");
    let moldova: BTreeSet<_> = events
        .iter()
        .filter(|(_, e)| e["client"]["geographicalContext"]["country"] == "Moldova")
        .map(|(_, e)| e["client"]["ipAddress"].as_str().unwrap())
        .collect();
    assert_eq!(moldova, BTreeSet::from(["192.0.2.44", "192.0.2.45"]));
    let failed = events
        .iter()
        .filter(|(_, e)| e["outcome"]["reason"] == "INVALID_CREDENTIALS")
        .map(|(t, e)| (*t, e["client"]["ipAddress"].as_str().unwrap()));
    for (ip, most) in densest(failed, 600_000) {
        assert_eq!(most > 4, ip == "192.0.2.45", "{ip}: {most}");
    }
}

#[test]
fn one_host_scans_and_sends_much() {
    let flows = lines(Scenario::Lateral, "aws.vpc_flow");
    let rows: Vec<Vec<&str>> = flows.iter().map(|l| l.text.split(' ').collect()).collect();
    assert!(rows.iter().all(|r| r.len() == 14));
    let inside = |r: &&Vec<&str>| r[12] == "REJECT" && r[3].starts_with("10.");
    assert!(rows.iter().filter(inside).all(|r| r[3] == "10.20.0.57"));
    let scanned: BTreeSet<&str> = rows
        .iter()
        .filter(|r| r[4] == "10.20.1.20" && r[3] == "10.20.0.57")
        .map(|r| r[6])
        .collect();
    assert_eq!(scanned.len(), 60);
    let mut sent: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    rows.iter()
        .for_each(|r| *sent.entry((r[3], r[4])).or_default() += r[9].parse::<u64>().unwrap());
    for (ends, bytes) in sent {
        assert_eq!(bytes > 100_000_000, ends == ("10.20.0.57", "192.0.2.66"), "{ends:?} {bytes}");
    }
    let failed = lines(Scenario::Lateral, "linux.sshd").into_iter().filter_map(|l| {
        let words: Vec<&str> = l.text.split_whitespace().collect();
        let from = words.iter().position(|w| *w == "from")?;
        l.text
            .contains("Failed password")
            .then(|| (l.time_ms, (words[from + 1].to_owned(), words[3].to_owned())))
    });
    let bursts: Vec<_> = densest(failed, 300_000).into_iter().filter(|(_, n)| *n > 2).collect();
    let host = |server: &str| (("10.20.0.57".to_owned(), server.to_owned()), 20);
    assert_eq!(bursts, [host("app-3"), host("db-2"), host("web-5")]);
}

#[test]
fn one_key_is_denied_much_and_used_from_two_addresses() {
    let calls = records(Scenario::LeakedKey, "aws.cloudtrail");
    let who = |e: &Value| match e["userIdentity"]["userName"].as_str() {
        Some(name) => name.to_owned(),
        None => e["userIdentity"]["principalId"].as_str().unwrap().to_owned(),
    };
    let denied = calls.iter().filter(|(_, e)| e["errorCode"] == "AccessDenied");
    for (name, most) in densest(denied.map(|(t, e)| (*t, who(e))), 600_000) {
        assert_eq!(most > 4, name == "ci-deploy", "{name}: {most}");
    }
    let of_key: BTreeSet<(&str, &str)> = calls
        .iter()
        .filter(|(_, e)| who(e) == "ci-deploy")
        .map(|(_, e)| {
            (
                e["userIdentity"]["accessKeyId"].as_str().unwrap(),
                e["sourceIPAddress"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(of_key.iter().map(|(key, _)| key).collect::<BTreeSet<_>>().len(), 1);
    assert_eq!(
        of_key.iter().map(|(_, ip)| *ip).collect::<Vec<_>>(),
        ["192.0.2.77", "198.51.100.40"]
    );
    let early = |(t, e): &(i64, Value)| who(e) == "ci-deploy" && *t < START + 20 * 60_000;
    assert!(calls.iter().any(early), "known before the attack");
    let secrets: BTreeMap<String, BTreeSet<String>> = calls
        .iter()
        .filter(|(_, e)| e["eventName"] == "GetSecretValue")
        .fold(BTreeMap::new(), |mut all, (_, e)| {
            all.entry(who(e))
                .or_insert_with(BTreeSet::new)
                .insert(e["requestParameters"]["secretId"].to_string());
            all
        });
    assert!(secrets.iter().all(|(name, s)| if name == "svc-sync" {
        s.len() == 24
    } else {
        s.len() <= 2
    }));
}

#[test]
fn bulk_has_realistic_sizes_and_cardinalities() {
    let take = |source: &str| Generator::new(1, START).bulk(source).unwrap().take(6_000);
    let (mut bytes, mut users, mut ips) = (0, BTreeSet::new(), BTreeSet::new());
    for line in take("okta.system") {
        let event: Value = serde_json::from_str(&line.text).unwrap();
        bytes += line.text.len();
        users.insert(event["actor"]["alternateId"].to_string());
        ips.insert(event["client"]["ipAddress"].to_string());
    }
    assert!((1_500..2_500).contains(&(bytes / 6_000)), "{}", bytes / 6_000);
    assert!(users.len() > 1_000 && ips.len() > 500, "{} {}", users.len(), ips.len());
    let ends: BTreeSet<String> =
        take("aws.vpc_flow").map(|l| l.text.split(' ').nth(3).unwrap().to_owned()).collect();
    assert!(ends.len() > 2_000, "{}", ends.len());
    for line in take("kubernetes.audit").chain(take("aws.cloudtrail")).step_by(100) {
        serde_json::from_str::<Value>(&line.text).unwrap();
    }
}

#[test]
fn the_other_formats_are_what_their_standards_say() {
    let extended = Generator::new(1, START).format(Format::Extended);
    let flow = extended.bulk("aws.vpc_flow").unwrap().next().unwrap();
    assert_eq!(flow.text.split(' ').count(), HEADER_V5.split(' ').count());
    let message = extended.bulk("linux.sshd").unwrap().next().unwrap();
    assert!(message.text.starts_with("<38>1 2026-01-01T09:00:0"), "{}", message.text);
    let classic = Generator::new(1, START).bulk("linux.sshd").unwrap().next().unwrap();
    assert!(classic.text.starts_with("Jan  1 09:00:0"), "{}", classic.text);
    let records = lines(Scenario::LeakedKey, "aws.cloudtrail");
    let envelope: Value = serde_json::from_str(&cloudtrail_envelope(records.iter())).unwrap();
    assert_eq!(envelope["Records"].as_array().unwrap().len(), records.len());
}

#[test]
fn refused_passwords_are_of_as_many_users_and_addresses_as_said() {
    let refused = |users, addresses| {
        let refused = Refused { events: 6_000, users, addresses, seconds: 600 };
        let lines: Vec<Line> = Generator::new(1, START).refused(refused).collect();
        assert_eq!(lines.len(), 6_000);
        assert_eq!(lines.last().unwrap().time_ms - START, 599_000, "whole seconds");
        let word = |n: usize| {
            let words = lines.iter().map(|l| l.text.split(' ').nth(n).unwrap().to_owned());
            words.collect::<BTreeSet<_>>().len()
        };
        assert!(lines[0].text.contains("Failed password for user"), "{}", lines[0].text);
        (word(9), word(11))
    };
    assert_eq!(refused(100, 100), (100, 100), "a spray");
    assert_eq!(refused(100, 1), (100, 1), "a flood");
}

/// Baselines need to know what is usual, and nothing else: the days before hold no attack.
#[test]
fn the_days_before_the_scenarios_are_benign_and_end_before_them() {
    let generator = Generator::new(1, START);
    let lines = generator.history(30);
    assert!(lines.len() > 30 * 150, "{}", lines.len());
    assert!(lines.is_sorted_by_key(|line| line.time_ms));
    assert!(lines.iter().all(|line| line.time_ms < START));
    let moldova = lines.iter().filter(|line| line.text.contains("Moldova")).count();
    let victim = lines.iter().filter(|line| line.text.contains("hana.haas@example.com")).count();
    assert!(moldova == 0 && victim >= 4 * 30, "{moldova} and {victim}");
    assert_eq!(lines, Generator::new(1, START).history(30));
}
