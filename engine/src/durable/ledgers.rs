//! Bytes of ledgers and of changes of risk. Not what they mean.

use std::{collections::BTreeMap, sync::Arc};

use sluice_event::EntityKind;
use sluice_finding::{
    Criticality, Entity, EntityRisk, Factor, FactorKey, FindingId, Floor, Override, RiskLedger,
    RiskLevel, RiskState,
};

use super::{
    codec::{CodecError, Reader, Writer},
    risk::{LevelRow, RiskCause, RiskReason, RiskRow},
};
use crate::Seq;

type Read<T> = Result<T, CodecError>;

/// The risk of an entity, and when it is looked at next.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RiskRecord {
    pub(super) entity: Entity,
    pub(super) risk: EntityRisk,
    pub(super) due: i64,
}

pub(super) fn encode_risk(record: &RiskRecord) -> Vec<u8> {
    let RiskRecord { entity, risk, due } = record;
    let mut w = Writer::new();
    write_entity(&mut w, entity);
    w.text(risk.state.level.name());
    w.signed(risk.state.since);
    w.signed(risk.as_of);
    w.unsigned(risk.changes);
    w.signed(*due);
    let ledger = &risk.ledger;
    w.text(ledger.criticality.name());
    w.unsigned(ledger.merged);
    w.option(ledger.floor.as_ref(), |w, floor| {
        w.text(&floor.incident);
        w.signed(floor.since);
    });
    w.option(ledger.manual.as_ref(), |w, manual| {
        w.float(manual.score);
        w.text(&manual.reason);
        w.text(&manual.by);
        w.signed(manual.until);
    });
    w.list(ledger.factors.iter(), |w, (key, factor)| {
        w.text(&key.source);
        w.text(&key.value);
        w.text(&factor.group);
        w.float(factor.weight);
        w.signed(factor.half_life);
        w.bool(factor.critical);
        w.list(factor.findings.iter(), |w, (id, time)| {
            w.wide(id.0);
            w.signed(*time);
        });
        w.option(factor.older, |w, (count, of)| {
            w.float(count);
            w.signed(of);
        });
        w.unsigned(factor.count);
        w.signed(factor.first);
        w.signed(factor.last);
    });
    w.finish()
}

pub(super) fn decode_risk(bytes: &[u8]) -> Read<RiskRecord> {
    Reader::whole(bytes, |r| {
        let entity = read_entity(r)?;
        let state = RiskState { level: r.word("level", RiskLevel::parse)?, since: r.signed()? };
        let (as_of, changes, due) = (r.signed()?, r.unsigned()?, r.signed()?);
        let criticality = r.word("criticality", Criticality::parse)?;
        let merged = r.unsigned()?;
        let floor =
            r.option(|r| Ok(Floor { incident: r.text()?.to_owned(), since: r.signed()? }))?;
        let manual = r.option(|r| {
            Ok(Override {
                score: r.float()?,
                reason: r.text()?.to_owned(),
                by: r.text()?.to_owned(),
                until: r.signed()?,
            })
        })?;
        let factors: BTreeMap<FactorKey, Factor> = r.list(|r| {
            let key = FactorKey { source: r.text()?.into(), value: r.text()?.into() };
            let factor = Factor {
                group: r.text()?.into(),
                weight: r.float()?,
                half_life: r.signed()?,
                critical: r.bool()?,
                findings: r.list(|r| Ok((FindingId(r.wide()?), r.signed()?)))?,
                older: r.option(|r| Ok((r.float()?, r.signed()?)))?,
                count: r.unsigned()?,
                first: r.signed()?,
                last: r.signed()?,
            };
            Ok((key, factor))
        })?;
        let ledger = RiskLedger { criticality, factors, manual, floor, merged };
        Ok(RiskRecord { entity, risk: EntityRisk { ledger, state, as_of, changes }, due })
    })
}

pub(super) fn encode_row(row: &RiskRow) -> Vec<u8> {
    let mut w = Writer::new();
    write_row(&mut w, row);
    w.finish()
}

pub(super) fn decode_row(bytes: &[u8]) -> Read<RiskRow> {
    Reader::whole(bytes, read_row)
}

pub(super) fn encode_level(entity: &Entity, row: &RiskRow) -> Vec<u8> {
    let mut w = Writer::new();
    write_entity(&mut w, entity);
    write_row(&mut w, row);
    w.finish()
}

pub(super) fn decode_level(seq: Seq, bytes: &[u8]) -> Read<LevelRow> {
    Reader::whole(bytes, |r| Ok(LevelRow { seq, entity: read_entity(r)?, row: read_row(r)? }))
}

pub(super) fn write_entity(w: &mut Writer, entity: &Entity) {
    w.text(entity.kind.name());
    w.text(&entity.id);
}

pub(super) fn read_entity(r: &mut Reader<'_>) -> Read<Entity> {
    Ok(Entity { kind: r.word("entity kind", EntityKind::parse)?, id: r.text()?.to_owned() })
}

fn write_row(w: &mut Writer, row: &RiskRow) {
    w.unsigned(row.change);
    w.signed(row.at);
    w.signed(row.score);
    w.signed(row.previous_score);
    w.text(row.level.name());
    w.text(row.previous_level.name());
    w.text(row.cause.name());
    w.wide(row.cause.id().map_or(0, |id| id.0));
    w.list(row.reasons.iter(), |w, reason| {
        w.text(&reason.source);
        w.text(&reason.value);
        w.signed(reason.points);
    });
}

fn read_row(r: &mut Reader<'_>) -> Read<RiskRow> {
    Ok(RiskRow {
        change: r.unsigned()?,
        at: r.signed()?,
        score: r.signed()?,
        previous_score: r.signed()?,
        level: r.word("level", RiskLevel::parse)?,
        previous_level: r.word("level", RiskLevel::parse)?,
        cause: {
            let word = r.text()?;
            let id = FindingId(r.wide()?);
            RiskCause::parse(word, id).ok_or(CodecError::Unknown("cause"))?
        },
        reasons: r.list(|r| {
            let (source, value): (Arc<str>, Arc<str>) = (r.text()?.into(), r.text()?.into());
            Ok(RiskReason { source, value, points: r.signed()? })
        })?,
    })
}
