//! The HTTP server over a node. Not the routes (see `http`).

use std::{sync::Arc, time::Duration};

use sluice_engine::{QueryLimits, service::ReloadReport};
use sluice_ingest::push::PushLimits;

use super::{Node, data_dir, push::PushEndpoints};
use crate::{
    audit::AuditLog,
    config::{Config, Tls},
    exit::Failure,
    http::{self, App, HttpSettings, Server, TlsFiles},
    tokens::Tokens,
};

/// Serves the API of a node.
///
/// # Errors
/// If the address cannot be listened on, or the tokens cannot be read.
pub(crate) fn serve(
    config: &Config,
    node: &Node,
    reload: Arc<dyn Fn() -> ReloadReport + Send + Sync>,
) -> Result<Server, Failure> {
    let app = app(config, node, reload)?;
    let listen = config.api.listen;
    http::serve(app, http_settings(config)).map_err(|error| {
        let cause = std::error::Error::source(&error).map_or(String::new(), |c| format!(": {c}"));
        let hint = match &error {
            http::ServeError::Tls(_) => {
                "certificate and key are PEM files under [api.tls]; the key has mode 0600"
                    .to_owned()
            }
            _ => {
                format!("another process may have {listen}: `api.listen` or --listen names another")
            }
        };
        Failure::argument(format!("cannot {error}{cause}"), hint)
    })
}

/// The parts of a node that the API asks.
///
/// # Errors
/// If the tokens or the key of the data directory cannot be read.
pub(crate) fn app(
    config: &Config,
    node: &Node,
    reload: Arc<dyn Fn() -> ReloadReport + Send + Sync>,
) -> Result<App, Failure> {
    Ok(App {
        store: node.store.clone(),
        service: node.service.clone(),
        history: node.history.clone(),
        search: node.search.clone(),
        live: node.live.clone(),
        signals: node.signals.clone(),
        webhooks: node.webhooks.clone(),
        received: node.received.clone(),
        memory: node.memory.level(),
        silence: node.silence(),
        followers: node.followers(),
        endpoints: endpoints(config, node),
        reload,
        audit: AuditLog::new(&config.data_dir),
        tokens: Tokens::open(&config.data_dir)?,
        cursor_key: data_dir::cursor_key(&config.data_dir)?,
        version: env!("CARGO_PKG_VERSION"),
    })
}

/// The inputs that anybody with a token may push to: those of transmitters take only what these signed.
fn endpoints(config: &Config, node: &Node) -> PushEndpoints {
    let mut endpoints = node.endpoints.clone();
    endpoints.retain(|name, _| config.sources.get(name).is_none_or(|source| source.ssf.is_none()));
    endpoints
}

/// The files of TLS that a configuration names.
pub(crate) fn tls_files(tls: &Tls) -> TlsFiles {
    TlsFiles {
        certificate: tls.certificate.clone(),
        key: tls.key.clone(),
        client_ca: tls.client_ca.clone(),
    }
}

fn http_settings(config: &Config) -> HttpSettings {
    HttpSettings {
        listen: config.api.listen,
        grpc: config.signals.as_ref().and_then(|s| s.decisions.grpc_listen),
        tls: config.api.tls.as_ref().map(tls_files),
        connections: config.api.max_connections.0.get(),
        connections_per_address: config.api.max_connections_per_address.0.get(),
        trusted_proxies: config.api.trusted_proxies.0.clone(),
        requests_per_token: config.api.max_requests_per_token.0.get(),
        processor_per_token: config.api.max_processor_per_token.0.get(),
        changes_per_minute: config.api.max_changes_per_minute.0.get(),
        rejected_per_second: config.api.max_rejected_per_second.0.get(),
        suppressions_per_token: config.api.max_suppressions_per_token.0.get(),
        mutes_per_token: config.api.max_mutes_per_token.0.get(),
        decisions_per_token: config.api.max_decisions_per_token.0.get(),
        streams: config.api.max_streams.0.get(),
        streams_per_token: config.api.max_streams_per_token.0.get(),
        memory: config.api.memory.0,
        hunts: config.hunts.places.0.get(),
        push_limits: PushLimits {
            decoded_bytes: config.api.max_inflated.0,
            records: config.api.max_records.0.get() as u64,
            ..PushLimits::default()
        },
        push_bytes: config.api.max_body.0 as usize,
        hunt: QueryLimits {
            deadline: Duration::from_millis(config.hunts.deadline.0.unsigned_abs()),
            memory: config.hunts.memory.0 as usize,
            rows: config.hunts.rows.0.get(),
            ..QueryLimits::default()
        },
        ..HttpSettings::default()
    }
}
