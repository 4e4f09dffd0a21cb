//! What a search takes, over synthetic findings: 100,000, or as many as the argument says.
//! `cargo run --release -p sluice-index --example search -- 1000000`; see `bench/README.md`.

#![expect(clippy::print_stdout, reason = "a measurement, not the index")]

use std::{
    error::Error,
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Map, json};
use sluice_event::EntityKind;
use sluice_finding::{Entity, Finding, FindingId, FindingState, Triage};
use sluice_index::{Facet, FindingIndex, IndexSettings, SearchRequest};
use sluice_rule::Severity;

/// 2026-03-01T12:00:00Z.
const NOW: i64 = 1_772_366_400_000;
const DAY: i64 = 86_400_000;
/// Findings of a call of `apply`.
const CHUNK: u64 = 1_000;
/// Times each query is asked, with another user, address or place each time.
const REPEATS: u64 = 50;
const USERS: u64 = 5_000;

const RULES: [(&str, &str, &str, Severity); 6] = [
    ("identity.mfa_fatigue", "Push spray against one user", "T1621", Severity::High),
    (
        "identity.first_seen_country",
        "Sign-in from a country not seen before",
        "T1078",
        Severity::Low,
    ),
    (
        "cloud.access_key",
        "Access key used from a first-seen address",
        "T1078.004",
        Severity::Medium,
    ),
    ("network.beacon", "Regular connections to a rare host", "T1071", Severity::Medium),
    ("network.port_scan", "Many ports of one host", "T1046", Severity::Informational),
    ("identity.password_spray", "One password against many users", "T1110.003", Severity::Critical),
];

fn main() -> Result<(), Box<dyn Error>> {
    let findings: u64 = match std::env::args().nth(1) {
        Some(text) => text.parse()?,
        None => 100_000,
    };
    let dir = tempfile::tempdir()?;
    let index = FindingIndex::open(dir.path(), IndexSettings::default())?;
    let mut random = StdRng::seed_from_u64(1);
    let triage = Triage::default();
    let start = now();
    let mut made = 0;
    while made < findings {
        let chunk: Vec<_> =
            (made..findings.min(made + CHUNK)).map(|n| finding(n, &mut random)).collect();
        made += chunk.len() as u64;
        let changed: Vec<_> = chunk.iter().map(|f| (f, &triage)).collect();
        index.apply(&changed, &[], made)?;
    }
    index.commit()?;
    let took = start.elapsed();
    println!(
        "{findings} findings in {:.1} s, {:.0} a second, {:.0} MB on disk",
        took.as_secs_f64(),
        findings as f64 / took.as_secs_f64(),
        bytes(dir.path())? as f64 / 1e6
    );
    resident("indexed")?;

    println!("{:<44} {:>9} {:>9} {:>9} {:>10}", "query", "p50 ms", "p99 ms", "max ms", "found");
    let facets = Facet::ALL.to_vec();
    let plain = SearchRequest::new("", NOW);
    let with = |query: &str| SearchRequest { query: query.to_owned(), ..plain.clone() };
    let mut every = Vec::new();
    for (name, request) in [
        ("everything", with("")),
        ("everything, all facets", SearchRequest { facets: facets.clone(), ..plain.clone() }),
        ("bare word", with("spray")),
        ("address, whole", with("203.0.113.USER")),
        ("e-mail, whole", with("userUSER@example.com")),
        ("phrase", with("\"rare host\"")),
        ("prefix", with("user1*")),
        ("entity", with("user:userUSER@example.com")),
        ("field and range", with("severity:>=high risk:>50 -status:resolved")),
        ("field, all facets", SearchRequest { facets, ..with("severity:high") }),
        ("last day", with("time:>now-24h")),
        ("column range", with("fields.denied:[10 TO 12]")),
        ("OR of words", with("spray OR beacon OR key OR password")),
    ] {
        let mut times = Vec::new();
        let mut found = 0;
        for n in 0..REPEATS {
            let number = (n * 97 % 250).to_string();
            let request =
                SearchRequest { query: request.query.replace("USER", &number), ..request.clone() };
            let start = now();
            found = index.search(&request)?.total;
            times.push(start.elapsed());
        }
        report(name, &mut times, found);
        every.extend(times);
    }
    let mut times = Vec::new();
    let mut request = SearchRequest { limit: SearchRequest::MAX_LIMIT, ..plain.clone() };
    for _ in 0..REPEATS {
        let start = now();
        let page = index.search(&request)?;
        times.push(start.elapsed());
        request.after = page.next;
    }
    report("everything, page after page of 500", &mut times, REPEATS * 500);
    every.extend(times);
    let asked = every.len() as u64;
    report("all of these", &mut every, asked);
    resident("searched")?;
    large(&index, &with)
}

