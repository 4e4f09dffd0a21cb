//! Records that could not become rows, each with its reason. Not their store.

use std::{fmt, sync::Arc};

use sluice_event::PartitionId;

use crate::Envelope;

/// A record set aside: where it was, why, and what it said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The kind of failure.
    pub code: DeadLetterCode,
    /// What failed, for people.
    pub message: String,
    /// The mapping source the record was read as.
    pub source: Arc<str>,
    /// The mapping that failed on it, if one had taken it.
    pub mapping: Option<String>,
    /// The partition.
    pub partition: PartitionId,
    /// The line the record starts on, from 1, counted in the decompressed input.
    pub line: u64,
    /// The byte the record starts at, counted in the decompressed input.
    pub offset: u64,
    /// The receive reference it was read with, milliseconds since 1970 UTC.
    pub received_at: i64,
    /// What came around it, if the input gives more than bytes.
    pub envelope: Option<Arc<Envelope>>,
    /// What it said.
    pub original: Original,
}

/// The bytes of a record that was set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Original {
    /// All of them, untouched.
    Whole(Vec<u8>),
    /// The first 4 KiB of a record over the size limit.
    Stub {
        /// The first bytes.
        head: Vec<u8>,
        /// The length of the record in bytes.
        length: u64,
        /// BLAKE3 of the whole record.
        hash: [u8; 32],
    },
}

impl Original {
    /// The bytes that were kept.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Original::Whole(bytes) => bytes,
            Original::Stub { head, .. } => head,
        }
    }

    /// The length of the record in bytes.
    pub fn length(&self) -> u64 {
        match self {
            Original::Whole(bytes) => bytes.len() as u64,
            Original::Stub { length, .. } => *length,
        }
    }
}

/// Why a record became no row.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum DeadLetterCode {
    /// A line does not have the shape of its codec.
    BadFraming,
    /// The input could not be read on; the rest of it is not read.
    Unreadable,
    /// The compressed input is damaged, or inflates beyond the caps; the rest of it is not read.
    Decompress,
    /// Longer than the record limit.
    TooLarge,
    /// A part of a line that a container runtime has cut, without the others.
    PartOfLine,
    /// Not a JSON object.
    BadJson,
    /// Nested deeper than the limit.
    TooDeep,
    /// More fields than the limit.
    TooManyFields,
    /// An object has a name twice, and the input is set to refuse that.
    DuplicateKeys,
    /// Not one of the source it was sent as.
    NotThisSource,
    /// Invalid UTF-8, and not readable after replacing what is invalid.
    BadUtf8,
    /// An empty line, or `null`.
    Empty,
    /// No source takes it.
    NoSource,
    /// No mapping of its source takes it.
    NoMapping,
    /// A mapping failed on it.
    MappingError,
}

impl DeadLetterCode {
    /// Every code, in the order of the pipeline.
    pub const ALL: [DeadLetterCode; 15] = [
        DeadLetterCode::Unreadable,
        DeadLetterCode::BadFraming,
        DeadLetterCode::Decompress,
        DeadLetterCode::TooLarge,
        DeadLetterCode::PartOfLine,
        DeadLetterCode::BadJson,
        DeadLetterCode::NotThisSource,
        DeadLetterCode::TooDeep,
        DeadLetterCode::TooManyFields,
        DeadLetterCode::DuplicateKeys,
        DeadLetterCode::BadUtf8,
        DeadLetterCode::Empty,
        DeadLetterCode::NoSource,
        DeadLetterCode::NoMapping,
        DeadLetterCode::MappingError,
    ];

    /// The code of a word, if there is one.
    pub fn parse(word: &str) -> Option<DeadLetterCode> {
        DeadLetterCode::ALL.into_iter().find(|code| code.name() == word)
    }

    /// The word in reports, metrics and `dlq --code`.
    pub fn name(self) -> &'static str {
        match self {
            DeadLetterCode::BadFraming => "bad_framing",
            DeadLetterCode::Unreadable => "unreadable",
            DeadLetterCode::Decompress => "decompress",
            DeadLetterCode::TooLarge => "too_large",
            DeadLetterCode::PartOfLine => "part_of_line",
            DeadLetterCode::BadJson => "bad_json",
            DeadLetterCode::NotThisSource => "not_this_source",
            DeadLetterCode::TooDeep => "too_deep",
            DeadLetterCode::TooManyFields => "too_many_fields",
            DeadLetterCode::DuplicateKeys => "duplicate_keys",
            DeadLetterCode::BadUtf8 => "bad_utf8",
            DeadLetterCode::Empty => "empty",
            DeadLetterCode::NoSource => "no_source",
            DeadLetterCode::NoMapping => "no_mapping",
            DeadLetterCode::MappingError => "mapping_error",
        }
    }
}

impl fmt::Display for DeadLetterCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
