//! The payload of an envelope as bytes, by the form it has there; and what compressed bytes hold,
//! wherever they are.

use std::io::{BufReader, Read};

use base64::{
    Engine,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde_json::{Map, Value, value::RawValue};

use super::path::{Found, elements, member};
use crate::inflate::{Frames, Members};

/// How a payload is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A string that holds the record, or an array of byte values (journald writes so what is not
    /// UTF-8), or an array of such strings (a field that is given several times).
    Text,
    /// The record itself, as an object or array.
    Json,
    /// Either of the two.
    Any,
    /// Base64 of the record, or of it compressed.
    Base64,
    /// An OTLP `AnyValue`.
    Otlp,
}

/// What the compressed parts of one record may still inflate to, in bytes.
#[derive(Debug)]
pub(crate) struct Budget(u64);

/// Why compressed bytes are not read, for people.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused(pub(crate) String);

/// Bytes that all compressed parts of one record inflate to, however many and however nested.
const INFLATED_MAX: u64 = 64 << 20;
/// A zstd window of 8 MiB: what RFC 9659 lets a receiver ask for.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

impl Default for Budget {
    fn default() -> Self {
        Budget(INFLATED_MAX)
    }
}

impl Budget {
    /// The content of gzip or zstd; other bytes as they are.
    pub(crate) fn inflate(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Refused> {
        let refused = |e: std::io::Error| Refused(format!("damaged compressed data: {e}"));
        let reader: Box<dyn Read + '_> = match bytes {
            [0x1f, 0x8b, ..] => Box::new(Members::new(BufReader::new(bytes))),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => {
                Box::new(Frames::new(bytes, ZSTD_WINDOW_LOG_MAX).map_err(refused)?)
            }
            _ => return Ok(bytes.to_vec()),
        };
        let mut out = Vec::new();
        reader.take(self.0 + 1).read_to_end(&mut out).map_err(refused)?;
        match self.0.checked_sub(out.len() as u64) {
            Some(left) => {
                self.0 = left;
                Ok(out)
            }
            None => {
                self.0 = 0;
                let max = INFLATED_MAX;
                Err(Refused(format!("the compressed parts of a record hold more than {max} bytes")))
            }
        }
    }
}

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

    /// The payload, which may be compressed; `None` if the value does not have this form.
    pub(super) fn read(self, found: Found<'_>) -> Option<Vec<u8>> {
        let raw = found.0.get();
        match (self, raw.as_bytes().first()?) {
            (Form::Text | Form::Any, b'"') => Some(found.text().into_bytes()),
            (Form::Text, b'[') => bytes_of_array(raw),
            (Form::Json | Form::Any, b'{' | b'[') => Some(raw.as_bytes().to_vec()),
            (Form::Base64, b'"') => decode(&found.text()),
            (Form::Otlp, b'{') => match any_value(found.0)? {
                Value::String(text) => Some(text.into_bytes()),
                value => serde_json::to_vec(&value).ok(),
            },
            _ => None,
        }
    }
}

/// Byte values, or strings and lists of byte values, one a line.
fn bytes_of_array(raw: &str) -> Option<Vec<u8>> {
    if let Ok(bytes) = serde_json::from_str(raw) {
        return Some(bytes);
    }
    let several: Vec<&RawValue> = serde_json::from_str(raw).ok()?;
    let each = several.into_iter().map(|item| Form::Text.read(Found(item)));
    Some(each.collect::<Option<Vec<_>>>()?.join(&b'\n'))
}

/// Whether bytes begin like gzip or zstd.
pub(crate) fn is_compressed(bytes: &[u8]) -> bool {
    matches!(bytes, [0x1f, 0x8b, 8, ..] | [0x28, 0xb5, 0x2f, 0xfd, ..])
}

/// The bytes of a text that is the base64 of gzip or zstd, by how that begins.
pub(super) fn base64_of_compressed(text: &str) -> Option<Vec<u8>> {
    let begins = text.starts_with("H4sI") || text.starts_with("KLUv/");
    begins.then(|| decode(text)).flatten().filter(|bytes| is_compressed(bytes))
}

/// Base64 with either alphabet, with or without padding, over one line or several.
fn decode(text: &str) -> Option<Vec<u8>> {
    let text: String = text.split_ascii_whitespace().collect();
    let config =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let alphabet = if text.contains(['-', '_']) { &URL_SAFE } else { &STANDARD };
    GeneralPurpose::new(alphabet, config).decode(text).ok()
}

/// OTLP's `AnyValue` as plain JSON.
/// Source: opentelemetry-proto, `opentelemetry/proto/common/v1/common.proto`.
fn any_value(value: &RawValue) -> Option<Value> {
    let kind = |camel, snake| member(value, camel).or_else(|| member(value, snake));
    if let Some(list) = kind("kvlistValue", "kvlist_value").and_then(|l| member(l, "values")) {
        let mut map = Map::new();
        for item in elements(list)? {
            let key = Found(member(item, "key")?).text();
            map.insert(key, member(item, "value").and_then(any_value).unwrap_or(Value::Null));
        }
        return Some(Value::Object(map));
    }
    if let Some(list) = kind("arrayValue", "array_value").and_then(|l| member(l, "values")) {
        return Some(elements(list)?.into_iter().filter_map(any_value).collect());
    }
    if let Some(number) = kind("intValue", "int_value") {
        // 64-bit integers are strings in protobuf's JSON.
        let text = Found(number).text();
        return Some(text.parse::<i64>().map_or(Value::String(text), Value::from));
    }
    if let Some(bytes) = kind("bytesValue", "bytes_value") {
        let bytes = decode(&Found(bytes).text())?;
        return Some(Value::String(String::from_utf8_lossy(&bytes).into_owned()));
    }
    let plain = kind("stringValue", "string_value")
        .or_else(|| kind("doubleValue", "double_value"))
        .or_else(|| kind("boolValue", "bool_value"))?;
    serde_json::from_str(plain.get()).ok()
}
