//! From a change of level to rows in outboxes: who hears of it, what is said, what is left out because
//! something newer says it better. Not when a row is delivered.

use serde_json::{Map, Value, json};
use sluice_event::rfc3339;

use super::{
    HELD, HistoryRow, Storm, TEN_MINUTES, Transmitter, about, held_key, load::HeldRecord, row_key,
    storm_key,
};
use crate::{
    Cause, EntityKey, EventType, Level, LevelChange, Profile, Row, Staleness, StreamStatus,
    SubjectId,
    event::{common, principal},
    set,
    staleness::HELD_MOST,
};

/// Characters of `risk_reason`.
const REASON: usize = 256;
/// Rules and features that `x_sluice` names.
const FACTORS: usize = 20;

/// One SET to be made for a stream.
pub(super) struct Draft {
    pub(super) event_type: EventType,
    pub(super) subject: SubjectId,
    pub(super) txn: String,
    pub(super) event: Map<String, Value>,
    pub(super) levels: Option<(Level, Level)>,
    /// Whether computed risk rose: some receivers hear of that only when a person approves it.
    pub(super) rise: bool,
    /// A fall that waits for one of these to see again, until then.
    pub(super) held: Option<(Vec<String>, i64)>,
}

impl Transmitter {
    /// Tells every stream that wants to hear of a change, or keeps the change back in a storm.
    pub(super) fn level_changed(&mut self, change: LevelChange, now: i64) {
        let txn = cause_id(&change);
        self.record(HistoryRow {
            at: now,
            action: "level".into(),
            txn: Some(txn.clone()),
            about: Some(about(&change.entity)),
            detail: Some(format!("{} to {}", change.from.name(), change.to.name())),
            ..HistoryRow::default()
        });
        self.feed_all(&change.entity, &txn);
        if !self.is_muted_everywhere(&change, now) && self.is_storm(&change, now) {
            return;
        }
        self.tell(&change, now);
    }

    /// Sends what a storm held back, or drops it: a person decided. How many changes that were.
    pub fn end_storm(
        &mut self,
        kind: sluice_event::EntityKind,
        send: bool,
        by: &str,
        reason: &str,
        now: i64,
    ) -> usize {
        let Some(storm) = self.storms.get_mut(&kind) else { return 0 };
        let held = std::mem::take(&mut storm.held);
        (storm.since, storm.rises) = (None, Vec::new());
        self.delete(storm_key(kind));
        for entity in held.keys() {
            self.delete(held_key(entity));
        }
        self.record(HistoryRow {
            at: now,
            action: if send { "storm_released" } else { "storm_dropped" }.into(),
            by: Some(by.to_owned()),
            about: Some(kind.name().to_owned()),
            detail: Some(format!("{} level changes: {reason}", held.len())),
            ..HistoryRow::default()
        });
        let count = held.len();
        if send {
            for change in held.values() {
                self.tell(change, now);
            }
        }
        count
    }

    /// Kinds of entity whose rises are held back: since when and how many.
    pub fn storms(&self) -> Vec<(sluice_event::EntityKind, i64, usize)> {
        let on = self.storms.iter().filter_map(|(kind, s)| Some((*kind, s.since?, s.held.len())));
        on.collect()
    }

    /// Makes a SET of any type for one stream: tests of a stream, and events that a person sends.
    pub(super) fn send_one(
        &mut self,
        stream: &str,
        event_type: EventType,
        subject: SubjectId,
        event: Map<String, Value>,
        now: i64,
    ) -> Option<String> {
        let txn = set::cause("sent", &[stream, &self.seq.to_string(), &now.to_string()]);
        let draft =
            Draft { event_type, subject, txn, event, levels: None, rise: false, held: None };
        self.enqueue(stream, draft, now)
    }

    /// Whether a rise is held back.
    fn is_storm(&mut self, change: &LevelChange, now: i64) -> bool {
        let computed = matches!(change.cause, Cause::Computed | Cause::Released);
        let limit = self.settings.storm_limit;
        let storm = self.storms.entry(change.entity.kind).or_default();
        if change.to < change.from {
            // What falls again before it was sent need not be told.
            if storm.held.remove(&change.entity).is_some() {
                self.delete(held_key(&change.entity));
            }
            return false;
        }
        if !computed {
            return false;
        }
        if change.to == Level::High {
            storm.rises.retain(|t| *t > now - TEN_MINUTES);
            storm.rises.push(now);
        }
        if storm.since.is_none() && storm.rises.len() <= limit {
            return false;
        }
        let begins = storm.since.is_none();
        let since = *storm.since.get_or_insert(now);
        let full = !storm.hold(change.clone());
        if begins {
            self.put(storm_key(change.entity.kind), super::json(&since));
        }
        if !full {
            self.put(held_key(&change.entity), super::json(&HeldRecord::of(change)));
        }
        match full {
            true => self.totals.dropped += 1,
            false => self.totals.held += 1,
        }
        if begins {
            self.record(HistoryRow {
                at: now,
                action: "storm".into(),
                about: Some(change.entity.kind.name().to_owned()),
                detail: Some(format!("more than {limit} rises to high in ten minutes")),
                ..HistoryRow::default()
            });
        }
        true
    }

