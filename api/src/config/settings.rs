//! Every setting, with its default and what it costs or gains. `config schema`, `config show` and
//! the file that `init` writes come from these lines.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

use serde_json::{Value as Json, json};
use sluice_ingest::{DuplicateKeys, InputOptions};
use sluice_rule::Zone;

use super::{
    options::Options,
    reader::{Reader, Section, Setting, Value, Wrong, section},
    signals::Signals,
    ssf::Ssf,
    tree::Raw,
    value::{Brokers, ByteSize, Count, HistoryStart, Millis, Networks, Start, word},
    webhooks::Webhook,
};

section! {
    /// One node.
    Config {
        /// Where findings, state, spools, index and tokens are kept; made if it is not there. One
        /// process at a time. A relative path counts from the working directory.
        data_dir: PathBuf = "./data",
        /// Rule files and folders; `builtin` is what this binary ships. A file with the id of a
        /// shipped rule takes its place. Reloaded when they change.
        rules: Vec<String> = "[\"builtin\"]",
        /// Mapping files and folders, likewise.
        mappings: Vec<String> = "[\"builtin\"]",
        /// Lookup files and folders: CSV and JSON files of what you know of users, hosts, networks, each
        /// asked by rules and hunts as `lookup.<name>`. Reloaded when they change.
        lookups: Vec<String> = "[]",
        /// Memory of the whole process, unset: half of the machine's, or of its control group. From three
        /// quarters of it on searches and hunts are refused with 503, from nine tenths on inputs pause
        /// until it is below three quarters again; nothing is lost.
        memory_limit: Option<ByteSize> = "",
        /// The HTTP server.
        api: Api = "",
        /// Where logs come from.
        sources: BTreeMap<String, Source> = "",
        /// How events become findings.
        engine: EngineSettings = "",
        /// Events for hunts, on disk and in memory.
        history: HistorySettings = "",
        /// Limits of one hunt.
        hunts: HuntSettings = "",
        /// How long and how much is kept.
        retention: RetentionSettings = "",
        /// Signals: changes of risk to identity providers and gateways.
        signals: Option<Signals> = "",
        /// Webhooks: findings, incidents and changes of risk to other endpoints.
        webhooks: BTreeMap<String, Webhook> = "",
        /// What the process says of itself, on stderr.
        log: Log = "",
    }
}

section! {
    /// The HTTP server.
    Api {
        /// Address and port. Port 0 takes a free one and prints it.
        listen: SocketAddr = "127.0.0.1:7777",
        /// Serves HTTPS with this certificate and key; without, plain HTTP.
        tls: Option<Tls> = "",
        /// Allows plain HTTP on an address that other machines reach: tokens and findings can be read
        /// on the way, unless a proxy that ends TLS is before it.
        insecure: bool = "false",
        /// Connections at once; one more takes the place of an idle one, or is closed. Each holds at
        /// most about 100 KiB beside what its request needs.
        max_connections: Count = "2048",
        /// Connections of one address at once, likewise. Those of `trusted_proxies` are not counted.
        max_connections_per_address: Count = "256",
        /// Addresses, 10.0.0.7, or networks, 10.0.0.0/8, of proxies in front: their connections are
        /// those of many clients, and the last address of `X-Forwarded-For` that is not theirs is the
        /// client's. From anybody else that header means nothing.
        trusted_proxies: Networks = "[]",
        /// Requests of one token at once, until their answers are taken; one more gets 429.
        max_requests_per_token: Count = "64",
        /// Percent of all cores that the requests of one token, and detection over what it pushes, may
        /// use over ten seconds while other tokens ask too and the process uses more than 60 percent.
        /// Beyond, a request of it waits for at most 2 s, then gets 429 with `Retry-After`. 100: no limit.
        max_processor_per_token: Count = "25",
        /// Changes that one token may ask for in a minute; one more gets 429 with `Retry-After`. Each is a
        /// record of some 500 bytes in the audit log, which is never shortened: 2 GB a day at this rate.
        max_changes_per_minute: Count = "3000",
        /// Pushed records of one token a second, on average over ten seconds, that nothing can read: each is
        /// kept as a dead letter. Beyond, a push of it gets 429 with `Retry-After`: with 5,000, after one
        /// body of 50,000 such records the next is taken ten seconds later.
        max_rejected_per_second: Count = "5000",
        /// Suppressions under one token name, of the 10,000 that there may be; those that are over count
        /// until retention removes them. One more gets 409.
        max_suppressions_per_token: Count = "1000",
        /// Mutes under one token name, of the 1,000 that there may be; one more gets 409.
        max_mutes_per_token: Count = "100",
        /// Entities whose level somebody overrides, or that he holds in quarantine, under one token name;
        /// one more gets 409. Each takes about 1 KB of memory.
        max_decisions_per_token: Count = "10000",
        /// Clients of the live stream, all together; one more gets 503.
        max_streams: Count = "1000",
        /// Clients of the live stream with one token; one more gets 429.
        max_streams_per_token: Count = "32",
        /// Bytes of pushed bodies, what they inflate to, and answers until they are taken, all
        /// together; one token holds at most half. Beyond, 503 with `Retry-After`. A pushed body
        /// takes about four times the bytes it inflates to.
        memory: ByteSize = "512MiB",
        /// Bytes of a pushed body as it comes over the wire, compressed or not; more gets 413.
        max_body: ByteSize = "16MiB",
        /// Bytes that a pushed body inflates to; more gets 413.
        max_inflated: ByteSize = "48MiB",
        /// Records of a pushed body; more gets 413. Each costs some 20 us, however small it is.
        max_records: Count = "50000",
    }
}

