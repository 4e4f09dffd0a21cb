//! JSON records to Arrow columns, in one pass over the text. Not routing, not mapping.
//!
//! `serde_json` drives the columns of the wire schema through `DeserializeSeed`: a declared field is
//! appended where it belongs, any other is skipped without being built. A record that fails takes
//! its values back, so no record can harm another.

use std::borrow::Cow;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use sluice_event::{WireSchema, compact_json};

use super::{
    Failure, Outcome, RecordContext, Tally, Unmapped,
    column::{Column, Values},
    keys::{Key, KeySeed, Keys, Walk},
};
use crate::{DeadLetterCode, Limits, detect::ask::Wanted, repair};

/// The decoder of a source whose records are JSON objects.
#[derive(Debug)]
pub(crate) struct Json {
    keys: Keys,
    limits: Limits,
    /// The undeclared fields of the record being read.
    others: Vec<usize>,
    detect: Detect,
}

/// The keys that tell the source, seen while a record is read.
#[derive(Debug, Default)]
struct Detect {
    wanted: Wanted,
    /// Per key of the record: the bits of the paths that it is.
    bits: Vec<u64>,
    /// A path leads into an object: the record is asked once more.
    nested: bool,
}

impl Json {
    pub(crate) fn new(wire: &WireSchema, limits: Limits) -> Self {
        let keys = Keys::new(&wire.columns, limits.unmapped_names);
        Json { keys, limits, others: Vec::new(), detect: Detect::default() }
    }

    /// Asks every record for these keys.
    pub(crate) fn want(&mut self, wanted: &Wanted) {
        let mut bits: Vec<(usize, u64)> = Vec::new();
        for (path, bit) in wanted.paths() {
            match path.contains('.') {
                true => self.detect.nested = true,
                false => bits.push((self.keys.tell(path), bit)),
            }
        }
        self.detect.bits = vec![0; self.keys.known()];
        for (at, bit) in bits {
            if let Some(bits) = self.detect.bits.get_mut(at) {
                *bits |= bit;
            }
        }
        self.detect.wanted = wanted.clone();
    }

    /// Appends one record at `row`; on failure nothing of it stays.
    pub(crate) fn record(
        &mut self,
        bytes: &[u8],
        columns: &mut [Column],
        row: usize,
        context: &RecordContext,
        tally: &mut Tally,
    ) -> Result<Outcome, Failure> {
        let (text, lossy) = match std::str::from_utf8(bytes) {
            Ok(text) => (Cow::Borrowed(text), false),
            Err(_) => (String::from_utf8_lossy(bytes), true),
        };
        let text = text.trim_start_matches('\u{feff}');
        if text.trim_ascii().is_empty() || text.trim_ascii() == "null" {
            return Err(Failure::new(DeadLetterCode::Empty, "an empty record"));
        }
        let deep = repair::too_deep(text.as_bytes(), self.limits.depth);
        let mut parsed = self.parse(text, columns, row, context.reference, deep, tally);
        let mut repaired = false;
        if parsed.error.is_some()
            && !context.cut
            && let Some(text) = repair::numbers_and_surrogates(text)
        {
            columns.iter_mut().for_each(|c| c.truncate(row));
            parsed = self.parse(&text, columns, row, context.reference, deep, tally);
            repaired = true;
        }
        let lossy = lossy || repaired;
        let many =
            parsed.error.as_ref().is_some_and(|e| e.to_string().starts_with(TOO_MANY_FIELDS));
        // Over a bound: the fields before it count, if they tell what the record is.
        let cut = context.cut || many || parsed.left_out;
        let told = self.detect.wanted.holds(parsed.found) && !self.detect.wanted.is_empty();
        match parsed.error {
            None => {}
            Some(_) if cut && told => {
                columns.iter_mut().for_each(Column::truncate_open);
            }
            Some(error) => {
                columns.iter_mut().for_each(|c| c.truncate(row));
                let message = error.to_string();
                return Err(if many {
                    Failure::new(DeadLetterCode::TooManyFields, message)
                } else if lossy {
                    Failure::new(DeadLetterCode::BadUtf8, format!("invalid UTF-8, and {message}"))
                } else {
                    Failure::new(DeadLetterCode::BadJson, message)
                });
            }
        }
        if self.detect.nested && !cut {
            parsed.found |= self.detect.wanted.found(text.as_bytes()).unwrap_or(0);
        }
        if !self.detect.wanted.holds(parsed.found) {
            columns.iter_mut().for_each(|c| c.truncate(row));
            let missing = self.detect.wanted.missing(parsed.found);
            return Err(match deep {
                true => Failure::new(
                    DeadLetterCode::TooDeep,
                    format!("nested deeper than {} levels", self.limits.depth),
                ),
                false => Failure::new(DeadLetterCode::NotThisSource, missing),
            });
        }
        if deep && self.detect.wanted.is_empty() {
            columns.iter_mut().for_each(|c| c.truncate(row));
            let message = format!("nested deeper than {} levels", self.limits.depth);
            return Err(Failure::new(DeadLetterCode::TooDeep, message));
        }
        tally.lossy += u64::from(lossy);
        tally.duplicate_keys += parsed.duplicates;
        tally.unmapped.more += parsed.unknown;
        self.others.iter().for_each(|other| tally.unmapped.count(*other));
        Ok(if cut || deep { Outcome::Cut } else { Outcome::Row })
    }

