//! The kinds of thing a finding is about. Not how columns name them: that is filled at mapping.

use std::fmt;

/// What an entity is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntityKind {
    /// A person or service account.
    User,
    /// A host or device.
    Device,
    /// A login session.
    Session,
    /// A pod, function or other workload.
    Workload,
    /// An application.
    Application,
    /// An IP address.
    Ip,
}

impl EntityKind {
    /// Every kind.
    pub const ALL: [EntityKind; 6] = [
        EntityKind::User,
        EntityKind::Device,
        EntityKind::Session,
        EntityKind::Workload,
        EntityKind::Application,
        EntityKind::Ip,
    ];

    /// The word in front matter and in findings.
    pub fn name(self) -> &'static str {
        match self {
            EntityKind::User => "user",
            EntityKind::Device => "device",
            EntityKind::Session => "session",
            EntityKind::Workload => "workload",
            EntityKind::Application => "application",
            EntityKind::Ip => "ip",
        }
    }

    /// The kind of a word, if it is one.
    pub fn parse(word: &str) -> Option<EntityKind> {
        Self::ALL.into_iter().find(|k| k.name() == word)
    }
}

impl fmt::Display for EntityKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
