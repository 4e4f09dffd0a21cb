//! What findings of some rules say to receivers by themselves, as a follower of the store. Not which types there
//! are (see `config::said`), and not how it is told.

use std::time::Duration;

use sluice_engine::{Seq, durable::FindingStore};
use sluice_event::EntityKind;
use sluice_finding::{Finding, FindingState};
use sluice_signal::{EntityKey, transmitter::Said};

use super::Signals;
use crate::{
    clock,
    config::RuleSignal,
    node::follower::{Follow, Page},
};

/// Feeds signals.
pub(in super::super) struct FollowSaid {
    signals: Signals,
    store: FindingStore,
    at: Seq,
}

/// A finding of an event longer ago is no news, milliseconds: signals were off, or its rule says something since.
const NEWS: i64 = 24 * 3_600_000;
/// The place is remembered this often while there is nothing to say.
const COMMIT_EVERY: Duration = Duration::from_secs(10);

impl FollowSaid {
    pub(super) fn new(signals: Signals, store: FindingStore) -> FollowSaid {
        FollowSaid { signals, store, at: Seq(0) }
    }

    fn said(&self, finding: &Finding, rule: &RuleSignal, now: i64) -> Vec<Said> {
        let passes = finding.shadow
            || finding.state == FindingState::Withdrawn
            || now - finding.time > NEWS
            || !self.store.suppressed_by(finding).is_empty();
        let (Some(event_type), false) = (rule.event_type(), passes) else { return Vec::new() };
        let Some(members) = rule.members(&finding.fields) else { return Vec::new() };
        let named = rule.user.as_ref().map(|column| {
            finding.fields.get(column).and_then(|value| value.as_str()).map(str::to_lowercase)
        });
        let users = finding.entities.iter().filter(|entity| entity.kind == EntityKind::User);
        let wanted = users.filter(|user| match &named {
            None => true,
            Some(name) => name.as_deref() == Some(user.id.as_str()),
        });
        let say = |id: &str| Said {
            finding: finding.id.to_string(),
            rule: finding.rule_id.to_string(),
            entity: EntityKey { kind: EntityKind::User, id: id.to_owned() },
            event_type,
            members: members.clone(),
            at: finding.time.min(now),
        };
        wanted.map(|user| say(&user.id)).collect()
    }
}

impl Follow for FollowSaid {
    const NAME: &'static str = "signals";
    const PAGE: usize = 200;

    /// Goes on where it was; the first time from now on.
    fn open(&mut self, store: &FindingStore) -> Result<Seq, String> {
        self.at = match self.signals.said_cursor().map_err(|e| e.to_string())? {
            Some(at) => at,
            None => {
                let last = store.last();
                self.signals.say(&[], last).map_err(|e| e.to_string())?;
                last
            }
        };
        Ok(self.at)
    }

    fn apply(&mut self, page: Page) -> Result<(), String> {
        let rules = self.signals.saying_rules();
        let now = clock::now();
        let said: Vec<Said> = page
            .changed
            .iter()
            .filter_map(|stored| Some((&stored.finding, rules.get(&*stored.finding.rule_id)?)))
            .flat_map(|(finding, rule)| self.said(finding, rule, now))
            .collect();
        if !said.is_empty() {
            self.signals.say(&said, page.to).map_err(|e| e.to_string())?;
        }
        self.at = page.to;
        Ok(())
    }

    fn commit(&mut self) -> Result<(), String> {
        self.signals.say(&[], self.at).map_err(|e| e.to_string())
    }

    fn commit_every(&self) -> Duration {
        COMMIT_EVERY
    }
}
