//! Checkpoints beside the path of findings: while one is being kept, however long that takes, findings
//! are committed.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use sluice_engine::{
    Checkpoint, CheckpointSink, Commit, Content, Delivery, Engine, EngineConfig, EngineError,
    FindingFeed, FindingSink, History, Live, MemorySink, Partition, Progress, RunOptions, Seq,
    Source, StatsRegistry, Unobserved, history::EventHistory,
};
use sluice_event::PartitionId;
use sluice_generator::{Generator, Scenario};
use sluice_ingest::Chunk;

const SOURCE: &str = "okta.system";

/// What the sink and the source of the test share.
#[derive(Default)]
struct Shared {
    /// Findings committed.
    found: AtomicU64,
    /// Checkpoints that have come to be kept.
    keeping: AtomicU64,
    /// Whether they may be kept.
    released: AtomicBool,
}

struct Sink {
    findings: MemorySink,
    shared: Arc<Shared>,
}

impl FindingSink for Sink {
    fn commit(&mut self, commit: Commit) -> Result<Seq, EngineError> {
        let seq = self.findings.commit(commit)?;
        self.shared.found.store(self.findings.findings().len() as u64, Ordering::SeqCst);
        Ok(seq)
    }

    fn feed(&mut self) -> Option<Box<dyn FindingFeed>> {
        self.findings.feed()
    }

    fn checkpoints(&mut self) -> Option<Box<dyn CheckpointSink>> {
        Some(Box::new(SlowCheckpoints(self.shared.clone())))
    }
}

struct SlowCheckpoints(Arc<Shared>);

impl CheckpointSink for SlowCheckpoints {
    fn keep(&mut self, _: Checkpoint) -> Result<(), EngineError> {
        self.0.keeping.fetch_add(1, Ordering::SeqCst);
        while !self.0.released.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

/// Some records; the others once a checkpoint is being kept; the end once they are found.
struct Halves {
    partition: Partition,
    first: VecDeque<Delivery>,
    second: VecDeque<Delivery>,
    shared: Arc<Shared>,
    /// Findings before the second half.
    before: Option<u64>,
    patience: u32,
}

impl Source for Halves {
    fn partitions(&self) -> Vec<Partition> {
        vec![self.partition.clone()]
    }

    fn next(&mut self, _: &Progress) -> Result<Option<Delivery>, EngineError> {
        if let Some(delivery) = self.first.pop_front() {
            return Ok(Some(delivery));
        }
        let found = self.shared.found.load(Ordering::SeqCst);
        match self.before {
            None if self.shared.keeping.load(Ordering::SeqCst) > 0 => self.before = Some(found),
            Some(_) if !self.second.is_empty() => return Ok(self.second.pop_front()),
            Some(before) if found > before => {
                self.shared.released.store(true, Ordering::SeqCst);
                return Ok(None);
            }
            None | Some(_) => {}
        }
        self.patience -= 1;
        assert!(self.patience > 0, "{:?} findings before the checkpoint, {found} now", self.before);
        thread::sleep(Duration::from_millis(1));
        Ok(Some(Delivery::Nothing))
    }
}

#[test]
fn findings_are_committed_while_a_checkpoint_is_being_kept() {
    let content = Content::load(&["builtin".into()], &["builtin".into()]).unwrap();
    let index = content.sources.iter().position(|s| *s.source == *SOURCE).unwrap();
    let spec = &content.sources[index];
    let generator = Generator::new(1, 1_767_225_600_000);
    let mut lines: Vec<_> = Scenario::ALL.into_iter().flat_map(|s| generator.scenario(s)).collect();
    lines.retain(|line| line.source == SOURCE);
    lines.sort_by_key(|line| line.time_ms);
    assert!(lines.len() > 200, "{}", lines.len());
    let id = PartitionId(0);
    let mut deliveries: VecDeque<Delivery> = lines
        .chunks(50)
        .map(|lines| {
            let texts: Vec<String> = lines.iter().map(|line| line.text.clone()).collect();
            let mut chunk = Chunk::of_lines(id, &texts, 0);
            chunk.received_each = lines.iter().map(|line| line.time_ms).collect();
            Delivery::Records(chunk)
        })
        .collect();
    let second = deliveries.split_off(1);
    let shared = Arc::<Shared>::default();
    let mut source = Halves {
        partition: Partition {
            id,
            source: Some(index),
            name: None,
            tables: spec.tables(),
            time: spec.time_settings,
        },
        first: deliveries,
        second,
        shared: shared.clone(),
        before: None,
        patience: 60_000,
    };
    let engine = Engine {
        rules: Arc::new(content.rule_set()),
        sources: content.sources.clone(),
        config: EngineConfig { history: History::None, ..EngineConfig::default() },
    };
    let mut sink = Sink { findings: MemorySink::default(), shared: shared.clone() };
    let live = Live {
        checkpoint_every: 0,
        commit_every: 5,
        stats: Arc::<StatsRegistry>::default(),
        history: EventHistory::new(1 << 20),
    };
    let options = RunOptions { live: Some(live), ..RunOptions::default() };
    engine.run(&mut source, &mut sink, &Unobserved, options).unwrap();
    let before = source.before.unwrap();
    assert!(shared.found.load(Ordering::SeqCst) > before, "{before}");
    assert_eq!(shared.keeping.load(Ordering::SeqCst), 1);
}
