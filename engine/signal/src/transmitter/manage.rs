//! What receivers ask about their streams (SSF 1.0 section 8.1). A stream of another receiver does not
//! exist for them. Not the HTTP around it.

use serde_json::{Map, Value, json};

use super::{
    HistoryRow, Live, Transmitter, as_object, dead_key, mute::muted_key, row_key, sent_key,
};
use crate::{
    EventType, Profile, RequestError, Stream, StreamStatus, SubjectId,
    set::derive,
    stream::{Delivery, Update},
};

/// Streams of one receiver.
const STREAMS: usize = 16;

impl Transmitter {
    /// `POST` of the configuration endpoint. `nonce` makes the id: random, from the caller.
    ///
    /// # Errors
    /// What is wrong with the body.
    pub fn create_stream(
        &mut self,
        receiver: &str,
        body: &Value,
        nonce: &str,
        now: i64,
    ) -> Result<Value, RequestError> {
        let profile = self.profile(receiver)?;
        let body = object(body)?;
        let mine = self.streams.values().filter(|l| l.stream.receiver == receiver).count();
        if mine >= STREAMS {
            return Err(RequestError::Conflict(format!(
                "a receiver has at most {STREAMS} streams"
            )));
        }
        let id = derive("stream", &[receiver, nonce]);
        let stream = Stream::requested(id.clone(), body, self.context(&profile), now)?;
        let answer = stream.to_value(self.context(&profile));
        self.streams.insert(id.clone(), Live::new(stream));
        self.put_stream(&id);
        self.told(receiver, &id, "stream_created", None, now);
        Ok(answer)
    }

    /// `GET` of the configuration endpoint: one stream, or all of the receiver.
    ///
    /// # Errors
    /// If there is no such stream.
    pub fn read_streams(&self, receiver: &str, id: Option<&str>) -> Result<Value, RequestError> {
        let profile = self.profile(receiver)?;
        let shown = |live: &Live| live.stream.to_value(self.context(&profile));
        match id {
            Some(id) => Ok(shown(self.live(receiver, id)?)),
            None => {
                let mine = self.streams.values().filter(|l| l.stream.receiver == receiver);
                Ok(mine.map(shown).collect())
            }
        }
    }

    /// `PATCH` and `PUT` of the configuration endpoint.
    ///
    /// # Errors
    /// If there is no such stream, or what is wrong with the body.
    pub fn update_stream(
        &mut self,
        receiver: &str,
        body: &Value,
        update: Update,
        now: i64,
    ) -> Result<Value, RequestError> {
        let profile = self.profile(receiver)?;
        let body = object(body)?;
        let id = text(body, "stream_id")?.to_owned();
        let mut stream = self.live(receiver, &id)?.stream.clone();
        if stream.configured {
            let text = "the operator of this transmitter configures this stream";
            return Err(RequestError::Conflict(text.into()));
        }
        stream.update(body, update, self.context(&profile))?;
        let answer = stream.to_value(self.context(&profile));
        stream.active_at = now;
        self.live_mut(receiver, &id)?.stream = stream;
        self.put_stream(&id);
        self.told(receiver, &id, "stream_updated", None, now);
        Ok(answer)
    }

    /// `DELETE` of the configuration endpoint.
    ///
    /// # Errors
    /// If there is no such stream.
    pub fn delete_stream(
        &mut self,
        receiver: &str,
        id: &str,
        now: i64,
    ) -> Result<(), RequestError> {
        if self.live(receiver, id)?.stream.configured {
            let text = "the operator of this transmitter configures this stream";
            return Err(RequestError::Conflict(text.into()));
        }
        self.remove_stream(id);
        self.told(receiver, id, "stream_deleted", None, now);
        Ok(())
    }

    /// `GET` of the status endpoint.
    ///
    /// # Errors
    /// If there is no such stream.
    pub fn status(&self, receiver: &str, id: &str) -> Result<Value, RequestError> {
        Ok(status_of(&self.live(receiver, id)?.stream))
    }

