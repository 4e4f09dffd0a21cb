//! Subject identifiers (RFC 9493, SSF 1.0 section 3): how an entity is named towards a receiver. Not
//! who stands behind a name.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sluice_event::EntityKind;

/// A checked subject identifier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SubjectId(Map<String, Value>);

/// Why something is no subject identifier.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the subject is not accepted: {0}")]
pub struct SubjectError(String);

/// How users are named towards a receiver. One entity has one name per receiver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SubjectFormat {
    /// `email` where the id is an address, else `iss_sub`.
    #[default]
    Email,
    /// `iss_sub` with the issuer of the identity provider.
    IssSub,
    /// `complex` with the simple form as its member.
    Complex,
}

/// Who issues the identifiers that `iss_sub` subjects carry.
#[derive(Clone, Debug)]
pub struct Issuers {
    /// Of users.
    pub users: String,
    /// Of devices, workloads and applications.
    pub devices: String,
}

/// Members of a complex subject.
const COMPLEX: [&str; 7] =
    ["user", "device", "session", "application", "tenant", "org_unit", "group"];

impl SubjectId {
    /// Checks a subject identifier.
    ///
    /// # Errors
    /// An unknown format, or a member that the format needs and that is missing or no text.
    pub fn parse(value: &Value) -> Result<SubjectId, SubjectError> {
        let members = value.as_object().ok_or_else(|| SubjectError("it is no object".into()))?;
        let format = members
            .get("format")
            .and_then(Value::as_str)
            .ok_or_else(|| SubjectError("`format` is missing".into()))?;
        let needed: &[&str] = match format {
            "account" | "uri" => &["uri"],
            "did" => &["url"],
            "email" => &["email"],
            "iss_sub" => &["iss", "sub"],
            "opaque" => &["id"],
            "phone_number" => &["phone_number"],
            "jwt_id" => &["iss", "jti"],
            "saml_assertion_id" => &["issuer", "assertion_id"],
            "ip-addresses" => return Self::listed(members, "ip-addresses", Value::is_string),
            "aliases" => {
                return Self::listed(members, "identifiers", |v| SubjectId::parse(v).is_ok());
            }
            "complex" => return Self::complex(members),
            other => return Err(SubjectError(format!("there is no format `{other}`"))),
        };
        for name in needed {
            let given = members.get(*name).and_then(Value::as_str).unwrap_or_default();
            if given.is_empty() {
                return Err(SubjectError(format!("format `{format}` needs `{name}`")));
            }
        }
        Ok(SubjectId(members.clone()))
    }

    /// The subject of events about a stream.
    pub fn opaque(id: &str) -> SubjectId {
        SubjectId::of(json!({"format": "opaque", "id": id}))
    }

    /// The subject that stands for an entity.
    pub fn of_entity(
        kind: EntityKind,
        id: &str,
        format: SubjectFormat,
        issuers: &Issuers,
    ) -> SubjectId {
        let iss_sub = |iss: &str| json!({"format": "iss_sub", "iss": iss, "sub": id});
        let (member, simple) = match kind {
            EntityKind::User if id.contains('@') && format != SubjectFormat::IssSub => {
                ("user", json!({"format": "email", "email": id}))
            }
            EntityKind::User => ("user", iss_sub(&issuers.users)),
            EntityKind::Device => ("device", iss_sub(&issuers.devices)),
            EntityKind::Session => {
                let session = json!({"format": "opaque", "id": id});
                return SubjectId::of(json!({"format": "complex", "session": session}));
            }
            EntityKind::Workload if id.contains("://") => {
                ("application", json!({"format": "uri", "uri": id}))
            }
            EntityKind::Workload | EntityKind::Application => {
                ("application", iss_sub(&issuers.devices))
            }
            EntityKind::Ip => {
                return SubjectId::of(json!({"format": "ip-addresses", "ip-addresses": [id]}));
            }
        };
        match format {
            SubjectFormat::Email | SubjectFormat::IssSub => SubjectId::of(simple),
            SubjectFormat::Complex => SubjectId::of(json!({"format": "complex", member: simple})),
        }
    }

    /// All sessions of a user, for session-revoked.
    pub fn sessions_of(user: &SubjectId) -> SubjectId {
        if user.format() == "complex" {
            return user.clone();
        }
        SubjectId::of(json!({"format": "complex", "user": user.0}))
    }

    /// The text that is equal for equal subjects: members in order of name.
    pub fn key(&self) -> String {
        let mut text = String::new();
        canonical(&Value::Object(self.0.clone()), &mut text);
        text
    }

    /// Whether a subject that a receiver added covers this one: simple ones when identical, complex
    /// ones when each member is the same or missing on one side (SSF 1.0 section 3.5).
    pub fn covers(&self, other: &SubjectId) -> bool {
        if self.format() != "complex" || other.format() != "complex" {
            return self.key() == other.key();
        }
        COMPLEX.iter().all(|member| match (self.0.get(*member), other.0.get(*member)) {
            (Some(ours), Some(theirs)) => {
                let (mut a, mut b) = (String::new(), String::new());
                canonical(ours, &mut a);
                canonical(theirs, &mut b);
                a == b
            }
            (None, _) | (_, None) => true,
        })
    }

    /// As it is on the wire.
    pub fn to_value(&self) -> Value {
        Value::Object(self.0.clone())
    }

    fn format(&self) -> &str {
        self.0.get("format").and_then(Value::as_str).unwrap_or_default()
    }

    fn of(value: Value) -> SubjectId {
        SubjectId(value.as_object().cloned().unwrap_or_default())
    }

    fn listed(
        members: &Map<String, Value>,
        name: &str,
        good: impl Fn(&Value) -> bool,
    ) -> Result<SubjectId, SubjectError> {
        let list = members.get(name).and_then(Value::as_array);
        match list {
            Some(list) if !list.is_empty() && list.iter().all(good) => {
                Ok(SubjectId(members.clone()))
            }
            Some(_) | None => Err(SubjectError(format!("`{name}` is a list with at least one"))),
        }
    }

    fn complex(members: &Map<String, Value>) -> Result<SubjectId, SubjectError> {
        let mut any = false;
        for name in COMPLEX {
            let Some(member) = members.get(name) else { continue };
            SubjectId::parse(member).map_err(|e| SubjectError(format!("`{name}`: {}", e.0)))?;
            any = true;
        }
        match any {
            true => Ok(SubjectId(members.clone())),
            false => Err(SubjectError(format!("complex needs one of {}", COMPLEX.join(", ")))),
        }
    }
}

/// JSON with the members of objects in order of name.
pub(crate) fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(members) => {
            let mut names: Vec<&String> = members.keys().collect();
            names.sort();
            out.push('{');
            for (i, name) in names.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push(':');
                canonical(members.get(name).unwrap_or(&Value::Null), out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                canonical(item, out);
            }
            out.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            out.push_str(&value.to_string());
        }
    }
}