/// Queries as large as they may be: how long an answer or its refusal takes.
fn large(index: &FindingIndex, with: &dyn Fn(&str) -> SearchRequest) -> Result<(), Box<dyn Error>> {
    let each = |part: &dyn Fn(u32) -> String, between: &str| {
        (0..64).map(part).collect::<Vec<_>>().join(between)
    };
    for (name, query) in [
        ("64 beginnings of 39,000 words each", each(&|n| format!("{n:02x}*"), " OR ")),
        ("64 phrases, all of them", each(&|_| "\"example com vpn gateway\"".to_owned(), " ")),
        ("64 phrases, none of them", each(&|n| format!("-\"com status u{n}\""), " ")),
        ("64 phrases with 1,000 endings", each(&|n| format!("\"com {n:02x}\"*"), " OR ")),
        ("64 ranges", each(&|n| format!("fields.denied:>{}", n % 9), " ")),
        ("a phrase of 32 words", format!("\"{}\"", "vpn gateway ".repeat(16))),
    ] {
        let start = now();
        let answer = index.search(&with(&query));
        let took = start.elapsed().as_secs_f64() * 1e3;
        match answer {
            Ok(page) => println!("{name:<44} {took:>9.0} ms, {} found", page.total),
            Err(error) => println!("{name:<44} {took:>9.0} ms, {error}"),
        }
    }
    Ok(())
}

/// What the process holds, that of files, which the system may take back, apart.
fn resident(when: &str) -> Result<(), Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let of = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().nth(1)?.parse::<f64>().ok().map(|kib| kib * 1_024.0 / 1e6)
    };
    let [own, files] = ["RssAnon", "RssFile"].map(|name| of(name).unwrap_or_default());
    println!("{when}: {own:.0} MB of memory, {files:.0} MB of files in it");
    Ok(())
}

fn report(name: &str, times: &mut [Duration], found: u64) {
    times.sort_unstable();
    let at = |share: f64| {
        let place = (times.len() as f64 * share) as usize;
        times.get(place.min(times.len().saturating_sub(1))).map_or(0.0, |t| t.as_secs_f64() * 1e3)
    };
    println!("{name:<44} {:>9.2} {:>9.2} {:>9.2} {found:>10}", at(0.5), at(0.99), at(1.0));
}

/// About 3 kB of text: ten events of evidence.
fn finding(n: u64, random: &mut StdRng) -> Finding {
    let pick = random.random_range(0..RULES.len());
    let (rule, title, technique, severity) = RULES[pick];
    let user = random.random_range(0..USERS);
    let address = format!("203.0.{}.{}", random.random_range(0..255), random.random_range(0..255));
    let denied: u64 = random.random_range(1..40);
    let email = format!("user{user}@example.com");
    let mut fields = Map::new();
    fields.insert("user_name".to_owned(), json!(email));
    fields.insert("src_ip".to_owned(), json!(address));
    fields.insert("denied".to_owned(), json!(denied));
    let evidence = (0..10)
        .map(|event| {
            json!({
                "time": NOW - event, "user": { "name": email, "uid": format!("00u{user:017}") },
                "src_endpoint": { "ip": address, "port": random.random_range(1_024..65_535) },
                "metadata": { "uid": format!("{:032x}", random.random::<u128>()) },
                "activity_name": "Logon", "status": "Failure", "app": { "name": "VPN Gateway" },
            })
            .to_string()
            .into()
        })
        .collect();
    Finding {
        id: FindingId::derive("default", rule, &n.to_be_bytes()),
        rule_id: rule.into(),
        rule_version: "0123456789ab".into(),
        title: title.to_owned(),
        severity,
        time: NOW - random.random_range(0..90 * DAY),
        state: if n.is_multiple_of(50) { FindingState::Withdrawn } else { FindingState::Confirmed },
        revision: 1,
        entities: vec![Entity { kind: EntityKind::User, id: email }],
        attack: vec![technique.to_owned()].into(),
        risk: severity.risk(),
        shadow: false,
        suppression: None,
        fields,
        window: None,
        count: denied,
        late: false,
        capped: false,
        capped_by: Vec::new(),
        time_flags: sluice_event::TimeFlags::NONE,
        contested: false,
        evidence,
        evidence_total: 10,
    }
}

fn bytes(dir: &std::path::Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir)? {
        bytes += entry?.metadata()?.len();
    }
    Ok(bytes)
}

#[expect(clippy::disallowed_methods, reason = "measuring is what this program is for")]
fn now() -> Instant {
    Instant::now()
}
