//! `sluice demo`: what the shipped rules find in the three scenarios of the generator.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    sync::OnceLock,
    thread,
    time::Duration,
};

use serde_json::Value;

use crate::support::{Run, sluice};

/// What each attack leaves: a rule, its entities as `kind id`, and a part of its title.
const EXPECTED: &[(&str, &[&str], &str)] = &[
    // The Okta account takeover.
    ("identity.password_spray", &["ip 192.0.2.45"], "24 users"),
    ("identity.mfa_fatigue", &["user hana.haas@example.com"], "8 refused MFA pushes"),
    ("identity.mfa_fatigue_success", &["user hana.haas@example.com"], "after 8 refused pushes"),
    ("identity.two_countries", &["user hana.haas@example.com"], "France and Moldova"),
    (
        "identity.admin_console_first_seen_country",
        &["user hana.haas@example.com", "ip 192.0.2.44"],
        "Moldova",
    ),
    (
        "identity.mfa_factor_added_first_seen_ip",
        &["user hana.haas@example.com", "ip 192.0.2.44"],
        "192.0.2.44",
    ),
    (
        "identity.admin_role_granted",
        &["user hana.haas@example.com", "user nils.novak@example.com"],
        "Super administrator",
    ),
    ("identity.api_token_created", &["user hana.haas@example.com"], "backup-sync"),
    (
        "baselines.user_signin",
        &["user hana.haas@example.com"],
        "Unusual for hana.haas@example.com: ",
    ),
    // Lateral movement.
    ("network.port_scan", &["ip 10.20.0.57", "ip 10.20.1.20"], "60 ports"),
    ("network.internal_sweep", &["ip 10.20.0.57"], "port 3389 on 60 hosts"),
    ("network.internal_sweep", &["ip 10.20.0.57"], "port 445 on 60 hosts"),
    ("network.internal_sweep", &["ip 10.20.0.57"], "port 22 on 60 hosts"),
    ("network.rejected_burst", &["ip 10.20.0.57"], "60 internal hosts"),
    ("endpoint.ssh_brute_force", &["ip 10.20.0.57", "device db-2"], "20 refused"),
    ("endpoint.ssh_brute_force", &["ip 10.20.0.57", "device app-3"], "20 refused"),
    ("endpoint.ssh_brute_force", &["ip 10.20.0.57", "device web-5"], "20 refused"),
    (
        "endpoint.ssh_success_after_failures",
        &["user deploy", "device app-3", "ip 10.20.0.57"],
        "as deploy",
    ),
    ("endpoint.ssh_root_login", &["device db-2", "ip 10.20.0.57"], "root signed in to db-2"),
    ("network.large_outbound", &["ip 10.20.0.57", "ip 192.0.2.66"], "6400000000 bytes"),
    // The leaked AWS key.
    ("cloud.access_denied_burst", &["user ci-deploy"], "30 refused calls"),
    (
        "cloud.access_key_created_for_other_user",
        &["user ci-deploy", "user svc-sync"],
        "for svc-sync",
    ),
    ("cloud.admin_policy_attached", &["user ci-deploy", "user svc-sync"], "AdministratorAccess"),
    ("cloud.audit_logging_disabled", &["user ci-deploy"], "StopLogging"),
    ("cloud.audit_logging_disabled", &["user ci-deploy"], "DeleteTrail"),
    ("cloud.secrets_enumeration", &["user svc-sync"], "24 different secrets"),
    ("cloud.bucket_made_public", &["user svc-sync"], "example-backups"),
    ("cloud.gpu_instances_launched", &["user svc-sync"], "p4d.24xlarge"),
];

/// Rules of what is new: with no history before the replay, everyday logs are new too.
const NEW_THINGS: &[&str] = &[
    "cloud.access_key_first_seen_address",
    "cloud.first_seen_region",
    "endpoint.ssh_first_seen_source",
    "identity.first_seen_country",
];

