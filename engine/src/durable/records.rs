//! What each stored record is made of. Enums are stored as their words, which never change meaning.

use std::{collections::BTreeMap, sync::Arc};

use sluice_event::{EntityKind, PartitionId, TimeFlags};
use sluice_finding::{
    CappedBy, Entity, Finding, FindingId, FindingState, Reason, RepeatGroup, Triage, TriageChange,
    TriageEntry, TriageStatus,
};
use sluice_ingest::{DeadLetter, DeadLetterCode, Envelope, Original, live::Place};
use sluice_rule::Severity;

use super::{
    StoredLetter,
    codec::{CodecError, Reader, Writer},
};
use crate::{Checkpoint, PartitionName, Seq};

type Read<T> = Result<T, CodecError>;

/// A finding without the events of its evidence, which are stored beside it under these hashes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FindingRecord {
    pub finding: Finding,
    pub evidence: Vec<u128>,
}

pub(crate) fn encode_finding(record: &FindingRecord) -> Vec<u8> {
    let FindingRecord { finding, evidence } = record;
    let mut w = Writer::new();
    w.wide(finding.id.0);
    w.text(&finding.rule_id);
    w.text(&finding.rule_version);
    w.text(&finding.title);
    w.text(finding.severity.name());
    w.signed(finding.time);
    w.text(finding.state.name());
    w.unsigned(finding.revision.into());
    w.list(finding.entities.iter(), |w, entity| {
        w.text(entity.kind.name());
        w.text(&entity.id);
    });
    w.list(finding.attack.iter(), |w, id| w.text(id));
    w.unsigned(finding.risk.into());
    w.bool(finding.shadow);
    w.option(finding.suppression, |w, suppression| {
        w.wide(suppression.group);
        w.signed(suppression.span);
    });
    w.object(&finding.fields);
    w.option(finding.window, |w, (start, end)| {
        w.signed(start);
        w.signed(end);
    });
    w.unsigned(finding.count);
    w.bool(finding.late);
    w.bool(finding.capped);
    w.list(evidence.iter(), |w, hash| w.wide(*hash));
    w.unsigned(finding.evidence_total);
    w.bool(finding.contested);
    w.unsigned(finding.time_flags.bits().into());
    w.list(finding.capped_by.iter(), |w, cap| {
        w.text(&cap.bound);
        w.unsigned(cap.limit);
    });
    w.finish()
}

pub(crate) fn decode_finding(bytes: &[u8]) -> Read<FindingRecord> {
    Reader::whole(bytes, |r| {
        let evidence;
        let mut finding = Finding {
            id: FindingId(r.wide()?),
            rule_id: r.text()?.into(),
            rule_version: r.text()?.into(),
            title: r.text()?.to_owned(),
            severity: r.word("severity", Severity::parse)?,
            time: r.signed()?,
            state: r.word("state", state)?,
            revision: r.narrow()?,
            entities: r.list(|r| {
                Ok(Entity {
                    kind: r.word("entity kind", EntityKind::parse)?,
                    id: r.text()?.to_owned(),
                })
            })?,
            attack: r.list(|r| Ok(r.text()?.to_owned())).map(|ids: Vec<_>| ids.into())?,
            risk: r.narrow()?,
            shadow: r.bool()?,
            suppression: r.option(|r| Ok(RepeatGroup { group: r.wide()?, span: r.signed()? }))?,
            fields: r.object()?,
            window: r.option(|r| Ok((r.signed()?, r.signed()?)))?,
            count: r.unsigned()?,
            late: r.bool()?,
            capped: r.bool()?,
            evidence: {
                evidence = r.list(Reader::wide)?;
                Vec::new()
            },
            evidence_total: r.unsigned()?,
            contested: r.bool()?,
            capped_by: Vec::new(),
            time_flags: TimeFlags::NONE,
        };
        // Records may end here: such a one says nothing of either.
        if !r.is_at_end() {
            finding.time_flags = TimeFlags::from_bits(r.narrow()?);
            finding.capped_by =
                r.list(|r| Ok(CappedBy { bound: r.text()?.into(), limit: r.unsigned()? }))?;
        }
        Ok(FindingRecord { finding, evidence })
    })
}