    /// `POST` of the status endpoint.
    ///
    /// # Errors
    /// If there is no such stream, or what is wrong with the body.
    pub fn set_status(
        &mut self,
        receiver: &str,
        body: &Value,
        now: i64,
    ) -> Result<Value, RequestError> {
        let body = object(body)?;
        let id = text(body, "stream_id")?.to_owned();
        let status = StreamStatus::parse(text(body, "status")?)
            .ok_or_else(|| RequestError::Bad("`status` is enabled, paused or disabled".into()))?;
        let reason = match body.get("reason") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text.chars().take(256).collect::<String>()),
            Some(_) => return Err(RequestError::Bad("`reason` is a text".into())),
        };
        self.live(receiver, &id)?;
        self.touch(&id, now);
        self.change_status(&id, status, reason, now);
        Ok(status_of(&self.live(receiver, &id)?.stream))
    }

    /// Sets the status of a stream for an operator, and tells the receiver.
    ///
    /// # Errors
    /// If there is no such stream.
    pub fn operate_status(
        &mut self,
        id: &str,
        status: StreamStatus,
        reason: &str,
        by: &str,
        now: i64,
    ) -> Result<(), RequestError> {
        let live = self.streams.get(id).ok_or(RequestError::Unknown)?;
        let receiver = live.stream.receiver.clone();
        if live.stream.status == status {
            return Ok(());
        }
        // The news of it is handed out also while the stream no longer flows (SSF 1.0 section 8.1.5).
        self.change_status(id, status, Some(reason.to_owned()), now);
        self.announce_status(id, status, reason, now);
        self.told(&receiver, id, status.name(), Some(format!("{by}: {reason}")), now);
        Ok(())
    }

    /// `POST` of the add endpoint.
    ///
    /// # Errors
    /// If there is no such stream, or what is wrong with the body.
    pub fn add_subject(
        &mut self,
        receiver: &str,
        body: &Value,
        now: i64,
    ) -> Result<(), RequestError> {
        let (id, subject) = subject(body)?;
        if body.get("verified").is_some_and(|v| !v.is_boolean()) {
            return Err(RequestError::Bad("`verified` is true or false".into()));
        }
        let stream = &mut self.live_mut(receiver, &id)?.stream;
        stream.add(subject)?;
        stream.active_at = now;
        self.put_stream(&id);
        Ok(())
    }

    /// `POST` of the remove endpoint.
    ///
    /// # Errors
    /// If there is no such stream, or what is wrong with the body.
    pub fn remove_subject(
        &mut self,
        receiver: &str,
        body: &Value,
        now: i64,
    ) -> Result<(), RequestError> {
        let (id, subject) = subject(body)?;
        let until = now + self.settings.subject_removal_grace;
        let stream = &mut self.live_mut(receiver, &id)?.stream;
        stream.remove(subject, until)?;
        stream.active_at = now;
        self.put_stream(&id);
        Ok(())
    }

    /// `POST` of the verification endpoint: the verification is the next SET of the stream.
    ///
    /// # Errors
    /// If there is no such stream, what is wrong with the body, or that it is too soon.
    pub fn request_verification(
        &mut self,
        receiver: &str,
        body: &Value,
        now: i64,
    ) -> Result<(), RequestError> {
        let body = object(body)?;
        let id = text(body, "stream_id")?.to_owned();
        let state = match body.get("state") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) if text.len() <= 1_024 => Some(text.clone()),
            Some(_) => return Err(RequestError::Bad("`state` is a text of at most 1 KiB".into())),
        };
        let least = self.settings.min_verification_interval;
        let live = self.live_mut(receiver, &id)?;
        let wait = live.stream.verified_at + least - now;
        if live.stream.verified_at > 0 && wait > 0 {
            return Err(RequestError::TooSoon((wait + 999) / 1_000));
        }
        (live.stream.verified_at, live.stream.active_at) = (now, now);
        self.put_stream(&id);
        let mut event = Map::new();
        if let Some(state) = state {
            event.insert("state".into(), state.into());
        }
        self.send_one(&id, EventType::Verification, SubjectId::opaque(&id), event, now);
        Ok(())
    }

    /// Whether there may be something to push on a stream: it flows, or says that it does not.
    pub fn pushes(&self, id: &str) -> bool {
        self.streams.get(id).is_some_and(|live| {
            let news = || live.outbox.rows().any(|row| live.may_hand_out(row, true));
            let flows = live.stream.status == StreamStatus::Enabled;
            is_push(&live.stream) && (flows || news())
        })
    }

    /// Sends a SET that a person asked for, as a test where `event` is not given. Its `jti`.
    ///
    /// # Errors
    /// If there is no such stream, it does not deliver the type, or the event is not well formed.
    pub fn send_event(
        &mut self,
        id: &str,
        event_type: EventType,
        subject: SubjectId,
        event: Option<Map<String, Value>>,
        by: &str,
        now: i64,
    ) -> Result<String, RequestError> {
        let live = self.streams.get(id).ok_or(RequestError::Unknown)?;
        let receiver = live.stream.receiver.clone();
        let profile = self.profile(&receiver)?;
        if !live.stream.delivered(&profile).contains(&event_type) {
            let text = format!("the stream does not deliver {}", event_type.name());
            return Err(RequestError::Bad(text));
        }
        let event = event.unwrap_or_else(|| event_type.sample(now));
        event_type.check(&event).map_err(RequestError::Bad)?;
        let jti = self
            .send_one(id, event_type, subject, event, now)
            .ok_or_else(|| RequestError::Conflict("the stream is disabled".into()))?;
        self.told(&receiver, id, "sent_by_hand", Some(by.to_owned()), now);
        Ok(jti)
    }

    /// The streams, in order of id.
    pub fn streams(&self) -> impl Iterator<Item = &Stream> {
        self.streams.values().map(|l| &l.stream)
    }

    /// The event types a stream delivers.
    pub fn delivered(&self, stream: &Stream) -> Vec<EventType> {
        let profile = self.profiles.get(&stream.receiver);
        profile.map_or_else(Vec::new, |profile| stream.delivered(profile))
    }

    /// What the operator configured, for each receiver.
    pub fn profiles(&self) -> impl Iterator<Item = &Profile> {
        self.profiles.values()
    }

    /// What the operator configured for a receiver.
    pub fn profile_of(&self, receiver: &str) -> Option<&Profile> {
        self.profiles.get(receiver)
    }

    /// Puts a stream-updated event into the outbox.
    pub(super) fn announce_status(
        &mut self,
        id: &str,
        status: StreamStatus,
        reason: &str,
        now: i64,
    ) {
        let event = as_object(json!({"status": status.name(), "reason": reason}));
        self.send_one(id, EventType::StreamUpdated, SubjectId::opaque(id), event, now);
    }

    pub(super) fn change_status(
        &mut self,
        id: &str,
        status: StreamStatus,
        reason: Option<String>,
        now: i64,
    ) {
        let Some(live) = self.streams.get_mut(id) else { return };
        live.stream.status = status;
        live.stream.reason = reason;
        live.stream.failed_at = None;
        if status == StreamStatus::Enabled {
            live.stream.active_at = now;
        }
        live.health = super::Health {
            delivered_at: live.health.delivered_at,
            proven_at: live.health.proven_at,
            ..Default::default()
        };
        if status == StreamStatus::Disabled {
            let kept: Vec<String> = live.outbox.rows().map(|r| r.jti.clone()).collect();
            for jti in kept {
                self.drop_row(id, &jti, "disabled", now);
            }
        }
        self.put_stream(id);
    }

    pub(super) fn remove_stream(&mut self, id: &str) {
        let Some(live) = self.streams.remove(id) else { return };
        for row in live.outbox.rows() {
            self.delete(row_key(id, row.seq));
        }
        for jti in live.dead.keys() {
            self.delete(dead_key(id, jti));
        }
        for subject in live.sent.keys() {
            self.delete(sent_key(id, subject));
        }
        for entity in live.muted.keys() {
            self.delete(muted_key(id, entity));
        }
        self.delete(format!("stream/{id}"));
    }

    pub(super) fn profile(&self, receiver: &str) -> Result<Profile, RequestError> {
        self.profiles.get(receiver).cloned().ok_or(RequestError::Unknown)
    }

    pub(super) fn live(&self, receiver: &str, id: &str) -> Result<&Live, RequestError> {
        let live = self.streams.get(id).filter(|l| l.stream.receiver == receiver);
        live.ok_or(RequestError::Unknown)
    }

    pub(super) fn live_mut(&mut self, receiver: &str, id: &str) -> Result<&mut Live, RequestError> {
        let live = self.streams.get_mut(id).filter(|l| l.stream.receiver == receiver);
        live.ok_or(RequestError::Unknown)
    }

    fn told(&mut self, by: &str, id: &str, action: &str, detail: Option<String>, now: i64) {
        self.record(HistoryRow {
            at: now,
            action: action.to_owned(),
            by: Some(by.to_owned()),
            stream: Some(id.to_owned()),
            detail,
            ..HistoryRow::default()
        });
    }
}

