//! Webhooks: notices of findings, incidents and levels for any HTTP endpoint, as one state machine
//! over keys like the [`transmitter`](crate::transmitter). It is: which target gets what, the queue of each
//! target, retries, dead letters, the rate limit. It is not: the request itself, a clock, a store, how a
//! notice looks to its target ([`template`]) and how it is signed ([`sign`]).
//!
//! A message has the same id in every attempt, also after a restart and a replay: it is derived from
//! target, kind and subject. What makes it exactly one is that the caller commits
//! [`Webhooks::take_changes`] in one batch with its place in what it follows.
//!
//! Source: Standard Webhooks 1.0.

mod load;
pub mod notice;
pub mod sign;
pub mod template;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use notice::{Notice, NoticeKind, Urgency};
pub use sign::{SecretError, WebhookSecret};
pub use template::Template;

use crate::{Change, push::Answer, set::derive};

/// An endpoint, and which notices it gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its name: letters, digits, `_` and `-`.
    pub name: String,
    /// Kinds of notices it gets; a test always.
    pub kinds: Vec<NoticeKind>,
    /// Notices below this are not sent.
    pub min_urgency: Urgency,
    /// How notices look to it.
    pub template: Template,
    /// The address of the pages of this server, without a `/` at its end; `None`: notices link nowhere.
    pub pages: Option<String>,
    /// Messages a minute at most; more wait.
    pub per_minute: usize,
    /// Messages that wait at most; the oldest is dropped for one more, and counted.
    pub queue_most: usize,
}

/// A notice on its way to one target. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Its place in the order.
    pub seq: u64,
    /// `webhook-id`: the same in every attempt.
    pub id: String,
    /// [`NoticeKind::name`].
    pub kind: String,
    /// What it is about: the id of a finding or incident, or an entity.
    pub subject: String,
    /// What is posted.
    pub body: Value,
    /// When it arose.
    pub at: i64,
    /// Attempts so far.
    pub attempts: u32,
    /// Not before this time.
    pub not_before: i64,
    /// What the last attempt came to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Handed out until then.
    #[serde(skip)]
    leased_until: i64,
}

/// How a target does. Times are milliseconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetHealth {
    /// Messages that wait.
    pub queued: usize,
    /// When the oldest of them arose.
    pub oldest_at: Option<i64>,
    /// Dead letters.
    pub dead_letters: usize,
    /// Why nothing is sent until a person enables it again.
    pub disabled: Option<String>,
    /// When a message was last accepted, since the start of the process.
    pub delivered_at: Option<i64>,
    /// Failures in a row.
    pub failures: u32,
    /// What the last failure was.
    pub error: Option<String>,
    /// Until when nothing is sent, after failures.
    pub wait_until: Option<i64>,
}

/// Messages and what became of them, since the start of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WebhookTotals {
    /// Made.
    pub made: u64,
    /// Accepted by their target.
    pub delivered: u64,
    /// Attempts that are tried again.
    pub retried: u64,
    /// Given up after the last attempt.
    pub dead_letters: u64,
    /// Dropped because a queue or the dead letters of a target were full.
    pub dropped: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Webhooks {
    targets: BTreeMap<String, Live>,
    seq: u64,
    changes: Vec<Change>,
    /// Notification keys among the changes that are not durable yet.
    notifying: BTreeSet<String>,
    totals: WebhookTotals,
}

/// A target with all that belongs to it.
#[derive(Debug)]
struct Live {
    target: Target,
    queue: BTreeMap<u64, Message>,
    dead: BTreeMap<u64, Message>,
    disabled: Option<String>,
    /// Times of attempts within the last minute.
    sent: VecDeque<i64>,
    delivered_at: Option<i64>,
    failures: u32,
    error: Option<String>,
    wait_until: i64,
}

/// There is no such target, or no such message in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no such webhook, or no such message in it")]
pub struct UnknownMessage;

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
/// Waits after each failed attempt; after the one that follows the last of them a message is a dead
/// letter. The schedule of Standard Webhooks: 27 hours and 35 minutes in all.
const WAITS: [i64; 7] =
    [5 * SECOND, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 10 * HOUR];
