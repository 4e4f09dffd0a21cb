//! Bytes of stored records: a version, then fields in order. Not what the fields are (see
//! [`super::records`]), no checksum: the database has one per block.
//!
//! Ours, since what is compared on replay must come back to the bit, floats included, and since no
//! upgrade of a library may change what is on disk.

use serde_json::{Map, Number, Value};
use sluice_event::defect::OrDefect;
use thiserror::Error;

/// The version written. An entry of any other is refused.
const VERSION: u8 = 1;
/// JSON nested deeper was not written by us: decoders stop far earlier.
const DEPTH: usize = 256;

/// Why a stored record cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum CodecError {
    #[error("it ends too early")]
    Truncated,
    #[error("it has version {0}, this build reads {VERSION}")]
    Version(u8),
    #[error("it has {0} bytes too many")]
    Trailing(usize),
    #[error("its {0} is unknown")]
    Unknown(&'static str),
    #[error("a text in it is not UTF-8")]
    Text,
    #[error("a value in it is nested too deep")]
    Deep,
}

/// Appends fields.
#[derive(Debug)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn new() -> Writer {
        Writer(vec![VERSION])
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }

    pub(crate) fn bool(&mut self, value: bool) {
        self.0.push(value.into());
    }

    /// LEB128.
    pub(crate) fn unsigned(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    /// Zigzag, then LEB128.
    pub(crate) fn signed(&mut self, value: i64) {
        self.unsigned(((value << 1) ^ (value >> 63)) as u64);
    }

    pub(crate) fn wide(&mut self, value: u128) {
        self.0.extend(value.to_be_bytes());
    }

    /// To the bit.
    pub(crate) fn float(&mut self, value: f64) {
        self.0.extend(value.to_bits().to_be_bytes());
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) {
        self.unsigned(value.len() as u64);
        self.0.extend(value);
    }

    pub(crate) fn text(&mut self, value: &str) {
        self.bytes(value.as_bytes());
    }

    pub(crate) fn option<T>(&mut self, value: Option<T>, some: impl FnOnce(&mut Self, T)) {
        self.bool(value.is_some());
        if let Some(value) = value {
            some(self, value);
        }
    }

    pub(crate) fn list<T>(
        &mut self,
        items: impl ExactSizeIterator<Item = T>,
        mut item: impl FnMut(&mut Self, T),
    ) {
        self.unsigned(items.len() as u64);
        items.for_each(|i| item(self, i));
    }

    pub(crate) fn object(&mut self, fields: &Map<String, Value>) {
        self.list(fields.iter(), |w, (name, value)| {
            w.text(name);
            w.json(value);
        });
    }

    fn json(&mut self, value: &Value) {
        match value {
            Value::Null => self.0.push(0),
            Value::Bool(false) => self.0.push(1),
            Value::Bool(true) => self.0.push(2),
            Value::Number(number) => {
                if let Some(v) = number.as_u64() {
                    self.0.push(3);
                    self.unsigned(v);
                } else if let Some(v) = number.as_i64() {
                    self.0.push(4);
                    self.signed(v);
                } else {
                    self.0.push(5);
                    // A number that is none of the three would need another feature of serde_json.
                    let float = number.as_f64().or_defect("durable.codec").unwrap_or(f64::NAN);
                    self.float(float);
                }
            }
            Value::String(v) => {
                self.0.push(6);
                self.text(v);
            }
            Value::Array(v) => {
                self.0.push(7);
                self.list(v.iter(), Self::json);
            }
            Value::Object(v) => {
                self.0.push(8);
                self.object(v);
            }
        }
    }
}

