//! A quarantine through the real binary: gateways deny, receivers hear of it, events prove it, it outlives
//! `kill -9` and ends by itself.

use super::*;

fn path(kind: &str, id: &str) -> String {
    format!("/api/v1/risk/{kind}/{id}/quarantine")
}

fn begin(service: &Service, kind: &str, id: &str, expires_in: &str) -> Value {
    let body = json!({"reason": "ransomware", "expires_in": expires_in}).to_string();
    service.ask("PUT", &path(kind, id), "application/json", &body).is(200).json()
}

/// A sign-in as Okta logs it, now.
fn sign_in(service: &Service, number: u32, user: &str, outcome: &str) {
    let published = sluice_event::rfc3339(crate::support::service::millis());
    let record = json!({
        "uuid": format!("q-{number}"), "published": published, "eventType": "user.session.start",
        "actor": {"id": "00u1", "type": "User", "alternateId": user, "displayName": user},
        "client": {"ipAddress": "203.0.113.9"}, "outcome": {"result": outcome},
    });
    let kind = "application/x-ndjson";
    service.ask("POST", "/api/v1/ingest/push", kind, &record.to_string()).is(202);
}

fn proof(service: &Service, user: &str) -> Value {
    service.get(&path("user", user)).is(200).json()["proof"].clone()
}

#[test]
fn q_a_quarantine_denies_is_told_proven_and_released_over_kills() {
    let receiver = Receiver::start();
    let open = "[signals.decisions.rules.\"/public\"]\nmedium = \"allow\"\nhigh = \"allow\"\n";
    let home = home(&receiver, open);
    let mut service = home.start();
    let jwks = jwks(&service);
    let ann = "ann@example.com";
    sign_in(&service, 1, ann, "SUCCESS");
    assert_eq!(service.gate("/ext_authz/public/x", ann).status, 200);

    let begun = begin(&service, "user", "Ann@Example.com", "8h");
    assert_eq!(
        (&begun["entity"], &begun["level"]),
        (&json!("user:ann@example.com"), &json!("high"))
    );
    assert_eq!(begun["quarantine"]["state"], "quarantined");
    service.signal("-KILL");
    drop(service);
    service = home.start();

    // Everywhere, also where the rules let `high` in, and by every way of asking.
    for gate in ["/ext_authz/public/x", "/ext_authz/app"] {
        let answer = service.gate(gate, ann);
        assert_eq!(answer.status, 403, "{gate}: {}", answer.text);
    }
    assert_eq!(service.gate("/forward_auth", ann).status, 403);
    assert_eq!(service.gate("/ext_authz/public/x", "bob@example.com").status, 200);
    let asked = json!({
        "subject": {"type": "user", "id": ann}, "action": {"name": "read"},
        "resource": {"type": "page", "id": "/public/x"},
    });
    let kind = "application/json";
    let answer = service.ask("POST", "/access/v1/evaluation", kind, &asked.to_string());
    let answer = answer.is(200).json();
    assert_eq!(answer["decision"], false);
    assert_eq!(answer["context"]["reason"], "user is quarantined");
    assert!(answer["context"]["quarantined_until"].is_string(), "{answer}");
    let risk = service.get("/api/v1/risk/user/ann@example.com").is(200).json();
    assert_eq!(
        (&risk["level"], &risk["quarantine"]["by"]),
        (&json!("high"), &begun["quarantine"]["by"])
    );
    let listed = service.get("/api/v1/quarantines").is(200).json();
    assert_eq!((&listed["total"], &listed["items"][0]["entity"]), (&json!(1), &begun["entity"]));

    // The receiver hears of level and sessions of one cause.
    // An answer that went with the process brings the same SET again.
    let heard = || {
        let by_id = |set: VerifiedSet| (set.claims["jti"].as_str().unwrap().to_owned(), set);
        receiver.accepted(&jwks).into_iter().map(by_id).collect::<BTreeMap<_, _>>()
    };
    service.wait_for("two SETs", || heard().len() == 2);
    let both: Vec<VerifiedSet> = heard().into_values().collect();
    assert_eq!(both[0].claims["txn"], both[1].claims["txn"]);
    assert!(both.iter().any(|s| s.known == [EventType::SessionRevoked]), "{both:?}");

    // The proof: an access that was refused, then one that got through, which is said.
    sign_in(&service, 2, ann, "FAILURE");
    service.wait_for("a refused access", || proof(&service, ann)["refused"] == 1);
    let before = proof(&service, ann);
    // The process began after the quarantine: what it has not seen it does not vouch for.
    assert_eq!((&before["allowed"], &before["stopped"]), (&json!(0), &Value::Null), "{before}");
    sign_in(&service, 3, ann, "SUCCESS");
    service.wait_for("an allowed access", || proof(&service, ann)["allowed"] == 1);
    assert_eq!(proof(&service, ann)["stopped"], false);
    let denied = || {
        let shown = service.get(&path("user", ann)).is(200).json();
        shown["quarantine"]["denied"].as_u64().unwrap()
    };
    service.wait_for("denials counted", || denied() == 4);

    // Released, with the proof kept; let in again, and told.
    let kept = format!("{}?reason=reinstalled", path("user", ann));
    let after = service.ask("DELETE", &kept, "text/plain", "").is(200).json();
    assert_eq!(after["level"], "low");
    assert_eq!(after["quarantine"]["release"]["proof"]["allowed"], 1);
    service.ask("DELETE", &kept, "text/plain", "").is(404);
    assert_eq!(service.gate("/ext_authz/app", ann).status, 200);
    service.wait_for("LOW", || heard().len() == 3);
    assert!(heard().values().any(|set| levels(set) == ("LOW".into(), "HIGH".into())));

    // Who did it: in the history, and in the audit log.
    let history = service.get("/api/v1/signals/history?about=user:ann@example.com&limit=500");
    let history = history.is(200).text;
    assert!(history.contains("\"quarantined\"") && history.contains("\"released\""), "{history}");
    let audit = service.get("/api/v1/audit?limit=100").is(200).text;
    assert!(audit.contains("/api/v1/risk/{kind}/{id}/quarantine"), "{audit}");
    service.stop();
}

