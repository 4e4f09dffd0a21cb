//! The generator's scenarios as a source: one partition per kind of log, in order of time, at a
//! pace or as fast as they are taken.

use std::{sync::Arc, thread, time::Duration};

use sluice_engine::{Delivery, EngineError, Partition, Progress, Source};
use sluice_event::PartitionId;
use sluice_generator::{Generator, Line, Scenario};
use sluice_ingest::{Chunk, SourceSpec};

/// The time the scenarios cover.
pub(super) const LENGTH_MS: i64 = 90 * 60 * 1_000;

/// Lines handed over at once; small, so that findings come while the replay runs.
const CHUNK_LINES: usize = 100;

pub(super) struct ScenarioSource {
    partitions: Vec<Partition>,
    names: Vec<String>,
    lines: Vec<Line>,
    next: usize,
    ended: usize,
    pace: Option<u32>,
}

impl ScenarioSource {
    pub(super) fn new(
        seed: u64,
        start: i64,
        sources: &[Arc<SourceSpec>],
        pace: Option<u32>,
    ) -> Self {
        let generator = Generator::new(seed, start);
        let mut lines: Vec<Line> =
            Scenario::ALL.into_iter().flat_map(|s| generator.scenario(s)).collect();
        lines.sort_by_key(|line| line.time_ms);
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
                    tables: sources[source].tables(),
                    time: sources[source].time_settings,
                })
            })
            .collect();
        ScenarioSource { partitions, names, lines, next: 0, ended: 0, pace }
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
        let Some(first) = self.lines.get(self.next) else {
            let ended = self.partitions.get(self.ended).map(|p| Delivery::End(p.id));
            self.ended += 1;
            return Ok(ended);
        };
        let run = self.lines[self.next..]
            .iter()
            .take(CHUNK_LINES)
            .take_while(|line| line.source == first.source)
            .count();
        let chunk = &self.lines[self.next..self.next + run];
        if let (Some(pace), Some(last)) = (self.pace, chunk.last()) {
            let before = self.next.checked_sub(1).and_then(|i| self.lines.get(i));
            let passed = before.map_or(0, |b| last.time_ms - b.time_ms).max(0) as u64;
            thread::sleep(Duration::from_millis(passed / u64::from(pace)));
        }
        let partition = self.names.iter().position(|n| *n == first.source).unwrap_or_default();
        let received = chunk.iter().map(|l| l.time_ms).max().unwrap_or_default();
        let texts: Vec<String> = chunk.iter().map(|l| l.text.clone()).collect();
        self.next += run;
        Ok(Some(Delivery::Records(Chunk::of_lines(
            PartitionId(partition as u32),
            &texts,
            received,
        ))))
    }
}
