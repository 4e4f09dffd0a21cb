//! Event streams (SSF 1.0 section 8): their configuration as receivers write and read it, their status
//! and subjects. Not what is in their outbox.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sluice_event::EntityKind;

use crate::{
    EventType, Level, Staleness, SubjectId, set,
    subject::{Issuers, SubjectFormat},
};

/// Push delivery (RFC 8935).
pub const PUSH: &str = "urn:ietf:rfc:8935";
/// Poll delivery (RFC 8936).
pub const POLL: &str = "urn:ietf:rfc:8936";

/// What the operator allows and wants for a receiver.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Its name, which is its OAuth client id.
    pub name: String,
    /// In which form it gets SETs.
    pub dialect: Dialect,
    /// The `aud` of its streams.
    pub audience: Vec<String>,
    /// The event types it may get.
    pub events: Vec<EventType>,
    /// The kinds of entity it hears of.
    pub entities: Vec<EntityKind>,
    /// Levels below this one are `low` to it.
    pub min_level: Level,
    /// How users are named to it.
    pub subject_format: SubjectFormat,
    /// Who issues its `iss_sub` identifiers.
    pub issuers: Issuers,
    /// Whether it hears of every entity, or only of those it added.
    pub all_subjects: bool,
    /// Whether SETs are only recorded, not delivered.
    pub shadow: bool,
    /// Whether SETs carry score and rules.
    pub detail: bool,
    /// Whether a user's rise to `high` also ends their sessions.
    pub revoke_sessions: bool,
    /// Whether a rise of computed risk is sent only when a person has approved it.
    pub approval: bool,
    /// What it hears of an entity whose sources are silent.
    pub staleness: Staleness,
    /// SETs that are pushed within a second at most.
    pub rate: u32,
    /// Milliseconds between two SETs about one subject, but for rises to `high`.
    pub min_interval: i64,
    /// A push stream that the operator gives it.
    pub push: Option<PushTarget>,
    /// Hosts that the receiver may choose as push endpoints.
    pub push_hosts: Vec<String>,
}

/// The form of SETs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// As SSF 1.0 and CAEP 1.0 say.
    #[default]
    Ssf,
    /// That of Okta: see [`crate::okta`].
    Okta,
}

/// Where an operator's own push stream goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushTarget {
    /// The endpoint.
    pub url: String,
    /// The `Authorization` header, as it is.
    pub authorization: Option<String>,
}

/// A stream. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stream {
    /// Its id.
    pub id: String,
    /// Whose it is: [`Profile::name`].
    pub receiver: String,
    /// Whether the operator made it.
    pub configured: bool,
    /// What the receiver asked for, as it wrote it; `None` if it did not say.
    pub events_requested: Option<Vec<String>>,
    /// Where it goes.
    pub delivery: Delivery,
    /// The receiver's own words.
    pub description: Option<String>,
    /// Whether it flows.
    pub status: StreamStatus,
    /// Why it has that status.
    pub reason: Option<String>,
    /// When it was made.
    pub created_at: i64,
    /// When the receiver asked for a verification last.
    pub verified_at: i64,
    /// When the receiver did anything about it last.
    #[serde(default)]
    pub active_at: i64,
    /// When it was paused because its receiver did not take what was pushed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_at: Option<i64>,
    /// Subjects that were added, by key.
    added: BTreeMap<String, SubjectId>,
    /// Subjects that were removed, and until when they are still heard of.
    removed: BTreeMap<String, (SubjectId, i64)>,
}

/// How SETs get to a receiver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "method")]
pub enum Delivery {
    /// We post them.
    Push {
        /// Where.
        endpoint_url: String,
        /// With this `Authorization` header; without one there is none.
        authorization_header: Option<String>,
    },
    /// It asks for them.
    Poll,
}

/// Whether a stream flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamStatus {
    /// SETs are delivered.
    Enabled,
    /// SETs are kept.
    Paused,
    /// SETs are not made.
    Disabled,
}

