//! Pushing logs: bytes to the endpoint of an input, and its answer. Not the wire formats, nor the
//! spool behind the endpoint (see `sluice_ingest`).

use axum::{
    Extension, Json,
    extract::{Path, Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use sluice_ingest::{
    push::{PushAnswer, PushError},
    spool::SpoolError,
};
use utoipa::ToSchema;

use super::{
    body, clock, memory,
    params::{Nothing, Params},
    problem::{Code, Problem, RETRY_FULL},
    shared::Shared,
};
use crate::{node::push::PushFailure, tokens::Principal};

/// What became of the records of a request.
#[derive(Serialize, ToSchema)]
#[schema(as = IngestOutcome)]
pub(super) struct Outcome {
    /// Records that are durable.
    accepted: u64,
    /// Records set aside as dead letters.
    rejected: u64,
    /// The first hundred of them.
    errors: Vec<LineError>,
}

/// A record that was set aside.
#[derive(Serialize, ToSchema)]
struct LineError {
    /// The line it starts on, from 1; the element, for an array.
    line: u64,
    /// The dead letter's code.
    code: &'static str,
    detail: String,
}

/// Push logs: a record a line, or a JSON array
///
/// 202 once all of it is durable. Records that will be set aside as dead letters are listed. `gzip`,
/// `zstd` and `deflate` bodies are inflated under caps.
#[utoipa::path(
    post, path = "/api/v1/ingest/{input}", tag = "ingest", operation_id = "ingest",
    params(
        ("input" = String, Path, description = "The name in the configuration, `push` of `[sources.push]`."),
        ("Content-Encoding" = Option<String>, Header, description = "`gzip`, `zstd`, `deflate` or `identity`; one only.")
    ),
    request_body(content = String, content_type = "application/x-ndjson",
        example = json!("{\"eventType\":\"user.session.start\"}\n{\"eventType\":\"user.session.end\"}\n")),
    responses(
        (status = 202, description = "Accepted, in whole or in part.", body = Outcome, example = json!({
            "accepted": 2, "rejected": 1,
            "errors": [{"line": 3, "code": "bad_json", "detail": "expected value at column 1"}]
        })),
        (status = 422, description = "Every record was set aside.", body = Outcome),
        (status = 404, description = "`unknown_source`: no such input takes pushed logs.",
            body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is, or inflates to, too much, or holds too many records.", body = Problem,
            content_type = "application/problem+json"),
        (status = 415, description = "An encoding that is not read.", body = Problem,
            content_type = "application/problem+json"),
        (status = 429, description = "Too much at once; `Retry-After` says when.", body = Problem,
            content_type = "application/problem+json"),
        (status = 503, description = "The spool or the memory for requests is full; `Retry-After` says when.", body = Problem,
            content_type = "application/problem+json")
    )
)]
pub(super) async fn push(
    State(shared): State<Shared>,
    Params(Nothing {}): Params<Nothing>,
    Extension(principal): Extension<Principal>,
    Path(input): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let Some(endpoint) = shared.app.endpoints.get(&input).cloned() else {
        let names: Vec<&str> = shared.app.endpoints.keys().map(String::as_str).collect();
        return Err(Problem::new(
            Code::UnknownSource,
            format!("no input `{input}` takes pushed logs"),
        )
        .hint(if names.is_empty() {
            "add `[sources.NAME]` with `http = {}` to the configuration".to_owned()
        } else {
            format!("these do: {}", names.join(", "))
        }));
    };
    if principal.inputs.as_ref().is_some_and(|inputs| !inputs.contains(&input)) {
        return Err(Problem::new(
            Code::Forbidden,
            format!("the token is for other inputs than `{input}`"),
        ));
    }
    shared.throttle.push(&principal.id, clock::monotonic())?;
    let encoding = encoding(request.headers())?;
    let mut memory = shared.memory.of(&principal.id);
    let body = request.into_body();
    let bytes = body::read(body, shared.push_bytes, body::BODY_TIME, Some(&mut memory)).await?;
    if bytes.is_empty() {
        return Err(refused(PushError::Empty));
    }
    let limits = shared.push_limits;
    let work = move || {
        let mut grow = |bytes| memory.grow(bytes);
        endpoint.push(encoding.as_deref(), &bytes, limits, &mut grow, clock::now())
    };
    let answer = shared.pools.pushes.run(work).await?.map_err(failed)?;
    shared.processor.owes(&principal.id, answer.accepted + answer.rejected);
    shared.throttle.rejected(&principal.id, answer.rejected, clock::monotonic());
    Ok(outcome(answer))
}

