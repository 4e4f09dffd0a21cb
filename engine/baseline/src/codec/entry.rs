//! Names of entries of state. Not what is in an entry.

use super::StateError;
use crate::shard::Gone;

/// What an entry holds. Their order is that of the bytes: the header is first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key<'a> {
    Header,
    Population,
    /// Peer groups.
    Groups,
    /// A chunk of changes, by its number.
    Changes(u64),
    /// The text of a value, by its hash.
    Name(u64),
    Entity(&'a str),
    /// The open day unit of an entity.
    Open(i64, &'a str),
    /// Rows of an hour that the open day unit of an entity remembers.
    Seen(i64, u8, &'a str),
    /// A row that waits: time, uid, entity.
    Waiting(i64, u128, &'a str),
}

impl<'a> Key<'a> {
    pub(super) fn of(gone: &'a Gone) -> Key<'a> {
        match gone {
            Gone::Entity(name) => Key::Entity(name),
            Gone::Open(day, name) => Key::Open(*day, name),
            Gone::Seen(day, hour, name) => Key::Seen(*day, *hour, name),
            Gone::Waiting(time, uid, name) => Key::Waiting(*time, *uid, name),
        }
    }

    pub(super) fn bytes(self) -> Vec<u8> {
        match self {
            Key::Header => vec![0],
            Key::Population => vec![1],
            Key::Groups => vec![7],
            Key::Seen(day, hour, name) => {
                [&[8], &day.to_be_bytes()[..], &[hour], name.as_bytes()].concat()
            }
            Key::Changes(number) => [&[2][..], &number.to_be_bytes()].concat(),
            Key::Name(hash) => [&[3][..], &hash.to_be_bytes()].concat(),
            Key::Entity(name) => [&[4], name.as_bytes()].concat(),
            Key::Open(day, name) => [&[5], &day.to_be_bytes()[..], name.as_bytes()].concat(),
            Key::Waiting(time, uid, name) => {
                [&[6], &time.to_be_bytes()[..], &uid.to_be_bytes(), name.as_bytes()].concat()
            }
        }
    }

    pub(super) fn read(key: &'a [u8]) -> Result<Key<'a>, StateError> {
        let damaged = || StateError::Damaged(0);
        let (tag, rest) = key.split_first().ok_or_else(damaged)?;
        let text = |bytes| std::str::from_utf8(bytes).map_err(|_| damaged());
        let number = |bytes: &[u8]| bytes.try_into().map(u64::from_be_bytes).map_err(|_| damaged());
        Ok(match (tag, rest) {
            (0, []) => Key::Header,
            (1, []) => Key::Population,
            (2, rest) => Key::Changes(number(rest)?),
            (3, rest) => Key::Name(number(rest)?),
            (4, rest) => Key::Entity(text(rest)?),
            (5, rest) => {
                let (day, name) = rest.split_first_chunk().ok_or_else(damaged)?;
                Key::Open(i64::from_be_bytes(*day), text(name)?)
            }
            (6, rest) => {
                let (time, rest) = rest.split_first_chunk().ok_or_else(damaged)?;
                let (uid, name) = rest.split_first_chunk().ok_or_else(damaged)?;
                Key::Waiting(i64::from_be_bytes(*time), u128::from_be_bytes(*uid), text(name)?)
            }
            (7, []) => Key::Groups,
            (8, rest) => {
                let (day, rest) = rest.split_first_chunk().ok_or_else(damaged)?;
                let (hour, name) = rest.split_first().ok_or_else(damaged)?;
                Key::Seen(i64::from_be_bytes(*day), *hour, text(name)?)
            }
            _ => return Err(damaged()),
        })
    }
}