/// Why a request of a receiver is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// 400.
    #[error("{0}")]
    Bad(String),
    /// 404: no such stream of this receiver.
    #[error("there is no such stream")]
    Unknown,
    /// 409.
    #[error("{0}")]
    Conflict(String),
    /// 429, with the seconds to wait.
    #[error("wait {0} s")]
    TooSoon(i64),
    /// 503: our own failure, logged.
    #[error("not possible now: {0}")]
    Failed(String),
}

/// How a change of a stream treats what it does not mention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    /// It stays (PATCH).
    Merge,
    /// It is deleted (PUT).
    Replace,
}

/// What is shown around a stream that is not in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'c> {
    pub(crate) issuer: &'c str,
    pub(crate) profile: &'c Profile,
    pub(crate) min_verification_s: i64,
    /// 0: none.
    pub(crate) inactivity_s: i64,
}

/// Characters of a description that are kept.
const DESCRIPTION: usize = 256;
/// URIs that a receiver may ask for.
const REQUESTED: usize = 64;
/// Subjects that a receiver may add to one stream.
pub const SUBJECTS: usize = 100_000;

impl Profile {
    /// A receiver of everything, who polls.
    pub fn plain(name: &str, issuer: &str) -> Profile {
        Profile {
            name: name.to_owned(),
            dialect: Dialect::Ssf,
            audience: vec![name.to_owned()],
            events: EventType::offered().collect(),
            entities: EntityKind::ALL.to_vec(),
            min_level: Level::Medium,
            subject_format: SubjectFormat::Email,
            issuers: Issuers { users: issuer.to_owned(), devices: issuer.to_owned() },
            all_subjects: true,
            shadow: false,
            detail: true,
            revoke_sessions: false,
            approval: false,
            staleness: Staleness::Hold,
            rate: 50,
            min_interval: 60_000,
            push: None,
            push_hosts: Vec::new(),
        }
    }
}

impl Dialect {
    /// Whether an event type has a form in it.
    pub(crate) fn sends(self, event_type: EventType) -> bool {
        match self {
            Dialect::Ssf => true,
            Dialect::Okta => crate::okta::sends(event_type),
        }
    }

    /// Whether it knows entities of a kind.
    pub(crate) fn knows(self, kind: EntityKind) -> bool {
        match self {
            Dialect::Ssf => true,
            Dialect::Okta => matches!(kind, EntityKind::User | EntityKind::Device),
        }
    }
}

impl StreamStatus {
    /// The word on the wire.
    pub fn name(self) -> &'static str {
        match self {
            StreamStatus::Enabled => "enabled",
            StreamStatus::Paused => "paused",
            StreamStatus::Disabled => "disabled",
        }
    }

    /// The status of a word.
    pub fn parse(word: &str) -> Option<StreamStatus> {
        [StreamStatus::Enabled, StreamStatus::Paused, StreamStatus::Disabled]
            .into_iter()
            .find(|s| s.name() == word)
    }
}

impl Stream {
    /// A stream that a receiver asks for.
    pub(crate) fn requested(
        id: String,
        body: &Map<String, Value>,
        context: Context<'_>,
        now: i64,
    ) -> Result<Stream, RequestError> {
        let mut stream = Stream::empty(id, &context.profile.name, now);
        stream.update(body, Update::Replace, context)?;
        Ok(stream)
    }

    /// The push stream that the operator gives a receiver.
    pub(crate) fn configured(
        id: String,
        profile: &Profile,
        target: &PushTarget,
        now: i64,
    ) -> Stream {
        let mut stream = Stream::empty(id, &profile.name, now);
        stream.configured = true;
        stream.delivery = Delivery::of_target(target);
        stream
    }

