//! The audit log over HTTP: every request that changes or asks something beyond looking is recorded,
//! and auditors read the records. Not the log itself (see [`crate::audit`]).

use std::sync::{Arc, OnceLock};

use axum::{
    Json,
    extract::{Request, State},
    http::Method,
    response::Response,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::runtime::Handle;
use utoipa::ToSchema;

use super::{
    clock,
    params::{Params, limit},
    problem::{Code, Problem},
    shared::Shared,
};
use crate::{
    audit::{Entry, Head, Record},
    tokens::Principal,
};

/// What a handler adds to the record of its request: in the extensions of its response.
#[derive(Clone, Debug)]
pub(super) struct Detail(pub(super) Value);

/// What a handler knows of its request before there is an answer: in the extensions of the request, for
/// the record of one whose client leaves.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked(Arc<OnceLock<Value>>);

/// The name of a request, in its extensions.
#[derive(Clone, Debug)]
pub(super) struct RequestName(pub(super) String);

/// A request that is being answered. It is recorded with its answer, or when it is dropped without one.
pub(super) struct Pending {
    shared: Shared,
    /// Taken when it is recorded.
    entry: Option<Entry>,
    asked: Asked,
}

/// Records of the audit log.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditPage)]
pub(super) struct Page {
    /// Oldest first.
    items: Vec<Item>,
    /// The newest record of all: keep it elsewhere, to see whether the end was cut off.
    head: Newest,
}

/// A record.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditRecord)]
struct Item {
    /// Its number, from 1.
    seq: u64,
    at: String,
    /// The name of a token, `cli:UID` or `service`.
    actor: String,
    /// The id of the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    /// `PATCH /api/v1/findings/{id}`, `token.create`.
    action: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    /// The HTTP status it ended with; none if its client left before the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    /// The request, as the log of the process names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<String>,
    #[serde(skip_serializing_if = "Value::is_null")]
    #[schema(value_type = Object)]
    detail: Value,
    /// SHA-256 over the hash of the record before and this one.
    hash: String,
}

/// The newest record.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditHead)]
struct Newest {
    /// 0: there is none.
    seq: u64,
    hash: String,
}

/// Which records.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListParams {
    after: Option<String>,
    limit: Option<String>,
}

/// What people and tokens did, oldest first
///
/// Every request but reading and pushing logs: triage, reloads, replays and drops, hunts (with the hash
/// of their text), and tokens made and revoked on the command line. Each record names the one before by
/// its hash; `sluice audit verify` checks the file without a server.
#[utoipa::path(
    get, path = "/api/v1/audit", tag = "audit", operation_id = "list_audit",
    params(
        ("after" = Option<u64>, Query, description = "Records after this number; from the first if not given."),
        ("limit" = Option<u32>, Query, description = "1 to 500, 50 if not given.")
    ),
    responses((status = 200, description = "A page.", body = Page, example = json!({
        "items": [{
            "seq": 1, "at": "2026-11-24T08:20:00.000Z", "actor": "bob", "token": "0f1e2d3c4b5a6978",
            "action": "PATCH /api/v1/findings/{id}",
            "target": "/api/v1/findings/8c0a3f4be1d25f6790ab12cd34ef5678", "status": 200,
            "request": "5f2c9a0b7d1e4c38-17",
            "hash": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
        }],
        "head": {"seq": 1, "hash": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}
    })))
)]
pub(super) async fn list(
    State(shared): State<Shared>,
    Params(params): Params<ListParams>,
) -> Result<Json<Page>, Problem> {
    let size = limit(params.limit.as_deref())?;
    let after = params.after.as_deref().map_or(Ok(0), str::parse).map_err(|_| {
        let text = params.after.unwrap_or_default();
        Problem::parameter("after", format!("after is the number of a record, not `{text}`"))
    })?;
    let log = shared.app.audit.clone();
    let read = move || Ok::<_, std::io::Error>((log.after(after, size)?, log.head()?));
    let read = shared.pools.reads.run(read).await?;
    let (records, Head { seq, hash }) = read.map_err(|error| Problem::internal(&error))?;
    let items = records.into_iter().map(|(record, hash)| Item::of(record, hash)).collect();
    Ok(Json(Page { items, head: Newest { seq, hash } }))
}

