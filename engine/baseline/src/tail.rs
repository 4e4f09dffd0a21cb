//! Tail probabilities of counts, and what a probability is worth as evidence.

use statrs::function::beta::checked_beta_reg;

/// `P(K >= k)` of a negative binomial with the given mean and `var = mean + dispersion * mean^2`;
/// Poisson-like as the dispersion goes to 0. Between 0 and 1; 1 for `k = 0`.
pub fn negative_binomial_tail(k: u64, mean: f64, dispersion: f64) -> f64 {
    if k == 0 {
        return 1.0;
    }
    if !(mean.is_finite() && mean > 0.0) {
        return 0.0;
    }
    // r successes, each trial succeeds with probability r / (r + mean).
    let r = 1.0 / dispersion.clamp(1e-6, 1e6);
    let failure = mean / (r + mean);
    checked_beta_reg(k as f64, r, failure).unwrap_or(1.0).clamp(0.0, 1.0)
}

/// Evidence of a tail probability in nats, as surprise `z = -ln p`: the upper bound on the Bayes factor
/// `-e p ln p` (Sellke, Bayarri and Berger 2001), `z - 1 - ln z`; 0 for `p >= 1/e`.
pub fn sellke_nats(z: f64) -> f64 {
    if z > 1.0 { z - 1.0 - z.ln() } else { 0.0 }
}