/// Whether SETs are posted to a stream.
pub(super) fn is_push(stream: &Stream) -> bool {
    matches!(stream.delivery, Delivery::Push { .. })
}

fn status_of(stream: &Stream) -> Value {
    let mut value = json!({"stream_id": stream.id, "status": stream.status.name()});
    if let (Some(object), Some(reason)) = (value.as_object_mut(), &stream.reason) {
        object.insert("reason".into(), reason.as_str().into());
    }
    value
}

fn object(body: &Value) -> Result<&Map<String, Value>, RequestError> {
    body.as_object().ok_or_else(|| RequestError::Bad("the body is a JSON object".into()))
}

fn text<'b>(body: &'b Map<String, Value>, name: &str) -> Result<&'b str, RequestError> {
    let text = body.get(name).and_then(Value::as_str);
    text.ok_or_else(|| RequestError::Bad(format!("`{name}` is a text and is needed")))
}

fn subject(body: &Value) -> Result<(String, SubjectId), RequestError> {
    let body = object(body)?;
    let id = text(body, "stream_id")?.to_owned();
    let subject = body.get("subject").unwrap_or(&Value::Null);
    let subject = SubjectId::parse(subject).map_err(|e| RequestError::Bad(e.to_string()))?;
    Ok((id, subject))
}
