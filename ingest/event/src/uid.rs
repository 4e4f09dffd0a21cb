//! Identity of an event.

use std::fmt;

use arrow::array::{Array, StringArray};

use crate::{Encoder, EventBatch, TableName};

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
        Self::derive_by(
            &mut Encoder::default(),
            (tenant, source),
            identity,
            native,
            (table, sub_index),
        )
    }

    /// The same, with the room of an encoder.
    fn derive_by(
        encoder: &mut Encoder,
        (tenant, source): (&str, &str),
        identity: &[u8],
        native: bool,
        (table, sub_index): (&str, u16),
    ) -> Self {
        encoder.clear();
        encoder.text(tenant);
        encoder.text(source);
        encoder.bool(native);
        encoder.bytes(identity);
        encoder.text(table);
        encoder.int(i64::from(sub_index));
        EventUid { bits: encoder.hash128(), native }
    }
}

/// The identities of the rows of a batch, each computed when it is asked for: most rows never need one.
#[derive(Debug)]
pub struct EventUids<'a> {
    batch: &'a EventBatch,
    /// What the source calls its events.
    native: Option<&'a StringArray>,
    table: TableName,
    encoder: Encoder,
}

impl<'a> EventUids<'a> {
    /// Those of a batch.
    pub fn new(batch: &'a EventBatch) -> Self {
        // The same for every layer of rules that read it.
        let (native, table) = match batch.table.is_findings() {
            true => ("id", TableName::findings(1)),
            false => ("native_uid", batch.table.clone()),
        };
        let native = batch.columns.column_by_name(native);
        let native = native.and_then(|c| c.as_any().downcast_ref::<StringArray>());
        EventUids { batch, native, table, encoder: Encoder::default() }
    }

    /// The identity of a row.
    pub fn of(&mut self, row: usize) -> EventUid {
        let batch = self.batch;
        let native = self.native.filter(|c| c.is_valid(row)).map(|c| c.value(row).as_bytes());
        EventUid::derive_by(
            &mut self.encoder,
            (&batch.origin.tenant, &batch.origin.source),
            native.unwrap_or_else(|| batch.original(row)),
            native.is_some(),
            (self.table.as_str(), batch.sub_index[row]),
        )
    }
}

impl fmt::Display for EventUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 32];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.bits.to_be_bytes()) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}
