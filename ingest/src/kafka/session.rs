//! One consumer from subscribing to closing: polling, batches, positions, pauses. Not the making of
//! the consumer.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use crossbeam_channel::{SendTimeoutError, Sender};
use rdkafka::{
    Message as _, Offset, Timestamp, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer},
    error::KafkaError,
    message::BorrowedMessage,
};

use super::{
    clock::{now, wall},
    context::{Context, Rebalance, Statistics, assign, unassign},
    headers::headers,
    place::{Places, Tracked, part, partition},
    settings::{KafkaSettings, Start},
    trouble::{Calls, Troubles},
};
use crate::{
    Envelope, Message, Router,
    live::{Arrival, InputControl, InputFailure, InputPhase, Place, Positions},
};

/// See the module.
pub(super) struct Session<'a> {
    name: &'a Arc<str>,
    settings: &'a KafkaSettings,
    router: &'a mut Router,
    consumer: &'a BaseConsumer<Context>,
    from: &'a Positions,
    places: &'a mut Places,
    out: &'a Sender<Arrival>,
    control: &'a InputControl,
    /// Ready to be handed on.
    ready: VecDeque<Arrival>,
    /// Ours, and not yet started: their ends could not be asked for.
    waiting: BTreeSet<(String, i32)>,
    /// Partitions that each topic had when it was first seen; later ones start at their beginning.
    counts: BTreeMap<String, i32>,
    troubles: Troubles,
    paused: BTreeSet<(String, i32)>,
    /// The engine is behind, and everything is paused for it.
    behind: bool,
    connected: bool,
    polled: Instant,
    retried: Instant,
    commit_asked: Instant,
    committed: Positions,
    idle: Duration,
    topic: Arc<str>,
}

/// Why a session ended without failing.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    Stopped,
    /// Twice in a row nothing came of a partition that has something: with another consumer it may.
    Stalled,
}

/// Messages of one poll, at most.
const MESSAGES: usize = 8_192;
/// Bytes of one poll, and of one arrival, at most: one message may be larger.
const BYTES: usize = 4 << 20;
const ARRIVAL_BYTES: usize = 1 << 20;
/// What comes within this time of the first message goes with it.
const LINGER: Duration = Duration::from_millis(50);
/// How long one poll waits for a first message.
const WAIT: Duration = Duration::from_millis(100);
/// How long one attempt to hand something on waits.
const HAND: Duration = Duration::from_millis(50);
/// How long a question to a broker may take.
const ASK: Duration = Duration::from_secs(5);
/// Between attempts at what has failed, and between commits.
const AGAIN: Duration = Duration::from_secs(1);
/// Nothing comes though there is something: after this long the partition is asked for anew.
const STALL: Duration = Duration::from_secs(60);
/// The engine may be behind this long before the partitions are paused.
const PATIENCE: Duration = Duration::from_secs(10);

impl<'a> Session<'a> {
    #[expect(clippy::too_many_arguments, reason = "borrows of what outlives it, made in one place")]
    pub(super) fn new(
        name: &'a Arc<str>,
        settings: &'a KafkaSettings,
        router: &'a mut Router,
        consumer: &'a BaseConsumer<Context>,
        from: &'a Positions,
        places: &'a mut Places,
        out: &'a Sender<Arrival>,
        control: &'a InputControl,
    ) -> Self {
        let idle = router.sources().map(|s| s.time_settings.idle).max().unwrap_or(60_000);
        let mut counts = BTreeMap::new();
        for place in from.keys().filter(|place| place.input == *name) {
            if let Some((topic, number)) = partition(&place.part) {
                let count = counts.entry(topic.to_owned()).or_insert(0);
                *count = (number + 1).max(*count);
            }
        }
        let now = now();
        Session {
            name,
            settings,
            router,
            consumer,
            from,
            places,
            out,
            control,
            ready: VecDeque::new(),
            waiting: BTreeSet::new(),
            counts,
            troubles: Troubles::default(),
            paused: BTreeSet::new(),
            behind: false,
            connected: false,
            polled: now,
            retried: now,
            commit_asked: now,
            committed: Positions::new(),
            idle: Duration::from_millis(u64::try_from(idle).unwrap_or(60_000)),
            topic: "".into(),
        }
    }

