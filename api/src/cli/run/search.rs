//! The search index where two meet: the follower that feeds it and the API that asks it. Not the
//! index itself.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use sluice_engine::{Seq, durable::FindingStore, durable::Stored};
use sluice_finding::FindingId;
use sluice_index::{Facet, FindingIndex, IndexSettings, SortKey};

use super::follower::{Health, Index, OpenIndex};
use crate::http::{Search, SearchError, SearchPage, SearchRequest, Total};

/// A search index that may not be open yet, or not any more.
#[derive(Clone)]
pub(super) struct SearchIndex {
    dir: PathBuf,
    open: Arc<Mutex<Option<FindingIndex>>>,
}

impl SearchIndex {
    /// The index of a directory; opened by the follower.
    pub(super) fn new(dir: &Path) -> SearchIndex {
        SearchIndex { dir: dir.to_path_buf(), open: Arc::default() }
    }

    /// How the follower opens it: one that failed goes on from its last commit.
    pub(super) fn opener(&self) -> OpenIndex {
        let shared = self.clone();
        Box::new(move || {
            let mut open = shared.open.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(index) = &*open {
                index.recover().map_err(|e| e.to_string())?;
                return Ok(Box::new(Follow(index.clone())) as Box<dyn Index>);
            }
            let index = FindingIndex::open(&shared.dir, IndexSettings::default())
                .map_err(|e| e.to_string())?;
            *open = Some(index.clone());
            Ok(Box::new(Follow(index)))
        })
    }

    /// How the API asks it.
    pub(super) fn searcher(&self, store: FindingStore, health: Arc<Health>) -> Searcher {
        Searcher { index: self.clone(), store, health }
    }
}

/// The index as the follower sees it.
struct Follow(FindingIndex);

impl Index for Follow {
    fn cursor(&self) -> Seq {
        Seq(self.0.cursor())
    }

    fn apply(
        &mut self,
        changed: &[Stored],
        removed: &[FindingId],
        cursor: Seq,
    ) -> Result<(), String> {
        let changed: Vec<_> = changed.iter().map(|s| (&s.finding, &s.triage)).collect();
        self.0.apply(&changed, removed, cursor.0).map_err(|e| e.to_string())
    }

    fn commit(&mut self) -> Result<(), String> {
        self.0.commit().map_err(|e| e.to_string())
    }
}

/// The index as the API sees it.
pub(super) struct Searcher {
    index: SearchIndex,
    store: FindingStore,
    health: Arc<Health>,
}

impl Search for Searcher {
    fn search(&self, request: &SearchRequest) -> Result<SearchPage, SearchError> {
        let index = self.index.open.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(index) = index else {
            return Err(SearchError::Unavailable(self.health.now().error));
        };
        let facets: Result<Vec<Facet>, SearchError> = request.facets.iter().map(facet).collect();
        let asked = sluice_index::SearchRequest {
            from: request.from,
            to: request.to,
            limit: request.limit,
            after: request.after.map(|(time, id)| SortKey { time, id }),
            facets: facets?,
            facet_limit: request.facet_limit,
            ..sluice_index::SearchRequest::new(request.query.clone(), request.now)
        };
        let page = index.search(&asked).map_err(refused)?;
        let key = |key: SortKey| (key.time, key.id);
        Ok(SearchPage {
            ids: page.hits.into_iter().map(|hit| (hit.id, hit.time)).collect(),
            next: page.next.map(key),
            total: Total { value: page.total, exact: true },
            facets: page
                .facets
                .into_iter()
                .map(|(name, values)| (name.to_owned(), values))
                .collect(),
        })
    }

    fn lag(&self) -> Option<i64> {
        // Nothing tells the age of the oldest change it has not read; without any, it has none.
        (self.health.now().at >= self.store.last().0).then_some(0)
    }

    fn error(&self) -> Option<String> {
        Some(self.health.now().error).filter(|error| !error.is_empty())
    }
}

fn facet(name: &String) -> Result<Facet, SearchError> {
    Facet::parse(name).ok_or_else(|| SearchError::Query {
        message: format!("there is no facet `{name}`"),
        position: None,
        hint: Some(format!("facets: {}", Facet::ALL.map(Facet::name).join(", "))),
    })
}

fn refused(error: sluice_index::SearchError) -> SearchError {
    match error {
        sluice_index::SearchError::Query(query) => SearchError::Query {
            message: match query.detail {
                Some(detail) => format!("{}: {detail}", query.primary),
                None => query.primary,
            },
            position: query.column,
            hint: query.hint,
        },
        error @ (sluice_index::SearchError::Request(_)
        | sluice_index::SearchError::FacetTooLarge { .. }) => {
            SearchError::Query { message: error.to_string(), position: None, hint: None }
        }
        // Paths are for the log, not for those who ask.
        sluice_index::SearchError::Engine(text) => {
            tracing::error!("a search failed: {text}");
            SearchError::Unavailable("the search index failed; the log says how".to_owned())
        }
    }
}
