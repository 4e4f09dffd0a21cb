//! What goes wrong around an input: brokers, topics, passwords, a slow engine.

use std::{
    thread,
    time::{Duration, Instant},
};

use sluice_ingest::{
    kafka::{KafkaSettings, check},
    live::{InputPhase, Positions},
};

use crate::support::{
    Admin, Own, Running, Sender, block_on, broker, options_of_admin, settings, unique,
};

fn with_sasl(bootstrap: &str, topic: &str, password: &str) -> KafkaSettings {
    let mut told = settings(bootstrap, topic);
    for (key, value) in [
        ("security.protocol", "sasl_plaintext"),
        ("sasl.mechanism", "PLAIN"),
        ("sasl.username", "sluice"),
        ("sasl.password", password),
    ] {
        told.librdkafka.insert(key.to_owned(), value.to_owned());
    }
    told
}

/// The listener with passwords.
fn sasl() -> Option<(String, String)> {
    let plain = broker()?;
    Some((plain, sluice_harness::variable("SLUICE_TEST_KAFKA_SASL")?))
}

#[test]
fn a_password_opens_and_a_wrong_one_is_named() {
    let Some((plain, sasl)) = sasl() else { return };
    let topic = Admin::new(&plain).topic("sasl", 1, &[]);
    Sender::new(&plain, &[]).numbers(&topic, 1, 0..10);
    let mut input = Running::start(with_sasl(&sasl, &topic, "secret"), Positions::new());
    input.records(10, 20);
    input.stop().unwrap();

    let mut input = Running::start(with_sasl(&sasl, &topic, "hunter2"), Positions::new());
    input.says(&format!("broker {sasl} refused the credentials"), 20);
    let text = format!("{:?}", input.control.status());
    assert!(!text.contains("hunter2"), "{text}");
    // It stays what is said, however often the connection is tried.
    let end = Instant::now() + Duration::from_secs(3);
    while Instant::now() < end {
        thread::sleep(Duration::from_millis(50));
        input.says("refused the credentials", 1);
    }
    input.stop().unwrap();
}

#[test]
fn an_unknown_topic_is_named_and_read_once_it_is_there() {
    let Some(bootstrap) = broker() else { return };
    let topic = unique("later");
    let mut told = settings(&bootstrap, &topic);
    told.librdkafka.insert("topic.metadata.refresh.interval.ms".to_owned(), "1000".to_owned());
    told.start = sluice_ingest::kafka::Start::Latest;
    let mut input = Running::start(told, Positions::new());
    input.says(&format!("topic `{topic}` does not exist; create it"), 60);
    Admin::new(&bootstrap).create(&topic, 2, &[]);
    Sender::new(&bootstrap, &[]).numbers(&topic, 2, 0..10);
    // It was waited for: all of it is new.
    input.records(10, 60);
    input.exactly(0..10);
    input.running(20);
    input.stop().unwrap();
}

#[test]
fn a_deleted_topic_is_named_and_others_are_read_on() {
    let Some(bootstrap) = broker() else { return };
    let admin = Admin::new(&bootstrap);
    let (gone, stays) = (admin.topic("gone", 1, &[]), admin.topic("stays", 1, &[]));
    let sender = Sender::new(&bootstrap, &[]);
    sender.numbers(&gone, 1, 0..10);
    let mut told = settings(&bootstrap, &gone);
    told.topics.push(stays.clone());
    told.librdkafka.insert("topic.metadata.refresh.interval.ms".to_owned(), "1000".to_owned());
    let mut input = Running::start(told, Positions::new());
    input.records(10, 20);
    for result in block_on(admin.client().delete_topics(&[&gone], &options_of_admin())).unwrap() {
        result.unwrap();
    }
    input.says(&format!("topic `{gone}` no longer exists"), 60);
    sender.numbers(&stays, 1, 10..20);
    input.records(20, 30);
    input.exactly(0..20);
    input.says(&format!("topic `{gone}` no longer exists"), 1);
    input.stop().unwrap();
}

