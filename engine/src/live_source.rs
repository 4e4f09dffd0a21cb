//! All live inputs as one source: numbers their partitions for ever, keeps their positions, and lets
//! dead letters in again. Not an input (see [`sluice_ingest::live`]), not when to checkpoint.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use crossbeam_channel::Receiver;
use sluice_event::{PartitionId, TableName, TimeSettings};
use sluice_ingest::{
    Chunk, SourceSpec,
    live::{Arrival, Place, Positions, UNKNOWN},
};

use crate::{
    Delivery, EngineError, Partition, PartitionName, Progress, Source, SourcePosition,
    arrivals::Arrivals, stopwatch::Timer,
};

/// Arrivals of every input, each in the order they came.
pub(crate) struct LiveSource {
    arrivals: Arrivals,
    replays: Receiver<Replay>,
    sources: Vec<Arc<SourceSpec>>,
    /// The mapping source of each input; `None`: each record decides.
    inputs: BTreeMap<Arc<str>, Option<Arc<str>>>,
    lateness: Option<i64>,
    position: SourcePosition,
    numbers: BTreeMap<PartitionName, PartitionId>,
    /// Deliveries of the arrival at hand.
    queue: VecDeque<Delivery>,
    /// What holds once the queue is empty.
    after: After,
    /// Arrivals taken from the channels while no run was going on.
    early: VecDeque<Arrival>,
    /// Places that are not read now: their partitions stop holding back event time after a while.
    unread: BTreeMap<Place, Timer>,
    /// Partitions reported idle since their last record.
    idle: BTreeSet<PartitionId>,
}

/// Dead letters to send through the mappings again, by mapping source.
pub(crate) struct Replay {
    /// Which one it is, from 1.
    pub number: u64,
    pub parts: Vec<(Arc<str>, Chunk)>,
}

#[derive(Default)]
struct After {
    position: Option<(Place, u64)>,
    replayed: Option<u64>,
}

/// The input of replayed dead letters.
pub const DEAD_LETTERS: &str = "dead-letters";

/// How long `next` waits before it reports that there is nothing.
const PATIENCE: std::time::Duration = std::time::Duration::from_millis(20);

impl LiveSource {
    /// Arrivals of `inputs`, going on from `position`.
    pub(crate) fn new(
        arrivals: Arrivals,
        replays: Receiver<Replay>,
        inputs: BTreeMap<Arc<str>, Option<Arc<str>>>,
        sources: Vec<Arc<SourceSpec>>,
        lateness: Option<i64>,
        position: SourcePosition,
    ) -> Self {
        let names = position.partitions.iter().cloned();
        let numbers = names.zip((0u32..).map(PartitionId)).collect();
        let mut live = LiveSource {
            arrivals,
            replays,
            sources,
            inputs,
            lateness,
            numbers,
            queue: VecDeque::new(),
            after: After::default(),
            early: VecDeque::new(),
            unread: BTreeMap::new(),
            idle: BTreeSet::new(),
            position,
        };
        // An input that has not reported what it reads may have older records than all others: until it
        // has, a partition that stands for it holds back event time.
        let names = live.inputs.clone();
        for (input, source) in names {
            if !live.position.partitions.iter().any(|n| n.place.input == input) {
                let source = source.unwrap_or_else(|| UNKNOWN.into());
                live.partition(&expected(&input), source);
            }
        }
        let places = live.position.partitions.iter().map(|n| n.place.clone());
        for place in places.collect::<BTreeSet<_>>() {
            live.unread(place);
        }
        live
    }

    /// Other mapping sources, between two runs.
    pub(crate) fn remap(&mut self, sources: Vec<Arc<SourceSpec>>) {
        self.sources = sources;
    }

    /// Goes back to `position`. What was taken since is given up: the inputs, which are at rest, read
    /// it again; dead letters that were to be replayed are still kept.
    pub(crate) fn rewind(&mut self, position: SourcePosition) {
        self.arrivals.drain().for_each(drop);
        self.replays.try_iter().for_each(drop);
        let (arrivals, replays) = (self.arrivals.clone(), self.replays.clone());
        let (inputs, sources) = (self.inputs.clone(), self.sources.clone());
        *self = LiveSource::new(arrivals, replays, inputs, sources, self.lateness, position);
    }

    /// Takes what waits in the channels, so that an input that is stopping is not held up.
    pub(crate) fn drain(&mut self) {
        self.early.extend(self.arrivals.drain());
    }

    /// Per place: the offset after everything taken from its channel, processed or not.
    pub(crate) fn taken(&self) -> Positions {
        let mut positions = self.position.positions.clone();
        positions.extend(self.after.position.clone());
        for arrival in &self.early {
            if let Arrival::Records { place, next, .. } = arrival {
                positions.insert(place.clone(), *next);
            }
        }
        positions
    }

