//! The things a finding is about: their kinds, how the columns of a row name one, and other names of
//! one. Not risk, and not where the other names come from.

use std::{borrow::Cow, collections::HashMap, fmt};

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

/// Other names of users and devices: whatever sources call one, it is one entity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Aliases {
    /// Of users.
    pub users: Names,
    /// Of devices.
    pub devices: Names,
}

/// Entities by each of their names, in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names(HashMap<String, String>);

impl Names {
    /// Adds an entity and another name of it.
    ///
    /// # Errors
    /// The entity that has the name already.
    pub fn add(&mut self, entity: &str, name: &str) -> Result<(), String> {
        let entity = lower(entity).into_owned();
        let of = self.0.entry(lower(name).into_owned()).or_insert_with(|| entity.clone());
        if *of == entity { Ok(()) } else { Err(of.clone()) }
    }

    /// Whether nothing has another name.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The entity that a value names.
    fn get(&self, value: &str) -> Option<&String> {
        self.0.get(&*lower(value))
    }
}

/// The key of an entity: that of the first value which `names` knows, else the first value in lower
/// case, `DOMAIN\` kept. An empty text names nobody: it would make one entity of everyone unnamed.
pub(crate) fn entity<'a>(
    values: impl Iterator<Item = Option<&'a str>> + Clone,
    names: Option<&Names>,
) -> Option<String> {
    let mut given = values.flatten().filter(|v| !v.is_empty());
    let known = names
        .filter(|n| !n.is_empty())
        .and_then(|names| given.clone().find_map(|value| names.get(value).cloned()));
    known.or_else(|| given.next().map(|v| lower(v).into_owned()))
}

/// Lower case, borrowed where it is already.
pub(crate) fn lower(text: &str) -> Cow<'_, str> {
    let clean = |b: u8| b.is_ascii() && !b.is_ascii_uppercase();
    if text.bytes().all(clean) {
        return Cow::Borrowed(text);
    }
    let lower = text.to_lowercase();
    if lower == text { Cow::Borrowed(text) } else { Cow::Owned(lower) }
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
