//! A1 and A2: the forms that Okta and Cloudflare Access document, recorded here by hand. Not tested against the
//! vendors.

use serde_json::{Value, json};
use sluice_event::EntityKind;
use sluice_signal::{
    Dialect, EntityKey, EventType, Level, Observation, Profile, SigningKeys, SubjectId,
    cloudflare::{self, AskError},
    jws::{self, Algorithm},
    transmitter::Settings,
};

use crate::support::{
    Bench, ISSUER, KEY_ONE, KEY_TWO, MINUTE, START, http, keys, push_profile, settings,
};

fn okta() -> Profile {
    Profile {
        dialect: Dialect::Okta,
        audience: vec!["https://example.okta.com".into()],
        revoke_sessions: true,
        ..push_profile("okta")
    }
}

/// Claims of everything that is pushed, each accepted with the status that a public client of Okta saw.
fn pushed(bench: &mut Bench) -> Vec<Value> {
    let id = bench.push_stream();
    let mut all = Vec::new();
    while let Some(attempt) = bench.transmitter.next_push(&id, bench.now).unwrap() {
        bench.commit();
        let jwks = bench.transmitter.keys().jwks();
        let set = jws::verify(&attempt.token, &jwks, &[Algorithm::Rs256], &["secevent+jwt"]);
        all.push(Value::Object(set.unwrap().claims));
        bench.answer(&attempt, &http(204));
    }
    all
}

fn observe(bench: &mut Bench, kind: EntityKind, id: &str, level: Level) {
    let seen = Observation {
        level,
        score: Some(82.0),
        at: bench.now,
        reasons: vec!["identity.mfa_fatigue".into()],
    };
    bench.transmitter.observe(&EntityKey { kind, id: id.to_owned() }, seen, bench.now);
    bench.commit();
}

#[test]
fn a1_okta_hears_of_users_and_devices_in_its_own_form() {
    let mut bench = Bench::new(vec![okta()]);
    observe(&mut bench, EntityKind::User, "ann@example.com", Level::High);
    observe(&mut bench, EntityKind::Device, "lap-7", Level::Medium);
    // It has no form for these.
    observe(&mut bench, EntityKind::Ip, "192.0.2.1", Level::High);
    observe(&mut bench, EntityKind::Session, "s1", Level::High);
    let mut sets = pushed(&mut bench);
    for set in &mut sets {
        let jti = set.as_object_mut().unwrap().remove("jti").unwrap();
        assert!(jti.as_str().is_some_and(|jti| !jti.is_empty()));
    }
    let common = |event: Value| {
        let mut event = event;
        event["event_timestamp"] = json!(START / 1000);
        event["initiating_entity"] = json!("policy");
        event["reason_admin"] = json!({"en": "identity.mfa_fatigue"});
        event
    };
    let set = |uri: &str, event: Value| {
        json!({"iss": ISSUER, "aud": "https://example.okta.com", "iat": START / 1000,
            "events": {uri: common(event)}})
    };
    let user = json!({"user": {"format": "email", "email": "ann@example.com"}});
    let device = json!({"device": {"format": "iss_sub", "iss": ISSUER, "sub": "lap-7"}});
    assert_eq!(
        sets,
        [
            set(
                "https://schemas.okta.com/secevent/okta/event-type/user-risk-change",
                json!({"subject": user, "current_level": "high", "previous_level": "low"}),
            ),
            set(
                "https://schemas.openid.net/secevent/caep/event-type/session-revoked",
                json!({"subject": user}),
            ),
            set(
                "https://schemas.okta.com/secevent/okta/event-type/device-risk-change",
                json!({"subject": device, "current_level": "medium", "previous_level": "low"}),
            ),
        ]
    );
    // The fall is told: access is given back only after it.
    bench.now += 10 * MINUTE;
    observe(&mut bench, EntityKind::User, "ann@example.com", Level::Low);
    let fall = pushed(&mut bench).remove(0);
    let event = fall["events"].as_object().unwrap().values().next().unwrap();
    assert_eq!(
        (&event["current_level"], &event["previous_level"]),
        (&json!("low"), &json!("high"))
    );
    assert!(bench.transmitter.totals().nonconformant >= 4, "204 is taken and counted");
}

