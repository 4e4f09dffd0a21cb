//! The risk of entities: changed in the commit of the finding that changes it, and by time alone. Not
//! the arithmetic: that is [`sluice_finding::RiskLedger`].
//!
//! A finding is weighed for each entity it is about when it is kept, changed, withdrawn or judged by a
//! person. What changed is written as a row of the entity's history, and a change of level once more
//! under its sequence number, for followers: signals are made of those. Each ledger is due at the
//! instant its level falls by decay, so that levels fall without events ([`FindingStore::pass_time`]).

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    ops::Bound,
    sync::{Arc, PoisonError},
};

use sluice_event::Encoder;
use sluice_finding::{
    ContributionKind, Entity, EntityRisk, Evidence, Finding, FindingId, LevelChange, Reason,
    RiskLevel, RiskScore, Triage, TriageStatus, evidence,
};
use sluice_store::Snapshot;

use super::{
    FindingStore, Inner, Spaces,
    findings::{exactly, sortable},
    ledgers::{
        RiskRecord, decode_level, decode_risk, decode_row, encode_level, encode_risk, encode_row,
    },
    txn::{SpaceUse, WriteTxn},
    unreadable,
};
use crate::{EngineError, Seq};

/// What time it is for risk.
#[derive(Clone)]
pub struct RiskClock(Arc<dyn Fn() -> i64 + Send + Sync>);

/// A change of the risk of an entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RiskRow {
    /// From 1 for each entity.
    pub change: u64,
    /// When, milliseconds since 1970 UTC.
    pub at: i64,
    /// The score after it, in hundredths.
    pub score: i64,
    /// The score right before it.
    pub previous_score: i64,
    /// The level after it.
    pub level: RiskLevel,
    /// The level before it.
    pub previous_level: RiskLevel,
    /// What changed it.
    pub cause: RiskCause,
    /// What the score is made of, the largest first, at most eight.
    pub reasons: Vec<RiskReason>,
}

/// What changed the risk of an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RiskCause {
    /// This finding was kept or has changed.
    Finding(FindingId),
    /// This finding was withdrawn.
    Withdrawn(FindingId),
    /// A person judged this finding or incident.
    Verdict(FindingId),
    /// Time.
    Decay,
}

/// A part of a score.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RiskReason {
    /// The rule or baseline; empty for what is neither.
    pub source: Arc<str>,
    /// The feature of a baseline; what it is where it is neither rule nor baseline.
    pub value: Arc<str>,
    /// Hundredths of a point.
    pub points: i64,
}

/// A change of level, as followers read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LevelRow {
    /// Its place among all changes of the store.
    pub seq: Seq,
    /// Whose.
    pub entity: Entity,
    /// The change.
    pub row: RiskRow,
}

/// The ledger of an entity while a change is put together.
#[derive(Debug)]
pub(super) struct OpenRisk {
    pub(super) risk: EntityRisk,
    /// When it was due as it is stored.
    due: Option<i64>,
    score: i64,
    cause: RiskCause,
    rows: Vec<RiskRow>,
    /// Findings that came to weigh on it.
    joins: Vec<Finding>,
}

/// Ledgers whose findings still weigh something, in memory.
pub(super) type Risks = BTreeMap<Entity, Arc<EntityRisk>>;

/// Rows of history kept of an entity.
const ROWS_MAX: u64 = 1_000;
const REASONS_MAX: usize = 8;
/// Ledgers looked at in one commit when time passes.
const BATCH: usize = 500;

impl RiskClock {
    /// A clock that answers milliseconds since 1970 UTC.
    pub fn new(now: impl Fn() -> i64 + Send + Sync + 'static) -> RiskClock {
        RiskClock(Arc::new(now))
    }

    /// The time.
    pub fn now(&self) -> i64 {
        (self.0)()
    }
}

impl fmt::Debug for RiskClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RiskClock({})", self.now())
    }
}