    pub(super) fn run(&mut self) -> Result<End, InputFailure> {
        loop {
            if self.control.stopped() {
                self.commit();
                return Ok(End::Stopped);
            }
            if let Some(end) = self.attend()? {
                return Ok(end);
            }
            match self.hand_on() {
                Handed::All => {}
                Handed::Waits => {
                    self.hold();
                    continue;
                }
                Handed::Nobody => return Ok(End::Stopped),
            }
            self.poll()?;
            self.cut();
        }
    }

    /// Everything but messages: what librdkafka told, what the engine asks for, what time brings.
    fn attend(&mut self) -> Result<Option<End>, InputFailure> {
        let told = self.consumer.context().take();
        let mut check = false;
        for (code, reason) in told.errors {
            let places = &*self.places;
            let calls =
                self.troubles.add(code, &reason, &self.settings.group, |topic| places.knows(topic));
            check |= calls == Calls::CheckPositions;
        }
        for rebalance in told.rebalances {
            match rebalance {
                Rebalance::Assign(partitions) => {
                    self.waiting.extend(partitions);
                    self.count("assign");
                    self.start(true)?;
                }
                Rebalance::Revoke { partitions, lost } => self.revoked(&partitions, lost),
            }
        }
        let now = now();
        if now.duration_since(self.retried) >= AGAIN {
            self.retried = now;
            if !self.waiting.is_empty() {
                self.start(false)?;
            }
        }
        if check {
            // Which one it is, nobody says.
            let assigned = self.places.assigned().map(|(t, p, _)| (t.to_string(), p)).collect();
            self.restart(assigned)?;
        }
        self.pauses();
        if now.duration_since(self.commit_asked) >= AGAIN {
            self.commit_asked = now;
            self.commit();
        }
        let mut end = None;
        if let Some(statistics) = told.statistics {
            self.learn(&statistics);
            end = self.stalls(now)?;
        }
        self.idle(now);
        self.show();
        Ok(end)
    }

