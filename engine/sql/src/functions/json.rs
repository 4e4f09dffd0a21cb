//! Values out of JSON text by path: `json_get_str`, `json_get_int`, `json_get_bool`,
//! `json_contains`. A missing path, another type or broken JSON gives NULL; nothing is copied but the
//! value asked for.
//!
//! Mappings ask the same text for many keys of which it has few, so a text in which a key of the path
//! does not occur at all is not parsed.

use std::{fmt, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, StringArray},
    compute::cast,
    datatypes::{DataType, Field, FieldRef},
};
use datafusion::{
    common::{Result, internal_err},
    logical_expr::{
        ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
        Volatility,
    },
};
use memchr::memmem::Finder;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::{over_text, text_then_literals};

pub(super) fn all() -> Vec<Arc<ScalarUDF>> {
    [Wanted::Text, Wanted::Int, Wanted::Bool, Wanted::Presence]
        .into_iter()
        .map(|wanted| {
            let signature = Signature::user_defined(Volatility::Immutable);
            Arc::new(ScalarUDF::new_from_impl(JsonGet { wanted, signature }))
        })
        .collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Wanted {
    Text,
    Int,
    Bool,
    Presence,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct JsonGet {
    wanted: Wanted,
    signature: Signature,
}

impl ScalarUDFImpl for JsonGet {
    fn name(&self) -> &str {
        match self.wanted {
            Wanted::Text => "json_get_str",
            Wanted::Int => "json_get_int",
            Wanted::Bool => "json_get_bool",
            Wanted::Presence => "json_contains",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        text_then_literals(self.name(), 2, types)
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("return_field_from_args is used")
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let output = match self.wanted {
            Wanted::Text => DataType::Utf8,
            Wanted::Int => DataType::Int64,
            Wanted::Bool | Wanted::Presence => DataType::Boolean,
        };
        Ok(Arc::new(Field::new(self.name(), output, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let array = args.args[0].to_array(args.number_rows)?;
        let path = &args.args[1..];
        if path.iter().any(|p| matches!(p, ColumnarValue::Array(_))) {
            let arrays: Vec<ArrayRef> =
                path.iter().map(|p| p.to_array(args.number_rows)).collect::<Result<_>>()?;
            let parts: Vec<_> = arrays.iter().map(|p| p.as_string::<i32>()).collect();
            let array = cast(&array, &DataType::Utf8)?;
            let found = array.as_string::<i32>().iter().enumerate().map(|(row, text)| {
                let part = |p: &&StringArray| p.is_valid(row).then(|| p.value(row).to_owned());
                let path: Vec<String> = parts.iter().map(part).collect::<Option<_>>()?;
                text.map(|text| get(text, &path))
            });
            return Ok(ColumnarValue::Array(self.wanted.collect(found)));
        }
        // A path with NULL in it leads nowhere.
        let path: Option<Vec<String>> = path
            .iter()
            .map(|p| match p {
                ColumnarValue::Scalar(value) => value.try_as_str().flatten().map(str::to_owned),
                ColumnarValue::Array(_) => None,
            })
            .collect();
        let path = path.map(Path::new);
        let result = over_text(&array, |texts| {
            let found = texts.iter().map(|text| Some(path.as_ref()?.get(text?)));
            Ok(self.wanted.collect(found))
        })?;
        Ok(ColumnarValue::Array(result))
    }
}

impl Wanted {
    /// What was found per row as the function's result; the outer `None` is NULL for all of them.
    fn collect(self, found: impl Iterator<Item = Option<Option<Value>>>) -> ArrayRef {
        match self {
            Wanted::Text => Arc::new(found.map(|v| v?.and_then(text)).collect::<StringArray>()),
            Wanted::Int => Arc::new(found.map(|v| v?.and_then(int)).collect::<Int64Array>()),
            Wanted::Bool => Arc::new(found.map(|v| v?.and_then(boolean)).collect::<BooleanArray>()),
            Wanted::Presence => {
                Arc::new(found.map(|v| v.map(|v| v.is_some())).collect::<BooleanArray>())
            }
        }
    }
}

/// A path that many texts are asked for.
struct Path {
    parts: Vec<String>,
    /// The keys in it as they stand in JSON, quotes included.
    keys: Vec<Finder<'static>>,
    /// What may stand for a key otherwise.
    escape: Finder<'static>,
}

impl Path {
    fn new(parts: Vec<String>) -> Path {
        // Without these a key has one spelling, or others that begin with `\u`.
        let plain =
            |part: &&String| !part.chars().any(|c| c.is_control() || matches!(c, '"' | '\\' | '/'));
        // A number may be the index of a list.
        let keys = parts.iter().filter(|part| part.parse::<usize>().is_err()).filter(plain);
        let keys = keys.map(|key| Finder::new(&format!("\"{key}\"")).into_owned()).collect();
        Path { parts, keys, escape: Finder::new("\\u").into_owned() }
    }

    fn get(&self, text: &str) -> Option<Value> {
        let bytes = text.as_bytes();
        let absent = |key: &Finder<'_>| key.find(bytes).is_none();
        if self.keys.iter().any(absent) && self.escape.find(bytes).is_none() {
            return None;
        }
        get(text, &self.parts)
    }
}

/// The value at a path of object keys and list indices; of equal keys the last. `None` if there is
/// none or the text is no JSON.
fn get(text: &str, path: &[String]) -> Option<Value> {
    let mut json = serde_json::Deserializer::from_str(text);
    let found = Pick { path }.deserialize(&mut json).ok()?;
    json.end().ok()?;
    found
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    }
}

fn int(value: Value) -> Option<i64> {
    match value {
        Value::Number(n) => n.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn boolean(value: Value) -> Option<bool> {
    match value {
        Value::Bool(b) => Some(b),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
        Value::String(_) | Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            None
        }
    }
}

/// Reads past everything but one path.
struct Pick<'a> {
    path: &'a [String],
}

impl<'de> DeserializeSeed<'de> for Pick<'_> {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        if self.path.is_empty() {
            return serde::Deserialize::deserialize(from).map(Some);
        }
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Pick<'_> {
    type Value = Option<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        let first = self.path.first().map_or("", String::as_str);
        while let Some(is_wanted) = map.next_key_seed(KeyIs(first))? {
            if is_wanted {
                found = map.next_value_seed(Pick { path: &self.path[1..] })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let wanted = self.path.first().and_then(|first| first.parse::<usize>().ok());
        let mut found = None;
        let mut index = 0;
        loop {
            if wanted == Some(index) {
                match list.next_element_seed(Pick { path: &self.path[1..] })? {
                    Some(value) => found = value,
                    None => return Ok(found),
                }
            } else if list.next_element::<IgnoredAny>()?.is_none() {
                return Ok(found);
            }
            index += 1;
        }
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// Whether an object's key is this one, without a copy of it.
struct KeyIs<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for KeyIs<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<bool, D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for KeyIs<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<bool, E> {
        Ok(self.0 == key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_finds_its_value_or_nothing() {
        let json = r#"{"a": {"b": [1, {"c": "x\"y"}], "n": null}, "s": "12", "a2": true}"#;
        for (path, expect) in [
            ("s", Some("12")),
            ("a2", Some("true")),
            ("a.b.0", Some("1")),
            ("a.b.1.c", Some("x\"y")),
            ("a.b.1", Some(r#"{"c":"x\"y"}"#)),
            ("a.b.2", None),
            ("a.n", None),
            ("a.n.x", None),
            ("s.x", None),
            ("zz", None),
        ] {
            let path: Vec<String> = path.split('.').map(str::to_owned).collect();
            assert_eq!(get(json, &path).and_then(text).as_deref(), expect, "{path:?}");
        }
        // However a key is spelt, and wherever its letters stand, the short way agrees.
        let texts = [
            json,
            r#"{"\u0073": "escaped", "s": 1}"#,
            r#"{"\u0073": "escaped"}"#,
            r#"{"x": "\"s\"", "a": [10, {"b": 1}]}"#,
            r#"[{"s": 1}, 7]"#,
            r#"{"a\/b": 1, "a/b": 2}"#,
            r#"{"a\/b": 1}"#,
            r#"{"s": "\\u", "1": true}"#,
            r#"{"s": 1"#,
            "",
        ];
        let mut found = 0;
        for text in texts {
            for path in ["s", "a", "a.b", "a.b.1.c", "a.1.b", "0.s", "1", "a/b", "x", "zz", "é"] {
                let path: Vec<String> = path.split('.').map(str::to_owned).collect();
                let long = get(text, &path);
                found += usize::from(long.is_some());
                assert_eq!(Path::new(path.clone()).get(text), long, "{path:?} in {text}");
            }
        }
        assert!(found >= 15, "{found}");
        assert_eq!(get("{\"a\": 1", &["a".to_owned()]), None);
        assert_eq!(get("nonsense", &["a".to_owned()]), None);
        let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(get(&deep, &["0".to_owned()]), None);
    }
}