    fn tell(&mut self, change: &LevelChange, now: i64) {
        let streams: Vec<String> = self.streams.keys().cloned().collect();
        for id in streams {
            self.tell_one(&id, change, now);
        }
    }

    /// Tells one stream of a change, unless it is muted for it.
    pub(super) fn tell_one(&mut self, id: &str, change: &LevelChange, now: i64) {
        let drafts = self.drafts(id, change, now);
        self.tell_unless_muted(id, change, drafts, now);
    }

    /// What a stream hears of a change.
    fn drafts(&self, id: &str, change: &LevelChange, now: i64) -> Vec<Draft> {
        let Some(live) = self.streams.get(id) else { return Vec::new() };
        let Some(profile) = self.profiles.get(&live.stream.receiver) else { return Vec::new() };
        let entity = &change.entity;
        let subject =
            SubjectId::of_entity(entity.kind, &entity.id, profile.subject_format, &profile.issuers);
        let delivered = live.stream.delivered(profile);
        let wanted = profile.entities.contains(&entity.kind)
            && profile.dialect.knows(entity.kind)
            && live.stream.hears_of(&subject, profile, now);
        if !wanted {
            return Vec::new();
        }
        let txn = cause_id(change);
        let draft = |event_type, subject: &SubjectId, event, levels| Draft {
            event_type,
            subject: subject.clone(),
            txn: txn.clone(),
            event,
            levels,
            rise: change.to > change.from
                && matches!(change.cause, Cause::Computed | Cause::Released),
            held: None,
        };
        let mut drafts = Vec::new();
        let quarantined = self.entities.get(entity).is_some_and(|level| level.is_quarantined());
        for (event_type, members) in signs(change, quarantined) {
            if delivered.contains(&event_type) {
                let mut event = Map::new();
                common(&mut event, change.at, initiator(&change.cause), &reason(change));
                event.extend(super::as_object(members));
                drafts.push(draft(event_type, &subject, event, None));
            }
        }
        let (from, to) = (seen(change.from, profile), seen(self.shown(change, profile), profile));
        if from != to && delivered.contains(&EventType::RiskLevelChange) {
            let event = risk_level_change(change, from, to, profile);
            let held = held(change, to < from, profile);
            let draft = draft(EventType::RiskLevelChange, &subject, event, Some((from, to)));
            drafts.push(Draft { held, ..draft });
        }
        let revoke = profile.revoke_sessions
            && to == Level::High
            && !matches!(change.cause, Cause::Heard { .. })
            && entity.kind == sluice_event::EntityKind::User
            && delivered.contains(&EventType::SessionRevoked);
        if revoke {
            let mut event = Map::new();
            common(&mut event, change.at, initiator(&change.cause), &reason(change));
            let sessions = SubjectId::sessions_of(&subject);
            drafts.push(draft(EventType::SessionRevoked, &sessions, event, None));
        }
        drafts
    }

    /// Puts a SET into the outbox of a stream; its id, unless nothing was to be done.
    pub(super) fn enqueue(&mut self, id: &str, mut draft: Draft, now: i64) -> Option<String> {
        let jti = set::jti(id, &draft.txn, draft.event_type, 0);
        let live = self.streams.get(id)?;
        let profile = self.profiles.get(&live.stream.receiver)?;
        let min_interval = profile.min_interval;
        // In shadow mode nobody decides: what is recorded is what people would be asked about.
        let awaiting = draft.rise && profile.approval && !profile.shadow;
        if !profile.dialect.sends(draft.event_type) {
            return None;
        }
        let ends = draft.event_type == EventType::StreamUpdated;
        if live.stream.status == StreamStatus::Disabled && !ends {
            return None;
        }
        let mut not_before = now;
        if let Some((_, to)) = draft.levels {
            let key = draft.subject.key();
            self.supersede(id, &key, now);
            let last = self.last_told(id, &key);
            let from = last.map_or(Level::Low, |(level, _)| level);
            if from == to {
                // The receiver has this level already.
                return None;
            }
            draft.levels = Some((from, to));
            draft.event.insert("previous_level".into(), from.caep().into());
            if let (Some((_, at)), true) = (last, to < Level::High || to < from) {
                not_before = now.max(at + min_interval);
            }
        }
        let mut stale = Vec::new();
        if let Some((sources, until)) = draft.held.filter(|(_, until)| *until > now) {
            not_before = not_before.max(until);
            stale = sources;
            self.totals.stale += 1;
        }
        let row = Row {
            seq: self.next_seq(),
            jti: jti.clone(),
            event_type: draft.event_type.name().to_owned(),
            subject: draft.subject,
            txn: Some(draft.txn).filter(|_| !draft.event_type.is_about_stream()),
            event: draft.event,
            created_at: now,
            iat: now.div_euclid(1_000),
            not_before,
            levels: draft.levels,
            replay: 0,
            awaiting,
            stale,
            attempts: 0,
            invalid_key: 0,
            leased_until: 0,
            last_error: None,
        };
        self.put_row(id, row, now).then_some(jti)
    }

