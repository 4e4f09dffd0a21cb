//! Scores and levels brought up to an instant, by what has changed and by time alone: rows of history,
//! changes of level for followers, and when each ledger is due again. Not what changed (see
//! [`super::weigh`]).

use std::ops::Bound;

use sluice_finding::{EntityRisk, LevelChange, RiskLevel};

use super::{
    super::{
        findings::sortable,
        ledgers::{RiskRecord, decode_level, decode_risk, encode_level, encode_risk, encode_row},
        txn::WriteTxn,
        unreadable,
    },
    RiskCause, RiskRow, entity_key, reasons, row_key,
    weigh::OpenRisk,
};
use crate::{EngineError, Seq};

/// Rows of history kept of an entity.
const ROWS_MAX: u64 = 1_000;
/// Ledgers looked at in one commit when time passes.
const BATCH: usize = 500;

impl WriteTxn<'_> {
    /// Puts what has changed into the batch.
    pub(in super::super) fn write_risks(&mut self) -> Result<(), EngineError> {
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
                RiskCause::Verdict(_) | RiskCause::Criticality => {
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
            if !open.joins.is_empty() {
                let findings = std::mem::take(&mut open.joins);
                joins.push((entity.clone(), findings, open.risk.clone()));
            }
        }
        for (entity, findings, after) in joins {
            self.join_incidents(&entity, findings, after)?;
        }
        Ok(())
    }

    /// Opens ledgers that are due; how many.
    pub(super) fn settle_due(&mut self) -> Result<usize, EngineError> {
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
    pub(in super::super) fn expire_levels(
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
pub(super) fn note(
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

/// Orders by time.
fn due_key(time: i64, entity: [u8; 16]) -> [u8; 24] {
    let mut bytes = [0; 24];
    bytes[..8].copy_from_slice(&sortable(time));
    bytes[8..].copy_from_slice(&entity);
    bytes
}
