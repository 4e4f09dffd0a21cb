//! What gateways ask: AuthZEN, Envoy ext_authz over HTTP, forward-auth (nginx `auth_request`, Caddy,
//! Traefik, HAProxy). Answered from memory. Not the policy (see `sluice_signal::policy`), and not gRPC
//! (see [`super::envoy`]).
//!
//! A gateway shows a token of ours with the permission `risk:read`, like any client of the API. The
//! headers that name user and device are believed because of it: a gateway must overwrite them.

use axum::{
    body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::Value;
use sluice_event::{EntityKind, rfc3339};
use sluice_signal::{
    EntityKey, Level,
    policy::{Action, Decision, NotReady, authzen},
};

use super::{
    super::{
        access,
        body::{BODY_TIME, once, read},
        problem::{Code, Problem},
        shared::Shared,
    },
    signals,
};
use crate::{clock, tokens::Permission};

/// Bytes of an evaluation.
const BODY: usize = 1 << 20;

/// How a gateway reads a status.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    /// Envoy: 5xx is an error of ours, and its own setting decides.
    Envoy,
    /// nginx: anything but 2xx, 401 and 403 is a 500 to the user.
    Forward,
}

/// `POST /access/v1/evaluation`.
pub(super) async fn evaluation(
    State(shared): State<Shared>,
    request: Request,
) -> Result<Response, Problem> {
    evaluate(shared, request, false).await
}

/// `POST /access/v1/evaluations`.
pub(super) async fn evaluations(
    State(shared): State<Shared>,
    request: Request,
) -> Result<Response, Problem> {
    evaluate(shared, request, true).await
}

/// `/ext_authz` and whatever the gateway appends.
pub(super) async fn ext_authz(
    State(shared): State<Shared>,
    request: Request,
) -> Result<Response, Problem> {
    let path = request.uri().path();
    let path = path.strip_prefix("/ext_authz").unwrap_or(path).to_owned();
    gate(&shared, &request, &path, Dialect::Envoy)
}

/// `/forward_auth`: the path is in a header.
pub(super) async fn forward_auth(
    State(shared): State<Shared>,
    request: Request,
) -> Result<Response, Problem> {
    let headers = request.headers();
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    let path = ["x-forwarded-uri", "x-original-uri"].into_iter().find_map(text);
    // Without a path the strictest rule counts: this is no plain path.
    let path = path.unwrap_or("%").to_owned();
    gate(&shared, &request, &path, Dialect::Forward)
}

fn gate(
    shared: &Shared,
    request: &Request,
    path: &str,
    dialect: Dialect,
) -> Result<Response, Problem> {
    gateway(shared, request)?;
    let headers = request.headers();
    let values = |name: &str| {
        headers.get_all(name).iter().filter_map(|v| v.to_str().ok().map(str::to_owned)).collect()
    };
    let Verdict { decided, headers } = verdict(shared, path, values)?;
    let decision = match decided {
        Ok(decision) => decision,
        Err(setting) => return Ok(not_ready(setting, dialect)),
    };
    let mut response = status(decision.action).into_response();
    *response.headers_mut() = headers;
    Ok(response)
}

/// What a gateway is told, before it is put into the words of its protocol.
pub(super) struct Verdict {
    /// The decision, or what is answered while levels cannot be read.
    pub(super) decided: Result<Decision, NotReady>,
    /// What is said about it.
    pub(super) headers: HeaderMap,
}

/// Headers that say why.
pub(super) const SAID: [&str; 6] = [
    "x-risk-level",
    "x-risk-score",
    "x-risk-reason",
    "x-risk-age",
    "x-risk-stale-since",
    "x-risk-quarantined-until",
];

/// Decides about a request to `path`. `values` are those of one of its headers: who is named twice is
/// judged twice.
pub(super) fn verdict(
    shared: &Shared,
    path: &str,
    values: impl Fn(&str) -> Vec<String>,
) -> Result<Verdict, Problem> {
    let signals = signals(shared)?;
    let settings = signals.decisions();
    let mut entities = Vec::new();
    for (header, kind) in
        [(&settings.user_header, EntityKind::User), (&settings.device_header, EntityKind::Device)]
    {
        let ids = values(header).into_iter().map(|id| id.trim().to_lowercase());
        entities.extend(ids.filter(|id| !id.is_empty()).map(|id| EntityKey { kind, id }));
    }
    let mut headers = HeaderMap::new();
    let decided = match signals.decide(path, &entities) {
        None => Err(signals.not_ready(path)),
        Some(decision) => {
            describe(&mut headers, &decision, settings.acr_values.as_deref());
            let stale = shared.app.silence.stale_since().map(rfc3339);
            if let Some(Ok(stale)) = stale.map(|stale| HeaderValue::from_str(&stale)) {
                headers.insert("x-risk-stale-since", stale);
            }
            Ok(decision)
        }
    };
    Ok(Verdict { decided, headers })
}

