//! What settings must not be together. Without the outside world: no network, no content.

use std::collections::BTreeMap;

use sluice_engine::DEAD_LETTERS;
use sluice_rule::{Diagnostic, Zone};

use super::{
    reader::Notes,
    settings::{Config, Kafka, Source},
    signals::RiskTopic,
};

/// Checks settings against each other and against their bounds.
pub(crate) fn cross_field(config: &Config, notes: &mut Notes) {
    if config.sources.is_empty() {
        notes.blame("sources", Diagnostic::error("C004", "configuration", "there is no source").hint(
            "[sources.push]\nmapping = \"auto\"\nhttp = {}\nor let `sluice init kafka` write a file",
        ));
    }
    if !config.api.listen.ip().is_loopback() && !config.api.insecure && config.api.tls.is_none() {
        let listen = config.api.listen;
        let problem =
            format!("other machines can reach {listen}, and the server speaks plain HTTP");
        notes.blame("api.listen", Diagnostic::error("C005", "", problem).hint(
            "tokens and findings could be read on the way. Give a certificate and key under [api.tls], \
             listen on 127.0.0.1 behind a proxy that ends TLS, or accept it with `insecure = true` \
             under [api]",
        ));
    }
    let grpc = config.signals.as_ref().and_then(|s| s.decisions.grpc_listen);
    if let Some(listen) = grpc
        && !(listen.ip().is_loopback() || config.api.insecure || config.api.tls.is_some())
    {
        let problem = format!("other machines can reach {listen}, and gRPC there is not encrypted");
        let hint = "the tokens of gateways could be read on the way: give a certificate and key under \
                    [api.tls], or accept it with `insecure = true` under [api]";
        let path = "signals.decisions.grpc_listen";
        notes.blame(path, Diagnostic::error("C005", "", problem).hint(hint));
    }
    bounds(config, notes);
    for (name, source) in &config.sources {
        if name == DEAD_LETTERS {
            let text = format!("`{DEAD_LETTERS}` is the input of replayed dead letters");
            let problem = Diagnostic::error("C004", "", text).hint("another name");
            notes.blame(&format!("sources.{name}.mapping"), problem);
        }
        if let Some(kafka) = &source.kafka {
            check_kafka(name, kafka, notes);
        }
        check_codec(name, source, notes);
        if source.silent_after.is_some_and(|after| after.0 < 10_000) {
            let problem = Diagnostic::error("C005", "", "no input is heard that often");
            notes.blame(&format!("sources.{name}.silent_after"), problem.hint("\"10s\" or more"));
        }
        if let Some(ssf) = &source.ssf {
            super::ssf::check(name, &source.mapping, ssf, config.signals.as_ref(), notes);
        }
    }
    shared_topics(config, notes);
    if let Some(signals) = &config.signals {
        super::signals::check(signals, notes);
        super::said::check(signals, notes);
        super::trust::check(signals, notes);
        if let Some(topic) = &signals.kafka {
            check_risk_topic(topic, notes);
        }
    }
    super::webhooks::check(&config.webhooks, notes);
}

/// What an input says of the codec of its records.
fn check_codec(name: &str, source: &Source, notes: &mut Notes) {
    let mut wrong = |key: &str, problem: String, hint: &str| {
        let path = format!("sources.{name}.{key}");
        notes.blame(&path, Diagnostic::error("C005", "", problem).hint(hint));
    };
    if let Some(zone) = &source.zone
        && let Err(unknown) = Zone::parse(zone)
    {
        wrong("zone", format!("`{zone}` is not a zone"), &unknown.hint());
    }
    if source.year.is_some_and(|year| !(1970..=9999).contains(&year.0.get())) {
        wrong("year", "not a year".to_owned(), "1970 to 9999");
    }
    if source.max_record.is_some_and(|size| !(1 << 10..=1 << 30).contains(&size.0)) {
        wrong("max_record", "below 1 KiB or above 1 GiB".to_owned(), "\"16MiB\"");
    }
}

