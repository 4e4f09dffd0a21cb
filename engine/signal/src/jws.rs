//! Compact JSON Web Signatures (RFC 7515) of others: taken apart, and held against a key set (RFC 7517) with a
//! list of algorithms that are good enough. Not the claims in them, and not our own signatures (see
//! [`crate::keys`]).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    rsa::PublicKeyComponents,
    signature::{
        ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256,
        RsaParameters, UnparsedPublicKey,
    },
};
use serde_json::{Map, Value};

/// A signature that is accepted where an operator names it. `none` and the HMAC family are not among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSA PKCS #1 1.5 with SHA-256, 2048 bits or more.
    Rs256,
    /// RSA PSS with SHA-256, 2048 bits or more.
    Ps256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
}

/// A token whose signature fits.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The key it is signed with; empty if the key set does not name it.
    pub kid: String,
    /// All claims.
    pub claims: Map<String, Value>,
}

/// Why a token is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwsError {
    /// It is no compact JWS, or of another type.
    #[error("{0}")]
    Form(String),
    /// The key is unknown, of another kind, or the signature does not fit.
    #[error("{0}")]
    Key(String),
}

/// The JSON objects of a token: header and claims.
pub type HeaderAndClaims = (Map<String, Value>, Map<String, Value>);

const ALGORITHMS: [(Algorithm, &str); 3] =
    [(Algorithm::Rs256, "RS256"), (Algorithm::Ps256, "PS256"), (Algorithm::Es256, "ES256")];

impl Algorithm {
    /// The word of RFC 7518.
    pub fn name(self) -> &'static str {
        ALGORITHMS.iter().find(|(a, _)| *a == self).map_or("RS256", |(_, name)| name)
    }

    /// The algorithm of a word.
    pub fn parse(word: &str) -> Option<Algorithm> {
        ALGORITHMS.iter().find(|(_, name)| *name == word).map(|(algorithm, _)| *algorithm)
    }

    fn key_type(self) -> &'static str {
        match self {
            Algorithm::Rs256 | Algorithm::Ps256 => "RSA",
            Algorithm::Es256 => "EC",
        }
    }

    fn check(self, key: &Value, signed: &[u8], signature: &[u8]) -> Result<(), JwsError> {
        let part = |name: &str| {
            let text = key.get(name).and_then(Value::as_str).unwrap_or_default();
            URL_SAFE_NO_PAD.decode(text).map_err(|_| JwsError::Key(format!("`{name}` of the key")))
        };
        let rsa = |parameters: &RsaParameters| {
            let key = PublicKeyComponents { n: part("n")?, e: part("e")? };
            Ok(key.verify(parameters, signed, signature).is_ok())
        };
        let fits = match self {
            Algorithm::Rs256 => rsa(&RSA_PKCS1_2048_8192_SHA256)?,
            Algorithm::Ps256 => rsa(&RSA_PSS_2048_8192_SHA256)?,
            Algorithm::Es256 => {
                // An uncompressed point.
                let point = [vec![4], part("x")?, part("y")?].concat();
                let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
                key.verify(signed, signature).is_ok()
            }
        };
        fits.then_some(()).ok_or_else(|| JwsError::Key("the signature does not fit".into()))
    }
}

/// Verifies type and signature of a token; `types` are those that its header may have.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn verify(
    token: &str,
    jwks: &Value,
    algorithms: &[Algorithm],
    types: &[&str],
) -> Result<Verified, JwsError> {
    let (header, claims, signed, signature) = split(token.trim())?;
    let text = |name: &str| header.get(name).and_then(Value::as_str);
    // `none` and the HMAC family never get as far as a key.
    let algorithm = text("alg").and_then(Algorithm::parse).filter(|a| algorithms.contains(a));
    let algorithm = algorithm.ok_or_else(|| {
        let good: Vec<&str> = algorithms.iter().map(|a| a.name()).collect();
        JwsError::Key(format!("alg is {:?}, not {}", text("alg"), good.join(", ")))
    })?;
    let typ = text("typ").unwrap_or_default();
    if !types.iter().any(|t| t.eq_ignore_ascii_case(typ)) {
        return Err(JwsError::Form(format!("`typ` is not {}", types.join(", "))));
    }
    if header.contains_key("crit") {
        let what = "`crit` names extensions, and none is known here";
        return Err(JwsError::Form(what.into()));
    }
    let key = key(jwks, text("kid"), algorithm)?;
    algorithm.check(key, signed.as_bytes(), &signature)?;
    let kid = key.get("kid").and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(Verified { kid, claims })
}

/// Header and claims of a compact JWS, nothing verified: to show what somebody holds, or to see whose keys
/// are to be asked for.
///
/// # Errors
/// If it is no compact JWS with JSON in it.
pub fn decode(token: &str) -> Result<HeaderAndClaims, JwsError> {
    let (header, claims, _, _) = split(token.trim())?;
    Ok((header, claims))
}

/// Whether an `aud` claim names an audience.
pub fn is_for(aud: Option<&Value>, wanted: &str) -> bool {
    match aud {
        Some(Value::String(one)) => one == wanted,
        Some(Value::Array(several)) => several.iter().any(|a| a.as_str() == Some(wanted)),
        _ => false,
    }
}

type Parts<'t> = (Map<String, Value>, Map<String, Value>, &'t str, Vec<u8>);

fn split(token: &str) -> Result<Parts<'_>, JwsError> {
    let broken = || JwsError::Form("it is no compact JWS: header.claims.signature".into());
    let (signed, signature) = token.rsplit_once('.').ok_or_else(broken)?;
    let (header, claims) = signed.split_once('.').ok_or_else(broken)?;
    let json = |part: &str| -> Result<Map<String, Value>, JwsError> {
        let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| broken())?;
        serde_json::from_slice(&bytes).map_err(|_| broken())
    };
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| broken())?;
    Ok((json(header)?, json(claims)?, signed, signature))
}

/// The key of a key set; without `kid` only an unambiguous one.
fn key<'j>(
    jwks: &'j Value,
    kid: Option<&str>,
    algorithm: Algorithm,
) -> Result<&'j Value, JwsError> {
    let all = jwks.get("keys").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let text = |key: &'j Value, name: &str| key.get(name).and_then(Value::as_str);
    let mut fitting = all.iter().filter(|key| {
        text(key, "kty") == Some(algorithm.key_type())
            && text(key, "use").is_none_or(|u| u == "sig")
            && text(key, "alg").is_none_or(|a| a == algorithm.name())
            && kid.is_none_or(|kid| text(key, "kid") == Some(kid))
    });
    let first = fitting.next().ok_or_else(|| {
        let (name, kid) = (algorithm.name(), kid.unwrap_or("of any id"));
        JwsError::Key(format!("the key set has no {name} key `{kid}`"))
    })?;
    match fitting.next() {
        None => Ok(first),
        Some(_) => Err(JwsError::Key("several keys fit and the token names none".into())),
    }
}
