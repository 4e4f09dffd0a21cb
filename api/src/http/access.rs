//! Who may use which route: one table, deny by default. A route that is not in it is refused to
//! everyone, but for those of receivers and gateways, which speak protocols of their own (see
//! [`super::signals`]). Not the tokens (see [`crate::tokens`]).

use axum::{
    body::HttpBody,
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, Method, header},
    middleware::Next,
    response::Response,
};

use super::{
    audit,
    held::until_sent,
    pool::as_token,
    problem::{Code, Problem},
    shared::Shared,
};
use crate::{
    clock,
    network::{self, Peer},
    tokens::{Denied, Permission, Principal},
};

/// What a route asks of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Nothing: no token, and no detail in the answer.
    Public,
    /// A token of any role: it is asked about itself.
    Token,
    /// A token whose role has this permission.
    Needs(Permission),
}

/// Every route there is.
pub(super) const ROUTES: &[(Method, &str, Access)] = {
    use Access::{Needs, Public, Token};
    use Permission as P;
    &[
        (Method::GET, "/", Public),
        (Method::GET, "/assets/{file}", Public),
        (Method::GET, "/healthz", Public),
        (Method::GET, "/readyz", Public),
        (Method::GET, "/api/v1/docs", Public),
        (Method::GET, "/api/v1/docs/docs.css", Public),
        (Method::GET, "/api/v1/docs/docs.js", Public),
        (Method::GET, "/api/v1/openapi.json", Needs(P::RulesRead)),
        (Method::GET, "/api/v1/schema", Needs(P::RulesRead)),
        (Method::GET, "/api/v1/findings", Needs(P::FindingsRead)),
        (Method::POST, "/api/v1/findings/bulk", Needs(P::FindingsWrite)),
        (Method::GET, "/api/v1/findings/stream", Needs(P::FindingsRead)),
        (Method::GET, "/api/v1/findings/{id}", Needs(P::FindingsRead)),
        (Method::PATCH, "/api/v1/findings/{id}", Needs(P::FindingsWrite)),
        (Method::GET, "/api/v1/rules", Needs(P::RulesRead)),
        (Method::GET, "/api/v1/rules/{id}", Needs(P::RulesRead)),
        (Method::GET, "/api/v1/rules/{id}/document", Needs(P::RulesRead)),
        (Method::GET, "/api/v1/attack", Needs(P::RulesRead)),
        (Method::GET, "/api/v1/sources", Needs(P::SourcesRead)),
        (Method::GET, "/api/v1/dead-letters", Needs(P::DeadLettersRead)),
        (Method::GET, "/api/v1/dead-letters/{id}", Needs(P::DeadLettersRead)),
        (Method::POST, "/api/v1/dead-letters/replay", Needs(P::DeadLettersReplay)),
        (Method::POST, "/api/v1/dead-letters/drop", Needs(P::DeadLettersDrop)),
        (Method::POST, "/api/v1/hunts", Needs(P::HuntsRun)),
        (Method::GET, "/api/v1/hunts/{id}", Needs(P::HuntsRun)),
        (Method::DELETE, "/api/v1/hunts/{id}", Needs(P::HuntsRun)),
        (Method::POST, "/api/v1/ingest/{input}", Needs(P::IngestWrite)),
        (Method::GET, "/api/v1/audit", Needs(P::AuditRead)),
        (Method::POST, "/api/v1/reload", Needs(P::RulesWrite)),
        (Method::GET, "/api/v1/me", Token),
        (Method::GET, "/api/v1/incidents", Needs(P::FindingsRead)),
        (Method::GET, "/api/v1/incidents/{id}", Needs(P::FindingsRead)),
        (Method::PATCH, "/api/v1/incidents/{id}", Needs(P::FindingsWrite)),
        (Method::GET, "/api/v1/suppressions", Needs(P::FindingsRead)),
        (Method::POST, "/api/v1/suppressions", Needs(P::FindingsWrite)),
        (Method::DELETE, "/api/v1/suppressions/{id}", Needs(P::FindingsWrite)),
        (Method::GET, "/api/v1/entities", Needs(P::RiskRead)),
        (Method::GET, "/api/v1/entities/{kind}/{id}", Needs(P::RiskRead)),
        (Method::GET, "/api/v1/entities/{kind}/{id}/peers", Needs(P::RiskRead)),
        (Method::POST, "/api/v1/risk/query", Needs(P::RiskRead)),
        (Method::GET, "/api/v1/risk/stream", Needs(P::RiskRead)),
        (Method::GET, "/api/v1/risk/{kind}/{id}", Needs(P::RiskRead)),
        (Method::GET, "/api/v1/risk/{kind}/{id}/outlook", Needs(P::RiskRead)),
        (Method::PUT, "/api/v1/risk/{kind}/{id}/override", Needs(P::SignalsSend)),
        (Method::DELETE, "/api/v1/risk/{kind}/{id}/override", Needs(P::SignalsSend)),
        (Method::GET, "/api/v1/risk/{kind}/{id}/quarantine", Needs(P::RiskRead)),
        (Method::PUT, "/api/v1/risk/{kind}/{id}/quarantine", Needs(P::SignalsSend)),
        (Method::DELETE, "/api/v1/risk/{kind}/{id}/quarantine", Needs(P::SignalsSend)),
        (Method::GET, "/api/v1/quarantines", Needs(P::RiskRead)),
        (Method::GET, "/api/v1/signals", Needs(P::SignalsRead)),
        (Method::GET, "/api/v1/signals/history", Needs(P::SignalsRead)),
        (Method::GET, "/api/v1/signals/mutes", Needs(P::SignalsRead)),
        (Method::POST, "/api/v1/signals/mutes", Needs(P::SignalsSend)),
        (Method::DELETE, "/api/v1/signals/mutes/{id}", Needs(P::SignalsSend)),
        (Method::GET, "/api/v1/signals/{stream}", Needs(P::SignalsRead)),
        (Method::GET, "/api/v1/signals/{stream}/preview", Needs(P::SignalsRead)),
        (Method::POST, "/api/v1/signals/{stream}/status", Needs(P::SignalsSend)),
        (Method::POST, "/api/v1/signals/{stream}/events", Needs(P::SignalsSend)),
        (Method::POST, "/api/v1/signals/{stream}/replay", Needs(P::SignalsSend)),
        (Method::POST, "/api/v1/signals/{stream}/approve", Needs(P::SignalsSend)),
        (Method::POST, "/api/v1/signals/storms/{kind}", Needs(P::SignalsSend)),
        (Method::GET, "/api/v1/webhooks", Needs(P::SignalsRead)),
        (Method::GET, "/api/v1/webhooks/{webhook}", Needs(P::SignalsRead)),
        (Method::POST, "/api/v1/webhooks/{webhook}/test", Needs(P::SignalsSend)),
        (Method::POST, "/api/v1/webhooks/{webhook}/replay", Needs(P::SignalsSend)),
        (Method::POST, "/api/v1/webhooks/{webhook}/enable", Needs(P::SignalsSend)),
        (Method::GET, "/api/v1/status", Needs(P::SourcesRead)),
        (Method::GET, "/metrics", Needs(P::MetricsRead)),
    ]
};

