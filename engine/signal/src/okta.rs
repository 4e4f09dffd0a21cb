//! The dialect of Okta's Identity Threat Protection, as its documentation describes the tokens that
//! `/security/api/v1/security-events` takes: event types of its own for risk, the subject inside the event, levels
//! in lower case. Written after that documentation and not tested against the vendor.

use serde_json::{Map, Value, json};

use crate::{EventType, set::Claims};

const RISK: &str = "https://schemas.okta.com/secevent/okta/event-type/";
/// Members of an event that are documented; others are left out.
const MEMBERS: [&str; 6] = [
    "event_timestamp",
    "initiating_entity",
    "reason_admin",
    "reason_user",
    "current_status",
    "previous_status",
];

/// Whether an event type has a form in this dialect. What is about the stream itself has none.
pub fn sends(event_type: EventType) -> bool {
    matches!(
        event_type,
        EventType::RiskLevelChange | EventType::SessionRevoked | EventType::DeviceComplianceChange
    )
}

/// The claims of a SET in this dialect. Its event type must be one that [`sends`] says.
pub fn claims(set: Claims<'_>) -> Value {
    let text = |name: &str| set.event.get(name).and_then(Value::as_str).unwrap_or_default();
    let device =
        text("principal") == "DEVICE" || set.event_type == EventType::DeviceComplianceChange;
    let uri = match set.event_type {
        EventType::RiskLevelChange if device => format!("{RISK}device-risk-change"),
        EventType::RiskLevelChange => format!("{RISK}user-risk-change"),
        other => other.uri(),
    };
    let members = MEMBERS.into_iter();
    let members = members.filter_map(|name| Some((name.to_owned(), set.event.get(name)?.clone())));
    let mut event: Map<String, Value> = members.collect();
    event.insert("subject".into(), subject(&set, device));
    if set.event_type == EventType::RiskLevelChange {
        for name in ["current_level", "previous_level"] {
            let level = text(name).to_lowercase();
            let level = if level.is_empty() { "low".to_owned() } else { level };
            event.insert(name.into(), level.into());
        }
    }
    json!({
        "iss": set.iss, "aud": crate::set::audience(set.aud), "jti": set.jti, "iat": set.iat,
        "events": {uri: event},
    })
}

/// The subject by what it is: a simple one is a user or a device, a complex one says so itself.
fn subject(set: &Claims<'_>, device: bool) -> Value {
    let subject = set.subject.to_value();
    match subject {
        Value::Object(mut members) if members.get("format") == Some(&json!("complex")) => {
            members.remove("format");
            Value::Object(members)
        }
        simple => json!({if device { "device" } else { "user" }: simple}),
    }
}
