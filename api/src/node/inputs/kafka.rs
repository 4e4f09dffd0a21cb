//! A source of the configuration as a Kafka input: its settings, with the secrets they refer to. Not
//! the consumer (see `sluice_ingest::kafka`).

use std::{collections::BTreeMap, path::Path};

use sluice_ingest::{
    Router,
    kafka::{KafkaInput, KafkaSettings},
    live::{Input, InputFailure},
};

use crate::{
    config::{Kafka, Start},
    exit::Failure,
    node::data_dir,
};

/// An input that reads the topics of a source.
///
/// # Errors
/// A reference to a secret that leads nowhere, and what the client refuses.
pub(super) fn input(
    name: &str,
    kafka: &Kafka,
    data_dir: &Path,
    router: Router,
) -> Result<Box<dyn Input>, Failure> {
    let mut settings = settings(name, kafka)?;
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
pub(crate) fn settings(name: &str, kafka: &Kafka) -> Result<KafkaSettings, Failure> {
    Ok(KafkaSettings {
        brokers: kafka.brokers.0.clone(),
        topics: kafka.topics.clone(),
        group: kafka.group.clone(),
        start: match kafka.start {
            Start::Earliest => sluice_ingest::kafka::Start::Earliest,
            Start::Latest => sluice_ingest::kafka::Start::Latest,
            Start::At(time) => sluice_ingest::kafka::Start::Timestamp(time),
        },
        librdkafka: librdkafka(name, kafka)?,
    })
}

/// Options of the client with their secrets, for the consumer alone.
fn librdkafka(name: &str, kafka: &Kafka) -> Result<BTreeMap<String, String>, Failure> {
    let resolved = kafka.librdkafka.resolve(|name| std::env::var(name).ok()).map_err(|wrong| {
        let list: Vec<String> =
            wrong.iter().map(|w| format!("`{}`: {}", w.option, w.primary)).collect();
        let hint = wrong.first().map_or(String::new(), |w| w.hint.clone());
        Failure::argument(format!("input {name}: {}", list.join("; ")), hint)
    })?;
    Ok(resolved.into_iter().map(|(option, secret)| (option, secret.reveal().to_owned())).collect())
}

/// What stopped an input, on the command line.
fn failure(failure: &InputFailure) -> Failure {
    let detail = failure.detail.as_ref().map_or(String::new(), |d| format!(": {d}"));
    Failure::argument(format!("{failure}{detail}"), failure.hint.clone().unwrap_or_default())
}
