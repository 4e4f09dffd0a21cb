//! The entities of one shard: open units, profiles, quarantine. Knows no other shard; what it changes
//! in the population goes out as [`Change`]s.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map},
    sync::Arc,
};

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::{
    Anomaly, Confidence, FeatureKind, PeerSource, Policy, Row, Sample, Spec, Unit, UnitScore,
    Verdict,
    entity::{Entity, FeatureProfile, Quarantined, withdraw_shares},
    export::Exported,
    found::{Found, least_tail},
    hash_value,
    model::{Judged, Stats},
    peers::{self, PeerGroups},
    population::{Change, Population},
    row::{Unusable, resolve},
    score::{score, speaks_for_anomaly, surprise},
    unit::{ClosedUnit, OpenUnit, SeenRows},
};

pub(crate) const DAY: i64 = 86_400_000;

/// Texts of values kept for explanations.
const NAMES_MAX: usize = 262_144;
/// Characters of a text that are kept.
const NAME_CHARS: usize = 128;
/// Bytes of an entity's name; a longer one names nobody.
const ENTITY_BYTES: usize = 1_024;

/// A row that waits for its order.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    pub(crate) keys: Box<[Option<u64>]>,
    pub(crate) exported: Exported,
}

/// What units of a day are closed with.
#[derive(Clone, Copy)]
pub(crate) struct World<'a> {
    pub(crate) population: &'a Population,
    pub(crate) judged: &'a Judged,
    /// Learned peer groups.
    pub(crate) groups: Option<&'a PeerGroups>,
}

#[derive(Clone, Debug)]
pub(crate) struct Shard {
    spec: Arc<Spec>,
    policy: Policy,
    pub(crate) entities: HashMap<Arc<str>, Entity, RandomState>,
    /// Open day units by day.
    pub(crate) open: BTreeMap<i64, HashMap<Arc<str>, OpenUnit, RandomState>>,
    /// Rows of open day units that are remembered.
    seen: usize,
    /// Open day units to be looked at.
    touched: BTreeSet<(i64, Arc<str>)>,
    /// Rows that wait for their order: of sessions and blocks.
    pub(crate) waiting: BTreeMap<(i64, u128, Arc<str>), Waiting>,
    /// Open sessions by the first instant that cannot continue them.
    ends: BTreeSet<(i64, Arc<str>)>,
    /// Entities with a unit to merge, by the day it is due.
    pub(crate) due: BTreeMap<i64, BTreeSet<Arc<str>>>,
    /// Texts of values, by hash.
    pub(crate) names: HashMap<u64, Arc<str>, RandomState>,
    /// Of those, the ones that no export has.
    pub(crate) names_new: Vec<u64>,
    /// What the population has not been told yet.
    pub(crate) changes: Vec<Change>,
    /// How many of those, from the first, an export has.
    pub(crate) changes_exported: usize,
    /// What an export has and is no more.
    pub(crate) gone: Vec<Gone>,
    pub(crate) stats: Stats,
}

/// What is no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Gone {
    Entity(Arc<str>),
    /// A day unit.
    Open(i64, Arc<str>),
    /// Rows of an hour that a day unit remembers.
    Seen(i64, u8, Arc<str>),
    /// A row that waited.
    Waiting(i64, u128, Arc<str>),
}

impl Shard {
    pub(crate) fn new(spec: Arc<Spec>, policy: Policy) -> Self {
        Shard {
            spec,
            policy,
            entities: HashMap::default(),
            open: BTreeMap::new(),
            seen: 0,
            touched: BTreeSet::new(),
            waiting: BTreeMap::new(),
            ends: BTreeSet::new(),
            due: BTreeMap::new(),
            names: HashMap::default(),
            names_new: Vec::new(),
            changes: Vec::new(),
            changes_exported: 0,
            gone: Vec::new(),
            stats: Stats::default(),
        }
    }

