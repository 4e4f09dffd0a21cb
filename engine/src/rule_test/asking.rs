//! Rules that ask a baseline, in batch: the events of each day are given to the model by themselves, and
//! before them DataFusion judges the rule's rows of the day by what is known then.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use arrow::{
    array::{AsArray, UInt32Array},
    compute::{cast, take_record_batch},
    datatypes::{DataType, TimeUnit, TimestampMillisecondType},
    record_batch::RecordBatch,
};
use serde_json::{Map, Value};
use sluice_baseline::Baseline;
use sluice_event::TableName;
use sluice_finding::FindingId;
use sluice_sql::{AskedValue, BaselineRows, BaselineTable, KnownBaselines};
use sluice_stream::Stage;

use super::Bench;
use crate::{
    Content, LoadedRule,
    baseline::{LoadedBaseline, sample, table},
    replay::Replay,
};

const DAY: i64 = 86_400_000;

/// The baseline that a rule asks.
pub(super) fn asked<'a>(content: &'a Content, loaded: &LoadedRule) -> Option<&'a LoadedBaseline> {
    let Stage::Surprise(stage) = &loaded.plan.stage else { return None };
    content.baselines.iter().find(|baseline| baseline.file.id.as_str() == &*stage.baseline)
}

/// The fields of what a rule finds, by finding id.
pub(super) fn batch(
    bench: &Bench<'_>,
    asked: &LoadedBaseline,
    replay: &Replay,
    order: &[usize],
) -> Result<BTreeMap<FindingId, Map<String, Value>>, String> {
    let running = asked.rule.as_ref().ok_or("the baseline reads the records of a file")?;
    let learned = Bench::tables_of(running, replay, order)?.remove(&TableName::new(asked.from()));
    let mut learned = by_day(&learned.unwrap_or_default())?;
    let mut asking: BTreeMap<i64, BTreeMap<TableName, Vec<RecordBatch>>> = BTreeMap::new();
    for (table, batches) in bench.batch_tables(replay, order)? {
        for (day, batches) in by_day(&batches)? {
            asking.entry(day).or_default().insert(table.clone(), batches);
        }
    }
    let days: BTreeSet<i64> = learned.keys().chain(asking.keys()).copied().collect();
    let mut baseline = asked.baseline();
    let mut found = BTreeMap::new();
    for day in days {
        baseline.begin(day);
        if let Some(tables) = asking.get(&day) {
            let tables_of = vec![table(baseline.spec())];
            let known = Arc::new(OfDay { tables: tables_of, baseline: baseline.clone() });
            let batch = bench.compiler.batch_of_day(bench.rule(), tables, known);
            let batch =
                batch.map_err(|e| format!("batch form of {}: {e}", bench.loaded.plan.rule))?;
            let findings = Bench::findings(bench.loaded, &batch);
            found.extend(findings.into_iter().map(|finding| (finding.id, finding.fields)));
        }
        for rows in learned.remove(&day).unwrap_or_default() {
            let uids = rows.column_by_name("event_uid").ok_or("rows without `event_uid`")?;
            let uids = cast(uids, &DataType::Utf8).map_err(|e| e.to_string())?;
            let uids = uids.as_string::<i32>();
            let uid = |row: u32| u128::from_str_radix(uids.value(row as usize), 16);
            asked.feed(&mut baseline, &rows, |row| uid(row).unwrap_or_default());
        }
    }
    Ok(found)
}

/// Rows by the day of their time.
fn by_day(batches: &[RecordBatch]) -> Result<BTreeMap<i64, Vec<RecordBatch>>, String> {
    let mut days: BTreeMap<i64, Vec<RecordBatch>> = BTreeMap::new();
    for batch in batches {
        let times = batch.column_by_name("time").ok_or("rows without `time`")?;
        let millis = DataType::Timestamp(TimeUnit::Millisecond, None);
        let times = cast(times, &millis).map_err(|e| e.to_string())?;
        let mut rows: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
        for (row, time) in (0..).zip(times.as_primitive::<TimestampMillisecondType>().values()) {
            rows.entry(time.div_euclid(DAY)).or_default().push(row);
        }
        for (day, rows) in rows {
            let part = take_record_batch(batch, &UInt32Array::from(rows));
            days.entry(day).or_default().push(part.map_err(|e| e.to_string())?);
        }
    }
    Ok(days)
}

/// What is known about a day.
#[derive(Debug)]
struct OfDay {
    tables: Vec<BaselineTable>,
    baseline: Baseline,
}

impl KnownBaselines for OfDay {
    fn baselines(&self) -> &[BaselineTable] {
        &self.tables
    }

    fn rows(&self, _: &str, _: Option<&[String]>) -> Result<BaselineRows, String> {
        Ok(Box::new(std::iter::empty()))
    }

    fn surprise(
        &self,
        _: &str,
        feature: &str,
        entity: &str,
        value: &AskedValue<'_>,
    ) -> Result<Option<f64>, String> {
        let (time, sample) = sample(value);
        Ok(self.baseline.surprise(entity, feature, time, sample))
    }
}