/// The demo, twice.
fn runs() -> &'static [Run; 2] {
    static RUNS: OnceLock<[Run; 2]> = OnceLock::new();
    RUNS.get_or_init(|| {
        let demo =
            || sluice(&["demo", "--once", "--start", "2026-01-01T00:00:00Z", "--output", "ndjson"]);
        thread::scope(|scope| {
            let other = scope.spawn(demo);
            [demo(), other.join().unwrap()]
        })
    })
}

fn entities(finding: &Value) -> Vec<String> {
    let entity = |e: &Value| {
        format!("{} {}", e["kind"].as_str().unwrap_or("?"), e["id"].as_str().unwrap_or("?"))
    };
    finding["entities"].as_array().unwrap().iter().map(entity).collect()
}

#[test]
fn finds_what_the_attackers_did() {
    let run = &runs()[0];
    assert_eq!(run.code, 0, "{}", run.stderr);
    let findings = run.rows();
    for (rule, who, title) in EXPECTED {
        let of_rule: Vec<&Value> = findings.iter().filter(|f| f["rule_id"] == *rule).collect();
        let found = of_rule
            .iter()
            .any(|f| entities(f) == *who && f["title"].as_str().is_some_and(|t| t.contains(title)));
        let seen: Vec<_> = of_rule.iter().map(|f| (entities(f), &f["title"])).collect();
        assert!(found, "{rule} on {who:?} with `{title}`; there is {seen:?}");
    }
}

#[test]
fn says_nothing_of_the_everyday_logs_around_them() {
    // Who attacks, whom they took over, and what they used.
    let involved = [
        "10.20.0.57",
        "192.0.2.44",
        "192.0.2.45",
        "ci-deploy",
        "hana.haas@example.com",
        "svc-sync",
    ];
    for finding in runs()[0].rows() {
        if NEW_THINGS.iter().any(|rule| finding["rule_id"] == *rule) {
            continue;
        }
        let who = entities(&finding);
        let known =
            who.iter().any(|e| e.split_once(' ').is_some_and(|(_, id)| involved.contains(&id)));
        assert!(known, "{} on {who:?}: {}", finding["rule_id"], finding["title"]);
    }
}

#[test]
fn every_finding_is_whole() {
    let findings = runs()[0].rows();
    let ids: BTreeSet<&str> = findings.iter().filter_map(|f| f["id"].as_str()).collect();
    assert_eq!(ids.len(), findings.len(), "an id stands for one finding");
    for finding in &findings {
        assert_eq!(finding["state"], "confirmed", "{finding}");
        assert!(!finding["entities"].as_array().unwrap().is_empty(), "{finding}");
        let evidence = finding["evidence"].as_array().unwrap();
        assert!(!evidence.is_empty(), "{finding}");
        for event in evidence {
            assert!(event["time"].is_string() && event["source"].is_string(), "{event}");
        }
    }
}

#[test]
fn twice_is_the_same() {
    let [one, other] = runs();
    // Which of several repeats stands out is an arrival mark, like `late`; so is how often one of a rule
    // over findings was told anew.
    let plain = |line: &str| {
        let mut finding: Value = serde_json::from_str(line).unwrap();
        let fields = finding.as_object_mut().unwrap();
        fields.retain(|name, _| !["suppressed", "folded_into", "repeats"].contains(&name.as_str()));
        if fields["rule_id"].as_str().unwrap().ends_with(".three_tactics_in_a_day") {
            fields.remove("revision");
        }
        finding.to_string()
    };
    let sorted = |run: &Run| {
        let mut lines: Vec<String> = run.stdout.lines().map(plain).collect();
        lines.sort();
        lines
    };
    for (a, b) in sorted(one).iter().zip(&sorted(other)) {
        assert_eq!(a, b);
    }
    assert_eq!(one.stdout.lines().count(), other.stdout.lines().count());
}

/// What a baseline says of a person adds to what rules say of them, and is named.
#[test]
fn a_baseline_is_among_the_reasons_of_a_climb() {
    let run = &runs()[0];
    let highest = run.stderr.lines().find(|l| l.contains("hana.haas@example.com  highest, "));
    let reason = highest.and_then(|l| l.split("baselines.user_signin (").nth(1));
    let points =
        reason.and_then(|r| r.split(['+', ',']).nth(1)).and_then(|p| p.parse::<f64>().ok());
    assert!(points.is_some_and(|points| points > 0.0), "{}", run.stderr);
}