impl RiskCause {
    /// The word on the wire.
    pub fn name(self) -> &'static str {
        match self {
            RiskCause::Finding(_) => "finding",
            RiskCause::Withdrawn(_) => "withdrawn",
            RiskCause::Verdict(_) => "verdict",
            RiskCause::Decay => "decay",
        }
    }

    /// The finding or incident.
    pub fn id(self) -> Option<FindingId> {
        match self {
            RiskCause::Finding(id) | RiskCause::Withdrawn(id) | RiskCause::Verdict(id) => Some(id),
            RiskCause::Decay => None,
        }
    }

    pub(super) fn parse(word: &str, id: FindingId) -> Option<RiskCause> {
        let all = [
            RiskCause::Finding(id),
            RiskCause::Withdrawn(id),
            RiskCause::Verdict(id),
            RiskCause::Decay,
        ];
        all.into_iter().find(|cause| cause.name() == word)
    }
}

impl FindingStore {
    /// What time it is for risk, milliseconds since 1970 UTC.
    pub fn now(&self) -> i64 {
        self.inner.clock.now()
    }

    /// The risk of an entity; `None` if nothing was ever found about it, or it was forgotten with its
    /// findings. From memory unless its findings weigh nothing any more.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn risk(&self, entity: &Entity) -> Result<Option<Arc<EntityRisk>>, EngineError> {
        if let Some(risk) = self.inner.risks().get(entity) {
            return Ok(Some(risk.clone()));
        }
        let stored = load(&self.inner.spaces, &self.inner.store.snapshot(), entity)?;
        Ok(stored.map(|record| Arc::new(record.risk)))
    }

    /// Every entity whose findings weigh something, from memory.
    pub fn risks(&self) -> Vec<(Entity, Arc<EntityRisk>)> {
        self.inner.risks().iter().map(|(entity, risk)| (entity.clone(), risk.clone())).collect()
    }

    /// Changes of the risk of an entity before the change of a number, the newest first. The last 1,000
    /// are kept.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn risk_rows(
        &self,
        entity: &Entity,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<RiskRow>, EngineError> {
        let snapshot = self.inner.store.snapshot();
        let end = row_key(entity, before.unwrap_or(u64::MAX));
        let start = row_key(entity, 0);
        let rows = snapshot.range(
            &self.inner.spaces.risk_row,
            Bound::Included(&start),
            Bound::Excluded(&end),
        );
        rows.rev()
            .take(limit)
            .map(|row| decode_row(&row?.1).map_err(unreadable("change of risk")))
            .collect()
    }

    /// Changes of level after a sequence, in order, at most `limit`; and the sequence to go on from.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn levels_after(
        &self,
        seq: Seq,
        limit: usize,
    ) -> Result<(Vec<LevelRow>, Seq), EngineError> {
        // The number first: everything up to it is in a snapshot taken after.
        let last = self.last();
        let snapshot = self.inner.store.snapshot();
        let start = seq.0.to_be_bytes();
        let space = &self.inner.spaces.level;
        let mut found = Vec::new();
        for row in snapshot.range(space, Bound::Excluded(&start), Bound::Unbounded) {
            let (key, value) = row?;
            let at = Seq(u64::from_be_bytes(exactly(&key, "sequence number")?));
            found.push(decode_level(at, &value).map_err(unreadable("change of level"))?);
            if found.len() == limit {
                return Ok((found, at));
            }
        }
        Ok((found, last.max(seq)))
    }

    /// Lets time pass: levels that have fallen by decay are changed, each at its instant, and ledgers
    /// that weigh nothing leave memory. Called every second or so; how many ledgers were due.
    ///
    /// # Errors
    /// If the store fails.
    pub fn pass_time(&self) -> Result<usize, EngineError> {
        let mut total = 0;
        loop {
            let mut txn = self.inner.begin();
            let due = txn.settle_due()?;
            if due == 0 {
                return Ok(total);
            }
            txn.commit(SpaceUse::Ordinary)?;
            total += due;
        }
    }
}

