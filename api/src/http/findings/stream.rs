//! The live stream of one client: what it missed, from the store, then what all clients get. Not the
//! reading of the store for all (see [`crate::node::live`]).

use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};

use axum::{
    http::HeaderMap,
    response::{
        Sse,
        sse::{Event, KeepAlive},
    },
};
use futures::Stream;
use serde::Deserialize;
use sluice_engine::{Seq, durable::Stored};
use sluice_finding::{Finding, FindingState};
use sluice_rule::Severity;
use tokio::sync::broadcast;
use utoipa::IntoParams;

use super::{
    super::{
        clock, params::last_event_id, pool::as_token, problem::Problem, shared::Shared,
        throttle::StreamPlace,
    },
    query, view,
};
use crate::{
    node::live::{Live, LivePage},
    tokens::Principal,
};

/// What to stream.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in super::super) struct StreamParams {
    /// `severity:high`, `rule_id:identity.mfa_fatigue`, or both with a space between. Full text is
    /// for `GET /findings`.
    q: Option<String>,
    /// `shadow`: findings of rules on trial too.
    include: Option<String>,
}

const HEARTBEAT: Duration = Duration::from_secs(15);
/// How often a client's token is looked at: a revoked one is cut off within about a second.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Opens the stream of one client.
pub(super) async fn open(
    shared: Shared,
    principal: Principal,
    headers: &HeaderMap,
    params: StreamParams,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>> + use<>>, Problem> {
    let shadow = query::shadow(params.include.as_deref())?.is_none();
    let filter = Filter::parse(params.q.as_deref().unwrap_or_default(), shadow)?;
    let resume = last_event_id(headers)?;
    let place = shared.throttle.stream(&principal.id)?;
    // Subscribed before the store is read: nothing falls between.
    let live = shared.app.live.subscribe();
    let store = shared.app.store.clone();
    let now = shared.pools.reads.run(move || store.last()).await?;
    shared.counters.streams.inc();
    let client = Client {
        live,
        at: resume.unwrap_or(now),
        behind: resume.is_some(),
        ready: VecDeque::new(),
        filter,
        token: principal.id,
        look: tokio::time::interval(LOOK_EVERY),
        shared,
        _place: place,
    };
    let stream = futures::stream::unfold(client, |mut client| async move {
        client.next().await.map(|event| (Ok(event), client))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(HEARTBEAT)))
}

struct Client {
    shared: Shared,
    token: String,
    filter: Filter,
    live: broadcast::Receiver<Arc<LivePage>>,
    /// The last change that was read.
    at: Seq,
    /// Whether the store has more than the live pages will bring.
    behind: bool,
    ready: VecDeque<Event>,
    look: tokio::time::Interval,
    _place: StreamPlace,
}

impl Client {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if !self.live_token() {
                return None;
            }
            if self.behind {
                let at = self.at;
                let store = self.shared.app.store.clone();
                let read = move || Live::page_after(&store, at);
                let page = as_token(&self.token, self.shared.pools.reads.run(read)).await;
                // The client connects again, with its Last-Event-ID.
                let page = page.ok()?.ok()?;
                self.behind = page.to > at;
                self.take(&page);
                continue;
            }
            let mut stopped = self.shared.stopped.clone();
            tokio::select! {
                page = self.live.recv() => match page {
                    Ok(page) => self.take(&page),
                    Err(broadcast::error::RecvError::Lagged(pages)) => self.gap(pages),
                    Err(broadcast::error::RecvError::Closed) => return None,
                },
                _ = self.look.tick() => {}
                () = async { drop(stopped.wait_for(|stop| *stop).await) } => return None,
            }
        }
    }

    /// Makes events of what is after the last change read.
    fn take(&mut self, page: &LivePage) {
        let after = self.at;
        for item in page.items.iter().filter(|item| item.stored.seq > after) {
            let finding = &item.stored.finding;
            if self.filter.takes(finding) {
                let event = Event::default().event(word(finding)).data(&*item.text(text));
                self.ready.push_back(event.id(item.stored.seq.0.to_string()));
            }
        }
        self.at = self.at.max(page.to);
    }

    /// Reports that some pages are lost to this client, and from where it can read them.
    fn gap(&mut self, pages: u64) {
        self.shared.counters.gaps.inc();
        let data = serde_json::json!({
            "after": self.at.0,
            "pages": pages,
            "detail": "this client was too slow: read what is missing with Last-Event-ID, or by GET /api/v1/findings",
        });
        self.ready.push_back(Event::default().event("gap").data(data.to_string()));
    }

    fn live_token(&self) -> bool {
        self.shared.app.tokens.is_live(&self.token, clock::now())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.shared.counters.streams.dec();
    }
}

/// One finding on the wire; written once for all clients.
fn text(stored: &Stored) -> String {
    // Strings, numbers and lists of them: writing cannot fail.
    serde_json::to_string(&view::Item::of(stored)).unwrap_or_default()
}

fn word(finding: &Finding) -> &'static str {
    match finding.state {
        FindingState::Provisional | FindingState::Confirmed => "finding",
        FindingState::Withdrawn => "withdrawn",
    }
}

/// Which findings a client wants: every part that is given must hold.
#[derive(Debug, Default)]
struct Filter {
    severity: Option<Severity>,
    rule: Option<String>,
    /// Whether findings of rules on trial come too.
    shadow: bool,
}

impl Filter {
    fn parse(text: &str, shadow: bool) -> Result<Filter, Problem> {
        let mut filter = Filter { shadow, ..Filter::default() };
        for part in text.split_whitespace() {
            match part.split_once(':') {
                Some(("severity", word)) => {
                    filter.severity = Some(Severity::parse(word).ok_or_else(|| {
                        Problem::parameter("q", format!("`{word}` is no severity"))
                    })?);
                }
                Some(("rule_id", id)) => filter.rule = Some(id.to_owned()),
                Some(_) | None => {
                    return Err(Problem::parameter(
                        "q",
                        format!("the stream cannot filter by `{part}`"),
                    )
                    .hint("severity:high, rule_id:identity.mfa_fatigue, or both"));
                }
            }
        }
        Ok(filter)
    }

    fn takes(&self, finding: &Finding) -> bool {
        self.severity.is_none_or(|s| s == finding.severity)
            && self.rule.as_deref().is_none_or(|r| r == &*finding.rule_id)
            && (self.shadow || !finding.shadow)
    }
}
