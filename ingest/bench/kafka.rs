//! How fast a Kafka input reads: messages a second into arrivals, nothing done with them. Needs a
//! broker (`cargo xtask kafka start`):
//!
//! `SLUICE_TEST_KAFKA=HOST:PORT cargo run --release -p sluice-ingest --example kafka_bench [MESSAGES]`
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark talks to a person")]
#![allow(clippy::disallowed_methods, reason = "it measures")]

use std::{
    collections::BTreeMap,
    env,
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Waker},
    thread,
    time::{Duration, Instant, UNIX_EPOCH},
};

use crossbeam_channel::bounded;
use rdkafka::{
    ClientConfig,
    producer::{BaseProducer, BaseRecord, Producer},
    types::RDKafkaErrorCode,
};
use sluice_event::{TimeSettings, WireSchema};
use sluice_ingest::{
    Codec, Limits, Router, SourceSpec, Unwrap,
    kafka::{KafkaInput, KafkaSettings, Start},
    live::{Arrival, Input, InputControl, Positions},
};

fn main() {
    let brokers = env::var("SLUICE_TEST_KAFKA").unwrap();
    let messages = env::args().nth(1).map_or(1_000_000, |n| n.parse::<u64>().unwrap());
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &brokers)
        .set("linger.ms", "20")
        .set("compression.type", "lz4")
        .create()
        .unwrap();
    println!("{:>8} {:>10} {:>12} {:>10}", "bytes", "messages", "messages/s", "MB/s");
    for size in [200, 1_000] {
        let topic = format!("bench-{size}-{}", UNIX_EPOCH.elapsed().unwrap().as_millis());
        create(&brokers, &topic);
        produce(&producer, &topic, size, messages);
        let seconds = read(&brokers, &topic, messages).as_secs_f64();
        let rate = messages as f64 / seconds;
        println!("{size:>8} {messages:>10} {rate:>12.0} {:>10.1}", rate * size as f64 / 1e6);
    }
}

/// Four partitions.
fn create(brokers: &str, topic: &str) {
    use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
    let admin: AdminClient<_> =
        ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap();
    let new = NewTopic::new(topic, 4, TopicReplication::Fixed(1));
    let options = AdminOptions::new();
    let mut created = pin!(admin.create_topics([&new], &options));
    while created.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
        thread::sleep(Duration::from_millis(10));
    }
}

fn produce(producer: &BaseProducer, topic: &str, size: usize, messages: u64) {
    for n in 0..messages {
        let head = format!("{{\"n\":{n},\"text\":\"");
        let text = format!("{head}{}\"}}", "a".repeat(size.saturating_sub(head.len() + 2)));
        let partition = i32::try_from(n % 4).unwrap();
        let mut record =
            BaseRecord::<[u8], [u8]>::to(topic).partition(partition).payload(text.as_bytes());
        while let Err((error, again)) = producer.send(record) {
            assert_eq!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::QueueFull), "{error}");
            record = again;
            producer.poll(Duration::from_millis(20));
        }
    }
    producer.flush(Duration::from_secs(120)).unwrap();
}

/// From the first arrival with records to the last.
fn read(brokers: &str, topic: &str, messages: u64) -> Duration {
    let spec = SourceSpec {
        source: "bench.json".into(),
        codec: Codec::Json,
        unwrap: Unwrap::default(),
        wire: WireSchema::default(),
        time: None,
        native_id: None,
        time_settings: TimeSettings::default(),
        detect_has: Vec::new(),
        detect_lacks: Vec::new(),
        limits: Limits::default(),
        surroundings: Arc::default(),
        aliases: Arc::default(),
        detect_line: None,
        detect_message: None,
        mappings: Vec::new(),
    };
    let settings = KafkaSettings {
        brokers: brokers.to_owned(),
        topics: vec![topic.to_owned()],
        group: topic.to_owned(),
        start: Start::Earliest,
        librdkafka: BTreeMap::new(),
    };
    let router = Router::new(vec![Arc::new(spec)], Some("bench.json")).unwrap();
    let mut input = KafkaInput::new("bench", settings, router).unwrap();
    let control = Arc::new(InputControl::default());
    let (out, arrivals) = bounded(64);
    let shared = control.clone();
    let reader = thread::spawn(move || input.run(&Positions::new(), &out, &shared));
    let (mut seen, mut first) = (0, None);
    while seen < messages {
        if let Arrival::Records { parts, .. } = arrivals.recv().unwrap() {
            let records: usize = parts.iter().map(|(_, chunk)| chunk.records.len()).sum();
            if records > 0 {
                first.get_or_insert_with(Instant::now);
            }
            seen += records as u64;
        }
    }
    let elapsed = first.unwrap().elapsed();
    control.stop();
    reader.join().unwrap().unwrap();
    elapsed
}