/// The one encoding of the body; `None` for identity.
fn encoding(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut found = None;
    for header in headers.get_all(header::CONTENT_ENCODING) {
        let text = header.to_str().unwrap_or("?").trim().to_ascii_lowercase();
        if found.is_some() || text.contains(',') {
            return Err(refused(PushError::Encoding(format!("{text}, more than one"))));
        }
        found = Some(text);
    }
    Ok(found.filter(|text| text != "identity" && !text.is_empty()))
}

fn outcome(answer: PushAnswer) -> Response {
    let status = if answer.accepted == 0 && answer.rejected > 0 {
        StatusCode::UNPROCESSABLE_ENTITY
    } else {
        StatusCode::ACCEPTED
    };
    let errors = answer
        .errors
        .into_iter()
        .map(|e| LineError { line: e.line, code: e.code, detail: e.detail })
        .collect();
    let outcome = Outcome { accepted: answer.accepted, rejected: answer.rejected, errors };
    (status, Json(outcome)).into_response()
}

/// The problem of a request of which nothing was taken.
fn failed(failure: PushFailure) -> Problem {
    let text = failure.to_string();
    match failure {
        PushFailure::Body(error) => refused(error),
        PushFailure::Spool(SpoolError::Busy) | PushFailure::Slow(_) => {
            Problem::new(Code::TooManyRequests, text).retry(1)
        }
        PushFailure::Spool(SpoolError::TooLarge { .. }) => too_large(text),
        PushFailure::Spool(SpoolError::Full { .. } | SpoolError::DiskFull) => {
            Problem::new(Code::Unavailable, text).retry(RETRY_FULL)
        }
        // These name files and folders: for the log.
        PushFailure::Spool(
            SpoolError::Failed(_) | SpoolError::Locked(_) | SpoolError::Io { .. },
        )
        | PushFailure::Mapping(_) => {
            tracing::error!("a push failed: {text}");
            Problem::new(Code::Unavailable, "the input cannot take records; the log says why")
                .retry(RETRY_FULL)
        }
    }
}

/// The problem of a body that is not accepted.
fn refused(error: PushError) -> Problem {
    let text = error.to_string();
    match error {
        PushError::Empty => Problem::new(Code::Empty, text).hint("one JSON record a line"),
        PushError::Encoding(_) => {
            Problem::new(Code::UnsupportedMediaType, text).hint("gzip, zstd, deflate or identity")
        }
        PushError::Damaged { .. } => Problem::new(Code::InvalidBody, text),
        PushError::TooLarge { .. } | PushError::TooMany { .. } => too_large(text),
        PushError::NoMemory => memory::exhausted(),
    }
}

fn too_large(text: String) -> Problem {
    Problem::new(Code::TooLarge, text).hint("send fewer records at once")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_failure_has_its_status_and_wait() {
        let path = std::path::PathBuf::from("/secret");
        for (failure, status, wait) in [
            (PushError::Empty.into(), 400, ""),
            (PushError::TooLarge { max: 9 }.into(), 413, ""),
            (PushError::TooMany { max: 9 }.into(), 413, ""),
            (PushError::NoMemory.into(), 503, "1"),
            (SpoolError::Busy.into(), 429, "1"),
            (PushFailure::Slow(Duration::from_secs(20)), 429, "1"),
            (SpoolError::Full { used: 1, max: 1 }.into(), 503, "30"),
            (SpoolError::TooLarge { bytes: 2, max: 1 }.into(), 413, ""),
            (SpoolError::Locked(path).into(), 503, "30"),
        ] {
            let problem = failed(failure);
            assert!(!problem.text().contains("secret"), "{}", problem.text());
            let response = problem.into_response();
            assert_eq!(response.status().as_u16(), status);
            let headers = response.headers();
            let retry = headers.get(header::RETRY_AFTER).map_or("", |h| h.to_str().unwrap());
            assert_eq!(retry, wait);
        }
    }
}
