//! A mute through the real binary (H4): findings, risk and gateways as ever, receivers told of nothing until it ends.

use super::*;

const RULE: &str = "/*---
id: mute.many_denials
title: Many refused pushes
severity: high
status: stable
attack: [TA0006]
entity: {user_entity: user}
risk: 80
false_positives: [none]
runbook: Ask.
---*/
SELECT user_entity, count(*) AS denials
FROM authentication
WHERE failure_reason = 'mfa_denied'
  AND user_entity IS NOT NULL
GROUP BY user_entity, sliding(time, INTERVAL '10 minutes')
HAVING count(*) >= 3
";

fn attack(service: &Service, user: &str) {
    for n in 0..3 {
        let record = json!({
            "uuid": format!("mute-{user}-{n}"), "eventType": "user.mfa.okta_verify.deny_push",
            "published": sluice_event::rfc3339(crate::support::service::millis()),
            "actor": {"id": "00u1", "type": "User", "alternateId": user},
            "outcome": {"result": "SUCCESS"},
        });
        let kind = "application/x-ndjson";
        service.ask("POST", "/api/v1/ingest/push", kind, &record.to_string()).is(202);
    }
}

fn level(service: &Service, user: &str) -> Value {
    service.get(&format!("/api/v1/risk/user/{user}")).is(200).json()["level"].clone()
}

#[test]
fn h4_a_mute_keeps_signals_back_and_nothing_else() {
    let receiver = Receiver::start();
    let home = home(&receiver, "");
    home.scratch.write("rules/mute/many_denials.sql", RULE);
    let mut service = home.start();
    let jwks = jwks(&service);
    let planned = json!({
        "purpose": "pentest", "entities": ["user:Red@Example.com"], "reason": "red team, week 2",
        "expires_in": "8h",
    });
    let made = service.post("/api/v1/signals/mutes", &planned).is(201).json();
    assert_eq!(
        (&made["entities"], &made["active"]),
        (&json!(["user:red@example.com"]), &json!(true))
    );
    let id = made["id"].as_str().unwrap().to_owned();

    attack(&service, "red@example.com");
    attack(&service, "bob@example.com");
    service.wait_for("both levels", || {
        ["red@example.com", "bob@example.com"].iter().all(|user| level(&service, user) == "high")
    });
    service.wait_for("bob told", || receiver.accepted(&jwks).len() == 1);
    service.signal("-KILL");
    drop(service);
    let viewer = home.token("viewer");
    service = home.start();
    // Findings are what they are.
    service.wait_for("both findings", || service.total("rule_id:mute.many_denials") == Some(2));
    assert_eq!(service.gate("/ext_authz/app", "red@example.com").status, 403);
    let told = |service: &Service| {
        let overview = service.get("/api/v1/signals").is(200).json();
        let streams = overview["streams"].as_array().unwrap().clone();
        streams.into_iter().find(|s| s["receiver"] == "idp").unwrap()
    };
    let stream = told(&service);
    assert_eq!(stream["muted"], 1);
    let path = format!("/api/v1/signals/{}/preview", stream["id"].as_str().unwrap());
    let preview = service.get(&path).is(200).json();
    assert_eq!((&preview["muted"], &preview["delivered"]), (&json!(1), &json!(1)));
    let items = preview["items"].as_array().unwrap();
    let kept = items.iter().find(|item| item["action"] == "muted").unwrap();
    assert_eq!(kept["detail"], "pentest: red team, week 2");
    let listed = service.get("/api/v1/signals/mutes").is(200).json();
    assert_eq!(listed["items"][0]["muted"], 1);
    let heard = receiver.accepted(&jwks);
    assert!(
        heard.iter().all(|set| !set.claims["sub_id"].to_string().contains("red@")),
        "{heard:?}"
    );

    // Its end tells what goes on, with the id that it would have had.
    let end = format!("/api/v1/signals/mutes/{id}?reason=done");
    service.with_token(&viewer, "DELETE", &end, "text/plain", "").is(403);
    service.ask("DELETE", &end, "text/plain", "").is(200);
    service.wait_for("red told", || {
        let heard = receiver.accepted(&jwks);
        heard.iter().any(|set| set.claims["jti"] == kept["jti"])
    });
    assert_eq!(told(&service)["muted"], 0);
    service.ask("DELETE", &end, "text/plain", "").is(404);
    for wrong in [
        json!({"purpose": "lunch", "entities": ["user:x"], "reason": "r", "expires_in": "1h"}),
        json!({"purpose": "pentest", "entities": [], "reason": "r", "expires_in": "1h"}),
        json!({"purpose": "pentest", "entities": ["x"], "reason": "r", "expires_in": "1h"}),
        json!({"purpose": "pentest", "entities": ["user:x"], "reason": "r", "expires_in": "91d"}),
        json!({"purpose": "pentest", "entities": ["user:x"], "receivers": ["no"], "reason": "r",
            "expires_in": "1h"}),
    ] {
        service.post("/api/v1/signals/mutes", &wrong).is(422);
    }

    // One name has a hundred of the thousand that there may be.
    let another = |n: usize| {
        let planned = json!({"purpose": "maintenance", "entities": [format!("user:{n}")],
            "reason": "r", "expires_in": "1h"});
        service.post("/api/v1/signals/mutes", &planned)
    };
    for n in 0..100 {
        another(n).is(201);
    }
    assert_eq!(another(100).is(409).json()["code"], "conflict");
    service.stop();
}
