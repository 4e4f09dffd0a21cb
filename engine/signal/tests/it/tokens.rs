//! Tokens: what we sign, and what we refuse to trust.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sluice_event::EntityKind;
use sluice_signal::{
    EventType, KeyError, Level, SigningKeys, SubjectId,
    oauth::{self, Scope, TokenError},
    set::{TYP, jti},
    subject::{Issuers, SubjectFormat},
    verify::{Expected, VerifyError, decode, verify},
};

use crate::support::{Bench, ISSUER, KEY_ONE, KEY_TWO, START, event, keys, levels, push_profile};

fn good() -> Value {
    json!({
        "iss": ISSUER, "aud": "a", "jti": "j1", "iat": START / 1000,
        "sub_id": {"format": "email", "email": "ann@example.com"},
        "events": {EventType::SessionRevoked.uri(): {"reason_admin": {"en": "left"}}},
    })
}

#[track_caller]
fn refused(claims: &Value, code: &str) {
    let token = keys().sign(TYP, claims).unwrap();
    let jwks = keys().jwks();
    let expected = Expected { jwks: &jwks, issuer: Some(ISSUER), audience: Some("a"), now: START };
    let error = verify(&token, &expected).unwrap_err();
    assert_eq!(error.code(), code, "{error}");
}

#[test]
fn s1_header_and_s2_claims() {
    let mut bench = Bench::new(vec![push_profile("idp")]);
    bench.raise("ann@example.com", Level::High);
    let (attempt, set) = bench.pushed().unwrap();
    let (header, claims) = decode(&attempt.token).unwrap();
    assert_eq!(header["typ"], "secevent+jwt");
    assert_eq!(header["alg"], "RS256");
    assert_eq!(header["kid"], set.kid.as_str());
    assert_eq!(claims["iss"], ISSUER);
    assert_eq!(claims["aud"], "https://idp.example.com");
    assert_eq!(claims["jti"], attempt.jti.as_str());
    assert_eq!(claims["iat"], START / 1000);
    assert_eq!(claims["txn"].as_str().unwrap().len(), 32);
    assert_eq!(claims["sub_id"], json!({"format": "email", "email": "ann@example.com"}));
    assert_eq!(levels(&set), ("HIGH".into(), "LOW".into()));
    assert_eq!(event(&set)["principal"], "USER");
    assert_eq!(event(&set)["initiating_entity"], "admin");
    assert_eq!(event(&set)["event_timestamp"], START / 1000);
    assert_eq!(event(&set)["reason_admin"]["en"], "seen at the desk of another");
}

#[test]
fn s2_ids_are_derived_from_stream_cause_type_and_replay() {
    let one = jti("s", "c", EventType::RiskLevelChange, 0);
    assert_eq!(one, jti("s", "c", EventType::RiskLevelChange, 0));
    assert_eq!(one.len(), 32);
    for other in [
        jti("t", "c", EventType::RiskLevelChange, 0),
        jti("s", "d", EventType::RiskLevelChange, 0),
        jti("s", "c", EventType::SessionRevoked, 0),
        jti("s", "c", EventType::RiskLevelChange, 1),
    ] {
        assert_ne!(one, other);
    }
}

#[test]
fn s3_no_sub_no_exp() {
    let mut bench = Bench::new(vec![push_profile("idp")]);
    bench.raise("ann@example.com", Level::High);
    let (_, set) = bench.pushed().unwrap();
    assert!(!set.claims.contains_key("sub") && !set.claims.contains_key("exp"));
    for forbidden in ["sub", "exp"] {
        let mut claims = good();
        claims[forbidden] = json!(1);
        refused(&claims, "invalid_request");
    }
}

#[test]
fn s6_subject_formats() {
    let accepted = [
        json!({"format": "account", "uri": "acct:a@b.c"}),
        json!({"format": "email", "email": "a@b.c"}),
        json!({"format": "iss_sub", "iss": "https://i", "sub": "1"}),
        json!({"format": "opaque", "id": "1"}),
        json!({"format": "phone_number", "phone_number": "+33"}),
        json!({"format": "did", "url": "did:example:1"}),
        json!({"format": "uri", "uri": "urn:1"}),
        json!({"format": "aliases", "identifiers": [{"format": "opaque", "id": "1"}]}),
        json!({"format": "jwt_id", "iss": "https://i", "jti": "1"}),
        json!({"format": "saml_assertion_id", "issuer": "i", "assertion_id": "1"}),
        json!({"format": "ip-addresses", "ip-addresses": ["203.0.113.1"]}),
        json!({"format": "complex", "user": {"format": "email", "email": "a@b.c"}}),
    ];
    for subject in &accepted {
        let parsed = SubjectId::parse(subject).unwrap_or_else(|e| panic!("{subject}: {e}"));
        assert_eq!(parsed.to_value(), *subject);
    }
    for subject in [
        json!("ann"),
        json!({}),
        json!({"format": "name"}),
        json!({"format": "email"}),
        json!({"format": "email", "email": ""}),
        json!({"format": "iss_sub", "iss": "https://i"}),
        json!({"format": "aliases", "identifiers": []}),
        json!({"format": "complex"}),
        json!({"format": "complex", "user": {"format": "email"}}),
    ] {
        assert!(SubjectId::parse(&subject).is_err(), "{subject}");
    }
}

