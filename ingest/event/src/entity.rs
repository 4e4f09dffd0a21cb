//! The things a finding is about: their kinds, and how the columns of a row name one. Not risk, and
//! no directory of who is who.

use std::fmt;

use crate::fill::lower;

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

/// Columns that name the user an event is about, best first.
pub(crate) const USER: &[&str] = &["user_email", "user_name", "user_uid"];
/// Columns that name who did it.
pub(crate) const ACTOR_USER: &[&str] = &["actor_user_name", "actor_user_uid"];
/// Columns that name the device.
pub(crate) const DEVICE: &[&str] = &["device_uid", "device_hostname"];

/// The key of an entity: the first value in lower case, `DOMAIN\` kept. An empty text names nobody:
/// it would make one entity of everyone unnamed.
pub(crate) fn entity<'a>(values: impl Iterator<Item = Option<&'a str>>) -> Option<String> {
    values.flatten().find(|v| !v.is_empty()).map(|v| lower(v).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_one_word() {
        for kind in EntityKind::ALL {
            assert_eq!(EntityKind::parse(kind.name()), Some(kind));
        }
        assert_eq!(EntityKind::parse("User"), None);
    }
}
