//! Fills a store with synthetic findings, 100,000 or as many as the second argument says, so that search
//! and the web UI can be measured over it: `cargo run -p sluice-engine --example fill -- DATA_DIR 1000000`,
//! while no service runs on that directory. Not a measurement itself.

#![expect(clippy::print_stdout, reason = "a tool for measuring, not the engine")]

use std::{error::Error, path::PathBuf, time::Instant};

use serde_json::{Map, json};
use sluice_engine::{
    Commit, FindingSink, Reported,
    durable::{FindingStore, Retention},
};
use sluice_event::EntityKind;
use sluice_finding::{Entity, Finding, FindingId, FindingState};
use sluice_rule::Severity;

/// Findings of one commit.
const CHUNK: u64 = 1_000;
/// They are spread over so many milliseconds before now.
const SPAN: u64 = 90 * 86_400_000;
const USERS: u64 = 5_000;

const RULES: [(&str, &str, [&str; 2], Severity); 6] = [
    ("identity.mfa_fatigue", "Push spray", ["TA0006", "T1621"], Severity::High),
    ("identity.first_seen_country", "Sign-in from afar", ["TA0001", "T1078"], Severity::Low),
    ("cloud.access_key", "Access key elsewhere", ["TA0006", "T1078.004"], Severity::Medium),
    ("network.beacon", "Regular connections", ["TA0011", "T1071"], Severity::Medium),
    ("network.port_scan", "Many ports", ["TA0007", "T1046"], Severity::Informational),
    ("identity.password_spray", "One password for many", ["TA0006", "T1110.003"], Severity::Low),
];

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let dir = PathBuf::from(arguments.next().ok_or("usage: fill DATA_DIR [FINDINGS]")?);
    let findings: u64 = arguments.next().map_or(Ok(100_000), |text| text.parse())?;
    let store = FindingStore::open(&dir.join("store"), Retention::default())?;
    let (started, now) = (instant(), store.now());
    let mut made = 0;
    while made < findings {
        let end = findings.min(made + CHUNK);
        let chunk = (made..end).map(|n| Reported::from(finding(n, now))).collect();
        store.sink().commit(Commit { findings: chunk, ..Commit::default() })?;
        made = end;
    }
    let took = started.elapsed().as_secs_f64();
    println!("{findings} findings in {took:.0} s, {:.0} a second", findings as f64 / took);
    Ok(())
}

/// The same for each number: about 2 kB with five events of evidence.
fn finding(n: u64, now: i64) -> Finding {
    let mut state = n;
    let mut below = |limit: u64| {
        // SplitMix64.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    };
    let (rule, title, attack, severity) = RULES[below(RULES.len() as u64) as usize];
    let email = format!("user{}@example.com", below(USERS));
    let address = format!("203.0.113.{}", below(256));
    let time = now - below(SPAN) as i64;
    let denied = 1 + below(40);
    let fields = json!({"user_entity": email, "src_ip": address, "denied": denied});
    let evidence = (0..5).map(|event| {
        let time = sluice_event::rfc3339(time - event);
        let event = json!({
            "time": time, "user_entity": email, "src_ip": address, "src_port": 1_024 + below(60_000),
            "event_uid": format!("{:032x}", below(u64::MAX)), "activity": "Logon", "status": "Failure",
            "failure_reason": "mfa_denied", "app_name": "VPN gateway",
        });
        event.to_string().into()
    });
    let evidence = evidence.collect();
    Finding {
        id: FindingId::derive("default", rule, &n.to_be_bytes()),
        rule_id: rule.into(),
        rule_version: "0123456789ab".into(),
        title: format!("{title} of {email} from {address}"),
        severity,
        time,
        state: FindingState::Confirmed,
        revision: 1,
        entities: vec![Entity { kind: EntityKind::User, id: email }],
        attack: attack.map(str::to_owned).to_vec().into(),
        risk: severity.risk(),
        shadow: false,
        suppression: None,
        fields: fields.as_object().cloned().unwrap_or_else(Map::new),
        window: None,
        count: denied,
        late: false,
        capped: false,
        capped_by: Vec::new(),
        time_flags: sluice_event::TimeFlags::NONE,
        contested: false,
        evidence,
        evidence_total: 5,
    }
}

#[expect(clippy::disallowed_methods, reason = "measuring is what this program is for")]
fn instant() -> Instant {
    Instant::now()
}
