//! The endpoints of receivers: access tokens (RFC 6749 section 4.4), streams (SSF 1.0 section 8), poll
//! (RFC 8936). Errors have the form of RFC 8935, `err` and `description`; those of the token endpoint
//! that of RFC 6749. Unknown members are ignored, as these protocols ask.

use std::time::Duration;

use axum::{
    body::Body,
    extract::{Path, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use sluice_signal::{
    RequestError, Transmitter,
    oauth::{Bearer, LIFETIME_S, Scope},
    stream::Update,
    transmitter::PollRequest,
};

use super::{
    super::{body, pool::as_token, problem::Problem, server::ended, shared::Shared},
    signals,
};
use crate::{
    clock,
    network::{self, Peer},
    node::signals::{BearerError, Signals},
    tokens,
};

/// Bytes of a body: a poll that acknowledges a hundred SETs has 4 KiB.
const BODY: usize = 1 << 20;
/// Bytes of a request for an access token.
const FORM: usize = 16 << 10;
/// How long a poll is held while there is nothing: less than the time a request may take.
const HOLD: Duration = Duration::from_secs(25);

/// Why a receiver gets no answer.
pub(super) struct Refusal {
    status: StatusCode,
    err: &'static str,
    description: String,
    retry_after: Option<i64>,
    challenge: Option<String>,
}

/// `POST /ssf/token`.
pub(super) async fn token(State(shared): State<Shared>, request: Request) -> Response {
    let peer = request.extensions().get::<Peer>();
    let peer = peer.map(|p| network::client(p.0.ip(), request.headers(), &shared.trusted_proxies));
    match access_token(&shared, request).await {
        Ok(answer) => answer.into_response(),
        Err((status, error)) => {
            // A wrong secret counts as a refused token does: the right one is taken at any time.
            let failed = peer.filter(|_| status == StatusCode::UNAUTHORIZED);
            let wait = failed.and_then(|ip| shared.throttle.failed(ip, clock::monotonic()));
            if let Some(wait) = wait {
                let error = axum::Json(json!({"error": error}));
                let wait = [(header::RETRY_AFTER, wait.to_string())];
                return (StatusCode::TOO_MANY_REQUESTS, wait, error).into_response();
            }
            let mut response = (status, axum::Json(json!({"error": error}))).into_response();
            if status == StatusCode::UNAUTHORIZED {
                let basic = HeaderValue::from_static("Basic realm=\"sluice\"");
                response.headers_mut().insert(header::WWW_AUTHENTICATE, basic);
            }
            response
        }
    }
}

/// `GET /ssf/streams`.
pub(super) async fn read(
    State(shared): State<Shared>,
    request: Request,
) -> Result<Response, Refusal> {
    let bearer = bearer(&shared, shown(&request), Scope::Read).await?;
    let id = query(&request, "stream_id");
    ask(&shared, bearer, move |t, receiver, _| t.read_streams(receiver, id.as_deref())).await
}

/// `POST /ssf/streams`.
pub(super) async fn create(
    State(shared): State<Shared>,
    request: Request,
) -> Result<Response, Refusal> {
    let bearer = bearer(&shared, shown(&request), Scope::Create).await?;
    let body = json_body(request).await?;
    let nonce = tokens::random::<16>().map_err(|e| Refusal::failed(e.to_string()))?;
    let nonce = tokens::hex(&nonce);
    let answer =
        ask(&shared, bearer, move |t, receiver, now| t.create_stream(receiver, &body, &nonce, now))
            .await?;
    Ok((StatusCode::CREATED, answer).into_response())
}

/// `PATCH /ssf/streams`.
pub(super) async fn patch(
    State(shared): State<Shared>,
    request: Request,
) -> Result<Response, Refusal> {
    update(&shared, request, Update::Merge).await
}

/// `PUT /ssf/streams`.
pub(super) async fn put(
    State(shared): State<Shared>,
    request: Request,
) -> Result<Response, Refusal> {
    update(&shared, request, Update::Replace).await
}

async fn update(shared: &Shared, request: Request, update: Update) -> Result<Response, Refusal> {
    let work = move |t: &mut Transmitter, receiver: &str, body: &Value, now| {
        t.update_stream(receiver, body, update, now)
    };
    change(shared, request, work).await
}

/// `DELETE /ssf/streams`.
pub(super) async fn delete(
    State(shared): State<Shared>,
    request: Request,
) -> Result<StatusCode, Refusal> {
    let bearer = bearer(&shared, shown(&request), Scope::Delete).await?;
    let id = query(&request, "stream_id").ok_or_else(|| Refusal::bad("`stream_id` is needed"))?;
    ask(&shared, bearer, move |t, receiver, now| {
        t.delete_stream(receiver, &id, now).map(|()| Value::Null)
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /ssf/status`.
pub(super) async fn status(
    State(shared): State<Shared>,
    request: Request,
) -> Result<Response, Refusal> {
    let bearer = bearer(&shared, shown(&request), Scope::Read).await?;
    let id = query(&request, "stream_id").ok_or_else(|| Refusal::bad("`stream_id` is needed"))?;
    ask(&shared, bearer, move |t, receiver, _| t.status(receiver, &id)).await
}

/// `POST /ssf/status`.
pub(super) async fn set_status(
    State(shared): State<Shared>,
    request: Request,
) -> Result<Response, Refusal> {
    change(&shared, request, |t, receiver, body, now| t.set_status(receiver, body, now)).await
}

/// `POST /ssf/subjects/add`.
pub(super) async fn add_subject(
    State(shared): State<Shared>,
    request: Request,
) -> Result<StatusCode, Refusal> {
    let work = |t: &mut Transmitter, receiver: &str, body: &Value, now| {
        t.add_subject(receiver, body, now).map(|()| Value::Null)
    };
    change(&shared, request, work).await?;
    Ok(StatusCode::OK)
}

/// `POST /ssf/subjects/remove`.
pub(super) async fn remove_subject(
    State(shared): State<Shared>,
    request: Request,
) -> Result<StatusCode, Refusal> {
    let work = |t: &mut Transmitter, receiver: &str, body: &Value, now| {
        t.remove_subject(receiver, body, now).map(|()| Value::Null)
    };
    change(&shared, request, work).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /ssf/verify`.
pub(super) async fn verify(
    State(shared): State<Shared>,
    request: Request,
) -> Result<StatusCode, Refusal> {
    let work = |t: &mut Transmitter, receiver: &str, body: &Value, now| {
        t.request_verification(receiver, body, now).map(|()| Value::Null)
    };
    change(&shared, request, work).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /ssf/poll/{stream}`: held while there is nothing, unless the receiver does not want that. An
/// answer that only acknowledges (`maxEvents` is 0) is never held.
pub(super) async fn poll(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let bearer = bearer(&shared, shown(&request), Scope::Poll).await?;
    let body = json_body(request).await?;
    let mut poll = PollRequest::parse(&body)?;
    let signals = signals(&shared)?;
    let mut changes = signals.changes();
    let mut stopped = shared.stopped.clone();
    let hold = tokio::time::sleep(HOLD);
    tokio::pin!(hold);
    loop {
        changes.mark_unchanged();
        let (receiver, stream, asked) = (bearer.receiver.clone(), id.clone(), poll.clone());
        let place = place_of(&receiver);
        let work = move |t: &mut Transmitter, now| t.poll(&receiver, &stream, &asked, now);
        let answer = as_token(&place, signals.run(&shared, work)).await??;
        if !answer.is_empty() || poll.at_once || poll.most == 0 {
            return Ok(axum::Json(answer.to_value()).into_response());
        }
        poll = poll.held();
        tokio::select! {
            () = &mut hold => poll.at_once = true,
            () = ended(&mut stopped) => poll.at_once = true,
            _ = changes.changed() => {}
            // What was coalesced or handed out becomes due by time alone.
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
}

fn unauthorized(description: &str, challenge: &str) -> Refusal {
    Refusal {
        status: StatusCode::UNAUTHORIZED,
        err: "authentication_failed",
        description: description.to_owned(),
        retry_after: None,
        challenge: Some(challenge.to_owned()),
    }
}

/// The access token of a request. One in the address is refused.
fn shown(request: &Request) -> Result<String, Refusal> {
    if query(request, "access_token").is_some() {
        let text = "an access token belongs into the header, not into the address";
        return Err(unauthorized(text, "Bearer error=\"invalid_request\""));
    }
    let header = request.headers().get(header::AUTHORIZATION).and_then(|h| h.to_str().ok());
    let token =
        header.and_then(|h| h.split_once(' ')).filter(|(s, _)| s.eq_ignore_ascii_case("bearer"));
    match token {
        Some((_, token)) => Ok(token.trim().to_owned()),
        None => Err(unauthorized("an access token is needed", "Bearer realm=\"sluice\"")),
    }
}

/// Who asks, if the token may do what the endpoint does.
async fn bearer(
    shared: &Shared,
    shown: Result<String, Refusal>,
    scope: Scope,
) -> Result<Bearer, Refusal> {
    let signals = signals(shared)?;
    let token = shown?;
    let bearer = match signals.is_of_others(&token) {
        true => {
            let asked = signals.clone();
            shared.pools.signals.run(move || asked.bearer(&token)).await?
        }
        false => signals.bearer(&token),
    };
    let bearer = bearer.map_err(|error| match error {
        BearerError::Token(error) => {
            unauthorized(&error.to_string(), "Bearer error=\"invalid_token\"")
        }
        error @ BearerError::Keys(_) => Refusal::failed(error.to_string()),
    })?;
    if !bearer.may(scope) {
        let scope = scope.name();
        return Err(Refusal {
            status: StatusCode::FORBIDDEN,
            err: "access_denied",
            description: format!("this needs the scope {scope}"),
            retry_after: None,
            challenge: Some(format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\"")),
        });
    }
    Ok(bearer)
}

/// What a receiver changes with a JSON body, if its token may manage.
async fn change(
    shared: &Shared,
    request: Request,
    work: impl FnOnce(&mut Transmitter, &str, &Value, i64) -> Result<Value, RequestError>
    + Send
    + 'static,
) -> Result<Response, Refusal> {
    let bearer = bearer(shared, shown(&request), Scope::Update).await?;
    let body = json_body(request).await?;
    ask(shared, bearer, move |t, receiver, now| work(t, receiver, &body, now)).await
}

async fn ask(
    shared: &Shared,
    bearer: Bearer,
    work: impl FnOnce(&mut Transmitter, &str, i64) -> Result<Value, RequestError> + Send + 'static,
) -> Result<Response, Refusal> {
    let signals = signals(shared)?;
    let (receiver, place) = (bearer.receiver.clone(), place_of(&bearer.receiver));
    let work = move |t: &mut Transmitter, now| work(t, &receiver, now);
    let answer = as_token(&place, signals.run(shared, work)).await??;
    Ok(axum::Json(answer).into_response())
}

/// Whose places in a pool the work for a receiver takes: no name of a token of ours.
fn place_of(receiver: &str) -> String {
    format!("receiver {receiver}")
}

async fn json_body(request: Request) -> Result<Value, Refusal> {
    let bytes = read_body(request.into_body()).await?;
    body::once::value(&bytes).map_err(|e| Refusal::bad(&format!("the body is no JSON: {e}")))
}

async fn read_body(body: Body) -> Result<axum::body::Bytes, Refusal> {
    let read = body::read(body, BODY, body::BODY_TIME, None).await;
    read.map_err(|problem| Refusal::bad(problem.text()))
}

/// A parameter of the address, as it is: ids and tokens have no escapes.
fn query(request: &Request, name: &str) -> Option<String> {
    let pairs = request.uri().query()?.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(key, _)| *key == name).map(|(_, value)| value.to_owned()).next()
}

type TokenRefusal = (StatusCode, &'static str);

async fn access_token(shared: &Shared, request: Request) -> Result<Response, TokenRefusal> {
    const INVALID: TokenRefusal = (StatusCode::BAD_REQUEST, "invalid_request");
    const CLIENT: TokenRefusal = (StatusCode::UNAUTHORIZED, "invalid_client");
    let signals = signals(shared).map_err(|_| (StatusCode::NOT_FOUND, "invalid_request"))?;
    let basic = basic(request.headers());
    // Nobody knows yet whose body it is.
    let body = body::read(request.into_body(), FORM, body::BODY_TIME, None).await;
    let body = body.map_err(|_| INVALID)?;
    let form = form(&body).ok_or(INVALID)?;
    let field = |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, v)| v.clone());
    if field("grant_type").as_deref() != Some("client_credentials") {
        return Err((StatusCode::BAD_REQUEST, "unsupported_grant_type"));
    }
    let (client, secret) = match (basic, field("client_id"), field("client_secret")) {
        (Some(pair), _, None) => pair,
        (None, Some(client), Some(secret)) => (client, secret),
        // Two ways at once are refused (RFC 6749 section 2.3).
        (Some(_), _, Some(_)) => return Err(INVALID),
        (None, _, _) => return Err(CLIENT),
    };
    let scopes = Scope::parse(field("scope").as_deref())
        .map_err(|_| (StatusCode::BAD_REQUEST, "invalid_scope"))?;
    let token = signals.issue(&client, &secret, &scopes).ok_or(CLIENT)?;
    Ok(axum::Json(json!({
        "access_token": token, "token_type": "Bearer", "expires_in": LIFETIME_S,
        "scope": Scope::list(&scopes),
    }))
    .into_response())
}

/// User and password of `Authorization: Basic`, each form-encoded in it (RFC 6749 section 2.3.1).
fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let header = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, text) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(BASE64_STANDARD.decode(text.trim()).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((decoded(user)?, decoded(password)?))
}

fn form(body: &[u8]) -> Option<Vec<(String, String)>> {
    let text = std::str::from_utf8(body).ok()?;
    let pairs = text.trim().split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (key, value) = pair.split_once('=')?;
            Some((decoded(key)?, decoded(value)?))
        })
        .collect()
}

/// Form encoding undone.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    loop {
        match rest {
            [] => return String::from_utf8(bytes).ok(),
            [b'+', after @ ..] => {
                bytes.push(b' ');
                rest = after;
            }
            [b'%', high, low, after @ ..] => {
                let digit = |b: &u8| char::from(*b).to_digit(16);
                bytes.push(u8::try_from(digit(high)? * 16 + digit(low)?).ok()?);
                rest = after;
            }
            [b'%', ..] => return None,
            [byte, after @ ..] => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
}

impl Signals {
    /// [`Signals::with`], off the async runtime.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        shared: &Shared,
        work: impl FnOnce(&mut Transmitter, i64) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let signals = self.clone();
        Ok(shared.pools.signals.run(move || signals.with(work)).await??)
    }
}

impl Refusal {
    fn bad(description: &str) -> Refusal {
        Refusal {
            status: StatusCode::BAD_REQUEST,
            err: "invalid_request",
            description: description.to_owned(),
            retry_after: None,
            challenge: None,
        }
    }

    fn failed(description: String) -> Refusal {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Refusal { status, err: "unavailable", description, retry_after: Some(1), challenge: None }
    }
}

impl From<RequestError> for Refusal {
    fn from(error: RequestError) -> Self {
        let description = error.to_string();
        let (status, err, retry_after) = match error {
            RequestError::Bad(_) => (StatusCode::BAD_REQUEST, "invalid_request", None),
            RequestError::Unknown => (StatusCode::NOT_FOUND, "not_found", None),
            RequestError::Conflict(_) => (StatusCode::CONFLICT, "conflict", None),
            RequestError::TooSoon(wait) => {
                (StatusCode::TOO_MANY_REQUESTS, "too_many_requests", Some(wait))
            }
            RequestError::Failed(text) => return Refusal::failed(text),
        };
        Refusal { status, err, description, retry_after, challenge: None }
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        let status = problem.status();
        let err = if status == StatusCode::NOT_FOUND { "not_found" } else { "unavailable" };
        let description = problem.text().to_owned();
        Refusal { status, err, description, retry_after: None, challenge: None }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({"err": self.err, "description": self.description});
        let mut response = (self.status, axum::Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_LANGUAGE, HeaderValue::from_static("en"));
        if let Some(challenge) = self.challenge.and_then(|c| HeaderValue::from_str(&c).ok()) {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(wait) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait));
        }
        response
    }
}
