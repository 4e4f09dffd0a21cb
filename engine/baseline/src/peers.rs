//! Who does the same work: groups of entities by what they use, learned anew each day of events. Not what
//! a group usually does, which is in the population, and not how it enters a score.
//!
//! An entity is a point: each value of its categorical and edge features is weighed by the root of its
//! share and by how rare it is in the organisation (as TF-IDF does), and projected to 16 dimensions by
//! signs that depend on the value alone. A sample of the entities is clustered (`clusters`); an entity
//! belongs to the nearest centre. The sample is taken when a day begins and the groups are used from the
//! next day on, so that a thread has the time to find them; which ones they are depends on the sample and
//! the groups of the day alone.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    thread,
};

use crate::{
    Feature, FeatureKind,
    clusters::{DIMENSIONS, ENTITIES_MIN, Point, find, nearest},
    counts::scattered,
    entity::FeatureProfile,
    population::{FeaturePopulation, Population},
};

/// Most entities that groups are found from: a sample by the hash of their names.
pub(crate) const SAMPLE: usize = 4_096;
/// Members below which a group says nothing.
pub(crate) const MEMBERS_MIN: i64 = 5;
/// Groups of a directory have this bit, learned ones do not.
pub(crate) const DIRECTORY: u64 = 1 << 63;

/// A group that was found.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Group {
    /// Below [`DIRECTORY`]; that of yesterday's group with most of the same members.
    pub(crate) id: u64,
    pub(crate) centre: Point,
}

/// The groups of today, and what those of tomorrow are found from.
#[derive(Clone, Debug, Default)]
pub(crate) struct PeerGroups {
    /// The event day that they are of.
    pub(crate) day: Option<i64>,
    pub(crate) groups: Vec<Group>,
    pub(crate) next: Option<Pending>,
}

/// Groups that are being found.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) sample: Arc<Vec<Point>>,
    found: Arc<OnceLock<Vec<Point>>>,
}

impl PeerGroups {
    /// The groups that the last sample gave become those of today; waits if they are not found yet.
    pub(crate) fn adopt(&mut self) {
        if let Some(pending) = self.next.take() {
            let today = self.centres();
            let centres = pending.found.get_or_init(|| find(&pending.sample, &today));
            self.groups = self.named(&pending.sample, centres);
        }
    }

    /// Begins to find the groups of tomorrow on `day`.
    pub(crate) fn begin(&mut self, day: i64, sample: Vec<Point>) {
        self.day = Some(day);
        let pending = Pending { sample: Arc::new(sample), found: Arc::default() };
        let (sample, found) = (Arc::clone(&pending.sample), Arc::clone(&pending.found));
        let today = self.centres();
        let work = move || {
            found.get_or_init(|| find(&sample, &today));
        };
        if pending.sample.len() >= ENTITIES_MIN {
            // Without a thread they are found when they are wanted.
            drop(thread::Builder::new().name("sluice-peers".to_owned()).spawn(work));
        }
        self.next = Some(pending);
    }

    /// The group of a point.
    pub(crate) fn of(&self, point: &Point) -> Option<u64> {
        nearest(&self.centres(), point).and_then(|at| self.groups.get(at)).map(|group| group.id)
    }

    fn centres(&self) -> Vec<Point> {
        self.groups.iter().map(|group| group.centre).collect()
    }

    /// Gives each centre the name of today's group that most of what is near it is in, largest overlap
    /// first; to those that are left, names that no group has.
    fn named(&self, sample: &[Point], centres: &[Point]) -> Vec<Group> {
        let mut overlaps: BTreeMap<(usize, u64), u64> = BTreeMap::new();
        for point in sample {
            if let (Some(new), Some(old)) = (nearest(centres, point), self.of(point)) {
                *overlaps.entry((new, old)).or_default() += 1;
            }
        }
        let mut overlaps: Vec<(u64, usize, u64)> =
            overlaps.into_iter().map(|((new, old), shared)| (shared, new, old)).collect();
        overlaps.sort_by(|a, b| b.0.cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        let mut names: BTreeMap<usize, u64> = BTreeMap::new();
        for (_, new, old) in overlaps {
            if !names.contains_key(&new) && !names.values().any(|name| *name == old) {
                names.insert(new, old);
            }
        }
        let mut groups = Vec::with_capacity(centres.len());
        for (at, centre) in centres.iter().enumerate() {
            let id = names.get(&at).copied().unwrap_or_else(|| {
                let taken = |id: &u64| names.values().any(|name| name == id);
                (1..).find(|id| !taken(id)).unwrap_or(1)
            });
            names.insert(at, id);
            groups.push(Group { id, centre: *centre });
        }
        groups
    }
}

/// What a profile is as a point; `None` if it has no value of any categorical or edge feature.
pub(crate) fn point(
    declared: &[Feature],
    profile: &[FeatureProfile],
    population: &Population,
) -> Option<Point> {
    let mut all = [0.0_f64; DIMENSIONS];
    for ((feature, profile), known) in declared.iter().zip(profile).zip(&population.features) {
        if let (FeatureKind::Categorical | FeatureKind::Edge, FeatureProfile::Values(counts)) =
            (&feature.kind, profile)
        {
            let seed = crate::hash_value(&feature.name);
            let mut part = [0.0_f64; DIMENSIONS];
            for (value, count) in counts.iter() {
                let weight = (count / counts.total).max(0.0).sqrt() * rarity(known, value);
                let signs = scattered(value ^ seed);
                for (i, x) in part.iter_mut().enumerate() {
                    *x += if signs >> i & 1 == 1 { weight } else { -weight };
                }
            }
            let length = part.iter().map(|x| x * x).sum::<f64>().sqrt();
            if length > 0.0 {
                all.iter_mut().zip(part).for_each(|(sum, x)| *sum += x / length);
            }
        }
    }
    let length = all.iter().map(|x| x * x).sum::<f64>().sqrt();
    (length > 0.0).then(|| all.map(|x| (x / length) as f32))
}

/// How much a value says about who uses it: `-ln` of its share in the organisation.
fn rarity(known: &FeaturePopulation, value: u64) -> f64 {
    let entities = known.org.entities.max(0) as f64;
    (-((known.org.sum(value) + 0.5) / (entities + 1.0)).ln()).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Points near `n` corners.
    fn sample(n: usize, each: usize) -> Vec<Point> {
        let of = |i: usize| {
            let (corner, member) = (i % n, i / n);
            let mut point = [0.0; DIMENSIONS];
            point[corner] = 1.0;
            point[DIMENSIONS - 1] = scattered(member as u64) as f32 / u64::MAX as f32 / 10.0;
            point
        };
        (0..n * each).map(of).collect()
    }

    #[test]
    fn groups_that_are_there_are_found_and_keep_their_names() {
        let mut groups = PeerGroups::default();
        groups.begin(1, sample(8, 30));
        groups.adopt();
        let names: std::collections::BTreeSet<u64> = groups.groups.iter().map(|g| g.id).collect();
        assert_eq!((groups.groups.len(), names.len()), (8, 8));
        let before = groups.clone();
        // Others are there, and in another order.
        let mut next = sample(8, 41);
        next.reverse();
        groups.begin(2, next);
        groups.adopt();
        for point in sample(8, 1) {
            assert_eq!(before.of(&point), groups.of(&point));
        }
        let (mut again, mut twice) = (groups.clone(), groups);
        again.begin(3, sample(8, 30));
        again.adopt();
        twice.begin(3, sample(8, 30));
        twice.adopt();
        assert_eq!(twice.groups, again.groups, "the same sample, the same groups");
    }
}