impl Inner {
    pub(super) fn risks(&self) -> std::sync::RwLockReadGuard<'_, Risks> {
        self.risks.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over what a commit has written.
    pub(super) fn publish_risks(&self, changed: BTreeMap<Entity, OpenRisk>, now: i64) {
        let mut risks = self.risks.write().unwrap_or_else(PoisonError::into_inner);
        for (entity, open) in changed {
            if weighs(&open.risk, now) {
                risks.insert(entity, Arc::new(open.risk));
            } else {
                risks.remove(&entity);
            }
        }
    }
}

/// Reads every ledger that weighs something.
pub(super) fn load_all(
    spaces: &Spaces,
    snapshot: &Snapshot,
    now: i64,
) -> Result<Risks, EngineError> {
    let mut risks = Risks::new();
    for row in snapshot.range(&spaces.risk, Bound::Unbounded, Bound::Unbounded) {
        let record = decode_risk(&row?.1).map_err(unreadable("risk of an entity"))?;
        if weighs(&record.risk, now) {
            risks.insert(record.entity, Arc::new(record.risk));
        }
    }
    Ok(risks)
}

fn weighs(risk: &EntityRisk, now: i64) -> bool {
    risk.state.level > RiskLevel::Low || !risk.ledger.score(now).contributions.is_empty()
}