section! {
    /// HTTPS. The files are PEM and read again within a second when they change; if they cannot be
    /// used then, those from before stay.
    Tls {
        /// The certificate of the server, then those up to its CA.
        certificate: PathBuf = "tls/server.crt",
        /// Its private key; others must not be able to read it.
        key: PathBuf = "tls/server.key",
        /// CAs; if given, clients need a certificate of one of them, besides their token.
        client_ca: Option<PathBuf> = "",
    }
}

section! {
    /// An input. Its name is in metrics, lag, tokens and in the URL that HTTP senders use.
    Source {
        /// The mapping source its records are read as, `okta.system`; `auto` looks at each record
        /// and costs about a tenth of the decoding.
        mapping: String = "auto",
        /// The zone of times that have none: an offset, `+02:00`, or a place, `Europe/Berlin`. A time
        /// that a clock there showed twice or never is read, marked and counted. Unset: what the
        /// mapping says, mostly UTC.
        zone: Option<String> = "",
        /// The year of dates that have none. Unset: the one nearest to when the record came in.
        year: Option<Count> = "",
        /// The names of the fields of delimited lines without a header line, in order.
        fields: Vec<String> = "[]",
        /// The longest record; of a longer one only the first fields are read. Unset: 16MiB.
        max_record: Option<ByteSize> = "",
        /// The deepest nesting of a record; a field that is deeper is NULL. Unset: 64.
        max_depth: Option<Count> = "",
        /// The most fields of a record that are read. Unset: 10000.
        max_fields: Option<Count> = "",
        /// A JSON record in which an object has a name twice: with `last` the last value is read, and
        /// counted if a mapping reads the field; with `set_aside` the record is a dead letter.
        duplicate_keys: DuplicateKeys = "last",
        /// It is a finding, `sluice.source_silent`, when nothing comes for longer than this. Unset: three
        /// times the longest pause of its last seven days, at least 15m, once it was heard for a day.
        silent_after: Option<Millis> = "",
        /// Reads topics of Apache Kafka or what speaks its protocol.
        kafka: Option<Kafka> = "",
        /// Takes what senders post to `/api/v1/ingest/NAME`.
        http: Option<Http> = "",
        /// Takes security event tokens (OpenID Shared Signals) of a transmitter, which pushes them to
        /// `/ssf/receive/NAME` or is polled. Its mapping is `ssf.set`.
        ssf: Option<Ssf> = "",
    }
}

section! {
    /// Topics of Kafka.
    Kafka {
        /// Where to find the cluster: `host:port`, several with commas between.
        brokers: Brokers = "",
        /// Topics; one that begins with `^` is a regular expression.
        topics: Vec<String> = "[]",
        /// The consumer group: processes with the same one share the partitions.
        group: String = "sluice",
        /// Where to begin in a partition that has no position yet: `earliest`, `latest` or a time.
        /// With `latest` what was written before the first start is never seen.
        start: Start = "earliest",
        /// Any option of librdkafka, as it names them. Secrets as `${env:NAME}` or `file:/path`.
        librdkafka: Options = "",
    }
}

section! {
    /// Records posted over HTTP, durable on disk before they are accepted.
    Http {
        /// Bytes that may wait on disk to be processed; then senders are told to wait. 4 GiB hold an
        /// hour of 1 MB a second.
        spool_bytes: ByteSize = "4GiB",
    }
}

