//! Event types: CAEP 1.0, RISC 1.0 and the two of SSF itself, with the members each one needs. Not
//! when one is sent.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sluice_event::EntityKind;

/// A risk level as CAEP names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Nothing unusual.
    #[default]
    Low,
    /// Ask for more proof.
    Medium,
    /// Do not let in.
    High,
}

/// An event type that this transmitter sends or reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventType {
    /// CAEP risk-level-change.
    RiskLevelChange,
    /// CAEP session-revoked.
    SessionRevoked,
    /// CAEP device-compliance-change.
    DeviceComplianceChange,
    /// CAEP assurance-level-change.
    AssuranceLevelChange,
    /// CAEP credential-change.
    CredentialChange,
    /// CAEP token-claims-change.
    TokenClaimsChange,
    /// RISC credential-compromise.
    CredentialCompromise,
    /// SSF verification.
    Verification,
    /// SSF stream-updated.
    StreamUpdated,
}

const LEVELS: [(Level, &str, &str); 3] = [
    (Level::Low, "low", "LOW"),
    (Level::Medium, "medium", "MEDIUM"),
    (Level::High, "high", "HIGH"),
];

impl Level {
    /// The word in the API and the configuration.
    pub fn name(self) -> &'static str {
        LEVELS.iter().find(|l| l.0 == self).map_or("low", |l| l.1)
    }

    /// The word of CAEP.
    pub fn caep(self) -> &'static str {
        LEVELS.iter().find(|l| l.0 == self).map_or("LOW", |l| l.2)
    }

    /// The level of a word, in either case.
    pub fn parse(word: &str) -> Option<Level> {
        LEVELS.iter().find(|l| l.1.eq_ignore_ascii_case(word)).map(|l| l.0)
    }
}

const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type/";
const RISC: &str = "https://schemas.openid.net/secevent/risc/event-type/";
const SSF: &str = "https://schemas.openid.net/secevent/ssf/event-type/";

impl EventType {
    /// Every type.
    pub const ALL: [EventType; 9] = [
        EventType::RiskLevelChange,
        EventType::SessionRevoked,
        EventType::DeviceComplianceChange,
        EventType::AssuranceLevelChange,
        EventType::CredentialChange,
        EventType::TokenClaimsChange,
        EventType::CredentialCompromise,
        EventType::Verification,
        EventType::StreamUpdated,
    ];

    /// Its base and its short name.
    fn parts(self) -> (&'static str, &'static str) {
        match self {
            EventType::RiskLevelChange => (CAEP, "risk-level-change"),
            EventType::SessionRevoked => (CAEP, "session-revoked"),
            EventType::DeviceComplianceChange => (CAEP, "device-compliance-change"),
            EventType::AssuranceLevelChange => (CAEP, "assurance-level-change"),
            EventType::CredentialChange => (CAEP, "credential-change"),
            EventType::TokenClaimsChange => (CAEP, "token-claims-change"),
            EventType::CredentialCompromise => (RISC, "credential-compromise"),
            EventType::Verification => (SSF, "verification"),
            EventType::StreamUpdated => (SSF, "stream-updated"),
        }
    }