impl WriteTxn<'_> {
    /// Weighs a finding that is put, changed or judged for each entity it is about.
    pub(super) fn weigh(
        &mut self,
        before: Option<(&Finding, &Triage)>,
        after: (&Finding, &Triage),
        cause: RiskCause,
    ) -> Result<(), EngineError> {
        let had = before.and_then(|(finding, triage)| self.evidence(finding, triage, false));
        let has = self.evidence(after.0, after.1, before.is_none());
        if let RiskCause::Withdrawn(id) = cause {
            self.leave_incidents(id);
        }
        let entities: BTreeSet<&Entity> = after.0.entities.iter().collect();
        let gone = before.map_or(&[][..], |(finding, _)| &finding.entities);
        for entity in entities.iter().copied().chain(gone).collect::<BTreeSet<_>>() {
            let had = had.as_ref().filter(|_| gone.contains(entity));
            let has = has.as_ref().filter(|_| entities.contains(entity));
            if had == has {
                continue;
            }
            let now = self.now;
            let open = self.open_risk(entity, cause)?;
            let removed = had.map_or(0, |e| open.risk.ledger.remove(&BTreeSet::from([e.finding])));
            if had.is_some() && removed == 0 {
                // It is among those a factor counts without their ids.
                continue;
            }
            if let Some(evidence) = has {
                open.joins.push(after.0.clone());
                // What is to come counts from now on: the end of a window may be ahead.
                let evidence = Evidence { time: evidence.time.min(now), ..evidence.clone() };
                open.risk.ledger.add(&evidence);
            }
        }
        Ok(())
    }

    /// What a finding weighs as it is judged; nothing while a suppression applies to it.
    fn evidence(&mut self, finding: &Finding, triage: &Triage, is_new: bool) -> Option<Evidence> {
        let suppressed = self.is_suppressed(finding, is_new);
        let dismissed = triage.status == TriageStatus::Resolved
            && triage.reason.is_some_and(|reason| match reason {
                Reason::FalsePositive | Reason::Benign | Reason::Duplicate => true,
                Reason::TruePositive => false,
            });
        evidence(finding).filter(|_| !dismissed && !suppressed)
    }

    /// The risk of an entity as this change leaves it so far.
    pub(super) fn risk_of(&self, entity: &Entity) -> Result<Option<EntityRisk>, EngineError> {
        match self.risks.get(entity) {
            Some(open) => Ok(Some(open.risk.clone())),
            None => {
                let stored = load(self.spaces(), &self.snapshot, entity)?;
                Ok(stored.map(|record| record.risk))
            }
        }
    }

    /// The ledger of an entity, its level brought up to now.
    pub(super) fn open_risk(
        &mut self,
        entity: &Entity,
        cause: RiskCause,
    ) -> Result<&mut OpenRisk, EngineError> {
        let now = self.now;
        if !self.risks.contains_key(entity) {
            let stored = load(self.spaces(), &self.snapshot, entity)?;
            let (mut risk, due) = match stored {
                Some(record) => (record.risk, Some(record.due)),
                None => (EntityRisk { as_of: now, ..EntityRisk::default() }, None),
            };
            let mut rows = Vec::new();
            for change in risk.settle(now) {
                note(&mut risk, &mut rows, change, change.score, RiskCause::Decay);
            }
            let score = risk.ledger.score(now).score;
            self.risks.insert(
                entity.clone(),
                OpenRisk { risk, due, score, cause, rows, joins: Vec::new() },
            );
        }
        let open = self.risks.get_mut(entity).ok_or(EngineError::Thread("risk"))?;
        open.cause = cause;
        Ok(open)
    }

    /// Puts what has changed into the batch.
    pub(super) fn write_risks(&mut self) -> Result<(), EngineError> {
        let (spaces, now) = (self.spaces(), self.now);
        let keep = i64::try_from(self.inner.retention.finding_age.as_millis()).unwrap_or(i64::MAX);
        self.settle_risks()?;
        let mut risks = std::mem::take(&mut self.risks);
        for (entity, open) in &mut risks {
            let OpenRisk { risk, due, rows, .. } = open;
            for row in rows {
                self.batch.put(&spaces.risk_row, &row_key(entity, row.change), &encode_row(row));
                if let Some(old) = row.change.checked_sub(ROWS_MAX) {
                    self.batch.remove(&spaces.risk_row, &row_key(entity, old));
                }
                if row.level != row.previous_level {
                    let seq = self.number();
                    let level = encode_level(entity, row);
                    self.batch.put(&spaces.level, &seq.to_be_bytes(), &level);
                }
            }
            let key = entity_key(entity);
            if let Some(due) = *due {
                self.batch.remove(&spaces.risk_due, &due_key(due, key));
            }
            let last = risk.ledger.factors.values().map(|f| f.last).max();
            let forgotten = last.unwrap_or(risk.state.since).saturating_add(keep);
            let due = risk.next_change().unwrap_or(forgotten);
            if due == forgotten && forgotten <= now && risk.state.level == RiskLevel::Low {
                self.batch.remove(&spaces.risk, &key);
                for change in risk.changes.saturating_sub(ROWS_MAX)..=risk.changes {
                    self.batch.remove(&spaces.risk_row, &row_key(entity, change));
                }
                continue;
            }
            // A level that does not fall by itself is looked at again a day later.
            let due = if due <= now { now.saturating_add(86_400_000) } else { due };
            self.batch.put(&spaces.risk_due, &due_key(due, key), &[]);
            let record = RiskRecord { entity: entity.clone(), risk: risk.clone(), due };
            self.batch.put(&spaces.risk, &key, &encode_risk(&record));
        }
        self.risks = risks;
        Ok(())
    }

    /// Brings every ledger up to now with a row for what has changed, then its incident.
    fn settle_risks(&mut self) -> Result<(), EngineError> {
        let now = self.now;
        let mut joins = Vec::new();
        for (entity, open) in &mut self.risks {
            let OpenRisk { risk, score, cause, rows, .. } = open;
            let changes = match cause {
                // A person's word waits for nothing.
                RiskCause::Verdict(_) => {
                    Vec::from_iter(risk.state.update_at_once(&risk.ledger, now))
                }
                RiskCause::Finding(_) | RiskCause::Withdrawn(_) | RiskCause::Decay => {
                    risk.settle(now)
                }
            };
            let told = !changes.is_empty();
            for change in changes {
                note(risk, rows, change, *score, *cause);
            }
            let (after, level) = (risk.ledger.score(now).score, risk.state.level);
            if !told && after != *score {
                let (previous, current) = (level, level);
                let change = LevelChange { at: now, previous, current, score: after };
                note(risk, rows, change, *score, *cause);
            }
            joins.push((entity.clone(), std::mem::take(&mut open.joins), level, after));
        }
        for (entity, findings, level, score) in joins {
            self.join_incident(&entity, &findings, level, score)?;
        }
        Ok(())
    }

    /// Opens ledgers that are due; how many.
    fn settle_due(&mut self) -> Result<usize, EngineError> {
        let end = sortable(self.now.saturating_add(1));
        let rows = self.snapshot.range(
            &self.spaces().risk_due,
            Bound::Unbounded,
            Bound::Excluded(end.as_slice()),
        );
        let keys =
            rows.take(BATCH).map(|row| Ok(row?.0)).collect::<Result<Vec<_>, EngineError>>()?;
        for key in &keys {
            let of = key.get(8..).unwrap_or_default();
            match self.get(&self.spaces().risk, of)? {
                Some(bytes) => {
                    let record = decode_risk(&bytes).map_err(unreadable("risk of an entity"))?;
                    self.open_risk(&record.entity, RiskCause::Decay)?;
                }
                None => self.batch.remove(&self.inner.spaces.risk_due, key),
            }
        }
        Ok(keys.len())
    }

    /// Drops changes of level from before a time; how many.
    pub(super) fn expire_levels(
        &mut self,
        cutoff: i64,
        limit: usize,
    ) -> Result<usize, EngineError> {
        let space = &self.spaces().level;
        let mut dropped = 0;
        for row in self.snapshot.range(space, Bound::Unbounded, Bound::Unbounded).take(limit) {
            let (key, value) = row?;
            let level = decode_level(Seq(0), &value).map_err(unreadable("change of level"))?;
            if level.row.at >= cutoff {
                break;
            }
            self.batch.remove(space, &key);
            dropped += 1;
        }
        Ok(dropped)
    }
}

