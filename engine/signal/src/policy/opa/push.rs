//! Levels kept in an Open Policy Agent by writing to its data API: the whole document at start and now
//! and then, a JSON Patch for what changed in between. Pure: requests are made by the caller.
//!
//! What an OPA has is in its memory: one that was restarted has nothing and says 404 to a patch, and one
//! that others wrote to is put right with the next whole document. So there is nothing to keep here for
//! a restart, and no change is ever lost: what is sent is the difference to what was accepted last.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use sluice_event::EntityKind;

use super::shown;
use crate::{
    EntityKey, EntityLevel, Level,
    push::{Answer, BACKOFF_MOST},
    set::derive,
    subject::canonical,
};

/// What a policy reads as `data.sluice.risk`: by kind, by id, entities that are not low.
pub type Document = BTreeMap<&'static str, BTreeMap<String, Value>>;

/// A request to make. Its body is JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// `PUT` of the whole document.
    Put(String),
    /// `PATCH` with `application/json-patch+json`.
    Patch(String),
}

/// How an OPA is kept up to date. Times are milliseconds since 1970.
#[derive(Debug)]
pub struct Push {
    resync: i64,
    /// What it has, as far as it said.
    accepted: Option<Document>,
    /// What the request on its way makes of it.
    offered: Option<(Document, bool)>,
    state: PushState,
    not_before: i64,
}

/// How it goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PushState {
    /// When it took the whole document last.
    pub synced_at: Option<i64>,
    /// When it took anything last.
    pub delivered_at: Option<i64>,
    /// Whole documents it took.
    pub puts: u64,
    /// Patches it took.
    pub patches: u64,
    /// Requests it did not take, since the start of the process.
    pub failed: u64,
    /// In a row.
    pub failures: u32,
    /// What the last one came to; `None` while it goes well.
    pub error: Option<String>,
    /// When it is asked again after a failure.
    pub next_attempt_at: Option<i64>,
    /// What stands for the document it has.
    pub revision: Option<String>,
}

/// A patch with more operations is not shorter than the document for long.
const OPERATIONS: usize = 1_000;

/// The document of levels.
pub fn document<'l>(
    levels: impl IntoIterator<Item = (&'l EntityKey, &'l EntityLevel)>,
) -> Document {
    // Every kind is there, so that an entity can be added to it.
    let mut document: Document =
        EntityKind::ALL.iter().map(|kind| (kind.name(), BTreeMap::new())).collect();
    for (entity, level) in levels.into_iter().filter(|(_, level)| level.level > Level::Low) {
        let kind = document.entry(entity.kind.name()).or_default();
        kind.insert(entity.id.clone(), shown(level));
    }
    document
}

impl Push {
    /// One that begins with the whole document, and sends it again after `resync` milliseconds.
    pub fn new(resync: i64) -> Push {
        Push {
            resync,
            accepted: None,
            offered: None,
            state: PushState::default(),
            not_before: i64::MIN,
        }
    }

    /// What is to be sent now that levels are these; `None`: nothing, or not yet.
    pub fn next(&mut self, now: i64, levels: impl FnOnce() -> Document) -> Option<Request> {
        if now < self.not_before {
            return None;
        }
        let document = levels();
        // A clock that went back must not put it off.
        let fresh = |at: i64| (0..self.resync).contains(&(now - at));
        let current = match (&self.accepted, self.state.synced_at) {
            (Some(accepted), Some(at)) if fresh(at) => Some(accepted),
            _ => None,
        };
        let patch = match current {
            Some(accepted) => operations(accepted, &document),
            None => None,
        };
        let request = match patch {
            Some(operations) if operations.is_empty() => return None,
            Some(operations) => Request::Patch(Value::Array(operations).to_string()),
            None => Request::Put(text(&document)),
        };
        self.offered = Some((document, matches!(request, Request::Put(_))));
        Some(request)
    }

    /// What came back for it. `jitter` is 0 to 1, drawn by the caller.
    pub fn done(&mut self, answer: &Answer, jitter: f64, now: i64) {
        let Some((document, whole)) = self.offered.take() else { return };
        let state = &mut self.state;
        let (why, retry_after) = match answer {
            Answer::Http { status: 200..=299, .. } => {
                state.delivered_at = Some(now);
                (state.failures, state.error, state.next_attempt_at) = (0, None, None);
                state.revision = Some(derive("opa", &[&text(&document)]));
                self.accepted = Some(document);
                match whole {
                    true => (state.synced_at, state.puts) = (Some(now), state.puts + 1),
                    false => state.patches += 1,
                }
                return;
            }
            Answer::Http { status, retry_after, .. } => (format!("HTTP {status}"), *retry_after),
            Answer::None(why) => (why.clone(), None),
        };
        if !whole && matches!(answer, Answer::Http { status: 400 | 404, .. }) {
            // It has another document than we thought: it gets ours at once.
            self.accepted = None;
        }
        let most = (1_000_i64 << state.failures.min(20)).min(BACKOFF_MOST);
        let wait = ((most as f64 * jitter.clamp(0.0, 1.0)) as i64).max(100);
        state.failures += 1;
        state.failed += 1;
        state.error = Some(why);
        self.not_before = now + retry_after.unwrap_or(wait).max(0);
        state.next_attempt_at = Some(self.not_before);
    }

    /// How it goes.
    pub fn state(&self) -> &PushState {
        &self.state
    }
}

/// What makes one document of another (RFC 6902); `None` where the whole is shorter.
fn operations(from: &Document, to: &Document) -> Option<Vec<Value>> {
    let mut operations = Vec::new();
    for (kind, entities) in to {
        let before = from.get(kind)?;
        let gone = before.keys().filter(|id| !entities.contains_key(*id));
        for id in gone {
            operations.push(json!({"op": "remove", "path": pointer(kind, id)}));
        }
        for (id, value) in entities.iter().filter(|(id, value)| before.get(*id) != Some(*value)) {
            // `add` replaces what is there (RFC 6902 section 4.1).
            operations.push(json!({"op": "add", "path": pointer(kind, id), "value": value}));
        }
        if operations.len() > OPERATIONS {
            return None;
        }
    }
    Some(operations)
}

/// A JSON Pointer (RFC 6901).
fn pointer(kind: &str, id: &str) -> String {
    format!("/{kind}/{}", id.replace('~', "~0").replace('/', "~1"))
}

fn text(document: &Document) -> String {
    let kinds = document.iter().map(|(kind, entities)| {
        let entities = entities.iter().map(|(id, value)| (id.clone(), value.clone()));
        ((*kind).to_owned(), Value::Object(entities.collect::<Map<_, _>>()))
    });
    let mut text = String::new();
    canonical(&Value::Object(kinds.collect()), &mut text);
    text
}
