//! `Idempotency-Key`: a POST that is sent again with the same key is answered as the first time, and
//! done once. Kept in memory for 24 hours, and not over a restart.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http_body_util::BodyExt;
use sha2::{Digest, Sha256};

use super::{
    body, clock,
    problem::{Code, Problem},
};
use crate::tokens::Principal;

/// Answers by token and key.
#[derive(Clone, Debug, Default)]
pub(super) struct Idempotency {
    state: Arc<Mutex<Answers>>,
}

#[derive(Debug, Default)]
struct Answers {
    answers: BTreeMap<Name, Answer>,
    /// The order in which they were given.
    order: VecDeque<Name>,
    bytes: usize,
    /// Answers and bytes of each token.
    of: BTreeMap<String, (usize, usize)>,
}

/// A token's id and its key.
type Name = (String, String);

#[derive(Debug)]
struct Answer {
    /// Hash of method, address and body.
    request: [u8; 32],
    given: Instant,
    /// `None` while it is being made.
    response: Option<(StatusCode, HeaderMap, Bytes)>,
}

/// A request that is being answered; without an answer to keep, its key is free again.
struct Running {
    all: Idempotency,
    name: Name,
    kept: bool,
}

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// How long an answer is kept,
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// how many are, of all tokens,
const ANSWERS: usize = 10_000;
/// and how many bytes; the oldest go first,
const BYTES: usize = 32 << 20;
/// those of a token that has more than this part of either before those of others.
const PART: usize = 8;
/// A larger answer is not kept.
const ANSWER_BYTES: usize = 1 << 20;
/// Characters of a key.
const KEY_LENGTH: usize = 255;

/// Answers a request with a key that was answered before as it was then. Pushed logs need no key: their
/// records have ids of their own.
pub(super) async fn once(
    State(answers): State<Idempotency>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let pushed = request.uri().path().starts_with("/api/v1/ingest/");
    let key = request.headers().get(KEY);
    let principal = request.extensions().get::<Principal>().cloned();
    let post = *request.method() == Method::POST && !pushed;
    let (Some(key), Some(principal), true) = (key, principal, post) else {
        return Ok(next.run(request).await);
    };
    let key = key.to_str().ok().filter(|key| !key.is_empty() && key.len() <= KEY_LENGTH);
    let Some(key) = key.map(str::to_owned) else {
        let text = format!("Idempotency-Key has 1 to {KEY_LENGTH} ASCII characters");
        return Err(Problem::new(Code::InvalidParameter, text));
    };
    let (parts, body) = request.into_parts();
    let bytes = body::read(body, body::JSON_BYTES, body::BODY_TIME, None).await?;
    let mut hash = Sha256::new();
    hash.update(parts.uri.to_string().as_bytes());
    hash.update([0]);
    hash.update(&bytes);
    let running = match answers.begin((principal.id, key), hash.finalize().into()) {
        Ok(running) => running,
        Err(answer) => return *answer,
    };
    let response = next.run(Request::from_parts(parts, Body::from(bytes))).await;
    running.keep(response).await
}

impl Idempotency {
    /// The right to answer, or the answer there is.
    fn begin(
        &self,
        name: Name,
        request: [u8; 32],
    ) -> Result<Running, Box<Result<Response, Problem>>> {
        let now = clock::monotonic();
        let mut state = self.lock();
        state.forget(now);
        if let Some(answer) = state.answers.get(&name) {
            return Err(Box::new(answer.again(&request)));
        }
        state.make_room(&name.0);
        state.of.entry(name.0.clone()).or_default().0 += 1;
        state.answers.insert(name.clone(), Answer { request, given: now, response: None });
        state.order.push_back(name.clone());
        Ok(Running { all: self.clone(), name, kept: false })
    }

    fn lock(&self) -> MutexGuard<'_, Answers> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Answer {
    fn again(&self, request: &[u8; 32]) -> Result<Response, Problem> {
        if self.request != *request {
            let text = "this Idempotency-Key was used for another request";
            return Err(Problem::new(Code::Unprocessable, text).hint("use a key for one request"));
        }
        let Some((status, headers, bytes)) = &self.response else {
            let text = "the request with this Idempotency-Key is still running";
            return Err(Problem::new(Code::Conflict, text).retry(1));
        };
        let mut response = (*status, bytes.clone()).into_response();
        *response.headers_mut() = headers.clone();
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        Ok(response)
    }
}

