//! A compacted topic as a table that this process keeps: a record per change of a key, none twice. Not
//! what the records say, and not the order of work: the caller asks what is there, then writes.
//!
//! The producer is idempotent, so that a retry of the client makes no second record. Over a crash the
//! topic itself is asked: every record names its change in the header [`CHANGE`], and [`TableTopic::known`]
//! reads those at the ends of the partitions.
//!
//! Guarantee: what [`TableTopic::write`] calls written is on every replica in sync. Non-guarantee: what it
//! does not call written may be there. On failure the topic is opened anew, which asks.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    future::Future,
    pin::pin,
    sync::{Mutex, PoisonError},
    task::{Context as TaskContext, Poll, Waker},
    time::Duration,
};

use rdkafka::{
    ClientConfig, ClientContext, Message as _, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
    message::{DeliveryResult, Header, Headers as _, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, Producer, ProducerContext},
};

use super::clock::now;

/// The topic and how to reach it.
#[derive(Clone, PartialEq, Eq)]
pub struct TableSettings {
    /// `host:port`, several with commas between.
    pub brokers: String,
    /// The topic; made with compaction if it is not there.
    pub topic: String,
    /// Partitions of a topic that is made.
    pub partitions: i32,
    /// Any option of librdkafka, as it names them.
    pub librdkafka: BTreeMap<String, String>,
}

/// A record to write.
#[derive(Clone, Copy, Debug)]
pub struct TableRecord<'r> {
    /// Its key.
    pub key: &'r str,
    /// Its value; `None` removes the key (a tombstone).
    pub value: Option<&'r [u8]>,
    /// What stands for the change: records of the same change are the same.
    pub change: &'r str,
}

/// An open topic.
pub struct TableTopic {
    settings: TableSettings,
    config: ClientConfig,
    producer: BaseProducer<Deliveries>,
}

/// The header that names the change of a record.
pub const CHANGE: &str = "sluice-change";
/// One question to the cluster.
const ASK: Duration = Duration::from_secs(10);
/// A record that is not on the replicas by then is given up, and asked for when the topic is open again.
const DELIVERY: Duration = Duration::from_secs(10);
/// Options of ours, over those of the operator.
const OWN: [(&str, &str); 6] = [
    ("enable.idempotence", "true"),
    ("acks", "all"),
    // The partitioner of the Java client: everybody finds a key in the same partition.
    ("partitioner", "murmur2_random"),
    ("allow.auto.create.topics", "false"),
    ("linger.ms", "0"),
    ("client.id", "sluice"),
];

