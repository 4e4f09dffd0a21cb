//! Identity of a finding.

use std::{fmt, str::FromStr};

use sluice_event::Encoder;

/// 128 bits of BLAKE3 over (tenant, rule id, row key).
///
/// The row key comes from the operator: event ids, or group keys and window. Nothing of position,
/// clock, rule version or arrival is in it, so replay gives the same ids.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FindingId(pub u128);

impl FindingId {
    /// Derives the id of the finding that `rule` makes of the rows named by `key`.
    pub fn derive(tenant: &str, rule: &str, key: &[u8]) -> Self {
        let mut encoder = Encoder::default();
        encoder.text(tenant);
        encoder.text(rule);
        encoder.bytes(key);
        FindingId(encoder.hash128())
    }
}

impl fmt::Display for FindingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for FindingId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u128::from_str_radix(text, 16).map(FindingId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_depends_on_every_part_and_survives_text() {
        let id = FindingId::derive("default", "identity.x", b"key");
        assert_ne!(id, FindingId::derive("other", "identity.x", b"key"));
        assert_ne!(id, FindingId::derive("default", "identity.y", b"key"));
        assert_ne!(id, FindingId::derive("default", "identity.x", b"kez"));
        assert_eq!(id.to_string().parse(), Ok(id));
    }
}
