//! Levels in a topic of a real Kafka, read by a consumer that is not ours.

use std::collections::BTreeSet;

use super::*;
use crate::support::kafka::Broker;

/// A record: key, value (`None`: a tombstone), change.
type Record = (String, Option<Value>, String);

fn records(broker: &Broker, topic: &str) -> Vec<Record> {
    let text = broker.consume(topic);
    text.lines()
        .map(|line| {
            let mut parts = line.splitn(4, '\t');
            let mut next = || parts.next().unwrap_or_default().to_owned();
            let (headers, key, length, value) = (next(), next(), next(), next());
            let value = (length != "-1").then(|| serde_json::from_str(&value).unwrap());
            (key, value, headers.strip_prefix("sluice-change=").unwrap().to_owned())
        })
        .collect()
}

fn with_topic(broker: &Broker, receiver: &Receiver) -> Home {
    let topic = format!("[signals.kafka]\nbrokers = \"{}\"\n", broker.bootstrap());
    home(receiver, &topic)
}

fn pending(service: &Service) -> Value {
    service.get("/api/v1/signals").is(200).json()["kafka"]["pending"].clone()
}

#[test]
fn q8_a_record_per_change_none_twice_over_kills() {
    let Some(broker) = Broker::own_with_reader(1) else { return };
    let receiver = Receiver::start();
    let home = with_topic(&broker, &receiver);
    let mut service = home.start();
    const USERS: usize = 60;
    for user in 0..USERS {
        raise(&service, &format!("u{user}@example.com"), "high");
        if user % 15 == 7 {
            // Some of them are written by now, some are not, and of some it is not known here.
            service.signal("-KILL");
            drop(service);
            service = home.start();
        }
    }
    let path = "/api/v1/risk/user/u3@example.com/override?reason=r";
    service.ask("DELETE", path, "text/plain", "").is(200);
    service.wait_for("all written", || pending(&service) == 0);
    let found = records(&broker, "entity-risk");
    let changes: BTreeSet<&String> = found.iter().map(|(_, _, change)| change).collect();
    assert_eq!((found.len(), changes.len()), (USERS + 1, USERS + 1));
    let (key, value, _) = found.last().unwrap();
    assert_eq!((key.as_str(), value), ("user:u3@example.com", &None), "a tombstone");
    let (key, value, _) = &found[0];
    let value = value.clone().unwrap();
    assert_eq!(key, "user:u0@example.com");
    assert_eq!((&value["level"], &value["overridden"]), (&json!("high"), &json!(true)));
    let metrics = service.get("/metrics").is(200).text;
    assert!(metrics.contains("sluice_risk_topic_pending{topic=\"entity-risk\"} 0"), "{metrics}");

    // The broker goes: changes wait, and follow.
    broker.stop();
    raise(&service, "late@example.com", "high");
    let error = || service.get("/api/v1/signals").is(200).json()["kafka"]["error"].clone();
    service.wait_for("an error", || error().is_string());
    assert_eq!(pending(&service), 1);
    broker.restart();
    service.wait_for("the late one", || pending(&service) == 0);
    assert_eq!(records(&broker, "entity-risk").len(), USERS + 2);
    service.stop();
}

#[test]
fn q8_a_topic_that_is_not_compacted_is_refused() {
    let Some(broker) = Broker::own(1) else { return };
    // The broker makes it with its own settings.
    broker.produce("entity-risk", ["x"].into_iter());
    let receiver = Receiver::start();
    let home = with_topic(&broker, &receiver);
    let service = home.start();
    raise(&service, "ann@example.com", "high");
    let error = || service.get("/api/v1/signals").is(200).json()["kafka"]["error"].to_string();
    service.wait_for("a refusal", || error().contains("is not compacted"));
    assert_eq!(pending(&service), 1);
    service.stop();
}