section! {
    /// How events become findings.
    EngineSettings {
        /// Threads that decode, map and match; unset: one per core. A partition belongs to one, so
        /// more than there are partitions idle.
        workers: Option<Count> = "",
        /// Threads that hold keyed state; unset: one per core. May change between starts.
        shards: Option<Count> = "",
        /// Time between checkpoints. After a crash at most this much, and what was in flight, is
        /// processed again: nothing is lost or doubled, it only takes time. They take at most a tenth
        /// of the time: one that writes a second's worth of state is followed by nine without.
        checkpoint_every: Millis = "2s",
        /// A finding waits at most this long to be written with others: at 20 ms there are at most
        /// 50 syncs of the disk a second. Longer is cheaper and later.
        commit_every: Millis = "20ms",
        /// Below this much free space where `data_dir` is, inputs pause until there is twice as
        /// much; below half of it, senders over HTTP are told to wait.
        min_free: ByteSize = "256MiB",
        /// Overrides, for every source, how far behind the newest event of its partition an event
        /// still counts for rules that remember. Larger keeps more state and finds more in badly
        /// ordered logs. Unset: what each mapping says, mostly 10m.
        lateness: Option<Millis> = "",
        /// Since when the history is complete, for rules that look for something new:
        /// `first_event` waits a whole span of each rule before anything is new, `none` calls
        /// everything new from the first event on, a time lies between.
        history: HistoryStart = "first_event",
    }
}

section! {
    /// Events for hunts. Detection does not use them, and never waits for them.
    HistorySettings {
        /// Keeps events as Parquet files in `data_dir`/history, which other programs can read. With `false`
        /// hunts see what `table_bytes` hold, and nothing of before the start.
        disk: bool = "true",
        /// Bytes of each table. On disk: when its rows take so much as they came, they go to a file. Until
        /// then they are in memory under LZ4, in about a third; while the disk is slower than they come they take
        /// up to twice as much memory as this, then the oldest are lost and counted. In memory alone: the
        /// oldest rows make room; 64 MiB hold about 100,000 rows of 600 bytes.
        table_bytes: ByteSize = "64MiB",
        /// Events are in a Parquet file this long after they came, if not before. Shorter makes more and
        /// smaller files, which are put together later: at 60s there are 8 to 16 an hour and table.
        file_every: Millis = "60s",
        /// How long events are kept on disk after they came; then their file is dropped, and hunts say from
        /// when on they are complete.
        age: Millis = "30d",
        /// Bytes of the files; beyond, the oldest by event time are dropped. An event takes 30 to 100 bytes:
        /// 20 GiB hold 200 million or more, at 100 events a second three weeks.
        bytes: ByteSize = "20GiB",
    }
}

section! {
    /// Limits of one hunt: SQL over the events of the history.
    HuntSettings {
        /// Time to the last row; then 408.
        deadline: Millis = "25s",
        /// Memory for its sorts, joins and groups.
        memory: ByteSize = "512MiB",
        /// Rows of its answer; the rest is cut off and said so.
        rows: Count = "10000",
        /// Hunts at once; each may use a core, where detection leaves it (Linux), and `memory`. One
        /// token has at most three quarters of the places, and of two places one.
        places: Count = "2",
    }
}

section! {
    /// How long and how much is kept; the oldest goes first, counted in the metrics. Findings that are
    /// open (touched by a person and not resolved, or of an incident that is not over) go last, and by
    /// bytes only.
    RetentionSettings {
        /// Findings and what people did about them, by event time.
        finding_age: Millis = "365d",
        /// Bytes of findings: 10 GiB hold about 5 million.
        finding_bytes: ByteSize = "10GiB",
        /// Findings of one rule in one minute of event time. Of more, one finding
        /// `sluice.findings_capped` reports how many there are and whom they are about. 1,000 of 2 KiB
        /// are 2 MiB a minute, so that a rule that matches everything takes four days to fill 10 GiB.
        findings_per_minute: Count = "1000",
        /// Dead letters, by receive time.
        dead_letter_age: Millis = "30d",
        /// Bytes of dead letters of one source and code, so that a flood of one kind cannot push
        /// out the others. Up to 12,800 are kept a second: an input with more is read as fast as they
        /// are kept.
        dead_letter_bytes: ByteSize = "64MiB",
    }
}

