//! The transmitter: all streams, outboxes and levels of one node as one state machine. Not a thread, a
//! clock or a store: each method that changes something leaves [`Change`]s to be committed in one
//! batch, and until then nothing of it may be shown to anybody.

mod alert;
mod deliver;
mod emit;
mod feed;
mod load;
mod manage;
mod mute;
mod poll;
mod quarantine;
mod said;
mod silence;
mod time;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sluice_event::EntityKind;

pub use alert::{Alert, AlertKind};
pub use deliver::{Attempt, StreamHealth};
pub use emit::claims_of;
pub use feed::FeedRecord;
pub use load::LoadError;
pub use poll::{PollAnswer, PollRequest};
pub use said::Said;

use crate::{
    Blind, Cause, DeadLetter, EntityKey, EntityLevel, EventType, Level, LevelChange, Mute,
    Observation, Override, Profile, Quarantine, Row, SigningKeys, Signs, Stream, StreamStatus,
    outbox::Outbox, stream::Context,
};

/// What is the same for all streams. Durations are milliseconds.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The issuer: the one base of all URLs, without a `/` at its end.
    pub issuer: String,
    /// The least time between two verifications that a receiver asks for.
    pub min_verification_interval: i64,
    /// A push stream without traffic for so long gets a verification that nobody asked for, so that a
    /// stream that is idle differs from one that is broken; 0: none.
    pub keepalive: i64,
    /// How long a removed subject is still heard of.
    pub subject_removal_grace: i64,
    /// SETs that one stream keeps for a receiver that is away,
    pub queue_most: usize,
    /// and for how long.
    pub queue_age: i64,
    /// A stream whose receiver does nothing for so long is paused; 0: never.
    pub inactivity_timeout: i64,
    /// Rises to `high` of one kind of entity within ten minutes after which rises wait for a person.
    pub storm_limit: usize,
    /// Rules that say of a device that it does not comply.
    pub not_compliant: Vec<String>,
    /// Rules that say of a user that whoever signed in is less sure than the factor says.
    pub less_assured: Vec<String>,
    /// Names of feeds, each a table outside that gets a record per change.
    pub feeds: Vec<String>,
}

/// A key that is set or, without a value, removed. Keys are text, values JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: String,
    /// The value; `None` removes the key.
    pub value: Option<Vec<u8>>,
}

/// One thing that happened, kept for review.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HistoryRow {
    /// When, milliseconds since 1970.
    pub at: i64,
    /// What: `raised`, `cleared`, `expired`, `quarantined`, `level`, `delivered`, `dead_letter`, ..
    pub action: String,
    /// Who, where a person or a receiver did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// The SET.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// The cause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub txn: Option<String>,
    /// The event type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_type: Option<String>,
    /// The entity, `user:ann@example.com`, or the subject as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// What else is to be said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// SETs and what became of them, since the start of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Rows that were made.
    pub made: u64,
    /// Delivered.
    pub delivered: u64,
    /// Attempts that are tried again.
    pub retried: u64,
    /// Refused by the receiver.
    pub dead_letters: u64,
    /// Replaced by a newer level before they were sent.
    pub superseded: u64,
    /// Dropped because the queue of the stream was full.
    pub dropped: u64,
    /// Recorded only: the receiver is in shadow mode.
    pub shadow: u64,
    /// Kept back by the storm guard.
    pub held: u64,
    /// Kept back by mutes.
    pub muted: u64,
    /// Accepted with another status than 202 (RFC 8935 section 2.2).
    pub nonconformant: u64,
    /// Falls that waited for a silent source.
    pub stale: u64,
    /// Times that an entity was held at the higher level because it flaps.
    pub flapping: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Transmitter {
    settings: Settings,
    keys: SigningKeys,
    profiles: BTreeMap<String, Profile>,
    streams: BTreeMap<String, Live>,
    entities: BTreeMap<EntityKey, EntityLevel>,
    storms: BTreeMap<EntityKind, Storm>,
    blind: Blind,
    mutes: BTreeMap<String, Mute>,
    /// What findings said, by cause, and when.
    said: BTreeMap<String, i64>,
    /// When rules said something within ten minutes.
    saying: BTreeMap<String, Vec<i64>>,
    /// By name, what is not written yet, by place.
    feeds: BTreeMap<String, BTreeMap<u64, FeedRecord>>,
    seq: u64,
    history: History,
    changes: Vec<Change>,
    totals: Totals,
}

/// A stream with all that belongs to it.
#[derive(Debug)]
struct Live {
    stream: Stream,
    outbox: Outbox,
    dead: BTreeMap<String, DeadLetter>,
    /// What each subject was told last.
    sent: BTreeMap<String, Sent>,
    /// Rises that it was not told of.
    muted: BTreeMap<EntityKey, mute::Muted>,
    health: Health,
    /// When it was first looked at in this process, for keepalives.
    seen_at: Option<i64>,
}

