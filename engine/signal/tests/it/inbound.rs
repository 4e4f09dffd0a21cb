//! SETs of other transmitters: what is refused, what is left out, and the records that the rest become.

use serde_json::{Value, json};
use sluice_signal::{
    Level,
    inbound::{Content, Inbound, InboundSet},
    set::TYP,
    verify::VerifyError,
};

use crate::support::{Bench, START, event, keys, profile};

const IDP: &str = "https://idp.example.com";

fn inbound() -> Inbound {
    Inbound {
        transmitter: "idp".into(),
        issuer: IDP.into(),
        audience: vec!["https://sluice.example.com".into(), "sluice".into()],
    }
}

fn claims(event_type: &str, event: Value) -> Value {
    json!({
        "iss": IDP, "aud": "https://sluice.example.com", "jti": "j1", "iat": START / 1_000,
        "sub_id": {"format": "email", "email": "ann@example.com"}, "events": {event_type: event},
    })
}

fn caep(name: &str) -> String {
    format!("https://schemas.openid.net/secevent/caep/event-type/{name}")
}

fn session_revoked() -> Value {
    claims(
        &caep("session-revoked"),
        json!({"event_timestamp": START / 1_000 - 5, "reason_admin": {"en": "left the company"}}),
    )
}

fn receive(claims: &Value) -> Result<InboundSet, VerifyError> {
    let token = keys().sign(TYP, claims).unwrap();
    inbound().receive(&token, &keys().jwks(), START)
}

#[track_caller]
fn record(claims: &Value) -> Value {
    match receive(claims).unwrap().content {
        Content::Records(mut records) if records.len() == 1 => records.remove(0),
        other => panic!("{other:?}"),
    }
}

#[test]
fn r1_an_event_becomes_a_record_with_its_subject_in_columns() {
    let record = record(&session_revoked());
    assert_eq!(record["event_type"], "session-revoked");
    assert_eq!(record["time"], "2025-12-31T23:59:55.000Z");
    assert_eq!(record["user_email"], "ann@example.com");
    assert_eq!(record["reason"], "left the company");
    assert_eq!((&record["transmitter"], &record["issuer"]), (&json!("idp"), &json!(IDP)));

    let mut found = 0;
    for (subject, columns) in [
        (json!({"format": "iss_sub", "iss": IDP, "sub": "u1"}), vec![("user_id", "u1")]),
        (
            json!({"format": "account", "uri": "acct:a@b.example"}),
            vec![("user_email", "a@b.example")],
        ),
        (json!({"format": "opaque", "id": "x"}), vec![("user_id", "x")]),
        (
            json!({"format": "ip-addresses", "ip-addresses": ["203.0.113.9"]}),
            vec![("ip", "203.0.113.9")],
        ),
        (
            json!({"format": "aliases", "identifiers": [
                {"format": "email", "email": "a@b.example"}, {"format": "opaque", "id": "x"},
                {"format": "email", "email": "other@b.example"}]}),
            vec![("user_email", "a@b.example"), ("user_id", "x")],
        ),
        (
            json!({"format": "complex", "user": {"format": "email", "email": "a@b.example"},
                "device": {"format": "iss_sub", "iss": IDP, "sub": "d1"},
                "session": {"format": "opaque", "id": "s1"}}),
            vec![("user_email", "a@b.example"), ("device_id", "d1"), ("session_id", "s1")],
        ),
    ] {
        let mut claims = session_revoked();
        claims["sub_id"] = subject;
        let record = self::record(&claims);
        for (column, value) in columns {
            assert_eq!(record[column], value, "{record}");
            found += 1;
        }
    }
    assert_eq!(found, 9);
}

#[test]
fn r3_the_same_set_has_the_same_key_and_another_has_not() {
    let first = receive(&session_revoked()).unwrap();
    assert_eq!(receive(&session_revoked()).unwrap(), first);
    let mut claims = session_revoked();
    claims["jti"] = "j2".into();
    assert_ne!(receive(&claims).unwrap().key, first.key);
}

#[test]
fn r4_what_our_own_signal_caused_is_dropped() {
    // A level of ours, handed on by another transmitter with its `txn`.
    let mut bench = Bench::new(vec![profile("one")]);
    let id = bench.create("one", &crate::support::everything());
    bench.raise("ann@example.com", Level::High);
    let ours = bench.poll("one", &id, json!({}));
    assert_eq!(event(&ours[0].1)["current_level"], "HIGH");
    let mut claims = session_revoked();
    claims["txn"] = ours[0].1.claims["txn"].clone();
    assert!(claims["txn"].is_string());
    assert_eq!(receive(&claims).unwrap().content, Content::Own);
    for foreign in ["", "8e4f5a", "0123456789abcdef0123456789abcdef", "é".repeat(16).as_str()] {
        claims["txn"] = foreign.into();
        assert!(matches!(receive(&claims).unwrap().content, Content::Records(_)), "{foreign}");
    }
}

#[test]
fn events_about_the_stream_are_no_records() {
    let uri = "https://schemas.openid.net/secevent/ssf/event-type/verification";
    let mut claims = claims(uri, json!({"state": "x"}));
    claims["sub_id"] = json!({"format": "opaque", "id": "stream"});
    assert_eq!(receive(&claims).unwrap().content, Content::Stream);
}

#[test]
fn n1_b35_r2_what_is_not_for_us_or_not_signed_is_refused_with_its_word() {
    let altered = |name: &str, value: Value| {
        let mut claims = session_revoked();
        claims[name] = value;
        claims
    };
    for (claims, code) in [
        (altered("iss", "https://evil.example.com".into()), "invalid_issuer"),
        (altered("iss", "https://sluice.example.com".into()), "invalid_issuer"),
        (altered("aud", "https://other.example.com".into()), "invalid_audience"),
        (altered("aud", json!([])), "invalid_audience"),
        (altered("jti", "".into()), "invalid_request"),
        (altered("iat", json!(START / 1_000 + 61)), "invalid_request"),
        (altered("events", json!({})), "invalid_request"),
        (altered("sub_id", json!({"format": "email"})), "invalid_request"),
    ] {
        assert_eq!(receive(&claims).unwrap_err().code(), code, "{claims}");
    }
    assert!(receive(&altered("aud", json!(["x", "sluice"]))).is_ok());
    // Tampered, unsigned, signed by a key that is not in the set.
    let token = keys().sign(TYP, &session_revoked()).unwrap();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let none = "eyJhbGciOiJub25lIiwidHlwIjoic2VjZXZlbnQrand0In0";
    let body = signed.split_once('.').unwrap().1;
    for wrong in [format!("{none}.{body}."), format!("{signed}x.{signature}"), signed.to_owned()] {
        assert!(inbound().receive(&wrong, &keys().jwks(), START).is_err(), "{wrong}");
    }
    let error = inbound().receive(&token, &json!({"keys": []}), START).unwrap_err();
    assert_eq!(error.code(), "invalid_key");
}
