//! Mutes at work: rises that a stream is not told of are kept with the reason, and told or dropped when the mute is
//! over. What a person decides, and every fall to below what a receiver knows, is told all the same.

use serde::{Deserialize, Serialize};

use super::{
    HistoryRow, Transmitter, about,
    emit::{Draft, seen},
    json,
    load::HeldRecord,
};
use crate::{
    Cause, EntityKey, Level, LevelChange, RequestError, SubjectId,
    mute::{AfterMute, MUTED_ENTITIES, MUTES, Mute},
    set,
};

/// A rise that a stream was not told of.
#[derive(Clone, Debug)]
pub(super) struct Muted {
    pub(super) change: LevelChange,
    /// The mute.
    pub(super) by: String,
}

/// The same as it is kept.
#[derive(Serialize, Deserialize)]
pub(super) struct MutedRecord {
    #[serde(flatten)]
    pub(super) change: HeldRecord,
    pub(super) by: String,
}

impl Transmitter {
    /// Begins a mute, or plans one. Nothing that a receiver knows is taken back.
    ///
    /// # Errors
    /// If it names nobody or too many, is over before it begins, is there already, or there are too many.
    pub fn mute(&mut self, mute: Mute, now: i64) -> Result<(), RequestError> {
        let bad = |text: String| Err(RequestError::Bad(text));
        if mute.entities.is_empty() || mute.entities.len() > MUTED_ENTITIES {
            return bad(format!("a mute names 1 to {MUTED_ENTITIES} entities"));
        }
        if mute.until <= mute.from.max(now) {
            return bad("the mute is over before it begins".into());
        }
        if let Some(name) = mute.receivers.iter().find(|name| !self.profiles.contains_key(*name)) {
            return bad(format!("there is no receiver `{name}`"));
        }
        if self.mutes.contains_key(&mute.id) || self.mutes.len() >= MUTES {
            return Err(RequestError::Conflict(format!("there are at most {MUTES} mutes")));
        }
        self.record(HistoryRow {
            at: now,
            action: "mute".into(),
            by: Some(mute.by.clone()),
            detail: Some(format!("{}: {}", mute.purpose.name(), mute.reason)),
            ..HistoryRow::default()
        });
        self.put(mute_key(&mute.id), json(&mute));
        self.mutes.insert(mute.id.clone(), mute);
        Ok(())
    }

    /// Ends a mute by hand: as if its time were over. It as it was; `None` if there is none.
    pub fn unmute(&mut self, id: &str, by: &str, reason: &str, now: i64) -> Option<Mute> {
        self.end_mute(id, Some(by), reason, now)
    }

    /// Mutes that go on or are to come, by id.
    pub fn mutes(&self) -> impl Iterator<Item = &Mute> {
        self.mutes.values()
    }

    /// Ends mutes whose time is over.
    pub(super) fn end_mutes(&mut self, now: i64) {
        let over = self.mutes.values().filter(|mute| mute.until <= now);
        let over: Vec<String> = over.map(|mute| mute.id.clone()).collect();
        for id in over {
            self.end_mute(&id, None, "its time is over", now);
        }
    }

    /// Tells a stream of a change unless it is muted for it.
    pub(super) fn tell_unless_muted(
        &mut self,
        id: &str,
        change: &LevelChange,
        drafts: Vec<Draft>,
        now: i64,
    ) {
        match self.verdict(id, change, &drafts, now) {
            Verdict::Keep(mute) => self.keep_muted(id, &mute, change, &drafts, now),
            Verdict::Forget => self.forget_muted(id, &change.entity),
            Verdict::Tell => {
                self.forget_muted(id, &change.entity);
                for draft in drafts {
                    self.enqueue(id, draft, now);
                }
            }
        }
    }

    /// Whether nobody is told of a change: it is no part of a storm.
    pub(super) fn is_muted_everywhere(&self, change: &LevelChange, now: i64) -> bool {
        let rises = change.to > change.from && !is_said(&change.cause);
        rises
            && !self.streams.is_empty()
            && self.streams.values().all(|live| {
                let receiver = &live.stream.receiver;
                self.mutes.values().any(|mute| mute.applies(&change.entity, receiver, now))
            })
    }

    fn verdict(&self, id: &str, change: &LevelChange, drafts: &[Draft], now: i64) -> Verdict {
        let Some(live) = self.streams.get(id) else { return Verdict::Forget };
        let Some(profile) = self.profiles.get(&live.stream.receiver) else {
            return Verdict::Forget;
        };
        if is_said(&change.cause) {
            return Verdict::Tell;
        }
        let applies = |mute: &&Mute| mute.applies(&change.entity, &profile.name, now);
        let mute = self.mutes.values().find(applies).map(|mute| mute.id.clone());
        let kept = live.muted.get(&change.entity);
        if change.to > change.from {
            return match mute {
                Some(_) if drafts.is_empty() => Verdict::Tell,
                Some(mute) => Verdict::Keep(mute),
                None => Verdict::Tell,
            };
        }
        let Some(kept) = kept else { return Verdict::Tell };
        // It fell from a level that this receiver was not told of.
        let subject = SubjectId::of_entity(
            change.entity.kind,
            &change.entity.id,
            profile.subject_format,
            &profile.issuers,
        );
        let told = self.last_told(id, &subject.key()).map_or(Level::Low, |(level, _)| level);
        let to = seen(self.shown(change, profile), profile);
        match to.cmp(&told) {
            std::cmp::Ordering::Less => Verdict::Tell,
            std::cmp::Ordering::Equal => Verdict::Forget,
            std::cmp::Ordering::Greater => Verdict::Keep(mute.unwrap_or_else(|| kept.by.clone())),
        }
    }

