//! The codec `json`: a JSON value is a record. Not how one is decoded (see [`super::json`]).

use sluice_event::WireSchema;

use super::{
    Failure, Outcome,
    codec::{Decode, Form, Record},
    json::Json,
};
use crate::{
    Codec, Framing, InputOptions, Limits, SourceSpec,
    detect::ask::{Question, Wanted},
};

/// The codec, which has no settings.
pub(crate) struct JsonSource;

impl Form for JsonSource {
    fn framing(&self, spec: &SourceSpec) -> Framing {
        Framing::Json(spec.unwrap.clone())
    }

    fn is_json(&self) -> bool {
        true
    }

    fn for_input(&self, _: &InputOptions) -> Codec {
        Codec::Json
    }

    fn fits(&self, question: &mut Question<'_>) -> bool {
        (question.spec.detect_line.is_none() || question.line()) && question.has_keys()
    }

    fn reads(&self, _: &mut Question<'_>) -> bool {
        false
    }

    fn decoder(&self, wire: &WireSchema, limits: Limits) -> Box<dyn Decode> {
        Box::new(Json::new(wire, limits))
    }
}

impl Decode for Json {
    fn want(&mut self, wanted: &Wanted) {
        Json::want(self, wanted);
    }

    fn decode(&mut self, record: Record<'_>) -> Result<Outcome, Failure> {
        let Record { bytes, columns, row, context, tally, .. } = record;
        self.record(bytes, columns, row, context, tally)
    }
}
