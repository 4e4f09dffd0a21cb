//! What was found as an input of the same run: rules over `findings` read it. Follows the sink by
//! sequence, beside the source of the run, and never holds anything back.
//!
//! Each layer of rules over findings has a partition of its own, with the findings of the layers below
//! it. A finding is a row once it is confirmed, when nothing can change it any more; so it is one row,
//! whatever it looked like before. How far event time of such a partition has come is not taken from
//! its rows, which come in any order of time: it is how far the layers below are final, less the time by
//! which a finding of them may lag behind. The position is the sequence up to which it has been read.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Duration,
};

use sluice_event::{EventBatch, Origin, PartitionId, Records, TableName, TimeSettings};
use sluice_finding::Finding;
use sluice_ingest::live::Place;

use crate::{
    Backlog, Checkpoint, Delivery, EngineError, FindingFeed, Partition, Progress, RuleSet, Seq,
    Source, SourcePosition, finding_rows,
};

/// Findings read at once.
const PAGE: usize = 500;
/// Milliseconds of event time between two reports of how far it has come.
const STEP: i64 = 1_000;
/// How long the end of the input waits for what is on its way, before it looks again.
const PATIENCE: Duration = Duration::from_millis(20);
/// Partitions of layers are numbered down from the last number there is.
const LAYERS_MAX: u32 = 1_000;

/// The partition of a layer of rules over findings, from 1.
pub(crate) fn partition(layer: u32) -> PartitionId {
    PartitionId(u32::MAX - layer.min(LAYERS_MAX))
}

/// The layer whose partition this is; 0 of partitions of events.
pub(crate) fn layer(partition: PartitionId) -> u32 {
    let layer = u32::MAX - partition.0;
    if layer <= LAYERS_MAX { layer } else { 0 }
}

/// How far each layer is final, as the committer says it: every finding that is confirmed by then is in
/// the sink.
#[derive(Debug)]
pub(crate) struct Settled {
    state: Mutex<Through>,
    changed: Condvar,
}

/// See [`Settled`].
#[derive(Clone, Debug)]
pub(crate) struct Through {
    /// Per layer: event time, milliseconds; `i64::MAX` when its input has ended.
    pub closed: Vec<i64>,
    /// The last change of the sink by then.
    pub seq: Seq,
}

impl Settled {
    pub(crate) fn new(depth: u32) -> Settled {
        let through = Through { closed: vec![i64::MIN; depth as usize + 1], seq: Seq(0) };
        Settled { state: Mutex::new(through), changed: Condvar::new() }
    }

    pub(crate) fn say(&self, closed: &[i64], seq: Seq) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for (known, said) in state.closed.iter_mut().zip(closed) {
            *known = (*known).max(*said);
        }
        state.seq = state.seq.max(seq);
        self.changed.notify_all();
    }

    fn now(&self) -> Through {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn wait(&self) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout(state, PATIENCE);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

/// A source and what is found in it.
pub(crate) struct FindingsSource<'a> {
    inner: &'a mut dyn Source,
    feed: Box<dyn FindingFeed>,
    settled: Arc<Settled>,
    rules: Arc<RuleSet>,
    tenant: Arc<str>,
    /// Read up to here.
    at: Seq,
    layers: Vec<Layer>,
    queue: VecDeque<Delivery>,
    /// Partitions of the source that have not ended.
    open: BTreeSet<PartitionId>,
}

struct Layer {
    number: u32,
    /// How far event time has come.
    seen: i64,
    ended: bool,
}

impl<'a> FindingsSource<'a> {
    /// Findings of `rules`, going on where a checkpoint stands: a new run begins with what its sink
    /// holds; one that read none before begins with what the checkpoint does not cover.
    pub(crate) fn new(
        inner: &'a mut dyn Source,
        feed: Box<dyn FindingFeed>,
        settled: Arc<Settled>,
        rules: Arc<RuleSet>,
        tenant: &str,
        resume: &Checkpoint,
    ) -> Self {
        let at = resume.positions.get(&place()).copied().map_or(resume.seq, Seq);
        let layers = (1..=rules.layers().depth())
            .map(|number| {
                let seen = resume.seen.get(&partition(number)).copied().unwrap_or(i64::MIN);
                Layer { number, seen, ended: false }
            })
            .collect();
        let open = inner.partitions().iter().map(|p| p.id).collect();
        let (tenant, queue) = (tenant.into(), VecDeque::new());
        FindingsSource { inner, feed, settled, rules, tenant, at, layers, queue, open }
    }

