//! A broker, topics, a producer, and an input on a thread whose arrivals are counted.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    future::Future,
    path::PathBuf,
    pin::pin,
    process::{self, Command},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll, Waker},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, bounded};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    producer::{BaseProducer, BaseRecord, Producer},
};
use sluice_event::{TimeSettings, WireSchema};
use sluice_ingest::{
    Codec, Envelope, Limits, Router, SourceSpec, Unwrap,
    kafka::{KafkaInput, KafkaSettings, Start},
    live::{Arrival, Input, InputControl, InputFailure, InputPhase, Place, Positions},
};

/// Where the broker of all tests is, or why there is none.
pub(crate) fn broker() -> Option<String> {
    sluice_harness::variable("SLUICE_TEST_KAFKA")
}

/// A name that nothing else has.
pub(crate) fn unique(what: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let time = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis();
    format!("{what}-{}-{time}-{count}", process::id())
}

/// A broker of one test alone: it may be stopped. Stopped at the end.
pub(crate) struct Own {
    dir: PathBuf,
    pub(crate) bootstrap: String,
    /// The listener with a password.
    pub(crate) sasl: String,
    /// The one with TLS, if it was asked for.
    pub(crate) tls: String,
}

impl Own {
    pub(crate) fn start() -> Option<Own> {
        Own::with("", &["start"])
    }

    /// One with a listener for TLS.
    pub(crate) fn with_tls() -> Option<Own> {
        Own::with("", &["start", "tls"])
    }

    /// One with further settings.
    pub(crate) fn with_settings(properties: &str) -> Option<Own> {
        Own::with(properties, &["start"])
    }

    fn with(properties: &str, words: &[&str]) -> Option<Own> {
        broker()?;
        let libs = sluice_harness::variable("SLUICE_TEST_KAFKA_DIR")?;
        let dir = env::temp_dir().join(unique("sluice-kafka"));
        std::fs::create_dir_all(&dir).unwrap();
        std::os::unix::fs::symlink(PathBuf::from(libs).join("libs"), dir.join("libs")).unwrap();
        std::fs::write(dir.join("extra.properties"), properties).unwrap();
        let none = String::new;
        let mut own = Own { dir, bootstrap: none(), sasl: none(), tls: none() };
        let said = own.run(words);
        let after = |key: &str| said.lines().find_map(|l| l.strip_prefix(key)).unwrap_or_default();
        own.bootstrap = after("BOOTSTRAP=").to_owned();
        own.sasl = after("BOOTSTRAP_SASL=").to_owned();
        own.tls = after("BOOTSTRAP_TLS=").to_owned();
        Some(own)
    }

    /// The certificate of its TLS listener.
    pub(crate) fn certificate(&self) -> String {
        self.dir.join("ca.pem").to_str().unwrap().to_owned()
    }

    pub(crate) fn script(&self, verb: &str) {
        self.run(&[verb]);
    }

    /// Runs `kafka.sh` on it: what it prints.
    fn run(&self, words: &[&str]) -> String {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../.ci/kafka/kafka.sh");
        let (verb, more) = words.split_first().unwrap();
        let log = self.dir.join("script.log");
        // A file, not a pipe: the broker would hold it open.
        let out = std::fs::File::create(&log).unwrap();
        let mut bash = Command::new("bash");
        let bash = bash.arg(script).arg(verb).arg(&self.dir).args(more).stdout(out);
        assert!(bash.status().unwrap().success(), "kafka.sh {verb}; see {}", self.dir.display());
        std::fs::read_to_string(log).unwrap()
    }

    /// Ends it at once.
    pub(crate) fn kill(&self) {
        let pid = std::fs::read_to_string(self.dir.join("pid")).unwrap();
        let status = Command::new("kill").args(["-9", pid.trim()]).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.script("stop");
        std::fs::remove_dir_all(&self.dir).ok();
    }
}

/// Administrates a cluster.
pub(crate) struct Admin(AdminClient<DefaultClientContext>);

impl Admin {
    pub(crate) fn new(bootstrap: &str) -> Admin {
        Admin(ClientConfig::new().set("bootstrap.servers", bootstrap).create().unwrap())
    }

    pub(crate) fn client(&self) -> &AdminClient<DefaultClientContext> {
        &self.0
    }

    /// Creates a topic with a fresh name.
    pub(crate) fn topic(&self, what: &str, partitions: i32, options: &[(&str, &str)]) -> String {
        let name = unique(what);
        self.create(&name, partitions, options);
        name
    }

    pub(crate) fn create(&self, name: &str, partitions: i32, options: &[(&str, &str)]) {
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        for (key, value) in options {
            topic = topic.set(key, value);
        }
        let created = block_on(self.0.create_topics([&topic], &options_of_admin())).unwrap();
        for result in created {
            result.unwrap();
        }
    }
}

