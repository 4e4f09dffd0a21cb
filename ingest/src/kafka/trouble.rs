//! What goes wrong with a cluster, in words an operator can act on. Not what is done about it.

use std::collections::BTreeMap;

use rdkafka::error::RDKafkaErrorCode;

/// What is wrong now. Each kind is mended by another observation.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    /// Connecting, signing in.
    connection: Option<String>,
    /// The consumer group.
    group: Option<String>,
    /// By topic: missing, forbidden.
    topics: BTreeMap<String, String>,
}

/// What an error calls for beyond showing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Calls {
    Nothing,
    /// A position lies outside of its partition.
    CheckPositions,
}

impl Troubles {
    /// Takes in an error. `known` says whether records of a topic were read before.
    pub(super) fn add(
        &mut self,
        code: RDKafkaErrorCode,
        reason: &str,
        group: &str,
        known: impl Fn(&str) -> bool,
    ) -> Calls {
        use RDKafkaErrorCode as C;
        match code {
            C::AutoOffsetReset | C::OffsetOutOfRange => return Calls::CheckPositions,
            C::Authentication | C::SaslAuthenticationFailed => {
                self.connection = Some(format!(
                    "{} refused the credentials: {}; check sasl.username, sasl.password and sasl.mechanism",
                    broker(reason),
                    cause(reason)
                ));
            }
            C::UnsupportedSASLMechanism => {
                self.connection = Some(format!("{}: {}", broker(reason), cause(reason)));
            }
            C::SSL => {
                self.connection = Some(format!(
                    "{}: TLS failed: {}; check security.protocol and ssl.ca.location",
                    broker(reason),
                    cause(reason)
                ));
            }
            // Says less than the errors of the single brokers.
            C::AllBrokersDown => {
                if self.connection.is_none() {
                    self.connection = Some("no broker answers".to_owned());
                }
            }
            C::BrokerTransportFailure | C::Resolve | C::OperationTimedOut | C::RequestTimedOut => {
                // A refused password also closes the connection; that says more.
                if !self.connection.as_ref().is_some_and(|c| c.contains("refused the credentials"))
                {
                    self.connection = Some(format!("{}: {}", broker(reason), cause(reason)));
                }
            }
            C::UnknownTopicOrPartition | C::UnknownTopic | C::UnknownPartition => {
                let topic = topic_of(reason);
                let text = if known(topic) {
                    format!("topic `{topic}` no longer exists: it was deleted, or renamed")
                } else {
                    format!(
                        "topic `{topic}` does not exist; create it: kafka-topics.sh --create --topic {topic} --bootstrap-server ..."
                    )
                };
                self.topics.insert(topic.to_owned(), text);
            }
            C::TopicAuthorizationFailed => {
                let topic = topic_of(reason);
                self.topics.insert(
                    topic.to_owned(),
                    format!("not allowed to read topic `{topic}`: grant READ and DESCRIBE on it"),
                );
            }
            C::GroupAuthorizationFailed => {
                self.group = Some(format!("not allowed to use group `{group}`: grant READ on it"));
            }
            C::ClusterAuthorizationFailed => {
                self.connection = Some(format!("the cluster allows nothing: {reason}"));
            }
            C::PollExceeded => {
                self.group = Some(format!(
                    "group `{group}` took the partitions away: nothing was read for max.poll.interval.ms"
                ));
            }
            _ => self.group = Some(format!("{code:?}: {reason}")),
        }
        Calls::Nothing
    }

    /// A broker answers, the group is settled.
    pub(super) fn steady(&mut self) {
        self.connection = None;
        self.group = None;
    }

    /// A topic is there and may be read.
    pub(super) fn topic_read(&mut self, topic: &str) {
        self.topics.remove(topic);
    }

    /// Whether a topic was looked for and not found.
    pub(super) fn missed(&self, topic: &str) -> bool {
        self.topics.contains_key(topic)
    }

    /// Whether it is the cluster itself that is out of reach.
    pub(super) fn unreachable(&self) -> bool {
        self.connection.is_some()
    }

    /// All of it, unless the cluster itself is out of reach: then that.
    pub(super) fn text(&self) -> Option<String> {
        if let Some(text) = &self.connection {
            return Some(text.clone());
        }
        let texts: Vec<&str> =
            self.group.iter().chain(self.topics.values()).map(String::as_str).collect();
        (!texts.is_empty()).then(|| texts.join("; "))
    }
}

