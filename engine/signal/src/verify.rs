//! Verification of a SET that somebody else issued (RFC 8417, RFC 8935 section 2.4): signature, issuer,
//! audience, time, form. Not what is done with its events.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{rsa::PublicKeyComponents, signature::RSA_PKCS1_2048_8192_SHA256};
use serde_json::{Map, Value};

use crate::{EventType, SubjectId, set};

/// Bytes of the largest SET that is read.
pub const MAX_BYTES: usize = 256 << 10;
/// Seconds that the clock of an issuer may be ahead.
pub const AHEAD_S: i64 = 60;

/// What a SET is held against.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'e> {
    /// The issuer's key set (RFC 7517).
    pub jwks: &'e Value,
    /// The issuer; `None` takes any.
    pub issuer: Option<&'e str>,
    /// One of the audiences; `None` takes any.
    pub audience: Option<&'e str>,
    /// Now, milliseconds since 1970.
    pub now: i64,
}

/// A SET whose signature and form are good.
#[derive(Clone, Debug)]
pub struct VerifiedSet {
    /// The key it is signed with.
    pub kid: String,
    /// All claims.
    pub claims: Map<String, Value>,
    /// Events of types that are known here.
    pub known: Vec<EventType>,
}

/// Why a SET is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// It is no SET, or one of its claims has another form.
    #[error("the SET is not well formed: {0}")]
    Request(String),
    /// The key is unknown, of another kind, or the signature does not fit.
    #[error("the SET cannot be trusted: {0}")]
    Key(String),
    /// Somebody else issued it.
    #[error("the SET is from `{0}`")]
    Issuer(String),
    /// It is for somebody else.
    #[error("the SET is for {0}")]
    Audience(String),
}

impl VerifyError {
    /// The word of RFC 8935.
    pub fn code(&self) -> &'static str {
        match self {
            VerifyError::Request(_) => "invalid_request",
            VerifyError::Key(_) => "invalid_key",
            VerifyError::Issuer(_) => "invalid_issuer",
            VerifyError::Audience(_) => "invalid_audience",
        }
    }
}

/// The JSON objects of a token: header and claims.
pub type HeaderAndClaims = (Map<String, Value>, Map<String, Value>);

/// Header and claims of a compact JWS, nothing verified: to show what somebody holds.
///
/// # Errors
/// If it is no compact JWS with JSON in it.
pub fn decode(token: &str) -> Result<HeaderAndClaims, VerifyError> {
    let (header, claims, _, _) = split(token.trim())?;
    Ok((header, claims))
}

/// Verifies a SET.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn verify(token: &str, expected: &Expected<'_>) -> Result<VerifiedSet, VerifyError> {
    let request = |what: &str| VerifyError::Request(what.to_owned());
    let token = token.trim();
    if token.len() > MAX_BYTES {
        return Err(request("more than 256 KiB"));
    }
    let (header, claims, signed, signature) = split(token)?;
    // `none` and the HMAC family never get as far as a key.
    match header.get("alg").and_then(Value::as_str) {
        Some("RS256") => {}
        other => return Err(VerifyError::Key(format!("alg is {other:?}, not RS256"))),
    }
    if header.get("typ").and_then(Value::as_str) != Some(set::TYP) {
        return Err(request("`typ` is not secevent+jwt"));
    }
    if header.contains_key("crit") {
        return Err(request("`crit` names extensions, and none is known here"));
    }
    let key = key(expected.jwks, header.get("kid").and_then(Value::as_str))?;
    let part = |name: &str| {
        let text = key.get(name).and_then(Value::as_str).unwrap_or_default();
        URL_SAFE_NO_PAD.decode(text).map_err(|_| VerifyError::Key(format!("`{name}` of the key")))
    };
    PublicKeyComponents { n: part("n")?, e: part("e")? }
        .verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &signature)
        .map_err(|_| VerifyError::Key("the signature does not fit".into()))?;
    let text = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default();
    if let Some(issuer) = expected.issuer
        && text("iss") != issuer
    {
        return Err(VerifyError::Issuer(text("iss").to_owned()));
    }
    if let Some(audience) = expected.audience
        && !is_for(claims.get("aud"), audience)
    {
        let aud = claims.get("aud").map_or_else(|| "nobody".to_owned(), Value::to_string);
        return Err(VerifyError::Audience(aud));
    }
    if text("jti").is_empty() {
        return Err(request("`jti` is missing"));
    }
    match claims.get("iat").and_then(Value::as_i64) {
        None => return Err(request("`iat` is missing")),
        Some(iat) if iat > expected.now.div_euclid(1000) + AHEAD_S => {
            return Err(request("`iat` is in the future"));
        }
        Some(_) => {}
    }
    for forbidden in ["sub", "exp"] {
        if claims.contains_key(forbidden) {
            return Err(VerifyError::Request(format!("`{forbidden}` is there")));
        }
    }
    let known = events(&claims)?;
    let kid = key.get("kid").and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(VerifiedSet { kid, claims, known })
}

