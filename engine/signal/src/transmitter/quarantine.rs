//! Quarantines begin, end, and receivers are told: a device is not compliant, the sessions of an account
//! are revoked, and the level of both is high. Not what a quarantine is (see [`crate::quarantine`]).

use serde_json::{Map, json};
use sluice_event::{EntityKind, rfc3339};

use super::{
    HistoryRow, Transmitter, about,
    emit::{Draft, cause_id, compliance, initiator},
};
use crate::{
    Cause, EntityKey, EntityLevel, EventType, RequestError, SubjectId,
    event::common,
    quarantine::{Proof, Quarantine, QuarantineState, Release, takes},
    set,
};

impl Transmitter {
    /// Begins a quarantine, or goes on with one: a suspicion becomes a quarantine, and a quarantine gets
    /// another reason and end. The answer is the level of the entity after that.
    ///
    /// # Errors
    /// If the entity is neither device nor account, or a quarantine would become a suspicion.
    pub fn quarantine(
        &mut self,
        entity: &EntityKey,
        mut begun: Quarantine,
        now: i64,
    ) -> Result<EntityLevel, RequestError> {
        if !takes(entity.kind) {
            let text = format!("a {} cannot be quarantined: a user or a device", entity.kind);
            return Err(RequestError::Bad(text));
        }
        let known = self.entities.get(entity).and_then(|l| l.quarantine.as_ref());
        let held = known.filter(|q| q.holds());
        if let Some(held) = held {
            if !begun.holds() {
                let text = "it is quarantined: release it instead";
                return Err(RequestError::Conflict(text.into()));
            }
            (begun.since, begun.denied, begun.denied_at) =
                (held.since, held.denied, held.denied_at);
        }
        let tells = begun.holds() && held.is_none();
        self.record(HistoryRow {
            at: now,
            action: begun.state.name().into(),
            by: Some(begun.by.clone()),
            about: Some(about(entity)),
            detail: Some(format!("until {}: {}", rfc3339(begun.until), begun.reason)),
            ..HistoryRow::default()
        });
        let cause = Cause::Person { by: begun.by.clone(), reason: begun.reason.clone() };
        Ok(self.turn(entity, begun, cause, tells, now))
    }

    /// Ends a quarantine or a suspicion by hand, with what is known of its accesses; `None` if there is
    /// none.
    pub fn release(
        &mut self,
        entity: &EntityKey,
        by: &str,
        reason: &str,
        proof: Option<Proof>,
        now: i64,
    ) -> Option<EntityLevel> {
        let cause = Cause::Person { by: by.to_owned(), reason: reason.to_owned() };
        self.end_quarantine(entity, Some(by), reason, proof, cause, now)
    }

    /// Ends a quarantine whose time is over.
    pub fn expire_quarantine(&mut self, entity: &EntityKey, proof: Option<Proof>, now: i64) {
        let over = self.quarantines().any(|(e, q)| e == entity && q.is_active() && q.until <= now);
        if over {
            self.end_quarantine(entity, None, "its time is over", proof, Cause::Expired, now);
        }
    }

    /// Quarantines that there are and that were the last of their entity, in order.
    pub fn quarantines(&self) -> impl Iterator<Item = (&EntityKey, &Quarantine)> {
        self.entities.iter().filter_map(|(e, l)| Some((e, l.quarantine.as_ref()?)))
    }

    /// How many entities somebody has decided about, by an override or a quarantine that goes on; one is
    /// left out.
    pub fn decided_by(&self, name: &str, without: &EntityKey) -> usize {
        let decided = self.entities.iter().filter(|(entity, level)| {
            let over = level.over.as_ref().is_some_and(|over| over.by == name);
            let active = level.quarantine.as_ref().filter(|q| q.is_active());
            *entity != without && (over || active.is_some_and(|q| q.by == name))
        });
        decided.count()
    }

    /// Counts requests that gateways denied because of a quarantine.
    pub fn count_denied(&mut self, entity: &EntityKey, requests: u64, last: i64) {
        let level = self.entities.get_mut(entity);
        let Some(quarantine) = level.and_then(|l| l.quarantine.as_mut()).filter(|q| q.holds())
        else {
            return;
        };
        quarantine.denied += requests;
        quarantine.denied_at = Some(last);
        self.put_entity(entity);
    }

