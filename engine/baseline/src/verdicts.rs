//! What people decided about units, for the baselines that run to take: a board that they look at. Not
//! what was decided about findings, which is kept with them, and not what a verdict does to a profile.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::Verdict;

/// Verdicts that are remembered; beyond it those of the oldest units go, which are learned by then.
const VERDICTS_MAX: usize = 65_536;

/// The board. One writer says, any number of baselines read; who reads the same verdict again changes
/// nothing, so that whoever opens it can put up all there are.
#[derive(Debug, Default)]
pub struct Verdicts {
    said: Mutex<Said>,
    version: AtomicU64,
}

/// (entity, unit) -> verdict.
type Units = BTreeMap<(Arc<str>, i64), Verdict>;

#[derive(Debug, Default)]
struct Said {
    /// By baseline: (entity, unit).
    of: BTreeMap<Arc<str>, Units>,
    /// All of them by unit, oldest first.
    by_age: BTreeSet<(i64, Arc<str>, Arc<str>)>,
}

impl Verdicts {
    /// Puts up a verdict about a unit (its start in milliseconds since 1970 UTC), in place of the one
    /// before; `None` takes it down. What was learned by then stays learned.
    pub fn say(&self, baseline: &Arc<str>, entity: &str, unit: i64, verdict: Option<Verdict>) {
        let mut guard = self.lock();
        let said = &mut *guard;
        let entity: Arc<str> = entity.into();
        let age = (unit, baseline.clone(), entity.clone());
        let of = said.of.entry(baseline.clone()).or_default();
        let is_news = match verdict {
            Some(verdict) => {
                said.by_age.insert(age);
                of.insert((entity, unit), verdict) != Some(verdict)
            }
            None => {
                said.by_age.remove(&age);
                of.remove(&(entity, unit));
                false
            }
        };
        if said.by_age.len() > VERDICTS_MAX
            && let Some((unit, baseline, entity)) = said.by_age.pop_first()
            && let Some(of) = said.of.get_mut(&baseline)
        {
            of.remove(&(entity, unit));
        }
        if is_news {
            self.version.fetch_add(1, Ordering::Release);
        }
    }

    /// Grows with every verdict that is news: who has seen it need not ask again.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The verdicts about units of a baseline: entity, unit, verdict.
    pub fn of(&self, baseline: &str) -> Vec<(Arc<str>, i64, Verdict)> {
        let said = self.lock();
        let of = said.of.get(baseline).into_iter().flatten();
        of.map(|((entity, unit), verdict)| (entity.clone(), *unit, *verdict)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_counts_and_the_oldest_units_go_first() {
        let board = Verdicts::default();
        let (signin, flows): (Arc<str>, Arc<str>) = ("signin".into(), "flows".into());
        board.say(&signin, "ann", 5, Some(Verdict::Benign));
        board.say(&signin, "ann", 5, Some(Verdict::Benign));
        assert_eq!(board.version(), 1, "the same again is no news");
        board.say(&signin, "ann", 5, Some(Verdict::Compromised));
        board.say(&flows, "10.0.0.1", 7, Some(Verdict::Benign));
        assert_eq!(board.of("signin"), [("ann".into(), 5, Verdict::Compromised)]);
        board.say(&signin, "ann", 5, None);
        assert_eq!(board.of("signin"), []);
        assert_eq!(board.version(), 3);
        for unit in 0..VERDICTS_MAX as i64 {
            board.say(&signin, "ann", unit + 8, Some(Verdict::Benign));
        }
        assert_eq!(board.of("flows"), [], "the oldest");
        assert_eq!(board.of("signin").len(), VERDICTS_MAX);
    }
}