    /// Adds a row to its unit; its entity and the keys of its values if that is a day.
    /// `population` is that of the last day that began.
    pub(crate) fn push(
        &mut self,
        row: &Row<'_>,
        population: &Population,
    ) -> Option<(Arc<str>, Vec<Option<u64>>)> {
        if row.entity.len() > ENTITY_BYTES {
            self.stats.no_entity += 1;
            return None;
        }
        let is_full = self.entities.len() >= self.policy.entities_max;
        let entity: Arc<str> = match self.entities.get_key_value_mut(row.entity) {
            Some((name, known)) => {
                known.last = known.last.max(row.time);
                Arc::clone(name)
            }
            None if is_full => {
                self.stats.refused += 1;
                return None;
            }
            None => {
                let name: Arc<str> = row.entity.into();
                let known = Entity { last: row.time, ..Entity::new(&self.spec.features) };
                self.entities.insert(Arc::clone(&name), known);
                name
            }
        };
        let Resolved { keys, numbers, zones } = self.resolve(row);
        match self.spec.unit {
            Unit::Day => {
                let day = row.time.div_euclid(DAY);
                let units = self.open.entry(day).or_default();
                let unit = units
                    .entry(Arc::clone(&entity))
                    .or_insert_with(|| OpenUnit::new(&self.spec.features));
                if unit.has(row.time, row.uid) {
                    self.stats.duplicates += 1;
                    return None;
                }
                if self.seen < self.policy.seen_max {
                    unit.remember(row.time, row.uid);
                    self.seen += 1;
                } else {
                    self.stats.unremembered += 1;
                }
                let (spec, policy) = (&*self.spec, &self.policy);
                let known = self.entities.get(&entity);
                let may_be_unusual = |at: usize, value: u64| {
                    known
                        .is_some_and(|e| speaks_for_anomaly(spec, policy, e, population, at, value))
                };
                let is_worth_a_look =
                    unit.add(&spec.features, policy, row.time, &keys, may_be_unusual);
                if is_worth_a_look && !unit.is_touched {
                    unit.is_touched = true;
                    self.touched.insert((day, Arc::clone(&entity)));
                }
                self.count(numbers, zones);
                Some((entity, keys))
            }
            Unit::Session(_) | Unit::Events(_) => {
                match self.waiting.entry((row.time, row.uid, entity)) {
                    btree_map::Entry::Vacant(place) => {
                        let exported = Exported::NEW;
                        place.insert(Waiting { keys: keys.into(), exported });
                        self.count(numbers, zones);
                    }
                    btree_map::Entry::Occupied(_) => self.stats.duplicates += 1,
                }
                None
            }
        }
    }

    /// Counts a row, and its samples that say nothing.
    fn count(&mut self, numbers: u64, zones: u64) {
        self.stats.rows += 1;
        self.stats.not_a_number += numbers;
        self.stats.not_an_offset += zones;
    }

    /// What the values of a row are counted under, with the key of its peer group behind them; keeps their
    /// texts.
    fn resolve(&mut self, row: &Row<'_>) -> Resolved {
        let spec = Arc::clone(&self.spec);
        let mut keys = Vec::with_capacity(spec.features.len() + 1);
        let (mut numbers, mut zones) = (0, 0);
        for (feature, sample) in spec.features.iter().zip(row.samples) {
            let key = match resolve(feature, row.time, *sample) {
                Ok(key) => key,
                Err(Unusable::Number) => {
                    numbers += 1;
                    None
                }
                Err(Unusable::Zone) => {
                    zones += 1;
                    None
                }
            };
            if let (Some(hash), Sample::Text(text)) = (key, sample)
                && matches!(feature.kind, FeatureKind::Categorical | FeatureKind::Edge)
            {
                self.name(hash, text);
            }
            keys.push(key);
        }
        if let Some(group) = row.peers.filter(|_| spec.peers.directory) {
            let key = hash_value(group) | peers::DIRECTORY;
            self.name(key, group);
            keys.push(Some(key));
        }
        Resolved { keys, numbers, zones }
    }

    /// Keeps the text of a value for explanations.
    fn name(&mut self, hash: u64, text: &str) {
        if self.names.contains_key(&hash) {
            return;
        }
        if self.names.len() < NAMES_MAX {
            let text: String = text.chars().take(NAME_CHARS).collect();
            self.names.insert(hash, text.into());
            self.names_new.push(hash);
        } else {
            self.stats.names_dropped += 1;
        }
    }

    /// The earliest day with something to close.
    pub(crate) fn next_day(&self) -> Option<i64> {
        let open = self.open.keys().next().copied();
        let waiting = self.waiting.keys().next().map(|(time, ..)| time.div_euclid(DAY));
        let ends = self.ends.first().map(|(time, _)| time.div_euclid(DAY));
        open.into_iter().chain(waiting).chain(ends).min()
    }

    /// Merges quarantined units that are due on `day` or before.
    pub(crate) fn release(&mut self, day: i64, population: &Population) {
        let cap = (self.policy.cap_units * population.median).max(self.policy.cap_min);
        while let Some(entry) = self.due.first_entry().filter(|e| *e.key() <= day) {
            for name in entry.remove() {
                let Some(entity) = self.entities.get_mut(&name) else { continue };
                while entity.quarantine.front().is_some_and(|q| q.due <= day) {
                    entity.merge_oldest(&self.spec.features, &self.policy, cap, &mut self.changes);
                }
            }
        }
    }

