//! Security event tokens (RFC 8417): claims and the ids that are derived, never drawn. Not the
//! signature (see [`crate::keys`]).

use serde_json::{Map, Value, json};

use crate::{EventType, SubjectId};

/// The type of a SET in its JOSE header.
pub const TYP: &str = "secevent+jwt";
/// Bytes of the largest SET that is sent; receivers refuse more than 256 KiB.
pub const MAX_BYTES: usize = 64 << 10;

/// What the claims of one SET are made of.
#[derive(Clone, Copy, Debug)]
pub struct Claims<'c> {
    /// The issuer, as the metadata says it.
    pub iss: &'c str,
    /// Who it is for.
    pub aud: &'c [String],
    /// Its id.
    pub jti: &'c str,
    /// The cause that it shares with others.
    pub txn: Option<&'c str>,
    /// When it was issued, seconds since 1970.
    pub iat: i64,
    /// Whom it is about.
    pub subject: &'c SubjectId,
    /// Its type.
    pub event_type: EventType,
    /// Its one event.
    pub event: &'c Map<String, Value>,
}

impl Claims<'_> {
    /// The claims as JSON: neither `sub` nor `exp`, exactly one event.
    pub fn to_value(self) -> Value {
        let mut claims = json!({
            "iss": self.iss, "aud": audience(self.aud), "jti": self.jti, "iat": self.iat,
            "sub_id": self.subject.to_value(),
        });
        if let Some(object) = claims.as_object_mut() {
            if let Some(txn) = self.txn {
                object.insert("txn".into(), txn.into());
            }
            let mut events = Map::new();
            events.insert(self.event_type.uri(), Value::Object(self.event.clone()));
            object.insert("events".into(), Value::Object(events));
        }
        claims
    }
}

/// `aud`: text for one, a list for several.
pub fn audience(aud: &[String]) -> Value {
    match aud {
        [one] => one.as_str().into(),
        several => several.into(),
    }
}

/// The id of a SET: the same stream, cause and type give the same id, for ever. `replay` is 0 but for
/// a dead letter that a person sends again.
pub fn jti(stream: &str, cause: &str, event_type: EventType, replay: u32) -> String {
    derive("jti", &[stream, cause, &event_type.uri(), &replay.to_string()])
}

/// The cause of a change of level.
pub fn level_cause(kind: &str, id: &str, change_no: u64, to: &str) -> String {
    cause("level", &[kind, id, &change_no.to_string(), to])
}

/// A `txn` of ours: its last 8 digits follow from the others, so that it is known again without a list
/// when another transmitter hands it on. A foreign one looks like it once in 4 billion.
pub(crate) fn cause(context: &str, parts: &[&str]) -> String {
    let mut cause = derive(context, parts);
    cause.truncate(CAUSE);
    let check = derive("cause", &[&cause]);
    cause.extend(check.chars().take(DIGITS - CAUSE));
    cause
}

/// Whether a `txn` is one of ours.
pub fn is_own_cause(txn: &str) -> bool {
    let Some((cause, check)) = txn.split_at_checked(CAUSE) else { return false };
    txn.len() == DIGITS && derive("cause", &[cause]).starts_with(check)
}

/// Digits of a derived id, and those of a cause before its check.
const DIGITS: usize = 32;
const CAUSE: usize = 24;

/// 128 bits over parts, as 32 hex digits. Each part is preceded by its length.
pub fn derive(context: &str, parts: &[&str]) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("sluice signal 1");
    for part in [context].iter().chain(parts) {
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().to_hex().chars().take(DIGITS).collect()
}