/// The last level that a receiver acknowledged for a subject.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Sent {
    level: Level,
    at: i64,
    /// It was only recorded: the receiver does not know it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    shadow: bool,
}

/// How delivery goes, since the start of the process.
#[derive(Clone, Debug, Default)]
struct Health {
    failures: u32,
    failing_since: Option<i64>,
    unauthorized: u32,
    wait_until: i64,
    delivered_at: Option<i64>,
    proven_at: Option<i64>,
    error: Option<String>,
    /// SETs that may be pushed before `refilled_at` is a second old.
    tokens: f64,
    refilled_at: i64,
}

/// Rises to `high` of one kind.
#[derive(Debug, Default)]
struct Storm {
    rises: Vec<i64>,
    /// Since when rises are held back.
    since: Option<i64>,
    held: BTreeMap<EntityKey, LevelChange>,
}

#[derive(Debug, Default)]
struct History {
    next: u64,
    first: u64,
}

/// Rows of history that are kept.
pub const HISTORY: u64 = 50_000;
/// Rises that a storm holds back; more than these are dropped and counted.
const HELD: usize = 100_000;
const TEN_MINUTES: i64 = 600_000;

impl Transmitter {
    /// Changes that are not durable yet, in order. They belong into one batch.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The keys.
    pub fn keys(&self) -> &SigningKeys {
        &self.keys
    }

    /// Counters.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// The level of an entity; `None` if it never had another than low.
    pub fn level(&self, entity: &EntityKey) -> Option<&EntityLevel> {
        self.entities.get(entity)
    }

    /// Every entity whose level ever changed, in order.
    pub fn entities(&self) -> impl Iterator<Item = (&EntityKey, &EntityLevel)> {
        self.entities.iter()
    }

    /// Entities that are not low, or that a person decided about, in order.
    pub fn raised_entities(&self) -> impl Iterator<Item = (&EntityKey, &EntityLevel)> {
        let decided = |e: &EntityLevel| {
            e.over.is_some() || e.quarantine.as_ref().is_some_and(Quarantine::is_active)
        };
        self.entities.iter().filter(move |(_, e)| e.level > Level::Low || decided(e))
    }

    /// Takes computed risk of an entity.
    pub fn observe(&mut self, entity: &EntityKey, seen: Observation, now: i64) {
        let known = self.entities.contains_key(entity);
        if !known && seen.level == Level::Low {
            return;
        }
        let says = |rules: &[String]| seen.reasons.iter().any(|reason| rules.contains(reason));
        let signs = Signs {
            not_compliant: entity.kind == EntityKind::Device && says(&self.settings.not_compliant),
            less_assured: entity.kind == EntityKind::User && says(&self.settings.less_assured),
        };
        let level = self.entities.entry(entity.clone()).or_default();
        let (behind, held) = (level.reasons.clone(), level.held_until);
        let change = level.observe(entity, seen, signs, now);
        let flaps = held.is_none() && level.held_until.is_some();
        self.put_entity(entity);
        if flaps {
            self.flaps(entity, now);
        }
        if let Some(change) = change {
            self.level_changed(self.with_silence(change, behind), now);
        }
    }

    /// Overrides the level of an entity until a time. The answer is its level after that.
    pub fn raise(&mut self, entity: &EntityKey, over: Override, now: i64) -> EntityLevel {
        let cause = Cause::Person { by: over.by.clone(), reason: over.reason.clone() };
        self.record(HistoryRow {
            at: now,
            action: "raised".into(),
            by: Some(over.by.clone()),
            about: Some(about(entity)),
            detail: Some(format!("{} until {}: {}", over.level.name(), over.until, over.reason)),
            ..HistoryRow::default()
        });
        self.decide(entity, Some(over), cause, now)
    }

    /// Takes an override back; `None` if there is none.
    pub fn clear(
        &mut self,
        entity: &EntityKey,
        by: &str,
        reason: &str,
        now: i64,
    ) -> Option<EntityLevel> {
        self.entities.get(entity)?.over.as_ref()?;
        self.record(HistoryRow {
            at: now,
            action: "cleared".into(),
            by: Some(by.to_owned()),
            about: Some(about(entity)),
            detail: Some(reason.to_owned()),
            ..HistoryRow::default()
        });
        let cause = Cause::Person { by: by.to_owned(), reason: reason.to_owned() };
        Some(self.decide(entity, None, cause, now))
    }

