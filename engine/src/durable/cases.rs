//! Bytes of incidents and suppressions. Not what they mean.

use std::sync::Arc;

use sluice_finding::{
    Belongs, FindingId, Incident, IncidentChange, IncidentEntry, IncidentStatus, IncidentVerdict,
    Suppression, SuppressionMatch,
};
use sluice_rule::Severity;

use super::{
    codec::{CodecError, Reader, Writer},
    ledgers::{read_entity, write_entity},
    suppressions::StoredSuppression,
};

type Read<T> = Result<T, CodecError>;

pub(super) fn encode_incident(incident: &Incident) -> Vec<u8> {
    let mut w = Writer::new();
    w.wide(incident.id.0);
    write_entity(&mut w, &incident.entity);
    w.text(&incident.title);
    w.signed(incident.time);
    w.signed(incident.last_time);
    w.text(incident.severity.name());
    w.list(incident.findings.iter(), |w, (id, why)| {
        w.wide(id.0);
        w.text(why.name());
    });
    w.list(incident.tactics.iter(), |w, tactic| w.text(tactic));
    w.signed(incident.risk_peak);
    w.text(incident.status.name());
    w.option(incident.assignee.as_deref(), Writer::text);
    w.option(incident.verdict, write_verdict);
    w.list(incident.history.iter(), |w, entry| {
        w.signed(entry.at);
        w.text(&entry.by);
        let change = &entry.change;
        w.option(change.status, |w, status| w.text(status.name()));
        w.option(change.assignee.as_ref(), |w, a| w.option(a.as_deref(), Writer::text));
        w.option(change.verdict, write_verdict);
        w.option(change.comment.as_deref(), Writer::text);
    });
    w.finish()
}

pub(super) fn decode_incident(bytes: &[u8]) -> Read<Incident> {
    let status = |r: &mut Reader<'_>| r.word("status", IncidentStatus::parse);
    let text = |r: &mut Reader<'_>| Ok(r.text()?.to_owned());
    Reader::whole(bytes, |r| {
        Ok(Incident {
            id: FindingId(r.wide()?),
            entity: read_entity(r)?,
            title: text(r)?,
            time: r.signed()?,
            last_time: r.signed()?,
            severity: r.word("severity", Severity::parse)?,
            findings: r.list(|r| Ok((FindingId(r.wide()?), r.word("reason", Belongs::parse)?)))?,
            tactics: r.list(text)?,
            risk_peak: r.signed()?,
            status: status(r)?,
            assignee: r.option(text)?,
            verdict: r.option(read_verdict)?,
            history: r.list(|r| {
                Ok(IncidentEntry {
                    at: r.signed()?,
                    by: text(r)?,
                    change: IncidentChange {
                        status: r.option(status)?,
                        assignee: r.option(|r| r.option(text))?,
                        verdict: r.option(read_verdict)?,
                        comment: r.option(text)?,
                    },
                })
            })?,
        })
    })
}

fn write_verdict(w: &mut Writer, verdict: IncidentVerdict) {
    w.text(verdict.name());
    w.wide(match verdict {
        IncidentVerdict::Duplicate(of) => of.0,
        IncidentVerdict::ConfirmedCompromise
        | IncidentVerdict::TruePositive
        | IncidentVerdict::Benign
        | IncidentVerdict::FalsePositive => 0,
    });
}

fn read_verdict(r: &mut Reader<'_>) -> Read<IncidentVerdict> {
    let word = r.text()?;
    let of = FindingId(r.wide()?);
    IncidentVerdict::parse(word, Some(of)).ok_or(CodecError::Unknown("verdict"))
}

pub(super) fn encode_suppression(stored: &StoredSuppression) -> Vec<u8> {
    let StoredSuppression { id, suppression, created_by, ended_by } = stored;
    let mut w = Writer::new();
    w.wide(id.0);
    let SuppressionMatch { rule, entity, field } = &suppression.matcher;
    w.option(rule.as_deref(), Writer::text);
    w.option(entity.as_ref(), write_entity);
    w.option(field.as_ref(), |w, (name, value)| {
        w.text(name);
        w.object(&[("value".to_owned(), value.clone())].into_iter().collect());
    });
    w.text(&suppression.owner);
    w.text(&suppression.reason);
    w.signed(suppression.from);
    w.signed(suppression.until);
    w.unsigned(suppression.hits);
    w.option(suppression.last_hit, Writer::signed);
    w.text(created_by);
    w.option(ended_by.as_deref(), Writer::text);
    w.finish()
}

pub(super) fn decode_suppression(bytes: &[u8]) -> Read<StoredSuppression> {
    let text = |r: &mut Reader<'_>| Ok(r.text()?.to_owned());
    Reader::whole(bytes, |r| {
        let id = FindingId(r.wide()?);
        let matcher = SuppressionMatch {
            rule: r.option(|r| Ok(Arc::from(r.text()?)))?,
            entity: r.option(read_entity)?,
            field: r.option(|r| {
                let name = r.text()?.to_owned();
                let value = r.object()?.remove("value");
                Ok((name, value.ok_or(CodecError::Unknown("value"))?))
            })?,
        };
        let suppression = Suppression {
            matcher,
            owner: text(r)?,
            reason: text(r)?,
            from: r.signed()?,
            until: r.signed()?,
            hits: r.unsigned()?,
            last_hit: r.option(Reader::signed)?,
        };
        Ok(StoredSuppression { id, suppression, created_by: text(r)?, ended_by: r.option(text)? })
    })
}