section! {
    /// What the process says of itself, on stderr.
    Log {
        /// `text` for people, `json` for a collector: one object a line.
        format: LogFormat = "text",
        /// `error`, `warn`, `info` or `debug`. The environment variable SLUICE_LOG (a filter of
        /// tracing) and -v and -q win over it.
        level: LogLevel = "info",
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogLevel(pub(crate) &'static str);

const FORMATS: [(&str, LogFormat); 2] = [("text", LogFormat::Text), ("json", LogFormat::Json)];
const DUPLICATES: [(&str, DuplicateKeys); 2] =
    [("last", DuplicateKeys::LastWins), ("set_aside", DuplicateKeys::SetAside)];
const LEVELS: [(&str, LogLevel); 4] = [
    ("error", LogLevel("error")),
    ("warn", LogLevel("warn")),
    ("info", LogLevel("info")),
    ("debug", LogLevel("debug")),
];

impl Value for LogFormat {
    fn parse(raw: &Raw) -> Result<Self, Wrong> {
        word(raw, &FORMATS)
    }

    fn default(_text: &str) -> Self {
        LogFormat::Text
    }

    fn shown(&self) -> Json {
        FORMATS.iter().find(|(_, f)| f == self).map_or(Json::Null, |(name, _)| (*name).into())
    }

    fn schema() -> Json {
        json!({"enum": FORMATS.map(|(name, _)| name)})
    }
}

impl Value for DuplicateKeys {
    fn parse(raw: &Raw) -> Result<Self, Wrong> {
        word(raw, &DUPLICATES)
    }

    fn default(_text: &str) -> Self {
        DuplicateKeys::LastWins
    }

    fn shown(&self) -> Json {
        DUPLICATES.iter().find(|(_, d)| d == self).map_or(Json::Null, |(name, _)| (*name).into())
    }

    fn schema() -> Json {
        json!({"enum": DUPLICATES.map(|(name, _)| name)})
    }
}

impl Value for LogLevel {
    fn parse(raw: &Raw) -> Result<Self, Wrong> {
        word(raw, &LEVELS)
    }

    fn default(_text: &str) -> Self {
        LogLevel("info")
    }

    fn shown(&self) -> Json {
        self.0.into()
    }

    fn schema() -> Json {
        json!({"enum": LEVELS.map(|(name, _)| name)})
    }
}

impl Source {
    /// What the input says of the codec of its records. A zone that is none was refused.
    pub(crate) fn options(&self) -> InputOptions {
        InputOptions {
            zone: self.zone.as_deref().and_then(|zone| Zone::parse(zone).ok()),
            year: self.year.and_then(|year| i32::try_from(year.0.get()).ok()),
            fields: (!self.fields.is_empty()).then(|| self.fields.clone()),
            record_bytes: self.max_record.and_then(|size| usize::try_from(size.0).ok()),
            depth: self.max_depth.map(|n| n.0.get()),
            fields_max: self.max_fields.map(|n| n.0.get()),
            duplicate_keys: Some(self.duplicate_keys).filter(|d| *d != DuplicateKeys::LastWins),
        }
    }
}

impl Setting for BTreeMap<String, Source> {
    fn read(reader: &mut Reader<'_>, key: &'static str, _default: &'static str) -> Self {
        let mut sources = reader.below(key);
        let names = sources.keys();
        names
            .into_iter()
            .map(|name| (name.to_owned(), Source::section(&mut source(&mut sources, name))))
            .collect()
    }

    fn schema() -> Json {
        json!({
            "type": "object",
            "propertyNames": {"pattern": "^[A-Za-z0-9_-]{1,64}$"},
            "additionalProperties": super::reader::object_schema::<Source>(),
        })
    }
}

/// Checks of one input that need its table: its name, and that it is of one kind.
fn source<'r>(sources: &'r mut Reader<'_>, name: &str) -> Reader<'r> {
    let well_named = !name.is_empty()
        && name.len() <= 64
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    let mut reader = sources.below(name);
    if !well_named {
        reader.missing(
            format!("`{name}` cannot be the name of an input"),
            "at most 64 letters, digits, _ and -: it is part of a URL and of metrics",
        );
    }
    let path = reader.path("");
    let path = path.trim_end_matches('.');
    if reader.entry("file").is_some() {
        reader.said = Some("file");
        reader.missing(
            format!("`{path}`: `run` reads no files"),
            "`sluice eval FILE` does, with the same rules and the same findings; to stream them, \
             post their lines to an `http = {}` input",
        );
    } else {
        let kinds =
            ["kafka", "http", "ssf"].into_iter().filter(|kind| reader.entry(kind).is_some());
        match kinds.collect::<Vec<_>>().as_slice() {
            [] => reader.missing(
                format!("`{path}` does not say where its records come from"),
                "kafka = { brokers = \"host:9092\", topics = [\"..\"] }, or http = {}",
            ),
            [_] => {}
            kinds => reader.missing(
                format!("`{path}` has both `{}`", kinds.join("` and `")),
                "an input is of one kind: make two of it",
            ),
        }
    }
    if let Some(super::tree::SettingNode::Table(kafka)) = reader.entry("kafka").map(|e| &e.node) {
        for (key, example) in [("brokers", "\"host:9092\""), ("topics", "[\"okta\"]")] {
            if !kafka.contains_key(key) {
                reader.missing(
                    format!("`{path}.kafka` has no `{key}`"),
                    &format!("{key} = {example}"),
                );
            }
        }
    }
    reader
}