/// Reads fields back in the order they were written.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    depth: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Reader<'a>, CodecError> {
        match bytes.split_first() {
            Some((&VERSION, rest)) => Ok(Reader { rest, depth: 0 }),
            Some((&other, _)) => Err(CodecError::Version(other)),
            None => Err(CodecError::Truncated),
        }
    }

    /// Reads one record and insists that it is all there is.
    pub(crate) fn whole<T>(
        bytes: &'a [u8],
        record: impl FnOnce(&mut Self) -> Result<T, CodecError>,
    ) -> Result<T, CodecError> {
        let mut reader = Reader::new(bytes)?;
        let value = record(&mut reader)?;
        match reader.rest.len() {
            0 => Ok(value),
            more => Err(CodecError::Trailing(more)),
        }
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn byte(&mut self) -> Result<u8, CodecError> {
        let (&first, rest) = self.rest.split_first().ok_or(CodecError::Truncated)?;
        self.rest = rest;
        Ok(first)
    }

    pub(crate) fn bool(&mut self) -> Result<bool, CodecError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(CodecError::Unknown("flag")),
        }
    }

    pub(crate) fn unsigned(&mut self) -> Result<u64, CodecError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(CodecError::Unknown("number"))
    }

    pub(crate) fn signed(&mut self) -> Result<i64, CodecError> {
        let value = self.unsigned()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// A number of a narrower type.
    pub(crate) fn narrow<T: TryFrom<u64>>(&mut self) -> Result<T, CodecError> {
        T::try_from(self.unsigned()?).map_err(|_| CodecError::Unknown("number"))
    }

    pub(crate) fn wide(&mut self) -> Result<u128, CodecError> {
        self.chunk().map(u128::from_be_bytes)
    }

    pub(crate) fn float(&mut self) -> Result<f64, CodecError> {
        Ok(f64::from_bits(u64::from_be_bytes(self.chunk()?)))
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], CodecError> {
        let length = self.narrow::<usize>()?;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(CodecError::Truncated)?;
        self.rest = rest;
        Ok(bytes)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, CodecError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| CodecError::Text)
    }

    /// A word of ours.
    pub(crate) fn word<T>(
        &mut self,
        what: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, CodecError> {
        parse(self.text()?).ok_or(CodecError::Unknown(what))
    }

    pub(crate) fn option<T>(
        &mut self,
        some: impl FnOnce(&mut Self) -> Result<T, CodecError>,
    ) -> Result<Option<T>, CodecError> {
        self.bool()?.then(|| some(self)).transpose()
    }

    pub(crate) fn list<T, C: FromIterator<T>>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T, CodecError>,
    ) -> Result<C, CodecError> {
        let length = self.unsigned()?;
        // Lazily: a length that is wrong ends where the bytes do.
        (0..length).map(|_| item(self)).collect()
    }

    pub(crate) fn object(&mut self) -> Result<Map<String, Value>, CodecError> {
        self.list(|r| Ok((r.text()?.to_owned(), r.json()?)))
    }

    fn json(&mut self) -> Result<Value, CodecError> {
        Ok(match self.byte()? {
            0 => Value::Null,
            1 => Value::Bool(false),
            2 => Value::Bool(true),
            3 => self.unsigned()?.into(),
            4 => self.signed()?.into(),
            5 => {
                let float = self.float()?;
                Number::from_f64(float).ok_or(CodecError::Unknown("number"))?.into()
            }
            6 => Value::String(self.text()?.to_owned()),
            7 => Value::Array(self.nested(|r| r.list(Self::json))?),
            8 => Value::Object(self.nested(Self::object)?),
            _ => return Err(CodecError::Unknown("type of value")),
        })
    }

    fn nested<T>(
        &mut self,
        inner: impl FnOnce(&mut Self) -> Result<T, CodecError>,
    ) -> Result<T, CodecError> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(CodecError::Deep);
        }
        let value = inner(self);
        self.depth -= 1;
        value
    }

    pub(crate) fn chunk<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        let (chunk, rest) = self.rest.split_first_chunk().ok_or(CodecError::Truncated)?;
        self.rest = rest;
        Ok(*chunk)
    }
}
