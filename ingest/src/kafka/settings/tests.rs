//! What is refused before anything is connected, and that secrets stay secret.

use super::*;

fn settings(options: &[(&str, &str)]) -> KafkaSettings {
    KafkaSettings {
        brokers: "127.0.0.1:1".into(),
        topics: vec!["t".into()],
        group: "g".into(),
        start: Start::Earliest,
        librdkafka: options.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
    }
}

fn refused(settings: &KafkaSettings) -> InputFailure {
    settings.client(&"in".into()).unwrap_err()
}

#[test]
fn options_of_librdkafka_pass_through_and_win_over_ours() {
    let config = settings(&[("fetch.wait.max.ms", "50"), ("check.crcs", "false")]);
    let config = config.client(&"in".into()).unwrap();
    let expected = [
        ("fetch.wait.max.ms", "50"),
        ("check.crcs", "false"),
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        ("auto.offset.reset", "error"),
        ("isolation.level", "read_committed"),
        ("group.id", "g"),
        ("bootstrap.servers", "127.0.0.1:1"),
    ];
    for (key, value) in expected {
        assert_eq!(config.get(key), Some(value), "{key}");
    }
}

#[test]
fn every_codec_and_way_to_sign_in_is_built_in() {
    // Asked for in every configuration: librdkafka refuses what it lacks.
    assert!(settings(&[]).client(&"in".into()).is_ok());
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let options = [
            ("security.protocol", "sasl_ssl"),
            ("sasl.mechanism", mechanism),
            ("sasl.username", "u"),
            ("sasl.password", "p"),
        ];
        assert!(settings(&options).client(&"in".into()).is_ok(), "{mechanism}");
    }
}

#[test]
fn options_that_are_not_for_others_are_refused_with_the_way_to_say_it() {
    for (key, instead) in OWNED {
        let failure = refused(&settings(&[(key, "1")]));
        assert!(failure.primary.contains(key), "{failure:?}");
        assert_eq!(failure.hint.as_deref(), Some(*instead));
    }
}

#[test]
fn what_librdkafka_refuses_is_named() {
    let failure = refused(&settings(&[("fetch.wiat.max.ms", "50")]));
    assert!(failure.primary.contains("`fetch.wiat.max.ms`"), "{failure:?}");
    let failure = refused(&settings(&[("fetch.wait.max.ms", "soon")]));
    assert!(failure.primary.contains("`fetch.wait.max.ms`"), "{failure:?}");
    // Only together are these two wrong.
    let failure = refused(&settings(&[("max.poll.interval.ms", "1000")]));
    assert!(
        failure.detail.as_ref().is_some_and(|d| d.contains("session.timeout.ms")),
        "{failure:?}"
    );
    let mut none = settings(&[]);
    none.topics.clear();
    assert!(refused(&none).primary.contains("`topics` is empty"));
    none = settings(&[]);
    none.brokers = " ".into();
    assert!(refused(&none).primary.contains("`brokers` is empty"));
}

#[test]
fn no_value_of_an_option_is_shown() {
    let secret = "c4n4ry";
    let shown = format!("{:?}", settings(&[("sasl.password", secret)]));
    assert!(!shown.contains(secret) && shown.contains("sasl.password"), "{shown}");
    for key in
        ["sasl.mechanism", "sasl.pasword", "ssl.key.pem", "ssl.endpoint.identification.algorithm"]
    {
        let failure = refused(&settings(&[(key, secret), ("security.protocol", "sasl_ssl")]));
        assert!(!format!("{failure:?}").contains(secret), "{failure:?}");
    }
}
