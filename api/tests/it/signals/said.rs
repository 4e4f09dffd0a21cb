//! What findings of a rule say through the real binary: a role that is granted is a token-claims-change (E6).

use super::*;

const RULE: &str = "/*---
id: said.role_granted
title: A role is granted
severity: low
status: stable
attack: [TA0004]
entity: {actor_user_entity: user, user_entity: user}
risk: 5
false_positives: [none]
runbook: Ask.
---*/
SELECT time, actor_user_entity, user_entity, target_role
FROM identity_change
WHERE change = 'role_assigned'
";

fn grant(service: &Service, id: u32) {
    let record = json!({
        "uuid": format!("grant-{id}"), "eventType": "user.account.privilege.grant",
        "published": sluice_event::rfc3339(crate::support::service::millis()),
        "actor": {"id": "00u1", "type": "User", "alternateId": "adm@example.com"},
        "outcome": {"result": "SUCCESS"},
        "target": [{"id": "00u2", "type": "User", "alternateId": "bob@example.com"}],
        "debugContext": {"debugData": {"privilegeGranted": "Super administrator"}},
    });
    let kind = "application/x-ndjson";
    service.ask("POST", "/api/v1/ingest/push", kind, &record.to_string()).is(202);
}

#[test]
fn e6_a_finding_says_what_its_rule_says_once_also_over_a_kill() {
    let receiver = Receiver::start();
    let says = "[signals.rules.\"said.role_granted\"]\nevent = \"token-claims-change\"\n\
                claims = [\"target_role\"]\nuser = \"user_entity\"\n";
    let home = home(&receiver, says);
    home.scratch.write("rules/said/role_granted.sql", RULE);
    let mut service = home.start();
    let jwks = jwks(&service);
    grant(&service, 1);
    service.wait_for("a SET", || receiver.accepted(&jwks).len() == 1);
    let set = receiver.accepted(&jwks).remove(0);
    assert_eq!(set.known, [EventType::TokenClaimsChange]);
    // Of who got the role, not of who gave it; no level changed by it.
    assert_eq!(set.claims["sub_id"], json!({"format": "email", "email": "bob@example.com"}));
    let event = &set.claims["events"][EventType::TokenClaimsChange.uri()];
    assert_eq!(event["claims"], json!({"target_role": "Super administrator"}));
    assert_eq!(event["reason_admin"], json!({"en": "said.role_granted"}));
    let risk = service.get("/api/v1/risk/user/bob@example.com").is(200).json();
    assert_eq!(risk["level"], "low");

    service.signal("-KILL");
    drop(service);
    service = home.start();
    grant(&service, 2);
    service.wait_for("another", || receiver.accepted(&jwks).len() == 2);
    thread::sleep(Duration::from_secs(2));
    let ids: std::collections::BTreeSet<String> =
        receiver.accepted(&jwks).iter().map(|s| s.claims["jti"].to_string()).collect();
    assert_eq!((ids.len(), receiver.accepted(&jwks).len()), (2, 2));
    service.stop();
}

#[test]
fn e5_a_rule_that_cannot_say_what_it_should_is_refused() {
    for (rule, problem) in [
        ("event = \"risk-level-change\"", "a rule cannot say"),
        ("event = \"credential-change\"\ncredential_type = \"app\"", "`change_type` is missing"),
        ("event = \"credential-compromise\"\ncredential_type = \"key\"", "credential_type"),
        ("event = \"token-claims-change\"", "`claims` is missing"),
    ] {
        let says = format!("[signals.rules.\"said.role_granted\"]\n{rule}\n");
        let home = home(&Receiver::start(), &says);
        let run = crate::support::sluice(&["config", "check", "--config", &home.config]);
        assert_ne!(run.code, 0, "{rule}");
        let said = format!("{}{}", run.stdout, run.stderr);
        assert!(said.contains(problem), "{rule}: {said}");
    }
}
