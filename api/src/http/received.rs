//! Where other transmitters push their security event tokens (RFC 8935). Not what is in them.

use axum::{
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;
use sluice_signal::verify::MAX_BYTES;

use super::{body, pool::as_token, problem::Problem, shared::Shared};
use crate::node::received::ReceiveError;

/// `/ssf/receive/{input}`: 202 when the rows of the token are durable.
pub(super) async fn push(
    State(shared): State<Shared>,
    Path(input): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let Some(received) = shared.app.received.clone() else {
        return Ok(refused(&ReceiveError::Unknown));
    };
    let bytes = body::read(body, MAX_BYTES, body::BODY_TIME, None).await?;
    let authorization = headers.get(header::AUTHORIZATION).map(|h| h.as_bytes().to_vec());
    let whose = if received.knows(&input) { format!("ssf {input}") } else { String::new() };
    let work = move || {
        // What is no text is no token.
        let token = String::from_utf8_lossy(&bytes);
        received.push(&input, authorization.as_deref(), &token)
    };
    // A place of its own input: one that waits for the keys of its issuer holds up no other.
    Ok(match as_token(&whose, shared.pools.signals.run(work)).await? {
        Ok(()) => StatusCode::ACCEPTED.into_response(),
        Err(error) => refused(&error),
    })
}

fn refused(error: &ReceiveError) -> Response {
    let (status, err) = match error {
        ReceiveError::Unknown => (StatusCode::NOT_FOUND, "invalid_request"),
        ReceiveError::Unauthorized => (StatusCode::UNAUTHORIZED, "authentication_failed"),
        ReceiveError::Set(error) => (StatusCode::BAD_REQUEST, error.code()),
        ReceiveError::Keys(_) | ReceiveError::Kept(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, "unavailable")
        }
    };
    // The cause of what may pass names hosts and files: it is in the log.
    let description = match error {
        ReceiveError::Keys(_) => "the key set of the issuer cannot be read".to_owned(),
        ReceiveError::Kept(_) => "the token could not be kept".to_owned(),
        error => error.to_string(),
    };
    let body = axum::Json(json!({"err": err, "description": description}));
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LANGUAGE, HeaderValue::from_static("en"));
    match status {
        StatusCode::SERVICE_UNAVAILABLE => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("30"));
        }
        StatusCode::UNAUTHORIZED => {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        _ => {}
    }
    response
}
