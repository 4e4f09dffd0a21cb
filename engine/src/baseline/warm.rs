//! Warm start: baselines learn what was before they go live, from a source that ends. The engine runs as
//! it does live, with the baselines alone; what they have learned is put where the node goes on from. Not
//! what is unusual in that time: its findings are none, so no risk, incident or signal comes of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use sluice_event::PartitionId;
use sluice_stream::{BaselineEntries, StateEntry};

use crate::{
    Backlog, Checkpoint, CheckpointSink, Commit, Content, Delivery, Engine, EngineConfig,
    EngineError, FindingFeed, FindingSink, Live, LoadedRule, Observer, Pace, Partition, Progress,
    RuleSet, RunOptions, Seq, Source, SourcePosition, StatsRegistry, Summary,
    durable::FindingStore, history::EventHistory,
};

/// What is to be learned, and where it is kept.
#[derive(Debug)]
pub struct WarmStart<'a> {
    /// The baselines, and the sources of the records.
    pub content: &'a Content,
    /// As the node runs: the secret of its virtual nodes is that of its directory.
    pub config: EngineConfig,
    /// Its store; no node runs on it.
    pub store: &'a FindingStore,
    /// Whether what a baseline has learned by now is forgotten. Otherwise one that knows anything is an
    /// error.
    pub replace: bool,
    /// Set from outside to end early: then nothing is kept.
    pub stop: Arc<AtomicBool>,
}

/// What a warm start did.
#[derive(Debug)]
pub struct Warmed {
    /// Of the run.
    pub summary: Summary,
    /// Per baseline: entities it knows now.
    pub entities: Vec<(Arc<str>, u64)>,
    /// Baselines that knew something and were to be left alone: then nothing was read.
    pub known: Vec<Arc<str>>,
    /// Whether it was stopped, and so kept nothing.
    pub is_stopped: bool,
}

/// Learns from `source` until its end and keeps what was learned. The last of its partitions is not
/// ended: a day that is open goes on with the events that come live, and those that came in it already
/// count once.
///
/// # Errors
/// If the source or the store fails; then the store is as before.
pub fn warm_start(
    warm: WarmStart<'_>,
    source: &mut dyn Source,
    observer: &dyn Observer,
) -> Result<Warmed, EngineError> {
    let rules: Vec<LoadedRule> =
        warm.content.baselines.iter().filter_map(|baseline| baseline.rule.clone()).collect();
    let places: Vec<(Arc<str>, BaselineEntries)> = rules
        .iter()
        .map(|rule| {
            let place = BaselineEntries::of(&rule.plan, &warm.config.vnode_secret);
            (rule.plan.rule.clone(), place)
        })
        .collect();
    let before = stored(warm.store, &places)?;
    if !before.is_empty() && !warm.replace {
        let known = places.iter().filter(|(_, p)| before.iter().any(|key| p.carries(key)));
        return Ok(Warmed {
            summary: Summary::default(),
            entities: Vec::new(),
            known: known.map(|(name, _)| name.clone()).collect(),
            is_stopped: false,
        });
    }
    let engine = Engine {
        rules: Arc::new(RuleSet::new(rules, |table| warm.content.compiler.schema(table))),
        sources: warm.content.sources.clone(),
        config: warm.config,
    };
    let ended = Arc::new(AtomicBool::new(false));
    let mut source = Unended::new(source, warm.stop.clone(), ended.clone());
    let mut sink = Learned::default();
    let options = RunOptions {
        stop: ended,
        pace: Pace::Final,
        live: Some(Live {
            // One, when all is read.
            checkpoint_every: i64::MAX,
            commit_every: 1_000,
            stats: Arc::new(StatsRegistry::default()),
            history: EventHistory::new(0),
        }),
        ..RunOptions::default()
    };
    let summary = engine.run(&mut source, &mut sink, observer, options)?;
    let is_stopped = warm.stop.load(Ordering::Relaxed);
    let mut warmed = Warmed { summary, entities: Vec::new(), known: Vec::new(), is_stopped };
    if is_stopped {
        return Ok(warmed);
    }
    let mut learned = std::mem::take(&mut *sink.0.lock().unwrap_or_else(PoisonError::into_inner));
    learned.retain(|key, _| places.iter().any(|(_, place)| place.carries(key)));
    for (name, place) in &places {
        let is_entity = |key: &&Vec<u8>| {
            place.model_key(key).and_then(sluice_baseline::Known::entity_name).is_some()
        };
        warmed.entities.push((name.clone(), learned.keys().filter(is_entity).count() as u64));
    }
    let gone = before.into_iter().filter(|key| !learned.contains_key(key));
    let mut state: Vec<StateEntry> = gone.map(|key| StateEntry { key, value: None }).collect();
    state.extend(
        learned
            .iter()
            .map(|(key, value)| StateEntry { key: key.clone(), value: Some(value.clone()) }),
    );
    warm.store.put_state(state)?;
    Ok(warmed)
}

