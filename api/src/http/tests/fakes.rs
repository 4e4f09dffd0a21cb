//! What is behind the API, in memory: as little as shows whether it is asked rightly.

use std::{
    collections::BTreeMap,
    sync::{Condvar, Mutex},
    time::Duration,
};

use arrow::{
    array::{ArrayRef, new_null_array},
    compute::cast,
    record_batch::RecordBatch,
};
use serde_json::Map;
use sluice_engine::{
    EngineError, Seq,
    durable::{LetterFilter, StoreStats, Stored, StoredLetter, TriageError},
    service::{Phase, ReloadReport, ReplayReport, RuleChange, ServiceStatus},
};
use sluice_event::{EventBatch, Origin, PartitionId, Records, Schema, TableName};
use sluice_finding::{Finding, FindingId, FindingState, Triage, TriageChange};
use sluice_ingest::{DeadLetter, DeadLetterCode, Original, live::Place};
use sluice_rule::Severity;

use super::super::{
    Findings, LineError, PushError, Pushed, Search, SearchError, SearchPage, SearchRequest,
    app::{Running, Total},
    clock,
};

/// Findings by id, each with the commit that changed it last.
#[derive(Default)]
pub(super) struct Store {
    inside: Mutex<Inside>,
    grown: Condvar,
}

#[derive(Default)]
struct Inside {
    findings: BTreeMap<FindingId, Stored>,
    letters: BTreeMap<String, StoredLetter>,
    seq: u64,
    read: u64,
    broken: bool,
}

impl Store {
    /// Keeps findings in one commit.
    pub(super) fn commit(&self, findings: impl IntoIterator<Item = Finding>) -> u64 {
        let mut inside = self.inside.lock().unwrap();
        inside.seq += 1;
        let seq = inside.seq;
        for finding in findings {
            let triage = Triage::default();
            inside.findings.insert(finding.id, Stored { finding, triage, seq: Seq(seq) });
        }
        self.grown.notify_all();
        seq
    }

    /// Keeps a dead letter.
    pub(super) fn set_aside(&self, n: u32, source: &str, code: DeadLetterCode, bytes: &[u8]) {
        let id = format!("{n:032x}");
        let letter = DeadLetter {
            code,
            message: "it is bad".to_owned(),
            source: source.into(),
            mapping: None,
            partition: PartitionId(0),
            line: 3,
            offset: 120,
            received_at: 1_000 * i64::from(n),
            envelope: None,
            original: Original::Whole(bytes.to_vec()),
        };
        let place = Place { input: "push".into(), part: "".into() };
        let stored = StoredLetter { id: id.clone(), place, letter, attempts: 0 };
        self.inside.lock().unwrap().letters.insert(id, stored);
    }

    /// How far followers have read.
    pub(super) fn read(&self) -> u64 {
        self.inside.lock().unwrap().read
    }

    /// From now on nothing works.
    pub(super) fn break_down(&self) {
        self.inside.lock().unwrap().broken = true;
    }

    fn inside(&self) -> Result<std::sync::MutexGuard<'_, Inside>, EngineError> {
        let inside = self.inside.lock().unwrap();
        if inside.broken {
            return Err(EngineError::Commit("a secret path of the disk".into()));
        }
        Ok(inside)
    }
}

impl Findings for Store {
    fn finding(&self, id: FindingId) -> Result<Option<Stored>, EngineError> {
        Ok(self.inside()?.findings.get(&id).cloned())
    }

    fn after(&self, seq: Seq, limit: usize) -> Result<(Vec<Stored>, Seq), EngineError> {
        let mut inside = self.inside()?;
        let mut found: Vec<Stored> =
            inside.findings.values().filter(|s| s.seq > seq).cloned().collect();
        found.sort_by_key(|s| s.seq);
        // A page never ends within a commit.
        let end = found.get(limit).map(|s| s.seq);
        found.retain(|s| end.is_none_or(|end| s.seq < end));
        let to = end.map_or(Seq(inside.seq), |end| Seq(end.0 - 1));
        inside.read = inside.read.max(to.0);
        Ok((found, to))
    }

    fn last(&self) -> Seq {
        Seq(self.inside.lock().unwrap().seq)
    }

    fn wait(&self, seq: Seq, patience: Duration) -> Seq {
        let inside = self.inside.lock().unwrap();
        let waiting = |inside: &mut Inside| inside.seq <= seq.0;
        let (inside, _) = self.grown.wait_timeout_while(inside, patience, waiting).unwrap();
        Seq(inside.seq)
    }

