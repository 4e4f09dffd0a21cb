//! Security event tokens of other transmitters as records of a log source: verified, ours sent back left
//! out, each event flattened to the columns that the mappings `ssf.set.*` read. Not how a SET gets here,
//! and not which were here before: a SET is named by [`InboundSet::key`], for the caller to remember.
//!
//! What another transmitter thinks of a risk is evidence, never a level of ours.

use serde_json::{Map, Value, json};
use sluice_event::rfc3339;

use crate::{
    EventType,
    set::{derive, is_own_cause},
    verify::{Expected, VerifyError, verify},
};

/// How SETs of one transmitter are taken.
#[derive(Clone, Debug)]
pub struct Inbound {
    /// The name of the input.
    pub transmitter: String,
    /// Who issues them.
    pub issuer: String,
    /// Whom they are for: one of these.
    pub audience: Vec<String>,
}

/// A SET that was verified.
#[derive(Clone, Debug, PartialEq)]
pub struct InboundSet {
    /// Its `jti`.
    pub jti: String,
    /// Stands for issuer and `jti`: a SET that comes again has the same.
    pub key: String,
    /// What it holds.
    pub content: Content,
}

/// What a verified SET holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Records, one of each event.
    Records(Vec<Value>),
    /// Events about the stream alone: verification, stream-updated.
    Stream,
    /// It was caused by a signal of ours.
    Own,
}

/// Days for which SETs are remembered by their key.
pub const REMEMBERED_DAYS: i64 = 14;

impl Inbound {
    /// Verifies a SET against a key set and takes it apart. `now` is milliseconds since 1970.
    ///
    /// # Errors
    /// The first thing that is wrong with it, with its word of RFC 8935.
    pub fn receive(&self, token: &str, jwks: &Value, now: i64) -> Result<InboundSet, VerifyError> {
        let of =
            |audience| Expected { jwks, issuer: Some(&self.issuer), audience: Some(audience), now };
        let mut verified = Err(VerifyError::Audience("nobody".to_owned()));
        for audience in &self.audience {
            verified = verify(token, &of(audience));
            if !matches!(verified, Err(VerifyError::Audience(_))) {
                break;
            }
        }
        let claims = verified?.claims;
        let text = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default();
        let jti = text("jti").to_owned();
        let key = derive("inbound", &[&self.issuer, &jti]);
        let events = claims.get("events").and_then(Value::as_object);
        let about = |uri: &str| EventType::parse(uri).is_some_and(EventType::is_about_stream);
        let content = if is_own_cause(text("txn")) {
            Content::Own
        } else {
            let events = events.into_iter().flatten().filter(|(uri, _)| !about(uri));
            match events.map(|(uri, event)| self.record(&claims, uri, event)).collect::<Vec<_>>() {
                records if records.is_empty() => Content::Stream,
                records => Content::Records(records),
            }
        };
        Ok(InboundSet { jti, key, content })
    }

    fn record(&self, claims: &Map<String, Value>, uri: &str, event: &Value) -> Value {
        let text = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default();
        // When it happened, as far as that is said.
        let at = event.get("event_timestamp").or_else(|| claims.get("iat"));
        let at = at.and_then(Value::as_f64).map(|seconds| (seconds * 1_000.0) as i64);
        let subject = claims.get("sub_id").unwrap_or(&Value::Null);
        let mut record = json!({
            "set_id": derive("event", &[&self.issuer, text("jti"), uri]),
            "transmitter": self.transmitter, "issuer": self.issuer, "jti": text("jti"),
            "time": at.map(rfc3339), "event_type": uri.rsplit('/').next().unwrap_or(uri), "event_uri": uri,
            "reason": reason(event), "event": event, "subject": subject,
        });
        if let Some(record) = record.as_object_mut() {
            if let Some(txn) = claims.get("txn") {
                record.insert("txn".into(), txn.clone());
            }
            for (name, value) in flattened(subject) {
                record.insert(name.to_owned(), value.into());
            }
        }
        record
    }
}

/// The columns that a subject fills (RFC 9493, SSF 1.0 section 3).
fn flattened(subject: &Value) -> Vec<(&'static str, &str)> {
    let member = |name: &str| subject.get(name);
    let format = |value: &Value| value.get("format").and_then(Value::as_str) == Some("complex");
    if !format(subject) {
        return user(subject);
    }
    let mut found = member("user").map(user).unwrap_or_default();
    for (name, column) in
        [("device", "device_id"), ("session", "session_id"), ("tenant", "tenant_id")]
    {
        if let Some(id) = member(name).and_then(id) {
            found.push((column, id));
        }
    }
    found
}

/// A subject that stands for itself is a user, but for addresses.
fn user(subject: &Value) -> Vec<(&'static str, &str)> {
    let text = |name: &str| subject.get(name).and_then(Value::as_str);
    match text("format") {
        Some("email") => text("email").map(|email| ("user_email", email)).into_iter().collect(),
        Some("iss_sub") => text("sub").map(|sub| ("user_id", sub)).into_iter().collect(),
        Some("account") => {
            let account = text("uri").map(|uri| uri.strip_prefix("acct:").unwrap_or(uri));
            account.map(|account| ("user_email", account)).into_iter().collect()
        }
        Some("ip-addresses") => {
            let first = subject.get("ip-addresses").and_then(|list| list.get(0));
            first.and_then(Value::as_str).map(|ip| ("ip", ip)).into_iter().collect()
        }
        Some("aliases") => {
            let all = subject.get("identifiers").and_then(Value::as_array);
            let mut found: Vec<(&'static str, &str)> = Vec::new();
            for (column, value) in all.into_iter().flatten().flat_map(user) {
                if !found.iter().any(|(known, _)| *known == column) {
                    found.push((column, value));
                }
            }
            found
        }
        _ => id(subject).map(|id| ("user_id", id)).into_iter().collect(),
    }
}

/// The text that names a subject, whatever its format.
fn id(subject: &Value) -> Option<&str> {
    let names = ["id", "sub", "email", "uri", "url", "phone_number", "jti", "assertion_id"];
    names.into_iter().find_map(|name| subject.get(name).and_then(Value::as_str))
}

/// What the transmitter says why: to administrators, else to users, in English where it does.
fn reason(event: &Value) -> Option<&str> {
    let said = ["reason_admin", "reason_user"].into_iter().find_map(|name| event.get(name))?;
    let any = || said.as_object().and_then(|all| all.values().next());
    said.get("en").or_else(any).or(Some(said)).and_then(Value::as_str)
}
