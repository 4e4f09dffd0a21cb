//! Where the parts of other crates and modules come together: inputs, the search index, the HTTP
//! server.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use sluice_engine::{
    Content, QueryLimits,
    service::{LiveInput, ReloadReport},
};
use sluice_ingest::{
    RouteError, Router,
    kafka::{self, KafkaInput, KafkaSettings},
    live::{Input, InputFailure, Place, Positions},
    spool::{Spool, SpoolInput, SpoolSettings},
};

use super::{data_dir, door::SpoolDoor, node::Node};
use crate::{
    cli::exit::Failure,
    config::{Config, Kafka, Start},
    http::{self, App, HttpSettings, Server},
    tokens::Tokens,
};

/// What HTTP senders push to, by the name of the input.
pub(in crate::cli) type Doors = BTreeMap<String, Arc<SpoolDoor>>;

/// The inputs of a configuration, and the doors of those that are pushed to. `from` is where the
/// store says they go on.
///
/// # Errors
/// The first input that cannot be made.
pub(super) fn inputs(
    config: &Config,
    content: &Content,
    from: &Positions,
) -> Result<(Vec<LiveInput>, Doors), Failure> {
    let mut doors = Doors::new();
    let mut inputs = Vec::new();
    for (name, source) in &config.sources {
        let router = router(name, &source.mapping, content)?;
        let (input, kind) = if let Some(kafka) = &source.kafka {
            (kafka_input(name, kafka, &config.data_dir, router)?, "kafka")
        } else if let Some(http) = &source.http {
            let place = Place { input: name.as_str().into(), part: "".into() };
            let settings = SpoolSettings {
                max_bytes: http.spool_bytes.0,
                start: from.get(&place).copied().unwrap_or(0),
                // Inputs pause before; what is left then is for the store.
                min_free: config.engine.min_free.0 / 2,
                ..SpoolSettings::default()
            };
            let spool = spool(name, &config.data_dir.join("spool").join(name), settings)?;
            let input = Box::new(SpoolInput::new(place.input, &spool, router));
            let fixed = fixed(&source.mapping).map(str::to_owned);
            let door = SpoolDoor::new(spool, fixed, content.sources.clone());
            doors.insert(name.clone(), Arc::new(door));
            (input as _, "http")
        } else {
            // Refused by the configuration already.
            continue;
        };
        inputs.push(LiveInput { input, kind, mapping: source.mapping.clone() });
    }
    Ok((inputs, doors))
}

/// The mapping source of every record; `None` looks at each.
pub(in crate::cli) fn fixed(mapping: &str) -> Option<&str> {
    (mapping != "auto").then_some(mapping)
}

fn router(name: &str, mapping: &str, content: &Content) -> Result<Router, Failure> {
    Router::new(content.sources.clone(), fixed(mapping)).map_err(|error| unknown(name, &error))
}

fn unknown(name: &str, error: &RouteError) -> Failure {
    let hint = format!("`sources.{name}.mapping` names a mapping source, or is \"auto\"");
    Failure::argument(format!("input {name}: {error}"), hint)
}

fn spool(name: &str, dir: &Path, settings: SpoolSettings) -> Result<Spool, Failure> {
    Spool::open(dir, settings).map_err(|error| {
        Failure::argument(
            format!("input {name}: {error}"),
            format!("{} is the spool of this input, for one process at a time", dir.display()),
        )
    })
}

/// Options of the client with their secrets, for the consumer alone.
///
/// # Errors
/// Every option whose reference leads nowhere.
pub(in crate::cli) fn librdkafka(
    name: &str,
    kafka: &Kafka,
) -> Result<BTreeMap<String, String>, Failure> {
    let resolved = kafka.librdkafka.resolve(|name| std::env::var(name).ok()).map_err(|wrong| {
        let list: Vec<String> =
            wrong.iter().map(|w| format!("`{}`: {}", w.option, w.primary)).collect();
        let hint = wrong.first().map_or(String::new(), |w| w.hint.clone());
        Failure::argument(format!("input {name}: {}", list.join("; ")), hint)
    })?;
    Ok(resolved.into_iter().map(|(option, secret)| (option, secret.reveal().to_owned())).collect())
}

fn kafka_input(
    name: &str,
    kafka: &Kafka,
    data_dir: &Path,
    router: Router,
) -> Result<Box<dyn Input>, Failure> {
    let mut settings = kafka_settings(name, kafka)?;
    // A member that the group knows by name gets its partitions back at once after a crash; another
    // would wait until the group has given up the one that died, 45 s.
    let node = data_dir::node_name(data_dir)?;
    let member = settings.librdkafka.entry("group.instance.id".to_owned());
    member.or_insert_with(|| format!("sluice-{node}-{name}"));
    let input = KafkaInput::new(name, settings, router).map_err(|f| failure(&f))?;
    Ok(Box::new(input))
}

/// What the client of an input is told.
///
/// # Errors
/// Every option whose reference leads nowhere.
pub(in crate::cli) fn kafka_settings(name: &str, kafka: &Kafka) -> Result<KafkaSettings, Failure> {
    Ok(KafkaSettings {
        brokers: kafka.brokers.0.clone(),
        topics: kafka.topics.clone(),
        group: kafka.group.clone(),
        start: match kafka.start {
            Start::Earliest => kafka::Start::Earliest,
            Start::Latest => kafka::Start::Latest,
            Start::At(time) => kafka::Start::Timestamp(time),
        },
        librdkafka: librdkafka(name, kafka)?,
    })
}

/// What stopped an input, on the command line.
pub(in crate::cli) fn failure(failure: &InputFailure) -> Failure {
    let detail = failure.detail.as_ref().map_or(String::new(), |d| format!(": {d}"));
    Failure::argument(format!("{failure}{detail}"), failure.hint.clone().unwrap_or_default())
}

/// Serves the API of a node.
///
/// # Errors
/// If the address cannot be listened on, or the tokens cannot be read.
pub(in crate::cli) fn serve(
    config: &Config,
    node: &Node,
    reload: Arc<dyn Fn() -> ReloadReport + Send + Sync>,
) -> Result<Server, Failure> {
    let tokens = Tokens::open(&config.data_dir).map_err(crate::cli::token::failure)?;
    let app = App {
        store: Arc::new(node.store.clone()),
        service: Arc::new(node.service.clone()),
        history: Arc::new(node.history.clone()),
        search: Arc::new(node.searcher()),
        doors: node.doors.iter().map(|(n, d)| (n.clone(), d.clone() as _)).collect(),
        reload,
        tokens,
        cursor_key: data_dir::cursor_key(&config.data_dir)?,
        version: env!("CARGO_PKG_VERSION"),
    };
    let listen = config.api.listen;
    http::serve(app, http_settings(config)).map_err(|error| {
        let cause = std::error::Error::source(&error).map_or(String::new(), |c| format!(": {c}"));
        Failure::argument(
            format!("cannot {error}{cause}"),
            format!("another process may have {listen}: `api.listen` or --listen names another"),
        )
    })
}

fn http_settings(config: &Config) -> HttpSettings {
    HttpSettings {
        listen: config.api.listen,
        connections: config.api.max_connections.0.get(),
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
