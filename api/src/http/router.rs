//! Routes and layers put together. Which route asks for what is in [`super::access`].

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{Router, middleware, routing::get};
use sluice_engine::QueryLimits;
use tokio::sync::watch;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    App, HttpSettings,
    access::{self, Throttle},
    attack, clock,
    counters::Counters,
    cursor::Cursors,
    dead_letters, docs, exposition,
    findings::{self, Feed},
    finish, health, hunts, ingest,
    lane::Lane,
    me, openapi, reload, rules, sources, status, tables, ui,
};
use crate::tokens;

/// What all handlers share.
#[derive(Clone)]
pub(super) struct Shared(Arc<Inside>);

/// See [`Shared`].
pub(super) struct Inside {
    pub(super) app: App,
    pub(super) counters: Counters,
    pub(super) cursors: Cursors,
    pub(super) throttle: Throttle,
    /// Reading the store and searching.
    pub(super) reads: Lane,
    /// Triage: waits for the disk.
    pub(super) writes: Lane,
    /// Pushing: waits for the disk, many at once share one sync.
    pub(super) pushes: Lane,
    /// Hunts.
    pub(super) hunts: Lane,
    /// Reloads, replays and drops, one at a time.
    pub(super) chores: Lane,
    pub(super) feed: Feed,
    pub(super) stopped: watch::Receiver<bool>,
    pub(super) request_time: Duration,
    pub(super) hunt_limits: QueryLimits,
    pub(super) push_bytes: usize,
    pub(super) streams: usize,
    /// The description, as served.
    pub(super) openapi: String,
    boot: String,
    requests: AtomicU64,
}

impl std::ops::Deref for Shared {
    type Target = Inside;

    fn deref(&self) -> &Inside {
        &self.0
    }
}

impl Inside {
    /// The name of the next request: unique over restarts.
    pub(super) fn request_id(&self) -> String {
        format!("{}-{}", self.boot, self.requests.fetch_add(1, Ordering::Relaxed))
    }
}

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
        .routes(routes!(ingest::push))
        .routes(routes!(reload::reload))
        .routes(routes!(status::status))
        .routes(routes!(me::me))
        .routes(routes!(tables::list))
        .routes(routes!(exposition::metrics))
        .routes(routes!(openapi::serve))
}

/// The whole service.
///
/// # Errors
/// If a metric is defined twice.
pub(super) fn router(
    app: App,
    settings: &HttpSettings,
    stopped: watch::Receiver<bool>,
) -> Result<Router, prometheus::Error> {
    let (router, description) = routes().split_for_parts();
    let openapi = openapi::complete(description);
    // Without random numbers the tokens could not have been made; the time tells restarts apart too.
    let boot =
        tokens::random::<8>().map_or_else(|_| format!("{:x}", clock::now()), |b| tokens::hex(&b));
    let feed = Feed::follow(app.store.clone(), settings.stream_pages, stopped.clone());
    let shared = Shared(Arc::new(Inside {
        counters: Counters::new()?,
        cursors: Cursors::new(app.cursor_key),
        throttle: Throttle::new(settings.requests_per_token),
        reads: Lane::new("reads", 16),
        writes: Lane::new("changes", 32),
        pushes: Lane::new("pushes", 64),
        hunts: Lane::new("hunts", settings.hunts),
        chores: Lane::new("reloads, replays and drops", 1),
        feed,
        stopped,
        request_time: settings.request_time,
        hunt_limits: settings.hunt,
        push_bytes: settings.push_bytes,
        streams: settings.streams,
        openapi: openapi::text(&openapi),
        boot,
        requests: AtomicU64::new(1),
        app,
    }));
    let router = router
        .route("/", get(ui::page))
        .route("/assets/{file}", get(ui::asset))
        .route("/api/v1/docs", get(docs::page))
        .route("/api/v1/docs/docs.css", get(docs::style))
        .route("/api/v1/docs/docs.js", get(docs::script))
        .layer(middleware::from_fn_with_state(shared.clone(), finish::deadline))
        .layer(middleware::from_fn_with_state(shared.clone(), access::check))
        .layer(CatchPanicLayer::custom(finish::panicked))
        .layer(middleware::from_fn_with_state(shared.clone(), finish::finish))
        .with_state(shared);
    Ok(router)
}
