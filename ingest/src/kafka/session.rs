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
    context::{Context, Rebalance},
    headers::headers,
    place::{Places, partition},
    settings::KafkaSettings,
    trouble::{Calls, Troubles},
};
use crate::{
    Envelope, Message, Router,
    live::{Arrival, InputControl, InputFailure, Positions},
};

mod assign;
mod watch;

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
    /// A broker answers now.
    up: bool,
    /// The consumer does not do what it must.
    broken: bool,
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
    /// This consumer goes no further: another one may.
    Anew,
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
const ASK: Duration = Duration::from_secs(3);
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
            up: false,
            broken: false,
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
        // Before a place is taken away, what was read of it goes on.
        self.cut();
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
        if self.broken {
            return Ok(Some(End::Anew));
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
        let begin = now();
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
        let end = now();
        if messages == 0 && end.duration_since(begin) >= WAIT {
            self.drained();
        }
        self.polled = end;
        Ok(())
    }

    /// Makes arrivals of what was read.
    fn cut(&mut self) {
        for (_, _, tracked) in self.places.iter_mut() {
            if tracked.batch.is_empty() {
                continue;
            }
            let mut rest = mem::take(&mut tracked.batch).into_iter().peekable();
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

    fn count(&self, what: &'static str) {
        self.control.update(|status| *status.rebalances.entry(what).or_insert(0) += 1);
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
    tracked.next = offset + 1;
    tracked.moved = now();
    tracked.end = None;
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