#[test]
fn q_a_device_is_told_both_ways_and_expiry_needs_no_event() {
    let receiver = Receiver::start();
    let home = home(&receiver, "");
    let service = home.start();
    let jwks = jwks(&service);
    begin(&service, "device", "lap-7", "2s");
    let metrics = service.get("/metrics").is(200).text;
    assert!(metrics.contains("sluice_quarantined{kind=\"device\"} 1"), "{metrics}");
    service.wait_for("four SETs", || receiver.accepted(&jwks).len() == 4);
    let heard = receiver.accepted(&jwks);
    let uri = EventType::DeviceComplianceChange.uri();
    let statuses: Vec<&Value> = heard
        .iter()
        .filter_map(|set| set.claims["events"].get(&uri))
        .map(|event| &event["current_status"])
        .collect();
    assert_eq!(statuses, ["not-compliant", "compliant"]);
    let shown = service.get(&path("device", "lap-7")).is(200).json();
    assert_eq!(shown["quarantine"]["state"], "released");
    assert_eq!(shown["quarantine"]["release"]["by"], Value::Null);
    assert_eq!(shown["quarantine"]["release"]["proof"]["stopped"], true, "{shown}");
    assert_eq!(shown["level"], "low");
    service.stop();
}

#[test]
fn h9_q_reason_and_expiry_are_needed_and_the_right_to_send() {
    let receiver = Receiver::start();
    let home = home(&receiver, "");
    let roles = ["viewer", "analyst", "auditor", "rule_author", "responder"];
    let tokens = roles.map(|role| (role, home.token(role)));
    let service = home.start();
    let put = |token: &str, path: &str, body: Value| {
        service.with_token(token, "PUT", path, "application/json", &body.to_string())
    };
    let admin = service.token.clone();
    for what in ["quarantine", "override"] {
        let path = format!("/api/v1/risk/user/ann@example.com/{what}");
        let good = match what {
            "override" => json!({"level": "high", "reason": "r", "expires_in": "1h"}),
            _ => json!({"reason": "r", "expires_in": "1h"}),
        };
        for (member, value) in [
            ("reason", json!("")),
            ("reason", Value::Null),
            ("expires_in", json!("0s")),
            ("expires_in", json!("91d")),
            ("expires_in", json!("for ever")),
            ("expires_in", Value::Null),
        ] {
            let mut body = good.clone();
            match value.is_null() {
                true => drop(body.as_object_mut().unwrap().remove(member)),
                false => body[member] = value.clone(),
            }
            let answer = put(&admin, &path, body);
            assert!(
                (400..=422).contains(&answer.status),
                "{what} {member} {value}: {}",
                answer.text
            );
        }
        for (role, token) in &tokens {
            let status = if *role == "responder" { 200 } else { 403 };
            put(token, &path, good.clone()).is(status);
        }
        service.ask("DELETE", &path, "text/plain", "").is(400);
    }
    let path = "/api/v1/risk/ip/192.0.2.1/quarantine";
    put(&admin, path, json!({"reason": "r", "expires_in": "1h"})).is(422);
    let path = "/api/v1/risk/user/ann@example.com/quarantine";
    let softer = json!({"reason": "r", "expires_in": "1h", "state": "suspected"});
    assert!(put(&admin, path, softer).is(422).text.contains("release it"));
    let over = json!({"reason": "r", "expires_in": "1h", "state": "released"});
    put(&admin, path, over).is(422);
    service.stop();
}

