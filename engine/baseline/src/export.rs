//! Whether the last export of state has a thing, and as it is now. Not the export: that is `codec`.

/// Of one thing that is exported by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exported {
    /// Whether any export has it, so that it must be removed when it is gone.
    pub(crate) known: bool,
    /// Whether it is there as it is now.
    current: bool,
}

impl Exported {
    /// A thing that no export has.
    pub(crate) const NEW: Exported = Exported { known: false, current: false };
    /// A thing that was read from an export.
    pub(crate) const READ: Exported = Exported { known: true, current: true };
    /// The same, and changed since.
    pub(crate) const EDITED: Exported = Exported { known: true, current: false };

    /// It is not what was exported any more.
    pub(crate) fn change(&mut self) {
        self.current = false;
    }

    /// Whether it belongs to an export now: of `all`, or of what has changed.
    pub(crate) fn is_due(&mut self, all: bool) -> bool {
        let due = all || !self.current;
        *self = Exported::READ;
        due
    }
}