    /// Ends overrides, holds, mutes and waits that have run out, records what shadow streams would send, keeps idle
    /// push streams alive, pauses those whose receiver is gone, drops what is too old.
    pub fn tick(&mut self, now: i64) {
        self.end_mutes(now);
        self.forget_said(now);
        self.record_shadows(now);
        self.keep_alive(now);
        self.pause_inactive(now);
        self.forget_old(now);
        let over = self.quarantines().filter(|(_, q)| q.is_active() && q.until <= now);
        let over: Vec<EntityKey> = over.map(|(entity, _)| entity.clone()).collect();
        for entity in over {
            self.expire_quarantine(&entity, None, now);
        }
        let timed: Vec<EntityKey> = self
            .entities
            .iter()
            .filter(|(_, e)| e.over.is_some() || e.held_until.is_some())
            .map(|(entity, _)| entity.clone())
            .collect();
        for entity in timed {
            let Some(level) = self.entities.get_mut(&entity) else { continue };
            let (ended, change) = level.expire(&entity, now);
            if ended {
                self.put_entity(&entity);
                self.record(HistoryRow {
                    at: now,
                    action: "expired".into(),
                    about: Some(about(&entity)),
                    ..HistoryRow::default()
                });
            }
            if let Some(change) = change {
                let behind = change.reasons.clone();
                self.level_changed(self.with_silence(change, behind), now);
            }
        }
    }

    fn decide(
        &mut self,
        entity: &EntityKey,
        over: Option<Override>,
        cause: Cause,
        now: i64,
    ) -> EntityLevel {
        let level = self.entities.entry(entity.clone()).or_default();
        let change = level.decide(entity, over, cause, now);
        let after = level.clone();
        self.put_entity(entity);
        if let Some(change) = change {
            self.level_changed(change, now);
        }
        after
    }

    fn put_entity(&mut self, entity: &EntityKey) {
        let Some(level) = self.entities.get(entity) else { return };
        let value = json(level);
        self.put(format!("entity/{}/{}", entity.kind.name(), entity.id), value);
    }

    fn put_stream(&mut self, id: &str) {
        let Some(live) = self.streams.get(id) else { return };
        let value = json(&live.stream);
        self.put(format!("stream/{id}"), value);
    }

    fn put(&mut self, key: String, value: Vec<u8>) {
        self.changes.push(Change { key, value: Some(value) });
    }

    fn delete(&mut self, key: String) {
        self.changes.push(Change { key, value: None });
    }

    fn record(&mut self, row: HistoryRow) {
        let value = json(&row);
        self.put(history_key(self.history.next), value);
        self.history.next += 1;
        if self.history.next - self.history.first > HISTORY {
            self.delete(history_key(self.history.first));
            self.history.first += 1;
        }
    }

    fn next_seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    fn context<'t>(&'t self, profile: &'t Profile) -> Context<'t> {
        Context {
            issuer: &self.settings.issuer,
            profile,
            min_verification_s: self.settings.min_verification_interval / 1_000,
            inactivity_s: self.settings.inactivity_timeout / 1_000,
        }
    }
}

impl Live {
    fn new(stream: Stream) -> Live {
        Live {
            stream,
            outbox: Outbox::default(),
            dead: BTreeMap::new(),
            sent: BTreeMap::new(),
            muted: BTreeMap::new(),
            health: Health::default(),
            seen_at: None,
        }
    }

    /// Whether a row may be handed out: not in shadow mode but for what is about the stream itself; while the
    /// stream does not flow only the news of that, unless nobody takes it.
    fn may_hand_out(&self, row: &Row, shadow: bool) -> bool {
        let kind = row.kind();
        match self.stream.status {
            StreamStatus::Enabled => !shadow || kind.is_some_and(EventType::is_about_stream),
            StreamStatus::Paused | StreamStatus::Disabled => {
                kind == Some(EventType::StreamUpdated) && self.stream.failed_at.is_none()
            }
        }
    }
}

/// The prefix of the keys of history.
pub const HISTORY_PREFIX: &str = "history/";

fn history_key(number: u64) -> String {
    format!("{HISTORY_PREFIX}{number:020}")
}

fn row_key(stream: &str, seq: u64) -> String {
    format!("row/{stream}/{seq:020}")
}

fn dead_key(stream: &str, jti: &str) -> String {
    format!("dead/{stream}/{jti}")
}

fn storm_key(kind: EntityKind) -> String {
    format!("storm/{}", kind.name())
}

fn held_key(entity: &EntityKey) -> String {
    format!("held/{}/{}", entity.kind.name(), entity.id)
}

fn sent_key(stream: &str, subject: &str) -> String {
    format!("sent/{stream}/{}", crate::set::derive("subject", &[subject]))
}

/// `user:ann@example.com`.
fn about(entity: &EntityKey) -> String {
    format!("{}:{}", entity.kind.name(), entity.id)
}

/// Our own types as JSON: texts, numbers, lists and objects with text keys, which cannot fail.
fn json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

fn as_object(value: Value) -> serde_json::Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => serde_json::Map::new(),
    }
}