#[test]
fn q_the_command_line_sets_lists_and_releases() {
    let receiver = Receiver::start();
    let home = home(&receiver, "");
    let service = home.start();
    let run = |arguments: &[&str]| {
        let all = [&["quarantine"], arguments, &["--url", service.url.as_str()]].concat();
        crate::support::sluice_as(&all, &[("SLUICE_TOKEN", &service.token)], b"")
    };
    // A name with what a path cannot have.
    let begun = ["set", "device", "lap/7 b", "--reason", "ransomware", "--for", "8h"];
    let begun = run(&begun).exits(0).stdout;
    let begun: Value = serde_json::from_str(&begun).unwrap();
    assert_eq!((&begun["entity"], &begun["level"]), (&json!("device:lap/7 b"), &json!("high")));
    run(&["set", "user", "ann@example.com", "--reason", "odd", "--for", "2h", "--suspect"])
        .exits(0);
    let shown = run(&["list", "--output", "table"]).exits(0);
    shown.prints(&["ENTITY", "device:lap/7 b", "quarantined", "ransomware", "suspected", "odd"]);
    let listed = run(&["list", "--state", "suspected", "--output", "ndjson"]).exits(0).stdout;
    assert_eq!(listed.lines().count(), 1, "{listed}");
    assert!(listed.contains("user:ann@example.com"), "{listed}");

    let released = run(&["release", "device", "lap/7 b", "--reason", "reinstalled"]).exits(0);
    let released: Value = serde_json::from_str(&released.stdout).unwrap();
    assert_eq!(released["quarantine"]["state"], "released");
    assert_eq!(released["quarantine"]["release"]["reason"], "reinstalled");
    run(&["release", "device", "lap/7 b", "--reason", "again"]).exits(3).says(&["quarantine"]);
    run(&["set", "ip", "10.0.0.1", "--reason", "x", "--for", "1h"])
        .exits(3)
        .says(&["a user or a device"]);
    run(&["set", "user", "bob", "--reason", "x", "--for", "100d"]).exits(3).says(&["expires_in"]);
    service.stop();
}
