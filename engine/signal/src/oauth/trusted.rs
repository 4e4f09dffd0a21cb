//! Access tokens that another authorization server issued (RFC 9068 and its forerunners): its signature, its
//! issuer, that they are for us, their time, whose they are. Not where its keys come from.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Bearer, Scope, TokenError};
use crate::jws::{self, Algorithm};

/// An authorization server whose tokens are accepted.
#[derive(Clone, Debug)]
pub struct TrustedIssuer {
    /// Its `iss`, byte for byte.
    pub issuer: String,
    /// What tokens for us have as `aud`: one of these.
    pub audience: Vec<String>,
    /// Signatures that are accepted.
    pub algorithms: Vec<Algorithm>,
    /// The claim that names the client.
    pub client_claim: String,
    /// By client: the receiver that it is.
    pub clients: BTreeMap<String, String>,
}

/// Types of access tokens: RFC 9068, and what issuers used before it. A SET or an ID token for logout has
/// another.
const TYPES: [&str; 4] = ["at+jwt", "application/at+jwt", "JWT", ""];
/// Seconds that the clock of an issuer may be ahead.
const AHEAD_S: i64 = 60;
/// Bytes of the longest token.
const MOST: usize = 16 << 10;

impl TrustedIssuer {
    /// Whether a token says that it is of this issuer. Nothing of it is verified.
    pub fn issued(&self, token: &str) -> bool {
        let claims = jws::decode(token).map(|(_, claims)| claims);
        claims.is_ok_and(|c| text(&c, "iss") == Some(&self.issuer))
    }

    /// Who shows a token; `jwks` is the key set of the issuer, `now` is milliseconds since 1970.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn check(&self, token: &str, jwks: &Value, now: i64) -> Result<Bearer, TokenError> {
        let refused = |what: String| TokenError::Refused(what);
        if token.len() > MOST {
            return Err(refused("it has more than 16 KiB".into()));
        }
        let claims = jws::verify(token, jwks, &self.algorithms, &TYPES)?.claims;
        if text(&claims, "iss") != Some(&self.issuer) {
            return Err(TokenError::Unknown);
        }
        if !self.audience.iter().any(|wanted| jws::is_for(claims.get("aud"), wanted)) {
            return Err(refused("it is for another audience".into()));
        }
        let seconds = now.div_euclid(1_000);
        let time = |name: &str| claims.get(name).and_then(Value::as_f64);
        match time("exp") {
            None => return Err(refused("`exp` is missing".into())),
            Some(exp) if exp <= seconds as f64 => return Err(TokenError::Expired),
            Some(_) => {}
        }
        for name in ["nbf", "iat"] {
            if time(name).is_some_and(|at| at > (seconds + AHEAD_S) as f64) {
                return Err(refused(format!("`{name}` is in the future")));
            }
        }
        let client = text(&claims, &self.client_claim)
            .ok_or_else(|| refused(format!("the claim `{}` is missing", self.client_claim)))?;
        let receiver = self.clients.get(client);
        let receiver = receiver.ok_or_else(|| refused("its client is no receiver here".into()))?;
        Ok(Bearer { receiver: receiver.clone(), scopes: scopes(&claims) })
    }
}

/// The scopes of a token that are known here: `scope` with spaces (RFC 9068), `scp` as a list or a text. Others
/// are for other resources.
fn scopes(claims: &Map<String, Value>) -> Vec<Scope> {
    let words: Vec<&str> = match claims.get("scope").or_else(|| claims.get("scp")) {
        Some(Value::String(list)) => list.split_ascii_whitespace().collect(),
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    // No word is no scope, not every scope.
    let known = words.iter().filter_map(|word| Scope::parse(Some(word)).ok());
    known.flatten().collect()
}

fn text<'c>(claims: &'c Map<String, Value>, name: &str) -> Option<&'c str> {
    claims.get(name).and_then(Value::as_str)
}
