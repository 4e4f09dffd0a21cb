//! Webhooks: how their endpoints do, what waits for them, what they did not take. Not what is sent to
//! whom (see `sluice_signal::webhook`).

mod view;

use axum::{
    Json,
    extract::{Path, State},
};
use sluice_signal::webhook::{UnknownMessage, Webhooks as Machine};

use super::{
    body,
    params::{Nothing, Params},
    problem::{Code, Problem},
    shared::Shared,
};
use crate::node::webhooks::{Unavailable, Webhooks};
use view::{Enabled, Replay, Replayed, Tested, WebhookDetail, WebhookList, WebhookView};

/// Webhooks and how they do
#[utoipa::path(
    get, path = "/api/v1/webhooks", tag = "webhooks", operation_id = "list_webhooks",
    responses((status = 200, description = "All webhooks and counters.", body = WebhookList, example = json!({
        "items": [{"name": "soc", "template": "standard", "endpoint": "https://hooks.example.com",
        "events": ["incident.opened"], "min_severity": "high", "queued": 0, "oldest_at": null,
        "dead_letters": 0, "disabled": null, "delivered_at": "2026-11-24T08:15:00.000Z", "failures": 0,
        "error": null, "wait_until": null}],
        "totals": {"made": 1, "delivered": 1, "retried": 0, "dead_letters": 0, "dropped": 0}
    })))
)]
pub(super) async fn list(
    State(shared): State<Shared>,
    Params(Nothing {}): Params<Nothing>,
) -> Result<Json<WebhookList>, Problem> {
    let Some(webhooks) = shared.app.webhooks.clone() else {
        return Ok(Json(WebhookList::empty()));
    };
    let about = webhooks.clone();
    let list = webhooks.run(&shared, move |machine, _| WebhookList::of(machine, &about)).await?;
    Ok(Json(list))
}

/// A webhook with its queue and its dead letters
#[utoipa::path(
    get, path = "/api/v1/webhooks/{webhook}", tag = "webhooks", operation_id = "get_webhook",
    params(("webhook" = String, Path, description = "Its name.")),
    responses((status = 200, description = "The webhook; the oldest 100 of each.", body = WebhookDetail,
        example = json!({
        "webhook": {"name": "soc", "template": "standard", "endpoint": "https://hooks.example.com",
        "events": ["incident.opened"], "min_severity": "high", "queued": 1,
        "oldest_at": "2026-11-24T08:15:00.000Z", "dead_letters": 0, "disabled": null,
        "delivered_at": null, "failures": 1, "error": "HTTP 503",
        "wait_until": "2026-11-24T08:15:05.000Z"},
        "queue": [{"id": "msg_5f2c9a0b7d1e4c385f2c9a0b7d1e4c38", "kind": "incident.opened",
        "subject": "5f2c9a0b7d1e4c385f2c9a0b7d1e4c38", "at": "2026-11-24T08:15:00.000Z", "attempts": 1,
        "not_before": "2026-11-24T08:15:05.000Z", "error": "HTTP 503"}], "dead_letters": []
    })))
)]
pub(super) async fn get(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    Params(Nothing {}): Params<Nothing>,
) -> Result<Json<WebhookDetail>, Problem> {
    let webhooks = webhooks(&shared)?;
    let about = webhooks.clone();
    let detail = webhooks
        .run(&shared, move |machine, _| {
            Some(WebhookDetail {
                webhook: WebhookView::of(machine, &about, &name)?,
                queue: view::messages(machine.queue(&name)),
                dead_letters: view::messages(machine.dead_letters(&name)),
            })
        })
        .await?;
    Ok(Json(detail.ok_or_else(unknown)?))
}

/// Send a test
#[utoipa::path(
    post, path = "/api/v1/webhooks/{webhook}/test", tag = "webhooks", operation_id = "test_webhook",
    params(("webhook" = String, Path, description = "Its name.")),
    responses((status = 200, description = "It waits for delivery.", body = Tested,
        example = json!({"id": "msg_5f2c9a0b7d1e4c385f2c9a0b7d1e4c38"})))
)]
pub(super) async fn test(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    Params(Nothing {}): Params<Nothing>,
) -> Result<Json<Tested>, Problem> {
    let nonce: [u8; 16] = crate::tokens::random()
        .map_err(|e| Problem::new(Code::Internal, format!("no randomness: {e}")))?;
    let nonce: String = nonce.iter().map(|byte| format!("{byte:02x}")).collect();
    let id = webhooks(&shared)?
        .run(&shared, move |machine, now| machine.test(&name, &nonce, now))
        .await??;
    Ok(Json(Tested { id }))
}

/// Send dead letters again
///
/// With the ids they had: an endpoint that took one before knows it.
#[utoipa::path(
    post, path = "/api/v1/webhooks/{webhook}/replay", tag = "webhooks", operation_id = "replay_webhook",
    params(("webhook" = String, Path, description = "Its name.")),
    request_body(content = Replay, example = json!({"id": "msg_5f2c9a0b7d1e4c385f2c9a0b7d1e4c38"})),
    responses((status = 200, description = "So many wait for delivery.", body = Replayed,
        example = json!({"messages": 1})))
)]
pub(super) async fn replay(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    Params(Nothing {}): Params<Nothing>,
    body::Json(replay): body::Json<Replay>,
) -> Result<Json<Replayed>, Problem> {
    let messages = webhooks(&shared)?
        .run(&shared, move |machine, now| machine.replay(&name, replay.id.as_deref(), now))
        .await??;
    Ok(Json(Replayed { messages: messages as u64 }))
}

/// Post again to an endpoint that was gone or failed
///
/// At once: the wait after failures ends too.
#[utoipa::path(
    post, path = "/api/v1/webhooks/{webhook}/enable", tag = "webhooks", operation_id = "enable_webhook",
    params(("webhook" = String, Path, description = "Its name.")),
    responses((status = 200, description = "So many messages wait for it.", body = Enabled,
        example = json!({"queued": 3})))
)]
pub(super) async fn enable(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    Params(Nothing {}): Params<Nothing>,
) -> Result<Json<Enabled>, Problem> {
    let queued = webhooks(&shared)?
        .run(&shared, move |machine, _| {
            machine.enable(&name).map(|()| machine.queue(&name).count())
        })
        .await??;
    Ok(Json(Enabled { queued: queued as u64 }))
}

impl Webhooks {
    /// [`Webhooks::with`], off the async runtime.
    async fn run<T: Send + 'static>(
        &self,
        shared: &Shared,
        work: impl FnOnce(&mut Machine, i64) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let webhooks = self.clone();
        Ok(shared.pools.signals.run(move || webhooks.with(work)).await??)
    }
}

fn webhooks(shared: &Shared) -> Result<Webhooks, Problem> {
    shared.app.webhooks.clone().ok_or_else(|| {
        Problem::new(Code::NotFound, "webhooks are not configured")
            .hint("a [webhooks.NAME] table in the configuration, with a url")
    })
}

fn unknown() -> Problem {
    UnknownMessage.into()
}

impl From<UnknownMessage> for Problem {
    fn from(error: UnknownMessage) -> Self {
        Problem::new(Code::NotFound, error.to_string())
    }
}

impl From<Unavailable> for Problem {
    fn from(error: Unavailable) -> Self {
        Problem::new(Code::Unavailable, error.to_string()).retry(1)
    }
}
