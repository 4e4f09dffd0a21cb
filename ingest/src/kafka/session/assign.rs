//! Which partitions are read, and from where: what a rebalance brings and takes, positions against
//! what the broker holds.

use std::mem;

use rdkafka::{Offset, TopicPartitionList, consumer::Consumer, error::KafkaError};

use super::{
    super::{
        clock::now,
        context::{assign, unassign},
        place::{Tracked, part},
        settings::Start,
    },
    ASK, Session, add, unsigned,
};
use crate::live::{Arrival, InputFailure, Place};

impl Session<'_> {
    /// Starts the partitions that wait, each where it is to be read.
    pub(super) fn start(&mut self, rebalance: bool) -> Result<(), InputFailure> {
        let mut started = Vec::new();
        for (topic, number) in self.waiting.clone() {
            if self.control.stopped() {
                break;
            }
            match self.position(&topic, number)? {
                Ok(next) => started.push((topic, number, next)),
                Err(error) => {
                    let code = error.rdkafka_error_code();
                    tracing::warn!(input = %self.name, topic, number, %error, ?code, "no answer about a partition");
                    // The others would wait as long: all are asked again.
                    break;
                }
            }
        }
        if started.is_empty() && !rebalance {
            return Ok(());
        }
        if let Err(error) = self.assign(&started) {
            return self.anew(&error);
        }
        let now = now();
        // Whether a pause outlives a rebalance is not to be relied on: none does.
        let mut resumed = TopicPartitionList::new();
        for (topic, number, next) in started {
            let key = (topic.clone(), number);
            self.waiting.remove(&key);
            if self.paused.remove(&key) {
                resumed.add_partition(&topic, number);
            }
            self.troubles.topic_read(&topic);
            let input = self.name.clone();
            let place = Place { input, part: part(&topic, number).into() };
            self.ready.push_back(Arrival::Assigned(place.clone()));
            let before = self.places.get_mut(&topic, number).map(|t| t.next);
            if before.is_none() {
                self.places.insert(&topic, number, Tracked::new(place.clone(), next, now));
            }
            if before.or_else(|| self.from.get(&place).copied()) != Some(next) {
                // It is to be read from here after a restart too, also when no record comes for long.
                self.ready.push_back(Arrival::Records { place, parts: Vec::new(), next });
            }
            if let Some(tracked) = self.places.get_mut(&topic, number) {
                tracked.assigned = true;
                tracked.next = next;
                tracked.moved = now;
                tracked.idle = false;
                tracked.end = None;
                tracked.passed = 0;
                tracked.lag = None;
            }
        }
        if resumed.count() > 0
            && let Err(error) = self.consumer.resume(&resumed)
        {
            return self.anew(&error);
        }
        Ok(())
    }

    fn assign(&self, started: &[(String, i32, u64)]) -> Result<(), KafkaError> {
        let mut fresh = TopicPartitionList::new();
        for (topic, number, next) in started {
            add(&mut fresh, topic, *number, *next)?;
        }
        let mut all = fresh.clone();
        for (topic, number, tracked) in self.places.assigned() {
            add(&mut all, topic, number, tracked.next)?;
        }
        assign(self.consumer, &fresh, &all)
    }

    /// The consumer does not do what it must: another one may.
    fn anew(&mut self, error: &KafkaError) -> Result<(), InputFailure> {
        tracing::warn!(input = %self.name, %error, "the Kafka client is made anew");
        self.broken = true;
        Ok(())
    }

    /// Where a partition is to be read from: an error of the broker is inside.
    fn position(
        &mut self,
        topic: &str,
        number: i32,
    ) -> Result<Result<u64, KafkaError>, InputFailure> {
        let place = Place { input: self.name.clone(), part: part(topic, number).into() };
        let known = self.places.get_mut(topic, number).map(|t| t.next);
        let known = known.or_else(|| self.from.get(&place).copied());
        let (low, high) = match self.consumer.fetch_watermarks(topic, number, ASK) {
            Ok(ends) => ends,
            Err(error) => return Ok(Err(error)),
        };
        let (low, high) = (unsigned(low), unsigned(high));
        if let Some(next) = known {
            return self.within(&place, next, low, high).map(Ok);
        }
        let count = match self.count_of(topic) {
            Ok(count) => count,
            Err(error) => return Ok(Err(error)),
        };
        Ok(match self.settings.start {
            Start::Latest if number < count => Ok(high),
            Start::Timestamp(time) if number < count => {
                let mut asked = TopicPartitionList::new();
                let set = asked.add_partition_offset(topic, number, Offset::Offset(time));
                let answer = set.and_then(|()| self.consumer.offsets_for_times(asked, ASK));
                answer.map(|list| match list.elements().first().map(|e| e.offset()) {
                    Some(Offset::Offset(offset)) => unsigned(offset),
                    _ => high,
                })
            }
            Start::Earliest | Start::Latest | Start::Timestamp(_) => Ok(low),
        })
    }

    /// How many partitions a topic had when it was first seen; none if it was missing before.
    fn count_of(&mut self, topic: &str) -> Result<i32, KafkaError> {
        if let Some(count) = self.counts.get(topic) {
            return Ok(*count);
        }
        let count = if self.troubles.missed(topic) {
            0
        } else {
            let metadata = self.consumer.fetch_metadata(Some(topic), ASK)?;
            let partitions = metadata.topics().first().map_or(0, |t| t.partitions().len());
            i32::try_from(partitions).unwrap_or(i32::MAX)
        };
        self.counts.insert(topic.to_owned(), count);
        Ok(count)
    }

    /// A position against the ends of its partition. What is gone is shown and passed over.
    fn within(&self, place: &Place, next: u64, low: u64, high: u64) -> Result<u64, InputFailure> {
        if next > high {
            return Err(InputFailure {
                input: self.name.clone(),
                primary: format!("{place} ends at {high}, and was read up to {next} before"),
                detail: Some("the topic was deleted and made anew, or the cluster lost records".to_owned()),
                hint: Some(
                    "to read it from its beginning, give the input another name; to keep the name, bring the records back"
                        .to_owned(),
                ),
            });
        }
        if next < low {
            tracing::warn!(%place, from = next, to = low, "records are gone before they were read");
            self.control.update(|status| status.gaps.push((place.clone(), next, low)));
            return Ok(low);
        }
        Ok(next)
    }

    /// Starts partitions anew, each where it is to be read: librdkafka does not go on from an error
    /// by a seek.
    pub(super) fn restart(&mut self, partitions: Vec<(String, i32)>) -> Result<(), InputFailure> {
        if let Err(error) = unassign(self.consumer, &partitions) {
            return self.anew(&error);
        }
        for (topic, number) in &partitions {
            if let Some(tracked) = self.places.get_mut(topic, *number) {
                tracked.assigned = false;
                self.ready.push_back(Arrival::Revoked(tracked.place.clone()));
            }
        }
        self.waiting.extend(partitions);
        self.start(false)
    }

    pub(super) fn revoked(&mut self, partitions: &[(String, i32)], lost: bool) {
        self.count(if lost { "lost" } else { "revoke" });
        for (topic, number) in partitions {
            let key = (topic.clone(), *number);
            self.waiting.remove(&key);
            let Some(tracked) = self.places.get_mut(topic, *number) else { continue };
            if !mem::take(&mut tracked.assigned) {
                continue;
            }
            let place = tracked.place.clone();
            if lost {
                // Somebody else reads them: what nobody has seen yet is not ours to hand on.
                self.ready
                    .retain(|a| !matches!(a, Arrival::Records { place: p, .. } if *p == place));
                tracked.rewind();
            }
            self.ready.push_back(Arrival::Revoked(place));
        }
    }
}