/// A row of history.
fn note(
    risk: &mut EntityRisk,
    rows: &mut Vec<RiskRow>,
    change: LevelChange,
    previous_score: i64,
    cause: RiskCause,
) {
    risk.changes += 1;
    rows.push(RiskRow {
        change: risk.changes,
        at: change.at,
        score: change.score,
        previous_score,
        level: change.current,
        previous_level: change.previous,
        cause,
        reasons: reasons(&risk.ledger.score(change.at)),
    });
}

/// What a score is made of, the largest first, at most eight.
pub fn reasons(score: &RiskScore) -> Vec<RiskReason> {
    let reason = |source: &Arc<str>, value: &Arc<str>, points| RiskReason {
        source: source.clone(),
        value: value.clone(),
        points,
    };
    let none: Arc<str> = "".into();
    score
        .contributions
        .iter()
        .take(REASONS_MAX)
        .map(|c| match &c.kind {
            ContributionKind::Factor { key, .. } => reason(&key.source, &key.value, c.points),
            ContributionKind::Cap => reason(&none, &"cap".into(), c.points),
            ContributionKind::Floor => reason(&none, &"floor".into(), c.points),
            ContributionKind::Override => reason(&none, &"override".into(), c.points),
        })
        .collect()
}

fn load(
    spaces: &Spaces,
    snapshot: &Snapshot,
    entity: &Entity,
) -> Result<Option<RiskRecord>, EngineError> {
    let stored = snapshot.get(&spaces.risk, &entity_key(entity))?;
    let what = || format!("risk of {}:{}", entity.kind.name(), entity.id);
    stored.map(|bytes| decode_risk(&bytes).map_err(unreadable(what()))).transpose()
}

/// Names of entities have any length, keys have not.
pub(super) fn entity_key(entity: &Entity) -> [u8; 16] {
    let mut encoder = Encoder::default();
    encoder.text(entity.kind.name());
    encoder.text(&entity.id);
    encoder.hash128().to_be_bytes()
}

/// Orders by entity, then change.
fn row_key(entity: &Entity, change: u64) -> [u8; 24] {
    let mut bytes = [0; 24];
    bytes[..16].copy_from_slice(&entity_key(entity));
    bytes[16..].copy_from_slice(&change.to_be_bytes());
    bytes
}

/// Orders by time.
fn due_key(time: i64, entity: [u8; 16]) -> [u8; 24] {
    let mut bytes = [0; 24];
    bytes[..8].copy_from_slice(&sortable(time));
    bytes[8..].copy_from_slice(&entity);
    bytes
}
