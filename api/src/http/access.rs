//! Who may use which route: one table, deny by default. A route that is not in it is refused to
//! everyone. Not the tokens (see [`crate::tokens`]).

mod throttle;

use axum::{
    extract::{MatchedPath, Request, State},
    http::{Method, header},
    middleware::Next,
    response::Response,
};

use super::{
    clock,
    problem::{Code, Problem},
    router::Shared,
    server::Peer,
};
use crate::tokens::{Denied, Permission, Principal};

pub(super) use throttle::Throttle;

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
        (Method::POST, "/api/v1/ingest/{input}", Needs(P::IngestWrite)),
        (Method::POST, "/api/v1/reload", Needs(P::RulesWrite)),
        (Method::GET, "/api/v1/me", Token),
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
    let permission = match (access, path) {
        (Some(Access::Needs(permission)), _) => Some(permission),
        (Some(Access::Token), _) => None,
        (Some(Access::Public), _) => return Ok(next.run(request).await),
        (None, Some(path)) => return Err(other_method(&request, &path)),
        (None, None) => {
            return Err(Problem::new(
                Code::NotFound,
                format!("there is no route {}", request.uri().path()),
            )
            .hint("GET /api/v1/docs lists them"));
        }
    };
    if let Some(permission) = permission.filter(|p| !principal.role.may(*p)) {
        return Err(Problem::new(
            Code::Forbidden,
            format!(
                "this needs the permission {}, which the role {} does not have",
                permission.name(),
                principal.role.name()
            ),
        ));
    }
    let _place = shared.throttle.enter(&principal.id)?;
    request.extensions_mut().insert(principal);
    Ok(next.run(request).await)
}

fn principal(shared: &Shared, request: &Request) -> Result<Principal, Problem> {
    let header = request.headers().get(header::AUTHORIZATION).map(|h| h.as_bytes());
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
        let peer = request.extensions().get::<Peer>().map(|p| p.0.ip());
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
        return Problem::new(Code::Forbidden, "nobody may use this route");
    }
    let allowed = methods.join(", ");
    Problem::new(Code::MethodNotAllowed, format!("{} does not fit {path}", request.method()))
        .hint(format!("it takes {allowed}"))
        .allow(allowed)
}
