//! `sluice baseline eval`: a baseline over labelled events, prequentially. The same code as in the
//! stream; the watermark follows the events.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{BufWriter, Write},
    path::PathBuf,
    time::Instant,
};

use clap::Args;
use serde_json::{Value, json};
use sluice_baseline::{Baseline, Evaluation, Unit, UnitScore};
use sluice_engine::baseline::{LoadedBaseline, Unfed};
use sluice_event::rfc3339;
use sluice_rule::parse_duration;

use super::{
    read::{self, Labels},
    refuse,
};
use crate::cli::{
    Format,
    exit::{Exit, Failure},
    output::Output,
};

const DAY: i64 = 86_400_000;

/// Units in the labels are scored before they are learned; all others are learned and not counted.
///
/// Prints AUC, average precision, recall at 0.1 % and 1 % false positives, alerts at the baseline's
/// own alarm rate, bytes per entity and events per second.
#[derive(Debug, Args)]
pub(crate) struct Eval {
    /// The baseline: `FROM input`, with the columns of the events in `columns:`.
    #[arg(long, value_name = "FILE")]
    baseline: PathBuf,
    /// Events, one JSON object a line; gzip and zstd are seen by their content.
    #[arg(long, value_name = "FILE")]
    events: PathBuf,
    /// Lines of `entity,unit,label`; label 1 is malicious.
    #[arg(long, value_name = "FILE")]
    labels: PathBuf,
    /// Where to write one JSON object per labelled unit: entity, unit, score, surprise, confidence.
    #[arg(long, value_name = "FILE")]
    scores: Option<PathBuf>,
    /// How far behind the newest event an event still counts.
    #[arg(long, value_name = "DURATION", default_value = "10m")]
    lateness: String,
}

impl Eval {
    pub(crate) fn run(self, out: &mut Output) -> Result<Exit, Failure> {
        let loaded = self.load()?;
        let columns = loaded.file.columns.clone().ok_or_else(|| {
            Failure::argument(
                format!("the baseline reads `{}`, not the records of a file", loaded.from()),
                "SELECT .. FROM input, with `columns: {time: timestamp, ..}` in its front matter",
            )
        })?;
        let lateness = parse_duration(&self.lateness).ok_or_else(|| {
            Failure::argument(
                format!("`{}` is not a duration", self.lateness),
                "a whole number with a unit: `10m`",
            )
        })?;
        let labels = read::labels(&self.labels)?;
        if labels.is_empty() {
            let primary = format!("{}: no labels", self.labels.display());
            return Err(Failure::argument(primary, "lines of `entity,unit,label`"));
        }
        let mut run = Run {
            baseline: loaded.baseline(),
            units: Vec::new(),
            unfed: Unfed::default(),
            undecoded: 0,
            busy: 0.0,
        };
        run.baseline.judge_only(labels.keys().cloned());
        let mut newest = i64::MIN;
        read::events(&self.events, &columns, |chunk, decoded| {
            let start = now();
            let uid = |row: u32| {
                let record = decoded.record.get(row as usize).copied().unwrap_or(row);
                let offset = chunk.offsets.get(record as usize).copied().unwrap_or_default();
                u128::from(chunk.partition.0) << 64 | u128::from(offset)
            };
            let (time, unfed) = loaded.feed(&mut run.baseline, &decoded.wire, uid);
            run.unfed.no_time += unfed.no_time;
            run.unfed.failed += unfed.failed;
            run.undecoded += decoded.failed.len() as u64;
            newest = newest.max(time.unwrap_or(i64::MIN));
            run.units.extend(run.baseline.advance(newest.saturating_sub(lateness)));
            run.busy += (now() - start).as_secs_f64();
        })?;
        let start = now();
        run.units.extend(run.baseline.advance(i64::MAX));
        run.busy += (now() - start).as_secs_f64();
        if let Some(path) = &self.scores {
            let file = File::create(path).map_err(|e| {
                Failure::argument(format!("cannot write {}: {e}", path.display()), "another path")
            })?;
            write_scores(&mut BufWriter::new(file), &run.units, loaded.spec().unit)?;
        }
        run.report(&labels, out)
    }

    fn load(&self) -> Result<LoadedBaseline, Failure> {
        let path = self.baseline.display().to_string();
        let text = std::fs::read_to_string(&self.baseline).map_err(|e| {
            Failure::argument(format!("cannot read {path}: {e}"), "name a baseline file")
        })?;
        match LoadedBaseline::load(&path, None, &text) {
            Ok((loaded, _)) => Ok(loaded),
            Err(problems) => {
                refuse(problems)?;
                Err(Failure::argument(format!("{path} cannot be loaded"), "see above"))
            }
        }
    }
}