    /// Closes the day units of `day`.
    pub(crate) fn close_day(&mut self, day: i64, world: &World<'_>) -> Vec<UnitScore> {
        let mut out = Vec::new();
        let mut units: Vec<(Arc<str>, OpenUnit)> =
            self.open.remove(&day).unwrap_or_default().into_iter().collect();
        units.sort_by(|a, b| a.0.cmp(&b.0));
        for (name, open) in units {
            self.touched.remove(&(day, Arc::clone(&name)));
            if open.exported.known {
                self.gone.push(Gone::Open(day, Arc::clone(&name)));
            }
            self.seen = self.seen.saturating_sub(open.remembered());
            let exported = open.seen.iter().filter(|(_, seen)| seen.exported.known);
            self.gone.extend(exported.map(|(hour, _)| Gone::Seen(day, *hour, Arc::clone(&name))));
            let unit = open.close(&self.spec.features, day.saturating_mul(DAY));
            let is_reported = open.reported.is_some();
            self.regroup(&name, open.peers, world);
            self.close(&name, unit, is_reported, world, &mut out);
        }
        self.evict();
        out
    }

    /// Day units that are open, and rows that wait.
    pub(crate) fn open_units(&self) -> usize {
        self.open.values().map(HashMap::len).sum::<usize>() + self.waiting.len()
    }

    /// Takes the rows of `day` before `until` in their order; closes sessions and blocks.
    pub(crate) fn run_ordered(
        &mut self,
        day: i64,
        until: i64,
        world: &World<'_>,
    ) -> Vec<UnitScore> {
        let mut out = Vec::new();
        let until = until.min((day + 1).saturating_mul(DAY));
        while let Some(entry) = self.waiting.first_entry().filter(|e| e.key().0 < until) {
            let ((time, uid, name), Waiting { keys, exported }) = entry.remove_entry();
            if exported.known {
                self.gone.push(Gone::Waiting(time, uid, Arc::clone(&name)));
            }
            self.end_session(&name, time, world, &mut out);
            let spec = Arc::clone(&self.spec);
            let Some(entity) = self.entities.get_mut(&name) else { continue };
            entity.exported.change();
            let id = match spec.unit {
                Unit::Events(_) => i64::from(entity.closed),
                Unit::Session(_) | Unit::Day => time,
            };
            let (id, open) =
                entity.block.get_or_insert_with(|| (id, OpenUnit::new(&spec.features)));
            if let Unit::Session(gap) = spec.unit {
                self.ends.remove(&(session_end(open, gap), Arc::clone(&name)));
            }
            open.add(&spec.features, &self.policy, time, &keys, |_, _| false);
            match spec.unit {
                Unit::Session(gap) => {
                    self.ends.insert((session_end(open, gap), name));
                }
                Unit::Events(n) if open.events >= u64::from(n) => {
                    let (unit, peers) = (open.close(&spec.features, *id), open.peers);
                    entity.block = None;
                    self.regroup(&name, peers, world);
                    self.close(&name, unit, false, world, &mut out);
                }
                Unit::Events(_) | Unit::Day => {}
            }
        }
        while let Some((end, name)) = self.ends.first().cloned().filter(|(end, _)| *end <= until) {
            self.end_session(&name, end, world, &mut out);
        }
        out
    }

    /// Closes the session of an entity if an event at `time` does not belong to it.
    fn end_session(
        &mut self,
        name: &Arc<str>,
        time: i64,
        world: &World<'_>,
        out: &mut Vec<UnitScore>,
    ) {
        let Unit::Session(gap) = self.spec.unit else { return };
        let Some(entity) = self.entities.get_mut(name) else { return };
        if let Some((id, open)) = entity.block.take_if(|(_, open)| time >= session_end(open, gap)) {
            self.ends.remove(&(session_end(&open, gap), Arc::clone(name)));
            let unit = open.close(&self.spec.features, id);
            self.regroup(name, open.peers, world);
            self.close(name, unit, false, world, out);
        }
    }

    /// Puts an entity whose unit closes into its group: that of the directory, or the nearest of those
    /// that were learned.
    fn regroup(&mut self, name: &Arc<str>, told: Option<(i64, u64)>, world: &World<'_>) {
        let PeerSource { directory, learned } = self.spec.peers;
        let Some(entity) = self.entities.get_mut(name) else { return };
        let known = entity.group.filter(|g| directory && g & peers::DIRECTORY != 0);
        let told = told.map(|(_, group)| group).or(known);
        let group = told.or_else(|| {
            let groups = world.groups.filter(|groups| learned && !groups.groups.is_empty())?;
            let point = peers::point(&self.spec.features, &entity.profile, world.population);
            // Without data for a while it stays where it was.
            point.map_or(entity.group, |point| groups.of(&point))
        });
        if group != entity.group {
            entity.exported.change();
            entity.join(group, &mut self.changes);
        }
    }

