//! Access tokens of receivers: client credentials in, a signed opaque token out (RFC 6749 section 4.4, Interop
//! profile 2.7), or a token that an authorization server of the operator issued ([`TrustedIssuer`]). Not where
//! the secrets of clients are kept, and not how the keys of others are fetched.

mod trusted;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use subtle::ConstantTimeEq;

pub use trusted::TrustedIssuer;

use crate::jws::JwsError;

/// Seconds that a token is good for.
pub const LIFETIME_S: i64 = 3600;

/// What a token may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Reading streams and their status; polling.
    Read,
    /// Everything about the receiver's own streams.
    Manage,
    /// Making streams.
    Create,
    /// Changing streams, their status and subjects; asking for verification.
    Update,
    /// Deleting streams.
    Delete,
    /// Polling alone.
    Poll,
}

/// Who shows a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bearer {
    /// The receiver, which is the client id.
    pub receiver: String,
    scopes: Vec<Scope>,
}

/// Why a token is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// No token of this issuer, nor of one that is trusted.
    #[error("the access token is not one of this issuer")]
    Unknown,
    /// It is past its time.
    #[error("the access token has expired")]
    Expired,
    /// It is from an issuer that is trusted, and something else is wrong with it.
    #[error("the access token is refused: {0}")]
    Refused(String),
    /// It is from an issuer that is trusted, and it is signed with a key that is not known, or wrongly.
    #[error("the access token cannot be trusted: {0}")]
    Key(String),
}

impl From<JwsError> for TokenError {
    fn from(error: JwsError) -> Self {
        match error {
            JwsError::Form(what) => TokenError::Refused(what),
            JwsError::Key(what) => TokenError::Key(what),
        }
    }
}

const SCOPES: [(Scope, &str); 6] = [
    (Scope::Read, "ssf.read"),
    (Scope::Manage, "ssf.manage"),
    (Scope::Create, "ssf.manage.create"),
    (Scope::Update, "ssf.manage.update"),
    (Scope::Delete, "ssf.manage.delete"),
    (Scope::Poll, "ssf.manage.poll"),
];

impl Scope {
    /// The word on the wire.
    pub fn name(self) -> &'static str {
        SCOPES.iter().find(|(s, _)| *s == self).map_or("", |(_, name)| name)
    }

    /// Every scope, as metadata lists them.
    pub fn names() -> [&'static str; 6] {
        SCOPES.map(|(_, name)| name)
    }

    /// The scopes of a request: known ones of a list with spaces; reading and managing without a list.
    ///
    /// # Errors
    /// The first word that is no scope here.
    pub fn parse(list: Option<&str>) -> Result<Vec<Scope>, String> {
        let Some(list) = list.map(str::trim).filter(|l| !l.is_empty()) else {
            return Ok(vec![Scope::Read, Scope::Manage]);
        };
        list.split_ascii_whitespace()
            .map(|word| {
                let found = SCOPES.iter().find(|(_, name)| *name == word);
                found.map(|(scope, _)| *scope).ok_or_else(|| word.to_owned())
            })
            .collect()
    }

    /// Scopes as one text.
    pub fn list(scopes: &[Scope]) -> String {
        scopes.iter().map(|s| s.name()).collect::<Vec<_>>().join(" ")
    }
}

impl Bearer {
    /// Whether it may do what a scope stands for; managing includes everything, reading includes polling.
    pub fn may(&self, scope: Scope) -> bool {
        let has = |scope| self.scopes.contains(&scope);
        has(scope) || has(Scope::Manage) || (scope == Scope::Poll && has(Scope::Read))
    }
}

/// A token for a receiver. `secret` is its client secret: a token dies with it.
pub fn issue(key: &[u8; 32], receiver: &str, secret: &str, scopes: &[Scope], now: i64) -> String {
    let expires = now.div_euclid(1000) + LIFETIME_S;
    let content = format!("{expires} {receiver} {}", Scope::list(scopes));
    let tag = tag(key, &content, secret);
    format!("{}.{}", URL_SAFE_NO_PAD.encode(&content), URL_SAFE_NO_PAD.encode(tag))
}

/// Who shows a token. `secret` gives the client secret of a receiver that still exists.
///
/// # Errors
/// If it is not one of ours, or expired.
pub fn check<'s>(
    key: &[u8; 32],
    token: &str,
    secret: impl Fn(&str) -> Option<&'s str>,
    now: i64,
) -> Result<Bearer, TokenError> {
    let (content, shown) = token.split_once('.').ok_or(TokenError::Unknown)?;
    let content = URL_SAFE_NO_PAD.decode(content).ok().and_then(|b| String::from_utf8(b).ok());
    let content = content.ok_or(TokenError::Unknown)?;
    let mut words = content.splitn(3, ' ');
    let (Some(expires), Some(receiver), Some(scopes)) = (words.next(), words.next(), words.next())
    else {
        return Err(TokenError::Unknown);
    };
    let secret = secret(receiver).ok_or(TokenError::Unknown)?;
    let shown = URL_SAFE_NO_PAD.decode(shown).map_err(|_| TokenError::Unknown)?;
    if !bool::from(tag(key, &content, secret).ct_eq(&shown)) {
        return Err(TokenError::Unknown);
    }
    let expires: i64 = expires.parse().map_err(|_| TokenError::Unknown)?;
    if expires <= now.div_euclid(1000) {
        return Err(TokenError::Expired);
    }
    let scopes = Scope::parse(Some(scopes)).map_err(|_| TokenError::Unknown)?;
    Ok(Bearer { receiver: receiver.to_owned(), scopes })
}

/// Whether a client secret is the right one, in constant time.
pub fn secret_fits(right: &str, shown: &str) -> bool {
    let hash = |text: &str| *blake3::hash(text.as_bytes()).as_bytes();
    bool::from(hash(right).ct_eq(&hash(shown)))
}

fn tag(key: &[u8; 32], content: &str, secret: &str) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_keyed(key);
    for part in [content, secret] {
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    *hasher.finalize().as_bytes()
}
