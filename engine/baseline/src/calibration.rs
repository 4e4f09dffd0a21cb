//! Histograms of the scores of benign units: what makes a score a false-alarm rate.

/// Scores in fixed bins of 0.05 nat over [-20, 20]; integers, so that sums over shards are exact.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// Empty until the first score; then one count per bin.
    bins: Vec<u32>,
    total: u64,
}

impl Histogram {
    const WIDTH: f64 = 0.05;
    const LOW: f64 = -20.0;
    const BINS: usize = 800;

    fn bin(score: f64) -> usize {
        (((score - Self::LOW) / Self::WIDTH).floor().max(0.0) as usize).min(Self::BINS - 1)
    }

    /// Counts a score in nats.
    pub fn insert(&mut self, score: f64) {
        if self.bins.is_empty() {
            self.bins = vec![0; Self::BINS];
        }
        if let Some(count) = self.bins.get_mut(Self::bin(score)) {
            *count = count.saturating_add(1);
            self.total += 1;
        }
    }

    /// How many scores were counted.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// `(1 + scores in the bin of `score` or above) / (total + 1)`.
    pub fn tail(&self, score: f64) -> f64 {
        let above: u64 = self.bins.iter().skip(Self::bin(score)).map(|c| u64::from(*c)).sum();
        (1 + above) as f64 / (self.total + 1) as f64
    }

    pub(crate) fn sparse(&self) -> impl Iterator<Item = (usize, u32)> + '_ {
        self.bins.iter().copied().enumerate().filter(|(_, count)| *count > 0)
    }

    pub(crate) fn add_bin(&mut self, bin: usize, count: u32) {
        if self.bins.is_empty() {
            self.bins = vec![0; Self::BINS];
        }
        if let Some(slot) = self.bins.get_mut(bin) {
            *slot = slot.saturating_add(count);
            self.total += u64::from(count);
        }
    }
}

/// The histograms of one score: per size of unit, and all together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Calibration {
    pub(crate) all: Histogram,
    pub(crate) by_size: [Histogram; SIZES],
}

/// Sizes of units that are told apart: 1, 2-3, 4-7, .., 128 and more events.
pub(crate) const SIZES: usize = 8;

pub(crate) fn size_class(events: u64) -> usize {
    (events.max(1).ilog2() as usize).min(SIZES - 1)
}

impl Calibration {
    pub(crate) fn insert(&mut self, score: f64, events: u64) {
        self.all.insert(score);
        if let Some(histogram) = self.by_size.get_mut(size_class(events)) {
            histogram.insert(score);
        }
    }

    /// The tail probability of a score: from units of the same size where there are enough, else from
    /// all, else the bound `exp(-score)`, which holds if the entity's own law is the true one.
    pub(crate) fn p(&self, score: f64, events: u64, min: u64) -> f64 {
        let sized = self.by_size.get(size_class(events)).filter(|h| h.total() >= min);
        match sized.or_else(|| Some(&self.all).filter(|h| h.total() >= min)) {
            Some(histogram) => histogram.tail(score),
            None => (-score.max(0.0)).exp(),
        }
    }
}
