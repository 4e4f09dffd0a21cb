//! The payload of an envelope as bytes, by the form it has there.

use std::io::Read;

use base64::{Engine, engine::general_purpose::STANDARD};
use flate2::read::MultiGzDecoder;
use serde_json::{Map, Value, value::RawValue};

use super::path::{Found, elements, member};

/// How a payload is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A string that holds the record, or an array of byte values (journald writes so what is not
    /// UTF-8).
    Text,
    /// The record itself, as an object or array.
    Json,
    /// Either of the two.
    Any,
    /// Base64 of the record, or of its gzip.
    Base64,
    /// An OTLP `AnyValue`.
    Otlp,
}

/// Bytes a compressed payload may inflate to; more is cut off, which the decoder then reports.
const INFLATED_MAX: u64 = 64 << 20;

impl Form {
    pub(super) fn parse(word: &str) -> Option<Form> {
        Some(match word {
            "text" => Form::Text,
            "json" => Form::Json,
            "any" => Form::Any,
            "base64" => Form::Base64,
            "otlp" => Form::Otlp,
            _ => return None,
        })
    }

    /// The payload; `None` if the value does not have this form.
    pub(super) fn read(self, found: Found<'_>) -> Option<Vec<u8>> {
        let raw = found.0.get();
        match (self, raw.as_bytes().first()?) {
            (Form::Text | Form::Any, b'"') => Some(found.text().into_bytes()),
            (Form::Text, b'[') => serde_json::from_str(raw).ok(),
            (Form::Json | Form::Any, b'{' | b'[') => Some(raw.as_bytes().to_vec()),
            (Form::Base64, b'"') => {
                let text: String = found.text().split_ascii_whitespace().collect();
                gunzip(STANDARD.decode(text).ok()?)
            }
            (Form::Otlp, b'{') => match any_value(found.0)? {
                Value::String(text) => Some(text.into_bytes()),
                value => serde_json::to_vec(&value).ok(),
            },
            _ => None,
        }
    }
}

/// The content of gzip; other bytes as they are.
pub(super) fn gunzip(bytes: Vec<u8>) -> Option<Vec<u8>> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Some(bytes);
    }
    let mut out = Vec::new();
    let mut reader = MultiGzDecoder::new(bytes.as_slice()).take(INFLATED_MAX);
    // What is damaged ends it: the decoder sees a record cut off.
    let _damaged = reader.read_to_end(&mut out);
    (!out.is_empty()).then_some(out)
}

/// OTLP's `AnyValue` as plain JSON.
/// Source: opentelemetry-proto, `opentelemetry/proto/common/v1/common.proto`.
fn any_value(value: &RawValue) -> Option<Value> {
    if let Some(list) = member(value, "kvlistValue").and_then(|l| member(l, "values")) {
        let mut map = Map::new();
        for item in elements(list)? {
            let key = Found(member(item, "key")?).text();
            map.insert(key, member(item, "value").and_then(any_value).unwrap_or(Value::Null));
        }
        return Some(Value::Object(map));
    }
    if let Some(list) = member(value, "arrayValue").and_then(|l| member(l, "values")) {
        return Some(elements(list)?.into_iter().filter_map(any_value).collect());
    }
    if let Some(number) = member(value, "intValue") {
        // 64-bit integers are strings in protobuf's JSON.
        let text = Found(number).text();
        return Some(text.parse::<i64>().map_or(Value::String(text), Value::from));
    }
    if let Some(bytes) = member(value, "bytesValue") {
        let bytes = STANDARD.decode(Found(bytes).text()).ok()?;
        return Some(Value::String(String::from_utf8_lossy(&bytes).into_owned()));
    }
    ["stringValue", "doubleValue", "boolValue"]
        .into_iter()
        .find_map(|kind| serde_json::from_str(member(value, kind)?.get()).ok())
}
