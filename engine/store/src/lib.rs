//! The durable store of one node: bytes in keyspaces, written in atomic batches.
//!
//! It is: one embedded database in one directory ([`Store`]), locked for one process, with
//! keyspaces ([`Space`]), atomic synced batches over them ([`Batch`]) and consistent reads
//! ([`Snapshot`]). It is not: what the bytes mean (see `engine`), a cache, a network service. It is
//! the only crate that knows fjall.
//!
//! Promises:
//! - a batch is kept whole or not at all, and is on disk when [`Store::commit`] returns;
//! - what was acknowledged and is gone after damage is reported at open, never silently missing;
//! - a write that failed is never tried again: the store refuses all further ones until it is
//!   opened anew, since it is unknown what is on the disk then;
//! - damage gives an error, not a panic.
#![forbid(unsafe_code)]

mod error;
mod files;
mod read;
mod store;

pub use error::StoreError;
pub use read::{Bytes, Range, Snapshot};
pub use store::{Batch, Layout, Memory, Space, Store};