/// Values that no service could run with.
fn bounds(config: &Config, notes: &mut Notes) {
    let engine = &config.engine;
    let least = [
        ("engine.checkpoint_every", engine.checkpoint_every.0, 100, "100ms"),
        ("engine.commit_every", engine.commit_every.0, 1, "1ms"),
        ("hunts.deadline", config.hunts.deadline.0, 100, "100ms"),
        ("retention.finding_age", config.retention.finding_age.0, 3_600_000, "1h"),
        ("retention.dead_letter_age", config.retention.dead_letter_age.0, 60_000, "1m"),
        ("history.age", config.history.age.0, 3_600_000, "1h"),
        ("history.file_every", config.history.file_every.0, 1_000, "1s"),
    ];
    for (path, value, least, shown) in least {
        if value < least {
            let problem = format!("`{path}` is below {shown}");
            notes.blame(
                path,
                Diagnostic::error("C005", "", problem).hint(format!("\"{shown}\" or more")),
            );
        }
    }
    if engine.commit_every > engine.checkpoint_every {
        let problem = "findings would wait longer than a checkpoint";
        notes.blame(
            "engine.commit_every",
            Diagnostic::error("C005", "", problem).hint("less than `engine.checkpoint_every`"),
        );
    }
    let sizes = [
        ("history.table_bytes", config.history.table_bytes.0),
        ("history.bytes", config.history.bytes.0),
        ("hunts.memory", config.hunts.memory.0),
        ("api.memory", config.api.memory.0),
        ("api.max_inflated", config.api.max_inflated.0),
        ("retention.finding_bytes", config.retention.finding_bytes.0),
        ("retention.dead_letter_bytes", config.retention.dead_letter_bytes.0),
    ];
    for (path, value) in sizes {
        if value < 1 << 20 {
            let problem = format!("`{path}` is below 1 MiB");
            notes.blame(path, Diagnostic::error("C005", "", problem).hint("\"1MiB\" or more"));
        }
    }
    for (name, http) in config.sources.iter().filter_map(|(n, s)| Some((n, s.http.as_ref()?))) {
        if http.spool_bytes < config.api.max_body {
            let problem = "the largest body would never fit the spool";
            notes.blame(
                &format!("sources.{name}.http.spool_bytes"),
                Diagnostic::error("C005", "", problem).hint("more than `api.max_body`"),
            );
        }
    }
    let api = &config.api;
    let one_push = api.max_body.0.saturating_add(api.max_inflated.0.saturating_mul(4));
    if api.memory.0 / 2 < one_push {
        let problem = "the largest body would never be taken: one token has half of `api.memory`";
        let hint = format!("{} MiB or more, or a smaller `api.max_inflated`", (2 * one_push) >> 20);
        notes.blame("api.memory", Diagnostic::error("C005", "", problem).hint(hint));
    }
    if let Some(limit) = config.memory_limit
        && limit.0 < 256 << 20
    {
        notes.blame(
            "memory_limit",
            Diagnostic::error("C005", "", "`memory_limit` is below 256 MiB")
                .hint("the rules and mappings alone take about 100 MiB"),
        );
    }
    if config.hunts.deadline.0 >= 30_000 {
        let problem = "a request is ended after 30 s, before this deadline";
        notes.blame(
            "hunts.deadline",
            Diagnostic::error("C005", "", problem).hint("less than \"30s\""),
        );
    }
}

fn check_kafka(name: &str, kafka: &Kafka, notes: &mut Notes) {
    let path = |key: &str| format!("sources.{name}.kafka.{key}");
    if kafka.group.trim().is_empty() {
        let problem = Diagnostic::error("C003", "", "the group has no name").hint("\"sluice\"");
        notes.blame(&path("group"), problem);
    }
    if kafka.topics.is_empty() {
        let problem = Diagnostic::error("C003", &path("topics"), "no topic is named")
            .hint("topics = [\"okta\"], or a regular expression: [\"^logs-\"]");
        notes.blame(&path("topics"), problem);
    }
    for topic in kafka.topics.iter().filter(|t| !t.starts_with('^') && !is_topic(t)) {
        let problem = Diagnostic::error(
            "C003",
            "",
            format!("`{topic}` cannot be the name of a topic"),
        )
        .hint(
            "at most 249 letters, digits, `.`, `_` and `-`; a regular expression begins with `^`",
        );
        notes.blame(&path("topics"), problem);
    }
    check_options(name, kafka, notes);
}

