//! Routes and layers put together. Which route asks for what is in [`super::access`].

use axum::{
    Router, middleware,
    routing::{get, post},
};
use tokio::sync::watch;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    App, HttpSettings, access, attack, audit, dead_letters, docs, entities, exposition, findings,
    finish, health, hunts, idempotency, incidents, ingest, me, openapi, received, reload, risk,
    rules, shared::Shared, signals, sources, status, suppressions, tables, ui, webhooks,
};

/// The handlers, each with its part of the description.
pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(findings::list))
        .routes(routes!(findings::bulk))
        .routes(routes!(findings::stream))
        .routes(routes!(findings::get, findings::patch))
        .routes(routes!(rules::list))
        .routes(routes!(rules::get))
        .routes(routes!(rules::document))
        .routes(routes!(attack::list))
        .routes(routes!(sources::list))
        .routes(routes!(dead_letters::list))
        .routes(routes!(dead_letters::get))
        .routes(routes!(dead_letters::replay))
        .routes(routes!(dead_letters::drop_letters))
        .routes(routes!(hunts::run))
        .routes(routes!(hunts::get, hunts::cancel))
        .routes(routes!(ingest::push))
        .routes(routes!(reload::reload))
        .routes(routes!(incidents::list))
        .routes(routes!(incidents::get, incidents::patch))
        .routes(routes!(suppressions::list, suppressions::create))
        .routes(routes!(suppressions::end))
        .routes(routes!(entities::list))
        .routes(routes!(entities::get))
        .routes(routes!(entities::peers::peers))
        .routes(routes!(risk::get))
        .routes(routes!(risk::query))
        .routes(routes!(risk::stream))
        .routes(routes!(risk::outlook::outlook))
        .routes(routes!(signals::admin::put_override, signals::admin::delete_override))
        .routes(routes!(
            signals::quarantine::get,
            signals::quarantine::put,
            signals::quarantine::delete
        ))
        .routes(routes!(signals::quarantine::list))
        .routes(routes!(signals::admin::list))
        .routes(routes!(signals::admin::history))
        .routes(routes!(signals::mutes::list, signals::mutes::create))
        .routes(routes!(signals::mutes::end))
        .routes(routes!(signals::admin::stream))
        .routes(routes!(signals::admin::preview::preview))
        .routes(routes!(signals::admin::set_status))
        .routes(routes!(signals::admin::send_event))
        .routes(routes!(signals::admin::replay))
        .routes(routes!(signals::admin::approve))
        .routes(routes!(signals::admin::end_storm))
        .routes(routes!(webhooks::list))
        .routes(routes!(webhooks::get))
        .routes(routes!(webhooks::test))
        .routes(routes!(webhooks::replay))
        .routes(routes!(webhooks::enable))
        .routes(routes!(status::status))
        .routes(routes!(me::me))
        .routes(routes!(tables::list))
        .routes(routes!(exposition::metrics))
        .routes(routes!(audit::list))
        .routes(routes!(openapi::serve))
}

/// The whole service: what is asked over HTTP, and what Envoy asks over gRPC.
///
/// # Errors
/// If a metric is defined twice.
pub(super) fn router(
    app: App,
    settings: &HttpSettings,
    stopped: watch::Receiver<bool>,
) -> Result<(Router, Router), prometheus::Error> {
    let (router, description) = routes().split_for_parts();
    let openapi = openapi::complete(description);
    let shared = Shared::new(app, settings, stopped, openapi::text(&openapi))?;
    let router = router
        .route("/", get(ui::page))
        .route("/assets/{file}", get(ui::asset))
        .route("/api/v1/docs", get(docs::page))
        .route("/api/v1/docs/docs.css", get(docs::style))
        .route("/api/v1/docs/docs.js", get(docs::script))
        .layer(middleware::from_fn_with_state(shared.idempotency.clone(), idempotency::once))
        .layer(middleware::from_fn_with_state(shared.clone(), finish::deadline))
        .layer(middleware::from_fn_with_state(shared.clone(), access::check));
    let router = match &shared.app.signals {
        Some(_) => router.merge(
            signals::protocols()
                .layer(middleware::from_fn_with_state(shared.clone(), finish::deadline)),
        ),
        None => router,
    };
    let router = match &shared.app.received {
        Some(_) => router.merge(
            Router::new()
                .route("/ssf/receive/{input}", post(received::push))
                .layer(middleware::from_fn_with_state(shared.clone(), finish::deadline)),
        ),
        None => router,
    };
    let grpc = match &shared.app.signals {
        Some(_) => signals::grpc(&shared),
        None => Router::new(),
    };
    let grpc = grpc.layer(CatchPanicLayer::custom(finish::panicked));
    let router = router
        .layer(CatchPanicLayer::custom(finish::panicked))
        .layer(middleware::from_fn_with_state(shared.clone(), finish::finish))
        .with_state(shared);
    Ok((router, grpc))
}
