//! What leaves the node: changes of risk as security event tokens (OpenID Shared Signals, SETs), the
//! decisions that policy engines ask for, and webhooks.
//!
//! It is: SETs built, signed and verified ([`set`], [`keys`], [`verify`]) and those of others as records
//! ([`inbound`]), event types and subjects ([`event`], [`subject`]), streams and their management
//! ([`stream`], [`okta`]), levels of entities with what people override ([`ledger`]), what silence makes of them ([`staleness`]),
//! whom people keep apart ([`quarantine`]) and of whom nothing is told for a time ([`mute`]), the outbox with its order,
//! retries and dead letters ([`transmitter`]), access decisions ([`policy`], [`cloudflare`]), notices to any other endpoint
//! ([`webhook`]). It is not: HTTP, a clock, a store, the arithmetic of risk. Time is an argument; what must
//! be durable is handed out as [`Change`]s of keys.
//!
//! How a change of level reaches a receiver:
//! 1. [`Transmitter::observe`] (computed risk) or [`Transmitter::raise`] (a person) changes the target
//!    level of an entity; [`ledger`] decides whether its level changes now.
//! 2. Each stream that wants the change gets a row in its outbox. `jti` and `txn` are derived from
//!    entity and change number, so that the same change never makes a second SET.
//! 3. The caller commits [`Transmitter::take_changes`] in one batch. Only then is a row deliverable.
//! 4. Push asks [`Transmitter::next_push`] and reports the outcome; poll asks
//!    [`Transmitter::poll`].
//!
//! Sources: SSF 1.0, CAEP 1.0, RISC 1.0, CAEP Interoperability Profile draft 02, RFC 8417 (SET), 8935
//! (push), 8936 (poll), 9493 (subjects), AuthZEN Authorization API 1.0, Standard Webhooks 1.0.
#![forbid(unsafe_code)]

pub mod cloudflare;
pub mod event;
pub mod inbound;
pub mod jws;
pub mod keys;
pub mod ledger;
pub mod mute;
pub mod oauth;
pub mod okta;
mod outbox;
pub mod policy;
pub mod push;
pub mod quarantine;
pub mod set;
pub mod staleness;
pub mod stream;
pub mod subject;
pub mod transmitter;
pub mod verify;
pub mod webhook;

pub use event::{EventType, Level};
pub use keys::{KeyError, SigningKeys};
pub use ledger::{Cause, EntityKey, EntityLevel, LevelChange, Observation, Override, Signs};
pub use mute::{AfterMute, Mute, MutePurpose};
pub use outbox::{DeadLetter, Row};
pub use quarantine::{Proof, Quarantine, QuarantineState};
pub use staleness::{Blind, Staleness};
pub use stream::{Dialect, Profile, RequestError, Stream, StreamStatus};
pub use subject::SubjectId;
pub use transmitter::{Change, HistoryRow, LoadError, Settings, Transmitter};
