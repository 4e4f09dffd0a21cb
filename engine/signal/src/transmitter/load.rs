//! The state of a transmitter from its durable keys. A key that cannot be read refuses the whole:
//! guessing would lose or repeat signals.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sluice_event::EntityKind;

use super::{
    FeedRecord, History, Live, Sent, Settings, Totals, Transmitter,
    mute::{Muted, MutedRecord},
    sent_key,
    silence::BLIND_KEY,
};
use crate::{
    Blind, Cause, DeadLetter, EntityKey, Level, LevelChange, Mute, Profile, Row, SigningKeys,
    Signs, Stream, set::derive, stream::Delivery,
};

/// A durable key that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signal record `{key}` cannot be read: {reason}")]
pub struct LoadError {
    /// The key.
    pub key: String,
    /// Why.
    pub reason: String,
}

/// What a subject was told, with the subject: keys hold only its hash.
#[derive(Serialize, Deserialize)]
pub(super) struct SentRecord {
    pub(super) subject: String,
    #[serde(flatten)]
    pub(super) sent: Sent,
}

/// A rise that a storm holds back.
#[derive(Serialize, Deserialize)]
pub(super) struct HeldRecord {
    change_no: u64,
    from: Level,
    to: Level,
    score: Option<f64>,
    at: i64,
    reasons: Vec<String>,
    #[serde(default)]
    signs: (Signs, Signs),
}

impl HeldRecord {
    pub(super) fn of(change: &LevelChange) -> HeldRecord {
        HeldRecord {
            change_no: change.change_no,
            from: change.from,
            to: change.to,
            score: change.score,
            at: change.at,
            reasons: change.reasons.clone(),
            signs: change.signs,
        }
    }

    pub(super) fn change(self, entity: EntityKey) -> LevelChange {
        LevelChange {
            entity,
            change_no: self.change_no,
            from: self.from,
            to: self.to,
            score: self.score,
            at: self.at,
            reasons: self.reasons,
            signs: self.signs,
            cause: Cause::Computed,
            stale_since: None,
            stale: Vec::new(),
        }
    }
}

impl Transmitter {
    /// A transmitter as its records have it, in any order. Streams that the operator gives receivers are
    /// made or brought up to date; `now` is milliseconds since 1970.
    ///
    /// # Errors
    /// The first record that cannot be read.
    pub fn load(
        settings: Settings,
        keys: SigningKeys,
        profiles: Vec<Profile>,
        records: impl IntoIterator<Item = (String, Vec<u8>)>,
        now: i64,
    ) -> Result<Transmitter, LoadError> {
        let mut transmitter = Transmitter {
            feeds: settings.feeds.iter().map(|name| (name.clone(), BTreeMap::new())).collect(),
            settings,
            keys,
            profiles: profiles.into_iter().map(|p| (p.name.clone(), p)).collect(),
            streams: BTreeMap::new(),
            entities: BTreeMap::new(),
            storms: BTreeMap::new(),
            blind: Blind::default(),
            mutes: BTreeMap::new(),
            said: BTreeMap::new(),
            saying: BTreeMap::new(),
            seq: 0,
            history: History::default(),
            changes: Vec::new(),
            totals: Totals::default(),
        };
        let mut records: Vec<(String, Vec<u8>)> = records.into_iter().collect();
        // Streams come first: the others belong to one.
        records.sort_by_key(|(key, _)| (!key.starts_with("stream/"), key.clone()));
        let mut first_history = None;
        let mut begun = Vec::new();
        for (key, value) in &records {
            if let Some(name) = key.strip_prefix("fed/") {
                begun.push(name.to_owned());
                continue;
            }
            transmitter.take(key, value, &mut first_history)?;
        }
        transmitter.history.first = first_history.unwrap_or(transmitter.history.next);
        transmitter.begin_feeds(&begun);
        transmitter.configured_streams(now);
        Ok(transmitter)
    }

