//! Inputs that have gone silent: how long each may be quiet, when it is longer, and what cannot be seen
//! meanwhile. A state machine over times it is given; not a thread, not where its memory is kept.
//!
//! An input is silent when nothing has come for longer than its configuration says, or, where that says
//! nothing, for three times the longest quiet time of its last seven days, but a quarter of an hour at
//! least, once it has been received from for a day. Silence is no risk of anybody: it lowers what can be known.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use sluice_event::{Encoder, TableName, rfc3339};
use sluice_finding::Finding;
use sluice_rule::Severity;

use crate::service::ServiceStatus;

/// The id under which a silent input is reported.
pub const SOURCE_SILENT: &str = "sluice.source_silent";

/// What is known of the pauses of all inputs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Silence {
    inputs: BTreeMap<String, Arrivals>,
}

/// What is known of the pauses of an input. Times are milliseconds since 1970 UTC.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arrivals {
    /// When the first record came; when it was first looked at if none has.
    pub since: i64,
    /// When the last record came.
    pub last: i64,
    /// The longest pause of each of the last days: (day since 1970, milliseconds).
    pub pauses: Vec<(i64, i64)>,
    /// Since when it is silent; `None` if it is not.
    pub silent_since: Option<i64>,
    /// Records since the process started, when it was looked at last.
    records: u64,
}

/// An input that has gone silent, or has resumed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SilenceChange {
    /// The input.
    pub input: String,
    /// When the last record before came.
    pub since: i64,
    /// When that was noticed, or when it resumed.
    pub at: i64,
    /// How long it may be quiet.
    pub usual: i64,
    /// Whether it has resumed.
    pub over: bool,
}

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;
/// Days whose pauses count.
const DAYS: i64 = 7;
/// Never silent before, where the configuration says nothing.
const LEAST: i64 = 15 * MINUTE;
const TIMES: i64 = 3;
/// A time without looks that is longer is one in which nothing could be received: the process was down, or
/// inputs were paused.
const LOOKS: i64 = MINUTE;
/// Rules that a finding names.
const NAMED: usize = 100;

impl Silence {
    /// What was known before. Nothing could be received until `now`.
    pub fn remembered(inputs: BTreeMap<String, Arrivals>, now: i64) -> Silence {
        let inputs = inputs.into_iter().map(|(name, mut arrivals)| {
            arrivals.records = 0;
            if arrivals.silent_since.is_none() {
                arrivals.last = now;
            }
            (name, arrivals)
        });
        Silence { inputs: inputs.collect() }
    }

    /// What is known of each input.
    pub fn inputs(&self) -> &BTreeMap<String, Arrivals> {
        &self.inputs
    }

    /// Inputs that are not configured any more.
    pub fn retain(&mut self, configured: impl Fn(&str) -> bool) {
        self.inputs.retain(|name, _| configured(name));
    }

    /// Looks at an input: `records` since the process started. `stated` is how long it may be quiet as
    /// the configuration says. `before` is when it was looked at last.
    pub fn look(
        &mut self,
        input: &str,
        records: u64,
        stated: Option<i64>,
        before: i64,
        now: i64,
    ) -> Option<SilenceChange> {
        let known = self.inputs.entry(input.to_owned());
        let arrivals =
            known.or_insert_with(|| Arrivals { since: now, last: now, ..Arrivals::default() });
        let arrived = records > arrivals.records;
        arrivals.records = records;
        let unseen = now - before;
        if unseen > LOOKS && arrivals.silent_since.is_none() {
            arrivals.last = (arrivals.last + unseen).min(now);
        }
        let usual = arrivals.usual(stated, now);
        if arrived {
            let (since, was) = (arrivals.last, arrivals.silent_since.take());
            // A pause that was a silence is not usual.
            if was.is_none() {
                arrivals.paused(now - since, now);
            }
            arrivals.last = now;
            let usual = usual.unwrap_or_default();
            return was.map(|since| SilenceChange {
                input: input.to_owned(),
                since,
                at: now,
                usual,
                over: true,
            });
        }
        let usual = usual
            .filter(|usual| arrivals.silent_since.is_none() && now - arrivals.last > *usual)?;
        arrivals.silent_since = Some(arrivals.last);
        Some(SilenceChange {
            input: input.to_owned(),
            since: arrivals.last,
            at: now,
            usual,
            over: false,
        })
    }
}

