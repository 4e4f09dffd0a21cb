//! What is wrong with a record, as far as it can be seen without its source.

use std::{borrow::Cow, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use crate::{DeadLetterCode, Limits, repair};

/// Whether a record says nothing.
pub(super) fn is_empty(record: &[u8]) -> bool {
    let record = record.strip_prefix(crate::frame::BOM).unwrap_or(record).trim_ascii();
    record.is_empty() || record == b"null"
}

/// Why a record will be set aside, by the same limits and in the same words as its decoder.
pub(super) fn judge(record: &[u8], json: bool, limits: Limits) -> Option<(DeadLetterCode, String)> {
    if is_empty(record) {
        return Some((DeadLetterCode::Empty, "an empty record".into()));
    }
    if !json {
        return None;
    }
    let text = String::from_utf8_lossy(record);
    let text = text.trim_start_matches('\u{feff}');
    if repair::too_deep(text.as_bytes(), limits.depth) {
        let message = format!("nested deeper than {} levels", limits.depth);
        return Some((DeadLetterCode::TooDeep, message));
    }
    let error = match object(text, limits.fields) {
        Ok(()) => return None,
        Err(error) => match repair::numbers_and_surrogates(text) {
            Some(text) => object(&text, limits.fields).err()?,
            None => error,
        },
    };
    let message = error.to_string();
    Some(if message.starts_with(TOO_MANY_FIELDS) {
        (DeadLetterCode::TooManyFields, message)
    } else if std::str::from_utf8(record).is_err() {
        (DeadLetterCode::BadUtf8, format!("invalid UTF-8, and {message}"))
    } else {
        (DeadLetterCode::BadJson, message)
    })
}

const TOO_MANY_FIELDS: &str = "too many fields";

fn object(text: &str, fields: usize) -> Result<(), serde_json::Error> {
    let mut json = serde_json::Deserializer::from_str(text);
    Fields(fields).deserialize(&mut json)?;
    json.end()
}

/// An object with at most so many fields.
struct Fields(usize);

impl<'de> DeserializeSeed<'de> for Fields {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Fields {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut left = self.0;
        while map.next_key::<Cow<'de, str>>()?.is_some() {
            left = left.checked_sub(1).ok_or_else(|| A::Error::custom(TOO_MANY_FIELDS))?;
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}
