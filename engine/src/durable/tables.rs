//! What the store holds as tables of rows, for hunts: findings with the work on them, incidents, and
//! the changes of the risk of entities. All of them as of one commit, so that they agree with each other
//! and with what the API shows of it. Not the SQL.
//!
//! Of each table the newest rows by event time are given, at most [`TABLE_ROWS`] and, of findings,
//! records of [`TABLE_BYTES`] bytes.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::{Arc, PoisonError},
};

use arrow::{
    array::{ArrayRef, Float64Array},
    error::ArrowError,
    record_batch::RecordBatch,
};
use serde_json::json;
use sluice_event::{EntityKind, Schema, TableName, TableSchema};
use sluice_finding::{Entity, Finding, Incident, IncidentVerdict};
use sluice_sql::Cancel;
use sluice_store::Snapshot;

use super::{
    FindingStore, Inner, RiskRow, Stored,
    findings::{parse_age_key, sortable, stored_light},
    ledgers::{decode_risk, decode_row},
    risk::entity_key,
    unreadable,
};
use crate::{EngineConfig, EngineError, Seq, finding_rows as made};

/// Rows of one table at most.
pub const TABLE_ROWS: usize = 100_000;
/// Bytes of the stored records of the findings of one query at most.
pub const TABLE_BYTES: usize = 64 << 20;
/// Rows of a batch.
const BATCH_ROWS: usize = 4_096;

/// An event time at or after the first and before the second, milliseconds.
type Between = (Option<i64>, Option<i64>);

impl FindingStore {
    /// Those of the named tables that the store holds, the rows with an event time in the range; the
    /// other names are left out. `None` if it was cancelled.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn tables(
        &self,
        named: &BTreeSet<TableName>,
        between: Between,
        cancel: &Cancel,
    ) -> Result<Option<BTreeMap<TableName, Vec<RecordBatch>>>, EngineError> {
        let own = Schema::own().tables().filter(|table| named.contains(&table.name));
        let own: Vec<&Arc<TableSchema>> = own.collect();
        if own.is_empty() {
            return Ok(Some(BTreeMap::new()));
        }
        let view = self.inner.view();
        let mut tables = BTreeMap::new();
        for table in own {
            let batches = match table.name.as_str() {
                "findings" => self.inner.finding_table(&view, table, between, cancel)?,
                "incidents" => incident_table(&view, table, between)?,
                _ => self.inner.risk_table(&view, table, between, cancel)?,
            };
            if cancel.is_cancelled() {
                return Ok(None);
            }
            // A table without rows is still one.
            let batches = match batches.is_empty() {
                true => vec![RecordBatch::new_empty(table.arrow.clone())],
                false => batches,
            };
            tables.insert(table.name.clone(), batches);
        }
        Ok(Some(tables))
    }
}

/// The store as of one commit.
struct View {
    snapshot: Snapshot,
    incidents: Vec<Arc<Incident>>,
}

impl Inner {
    /// What is on disk and what is in memory, with no commit between the two.
    fn view(&self) -> View {
        let _no_commit = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let incidents = self.incidents().all().cloned().collect();
        View { snapshot: self.store.snapshot(), incidents }
    }

    fn finding_table(
        &self,
        view: &View,
        table: &TableSchema,
        (from, to): Between,
        cancel: &Cancel,
    ) -> Result<Vec<RecordBatch>, EngineError> {
        let (start, end) = (from.map(sortable), to.map(sortable));
        let start = start.as_ref().map_or(Bound::Unbounded, |key| Bound::Included(&key[..]));
        let end = end.as_ref().map_or(Bound::Unbounded, |key| Bound::Excluded(&key[..]));
        let mut batches = Vec::new();
        let mut page: Vec<Stored> = Vec::new();
        let (mut rows, mut bytes) = (0, 0);
        for row in view.snapshot.range(&self.spaces.age, start, end).rev() {
            if cancel.is_cancelled() || rows == TABLE_ROWS || bytes >= TABLE_BYTES {
                break;
            }
            let (_, id) = parse_age_key(&row?.0)?;
            let Some((finding, triage, current, size)) =
                stored_light(&self.spaces, &view.snapshot, id)?
            else {
                continue;
            };
            let repeats = self.repeats(&view.snapshot, &finding)?;
            page.push(Stored { finding, triage, repeats, seq: Seq(current.seq) });
            (rows, bytes) = (rows + 1, bytes + size);
            if page.len() == BATCH_ROWS {
                batches.push(finding_rows(table, &std::mem::take(&mut page)).map_err(broken)?);
            }
        }
        if !page.is_empty() {
            batches.push(finding_rows(table, &page).map_err(broken)?);
        }
        Ok(batches)
    }

