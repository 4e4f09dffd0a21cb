//! The state of webhooks from its durable keys. A key that cannot be read refuses the whole: guessing
//! would lose or repeat messages.

use std::collections::{BTreeMap, BTreeSet};

use super::{Live, Message, NOTIFIED_PREFIX, Target, WebhookTotals, Webhooks};
use crate::{Change, LoadError};

impl Webhooks {
    /// Webhooks as their records have them, in any order. Records of a target that is not configured
    /// any more are removed: nothing of it is to be sent.
    ///
    /// # Errors
    /// The first record that cannot be read.
    pub fn load(
        targets: Vec<Target>,
        records: impl IntoIterator<Item = (String, Vec<u8>)>,
    ) -> Result<Webhooks, LoadError> {
        let targets: BTreeMap<String, Live> =
            targets.into_iter().map(|t| (t.name.clone(), Live::new(t))).collect();
        let (changes, totals) = (Vec::new(), WebhookTotals::default());
        let notifying = BTreeSet::new();
        let mut webhooks = Webhooks { targets, seq: 0, changes, notifying, totals };
        for (key, value) in records {
            webhooks.take(&key, &value)?;
        }
        for name in webhooks.targets.keys().cloned().collect::<Vec<_>>() {
            webhooks.trim(&name);
        }
        Ok(webhooks)
    }

    fn take(&mut self, key: &str, value: &[u8]) -> Result<(), LoadError> {
        let wrong = |reason: &str| LoadError { key: key.to_owned(), reason: reason.to_owned() };
        let (space, rest) = key.split_once('/').ok_or_else(|| wrong("its key has no space"))?;
        let (target, name) = rest.split_once('/').ok_or_else(|| wrong("its key is cut off"))?;
        let Some(live) = self.targets.get_mut(target) else {
            self.changes.push(Change { key: key.to_owned(), value: None });
            return Ok(());
        };
        if key.starts_with(NOTIFIED_PREFIX) {
            return Ok(());
        }
        if space == "disabled" {
            live.disabled = Some(String::from_utf8_lossy(value).into_owned());
            return Ok(());
        }
        let message: Message = serde_json::from_slice(value).map_err(|e| wrong(&e.to_string()))?;
        if name.parse() != Ok(message.seq) {
            return Err(wrong("it is another message"));
        }
        self.seq = self.seq.max(message.seq);
        match space {
            "message" => live.queue.insert(message.seq, message),
            "dead" => live.dead.insert(message.seq, message),
            _ => return Err(wrong("an unknown kind of record")),
        };
        Ok(())
    }
}
