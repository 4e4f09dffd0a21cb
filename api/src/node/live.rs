//! The live stream as a follower: every change of a finding, to any number of subscribers, each page
//! read from the store once. Not the wire (see `http::findings::stream`).

use std::sync::{Arc, OnceLock};

use sluice_engine::{
    EngineError, Seq,
    durable::{FindingStore, Stored},
};
use tokio::sync::broadcast;

use super::follower::{Follow, Page};

/// Hands out subscriptions.
#[derive(Clone)]
pub(crate) struct Live {
    sender: broadcast::Sender<Arc<LivePage>>,
}

/// Findings that changed, in the order of their changes.
pub(crate) struct LivePage {
    /// The findings.
    pub(crate) items: Vec<LiveFinding>,
    /// The last change that the page covers.
    pub(crate) to: Seq,
}

/// One finding as all subscribers share it.
pub(crate) struct LiveFinding {
    /// The finding.
    pub(crate) stored: Stored,
    text: OnceLock<Arc<str>>,
}

/// Findings of a page.
const PAGE: usize = 64;

impl Live {
    /// A live stream whose subscribers may be `pages` pages of 64 findings behind: one that is further
    /// behind loses the oldest, and gets a gap.
    pub(super) fn new(pages: usize) -> Live {
        Live { sender: broadcast::channel(pages).0 }
    }

    /// What follows the store for it, from now on.
    pub(super) fn follow(&self) -> impl Follow + use<> {
        FollowLive { sender: self.sender.clone(), at: None }
    }

    /// Every page from now on.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Arc<LivePage>> {
        self.sender.subscribe()
    }

    /// The page after a change, for a subscriber that comes back.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub(crate) fn page_after(store: &FindingStore, at: Seq) -> Result<LivePage, EngineError> {
        let (changed, to) = store.after(at, PAGE)?;
        Ok(LivePage::new(changed, to))
    }
}

impl LivePage {
    fn new(changed: Vec<Stored>, to: Seq) -> LivePage {
        let item = |stored| LiveFinding { stored, text: OnceLock::new() };
        LivePage { items: changed.into_iter().map(item).collect(), to }
    }
}

impl LiveFinding {
    /// Its text on the wire: written by the first subscriber that needs it, for all.
    pub(crate) fn text(&self, write: impl FnOnce(&Stored) -> String) -> Arc<str> {
        self.text.get_or_init(|| write(&self.stored).into()).clone()
    }
}

struct FollowLive {
    sender: broadcast::Sender<Arc<LivePage>>,
    /// Where it goes on; `None` before the first open.
    at: Option<Seq>,
}

impl Follow for FollowLive {
    const NAME: &'static str = "live";
    const PAGE: usize = PAGE;

    fn open(&mut self, store: &FindingStore) -> Result<Seq, String> {
        Ok(*self.at.get_or_insert_with(|| store.last()))
    }

    fn apply(&mut self, page: Page) -> Result<(), String> {
        self.at = Some(page.to);
        // No subscriber is no error.
        self.sender.send(Arc::new(LivePage::new(page.changed, page.to))).ok();
        Ok(())
    }
}
