//! State of a declaration whose features were edited since: what fits is kept, what is new is empty.

use crate::{
    Feature,
    calibration::Calibration,
    entity::Entity,
    population::{Change, Population},
    unit::{ClosedUnit, OpenUnit},
};

/// What became of the features of stored state.
#[derive(Clone, Debug)]
pub(crate) struct Edit {
    features: Vec<Feature>,
    /// Per feature as it is now: its place in stored state.
    from: Vec<Option<usize>>,
    /// How many there are in stored state.
    stored: usize,
    /// Whether the same features are there, in another order at most: then sums over features are
    /// what they were.
    same: bool,
}

impl Edit {
    /// `stored`: kind and expression of each feature in stored state; `None` if nothing was edited.
    pub(super) fn between(stored: &[(String, String)], features: &[Feature]) -> Option<Edit> {
        let names = |f: &Feature| (format!("{:?}", f.kind), f.reads.to_string());
        let now: Vec<(String, String)> = features.iter().map(names).collect();
        if now == stored {
            return None;
        }
        let mut taken = vec![false; stored.len()];
        let from: Vec<Option<usize>> = now
            .iter()
            .map(|name| {
                let at = stored.iter().zip(&taken).position(|(s, taken)| s == name && !taken)?;
                if let Some(place) = taken.get_mut(at) {
                    *place = true;
                }
                Some(at)
            })
            .collect();
        let same = now.len() == stored.len() && from.iter().all(Option::is_some);
        Some(Edit { features: features.to_vec(), from, stored: stored.len(), same })
    }

    pub(super) fn entity(&self, entity: &mut Entity) {
        entity.profile = self.moved(&entity.profile, Entity::new(&self.features).profile);
        for quarantined in &mut entity.quarantine {
            let empty = OpenUnit::new(&self.features).close(&self.features, 0).features;
            let ClosedUnit { features, .. } = &mut quarantined.unit;
            *features = self.moved(features, empty);
            quarantined.scores = quarantined.scores.take().filter(|_| self.same).map(|mut s| {
                s.features = self.moved(&s.features, vec![None; self.features.len()]);
                s
            });
        }
        if let Some((_, open)) = &mut entity.block {
            self.open_unit(open);
        }
    }

    pub(super) fn open_unit(&self, unit: &mut OpenUnit) {
        unit.features = self.moved(&unit.features, OpenUnit::new(&self.features).features);
    }

    pub(super) fn population(&self, population: &mut Population) {
        let empty = Population::new(&self.features).features;
        population.features = self.moved(&population.features, empty);
        if !self.same {
            population.total = Calibration::default();
        }
    }

    pub(super) fn row_keys(&self, keys: Vec<Option<u64>>) -> Vec<Option<u64>> {
        let mut moved = self.moved(&keys, vec![None; self.features.len()]);
        moved.extend(keys.get(self.stored..).unwrap_or_default());
        moved
    }

    /// A change as it is now; `None` if it is of a feature that is gone.
    pub(super) fn change(&self, change: Change) -> Option<Change> {
        let place = |old: u8| {
            let at = self.from.iter().position(|from| *from == Some(usize::from(old)))?;
            u8::try_from(at).ok()
        };
        Some(match change {
            Change::Share { feature, group, value, by } => {
                Change::Share { feature: place(feature)?, group, value, by }
            }
            Change::Entities { feature, group, by } => {
                Change::Entities { feature: place(feature)?, group, by }
            }
            Change::Window { feature, window, group, before, after, count } => {
                Change::Window { feature: place(feature)?, window, group, before, after, count }
            }
            Change::Benign { mut scores, events } => {
                if !self.same {
                    return None;
                }
                scores.features = self.moved(&scores.features, vec![None; self.features.len()]);
                Change::Benign { scores, events }
            }
            Change::Size(events) => Change::Size(events),
        })
    }

    fn moved<T: Clone>(&self, stored: &[T], empty: Vec<T>) -> Vec<T> {
        let of = |(from, empty): (&Option<usize>, T)| {
            from.and_then(|at| stored.get(at).cloned()).unwrap_or(empty)
        };
        self.from.iter().zip(empty).map(of).collect()
    }
}