    /// Takes the members that are a receiver's to set.
    pub(crate) fn update(
        &mut self,
        body: &Map<String, Value>,
        update: Update,
        context: Context<'_>,
    ) -> Result<(), RequestError> {
        self.agree(body, context)?;
        let requested = match body.get("events_requested") {
            None | Some(Value::Null) => None,
            Some(value) => Some(texts(value, "events_requested")?),
        };
        let delivery = match body.get("delivery") {
            None | Some(Value::Null) => None,
            Some(value) => Some(Delivery::parse(value, &self.delivery, context.profile)?),
        };
        let description = match body.get("description") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text.chars().take(DESCRIPTION).collect()),
            Some(_) => return Err(RequestError::Bad("`description` is a text".into())),
        };
        match update {
            Update::Replace => {
                self.events_requested = requested;
                self.description = description;
                self.delivery = delivery.unwrap_or(Delivery::Poll);
            }
            Update::Merge => {
                self.events_requested = requested.or(self.events_requested.take());
                self.description = description.or(self.description.take());
                self.delivery = delivery.unwrap_or_else(|| self.delivery.clone());
            }
        }
        Ok(())
    }

    /// The event types that are sent: those it asked for and may have.
    pub(crate) fn delivered(&self, profile: &Profile) -> Vec<EventType> {
        let wanted = |t: &EventType| match &self.events_requested {
            None => true,
            Some(list) => list.iter().any(|uri| *uri == t.uri()),
        };
        let wanted = |t: &EventType| wanted(t) && profile.dialect.sends(*t);
        profile.events.iter().copied().filter(wanted).collect()
    }

    /// As receivers read it. The `Authorization` header is never in it.
    pub(crate) fn to_value(&self, context: Context<'_>) -> Value {
        let uris = |types: &[EventType]| types.iter().map(|t| t.uri()).collect::<Vec<_>>();
        let delivered = uris(&self.delivered(context.profile));
        let supported = uris(&context.profile.events);
        let mut value = json!({
            "stream_id": self.id, "iss": context.issuer,
            "aud": set::audience(&context.profile.audience),
            "events_supported": supported, "events_delivered": delivered,
            "events_requested": self.events_requested.as_ref().unwrap_or(&supported),
            "delivery": match &self.delivery {
                Delivery::Push { endpoint_url, .. } => {
                    json!({"method": PUSH, "endpoint_url": endpoint_url})
                }
                Delivery::Poll => json!({"method": POLL, "endpoint_url": self.poll_url(context.issuer)}),
            },
            "min_verification_interval": context.min_verification_s,
        });
        if let Some(object) = value.as_object_mut() {
            if let Some(text) = &self.description {
                object.insert("description".into(), text.as_str().into());
            }
            if context.inactivity_s > 0 && !self.configured {
                object.insert("inactivity_timeout".into(), context.inactivity_s.into());
            }
        }
        value
    }

    /// Where it is polled.
    pub fn poll_url(&self, issuer: &str) -> String {
        format!("{}/ssf/poll/{}", issuer.trim_end_matches('/'), self.id)
    }

    /// Whether events about a subject go to it.
    pub(crate) fn hears_of(&self, subject: &SubjectId, profile: &Profile, now: i64) -> bool {
        let removed = self.removed.values().any(|(s, until)| s.covers(subject) && *until <= now);
        if removed {
            return false;
        }
        let kept = self.removed.values().any(|(s, _)| s.covers(subject));
        profile.all_subjects || kept || self.added.values().any(|s| s.covers(subject))
    }

    /// Adds a subject.
    pub(crate) fn add(&mut self, subject: SubjectId) -> Result<(), RequestError> {
        let key = subject.key();
        self.removed.remove(&key);
        if self.added.len() >= SUBJECTS && !self.added.contains_key(&key) {
            let text = format!("a stream takes {SUBJECTS} subjects");
            return Err(RequestError::Conflict(text));
        }
        self.added.insert(key, subject);
        Ok(())
    }

    /// Removes a subject; it is still heard of until `until` (SSF 1.0 section 9.3).
    pub(crate) fn remove(&mut self, subject: SubjectId, until: i64) -> Result<(), RequestError> {
        let key = subject.key();
        self.added.remove(&key);
        if self.removed.len() >= SUBJECTS && !self.removed.contains_key(&key) {
            let text = format!("a stream takes {SUBJECTS} subjects");
            return Err(RequestError::Conflict(text));
        }
        self.removed.entry(key).or_insert((subject, until));
        Ok(())
    }

    fn empty(id: String, receiver: &str, now: i64) -> Stream {
        Stream {
            id,
            receiver: receiver.to_owned(),
            configured: false,
            events_requested: None,
            delivery: Delivery::Poll,
            description: None,
            status: StreamStatus::Enabled,
            reason: None,
            created_at: now,
            verified_at: 0,
            active_at: now,
            failed_at: None,
            added: BTreeMap::new(),
            removed: BTreeMap::new(),
        }
    }

    /// Members that are ours may be sent back, unchanged.
    fn agree(&self, body: &Map<String, Value>, context: Context<'_>) -> Result<(), RequestError> {
        let ours = self.to_value(context);
        for name in ["stream_id", "iss", "aud", "events_supported", "events_delivered"] {
            let (Some(given), Some(real)) = (body.get(name), ours.get(name)) else { continue };
            let same = match (given, real) {
                (Value::Array(a), Value::Array(b)) => {
                    a.len() == b.len() && a.iter().all(|v| b.contains(v))
                }
                (Value::Array(a), one) | (one, Value::Array(a)) => *a == [one.clone()],
                (a, b) => a == b,
            };
            if !same {
                return Err(RequestError::Bad(format!("`{name}` is not yours to change")));
            }
        }
        Ok(())
    }
}