/// A target that fails is asked once in this time at most, whatever waits for it.
const CIRCUIT_MOST: i64 = MINUTE;
/// How long a message that was handed out is not handed out again.
const LEASE: i64 = MINUTE;
/// Dead letters of one target.
const DEAD: usize = 10_000;

impl Webhooks {
    /// Changes that are not durable yet, in order. They belong into one batch.
    pub fn take_changes(&mut self) -> Vec<Change> {
        self.notifying.clear();
        std::mem::take(&mut self.changes)
    }

    /// Counters.
    pub fn totals(&self) -> WebhookTotals {
        self.totals
    }

    /// All targets, in name order.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        self.targets.values().map(|live| &live.target)
    }

    /// Queues a notice for each target that wants it. `notified` says whether a key of earlier changes is
    /// durable: each target gets the opening of a finding or incident once, and its end only if it got the
    /// opening.
    pub fn offer(&mut self, notice: &Notice, mut notified: impl FnMut(&str) -> bool, now: i64) {
        let names: Vec<String> = self.targets.keys().cloned().collect();
        for name in names {
            let Some(live) = self.targets.get(&name) else { continue };
            let key = |kind: NoticeKind| notified_key(&name, &message_id(&name, kind, notice));
            let mut notified = |key: &str| self.notifying.contains(key) || notified(key);
            let wanted = match notice.kind.opens() {
                // The end goes to the targets of the opening, whatever its urgency is now.
                Some(opened) => live.target.kinds.contains(&notice.kind) && notified(&key(opened)),
                None => live.target.wants(notice),
            };
            let key = key(notice.kind);
            if !wanted || (notice.kind.is_once() && notified(&key)) {
                continue;
            }
            if notice.kind.is_once() {
                self.notifying.insert(key.clone());
                self.put(key, b"1".to_vec());
            }
            self.queue_message(&name, notice, now);
        }
    }

    /// Sends a test to a target; its id.
    ///
    /// # Errors
    /// If there is no such target.
    pub fn test(&mut self, name: &str, nonce: &str, now: i64) -> Result<String, UnknownMessage> {
        let notice = Notice::test(nonce, now);
        self.queue_message(name, &notice, now).ok_or(UnknownMessage)
    }

    /// Forgets the notification keys of a finding or incident that is kept no longer.
    pub fn forget(&mut self, subject: &str) {
        for name in self.targets.keys().cloned().collect::<Vec<_>>() {
            for kind in NoticeKind::ALL.into_iter().filter(|kind| kind.is_once()) {
                let id = derive_id(&name, kind, subject, 0);
                self.changes.push(Change { key: notified_key(&name, &id), value: None });
            }
        }
    }

    /// The next message for a target, which nobody else gets for a minute; `None` if there is none now.
    pub fn next(&mut self, name: &str, now: i64) -> Option<Message> {
        let live = self.targets.get_mut(name)?;
        while live.sent.front().is_some_and(|at| *at <= now - MINUTE) {
            live.sent.pop_front();
        }
        // A clock that was set back must not stop it for hours.
        live.sent.retain(|at| *at <= now);
        let limited = live.sent.len() >= live.target.per_minute;
        if live.disabled.is_some() || live.wait_until > now || limited {
            return None;
        }
        let free = |m: &&mut Message| m.not_before <= now && m.leased_until <= now;
        let message = live.queue.values_mut().find(free)?;
        message.leased_until = now + LEASE;
        live.sent.push_back(now);
        Some(message.clone())
    }

    /// Takes the answer to an attempt. `jitter` is 0 to 1, random.
    pub fn done(&mut self, name: &str, id: &str, answer: &Answer, jitter: f64, now: i64) {
        let Some(live) = self.targets.get_mut(name) else { return };
        let Some(seq) = live.queue.values().find(|m| m.id == id).map(|m| m.seq) else { return };
        let failure = match answer {
            Answer::Http { status: 200..=299, .. } => None,
            Answer::Http { status, .. } => Some(format!("HTTP {status}")),
            Answer::None(why) => Some(why.clone()),
        };
        let Some(why) = failure else {
            (live.delivered_at, live.failures, live.error) = (Some(now), 0, None);
            live.wait_until = 0;
            live.queue.remove(&seq);
            self.totals.delivered += 1;
            self.delete(message_key(name, seq));
            return;
        };
        live.failures += 1;
        live.error = Some(why.clone());
        let circuit = (SECOND << (live.failures - 1).min(16)).min(CIRCUIT_MOST);
        let asked = match answer {
            Answer::Http { retry_after, .. } => retry_after.unwrap_or(0).max(0),
            Answer::None(_) => 0,
        };
        live.wait_until = now + circuit.max(asked);
        if let Answer::Http { status: 410, .. } = answer {
            let reason = "the endpoint is gone (HTTP 410)".to_owned();
            live.disabled = Some(reason.clone());
            self.changes.push(Change { key: disabled_key(name), value: Some(reason.into_bytes()) });
        }
        let Some(live) = self.targets.get_mut(name) else { return };
        let Some(message) = live.queue.get_mut(&seq) else { return };
        message.leased_until = 0;
        message.error = Some(why);
        match WAITS.get(message.attempts as usize) {
            Some(wait) => {
                message.attempts += 1;
                // Up to a fifth more: targets that came back together are not asked together.
                let spread = (*wait as f64 * 0.2 * jitter.clamp(0.0, 1.0)) as i64;
                message.not_before = now + (wait + spread).max(asked);
                let value = json(message);
                self.totals.retried += 1;
                self.put(message_key(name, seq), value);
            }
            None => self.bury(name, seq),
        }
    }

    /// Queues dead letters again, with the ids they had: one, or all. How many.
    ///
    /// # Errors
    /// If there is no such target or dead letter.
    pub fn replay(
        &mut self,
        name: &str,
        id: Option<&str>,
        now: i64,
    ) -> Result<usize, UnknownMessage> {
        let live = self.targets.get_mut(name).ok_or(UnknownMessage)?;
        let wanted = live.dead.values().filter(|m| id.is_none_or(|id| m.id == id));
        let seqs: Vec<u64> = wanted.map(|m| m.seq).collect();
        if id.is_some() && seqs.is_empty() {
            return Err(UnknownMessage);
        }
        for seq in &seqs {
            let Some(live) = self.targets.get_mut(name) else { continue };
            let Some(mut message) = live.dead.remove(seq) else { continue };
            (message.attempts, message.not_before) = (0, now);
            let value = json(&message);
            live.queue.insert(*seq, message);
            self.delete(dead_key(name, *seq));
            self.put(message_key(name, *seq), value);
        }
        self.trim(name);
        Ok(seqs.len())
    }

    /// Sends again to a target that was disabled, at once.
    ///
    /// # Errors
    /// If there is no such target.
    pub fn enable(&mut self, name: &str) -> Result<(), UnknownMessage> {
        let live = self.targets.get_mut(name).ok_or(UnknownMessage)?;
        (live.failures, live.wait_until) = (0, 0);
        if live.disabled.take().is_some() {
            self.delete(disabled_key(name));
        }
        Ok(())
    }

    /// How a target does.
    pub fn health(&self, name: &str) -> Option<TargetHealth> {
        let live = self.targets.get(name)?;
        Some(TargetHealth {
            queued: live.queue.len(),
            oldest_at: live.queue.values().next().map(|m| m.at),
            dead_letters: live.dead.len(),
            disabled: live.disabled.clone(),
            delivered_at: live.delivered_at,
            failures: live.failures,
            error: live.error.clone(),
            wait_until: Some(live.wait_until).filter(|t| *t > 0),
        })
    }

    /// Messages that wait for a target, oldest first.
    pub fn queue(&self, name: &str) -> impl Iterator<Item = &Message> {
        self.targets.get(name).into_iter().flat_map(|live| live.queue.values())
    }

    /// Dead letters of a target, oldest first.
    pub fn dead_letters(&self, name: &str) -> impl Iterator<Item = &Message> {
        self.targets.get(name).into_iter().flat_map(|live| live.dead.values())
    }

    fn queue_message(&mut self, name: &str, notice: &Notice, now: i64) -> Option<String> {
        let live = self.targets.get(name)?;
        let id = message_id(name, notice.kind, notice);
        // What a target cannot show it does not get: Jira has no issue for a level.
        let body = live.target.template.render(notice, &id, live.target.pages.as_deref())?;
        self.seq += 1;
        let message = Message {
            seq: self.seq,
            id: id.clone(),
            kind: notice.kind.name().to_owned(),
            subject: notice.subject.clone(),
            body,
            at: now,
            attempts: 0,
            not_before: now,
            error: None,
            leased_until: 0,
        };
        self.put(message_key(name, self.seq), json(&message));
        self.targets.get_mut(name)?.queue.insert(self.seq, message);
        self.totals.made += 1;
        self.trim(name);
        Some(id)
    }

    fn bury(&mut self, name: &str, seq: u64) {
        let Some(live) = self.targets.get_mut(name) else { return };
        let Some(message) = live.queue.remove(&seq) else { return };
        let value = json(&message);
        live.dead.insert(seq, message);
        let oldest = (live.dead.len() > DEAD).then(|| live.dead.pop_first()).flatten();
        self.totals.dead_letters += 1;
        self.delete(message_key(name, seq));
        self.put(dead_key(name, seq), value);
        if let Some((oldest, _)) = oldest {
            self.totals.dropped += 1;
            self.delete(dead_key(name, oldest));
        }
    }

    /// Drops the oldest messages of a queue that is too long.
    fn trim(&mut self, name: &str) {
        while let Some(live) = self.targets.get_mut(name) {
            if live.queue.len() <= live.target.queue_most {
                return;
            }
            let Some((seq, _)) = live.queue.pop_first() else { return };
            self.totals.dropped += 1;
            self.delete(message_key(name, seq));
        }
    }

    fn put(&mut self, key: String, value: Vec<u8>) {
        self.changes.push(Change { key, value: Some(value) });
    }

    fn delete(&mut self, key: String) {
        self.changes.push(Change { key, value: None });
    }
}

