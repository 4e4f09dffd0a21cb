//! Inputs: what they are doing, how far behind, and what became of every record of each.

use std::collections::BTreeMap;

use axum::{Extension, Json, extract::State};
use serde::Serialize;
use sluice_engine::{
    RowCounts, SourceCounts,
    service::{InputHealth, ServiceStatus},
};
use sluice_event::rfc3339;
use sluice_ingest::live::InputPhase;
use utoipa::ToSchema;

use super::{
    clock,
    params::{Nothing, Params},
    problem::Problem,
    shared::Shared,
};
use crate::{
    node::silence::InputSilence,
    tokens::{Permission, Principal},
};

/// All inputs.
#[derive(Serialize, ToSchema)]
#[schema(as = SourceList)]
pub(super) struct Sources {
    /// By name, as the configuration has them.
    items: Vec<Source>,
    /// What became of records that no input of the configuration gave.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    others: BTreeMap<String, Records>,
    /// Findings of records that claim the id of another record and say something else, by mapping
    /// source, since the process started: see `contested` of a finding.
    contested: BTreeMap<String, u64>,
}

/// An input.
#[derive(Serialize, ToSchema)]
struct Source {
    name: String,
    /// `kafka` or `http`.
    kind: &'static str,
    /// A mapping source, or `auto`.
    mapping: String,
    /// `starting`, `running`, `paused`, `retrying`, `failed` or `stopped`.
    phase: &'static str,
    /// Why it is retrying or has failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// How far behind in all: records, or bytes of a spool; null before that is known.
    #[schema(required)]
    lag: Option<u64>,
    places: Vec<Place>,
    /// Assignments and revocations since the start, by kind.
    rebalances: BTreeMap<String, u64>,
    /// Places paused because the engine is behind.
    paused_places: u64,
    /// Times it made no progress and started over.
    stalled: u64,
    /// Records that were gone before they were read.
    gaps: Vec<Gap>,
    /// Bytes on disk that are not yet processed.
    spool_bytes: u64,
    /// When something came last; when it was first looked at if never. Null right after the start.
    #[schema(required)]
    last_record_at: Option<String>,
    /// Since when it is silent: a finding `sluice.source_silent` names the rules that are blind.
    #[schema(required)]
    silent_since: Option<String>,
    /// How long it may be quiet; null while that is not known.
    #[schema(required)]
    usual_pause_seconds: Option<i64>,
    records: Records,
}

/// A Kafka partition, or a spool.
#[derive(Serialize, ToSchema)]
struct Place {
    place: String,
    #[schema(required)]
    lag: Option<u64>,
    /// The offset to read next, of what is durable.
    #[schema(required)]
    durable: Option<u64>,
    /// The newest event time by source, and how far it is behind the clock.
    watermarks: Vec<Watermark>,
}

/// The newest event time of a source in a place.
#[derive(Serialize, ToSchema)]
struct Watermark {
    source: String,
    #[schema(required)]
    time: Option<String>,
    #[schema(required)]
    lag_seconds: Option<f64>,
}

/// Records that were gone before they were read.
#[derive(Serialize, ToSchema)]
struct Gap {
    place: String,
    from: u64,
    to: u64,
}

/// What became of records: each ends in exactly one place. Counts are since the process started.
#[derive(Serialize, ToSchema)]
struct Records {
    received: u64,
    mapped: u64,
    /// Records whose mapping made no row of them.
    mapped_empty: u64,
    /// By code.
    dead_letters: BTreeMap<String, u64>,
    dropped: u64,
    /// Those of the dropped that are no events, by what they are: `cloudtrail digest`.
    skipped: BTreeMap<String, u64>,
    /// Lines of known programs that no pattern took; they are among the mapped.
    unparsed: u64,
    /// Some of them, shortened: what a sender wrote, so for roles that may read dead letters.
    #[serde(skip_serializing_if = "Option::is_none")]
    unparsed_examples: Option<Vec<String>>,
    /// Whether so many are unparsed that rules miss what they say: a tenth of the mapped.
    degraded: bool,
    /// Records over a bound of which only the first fields were read; they are among the mapped.
    truncated: u64,
    /// Fields that a mapping reads and an object has twice; the last value was read. See
    /// `duplicate_keys` of the input.
    duplicate_keys: u64,
    /// Rows by `time_flag`: missing, invalid, future, ambiguous, skipped.
    time_flags: BTreeMap<String, TimeFlag>,
    /// By table.
    rows: BTreeMap<String, Rows>,
    /// Values not of their declared type, now NULL, by column.
    conflicts: BTreeMap<String, u64>,
    /// Top-level fields that no mapping reads, most frequent first.
    unmapped_fields: Vec<UnmappedField>,
    /// The counts as one line.
    conservation: String,
    /// Whether they add up.
    balanced: bool,
}

