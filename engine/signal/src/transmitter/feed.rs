//! Feeds: changes of levels for tables outside, a record per change, kept until they are written. Not
//! where they are written to, and not what a stream of SETs hears.
//!
//! A feed that is new begins with everybody who is not at base. Records of a feed that is configured no
//! longer are removed.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sluice_event::rfc3339;

use super::{Transmitter, about};
use crate::{EntityKey, EntityLevel, Level, set::derive};

/// A record for a table whose key is the entity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeedRecord {
    /// Its place among those of the feed.
    pub seq: u64,
    /// `kind:id`.
    pub key: String,
    /// What stands for the change: the same change has the same, for ever.
    pub change: String,
    /// The level; `None` for one that is back at base, which removes it from the table.
    pub value: Option<Value>,
}

impl Transmitter {
    /// The oldest records of a feed that are not written.
    pub fn feed(&self, name: &str, limit: usize) -> Vec<FeedRecord> {
        let records = self.feeds.get(name).into_iter().flat_map(|records| records.values());
        records.take(limit).cloned().collect()
    }

    /// How many records of a feed are not written.
    pub fn feed_len(&self, name: &str) -> usize {
        self.feeds.get(name).map_or(0, std::collections::BTreeMap::len)
    }

    /// Forgets records that were written.
    pub fn feed_written(&mut self, name: &str, written: &[u64]) {
        for seq in written {
            if self.feeds.get_mut(name).is_some_and(|records| records.remove(seq).is_some()) {
                self.delete(feed_key(name, *seq));
            }
        }
    }

    /// Adds a record of an entity to every feed, as it is now. `cause` stands for the change.
    pub(super) fn feed_all(&mut self, entity: &EntityKey, cause: &str) {
        let names: Vec<String> = self.feeds.keys().cloned().collect();
        for name in names {
            self.feed_one(&name, entity, cause);
        }
    }

    /// Takes a stored record; whether its feed is configured.
    pub(super) fn load_feed(&mut self, name: &str, record: FeedRecord) -> bool {
        self.seq = self.seq.max(record.seq);
        let Some(records) = self.feeds.get_mut(name) else { return false };
        records.insert(record.seq, record);
        true
    }

    /// Begins feeds that are new with everybody who is not at base. `begun` are those that were before.
    pub(super) fn begin_feeds(&mut self, begun: &[String]) {
        let names: Vec<String> = self.feeds.keys().cloned().collect();
        for name in names.iter().filter(|name| !begun.contains(name)) {
            let raised: Vec<EntityKey> = self
                .entities
                .iter()
                .filter(|(_, level)| !is_base(level))
                .map(|(entity, _)| entity.clone())
                .collect();
            for entity in raised {
                let number = self.entities.get(&entity).map_or(0, |level| level.change_no);
                let cause = derive("snapshot", &[&about(&entity), &number.to_string()]);
                self.feed_one(name, &entity, &cause);
            }
            self.put(begun_key(name), b"{}".to_vec());
        }
        for name in begun {
            if !self.feeds.contains_key(name) {
                self.delete(begun_key(name));
            }
        }
    }

    fn feed_one(&mut self, name: &str, entity: &EntityKey, cause: &str) {
        let Some(level) = self.entities.get(entity) else { return };
        let value = (!is_base(level)).then(|| shown(entity, level));
        let seq = self.next_seq();
        let key = about(entity);
        let record = FeedRecord { seq, key, change: cause.to_owned(), value };
        self.put(feed_key(name, seq), super::json(&record));
        let most = self.settings.queue_most;
        let Some(records) = self.feeds.get_mut(name) else { return };
        records.insert(seq, record);
        if records.len() <= most {
            return;
        }
        // In a compacted table only the newest record of a key counts: older ones make room first.
        let mut newest = std::collections::BTreeMap::new();
        for (seq, record) in records.iter() {
            newest.insert(record.key.clone(), *seq);
        }
        let old: Vec<u64> = records
            .iter()
            .filter(|(s, r)| newest.get(&r.key) != Some(*s))
            .map(|(s, _)| *s)
            .collect();
        for seq in old {
            if let Some(records) = self.feeds.get_mut(name) {
                records.remove(&seq);
            }
            self.delete(feed_key(name, seq));
            self.totals.superseded += 1;
        }
    }
}

/// Whether there is nothing to say about an entity.
fn is_base(level: &EntityLevel) -> bool {
    level.level == Level::Low
}

fn shown(entity: &EntityKey, level: &EntityLevel) -> Value {
    json!({
        "kind": entity.kind.name(), "id": entity.id, "level": level.level.name(),
        "previous_level": level.previous_level.name(), "score": level.score,
        "reasons": level.reasons, "change_no": level.change_no,
        "changed_at": rfc3339(level.changed_at), "overridden": level.over.is_some(),
        "quarantined": level.is_quarantined(),
    })
}

/// The prefix of the records of feeds.
pub(super) fn feed_key(name: &str, seq: u64) -> String {
    format!("feed/{name}/{seq:020}")
}

fn begun_key(name: &str) -> String {
    format!("fed/{name}")
}