    fn triage(
        &self,
        id: FindingId,
        expected: Option<u64>,
        change: TriageChange,
        at: i64,
        by: &str,
    ) -> Result<Stored, TriageError> {
        let mut inside = self.inside()?;
        let stored = inside.findings.get(&id).ok_or(TriageError::NotFound(id))?.clone();
        if expected.is_some_and(|version| version != stored.triage.version) {
            return Err(TriageError::Conflict(stored.triage.version));
        }
        let triage = stored.triage.apply(change, at, by).map_err(TriageError::Invalid)?;
        inside.seq += 1;
        let stored = Stored { triage, seq: Seq(inside.seq), ..stored };
        inside.findings.insert(id, stored.clone());
        self.grown.notify_all();
        Ok(stored)
    }

    fn dead_letters(
        &self,
        filter: &LetterFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<StoredLetter>, EngineError> {
        let fits = |l: &&StoredLetter| {
            filter.source.as_deref().is_none_or(|s| s == &*l.letter.source)
                && filter.code.is_none_or(|c| c == l.letter.code)
                && filter.since.is_none_or(|t| t <= l.letter.received_at)
                && after.is_none_or(|id| id < l.id.as_str())
        };
        Ok(self.inside()?.letters.values().filter(fits).take(limit).cloned().collect())
    }

    fn dead_letter(&self, id: &str) -> Result<Option<StoredLetter>, EngineError> {
        Ok(self.inside()?.letters.get(id).cloned())
    }

    fn drop_dead_letters(&self, ids: &[String]) -> Result<u64, EngineError> {
        let mut inside = self.inside()?;
        Ok(ids.iter().filter(|id| inside.letters.remove(*id).is_some()).count() as u64)
    }

    fn stats(&self) -> StoreStats {
        let inside = self.inside.lock().unwrap();
        StoreStats { findings: inside.findings.len() as u64, ..StoreStats::default() }
    }
}

/// A pipeline that runs and whose replays succeed for `no_mapping` only.
pub(super) struct Pipeline(Mutex<ServiceStatus>);

impl Default for Pipeline {
    fn default() -> Self {
        let now = clock::now();
        let mut status =
            ServiceStatus { phase: Phase::Running, started_at: now, ..ServiceStatus::default() };
        status.checkpoint.at = Some(now);
        Pipeline(Mutex::new(status))
    }
}

impl Pipeline {
    pub(super) fn change(&self, change: impl FnOnce(&mut ServiceStatus)) {
        change(&mut self.0.lock().unwrap());
    }
}

impl Running for Pipeline {
    fn status(&self) -> ServiceStatus {
        self.0.lock().unwrap().clone()
    }

    fn rules(&self) -> Vec<std::sync::Arc<sluice_rule::Rule>> {
        let text = include_str!("../../../../rules/identity/mfa_fatigue.sql");
        let below = "identity/mfa_fatigue.sql";
        let (rule, _) = sluice_rule::Rule::parse(&format!("rules/{below}"), below, text).unwrap();
        vec![std::sync::Arc::new(rule)]
    }

    fn replay(&self, letters: Vec<StoredLetter>) -> Result<ReplayReport, EngineError> {
        let mut report = ReplayReport::default();
        for letter in letters {
            if letter.letter.code == DeadLetterCode::NoMapping {
                report.replayed += 1;
            } else {
                report.failed.push((letter.id, "bad_json: still".to_owned()));
            }
        }
        Ok(report)
    }
}

/// A search that knows `rule_id:` and words of titles, and fears parentheses.
pub(super) struct Index(pub(super) std::sync::Arc<Store>);

impl Search for Index {
    fn search(&self, request: &SearchRequest) -> Result<SearchPage, SearchError> {
        if request.query.contains("((") || request.query.contains('*') {
            return Err(SearchError::Query {
                message: "an expression is missing".to_owned(),
                position: Some(3),
                hint: Some("close the parenthesis".to_owned()),
            });
        }
        if request.query == "down" {
            return Err(SearchError::Unavailable("it is being built".to_owned()));
        }
        if request.query == "panic" {
            panic!("a secret of the index");
        }
        let inside = self.0.inside.lock().unwrap();
        let fits = |f: &Finding| {
            request.query.split_whitespace().all(|word| match word.strip_prefix("rule_id:") {
                Some(rule) => &*f.rule_id == rule,
                None => f.title.contains(word),
            }) && request.from.is_none_or(|from| from <= f.time)
                && request.to.is_none_or(|to| f.time < to)
        };
        let mut all: Vec<(i64, FindingId, &'static str)> = inside
            .findings
            .values()
            .filter(|s| fits(&s.finding))
            .map(|s| (s.finding.time, s.finding.id, s.finding.severity.name()))
            .collect();
        all.sort_by_key(|(time, id, _)| (std::cmp::Reverse(*time), *id));
        let value = all.len() as u64;
        let mut facets = BTreeMap::new();
        for field in &request.facets {
            let mut counts: BTreeMap<String, u64> = BTreeMap::new();
            for (_, _, severity) in &all {
                *counts.entry((*severity).to_owned()).or_default() += 1;
            }
            facets.insert(field.clone(), counts.into_iter().collect());
        }
        if let Some((time, id)) = request.after {
            all.retain(|(t, i, _)| (std::cmp::Reverse(*t), *i) > (std::cmp::Reverse(time), id));
        }
        let more = all.len() > request.limit;
        all.truncate(request.limit);
        Ok(SearchPage {
            next: all.last().filter(|_| more).map(|(time, id, _)| (*time, *id)),
            ids: all.iter().map(|(time, id, _)| (*id, *time)).collect(),
            total: Total { value, exact: true },
            facets,
        })
    }

    fn lag(&self) -> Option<i64> {
        Some(40)
    }

    fn error(&self) -> Option<String> {
        None
    }
}

/// A door that takes lines of JSON and no encoding but gzip, whose bytes it does not look at.
#[derive(Default)]
pub(super) struct Door {
    refuse: Mutex<Option<PushError>>,
    taken: Mutex<Vec<Vec<u8>>>,
}

impl Door {
    pub(super) fn refuse(&self, error: Option<PushError>) {
        *self.refuse.lock().unwrap() = error;
    }