/// Rows with one time flag.
#[derive(Serialize, ToSchema)]
struct TimeFlag {
    rows: u64,
    /// A time that one of them claimed; likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    example: Option<String>,
}

/// Rows of a table.
#[derive(Serialize, ToSchema)]
struct Rows {
    mapped: u64,
    evaluated: u64,
    too_late: u64,
}

/// A field that no mapping reads.
#[derive(Serialize, ToSchema)]
struct UnmappedField {
    name: String,
    records: u64,
    /// A value of it: what a sender wrote, so for roles that may read dead letters.
    #[serde(skip_serializing_if = "Option::is_none")]
    example: Option<String>,
}

/// Inputs with lag, watermarks, and what became of the records of each
#[utoipa::path(
    get, path = "/api/v1/sources", tag = "sources", operation_id = "list_sources",
    responses((status = 200, description = "Every input.", body = Sources, example = json!({
        "items": [{
            "name": "okta", "kind": "kafka", "mapping": "okta.system", "phase": "running",
            "lag": 12, "places": [{"place": "okta:logins/0", "lag": 12, "durable": 81204,
                "watermarks": [{"source": "okta.system", "time": "2026-11-24T08:15:00.000Z",
                    "lag_seconds": 1.4}]}],
            "rebalances": {"assign": 1}, "paused_places": 0, "stalled": 0, "gaps": [],
            "spool_bytes": 0, "last_record_at": "2026-11-24T08:15:01.000Z", "silent_since": null,
            "usual_pause_seconds": 900,
            "records": {
                "received": 100, "mapped": 98, "mapped_empty": 0, "dead_letters": {"bad_json": 2},
                "dropped": 0, "skipped": {}, "unparsed": 0, "unparsed_examples": [],
                "degraded": false, "truncated": 0, "duplicate_keys": 0,
                "time_flags": {},
                "rows": {"authentication": {"mapped": 98, "evaluated": 98, "too_late": 0}},
                "conflicts": {}, "unmapped_fields": [],
                "conservation": "received 100 = mapped 98 + to no row 0 + dead letter 2 + dropped 0; rows 98 = evaluated 98 + too late 0",
                "balanced": true
            }
        }],
        "contested": {}
    })))
)]
pub(super) async fn list(
    State(shared): State<Shared>,
    Params(Nothing {}): Params<Nothing>,
    Extension(principal): Extension<Principal>,
) -> Result<Json<Sources>, Problem> {
    let service = shared.app.service.clone();
    let store = shared.app.store.clone();
    let read = move || (service.status(), store.contested());
    let (status, contested) = shared.pools.reads.run(read).await?;
    let raw = principal.role.may(Permission::DeadLettersRead);
    let silence = |input: &str| shared.app.silence.of(input);
    Ok(Json(Sources { contested, ..sources(&status, clock::now(), raw, silence) }))
}

/// `raw`: with what senders wrote.
fn sources(
    status: &ServiceStatus,
    now: i64,
    raw: bool,
    silence: impl Fn(&str) -> Option<InputSilence>,
) -> Sources {
    let counted = &status.counters.sources;
    let none = SourceCounts::default();
    let records = |input: &InputHealth| counted.get(&*input.name).unwrap_or(&none);
    let known = |name: &str| status.inputs.iter().any(|input| &*input.name == name);
    Sources {
        items: status
            .inputs
            .iter()
            .map(|i| Source::of(i, records(i), now, raw, silence(&i.name)))
            .collect(),
        others: counted
            .iter()
            .filter(|(name, _)| !known(name))
            .map(|(name, counts)| (name.clone(), Records::of(counts, raw)))
            .collect(),
        contested: BTreeMap::new(),
    }
}