#[test]
fn a_broker_that_comes_later_is_waited_for_and_one_that_goes_is_named() {
    let Some(own) = Own::start() else { return };
    let topic = Admin::new(&own.bootstrap).topic("later", 2, &[]);
    let sender = Sender::new(&own.bootstrap, &[]);
    sender.numbers(&topic, 2, 0..100);
    own.script("stop");
    let mut input = Running::start(settings(&own.bootstrap, &topic), Positions::new());
    input.says(&format!("broker {}: connection refused", own.bootstrap), 20);
    own.script("restart");
    input.records(100, 60);
    input.running(20);

    // In the middle of a stream, in good order and not.
    sender.numbers(&topic, 2, 100..1_000);
    own.script("restart");
    sender.numbers(&topic, 2, 1_000..2_000);
    own.kill();
    input.says(&format!("broker {}", own.bootstrap), 30);
    own.script("restart");
    sender.numbers(&topic, 2, 2_000..3_000);
    input.records(3_000, 90);
    input.running(30);
    input.exactly(0..3_000);

    // And with the broker gone it ends in time.
    own.kill();
    let begin = Instant::now();
    input.stop().unwrap();
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    assert_eq!(input.control.status().phase, InputPhase::Stopped);
}

#[test]
fn a_slow_engine_loses_nothing_and_the_group_does_not_notice() {
    let Some(bootstrap) = broker() else { return };
    let topic = Admin::new(&bootstrap).topic("slow", 3, &[]);
    let sender = Sender::new(&bootstrap, &[]);
    sender.numbers(&topic, 3, 0..30_000);
    let mut told = settings(&bootstrap, &topic);
    for (key, value) in [
        ("session.timeout.ms", "6000"),
        ("max.poll.interval.ms", "6000"),
        // Small fetches: many arrivals.
        ("max.partition.fetch.bytes", "20000"),
        ("fetch.max.bytes", "1000000"),
        ("queued.max.messages.kbytes", "200"),
    ] {
        told.librdkafka.insert(key.to_owned(), value.to_owned());
    }
    let mut input = Running::with(told, Positions::new(), 1, 60_000);
    input.until("a first record", 20, |r| !r.got.is_empty());
    // Nobody takes anything for longer than the group would wait for a poll.
    let end = Instant::now() + Duration::from_secs(9);
    let mut paused = 0;
    while Instant::now() < end {
        thread::sleep(Duration::from_millis(100));
        paused = paused.max(input.control.status().paused);
    }
    assert_eq!(paused, 3);
    // Then slowly.
    let end = Instant::now() + Duration::from_secs(5);
    while Instant::now() < end {
        input.take(Duration::from_millis(100));
        thread::sleep(Duration::from_millis(200));
    }
    input.records(30_000, 60);
    input.exactly(0..30_000);
    let status = input.control.status();
    assert_eq!(status.rebalances.get("lost"), None, "{status:?}");
    assert_eq!(status.rebalances.get("revoke"), None, "{status:?}");
    assert_eq!(status.paused, 0);
    input.stop().unwrap();
}

#[test]
fn paused_it_reads_nothing_and_then_goes_on() {
    let Some(bootstrap) = broker() else { return };
    let topic = Admin::new(&bootstrap).topic("pause", 2, &[]);
    let sender = Sender::new(&bootstrap, &[]);
    sender.numbers(&topic, 2, 0..100);
    let mut input = Running::start(settings(&bootstrap, &topic), Positions::new());
    input.records(100, 20);
    for round in 1..4_u64 {
        input.control.pause(true);
        input.until("paused", 10, |r| r.control.status().phase == InputPhase::Paused);
        sender.numbers(&topic, 2, round * 100..round * 100 + 100);
        let end = Instant::now() + Duration::from_secs(2);
        while Instant::now() < end {
            input.take(Duration::from_millis(50));
        }
        assert_eq!(input.got.len() as u64, round * 100);
        input.control.pause(false);
        input.records(usize::try_from(round).unwrap() * 100 + 100, 20);
    }
    input.exactly(0..400);
    input.stop().unwrap();
}

#[test]
fn the_lag_is_what_is_not_yet_read() {
    let Some(bootstrap) = broker() else { return };
    let topic = Admin::new(&bootstrap).topic("lag", 1, &[]);
    let sender = Sender::new(&bootstrap, &[]);
    sender.numbers(&topic, 1, 0..500);
    let mut input = Running::start(settings(&bootstrap, &topic), Positions::new());
    let lag = |r: &Running| r.control.status().places.values().next().copied().flatten();
    input.until("no lag", 20, |r| r.got.len() == 500 && lag(r) == Some(0));
    input.running(5);
    input.stop().unwrap();
}