    /// Adds a row and makes room for it.
    pub(super) fn put_row(&mut self, id: &str, row: Row, now: i64) -> bool {
        let value = super::json(&row);
        let (seq, most) = (row.seq, self.settings.queue_most);
        let Some(live) = self.streams.get_mut(id) else { return false };
        if !live.outbox.insert(row) {
            return false;
        }
        let oldest = match live.outbox.len() > most {
            true => live.outbox.rows().next().map(|r| r.jti.clone()),
            false => None,
        };
        self.put(row_key(id, seq), value);
        self.totals.made += 1;
        if let Some(jti) = oldest {
            self.drop_row(id, &jti, "dropped", now);
            self.totals.dropped += 1;
        }
        true
    }

    /// Removes level rows about a subject that nobody can have seen: a newer one says it better.
    fn supersede(&mut self, id: &str, subject: &str, now: i64) {
        let Some(live) = self.streams.get(id) else { return };
        let old = live.outbox.about(subject).filter(|r| r.levels.is_some() && r.is_untouched());
        let mut old: Vec<String> = old.map(|r| r.jti.clone()).collect();
        // What a rise brought with it and nobody has approved goes with it.
        let rises = live.outbox.about(subject).filter(|r| r.levels.is_some() && r.awaiting);
        let causes: Vec<&String> = rises.filter_map(|r| r.txn.as_ref()).collect();
        let with = live.outbox.rows().filter(|r| r.awaiting && r.levels.is_none());
        let with = with.filter(|r| r.txn.as_ref().is_some_and(|txn| causes.contains(&txn)));
        old.extend(with.map(|r| r.jti.clone()));
        for jti in old {
            self.drop_row(id, &jti, "superseded", now);
            self.totals.superseded += 1;
        }
    }

    /// The level that a receiver was told last about a subject, and when: also one that is on its way.
    pub(super) fn last_told(&self, id: &str, subject: &str) -> Option<(Level, i64)> {
        let live = self.streams.get(id)?;
        let shadow = self.profiles.get(&live.stream.receiver).is_some_and(|p| p.shadow);
        let on_its_way = live
            .outbox
            .about(subject)
            .rev()
            .find(|r| r.levels.is_some())
            .and_then(|r| Some((r.levels?.1, r.created_at)));
        // What was recorded in shadow mode only, the receiver does not know.
        let sent = live.sent.get(subject).filter(|sent| shadow || !sent.shadow);
        on_its_way.or_else(|| sent.map(|s| (s.level, s.at)))
    }

    /// Removes a row for a reason other than delivery.
    pub(super) fn drop_row(&mut self, id: &str, jti: &str, action: &str, now: i64) {
        let Some(live) = self.streams.get_mut(id) else { return };
        let Some(row) = live.outbox.remove(jti) else { return };
        self.delete(row_key(id, row.seq));
        self.record(HistoryRow {
            at: now,
            action: action.to_owned(),
            stream: Some(id.to_owned()),
            jti: Some(row.jti),
            txn: row.txn,
            event_type: Some(row.event_type),
            about: Some(row.subject.key()),
            ..HistoryRow::default()
        });
    }
}

/// The claims of the SET that says a change to a receiver who was told of none before, named `receiver` and the
/// only audience: to show, not signed and not sent. `issuer` also issues the names of subjects.
pub fn claims_of(change: &LevelChange, issuer: &str, receiver: &str) -> Value {
    let profile = Profile::plain(receiver, issuer);
    let EntityKey { kind, id } = &change.entity;
    let subject = SubjectId::of_entity(*kind, id, profile.subject_format, &profile.issuers);
    let txn = cause_id(change);
    let event_type = EventType::RiskLevelChange;
    let event = risk_level_change(change, change.from, change.to, &profile);
    let claims = set::Claims {
        iss: issuer,
        aud: &profile.audience,
        jti: &set::jti(receiver, &txn, event_type, 0),
        txn: Some(&txn),
        iat: change.at.div_euclid(1_000),
        subject: &subject,
        event_type,
        event: &event,
    };
    claims.to_value()
}