    fn end_quarantine(
        &mut self,
        entity: &EntityKey,
        by: Option<&str>,
        reason: &str,
        proof: Option<Proof>,
        cause: Cause,
        now: i64,
    ) -> Option<EntityLevel> {
        let mut over = self.entities.get(entity)?.quarantine.clone().filter(|q| q.is_active())?;
        let tells = over.holds();
        let mut detail = reason.to_owned();
        if let Some(proof) = &proof {
            detail += &format!("; {}, {} denied at gateways", proof.text(), over.denied);
        }
        self.record(HistoryRow {
            at: now,
            action: if by.is_some() { "released" } else { "quarantine_expired" }.into(),
            by: by.map(str::to_owned),
            about: Some(about(entity)),
            detail: Some(detail),
            ..HistoryRow::default()
        });
        over.state = QuarantineState::Released;
        over.release =
            Some(Release { at: now, by: by.map(str::to_owned), reason: reason.to_owned(), proof });
        Some(self.turn(entity, over, cause, tells, now))
    }

    /// Puts a quarantine in its place, with the change of level it brings.
    fn turn(
        &mut self,
        entity: &EntityKey,
        quarantine: Quarantine,
        cause: Cause,
        tells: bool,
        now: i64,
    ) -> EntityLevel {
        let holds = quarantine.holds();
        let level = self.entities.entry(entity.clone()).or_default();
        let change = level.quarantine(entity, quarantine, cause.clone(), now);
        let after = level.clone();
        self.put_entity(entity);
        let own = || {
            let EntityKey { kind, id } = entity;
            let state = if holds { "begins" } else { "ends" };
            set::cause("quarantine", &[kind.name(), id, &now.to_string(), state])
        };
        // One cause has one `txn`, also where it changes the level.
        let txn = change.as_ref().map_or_else(own, cause_id);
        match change {
            Some(change) => self.level_changed(change, now),
            None if tells => self.feed_all(entity, &txn),
            None => {}
        }
        // Of a device that does not comply by its posture receivers have heard, and it stays so.
        let said = after.signs.not_compliant;
        if tells && !said {
            self.tell_quarantine(entity, holds, &cause, &txn, now);
        }
        after
    }

    fn tell_quarantine(
        &mut self,
        entity: &EntityKey,
        holds: bool,
        cause: &Cause,
        txn: &str,
        now: i64,
    ) {
        let (event_type, members) = match (entity.kind, holds) {
            (EntityKind::Device, holds) => (EventType::DeviceComplianceChange, compliance(!holds)),
            (EntityKind::User, true) => (EventType::SessionRevoked, json!({})),
            // Sessions that are gone do not come back.
            (
                EntityKind::User
                | EntityKind::Session
                | EntityKind::Workload
                | EntityKind::Application
                | EntityKind::Ip,
                _,
            ) => return,
        };
        let reason = match cause {
            Cause::Person { reason, .. } => reason.as_str(),
            Cause::Computed
            | Cause::Expired
            | Cause::Released
            | Cause::Silent { .. }
            | Cause::Heard { .. } => "the quarantine has run out",
        };
        let mut event = Map::new();
        common(&mut event, now, initiator(cause), reason);
        event.extend(super::as_object(members));
        let streams: Vec<String> = self.streams.keys().cloned().collect();
        for id in streams {
            let Some(live) = self.streams.get(&id) else { continue };
            let Some(profile) = self.profiles.get(&live.stream.receiver) else { continue };
            let kind = entity.kind;
            let named =
                SubjectId::of_entity(kind, &entity.id, profile.subject_format, &profile.issuers);
            let wanted = profile.entities.contains(&kind)
                && live.stream.hears_of(&named, profile, now)
                && live.stream.delivered(profile).contains(&event_type);
            if !wanted {
                continue;
            }
            let subject = match event_type {
                EventType::SessionRevoked => SubjectId::sessions_of(&named),
                _ => named,
            };
            let draft = Draft {
                event_type,
                subject,
                txn: txn.to_owned(),
                event: event.clone(),
                levels: None,
                rise: false,
                held: None,
            };
            self.enqueue(&id, draft, now);
        }
    }
}
