//! Numbers, texts and lists as bytes, and back. Not what they are of.

use super::StateError;

/// Integers are LEB128, signed ones zigzag; hashes and floats are 8 bytes, little-endian.
#[derive(Default)]
pub(super) struct Writer {
    pub(super) bytes: Vec<u8>,
}

impl Writer {
    pub(super) fn u64(&mut self, mut x: u64) {
        while x >= 0x80 {
            self.bytes.push(x as u8 | 0x80);
            x >>= 7;
        }
        self.bytes.push(x as u8);
    }

    pub(super) fn i64(&mut self, x: i64) {
        self.u64(((x << 1) ^ (x >> 63)) as u64);
    }

    pub(super) fn raw64(&mut self, x: u64) {
        self.bytes.extend_from_slice(&x.to_le_bytes());
    }

    pub(super) fn f64(&mut self, x: f64) {
        self.raw64(x.to_bits());
    }

    pub(super) fn text(&mut self, text: &str) {
        self.u64(text.len() as u64);
        self.bytes.extend_from_slice(text.as_bytes());
    }

    pub(super) fn list<T>(
        &mut self,
        items: impl ExactSizeIterator<Item = T>,
        mut write: impl FnMut(&mut Writer, T),
    ) {
        self.u64(items.len() as u64);
        for item in items {
            write(self, item);
        }
    }
}

pub(super) struct Reader<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

impl Reader<'_> {
    pub(super) fn take<const N: usize>(&mut self) -> Result<[u8; N], StateError> {
        let piece = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<N>());
        let piece = *piece.ok_or(StateError::Damaged(self.at))?;
        self.at += N;
        Ok(piece)
    }

    pub(super) fn u64(&mut self) -> Result<u64, StateError> {
        let mut x = 0_u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.take()?;
            x |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(x);
            }
        }
        Err(StateError::Damaged(self.at))
    }

    pub(super) fn i64(&mut self) -> Result<i64, StateError> {
        let x = self.u64()?;
        Ok((x >> 1) as i64 ^ -((x & 1) as i64))
    }

    pub(super) fn raw64(&mut self) -> Result<u64, StateError> {
        Ok(u64::from_le_bytes(self.take()?))
    }

    pub(super) fn f64(&mut self) -> Result<f64, StateError> {
        Ok(f64::from_bits(self.raw64()?))
    }

    pub(super) fn text(&mut self) -> Result<String, StateError> {
        let length = self.u64()? as usize;
        let end = self.at.checked_add(length).ok_or(StateError::Damaged(self.at))?;
        let piece = self.bytes.get(self.at..end).ok_or(StateError::Damaged(self.at))?;
        let text = std::str::from_utf8(piece).map_err(|_| StateError::Damaged(self.at))?;
        self.at = end;
        Ok(text.to_owned())
    }

    pub(super) fn list<T>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<T, StateError>,
    ) -> Result<Vec<T>, StateError> {
        let length = self.u64()? as usize;
        // Each item takes a byte at least: a damaged length must not reserve memory.
        if length > self.bytes.len() - self.at {
            return Err(StateError::Damaged(self.at));
        }
        (0..length).map(|_| read(self)).collect()
    }

    pub(super) fn small<T: TryFrom<u64>>(&mut self) -> Result<T, StateError> {
        let at = self.at;
        T::try_from(self.u64()?).map_err(|_| StateError::Damaged(at))
    }

    pub(super) fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, StateError>,
    ) -> Result<Option<T>, StateError> {
        match self.u64()? {
            0 => Ok(None),
            1 => read(self).map(Some),
            _ => Err(StateError::Damaged(self.at)),
        }
    }
}

pub(super) fn option<T>(w: &mut Writer, value: Option<T>, write: impl FnOnce(&mut Writer, T)) {
    w.u64(u64::from(value.is_some()));
    if let Some(value) = value {
        write(w, value);
    }
}
