//! Pushing logs: bytes to the door of an input, and its answer. Not the wire formats, nor the spool
//! behind the door (see `sluice_ingest`).

use axum::{
    Extension, Json,
    extract::{Path, Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    PushError, Pushed, body, clock,
    params::{Nothing, Params},
    problem::{Code, Problem, RETRY_FULL},
    router::Shared,
};
use crate::tokens::Principal;

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
        (status = 413, description = "The body is, or inflates to, too much.", body = Problem,
            content_type = "application/problem+json"),
        (status = 415, description = "An encoding that is not read.", body = Problem,
            content_type = "application/problem+json"),
        (status = 429, description = "Too much at once; `Retry-After` says when.", body = Problem,
            content_type = "application/problem+json"),
        (status = 503, description = "The spool is full; `Retry-After` says when.", body = Problem,
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
    let Some(door) = shared.app.doors.get(&input).cloned() else {
        let names: Vec<&str> = shared.app.doors.keys().map(String::as_str).collect();
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
    let encoding = encoding(request.headers())?;
    let bytes = body::read(request.into_body(), shared.push_bytes, body::BODY_TIME).await?;
    if bytes.is_empty() {
        return Err(PushError::Empty.into());
    }
    let pushed =
        shared.pushes.run(move || door.push(encoding.as_deref(), &bytes, clock::now())).await??;
    Ok(answer(pushed))
}

/// The one encoding of the body; `None` for identity.
fn encoding(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut found = None;
    for header in headers.get_all(header::CONTENT_ENCODING) {
        let text = header.to_str().unwrap_or("?").trim().to_ascii_lowercase();
        if found.is_some() || text.contains(',') {
            return Err(PushError::Encoding(
                "one Content-Encoding is read, not one inside another".to_owned(),
            )
            .into());
        }
        found = Some(text);
    }
    Ok(found.filter(|text| text != "identity" && !text.is_empty()))
}

fn answer(pushed: Pushed) -> Response {
    let status = if pushed.accepted == 0 && pushed.rejected > 0 {
        StatusCode::UNPROCESSABLE_ENTITY
    } else {
        StatusCode::ACCEPTED
    };
    let errors = pushed
        .errors
        .into_iter()
        .map(|e| LineError { line: e.line, code: e.code, detail: e.detail })
        .collect();
    let outcome = Outcome { accepted: pushed.accepted, rejected: pushed.rejected, errors };
    (status, Json(outcome)).into_response()
}

impl From<PushError> for Problem {
    fn from(error: PushError) -> Self {
        let text = error.to_string();
        match error {
            PushError::Empty => Problem::new(Code::Empty, text).hint("one JSON record a line"),
            PushError::Encoding(_) => Problem::new(Code::UnsupportedMediaType, text)
                .hint("gzip, zstd, deflate or identity"),
            PushError::Damaged(_) => Problem::new(Code::InvalidBody, text),
            PushError::TooLarge(_) => {
                Problem::new(Code::TooLarge, text).hint("send fewer records at once")
            }
            PushError::Busy(_) => Problem::new(Code::TooManyRequests, text).retry(1),
            PushError::Full(_) => Problem::new(Code::Unavailable, text).retry(RETRY_FULL),
        }
    }
}
