//! Levels for the Open Policy Agent, which fetches them as a bundle: `GET /bundles/risk.tar.gz`. Not what
//! is in it (see `sluice_signal::policy::opa`).

use std::io::Write;

use axum::{
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use flate2::{Compression, write::GzEncoder};
use sluice_signal::policy::opa;

use super::{
    super::{
        problem::{Code, Problem},
        shared::Shared,
    },
    decide, signals,
};

/// All entities that are not low; 304 while they are as `If-None-Match` says.
pub(super) async fn risk(
    State(shared): State<Shared>,
    request: Request,
) -> Result<Response, Problem> {
    decide::gateway(&shared, &request)?;
    let signals = signals(&shared)?;
    let known = request.headers().get(header::IF_NONE_MATCH).cloned();
    let made = move || {
        // An old bundle stays in force while there is none.
        signals.evaluate(|_, levels| opa::bundle(levels)).map(|bundle| {
            let tag = format!("\"{}\"", bundle.revision);
            let unchanged = known.is_some_and(|known| known.as_bytes() == tag.as_bytes());
            (tag, (!unchanged).then(|| compressed(&bundle.tar)))
        })
    };
    let Some((tag, body)) = shared.pools.signals.run(made).await? else {
        return Err(Problem::new(Code::Unavailable, "levels cannot be read").retry(1));
    };
    let mut response = match body {
        None => StatusCode::NOT_MODIFIED.into_response(),
        Some(Err(error)) => return Err(Problem::new(Code::Internal, error.to_string())),
        Some(Ok(bytes)) => {
            let kind = HeaderValue::from_static("application/gzip");
            ([(header::CONTENT_TYPE, kind)], bytes).into_response()
        }
    };
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    Ok(response)
}

fn compressed(tar: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(tar)?;
    encoder.finish()
}
