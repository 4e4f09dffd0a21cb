//! What an input knows of each partition. Outlives the consumer: neither a rebalance nor a new
//! consumer loses or repeats a record.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use crate::{Message, live::Place};

/// The partitions seen so far, by topic and number.
#[derive(Debug, Default)]
pub(super) struct Places {
    topics: BTreeMap<Arc<str>, BTreeMap<i32, Tracked>>,
}

/// A partition.
#[derive(Debug)]
pub(super) struct Tracked {
    pub(super) place: Place,
    /// It is ours, and is being read.
    pub(super) assigned: bool,
    /// The offset to read next.
    pub(super) next: u64,
    /// Everything before it was handed on.
    pub(super) handed: u64,
    /// Read and not yet handed on.
    pub(super) batch: Vec<Message>,
    /// When it last gave a record, or came to us.
    pub(super) moved: Instant,
    /// Records behind, if known.
    pub(super) lag: Option<u64>,
    /// The end it was last seen to be fetched up to; `None` if there is more, or nobody knows.
    pub(super) end: Option<u64>,
    /// No record is left before it, though the last one may lie further back.
    pub(super) passed: u64,
    /// It was called idle since its last record.
    pub(super) idle: bool,
    /// Times in a row that nothing came though there was something.
    pub(super) stalls: u32,
}

impl Tracked {
    pub(super) fn new(place: Place, next: u64, now: Instant) -> Self {
        Tracked {
            place,
            assigned: false,
            next,
            handed: next,
            batch: Vec::new(),
            moved: now,
            lag: None,
            end: None,
            passed: 0,
            idle: false,
            stalls: 0,
        }
    }

    /// No record is left before this.
    pub(super) fn reached(&self) -> u64 {
        self.next.max(self.passed)
    }

    /// Whether nothing is left to read.
    pub(super) fn at_end(&self) -> bool {
        self.end.is_some_and(|end| self.reached() >= end)
    }

    /// Forgets what was read and not handed on.
    pub(super) fn rewind(&mut self) {
        self.batch.clear();
        self.next = self.handed;
    }
}

impl Places {
    pub(super) fn get_mut(&mut self, topic: &str, partition: i32) -> Option<&mut Tracked> {
        self.topics.get_mut(topic)?.get_mut(&partition)
    }

    pub(super) fn insert(&mut self, topic: &str, partition: i32, tracked: Tracked) {
        self.topics.entry(topic.into()).or_default().insert(partition, tracked);
    }

    /// Whether any partition of a topic was read.
    pub(super) fn knows(&self, topic: &str) -> bool {
        self.topics.contains_key(topic)
    }

    /// All of them: topic, number, state.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, i32, &Tracked)> {
        self.topics.iter().flat_map(|(topic, ps)| ps.iter().map(move |(p, t)| (topic, *p, t)))
    }

    /// All of them, to change.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&Arc<str>, i32, &mut Tracked)> {
        self.topics
            .iter_mut()
            .flat_map(|(topic, ps)| ps.iter_mut().map(move |(p, t)| (topic, *p, t)))
    }

    /// Those that are read now.
    pub(super) fn assigned(&self) -> impl Iterator<Item = (&Arc<str>, i32, &Tracked)> {
        self.iter().filter(|(_, _, t)| t.assigned)
    }
}

/// The part of a place that stands for a partition.
pub(super) fn part(topic: &str, partition: i32) -> String {
    format!("{topic}/{partition}")
}

/// The partition that a part stands for. Topic names hold no `/`.
pub(super) fn partition(part: &str) -> Option<(&str, i32)> {
    let (topic, partition) = part.rsplit_once('/')?;
    Some((topic, partition.parse().ok()?))
}