    /// Puts what has been found since, and how far that is complete, into the queue.
    fn look(&mut self) -> Result<(), EngineError> {
        let through = self.settled.now();
        if self.at < through.seq {
            let (findings, at) = self.feed.after(self.at, PAGE)?;
            let numbers: Vec<u32> = self.layers.iter().map(|layer| layer.number).collect();
            for number in numbers {
                let below = |f: &&Finding| self.rules.layers().layer(&f.rule_id) < number;
                let rows: Vec<&Finding> =
                    findings.iter().filter(|f| is_read(f)).filter(below).collect();
                if !rows.is_empty() {
                    let batch = self.batch(number, &rows)?;
                    self.queue.push_back(Delivery::Rows(batch));
                }
            }
            self.at = at;
        }
        if self.at < through.seq {
            return Ok(());
        }
        let rules = self.rules.clone();
        for layer in self.layers.iter_mut().filter(|layer| !layer.ended) {
            let below = (0..layer.number).zip(&through.closed);
            let least = below.map(|(below, closed)| match *closed {
                i64::MAX => i64::MAX,
                closed => closed.saturating_sub(rules.layers().hold(below)),
            });
            let complete = least.min().unwrap_or(i64::MIN);
            let partition = partition(layer.number);
            if complete == i64::MAX {
                layer.ended = true;
                self.queue.push_back(Delivery::End(partition));
            } else if complete >= layer.seen.saturating_add(STEP) {
                layer.seen = complete;
                self.queue.push_back(Delivery::Seen(partition, complete));
            }
        }
        Ok(())
    }

    fn batch(&self, layer: u32, findings: &[&Finding]) -> Result<EventBatch, EngineError> {
        let columns = finding_rows::rows(&self.tenant, findings).map_err(|error| {
            EngineError::Input { input: finding_rows::SOURCE.to_owned(), source: Box::new(error) }
        })?;
        let (mut bytes, mut spans) = (Vec::new(), Vec::new());
        for finding in findings {
            let start = bytes.len();
            bytes.extend_from_slice(finding.id.to_string().as_bytes());
            spans.push(start..bytes.len());
        }
        // A finding of a row that was too late for what keeps state is too late here as well, however
        // far this has come. All others are in time.
        let late = |f: &&Finding| f.late && self.rules.is_stateless(&f.rule_id);
        let seen_before = findings.iter().map(|f| if late(f) { i64::MAX } else { i64::MIN });
        Ok(EventBatch {
            table: TableName::findings(layer),
            columns,
            origin: Arc::new(Origin {
                source: finding_rows::SOURCE.into(),
                tenant: self.tenant.clone(),
                partition: partition(layer),
                time: TIME,
            }),
            records: Records::new(bytes.into(), spans),
            record: (0..findings.len() as u32).collect(),
            sub_index: vec![0; findings.len()],
            seen_before: seen_before.collect(),
        })
    }
}

/// W and F are one: what comes is final.
const TIME: TimeSettings = TimeSettings { delay: 0, lateness: 0, max_skew: 0, idle: 0 };

/// The place of the position: how far findings have been read. No input can have this name.
fn place() -> Place {
    Place { input: "sluice.findings".into(), part: "".into() }
}

/// What the service says of itself is read by people.
fn is_read(finding: &Finding) -> bool {
    finding.state == sluice_finding::FindingState::Confirmed
        && !finding.rule_id.starts_with("sluice.")
}

impl Source for FindingsSource<'_> {
    fn partitions(&self) -> Vec<Partition> {
        let mut partitions = self.inner.partitions();
        partitions.extend(self.layers.iter().map(|layer| Partition {
            id: partition(layer.number),
            source: None,
            name: None,
            tables: vec![TableName::findings(layer.number)],
            time: TIME,
        }));
        partitions
    }

    fn next(&mut self, progress: &Progress) -> Result<Option<Delivery>, EngineError> {
        if self.queue.is_empty() && self.inner.at_boundary() {
            self.look()?;
        }
        if let Some(delivery) = self.queue.pop_front() {
            return Ok(Some(delivery));
        }
        if let Some(delivery) = self.inner.next(progress)? {
            match &delivery {
                Delivery::End(partition) => {
                    self.open.remove(partition);
                }
                Delivery::Join(partition) => {
                    self.open.insert(partition.id);
                }
                Delivery::Records(_)
                | Delivery::Rows(_)
                | Delivery::Idle(_)
                | Delivery::Seen(..)
                | Delivery::Nothing => {}
            }
            return Ok(Some(delivery));
        }
        // An input that stops without an end is not waited for: what is found in it is read next time.
        if !self.open.is_empty() || self.layers.iter().all(|layer| layer.ended) {
            return Ok(None);
        }
        self.settled.wait();
        Ok(Some(Delivery::Nothing))
    }

    fn at_boundary(&self) -> bool {
        self.queue.is_empty() && self.inner.at_boundary()
    }

    fn backlog(&self) -> Backlog {
        self.inner.backlog()
    }

    fn position(&self) -> SourcePosition {
        let mut position = self.inner.position();
        position.positions.insert(place(), self.at.0);
        position
    }
}