    fn risk_table(
        &self,
        view: &View,
        table: &TableSchema,
        between: Between,
        cancel: &Cancel,
    ) -> Result<Vec<RecordBatch>, EngineError> {
        // The newest of all entities, in order.
        let mut newest: BTreeMap<_, EntityRow> = BTreeMap::new();
        for record in view.snapshot.prefix(&self.spaces.risk, b"") {
            if cancel.is_cancelled() {
                return Ok(Vec::new());
            }
            let record = decode_risk(&record?.1).map_err(unreadable("risk of an entity"))?;
            let (key, entity) = (entity_key(&record.entity), Arc::new(record.entity));
            for row in view.snapshot.prefix(&self.spaces.risk_row, &key).rev() {
                let row = decode_row(&row?.1).map_err(unreadable("change of risk"))?;
                if !is_within(row.at, between) {
                    continue;
                }
                newest.insert((row.at, key, row.change), (entity.clone(), row));
                if newest.len() > TABLE_ROWS {
                    newest.pop_first();
                }
            }
        }
        let rows: Vec<EntityRow> = newest.into_values().rev().collect();
        let batches = rows.chunks(BATCH_ROWS).map(|rows| risk_rows(table, rows));
        batches.collect::<Result<_, _>>().map_err(broken)
    }
}

/// A change of risk, and of whom.
type EntityRow = (Arc<Entity>, RiskRow);

fn is_within(time: i64, (from, to): Between) -> bool {
    from.is_none_or(|from| from <= time) && to.is_none_or(|to| time < to)
}

fn incident_table(
    view: &View,
    table: &TableSchema,
    between: Between,
) -> Result<Vec<RecordBatch>, EngineError> {
    let mut all: Vec<&Arc<Incident>> =
        view.incidents.iter().filter(|i| is_within(i.time, between)).collect();
    all.sort_by_key(|incident| std::cmp::Reverse((incident.time, incident.id)));
    all.truncate(TABLE_ROWS);
    let batches = all.chunks(BATCH_ROWS).map(|rows| incident_rows(table, rows));
    batches.collect::<Result<_, _>>().map_err(broken)
}

fn finding_rows(table: &TableSchema, rows: &[Stored]) -> Result<RecordBatch, ArrowError> {
    let findings: Vec<&Finding> = rows.iter().map(|stored| &stored.finding).collect();
    let all = || rows.iter();
    made::batch(&table.arrow, |name| {
        Some(match name {
            "state" => made::texts(all().map(|s| Some(s.finding.state.name().to_owned()))),
            "revision" => made::numbers(all().map(|s| Some(i64::from(s.finding.revision)))),
            "late" => made::flags(all().map(|s| s.finding.late)),
            "contested" => made::flags(all().map(|s| s.finding.contested)),
            "status" => made::texts(all().map(|s| Some(s.triage.status.name().to_owned()))),
            "reason" => made::texts(all().map(|s| s.triage.reason.map(|r| r.name().to_owned()))),
            "assignee" => made::texts(all().map(|s| s.triage.assignee.clone())),
            "suppressed" => made::flags(all().map(|s| s.repeats.folded_into.is_some())),
            "folded_into" => {
                made::texts(all().map(|s| s.repeats.folded_into.map(|id| id.to_string())))
            }
            "repeats" => made::numbers(all().map(|s| whole(s.repeats.count))),
            "evidence_total" => made::numbers(all().map(|s| whole(s.finding.evidence_total))),
            "seq" => made::numbers(all().map(|s| whole(s.seq.0))),
            name => return made::column(name, EngineConfig::TENANT, &findings),
        })
    })
}

