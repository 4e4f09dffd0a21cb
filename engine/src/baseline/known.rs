//! What baselines know, for hunts: as of the last checkpoint, read when it is asked. Nothing running is
//! asked, so that a hunt delays no event.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use arrow::{
    array::{ArrayRef, Float64Builder, StringBuilder, TimestampMillisecondBuilder},
    record_batch::RecordBatch,
};
use sluice_baseline::{Feature, FeatureKind, Known, KnownEntity, KnownValue, Sample, Spec, Unit};
use sluice_sql::{
    AskedKind, AskedValue, BaselineRows, BaselineTable, Baselines, KnownBaselines, baseline_columns,
};
use sluice_stream::{BaselineEntries, Stage};

use super::LoadedBaseline;
use crate::{
    Content,
    durable::{FindingStore, StateSnapshot},
};

/// Rows of a batch, about: an entity's are not divided.
const BATCH_ROWS: usize = 8_192;
/// Entities that a hunt keeps read: what it asks about often comes in one piece.
const ENTITIES_MAX: usize = 4_096;

/// The baselines of a node that runs.
#[derive(Debug)]
pub struct StoredBaselines {
    all: Arc<Vec<Declared>>,
    tables: Arc<Vec<BaselineTable>>,
    store: FindingStore,
}

/// One baseline, and where its state is.
#[derive(Clone, Debug)]
struct Declared {
    name: String,
    spec: Spec,
    entries: BaselineEntries,
}

impl StoredBaselines {
    /// Those of the content that a store holds the state of.
    pub fn new(content: &Content, store: FindingStore, secret: &[u8; 16]) -> Self {
        let mut all: Vec<Declared> = Vec::new();
        for rule in content.baselines.iter().filter_map(|baseline| baseline.rule.as_ref()) {
            let Stage::Baseline(stage) = &rule.plan.stage else { continue };
            let id = &*stage.spec.id;
            all.push(Declared {
                name: name(id).to_owned(),
                spec: stage.spec.clone(),
                entries: BaselineEntries::of(&rule.plan, secret),
            });
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        let tables = Arc::new(all.iter().map(|declared| table(&declared.spec)).collect());
        StoredBaselines { all: Arc::new(all), tables, store }
    }
}

/// What may be asked of the baselines that run.
pub(crate) fn tables(baselines: &[LoadedBaseline]) -> Vec<BaselineTable> {
    let running = baselines.iter().filter(|baseline| baseline.rule.is_some());
    running.map(|baseline| table(&baseline.spec())).collect()
}

/// What may be asked of a baseline.
pub(crate) fn table(spec: &Spec) -> BaselineTable {
    let feature = |feature: &Feature| (feature.name.to_string(), asked(&feature.kind));
    BaselineTable {
        name: name(&spec.id).to_owned(),
        id: spec.id.to_string(),
        by_day: spec.unit == Unit::Day,
        features: spec.features.iter().map(feature).collect(),
    }
}

fn name(id: &str) -> &str {
    id.strip_prefix("baselines.").unwrap_or(id)
}

fn asked(kind: &FeatureKind) -> AskedKind {
    match kind {
        FeatureKind::Categorical | FeatureKind::Edge => AskedKind::Text,
        FeatureKind::Numeric => AskedKind::Number,
        FeatureKind::TimeOfWeek => AskedKind::Time,
        FeatureKind::Count(_) | FeatureKind::Distinct(_) => AskedKind::Counted,
    }
}

impl Baselines for StoredBaselines {
    fn snapshot(&self) -> Result<Arc<dyn KnownBaselines>, String> {
        Ok(Arc::new(AsOf {
            all: self.all.clone(),
            tables: self.tables.clone(),
            state: self.store.state(),
            read: Mutex::default(),
        }))
    }
}

/// The baselines as of a checkpoint.
#[derive(Debug)]
struct AsOf {
    all: Arc<Vec<Declared>>,
    tables: Arc<Vec<BaselineTable>>,
    state: StateSnapshot,
    /// What was read so far.
    read: Mutex<BTreeMap<String, Read>>,
}

/// A baseline that was read: `None` if there is no state of it.
#[derive(Clone, Debug)]
struct Read {
    known: Option<Arc<Known>>,
    entities: BTreeMap<String, Arc<KnownEntity>>,
}

impl AsOf {
    fn declared(&self, name: &str) -> Result<&Declared, String> {
        let found = self.all.iter().find(|declared| declared.name == name);
        found.ok_or_else(|| format!("no baseline `{name}`"))
    }

