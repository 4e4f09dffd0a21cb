//! Request bodies: read under a cap and a deadline, JSON with unknown fields refused.

use std::time::Duration;

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, Request},
    http::header,
};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;

use super::problem::{Code, Fault, Problem};

/// Time for a whole body to arrive.
pub(super) const BODY_TIME: Duration = Duration::from_secs(30);
/// Bytes of a JSON body: the largest is a hunt's SQL of 64 KiB.
const JSON_BYTES: usize = 1 << 20;
/// Time for the rest of a body that is too large anyway.
const REST_TIME: Duration = Duration::from_secs(1);

/// A JSON body read into a struct that denies unknown fields.
pub(super) struct Json<T>(pub(super) T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE);
        let kind = kind.and_then(|k| k.to_str().ok()).unwrap_or_default();
        let essence = kind.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/json") {
            return Err(Problem::new(
                Code::UnsupportedMediaType,
                format!("the body is JSON, not `{kind}`"),
            )
            .hint("send `Content-Type: application/json`"));
        }
        if request.headers().contains_key(header::CONTENT_ENCODING) {
            return Err(Problem::new(
                Code::UnsupportedMediaType,
                "only ingest takes compressed bodies",
            ));
        }
        let bytes = read(request.into_body(), JSON_BYTES, BODY_TIME).await?;
        serde_json::from_slice(&bytes).map(Json).map_err(|e| {
            let (line, column) = (e.line() as u64, e.column() as u64);
            let text = e.to_string();
            let text = text.split(" at line ").next().unwrap_or_default().to_owned();
            let fault = Fault {
                pointer: Some("/".to_owned()),
                detail: text.clone(),
                line: Some(line),
                column: Some(column),
                hint: None,
            };
            Problem::new(Code::InvalidBody, format!("{text} (line {line}, column {column})"))
                .errors(vec![fault])
        })
    }
}

/// The whole body, at most `cap` bytes, within `time`.
///
/// What is beyond the cap is read a little further and thrown away: a client that is still writing
/// when the connection closes would not see the answer.
pub(super) async fn read(body: Body, cap: usize, time: Duration) -> Result<Bytes, Problem> {
    let mut kept = Kept { bytes: Vec::new(), seen: 0, cap };
    let mut body = body;
    match tokio::time::timeout(time, kept.fill(&mut body, cap)).await {
        Err(_) => {
            return Err(Problem::new(
                Code::Timeout,
                format!("the body did not arrive within {} s", time.as_secs()),
            ));
        }
        Ok(Err(error)) => {
            return Err(Problem::new(Code::InvalidBody, format!("the body broke off: {error}")));
        }
        Ok(Ok(())) => {}
    }
    if kept.seen <= cap {
        return Ok(kept.bytes.into());
    }
    // Whether the rest comes or not, the answer is the same.
    tokio::time::timeout(REST_TIME, kept.fill(&mut body, cap.saturating_mul(4))).await.ok();
    Err(Problem::new(Code::TooLarge, format!("the body has more than {cap} bytes")))
}

struct Kept {
    bytes: Vec<u8>,
    seen: usize,
    cap: usize,
}

impl Kept {
    /// Reads until the end, or past `until` bytes.
    async fn fill(&mut self, body: &mut Body, until: usize) -> Result<(), axum::Error> {
        while self.seen <= until
            && let Some(frame) = body.frame().await
        {
            let Ok(data) = frame?.into_data() else { continue };
            self.seen += data.len();
            if self.seen <= self.cap {
                self.bytes.extend_from_slice(&data);
            }
        }
        Ok(())
    }
}
