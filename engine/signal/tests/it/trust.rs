//! Access tokens of an issuer that is trusted (O1 to O3): what is accepted, and everything that is not.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use serde_json::{Value, json};
use sluice_signal::{
    SigningKeys,
    jws::Algorithm,
    oauth::{Bearer, Scope, TokenError, TrustedIssuer},
};

use crate::support::{KEY_TWO, START, keys};

const LOGIN: &str = "https://login.example.com/";

fn login() -> TrustedIssuer {
    TrustedIssuer {
        issuer: LOGIN.into(),
        audience: vec!["https://sluice.example.com".into(), "api://sluice".into()],
        algorithms: vec![Algorithm::Rs256],
        client_claim: "client_id".into(),
        clients: BTreeMap::from([("0oa1".to_owned(), "idp".to_owned())]),
    }
}

fn claims() -> Value {
    json!({
        "iss": LOGIN, "aud": "https://sluice.example.com", "client_id": "0oa1", "sub": "0oa1",
        "iat": START / 1000, "exp": START / 1000 + 300, "scope": "ssf.read openid",
    })
}

fn check(token: &str) -> Result<Bearer, TokenError> {
    login().check(token, &keys().jwks(), START)
}

/// The outcome with one claim changed; `Null` removes it.
fn with(name: &str, value: Value) -> Result<Bearer, TokenError> {
    let mut claims = claims();
    match value {
        Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
        value => claims[name] = value,
    }
    check(&keys().sign("at+jwt", &claims).unwrap())
}

#[track_caller]
fn refused(outcome: Result<Bearer, TokenError>, why: &str) {
    let error = outcome.unwrap_err();
    assert!(error.to_string().contains(why), "{error}");
}

#[test]
fn o3_a_token_of_a_trusted_issuer_is_that_of_the_receiver() {
    let bearer = check(&keys().sign("at+jwt", &claims()).unwrap()).unwrap();
    assert_eq!(bearer.receiver, "idp");
    assert!(bearer.may(Scope::Read) && !bearer.may(Scope::Manage));
    // Forerunners of RFC 9068, several audiences, scopes as a list.
    for typ in ["JWT", "application/at+jwt"] {
        check(&keys().sign(typ, &claims()).unwrap()).unwrap();
    }
    assert!(with("aud", json!(["x", "api://sluice"])).is_ok());
    let mut list = claims();
    list.as_object_mut().unwrap().remove("scope");
    list["scp"] = json!(["ssf.manage"]);
    assert!(check(&keys().sign("JWT", &list).unwrap()).unwrap().may(Scope::Delete));
    assert!(login().issued(&keys().sign("JWT", &claims()).unwrap()));
    assert!(!login().issued("a.b") && !login().issued(""));
}

#[test]
fn o1_wrong_issuer_audience_time_type_and_client_are_refused() {
    assert_eq!(with("iss", json!("https://login.example.com")), Err(TokenError::Unknown));
    refused(with("aud", json!("https://other.example.com")), "another audience");
    refused(with("aud", json!(["a", "b"])), "another audience");
    refused(with("aud", Value::Null), "another audience");
    assert_eq!(with("exp", json!(START / 1000)), Err(TokenError::Expired));
    refused(with("exp", Value::Null), "`exp` is missing");
    refused(with("exp", json!("later")), "`exp` is missing");
    refused(with("nbf", json!(START / 1000 + 61)), "`nbf` is in the future");
    refused(with("iat", json!(START / 1000 + 61)), "`iat` is in the future");
    refused(with("client_id", Value::Null), "the claim `client_id` is missing");
    refused(with("client_id", json!("0oa2")), "no receiver here");
    // A SET or a logout token of the same issuer is no access token.
    for typ in ["secevent+jwt", "logout+jwt"] {
        refused(check(&keys().sign(typ, &claims()).unwrap()), "`typ` is not");
    }
    refused(check(&"x".repeat(20_000)), "16 KiB");
}

