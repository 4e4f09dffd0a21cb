//! How much a history of changes takes: that of a finding and that of an incident. Not what a change is.
//!
//! - Remarks have an end: each reading carries them all.
//! - One name fills at most half of a history.
//! - A change of status is possible beyond what remarks may take, so that no work waits for room.

/// Changes that are kept of one finding or incident.
pub(crate) const ENTRIES: usize = 500;
/// Bytes of their texts.
pub(crate) const BYTES: usize = 256 << 10;
/// Bytes of texts that go with a change of status: who takes it, the name of an incident.
const STATUS_BYTES: usize = 64;

/// Whether there is room for a change of `by` with so many bytes of texts. `history` has who made each
/// change there is, and its bytes.
pub(crate) fn has_room<'h>(
    history: impl Iterator<Item = (&'h str, usize)>,
    by: &str,
    changes_status: bool,
    bytes: usize,
) -> bool {
    let beyond = changes_status && bytes <= STATUS_BYTES;
    let [mut all, mut own] = [(0, bytes); 2];
    for (name, bytes) in history {
        all = (all.0 + 1, all.1 + bytes);
        if name == by {
            own = (own.0 + 1, own.1 + bytes);
        }
    }
    let entries = if beyond { 2 * ENTRIES } else { ENTRIES };
    let fits = |(count, bytes), part| count < entries / part && (beyond || bytes <= BYTES / part);
    fits(all, 1) && fits(own, 2)
}
