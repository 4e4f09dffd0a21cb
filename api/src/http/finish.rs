//! What every request and response gets: a name, limits on its address, headers, a log line, counts,
//! and its problem written out. The outermost layer.

use std::time::Duration;

use axum::{
    body::Body,
    extract::{MatchedPath, Request, State},
    http::{HeaderName, HeaderValue, StatusCode, Uri, Version, header, uri::Authority},
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
    let refused = too_long(request.uri()).or_else(|| ambiguous(&request));
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

/// What a request says once: a proxy before this server may go by the first, this server by the last.
static SAID_ONCE: [HeaderName; 5] = [
    header::AUTHORIZATION,
    header::CONTENT_TYPE,
    header::IF_MATCH,
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("last-event-id"),
];

/// What two readers of a request could take for different things: HTTP/1.1 has one `Host` (RFC 9112
/// s.3.2), which is a name and a port, and one length.
fn ambiguous(request: &Request) -> Option<Problem> {
    let refused = |text: String| Some(Problem::new(Code::InvalidParameter, text));
    let headers = request.headers();
    let hosts: Vec<&HeaderValue> = headers.get_all(header::HOST).iter().collect();
    match hosts[..] {
        [host] => {
            let text = host.to_str().unwrap_or_default();
            let of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
            let is_name = text.parse::<Authority>().is_ok() && text.bytes().all(of_name);
            let of_uri = request.uri().authority().map(Authority::as_str);
            if !is_name || of_uri.is_some_and(|of_uri| !of_uri.eq_ignore_ascii_case(text)) {
                return refused("the Host header is not the name of the server".to_owned());
            }
        }
        [] if request.version() < Version::HTTP_11 => {}
        _ => return refused(format!("the request has {} Host headers, not 1", hosts.len())),
    }
    if headers.contains_key(header::TRANSFER_ENCODING)
        && headers.contains_key(header::CONTENT_LENGTH)
    {
        return refused("the request has both Transfer-Encoding and Content-Length".to_owned());
    }
    let twice = SAID_ONCE.iter().find(|name| headers.get_all(*name).iter().count() > 1);
    twice.and_then(|name| refused(format!("the request has more than one {name} header")))
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
