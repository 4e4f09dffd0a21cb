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
        }
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

#[cfg(test)]
mod tests {
    use super::*;

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
