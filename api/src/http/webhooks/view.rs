//! What people read and write about webhooks, as it is on the wire. No secret is in it.

use serde::{Deserialize, Serialize};
use sluice_event::rfc3339;
use sluice_signal::webhook::{Message, NoticeKind, WebhookTotals, Webhooks as Machine};
use utoipa::ToSchema;

use crate::node::webhooks::Webhooks;

/// Messages of a list.
const MESSAGES: usize = 100;

/// All webhooks.
#[derive(Serialize, ToSchema)]
pub(in super::super) struct WebhookList {
    items: Vec<WebhookView>,
    /// Since the start of the process.
    totals: WebhookTotalsView,
}

/// A webhook and how it does.
#[derive(Serialize, ToSchema)]
#[schema(as = Webhook)]
pub(in super::super) struct WebhookView {
    name: String,
    /// `standard`, `slack`, `teams`, `pagerduty` or `jira`.
    template: &'static str,
    /// Scheme and host; the rest of the URL may be a secret.
    endpoint: String,
    events: Vec<&'static str>,
    /// `informational`, `low`, `medium`, `high` or `critical`.
    min_severity: &'static str,
    queued: u64,
    #[schema(required)]
    oldest_at: Option<String>,
    dead_letters: u64,
    /// Why nothing is posted until somebody enables it.
    #[schema(required)]
    disabled: Option<String>,
    /// When a message was last accepted, since the start of the process.
    #[schema(required)]
    delivered_at: Option<String>,
    /// Failures in a row.
    failures: u32,
    #[schema(required)]
    error: Option<String>,
    /// Nothing is posted before this time, after failures.
    #[schema(required)]
    wait_until: Option<String>,
}

/// Counters.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookTotals)]
pub(in super::super) struct WebhookTotalsView {
    made: u64,
    delivered: u64,
    retried: u64,
    dead_letters: u64,
    dropped: u64,
}

/// A webhook with what waits.
#[derive(Serialize, ToSchema)]
pub(in super::super) struct WebhookDetail {
    pub(super) webhook: WebhookView,
    pub(super) queue: Vec<WebhookMessage>,
    pub(super) dead_letters: Vec<WebhookMessage>,
}

/// A message.
#[derive(Serialize, ToSchema)]
pub(in super::super) struct WebhookMessage {
    /// `webhook-id`.
    id: String,
    kind: String,
    /// The finding, incident or entity.
    subject: String,
    at: String,
    attempts: u32,
    not_before: String,
    #[schema(required)]
    error: Option<String>,
}

/// Which dead letters.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WebhookReplay)]
pub(in super::super) struct Replay {
    /// One; absent: all.
    #[serde(default)]
    pub(super) id: Option<String>,
}

/// How many wait again.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookReplayed)]
pub(in super::super) struct Replayed {
    pub(super) messages: u64,
}

/// A test that waits.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookTested)]
pub(in super::super) struct Tested {
    pub(super) id: String,
}

/// What waits for it.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookEnabled)]
pub(in super::super) struct Enabled {
    pub(super) queued: u64,
}

impl WebhookList {
    /// Where none is configured.
    pub(super) fn empty() -> WebhookList {
        WebhookList { items: Vec::new(), totals: WebhookTotalsView::of(WebhookTotals::default()) }
    }

    pub(super) fn of(machine: &Machine, webhooks: &Webhooks) -> WebhookList {
        let names = machine.targets().map(|t| t.name.clone());
        WebhookList {
            items: names.filter_map(|name| WebhookView::of(machine, webhooks, &name)).collect(),
            totals: WebhookTotalsView::of(machine.totals()),
        }
    }
}

impl WebhookView {
    pub(super) fn of(machine: &Machine, webhooks: &Webhooks, name: &str) -> Option<WebhookView> {
        let target = machine.targets().find(|t| t.name == name)?;
        let health = machine.health(name)?;
        Some(WebhookView {
            name: name.to_owned(),
            template: target.template.name(),
            endpoint: webhooks.shown(name).to_owned(),
            events: target.kinds.iter().copied().map(NoticeKind::name).collect(),
            min_severity: target.min_urgency.name(),
            queued: health.queued as u64,
            oldest_at: health.oldest_at.map(rfc3339),
            dead_letters: health.dead_letters as u64,
            disabled: health.disabled,
            delivered_at: health.delivered_at.map(rfc3339),
            failures: health.failures,
            error: health.error,
            wait_until: health.wait_until.map(rfc3339),
        })
    }
}

impl WebhookTotalsView {
    fn of(totals: WebhookTotals) -> WebhookTotalsView {
        let WebhookTotals { made, delivered, retried, dead_letters, dropped } = totals;
        WebhookTotalsView { made, delivered, retried, dead_letters, dropped }
    }
}

/// The oldest messages.
pub(super) fn messages<'m>(messages: impl Iterator<Item = &'m Message>) -> Vec<WebhookMessage> {
    let view = |m: &Message| WebhookMessage {
        id: m.id.clone(),
        kind: m.kind.clone(),
        subject: m.subject.clone(),
        at: rfc3339(m.at),
        attempts: m.attempts,
        not_before: rfc3339(m.not_before),
        error: m.error.clone(),
    };
    messages.take(MESSAGES).map(view).collect()
}