#[test]
fn s7_one_entity_has_one_name_per_receiver() {
    let issuers = Issuers { users: "https://idp".into(), devices: "https://mdm".into() };
    let name = |kind, id, format| SubjectId::of_entity(kind, id, format, &issuers).to_value();
    let email = json!({"format": "email", "email": "ann@example.com"});
    let sub = json!({"format": "iss_sub", "iss": "https://idp", "sub": "corp\\ann"});
    use EntityKind::{Device, Ip, Session, User};
    use SubjectFormat::{Complex, Email, IssSub};
    assert_eq!(name(User, "ann@example.com", Email), email);
    assert_eq!(name(User, "corp\\ann", Email), sub);
    assert_eq!(
        name(User, "ann@example.com", IssSub),
        json!({"format": "iss_sub", "iss": "https://idp", "sub": "ann@example.com"})
    );
    assert_eq!(name(User, "ann@example.com", Complex), json!({"format": "complex", "user": email}));
    assert_eq!(
        name(Device, "d1", Email),
        json!({"format": "iss_sub", "iss": "https://mdm", "sub": "d1"})
    );
    assert_eq!(
        name(Session, "s1", Email),
        json!({"format": "complex", "session": {"format": "opaque", "id": "s1"}})
    );
    assert_eq!(name(Ip, "203.0.113.1", Email)["format"], "ip-addresses");
}

#[test]
fn subjects_cover_as_ssf_says() {
    let parse = |v: Value| SubjectId::parse(&v).unwrap();
    let ann = parse(json!({"format": "email", "email": "a@b.c"}));
    let again = parse(json!({"email": "a@b.c", "format": "email"}));
    let bob = parse(json!({"format": "email", "email": "b@b.c"}));
    assert!(ann.covers(&again) && !ann.covers(&bob));
    let complex = |user: &SubjectId, device: Option<&str>| {
        let mut value = json!({"format": "complex", "user": user.to_value()});
        if let Some(id) = device {
            value["device"] = json!({"format": "opaque", "id": id});
        }
        parse(value)
    };
    assert!(complex(&ann, None).covers(&complex(&ann, Some("d1"))));
    assert!(complex(&ann, Some("d1")).covers(&complex(&ann, None)));
    assert!(!complex(&ann, Some("d1")).covers(&complex(&ann, Some("d2"))));
    assert!(!complex(&bob, None).covers(&complex(&ann, Some("d1"))));
    assert!(!complex(&ann, None).covers(&ann));
}

#[test]
fn k1_the_first_key_signs_and_all_are_published() {
    let both = keys();
    let turned = SigningKeys::from_pems([KEY_TWO, KEY_ONE]).unwrap();
    assert_ne!(both.kid(), turned.kid());
    let token = turned.sign(TYP, &good()).unwrap();
    // Who fetched the set before the keys were turned can verify what is signed after.
    let jwks = both.jwks();
    let expected = Expected { jwks: &jwks, issuer: None, audience: None, now: START };
    assert_eq!(verify(&token, &expected).unwrap().kid, turned.kid());
}

#[test]
fn k2_the_key_set_has_public_members_only() {
    let set = keys().jwks();
    for key in set["keys"].as_array().unwrap() {
        let names: Vec<&String> = key.as_object().unwrap().keys().collect();
        assert_eq!(names, ["kty", "use", "alg", "kid", "n", "e"]);
    }
    assert!(!format!("{:?}", keys()).contains("PRIVATE"));
}

#[test]
fn keys_that_cannot_sign_are_refused_with_what_is_needed() {
    assert_eq!(SigningKeys::from_pems([]).unwrap_err(), KeyError::Missing);
    let error = SigningKeys::from_pems(["not a key"]).unwrap_err();
    assert!(error.to_string().contains("-----BEGIN PRIVATE KEY-----"), "{error}");
    let cut: String =
        KEY_ONE.lines().filter(|l| !l.contains('/')).map(|l| format!("{l}\n")).collect();
    assert!(SigningKeys::from_pems([cut.as_str()]).is_err());
}

