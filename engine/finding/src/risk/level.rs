//! Levels: up at once, down with hysteresis and dwell, and when decay alone will change one.

use super::RiskLedger;

/// How risky an entity is, coarsely; what signals and policies go by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RiskLevel {
    /// Nothing to do.
    #[default]
    Low,
    /// Reached at 40, left below 30.
    Medium,
    /// Reached at 70, left below 55.
    High,
}

impl RiskLevel {
    /// The word on the wire.
    pub fn name(self) -> &'static str {
        match self {
            RiskLevel::Low => "low",
            RiskLevel::Medium => "medium",
            RiskLevel::High => "high",
        }
    }

    /// The level of a word.
    pub fn parse(word: &str) -> Option<RiskLevel> {
        RiskLevel::ALL.into_iter().find(|l| l.name() == word)
    }

    /// Every level, the lowest first.
    ///
    /// ```
    /// use sluice_finding::RiskLevel;
    ///
    /// assert!(RiskLevel::ALL.is_sorted_by_key(|level| level.reached_at()));
    /// assert_eq!(RiskLevel::parse("high"), Some(RiskLevel::High));
    /// ```
    pub const ALL: [RiskLevel; 3] = [RiskLevel::Low, RiskLevel::Medium, RiskLevel::High];

    /// The score in hundredths at which it is reached from below.
    pub fn reached_at(self) -> i64 {
        match self {
            RiskLevel::Low => 0,
            RiskLevel::Medium => 4_000,
            RiskLevel::High => 7_000,
        }
    }

    /// The level of a score in hundredths for an entity at this level that may also fall.
    pub fn next(self, score: i64) -> RiskLevel {
        let reached = match score {
            score if score >= RiskLevel::High.reached_at() => RiskLevel::High,
            score if score >= RiskLevel::Medium.reached_at() => RiskLevel::Medium,
            _ => RiskLevel::Low,
        };
        let held = match self {
            RiskLevel::High if score >= 5_500 => RiskLevel::High,
            RiskLevel::High | RiskLevel::Medium if score >= 3_000 => RiskLevel::Medium,
            RiskLevel::High | RiskLevel::Medium | RiskLevel::Low => RiskLevel::Low,
        };
        reached.max(held)
    }
}

/// Milliseconds a level is kept at least before it falls.
const DWELL: i64 = 15 * 60_000;
/// How far ahead a crossing is looked for: no half-life keeps a score up for longer.
const HORIZON: i64 = 3_660 * 86_400_000;

/// The level an entity is at, and since when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RiskState {
    /// The level.
    pub level: RiskLevel,
    /// When it was reached, milliseconds.
    pub since: i64,
}

/// A level that changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LevelChange {
    /// When, milliseconds.
    pub at: i64,
    /// From.
    pub previous: RiskLevel,
    /// To.
    pub current: RiskLevel,
    /// The score then, in hundredths.
    pub score: i64,
}

impl RiskState {
    /// Brings the level up to date at an instant; it does not fall before it was kept for the dwell.
    pub fn update(&mut self, ledger: &RiskLedger, at: i64) -> Option<LevelChange> {
        let falls = self.level.next(ledger.score(at).score) < self.level;
        if falls && at < self.since.saturating_add(DWELL) {
            return None;
        }
        self.update_at_once(ledger, at)
    }

    /// Brings the level up to date after a person's word, which waits for no dwell.
    pub fn update_at_once(&mut self, ledger: &RiskLedger, at: i64) -> Option<LevelChange> {
        let score = ledger.score(at).score;
        let next = self.level.next(score);
        if next == self.level {
            return None;
        }
        let change = LevelChange { at, previous: self.level, current: next, score };
        *self = RiskState { level: next, since: at };
        Some(change)
    }

    /// The first instant after `now` at which decay, or the end of an override, changes the level if
    /// nothing else happens; to the millisecond. `None` if it never does.
    pub fn next_change(&self, ledger: &RiskLedger, now: i64) -> Option<i64> {
        let until = ledger.manual.as_ref().map(|m| m.until).filter(|end| *end > now);
        let changes = |at: i64| {
            let next = self.level.next(ledger.score(at).score);
            next > self.level || (next < self.level && at >= self.since.saturating_add(DWELL))
        };
        // Between those instants the score only falls, and so does the level.
        let earliest = now.saturating_add(1).max(self.since.saturating_add(DWELL));
        let end = now.saturating_add(HORIZON);
        let ranges = match until {
            Some(until) if until > earliest => vec![(earliest, until - 1), (until, end)],
            Some(until) => vec![(until.max(now + 1), until.max(now + 1)), (earliest, end)],
            None => vec![(earliest, end)],
        };
        for (mut low, mut high) in ranges {
            if changes(low) {
                return Some(low);
            }
            if high <= low || !changes(high) {
                continue;
            }
            while high - low > 1 {
                let middle = low + (high - low) / 2;
                if changes(middle) { high = middle } else { low = middle }
            }
            return Some(high);
        }
        None
    }
}
