//! The inputs of a configuration: Kafka consumers, and spools with the endpoints that fill them. Not
//! the inputs themselves (see `sluice_ingest`).

use std::{collections::BTreeMap, path::Path, sync::Arc};

use sluice_engine::{Content, service::LiveInput};
use sluice_ingest::{
    InputOptions, RouteError, Router, SourceSpec,
    kafka::{self, KafkaInput, KafkaSettings},
    live::{Input, InputFailure, Place, Positions},
    spool::{Spool, SpoolInput, SpoolSettings},
};

use super::{
    data_dir,
    push::{PushEndpoint, PushEndpoints},
};
use crate::{
    config::{Config, Kafka, Source, Start},
    exit::Failure,
};

/// The inputs of a configuration, and the endpoints of those that are pushed to. `from` is where the
/// store has them go on.
///
/// # Errors
/// The first input that cannot be made.
pub(super) fn inputs(
    config: &Config,
    content: &Content,
    from: &Positions,
) -> Result<(Vec<LiveInput>, PushEndpoints), Failure> {
    let mut endpoints = PushEndpoints::new();
    let mut inputs = Vec::new();
    for (name, source) in &config.sources {
        let options = source.options();
        let router = router(name, &source.mapping, &options, content)?;
        let (input, kind) = if let Some(kafka) = &source.kafka {
            (kafka_input(name, kafka, &config.data_dir, router)?, "kafka")
        } else if let Some((spool_bytes, kind)) = pushed(source) {
            let place = Place { input: name.as_str().into(), part: "".into() };
            let settings = SpoolSettings {
                max_bytes: spool_bytes,
                start: from.get(&place).copied().unwrap_or(0),
                // Inputs pause before; what is left then is for the store.
                min_free: config.engine.min_free.0 / 2,
                ..SpoolSettings::default()
            };
            let spool = spool(name, &config.data_dir.join("spool").join(name), settings)?;
            let input = Box::new(SpoolInput::new(place.input, &spool, router));
            let fixed = fixed(&source.mapping).map(str::to_owned);
            let endpoint = PushEndpoint::new(spool, fixed, options, content.sources.clone());
            endpoints.insert(name.clone(), Arc::new(endpoint));
            (input as _, kind)
        } else {
            // Refused by the configuration already.
            continue;
        };
        inputs.push(LiveInput { input, kind, mapping: source.mapping.clone() });
    }
    Ok((inputs, endpoints))
}

/// The bytes of its spool and its kind, if an input is pushed to.
fn pushed(source: &Source) -> Option<(u64, &'static str)> {
    let http = source.http.as_ref().map(|http| (http.spool_bytes.0, "http"));
    http.or_else(|| source.ssf.as_ref().map(|ssf| (ssf.spool_bytes.0, "ssf")))
}

/// The mapping source of every record; `None` looks at each.
pub(crate) fn fixed(mapping: &str) -> Option<&str> {
    (mapping != "auto").then_some(mapping)
}

fn router(
    name: &str,
    mapping: &str,
    options: &InputOptions,
    content: &Content,
) -> Result<Router, Failure> {
    let router = Router::for_input(&content.sources, fixed(mapping), options)
        .map_err(|error| unknown(name, &error))?;
    let sources: Vec<&SourceSpec> = router.sources().collect();
    match options.unused(sources.iter().copied()).first() {
        None => Ok(router),
        Some((setting, codec)) => Err(Failure::argument(
            format!("input {name}: `{setting}` does nothing: its mapping has no {codec} codec"),
            format!("take out `sources.{name}.{setting}`, or mend `sources.{name}.mapping`"),
        )),
    }
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
pub(crate) fn librdkafka(name: &str, kafka: &Kafka) -> Result<BTreeMap<String, String>, Failure> {
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

/// The settings of the Kafka client of an input.
///
/// # Errors
/// Every option whose reference leads nowhere.
pub(crate) fn kafka_settings(name: &str, kafka: &Kafka) -> Result<KafkaSettings, Failure> {
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
pub(crate) fn failure(failure: &InputFailure) -> Failure {
    let detail = failure.detail.as_ref().map_or(String::new(), |d| format!(": {d}"));
    Failure::argument(format!("{failure}{detail}"), failure.hint.clone().unwrap_or_default())
}