impl Arrivals {
    /// How long it may be quiet; `None` while that is not known.
    pub fn usual(&self, stated: Option<i64>, now: i64) -> Option<i64> {
        let learned = || {
            let today = now.div_euclid(DAY);
            let days = self.pauses.iter().filter(|(day, _)| *day > today - DAYS);
            let longest = days.map(|(_, pause)| *pause).max()?;
            (self.last - self.since >= DAY).then(|| (TIMES * longest).max(LEAST))
        };
        stated.or_else(learned)
    }

    fn paused(&mut self, pause: i64, now: i64) {
        let today = now.div_euclid(DAY);
        self.pauses.retain(|(day, _)| *day > today - DAYS);
        match self.pauses.iter_mut().find(|(day, _)| *day == today) {
            Some((_, longest)) => *longest = (*longest).max(pause),
            None => self.pauses.push((today, pause)),
        }
    }
}

impl SilenceChange {
    /// The finding that an analyst sees: what the input fed, and the rules that are blind meanwhile. The
    /// same finding is changed when it is over.
    pub fn finding(&self, tenant: &str, status: &ServiceStatus) -> Finding {
        let mut key = Encoder::default();
        key.text(&self.input);
        key.text(&self.since.to_string());
        let (tables, blind, partly) = blinded(&self.input, status);
        let tables: Vec<&str> = tables.iter().map(TableName::as_str).collect();
        let fields = [
            ("input", json!(self.input)),
            ("last_record_at", json!(rfc3339(self.since))),
            ("usual_pause_seconds", json!(self.usual / 1_000)),
            ("resumed_at", json!(self.over.then(|| rfc3339(self.at)))),
            ("tables", json!(tables)),
            ("blind_rules", json!(blind.iter().take(NAMED).collect::<Vec<_>>())),
            ("blind_rules_total", json!(blind.len())),
            ("partly_blind_rules", json!(partly.iter().take(NAMED).collect::<Vec<_>>())),
            ("partly_blind_rules_total", json!(partly.len())),
        ];
        let title = match self.over {
            false => {
                format!("Input {} is silent; rules that are blind: {}", self.input, blind.len())
            }
            true => format!("Input {} was silent", self.input),
        };
        Finding {
            window: Some((self.since, self.at)),
            count: 0,
            ..Finding::of_service(
                SOURCE_SILENT,
                tenant,
                &key,
                title,
                Severity::High,
                self.at,
                fields,
            )
        }
    }
}

/// Rules that see nothing, and since when: every input that has filled a table they read is silent, the last of
/// them since then. `fed` are the tables that each input has filled, `silent` the inputs that are silent.
pub fn blind_rules(
    fed: &BTreeMap<String, BTreeSet<TableName>>,
    silent: &BTreeMap<String, i64>,
    status: &ServiceStatus,
) -> BTreeMap<String, i64> {
    let mut blind = BTreeMap::new();
    if silent.is_empty() {
        return blind;
    }
    for rule in &status.rules {
        let behind =
            fed.iter().filter(|(_, tables)| rule.tables.iter().any(|t| tables.contains(t)));
        let since = behind.map(|(input, _)| silent.get(input).copied());
        let since: Option<Vec<i64>> = since.collect();
        if let Some(since) = since.and_then(|since| since.into_iter().max()) {
            blind.insert(rule.id.to_string(), since);
        }
    }
    blind
}