pub(crate) fn options_of_admin() -> AdminOptions {
    AdminOptions::new()
        .operation_timeout(Some(Duration::from_secs(20)))
        .request_timeout(Some(Duration::from_secs(20)))
}

/// Produces to a cluster.
pub(crate) struct Sender(BaseProducer);

impl Sender {
    pub(crate) fn new(bootstrap: &str, options: &[(&str, &str)]) -> Sender {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", bootstrap).set("acks", "all").set("linger.ms", "5");
        for (key, value) in options {
            config.set(*key, *value);
        }
        Sender(config.create().unwrap())
    }

    pub(crate) fn producer(&self) -> &BaseProducer {
        &self.0
    }

    /// One record; nothing is waited for.
    pub(crate) fn put(&self, topic: &str, partition: i32, value: &[u8]) {
        self.send(BaseRecord::<[u8], [u8]>::to(topic).partition(partition).payload(value));
    }

    pub(crate) fn send(&self, record: BaseRecord<'_, [u8], [u8]>) {
        let mut record = record;
        loop {
            match self.0.send(record) {
                Ok(()) => return,
                Err((error, again)) => {
                    let code = error.rdkafka_error_code();
                    assert_eq!(code, Some(rdkafka::types::RDKafkaErrorCode::QueueFull), "{error}");
                    record = again;
                    self.0.poll(Duration::from_millis(20));
                }
            }
        }
    }

    /// Numbered records `{"n":0}`, spread over the partitions.
    pub(crate) fn numbers(&self, topic: &str, partitions: i32, range: std::ops::Range<u64>) {
        for n in range {
            let partition = i32::try_from(n).unwrap() % partitions;
            self.put(topic, partition, format!("{{\"n\":{n}}}").as_bytes());
        }
        self.flush();
    }

    pub(crate) fn flush(&self) {
        self.0.flush(Duration::from_secs(60)).unwrap();
    }
}

/// The settings most tests start from.
pub(crate) fn settings(bootstrap: &str, topic: &str) -> KafkaSettings {
    KafkaSettings {
        brokers: bootstrap.to_owned(),
        topics: vec![topic.to_owned()],
        group: unique("group"),
        start: Start::Earliest,
        librdkafka: BTreeMap::from([("fetch.wait.max.ms".to_owned(), "20".to_owned())]),
    }
}

/// A source of JSON lines without mappings.
pub(crate) fn router(idle: i64) -> Router {
    let spec = SourceSpec {
        source: "test.json".into(),
        codec: Codec::Json,
        unwrap: Unwrap::default(),
        wire: WireSchema::default(),
        time: None,
        native_id: None,
        time_settings: TimeSettings { idle, ..TimeSettings::default() },
        detect_has: Vec::new(),
        detect_lacks: Vec::new(),
        limits: Limits::default(),
        surroundings: Arc::default(),
        aliases: Arc::default(),
        detect_line: None,
        detect_message: None,
        mappings: Vec::new(),
    };
    Router::new(vec![Arc::new(spec)], Some("test.json")).unwrap()
}

/// A record as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Got {
    pub(crate) part: String,
    pub(crate) offset: u64,
    pub(crate) bytes: Vec<u8>,
    /// The code of its fault, if it is one.
    pub(crate) fault: Option<String>,
    pub(crate) received_at: i64,
    pub(crate) envelope: Arc<Envelope>,
}

/// An input on a thread, and what came of it.
pub(crate) struct Running {
    pub(crate) control: Arc<InputControl>,
    arrivals: Receiver<Arrival>,
    thread: Option<JoinHandle<Result<(), InputFailure>>>,
    pub(crate) got: Vec<Got>,
    pub(crate) idle: Vec<Place>,
    pub(crate) next: Positions,
    /// Places assigned and not revoked.
    ours: BTreeSet<Place>,
}

impl Running {
    pub(crate) fn start(settings: KafkaSettings, from: Positions) -> Running {
        Running::with(settings, from, 16, 60_000)
    }

    pub(crate) fn with(
        settings: KafkaSettings,
        from: Positions,
        room: usize,
        idle: i64,
    ) -> Running {
        let mut input = KafkaInput::new("in", settings, router(idle)).unwrap();
        let control = Arc::new(InputControl::default());
        let (out, arrivals) = bounded(room);
        let shared = control.clone();
        let thread = thread::spawn(move || input.run(&from, &out, &shared));
        Running {
            control,
            arrivals,
            thread: Some(thread),
            got: Vec::new(),
            idle: Vec::new(),
            next: Positions::new(),
            ours: BTreeSet::new(),
        }
    }