/// `broker 127.0.0.1:9092` of `sasl_plaintext://127.0.0.1:9092/bootstrap: ...`.
fn broker(reason: &str) -> String {
    let name = reason.split_once(": ").map_or(reason, |(name, _)| name);
    let name = name.split_once("://").map_or(name, |(_, name)| name);
    let name = name.split_once('/').map_or(name, |(name, _)| name);
    format!("broker {name}")
}

/// `connection refused` of `...: Connect to ipv4#127.0.0.1:9092 failed: Connection refused (after 0ms in state CONNECT)`.
fn cause(reason: &str) -> String {
    let text = reason.split_once(": ").map_or(reason, |(_, text)| text);
    let text = text.split_once(" (after ").map_or(text, |(text, _)| text);
    let text = text.rsplit_once("failed: ").map_or(text, |(_, text)| text);
    let mut letters = text.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect::<String>())
}

/// `okta` of `Subscribed topic not available: okta: Broker: Unknown topic or partition`, and of
/// `Fetch from broker 1 failed: okta [0]: ...`.
fn topic_of(reason: &str) -> &str {
    let rest = ["not available: ", "topic ", "Topic "]
        .iter()
        .find_map(|before| reason.split_once(before).map(|(_, rest)| rest))
        .unwrap_or(reason);
    let end = rest.find([':', ' ', '[']).unwrap_or(rest.len());
    rest.get(..end).unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use RDKafkaErrorCode as C;

    use super::*;

    fn text(code: C, reason: &str) -> String {
        let mut troubles = Troubles::default();
        troubles.add(code, reason, "g", |topic| topic == "known");
        troubles.text().unwrap()
    }

    #[test]
    fn every_trouble_has_words_of_its_own() {
        let refused = "127.0.0.1:9092/bootstrap: Connect to ipv4#127.0.0.1:9092 failed: \
                       Connection refused (after 0ms in state CONNECT, 3 identical error(s) suppressed)";
        assert_eq!(
            text(C::BrokerTransportFailure, refused),
            "broker 127.0.0.1:9092: connection refused"
        );
        let password = "sasl_ssl://kafka.example:9093/bootstrap: SASL authentication error: \
                        Authentication failed: Invalid username or password (after 301ms in state AUTH_REQ)";
        assert_eq!(
            text(C::Authentication, password),
            "broker kafka.example:9093 refused the credentials: invalid username or password; \
             check sasl.username, sasl.password and sasl.mechanism"
        );
        let missing = |topic: &str| {
            format!("Subscribed topic not available: {topic}: Broker: Unknown topic or partition")
        };
        assert!(
            text(C::UnknownTopicOrPartition, &missing("a.b-c"))
                .starts_with("topic `a.b-c` does not exist")
        );
        assert!(text(C::UnknownTopicOrPartition, &missing("known")).contains("no longer exists"));
    }

    #[test]
    fn what_says_more_stays_and_is_gone_once_it_is_mended() {
        let mut troubles = Troubles::default();
        troubles.add(C::Authentication, "sasl_ssl://b:1/1: failed: No", "g", |_| false);
        troubles.add(C::BrokerTransportFailure, "sasl_ssl://b:1/1: Disconnected", "g", |_| false);
        troubles.add(C::AllBrokersDown, "1/1 brokers are down", "g", |_| false);
        assert!(troubles.text().unwrap().starts_with("broker b:1 refused the credentials: no"));
        troubles.add(
            C::TopicAuthorizationFailed,
            "Subscribed topic not available: t: no",
            "g",
            |_| false,
        );
        troubles.steady();
        assert!(troubles.text().unwrap().starts_with("not allowed to read topic `t`"));
        troubles.topic_read("t");
        assert_eq!(troubles.text(), None);
    }

    #[test]
    fn a_position_outside_of_its_partition_is_no_trouble_of_the_cluster() {
        let mut troubles = Troubles::default();
        let calls = troubles.add(C::AutoOffsetReset, "fetch failed", "g", |_| false);
        assert_eq!((calls, troubles.text()), (Calls::CheckPositions, None));
    }
}
