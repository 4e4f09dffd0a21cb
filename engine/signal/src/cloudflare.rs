//! External evaluation of Cloudflare Access, as its documentation describes it: Access posts a token of its own
//! about who asks, and reads a signed yes or no. Written after that documentation and not tested against the
//! vendor. Not the keys of the team, and not the HTTP around it.

use serde_json::{Map, Value, json};
use sluice_event::EntityKind;

use crate::{
    EntityKey, KeyError, SigningKeys,
    jws::{self, Algorithm, JwsError},
};

/// Who asks to be let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The user, and the device, where they are named.
    pub entities: Vec<EntityKey>,
    /// Binds the answer to the request.
    nonce: String,
}

/// Why a request is not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// It is not signed by the team, with a key that is known.
    #[error("the token is not one of the team: {0}")]
    Key(String),
    /// Something else is wrong with it.
    #[error("the token is refused: {0}")]
    Form(String),
}

/// Seconds for which an answer is good.
const GOOD_S: i64 = 60;

/// Who asks, by the token of a request. `jwks` is the key set of the team, `now` milliseconds since 1970.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn asked(token: &str, jwks: &Value, now: i64) -> Result<Asked, AskError> {
    let verified = jws::verify(token, jwks, &[Algorithm::Rs256], &["JWT", ""]);
    let claims = verified.map_err(|error| match error {
        JwsError::Key(what) => AskError::Key(what),
        JwsError::Form(what) => AskError::Form(what),
    })?;
    let claims = claims.claims;
    match claims.get("exp").and_then(Value::as_f64) {
        None => return Err(AskError::Form("`exp` is missing".into())),
        Some(exp) if exp <= now.div_euclid(1_000) as f64 => {
            return Err(AskError::Form("it has expired".into()));
        }
        Some(_) => {}
    }
    let nonce = claims.get("nonce").and_then(Value::as_str).filter(|n| !n.is_empty());
    let nonce = nonce.ok_or_else(|| AskError::Form("`nonce` is missing".into()))?;
    let identity = claims.get("identity").and_then(Value::as_object);
    let identity = identity.ok_or_else(|| AskError::Form("`identity` is missing".into()))?;
    let entities = [
        named(identity, "email", EntityKind::User),
        named(identity, "device_id", EntityKind::Device),
        // Of a service token.
        named(identity, "common_name", EntityKind::Workload),
    ];
    let entities: Vec<EntityKey> = entities.into_iter().flatten().collect();
    if entities.is_empty() {
        return Err(AskError::Form("it names nobody".into()));
    }
    Ok(Asked { entities, nonce: nonce.to_owned() })
}

/// The answer: a token signed with a key that Access fetches from us.
///
/// # Errors
/// If it cannot be signed.
pub fn answer(
    keys: &SigningKeys,
    asked: &Asked,
    success: bool,
    now: i64,
) -> Result<Value, KeyError> {
    let iat = now.div_euclid(1_000);
    let claims = json!({"success": success, "iat": iat, "exp": iat + GOOD_S, "nonce": asked.nonce});
    Ok(json!({"token": keys.sign("JWT", &claims)?}))
}

/// An entity as events name it.
fn named(identity: &Map<String, Value>, name: &str, kind: EntityKind) -> Option<EntityKey> {
    let id = identity.get(name)?.as_str()?.trim();
    (!id.is_empty()).then(|| EntityKey { kind, id: id.to_lowercase() })
}