#[test]
fn o1_b35_alg_none_hs256_with_the_public_key_and_other_keys_are_refused() {
    let token = keys().sign("at+jwt", &claims()).unwrap();
    let parts: Vec<&str> = token.split('.').collect();
    let head =
        |header: Value| format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), parts[1]);
    let kid = keys().kid().to_owned();
    refused(check(&format!("{}.", head(json!({"alg": "none", "typ": "at+jwt"})))), "not RS256");
    // HS256 with what everybody can read of the key as its secret, correctly computed.
    for public in [keys().jwks()["keys"][0]["n"].as_str().unwrap(), &keys().jwks().to_string()] {
        let signed = head(json!({"alg": "HS256", "typ": "at+jwt", "kid": kid}));
        let secret = hmac::Key::new(hmac::HMAC_SHA256, public.as_bytes());
        let tag = URL_SAFE_NO_PAD.encode(hmac::sign(&secret, signed.as_bytes()));
        refused(check(&format!("{signed}.{tag}")), "not RS256");
    }
    let unknown = head(json!({"alg": "RS256", "typ": "at+jwt", "kid": "x"}));
    let error = check(&format!("{unknown}.{}", parts[2])).unwrap_err();
    assert!(matches!(error, TokenError::Key(_)), "the keys are asked for anew: {error}");
    let crit = json!({"alg": "RS256", "typ": "at+jwt", "kid": kid, "crit": ["b64"], "b64": false});
    refused(check(&format!("{}.{}", head(crit), parts[2])), "crit");
    // Signed by somebody else who says to be the issuer.
    let other = SigningKeys::from_pems([KEY_TWO]).unwrap().sign("at+jwt", &claims()).unwrap();
    let one = json!({"keys": [keys().jwks()["keys"][0]]});
    assert!(matches!(login().check(&other, &one, START), Err(TokenError::Key(_))));
    let forged = parts[1].replace('a', "b");
    assert!(check(&format!("{}.{forged}.{}", parts[0], parts[2])).is_err());
}

#[test]
fn o1_other_algorithms_are_accepted_only_where_they_are_named() {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random)
        .unwrap();
    let point = pair.public_key().as_ref();
    let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let jwks = json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": "e", "x": part(&point[1..33]),
        "y": part(&point[33..])}]});
    let header = json!({"alg": "ES256", "typ": "at+jwt", "kid": "e"});
    let signed = format!(
        "{}.{}",
        part(header.to_string().as_bytes()),
        part(claims().to_string().as_bytes())
    );
    let signature = pair.sign(&random, signed.as_bytes()).unwrap();
    let token = format!("{signed}.{}", part(signature.as_ref()));
    let both = TrustedIssuer { algorithms: vec![Algorithm::Rs256, Algorithm::Es256], ..login() };
    assert_eq!(both.check(&token, &jwks, START).unwrap().receiver, "idp");
    refused(login().check(&token, &jwks, START), "not RS256");
    let cut = format!("{signed}.{}", part(&signature.as_ref()[..63]));
    assert!(matches!(both.check(&cut, &jwks, START), Err(TokenError::Key(_))));
    assert_eq!(Algorithm::parse("HS256"), None);
    assert_eq!(Algorithm::parse("none"), None);
}

#[test]
fn o2_each_scope_allows_what_it_says_and_no_scope_nothing() {
    let all =
        [Scope::Read, Scope::Manage, Scope::Create, Scope::Update, Scope::Delete, Scope::Poll];
    for (words, allowed) in [
        ("ssf.manage", &all[..]),
        ("ssf.read", &[Scope::Read, Scope::Poll]),
        ("ssf.manage.create", &[Scope::Create]),
        ("ssf.manage.update", &[Scope::Update]),
        ("ssf.manage.delete", &[Scope::Delete]),
        ("ssf.manage.poll", &[Scope::Poll]),
        ("ssf.read ssf.manage.update", &[Scope::Read, Scope::Update, Scope::Poll]),
        ("", &[]),
        ("openid ssf", &[]),
    ] {
        let bearer = with("scope", json!(words)).unwrap();
        for scope in all {
            assert_eq!(bearer.may(scope), allowed.contains(&scope), "{words}: {}", scope.name());
        }
    }
    assert_eq!(Scope::names().len(), all.len());
}