    fn parse(
        &mut self,
        text: &str,
        columns: &mut [Column],
        row: usize,
        reference: i64,
        deep: bool,
        tally: &mut Tally,
    ) -> Parsed {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let mut scope = Scope {
            reference,
            fields_left: self.limits.fields,
            duplicates: 0,
            unknown: 0,
            found: 0,
            depth_max: deep.then_some(self.limits.depth),
            left_out: false,
        };
        self.others.clear();
        let visitor = RecordVisitor {
            keys: &mut self.keys,
            columns,
            row,
            scope: &mut scope,
            others: &mut self.others,
            unmapped: &mut tally.unmapped,
            bits: &self.detect.bits,
        };
        let result = deserializer.deserialize_map(visitor).and_then(|()| deserializer.end());
        Parsed {
            error: result.err(),
            found: scope.found,
            duplicates: scope.duplicates,
            unknown: scope.unknown,
            left_out: scope.left_out,
        }
    }
}

/// What one pass over a record came to.
struct Parsed {
    error: Option<serde_json::Error>,
    /// The bits of the keys that tell the source.
    found: u64,
    duplicates: u64,
    unknown: u64,
    /// A field was too deep, and is NULL.
    left_out: bool,
}

const TOO_MANY_FIELDS: &str = "too many fields";

/// What the seeds of one record share.
struct Scope {
    reference: i64,
    fields_left: usize,
    duplicates: u64,
    /// Undeclared fields whose names are not remembered.
    unknown: u64,
    /// The bits of the keys that tell the source.
    found: u64,
    /// Of a record that is too deep somewhere: the depth up to which a field is read.
    depth_max: Option<usize>,
    left_out: bool,
}

impl Scope {
    fn field<E: Error>(&mut self) -> Result<(), E> {
        self.fields_left =
            self.fields_left.checked_sub(1).ok_or_else(|| E::custom(TOO_MANY_FIELDS))?;
        Ok(())
    }

    /// Makes `column` ready for the value at `row`: the last of two values wins.
    fn open(&mut self, column: &mut Column, row: usize) {
        if column.len() > row {
            column.truncate(row);
            self.duplicates += 1;
        }
        column.pad(row);
    }
}

/// What a string holds that is an object or array itself: column stores keep those as text.
fn encoded_twice(raw: &RawValue) -> Option<String> {
    let quoted = raw.get().strip_prefix('"')?;
    if !quoted.starts_with(['{', '[']) {
        return None;
    }
    serde_json::from_str::<String>(raw.get()).ok().filter(|text| is_object_or_array(text))
}

fn is_object_or_array(text: &str) -> bool {
    text.starts_with(['{', '[']) && serde_json::from_str::<&RawValue>(text).is_ok()
}

/// The record: an object whose undeclared fields are counted.
struct RecordVisitor<'a> {
    keys: &'a mut Keys,
    columns: &'a mut [Column],
    row: usize,
    scope: &'a mut Scope,
    others: &'a mut Vec<usize>,
    unmapped: &'a mut Unmapped,
    bits: &'a [u64],
}

