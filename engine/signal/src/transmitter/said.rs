//! What findings of some rules say to receivers by themselves, whatever level they come to: a credential that
//! changed or was stolen, claims that changed. Not which rules those are, and not changes of level.

use serde_json::{Map, Value};

use super::{
    HistoryRow, TEN_MINUTES, Transmitter, about,
    emit::{Draft, initiator},
    json,
};
use crate::{Cause, EntityKey, EventType, SubjectId, event::common, set};

/// What a finding says.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// The id of the finding.
    pub finding: String,
    /// Its rule.
    pub rule: String,
    /// Whom it is about.
    pub entity: EntityKey,
    /// The type of the event.
    pub event_type: EventType,
    /// Its members, beside those that every event has.
    pub members: Map<String, Value>,
    /// When it happened, milliseconds since 1970.
    pub at: i64,
}

/// What was said is remembered for so long, milliseconds: a finding that grows says it once.
const REMEMBERED: i64 = 2 * 24 * 3_600_000;

impl Transmitter {
    /// Tells receivers what a finding says, once. Where a rule says more than the storm limit within ten minutes,
    /// the rest is dropped, counted and in the history.
    pub fn say(&mut self, said: &Said, now: i64) {
        let EntityKey { kind, id } = &said.entity;
        let parts = [&said.finding, kind.name(), id.as_str(), said.event_type.name()];
        let txn = set::cause("finding", &parts);
        if self.said.contains_key(&txn) {
            return;
        }
        self.put(said_key(&txn), json(&now));
        self.said.insert(txn.clone(), now);
        let mut event = said.members.clone();
        let why = initiator(&Cause::Computed);
        common(&mut event, said.at, why, &said.rule);
        let recent = self.saying.entry(said.rule.clone()).or_default();
        recent.retain(|at| *at > now - TEN_MINUTES);
        recent.push(now);
        let refused = match said.event_type.check(&event) {
            Err(what) => Some(what),
            Ok(()) if recent.len() > self.settings.storm_limit => {
                self.totals.dropped += 1;
                Some(format!("more than {} in ten minutes", self.settings.storm_limit))
            }
            Ok(()) => None,
        };
        if let Some(what) = refused {
            self.record(HistoryRow {
                at: now,
                action: "unsaid".into(),
                txn: Some(txn),
                event_type: Some(said.event_type.name().to_owned()),
                about: Some(about(&said.entity)),
                detail: Some(format!("{}: {what}", said.rule)),
                ..HistoryRow::default()
            });
            return;
        }
        let streams: Vec<String> = self.streams.keys().cloned().collect();
        for id in streams {
            self.say_one(&id, said, &event, &txn, now);
        }
    }

    fn say_one(&mut self, id: &str, said: &Said, event: &Map<String, Value>, txn: &str, now: i64) {
        let Some(live) = self.streams.get(id) else { return };
        let Some(profile) = self.profiles.get(&live.stream.receiver) else { return };
        let entity = &said.entity;
        let subject =
            SubjectId::of_entity(entity.kind, &entity.id, profile.subject_format, &profile.issuers);
        let wanted = profile.entities.contains(&entity.kind)
            && profile.dialect.knows(entity.kind)
            && live.stream.delivered(profile).contains(&said.event_type)
            && live.stream.hears_of(&subject, profile, now);
        if !wanted {
            return;
        }
        let draft = Draft {
            event_type: said.event_type,
            subject,
            txn: txn.to_owned(),
            event: event.clone(),
            levels: None,
            rise: true,
            held: None,
        };
        let mut mutes = self.mutes.values();
        let mute = mutes.find(|mute| mute.applies(entity, &profile.name, now));
        match mute.map(|mute| mute.id.clone()) {
            Some(mute) => self.note_muted(id, &mute, &[draft], now),
            None => drop(self.enqueue(id, draft, now)),
        }
    }

    /// Forgets what was said long ago.
    pub(super) fn forget_said(&mut self, now: i64) {
        let old = self.said.iter().filter(|(_, at)| now - **at > REMEMBERED);
        let old: Vec<String> = old.map(|(txn, _)| txn.clone()).collect();
        for txn in old {
            self.said.remove(&txn);
            self.delete(said_key(&txn));
        }
        self.saying.retain(|_, times| times.last().is_some_and(|at| *at > now - TEN_MINUTES));
    }
}

fn said_key(txn: &str) -> String {
    format!("said/{txn}")
}
