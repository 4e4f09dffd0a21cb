//! Fields that no mapping of a source reads, nested ones too: what a vendor has added. Not the count
//! of every run (see [`crate::Unmapped`]), which knows top-level fields only and costs nothing.

use std::collections::BTreeMap;

use serde_json::Value;
use sluice_event::{WireSchema, WireType};

use crate::{Chunk, Decoded};

/// Collects undeclared fields of decoded records.
#[derive(Debug)]
pub struct Drift {
    wire: WireSchema,
    fields: BTreeMap<String, DriftField>,
    /// Fields beyond the number that is kept.
    more: u64,
    records: u64,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriftField {
    /// Records that had it.
    pub records: u64,
    /// Its first value, shortened.
    pub example: String,
}

/// Fields kept; their names are the sender's.
const FIELDS_MAX: usize = 10_000;

impl Drift {
    /// Against the wire record of a source.
    pub fn new(wire: &WireSchema) -> Self {
        Drift { wire: wire.clone(), fields: BTreeMap::new(), more: 0, records: 0 }
    }

    /// Looks at the records of a chunk that decoded and are JSON.
    pub fn add(&mut self, chunk: &Chunk, decoded: &Decoded) {
        let chunk = decoded.chunk.as_ref().unwrap_or(chunk);
        for record in &decoded.record {
            let bytes = chunk.records.get(*record as usize);
            let Ok(Value::Object(object)) = serde_json::from_slice(bytes) else { continue };
            self.records += 1;
            let mut found = Vec::new();
            for (name, value) in &object {
                let declared = self.wire.columns.iter().find(|(n, _)| is_named(n, name));
                undeclared(name.clone(), value, declared.map(|(_, kind)| kind), &mut found);
            }
            for (path, example) in found {
                self.note(path, example);
            }
        }
    }

    fn note(&mut self, path: String, example: String) {
        if let Some(field) = self.fields.get_mut(&path) {
            field.records += 1;
        } else if self.fields.len() < FIELDS_MAX {
            self.fields.insert(path, DriftField { records: 1, example });
        } else {
            self.more += 1;
        }
    }

    /// JSON records looked at.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// The fields by dotted path; an element of an array is `[]`.
    pub fn fields(&self) -> &BTreeMap<String, DriftField> {
        &self.fields
    }

    /// Occurrences of fields beyond the 10,000 that are kept.
    pub fn more(&self) -> u64 {
        self.more
    }
}

/// Whether a field has the name of a column, as it is or in lower case.
fn is_named(column: &str, field: &str) -> bool {
    column == field || column.to_ascii_lowercase() == field
}

/// The paths at and below a value that its declaration does not read, each once.
fn undeclared(
    path: String,
    value: &Value,
    declared: Option<&WireType>,
    out: &mut Vec<(String, String)>,
) {
    match (declared, value) {
        (Some(WireType::Struct(fields)), Value::Object(object)) => {
            for (name, value) in object {
                let declared = fields.iter().find(|(n, _)| is_named(n, name));
                let declared = declared.map(|(_, kind)| kind);
                undeclared(format!("{path}.{name}"), value, declared, out);
            }
        }
        (Some(WireType::List(item)), Value::Array(items)) => {
            for value in items {
                undeclared(format!("{path}[]"), value, Some(item), out);
            }
        }
        (Some(_), _) | (None, Value::Null) => {}
        (None, value) => {
            if out.iter().any(|(p, _)| *p == path) {
                return;
            }
            let text = value.to_string();
            let mut example: String = text.chars().take(80).collect();
            if example.len() < text.len() {
                example.push('…');
            }
            out.push((path, example));
        }
    }
}
