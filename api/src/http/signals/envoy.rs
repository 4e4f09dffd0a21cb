//! Envoy external authorization over gRPC: `envoy.service.auth.v3.Authorization/Check`, decided as over
//! HTTP (see [`super::decide`]). Not the listener (see `http::server`).
//!
//! Envoy shows a token of ours as metadata, `authorization`. What it says of the client's request is
//! believed because of it. A request that is let in carries `x-risk-*` of ours alone; the same is dynamic
//! metadata of Envoy, in the namespace of its filter.

use std::collections::HashMap;

use axum::http::{HeaderMap, StatusCode};
use envoy_types::{
    ext_authz::v3::{
        CheckResponseExt, DeniedHttpResponseBuilder, OkHttpResponseBuilder,
        pb::{
            Authorization, AuthorizationServer, CheckRequest, CheckResponse, HeaderAppendAction,
            HttpStatusCode,
        },
    },
    pb::google::protobuf::{Struct, Value, value::Kind},
};
use sluice_event::rfc3339;
use sluice_signal::policy::{Action, Decision, NotReady};
use tonic::{Request, Response, Status, metadata::MetadataMap};

use super::{
    super::{access, shared::Shared},
    decide::{SAID, Verdict, status, verdict},
};
use crate::{clock, network::Peer, tokens::Permission};

/// The path of the one method.
pub(super) const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";
/// Bytes of one question: heads of requests, no bodies.
const MESSAGE: usize = 256 << 10;

/// The service.
pub(super) fn service(shared: &Shared) -> AuthorizationServer<Checks> {
    AuthorizationServer::new(Checks(shared.clone())).max_decoding_message_size(MESSAGE)
}

/// Answers Envoy.
pub(super) struct Checks(Shared);

#[tonic::async_trait]
impl Authorization for Checks {
    async fn check(
        &self,
        request: Request<CheckRequest>,
    ) -> Result<Response<CheckResponse>, Status> {
        let (metadata, extensions, asked) = request.into_parts();
        let peer = extensions.get::<Peer>();
        gateway(&self.0, metadata, peer)?;
        let (path, headers) = of_client(asked);
        let values = |name: &str| {
            let same = |(n, _): &&(String, String)| n.eq_ignore_ascii_case(name);
            headers.iter().filter(same).map(|(_, value)| value.clone()).collect()
        };
        let verdict = verdict(&self.0, &path, values)
            .map_err(|_| Status::unavailable("signals do not answer"))?;
        answer(verdict).map(Response::new)
    }
}

/// Lets a gateway in.
fn gateway(shared: &Shared, metadata: MetadataMap, peer: Option<&Peer>) -> Result<(), Status> {
    let headers = metadata.into_headers();
    match access::principal_of(shared, &headers, peer, Permission::RiskRead) {
        Ok(_) => Ok(()),
        Err(problem) => Err(match problem.status() {
            StatusCode::FORBIDDEN => Status::permission_denied("the token may not `risk:read`"),
            StatusCode::TOO_MANY_REQUESTS => Status::resource_exhausted("too many refused tokens"),
            _ => Status::unauthenticated("metadata `authorization: Bearer slc_..` is needed"),
        }),
    }
}

/// Path and headers of the client's request. Envoy has them as a map, or as bytes with
/// `encode_raw_headers`. Without a path the strictest rule counts: `%` is no plain path.
fn of_client(asked: CheckRequest) -> (String, Vec<(String, String)>) {
    let http = asked.attributes.and_then(|a| a.request).and_then(|r| r.http);
    let Some(http) = http else { return ("%".to_owned(), Vec::new()) };
    let path = if http.path.is_empty() { "%".to_owned() } else { http.path };
    let mut headers: Vec<(String, String)> = http.headers.into_iter().collect();
    headers.extend(http.header_map.into_iter().flat_map(|map| map.headers).map(|header| {
        let value = match header.raw_value.is_empty() {
            true => header.value,
            false => String::from_utf8_lossy(&header.raw_value).into_owned(),
        };
        (header.key, value)
    }));
    (path, headers)
}

fn answer(verdict: Verdict) -> Result<CheckResponse, Status> {
    let Verdict { decided, headers } = verdict;
    let (action, decision) = match decided {
        Ok(decision) => (decision.action, Some(decision)),
        Err(NotReady::Allow) => (Action::Allow, None),
        Err(NotReady::Deny) => (Action::Deny, None),
        // A failed call: `failure_mode_allow` of Envoy decides.
        Err(NotReady::Error) => return Err(Status::unavailable("levels cannot be read")),
    };
    let mut response = match action {
        Action::Allow => allowed(&headers),
        Action::StepUp | Action::Deny => denied(action, &headers),
    };
    response.set_dynamic_metadata(decision.as_ref().map(|d| metadata(d, &headers)));
    Ok(response)
}

fn allowed(headers: &HeaderMap) -> CheckResponse {
    let mut http = OkHttpResponseBuilder::new();
    for name in SAID {
        match headers.get(name).and_then(|value| value.to_str().ok()) {
            Some(value) => {
                let action = Some(HeaderAppendAction::OverwriteIfExistsOrAdd);
                http.add_header(name, value, action, false);
            }
            // What the client claims in our name does not get through.
            None => {
                http.remove_header(name);
            }
        }
    }
    let mut response = CheckResponse::with_status(Status::ok(""));
    response.set_http_response(http);
    response
}

fn denied(action: Action, headers: &HeaderMap) -> CheckResponse {
    let mut http = DeniedHttpResponseBuilder::new();
    http.set_http_status(match status(action) {
        StatusCode::UNAUTHORIZED => HttpStatusCode::Unauthorized,
        _ => HttpStatusCode::Forbidden,
    });
    for (name, value) in headers {
        if let Ok(value) = value.to_str() {
            let action = Some(HeaderAppendAction::OverwriteIfExistsOrAdd);
            http.add_header(name.as_str(), value, action, false);
        }
    }
    let mut response = CheckResponse::with_status(Status::permission_denied(action.name()));
    response.set_http_response(http);
    response
}

/// What other filters and the access log of Envoy may use.
fn metadata(decision: &Decision, headers: &HeaderMap) -> Struct {
    let text = |text: &str| Some(Kind::StringValue(text.to_owned()));
    let stale = headers.get("x-risk-stale-since").and_then(|value| value.to_str().ok());
    let age = decision.since.map(|since| ((clock::now() - since).max(0) / 1_000) as f64);
    let said = [
        ("action", text(decision.action.name())),
        ("risk_level", text(decision.level.name())),
        ("risk_reason", text(&decision.reason)),
        ("risk_score", decision.score.map(Kind::NumberValue)),
        ("risk_age_s", age.map(Kind::NumberValue)),
        ("stale_since", stale.and_then(text)),
        ("quarantined_until", decision.quarantined_until.and_then(|until| text(&rfc3339(until)))),
    ];
    let fields = said
        .into_iter()
        .filter_map(|(name, kind)| Some((name.to_owned(), Value { kind: Some(kind?) })));
    Struct { fields: fields.collect::<HashMap<_, _>>() }
}