impl Answers {
    fn forget(&mut self, now: Instant) {
        while let Some(name) = self.order.front() {
            let old = match self.answers.get(name) {
                None => true,
                Some(answer) => now.duration_since(answer.given) >= KEPT,
            };
            if !old && self.answers.len() < ANSWERS && self.bytes <= BYTES {
                return;
            }
            if let Some(name) = self.order.pop_front() {
                self.remove(&name);
            }
        }
    }

    /// Forgets the oldest answers of a token while it has its part of what there may be.
    fn make_room(&mut self, token: &str) {
        let has_its_part = |all: &Answers| {
            let (answers, bytes) = all.of.get(token).copied().unwrap_or_default();
            answers >= ANSWERS / PART || bytes > BYTES / PART
        };
        while has_its_part(self) {
            let oldest = self.order.iter().position(|name| name.0 == token);
            let Some(name) = oldest.and_then(|at| self.order.remove(at)) else { return };
            self.remove(&name);
        }
    }

    fn remove(&mut self, name: &Name) {
        let Some(answer) = self.answers.remove(name) else { return };
        let bytes = answer.response.map_or(0, |(_, _, bytes)| bytes.len());
        self.bytes -= bytes;
        if let Some(of) = self.of.get_mut(&name.0) {
            *of = (of.0.saturating_sub(1), of.1.saturating_sub(bytes));
            if of.0 == 0 {
                self.of.remove(&name.0);
            }
        }
    }
}

impl Running {
    /// Keeps an answer that says something was done; another request may be tried again.
    async fn keep(mut self, response: Response) -> Result<Response, Problem> {
        let small = HttpBody::size_hint(response.body())
            .exact()
            .is_some_and(|bytes| bytes <= ANSWER_BYTES as u64);
        if !response.status().is_success() || !small {
            return Ok(response);
        }
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.map_err(|error| Problem::internal(&error))?.to_bytes();
        let mut headers = parts.headers.clone();
        headers.remove(header::CONTENT_LENGTH);
        let mut state = self.all.lock();
        if let Some(answer) = state.answers.get_mut(&self.name) {
            answer.response = Some((parts.status, headers, bytes.clone()));
            state.bytes += bytes.len();
            if let Some(of) = state.of.get_mut(&self.name.0) {
                of.1 += bytes.len();
            }
            self.kept = true;
        }
        drop(state);
        Ok(Response::from_parts(parts, Body::from(bytes)))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.kept {
            let mut state = self.all.lock();
            state.remove(&self.name);
            let at = state.order.iter().rposition(|name| *name == self.name);
            at.and_then(|at| state.order.remove(at));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keep(all: &Idempotency, token: &str, key: usize, bytes: usize) {
        let name = (token.to_owned(), key.to_string());
        let running = all.begin(name, [0; 32]).ok().unwrap();
        let answer = Response::new(Body::from(vec![b'x'; bytes]));
        let kept = futures::executor::block_on(running.keep(answer));
        assert!(kept.is_ok());
    }

    fn is_kept(all: &Idempotency, token: &str, key: usize) -> bool {
        all.lock().answers.contains_key(&(token.to_owned(), key.to_string()))
    }

    #[test]
    fn a_token_that_uses_many_keys_forgets_its_own_answers_first() {
        let all = Idempotency::default();
        keep(&all, "calm", 0, 10);
        for key in 0..2 * ANSWERS {
            keep(&all, "many", key, 1);
        }
        assert!(is_kept(&all, "calm", 0) && is_kept(&all, "many", 2 * ANSWERS - 1));
        assert!(!is_kept(&all, "many", 0));
        assert_eq!(all.lock().answers.len(), 1 + ANSWERS / PART);
    }

    #[test]
    fn a_token_with_large_answers_forgets_its_own_first() {
        let all = Idempotency::default();
        keep(&all, "calm", 0, 10);
        for key in 0..100 {
            keep(&all, "large", key, ANSWER_BYTES);
        }
        assert!(is_kept(&all, "calm", 0) && is_kept(&all, "large", 99));
        let state = all.lock();
        assert!(state.bytes <= BYTES / PART + 2 * ANSWER_BYTES, "{}", state.bytes);
        let sum: usize = state.of.values().map(|(_, bytes)| bytes).sum();
        assert_eq!(sum, state.bytes);
    }

    #[test]
    fn a_request_that_fails_takes_no_room() {
        let all = Idempotency::default();
        drop(all.begin(("a".to_owned(), "1".to_owned()), [0; 32]).ok().unwrap());
        let state = all.lock();
        assert!(state.answers.is_empty() && state.of.is_empty() && state.order.is_empty());
    }
}
