//! Delivery: the next SET to push and what its answer meant, dead letters, the health of streams. Not the
//! requests themselves, and not polls.

use serde_json::{Map, Value, json};

use super::{
    HistoryRow, Live, Sent, Transmitter, dead_key, json as bytes, load::SentRecord, row_key,
    sent_key,
};
use crate::{
    DeadLetter, Dialect, EventType, KeyError, RequestError, Row, StreamStatus, okta,
    push::{Answer, Outcome, Tried, outcome},
    set::{self, Claims},
    stream::Delivery,
};

/// A SET to be posted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Its id.
    pub jti: String,
    /// Where to.
    pub url: String,
    /// The `Authorization` header; without one none is sent.
    pub authorization: Option<String>,
    /// The compact JWS.
    pub token: String,
}

/// How delivery of a stream goes. Times are milliseconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamHealth {
    /// SETs that wait.
    pub queued: usize,
    /// When the oldest of them arose.
    pub oldest_at: Option<i64>,
    /// Dead letters.
    pub dead_letters: usize,
    /// Entities whose rise mutes keep back.
    pub muted: usize,
    /// When the last SET was acknowledged, since the start of the process.
    pub delivered_at: Option<i64>,
    /// When the last verification was: the stream was seen to work then.
    pub proven_at: Option<i64>,
    /// Failures in a row.
    pub failures: u32,
    /// What the last failure was.
    pub error: Option<String>,
    /// When it is tried again.
    pub next_attempt_at: Option<i64>,
}

/// How long a SET that was handed out is not handed out again, in milliseconds.
const LEASE: i64 = 60_000;
/// Receivers may refuse a SET that was issued an hour ago: one older than this is issued anew.
const ISSUED_MOST_S: i64 = 1_800;
/// Dead letters of one stream.
const DEAD: usize = 10_000;

impl Transmitter {
    /// The next SET to push on a stream; `None` if there is none now.
    ///
    /// # Errors
    /// If it cannot be signed.
    pub fn next_push(&mut self, id: &str, now: i64) -> Result<Option<Attempt>, KeyError> {
        let Some(live) = self.streams.get(id) else { return Ok(None) };
        let Delivery::Push { endpoint_url, authorization_header } = live.stream.delivery.clone()
        else {
            return Ok(None);
        };
        let Some(profile) = self.profiles.get(&live.stream.receiver) else { return Ok(None) };
        if live.health.wait_until > now {
            return Ok(None);
        }
        let shadow = profile.shadow;
        let due = live.outbox.due(now, 1, |row| live.may_hand_out(row, shadow)).pop();
        let Some(jti) = due else { return Ok(None) };
        let rate = f64::from(profile.rate);
        let Some(live) = self.streams.get_mut(id) else { return Ok(None) };
        if !live.health.take_token(rate, now) {
            return Ok(None);
        }
        let Some(token) = self.hand_out(id, &jti, now)? else { return Ok(None) };
        Ok(Some(Attempt { jti, url: endpoint_url, authorization: authorization_header, token }))
    }

    /// Takes the answer to an attempt. `jitter` is 0 to 1, random.
    pub fn push_done(&mut self, id: &str, jti: &str, answer: &Answer, jitter: f64, now: i64) {
        let Some(live) = self.streams.get_mut(id) else { return };
        let health = &mut live.health;
        let Some(row) = live.outbox.get_mut(jti) else { return };
        let tried = Tried {
            attempts: health.failures,
            unauthorized: health.unauthorized,
            invalid_key: row.invalid_key,
            failing_for: health.failing_since.map_or(0, |since| now - since),
        };
        row.leased_until = now;
        let err = match answer {
            Answer::Http { err, .. } => err.as_deref(),
            Answer::None(_) => None,
        };
        match outcome(answer, tried, jitter) {
            Outcome::Delivered => {
                if !matches!(answer, Answer::Http { status: 202, .. }) {
                    self.totals.nonconformant += 1;
                }
                self.delivered_row(id, jti, now);
            }
            Outcome::DeadLetter(why) => {
                health.failures = 0;
                self.bury(id, jti, &why, now);
            }
            Outcome::Retry { after, why } => {
                row.last_error = Some(why.clone());
                self.totals.retried += 1;
                health.error = Some(why);
                if err == Some("invalid_key") {
                    // Only this SET waits: others may be signed with a key that is known.
                    row.invalid_key += 1;
                    row.not_before = now + after;
                    return;
                }
                let unauthorized = matches!(answer, Answer::Http { status: 401, .. })
                    || err == Some("authentication_failed");
                health.unauthorized = if unauthorized { health.unauthorized + 1 } else { 0 };
                health.failures += 1;
                health.failing_since.get_or_insert(now);
                health.wait_until = now + after;
            }
            Outcome::Pause(why) => {
                row.last_error = Some(why.clone());
                let reason = format!("delivery failed: {why}");
                self.change_status(id, StreamStatus::Paused, Some(reason.clone()), now);
                if let Some(live) = self.streams.get_mut(id) {
                    live.health.error = Some(why);
                    live.stream.failed_at = Some(now);
                }
                self.put_stream(id);
                self.announce_status(id, StreamStatus::Paused, &reason, now);
                self.record(HistoryRow {
                    at: now,
                    action: "paused".into(),
                    stream: Some(id.to_owned()),
                    jti: Some(jti.to_owned()),
                    detail: Some(reason),
                    ..HistoryRow::default()
                });
            }
        }
    }

