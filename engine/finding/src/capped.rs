//! Findings of one rule in one minute of event time beyond those that are kept: how many they are, whom
//! they are about, and the finding that reports them. Not the bound, and not where the minute is kept.
//!
//! What is counted is a function of the set of findings. One that is reported again, by an update or
//! after a crash, changes nothing, and the order of arrival does not matter.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::{Value, json};
use sluice_event::{Encoder, rfc3339};
use sluice_rule::Severity;

use crate::{CappedBy, Entity, Finding, FindingId};

/// The rule id of the finding that reports those that are not kept.
pub const FINDINGS_CAPPED: &str = "sluice.findings_capped";

/// The findings of one rule whose event time is in one minute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleMinute {
    /// The rule.
    pub rule: Arc<str>,
    /// When the minute begins, milliseconds since 1970 UTC.
    pub start: i64,
    /// Findings that were kept.
    pub kept: u64,
    /// Those that were not, if there are any.
    pub capped: Option<Capped>,
}

/// Findings that were not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capped {
    /// The smallest hashes of their ids.
    pub hashes: BTreeSet<u64>,
    /// Whom those with the very smallest are about: the column, and the entity it names.
    pub examples: BTreeMap<u64, Vec<(String, Entity)>>,
    /// The worst severity.
    pub severity: Severity,
    /// The highest risk.
    pub risk: u8,
    /// ATT&CK ids of the rule.
    pub attack: Arc<[String]>,
    /// Whether the rule is on trial.
    pub shadow: bool,
}

const MINUTE: i64 = 60_000;
/// Hashes that are kept. Fewer findings are counted exactly; more are estimated from the largest hash
/// kept, with a standard error of 3 % (Bar-Yossef et al., Counting Distinct Elements in a Data Stream,
/// 2002).
const HASHES: usize = 1_024;
/// Findings whose entities are shown: a random sample, since hashes are.
const EXAMPLES: usize = 20;

impl RuleMinute {
    /// The minute a finding is counted in, without any.
    pub fn of(finding: &Finding) -> RuleMinute {
        RuleMinute {
            rule: finding.rule_id.clone(),
            start: start(finding.time),
            kept: 0,
            capped: None,
        }
    }

    /// Counts a finding that is not kept.
    pub fn cap(&mut self, finding: &Finding) {
        let capped = self.capped.get_or_insert_with(|| Capped {
            hashes: BTreeSet::new(),
            examples: BTreeMap::new(),
            severity: finding.severity,
            risk: finding.risk,
            attack: finding.attack.clone(),
            shadow: finding.shadow,
        });
        let hash = hash(finding.id);
        capped.severity = capped.severity.max(finding.severity);
        capped.risk = capped.risk.max(finding.risk);
        capped.hashes.insert(hash);
        if capped.hashes.len() > HASHES {
            capped.hashes.pop_last();
        }
        capped.examples.entry(hash).or_insert_with(|| named(finding));
        if capped.examples.len() > EXAMPLES {
            capped.examples.pop_last();
        }
    }

    /// How many were not kept.
    pub fn more(&self) -> u64 {
        self.capped.as_ref().map_or(0, Capped::count)
    }

    /// The finding that reports those that were not kept; `None` if there are none. It weighs on the
    /// entities it shows as one finding of the rule.
    pub fn report(&self) -> Option<Finding> {
        let capped = self.capped.as_ref()?;
        let (more, about) = (capped.count(), if capped.is_exact() { "" } else { "about " });
        let named = capped.examples.values().flatten();
        let columns: BTreeSet<&str> = named.clone().map(|(column, _)| column.as_str()).collect();
        let entities: BTreeSet<Entity> = named.map(|(_, entity)| entity.clone()).collect();
        let example = |named: &Vec<(String, Entity)>| -> Value {
            named.iter().map(|(column, entity)| (column.clone(), json!(entity.id))).collect()
        };
        let fields = [
            ("rule_id", json!(&*self.rule)),
            ("minute", json!(rfc3339(self.start))),
            ("kept", json!(self.kept)),
            ("not_kept", json!(more)),
            ("exact", json!(capped.is_exact())),
            ("key_columns", json!(columns)),
            ("examples", capped.examples.values().map(example).collect()),
            (
                "hint",
                json!(
                    "narrow the rule, or fold its repeats with `suppression`; hunts still see the \
                     events, and `findings_per_minute` of `[retention]` is the bound"
                ),
            ),
        ];
        let mut key = Encoder::default();
        key.text(&self.rule);
        key.int(self.start);
        let title = format!("{about}{more} more findings of {} in one minute", self.rule);
        let (severity, time) = (capped.severity, self.start);
        Some(Finding {
            entities: entities.into_iter().collect(),
            attack: capped.attack.clone(),
            risk: capped.risk,
            shadow: capped.shadow,
            window: Some((self.start, self.start.saturating_add(MINUTE))),
            count: more,
            capped: true,
            capped_by: vec![CappedBy { bound: "findings_per_minute".into(), limit: self.kept }],
            ..Finding::of_service(FINDINGS_CAPPED, "default", &key, title, severity, time, fields)
        })
    }
}