#[test]
fn the_summary_is_on_stderr() {
    let run = &runs()[0];
    let findings = run.rows();
    let total = format!("{} findings by ", findings.len());
    let summary = run.stderr.lines().find(|l| l.contains(&total)).expect(&run.stderr);
    assert!(summary.contains(" events, ") && summary.contains("the first after "), "{summary}");
    for (rule, ..) in EXPECTED {
        let n = findings.iter().filter(|f| f["rule_id"] == *rule).count();
        let line = format!("{n:>6}  {rule}\n");
        assert!(run.stderr.contains(&line), "{line}{}", run.stderr);
    }
    assert!(!run.stderr.contains("do not add up"), "{}", run.stderr);
    assert!(!run.stderr.contains("set aside"), "{}", run.stderr);
}

/// Without `--once` it serves what it found, with the token it prints, until it is told to stop.
#[test]
fn serves_what_it_found_until_it_is_stopped() {
    let mut demo = Command::new(env!("CARGO_BIN_EXE_sluice"))
        .args(["demo", "--speed", "20000", "--listen", "127.0.0.1:0", "--output", "ndjson"])
        .args(["--start", "2026-01-01T00:00:00Z"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(demo.stderr.take().unwrap()).lines().map(Result::unwrap);
    let url = lines.find_map(|l| l.strip_prefix("API and docs: ").map(str::to_owned)).unwrap();
    let (address, token) = url.split_once("/api/v1/docs#token=").unwrap();
    lines.find(|l| l.starts_with("serving until ctrl-c")).unwrap();
    let get = |path: &str| {
        let bearer = format!("Bearer {token}");
        let mut answer =
            ureq::get(format!("{address}{path}")).header("Authorization", bearer).call().unwrap();
        answer.body_mut().read_to_string().unwrap()
    };
    let mut total = 0;
    for _ in 0..100 {
        let page: Value = serde_json::from_str(&get("/api/v1/findings?q=shadow:false")).unwrap();
        total = page["total"]["value"].as_u64().unwrap();
        if total >= EXPECTED.len() as u64 {
            break;
        }
        thread::sleep(Duration::from_millis(100));
    }
    assert!(total >= EXPECTED.len() as u64, "{total} findings");
    assert!(get("/api/v1/docs").contains("<script src="));
    let status: Value = serde_json::from_str(&get("/api/v1/status")).unwrap();
    assert_eq!(status["conservation_errors"], serde_json::json!([]));
    // Whom the attacked person is compared with, and what of the attack none of them does.
    let path = "/api/v1/entities/user/hana.haas@example.com/peers";
    let peers: Value = serde_json::from_str(&get(path)).unwrap();
    assert_eq!(peers["entity"], "user:hana.haas@example.com");
    let of = |id: &str| {
        let all = peers["baselines"].as_array().unwrap();
        all.iter().find(|b| b["baseline"] == id).unwrap_or_else(|| panic!("no {id} in {peers}"))
    };
    let signin = of("baselines.user_signin");
    let members = signin["group"]["members"].as_u64().unwrap_or(0);
    let organisation = signin["organisation"].as_u64().unwrap();
    assert!(5 <= members && members <= organisation && organisation >= 40, "{signin}");
    assert_eq!(signin["group"]["source"], "learned");
    for feature in signin["features"].as_array().unwrap() {
        let alike = feature["alike"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&alike), "{feature}");
        for value in feature["values"].as_array().unwrap() {
            for share in ["own", "peers", "organisation"] {
                assert!((0.0..=1.0).contains(&value[share].as_f64().unwrap()), "{value}");
            }
        }
    }
    Command::new("kill").args(["-INT", &demo.id().to_string()]).status().unwrap();
    assert!(demo.wait().unwrap().success());
}