    /// SETs that wait on a stream, oldest first.
    pub fn queue(&self, id: &str) -> impl Iterator<Item = &Row> {
        self.streams.get(id).into_iter().flat_map(|l| l.outbox.rows())
    }

    /// Dead letters of a stream.
    pub fn dead_letters(&self, id: &str) -> impl Iterator<Item = &DeadLetter> {
        self.streams.get(id).into_iter().flat_map(|l| l.dead.values())
    }

    /// Sends a dead letter again, with another `jti`. The answer is that id.
    ///
    /// # Errors
    /// If there is no such letter.
    pub fn replay(
        &mut self,
        id: &str,
        jti: &str,
        by: &str,
        now: i64,
    ) -> Result<String, RequestError> {
        let live = self.streams.get_mut(id).ok_or(RequestError::Unknown)?;
        let mut row = live.dead.remove(jti).ok_or(RequestError::Unknown)?.row;
        self.delete(dead_key(id, jti));
        row.replay += 1;
        row.seq = self.next_seq();
        let kind = row.kind().ok_or(RequestError::Unknown)?;
        row.jti = set::jti(id, row.txn.as_deref().unwrap_or(jti), kind, row.replay);
        (row.not_before, row.iat) = (now, now.div_euclid(1_000));
        (row.attempts, row.invalid_key, row.leased_until) = (0, 0, 0);
        let again = row.jti.clone();
        self.record(HistoryRow {
            at: now,
            action: "replayed".into(),
            by: Some(by.to_owned()),
            stream: Some(id.to_owned()),
            jti: Some(again.clone()),
            txn: row.txn.clone(),
            detail: Some(format!("was {jti}")),
            ..HistoryRow::default()
        });
        self.put_row(id, row, now);
        Ok(again)
    }

    /// Sends a SET that waits for approval, or drops it: a person decided, for a reason that history keeps.
    /// With no `jti`, all of the stream. How many that were.
    ///
    /// # Errors
    /// If there is no such stream, or no such SET waits in it.
    pub fn approve(
        &mut self,
        id: &str,
        jti: Option<&str>,
        send: bool,
        by: &str,
        reason: &str,
        now: i64,
    ) -> Result<usize, RequestError> {
        let live = self.streams.get(id).ok_or(RequestError::Unknown)?;
        let waiting = live.outbox.rows().filter(|r| r.awaiting);
        let waiting = waiting.filter(|r| jti.is_none_or(|jti| r.jti == jti));
        let waiting: Vec<String> = waiting.map(|r| r.jti.clone()).collect();
        if jti.is_some() && waiting.is_empty() {
            return Err(RequestError::Unknown);
        }
        for jti in &waiting {
            let Some(live) = self.streams.get_mut(id) else { continue };
            let Some(row) = live.outbox.get_mut(jti) else { continue };
            let action = if send { "approved" } else { "rejected" };
            let decided = HistoryRow {
                at: now,
                action: action.into(),
                by: Some(by.to_owned()),
                stream: Some(id.to_owned()),
                jti: Some(jti.clone()),
                txn: row.txn.clone(),
                event_type: Some(row.event_type.clone()),
                about: Some(row.subject.key()),
                detail: Some(reason.to_owned()),
            };
            (row.awaiting, row.not_before) = (false, now);
            let (key, value) = (row_key(id, row.seq), bytes(row));
            self.record(decided);
            match send {
                true => self.put(key, value),
                false => self.drop_row(id, jti, "dropped", now),
            }
        }
        Ok(waiting.len())
    }

    /// How delivery of a stream goes.
    pub fn health(&self, id: &str) -> StreamHealth {
        let Some(live) = self.streams.get(id) else { return StreamHealth::default() };
        StreamHealth {
            queued: live.outbox.len(),
            oldest_at: live.outbox.rows().next().map(|r| r.created_at),
            dead_letters: live.dead.len(),
            muted: live.muted.len(),
            delivered_at: live.health.delivered_at,
            proven_at: live.health.proven_at,
            failures: live.health.failures,
            error: live.health.error.clone(),
            next_attempt_at: Some(live.health.wait_until).filter(|t| *t > 0),
        }
    }

    /// The signed SET of a row, which nobody else gets for a minute.
    pub(super) fn hand_out(
        &mut self,
        id: &str,
        jti: &str,
        now: i64,
    ) -> Result<Option<String>, KeyError> {
        let Some(live) = self.streams.get_mut(id) else { return Ok(None) };
        let Some(row) = live.outbox.get_mut(jti) else { return Ok(None) };
        let seconds = now.div_euclid(1_000);
        // Never in the future, also after a clock was set back; never so old that it is refused.
        let reissued = row.iat > seconds || row.iat < seconds - ISSUED_MOST_S;
        if reissued {
            row.iat = seconds;
        }
        row.attempts += 1;
        row.leased_until = now + LEASE;
        let row = row.clone();
        if reissued {
            self.put(row_key(id, row.seq), bytes(&row));
        }
        self.token(id, &row).map(Some)
    }