impl Capped {
    fn is_exact(&self) -> bool {
        self.hashes.len() < HASHES
    }

    fn count(&self) -> u64 {
        match self.hashes.last() {
            Some(largest) if !self.is_exact() => {
                let whole = (HASHES as u128 - 1) << 64;
                u64::try_from(whole / (u128::from(*largest) + 1)).unwrap_or(u64::MAX)
            }
            Some(_) | None => self.hashes.len() as u64,
        }
    }
}

/// When the minute of an event time begins.
fn start(time: i64) -> i64 {
    time.saturating_sub(time.rem_euclid(MINUTE))
}

/// The entities of a finding, each with the column that names it; its kind if none does.
fn named(finding: &Finding) -> Vec<(String, Entity)> {
    let column = |entity: &Entity| {
        let names = |value: &Value| value.as_str() == Some(entity.id.as_str());
        let found = finding.fields.iter().find(|(_, value)| names(value));
        found.map_or_else(|| entity.kind.name().to_owned(), |(name, _)| name.clone())
    };
    finding.entities.iter().map(|entity| (column(entity), entity.clone())).collect()
}

fn hash(id: FindingId) -> u64 {
    let mut encoder = Encoder::default();
    encoder.bytes(&id.0.to_be_bytes());
    (encoder.hash128() >> 64) as u64
}

#[cfg(test)]
mod tests {
    use serde_json::Map;
    use sluice_event::EntityKind;

    use super::*;
    use crate::FindingState;

    fn finding(n: u128, user: &str) -> Finding {
        Finding {
            id: FindingId(n),
            rule_id: "identity.x".into(),
            rule_version: "abc".into(),
            title: "t".to_owned(),
            severity: if n == 7 { Severity::High } else { Severity::Low },
            time: 125_000,
            state: FindingState::Confirmed,
            revision: 1,
            entities: vec![Entity { kind: EntityKind::User, id: user.to_owned() }],
            attack: ["TA0006".to_owned()].into(),
            risk: 8,
            shadow: false,
            suppression: None,
            fields: Map::from_iter([("user_name".to_owned(), json!(user))]),
            window: None,
            count: 1,
            late: false,
            capped: false,
            capped_by: Vec::new(),
            time_flags: sluice_event::TimeFlags::NONE,
            contested: false,
            evidence: Vec::new(),
            evidence_total: 0,
        }
    }

    fn minute(ids: impl IntoIterator<Item = u128>) -> RuleMinute {
        let mut minute = RuleMinute::of(&finding(0, "ann"));
        ids.into_iter().for_each(|n| minute.cap(&finding(n, &format!("user{}", n % 30))));
        minute
    }

    #[test]
    fn few_are_counted_exactly_and_many_within_a_tenth() {
        for n in [1, 1_023] {
            assert_eq!(minute(0..n).more(), n as u64);
        }
        for n in [1_024, 10_000, 100_000] {
            let more = minute(0..n).more() as f64;
            assert!((more / n as f64 - 1.0).abs() < 0.1, "{n}: {more}");
        }
        assert_eq!(RuleMinute::of(&finding(0, "ann")).report(), None);
    }

    #[test]
    fn order_and_repetition_change_nothing() {
        let once = minute(0..3_000);
        assert_eq!(minute((0..3_000).rev().chain(500..900)), once);
        assert!(once.report().unwrap().title.starts_with("about "));
    }

    #[test]
    fn the_report_names_whom_the_others_are_about() {
        let report = minute(0..100).report().unwrap();
        assert_eq!(report.title, "100 more findings of identity.x in one minute");
        assert_eq!((report.time, report.window), (120_000, Some((120_000, 180_000))));
        assert_eq!((report.severity, report.risk, report.count), (Severity::High, 8, 100));
        assert_eq!(report.fields["key_columns"], json!(["user_name"]));
        assert_eq!(report.fields["examples"].as_array().unwrap().len(), EXAMPLES);
        assert!((2..=EXAMPLES).contains(&report.entities.len()), "{:?}", report.entities);
        assert_eq!(report.fields["minute"], "1970-01-01T00:02:00.000Z");
        assert_eq!(report.fields["exact"], true);
        // More of them are the same finding.
        assert_eq!(minute(0..200).report().unwrap().id, report.id);
    }
}