fn events(claims: &Map<String, Value>) -> Result<Vec<EventType>, VerifyError> {
    let subject = claims.get("sub_id").ok_or_else(|| VerifyError::Request("`sub_id`".into()))?;
    SubjectId::parse(subject).map_err(|e| VerifyError::Request(e.to_string()))?;
    let events = claims.get("events").and_then(Value::as_object).filter(|e| !e.is_empty());
    let events = events.ok_or_else(|| VerifyError::Request("`events` is empty".into()))?;
    let mut known = Vec::new();
    for (uri, event) in events {
        let event = event
            .as_object()
            .ok_or_else(|| VerifyError::Request(format!("the event `{uri}` is no object")))?;
        if let Some(event_type) = EventType::parse(uri) {
            event_type
                .check(event)
                .map_err(|what| VerifyError::Request(format!("{uri}: {what}")))?;
            known.push(event_type);
        }
    }
    Ok(known)
}

type Parts<'t> = (Map<String, Value>, Map<String, Value>, &'t str, Vec<u8>);

fn split(token: &str) -> Result<Parts<'_>, VerifyError> {
    let broken = || VerifyError::Request("it is no compact JWS: header.claims.signature".into());
    let (signed, signature) = token.rsplit_once('.').ok_or_else(broken)?;
    let (header, claims) = signed.split_once('.').ok_or_else(broken)?;
    let json = |part: &str| -> Result<Map<String, Value>, VerifyError> {
        let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| broken())?;
        serde_json::from_slice(&bytes).map_err(|_| broken())
    };
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| broken())?;
    Ok((json(header)?, json(claims)?, signed, signature))
}

/// The RSA key of a key set; without `kid` only an unambiguous one.
fn key<'j>(jwks: &'j Value, kid: Option<&str>) -> Result<&'j Value, VerifyError> {
    let all = jwks.get("keys").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let text = |key: &'j Value, name: &str| key.get(name).and_then(Value::as_str);
    let mut fitting = all.iter().filter(|key| {
        text(key, "kty") == Some("RSA")
            && text(key, "use").is_none_or(|u| u == "sig")
            && text(key, "alg").is_none_or(|a| a == "RS256")
            && kid.is_none_or(|kid| text(key, "kid") == Some(kid))
    });
    let first = fitting.next().ok_or_else(|| {
        VerifyError::Key(format!("the key set has no RS256 key `{}`", kid.unwrap_or("of any id")))
    })?;
    match fitting.next() {
        None => Ok(first),
        Some(_) => Err(VerifyError::Key("several keys fit and the SET names none".into())),
    }
}

fn is_for(aud: Option<&Value>, wanted: &str) -> bool {
    match aud {
        Some(Value::String(one)) => one == wanted,
        Some(Value::Array(several)) => several.iter().any(|a| a.as_str() == Some(wanted)),
        _ => false,
    }
}
