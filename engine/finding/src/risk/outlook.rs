//! What would change a score: the one finding that would raise it, and what it is without a factor. Not
//! what decay does to it (see [`EntityRisk::next_change`](super::EntityRisk::next_change)).

use super::{Evidence, FactorKey, RiskLedger, RiskScore, declared_weight, entity::HALF_LIFE};
use crate::FindingId;

/// The highest risk that a rule can declare.
const RISK_MAX: u8 = 90;
/// A group that is no tactic and no domain, so that no factor is in it.
const UNSEEN: &str = "*";

impl RiskLedger {
    /// The least risk, 1 to 90, of one finding of a tactic that does not count yet with which the score
    /// at an instant is at least so many hundredths; `None` if one finding is not enough.
    pub fn risk_to_reach(&self, hundredths: i64, at: i64) -> Option<u8> {
        (1..=RISK_MAX).find(|risk| {
            let mut ledger = self.clone();
            ledger.add(&Evidence {
                finding: FindingId(0),
                key: FactorKey { source: UNSEEN.into(), value: "".into() },
                group: UNSEEN.into(),
                weight: declared_weight(*risk),
                half_life: HALF_LIFE,
                time: at,
                critical: false,
            });
            ledger.score(at).score >= hundredths
        })
    }

    /// The score at an instant if the findings of a factor weighed nothing.
    pub fn without(&self, key: &FactorKey, at: i64) -> RiskScore {
        let mut ledger = self.clone();
        ledger.factors.remove(key);
        ledger.score(at)
    }
}
