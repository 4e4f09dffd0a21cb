//! Hunts that are asked for with `Prefer: respond-async`: the answer is fetched later. Kept in memory
//! for ten minutes after they end, and not over a restart.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use http_body_util::BodyExt;
use serde_json::json;
use tokio::task::AbortHandle;

use super::{
    clock,
    memory::{Budget, Reserved},
    pool::as_token,
    problem::{Code, Problem},
};
use crate::tokens::{self, Principal};

/// The hunts that run or have ended.
#[derive(Clone, Debug, Default)]
pub(super) struct Jobs {
    jobs: Arc<Mutex<BTreeMap<String, Job>>>,
}

#[derive(Debug)]
struct Job {
    /// The id of the token that asked: nobody else sees it.
    token: String,
    task: Option<AbortHandle>,
    outcome: Option<Outcome>,
}

#[derive(Debug)]
struct Outcome {
    ended: Instant,
    answer: Result<(HeaderMap, Bytes), Problem>,
    _memory: Option<Reserved>,
}

/// Hunts of one token, running or ended,
const PER_TOKEN: usize = 4;
/// and of all.
const MOST: usize = 64;
/// How long an answer is kept.
const KEPT: Duration = Duration::from_secs(600);

impl Jobs {
    /// Starts a hunt in the name of a token; 202 with where its answer will be.
    pub(super) fn start(
        &self,
        memory: &Budget,
        principal: &Principal,
        hunt: impl Future<Output = Result<Response, Problem>> + Send + 'static,
    ) -> Result<Response, Problem> {
        let id = tokens::random::<16>().map(|bytes| tokens::hex(&bytes));
        let id = id.map_err(|error| Problem::internal(&error))?;
        let mut jobs = self.lock();
        let now = clock::monotonic();
        jobs.retain(|_, job| job.outcome.as_ref().is_none_or(|o| now - o.ended < KEPT));
        let own = jobs.values().filter(|job| job.token == principal.id).count();
        if own >= PER_TOKEN || jobs.len() >= MOST {
            let text = format!("a token has {PER_TOKEN} hunts at most, all together {MOST}");
            return Err(Problem::new(Code::TooManyRequests, text)
                .hint("DELETE /api/v1/hunts/{id} forgets one")
                .retry(5));
        }
        let job = Job { token: principal.id.clone(), task: None, outcome: None };
        jobs.insert(id.clone(), job);
        drop(jobs);
        let (all, token, key) = (self.clone(), principal.id.clone(), id.clone());
        let mut memory = memory.of(&token);
        let task = tokio::spawn(async move {
            let answer = as_token(&token, hunt).await;
            let answer = match answer {
                Ok(response) => kept(response, &mut memory).await,
                Err(problem) => Err(problem),
            };
            if let Some(job) = all.lock().get_mut(&key) {
                let ended = clock::monotonic();
                job.outcome = Some(Outcome { ended, answer, _memory: Some(memory) });
            }
        });
        if let Some(job) = self.lock().get_mut(&id) {
            job.task = Some(task.abort_handle());
        }
        let place = format!("/api/v1/hunts/{id}");
        let mut response =
            (StatusCode::ACCEPTED, axum::Json(json!({"id": id, "state": "running"})))
                .into_response();
        if let Ok(place) = HeaderValue::from_str(&place) {
            response.headers_mut().insert(header::LOCATION, place);
        }
        Ok(response)
    }

    /// The answer of a hunt; 202 with `Retry-After` while it runs.
    pub(super) fn answer(&self, id: &str, principal: &Principal) -> Result<Response, Problem> {
        let jobs = self.lock();
        let job = jobs.get(id).filter(|job| job.token == principal.id);
        let job = job.ok_or_else(|| unknown(id))?;
        match &job.outcome {
            None => {
                let running = axum::Json(json!({"id": id, "state": "running"}));
                Ok((StatusCode::ACCEPTED, [(header::RETRY_AFTER, "1")], running).into_response())
            }
            Some(Outcome { answer: Ok((headers, bytes)), .. }) => {
                let mut response = Response::new(Body::from(bytes.clone()));
                *response.headers_mut() = headers.clone();
                Ok(response)
            }
            Some(Outcome { answer: Err(problem), .. }) => Err(problem.clone()),
        }
    }

    /// Ends a hunt, and forgets it.
    pub(super) fn cancel(&self, id: &str, principal: &Principal) -> Result<(), Problem> {
        let mut jobs = self.lock();
        if jobs.get(id).is_none_or(|job| job.token != principal.id) {
            return Err(unknown(id));
        }
        if let Some(task) = jobs.remove(id).and_then(|job| job.task) {
            task.abort();
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Job>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn kept(response: Response, memory: &mut Reserved) -> Result<(HeaderMap, Bytes), Problem> {
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.map_err(|error| Problem::internal(&error))?.to_bytes();
    memory.grown(bytes.len() as u64)?;
    Ok((parts.headers, bytes))
}

fn unknown(id: &str) -> Problem {
    Problem::new(Code::NotFound, format!("there is no hunt {id} of this token"))
}