    pub(super) fn taken(&self) -> Vec<Vec<u8>> {
        self.taken.lock().unwrap().clone()
    }
}

impl super::super::Door for Door {
    fn push(&self, encoding: Option<&str>, body: &[u8], at: i64) -> Result<Pushed, PushError> {
        if let Some(error) = self.refuse.lock().unwrap().clone() {
            return Err(error);
        }
        assert!(at > 0);
        match encoding {
            None | Some("gzip") => {}
            Some(other) => return Err(PushError::Encoding(format!("`{other}` is not read"))),
        }
        let mut pushed = Pushed::default();
        for (line, text) in (1..).zip(body.split(|b| *b == b'\n').filter(|l| !l.is_empty())) {
            match serde_json::from_slice::<serde_json::Value>(text) {
                Ok(_) => {
                    pushed.accepted += 1;
                    self.taken.lock().unwrap().push(text.to_vec());
                }
                Err(error) => {
                    pushed.rejected += 1;
                    let detail = error.to_string();
                    pushed.errors.push(LineError { line, code: "bad_json", detail });
                }
            }
        }
        Ok(pushed)
    }
}

/// A reload that edits one rule.
pub(super) fn reload() -> ReloadReport {
    ReloadReport {
        at: 1_000,
        applied: true,
        rules: BTreeMap::from([("identity.x".to_owned(), RuleChange::Edited)]),
        kept: 3,
        ..ReloadReport::default()
    }
}

/// A finding.
pub(super) fn finding(n: u128, time: i64, rule: &str, severity: Severity) -> Finding {
    Finding {
        id: FindingId(n),
        rule_id: rule.into(),
        rule_version: "1f2e3d4c5b6a".into(),
        title: format!("finding {n}"),
        severity,
        time,
        state: FindingState::Confirmed,
        revision: 1,
        entities: Vec::new(),
        attack: vec!["T1621".to_owned()].into(),
        risk: 30,
        shadow: false,
        fields: Map::from_iter([("user_name".to_owned(), "<img src=x>".into())]),
        window: Some((time - 1_000, time)),
        count: 2,
        late: false,
        capped: false,
        evidence: vec![r#"{"user_name":"ann"}"#.into()],
        evidence_total: 1,
    }
}

/// Rows of a table: these columns, the others NULL.
pub(super) fn batch(table: &str, given: &[(&str, ArrayRef)]) -> EventBatch {
    let schema = &Schema::builtin().table(table).unwrap().arrow;
    let rows = given[0].1.len();
    let columns = schema.fields().iter().map(|field| {
        match given.iter().find(|(name, _)| name == field.name()) {
            Some((_, column)) => cast(column, field.data_type()).unwrap(),
            None => new_null_array(field.data_type(), rows),
        }
    });
    EventBatch {
        table: TableName::new(table),
        columns: RecordBatch::try_new(schema.clone(), columns.collect()).unwrap(),
        origin: std::sync::Arc::new(Origin {
            source: "test".into(),
            tenant: "default".into(),
            partition: PartitionId(0),
            time: sluice_event::TimeSettings::default(),
        }),
        records: Records::new(Vec::<u8>::new().into(), Vec::new()),
        record: Vec::new(),
        sub_index: Vec::new(),
        seen_before: Vec::new(),
    }
}
