//! The risk of entities: changed in the commit of the finding that changes it, and by time alone. Not
//! the arithmetic: that is [`sluice_finding::RiskLedger`].
//!
//! A finding is weighed for each entity it is about when it is kept, changed, withdrawn or judged by a
//! person. What changed is written as a row of the entity's history, and a change of level once more
//! under its sequence number, for followers: signals are made of those. Each ledger is due at the
//! instant its level falls by decay, so that levels fall without events ([`FindingStore::pass_time`]).

mod settle;
mod weigh;

use std::{
    collections::BTreeMap,
    fmt,
    ops::Bound,
    sync::{Arc, PoisonError},
};

use sluice_event::Encoder;
use sluice_finding::{
    ContributionKind, Criticality, Entity, EntityRisk, FindingId, RiskLevel, RiskScore,
};
use sluice_store::Snapshot;

use super::{
    FindingStore, Inner, Spaces,
    findings::exactly,
    ledgers::{RiskRecord, decode_level, decode_risk, decode_row},
    txn::SpaceUse,
    unreadable,
};
use crate::{EngineError, Seq};
pub(super) use weigh::OpenRisk;

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
    /// How much the entity matters has changed.
    Criticality,
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

/// Ledgers whose findings still weigh something, in memory.
pub(super) type Risks = BTreeMap<Entity, Arc<EntityRisk>>;

/// How much entities matter; one that is not named matters as usual.
pub type Criticalities = BTreeMap<Entity, Criticality>;

/// Ledgers that are changed in one commit.
const BATCH: usize = 500;
/// Parts of a score that are written with it.
const REASONS_MAX: usize = 8;
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
            RiskCause::Criticality => "criticality",
            RiskCause::Decay => "decay",
        }
    }

    /// The finding or incident.
    pub fn id(self) -> Option<FindingId> {
        match self {
            RiskCause::Finding(id) | RiskCause::Withdrawn(id) | RiskCause::Verdict(id) => Some(id),
            RiskCause::Criticality | RiskCause::Decay => None,
        }
    }

    pub(super) fn parse(word: &str, id: FindingId) -> Option<RiskCause> {
        let all = [
            RiskCause::Finding(id),
            RiskCause::Withdrawn(id),
            RiskCause::Verdict(id),
            RiskCause::Criticality,
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

    /// Sets how much entities matter, those that are not named as usual. Scores and levels follow at
    /// once, each with a row of its history; an entity about which nothing weighs follows with its next
    /// finding. How many changed.
    ///
    /// # Errors
    /// If the store fails: the rest follow with their next change.
    pub fn set_criticality(&self, of: Arc<Criticalities>) -> Result<usize, EngineError> {
        *self.inner.criticality.write().unwrap_or_else(PoisonError::into_inner) = of;
        let risks = self.inner.risks();
        let differs = |(entity, risk): &(&Entity, &Arc<EntityRisk>)| {
            risk.ledger.criticality != self.inner.criticality(entity)
        };
        let changed: Vec<Entity> = risks.iter().filter(differs).map(|(e, _)| e.clone()).collect();
        drop(risks);
        for entities in changed.chunks(BATCH) {
            let mut txn = self.inner.begin();
            for entity in entities {
                txn.open_risk(entity, RiskCause::Criticality)?;
            }
            txn.commit(SpaceUse::Ordinary)?;
        }
        Ok(changed.len())
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
    /// How much an entity matters.
    pub(super) fn criticality(&self, entity: &Entity) -> Criticality {
        let all = self.criticality.read().unwrap_or_else(PoisonError::into_inner);
        all.get(entity).copied().unwrap_or_default()
    }

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
    // How much an entity matters is nothing that was found.
    let found = |kind: &ContributionKind| !matches!(kind, ContributionKind::Criticality(_));
    risk.state.level > RiskLevel::Low
        || risk.ledger.score(now).contributions.iter().any(|c| found(&c.kind))
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
            ContributionKind::Criticality(_) => reason(&none, &"criticality".into(), c.points),
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
