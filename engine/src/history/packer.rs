//! The thread that packs rows in memory before a checkpoint covers them. Beside the path of findings: nothing
//! waits for it, and what it has not packed is packed by the checkpoint.

use std::sync::{Arc, atomic::Ordering};

use super::{Inner, packed::Packed, writer::Wake};

/// Rows of a table are packed when they take so many bytes as they came: some 10,000.
pub(super) const LOOSE: usize = 4 << 20;

/// Until it is told to stop.
pub(super) fn run(inner: &Inner, wake: &Wake) {
    while !wake.stop.load(Ordering::Relaxed) {
        while inner.pack_some() {}
        wake.sleep();
    }
}

impl Inner {
    /// How many bytes of rows are packed at once.
    pub(super) fn loose_bytes(&self) -> usize {
        LOOSE.min(self.table_bytes / 4)
    }

    /// Packs rows of one table; whether there were any.
    fn pack_some(&self) -> bool {
        let least = self.loose_bytes();
        let found = {
            let tables = self.tables();
            let mut all = tables.all.iter();
            all.find_map(|(name, table)| Some((name.clone(), table.ring.loose(least)?)))
        };
        let Some((name, (ids, batches))) = found else { return false };
        match Packed::new(&name, &batches) {
            Ok(packed) => {
                if let Some(table) = self.tables().all.get_mut(&name) {
                    table.ring.pack(&ids, Arc::new(packed));
                }
                true
            }
            Err(reason) => {
                tracing::warn!(%name, reason, "rows of history stay as they came");
                false
            }
        }
    }
}
