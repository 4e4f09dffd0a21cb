//! The risk of an entity: a sum of listed contributions that decay by themselves, between 0 and 100.
//!
//! It is: weights of evidence, the ledger of an entity, its score at any instant with points that add
//! up exactly, levels with hysteresis. It is not: a store, a clock, or the findings themselves.
//!
//! The score is `100 * sigma(L / tau)` of the log odds `L = L0 + ln(criticality) + sum over groups of
//! C * (1 - exp(-X_g / C))`, where `X_g` sums `weight * ln(1 + s) / ln 2` over the group's factors and
//! `s` counts the factor's findings, each halved per half-life. So repeats of one finding, and many
//! findings of one tactic, saturate; nothing depends on the order of arrival.

mod entity;
mod explain;
mod ledger;
mod level;
mod outlook;
mod weight;

#[cfg(test)]
mod tests;

pub use entity::{EntityRisk, evidence};
pub use explain::{Contribution, ContributionKind, RiskScore};
pub use ledger::{Evidence, Factor, FactorKey, Floor, Override, RiskLedger};
pub use level::{LevelChange, RiskLevel, RiskState};
pub use weight::{anomaly_weight, declared_weight, noise_discount, risk_of_weight};

/// Log odds of an entity without findings, normal criticality: `ln(0.001 / 0.999)`.
const L0: f64 = -6.906_754_778_648_554;
/// Nats that one group cannot exceed.
const C: f64 = 12.0;
/// Nats per unit of the logistic's argument.
const TAU: f64 = 2.17;

/// How much an entity matters: odds its score is multiplied by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Criticality {
    /// Half the odds.
    Low,
    /// As they are.
    #[default]
    Normal,
    /// One and a half times.
    High,
    /// Twice.
    Extreme,
}

impl Criticality {
    /// The word in files and output.
    pub fn name(self) -> &'static str {
        match self {
            Criticality::Low => "low",
            Criticality::Normal => "normal",
            Criticality::High => "high",
            Criticality::Extreme => "extreme",
        }
    }

    /// Every criticality.
    pub const ALL: [Criticality; 4] =
        [Criticality::Low, Criticality::Normal, Criticality::High, Criticality::Extreme];

    /// The criticality of a word.
    pub fn parse(word: &str) -> Option<Criticality> {
        Criticality::ALL.into_iter().find(|c| c.name() == word)
    }

    fn odds(self) -> f64 {
        match self {
            Criticality::Low => 0.5,
            Criticality::Normal => 1.0,
            Criticality::High => 1.5,
            Criticality::Extreme => 2.0,
        }
    }
}

fn score_of(log_odds: f64) -> f64 {
    100.0 / (1.0 + (-log_odds / TAU).exp())
}
