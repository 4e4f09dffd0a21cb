//! Quarantine: a device or an account that a person keeps apart for a time, with what shows that its
//! access has stopped. Not who enforces it (see [`crate::policy`]), and not who is told (see
//! [`crate::transmitter`]).
//!
//! `suspected` says that somebody looks at it: nothing is denied, and its accesses are counted.
//! `quarantined` keeps it out of every resource, whatever the rules of decisions say, and its level is
//! `high`. `released` is what it was, kept with the last proof until the next one begins.

use serde::{Deserialize, Serialize};
use sluice_event::{EntityKind, rfc3339};

/// A quarantine. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantine {
    /// How far it is.
    pub state: QuarantineState,
    /// Why.
    pub reason: String,
    /// Who decided it.
    pub by: String,
    /// Since when it is in this state; of one that is released, since when it was quarantined.
    pub since: i64,
    /// When it ends by itself.
    pub until: i64,
    /// Requests at gateways that were denied because of it.
    #[serde(default)]
    pub denied: u64,
    /// The last of them.
    #[serde(default)]
    pub denied_at: Option<i64>,
    /// How it ended.
    #[serde(default)]
    pub release: Option<Release>,
}

/// How far a quarantine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuarantineState {
    /// Somebody looks at it; nothing is denied.
    Suspected,
    /// Everything is denied.
    Quarantined,
    /// It is over.
    Released,
}

/// The end of a quarantine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// When, milliseconds since 1970.
    pub at: i64,
    /// Who; `None` if its time was over.
    pub by: Option<String>,
    /// Why.
    pub reason: String,
    /// What was known of its accesses then; `None` if events could not be read.
    pub proof: Option<Proof>,
}

/// What events say of the accesses of an entity since an instant. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// Accesses after this are counted.
    pub since: i64,
    /// When they were counted.
    pub as_of: i64,
    /// The events that could be read begin here: the proof is whole if that is not after `since`.
    pub covers_from: i64,
    /// Accesses that were allowed.
    pub allowed: u64,
    /// The last of them.
    pub allowed_at: Option<i64>,
    /// Accesses that were refused.
    pub refused: u64,
    /// The last of them.
    pub refused_at: Option<i64>,
}

const STATES: [(QuarantineState, &str); 3] = [
    (QuarantineState::Suspected, "suspected"),
    (QuarantineState::Quarantined, "quarantined"),
    (QuarantineState::Released, "released"),
];

impl QuarantineState {
    /// The word in the API.
    pub fn name(self) -> &'static str {
        STATES.iter().find(|(state, _)| *state == self).map_or("released", |(_, name)| name)
    }

    /// The state of a word.
    pub fn parse(word: &str) -> Option<QuarantineState> {
        STATES.iter().find(|(_, name)| *name == word).map(|(state, _)| *state)
    }
}

impl Quarantine {
    /// Whether everything is denied.
    pub fn holds(&self) -> bool {
        self.state == QuarantineState::Quarantined
    }

    /// Whether it goes on.
    pub fn is_active(&self) -> bool {
        self.state != QuarantineState::Released
    }
}

impl Proof {
    /// Whether events from `since` on were read.
    pub fn is_complete(&self) -> bool {
        self.covers_from <= self.since
    }

    /// Whether access has stopped, as far as that can be said: `None` if it was not seen to go on, but
    /// not all events were read.
    pub fn stopped(&self) -> Option<bool> {
        match (self.allowed, self.is_complete()) {
            (0, true) => Some(true),
            (0, false) => None,
            (_, _) => Some(false),
        }
    }

    /// In words, for the history.
    pub fn text(&self) -> String {
        let Proof { allowed, refused, .. } = self;
        let mut text = format!(
            "{allowed} allowed and {refused} refused accesses in events since {}",
            rfc3339(self.since)
        );
        if !self.is_complete() {
            text += &format!(", read from {} on", rfc3339(self.covers_from));
        }
        text
    }
}

/// Whether entities of a kind can be quarantined: devices and accounts.
pub fn takes(kind: EntityKind) -> bool {
    matches!(kind, EntityKind::User | EntityKind::Device)
}
