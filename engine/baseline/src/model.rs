//! A baseline running: its shards, its population, and the order in which days are closed. One
//! process; who calls it, and with which watermark, is not its concern.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    Anomaly, Policy, Row, Sample, Spec, Unit, UnitScore,
    clusters::Point,
    entity::Entity,
    export::Exported,
    hash_value,
    peers::{self, PeerGroups},
    population::Population,
    score::surprise_of,
    shard::{DAY, Shard, Waiting, World},
};

/// A baseline: push rows, advance the watermark, take scores.
///
/// Guarantees: scores, anomalies and state are a function of the set of rows pushed before the
/// watermark passed them; the order of rows, the cuts of batches and the number of shards do not
/// matter as long as no bound is hit ([`Stats`] counts that). Rows are scored before they are learned.
#[derive(Clone, Debug)]
pub struct Baseline {
    pub(crate) spec: Arc<Spec>,
    pub(crate) policy: Policy,
    pub(crate) shards: Vec<Shard>,
    pub(crate) population: Population,
    /// The final watermark.
    pub(crate) watermark: i64,
    judged: Judged,
    pub(crate) groups: PeerGroups,
    /// What exports have of what belongs to no shard.
    pub(crate) exported: ExportedParts,
    late: u64,
    no_entity: u64,
}

/// Open units from which shards work on threads of their own.
const PARALLEL_MIN: usize = 2_000;

/// What exports have of the parts that belong to no shard.
#[derive(Clone, Debug)]
pub(crate) struct ExportedParts {
    pub(crate) population: Exported,
    /// Peer groups.
    pub(crate) groups: Exported,
    /// Numbers of the chunks of changes that are there.
    pub(crate) chunks: Vec<u64>,
    /// Of those, the ones whose changes the population has been told.
    pub(crate) applied: Vec<u64>,
    /// The number of the next chunk.
    pub(crate) next: u64,
}

/// Which units are scored; the others are learned at full weight.
#[derive(Clone, Debug, Default)]
pub(crate) enum Judged {
    #[default]
    All,
    Only(BTreeSet<(Arc<str>, i64)>),
}

impl Judged {
    pub(crate) fn contains(&self, entity: &Arc<str>, unit: i64) -> bool {
        match self {
            Judged::All => true,
            Judged::Only(units) => units.contains(&(Arc::clone(entity), unit)),
        }
    }
}

/// What a person decided about a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// True but allowed: learned at once and at full weight.
    Benign,
    /// Part of a confirmed compromise: never learned.
    Compromised,
}

/// What happened to rows and units, and which bounds were hit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Rows added to a unit.
    pub rows: u64,
    /// Rows behind the watermark, left out.
    pub late: u64,
    /// Rows without an entity, or with one whose name is longer than 1 KiB, left out.
    pub no_entity: u64,
    /// Rows with the uid (of sessions and blocks also the time) of another of their unit, left out.
    pub duplicates: u64,
    /// Rows that are not known if they come again, because there were too many.
    pub unremembered: u64,
    /// Samples that are not finite numbers, left out.
    pub not_a_number: u64,
    /// Time zones that are not UTC offsets; the sample is left out.
    pub not_an_offset: u64,
    /// Texts not kept for explanations, because there were too many.
    pub names_dropped: u64,
    /// Population values not kept, because there were too many.
    pub values_dropped: u64,
    /// Rows of entities that were not taken on, because there were too many; left out.
    pub refused: u64,
    /// Entities evicted, because there were too many.
    pub evicted: u64,
    /// Units closed.
    pub units: u64,
    /// Units scored.
    pub judged: u64,
    /// Anomalies of closed units.
    pub anomalies: u64,
    /// Entities known.
    pub entities: u64,
}

impl Baseline {
    /// A baseline without history, over so many shards (at least one).
    pub fn new(spec: Spec, policy: Policy, shards: usize) -> Self {
        let spec = Arc::new(spec);
        let shards = shards.max(1);
        // Each shard has its part of what there may be.
        let part = Policy {
            entities_max: policy.entities_max.div_ceil(shards),
            seen_max: policy.seen_max.div_ceil(shards),
            ..policy
        };
        let shard = |_| Shard::new(Arc::clone(&spec), part);
        Baseline {
            shards: (0..shards).map(shard).collect(),
            population: Population::new(&spec.features),
            spec,
            policy,
            watermark: i64::MIN,
            judged: Judged::All,
            groups: PeerGroups::default(),
            exported: ExportedParts {
                population: Exported::NEW,
                groups: Exported::NEW,
                chunks: Vec::new(),
                applied: Vec::new(),
                next: 0,
            },
            late: 0,
            no_entity: 0,
        }
    }

    /// What it models.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Restricts scoring to some (entity, unit); all others are learned at full weight and not
    /// reported. For evaluation against labels.
    pub fn judge_only(&mut self, units: impl IntoIterator<Item = (Arc<str>, i64)>) {
        self.judged = Judged::Only(units.into_iter().collect());
    }

