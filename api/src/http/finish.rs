//! What every request and response gets: a name, limits on its address, headers, a log line, counts,
//! and its problem written out. The outermost layer.

use std::time::Duration;

use axum::{
    body::Body,
    extract::{MatchedPath, Request, State},
    http::{HeaderName, HeaderValue, StatusCode, Uri, Version, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{
    audit::RequestName,
    clock,
    problem::{Code, Problem},
    shared::Shared,
};

/// Bytes of an address, path and query.
const URI_BYTES: usize = 8 << 10;
/// Query parameters of an address.
const PARAMETERS: usize = 100;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// On every response.
const HEADERS: [(HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
         frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Names the request, refuses an overlong address, and completes the response.
pub(super) async fn finish(
    State(shared): State<Shared>,
    mut request: Request,
    next: Next,
) -> Response {
    let id = shared.request_id();
    request.extensions_mut().insert(RequestName(id.clone()));
    let start = clock::monotonic();
    let method = request.method().clone();
    // The pattern, never the path: labels are bounded, and a path may name a person.
    let route = request.extensions().get::<MatchedPath>().map(|p| p.as_str().to_owned());
    let refused = too_long(request.uri()).or_else(|| without_host(&request));
    let mut response = match refused {
        Some(problem) => problem.into_response(),
        None => next.run(request).await,
    };
    let problem = response.extensions_mut().remove::<Problem>();
    let code = problem.as_ref().map(Problem::code);
    if let Some(problem) = problem {
        if response.status().is_server_error() {
            tracing::warn!(request = id, code, detail = problem.text(), "request refused");
        }
        let (mut parts, _) = response.into_parts();
        parts.headers.remove(header::CONTENT_LENGTH);
        response = Response::from_parts(parts, Body::from(problem.render(&id)));
    }
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        // The web UI brings a stricter policy of its own.
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if shared.https {
        let year = HeaderValue::from_static("max-age=31536000");
        headers.insert(header::STRICT_TRANSPORT_SECURITY, year);
    }
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
    let took = start.elapsed();
    let route = route.as_deref().unwrap_or("none");
    shared.counters.request(route, &method, response.status(), took);
    let status = response.status().as_u16();
    tracing::debug!(request = id, %method, route, status, code, ?took, "request");
    response
}

fn too_long(uri: &Uri) -> Option<Problem> {
    let bytes = uri.path_and_query().map_or(0, |p| p.as_str().len());
    if bytes > URI_BYTES {
        return Some(Problem::new(
            Code::UriTooLong,
            format!("the address has {bytes} bytes, more than {URI_BYTES}"),
        ));
    }
    let parameters = uri.query().map_or(0, |q| q.split('&').count());
    (parameters > PARAMETERS).then(|| {
        Problem::new(
            Code::InvalidParameter,
            format!("the address has {parameters} parameters, more than {PARAMETERS}"),
        )
    })
}

/// HTTP/1.1 has one `Host` (RFC 9112 s.3.2); with none or two, a proxy and this server could mean
/// different ones.
fn without_host(request: &Request) -> Option<Problem> {
    let hosts = request.headers().get_all(header::HOST).iter().count();
    let good = hosts == 1 || hosts == 0 && request.version() < Version::HTTP_11;
    (!good).then(|| {
        Problem::new(Code::InvalidParameter, format!("the request has {hosts} Host headers, not 1"))
    })
}

/// Ends a request that takes too long with 408. Streams are bounded by their client instead: only the
/// head of the response counts.
pub(super) async fn deadline(
    State(shared): State<Shared>,
    request: Request,
    next: Next,
) -> Response {
    let time: Duration = shared.request_time;
    match tokio::time::timeout(time, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::new(
            Code::Timeout,
            format!("the request was not done after {} s", time.as_secs()),
        )
        .into_response(),
    }
}

/// The answer to a panic: that there was one, and nothing of it.
pub(super) fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no text");
    tracing::error!(panic = text, "a handler panicked");
    let mut response =
        Problem::new(Code::Internal, "the request hit a defect; the log has it").into_response();
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response
}
