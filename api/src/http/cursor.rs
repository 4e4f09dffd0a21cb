//! Cursors: where a list goes on, signed, so that one made up, or made for another query, is refused.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::problem::{Code, Problem};

const MAC_BYTES: usize = 16;

/// Makes and reads cursors with one key.
#[derive(Clone)]
pub(super) struct Cursors {
    key: [u8; 32],
}

impl Cursors {
    /// With the key of a data directory.
    pub(super) fn new(key: [u8; 32]) -> Self {
        Cursors { key }
    }

    /// The cursor of a position in the list that `list` names: tenant, route and every parameter
    /// that decides what is in it.
    pub(super) fn seal(&self, list: &[&str], position: &[u8]) -> String {
        let mut bytes = position.to_vec();
        bytes.extend_from_slice(&self.mac(list, position));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The position of a cursor.
    pub(super) fn open(&self, list: &[&str], cursor: &str) -> Result<Vec<u8>, Problem> {
        let refused = || {
            Problem::new(Code::InvalidCursor, "the cursor was not made for this list")
                .hint("use `next_cursor` as it came, with the same parameters")
        };
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| refused())?;
        let at = bytes.len().checked_sub(MAC_BYTES).ok_or_else(refused)?;
        let (position, mac) = bytes.split_at(at);
        let same: bool = subtle::ConstantTimeEq::ct_eq(&self.mac(list, position)[..], mac).into();
        if same { Ok(position.to_vec()) } else { Err(refused()) }
    }

    fn mac(&self, list: &[&str], position: &[u8]) -> [u8; MAC_BYTES] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        for part in list.iter().map(|p| p.as_bytes()).chain([position]) {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        let mut mac = [0; MAC_BYTES];
        hasher.finalize_xof().fill(&mut mac);
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_for_one_list_and_one_key() {
        let cursors = Cursors::new([7; 32]);
        let list = ["default", "findings", "q=x"];
        let cursor = cursors.seal(&list, b"position");
        assert_eq!(cursors.open(&list, &cursor).unwrap(), b"position");
        assert!(cursors.open(&["default", "findings", "q=y"], &cursor).is_err());
        assert!(cursors.open(&["other", "findings", "q=x"], &cursor).is_err());
        assert!(cursors.open(&["default", "findingsq=x", ""], &cursor).is_err());
        assert!(Cursors::new([8; 32]).open(&list, &cursor).is_err());
        let mut bytes = URL_SAFE_NO_PAD.decode(&cursor).unwrap();
        for i in 0..bytes.len() {
            bytes[i] ^= 1;
            assert!(cursors.open(&list, &URL_SAFE_NO_PAD.encode(&bytes)).is_err(), "byte {i}");
            bytes[i] ^= 1;
        }
        for bad in ["", "a", "!!", "AAAA", &"A".repeat(10_000)] {
            assert!(cursors.open(&list, bad).is_err(), "{bad:.8}");
        }
    }
}
