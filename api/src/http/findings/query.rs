//! `GET /findings`: search for ids, read the findings from the store.

use axum::response::Response;
use serde::Deserialize;
use sluice_engine::durable::Stored;
use sluice_finding::FindingId;
use sluice_index::{Facet, SearchPage, SearchRequest, SortKey};
use utoipa::IntoParams;

use super::{
    super::{
        clock,
        params::{limit, time},
        problem::{Code, Problem},
        shared::Shared,
    },
    search_refused, view,
};

/// Which findings.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in super::super) struct ListParams {
    /// Words and `field:value`, at most 4 KiB; all findings if not given.
    q: Option<String>,
    /// Event time at or after: RFC 3339, or `now-24h`.
    from: Option<String>,
    /// Event time before.
    to: Option<String>,
    /// 1 to 500, 50 if not given.
    #[param(value_type = Option<u32>)]
    limit: Option<String>,
    /// `next_cursor` of the page before, with the other parameters as they were.
    cursor: Option<String>,
    /// `shadow`: findings of rules on trial too.
    include: Option<String>,
    /// Fields to count values of, with commas: severity, rule_id, status, state, entity_kind, attack,
    /// tactic, assignee.
    facets: Option<String>,
}

/// Bytes of a query.
const QUERY_BYTES: usize = 4 << 10;
const FACET_VALUES: usize = 20;
const TENANT: &str = "default";

/// A page.
pub(super) async fn list(shared: Shared, params: ListParams) -> Result<Response, Problem> {
    let list = [
        TENANT,
        "findings",
        params.q.as_deref().unwrap_or_default(),
        params.from.as_deref().unwrap_or_default(),
        params.to.as_deref().unwrap_or_default(),
        params.include.as_deref().unwrap_or_default(),
    ];
    let place = match &params.cursor {
        None => PageCursor { now: clock::now(), after: None },
        Some(cursor) => PageCursor::read(&shared.cursors.open(&list, cursor)?)?,
    };
    let request = SearchRequest {
        from: time("from", params.from.as_deref(), place.now)?,
        to: time("to", params.to.as_deref(), place.now)?,
        shadow: shadow(params.include.as_deref())?,
        limit: limit(params.limit.as_deref())?,
        after: place.after,
        facets: facets(params.facets.as_deref())?,
        facet_limit: FACET_VALUES,
        ..SearchRequest::new(query(params.q.as_deref())?, place.now)
    };
    let Found { page, items, shadow } = search(&shared, request).await?;
    let next_cursor = page.next.map(|after| {
        let place = PageCursor { now: place.now, after: Some(after) };
        shared.cursors.seal(&list, &place.bytes())
    });
    let facet = |(value, count)| view::Facet { value, count };
    let facets = page.facets.into_iter();
    let make = move || view::Page {
        items: items.iter().map(view::Item::of).collect(),
        next_cursor,
        total: view::Total::exactly(page.total),
        shadow_total: view::Total::exactly(shadow),
        facets: facets
            .map(|(field, values)| (field.to_owned(), values.into_iter().map(facet).collect()))
            .collect(),
    };
    shared.answer(make).await
}

/// What a search found.
pub(super) struct Found {
    /// Its page of the index.
    pub(super) page: SearchPage,
    /// The findings of the page. One that the index knows and retention has removed is left out.
    pub(super) items: Vec<Stored>,
    /// How many findings of rules on trial match, listed or not.
    pub(super) shadow: u64,
}

/// Searches, and reads what was found.
pub(super) async fn search(shared: &Shared, request: SearchRequest) -> Result<Found, Problem> {
    shared.room_for_queries()?;
    let app = shared.app.clone();
    let start = clock::monotonic();
    let work = move || {
        let page = app.search.search(&request).map_err(search_refused)?;
        let of_trial = SearchRequest {
            shadow: Some(true),
            limit: 1,
            after: None,
            facets: Vec::new(),
            ..request
        };
        let shadow = app.search.search(&of_trial).map_err(search_refused)?.total;
        let mut items = Vec::with_capacity(page.hits.len());
        for hit in &page.hits {
            items.extend(app.store.finding(hit.id)?);
        }
        Ok(Found { page, items, shadow })
    };
    let outcome = shared.pools.reads.run(work).await.and_then(|done| done);
    let word = outcome.as_ref().map_or_else(Problem::code, |_| "ok");
    shared.counters.query("search", word, start.elapsed());
    outcome
}

/// Which findings, by rules on trial or not: without `include=shadow` those of rules on trial are left
/// out.
pub(super) fn shadow(include: Option<&str>) -> Result<Option<bool>, Problem> {
    match include {
        None => Ok(Some(false)),
        Some("shadow") => Ok(None),
        Some(other) => {
            Err(Problem::parameter("include", format!("include is `shadow`, not `{other}`")))
        }
    }
}

/// The query, if it is not too long.
pub(super) fn query(text: Option<&str>) -> Result<String, Problem> {
    let text = text.unwrap_or_default();
    if text.len() > QUERY_BYTES {
        return Err(Problem::parameter(
            "q",
            format!("q has {} bytes, more than {QUERY_BYTES}", text.len()),
        ));
    }
    Ok(text.to_owned())
}

fn facets(text: Option<&str>) -> Result<Vec<Facet>, Problem> {
    let fields = text.into_iter().flat_map(|t| t.split(',')).map(str::trim);
    fields
        .map(|field| {
            Facet::parse(field).ok_or_else(|| {
                let all = Facet::ALL.map(Facet::name).join(", ");
                let detail = format!("facets: the values of `{field}` are not counted");
                Problem::parameter("facets", detail).hint(format!("those of {all} are"))
            })
        })
        .collect()
}

/// Where a list goes on.
struct PageCursor {
    /// What `now` meant when the first page was asked for: `now-24h` must not move while paging.
    now: i64,
    after: Option<SortKey>,
}

impl PageCursor {
    fn bytes(&self) -> Vec<u8> {
        let SortKey { time, id } = self.after.unwrap_or(SortKey { time: 0, id: FindingId(0) });
        [&self.now.to_be_bytes()[..], &time.to_be_bytes(), &id.0.to_be_bytes()].concat()
    }

    fn read(bytes: &[u8]) -> Result<PageCursor, Problem> {
        let read = || {
            let (now, rest) = bytes.split_first_chunk()?;
            let (time, rest) = rest.split_first_chunk()?;
            let id = u128::from_be_bytes(rest.try_into().ok()?);
            let after = SortKey { time: i64::from_be_bytes(*time), id: FindingId(id) };
            Some(PageCursor { now: i64::from_be_bytes(*now), after: Some(after) })
        };
        read().ok_or_else(|| Problem::new(Code::InvalidCursor, "the cursor is of another list"))
    }
}