fn state(word: &str) -> Option<FindingState> {
    [FindingState::Provisional, FindingState::Confirmed, FindingState::Withdrawn]
        .into_iter()
        .find(|s| s.name() == word)
}

pub(crate) fn encode_triage(triage: &Triage) -> Vec<u8> {
    let mut w = Writer::new();
    w.text(triage.status.name());
    w.option(triage.reason, |w, reason| w.text(reason.name()));
    w.option(triage.assignee.as_deref(), Writer::text);
    w.unsigned(triage.version);
    w.list(triage.history.iter(), |w, entry| {
        w.signed(entry.at);
        w.text(&entry.by);
        let change = &entry.change;
        w.option(change.status, |w, status| w.text(status.name()));
        w.option(change.reason, |w, reason| w.text(reason.name()));
        w.option(change.assignee.as_ref(), |w, a| w.option(a.as_deref(), Writer::text));
        w.option(change.comment.as_deref(), Writer::text);
    });
    w.finish()
}

pub(crate) fn decode_triage(bytes: &[u8]) -> Read<Triage> {
    let status = |r: &mut Reader<'_>| r.word("status", TriageStatus::parse);
    let reason = |r: &mut Reader<'_>| r.word("reason", Reason::parse);
    let text = |r: &mut Reader<'_>| Ok(r.text()?.to_owned());
    Reader::whole(bytes, |r| {
        Ok(Triage {
            status: status(r)?,
            reason: r.option(reason)?,
            assignee: r.option(text)?,
            version: r.unsigned()?,
            history: r.list(|r| {
                Ok(TriageEntry {
                    at: r.signed()?,
                    by: text(r)?,
                    change: TriageChange {
                        status: r.option(status)?,
                        reason: r.option(reason)?,
                        assignee: r.option(|r| r.option(text))?,
                        comment: r.option(text)?,
                    },
                })
            })?,
        })
    })
}

/// All but the id, which is the key.
pub(crate) fn encode_letter(place: &Place, letter: &DeadLetter, attempts: u32) -> Vec<u8> {
    let mut w = Writer::new();
    write_place(&mut w, place);
    w.unsigned(attempts.into());
    w.text(letter.code.name());
    w.text(&letter.message);
    w.text(&letter.source);
    w.option(letter.mapping.as_deref(), Writer::text);
    w.unsigned(letter.line);
    w.unsigned(letter.offset);
    w.signed(letter.received_at);
    w.option(letter.envelope.as_deref(), |w, envelope| {
        w.text(&envelope.topic);
        w.signed(envelope.partition.into());
        w.option(envelope.key.as_deref(), Writer::bytes);
        w.list(envelope.headers.iter(), |w, (name, value)| {
            w.text(name);
            w.option(value.as_deref(), Writer::bytes);
        });
        w.option(envelope.timestamp, Writer::signed);
    });
    match &letter.original {
        Original::Whole(bytes) => {
            w.bool(false);
            w.bytes(bytes);
        }
        Original::Stub { head, length, hash } => {
            w.bool(true);
            w.bytes(head);
            w.unsigned(*length);
            w.bytes(hash);
        }
    }
    w.finish()
}

pub(crate) fn decode_letter(id: String, bytes: &[u8]) -> Read<StoredLetter> {
    Reader::whole(bytes, |r| {
        let place = read_place(r)?;
        let attempts = r.narrow()?;
        let letter = DeadLetter {
            code: r.word("dead letter code", DeadLetterCode::parse)?,
            message: r.text()?.to_owned(),
            source: r.text()?.into(),
            mapping: r.option(|r| Ok(r.text()?.to_owned()))?,
            partition: PartitionId(0),
            line: r.unsigned()?,
            offset: r.unsigned()?,
            received_at: r.signed()?,
            envelope: r.option(read_envelope)?,
            original: if r.bool()? {
                Original::Stub {
                    head: r.bytes()?.to_vec(),
                    length: r.unsigned()?,
                    hash: r.bytes()?.try_into().map_err(|_| CodecError::Unknown("hash"))?,
                }
            } else {
                Original::Whole(r.bytes()?.to_vec())
            },
        };
        Ok(StoredLetter { id, place, letter, attempts })
    })
}