/// The keys of what baselines have learned by now.
fn stored(
    store: &FindingStore,
    places: &[(Arc<str>, BaselineEntries)],
) -> Result<BTreeSet<Vec<u8>>, EngineError> {
    let state = store.state();
    let mut keys = BTreeSet::new();
    for (_, place) in places {
        for entry in state.entries(place.key(&[])) {
            keys.insert(entry?.key);
        }
    }
    Ok(keys)
}

/// A source whose last partition does not end; when it would, the run is stopped.
struct Unended<'a> {
    source: &'a mut dyn Source,
    /// Partitions that have not ended.
    left: BTreeSet<PartitionId>,
    stop: Arc<AtomicBool>,
    ended: Arc<AtomicBool>,
}

impl<'a> Unended<'a> {
    fn new(source: &'a mut dyn Source, stop: Arc<AtomicBool>, ended: Arc<AtomicBool>) -> Self {
        let left = source.partitions().into_iter().map(|partition| partition.id).collect();
        Unended { source, left, stop, ended }
    }
}

impl Source for Unended<'_> {
    fn partitions(&self) -> Vec<Partition> {
        self.source.partitions()
    }

    fn next(&mut self, progress: &Progress) -> Result<Option<Delivery>, EngineError> {
        if self.stop.load(Ordering::Relaxed) {
            self.ended.store(true, Ordering::Relaxed);
            return Ok(Some(Delivery::Nothing));
        }
        let next = self.source.next(progress)?;
        match next {
            Some(Delivery::End(partition)) if self.left.len() > 1 => {
                self.left.remove(&partition);
            }
            Some(Delivery::End(_)) | None => {
                self.ended.store(true, Ordering::Relaxed);
                return Ok(Some(Delivery::Nothing));
            }
            Some(_) => {}
        }
        Ok(next)
    }

    fn backlog(&self) -> Backlog {
        self.source.backlog()
    }

    fn at_boundary(&self) -> bool {
        self.ended.load(Ordering::Relaxed) || self.source.at_boundary()
    }

    fn position(&self) -> SourcePosition {
        self.source.position()
    }
}

/// The state of the run; its findings go nowhere.
#[derive(Default)]
struct Learned(Arc<Mutex<BTreeMap<Vec<u8>, Vec<u8>>>>);

impl FindingSink for Learned {
    fn commit(&mut self, _: Commit) -> Result<Seq, EngineError> {
        Ok(Seq(0))
    }

    /// No rule runs.
    fn feed(&mut self) -> Option<Box<dyn FindingFeed>> {
        None
    }

    fn checkpoints(&mut self) -> Option<Box<dyn CheckpointSink>> {
        Some(Box::new(Learned(self.0.clone())))
    }
}

impl CheckpointSink for Learned {
    fn keep(&mut self, checkpoint: Checkpoint) -> Result<(), EngineError> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for StateEntry { key, value } in checkpoint.state {
            match value {
                Some(value) => kept.insert(key, value),
                None => kept.remove(&key),
            };
        }
        Ok(())
    }
}
