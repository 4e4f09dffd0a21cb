//! `/metrics`: a snapshot of the service, the store and the API as Prometheus reads it. Labels are
//! bounded: names of the configuration, rule ids, tables, codes; never a user, an address or an id.

mod families;

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use prometheus::{Encoder, TextEncoder};

use super::{
    clock,
    problem::{Code, Problem},
    router::Shared,
};

/// Metrics for Prometheus
#[utoipa::path(
    get, path = "/metrics", tag = "service", operation_id = "metrics",
    responses((status = 200, description = "Text exposition.", body = String,
        content_type = "text/plain",
        example = json!("# HELP sluice_checkpoint_epoch The number of the last checkpoint.\n# TYPE sluice_checkpoint_epoch gauge\nsluice_checkpoint_epoch 450\n")))
)]
pub(super) async fn metrics(State(shared): State<Shared>) -> Result<Response, Problem> {
    let app = shared.app.clone();
    let read = move || {
        let status = app.service.status();
        let stats = app.store.stats();
        families::families(&status, &stats, app.search.lag(), app.version, clock::now())
    };
    let mut families = shared.reads.run(read).await?;
    families.extend(shared.counters.gather());
    families.sort_by(|a, b| a.name().cmp(b.name()));
    let mut text = Vec::new();
    TextEncoder::new().encode(&families, &mut text).map_err(|error| {
        tracing::error!(%error, "metrics could not be written");
        Problem::new(Code::Internal, "metrics could not be written; the log says why")
    })?;
    Ok(([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response())
}
