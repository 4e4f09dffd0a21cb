//! What a finding is worth, in nats.

use statrs::function::beta::checked_beta_reg;

use super::{C, L0, TAU, ledger::saturated, score_of};
use sluice_rule::Severity;

/// The weight of a rule's finding so that it alone gives a quiet entity of normal criticality the
/// score `risk`, 0 to 90. 0 up to the base score of 4.
pub fn declared_weight(risk: u8) -> f64 {
    let share = f64::from(risk.min(90)) / 100.0;
    if share <= 0.0 {
        return 0.0;
    }
    let nats = TAU * (share / (1.0 - share)).ln() - L0;
    if nats <= 0.0 {
        return 0.0;
    }
    -C * (1.0 - nats / C).ln()
}

/// The score that one finding of a weight gives a quiet entity of normal criticality, 0 to 90: the
/// inverse of [`declared_weight`] above the base score.
pub fn risk_of_weight(nats: f64) -> u8 {
    if nats <= 0.0 {
        return 0;
    }
    score_of(L0 + saturated(nats)).clamp(0.0, 90.0).round() as u8
}

/// How much of its weight a rule keeps that fired on `fired` of `days` entity-days outside of
/// confirmed incidents: 1 up to one in a thousand, falling with the logarithm of the rate to 0 where
/// benign days see it as often as bad ones. The rate is the 5 % quantile of its posterior, so that
/// little data discounts little.
pub fn noise_discount(severity: Severity, fired: u64, days: u64) -> f64 {
    let bad: f64 = match severity {
        Severity::Informational | Severity::Low => 0.05,
        Severity::Medium => 0.2,
        Severity::High => 0.5,
        Severity::Critical => 0.8,
    };
    let rate = lower_rate(fired.min(days), days);
    ((bad / rate).ln() / (bad / 0.001).ln()).clamp(0.0, 1.0)
}

/// The 5 % quantile of Beta(k + 1/2, n - k + 1/2), by bisection.
fn lower_rate(k: u64, n: u64) -> f64 {
    let (a, b) = (k as f64 + 0.5, (n - k) as f64 + 0.5);
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if checked_beta_reg(a, b, middle).unwrap_or(1.0) < 0.05 {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// The weight of an anomaly of surprise `z = -ln p`: `confidence * (z - 1 - ln z)`, the upper bound on
/// the Bayes factor of a tail probability (Sellke, Bayarri and Berger 2001); 0 for `p >= 1/e`.
pub fn anomaly_weight(surprise: f64, confidence: f64) -> f64 {
    if !(surprise > 1.0 && confidence > 0.0) {
        return 0.0;
    }
    confidence.min(1.0) * (surprise - 1.0 - surprise.ln())
}