/// The status of an action.
pub(super) fn status(action: Action) -> StatusCode {
    match action {
        Action::Allow => StatusCode::OK,
        Action::StepUp => StatusCode::UNAUTHORIZED,
        Action::Deny => StatusCode::FORBIDDEN,
    }
}

/// What is said while levels cannot be read.
fn not_ready(setting: NotReady, dialect: Dialect) -> Response {
    let status = match (setting, dialect) {
        (NotReady::Allow, _) => StatusCode::OK,
        (NotReady::Deny, _) => StatusCode::FORBIDDEN,
        (NotReady::Error, Dialect::Envoy) => StatusCode::SERVICE_UNAVAILABLE,
        (NotReady::Error, Dialect::Forward) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let reason = HeaderValue::from_static("levels cannot be read");
    (status, [("x-risk-reason", reason)]).into_response()
}

fn describe(headers: &mut HeaderMap, decision: &Decision, acr_values: Option<&str>) {
    let mut put = |name: &'static str, text: String| {
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(name, value);
        }
    };
    put("x-risk-level", decision.level.name().to_owned());
    put("x-risk-reason", decision.reason.clone());
    if let Some(until) = decision.quarantined_until {
        put("x-risk-quarantined-until", rfc3339(until));
    }
    if let Some(score) = decision.score {
        put("x-risk-score", format!("{score:.1}"));
    }
    if let Some(since) = decision.since {
        put("x-risk-age", ((clock::now() - since).max(0) / 1_000).to_string());
    }
    if decision.action == Action::StepUp {
        let mut challenge = "Bearer error=\"insufficient_user_authentication\"".to_owned();
        if let Some(acr) = acr_values {
            challenge += &format!(", acr_values=\"{}\"", acr.replace(['"', '\\'], ""));
        }
        put("www-authenticate", challenge);
    }
}

async fn evaluate(shared: Shared, request: Request, several: bool) -> Result<Response, Problem> {
    gateway(&shared, &request)?;
    let signals = signals(&shared)?;
    let request_id = request.headers().get("x-request-id").cloned();
    let bytes = read(request.into_body(), BODY, BODY_TIME, None).await?;
    let bad = |text: String| Problem::new(Code::InvalidBody, text);
    let body: Value = once::value(&bytes).map_err(|e| bad(format!("the body is no JSON: {e}")))?;
    let (now, stale) = (clock::now(), shared.app.silence.stale_since());
    let answered = signals.evaluate(|policy, levels| match several {
        true => authzen::evaluate_all(&body, policy, |e| signals.judged(levels, e), stale, now),
        false => authzen::evaluate(&body, policy, |e| signals.judged(levels, e), stale, now),
    });
    let answer = match answered {
        Some(answer) => answer.map_err(bad)?,
        None => match signals.not_ready(resource(&body, several)) {
            NotReady::Error => {
                return Err(Problem::new(Code::Unavailable, "levels cannot be read").retry(1));
            }
            setting => {
                let decision = Decision {
                    action: if setting == NotReady::Allow { Action::Allow } else { Action::Deny },
                    level: Level::Low,
                    entity: None,
                    score: None,
                    since: None,
                    reason: "levels cannot be read".into(),
                    quarantined_until: None,
                };
                authzen::answer(&decision, stale, now)
            }
        },
    };
    let text = body::Body::from(answer.to_string());
    let json = HeaderValue::from_static("application/json");
    let mut response = ([(header::CONTENT_TYPE, json)], text).into_response();
    if let Some(id) = request_id {
        response.headers_mut().insert("x-request-id", id);
    }
    Ok(response)
}

/// What an evaluation is about. Several may be about anything: the strictest rule counts.
fn resource(body: &Value, several: bool) -> &str {
    let one = body["resource"]["id"].as_str().filter(|_| !several);
    one.unwrap_or("%")
}

/// Lets a gateway in.
pub(super) fn gateway(shared: &Shared, request: &Request) -> Result<(), Problem> {
    access::principal_with(shared, request, Permission::RiskRead).map(|_| ())
}
