//! What webhooks tell of, as a follower of the store: findings as they change, the incidents they belong
//! to, changes of level. Not the words (see [`super::notices`]).

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use sluice_engine::{Seq, durable::FindingStore};
use sluice_finding::{Entity, FindingId, FindingState};
use sluice_signal::webhook::{Notice, NoticeKind};

use super::{Cursor, Webhooks, notices};
use crate::{
    exit::engine_error,
    node::follower::{Follow, Page},
};

/// Feeds webhooks.
pub(super) struct FollowFindings {
    webhooks: Webhooks,
    store: FindingStore,
    cursor: Cursor,
    /// Incidents, and whether they are over, as far as this process has offered them.
    incidents: BTreeMap<FindingId, bool>,
}

/// Levels that are read at a time.
const LEVELS: usize = 500;
/// The place is remembered this often while there is nothing to tell.
const COMMIT_EVERY: Duration = Duration::from_secs(1);

impl FollowFindings {
    pub(super) fn new(webhooks: Webhooks, store: FindingStore) -> FollowFindings {
        let cursor = Cursor { findings: Seq(0), levels: Seq(0) };
        FollowFindings { webhooks, store, cursor, incidents: BTreeMap::new() }
    }

    fn findings(&self, page: &Page) -> Vec<Notice> {
        let offered = page.changed.iter().filter(|stored| {
            let finding = &stored.finding;
            // A withdrawal goes to the targets of the opening, whatever mutes it since.
            let over = finding.state == FindingState::Withdrawn;
            let muted = finding.shadow
                || stored.repeats.folded_into.is_some()
                || !self.store.suppressed_by(finding).is_empty();
            over || !muted
        });
        offered.map(notices::finding).collect()
    }

    /// Incidents of the findings of a page and those that are over since; and those that are gone.
    fn incidents(&mut self, page: &Page) -> (Vec<Notice>, Vec<String>) {
        let ids: BTreeSet<FindingId> = page.changed.iter().map(|s| s.finding.id).collect();
        let entities: BTreeSet<&Entity> =
            page.changed.iter().flat_map(|s| &s.finding.entities).collect();
        let mut offered = Vec::new();
        let mut gone = std::mem::take(&mut self.incidents);
        for incident in self.store.incidents() {
            let over = incident.status.ends();
            let known = gone.remove(&incident.id);
            let touched = entities.contains(&incident.entity)
                && incident.findings.keys().any(|id| ids.contains(id));
            if known.is_none() && touched {
                offered.push(notices::incident(&incident, NoticeKind::IncidentOpened));
            }
            if over && known != Some(true) {
                offered.push(notices::incident(&incident, NoticeKind::IncidentClosed));
            }
            if touched || known.is_some() || over {
                self.incidents.insert(incident.id, over);
            }
        }
        (offered, gone.keys().map(ToString::to_string).collect())
    }

    /// Changes of level since the last page, and where they end.
    fn levels(&self) -> Result<(Vec<Notice>, Seq), String> {
        let (mut offered, mut at) = (Vec::new(), self.cursor.levels);
        loop {
            let (rows, next) = self.store.levels_after(at, LEVELS).map_err(|e| engine_error(&e))?;
            offered.extend(rows.iter().map(notices::level));
            if next == at {
                return Ok((offered, at));
            }
            at = next;
        }
    }
}

impl Follow for FollowFindings {
    const NAME: &'static str = "webhooks";
    const PAGE: usize = 200;

    /// Goes on where it was; the first time from now on: not with the history of a year.
    fn open(&mut self, store: &FindingStore) -> Result<Seq, String> {
        self.cursor = match self.webhooks.cursor().map_err(|e| e.to_string())? {
            Some(cursor) => cursor,
            None => {
                let begin = Cursor { findings: store.last(), levels: store.last() };
                self.webhooks.offer(&[], &[], begin, true).map_err(|e| e.to_string())?;
                begin
            }
        };
        self.incidents.clear();
        Ok(self.cursor.findings)
    }

    fn apply(&mut self, page: Page) -> Result<(), String> {
        let mut offered = self.findings(&page);
        let (incidents, gone) = self.incidents(&page);
        offered.extend(incidents);
        let (levels, at) = self.levels()?;
        offered.extend(levels);
        let removed = page.removed.iter().map(ToString::to_string);
        let forgotten: Vec<String> = removed.chain(gone).collect();
        let cursor = Cursor { findings: page.to, levels: at };
        self.webhooks.offer(&offered, &forgotten, cursor, false).map_err(|e| e.to_string())?;
        self.cursor = cursor;
        Ok(())
    }

    fn commit(&mut self) -> Result<(), String> {
        self.webhooks.offer(&[], &[], self.cursor, true).map_err(|e| e.to_string())
    }

    fn commit_every(&self) -> Duration {
        COMMIT_EVERY
    }
}
