//! Who does the same work: groups of entities by what they use, learned anew each day of events. Not what
//! a group usually does, which is in the population, and not how it enters a score.
//!
//! An entity is a point: each value of its categorical and edge features is weighed by the root of its
//! share and by how rare it is in the organisation (as TF-IDF does), and projected to 16 dimensions by
//! signs that depend on the value alone. A sample of the entities is clustered (k-means++, seeded); how
//! many groups there are is what the silhouette says. An entity belongs to the nearest centre. The sample
//! is taken when a day begins and the groups are used from the next day on, so that a thread has the time
//! to find them; which ones they are depends on the sample alone.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    thread,
};

use crate::{
    Feature, FeatureKind,
    counts::scattered,
    entity::FeatureProfile,
    population::{FeaturePopulation, Population},
};

/// Dimensions of a point.
pub(crate) const DIMENSIONS: usize = 16;
/// Most entities that groups are found from: a sample by the hash of their names.
pub(crate) const SAMPLE: usize = 4_096;
/// Fewer entities than this have no groups.
const ENTITIES_MIN: usize = 40;
/// Members below which a group says nothing.
pub(crate) const MEMBERS_MIN: i64 = 5;
/// Numbers of groups that are tried, as far as each would have ten members on average.
const TRIED: [usize; 5] = [4, 8, 16, 32, 64];
/// The least silhouette that is taken for groups: below it there are none.
const SILHOUETTE_MIN: f64 = 0.2;
/// Most rounds in which centres move.
const ROUNDS_MAX: usize = 60;
/// Groups of a directory have this bit, learned ones do not.
pub(crate) const DIRECTORY: u64 = 1 << 63;

/// What an entity does, as a point of length 1.
pub(crate) type Point = [f32; DIMENSIONS];

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
            let centres = pending.found.get_or_init(|| find(&pending.sample));
            self.groups = self.named(&pending.sample, centres);
        }
    }

    /// Begins to find the groups of tomorrow.
    pub(crate) fn begin(&mut self, sample: Vec<Point>) {
        let pending = Pending { sample: Arc::new(sample), found: Arc::default() };
        let (sample, found) = (Arc::clone(&pending.sample), Arc::clone(&pending.found));
        let work = move || {
            found.get_or_init(|| find(&sample));
        };
        if pending.sample.len() >= ENTITIES_MIN {
            // Without a thread they are found when they are wanted.
            drop(thread::Builder::new().name("sluice-peers".to_owned()).spawn(work));
        }
        self.next = Some(pending);
    }

    /// The group of a point.
    pub(crate) fn of(&self, point: &Point) -> Option<u64> {
        let centres: Vec<Point> = self.groups.iter().map(|g| g.centre).collect();
        nearest(&centres, point).and_then(|at| self.groups.get(at)).map(|group| group.id)
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

/// The centres of the groups of a sample.
fn find(sample: &[Point]) -> Vec<Point> {
    if sample.len() < ENTITIES_MIN {
        return Vec::new();
    }
    let tried = TRIED.into_iter().filter(|k| k * 10 <= sample.len());
    let found = tried.filter_map(|k| {
        let centres = centres(sample, k)?;
        Some((silhouette(sample, &centres), centres))
    });
    // The first of equals: fewer groups.
    let best = found.reduce(|best, next| if next.0 > best.0 { next } else { best });
    match best {
        Some((silhouette, centres)) if silhouette >= SILHOUETTE_MIN => centres,
        Some(_) | None => Vec::new(),
    }
}

/// k-means: centres chosen apart from each other (k-means++, Arthur and Vassilvitskii 2007) from a fixed
/// seed, then moved to the means of what is nearest until nothing changes. `None` if there are fewer
/// different points than centres.
fn centres(sample: &[Point], k: usize) -> Option<Vec<Point>> {
    let mut dice = Dice(k as u64);
    let mut centres = vec![*sample.get(dice.below(sample.len()))?];
    let mut apart: Vec<f64> = sample.iter().map(|_| f64::INFINITY).collect();
    while centres.len() < k {
        let last = *centres.last()?;
        for (far, point) in apart.iter_mut().zip(sample) {
            *far = far.min(distance(&last, point));
        }
        let mut at = dice.share() * apart.iter().sum::<f64>();
        let chosen = apart.iter().zip(sample).filter(|(far, _)| **far > 0.0).find(|(far, _)| {
            at -= **far;
            at <= 0.0
        });
        centres.push(*chosen?.1);
    }
    for _ in 0..ROUNDS_MAX {
        let mut sums = vec![([0.0_f64; DIMENSIONS], 0_u32); k];
        for point in sample {
            if let Some((sum, members)) = nearest(&centres, point).and_then(|i| sums.get_mut(i)) {
                *members += 1;
                sum.iter_mut().zip(*point).for_each(|(sum, x)| *sum += f64::from(x));
            }
        }
        let mut moved = false;
        for (centre, (sum, members)) in centres.iter_mut().zip(sums) {
            // One without members stays.
            if members > 0 {
                let mean = sum.map(|x| (x / f64::from(members)) as f32);
                moved |= mean != *centre;
                *centre = mean;
            }
        }
        if !moved {
            break;
        }
    }
    Some(centres)
}

/// A fixed sequence of numbers (SplitMix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        scattered(self.0)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    /// From 0 to 1.
    fn share(&mut self) -> f64 {
        self.next() as f64 / u64::MAX as f64
    }
}

