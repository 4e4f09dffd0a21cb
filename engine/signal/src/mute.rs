//! Mutes: for a time receivers hear of no rise of some entities, since people expect it. Not a suppression, which
//! takes weight from findings: findings, risk, and the levels that gateways read stay. What a mute does to streams
//! is in [`crate::transmitter`].

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::EntityKey;

/// Rises of some entities that receivers are not told of, for a time. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mute {
    /// Its id.
    pub id: String,
    /// What for.
    pub purpose: MutePurpose,
    /// Of whom: `user:ann@example.com`, or `device:*` for every entity of a kind. Never empty.
    pub entities: BTreeSet<String>,
    /// Which receivers are not told; empty: all.
    pub receivers: BTreeSet<String>,
    /// Why.
    pub reason: String,
    /// Who.
    pub by: String,
    /// From when.
    pub from: i64,
    /// Until when.
    pub until: i64,
    /// What becomes of rises that were not told when it is over and they go on.
    pub then: AfterMute,
    /// SETs that it kept back so far.
    pub muted: u64,
}

/// What people expect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MutePurpose {
    /// Work on systems.
    Maintenance,
    /// A test by people who attack on purpose.
    Pentest,
    /// Accounts that a receiver must not lock out, whatever they do.
    Privileged,
}

/// What becomes of a rise that was not told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AfterMute {
    /// It is told when the mute is over.
    #[default]
    Tell,
    /// It is not told: the next rise is.
    Drop,
}

/// Mutes at most, those to come included.
pub const MUTES: usize = 1_000;
/// Entities that one names at most.
pub const MUTED_ENTITIES: usize = 1_000;

impl Mute {
    /// Whether a receiver is not told of a rise of an entity now.
    pub fn applies(&self, entity: &EntityKey, receiver: &str, now: i64) -> bool {
        let kind = entity.kind.name();
        (self.from..self.until).contains(&now)
            && (self.receivers.is_empty() || self.receivers.contains(receiver))
            && (self.entities.contains(&format!("{kind}:{}", entity.id))
                || self.entities.contains(&format!("{kind}:*")))
    }
}

impl MutePurpose {
    /// The word on the wire.
    pub fn name(self) -> &'static str {
        match self {
            MutePurpose::Maintenance => "maintenance",
            MutePurpose::Pentest => "pentest",
            MutePurpose::Privileged => "privileged",
        }
    }

    /// The purpose of a word.
    pub fn parse(word: &str) -> Option<MutePurpose> {
        let all = [MutePurpose::Maintenance, MutePurpose::Pentest, MutePurpose::Privileged];
        all.into_iter().find(|purpose| purpose.name() == word)
    }
}

impl AfterMute {
    /// The word on the wire.
    pub fn name(self) -> &'static str {
        match self {
            AfterMute::Tell => "tell",
            AfterMute::Drop => "drop",
        }
    }

    /// What a word says.
    pub fn parse(word: &str) -> Option<AfterMute> {
        [AfterMute::Tell, AfterMute::Drop].into_iter().find(|then| then.name() == word)
    }
}
