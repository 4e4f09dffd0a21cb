//! The finding itself.

use std::sync::Arc;

use memchr::memmem;
use serde_json::{Map, Value};
use sluice_event::{Encoder, EntityKind, TimeFlags};
use sluice_rule::Severity;

use crate::{FindingId, RepeatGroup};

/// One row that a rule returned: something found, about someone, with the events that show it.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Deterministic identity.
    pub id: FindingId,
    /// The rule, `identity.mfa_fatigue`.
    pub rule_id: Arc<str>,
    /// First 12 hex digits of the hash of the rule's normalised SQL; an attribute, not identity.
    pub rule_version: Arc<str>,
    /// The rule's title, or the row's own `title` column.
    pub title: String,
    /// The rule's severity, or the row's.
    pub severity: Severity,
    /// Event time in milliseconds since 1970 UTC of the row that decided it.
    pub time: i64,
    /// Whether it can still be taken back.
    pub state: FindingState,
    /// 1 at first, one more with every change that was kept.
    pub revision: u32,
    /// Whom it is about.
    pub entities: Vec<Entity>,
    /// ATT&CK tactic and technique ids.
    pub attack: Arc<[String]>,
    /// The score this finding alone gives a quiet entity, 0 to 90.
    pub risk: u8,
    /// Whether the rule is still on trial (`status: experimental`): kept, without consequence.
    pub shadow: bool,
    /// What repeats of it are folded by, if its rule folds any.
    pub suppression: Option<RepeatGroup>,
    /// Every selected column, in SELECT order.
    pub fields: Map<String, Value>,
    /// `[start, end]` of the window in milliseconds, for windowed rules.
    pub window: Option<(i64, i64)>,
    /// How many events contributed.
    pub count: u64,
    /// Of a window, whether an event behind the watermark contributed: depends on arrival. Of a row by
    /// itself, whether it was too late for windows: the same in every run.
    pub late: bool,
    /// Whether a limit was hit, so that counts are lower bounds.
    pub capped: bool,
    /// Which limits: none of a finding that is not capped.
    pub capped_by: Vec<CappedBy>,
    /// What is wrong with times of the events that contributed, those that it does not show included.
    pub time_flags: TimeFlags,
    /// Whether its event has the id of another event that was known before and says something else:
    /// see [`contest`](crate::contest).
    pub contested: bool,
    /// Contributing events as compact JSON: the first 10 and the last 10.
    pub evidence: Vec<Arc<str>>,
    /// How many events the evidence was chosen from.
    pub evidence_total: u64,
}

/// Someone or something a finding is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entity {
    /// What it is.
    pub kind: EntityKind,
    /// Its canonical name.
    pub id: String,
}

/// A limit that a finding has hit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CappedBy {
    /// Its name: `keys_max`, `window_events_max`, `session_max`, `array_agg`, `findings_per_minute`, or a bound
    /// of a baseline's policy.
    pub bound: Arc<str>,
    /// What it was: a number of keys, rows, values, entities or findings; milliseconds for `session_max`.
    pub limit: u64,
}

/// Whether a finding can still change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FindingState {
    /// A late event may change or withdraw it.
    Provisional,
    /// Final.
    Confirmed,
    /// A late event took it back; kept, so that nothing vanishes silently.
    Withdrawn,
}

impl Finding {
    /// What the service says of itself, under a reserved id `sluice.*`: confirmed at once, without
    /// entities, weight or evidence. The same `key` is the same finding, said anew.
    pub fn of_service(
        rule_id: &'static str,
        tenant: &str,
        key: &Encoder,
        title: String,
        severity: Severity,
        time: i64,
        fields: impl IntoIterator<Item = (&'static str, Value)>,
    ) -> Finding {
        Finding {
            id: FindingId::derive(tenant, rule_id, &key.hash128().to_be_bytes()),
            rule_id: rule_id.into(),
            rule_version: "1".into(),
            title,
            severity,
            time,
            state: FindingState::Confirmed,
            revision: 1,
            entities: Vec::new(),
            attack: Arc::from([]),
            risk: 0,
            shadow: false,
            suppression: None,
            fields: fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            window: None,
            count: 1,
            late: false,
            capped: false,
            capped_by: Vec::new(),
            time_flags: TimeFlags::NONE,
            contested: false,
            evidence: Vec::new(),
            evidence_total: 0,
        }
    }

    /// What is wrong with times of the events that contributed, in name order: `future`, `invalid`,
    /// `missing`. Those events count as when they were received, so that a burst of them may be none.
    pub fn time_flag(&self) -> Option<String> {
        let flag = |event: &str| -> Option<TimeFlags> {
            // Most events have none, and need not be read.
            memmem::find(event.as_bytes(), b"\"time_flag\":")?;
            let columns: Map<String, Value> = serde_json::from_str(event).ok()?;
            Some(TimeFlags::of(columns.get("time_flag")?.as_str()?))
        };
        let shown = self.evidence.iter().filter_map(|event| flag(event));
        let flags = shown.fold(self.time_flags, |all, flags| all | flags);
        let names: Vec<&str> = flags.names().collect();
        Some(names.join(", ")).filter(|names| !names.is_empty())
    }
}

impl FindingState {
    /// The word on the wire.
    pub fn name(self) -> &'static str {
        match self {
            FindingState::Provisional => "provisional",
            FindingState::Confirmed => "confirmed",
            FindingState::Withdrawn => "withdrawn",
        }
    }
}