    /// Counts and records what a mute kept from a stream.
    pub(super) fn note_muted(&mut self, id: &str, by: &str, drafts: &[Draft], now: i64) {
        let Some(mute) = self.mutes.get_mut(by) else { return };
        mute.muted += drafts.len() as u64;
        let (why, record) = (format!("{}: {}", mute.purpose.name(), mute.reason), json(mute));
        self.put(mute_key(by), record);
        self.totals.muted += drafts.len() as u64;
        for draft in drafts {
            self.record(HistoryRow {
                at: now,
                action: "muted".into(),
                stream: Some(id.to_owned()),
                jti: Some(set::jti(id, &draft.txn, draft.event_type, 0)),
                txn: Some(draft.txn.clone()),
                event_type: Some(draft.event_type.name().to_owned()),
                about: Some(draft.subject.key()),
                detail: Some(why.clone()),
                ..HistoryRow::default()
            });
        }
    }

    fn keep_muted(&mut self, id: &str, by: &str, change: &LevelChange, drafts: &[Draft], now: i64) {
        self.note_muted(id, by, drafts, now);
        let Some(live) = self.streams.get_mut(id) else { return };
        let mut change = change.clone();
        if let Some(kept) = live.muted.get(&change.entity) {
            // To the receiver all of it is one change.
            change.from = kept.change.from;
            change.signs.0 = kept.change.signs.0;
        }
        let record = MutedRecord { change: HeldRecord::of(&change), by: by.to_owned() };
        let key = muted_key(id, &change.entity);
        live.muted.insert(change.entity.clone(), Muted { change, by: by.to_owned() });
        self.put(key, json(&record));
    }

    fn forget_muted(&mut self, id: &str, entity: &EntityKey) {
        let Some(live) = self.streams.get_mut(id) else { return };
        if live.muted.remove(entity).is_some() {
            self.delete(muted_key(id, entity));
        }
    }

    fn end_mute(&mut self, id: &str, by: Option<&str>, reason: &str, now: i64) -> Option<Mute> {
        let mute = self.mutes.remove(id)?;
        self.delete(mute_key(id));
        self.record(HistoryRow {
            at: now,
            action: "mute_ended".into(),
            by: by.map(str::to_owned),
            detail: Some(format!("{}: {}; {reason}", mute.purpose.name(), mute.reason)),
            ..HistoryRow::default()
        });
        let mut kept = Vec::new();
        for (stream, live) in &self.streams {
            let of = live.muted.values().filter(|muted| muted.by == id);
            kept.extend(of.map(|muted| (stream.clone(), muted.change.clone())));
        }
        for (stream, change) in kept {
            let receiver = self.streams.get(&stream).map(|live| live.stream.receiver.clone());
            let receiver = receiver.unwrap_or_default();
            let mut others = self.mutes.values();
            if let Some(other) = others.find(|m| m.applies(&change.entity, &receiver, now)) {
                let by = other.id.clone();
                self.hand_over(&stream, change, by);
                continue;
            }
            self.forget_muted(&stream, &change.entity);
            let level = self.entities.get(&change.entity);
            let goes_on = level.is_some_and(|l| l.level == change.to && !l.is_decided());
            if goes_on && mute.then == AfterMute::Tell {
                self.tell_one(&stream, &change, now);
            }
        }
        Some(mute)
    }

    /// Another mute keeps a rise from now on.
    fn hand_over(&mut self, stream: &str, change: LevelChange, by: String) {
        let record = MutedRecord { change: HeldRecord::of(&change), by: by.clone() };
        self.put(muted_key(stream, &change.entity), json(&record));
        if let Some(live) = self.streams.get_mut(stream) {
            live.muted.insert(change.entity.clone(), Muted { change, by });
        }
    }
}

/// What becomes of a change for a stream.
enum Verdict {
    /// It is told.
    Tell,
    /// This mute keeps it.
    Keep(String),
    /// The receiver knows nothing of what it takes back.
    Forget,
}

/// Whether a person decided it.
fn is_said(cause: &Cause) -> bool {
    matches!(cause, Cause::Person { .. })
}

pub(super) fn mute_key(id: &str) -> String {
    format!("mute/{id}")
}

pub(super) fn muted_key(stream: &str, entity: &EntityKey) -> String {
    format!("muted/{stream}/{}", about(entity))
}
