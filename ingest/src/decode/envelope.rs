//! Columns filled from what came around a record (`_key`, `_topic` and others), for every codec. The
//! record itself never fills them: whoever writes the payload must not be able to say who sent it.

use arrow::array::ArrayRef;
use serde_json::{Map, Value};
use sluice_event::{EnvelopeColumn, WireSchema};

use super::column::Column;
use crate::Envelope;

/// The envelope columns of a wire record.
#[derive(Debug, Default)]
pub(crate) struct EnvelopeColumns {
    columns: Vec<Filled>,
}

#[derive(Debug)]
struct Filled {
    name: EnvelopeColumn,
    /// Its place among all columns of the wire record.
    position: usize,
    column: Column,
}

impl EnvelopeColumns {
    /// Splits a wire record into its envelope columns and what its codec fills.
    pub(crate) fn split(wire: &WireSchema) -> (EnvelopeColumns, WireSchema) {
        let mut payload = WireSchema::default();
        let mut columns = Vec::new();
        for (position, (name, kind)) in wire.columns.iter().enumerate() {
            match EnvelopeColumn::of(name) {
                Some(name) => columns.push(Filled { name, position, column: Column::new(kind) }),
                None => payload.columns.push((name.clone(), kind.clone())),
            }
        }
        (EnvelopeColumns { columns }, payload)
    }

    /// Appends what came around the record of `row`; what did not is NULL.
    pub(crate) fn fill(&mut self, row: usize, offset: u64, envelope: &Envelope) {
        if *envelope == Envelope::default() {
            return;
        }
        for Filled { name, column, .. } in &mut self.columns {
            column.pad(row);
            match name {
                EnvelopeColumn::Key => match &envelope.key {
                    Some(key) => column.push_text(&String::from_utf8_lossy(key), 0),
                    None => column.push_null(),
                },
                EnvelopeColumn::Headers => {
                    // Among equal names the last wins, as in a JSON record.
                    let headers: Map<String, Value> = envelope
                        .headers
                        .iter()
                        .map(|(name, value)| (name.clone(), text(value.as_deref())))
                        .collect();
                    column.push_json(&Value::from(headers).to_string());
                }
                EnvelopeColumn::Timestamp => match envelope.timestamp {
                    Some(time) => column.push_time(time),
                    None => column.push_null(),
                },
                // A record that came through no topic has no place in one.
                _ if envelope.topic.is_empty() => column.push_null(),
                EnvelopeColumn::Topic => column.push_text(&envelope.topic, 0),
                EnvelopeColumn::Partition => column.push_int(i64::from(envelope.partition)),
                EnvelopeColumn::Offset => match i64::try_from(offset) {
                    Ok(offset) => column.push_int(offset),
                    Err(_) => column.push_null(),
                },
            }
        }
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// Puts the columns where they belong among those of the payload.
    pub(crate) fn finish(&mut self, rows: usize, arrays: &mut Vec<ArrayRef>) {
        // In the order of their positions: each finds all before it in place.
        for Filled { position, column, .. } in &mut self.columns {
            arrays.insert((*position).min(arrays.len()), column.finish(rows));
        }
    }
}

fn text(value: Option<&[u8]>) -> Value {
    value.map_or(Value::Null, |v| String::from_utf8_lossy(v).into())
}