impl Source {
    fn of(
        input: &InputHealth,
        counts: &SourceCounts,
        now: i64,
        raw: bool,
        silence: Option<InputSilence>,
    ) -> Source {
        let (phase, reason) = phase(&input.status.phase);
        let watermarks = |place: &sluice_ingest::live::Place| {
            let here = input.partitions.iter().filter(|(p, _, _)| p == place);
            here.map(|(_, source, time)| Watermark {
                source: source.to_string(),
                time: time.map(rfc3339),
                lag_seconds: time.map(|t| (now - t) as f64 / 1_000.0),
            })
            .collect()
        };
        let lags: Vec<u64> = input.status.places.values().flatten().copied().collect();
        Source {
            name: input.name.to_string(),
            kind: input.kind,
            mapping: input.mapping.clone(),
            phase,
            reason,
            lag: (!lags.is_empty()).then(|| lags.iter().sum()),
            places: input
                .status
                .places
                .iter()
                .map(|(place, lag)| Place {
                    place: place.to_string(),
                    lag: *lag,
                    durable: input.positions.get(place).copied(),
                    watermarks: watermarks(place),
                })
                .collect(),
            rebalances: input
                .status
                .rebalances
                .iter()
                .map(|(kind, n)| ((*kind).to_owned(), *n))
                .collect(),
            paused_places: input.status.paused,
            stalled: input.status.stalled,
            gaps: input
                .status
                .gaps
                .iter()
                .map(|(place, from, to)| Gap { place: place.to_string(), from: *from, to: *to })
                .collect(),
            spool_bytes: input.status.spool_bytes,
            last_record_at: silence.map(|s| rfc3339(s.last_record)),
            silent_since: silence.and_then(|s| s.silent_since).map(rfc3339),
            usual_pause_seconds: silence.and_then(|s| s.usual).map(|usual| usual / 1_000),
            records: Records::of(counts, raw),
        }
    }
}

/// The word of a phase, and why.
pub(super) fn phase(phase: &InputPhase) -> (&'static str, Option<String>) {
    match phase {
        InputPhase::Starting => ("starting", None),
        InputPhase::Running => ("running", None),
        InputPhase::Paused => ("paused", None),
        InputPhase::Retrying(why) => ("retrying", Some(why.clone())),
        InputPhase::Failed(why) => ("failed", Some(why.clone())),
        InputPhase::Stopped => ("stopped", None),
    }
}

impl Records {
    fn of(counts: &SourceCounts, raw: bool) -> Records {
        let mut unmapped: Vec<UnmappedField> = counts
            .unmapped_fields
            .iter()
            .map(|(name, (records, example))| UnmappedField {
                name: name.clone(),
                records: *records,
                example: raw.then(|| example.clone()),
            })
            .collect();
        unmapped.sort_by(|a, b| b.records.cmp(&a.records).then_with(|| a.name.cmp(&b.name)));
        let rows = counts.rows.iter().map(|(table, rows)| {
            let RowCounts { mapped, evaluated, too_late } = *rows;
            (table.to_string(), Rows { mapped, evaluated, too_late })
        });
        Records {
            received: counts.received,
            mapped: counts.mapped,
            mapped_empty: counts.mapped_empty,
            dead_letters: counts.dead_letters.clone(),
            dropped: counts.dropped,
            skipped: counts.skipped.clone(),
            unparsed: counts.unparsed.lines,
            unparsed_examples: raw.then(|| counts.unparsed.examples.clone()),
            degraded: counts.reads_badly(),
            truncated: counts.truncated,
            duplicate_keys: counts.duplicate_keys,
            time_flags: counts
                .time_flags
                .iter()
                .map(|(flag, (rows, example))| {
                    let example = example.clone().filter(|_| raw);
                    (flag.clone(), TimeFlag { rows: *rows, example })
                })
                .collect(),
            rows: rows.collect(),
            conflicts: counts.conflicts.clone(),
            unmapped_fields: unmapped,
            conservation: conservation(counts),
            balanced: counts.violations().is_empty(),
        }
    }
}

/// The law of conservation as a line (MET-3).
fn conservation(counts: &SourceCounts) -> String {
    let rows = |of: fn(&RowCounts) -> u64| counts.rows.values().map(of).sum::<u64>();
    format!(
        "received {} = mapped {} + to no row {} + dead letter {} + dropped {}; \
         rows {} = evaluated {} + too late {}",
        counts.received,
        counts.mapped,
        counts.mapped_empty,
        counts.dead_letters.values().sum::<u64>(),
        counts.dropped,
        rows(|r| r.mapped),
        rows(|r| r.evaluated),
        rows(|r| r.too_late),
    )
}

#[cfg(test)]
mod tests;
