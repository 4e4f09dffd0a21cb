//! What a codec says of itself: how its input is cut, how its records are told and decoded. A codec is
//! one file beside this one and an arm of [`super::form`]; its key and settings in a mapping file are
//! those of `rule`.

use std::fmt;

use sluice_event::{PartitionId, WireSchema};

use super::{Failure, Outcome, RecordContext, Run, Tally, column::Column};
use crate::{
    Codec, Framing, InputOptions, Limits, SourceSpec, Surroundings, Wrapper,
    detect::ask::{Question, Wanted},
};

/// A codec as a mapping file declares it.
pub(crate) trait Form {
    /// How the input of a source is cut into records.
    fn framing(&self, spec: &SourceSpec) -> Framing;

    /// Whether records are JSON values.
    fn is_json(&self) -> bool {
        false
    }

    /// Whether a setting of [`InputOptions`] changes anything: `zone`, `year`, `fields`.
    fn heeds(&self, _setting: &str) -> bool {
        false
    }

    /// The codec as one input has it.
    fn for_input(&self, options: &InputOptions) -> Codec;

    /// The programs whose lines are known; `None` if lines have none.
    fn programs(&self) -> Option<Vec<String>> {
        None
    }

    /// Whether records of a source are told by decoding them.
    fn is_told_by_decoding(&self, _spec: &SourceSpec) -> bool {
        false
    }

    /// Whether a record looks like one of the source.
    fn fits(&self, question: &mut Question<'_>) -> bool;

    /// Whether a record is one that the source can read among others that look like it.
    fn reads(&self, question: &mut Question<'_>) -> bool;

    /// Whether a line may name the fields of those below it.
    fn has_headers(&self) -> bool {
        false
    }

    /// What decodes its records into the columns of `wire`.
    fn decoder(&self, wire: &WireSchema, limits: Limits) -> Box<dyn Decode>;
}

/// Decodes the records of one source, and keeps what it learns of them.
pub(crate) trait Decode: fmt::Debug + Send + Sync {
    /// The keys that records of the source have.
    fn want(&mut self, _wanted: &Wanted) {}

    /// A message of a partition has ended; the next begins anew.
    fn end_message(&mut self, _partition: PartitionId) {}

    /// Appends a record as the next row; on failure nothing of it stays.
    fn decode(&mut self, record: Record<'_>) -> Result<Outcome, Failure>;
}

/// One record, and where it goes.
pub(crate) struct Record<'a> {
    pub(crate) bytes: &'a [u8],
    /// Whether it begins like a JSON value.
    pub(crate) json: bool,
    /// Whether the source says which keys its records have.
    pub(crate) keyed: bool,
    /// What came around it.
    pub(crate) wrapper: Option<&'a Wrapper>,
    pub(crate) surroundings: &'a Surroundings,
    pub(super) context: &'a RecordContext,
    pub(crate) row: usize,
    pub(crate) columns: &'a mut [Column],
    pub(super) tally: &'a mut Tally,
    pub(super) run: &'a mut Run,
}
