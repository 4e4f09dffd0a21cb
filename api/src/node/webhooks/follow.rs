//! What webhooks tell of, as a follower of the store: findings as they change, the incidents they belong
//! to, changes of level. Not the words (see [`super::notices`]).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use sluice_engine::{Seq, durable::FindingStore};
use sluice_finding::{Entity, FindingId, FindingState, Incident};
use sluice_signal::webhook::{Notice, NoticeKind};

use super::{Cursor, Webhooks, notices};
use crate::{
    clock,
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
    /// When all incidents there are were looked at.
    looked: Option<Instant>,
}

/// Levels that are read at a time.
const LEVELS: usize = 500;
/// All incidents are looked at this often: those that retention removes are forgotten then.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// The place is remembered this often while there is nothing to tell.
const COMMIT_EVERY: Duration = Duration::from_secs(1);

impl FollowFindings {
    pub(super) fn new(webhooks: Webhooks, store: FindingStore) -> FollowFindings {
        let cursor = Cursor { findings: Seq(0), levels: Seq(0) };
        FollowFindings { webhooks, store, cursor, incidents: BTreeMap::new(), looked: None }
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

    /// Incidents of the findings of a page and those that are over since; and those that are gone. All
    /// there are when it begins and once a minute, since retention tells of none; between that those of
    /// the page, and those that people change.
    fn incidents(&mut self, page: &Page) -> (Vec<Notice>, Vec<String>) {
        let ids: BTreeSet<FindingId> = page.changed.iter().map(|s| s.finding.id).collect();
        let entities: BTreeSet<&Entity> =
            page.changed.iter().flat_map(|s| &s.finding.entities).collect();
        let judged = self.webhooks.0.judged.take();
        let now = clock::monotonic();
        let all = self.looked.is_none_or(|at| now.duration_since(at) >= LOOK_EVERY);
        let incidents: Vec<Arc<Incident>> = if all {
            self.looked = Some(now);
            self.store.incidents()
        } else {
            let near = entities.iter().flat_map(|entity| self.store.incidents_of(entity));
            let judged = judged.into_iter().filter_map(|id| self.store.incident(id));
            let near = near.chain(judged).map(|incident| (incident.id, incident));
            near.collect::<BTreeMap<_, _>>().into_values().collect()
        };
        let mut gone = if all { std::mem::take(&mut self.incidents) } else { BTreeMap::new() };
        let mut offered = Vec::new();
        for incident in incidents {
            let over = incident.status.ends();
            let known = match all {
                true => gone.remove(&incident.id),
                false => self.incidents.get(&incident.id).copied(),
            };
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
        self.looked = None;
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

#[cfg(test)]
mod tests {
    use serde_json::Map;
    use sluice_engine::{Commit, FindingSink, Reported, durable::Retention};
    use sluice_event::{EntityKind, TimeFlags};
    use sluice_finding::{Finding, IncidentChange, IncidentStatus, IncidentVerdict};
    use sluice_rule::Severity;

    use super::*;

    /// A finding that opens an incident.
    fn critical(n: u128, user: &str) -> Finding {
        Finding {
            id: FindingId(n),
            rule_id: "identity.x".into(),
            rule_version: "1f2e3d4c5b6a".into(),
            title: "t".to_owned(),
            severity: Severity::Critical,
            time: clock::now(),
            state: FindingState::Confirmed,
            revision: 1,
            entities: vec![Entity { kind: EntityKind::User, id: user.to_owned() }],
            attack: Arc::new([]),
            risk: 90,
            shadow: false,
            suppression: None,
            fields: Map::new(),
            window: None,
            count: 1,
            late: false,
            capped: false,
            capped_by: Vec::new(),
            time_flags: TimeFlags::NONE,
            contested: false,
            evidence: Vec::new(),
            evidence_total: 1,
        }
    }

    /// What is told of incidents for what the store has since the last time.
    fn told(follow: &mut FollowFindings, cursor: &mut Seq) -> Vec<(NoticeKind, String)> {
        let (changed, to) = follow.store.after(*cursor, 200).unwrap();
        *cursor = to;
        let notices = follow.incidents(&Page { changed, removed: Vec::new(), to }).0;
        notices.into_iter().map(|notice| (notice.kind, notice.subject)).collect()
    }

    #[test]
    fn it_looks_at_incidents_that_change_and_at_all_once_a_minute() {
        let dir = tempfile::tempdir().unwrap();
        let store = FindingStore::open(&dir.path().join("findings"), Retention::default()).unwrap();
        let webhooks = Webhooks::open(&BTreeMap::new(), &dir.path().join("webhooks")).unwrap();
        let mut follow = FollowFindings::new(webhooks.clone(), store.clone());
        let mut cursor = follow.open(&store).unwrap();
        assert!(told(&mut follow, &mut cursor).is_empty());
        let findings = [critical(1, "ann"), critical(2, "bob")].map(Reported::from).to_vec();
        store.sink().commit(Commit { findings, ..Commit::default() }).unwrap();
        let opened = told(&mut follow, &mut cursor);
        assert_eq!(opened.len(), 2, "{opened:?}");
        let id = |user: &str| {
            let entity = Entity { kind: EntityKind::User, id: user.to_owned() };
            store.incidents_of(&entity).first().unwrap().id
        };
        let change = |id, status, verdict| {
            let change = IncidentChange { status, verdict, ..IncidentChange::default() };
            store.change_incident(id, None, change, "ann").unwrap();
        };
        for user in ["ann", "bob"] {
            change(id(user), None, Some(IncidentVerdict::Benign));
        }
        assert!(told(&mut follow, &mut cursor).is_empty(), "a verdict is no end");
        // The end itself changes no finding.
        let judging = webhooks.judging(id("ann"));
        change(id("ann"), Some(IncidentStatus::Closed), None);
        let closed = |user| vec![(NoticeKind::IncidentClosed, id(user).to_string())];
        assert_eq!(told(&mut follow, &mut cursor), closed("ann"));
        drop(judging);
        change(id("bob"), Some(IncidentStatus::Closed), None);
        assert!(told(&mut follow, &mut cursor).is_empty(), "nobody said which has changed");
        follow.looked = None;
        assert_eq!(told(&mut follow, &mut cursor), closed("bob"));
        follow.looked = None;
        assert!(told(&mut follow, &mut cursor).is_empty(), "each is told once");
    }
}
