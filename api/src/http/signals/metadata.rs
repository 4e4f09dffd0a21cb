//! What receivers and gateways find out by themselves: metadata of SSF 1.0, RFC 8414, RFC 9728 and
//! AuthZEN, and the key set. Public: no token, nothing of anybody in it.

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use sluice_signal::{
    oauth::Scope,
    stream::{POLL, PUSH},
};

use super::{
    super::{
        problem::{Code, Problem},
        shared::Shared,
    },
    signals,
};

/// Seconds that a key set may be kept.
const KEYS_AGE: &str = "max-age=300";

/// `/.well-known/ssf-configuration`.
pub(super) async fn ssf(State(shared): State<Shared>) -> Result<Json<Value>, Problem> {
    let signals = signals(&shared)?;
    let issuer = signals.issuer();
    let all = signals
        .run(&shared, |transmitter, _| transmitter.profiles().all(|p| p.all_subjects))
        .await?;
    Ok(Json(json!({
        "spec_version": "1_0",
        "issuer": issuer,
        "jwks_uri": format!("{issuer}/ssf/jwks.json"),
        "delivery_methods_supported": [PUSH, POLL],
        "configuration_endpoint": format!("{issuer}/ssf/streams"),
        "status_endpoint": format!("{issuer}/ssf/status"),
        "add_subject_endpoint": format!("{issuer}/ssf/subjects/add"),
        "remove_subject_endpoint": format!("{issuer}/ssf/subjects/remove"),
        "verification_endpoint": format!("{issuer}/ssf/verify"),
        "authorization_schemes": [{"spec_urn": "urn:ietf:rfc:6749"}],
        "default_subjects": if all { "ALL" } else { "NONE" },
    })))
}

/// The same with the path of the issuer after it, if that is its path.
pub(super) async fn ssf_of(
    State(shared): State<Shared>,
    Path(path): Path<String>,
) -> Result<Json<Value>, Problem> {
    let issuer = signals(&shared)?.issuer().to_owned();
    if !issuer.ends_with(&format!("/{}", path.trim_end_matches('/'))) {
        return Err(Problem::new(Code::NotFound, "there is no such issuer"));
    }
    ssf(State(shared)).await
}

/// RFC 8414.
pub(super) async fn oauth(State(shared): State<Shared>) -> Result<Json<Value>, Problem> {
    let signals = signals(&shared)?;
    let issuer = signals.issuer();
    Ok(Json(json!({
        "issuer": issuer,
        "token_endpoint": format!("{issuer}/ssf/token"),
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "grant_types_supported": ["client_credentials"],
        "response_types_supported": [],
        "scopes_supported": Scope::names(),
        "jwks_uri": format!("{issuer}/ssf/jwks.json"),
    })))
}

/// RFC 9728.
pub(super) async fn resource(State(shared): State<Shared>) -> Result<Json<Value>, Problem> {
    let signals = signals(&shared)?;
    let issuer = signals.issuer();
    let servers: Vec<&str> = [issuer].into_iter().chain(signals.trusted()).collect();
    Ok(Json(json!({
        "resource": issuer,
        "authorization_servers": servers,
        "bearer_methods_supported": ["header"],
        "scopes_supported": Scope::names(),
    })))
}

/// AuthZEN.
pub(super) async fn authzen(State(shared): State<Shared>) -> Result<Json<Value>, Problem> {
    let signals = signals(&shared)?;
    let issuer = signals.issuer();
    Ok(Json(json!({
        "policy_decision_point": issuer,
        "access_evaluation_endpoint": format!("{issuer}/access/v1/evaluation"),
        "access_evaluations_endpoint": format!("{issuer}/access/v1/evaluations"),
    })))
}

/// The key set.
pub(super) async fn jwks(State(shared): State<Shared>) -> Result<Response, Problem> {
    let signals = signals(&shared)?;
    let set = signals.run(&shared, |transmitter, _| transmitter.keys().jwks()).await?;
    let age = HeaderValue::from_static(KEYS_AGE);
    Ok(([(header::CACHE_CONTROL, age)], Json(set)).into_response())
}