    /// A baseline, read once.
    fn known(&self, declared: &Declared) -> Result<Option<Arc<Known>>, String> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(read) = read.get(&declared.name) {
            return Ok(read.known.clone());
        }
        let known = read_known(&self.state, declared)?.map(Arc::new);
        let of = Read { known: known.clone(), entities: BTreeMap::new() };
        read.insert(declared.name.clone(), of);
        Ok(known)
    }

    fn entity(
        &self,
        declared: &Declared,
        known: &Known,
        name: &str,
    ) -> Result<Arc<KnownEntity>, String> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let entities = read.get_mut(&declared.name).map(|read| &mut read.entities);
        if let Some(entity) = entities.as_ref().and_then(|all| all.get(name)) {
            return Ok(entity.clone());
        }
        let key = Known::entity_key(name);
        let entity = match value(&self.state, declared, &key)? {
            Some(bytes) => known.entity(&bytes).map_err(|e| unreadable(declared, &e))?,
            None => known.stranger(),
        };
        let entity = Arc::new(entity);
        if let Some(entities) = entities {
            if entities.len() >= ENTITIES_MAX {
                entities.clear();
            }
            entities.insert(name.to_owned(), entity.clone());
        }
        Ok(entity)
    }
}

fn unreadable(declared: &Declared, reason: &dyn std::fmt::Display) -> String {
    format!("state of baseline `{}`: {reason}", declared.name)
}

/// The value of an entry of a baseline.
fn value(
    state: &StateSnapshot,
    declared: &Declared,
    key: &[u8],
) -> Result<Option<Vec<u8>>, String> {
    let stored = state.value(&declared.entries.key(key)).map_err(|e| unreadable(declared, &e))?;
    Ok(stored.and_then(|stored| BaselineEntries::value(&stored)))
}

fn read_known(state: &StateSnapshot, declared: &Declared) -> Result<Option<Known>, String> {
    let mut failed = None;
    let mut get = |key: &[u8]| match value(state, declared, key) {
        Ok(value) => value,
        Err(reason) => {
            failed = Some(reason);
            None
        }
    };
    let known = Known::read(&declared.spec, &mut get);
    if let Some(reason) = failed {
        return Err(reason);
    }
    known.map_err(|e| unreadable(declared, &e))
}

impl KnownBaselines for AsOf {
    fn baselines(&self) -> &[BaselineTable] {
        &self.tables
    }

    fn rows(&self, name: &str, entities: Option<&[String]>) -> Result<BaselineRows, String> {
        let declared = self.declared(name)?.clone();
        let Some(known) = self.known(&declared)? else {
            return Ok(Box::new(std::iter::empty()));
        };
        let state = self.state.clone();
        let found: Box<dyn Iterator<Item = Result<(String, KnownEntity), String>> + Send> =
            match entities {
                Some(entities) => {
                    let mut names = entities.to_vec();
                    names.sort_unstable();
                    names.dedup();
                    let (known, state, declared) = (known.clone(), state.clone(), declared.clone());
                    Box::new(names.into_iter().filter_map(move |name| {
                        let bytes = value(&state, &declared, &Known::entity_key(&name));
                        let entity = bytes.transpose()?.and_then(|bytes| {
                            known.entity(&bytes).map_err(|e| unreadable(&declared, &e))
                        });
                        Some(entity.map(|entity| (name, entity)))
                    }))
                }
                None => {
                    let (known, declared) = (known.clone(), declared.clone());
                    let all = state.entries(declared.entries.key(&Known::entity_key("")));
                    Box::new(all.filter_map(move |entry| {
                        let entry = match entry {
                            Ok(entry) => entry,
                            Err(error) => return Some(Err(unreadable(&declared, &error))),
                        };
                        let key = declared.entries.model_key(&entry.key)?;
                        let name = Known::entity_name(key)?.to_owned();
                        let bytes = BaselineEntries::value(&entry.value?)?;
                        let entity = known.entity(&bytes).map_err(|e| unreadable(&declared, &e));
                        Some(entity.map(|entity| (name, entity)))
                    }))
                }
            };
        Ok(Box::new(Batches { found, known, state, declared, ended: false }))
    }