/// What a route asks, if there is one. HEAD is GET without the body.
pub(super) fn access(method: &Method, path: &str) -> Option<Access> {
    let method = if *method == Method::HEAD { &Method::GET } else { method };
    ROUTES.iter().find(|(m, p, _)| m == method && *p == path).map(|(_, _, access)| *access)
}

/// Lets a request through to its route, or answers 401, 403, 404, 405 or 429. What an anonymous
/// caller learns is 401, whether or not there is such a route.
pub(super) async fn check(
    State(shared): State<Shared>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let path = request.extensions().get::<MatchedPath>().map(|p| p.as_str().to_owned());
    let access = path.as_deref().and_then(|path| access(request.method(), path));
    if access == Some(Access::Public) {
        return Ok(next.run(request).await);
    }
    let principal = principal(&shared, &request)?;
    let (permission, route) = match (access, path) {
        (Some(Access::Needs(permission)), Some(path)) => (Some(permission), path),
        (Some(Access::Token), Some(path)) => (None, path),
        // A route without a pattern is not in the table.
        (Some(_), _) => return Ok(next.run(request).await),
        (None, Some(path)) => return Err(other_method(&request, &path)),
        (None, None) => {
            return Err(Problem::new(
                Code::NotFound,
                format!("there is no route {}", request.uri().path()),
            )
            .hint("GET /api/v1/docs lists them"));
        }
    };
    if let Some(permission) = permission {
        permitted(&principal, permission)?;
    }
    let token = principal.id.clone();
    let place = shared.throttle.request(&token)?;
    // Before the body is read: what is not begun costs nothing.
    shared.processor.turn(&token).await?;
    let is_recorded = audit::is_recorded(request.method(), &route);
    if is_recorded {
        shared.throttle.change(&token, clock::monotonic())?;
    }
    let asked = audit::Asked::default();
    request.extensions_mut().insert(principal.clone());
    request.extensions_mut().insert(asked.clone());
    let response = if is_recorded {
        as_token(&token, audit::ready(&shared)).await?;
        let pending = audit::Pending::new(&shared, &principal, &route, &request, asked);
        let answer = async move {
            let response = next.run(request).await;
            pending.answered(response).await
        };
        let answer = as_token(&token, shared.processor.serving(&token, answer));
        if audit::ends_with_its_client(&route) {
            answer.await
        } else {
            // What changes something is done whole, and recorded as it ended, if the client leaves.
            tokio::spawn(answer).await.map_err(|error| {
                tracing::error!(%error, route, "a request ended by itself");
                Problem::new(Code::Internal, "the request hit a defect; the log has it")
            })?
        }
    } else {
        as_token(&token, shared.processor.serving(&token, next.run(request))).await
    };
    // The answer is in memory until the client has taken it.
    let mut memory = shared.memory.of(&token);
    let bytes = response.body().size_hint().exact().filter(|bytes| *bytes >= LARGE_ANSWER);
    memory.grown(bytes.unwrap_or(0))?;
    Ok(until_sent(response, (place, memory)))
}

