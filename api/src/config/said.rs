//! Settings of what findings of a rule say to receivers by themselves. Not what is done with them (see
//! `node::signals`).

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};
use sluice_rule::Diagnostic;
use sluice_signal::EventType;

use super::{
    reader::{Notes, Reader, Section, Setting, section},
    signals::Signals,
};

section! {
    /// What findings of a rule say to receivers by themselves, whatever level they come to.
    RuleSignal {
        /// `credential-change`, `token-claims-change` or `credential-compromise`.
        event: String = "",
        /// Of a credential-change and a credential-compromise: `password`, `app`, `fido2-roaming`, .., as CAEP
        /// names them.
        credential_type: Option<String> = "",
        /// Of a credential-change: `create`, `revoke`, `update` or `delete`.
        change_type: Option<String> = "",
        /// Of a token-claims-change: columns of the finding, each a claim of that name.
        claims: Vec<String> = "[]",
        /// The column that names the user whom it is about; unset: every user of the finding.
        user: Option<String> = "",
    }
}

const EVENTS: [EventType; 3] =
    [EventType::CredentialChange, EventType::TokenClaimsChange, EventType::CredentialCompromise];

impl RuleSignal {
    /// The type of the event.
    pub(crate) fn event_type(&self) -> Option<EventType> {
        EventType::parse(&self.event).filter(|event| EVENTS.contains(event))
    }

    /// The members of the event, with claims from the columns of a finding; `None` if it has none of them.
    pub(crate) fn members(&self, fields: &Map<String, Json>) -> Option<Map<String, Json>> {
        let mut members = Map::new();
        for (name, value) in
            [("credential_type", &self.credential_type), ("change_type", &self.change_type)]
        {
            if let Some(value) = value {
                members.insert(name.to_owned(), value.as_str().into());
            }
        }
        if !self.claims.is_empty() {
            let claim = |name: &String| Some((name.clone(), fields.get(name)?.clone()));
            let claims: Map<String, Json> =
                self.claims.iter().filter_map(claim).filter(|(_, v)| !v.is_null()).collect();
            if claims.is_empty() {
                return None;
            }
            members.insert("claims".to_owned(), Json::Object(claims));
        }
        Some(members)
    }
}

impl Setting for BTreeMap<String, RuleSignal> {
    fn read(reader: &mut Reader<'_>, key: &'static str, _default: &'static str) -> Self {
        let mut rules = reader.below(key);
        let names = rules.keys();
        names
            .into_iter()
            .map(|name| (name.to_owned(), RuleSignal::section(&mut rules.below(name))))
            .collect()
    }

    fn schema() -> Json {
        let rule = super::reader::object_schema::<RuleSignal>();
        json!({"type": "object", "additionalProperties": rule})
    }
}

/// What they must be, beside each being well formed.
pub(super) fn check(signals: &Signals, notes: &mut Notes) {
    for (rule, said) in &signals.rules {
        let path = |key: &str| format!("signals.rules.\"{rule}\".{key}");
        let mut blame = |key: &str, problem: String, hint: &str| {
            notes.blame(&path(key), Diagnostic::error("C005", "", problem).hint(hint));
        };
        let Some(event_type) = said.event_type() else {
            let problem = format!("a rule cannot say `{}`", said.event);
            blame("event", problem, &format!("one of {}", EVENTS.map(EventType::name).join(", ")));
            continue;
        };
        // As if a finding had every column.
        let columns = said.claims.iter().map(|name| (name.clone(), "".into())).collect();
        let mut event = said.members(&columns).unwrap_or_default();
        sluice_signal::event::common(&mut event, 0, "policy", rule);
        if let Err(what) = event_type.check(&event) {
            let hint = "credential_type = \"password\", change_type = \"update\", claims = [\"target_role\"]";
            blame("event", format!("{}: {what}", said.event), hint);
        }
    }
}