    /// Starts the partitions that wait, each where it is to be read.
    fn start(&mut self, rebalance: bool) -> Result<(), InputFailure> {
        let mut fresh = TopicPartitionList::new();
        let mut started = Vec::new();
        for (topic, number) in self.waiting.clone() {
            match self.position(&topic, number)? {
                Ok(next) => {
                    self.add(&mut fresh, &topic, number, next)?;
                    started.push((topic, number, next));
                }
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
        let mut all = TopicPartitionList::new();
        for (topic, number, tracked) in self.places.assigned() {
            add(&mut all, topic, number, tracked.next).map_err(|e| self.failure(&e))?;
        }
        for (topic, number, next) in &started {
            add(&mut all, topic, *number, *next).map_err(|e| self.failure(&e))?;
        }
        assign(self.consumer, &fresh, &all).map_err(|e| self.failure(&e))?;
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
            if self.places.get_mut(&topic, number).is_none() {
                self.places.insert(&topic, number, Tracked::new(place.clone(), next, now));
                // It is to be read from here after a restart too, also when no record comes for long.
                if self.from.get(&place) != Some(&next) {
                    self.ready.push_back(Arrival::Records { place, parts: Vec::new(), next });
                }
            }
            if let Some(tracked) = self.places.get_mut(&topic, number) {
                tracked.assigned = true;
                tracked.next = next;
                tracked.moved = now;
                tracked.idle = false;
                tracked.at_end = false;
                tracked.lag = None;
            }
        }
        if resumed.count() > 0 {
            self.consumer.resume(&resumed).map_err(|e| self.failure(&e))?;
        }
        Ok(())
    }

    fn add(
        &self,
        list: &mut TopicPartitionList,
        topic: &str,
        number: i32,
        next: u64,
    ) -> Result<(), InputFailure> {
        add(list, topic, number, next).map_err(|e| self.failure(&e))
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
    fn restart(&mut self, partitions: Vec<(String, i32)>) -> Result<(), InputFailure> {
        unassign(self.consumer, &partitions).map_err(|e| self.failure(&e))?;
        for (topic, number) in &partitions {
            if let Some(tracked) = self.places.get_mut(topic, *number) {
                tracked.assigned = false;
                self.ready.push_back(Arrival::Revoked(tracked.place.clone()));
            }
        }
        self.waiting.extend(partitions);
        self.start(false)
    }

    fn revoked(&mut self, partitions: &[(String, i32)], lost: bool) {
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

    /// Hands on what is ready, if somebody takes it.
    fn hand_on(&mut self) -> Handed {
        while let Some(arrival) = self.ready.pop_front() {
            let handed = match &arrival {
                Arrival::Records { place, next, .. } => Some((place.part.clone(), *next)),
                Arrival::Assigned(_)
                | Arrival::Revoked(_)
                | Arrival::Idle(_)
                | Arrival::Failed(_) => None,
            };
            match self.out.send_timeout(arrival, HAND) {
                Ok(()) => {
                    if let Some((part, next)) = handed
                        && let Some((topic, number)) = partition(&part)
                        && let Some(tracked) = self.places.get_mut(topic, number)
                    {
                        tracked.handed = next;
                    }
                }
                Err(SendTimeoutError::Timeout(arrival)) => {
                    self.ready.push_front(arrival);
                    return Handed::Waits;
                }
                Err(SendTimeoutError::Disconnected(_)) => return Handed::Nobody,
            }
        }
        self.behind = false;
        Handed::All
    }

    /// Nothing is read, since nobody takes it: the group must not notice.
    fn hold(&mut self) {
        let patience = PATIENCE.min(self.settings.max_poll() / 10);
        if !self.behind && now().duration_since(self.polled) >= patience {
            self.behind = true;
            self.pauses();
        }
        if self.behind {
            self.polled = now();
            // Events only: everything is paused. A message that still comes is not lost.
            if let Some(Ok(message)) = self.consumer.poll(Duration::ZERO) {
                take(self.name, &mut self.topic, self.places, &message);
            }
        }
    }

    /// Pauses or resumes what is read, each partition once.
    fn pauses(&mut self) {
        let pause = self.behind || self.control.paused();
        let mut list = TopicPartitionList::new();
        let mut keys = Vec::new();
        for (topic, number, tracked) in self.places.assigned() {
            let key = (topic.to_string(), number);
            if self.paused.contains(&key) != pause {
                list.add_partition(topic, number);
                keys.push((key, tracked.next));
            }
        }
        if keys.is_empty() {
            return;
        }
        let done = if pause { self.consumer.pause(&list) } else { self.consumer.resume(&list) };
        if let Err(error) = done {
            tracing::warn!(input = %self.name, %error, pause, "could not pause or resume");
            return;
        }
        for (key, _) in keys {
            if pause {
                self.paused.insert(key);
            } else {
                self.paused.remove(&key);
                if let Some(tracked) = self.places.get_mut(&key.0, key.1) {
                    tracked.moved = now();
                }
            }
        }
    }

    /// Reads what is there.
    fn poll(&mut self) -> Result<(), InputFailure> {
        let mut wait = WAIT;
        let mut until = None;
        let (mut messages, mut bytes) = (0, 0);
        while messages < MESSAGES && bytes < BYTES {
            match self.consumer.poll(wait) {
                Some(Ok(message)) => {
                    until.get_or_insert_with(|| now() + LINGER);
                    messages += 1;
                    bytes += take(self.name, &mut self.topic, self.places, &message);
                    wait = Duration::ZERO;
                }
                Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                    return Err(InputFailure {
                        input: self.name.clone(),
                        primary: "the Kafka client has given up".to_owned(),
                        detail: Some(code.to_string()),
                        hint: Some(
                            "two inputs with one `group.instance.id` fence each other off"
                                .to_owned(),
                        ),
                    });
                }
                // Told to the context as well, with more words.
                Some(Err(_)) => wait = Duration::ZERO,
                None => {
                    let Some(until) = until else { break };
                    wait = until.saturating_duration_since(now());
                    if wait.is_zero() {
                        break;
                    }
                }
            }
            if self.consumer.context().rebalancing() {
                break;
            }
        }
        self.polled = now();
        Ok(())
    }

    /// Makes arrivals of what was read.
    fn cut(&mut self) {
        for (_, _, tracked) in self.places.iter_mut() {
            if tracked.batch.is_empty() {
                continue;
            }
            let mut rest = mem::take(&mut tracked.batch).into_iter().peekable();
            tracked.bytes = 0;
            while rest.peek().is_some() {
                let mut bytes = 0;
                let mut messages = Vec::new();
                while let Some(message) = rest.next_if(|_| bytes < ARRIVAL_BYTES) {
                    bytes += message.bytes.len();
                    messages.push(message);
                }
                let next = messages.last().map_or(tracked.next, |m| m.offset + 1);
                let parts = self.router.chunks(messages);
                self.ready.push_back(Arrival::Records {
                    place: tracked.place.clone(),
                    parts,
                    next,
                });
            }
        }
    }

    /// Commits what is durable, for whoever watches the group.
    fn commit(&mut self) {
        let durable = self.control.durable();
        if durable == self.committed {
            return;
        }
        let mut list = TopicPartitionList::new();
        for (topic, number, tracked) in self.places.assigned() {
            if let Some(position) = durable.get(&tracked.place)
                && self.committed.get(&tracked.place) != Some(position)
                && add(&mut list, topic, number, *position).is_err()
            {
                return;
            }
        }
        if list.count() > 0
            && let Err(error) = self.consumer.commit(&list, CommitMode::Async)
        {
            tracing::debug!(input = %self.name, %error, "offsets were not committed");
        }
        self.committed = durable;
    }

    /// Ends, lag and state of what is read.
    fn learn(&mut self, statistics: &Statistics) {
        let up = statistics.brokers.values().any(|b| b.nodeid >= 0 && b.state == "UP");
        let steady = statistics.cgrp.as_ref().is_some_and(|g| {
            g.state == "up" && matches!(g.join_state.as_str(), "steady" | "started")
        });
        if up && steady {
            self.connected = true;
            self.troubles.steady();
        }
        let committed_only = self.settings.committed_only();
        for (topic, statistic) in &statistics.topics {
            for ends in statistic.partitions.values() {
                let Some(tracked) = self.places.get_mut(topic, ends.partition) else { continue };
                let end = if committed_only { ends.ls_offset } else { ends.hi_offset };
                if !tracked.assigned || end < 0 {
                    continue;
                }
                // Markers of transactions take offsets, and are no records: at the end of them
                // nothing is missing.
                let end_seen = ends.eof_offset >= 0 && ends.eof_offset == ends.next_offset;
                tracked.at_end = end_seen && tracked.next <= unsigned(ends.next_offset);
                tracked.lag = Some(match tracked.at_end {
                    true => 0,
                    false => unsigned(end).saturating_sub(tracked.next),
                });
            }
        }
    }

    /// Asks anew for partitions of which nothing comes.
    fn stalls(&mut self, now: Instant) -> Result<Option<End>, InputFailure> {
        if self.troubles.unreachable() || self.behind || self.control.paused() {
            return Ok(None);
        }
        let mut stalled = Vec::new();
        let mut again = false;
        for (topic, number, tracked) in self.places.iter_mut() {
            let due = tracked.assigned && now.duration_since(tracked.moved) >= STALL;
            if due && tracked.lag.is_some_and(|lag| lag > 0) {
                tracked.moved = now;
                tracked.stalls += 1;
                again |= tracked.stalls > 1;
                let place = &tracked.place;
                tracing::warn!(%place, next = tracked.next, "nothing comes though there is something");
                stalled.push((topic.to_string(), number));
            }
        }
        if stalled.is_empty() {
            return Ok(None);
        }
        self.control.update(|status| status.stalled += stalled.len() as u64);
        if again {
            return Ok(Some(End::Stalled));
        }
        self.restart(stalled)?;
        Ok(None)
    }

    /// Says which partitions hold nobody back.
    fn idle(&mut self, now: Instant) {
        for (_, _, tracked) in self.places.iter_mut() {
            let silent = tracked.assigned && tracked.at_end && !tracked.idle;
            if silent && tracked.batch.is_empty() && now.duration_since(tracked.moved) >= self.idle
            {
                tracked.idle = true;
                self.ready.push_back(Arrival::Idle(tracked.place.clone()));
            }
        }
    }

    /// Shows what it is doing.
    fn show(&self) {
        let places = self.places.assigned().map(|(_, _, t)| (t.place.clone(), t.lag)).collect();
        let phase = match self.troubles.text() {
            Some(text) => InputPhase::Retrying(text),
            None if self.control.paused() => InputPhase::Paused,
            None if self.connected => InputPhase::Running,
            None => InputPhase::Starting,
        };
        let paused = if self.behind { self.paused.len() as u64 } else { 0 };
        self.control.update(|status| {
            status.phase = phase;
            status.places = places;
            status.paused = paused;
        });
    }

    fn count(&self, what: &'static str) {
        self.control.update(|status| *status.rebalances.entry(what).or_insert(0) += 1);
    }

    fn failure(&self, error: &KafkaError) -> InputFailure {
        InputFailure {
            input: self.name.clone(),
            primary: "cannot read its partitions".to_owned(),
            detail: Some(error.to_string()),
            hint: None,
        }
    }
}

enum Handed {
    All,
    Waits,
    /// Whoever took them is gone.
    Nobody,
}

/// Takes a message into the batch of its partition. Its bytes.
pub(super) fn take(
    input: &Arc<str>,
    name: &mut Arc<str>,
    places: &mut Places,
    message: &BorrowedMessage<'_>,
) -> usize {
    let (topic, number, offset) =
        (message.topic(), message.partition(), unsigned(message.offset()));
    let Some(tracked) = places.get_mut(topic, number) else { return 0 };
    // Fetched before a seek, or for somebody else by now.
    if offset < tracked.next || !tracked.assigned {
        tracing::debug!(%input, topic, number, offset, "passed over a message");
        return 0;
    }
    if **name != *topic {
        *name = topic.into();
    }
    let timestamp = message.timestamp();
    let envelope = Envelope {
        topic: name.clone(),
        partition: number,
        key: message.key().map(<[u8]>::to_vec),
        headers: headers(message),
        timestamp: timestamp.to_millis(),
    };
    let bytes = message.payload().map(<[u8]>::to_vec).unwrap_or_default();
    let size = bytes.len();
    tracked.batch.push(Message {
        bytes,
        offset,
        received_at: received(timestamp),
        envelope: Some(Arc::new(envelope)),
        source: None,
    });
    tracked.bytes += size;
    tracked.next = offset + 1;
    tracked.moved = now();
    tracked.at_end = false;
    tracked.idle = false;
    tracked.stalls = 0;
    size + 64
}

/// When a record was received: as the broker says, else no later than now.
fn received(timestamp: Timestamp) -> i64 {
    match timestamp {
        Timestamp::LogAppendTime(time) => time,
        Timestamp::CreateTime(time) if time >= 0 => time.min(wall()),
        Timestamp::CreateTime(_) | Timestamp::NotAvailable => wall(),
    }
}

pub(super) fn add(
    list: &mut TopicPartitionList,
    topic: &str,
    number: i32,
    next: u64,
) -> Result<(), KafkaError> {
    list.add_partition_offset(topic, number, Offset::Offset(signed(next)))
}

pub(super) fn unsigned(offset: i64) -> u64 {
    u64::try_from(offset).unwrap_or(0)
}

pub(super) fn signed(offset: u64) -> i64 {
    i64::try_from(offset).unwrap_or(i64::MAX)
}