    /// Takes the next arrival, if one comes within this time.
    pub(crate) fn take(&mut self, wait: Duration) -> bool {
        let Ok(arrival) = self.arrivals.recv_timeout(wait) else { return false };
        match arrival {
            Arrival::Records { place, parts, next } => {
                assert!(self.ours.contains(&place), "{place} is not ours");
                for (_, chunk) in parts {
                    self.add(&place, &chunk);
                }
                let before = self.next.insert(place.clone(), next);
                assert!(
                    before.is_none_or(|b| b <= next),
                    "{place} went back from {before:?} to {next}"
                );
            }
            Arrival::Idle(place) => self.idle.push(place),
            Arrival::Assigned(place) => assert!(self.ours.insert(place)),
            Arrival::Revoked(place) => assert!(self.ours.remove(&place)),
            Arrival::Failed(failure) => panic!("{failure:?}"),
        }
        true
    }

    fn add(&mut self, place: &Place, chunk: &sluice_ingest::Chunk) {
        for (i, record) in chunk.records.iter().enumerate() {
            self.got.push(Got {
                part: place.part.to_string(),
                offset: chunk.offsets[i],
                bytes: record.to_vec(),
                fault: None,
                received_at: chunk.reference(i),
                envelope: chunk.envelope(i).unwrap().clone(),
            });
        }
        for fault in &chunk.faults {
            self.got.push(Got {
                part: place.part.to_string(),
                offset: fault.offset,
                bytes: fault.original.bytes().to_vec(),
                fault: Some(fault.code.name().to_owned()),
                received_at: chunk.received_at,
                envelope: fault.envelope.clone().unwrap(),
            });
        }
    }

    /// Takes arrivals until this holds.
    pub(crate) fn until(&mut self, what: &str, seconds: u64, holds: impl Fn(&Running) -> bool) {
        let end = Instant::now() + Duration::from_secs(seconds);
        while !holds(self) {
            assert!(
                Instant::now() < end,
                "not within {seconds} s: {what}; {} records, status {:?}",
                self.got.len(),
                self.control.status()
            );
            if self.thread.as_ref().is_some_and(JoinHandle::is_finished) && self.arrivals.is_empty()
            {
                panic!("the input has ended: {:?}", self.thread.take().unwrap().join().unwrap());
            }
            self.take(Duration::from_millis(50));
        }
    }

    /// Takes arrivals until there are so many records.
    pub(crate) fn records(&mut self, count: usize, seconds: u64) {
        self.until(&format!("{count} records"), seconds, |r| r.got.len() >= count);
    }

    /// Waits until it says this of itself.
    pub(crate) fn says(&mut self, text: &str, seconds: u64) {
        self.until(text, seconds, |r| r.trouble().contains(text));
    }

    pub(crate) fn running(&mut self, seconds: u64) {
        self.until("running", seconds, |r| r.control.status().phase == InputPhase::Running);
    }

    fn trouble(&self) -> String {
        match self.control.status().phase {
            InputPhase::Retrying(text) => text,
            _ => String::new(),
        }
    }

    /// The numbers that arrived, in order, each as often as it did.
    pub(crate) fn numbers(&self) -> Vec<u64> {
        let number = |got: &Got| {
            let value: serde_json::Value = serde_json::from_slice(&got.bytes).unwrap();
            value["n"].as_u64().unwrap()
        };
        let mut numbers: Vec<u64> = self.got.iter().map(number).collect();
        numbers.sort_unstable();
        numbers
    }

    /// Each of these numbers arrived once, and nothing else.
    pub(crate) fn exactly(&self, range: std::ops::Range<u64>) {
        let numbers = self.numbers();
        let missing: Vec<u64> =
            range.clone().filter(|n| numbers.binary_search(n).is_err()).take(10).collect();
        let twice: Vec<u64> =
            numbers.windows(2).filter(|w| w[0] == w[1]).map(|w| w[0]).take(10).collect();
        assert!(
            missing.is_empty()
                && twice.is_empty()
                && numbers.len() as u64 == range.end - range.start,
            "{} of {range:?}; missing {missing:?}, twice {twice:?}",
            numbers.len()
        );
    }

    /// Stops it, and says how it ended.
    pub(crate) fn stop(&mut self) -> Result<(), InputFailure> {
        self.control.stop();
        self.end(10)
    }

    /// Waits for its end.
    pub(crate) fn end(&mut self, seconds: u64) -> Result<(), InputFailure> {
        let end = Instant::now() + Duration::from_secs(seconds);
        let thread = self.thread.take().unwrap();
        while !thread.is_finished() {
            assert!(Instant::now() < end, "it did not end within {seconds} s");
            self.take(Duration::from_millis(20));
        }
        while self.take(Duration::ZERO) {}
        thread.join().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.control.stop();
    }
}

/// Waits for a future.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::sleep(Duration::from_millis(5)),
        }
    }
}
