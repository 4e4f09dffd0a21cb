//! The codec `lines`: a line is a record of one column.

use sluice_event::WireSchema;

use super::{
    Failure, Outcome,
    codec::{Decode, Form, Record},
    column_of, text_record,
};
use crate::{Codec, Framing, InputOptions, Limits, SourceSpec, detect::ask::Question};

/// The codec, which has no settings.
pub(crate) struct Lines;

impl Form for Lines {
    fn framing(&self, _: &SourceSpec) -> Framing {
        Framing::Lines
    }

    fn for_input(&self, _: &InputOptions) -> Codec {
        Codec::Lines
    }

    fn fits(&self, question: &mut Question<'_>) -> bool {
        !question.json && question.line()
    }

    fn reads(&self, _: &mut Question<'_>) -> bool {
        true
    }

    fn decoder(&self, wire: &WireSchema, _: Limits) -> Box<dyn Decode> {
        Box::new(LineColumn(column_of(wire, &["line"])))
    }
}

/// The column of the line, if it is read.
#[derive(Debug)]
struct LineColumn(Option<usize>);

impl Decode for LineColumn {
    fn decode(&mut self, record: Record<'_>) -> Result<Outcome, Failure> {
        let Record { bytes, json, columns, row, context, tally, .. } = record;
        if json {
            return Err(Failure::not_a_line());
        }
        text_record(bytes, tally, |text| {
            if let Some(column) = self.0.and_then(|c| columns.get_mut(c)) {
                column.pad(row);
                column.push_text(text, context.reference);
            }
            Ok(Outcome::Row)
        })
    }
}