    /// Scores a closed unit, puts it into quarantine and reports it. `is_reported`: an anomaly of it
    /// was while it was open.
    fn close(
        &mut self,
        name: &Arc<str>,
        unit: ClosedUnit,
        is_reported: bool,
        world: &World<'_>,
        out: &mut Vec<UnitScore>,
    ) {
        let World { population, judged, .. } = *world;
        let Some(entity) = self.entities.get_mut(name) else { return };
        let policy = &self.policy;
        self.stats.units += 1;
        self.changes.push(Change::Size(unit.events));
        let learning = entity.closed < policy.learning_units;
        let is_judged = entity.closed >= self.spec.warmup && judged.contains(name, unit.id);
        entity.closed += 1;
        entity.exported.change();
        let (mut weight, mut scores) = (1.0, None);
        if is_judged {
            let scored = score(&self.spec, policy, entity, &unit, population);
            let total = scored.scores.total;
            weight = (1.0 / (1.0 + (policy.weight_slope * total).exp())).max(policy.weight_floor);
            let least = least_tail(&self.spec, policy, &unit, population, &scored);
            let is_anomaly = least <= self.spec.alarm_rate;
            let explained = (is_anomaly || is_reported).then(|| {
                let found = Found { name, entity, unit: &unit, scored: &scored };
                let z = surprise(least, policy);
                Arc::new(found.anomaly(&self.spec, policy, population, z, &self.names, true))
            });
            let (anomaly, withdrawn) =
                if is_anomaly { (explained, None) } else { (None, explained) };
            let p = population.total.p(total, unit.events, policy.calibration_min);
            self.stats.judged += 1;
            self.stats.anomalies += u64::from(anomaly.is_some());
            out.push(UnitScore {
                entity: Arc::clone(name),
                unit: unit.id,
                time: unit.last,
                events: unit.events,
                score: total,
                surprise: surprise(p, policy),
                confidence: scored.confidence,
                state: confidence(entity, policy),
                anomaly,
                withdrawn,
            });
            scores = Some(scored.scores);
        }
        let day = unit.last.div_euclid(DAY);
        match self.spec.unit {
            Unit::Day => {
                let due = day + if learning { 1 } else { policy.delay_days };
                // Never before an older one of the same entity.
                let due = entity.quarantine.back().map_or(due, |q| q.due.max(due));
                entity.quarantine.push_back(Quarantined { unit, due, weight, scores });
                self.due.entry(due).or_default().insert(Arc::clone(name));
            }
            Unit::Session(_) | Unit::Events(_) => {
                entity.quarantine.push_back(Quarantined { unit, due: i64::MAX, weight, scores });
                let delay = if learning { 1 } else { policy.delay_units };
                let cap = (policy.cap_units * population.median).max(policy.cap_min);
                while entity.quarantine.len() > delay as usize {
                    entity.merge_oldest(&self.spec.features, policy, cap, &mut self.changes);
                }
            }
        }
    }

    /// Anomalies of open day units up to `day` with rows since the last call, as they are now; of each
    /// unit again only when its surprise grew.
    pub(crate) fn look_at_open(&mut self, day: i64, world: &World<'_>) -> Vec<Anomaly> {
        let World { population, judged, .. } = *world;
        let later = self.touched.split_off(&(day + 1, "".into()));
        let touched = std::mem::replace(&mut self.touched, later);
        let spec = Arc::clone(&self.spec);
        let mut found = Vec::new();
        for (of, name) in touched {
            let open = self.open.get_mut(&of).and_then(|units| units.get_mut(&name));
            let (Some(entity), Some(open)) = (self.entities.get(&name), open) else { continue };
            (open.is_touched, open.looked_at) = (false, open.events);
            let id = of.saturating_mul(DAY);
            if entity.closed < spec.warmup || !judged.contains(&name, id) {
                continue;
            }
            let unit = open.close(&spec.features, id);
            let scored = score(&spec, &self.policy, entity, &unit, population);
            let p = least_tail(&spec, &self.policy, &unit, population, &scored);
            let z = surprise(p, &self.policy);
            if p <= spec.alarm_rate && open.reported.is_none_or(|known| known < z) {
                open.reported = Some(z);
                open.exported.change();
                let view = Found { name: &name, entity, unit: &unit, scored: &scored };
                found.push(view.anomaly(&spec, &self.policy, population, z, &self.names, false));
            }
        }
        found
    }

