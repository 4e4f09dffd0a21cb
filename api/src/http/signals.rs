//! Signals over HTTP: what people do about them ([`admin`]), what receivers ask ([`receivers`],
//! [`metadata`]), what gateways ask ([`decide`], [`envoy`]). Not what is sent to whom (see `sluice_signal`).
//!
//! Receivers and gateways speak protocols of their own, with their own tokens and their own form of
//! errors, so their routes stand outside the access table and the description of the API; they exist
//! only where signals are configured. Each handler of [`receivers`] begins with
//! [`receivers::bearer`], each of [`decide`] with [`decide::gateway`], that of [`envoy`] with the same check.

pub(super) mod admin;
mod bundle;
mod cloudflare;
mod decide;
mod envoy;
mod metadata;
pub(super) mod mutes;
pub(super) mod quarantine;
mod receivers;

use axum::{
    Router,
    routing::{any, get, post},
};

use super::{
    problem::{Code, Problem},
    shared::Shared,
};
use crate::node::signals::{NotReady, Signals};

/// The routes of receivers and gateways.
pub(super) fn protocols() -> Router<Shared> {
    Router::new()
        .route("/.well-known/ssf-configuration", get(metadata::ssf))
        .route("/.well-known/ssf-configuration/{*path}", get(metadata::ssf_of))
        .route("/.well-known/oauth-authorization-server", get(metadata::oauth))
        .route("/.well-known/oauth-authorization-server/{*path}", get(metadata::oauth))
        .route("/.well-known/oauth-protected-resource", get(metadata::resource))
        .route("/.well-known/oauth-protected-resource/{*path}", get(metadata::resource))
        .route("/.well-known/authzen-configuration", get(metadata::authzen))
        .route("/.well-known/authzen-configuration/{*path}", get(metadata::authzen))
        .route("/ssf/jwks.json", get(metadata::jwks))
        .route("/ssf/token", post(receivers::token))
        .route(
            "/ssf/streams",
            get(receivers::read)
                .post(receivers::create)
                .patch(receivers::patch)
                .put(receivers::put)
                .delete(receivers::delete),
        )
        .route("/ssf/status", get(receivers::status).post(receivers::set_status))
        .route("/ssf/subjects/add", post(receivers::add_subject))
        .route("/ssf/subjects/remove", post(receivers::remove_subject))
        .route("/ssf/verify", post(receivers::verify))
        .route("/ssf/poll/{stream}", post(receivers::poll))
        .route("/access/v1/evaluation", post(decide::evaluation))
        .route("/access/v1/evaluations", post(decide::evaluations))
        .route("/ext_authz", any(decide::ext_authz))
        .route("/ext_authz/{*path}", any(decide::ext_authz))
        .route("/forward_auth", any(decide::forward_auth))
        .route("/bundles/risk.tar.gz", get(bundle::risk))
        .route("/cloudflare/evaluate", post(cloudflare::evaluate))
        .route("/cloudflare/keys", get(cloudflare::keys))
}

/// What Envoy asks over gRPC.
pub(super) fn grpc(shared: &Shared) -> Router {
    Router::new().route_service(envoy::CHECK, envoy::service(shared))
}

/// Signals, or that there are none.
fn signals(shared: &Shared) -> Result<Signals, Problem> {
    shared.app.signals.clone().ok_or_else(|| {
        Problem::new(Code::NotFound, "signals are not configured")
            .hint("a [signals] table in the configuration, with an issuer and a signing key")
    })
}

impl From<NotReady> for Problem {
    fn from(error: NotReady) -> Self {
        Problem::new(Code::Unavailable, error.to_string()).retry(1)
    }
}
