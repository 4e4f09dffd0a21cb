//! What people have to know of signals, as findings: a receiver that takes nothing, an entity that flaps, a storm.
//! Not when that is so (see `sluice_signal::transmitter`).

use serde_json::json;
use sluice_event::{Encoder, rfc3339};
use sluice_finding::Finding;
use sluice_rule::Severity;
use sluice_signal::transmitter::{Alert, AlertKind};

/// Ids under which they are reported.
const RECEIVER_DOWN: &str = "sluice.receiver_down";
const FLAPPING: &str = "sluice.entity_flapping";
const STORM: &str = "sluice.signal_storm";

/// Which of them were reported. A restart reports them again: they are the same findings.
#[derive(Debug)]
pub(in super::super) struct AlertLog {
    tenant: String,
    said: Vec<Alert>,
}

impl AlertLog {
    pub(in super::super) fn new(tenant: &str) -> AlertLog {
        AlertLog { tenant: tenant.to_owned(), said: Vec::new() }
    }

    /// Those that were not reported.
    pub(in super::super) fn findings(&self, alerts: &[Alert]) -> Vec<Finding> {
        let fresh = alerts.iter().filter(|alert| !self.said.contains(alert));
        fresh.map(|alert| finding(alert, &self.tenant)).collect()
    }

    /// All of these were reported.
    pub(in super::super) fn said(&mut self, alerts: Vec<Alert>) {
        self.said = alerts;
    }
}

fn finding(alert: &Alert, tenant: &str) -> Finding {
    let mut key = Encoder::default();
    key.text(&alert.since.to_string());
    let (rule, title, severity, fields) = match &alert.kind {
        AlertKind::ReceiverDown { receiver, stream, reason } => {
            key.text(stream);
            let title = format!("Receiver {receiver} takes no signals; its stream is paused");
            let fields = vec![
                ("receiver", json!(receiver)),
                ("stream", json!(stream)),
                ("reason", json!(reason)),
            ];
            (RECEIVER_DOWN, title, Severity::High, fields)
        }
        AlertKind::Flapping(entity) => {
            key.text(entity);
            let title = format!("The risk level of {entity} flaps; it is held at the higher one");
            (FLAPPING, title, Severity::Low, vec![("entity", json!(entity))])
        }
        AlertKind::Storm(kind) => {
            key.text(kind.name());
            let title = format!(
                "Too many of kind {} rose to high at once; further rises wait for a person",
                kind.name()
            );
            (STORM, title, Severity::Critical, vec![("kind", json!(kind.name()))])
        }
    };
    let since = [("since", json!(rfc3339(alert.since)))];
    let fields = fields.into_iter().chain(since);
    Finding::of_service(rule, tenant, &key, title, severity, alert.since, fields)
}
