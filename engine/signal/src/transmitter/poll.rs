//! Polls (RFC 8936): what a receiver acknowledges and gets. Not how long it is held while there is nothing.

use serde_json::{Map, Value, json};

use super::{Transmitter, manage::is_push};
use crate::{RequestError, Row};

/// A poll (RFC 8936 section 2.2).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PollRequest {
    /// SETs wanted at most.
    pub most: usize,
    /// Whether to answer at once.
    pub at_once: bool,
    /// SETs that arrived.
    ack: Vec<String>,
    /// SETs that were refused, and why.
    errors: Vec<(String, String)>,
}

/// The answer to a poll.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PollAnswer {
    sets: Map<String, Value>,
    more: bool,
}

/// SETs of one answer at most.
const POLL_MOST: usize = 100;

impl Transmitter {
    /// Answers a poll of a receiver.
    ///
    /// # Errors
    /// If it has no such stream for polling, or a SET cannot be signed.
    pub fn poll(
        &mut self,
        receiver: &str,
        id: &str,
        request: &PollRequest,
        now: i64,
    ) -> Result<PollAnswer, RequestError> {
        if is_push(&self.live(receiver, id)?.stream) {
            return Err(RequestError::Unknown);
        }
        self.touch(id, now);
        let shadow = self.profile(receiver)?.shadow;
        for jti in &request.ack {
            self.delivered_row(id, jti, now);
        }
        for (jti, why) in &request.errors {
            self.bury(id, jti, why, now);
        }
        let live = self.live(receiver, id)?;
        if request.most == 0 {
            return Ok(PollAnswer::default());
        }
        let wanted = |row: &Row| live.may_hand_out(row, shadow);
        let mut due = live.outbox.due(now, request.most + 1, wanted);
        let more = due.len() > request.most;
        due.truncate(request.most);
        let mut sets = Map::new();
        for jti in due {
            let token =
                self.hand_out(id, &jti, now).map_err(|e| RequestError::Failed(e.to_string()))?;
            if let Some(token) = token {
                sets.insert(jti, token.into());
            }
        }
        Ok(PollAnswer { sets, more })
    }
}

impl PollRequest {
    /// Reads the body of a poll; members that are not known are ignored.
    ///
    /// # Errors
    /// The first member of another form.
    pub fn parse(body: &Value) -> Result<PollRequest, RequestError> {
        let bad = |text: &str| RequestError::Bad(text.to_owned());
        let object = body.as_object().ok_or_else(|| bad("the body is a JSON object"))?;
        let most = match object.get("maxEvents") {
            None | Some(Value::Null) => POLL_MOST,
            Some(value) => {
                let most = value.as_u64().ok_or_else(|| bad("`maxEvents` is 0 or more"))?;
                usize::try_from(most).unwrap_or(POLL_MOST).min(POLL_MOST)
            }
        };
        let at_once = match object.get("returnImmediately") {
            None | Some(Value::Null) => false,
            Some(value) => {
                value.as_bool().ok_or_else(|| bad("`returnImmediately` is true or false"))?
            }
        };
        let ack = match object.get("ack") {
            None | Some(Value::Null) => Vec::new(),
            Some(value) => {
                let texts = |l: &Vec<Value>| {
                    l.iter().map(|v| v.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
                };
                value.as_array().and_then(texts).ok_or_else(|| bad("`ack` is a list of texts"))?
            }
        };
        let mut errors = Vec::new();
        if let Some(value) = object.get("setErrs").filter(|v| !v.is_null()) {
            let all = value.as_object().ok_or_else(|| bad("`setErrs` is an object"))?;
            for (jti, error) in all {
                let err = error.get("err").and_then(Value::as_str);
                let err = err.ok_or_else(|| bad("each of `setErrs` has `err`"))?;
                let more = error.get("description").and_then(Value::as_str).unwrap_or_default();
                let why: String = format!("{err} {more}").trim().chars().take(256).collect();
                errors.push((jti.clone(), why));
            }
        }
        Ok(PollRequest { most, at_once, ack, errors })
    }

    /// The same without what it acknowledged: for asking again while it is held.
    #[must_use]
    pub fn held(&self) -> PollRequest {
        PollRequest { most: self.most, at_once: self.at_once, ..PollRequest::default() }
    }
}

impl PollAnswer {
    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }

    /// As it is on the wire.
    pub fn to_value(&self) -> Value {
        let mut value = json!({"sets": self.sets});
        if let (true, Some(object)) = (self.more, value.as_object_mut()) {
            object.insert("moreAvailable".into(), true.into());
        }
        value
    }
}