    /// What people decided about a unit that is still in quarantine; whether there is one.
    pub(crate) fn decide(
        &mut self,
        name: &str,
        unit: i64,
        verdict: Verdict,
        population: &Population,
    ) -> bool {
        let Some(entity) = self.entities.get_mut(name) else { return false };
        let Some(at) = entity.quarantine.iter().position(|q| q.unit.id == unit) else {
            return false;
        };
        let Some(mut quarantined) = entity.quarantine.remove(at) else { return false };
        entity.exported.change();
        if verdict == Verdict::Benign {
            quarantined.weight = 1.0;
            let cap = (self.policy.cap_units * population.median).max(self.policy.cap_min);
            entity.quarantine.push_front(quarantined);
            entity.merge_oldest(&self.spec.features, &self.policy, cap, &mut self.changes);
        }
        true
    }

    /// At the bound, evicts a quarter of the entities: those with the fewest units first, so that a
    /// flood of names makes room before anybody who has a history; then the longest idle, then the
    /// larger name.
    fn evict(&mut self) {
        let max = self.policy.entities_max;
        if self.entities.len() < max {
            return;
        }
        let beyond = self.entities.len() - (max - max.div_ceil(4));
        let open: BTreeSet<&Arc<str>> = self.open.values().flat_map(HashMap::keys).collect();
        let mut idle: Vec<(u32, i64, Arc<str>)> = self
            .entities
            .iter()
            .filter(|(name, e)| e.block.is_none() && !open.contains(name))
            .map(|(name, e)| (e.closed, e.last, Arc::clone(name)))
            .collect();
        idle.sort_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)).then(b.2.cmp(&a.2)));
        for (.., name) in idle.into_iter().take(beyond) {
            if let Some(entity) = self.entities.remove(&name) {
                for (i, profile) in entity.profile.iter().enumerate() {
                    if let FeatureProfile::Values(counts) = profile {
                        withdraw_shares(counts, i as u8, entity.group, &mut self.changes);
                    }
                }
                if entity.exported.known {
                    self.gone.push(Gone::Entity(name));
                }
                self.stats.evicted += 1;
            }
        }
    }

    pub(crate) fn put_entity(&mut self, name: &str, entity: Entity) {
        let name: Arc<str> = name.into();
        for quarantined in &entity.quarantine {
            if quarantined.due < i64::MAX {
                self.due.entry(quarantined.due).or_default().insert(Arc::clone(&name));
            }
        }
        if let (Some((_, open)), Unit::Session(gap)) = (&entity.block, self.spec.unit) {
            self.ends.insert((session_end(open, gap), Arc::clone(&name)));
        }
        self.entities.insert(name, entity);
    }

    /// Rows that an open day unit remembers; false if there is no such unit.
    pub(crate) fn put_seen(&mut self, (day, hour, name): (i64, u8, &str), rows: SeenRows) -> bool {
        let Some(open) = self.open.get_mut(&day).and_then(|units| units.get_mut(name)) else {
            return false;
        };
        self.seen += rows.uids.len();
        open.seen.insert(hour, rows);
        true
    }

    pub(crate) fn put_open(&mut self, day: i64, name: &str, mut unit: OpenUnit) {
        let name: Arc<str> = name.into();
        if let Some(entity) = self.entities.get_mut(&name) {
            entity.last = entity.last.max(unit.last);
        }
        unit.is_touched = true;
        self.touched.insert((day, Arc::clone(&name)));
        self.open.entry(day).or_default().insert(name, unit);
    }
}

/// A row as keys.
struct Resolved {
    keys: Vec<Option<u64>>,
    /// Samples that are not finite numbers, and that are not UTC offsets.
    numbers: u64,
    zones: u64,
}

/// The first instant that does not belong to a session: after the gap, or a day after its start.
fn session_end(open: &OpenUnit, gap: i64) -> i64 {
    let (first, last) = (open.first.min(open.last), open.last);
    if open.events == 0 {
        return i64::MAX;
    }
    last.saturating_add(gap).saturating_add(1).min(first.saturating_add(DAY))
}

pub(crate) fn confidence(entity: &Entity, policy: &Policy) -> Confidence {
    match entity.merged {
        n if n < policy.learning_units => Confidence::Learning,
        n if n <= policy.confident_units => Confidence::Warm,
        _ => Confidence::Confident,
    }
}
