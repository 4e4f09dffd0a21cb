//! The bound of findings per rule and minute: which are kept, and when those that are not are reported.
//! Not what is counted and reported of them: that is [`sluice_finding::capped`].
//!
//! The count of a minute is written with the commit that changes it, so that after a crash the findings
//! that were kept have their room. The first finding that is not kept is reported at once; the report is
//! brought up to date before each checkpoint, so that a flood is not a flood of updates. What a crash
//! leaves unreported is after the last checkpoint, and comes again.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use sluice_event::{Encoder, EntityKind};
use sluice_finding::{
    Entity, Finding,
    capped::{Capped, RuleMinute},
    fold,
};
use sluice_rule::Severity;

use super::{
    codec::{CodecError, Reader, Writer},
    findings::sortable,
    txn::WriteTxn,
    unreadable,
};
use crate::EngineError;

/// Start of the minute, hash of the rule.
pub(super) type MinuteKey = [u8; 24];

/// A minute while a change is put together.
#[derive(Debug)]
pub(super) struct OpenMinute {
    minute: RuleMinute,
    /// Findings that were not kept before this change.
    before: u64,
}

impl WriteTxn<'_> {
    /// Whether a finding that is not known is kept; one that is not is counted.
    pub(super) fn has_room(&mut self, finding: &Finding) -> Result<bool, EngineError> {
        let limit = self.inner.retention.findings_per_minute;
        let minute = RuleMinute::of(finding);
        let key = key(&minute);
        if !self.minutes.contains_key(&key) {
            let minute = self.stored_minute(&key)?.unwrap_or(minute);
            let before = minute.more();
            self.minutes.insert(key, OpenMinute { minute, before });
        }
        let Some(open) = self.minutes.get_mut(&key) else { return Ok(true) };
        if open.minute.kept < limit {
            open.minute.kept += 1;
            return Ok(true);
        }
        open.minute.cap(finding);
        self.unreported.insert(key);
        Ok(false)
    }

    /// Reports findings that were not kept: of minutes that had none before, or of `all` that have more
    /// than was reported.
    pub(super) fn report_capped(&mut self, all: bool) -> Result<(), EngineError> {
        let is_new = |key: &MinuteKey| self.minutes.get(key).is_some_and(|open| open.before == 0);
        let keys: Vec<MinuteKey> =
            self.unreported.iter().filter(|key| all || is_new(key)).copied().collect();
        for key in keys {
            self.unreported.remove(&key);
            let minute = match self.minutes.get(&key) {
                Some(open) => Some(open.minute.clone()),
                None => self.stored_minute(&key)?,
            };
            let Some(report) = minute.and_then(|minute| minute.report()) else { continue };
            let before = self.known(report.id)?;
            match fold(before.as_ref().map(|known| &known.finding), report) {
                Some(report) => self.put_finding(before, report, None)?,
                None => before.into_iter().for_each(|known| self.state.recent.insert(known)),
            }
        }
        Ok(())
    }

    /// Puts what was counted into the batch.
    pub(super) fn write_minutes(&mut self) {
        let space = &self.spaces().minute;
        for (key, open) in &self.minutes {
            self.batch.put(space, key, &encode(&open.minute));
        }
    }

    /// Findings of this change that were not kept, by rule.
    pub(super) fn newly_capped(&self) -> BTreeMap<Arc<str>, u64> {
        let mut capped: BTreeMap<Arc<str>, u64> = BTreeMap::new();
        for OpenMinute { minute, before } in self.minutes.values() {
            let more = minute.more().saturating_sub(*before);
            if more > 0 {
                *capped.entry(minute.rule.clone()).or_default() += more;
            }
        }
        capped
    }

    /// Drops minutes that were over before a time; how many.
    pub(super) fn expire_minutes(
        &mut self,
        cutoff: i64,
        limit: usize,
    ) -> Result<usize, EngineError> {
        let space = &self.spaces().minute;
        let end = sortable(cutoff.saturating_sub(60_000));
        let rows = self.snapshot.range(space, Bound::Unbounded, Bound::Excluded(end.as_slice()));
        let mut dropped = 0;
        for row in rows.take(limit) {
            self.batch.remove(space, &row?.0);
            dropped += 1;
        }
        Ok(dropped)
    }

    fn stored_minute(&self, key: &MinuteKey) -> Result<Option<RuleMinute>, EngineError> {
        let stored = self.get(&self.spaces().minute, key)?;
        let of = unreadable("count of findings in a minute");
        stored.map(|bytes| decode(&bytes)).transpose().map_err(of)
    }
}

fn key(minute: &RuleMinute) -> MinuteKey {
    let mut encoder = Encoder::default();
    encoder.text(&minute.rule);
    let mut bytes = [0; 24];
    bytes[..8].copy_from_slice(&sortable(minute.start));
    bytes[8..].copy_from_slice(&encoder.hash128().to_be_bytes());
    bytes
}

fn encode(minute: &RuleMinute) -> Vec<u8> {
    let mut w = Writer::new();
    w.text(&minute.rule);
    w.signed(minute.start);
    w.unsigned(minute.kept);
    w.option(minute.capped.as_ref(), |w, capped| {
        w.list(capped.hashes.iter(), |w, hash| w.unsigned(*hash));
        w.list(capped.examples.iter(), |w, (hash, named)| {
            w.unsigned(*hash);
            w.list(named.iter(), |w, (column, entity)| {
                w.text(column);
                w.text(entity.kind.name());
                w.text(&entity.id);
            });
        });
        w.text(capped.severity.name());
        w.unsigned(capped.risk.into());
        w.list(capped.attack.iter(), |w, id| w.text(id));
        w.bool(capped.shadow);
    });
    w.finish()
}

fn decode(bytes: &[u8]) -> Result<RuleMinute, CodecError> {
    let named = |r: &mut Reader<'_>| {
        let column = r.text()?.to_owned();
        let kind = r.word("entity kind", EntityKind::parse)?;
        Ok((column, Entity { kind, id: r.text()?.to_owned() }))
    };
    Reader::whole(bytes, |r| {
        Ok(RuleMinute {
            rule: r.text()?.into(),
            start: r.signed()?,
            kept: r.unsigned()?,
            capped: r.option(|r| {
                Ok(Capped {
                    hashes: r.list(Reader::unsigned)?,
                    examples: r.list(|r| Ok((r.unsigned()?, r.list(named)?)))?,
                    severity: r.word("severity", Severity::parse)?,
                    risk: r.narrow()?,
                    attack: r.list::<_, Vec<String>>(|r| Ok(r.text()?.to_owned()))?.into(),
                    shadow: r.bool()?,
                })
            })?,
        })
    })
}