    fn take(
        &mut self,
        key: &str,
        value: &[u8],
        first_history: &mut Option<u64>,
    ) -> Result<(), LoadError> {
        let wrong = |reason: &str| LoadError { key: key.to_owned(), reason: reason.to_owned() };
        let (space, rest) = key.split_once('/').ok_or_else(|| wrong("its key has no space"))?;
        if space == "stream" {
            let stream: Stream = read(key, value)?;
            if stream.id != rest {
                return Err(wrong("it is another stream"));
            }
            self.streams.insert(stream.id.clone(), Live::new(stream));
            return Ok(());
        }
        if space == "history" {
            let number: u64 = rest.parse().map_err(|_| wrong("its number is no number"))?;
            first_history.get_or_insert(number);
            self.history.next = self.history.next.max(number + 1);
            return Ok(());
        }
        if key == BLIND_KEY {
            self.blind = read(key, value)?;
            return Ok(());
        }
        if space == "said" {
            self.said.insert(rest.to_owned(), read(key, value)?);
            return Ok(());
        }
        if space == "mute" {
            let mute: Mute = read(key, value)?;
            if mute.id != rest {
                return Err(wrong("it is another mute"));
            }
            self.mutes.insert(mute.id.clone(), mute);
            return Ok(());
        }
        if space == "storm" {
            let kind = EntityKind::parse(rest).ok_or_else(|| wrong("an unknown kind of entity"))?;
            self.storms.entry(kind).or_default().since = Some(read(key, value)?);
            return Ok(());
        }
        let (owner, name) = rest.split_once('/').ok_or_else(|| wrong("its key is cut off"))?;
        if space == "entity" || space == "held" {
            let kind =
                EntityKind::parse(owner).ok_or_else(|| wrong("an unknown kind of entity"))?;
            let entity = EntityKey { kind, id: name.to_owned() };
            if space == "entity" {
                self.entities.insert(entity, read(key, value)?);
            } else {
                let held: HeldRecord = read(key, value)?;
                let storm = self.storms.entry(kind).or_default();
                storm.held.insert(entity.clone(), held.change(entity));
            }
            return Ok(());
        }
        if space == "feed" {
            let record: FeedRecord = read(key, value)?;
            if name.parse() != Ok(record.seq) {
                return Err(wrong("it is another record"));
            }
            if !self.load_feed(owner, record) {
                // The operator took the feed away.
                self.delete(key.to_owned());
            }
            return Ok(());
        }
        let live = self.streams.get_mut(owner).ok_or_else(|| wrong("its stream is missing"))?;
        match space {
            "row" => {
                let row: Row = read(key, value)?;
                if name.parse() != Ok(row.seq) || row.kind().is_none() {
                    return Err(wrong("it is another row"));
                }
                self.seq = self.seq.max(row.seq);
                if !live.outbox.insert(row) {
                    return Err(wrong("two rows have one id"));
                }
            }
            "dead" => {
                let letter: DeadLetter = read(key, value)?;
                if letter.row.jti != name {
                    return Err(wrong("it is another dead letter"));
                }
                self.seq = self.seq.max(letter.row.seq);
                live.dead.insert(letter.row.jti.clone(), letter);
            }
            "sent" => {
                let record: SentRecord = read(key, value)?;
                if sent_key(owner, &record.subject) != key {
                    return Err(wrong("it is about another subject"));
                }
                live.sent.insert(record.subject, record.sent);
            }
            "muted" => {
                let (kind, id) = name.split_once(':').ok_or_else(|| wrong("its key is cut off"))?;
                let kind =
                    EntityKind::parse(kind).ok_or_else(|| wrong("an unknown kind of entity"))?;
                let entity = EntityKey { kind, id: id.to_owned() };
                let MutedRecord { change, by } = read(key, value)?;
                let muted = Muted { change: change.change(entity.clone()), by };
                live.muted.insert(entity, muted);
            }
            _ => return Err(wrong("an unknown kind of record")),
        }
        Ok(())
    }

    /// Makes the push streams of the configuration, or takes over their endpoint.
    fn configured_streams(&mut self, now: i64) {
        let wanted: Vec<Profile> = self.profiles.values().cloned().collect();
        for profile in wanted {
            let id = derive("configured", &[&profile.name]);
            let Some(target) = &profile.push else {
                // The operator took it away: nothing of it is to be sent any more.
                if self.streams.contains_key(&id) {
                    self.remove_stream(&id);
                }
                continue;
            };
            let delivery = Delivery::of_target(target);
            match self.streams.get_mut(&id) {
                Some(live) if live.stream.delivery == delivery => continue,
                Some(live) => live.stream.delivery = delivery,
                None => {
                    let stream = Stream::configured(id.clone(), &profile, target, now);
                    self.streams.insert(id.clone(), Live::new(stream));
                }
            }
            self.put_stream(&id);
        }
    }
}

fn read<T: DeserializeOwned>(key: &str, value: &[u8]) -> Result<T, LoadError> {
    serde_json::from_slice(value)
        .map_err(|e| LoadError { key: key.to_owned(), reason: e.to_string() })
}