fn nearest(centres: &[Point], point: &Point) -> Option<usize> {
    let near = centres.iter().enumerate().map(|(i, centre)| (distance(centre, point), i));
    near.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, i)| i)
}

/// How much nearer points are to their own centre than to the next one: the mean of `1 - own / next`.
fn silhouette(sample: &[Point], centres: &[Point]) -> f64 {
    let of = |point: &Point| {
        let (mut own, mut next) = (f64::INFINITY, f64::INFINITY);
        for centre in centres {
            let d = distance(centre, point).sqrt();
            if d < own {
                (own, next) = (d, own);
            } else if d < next {
                next = d;
            }
        }
        if next > 0.0 && next.is_finite() { 1.0 - own / next } else { 0.0 }
    };
    sample.iter().map(of).sum::<f64>() / sample.len() as f64
}

fn distance(a: &Point, b: &Point) -> f64 {
    a.iter().zip(b).map(|(x, y)| f64::from(x - y) * f64::from(x - y)).sum()
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
        groups.begin(sample(8, 30));
        groups.adopt();
        let names: std::collections::BTreeSet<u64> = groups.groups.iter().map(|g| g.id).collect();
        assert_eq!((groups.groups.len(), names.len()), (8, 8));
        let before = groups.clone();
        // Others are there, and in another order.
        let mut next = sample(8, 41);
        next.reverse();
        groups.begin(next);
        groups.adopt();
        for point in sample(8, 1) {
            assert_eq!(before.of(&point), groups.of(&point));
        }
        groups.begin(sample(8, 30));
        groups.adopt();
        let again = groups.groups.clone();
        groups.begin(sample(8, 30));
        groups.adopt();
        assert_eq!(groups.groups, again, "the same sample, the same groups");
    }

    #[test]
    fn where_there_are_none_or_few_entities_none_are_found() {
        let alone = |i: u64| {
            let mut point = [0.0; DIMENSIONS];
            for (at, x) in point.iter_mut().enumerate() {
                *x = scattered(i * 100 + at as u64) as f32 / u64::MAX as f32 - 0.5;
            }
            point
        };
        assert_eq!(find(&(0..400).map(alone).collect::<Vec<_>>()), Vec::<Point>::new());
        assert_eq!(find(&sample(4, 5)), Vec::<Point>::new());
    }
}