/// What came of the events.
struct Run {
    baseline: Baseline,
    units: Vec<UnitScore>,
    unfed: Unfed,
    undecoded: u64,
    /// Seconds in the SELECT and the model.
    busy: f64,
}

impl Run {
    fn report(&self, labels: &Labels, out: &mut Output) -> Result<Exit, Failure> {
        let is_positive = |unit: &UnitScore| {
            labels.get(&(unit.entity.clone(), unit.unit)).copied().unwrap_or_default()
        };
        let scores: Vec<(f64, bool)> =
            self.units.iter().map(|u| (u.score, is_positive(u))).collect();
        let figures = Evaluation::of(&scores);
        let alerts: Vec<&UnitScore> = self.units.iter().filter(|u| u.anomaly.is_some()).collect();
        let hits = alerts.iter().filter(|u| is_positive(u)).count();
        let days: BTreeSet<i64> = self.units.iter().map(|u| u.time.div_euclid(DAY)).collect();
        let entities: BTreeSet<&str> = self.units.iter().map(|u| &*u.entity).collect();
        let entity_days = (days.len() * entities.len()).max(1) as f64;
        let stats = self.baseline.stats();
        let rows = stats.rows.max(1) as f64;
        let summary = json!({
            "units": figures.units,
            "positives": figures.positives,
            "labels_without_events": labels.len() - figures.units.min(labels.len()),
            "auc": figures.auc,
            "average_precision": figures.average_precision,
            "tpr_at_fpr_0.001": figures.recall_at_001,
            "tpr_at_fpr_0.01": figures.recall_at_01,
            "alerts": alerts.len(),
            "alerts_on_positives": hits,
            "alerts_per_day_per_1000_entities": alerts.len() as f64 * 1000.0 / entity_days,
            "entities": stats.entities,
            "bytes_per_entity": self.baseline.entity_bytes().checked_div(stats.entities),
            "events": stats.rows,
            "events_per_second": (rows / self.busy.max(1e-9)).round(),
            "set_aside": {
                "undecoded": self.undecoded,
                "select_failed": self.unfed.failed,
                "no_time": self.unfed.no_time,
                "no_entity": stats.no_entity,
                "late": stats.late,
                "duplicate": stats.duplicates,
            },
            "samples_set_aside": {
                "not_a_number": stats.not_a_number,
                "not_an_offset": stats.not_an_offset,
            },
            "bounds_hit": {
                "entities_evicted": stats.evicted,
                "population_values_dropped": stats.values_dropped,
                "value_texts_dropped": stats.names_dropped,
                "rows_not_remembered": stats.unremembered,
            },
        });
        match out.format() {
            Format::Json => out.json(&summary)?,
            Format::Ndjson => out.json_line(&summary)?,
            Format::Table | Format::Md => table(&summary, out)?,
        }
        Ok(Exit::Done)
    }
}

/// A line per figure; groups of counters only where one is not 0.
fn table(summary: &Value, out: &mut Output) -> Result<(), Failure> {
    let mut rows = Vec::new();
    for (name, value) in summary.as_object().into_iter().flatten() {
        match value {
            Value::Object(group) => {
                let counted = group.iter().filter(|(_, count)| count.as_u64() != Some(0));
                rows.extend(
                    counted.map(|(key, count)| vec![format!("{name}.{key}"), count.to_string()]),
                );
            }
            Value::Number(number) if number.is_f64() => {
                rows.push(vec![name.clone(), format!("{:.4}", number.as_f64().unwrap_or(0.0))]);
            }
            Value::Null => rows.push(vec![name.clone(), "-".to_owned()]),
            other => rows.push(vec![name.clone(), other.to_string()]),
        }
    }
    out.table(&["figure", "value"], &rows)
}

fn write_scores(to: &mut impl Write, units: &[UnitScore], kind: Unit) -> Result<(), Failure> {
    for unit in units {
        let name = match kind {
            Unit::Events(_) => json!(unit.unit),
            Unit::Day | Unit::Session(_) => json!(rfc3339(unit.unit)),
        };
        let line = json!({
            "entity": &*unit.entity, "unit": name, "score": unit.score,
            "surprise": unit.surprise, "confidence": unit.confidence,
        });
        writeln!(to, "{line}").map_err(Failure::Write)?;
    }
    to.flush().map_err(Failure::Write)
}

#[expect(clippy::disallowed_methods, reason = "how long it took, for people")]
fn now() -> Instant {
    Instant::now()
}