impl Storm {
    fn hold(&mut self, change: LevelChange) -> bool {
        let room = self.held.len() < HELD || self.held.contains_key(&change.entity);
        if room {
            self.held.insert(change.entity.clone(), change);
        }
        room
    }
}

/// The txn of a change.
pub(super) fn cause_id(change: &LevelChange) -> String {
    let EntityKey { kind, id } = &change.entity;
    let silence = match &change.cause {
        Cause::Silent { since } => Some((since, "silent")),
        Cause::Heard { since } => Some((since, "heard")),
        Cause::Computed | Cause::Person { .. } | Cause::Expired | Cause::Released => None,
    };
    if let Some((since, word)) = silence {
        let (number, since) = (change.change_no.to_string(), since.to_string());
        return set::cause("silence", &[kind.name(), id, &number, word, &since]);
    }
    set::level_cause(kind.name(), id, change.change_no, change.to.name())
}

/// What receivers hear of what rules say: that a device complies or not, that a user is less or more sure.
/// Of a device in quarantine they have heard.
fn signs(change: &LevelChange, quarantined: bool) -> Vec<(EventType, Value)> {
    let (before, now) = change.signs;
    let mut events = Vec::new();
    if before.less_assured != now.less_assured {
        let (previous, current, direction) = match now.less_assured {
            true => ("nist-aal2", "nist-aal1", "decrease"),
            false => ("nist-aal1", "nist-aal2", "increase"),
        };
        let members = json!({
            "namespace": "NIST-AAL", "previous_level": previous, "current_level": current,
            "change_direction": direction,
        });
        events.push((EventType::AssuranceLevelChange, members));
    }
    if before.not_compliant != now.not_compliant && !quarantined {
        events.push((EventType::DeviceComplianceChange, compliance(!now.not_compliant)));
    }
    events
}

/// The members of a device-compliance-change.
pub(super) fn compliance(complies: bool) -> Value {
    let (previous, current) = match complies {
        true => ("not-compliant", "compliant"),
        false => ("compliant", "not-compliant"),
    };
    json!({"previous_status": previous, "current_status": current})
}

/// A level as a receiver sees it.
pub(super) fn seen(level: Level, profile: &Profile) -> Level {
    if level < profile.min_level { Level::Low } else { level }
}

/// Whether a fall waits: everything behind the level is silent, and the stream holds levels then.
fn held(change: &LevelChange, falls: bool, profile: &Profile) -> Option<(Vec<String>, i64)> {
    let computed = matches!(change.cause, Cause::Computed | Cause::Released);
    let holds = falls && computed && profile.staleness == Staleness::Hold;
    let since = change.stale_since.filter(|_| holds)?;
    Some((change.stale.clone(), since + HELD_MOST))
}

pub(super) fn initiator(cause: &Cause) -> &'static str {
    match cause {
        Cause::Person { .. } => "admin",
        Cause::Computed
        | Cause::Released
        | Cause::Expired
        | Cause::Silent { .. }
        | Cause::Heard { .. } => "policy",
    }
}

/// Why, for the people at the receiver.
fn reason(change: &LevelChange) -> String {
    match &change.cause {
        Cause::Person { reason, .. } => reason.clone(),
        Cause::Expired => "the decision of a person has run out".into(),
        Cause::Silent { since } => {
            format!("nothing is known: its sources are silent since {}", rfc3339(*since))
        }
        Cause::Heard { .. } => "its sources are heard again".into(),
        Cause::Computed | Cause::Released if change.reasons.is_empty() => "risk has decayed".into(),
        Cause::Computed | Cause::Released => change.reasons.join(", "),
    }
}

fn risk_level_change(
    change: &LevelChange,
    from: Level,
    to: Level,
    profile: &Profile,
) -> Map<String, Value> {
    let mut event = Map::new();
    common(&mut event, change.at, initiator(&change.cause), &reason(change));
    event.insert("principal".into(), principal(change.entity.kind).into());
    event.insert("current_level".into(), to.caep().into());
    event.insert("previous_level".into(), from.caep().into());
    if !change.reasons.is_empty() {
        let text: String = change.reasons.join(", ").chars().take(REASON).collect();
        event.insert("risk_reason".into(), text.into());
    }
    if profile.detail {
        let factors: Vec<&String> = change.reasons.iter().take(FACTORS).collect();
        let own = json!({
            "score": change.score, "factors": factors, "change_no": change.change_no,
            "truncated": change.reasons.len() > FACTORS,
            "stale_since": change.stale_since.map(rfc3339),
        });
        event.insert("x_sluice".into(), own);
    }
    event
}