    fn surprise(
        &self,
        name: &str,
        feature: &str,
        entity: &str,
        value: &AskedValue<'_>,
    ) -> Result<Option<f64>, String> {
        let declared = self.declared(name)?;
        let Some(known) = self.known(declared)? else { return Ok(None) };
        let entity = self.entity(declared, &known, entity)?;
        let (time, sample) = sample(value);
        Ok(known.surprise(&entity, feature, time, sample))
    }
}

/// A value as the model reads it, with its time.
pub(crate) fn sample<'a>(value: &AskedValue<'a>) -> (i64, Sample<'a>) {
    match *value {
        AskedValue::Text(text) => (0, Sample::Text(text)),
        AskedValue::Number(number) => (0, Sample::Number(number)),
        AskedValue::Time(time) => (time, Sample::Missing),
    }
}

/// Entities as batches of their rows.
struct Batches {
    found: Box<dyn Iterator<Item = Result<(String, KnownEntity), String>> + Send>,
    known: Arc<Known>,
    state: StateSnapshot,
    declared: Declared,
    ended: bool,
}

impl Iterator for Batches {
    type Item = Result<RecordBatch, String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let mut rows = Rows::default();
        while rows.count < BATCH_ROWS {
            match self.found.next() {
                Some(Ok((name, entity))) => {
                    let (state, declared) = (&self.state, &self.declared);
                    let mut text = |hash: u64| {
                        let bytes =
                            value(state, declared, &Known::text_key(hash)).ok().flatten()?;
                        Known::text(&bytes)
                    };
                    let values = self.known.values(&entity, &mut text);
                    rows.add(&name, &entity, &values);
                }
                Some(Err(reason)) => {
                    self.ended = true;
                    return Some(Err(reason));
                }
                None => {
                    self.ended = true;
                    break;
                }
            }
        }
        (rows.count > 0).then(|| rows.finish())
    }
}

/// Rows of `baseline.<name>`.
#[derive(Default)]
struct Rows {
    count: usize,
    texts: [StringBuilder; 4],
    numbers: [Float64Builder; 5],
    last_seen: TimestampMillisecondBuilder,
}

impl Rows {
    fn add(&mut self, name: &str, entity: &KnownEntity, values: &[KnownValue]) {
        let last = entity.last();
        for value in values {
            self.count += 1;
            let [names, features, texts, states] = &mut self.texts;
            names.append_value(name);
            features.append_value(&value.feature);
            texts.append_value(&value.value);
            states.append_value(entity.state().name());
            let [counts, shares, peers, all, confidences] = &mut self.numbers;
            counts.append_value(value.count);
            shares.append_option(value.share);
            peers.append_option(value.peer_share);
            all.append_option(value.org_share);
            confidences.append_value(value.confidence);
            self.last_seen.append_option((last > i64::MIN).then_some(last));
        }
    }

    fn finish(self) -> Result<RecordBatch, String> {
        let [mut names, mut features, mut texts, mut states] = self.texts;
        let [mut counts, mut shares, mut peers, mut all, mut confidences] = self.numbers;
        let mut last_seen = self.last_seen.with_timezone("UTC");
        let columns: Vec<ArrayRef> = vec![
            Arc::new(names.finish()),
            Arc::new(features.finish()),
            Arc::new(texts.finish()),
            Arc::new(counts.finish()),
            Arc::new(shares.finish()),
            Arc::new(peers.finish()),
            Arc::new(all.finish()),
            Arc::new(last_seen.finish()),
            Arc::new(states.finish()),
            Arc::new(confidences.finish()),
        ];
        RecordBatch::try_new(baseline_columns(), columns).map_err(|e| e.to_string())
    }
}
