//! `POST /findings/bulk`: one change for many findings, each with an outcome of its own.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::json;
use sluice_finding::FindingId;
use sluice_index::SearchRequest;
use utoipa::ToSchema;

use super::{
    super::{
        audit::Detail,
        clock,
        params::{LIMIT_MAX, time},
        problem::{Code, Problem},
        shared::Shared,
    },
    change::{Change, given},
    parse_id, query, refused,
};
use crate::tokens::Principal;

/// Which findings, and the change. `ids`, or `query` (with `from` and `to`).
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct Bulk {
    /// At most 500 ids, none twice.
    ids: Option<Vec<String>>,
    /// A search as in `q`; empty: every finding between `from` and `to`.
    query: Option<String>,
    /// Event time at or after, with `query`.
    from: Option<String>,
    /// Event time before, with `query`.
    to: Option<String>,
    /// `shadow`, with `query`: findings of rules on trial too.
    include: Option<String>,
    /// `new`, `in_progress` or `resolved`.
    status: Option<String>,
    /// Why; with `resolved`.
    reason: Option<String>,
    /// Who works on it; null: nobody.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    assignee: Option<Option<String>>,
    /// A remark.
    comment: Option<String>,
}

/// What became of each.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BulkOutcome)]
pub(in super::super) struct Outcome {
    changed: u64,
    failed: u64,
    /// Whether the search has more findings than the 500 that were changed.
    more: bool,
    items: Vec<Item>,
}

/// One finding's outcome.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BulkItem)]
struct Item {
    id: String,
    ok: bool,
    /// Its version now.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    /// A problem's code.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// Changes them.
pub(super) async fn change(
    shared: Shared,
    principal: Principal,
    request: Bulk,
) -> Result<(Detail, Outcome), Problem> {
    let Bulk { ids, query: text, from, to, include, status, reason, assignee, comment } = request;
    let change = Change::new(status, reason, assignee, comment).checked()?;
    // What is wrong with the change is wrong with it for every finding: said once.
    sluice_finding::Triage::default()
        .apply(change.clone(), 0, &principal.name)
        .map_err(|why| refused(why.into()))?;
    let selection = text.as_ref().map_or(json!("ids"), |query| json!({"query": query}));
    let recorded = super::change::recorded(&change);
    let (ids, more) = match (ids, text) {
        (Some(ids), None) => {
            if from.is_some() || to.is_some() || include.is_some() {
                let text = "`from`, `to` and `include` go with `query`, not with `ids`";
                return Err(invalid(text));
            }
            if ids.is_empty() || ids.len() > LIMIT_MAX {
                return Err(invalid(&format!("`ids` has 1 to {LIMIT_MAX} ids, not {}", ids.len())));
            }
            let mut seen = BTreeSet::new();
            if let Some(twice) = ids.iter().find(|id| !seen.insert(id.to_ascii_lowercase())) {
                return Err(invalid(&format!("`ids` has {twice} twice")));
            }
            (ids, false)
        }
        (None, Some(text)) => {
            let now = clock::now();
            let search = SearchRequest {
                from: time("from", from.as_deref(), now)?,
                to: time("to", to.as_deref(), now)?,
                shadow: query::shadow(include.as_deref())?,
                limit: LIMIT_MAX,
                ..SearchRequest::new(query::query(Some(&text))?, now)
            };
            let page = query::search(&shared, search).await?.page;
            (page.hits.iter().map(|hit| hit.id.to_string()).collect(), page.next.is_some())
        }
        (Some(_), Some(_)) | (None, None) => {
            return Err(invalid("say which findings: `ids` or `query`, one of them"));
        }
    };
    let store = shared.app.store.clone();
    let work = move || {
        let one = |id: FindingId| {
            store
                .triage(id, None, change.clone(), clock::now(), &principal.name)
                .map(|stored| stored.triage.version)
                .map_err(refused)
        };
        ids.into_iter()
            .map(|id| match parse_id(&id).and_then(one) {
                Ok(version) => {
                    Item { id, ok: true, version: Some(version), code: None, detail: None }
                }
                Err(problem) => Item {
                    id,
                    ok: false,
                    version: None,
                    code: Some(problem.code()),
                    detail: Some(problem.text().to_owned()),
                },
            })
            .collect::<Vec<_>>()
    };
    let items = shared.pools.writes.run(work).await?;
    let changed = items.iter().filter(|i| i.ok).count() as u64;
    let failed = items.len() as u64 - changed;
    let recorded = json!({
        "selection": selection, "change": recorded, "changed": changed, "failed": failed,
    });
    Ok((Detail(recorded), Outcome { changed, failed, more, items }))
}

fn invalid(text: &str) -> Problem {
    Problem::new(Code::InvalidBody, text)
}