    /// What an arrival means for the engine.
    fn accept(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Records { place, parts, next } => {
                self.heard(&place.input);
                for (source, chunk) in parts {
                    self.records(&place, source, chunk);
                }
                self.after.position = Some((place, next));
            }
            Arrival::Assigned(place) => {
                self.unread.remove(&place);
                let source = self.inputs.get(&place.input).cloned().flatten();
                self.partition(&place, source.unwrap_or_else(|| UNKNOWN.into()));
                self.heard(&place.input);
            }
            Arrival::Revoked(place) => self.unread(place),
            Arrival::Idle(place) => self.rest(&place),
            Arrival::Failed(failure) => self.rest_all(&failure.input),
        }
    }

    /// An input has reported: what it reads holds back event time from here on.
    fn heard(&mut self, input: &Arc<str>) {
        let place = expected(input);
        if self.unread.remove(&place).is_some() {
            self.rest(&place);
        }
    }

    fn records(&mut self, place: &Place, source: Arc<str>, mut chunk: Chunk) {
        let id = self.partition(place, source.clone());
        self.idle.remove(&id);
        chunk.partition = id;
        self.queue.push_back(Delivery::Records(chunk));
        // What stood for a place whose sources were not known has done its service.
        let unknown = PartitionName { place: place.clone(), source: UNKNOWN.into() };
        if let Some(id) = self.numbers.get(&unknown).copied()
            && self.idle.insert(id)
        {
            self.queue.push_back(Delivery::Idle(id));
        }
    }

    /// The number of a partition, which joins if it is not known.
    fn partition(&mut self, place: &Place, source: Arc<str>) -> PartitionId {
        let name = PartitionName { place: place.clone(), source };
        if let Some(id) = self.numbers.get(&name) {
            return *id;
        }
        let id = PartitionId(self.position.partitions.len() as u32);
        self.position.partitions.push(name.clone());
        self.numbers.insert(name.clone(), id);
        self.queue.push_back(Delivery::Join(self.describe(id, name)));
        id
    }

    fn describe(&self, id: PartitionId, name: PartitionName) -> Partition {
        let source = self.sources.iter().position(|s| s.source == name.source);
        let (tables, time) = match source.and_then(|s| self.sources.get(s)) {
            Some(spec) => (tables(spec), spec.time_settings),
            // It is not known yet where its records will go: it holds back every table.
            None => {
                (self.sources.iter().flat_map(|s| tables(s)).collect(), TimeSettings::default())
            }
        };
        let lateness = self.lateness.unwrap_or(time.lateness);
        let time = TimeSettings { lateness, delay: time.delay.min(lateness), ..time };
        Partition { id, source, name: Some(name), tables, time }
    }

    /// A place that is not read may be read again soon; until then it holds back event time.
    fn unread(&mut self, place: Place) {
        let idle = self.inputs.get(&place.input).map_or(0, |_| TimeSettings::default().idle);
        self.unread.insert(place, Timer::every(idle));
    }

    /// The partitions of a place no longer hold back event time, until their next record.
    fn rest(&mut self, place: &Place) {
        let ids = self.numbers.iter().filter(|(n, _)| n.place == *place).map(|(_, id)| *id);
        for id in ids.collect::<Vec<_>>() {
            if self.idle.insert(id) {
                self.queue.push_back(Delivery::Idle(id));
            }
        }
    }

    fn rest_all(&mut self, input: &str) {
        let places = self.position.partitions.iter().map(|n| n.place.clone());
        for place in places.filter(|p| *p.input == *input).collect::<BTreeSet<_>>() {
            self.rest(&place);
        }
    }

    /// Dead letters are old: they count for rules that need no order, and hold back nothing.
    fn replay(&mut self, replay: Replay) {
        let place = Place { input: DEAD_LETTERS.into(), part: "".into() };
        for (source, chunk) in replay.parts {
            self.records(&place, source, chunk);
        }
        self.rest(&place);
        self.after.replayed = Some(replay.number);
    }

    fn settle(&mut self) {
        if !self.queue.is_empty() {
            return;
        }
        self.position.positions.extend(self.after.position.take());
        self.position.replays = self.position.replays.max(self.after.replayed.take().unwrap_or(0));
    }
}

impl Source for LiveSource {
    fn partitions(&self) -> Vec<Partition> {
        let names = self.position.partitions.iter().cloned();
        // Those that join with a delivery still to come are declared with it.
        let joining: BTreeSet<PartitionId> = self
            .queue
            .iter()
            .filter_map(|d| match d {
                Delivery::Join(partition) => Some(partition.id),
                Delivery::Records(_)
                | Delivery::Rows(_)
                | Delivery::Idle(_)
                | Delivery::Seen(..)
                | Delivery::End(_)
                | Delivery::Nothing => None,
            })
            .collect();
        (0u32..)
            .map(PartitionId)
            .zip(names)
            .filter(|(id, _)| !joining.contains(id))
            .map(|(id, name)| self.describe(id, name))
            .collect()
    }

    fn next(&mut self, _progress: &Progress) -> Result<Option<Delivery>, EngineError> {
        if self.queue.is_empty() {
            let over = self.unread.iter_mut().filter_map(|(p, t)| t.is_due().then(|| p.clone()));
            for place in over.collect::<Vec<_>>() {
                self.unread.remove(&place);
                self.rest(&place);
            }
        }
        if self.queue.is_empty() {
            if let Ok(replay) = self.replays.try_recv() {
                self.replay(replay);
            } else if let Some(arrival) = self.early.pop_front() {
                self.accept(arrival);
            } else if let Some(arrival) = self.arrivals.receive(PATIENCE) {
                self.accept(arrival);
            }
        }
        let next = self.queue.pop_front().unwrap_or(Delivery::Nothing);
        self.settle();
        Ok(Some(next))
    }

    fn at_boundary(&self) -> bool {
        self.queue.is_empty()
    }

    fn position(&self) -> SourcePosition {
        self.position.clone()
    }
}

/// Stands for whatever an input is going to read.
pub(crate) fn expected(input: &Arc<str>) -> Place {
    Place { input: input.clone(), part: "(expected)".into() }
}

/// Every table a record of a source can reach.
fn tables(spec: &SourceSpec) -> Vec<TableName> {
    let mut tables = spec.tables();
    tables.push(spec.raw_table());
    tables
}