#[test]
fn a_check_shows_topics_and_samples_and_everything_that_is_wrong() {
    let Some((plain, sasl)) = sasl() else { return };
    let admin = Admin::new(&plain);
    let topic = admin.topic("checked", 2, &[]);
    Sender::new(&plain, &[]).numbers(&topic, 2, 0..50);
    let mut told = settings(&plain, &topic);
    let missing = unique("missing");
    told.topics.push(missing.clone());
    told.topics.push(format!("^{topic}$"));
    told.topics.push("^nothing-is-named-so".to_owned());
    let checked = check("in", &told);
    let problems: Vec<&str> = checked.problems.iter().map(|p| p.primary.as_str()).collect();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].contains(&format!("topic `{missing}` does not exist")), "{problems:?}");
    assert!(problems[1].contains("no topic matches"), "{problems:?}");
    let found = &checked.topics[0];
    assert_eq!((found.topic.as_str(), found.partitions, found.records), (&*topic, 2, 50));
    assert_eq!(found.samples.len(), 10);
    assert!(found.samples.iter().all(|m| m.bytes.starts_with(b"{\"n\":")));

    let begin = Instant::now();
    let checked = check("in", &with_sasl(&sasl, &topic, "wrong"));
    assert!(checked.problems[0].primary.contains("refused the credentials"), "{checked:?}");
    let checked = check("in", &settings("127.0.0.1:1", &topic));
    assert!(
        checked.problems[0].primary.contains("broker 127.0.0.1:1: connection refused"),
        "{checked:?}"
    );
    assert!(begin.elapsed() < Duration::from_secs(25));
}

#[test]
fn a_user_without_rights_is_told_which_are_missing() {
    let properties = "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
                      super.users=User:ANONYMOUS\n";
    let Some(own) = Own::with_settings(properties) else { return };
    let topic = Admin::new(&own.bootstrap).topic("denied", 1, &[]);
    let told = with_sasl(&own.sasl, &topic, "secret");
    let mut input = Running::start(told.clone(), Positions::new());
    input.says(&format!("not allowed to use group `{}`: grant READ", told.group), 30);
    input.says(&format!("not allowed to read topic `{topic}`: grant READ and DESCRIBE"), 30);
    input.stop().unwrap();
    let checked = check("in", &told);
    let problem = &checked.problems[0].primary;
    assert!(problem.contains(&format!("not allowed to read topic `{topic}`")), "{checked:?}");
}

#[test]
fn tls_where_there_is_none_is_named() {
    let Some(bootstrap) = broker() else { return };
    let mut told = settings(&bootstrap, "any");
    told.librdkafka.insert("security.protocol".to_owned(), "ssl".to_owned());
    let mut input = Running::start(told, Positions::new());
    input.says(&format!("broker {bootstrap}: disconnected: SSL"), 20);
    input.stop().unwrap();
}

#[test]
fn tls_with_the_certificate_it_is_signed_by_and_without() {
    let Some(own) = Own::with_tls() else { return };
    let topic = Admin::new(&own.bootstrap).topic("tls", 1, &[]);
    Sender::new(&own.bootstrap, &[]).numbers(&topic, 1, 0..10);
    let mut told = settings(&own.tls, &topic);
    told.librdkafka.insert("security.protocol".to_owned(), "ssl".to_owned());
    let mut input = Running::start(told.clone(), Positions::new());
    input.says(&format!("broker {}: TLS failed", own.tls), 20);
    input.says("could not be verified", 20);
    input.says("check security.protocol and ssl.ca.location", 20);
    input.stop().unwrap();
    told.librdkafka.insert("ssl.ca.location".to_owned(), own.certificate());
    let mut input = Running::start(told, Positions::new());
    input.records(10, 20);
    input.stop().unwrap();
}

#[test]
fn silence_of_a_broker_that_is_gone_is_not_the_end_of_a_partition() {
    let Some(own) = Own::start() else { return };
    let topic = Admin::new(&own.bootstrap).topic("silence", 1, &[]);
    Sender::new(&own.bootstrap, &[]).numbers(&topic, 1, 0..1);
    let mut input = Running::with(settings(&own.bootstrap, &topic), Positions::new(), 16, 4_000);
    input.records(1, 20);
    own.kill();
    let end = Instant::now() + Duration::from_secs(8);
    while Instant::now() < end {
        input.take(Duration::from_millis(100));
    }
    assert_eq!(input.idle, []);
    own.script("restart");
    input.until("idle", 40, |r| !r.idle.is_empty());
    input.stop().unwrap();
}
