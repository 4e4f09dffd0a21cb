//! The generator's scenarios as a source that ends: one partition per kind of log, in order of time,
//! as fast as they are taken.

use std::{collections::VecDeque, sync::Arc};

use sluice_engine::{Delivery, EngineError, Partition, Progress, Source};
use sluice_event::PartitionId;
use sluice_generator::{Generator, Line, Scenario};
use sluice_ingest::{Chunk, SourceSpec};

/// The time the scenarios cover.
pub(super) const LENGTH_MS: i64 = 90 * 60 * 1_000;

/// Lines taken at once, in order of time; those of one source are handed over together.
const STEP_LINES: usize = 400;

/// Days of everyday Okta events before the scenarios: with them baselines know what is usual.
pub(super) const HISTORY_DAYS: i64 = 45;

/// The lines of the days before and of all scenarios, in order of time.
pub(super) fn lines(seed: u64, start: i64) -> Vec<Line> {
    let generator = Generator::new(seed, start);
    let mut lines = generator.history(HISTORY_DAYS);
    lines.extend(Scenario::ALL.into_iter().flat_map(|s| generator.scenario(s)));
    lines.sort_by_key(|line| line.time_ms);
    lines
}

pub(super) struct ScenarioSource {
    partitions: Vec<Partition>,
    names: Vec<String>,
    lines: Vec<Line>,
    next: usize,
    ready: VecDeque<Delivery>,
    ended: usize,
}

impl ScenarioSource {
    pub(super) fn new(seed: u64, start: i64, sources: &[Arc<SourceSpec>]) -> Self {
        let lines = lines(seed, start);
        let mut names: Vec<String> = lines.iter().map(|l| l.source.to_owned()).collect();
        names.sort();
        names.dedup();
        let partitions = names
            .iter()
            .enumerate()
            .filter_map(|(id, name)| {
                let source = sources.iter().position(|s| *s.source == **name)?;
                Some(Partition {
                    id: PartitionId(id as u32),
                    source: Some(source),
                    name: None,
                    tables: sources[source].tables(),
                    time: sources[source].time_settings,
                })
            })
            .collect();
        ScenarioSource { partitions, names, lines, next: 0, ready: VecDeque::new(), ended: 0 }
    }

    /// How many lines there are.
    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    /// What to call each partition.
    pub(super) fn names(&self) -> Vec<String> {
        self.names.clone()
    }
}

impl Source for ScenarioSource {
    fn partitions(&self) -> Vec<Partition> {
        self.partitions.clone()
    }

    fn next(&mut self, _progress: &Progress) -> Result<Option<Delivery>, EngineError> {
        if self.ready.is_empty() {
            self.step();
        }
        if let Some(delivery) = self.ready.pop_front() {
            return Ok(Some(delivery));
        }
        let ended = self.partitions.get(self.ended).map(|p| Delivery::End(p.id));
        self.ended += 1;
        Ok(ended)
    }
}

impl ScenarioSource {
    /// Takes the next lines.
    fn step(&mut self) {
        let end = (self.next + STEP_LINES).min(self.lines.len());
        let Some(lines) = self.lines.get(self.next..end).filter(|l| !l.is_empty()) else { return };
        for (id, name) in self.names.iter().enumerate() {
            let mine: Vec<&Line> = lines.iter().filter(|l| l.source == *name).collect();
            let Some(received) = mine.iter().map(|l| l.time_ms).max() else { continue };
            let texts: Vec<String> = mine.iter().map(|l| l.text.clone()).collect();
            let chunk = Chunk::of_lines(PartitionId(id as u32), &texts, received);
            self.ready.push_back(Delivery::Records(chunk));
        }
        self.next = end;
    }
}
