//! How many findings a run had, and how many of them a service would not keep one by one. Not what is
//! printed of each.

use std::{collections::BTreeMap, sync::Arc};

use sluice_finding::{Finding, capped::RuleMinute};

/// How many findings there were.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// Net findings by rule.
    pub(crate) rules: BTreeMap<String, u64>,
    /// Of them, those of rules on trial.
    pub(crate) shadow: u64,
    /// Of them, repeats of another one (`suppression`), by rule.
    pub(crate) repeats: BTreeMap<String, u64>,
    /// Findings that a late row took back.
    pub(crate) withdrawn: u64,
    /// Findings of records that claim the id of another record and say something else, by the source
    /// of the records.
    pub(crate) contested: BTreeMap<String, u64>,
    /// Net findings by rule and minute of event time.
    minutes: BTreeMap<(Arc<str>, i64), u64>,
}

/// Findings of a rule beyond a bound, and in how many minutes they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Beyond {
    pub(crate) findings: u64,
    pub(crate) minutes: u64,
}

impl Tally {
    /// Counts a net finding.
    pub(super) fn add(&mut self, finding: &Finding) {
        *self.rules.entry(finding.rule_id.to_string()).or_default() += 1;
        let RuleMinute { rule, start, .. } = RuleMinute::of(finding);
        *self.minutes.entry((rule, start)).or_default() += 1;
    }

    /// Net findings of all rules.
    pub(crate) fn total(&self) -> u64 {
        self.rules.values().sum()
    }

    /// By rule, those that are more than `most` of the rule and a minute.
    pub(crate) fn beyond(&self, most: u64) -> BTreeMap<&str, Beyond> {
        let mut rules: BTreeMap<&str, Beyond> = BTreeMap::new();
        for ((rule, _), count) in &self.minutes {
            if *count > most {
                let beyond = rules.entry(rule).or_default();
                beyond.findings += count - most;
                beyond.minutes += 1;
            }
        }
        rules
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_beyond_a_bound_are_counted_by_minute() {
        let mut tally = Tally::default();
        let minutes = [("a.a", 0, 5), ("a.a", 60_000, 3), ("a.a", 120_000, 2), ("b.b", 0, 2)];
        for (rule, start, count) in minutes {
            tally.minutes.insert((rule.into(), start), count);
        }
        let beyond = tally.beyond(2);
        assert_eq!(beyond, BTreeMap::from([("a.a", Beyond { findings: 4, minutes: 2 })]));
        assert!(tally.beyond(5).is_empty());
    }
}