    /// Adds a row to its unit. Rows behind the watermark or without an entity are counted and left
    /// out. If its unit is a day: its entity, and per feature what its value is counted under (of a number
    /// the number), for who keeps evidence.
    pub fn push(&mut self, row: &Row<'_>) -> Option<(Arc<str>, Vec<Option<u64>>)> {
        if row.entity.is_empty() {
            self.no_entity += 1;
            return None;
        }
        if row.time < self.watermark {
            self.late += 1;
            return None;
        }
        let shard = self.shard_of(row.entity);
        self.shards.get_mut(shard)?.push(row, &self.population)
    }

    pub(crate) fn shard_of(&self, entity: &str) -> usize {
        match self.shards.len() {
            1 => 0,
            n => (hash_value(entity) % n as u64) as usize,
        }
    }

    /// Closes and scores the units that no row at or after `watermark` can change, in the order of
    /// days and of entities within a day.
    pub fn advance(&mut self, watermark: i64) -> Vec<UnitScore> {
        self.watermark = self.watermark.max(watermark);
        let watermark = self.watermark;
        let mut out = Vec::new();
        while let Some(day) = self.shards.iter().filter_map(Shard::next_day).min() {
            if day.saturating_mul(DAY) > watermark {
                break;
            }
            self.prepare(day);
            let from = out.len();
            let world = World {
                population: &self.population,
                judged: &self.judged,
                groups: self.spec.peers.learned.then_some(&self.groups),
            };
            match self.spec.unit {
                Unit::Day if (day + 1).saturating_mul(DAY) > watermark => break,
                Unit::Day => {
                    let close = |shard: &mut Shard| shard.close_day(day, &world);
                    out.extend(each(&mut self.shards, close).into_iter().flatten());
                }
                Unit::Session(_) | Unit::Events(_) => {
                    let run = |shard: &mut Shard| shard.run_ordered(day, watermark, &world);
                    out.extend(each(&mut self.shards, run).into_iter().flatten());
                    if self.shards.iter().filter_map(Shard::next_day).min() == Some(day) {
                        in_order(&mut out, from);
                        break;
                    }
                }
            }
            in_order(&mut out, from);
        }
        out
    }

    /// Anomalies of day units that are still open, as they are now: each reported once and again when its
    /// surprise grew. Which are reported depends on when it is called; when its day closes, each is an
    /// anomaly of the closed unit or [withdrawn](UnitScore::withdrawn).
    pub fn open_anomalies(&mut self) -> Vec<Anomaly> {
        let day = self.population.version;
        let mut found = Vec::new();
        let world = World { population: &self.population, judged: &self.judged, groups: None };
        found.extend(
            each(&mut self.shards, |shard| shard.look_at_open(day, &world)).into_iter().flatten(),
        );
        found.sort_by(|a, b| a.entity.cmp(&b.entity).then(a.unit.cmp(&b.unit)));
        found
    }

    /// Closes the days before `day`, as [`advance`](Self::advance) to its start does, and makes what is
    /// known for it: that answers [`surprise`](Self::surprise) until a later day begins. Scores and state are
    /// the same whether it is called or not.
    pub fn begin(&mut self, day: i64) -> Vec<UnitScore> {
        let units = self.advance(day.saturating_mul(DAY));
        self.publish(day);
        units
    }

    /// How unusual it would be for an entity to have a value once in a unit: `-ln` of the tail probability
    /// of that score among usual units, 0 to 14. `time` is the instant of a `time_of_week`, milliseconds.
    /// An entity without history has that of its organisation. `None` for a feature of counts or none of the
    /// declaration, for a sample that says nothing, and while no unit of anybody is known. Units in
    /// quarantine are no part of what is known.
    pub fn surprise(
        &self,
        entity: &str,
        feature: &str,
        time: i64,
        sample: Sample<'_>,
    ) -> Option<f64> {
        let ask = |known: &Entity| {
            let asked = (feature, time, sample);
            surprise_of(&self.spec, &self.policy, &self.population, known, asked)
        };
        let shard = self.shards.get(self.shard_of(entity))?;
        match shard.entities.get(entity) {
            Some(known) => ask(known),
            None => ask(&Entity::new(&self.spec.features)),
        }
    }

    /// Makes what units of `day` are scored with.
    fn prepare(&mut self, day: i64) {
        self.publish(day);
        if self.spec.peers.learned && self.groups.day < Some(day) {
            self.groups.adopt();
            let sample = self.sample();
            self.groups.begin(day, sample);
            self.exported.groups.change();
        }
    }

    /// Makes the population of `day` from what all shards report of the days before, then merges what
    /// is due on the day itself (P1: profiles may know one day more than the population). Days in between
    /// are made one after the other, so that it does not matter which of them anybody asked about.
    fn publish(&mut self, day: i64) {
        while self.population.version < day {
            let after = self.population.version.saturating_add(1);
            let untold = self.shards.iter().any(|shard| !shard.changes.is_empty());
            let due = self.shards.iter().filter_map(|s| s.due.keys().next().copied()).min();
            // A day on which nothing is told or due is like the one before.
            let next = if untold { after } else { due.map_or(day, |due| due.max(after)) };
            let next = next.min(day);
            for shard in &mut self.shards {
                self.population.apply(&self.policy, shard.changes.drain(..));
                shard.changes_exported = 0;
            }
            self.exported.applied.append(&mut self.exported.chunks);
            self.exported.population.change();
            self.population.publish(next, &self.spec.features);
            each(&mut self.shards, |shard| shard.release(next, &self.population));
        }
    }