    /// The compact JWS of a row.
    ///
    /// # Errors
    /// If it cannot be signed.
    pub fn token(&self, id: &str, row: &Row) -> Result<String, KeyError> {
        let receiver = self.streams.get(id).map(|l| l.stream.receiver.as_str());
        let profile = receiver.and_then(|r| self.profiles.get(r)).ok_or(KeyError::Sign)?;
        let event_type = row.kind().ok_or(KeyError::Sign)?;
        let sign = |event: &Map<String, Value>| {
            let claims = Claims {
                iss: &self.settings.issuer,
                aud: &profile.audience,
                jti: &row.jti,
                txn: row.txn.as_deref(),
                iat: row.iat,
                subject: &row.subject,
                event_type,
                event,
            };
            let claims = match profile.dialect {
                Dialect::Ssf => claims.to_value(),
                Dialect::Okta => okta::claims(claims),
            };
            self.keys.sign(set::TYP, &claims)
        };
        let token = sign(&row.event)?;
        if token.len() <= set::MAX_BYTES {
            return Ok(token);
        }
        let mut smaller = row.event.clone();
        smaller.insert("x_sluice".into(), json!({"truncated": true}));
        sign(&smaller)
    }

    pub(super) fn delivered_row(&mut self, id: &str, jti: &str, now: i64) {
        let Some(live) = self.streams.get_mut(id) else { return };
        let Some(row) = live.outbox.remove(jti) else { return };
        let verified = row.kind() == Some(EventType::Verification);
        live.health = super::Health {
            delivered_at: Some(now),
            proven_at: if verified { Some(now) } else { live.health.proven_at },
            tokens: live.health.tokens,
            refilled_at: live.health.refilled_at,
            ..Default::default()
        };
        self.totals.delivered += 1;
        self.sent_off(id, row, false, now);
    }

    /// A SET is with its receiver, or with nobody in shadow mode: it leaves the outbox, with a row of history.
    pub(super) fn sent_off(&mut self, id: &str, row: Row, shadow: bool, now: i64) {
        let subject = row.subject.key();
        self.delete(row_key(id, row.seq));
        if let Some((_, level)) = row.levels {
            self.told_level(id, &subject, Sent { level, at: now, shadow });
        }
        self.record(HistoryRow {
            at: now,
            action: if shadow { "shadow" } else { "delivered" }.into(),
            stream: Some(id.to_owned()),
            jti: Some(row.jti),
            txn: row.txn,
            event_type: Some(row.event_type),
            about: Some(subject),
            detail: row.levels.map(|(from, to)| format!("{} to {}", from.name(), to.name())),
            ..HistoryRow::default()
        });
    }

    pub(super) fn told_level(&mut self, id: &str, subject: &str, sent: Sent) {
        let Some(live) = self.streams.get_mut(id) else { return };
        live.sent.insert(subject.to_owned(), sent);
        let record = SentRecord { subject: subject.to_owned(), sent };
        self.put(sent_key(id, subject), bytes(&record));
    }

    pub(super) fn bury(&mut self, id: &str, jti: &str, reason: &str, now: i64) {
        let Some(live) = self.streams.get_mut(id) else { return };
        let Some(row) = live.outbox.remove(jti) else { return };
        let seq = row.seq;
        let letter = DeadLetter { row, at: now, reason: reason.to_owned() };
        let value = bytes(&letter);
        live.dead.insert(jti.to_owned(), letter);
        let oldest = oldest_dead(live);
        self.totals.dead_letters += 1;
        self.delete(row_key(id, seq));
        self.put(dead_key(id, jti), value);
        self.record(HistoryRow {
            at: now,
            action: "dead_letter".into(),
            stream: Some(id.to_owned()),
            jti: Some(jti.to_owned()),
            detail: Some(reason.to_owned()),
            ..HistoryRow::default()
        });
        if let Some(oldest) = oldest {
            if let Some(live) = self.streams.get_mut(id) {
                live.dead.remove(&oldest);
            }
            self.delete(dead_key(id, &oldest));
            self.totals.dropped += 1;
        }
    }
}

impl super::Health {
    /// Takes the right to push one SET; there are so many in a second.
    fn take_token(&mut self, rate: f64, now: i64) -> bool {
        let passed = (now - self.refilled_at).max(0) as f64 / 1_000.0;
        self.tokens = (self.tokens + passed * rate).min(rate);
        self.refilled_at = now;
        let free = self.tokens >= 1.0;
        if free {
            self.tokens -= 1.0;
        }
        free
    }
}

fn oldest_dead(live: &Live) -> Option<String> {
    if live.dead.len() <= DEAD {
        return None;
    }
    live.dead.values().min_by_key(|d| (d.at, d.row.seq)).map(|d| d.row.jti.clone())
}
