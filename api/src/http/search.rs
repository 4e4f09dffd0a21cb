//! A search of the API put to the index, and its answer. Not who keeps the index (the composition
//! does), nor the query language (see [`sluice_index`]).

use sluice_index::{Facet, FindingIndex, SearchError as Refusal, SortKey};

use super::{SearchError, SearchPage, SearchRequest, app::Total};

/// One page of an index.
///
/// # Errors
/// What is wrong with the query, or with the index.
pub(crate) fn search(
    index: &FindingIndex,
    request: &SearchRequest,
) -> Result<SearchPage, SearchError> {
    let asked = sluice_index::SearchRequest {
        query: request.query.clone(),
        now: request.now,
        from: request.from,
        to: request.to,
        limit: request.limit,
        after: request.after.map(|(time, id)| SortKey { time, id }),
        facets: request.facets.iter().filter_map(|name| Facet::parse(name)).collect(),
        facet_limit: request.facet_limit,
    };
    let page = index.search(&asked)?;
    Ok(SearchPage {
        ids: page.hits.iter().map(|hit| (hit.id, hit.time)).collect(),
        next: page.next.map(|next| (next.time, next.id)),
        total: Total { value: page.total, exact: true },
        facets: page.facets.into_iter().map(|(field, counts)| (field.to_owned(), counts)).collect(),
    })
}

impl From<Refusal> for SearchError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Query(error) => SearchError::Query {
                message: match error.detail {
                    Some(detail) => format!("{}: {detail}", error.primary),
                    None => error.primary,
                },
                position: error.column,
                hint: error.hint,
            },
            Refusal::Request(message) => SearchError::Query { message, position: None, hint: None },
            Refusal::FacetTooLarge { .. } => SearchError::Query {
                message: refusal.to_string().lines().next().unwrap_or_default().to_owned(),
                position: None,
                hint: Some("leave the facet out".to_owned()),
            },
            Refusal::Engine(why) => {
                tracing::error!(error = %why, "the search index cannot be read");
                SearchError::Unavailable("the index cannot be read; the log says why".to_owned())
            }
        }
    }
}
