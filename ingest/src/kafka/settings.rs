//! What a Kafka input is told, and the librdkafka options made of it. Not connecting.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use rdkafka::{ClientConfig, config::RDKafkaLogLevel, consumer::BaseConsumer, error::KafkaError};

use super::context::Context;
use crate::live::InputFailure;

/// What a Kafka input reads, and how.
#[derive(Clone, PartialEq, Eq)]
pub struct KafkaSettings {
    /// Where to find the cluster: `host:port`, several with commas.
    pub brokers: String,
    /// The topics. One that starts with `^` is a regular expression over topic names.
    pub topics: Vec<String>,
    /// The consumer group: inputs with the same one share the partitions.
    pub group: String,
    /// Where a partition of which no position is known is read from.
    pub start: Start,
    /// Any further option of librdkafka, as it names them. Values may be secrets: never shown.
    pub librdkafka: BTreeMap<String, String>,
}

/// Where a partition of which no position is known is read from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// The oldest record there is.
    #[default]
    Earliest,
    /// What comes after the first start. Partitions added later are read from their beginning.
    Latest,
    /// The first record at or after this time, milliseconds since 1970 UTC.
    Timestamp(i64),
}

impl fmt::Debug for KafkaSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaSettings")
            .field("brokers", &self.brokers)
            .field("topics", &self.topics)
            .field("group", &self.group)
            .field("start", &self.start)
            .field("librdkafka", &self.librdkafka.keys().collect::<Vec<_>>())
            .finish()
    }
}

/// Options that are set here and may be set otherwise, with the reason where it is not plain.
const DEFAULTS: &[(&str, &str)] = &[
    ("isolation.level", "read_committed"),
    ("partition.assignment.strategy", "cooperative-sticky"),
    // With the other protocol a member that cannot reach its coordinator reads on.
    ("group.protocol", "classic"),
    ("session.timeout.ms", "45000"),
    ("heartbeat.interval.ms", "3000"),
    ("max.poll.interval.ms", "300000"),
    // Throughput, with a bound on latency.
    ("fetch.min.bytes", "65536"),
    ("fetch.wait.max.ms", "100"),
    ("max.partition.fetch.bytes", "4194304"),
    // What an input holds at most before it is processed: one answer and the queue. 16 MiB of records
    // of 1 kB are read in 0.2 s at 100,000 a second, so that the next answer is there before.
    ("fetch.max.bytes", "16777216"),
    ("queued.min.messages", "20000"),
    ("queued.max.messages.kbytes", "16384"),
    // Its own default leaves holes of 1 s when the queue is full.
    ("fetch.queue.backoff.ms", "20"),
    ("check.crcs", "true"),
    // New partitions are seen within this time.
    ("topic.metadata.refresh.interval.ms", "30000"),
    ("metadata.recovery.strategy", "rebootstrap"),
    ("allow.auto.create.topics", "false"),
    ("socket.keepalive.enable", "true"),
    ("reconnect.backoff.max.ms", "5000"),
];

/// Options that no one else may set, each with what to do instead.
const OWNED: &[(&str, &str)] = &[
    ("bootstrap.servers", "write it as `brokers`"),
    ("metadata.broker.list", "write it as `brokers`"),
    ("group.id", "write it as `group`"),
    (
        "auto.offset.reset",
        "write it as `start`; a position that no longer exists is never passed over",
    ),
    ("auto.commit.enable", "offsets are committed once what they stand for is durable"),
    ("auto.commit.interval.ms", "offsets are committed once what they stand for is durable"),
    ("enable.auto.commit", "offsets are committed once what they stand for is durable"),
    ("enable.auto.offset.store", "offsets are committed once what they stand for is durable"),
    ("offset.store.method", "positions are kept in the data folder"),
    ("offset.store.path", "positions are kept in the data folder"),
    ("enable.partition.eof", "ends of partitions are read from the statistics"),
    ("statistics.interval.ms", "lag and idleness are read from the statistics, once a second"),
    ("log.queue", "logs go to the log of this process"),
];

/// Where options are written down.
const OPTIONS: &str = "options and their values: librdkafka's CONFIGURATION.md, release 2.12";

/// How often librdkafka tells ends and states.
const STATISTICS: Duration = Duration::from_secs(1);

impl KafkaSettings {
    /// The options of the consumer.
    ///
    /// # Errors
    /// What is missing, an option that is not for others to set, and what librdkafka refuses.
    pub(super) fn client(&self, input: &Arc<str>) -> Result<ClientConfig, InputFailure> {
        let failure = |primary: String, detail: Option<String>, hint: String| InputFailure {
            input: input.clone(),
            primary,
            detail,
            hint: Some(hint),
        };
        for (key, value, example) in [
            ("brokers", self.brokers.trim(), "brokers = \"127.0.0.1:9092\""),
            ("group", self.group.trim(), "group = \"sluice\""),
            ("topics", self.topics.first().map_or("", |t| t.trim()), "topics = [\"okta\"]"),
        ] {
            if value.is_empty() {
                return Err(failure(
                    format!("`{key}` is empty"),
                    None,
                    format!("write `{example}`"),
                ));
            }
        }
        for (key, instead) in OWNED {
            if self.librdkafka.contains_key(*key) {
                let primary = format!("the option `{key}` cannot be set here");
                return Err(failure(primary, None, (*instead).to_owned()));
            }
        }
        let mut config = ClientConfig::new();
        for (key, value) in DEFAULTS {
            config.set(*key, *value);
        }
        // All or nothing: without one of them its batches would be an endless error.
        config.set(
            "builtin.features",
            "gzip,snappy,lz4,zstd,ssl,sasl_plain,sasl_scram,sasl_oauthbearer",
        );
        config
            .set("client.id", "sluice")
            .set("bootstrap.servers", &self.brokers)
            .set("group.id", &self.group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("statistics.interval.ms", STATISTICS.as_millis().to_string());
        for (key, value) in &self.librdkafka {
            config.set(key, value);
        }
        config.set_log_level(RDKafkaLogLevel::Info);
        match config.create_with_context::<_, BaseConsumer<Context>>(Context::default()) {
            Ok(consumer) => {
                // Options are judged together only where a client is made.
                super::close(consumer);
                Ok(config)
            }
            Err(KafkaError::ClientConfig(_, reason, key, _)) => Err(failure(
                format!("the Kafka client refuses the option `{key}`"),
                // It repeats the value, which may be a secret.
                (!self.librdkafka.contains_key(&key)).then_some(reason),
                OPTIONS.to_owned(),
            )),
            Err(other) => Err(failure(
                "the Kafka client refuses the options".to_owned(),
                Some(self.without_values(other.to_string())),
                OPTIONS.to_owned(),
            )),
        }
    }

    /// A text of librdkafka, with the options named whose values it repeats.
    fn without_values(&self, mut text: String) -> String {
        for (key, value) in &self.librdkafka {
            if value.parse::<f64>().is_err() && value.len() >= 3 {
                text = text.replace(value.as_str(), &format!("(value of `{key}`)"));
            }
        }
        text
    }

    /// After how long without a poll the broker takes the partitions away.
    pub(super) fn max_poll(&self) -> Duration {
        let set = self.librdkafka.get("max.poll.interval.ms").and_then(|v| v.parse().ok());
        Duration::from_millis(set.unwrap_or(300_000))
    }

    /// Whether records of open transactions are waited for.
    pub(super) fn committed_only(&self) -> bool {
        self.librdkafka.get("isolation.level").is_none_or(|v| v == "read_committed")
    }
}

#[cfg(test)]
mod tests;