/// The tables an input has filled, the rules that read nothing but them while no other input fills them,
/// and the rules that see less.
fn blinded(input: &str, status: &ServiceStatus) -> (Vec<TableName>, Vec<String>, Vec<String>) {
    let fed = |name: &str| -> Vec<TableName> {
        let counts = status.counters.sources.get(name);
        counts.into_iter().flat_map(|counts| counts.rows.keys().cloned()).collect()
    };
    let tables = fed(input);
    let others: Vec<TableName> =
        status.inputs.iter().filter(|i| &*i.name != input).flat_map(|i| fed(&i.name)).collect();
    let (mut blind, mut partly) = (Vec::new(), Vec::new());
    for rule in &status.rules {
        if !rule.tables.iter().any(|table| tables.contains(table)) {
            continue;
        }
        match rule.tables.iter().any(|table| others.contains(table)) {
            true => partly.push(rule.id.to_string()),
            false => blind.push(rule.id.to_string()),
        }
    }
    (tables, blind, partly)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_767_225_600_000;

    /// Looks every ten seconds until `end`; records arrive as `arrivals` says. What changed.
    fn watch(
        silence: &mut Silence,
        stated: Option<i64>,
        (from, end): (i64, i64),
        arrivals: impl Fn(i64) -> bool,
    ) -> Vec<SilenceChange> {
        let mut records = silence.inputs.get("okta").map_or(0, |h| h.records);
        let mut changes = Vec::new();
        let mut now = from;
        while now < end {
            records += u64::from(arrivals(now));
            changes.extend(silence.look("okta", records, stated, now - 10_000, now));
            now += 10_000;
        }
        changes
    }

    #[test]
    fn a_stated_pause_counts_from_the_first_look_and_ends_with_the_next_record() {
        let mut silence = Silence::default();
        let arrivals = |now: i64| (START + 10 * MINUTE..START + 12 * MINUTE).contains(&now);
        let changes = watch(&mut silence, Some(5 * MINUTE), (START, START + 30 * MINUTE), arrivals);
        let told: Vec<(bool, i64)> =
            changes.iter().map(|c| (c.over, (c.since - START) / MINUTE)).collect();
        assert_eq!(told, [(false, 0), (true, 0), (false, 11)]);
        assert_eq!(changes[0].at, START + 5 * MINUTE + 10_000);
        assert_eq!(silence.inputs()["okta"].silent_since, Some(changes[2].since));
    }

    #[test]
    fn a_usual_pause_is_learned_and_a_night_of_it_is_no_silence() {
        // Every minute by day, nothing for eight hours at night.
        let by_day = |now: i64| now.rem_euclid(DAY) < 16 * 60 * MINUTE && now % MINUTE == 0;
        let mut silence = Silence::default();
        let week = START + 7 * DAY;
        let changes = watch(&mut silence, None, (START, week), by_day);
        assert_eq!(changes, []);
        let usual = silence.inputs()["okta"].usual(None, week).unwrap();
        assert!((24 * 60 * MINUTE..25 * 60 * MINUTE).contains(&usual), "{usual}");
        // Then nothing at all: told once.
        let changes = watch(&mut silence, None, (week, week + 3 * DAY), |_| false);
        assert_eq!(changes.len(), 1);
        assert!(!changes[0].over);
    }

    #[test]
    fn a_busy_input_is_silent_after_a_quarter_of_an_hour_once_it_is_known_for_a_day() {
        let mut silence = Silence::default();
        let half = START + DAY / 2;
        assert_eq!(watch(&mut silence, None, (START, half), |_| true), []);
        assert_eq!(watch(&mut silence, None, (half, half + 60 * MINUTE), |_| false), []);
        let day = START + 2 * DAY;
        assert_eq!(watch(&mut silence, None, (half + 60 * MINUTE, day), |_| true), []);
        let changes = watch(&mut silence, None, (day, day + 5 * 60 * MINUTE), |_| false);
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0].usual, 3 * (60 * MINUTE + 10_000));
    }

    #[test]
    fn a_time_in_which_nothing_could_be_received_is_no_silence_and_nothing_learned() {
        let mut silence = Silence::default();
        let day = START + 2 * DAY;
        watch(&mut silence, None, (START, day), |_| true);
        // The process was down for a day.
        let kept = silence.inputs().clone();
        let mut silence = Silence::remembered(kept, day + DAY);
        assert_eq!(silence.look("okta", 0, None, day + DAY, day + DAY), None);
        let changes = watch(&mut silence, None, (day + DAY, day + DAY + 10 * MINUTE), |_| false);
        assert_eq!(changes, []);
        // Inputs were paused for an hour.
        let later = day + DAY + 70 * MINUTE;
        assert_eq!(silence.look("okta", 0, None, later - 60 * MINUTE, later), None);
        assert_eq!(silence.look("okta", 1, None, later, later + 10_000), None);
        let usual = silence.inputs()["okta"].usual(None, later).unwrap();
        assert_eq!(usual, 3 * (10 * MINUTE + 10_000).max(LEAST / 3));
        // A silence goes on over a restart, and is told when it ends.
        let quiet = later + 60 * MINUTE;
        assert_eq!(watch(&mut silence, None, (later + 20_000, quiet), |_| false).len(), 1);
        let mut silence = Silence::remembered(silence.inputs().clone(), quiet);
        assert_eq!(watch(&mut silence, None, (quiet, quiet + 60 * MINUTE), |_| false), []);
        let back = silence.look("okta", 5, None, quiet, quiet + 60 * MINUTE).unwrap();
        assert_eq!((back.over, back.since), (true, later + 10_000));
    }
}