/// Whether requests to a route are recorded: all but looking, and logs, which are records themselves.
pub(super) fn is_recorded(method: &Method, route: &str) -> bool {
    // A query of risk is reading; it is a POST for the length of what is asked.
    !matches!(*method, Method::GET | Method::HEAD)
        && !matches!(route, "/api/v1/ingest/{input}" | "/api/v1/risk/query")
}

/// Whether requests to a route are given up when their clients leave: hunts, which only read.
pub(super) fn ends_with_its_client(route: &str) -> bool {
    route == "/api/v1/hunts"
}

/// Checks that what is done now can be recorded.
///
/// # Errors
/// 503 while the last record could not be written and another cannot either.
pub(super) async fn ready(shared: &Shared) -> Result<(), Problem> {
    if !shared.app.audit.is_failing() {
        return Ok(());
    }
    let entry = Entry::of("service".to_owned(), "audit.resumed", Value::Null);
    append(shared, entry).await
}

impl Asked {
    /// Says what the request asks for.
    pub(super) fn is(&self, detail: Value) {
        // A request has one handler, which says it once.
        self.0.set(detail).ok();
    }
}

impl Pending {
    /// A request of a token, with what its handler will know of it.
    pub(super) fn new(
        shared: &Shared,
        principal: &Principal,
        route: &str,
        request: &Request,
        asked: Asked,
    ) -> Pending {
        let entry = Entry {
            actor: principal.name.clone(),
            token: Some(principal.id.clone()),
            action: format!("{} {route}", request.method()),
            target: Some(request.uri().path().to_owned()),
            status: None,
            request: request.extensions().get::<RequestName>().map(|name| name.0.clone()),
            detail: Value::Null,
        };
        Pending { shared: shared.clone(), entry: Some(entry), asked }
    }

    /// Records it with its answer.
    pub(super) async fn answered(mut self, response: Response) -> Response {
        let detail = response.extensions().get::<Detail>().map(|detail| detail.0.clone());
        let detail = detail.or_else(|| self.asked.0.get().cloned()).unwrap_or_default();
        let status = Some(response.status().as_u16());
        if let Some(entry) = self.entry.take() {
            // A task of its own, which goes on if the client leaves now. It was done; that it is not
            // recorded stops what comes next, in `ready`.
            tokio::spawn(write(self.shared.clone(), Entry { status, detail, ..entry })).await.ok();
        }
        response
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(entry) = self.entry.take()
            && let Ok(runtime) = Handle::try_current()
        {
            let detail = self.asked.0.get().cloned().unwrap_or_default();
            runtime.spawn(write(self.shared.clone(), Entry { detail, ..entry }));
        }
    }
}

async fn write(shared: Shared, entry: Entry) {
    append(&shared, entry).await.ok();
}

async fn append(shared: &Shared, entry: Entry) -> Result<(), Problem> {
    let log = shared.app.audit.clone();
    let appended = shared.pools.audit.run(move || log.append(entry, clock::now())).await?;
    match appended {
        Ok(head) => {
            tracing::debug!(seq = head.seq, hash = head.hash, "audit");
            Ok(())
        }
        Err(error) => {
            tracing::error!(%error, "the audit log cannot be written");
            let text = "what is done cannot be recorded in the audit log: nothing is done";
            Err(Problem::new(Code::Unavailable, text).retry(30))
        }
    }
}

impl Item {
    fn of(record: Record, hash: String) -> Item {
        let Record { seq, at, actor, token, action, target, status, request, detail } = record;
        Item { seq, at, actor, token, action, target, status, request, detail, hash }
    }
}
