//! What librdkafka tells a consumer while it is polled: rebalances, errors, statistics, log lines.
//! Kept for the session, which acts on them between polls; nothing is decided in a callback.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    mem,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use rdkafka::{
    ClientContext, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol},
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
    types::RDKafkaRespErr,
};
use serde::Deserialize;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Context {
    told: Mutex<Told>,
    /// The consumer is being closed: what is revoked is given back at once.
    closing: AtomicBool,
}

/// What was told since it was last asked.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) rebalances: Vec<Rebalance>,
    /// The latest ones: a code, and librdkafka's words.
    pub(super) errors: VecDeque<(RDKafkaErrorCode, String)>,
    pub(super) statistics: Option<Statistics>,
}

/// Partitions that came or went: (topic, number).
#[derive(Debug)]
pub(super) enum Rebalance {
    Assign(Vec<(String, i32)>),
    /// Taken away in good order, or lost: somebody else may have read them for a while.
    Revoke {
        partitions: Vec<(String, i32)>,
        lost: bool,
    },
}

/// The part of librdkafka's statistics that is used.
#[derive(Debug, Deserialize)]
pub(super) struct Statistics {
    #[serde(default)]
    pub(super) brokers: BTreeMap<String, Broker>,
    #[serde(default)]
    pub(super) topics: BTreeMap<String, Topic>,
    pub(super) cgrp: Option<Group>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Broker {
    pub(super) nodeid: i32,
    pub(super) state: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Topic {
    #[serde(default)]
    pub(super) partitions: BTreeMap<String, Ends>,
}

/// Offsets of a partition; negative ones are not known.
#[derive(Debug, Deserialize)]
pub(super) struct Ends {
    pub(super) partition: i32,
    /// What is fetched next.
    pub(super) next_offset: i64,
    /// The end it last came to.
    pub(super) eof_offset: i64,
    pub(super) hi_offset: i64,
    /// The end of what is not part of an open transaction.
    pub(super) ls_offset: i64,
}

#[derive(Debug, Deserialize)]
pub(super) struct Group {
    pub(super) state: String,
    pub(super) join_state: String,
}

/// More errors than this between two polls say nothing more.
const ERRORS: usize = 64;

impl Context {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what was told.
    pub(super) fn take(&self) -> Told {
        mem::take(&mut *self.told())
    }

    /// Whether a rebalance waits: it comes before any further message.
    pub(super) fn rebalancing(&self) -> bool {
        !self.told().rebalances.is_empty()
    }

    /// From now on nobody asks.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning => tracing::warn!(target: "librdkafka", facility, "{text}"),
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
                tracing::info!(target: "librdkafka", facility, "{text}");
            }
            RDKafkaLogLevel::Debug => tracing::debug!(target: "librdkafka", facility, "{text}"),
        }
    }

    fn stats_raw(&self, json: &[u8]) {
        match serde_json::from_slice(json) {
            Ok(statistics) => self.told().statistics = Some(statistics),
            Err(error) => tracing::warn!(%error, "statistics of librdkafka are not readable"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
        let mut told = self.told();
        // One that is repeated must not crowd out the one that says why.
        if told.errors.iter().any(|(c, r)| *c == code && r == reason) {
            return;
        }
        if told.errors.len() == ERRORS {
            told.errors.pop_front();
        }
        told.errors.push_back((code, reason.to_owned()));
    }
}

impl ConsumerContext for Context {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        kind: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let partitions = partitions(list);
        if kind == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            if self.closing.load(Ordering::Relaxed) {
                // Nothing will be read of them.
                let none = TopicPartitionList::new();
                report("assign", assign(consumer, &none, &none));
            } else {
                self.told().rebalances.push(Rebalance::Assign(partitions));
            }
            return;
        }
        let lost = consumer.assignment_lost();
        // Given back here: whoever waits for them need not wait for us.
        report("give back", unassign(consumer, &partitions));
        self.told().rebalances.push(Rebalance::Revoke { partitions, lost });
    }

    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        // Advisory: positions are ours. A rebalance in between is the common reason.
        if let Err(error) = result {
            tracing::debug!(%error, "offsets were not committed");
        }
    }
}

fn report(what: &str, result: KafkaResult<()>) {
    if let Err(error) = result {
        tracing::warn!(%error, "could not {what} partitions");
    }
}

/// Starts reading `fresh`; `all` is everything that is read then.
pub(super) fn assign(
    consumer: &BaseConsumer<Context>,
    fresh: &TopicPartitionList,
    all: &TopicPartitionList,
) -> KafkaResult<()> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_assign(fresh),
        // The eager protocols know whole assignments only.
        RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.assign(all),
    }
}

/// Gives partitions back; those that were never started need not be.
pub(super) fn unassign(
    consumer: &BaseConsumer<Context>,
    revoked: &[(String, i32)],
) -> KafkaResult<()> {
    if !matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative) {
        return consumer.unassign();
    }
    let read: BTreeSet<_> = partitions(&consumer.assignment()?).into_iter().collect();
    let mut list = TopicPartitionList::new();
    for (topic, number) in revoked.iter().filter(|p| read.contains(*p)) {
        list.add_partition(topic, *number);
    }
    consumer.incremental_unassign(&list)
}

fn partitions(list: &TopicPartitionList) -> Vec<(String, i32)> {
    list.elements().iter().map(|e| (e.topic().to_owned(), e.partition())).collect()
}
