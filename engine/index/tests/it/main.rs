//! The index from outside: language, facets, paging, following the store, damage.
#![expect(clippy::unwrap_used, reason = "a failed helper is a failed test")]

mod common;
mod facets;
mod files;
mod follow;
mod language;
mod paging;
mod refused;
