//! The search index where two meet: the follower that feeds it and the API that asks it. Not the
//! index itself (see `sluice_index`).

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sluice_engine::{Seq, durable::FindingStore};
use sluice_index::{FindingIndex, IndexSettings, SearchPage, SearchRequest};

use super::follower::{Follow, Page, ProgressReader};

/// A search index that may not be open yet, or not any more.
#[derive(Clone)]
pub(super) struct SearchIndex {
    dir: PathBuf,
    open: Arc<Mutex<Option<FindingIndex>>>,
}

/// How the API asks the index.
#[derive(Clone)]
pub(crate) struct Searcher {
    index: SearchIndex,
    store: FindingStore,
    progress: ProgressReader,
}

/// Why a search has no page.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SearchFailure {
    /// The index refused it or failed on it.
    #[error(transparent)]
    Search(#[from] sluice_index::SearchError),
    /// The index is not open; the text says why, as far as it is known.
    #[error("search is not available: {0}")]
    NotOpen(String),
}

/// Changes wait at most this long to be searchable.
const COMMIT_EVERY: Duration = Duration::from_secs(1);

impl SearchIndex {
    /// The index of a directory; opened by its follower.
    pub(super) fn new(dir: &Path) -> SearchIndex {
        SearchIndex { dir: dir.to_path_buf(), open: Arc::default() }
    }

    /// What follows the store for it.
    pub(super) fn follow(&self) -> impl Follow + use<> {
        FollowIndex { shared: self.clone(), index: None }
    }

    /// How the API asks it.
    pub(super) fn searcher(&self, store: FindingStore, progress: ProgressReader) -> Searcher {
        Searcher { index: self.clone(), store, progress }
    }
}

impl Searcher {
    /// One page.
    ///
    /// # Errors
    /// What is wrong with the query, or that the index is not open.
    pub(crate) fn search(&self, request: &SearchRequest) -> Result<SearchPage, SearchFailure> {
        let index = self.index.open.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(index) = index else {
            let why = self.error().unwrap_or_else(|| "the index is being opened".to_owned());
            return Err(SearchFailure::NotOpen(why));
        };
        Ok(index.search(request)?)
    }

    /// Milliseconds it lags behind the store. `None` while it is behind: the age of the oldest change
    /// that it has not read is not known.
    pub(crate) fn lag(&self) -> Option<i64> {
        (self.progress.now().at >= self.store.last().0).then_some(0)
    }

    /// Why it does not go on; `None` if it does.
    pub(crate) fn error(&self) -> Option<String> {
        self.progress.now().error
    }
}

/// Feeds the index.
struct FollowIndex {
    shared: SearchIndex,
    index: Option<FindingIndex>,
}

impl FollowIndex {
    fn index(&self) -> Result<&FindingIndex, String> {
        self.index.as_ref().ok_or_else(|| "the search index is not open".to_owned())
    }
}

impl Follow for FollowIndex {
    const NAME: &'static str = "index";
    const PAGE: usize = 500;

    /// Opens the index; one that failed goes on from its last commit.
    fn open(&mut self, _store: &FindingStore) -> Result<Seq, String> {
        let mut open = self.shared.open.lock().unwrap_or_else(PoisonError::into_inner);
        let index = match &*open {
            Some(index) => {
                index.recover().map_err(|e| e.to_string())?;
                index.clone()
            }
            None => FindingIndex::open(&self.shared.dir, IndexSettings::default())
                .map_err(|e| e.to_string())?,
        };
        *open = Some(index.clone());
        let cursor = Seq(index.cursor());
        self.index = Some(index);
        Ok(cursor)
    }

    fn apply(&mut self, page: Page) -> Result<(), String> {
        let changed: Vec<_> = page.changed.iter().map(|s| (&s.finding, &s.triage)).collect();
        self.index()?.apply(&changed, &page.removed, page.to.0).map_err(|e| e.to_string())
    }

    fn commit(&mut self) -> Result<(), String> {
        self.index()?.commit().map_err(|e| e.to_string())
    }

    fn commit_every(&self) -> Duration {
        COMMIT_EVERY
    }
}
