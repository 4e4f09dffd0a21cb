//! Verification of a SET that somebody else issued (RFC 8417, RFC 8935 section 2.4): signature, issuer,
//! audience, time, form. Not what is done with its events.

use serde_json::{Map, Value};

use crate::{
    EventType, SubjectId,
    jws::{self, Algorithm, JwsError},
    set,
};

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

pub use jws::HeaderAndClaims;

/// Header and claims of a compact JWS, nothing verified: to show what somebody holds.
///
/// # Errors
/// If it is no compact JWS with JSON in it.
pub fn decode(token: &str) -> Result<HeaderAndClaims, VerifyError> {
    Ok(jws::decode(token)?)
}

impl From<JwsError> for VerifyError {
    fn from(error: JwsError) -> Self {
        match error {
            JwsError::Form(what) => VerifyError::Request(what),
            JwsError::Key(what) => VerifyError::Key(what),
        }
    }
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
    let jws = jws::verify(token, expected.jwks, &[Algorithm::Rs256], &[set::TYP])?;
    let (claims, kid) = (jws.claims, jws.kid);
    let text = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default();
    if let Some(issuer) = expected.issuer
        && text("iss") != issuer
    {
        return Err(VerifyError::Issuer(text("iss").to_owned()));
    }
    if let Some(audience) = expected.audience
        && !jws::is_for(claims.get("aud"), audience)
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
