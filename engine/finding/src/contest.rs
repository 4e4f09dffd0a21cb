//! Records that carry the id of another record and say something else. Not the fold of what is said
//! about one finding again, which is [`fold`](crate::fold).
//!
//! The id of an event may come from its record, and a record from anybody who may send. So a finding
//! that is known keeps what it says: a record that claims one of its ids and says something else makes
//! a finding of its own, marked `contested`. Neither can hide the other, whichever came first.

use serde_json::{Map, Value};
use sluice_event::Encoder;

use crate::{Finding, FindingId};

/// What a finding says happened: its events, without what depends on the way they came. Windows have
/// none: what a window is about is part of its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    /// Of the ids of its events.
    events: u128,
    /// Of what is said of them.
    said: u128,
}

/// Columns that say how a record came and not what happened: from wrappers, or of our own.
const ARRIVAL: [&str; 9] = [
    "ingest_time",
    "event_uid",
    "unmapped",
    "raw",
    "device_hostname",
    "device_entity",
    "hosts",
    "cloud_account_uid",
    "cloud_region",
];

/// Columns that depend on when a record came, if its own time could not be used.
const TIMES: [&str; 3] = ["time", "original_time", "time_flag"];

impl Content {
    /// That of a finding; `None` if it is of a window or shows no event.
    pub fn of(finding: &Finding) -> Option<Content> {
        if finding.window.is_some() || finding.evidence.is_empty() {
            return None;
        }
        let (mut events, mut said) = (Encoder::default(), Encoder::default());
        for event in &finding.evidence {
            let mut columns: Map<String, Value> = serde_json::from_str(event).ok()?;
            events.text(columns.get("event_uid")?.as_str()?);
            ARRIVAL.iter().for_each(|name| drop(columns.remove(*name)));
            if columns.contains_key("time_flag") {
                TIMES.iter().for_each(|name| drop(columns.remove(*name)));
            }
            said.text(&Value::Object(columns).to_string());
        }
        Some(Content { events: events.hash128(), said: said.hash128() })
    }

    /// Whether `other` says something else of the same events.
    pub fn is_denied_by(self, other: Content) -> bool {
        self.events == other.events && self.said != other.said
    }

    /// The finding that says this under an id that says something else, as one of its own.
    pub fn contesting(self, finding: Finding) -> Finding {
        let mut encoder = Encoder::default();
        encoder.text("contested");
        encoder.bytes(&finding.id.0.to_be_bytes());
        encoder.bytes(&self.said.to_be_bytes());
        Finding { id: FindingId(encoder.hash128()), contested: true, ..finding }
    }
}

/// What is to be folded with what is known under its id: `incoming`; or, if it claims the ids of events
/// that are known and says something else of them, a finding of its own with another id.
pub fn settle(known: Option<&Finding>, incoming: Finding) -> Finding {
    let Some(known) = known.filter(|known| known.evidence != incoming.evidence) else {
        return incoming;
    };
    let (Some(before), Some(now)) = (Content::of(known), Content::of(&incoming)) else {
        return incoming;
    };
    if before.is_denied_by(now) {
        return now.contesting(incoming);
    }
    if before == now {
        // The same event by another way: what is known stays, but for whether it is final.
        let (state, late) = (incoming.state, incoming.late);
        return Finding { state, late, ..known.clone() };
    }
    incoming
}

/// The mapping sources of the events that a finding shows, `okta.system`.
pub fn sources(finding: &Finding) -> Vec<String> {
    let source = |event: &str| -> Option<String> {
        let columns: Map<String, Value> = serde_json::from_str(event).ok()?;
        columns.get("source")?.as_str().map(str::to_owned)
    };
    let mut sources: Vec<String> = finding.evidence.iter().filter_map(|e| source(e)).collect();
    sources.sort_unstable();
    sources.dedup();
    sources
}

#[cfg(test)]
mod tests {
    use sluice_rule::Severity;

    use super::*;
    use crate::FindingState;

    fn finding(event: Value) -> Finding {
        Finding {
            id: FindingId(7),
            rule_id: "x.y".into(),
            rule_version: "abc".into(),
            title: "t".to_owned(),
            severity: Severity::Low,
            time: 1,
            state: FindingState::Confirmed,
            revision: 1,
            entities: Vec::new(),
            attack: [].into(),
            risk: 8,
            shadow: false,
            suppression: None,
            fields: Map::new(),
            window: None,
            count: 1,
            late: false,
            capped: false,
            capped_by: Vec::new(),
            time_flags: sluice_event::TimeFlags::NONE,
            contested: false,
            evidence: vec![event.to_string().into()],
            evidence_total: 1,
        }
    }

    fn event(user: &str, ingest_time: u32) -> Value {
        serde_json::json!({"time": "2026-01-01T00:00:00Z", "ingest_time": ingest_time,
                           "event_uid": "u1", "source": "okta.system", "user_name": user})
    }

    #[test]
    fn another_content_under_a_known_id_is_another_finding_in_either_order() {
        let (ann, eve) = (finding(event("ann", 1)), finding(event("eve", 2)));
        let beside = |known: &Finding, incoming: &Finding| {
            let other = settle(Some(known), incoming.clone());
            assert_ne!(other.id, known.id);
            other
        };
        let (second, first) = (beside(&ann, &eve), beside(&eve, &ann));
        assert!(second.contested && second.id != ann.id && first.id != second.id);
        assert_eq!(second.evidence, eve.evidence);
        // Said again it is the same, and no third.
        assert_eq!(beside(&ann, &finding(event("eve", 9))).id, second.id);
        assert_eq!(sources(&second), ["okta.system"]);
    }

    #[test]
    fn the_same_event_by_another_way_changes_nothing() {
        let known = finding(event("ann", 1));
        let mut event = event("ann", 2);
        event["device_hostname"] = "collector-7".into();
        event["unmapped"] = serde_json::json!({"file": "/var/log/x"});
        let mut again = finding(event);
        again.title = "another".to_owned();
        assert_eq!(settle(Some(&known), again), known);
    }

    #[test]
    fn a_time_that_was_made_up_is_no_content() {
        let at = |time: &str| {
            finding(serde_json::json!({"time": time, "time_flag": "missing", "event_uid": "u1"}))
        };
        let known = at("2026-01-01T00:00:00Z");
        assert_eq!(settle(Some(&known), at("2026-01-01T00:00:09Z")), known.clone());
    }

    #[test]
    fn other_events_and_windows_are_folded() {
        let known = finding(event("ann", 1));
        let mut earlier = event("ann", 1);
        earlier["event_uid"] = "u0".into();
        let earlier = finding(earlier);
        assert_eq!(settle(Some(&known), earlier.clone()), earlier);
        let window = |user| Finding { window: Some((0, 1)), ..finding(event(user, 1)) };
        assert_eq!(settle(Some(&window("ann")), window("eve")), window("eve"));
        assert_eq!(settle(None, known.clone()), known);
    }
}