impl Delivery {
    /// The delivery of an operator's target.
    pub(crate) fn of_target(target: &PushTarget) -> Delivery {
        Delivery::Push {
            endpoint_url: target.url.clone(),
            authorization_header: target.authorization.clone(),
        }
    }

    fn parse(value: &Value, now: &Delivery, profile: &Profile) -> Result<Delivery, RequestError> {
        let bad = |text: &str| RequestError::Bad(text.to_owned());
        let object = value.as_object().ok_or_else(|| bad("`delivery` is an object"))?;
        let text = |name: &str| match object.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(RequestError::Bad(format!("`delivery.{name}` is a text"))),
        };
        match text("method")?.as_deref() {
            Some(POLL) => Ok(Delivery::Poll),
            Some(PUSH) => {
                let url = text("endpoint_url")?.ok_or_else(|| bad("`delivery.endpoint_url`"))?;
                let host = host(&url).ok_or_else(|| bad("`delivery.endpoint_url` is refused"))?;
                // Which hosts are allowed is not told: the receiver may be somebody else by now.
                if !profile.push_hosts.iter().any(|h| h.eq_ignore_ascii_case(host)) {
                    return Err(bad("`delivery.endpoint_url` is refused"));
                }
                let header = text("authorization_header")?;
                if header.as_deref().is_some_and(|h| !h.chars().all(|c| (' '..='~').contains(&c))) {
                    return Err(bad("`delivery.authorization_header` is printable ASCII"));
                }
                // Reads never show it: sent back without one, it stays.
                let kept = match now {
                    Delivery::Push { endpoint_url, authorization_header }
                        if *endpoint_url == url =>
                    {
                        authorization_header.clone()
                    }
                    Delivery::Push { .. } | Delivery::Poll => None,
                };
                Ok(Delivery::Push { endpoint_url: url, authorization_header: header.or(kept) })
            }
            _ => Err(bad("`delivery.method` is urn:ietf:rfc:8935 or urn:ietf:rfc:8936")),
        }
    }
}

/// The host of an http or https URL; `None` for what is not plainly one: user names, spaces, other
/// schemes, other than ASCII.
pub fn host(url: &str) -> Option<&str> {
    let plain = url.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '\\' | '"' | '<' | '>'));
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if !plain || authority.contains('@') || url.len() > 2_048 {
        return None;
    }
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split_once(']')?.0,
        None => authority.split(':').next().unwrap_or_default(),
    };
    (!host.is_empty()).then_some(host)
}

fn texts(value: &Value, name: &str) -> Result<Vec<String>, RequestError> {
    let wrong = || RequestError::Bad(format!("`{name}` is a list of at most {REQUESTED} texts"));
    let list = value.as_array().filter(|l| l.len() <= REQUESTED).ok_or_else(wrong)?;
    list.iter().map(|v| v.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
}