/// Who asks, if that token has a permission: for routes of protocols, which are not in the table.
pub(super) fn principal_with(
    shared: &Shared,
    request: &Request,
    permission: Permission,
) -> Result<Principal, Problem> {
    let peer = request.extensions().get::<Peer>();
    principal_of(shared, request.headers(), peer, permission)
}

/// Likewise, of what a request of any protocol shows.
pub(super) fn principal_of(
    shared: &Shared,
    headers: &HeaderMap,
    peer: Option<&Peer>,
    permission: Permission,
) -> Result<Principal, Problem> {
    let principal = authenticated(shared, headers, peer)?;
    permitted(&principal, permission)?;
    Ok(principal)
}

/// Whether a caller has a permission.
///
/// # Errors
/// 403, with the permission and the role.
pub(super) fn permitted(principal: &Principal, permission: Permission) -> Result<(), Problem> {
    if principal.role.may(permission) {
        return Ok(());
    }
    Err(Problem::new(
        Code::Forbidden,
        format!(
            "this needs the permission {}, which the role {} does not have",
            permission.name(),
            principal.role.name()
        ),
    ))
}

/// Bytes from which an answer counts for the memory of requests in flight.
const LARGE_ANSWER: u64 = 64 << 10;

fn principal(shared: &Shared, request: &Request) -> Result<Principal, Problem> {
    authenticated(shared, request.headers(), request.extensions().get::<Peer>())
}

fn authenticated(
    shared: &Shared,
    headers: &HeaderMap,
    peer: Option<&Peer>,
) -> Result<Principal, Problem> {
    let header = headers.get(header::AUTHORIZATION).map(|h| h.as_bytes());
    shared.app.tokens.authenticate(header, clock::now()).map_err(|denied| {
        let reason = match denied {
            Denied::Missing => "missing",
            Denied::Malformed => "malformed",
            Denied::Unknown => "unknown",
            Denied::Expired => "expired",
        };
        shared.counters.auth_failed(reason);
        if denied == Denied::Missing {
            return Problem::new(Code::Unauthenticated, "send `Authorization: Bearer slc_…`")
                .hint("`sluice token create` makes a token");
        }
        // A good token is let in however many bad ones its address sends: the secret has 256 bits,
        // so that only the answers to guesses need a bound.
        let peer = peer.map(|peer| network::client(peer.0.ip(), headers, &shared.trusted_proxies));
        if let Some(wait) = peer.and_then(|ip| shared.throttle.failed(ip, clock::monotonic())) {
            return Problem::new(
                Code::TooManyRequests,
                "too many refused tokens from this address",
            )
            .retry(wait);
        }
        Problem::new(Code::Unauthenticated, "the token is unknown, revoked or expired")
    })
}

/// 405 for a route of the table under another method; a route that is not in it at all is 403.
fn other_method(request: &Request, path: &str) -> Problem {
    let methods: Vec<&str> =
        ROUTES.iter().filter(|(_, p, _)| *p == path).map(|(m, _, _)| m.as_str()).collect();
    if methods.is_empty() {
        tracing::error!(path, "a route is not in the access table");
        return Problem::new(Code::Forbidden, "route not permitted");
    }
    let allowed = methods.join(", ");
    Problem::new(Code::MethodNotAllowed, format!("{} does not fit {path}", request.method()))
        .hint(format!("it takes {allowed}"))
        .allow(allowed)
}
