//! Changes of level as server-sent events, for one client: each read from the store by its sequence. Not how a
//! level changes (see `sluice_engine::durable`).

use std::{collections::VecDeque, convert::Infallible, time::Duration};

use axum::{
    http::HeaderMap,
    response::{
        Sse,
        sse::{Event, KeepAlive},
    },
};
use futures::Stream;
use serde::Serialize;
use sluice_engine::{Seq, durable::LevelRow};
use sluice_finding::RiskLevel;
use utoipa::IntoParams;

use super::{
    super::{
        clock, params::last_event_id, pool::as_token, problem::Problem, shared::Shared,
        throttle::StreamPlace,
    },
    view,
};
use crate::tokens::Principal;

/// What to stream.
#[derive(Debug, serde::Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in super::super) struct LevelStreamParams {
    /// Only changes from or to this level or a higher one: `medium` or `high`.
    level: Option<String>,
}

const HEARTBEAT: Duration = Duration::from_secs(15);
/// How often the store is asked for a change, and the client's token is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Changes that are read at once.
const PAGE: usize = 100;

/// A change of level on the wire.
#[derive(Serialize)]
struct Changed {
    entity: String,
    #[serde(flatten)]
    change: view::Change,
}

struct Client {
    shared: Shared,
    token: String,
    /// The least level that a change begins or ends at.
    least: RiskLevel,
    /// The last change that was read.
    at: Seq,
    ready: VecDeque<Event>,
    look: tokio::time::Interval,
    _place: StreamPlace,
}

/// Opens the stream of one client.
pub(super) fn open(
    shared: Shared,
    principal: Principal,
    headers: &HeaderMap,
    params: LevelStreamParams,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>> + use<>>, Problem> {
    let least = match params.level.as_deref() {
        None => RiskLevel::Low,
        Some(word) => RiskLevel::parse(word)
            .ok_or_else(|| Problem::parameter("level", format!("`{word}` is no level")))?,
    };
    let resume = last_event_id(headers)?;
    let place = shared.throttle.stream(&principal.id)?;
    let at = resume.unwrap_or_else(|| shared.app.store.last());
    shared.counters.streams.inc();
    let client = Client {
        token: principal.id,
        least,
        at,
        ready: VecDeque::new(),
        look: tokio::time::interval(LOOK_EVERY),
        shared,
        _place: place,
    };
    let stream = futures::stream::unfold(client, |mut client| async move {
        client.next().await.map(|event| (Ok(event), client))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(HEARTBEAT)))
}

impl Client {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if !self.shared.app.tokens.is_live(&self.token, clock::now()) {
                return None;
            }
            if self.shared.app.store.last() > self.at {
                let (store, at) = (self.shared.app.store.clone(), self.at);
                let read = move || store.levels_after(at, PAGE);
                // Where it fails the client connects again, with its Last-Event-ID.
                let read = as_token(&self.token, self.shared.pools.reads.run(read)).await;
                let (rows, to) = read.ok()?.ok()?;
                self.take(&rows);
                self.at = to;
                continue;
            }
            let mut stopped = self.shared.stopped.clone();
            tokio::select! {
                _ = self.look.tick() => {}
                () = async { drop(stopped.wait_for(|stop| *stop).await) } => return None,
            }
        }
    }

    fn take(&mut self, rows: &[LevelRow]) {
        for LevelRow { seq, entity, row } in rows {
            if row.level.max(row.previous_level) < self.least {
                continue;
            }
            let changed = Changed { entity: view::name(entity), change: view::Change::of(row) };
            // Strings, numbers and lists of them: writing cannot fail.
            let data = serde_json::to_string(&changed).unwrap_or_default();
            self.ready.push_back(Event::default().event("level").id(seq.0.to_string()).data(data));
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.shared.counters.streams.dec();
    }
}