fn incident_rows(table: &TableSchema, rows: &[&Arc<Incident>]) -> Result<RecordBatch, ArrowError> {
    let all = || rows.iter();
    made::batch(&table.arrow, |name| {
        Some(match name {
            "time" => made::times(all().map(|i| Some(i.time))),
            "id" => made::texts(all().map(|i| Some(i.id.to_string()))),
            "last_time" => made::times(all().map(|i| Some(i.last_time))),
            "title" => made::texts(all().map(|i| Some(i.title.clone()))),
            "status" => made::texts(all().map(|i| Some(i.status.name().to_owned()))),
            "severity" => made::texts(all().map(|i| Some(i.severity.name().to_owned()))),
            "opened_by" => made::texts(all().map(|i| opened_by(i).map(str::to_owned))),
            "findings" => made::numbers(all().map(|i| whole(i.findings.len() as u64))),
            "finding_ids" => {
                made::lists(all().map(|i| i.findings.keys().map(ToString::to_string).collect()))
            }
            "tactic_ids" => made::lists(all().map(|i| i.tactics.clone())),
            "risk_peak" => points(all().map(|i| i.risk_peak)),
            "verdict" => made::texts(all().map(|i| i.verdict.map(|v| v.name().to_owned()))),
            "duplicate_of" => made::texts(all().map(|i| match i.verdict {
                Some(IncidentVerdict::Duplicate(of)) => Some(of.to_string()),
                _ => None,
            })),
            "assignee" => made::texts(all().map(|i| i.assignee.clone())),
            "changes" => made::numbers(all().map(|i| whole(i.history.len() as u64))),
            name => return entity(name, all().map(|i| &i.entity)),
        })
    })
}

fn risk_rows(table: &TableSchema, rows: &[EntityRow]) -> Result<RecordBatch, ArrowError> {
    let all = || rows.iter().map(|(_, row)| row);
    made::batch(&table.arrow, |name| {
        Some(match name {
            "time" => made::times(all().map(|r| Some(r.at))),
            "change_no" => made::numbers(all().map(|r| whole(r.change))),
            "score" => points(all().map(|r| r.score)),
            "level" => made::texts(all().map(|r| Some(r.level.name().to_owned()))),
            "previous_score" => points(all().map(|r| r.previous_score)),
            "previous_level" => {
                made::texts(all().map(|r| Some(r.previous_level.name().to_owned())))
            }
            "cause" => made::texts(all().map(|r| Some(r.cause.name().to_owned()))),
            "cause_id" => made::texts(all().map(|r| r.cause.id().map(|id| id.to_string()))),
            "factors" => made::texts(all().map(|r| {
                let factors = r.reasons.iter().map(|reason| {
                    json!({"source": &*reason.source, "value": &*reason.value,
                        "points": reason.points as f64 / 100.0})
                });
                Some(serde_json::Value::from_iter(factors).to_string())
            })),
            name => return entity(name, rows.iter().map(|(entity, _)| &**entity)),
        })
    })
}

/// The columns that name an entity.
fn entity<'e>(name: &str, entities: impl Iterator<Item = &'e Entity>) -> Option<ArrayRef> {
    let of = |e: &Entity, kind: EntityKind| (e.kind == kind).then(|| e.id.clone());
    Some(match name {
        "entity_kind" => made::texts(entities.map(|e| Some(e.kind.name().to_owned()))),
        "entity_id" => made::texts(entities.map(|e| Some(e.id.clone()))),
        "user_entity" => made::texts(entities.map(|e| of(e, EntityKind::User))),
        "device_entity" => made::texts(entities.map(|e| of(e, EntityKind::Device))),
        _ => return None,
    })
}

/// The reason of the finding that opened an incident.
fn opened_by(incident: &Incident) -> Option<&'static str> {
    let opens = |name: &&str| ["critical", "risk_high"].contains(name);
    incident.findings.values().map(|why| why.name()).find(opens)
}

/// Hundredths as a score.
fn points(hundredths: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(hundredths.map(|h| Some(h as f64 / 100.0)).collect::<Float64Array>())
}

fn whole(count: u64) -> Option<i64> {
    i64::try_from(count).ok()
}

/// Rows that do not fit the schema of their table: a defect.
fn broken(error: ArrowError) -> EngineError {
    EngineError::Stored { what: "rows of a table".to_owned(), reason: error.to_string() }
}