impl<'de> Visitor<'de> for RecordVisitor<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut walk = Walk::default();
        while let Some(key) =
            map.next_key_seed(KeySeed { keys: &mut *self.keys, walk: &mut walk })?
        {
            self.scope.field()?;
            match key {
                Key::Lower(i) if self.columns[i].len() > self.row => {
                    map.next_value::<IgnoredAny>()?;
                }
                Key::Column(i) | Key::Lower(i) => {
                    self.scope.found |= self.bits.get(i).copied().unwrap_or(0);
                    let column = &mut self.columns[i];
                    self.scope.open(column, self.row);
                    if let Some(max) = self.scope.depth_max {
                        let raw: &RawValue = map.next_value()?;
                        // The record itself is one level.
                        if repair::too_deep(raw.get().as_bytes(), max.saturating_sub(1)) {
                            column.push_null();
                            self.scope.left_out = true;
                        } else {
                            let mut value = serde_json::Deserializer::from_str(raw.get());
                            ColumnSeed { column, scope: self.scope }
                                .deserialize(&mut value)
                                .map_err(A::Error::custom)?;
                        }
                    } else {
                        map.next_value_seed(ColumnSeed { column, scope: self.scope })?;
                    }
                }
                Key::Telling(i) => {
                    self.scope.found |= self.bits.get(i).copied().unwrap_or(0);
                    map.next_value::<IgnoredAny>()?;
                }
                Key::Other(i) => {
                    if self.unmapped.is_new(i) {
                        let raw: &RawValue = map.next_value()?;
                        let name = self.keys.name(self.keys.known() + i);
                        self.unmapped.learn(i, name, raw.get());
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                    self.others.push(i);
                }
                Key::Unknown => {
                    map.next_value::<IgnoredAny>()?;
                    self.scope.unknown += 1;
                }
            }
        }
        Ok(())
    }
}

/// One value into one column.
struct ColumnSeed<'a> {
    column: &'a mut Column,
    scope: &'a mut Scope,
}

impl<'de> DeserializeSeed<'de> for ColumnSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if let Values::Json(text) = &mut self.column.values {
            let raw: &RawValue = serde::Deserialize::deserialize(deserializer)?;
            let inner = encoded_twice(raw);
            let json = inner.as_deref().unwrap_or(raw.get());
            if json == "null" {
                self.column.push_null();
            } else {
                text.push(compact_json(json).as_bytes());
                self.column.accept();
            }
            return Ok(());
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ColumnSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.column.push_null();
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.column.push_bool(value);
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.column.push_int(value);
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        match (i64::try_from(value), &mut self.column.values) {
            (Ok(value), _) => self.column.push_int(value),
            (Err(_), Values::Text(text)) => {
                text.push(value.to_string().as_bytes());
                self.column.accept();
            }
            (Err(_), _) => self.column.push_float(value as f64),
        }
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.column.push_float(value);
        Ok(())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        let holds = matches!(self.column.values, Values::Struct(..) | Values::List(..));
        if holds && is_object_or_array(value) {
            let mut inner = serde_json::Deserializer::from_str(value);
            return self.deserialize(&mut inner).map_err(E::custom);
        }
        self.column.push_text(value, self.scope.reference);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let row = self.column.len();
        let Values::Struct(columns, keys) = &mut self.column.values else {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            self.column.push_conflict();
            return Ok(());
        };
        let mut walk = Walk::default();
        while let Some(key) = map.next_key_seed(KeySeed { keys: &mut *keys, walk: &mut walk })? {
            self.scope.field()?;
            match key {
                Key::Lower(i) if columns[i].len() > row => {
                    map.next_value::<IgnoredAny>()?;
                }
                Key::Column(i) | Key::Lower(i) => {
                    let column = &mut columns[i];
                    self.scope.open(column, row);
                    map.next_value_seed(ColumnSeed { column, scope: self.scope })?;
                }
                Key::Telling(_) | Key::Other(_) | Key::Unknown => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        self.column.accept();
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Values::List(offsets, item) = &mut self.column.values else {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            self.column.push_conflict();
            return Ok(());
        };
        while seq.next_element_seed(ColumnSeed { column: &mut *item, scope: self.scope })?.is_some()
        {
        }
        offsets.push(item.len() as i32);
        self.column.accept();
        Ok(())
    }
}