impl Target {
    fn wants(&self, notice: &Notice) -> bool {
        self.kinds.contains(&notice.kind) && notice.urgency >= self.min_urgency
    }
}

impl Live {
    fn new(target: Target) -> Live {
        Live {
            target,
            queue: BTreeMap::new(),
            dead: BTreeMap::new(),
            disabled: None,
            sent: VecDeque::new(),
            delivered_at: None,
            failures: 0,
            error: None,
            wait_until: 0,
        }
    }
}

fn message_id(target: &str, kind: NoticeKind, notice: &Notice) -> String {
    derive_id(target, kind, &notice.subject, notice.number)
}

fn derive_id(target: &str, kind: NoticeKind, subject: &str, number: u64) -> String {
    format!("msg_{}", derive("webhook", &[target, kind.name(), subject, &number.to_string()]))
}

fn message_key(target: &str, seq: u64) -> String {
    format!("message/{target}/{seq:020}")
}

fn dead_key(target: &str, seq: u64) -> String {
    format!("dead/{target}/{seq:020}")
}

fn notified_key(target: &str, id: &str) -> String {
    format!("{NOTIFIED_PREFIX}{target}/{id}")
}

fn disabled_key(target: &str) -> String {
    format!("disabled/{target}/")
}

/// The prefix of keys that record what a target was notified of. They are read one by one, never loaded.
pub const NOTIFIED_PREFIX: &str = "notified/";

/// Our own types as JSON: texts, numbers, lists and objects with text keys, which cannot fail.
fn json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}
