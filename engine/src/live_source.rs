//! All live inputs as one source: numbers their partitions for ever, keeps their positions, and lets
//! dead letters in again. Not an input (see [`sluice_ingest::live`]), not when to checkpoint.
//!
//! An arrival of many records, however few bytes they have, is delivered in pieces, and after each of
//! them comes an arrival of another input, if one is there. One large arrival is under way at a time,
//! so that a checkpoint waits for no more than its end. An input many of whose records were set aside
//! waits until these are kept.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use crossbeam_channel::Receiver;
use sluice_event::{PartitionId, TableName, TimeSettings};
use sluice_ingest::{
    Chunk, SourceSpec,
    live::{Arrival, Place, Positions, UNKNOWN},
};

use crate::{
    Backlog, Delivery, EngineError, Partition, PartitionName, Progress, Source, SourcePosition,
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
    /// The arrival at hand.
    open: Open,
    /// A large one, pieces of which come between others.
    large: Option<Open>,
    /// Whether an arrival has come since its last piece: then it is its turn.
    owed: bool,
    /// Arrivals taken from the channels while no run was going on or another large one was under way,
    /// and the numbers of their inputs.
    waiting: VecDeque<(usize, Arrival)>,
    backlog: Backlog,
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

/// An arrival that is being delivered.
#[derive(Default)]
struct Open {
    /// The number of its input; `None` for what no input has sent.
    input: Option<usize>,
    deliveries: VecDeque<Delivery>,
    /// What holds once there are no more deliveries.
    after: After,
}

#[derive(Default)]
struct After {
    position: Option<(Place, u64)>,
    replayed: Option<u64>,
}

/// The input of replayed dead letters.
pub const DEAD_LETTERS: &str = "dead-letters";

/// Records of one delivery: others wait for what is made of them, some milliseconds.
const PIECE: usize = 1_024;

/// How long `next` waits before it reports that there is nothing.
const PATIENCE: Duration = Duration::from_millis(20);

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
            open: Open::default(),
            large: None,
            owed: false,
            waiting: VecDeque::new(),
            backlog: Backlog::default(),
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
        let backlog = self.backlog.clone();
        let fresh = LiveSource::new(arrivals, replays, inputs, sources, self.lateness, position);
        *self = LiveSource { backlog, ..fresh };
    }

    /// Takes what waits in the channels, so that an input that is stopping is not held up.
    pub(crate) fn drain(&mut self) {
        self.waiting.extend(self.arrivals.drain());
    }

    /// Per place: the offset after everything taken from its channel, processed or not.
    pub(crate) fn taken(&self) -> Positions {
        let mut positions = self.position.positions.clone();
        for open in self.large.iter().chain([&self.open]) {
            positions.extend(open.after.position.clone());
        }
        for (_, arrival) in &self.waiting {
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
                self.open.after.position = Some((place, next));
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
        self.open.deliveries.extend(chunk.pieces(PIECE).into_iter().map(Delivery::Records));
        // What stood for a place whose sources were not known has done its service.
        let unknown = PartitionName { place: place.clone(), source: UNKNOWN.into() };
        if let Some(id) = self.numbers.get(&unknown).copied()
            && self.idle.insert(id)
        {
            self.open.deliveries.push_back(Delivery::Idle(id));
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
        self.open.deliveries.push_back(Delivery::Join(self.describe(id, name)));
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
                self.open.deliveries.push_back(Delivery::Idle(id));
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
        self.open.after.replayed = Some(replay.number);
    }

    /// Makes the next arrival the one at hand, if there is one and its turn has come.
    fn take_in(&mut self) {
        let over = self.unread.iter_mut().filter_map(|(p, t)| t.is_due().then(|| p.clone()));
        for place in over.collect::<Vec<_>>() {
            self.unread.remove(&place);
            self.rest(&place);
        }
        if !self.open.deliveries.is_empty() {
            return;
        }
        if self.large.is_none()
            && !self.backlog.is_long(DEAD_LETTERS)
            && let Ok(replay) = self.replays.try_recv()
        {
            self.replay(replay);
            self.large = Some(std::mem::take(&mut self.open));
            return;
        }
        let Some((input, arrival)) = self.arrival() else { return };
        let large = is_large(&arrival);
        if large && self.large.is_some() {
            return self.waiting.push_back((input, arrival));
        }
        self.open.input = Some(input);
        self.accept(arrival);
        if large {
            self.large = Some(std::mem::take(&mut self.open));
        }
    }

    /// The next arrival, of an input none of whose earlier ones is under way.
    fn arrival(&mut self) -> Option<(usize, Arrival)> {
        let patience =
            if self.large.is_none() || self.is_held() { PATIENCE } else { Duration::ZERO };
        let under_way = self.large.as_ref().and_then(|large| large.input);
        let (alone, waiting) = (self.large.is_none(), &mut self.waiting);
        let held = self.arrivals.numbers(|name| self.backlog.is_long(name));
        let is_free = |input: &usize| Some(*input) != under_way && !held.contains(input);
        let next = (0..waiting.len()).find(|at| {
            let (input, arrival) = &waiting[*at];
            let is_first = waiting.iter().take(*at).all(|(earlier, _)| earlier != input);
            is_first && is_free(input) && (alone || !is_large(arrival))
        });
        if let Some(arrival) = next.and_then(|at| waiting.remove(at)) {
            return Some(arrival);
        }
        let waits = |input: usize| waiting.iter().any(|(earlier, _)| *earlier == input);
        self.arrivals.receive(patience, |input| waits(input) || !is_free(&input))
    }

    /// Whether the large arrival waits because records of its input were set aside and are not kept yet.
    fn is_held(&self) -> bool {
        self.large.as_ref().is_some_and(|large| {
            let name = large.input.map_or(DEAD_LETTERS, |input| self.arrivals.name(input));
            self.backlog.is_long(name)
        })
    }

    /// What is delivered to its end holds from now on.
    fn settle(&mut self) {
        let large = self.large.take_if(|large| large.deliveries.is_empty());
        let open = self.open.deliveries.is_empty().then(|| std::mem::take(&mut self.open));
        for Open { after, .. } in large.into_iter().chain(open) {
            self.position.positions.extend(after.position);
            self.position.replays = self.position.replays.max(after.replayed.unwrap_or(0));
        }
    }
}

impl Source for LiveSource {
    fn partitions(&self) -> Vec<Partition> {
        let names = self.position.partitions.iter().cloned();
        // Those that join with a delivery still to come are declared with it.
        let joining: BTreeSet<PartitionId> = self
            .large
            .iter()
            .chain([&self.open])
            .flat_map(|open| &open.deliveries)
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
        let is_held = self.is_held();
        if self.open.deliveries.is_empty() && !(self.owed && self.large.is_some() && !is_held) {
            self.take_in();
        }
        // What is at hand goes on to its end, then a piece of the large one follows.
        self.owed = !self.open.deliveries.is_empty();
        let open = match &mut self.large {
            Some(large) if !self.owed && !is_held => large,
            Some(_) | None => &mut self.open,
        };
        let next = open.deliveries.pop_front().unwrap_or(Delivery::Nothing);
        self.settle();
        Ok(Some(next))
    }

    fn at_boundary(&self) -> bool {
        self.open.deliveries.is_empty() && self.large.is_none()
    }

    fn backlog(&self) -> Backlog {
        self.backlog.clone()
    }

    fn position(&self) -> SourcePosition {
        self.position.clone()
    }
}

/// Stands for whatever an input is going to read.
pub(crate) fn expected(input: &Arc<str>) -> Place {
    Place { input: input.clone(), part: "(expected)".into() }
}

/// Whether it takes more than one delivery.
fn is_large(arrival: &Arrival) -> bool {
    let Arrival::Records { parts, .. } = arrival else { return false };
    parts.iter().any(|(_, chunk)| chunk.longest() > PIECE)
}

/// Every table a record of a source can reach.
fn tables(spec: &SourceSpec) -> Vec<TableName> {
    let mut tables = spec.tables();
    tables.push(spec.raw_table());
    tables
}

#[cfg(test)]
mod tests;
