//! The live stream: one thread follows the store, every client gets what it reads. A client that
//! comes back is first given what it missed, from the store.

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
use sluice_finding::FindingState;
use sluice_rule::Severity;
use tokio::sync::{broadcast, watch};
use utoipa::IntoParams;

use super::{
    super::{
        Findings, clock,
        problem::{Code, Problem},
        router::Shared,
        server::ended,
    },
    view,
};
use crate::tokens::Principal;

/// What to stream.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in super::super) struct StreamParams {
    /// `severity:high`, `rule_id:identity.mfa_fatigue`, or both with a space between. Full text is
    /// for `GET /findings`.
    q: Option<String>,
}

/// The findings that the store gets, for any number of clients.
#[derive(Clone)]
pub(in super::super) struct Feed {
    sender: broadcast::Sender<Arc<Page>>,
}

/// Findings of one or more whole commits.
struct Page {
    items: Vec<Sent>,
    /// The last commit they are of.
    to: Seq,
}

/// One finding, written once for all clients.
struct Sent {
    seq: Seq,
    /// Whether the rest of its commit came before it: only then may a client go on after `seq`.
    last: bool,
    severity: Severity,
    rule: Arc<str>,
    event: &'static str,
    data: Arc<str>,
}

/// Findings of a page: read from the store at a time.
const PAGE: usize = 64;
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How often a client's token is looked at: a revoked one is cut off within about a second.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long the follower waits for a commit before it looks whether to end.
const PATIENCE: Duration = Duration::from_millis(200);

impl Feed {
    /// Follows the store from now on, on a thread of its own, until the server stops. A client that is
    /// more than `pages` behind is told of a gap.
    pub(in super::super) fn follow(
        store: Arc<dyn Findings>,
        pages: usize,
        stopped: watch::Receiver<bool>,
    ) -> Feed {
        let (sender, _) = broadcast::channel(pages);
        let feed = Feed { sender };
        let out = feed.sender.clone();
        let follow = move || {
            let mut at = store.last();
            while !*stopped.borrow() {
                if store.wait(at, PATIENCE) <= at {
                    continue;
                }
                match page(&*store, at) {
                    Ok(page) if page.to <= at => std::thread::sleep(PATIENCE / 10),
                    Ok(page) => {
                        at = page.to;
                        // No client is no error.
                        out.send(Arc::new(page)).ok();
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the live stream cannot read the store");
                        std::thread::sleep(PATIENCE);
                    }
                }
            }
        };
        if let Err(error) = std::thread::Builder::new().name("http-feed".to_owned()).spawn(follow) {
            tracing::error!(%error, "no live stream: no thread");
        }
        feed
    }
}

/// Opens the stream of one client.
pub(super) async fn open(
    shared: Shared,
    principal: Principal,
    headers: &HeaderMap,
    params: StreamParams,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>> + use<>>, Problem> {
    let filter = Filter::parse(params.q.as_deref().unwrap_or_default())?;
    let resume = match headers.get("last-event-id") {
        None => None,
        Some(id) => {
            Some(id.to_str().ok().and_then(|id| id.trim().parse().ok()).map(Seq).ok_or_else(
                || Problem::new(Code::InvalidParameter, "Last-Event-ID is a sequence, a number"),
            )?)
        }
    };
    let clients = &shared.counters.streams;
    if clients.get() >= shared.streams as i64 {
        return Err(Problem::new(
            Code::Unavailable,
            format!("the live stream has its {} clients already", shared.streams),
        )
        .retry(30));
    }
    // Subscribed before the store is read: nothing falls between.
    let live = shared.feed.sender.subscribe();
    let store = shared.app.store.clone();
    let now = shared.reads.run(move || store.last()).await?;
    clients.inc();
    let client = Client {
        live,
        at: resume.unwrap_or(now),
        behind: resume.is_some(),
        ready: VecDeque::new(),
        filter,
        token: principal.id,
        look: tokio::time::interval(LOOK_EVERY),
        shared,
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
    live: broadcast::Receiver<Arc<Page>>,
    /// The last commit that was read whole.
    at: Seq,
    /// Whether the store has more than the live pages will bring.
    behind: bool,
    ready: VecDeque<Event>,
    look: tokio::time::Interval,
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
                let page = self.shared.reads.run(move || page(&*store, at)).await;
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
                () = ended(&mut stopped) => return None,
            }
        }
    }

    /// Makes events of what is after the last commit read.
    fn take(&mut self, page: &Page) {
        let after = self.at;
        for sent in page.items.iter().filter(|sent| sent.seq > after) {
            if self.filter.takes(sent) {
                let event = Event::default().event(sent.event).data(&*sent.data);
                let event = if sent.last { event.id(sent.seq.0.to_string()) } else { event };
                self.ready.push_back(event);
            }
        }
        self.at = self.at.max(page.to);
    }

    /// Tells that some pages are lost to this client, and from where it can read them.
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

/// The findings after a sequence, and how far they go.
fn page(store: &dyn Findings, after: Seq) -> Result<Page, sluice_engine::EngineError> {
    let (stored, to) = store.after(after, PAGE)?;
    let last = |i: usize, seq: Seq| match stored.get(i + 1) {
        Some(next) => next.seq != seq,
        None => seq <= to,
    };
    let items = stored.iter().enumerate().map(|(i, s)| Sent::of(s, last(i, s.seq))).collect();
    Ok(Page { items, to })
}

impl Sent {
    fn of(stored: &Stored, last: bool) -> Sent {
        let data = serde_json::to_string(&view::Item::of(stored)).unwrap_or_default();
        Sent {
            seq: stored.seq,
            last,
            severity: stored.finding.severity,
            rule: stored.finding.rule_id.clone(),
            event: match stored.finding.state {
                FindingState::Provisional | FindingState::Confirmed => "finding",
                FindingState::Withdrawn => "withdrawn",
            },
            data: data.into(),
        }
    }
}

/// Which findings a client wants: every part that is given must hold.
#[derive(Debug, Default)]
struct Filter {
    severity: Option<Severity>,
    rule: Option<String>,
}

impl Filter {
    fn parse(text: &str) -> Result<Filter, Problem> {
        let mut filter = Filter::default();
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

    fn takes(&self, sent: &Sent) -> bool {
        self.severity.is_none_or(|s| s == sent.severity)
            && self.rule.as_deref().is_none_or(|r| r == &*sent.rule)
    }
}