fn read_envelope(r: &mut Reader<'_>) -> Read<Arc<Envelope>> {
    Ok(Arc::new(Envelope {
        topic: r.text()?.into(),
        partition: r.signed()?.try_into().map_err(|_| CodecError::Unknown("partition"))?,
        key: r.option(|r| Ok(r.bytes()?.to_vec()))?,
        headers: r.list(|r| Ok((r.text()?.to_owned(), r.option(|r| Ok(r.bytes()?.to_vec()))?)))?,
        timestamp: r.option(Reader::signed)?,
    }))
}

/// All of a checkpoint but its state, which has a keyspace.
pub(crate) fn encode_checkpoint(checkpoint: &Checkpoint) -> Vec<u8> {
    let mut w = Writer::new();
    w.unsigned(checkpoint.epoch);
    w.unsigned(checkpoint.seq.0);
    w.unsigned(checkpoint.delivered);
    w.list(checkpoint.seen.iter(), |w, (partition, time)| {
        w.unsigned(partition.0.into());
        w.signed(*time);
    });
    w.list(checkpoint.positions.iter(), |w, (place, next)| {
        write_place(w, place);
        w.unsigned(*next);
    });
    w.list(checkpoint.partitions.iter(), |w, name| {
        write_place(w, &name.place);
        w.text(&name.source);
    });
    w.finish()
}

pub(crate) fn decode_checkpoint(bytes: &[u8]) -> Read<Checkpoint> {
    Reader::whole(bytes, |r| {
        Ok(Checkpoint {
            epoch: r.unsigned()?,
            seq: Seq(r.unsigned()?),
            state: Vec::new(),
            full: false,
            history: Vec::new(),
            delivered: r.unsigned()?,
            seen: r.list(|r| Ok((PartitionId(r.narrow()?), r.signed()?)))?,
            positions: r.list(|r| Ok((read_place(r)?, r.unsigned()?)))?,
            partitions: r
                .list(|r| Ok(PartitionName { place: read_place(r)?, source: r.text()?.into() }))?,
        })
    })
}

fn write_place(w: &mut Writer, place: &Place) {
    w.text(&place.input);
    w.text(&place.part);
}

fn read_place(r: &mut Reader<'_>) -> Read<Place> {
    Ok(Place { input: r.text()?.into(), part: r.text()?.into() })
}

/// What is held and was dropped, kept up to date with every batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Findings and the bytes of them and their triage.
    pub findings: u64,
    pub finding_bytes: u64,
    /// By age, by bytes.
    pub findings_expired: (u64, u64),
    /// How many, and their bytes.
    pub letters: BTreeMap<(String, DeadLetterCode), (u64, u64)>,
    /// By age, by bytes.
    pub letters_expired: (u64, u64),
    /// Findings remembered as removed.
    pub removed: u64,
}

pub(crate) fn encode_totals(totals: &Totals) -> Vec<u8> {
    let mut w = Writer::new();
    w.unsigned(totals.findings);
    w.unsigned(totals.finding_bytes);
    w.unsigned(totals.findings_expired.0);
    w.unsigned(totals.findings_expired.1);
    w.list(totals.letters.iter(), |w, ((source, code), (count, bytes))| {
        w.text(source);
        w.text(code.name());
        w.unsigned(*count);
        w.unsigned(*bytes);
    });
    w.unsigned(totals.letters_expired.0);
    w.unsigned(totals.letters_expired.1);
    w.unsigned(totals.removed);
    w.finish()
}

pub(crate) fn decode_totals(bytes: &[u8]) -> Read<Totals> {
    Reader::whole(bytes, |r| {
        Ok(Totals {
            findings: r.unsigned()?,
            finding_bytes: r.unsigned()?,
            findings_expired: (r.unsigned()?, r.unsigned()?),
            letters: r.list(|r| {
                let source = r.text()?.to_owned();
                let code = r.word("dead letter code", DeadLetterCode::parse)?;
                Ok(((source, code), (r.unsigned()?, r.unsigned()?)))
            })?,
            letters_expired: (r.unsigned()?, r.unsigned()?),
            removed: r.unsigned()?,
        })
    })
}

#[cfg(test)]
pub(crate) mod tests;