    /// Entities that peer groups are found from: those whose names have the smallest hashes.
    fn sample(&self) -> Vec<Point> {
        let entities = self.shards.iter().flat_map(|shard| &shard.entities);
        let mut names: Vec<(u64, &Arc<str>)> =
            entities.map(|(name, _)| (hash_value(name), name)).collect();
        names.sort_unstable();
        let sampled = names.into_iter().filter_map(|(_, name)| {
            let entity = self.shards.get(self.shard_of(name))?.entities.get(name)?;
            peers::point(&self.spec.features, &entity.profile, &self.population)
        });
        sampled.take(peers::SAMPLE).collect()
    }

    /// Applies a person's verdict to a unit that is not learned yet; false if there is none such.
    pub fn decide(&mut self, entity: &str, unit: i64, verdict: Verdict) -> bool {
        let at = self.shard_of(entity);
        let shard = self.shards.get_mut(at);
        shard.is_some_and(|shard| shard.decide(entity, unit, verdict, &self.population))
    }

    /// Counters since the beginning, and entities as of now.
    pub fn stats(&self) -> Stats {
        let mut sum = Stats {
            late: self.late,
            no_entity: self.no_entity,
            values_dropped: self.population.values_dropped,
            ..Stats::default()
        };
        for shard in &self.shards {
            let s = shard.stats;
            sum.rows += s.rows;
            sum.duplicates += s.duplicates;
            sum.unremembered += s.unremembered;
            sum.not_a_number += s.not_a_number;
            sum.not_an_offset += s.not_an_offset;
            sum.names_dropped += s.names_dropped;
            sum.no_entity += s.no_entity;
            sum.refused += s.refused;
            sum.evicted += s.evicted;
            sum.units += s.units;
            sum.judged += s.judged;
            sum.anomalies += s.anomalies;
            sum.entities += shard.entities.len() as u64;
        }
        sum
    }

    /// Bytes of hot state of all entities, estimated from capacities; population not included. Asks
    /// every entity.
    pub fn entity_bytes(&self) -> u64 {
        let of = |shard: &Shard| shard.entities.values().map(|e| e.bytes() as u64).sum::<u64>();
        self.shards.iter().map(of).sum()
    }
}

/// Does the same for every shard, on a thread each if there is enough to do, and gives what came of it in
/// their order.
fn each<T: Send>(shards: &mut [Shard], work: impl Fn(&mut Shard) -> T + Sync) -> Vec<T> {
    let few = shards.iter().map(Shard::open_units).sum::<usize>() < PARALLEL_MIN;
    let (work, mut rest) = (&work, shards.iter_mut());
    let Some(first) = rest.next() else { return Vec::new() };
    if few || rest.len() == 0 {
        return std::iter::once(work(first)).chain(rest.map(work)).collect();
    }
    std::thread::scope(|scope| {
        let others: Vec<_> = rest.map(|shard| scope.spawn(move || work(shard))).collect();
        let mut all = vec![work(first)];
        for other in others {
            match other.join() {
                Ok(done) => all.push(done),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        all
    })
}

fn in_order(out: &mut [UnitScore], from: usize) {
    if let Some(units) = out.get_mut(from..) {
        units.sort_by(|a, b| {
            a.time.cmp(&b.time).then_with(|| a.entity.cmp(&b.entity)).then(a.unit.cmp(&b.unit))
        });
    }
}

/// Restoring: each thing goes to the shard it belongs to.
impl Baseline {
    pub(crate) fn put_entity(&mut self, name: &str, entity: Entity) {
        let at = self.shard_of(name);
        if let Some(shard) = self.shards.get_mut(at) {
            shard.put_entity(name, entity);
        }
    }

    pub(crate) fn put_seen(&mut self, at: (i64, u8, &str), rows: crate::unit::SeenRows) -> bool {
        let shard = self.shard_of(at.2);
        self.shards.get_mut(shard).is_some_and(|shard| shard.put_seen(at, rows))
    }

    pub(crate) fn put_open(&mut self, day: i64, name: &str, unit: crate::unit::OpenUnit) {
        let at = self.shard_of(name);
        if let Some(shard) = self.shards.get_mut(at) {
            shard.put_open(day, name, unit);
        }
    }

    pub(crate) fn put_waiting(
        &mut self,
        (time, uid, name): (i64, u128, &str),
        keys: Vec<Option<u64>>,
        exported: Exported,
    ) {
        let at = self.shard_of(name);
        if let Some(shard) = self.shards.get_mut(at) {
            if let Some(entity) = shard.entities.get_mut(name) {
                entity.last = entity.last.max(time);
            }
            let waiting = Waiting { keys: keys.into(), exported };
            shard.waiting.insert((time, uid, name.into()), waiting);
        }
    }

    pub(crate) fn take_settings_of(&mut self, other: &Baseline) {
        self.judged = other.judged.clone();
    }
}