impl fmt::Debug for TableSettings {
    // Values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableSettings")
            .field("brokers", &self.brokers)
            .field("topic", &self.topic)
            .field("librdkafka", &self.librdkafka.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for TableTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableTopic").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl TableTopic {
    /// Makes a client, and the topic if it is not there.
    ///
    /// # Errors
    /// What the client refuses, that the cluster does not answer, or that the topic is not compacted: what
    /// is written to one that is not would be gone after its retention.
    pub fn open(settings: &TableSettings) -> Result<TableTopic, String> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &settings.brokers);
        for (key, value) in &settings.librdkafka {
            config.set(key, value);
        }
        for (key, value) in OWN {
            config.set(key, value);
        }
        let mut producing = config.clone();
        producing.set("delivery.timeout.ms", DELIVERY.as_millis().to_string());
        let producer = producing
            .create_with_context(Deliveries::default())
            .map_err(|error| format!("there is no Kafka producer: {}", shown(&error, settings)))?;
        let topic = TableTopic { settings: settings.clone(), config, producer };
        topic.prepare()?;
        Ok(topic)
    }

    /// The changes of the last `most` records of each partition.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn known(&self, most: usize) -> Result<BTreeSet<String>, String> {
        let mut config = self.config.clone();
        config
            .set("group.id", "sluice-table")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("isolation.level", "read_committed");
        for (key, _) in [OWN[0], OWN[1], OWN[2], OWN[4]] {
            config.remove(key);
        }
        let failed = |error: &KafkaError| self.failed("cannot be read", error);
        let consumer: BaseConsumer = config.create().map_err(|e| failed(&e))?;
        let topic = &self.settings.topic;
        let mut list = TopicPartitionList::new();
        let mut open = BTreeSet::new();
        for partition in self.partitions()? {
            let (low, high) =
                consumer.fetch_watermarks(topic, partition, ASK).map_err(|e| failed(&e))?;
            if high > low {
                let from = low.max(high - i64::try_from(most).unwrap_or(i64::MAX));
                list.add_partition_offset(topic, partition, Offset::Offset(from))
                    .map_err(|e| failed(&e))?;
                open.insert(partition);
            }
        }
        consumer.assign(&list).map_err(|e| failed(&e))?;
        let mut known = BTreeSet::new();
        let deadline = now() + 3 * ASK;
        while !open.is_empty() {
            if now() > deadline {
                return Err(format!("the end of topic {topic} was not reached in 30 s"));
            }
            match consumer.poll(Duration::from_millis(100)) {
                None => {}
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    open.remove(&partition);
                }
                Some(Err(error)) => return Err(failed(&error)),
                Some(Ok(message)) => {
                    let headers = message.headers().into_iter().flat_map(|h| h.iter());
                    let changes = headers.filter(|h| h.key == CHANGE).filter_map(|h| h.value);
                    known.extend(changes.map(|v| String::from_utf8_lossy(v).into_owned()));
                }
            }
        }
        Ok(known)
    }

    /// Writes records, in order per key, and waits until each is on its replicas or given up: the places
    /// of those that are, and why others are not.
    pub fn write(&self, records: &[TableRecord<'_>]) -> (Vec<usize>, Option<String>) {
        let mut error = None;
        let mut sent = 0;
        for (place, record) in records.iter().enumerate() {
            let headers = OwnedHeaders::new()
                .insert(Header { key: CHANGE, value: Some(record.change.as_bytes()) });
            let mut message = BaseRecord::with_opaque_to(&self.settings.topic, Box::new(place))
                .key(record.key)
                .headers(headers);
            if let Some(value) = record.value {
                message = message.payload(value);
            }
            if let Err((refused, _)) = self.producer.send(message) {
                error = Some(self.failed("takes no record", &refused));
                break;
            }
            sent += 1;
        }
        // The client gives each record up in time; this is for a client that does not.
        let deadline = now() + DELIVERY + ASK;
        while self.producer.context().settled() < sent && now() < deadline {
            self.producer.poll(Duration::from_millis(20));
        }
        let Settled { written, refused, .. } = self.producer.context().take();
        let refused = refused.map(|e| self.failed("did not take a record", &e));
        (written, error.or(refused))
    }

    fn prepare(&self) -> Result<(), String> {
        let admin: AdminClient<DefaultClientContext> = {
            let mut config = self.config.clone();
            for (key, _) in [OWN[0], OWN[1], OWN[2], OWN[4]] {
                config.remove(key);
            }
            config.create().map_err(|e| self.failed("cannot be asked about", &e))?
        };
        let options = AdminOptions::new().request_timeout(Some(ASK)).operation_timeout(Some(ASK));
        let name = self.settings.topic.as_str();
        let new = NewTopic::new(name, self.settings.partitions, TopicReplication::Fixed(-1))
            .set("cleanup.policy", "compact");
        let made = answered(admin.create_topics([&new], &options))
            .map_err(|e| self.failed("cannot be asked about", &e))?;
        match made.into_iter().next() {
            Some(Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists))) | None => {}
            // One who may write may not be one who may create.
            Some(Err((_, RDKafkaErrorCode::TopicAuthorizationFailed))) => {}
            Some(Err((_, RDKafkaErrorCode::ClusterAuthorizationFailed))) => {}
            Some(Err((_, code))) => return Err(format!("topic {name} cannot be made: {code}")),
        }
        // A topic that was just made is not known everywhere at once.
        let deadline = now() + ASK;
        while self.partitions()?.is_empty() {
            if now() > deadline {
                return Err(format!("there is no topic {name}, and this user cannot make it"));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let which = [ResourceSpecifier::Topic(name)];
        let asked = admin.describe_configs(&which, &options);
        let configs = answered(asked).map_err(|e| self.failed("cannot be asked about", &e))?;
        let Some(Ok(config)) = configs.into_iter().next() else {
            // Not everybody may ask; then the operator's word counts.
            return Ok(());
        };
        let policy = config.entry_map().get("cleanup.policy").and_then(|e| e.value.clone());
        match policy {
            Some(policy) if !policy.contains("compact") => Err(format!(
                "topic {name} is not compacted (cleanup.policy={policy}): levels that do not change \
                 would be gone after its retention"
            )),
            _ => Ok(()),
        }
    }

    fn partitions(&self) -> Result<Vec<i32>, String> {
        let name = self.settings.topic.as_str();
        let metadata = self.producer.client().fetch_metadata(Some(name), ASK);
        let metadata = metadata.map_err(|e| self.failed("cannot be asked about", &e))?;
        let topic = metadata.topics().iter().find(|t| t.name() == name && t.error().is_none());
        Ok(topic.map_or_else(Vec::new, |t| t.partitions().iter().map(|p| p.id()).collect()))
    }

    fn failed(&self, what: &str, error: &KafkaError) -> String {
        let topic = &self.settings.topic;
        format!("topic {topic} {what}: {}", shown(error, &self.settings))
    }
}

/// An error without the values of options, which may be secrets.
fn shown(error: &KafkaError, settings: &TableSettings) -> String {
    let mut text = error.to_string();
    for (key, value) in &settings.librdkafka {
        if value.parse::<f64>().is_err() && value.len() >= 3 {
            text = text.replace(value.as_str(), &format!("(value of `{key}`)"));
        }
    }
    text
}

/// The answer of the client's own thread, which keeps the deadline.
fn answered<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = TaskContext::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(answer) = future.as_mut().poll(&mut context) {
            return answer;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// What became of records, told while the client is polled.
#[derive(Default)]
struct Deliveries(Mutex<Settled>);

#[derive(Default)]
struct Settled {
    written: Vec<usize>,
    given_up: usize,
    refused: Option<KafkaError>,
}

impl Deliveries {
    fn settled(&self) -> usize {
        let settled = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        settled.written.len() + settled.given_up
    }

    fn take(&self) -> Settled {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<usize>;

    fn delivery(&self, outcome: &DeliveryResult<'_>, place: Box<usize>) {
        let mut settled = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(_) => settled.written.push(*place),
            Err((error, _)) => {
                settled.given_up += 1;
                settled.refused.get_or_insert_with(|| error.clone());
            }
        }
    }
}
