//! Where the parts of other crates and modules come together: inputs, the search index, the HTTP
//! server.

use std::{net::SocketAddr, path::Path, sync::Arc};

use sluice_engine::{Content, service::LiveInput};

use super::{follower::OpenIndex, node::Node, reload::Reloader};
use crate::{
    cli::exit::Failure,
    config::{Config, Http, Kafka},
};

/// What HTTP senders push to: the spool of each `http` input by name.
#[derive(Clone, Default)]
pub(crate) struct Doors {}

/// The inputs of a configuration, and the doors of those that are pushed to.
///
/// # Errors
/// Every input that cannot be made.
pub(super) fn inputs(
    config: &Config,
    content: &Content,
) -> Result<(Vec<LiveInput>, Doors), Failure> {
    let mut doors = Doors::default();
    let mut inputs = Vec::new();
    for (name, source) in &config.sources {
        if let Some(kafka) = &source.kafka {
            inputs.push(kafka_input(name, &source.mapping, kafka, content)?);
        }
        if let Some(http) = &source.http {
            let spool = config.data_dir.join("spool").join(name);
            inputs.push(http_input(name, &source.mapping, http, &spool, content, &mut doors)?);
        }
    }
    Ok((inputs, doors))
}

/// Options of the client with their secrets, for the consumer alone.
fn librdkafka(
    name: &str,
    kafka: &Kafka,
) -> Result<std::collections::BTreeMap<String, String>, Failure> {
    let resolved = kafka.librdkafka.resolve(|name| std::env::var(name).ok()).map_err(|wrong| {
        let list = wrong.iter().map(|(option, what, _)| format!("`{option}`: {what}"));
        let hint = wrong.first().map_or(String::new(), |(_, _, hint)| hint.clone());
        Failure::argument(format!("input {name}: {}", list.collect::<Vec<_>>().join("; ")), hint)
    })?;
    Ok(resolved.into_iter().map(|(option, secret)| (option, secret.reveal().to_owned())).collect())
}

fn kafka_input(
    name: &str,
    mapping: &str,
    kafka: &Kafka,
    _content: &Content,
) -> Result<LiveInput, Failure> {
    let _ = librdkafka(name, kafka)?;
    Err(unfinished(name, mapping, "kafka"))
}

fn http_input(
    name: &str,
    mapping: &str,
    _http: &Http,
    _spool: &Path,
    _content: &Content,
    _doors: &mut Doors,
) -> Result<LiveInput, Failure> {
    Err(unfinished(name, mapping, "http"))
}

fn unfinished(name: &str, mapping: &str, kind: &str) -> Failure {
    Failure::argument(
        format!("input {name} ({mapping}): this build has no {kind} inputs"),
        "use a build that has",
    )
}

/// How to open the search index in a directory.
pub(super) fn index(_dir: &Path) -> OpenIndex {
    Box::new(|| Err("this build has no search index".to_owned()))
}

/// A server that answers.
pub(super) struct Server {
    /// Where it listens.
    pub(super) address: SocketAddr,
    listener: std::net::TcpListener,
}

/// Serves the API of a node.
///
/// # Errors
/// If the address cannot be listened on.
pub(super) fn serve(
    config: &Config,
    _node: &Node,
    _reloader: &Arc<Reloader>,
) -> Result<Server, Failure> {
    let listener = std::net::TcpListener::bind(config.api.listen).map_err(|error| {
        Failure::argument(
            format!("cannot listen on {}: {error}", config.api.listen),
            "another process may have the port: `api.listen` or --listen names another",
        )
    })?;
    Ok(Server { address: listener.local_addr()?, listener })
}

impl Server {
    /// Takes no more connections, and waits a little for open ones.
    pub(super) fn stop(self) {
        drop(self.listener);
    }
}