    /// The short name, `risk-level-change`.
    pub fn name(self) -> &'static str {
        self.parts().1
    }

    /// The URI in the `events` claim.
    pub fn uri(self) -> String {
        let (base, name) = self.parts();
        format!("{base}{name}")
    }

    /// The type of a URI or a short name.
    pub fn parse(text: &str) -> Option<EventType> {
        Self::ALL.into_iter().find(|t| t.name() == text || t.uri() == text)
    }

    /// The types a receiver may ask for. Those of SSF itself come unasked.
    pub fn offered() -> impl Iterator<Item = EventType> {
        Self::ALL.into_iter().filter(|t| !t.is_about_stream())
    }

    /// Whether its subject is the stream.
    pub fn is_about_stream(self) -> bool {
        matches!(self, EventType::Verification | EventType::StreamUpdated)
    }

    /// Checks the members of an event of this type.
    ///
    /// # Errors
    /// The first member that is missing or has another form, and what it has to be.
    pub fn check(self, event: &Map<String, Value>) -> Result<(), String> {
        for (member, form) in self.members() {
            let Some(value) = event.get(*member) else {
                match form {
                    Form::Optional(_) => continue,
                    _ => return Err(format!("`{member}` is missing")),
                }
            };
            form.check(value).map_err(|what| format!("`{member}` {what}"))?;
        }
        for member in ["reason_admin", "reason_user"] {
            if let Some(value) = event.get(member) {
                Form::Texts.check(value).map_err(|what| format!("`{member}` {what}"))?;
            }
        }
        if let Some(at) = event.get("event_timestamp")
            && !at.is_number()
        {
            return Err("`event_timestamp` is a number of seconds since 1970".into());
        }
        Ok(())
    }

    /// An event of this type with all that it needs, to test a stream with.
    pub fn sample(self, now: i64) -> Map<String, Value> {
        let mut event = match self {
            EventType::RiskLevelChange => {
                json!({"principal": "USER", "current_level": "LOW", "previous_level": "LOW"})
            }
            EventType::SessionRevoked | EventType::Verification => json!({}),
            EventType::DeviceComplianceChange => {
                json!({"previous_status": "compliant", "current_status": "not-compliant"})
            }
            EventType::AssuranceLevelChange => json!({
                "namespace": "NIST-AAL", "current_level": "nist-aal1",
                "previous_level": "nist-aal2", "change_direction": "decrease",
            }),
            EventType::CredentialChange => {
                json!({"credential_type": "password", "change_type": "update"})
            }
            EventType::TokenClaimsChange => json!({"claims": {"groups": ["test"]}}),
            EventType::CredentialCompromise => json!({"credential_type": "password"}),
            EventType::StreamUpdated => json!({"status": "enabled"}),
        };
        if let Some(event) = event.as_object_mut()
            && !self.is_about_stream()
        {
            common(event, now, "admin", "test event");
            event.insert("x_sluice".into(), json!({"test": true}));
        }
        event.as_object().cloned().unwrap_or_default()
    }

    fn members(self) -> &'static [(&'static str, Form)] {
        use Form as F;
        match self {
            EventType::RiskLevelChange => &[
                ("principal", F::Text),
                ("current_level", F::OneOf(&["LOW", "MEDIUM", "HIGH"])),
                ("previous_level", F::Optional(&["LOW", "MEDIUM", "HIGH"])),
            ],
            // The interoperability profile asks for the reason.
            EventType::SessionRevoked => &[("reason_admin", F::Texts)],
            EventType::DeviceComplianceChange => &[
                ("previous_status", F::OneOf(&["compliant", "not-compliant"])),
                ("current_status", F::OneOf(&["compliant", "not-compliant"])),
            ],
            EventType::AssuranceLevelChange => &[
                ("namespace", F::Text),
                ("current_level", F::Text),
                ("change_direction", F::Optional(&["increase", "decrease"])),
            ],
            EventType::CredentialChange => &[
                ("credential_type", F::OneOf(CREDENTIALS)),
                ("change_type", F::OneOf(&["create", "revoke", "update", "delete"])),
                ("reason_admin", F::Texts),
            ],
            EventType::TokenClaimsChange => &[("claims", F::Object)],
            EventType::CredentialCompromise => &[("credential_type", F::OneOf(CREDENTIALS))],
            EventType::Verification => &[],
            EventType::StreamUpdated => &[("status", F::OneOf(&["enabled", "paused", "disabled"]))],
        }
    }
}

/// Values of `credential_type` (CAEP 1.0 section 3.3.1).
const CREDENTIALS: &[&str] = &[
    "password",
    "pin",
    "x509",
    "fido2-platform",
    "fido2-roaming",
    "fido-u2f",
    "verifiable-credential",
    "phone-voice",
    "phone-sms",
    "app",
];

/// The form of a member.
enum Form {
    Text,
    OneOf(&'static [&'static str]),
    Optional(&'static [&'static str]),
    /// A text per language, at least one.
    Texts,
    Object,
}

impl Form {
    fn check(&self, value: &Value) -> Result<(), String> {
        let good = match self {
            Form::Text => value.as_str().is_some_and(|t| !t.is_empty()),
            Form::OneOf(words) | Form::Optional(words) => {
                value.as_str().is_some_and(|t| words.contains(&t))
            }
            Form::Texts => {
                value.as_object().is_some_and(|o| !o.is_empty() && o.values().all(Value::is_string))
            }
            Form::Object => value.is_object(),
        };
        if good {
            return Ok(());
        }
        Err(match self {
            Form::Text => "is a text".into(),
            Form::OneOf(words) | Form::Optional(words) => format!("is one of {}", words.join(", ")),
            Form::Texts => "is an object with a text per language, {\"en\": \"..\"}".into(),
            Form::Object => "is an object".into(),
        })
    }
}

/// Adds what every CAEP event of ours carries: when it happened (milliseconds), who started it, why.
pub fn common(event: &mut Map<String, Value>, at: i64, initiator: &str, reason: &str) {
    event.insert("event_timestamp".into(), at.div_euclid(1000).into());
    event.insert("initiating_entity".into(), initiator.into());
    event.insert("reason_admin".into(), json!({"en": reason}));
}

/// The `principal` of a kind of entity.
pub fn principal(kind: EntityKind) -> &'static str {
    match kind {
        EntityKind::User => "USER",
        EntityKind::Device => "DEVICE",
        EntityKind::Session => "SESSION",
        EntityKind::Workload | EntityKind::Application => "APPLICATION",
        EntityKind::Ip => "IP_ADDRESS",
    }
}