#[test]
fn n1_what_is_not_for_us_or_not_signed_is_refused() {
    refused(
        &{
            let mut c = good();
            c["aud"] = json!("b");
            c
        },
        "invalid_audience",
    );
    refused(
        &{
            let mut c = good();
            c["aud"] = json!(["b", "c"]);
            c
        },
        "invalid_audience",
    );
    refused(
        &{
            let mut c = good();
            c["iss"] = json!("https://evil");
            c
        },
        "invalid_issuer",
    );
    refused(
        &{
            let mut c = good();
            c["jti"] = json!("");
            c
        },
        "invalid_request",
    );
    refused(
        &{
            let mut c = good();
            c["iat"] = json!(START / 1000 + 61);
            c
        },
        "invalid_request",
    );
    refused(
        &{
            let mut c = good();
            c["events"] = json!({});
            c
        },
        "invalid_request",
    );
    refused(
        &{
            let mut c = good();
            c["sub_id"] = Value::Null;
            c
        },
        "invalid_request",
    );
    let uri = EventType::SessionRevoked.uri();
    refused(
        &{
            let mut c = good();
            c["events"][&uri]["reason_admin"] = json!("left");
            c
        },
        "invalid_request",
    );

    let jwks = keys().jwks();
    let expected = Expected { jwks: &jwks, issuer: None, audience: None, now: START };
    let token = keys().sign(TYP, &good()).unwrap();
    verify(&token, &expected).unwrap();
    let parts: Vec<&str> = token.split('.').collect();
    let with_header = |header: Value, signature: &str| {
        format!("{}.{}.{signature}", URL_SAFE_NO_PAD.encode(header.to_string()), parts[1])
    };
    let kid = keys().kid().to_owned();
    for (name, forged) in [
        ("alg none", with_header(json!({"alg": "none", "typ": TYP}), "")),
        ("HS256 over the public key", {
            let head = json!({"alg": "HS256", "typ": TYP, "kid": kid});
            with_header(head, parts[2])
        }),
        ("unknown kid", with_header(json!({"alg": "RS256", "typ": TYP, "kid": "x"}), parts[2])),
        ("no kid of several", with_header(json!({"alg": "RS256", "typ": TYP}), parts[2])),
        ("another header", {
            let head = json!({"alg": "RS256", "typ": TYP, "kid": kid, "x": 1});
            with_header(head, parts[2])
        }),
    ] {
        let error = verify(&forged, &expected).unwrap_err();
        assert_eq!(error.code(), "invalid_key", "{name}: {error}");
    }
    let other = SigningKeys::from_pems([KEY_TWO]).unwrap();
    let theirs = other.jwks();
    let expected = Expected { jwks: &theirs, issuer: None, audience: None, now: START };
    assert!(matches!(verify(&token, &expected).unwrap_err(), VerifyError::Key(_)));
    for broken in ["", "a.b", "a.b.c", "..", &"x".repeat(300_000)] {
        assert_eq!(verify(broken, &expected).unwrap_err().code(), "invalid_request");
    }
}

#[test]
fn o1_to_o3_access_tokens_are_bound_to_receiver_secret_scope_and_time() {
    let key = [7; 32];
    let secret = |name: &str| (name == "idp").then_some("s3cret");
    let token = oauth::issue(&key, "idp", "s3cret", &[Scope::Read], START);
    let bearer = oauth::check(&key, &token, secret, START + 3_599_000).unwrap();
    assert_eq!(bearer.receiver, "idp");
    assert!(bearer.may(Scope::Read) && !bearer.may(Scope::Manage));
    let all = oauth::issue(&key, "idp", "s3cret", &Scope::parse(None).unwrap(), START);
    assert!(oauth::check(&key, &all, secret, START).unwrap().may(Scope::Manage));
    assert_eq!(oauth::check(&key, &token, secret, START + 3_600_000), Err(TokenError::Expired));
    assert_eq!(oauth::check(&[8; 32], &token, secret, START), Err(TokenError::Unknown));
    assert_eq!(oauth::check(&key, &token, |_| Some("new"), START), Err(TokenError::Unknown));
    assert_eq!(oauth::check(&key, &token, |_| None, START), Err(TokenError::Unknown));
    for forged in ["", ".", "a.b", &token.replace('.', ""), &format!("{token}x")] {
        assert_eq!(oauth::check(&key, forged, secret, START), Err(TokenError::Unknown), "{forged}");
    }
    assert_eq!(Scope::parse(Some("ssf.read ssf.all")), Err("ssf.all".into()));
    assert!(oauth::secret_fits("a", "a") && !oauth::secret_fits("a", "b"));
}

#[test]
fn every_sample_of_a_type_is_well_formed() {
    for event_type in EventType::offered() {
        event_type.check(&event_type.sample(START)).unwrap();
        assert_eq!(EventType::parse(&event_type.uri()), Some(event_type));
    }
    assert_eq!(EventType::offered().count(), 7);
}