fn check_risk_topic(risk: &RiskTopic, notes: &mut Notes) {
    let path = |key: &str| format!("signals.kafka.{key}");
    if risk.brokers.0.trim().is_empty() {
        let problem = Diagnostic::error("C003", "", "no broker of the topic of levels is named")
            .hint("brokers = \"127.0.0.1:9092\"");
        notes.blame(&path("brokers"), problem);
    }
    if !is_topic(&risk.topic) {
        let text = format!("`{}` cannot be the name of a topic", risk.topic);
        let problem = Diagnostic::error("C003", "", text)
            .hint("at most 249 letters, digits, `.`, `_` and `-`: \"entity-risk\"");
        notes.blame(&path("topic"), problem);
    }
    for option in
        ["enable.idempotence", "acks", "request.required.acks", "transactional.id", "partitioner"]
    {
        if risk.librdkafka.get(option).is_some() {
            let problem = Diagnostic::error("C005", "", format!("`{option}` cannot be set here"))
                .hint(
                    "records are written once each, to all replicas, where the Java client looks",
                );
            notes.blame(&format!("signals.kafka.librdkafka.\"{option}\""), problem);
        }
    }
    for (option, error, what, hint) in risk.librdkafka.exposed_files() {
        let problem = if error {
            Diagnostic::error("C006", "", what)
        } else {
            Diagnostic::warning("C006", "", what)
        };
        let path = format!("signals.kafka.librdkafka.\"{option}\"");
        notes.blame(&path, problem.hint(hint));
    }
}

/// Options of the client that do not go together, with its defaults for those not given.
fn check_options(name: &str, kafka: &Kafka, notes: &mut Notes) {
    let number = |option: &str, default: i64| {
        kafka.librdkafka.get(option).and_then(|v| v.trim().parse().ok()).unwrap_or(default)
    };
    let place = |option: &str| format!("sources.{name}.kafka.librdkafka.\"{option}\"");
    let mut blame = |options: &[&str], problem: Diagnostic| {
        let given = options.iter().find(|o| kafka.librdkafka.get(o).is_some());
        if let Some(option) = given {
            notes.blame(&place(option), problem);
        }
    };
    let fetch = number("fetch.max.bytes", 16 << 20);
    let receive = number("receive.message.max.bytes", 100_000_000);
    if fetch + 512 > receive {
        let problem = format!("an answer of {fetch} bytes and its 512 of header is over {receive}");
        blame(
            &["fetch.max.bytes", "receive.message.max.bytes"],
            Diagnostic::error("C005", "", problem)
                .hint("fetch.max.bytes + 512 <= receive.message.max.bytes"),
        );
    }
    let session = number("session.timeout.ms", 45_000);
    let poll = number("max.poll.interval.ms", 300_000);
    let heartbeat = number("heartbeat.interval.ms", 3_000);
    if poll < session {
        blame(
            &["max.poll.interval.ms", "session.timeout.ms"],
            Diagnostic::error("C005", "", "max.poll.interval.ms is less than session.timeout.ms")
                .hint("librdkafka refuses it: make the interval the larger one"),
        );
    }
    if heartbeat * 3 > session {
        let problem = format!("heartbeats every {heartbeat} ms in a session of {session} ms");
        blame(
            &["heartbeat.interval.ms", "session.timeout.ms"],
            Diagnostic::error("C005", "", problem)
                .hint("one lost heartbeat would cost the partitions: at least three in a session"),
        );
    }
    if poll <= 60_000 {
        let problem = format!("a pause of {poll} ms costs this process its partitions");
        blame(
            &["max.poll.interval.ms"],
            Diagnostic::warning("C007", "", problem)
                .hint("a full disk or a long checkpoint may take a minute: 300000 is the default"),
        );
    }
    for (option, error, what, hint) in kafka.librdkafka.exposed_files() {
        let problem = if error {
            Diagnostic::error("C006", "", what)
        } else {
            Diagnostic::warning("C006", "", what)
        };
        notes.blame(&place(&option), problem.hint(hint));
    }
}

/// Two inputs that read a topic in one group would each get a part of it.
fn shared_topics(config: &Config, notes: &mut Notes) {
    let mut readers: BTreeMap<(&str, &str, &str), &str> = BTreeMap::new();
    for (name, kafka) in config.sources.iter().filter_map(|(n, s)| Some((n, s.kafka.as_ref()?))) {
        for topic in &kafka.topics {
            let key = (kafka.brokers.0.as_str(), kafka.group.as_str(), topic.as_str());
            if let Some(other) = readers.insert(key, name) {
                let problem =
                    format!("`{other}` reads topic `{topic}` in group `{}` too", kafka.group);
                notes.blame(
                    &format!("sources.{name}.kafka.topics"),
                    Diagnostic::error("C005", "", problem)
                        .hint("each would get some of the partitions: give one another `group`"),
                );
            }
        }
    }
}

fn is_topic(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !text.is_empty() && text.len() <= 249 && text.chars().all(allowed)
}