#[test]
fn a1_what_okta_has_no_form_for_is_not_sent() {
    let settings = Settings { keepalive: MINUTE, ..settings() };
    let mut bench = Bench::with(settings, vec![okta()]);
    let id = bench.push_stream();
    let stream = bench.transmitter.streams().next().unwrap().clone();
    let delivered = bench.transmitter.delivered(&stream);
    let known =
        [EventType::RiskLevelChange, EventType::SessionRevoked, EventType::DeviceComplianceChange];
    assert_eq!(delivered, known);
    let subject = SubjectId::parse(&json!({"format": "email", "email": "t@example.com"})).unwrap();
    for event_type in EventType::offered() {
        let sent =
            bench.transmitter.send_event(&id, event_type, subject.clone(), None, "ann", START);
        assert_eq!(sent.is_ok(), known.contains(&event_type), "{}", event_type.name());
    }
    bench.commit();
    // H7: each that is delivered can be tested.
    assert_eq!(pushed(&mut bench).len(), 3);
    for _ in 0..5 {
        bench.now += 2 * MINUTE;
        let now = bench.now;
        bench.transmitter.tick(now);
        bench.commit();
    }
    assert_eq!(
        pushed(&mut bench),
        [] as [Value; 0],
        "no verification of a stream that it does not know"
    );
}

/// What Access posts, signed by the key of the team.
fn access(key: &str, change: impl FnOnce(&mut Value)) -> String {
    let mut claims = json!({
        "identity": {"email": "Ann@example.com", "device_id": "LAP-7", "name": "Ann", "ip": "192.0.2.7",
            "geo": {"country": "NL"}, "idp": {"id": "x", "type": "oidc"}},
        "iat": START / 1000, "exp": START / 1000 + 60, "nonce": "n-1",
    });
    change(&mut claims);
    SigningKeys::from_pems([key]).unwrap().sign("JWT", &claims).unwrap()
}

#[test]
fn a2_access_is_answered_with_a_token_of_the_adapters_own_key() {
    let team = SigningKeys::from_pems([KEY_ONE]).unwrap().jwks();
    let own = SigningKeys::from_pems([KEY_TWO]).unwrap();
    let asked = cloudflare::asked(&access(KEY_ONE, |_| {}), &team, START).unwrap();
    let entity = |kind, id: &str| EntityKey { kind, id: id.to_owned() };
    let named = [entity(EntityKind::User, "ann@example.com"), entity(EntityKind::Device, "lap-7")];
    assert_eq!(asked.entities, named);
    for success in [true, false] {
        let answer = cloudflare::answer(&own, &asked, success, START + 999).unwrap();
        let token = answer["token"].as_str().unwrap();
        let answer = jws::verify(token, &own.jwks(), &[Algorithm::Rs256], &["JWT"]).unwrap();
        let expected = json!({"success": success, "iat": START / 1000, "exp": START / 1000 + 60,
            "nonce": "n-1"});
        assert_eq!(Value::Object(answer.claims), expected);
        assert_eq!(answer.kid, own.kid());
        assert!(jws::verify(token, &team, &[Algorithm::Rs256], &["JWT"]).is_err(), "another key");
    }
}

#[test]
fn a2_a_token_that_is_not_good_is_refused() {
    let team = SigningKeys::from_pems([KEY_ONE]).unwrap().jwks();
    let ask = |token: &str| cloudflare::asked(token, &team, START).unwrap_err();
    assert!(matches!(ask(&access(KEY_TWO, |_| {})), AskError::Key(_)));
    let good = access(KEY_ONE, |_| {});
    let parts: Vec<&str> = good.split('.').collect();
    // {"alg":"none","typ":"JWT"}
    let none = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{}.", parts[1]);
    assert!(matches!(ask(&none), AskError::Key(_)));
    for (name, wrong) in [
        ("exp", access(KEY_ONE, |c| c["exp"] = json!(START / 1000))),
        ("no exp", access(KEY_ONE, |c| c["exp"] = Value::Null)),
        ("nonce", access(KEY_ONE, |c| c["nonce"] = Value::Null)),
        ("identity", access(KEY_ONE, |c| c["identity"] = Value::Null)),
        ("nobody", access(KEY_ONE, |c| c["identity"] = json!({"name": "Ann"}))),
        ("SET", keys().sign("secevent+jwt", &json!({})).unwrap()),
        ("broken", "a.b".to_owned()),
    ] {
        assert!(matches!(ask(&wrong), AskError::Form(_)), "{name}");
    }
}
