//! External evaluation of Cloudflare Access: who asks is in a token of the team, the answer is signed with a key of
//! its own. Not what both look like (see `sluice_signal::cloudflare`), and not tested against the vendor.

use axum::{
    Json,
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use sluice_signal::policy::{Action, NotReady};

use super::{
    super::{
        body::{BODY_TIME, once, read},
        problem::{Code, Problem},
        shared::Shared,
    },
    signals,
};
use crate::node::signals::AccessError;

/// Bytes of a request: a token has 2 KiB or so.
const BODY: usize = 64 << 10;

/// `POST /cloudflare/evaluate`.
pub(super) async fn evaluate(
    State(shared): State<Shared>,
    request: Request,
) -> Result<Response, Problem> {
    let signals = configured(&shared)?;
    let bytes = read(request.into_body(), BODY, BODY_TIME, None).await?;
    let body: Option<Value> = once::value(&bytes).ok();
    let token = body.as_ref().and_then(|body| body["token"].as_str()).map(str::to_owned);
    let Some(token) = token else { return Ok(refused("the body is {\"token\": \"..\"}")) };
    let work = move || {
        let asked = signals.access_asked(&token)?;
        let decision = signals.decide(signals.access_resource(), &asked.entities);
        let success = match decision {
            Some(decision) => decision.action == Action::Allow,
            None => match signals.not_ready(signals.access_resource()) {
                NotReady::Allow => true,
                NotReady::Deny => false,
                NotReady::Error => return Err(AccessError::Later("levels cannot be read".into())),
            },
        };
        signals.access_answer(&asked, success)
    };
    match shared.pools.signals.run(work).await? {
        Ok(answer) => Ok(Json(answer).into_response()),
        Err(AccessError::Token(error)) => Ok(refused(&error.to_string())),
        Err(AccessError::Later(why)) => Err(Problem::new(Code::Unavailable, why).retry(1)),
    }
}

/// `GET /cloudflare/keys`: what Access verifies answers with.
pub(super) async fn keys(State(shared): State<Shared>) -> Result<Json<Value>, Problem> {
    let signals = configured(&shared)?;
    let keys = signals.access_keys();
    keys.map(Json).ok_or_else(|| Problem::new(Code::NotFound, "there is no such adapter"))
}

fn configured(shared: &Shared) -> Result<crate::node::signals::Signals, Problem> {
    let signals = signals(shared)?;
    match signals.access_keys() {
        Some(_) => Ok(signals),
        None => Err(Problem::new(Code::NotFound, "external evaluation is not configured")
            .hint("a [signals.cloudflare_access] table in the configuration")),
    }
}

fn refused(why: &str) -> Response {
    (StatusCode::FORBIDDEN, Json(json!({"success": false, "error": why}))).into_response()
}
