//! Logs to rows: files are cut into records, records decoded into Arrow columns, and mapped into
//! the tables of the vocabulary. The only crate that knows wire formats.
//!
//! In the order of the flow:
//!
//! - [`FileInput`]: files, folders and stdin, decompressed under caps, read aligned by event time;
//! - `kafka`, a feature: the partitions that a consumer group gives it;
//! - [`push`] and [`spool`]: what senders post, stored before it is acknowledged;
//! - [`live`]: inputs that do not end, and what the engine tells them;
//! - [`Framer`]: bytes to records, in bounded memory;
//! - [`Chunk`]: consecutive records of one partition on their way to a worker;
//! - [`Mapper`]: decodes a chunk ([`Decoder`]), routes each record to a mapping of its
//!   [`SourceSpec`] and completes the rows; what fails is a [`DeadLetter`], and [`Counts`] add up;
//! - [`Router`]: which source each record of a live input goes to;
//! - [`Envelopes`]: wrappers that shippers put around records;
//! - [`detect()`]: which source an input looks like.
//!
//! Everything but the inputs is free of IO, and nothing here reads a clock: the receive time of
//! a record is given with it.
#![deny(unsafe_code)]

mod builtin;
mod chunk;
mod counts;
mod dead_letter;
mod decode;
mod detect;
mod drift;
mod envelope;
pub mod files;
mod frame;
mod inflate;
mod input;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod live;
mod mapper;
pub mod push;
mod repair;
mod route;
mod sketch;
mod spec;
pub mod spool;
mod surroundings;
mod time;
mod utf16;
mod utf32;

pub use builtin::builtin_mappings;
pub use chunk::{Chunk, Envelope, Fault};
pub use counts::{Counts, TimeFlagged};
pub use dead_letter::{DeadLetter, DeadLetterCode, Original};
pub use decode::{
    Decoded, Decoder, FailedRecord, Unmapped, UnmappedField, Unparsed, name_given_twice,
};
pub use detect::{Detection, Looks, Match, detect};
pub use drift::{Drift, DriftField};
pub use envelope::{EnvelopeError, EnvelopeSpec, EnvelopeTest, Envelopes, Wrapper};
pub use frame::{Framed, Framer, Framing, Unwrap};
pub use input::{FileInput, FoundFile, FoundFiles, InputError, NextChunk, find_files, stdin_file};
pub use mapper::{DecodedChunk, Mapper, Processed};
pub use route::{Message, RouteError, Router};
pub use sketch::sketch;
pub use spec::{
    Codec, DelimitedCodec, InputOptions, MappingEntry, SourceSpec, SyslogCodec, SyslogProgram, Zone,
};
pub use surroundings::Surroundings;

/// How much of an attacker's input is looked at before it is set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of a longer record the first fields are read, if they tell what it is; else it becomes a
    /// `too_large` dead letter. 16 MiB holds every format shipped: a Kubernetes audit event at level
    /// RequestResponse has a request and an answer of up to 3 MiB each, as JSON.
    pub record_bytes: usize,
    /// Fields of a record nested deeper are NULL; a record that they would tell apart is `too_deep`.
    pub depth: usize,
    /// Of a record with more fields in the objects that are read the first are read, if they tell
    /// what it is; else it becomes `too_many_fields`.
    pub fields: usize,
    /// Undeclared field names remembered per decoder; further ones are only counted.
    pub unmapped_names: usize,
    /// A chunk is handed on at this many bytes: what is done once for each chunk costs less in larger ones, up to
    /// what the cache of a core holds,
    pub chunk_bytes: usize,
    /// or at this many records.
    pub chunk_records: usize,
    /// Beyond the first 16 MiB, decompressed bytes per compressed byte.
    pub ratio: u64,
    /// Decompressed bytes of one file.
    pub decoded_bytes: u64,
    /// What becomes of a record in which an object has a name twice.
    pub duplicate_keys: DuplicateKeys,
}

/// What becomes of a JSON record in which an object has a name twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DuplicateKeys {
    /// The last value is read, as most readers do; counted where a mapping reads the field.
    #[default]
    LastWins,
    /// It becomes a `duplicate_keys` dead letter, whatever reads the field.
    SetAside,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            record_bytes: 16 << 20,
            depth: 64,
            fields: 10_000,
            unmapped_names: 1_000,
            chunk_bytes: 2 << 20,
            chunk_records: 8_192,
            ratio: 100,
            decoded_bytes: 64 << 30,
            duplicate_keys: DuplicateKeys::LastWins,
        }
    }
}
