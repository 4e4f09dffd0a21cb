//! `/metrics`: a snapshot of the service, the store and the API as Prometheus reads it. Labels are
//! bounded: names of the configuration, rule ids, tables, codes; never a user, an address or an id.

mod families;

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use prometheus::{Encoder, TextEncoder};
use sluice_engine::{durable::StoreStats, history::HistoryStats, service::ServiceStatus};

use super::{
    clock,
    pool::{BlockingPool, PoolStats},
    problem::{Code, Problem},
    processor::ProcessorStats,
    shared::Shared,
};
use crate::node::{
    follower::Progress,
    memory::Pressure,
    received::Received,
    signals::{SignalStats, Signals},
    webhooks::{WebhookStats, Webhooks},
};

/// Metrics for Prometheus
#[utoipa::path(
    get, path = "/metrics", tag = "service", operation_id = "metrics",
    responses((status = 200, description = "Text exposition.", body = String,
        content_type = "text/plain",
        example = json!("# HELP sluice_checkpoint_epoch The number of the last checkpoint.\n# TYPE sluice_checkpoint_epoch gauge\nsluice_checkpoint_epoch 450\n")))
)]
pub(super) async fn metrics(State(shared): State<Shared>) -> Result<Response, Problem> {
    let own = shared.clone();
    let mut families = shared.pools.health.run(move || families::families(&snapshot(&own))).await?;
    families.extend(shared.counters.gather());
    families.sort_by(|a, b| a.name().cmp(b.name()));
    let mut text = Vec::new();
    TextEncoder::new().encode(&families, &mut text).map_err(|error| {
        tracing::error!(%error, "metrics could not be written");
        Problem::new(Code::Internal, "metrics could not be written; the log says why")
    })?;
    Ok(([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response())
}

/// Everything that is shown, at one moment.
struct Snapshot {
    status: ServiceStatus,
    stats: StoreStats,
    history: HistoryStats,
    /// Milliseconds that search is behind; `None` if that is not known.
    index_lag: Option<i64>,
    followers: Vec<(&'static str, Progress)>,
    pools: Vec<PoolStats>,
    processor: ProcessorStats,
    /// Bytes for requests in flight: the most, those held, and requests refused for want of them.
    request_memory: (u64, u64, u64),
    /// Bytes of the process: resident, the limit.
    memory: (u64, u64),
    pressure: Pressure,
    /// Where signals are configured and answer.
    signals: Option<SignalStats>,
    /// Where webhooks are configured and answer.
    webhooks: Option<WebhookStats>,
    /// Inputs, and whether they are silent.
    silent: Vec<(String, bool)>,
    /// Security event tokens by input and outcome.
    received: Vec<(String, [(&'static str, u64); 5])>,
    /// The last change of the store.
    last: u64,
    version: &'static str,
    now: i64,
}

fn snapshot(shared: &Shared) -> Snapshot {
    let app = &shared.app;
    Snapshot {
        status: app.service.status(),
        stats: app.store.stats(),
        history: app.history.stats(),
        index_lag: app.search.lag(),
        followers: app.followers.iter().map(|f| (f.name, f.now())).collect(),
        pools: shared.pools.all().map(BlockingPool::stats).to_vec(),
        processor: shared.processor.stats(),
        request_memory: shared.memory.stats(),
        memory: (app.memory.used(), app.memory.limit()),
        pressure: app.memory.pressure(),
        signals: app.signals.as_ref().and_then(Signals::stats),
        webhooks: app.webhooks.as_ref().and_then(Webhooks::stats),
        received: app
            .received
            .iter()
            .flat_map(Received::counts)
            .map(|(n, c)| (n.to_owned(), c))
            .collect(),
        silent: app.silence.silent(),
        last: app.store.last().0,
        version: app.version,
        now: clock::now(),
    }
}

#[cfg(test)]
mod tests;
