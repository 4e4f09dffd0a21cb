//! Identity of an event.

use std::fmt;

use crate::Encoder;

/// 128 bits of BLAKE3 over (tenant, mapping source, native id or original bytes, table, sub-index).
///
/// No time and no position is in it: the same record gives the same id through every door. `native`
/// says whether the source itself names the event; only then are two rows with the same id known to
/// be one event sent twice. Ordered by bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct EventUid {
    /// The id.
    pub bits: u128,
    /// Whether it comes from an id the source gave.
    pub native: bool,
}

impl EventUid {
    /// Derives the id. `identity` is the native id where `native`, else the original bytes.
    pub fn derive(
        tenant: &str,
        source: &str,
        identity: &[u8],
        native: bool,
        table: &str,
        sub_index: u16,
    ) -> Self {
        let mut encoder = Encoder::default();
        encoder.text(tenant);
        encoder.text(source);
        encoder.bool(native);
        encoder.bytes(identity);
        encoder.text(table);
        encoder.int(i64::from(sub_index));
        EventUid { bits: encoder.hash128(), native }
    }
}

impl fmt::Display for EventUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.bits)
    }
}
