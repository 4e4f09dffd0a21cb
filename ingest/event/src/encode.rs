//! The one encoding behind finding ids, virtual nodes and state keys.

use crate::Value;

/// Writes values as tag, length, value, so that no two different sequences give the same bytes and
/// no arrow or serde upgrade changes an id. NULL has a tag of its own. Numbers are big-endian.
#[derive(Default, Clone, Debug)]
pub struct Encoder {
    bytes: Vec<u8>,
}

const NULL: u8 = 0;
const BOOL: u8 = 1;
const INT: u8 = 2;
const FLOAT: u8 = 3;
const TEXT: u8 = 4;
const TIME: u8 = 5;
const BYTES: u8 = 6;

impl Encoder {
    /// Appends NULL.
    pub fn null(&mut self) {
        self.bytes.push(NULL);
    }

    /// Appends a boolean.
    pub fn bool(&mut self, value: bool) {
        self.bytes.extend([BOOL, u8::from(value)]);
    }

    /// Appends an integer.
    pub fn int(&mut self, value: i64) {
        self.bytes.push(INT);
        self.bytes.extend(value.to_be_bytes());
    }

    /// Appends a time in milliseconds since 1970 UTC.
    pub fn time(&mut self, millis: i64) {
        self.bytes.push(TIME);
        self.bytes.extend(millis.to_be_bytes());
    }

    /// Appends a float; `-0.0` is `0.0` and every NaN is one NaN, as SQL groups them.
    pub fn float(&mut self, value: f64) {
        self.bytes.push(FLOAT);
        self.bytes.extend(Value::float_bits(value).to_be_bytes());
    }

    /// Appends text.
    pub fn text(&mut self, value: &str) {
        self.tagged(TEXT, value.as_bytes());
    }

    /// Appends raw bytes.
    pub fn bytes(&mut self, value: &[u8]) {
        self.tagged(BYTES, value);
    }

    /// Appends any value.
    pub fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.null(),
            Value::Bool(v) => self.bool(*v),
            Value::Int(v) => self.int(*v),
            Value::Float(v) => self.float(*v),
            Value::Text(v) => self.text(v),
            Value::Time(v) => self.time(*v),
            Value::List(list) => {
                let mut items = Encoder::default();
                list.values.iter().for_each(|v| items.value(v));
                self.bytes(items.as_bytes());
            }
        }
    }

    /// Appends bytes that are encoded already.
    pub fn append(&mut self, encoded: &[u8]) {
        self.bytes.extend_from_slice(encoded);
    }

    /// Forgets what was written, and keeps its room.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// How many bytes there are so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The bytes so far.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes so far.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The first 128 bits of BLAKE3 over the bytes so far.
    pub fn hash128(&self) -> u128 {
        let hash = blake3::hash(&self.bytes);
        let mut first = [0; 16];
        first.copy_from_slice(&hash.as_bytes()[..16]);
        u128::from_be_bytes(first)
    }

    fn tagged(&mut self, tag: u8, value: &[u8]) {
        self.bytes.push(tag);
        self.bytes.extend((value.len() as u64).to_be_bytes());
        self.bytes.extend(value);
    }
}

/// The values that were encoded; `None` if the bytes hold anything else (raw bytes included).
pub fn decode_values(mut bytes: &[u8]) -> Option<Vec<Value>> {
    fn chunk<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
        let (chunk, rest) = bytes.split_first_chunk()?;
        *bytes = rest;
        Some(*chunk)
    }
    let mut values = Vec::new();
    while let Some((tag, rest)) = bytes.split_first() {
        bytes = rest;
        values.push(match *tag {
            NULL => Value::Null,
            BOOL => Value::Bool(chunk::<1>(&mut bytes)? != [0]),
            INT => Value::Int(i64::from_be_bytes(chunk(&mut bytes)?)),
            FLOAT => Value::Float(f64::from_bits(u64::from_be_bytes(chunk(&mut bytes)?))),
            TIME => Value::Time(i64::from_be_bytes(chunk(&mut bytes)?)),
            TEXT => {
                let length = usize::try_from(u64::from_be_bytes(chunk(&mut bytes)?)).ok()?;
                let (text, rest) = bytes.split_at_checked(length)?;
                bytes = rest;
                Value::Text(std::str::from_utf8(text).ok()?.into())
            }
            _ => return None,
        });
    }
    Some(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back() {
        let values = [
            Value::Null,
            Value::Bool(true),
            Value::Int(-3),
            Value::Float(0.5),
            Value::Text("é".into()),
            Value::Time(7),
        ];
        let mut e = Encoder::default();
        values.iter().for_each(|v| e.value(v));
        assert_eq!(decode_values(e.as_bytes()).as_deref(), Some(&values[..]));
        e.bytes(b"x");
        assert_eq!(decode_values(e.as_bytes()), None);
        assert_eq!(decode_values(&[INT, 0]), None);
    }

    #[test]
    fn different_sequences_never_share_bytes() {
        let bytes = |parts: &[&str]| {
            let mut e = Encoder::default();
            parts.iter().for_each(|p| e.text(p));
            e.into_bytes()
        };
        assert_ne!(bytes(&["ab", "c"]), bytes(&["a", "bc"]));
        assert_ne!(bytes(&["", "a"]), bytes(&["a", ""]));
        let mut null = Encoder::default();
        null.null();
        assert_ne!(null.into_bytes(), bytes(&[""]));
    }
}
