//! How many dead letters of each input wait for a commit: an input that has sent many is not read on
//! until they are kept, so that it waits where it is stored and nobody else does. Not the letters.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::PlacedDeadLetter;

/// How many dead letters of each input wait to be kept: shared by who makes them, who keeps them and
/// the source that reads inputs. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Backlog(Arc<Mutex<BTreeMap<Arc<str>, usize>>>);

/// An input with so many waiting is not read: a few commits of them.
const MOST: usize = 1_024;

impl Backlog {
    /// They wait from now on.
    pub(crate) fn add(&self, letters: &[PlacedDeadLetter]) {
        let mut counts = self.lock();
        for input in letters.iter().filter_map(|letter| letter.place.as_ref().map(|p| &p.input)) {
            *counts.entry(input.clone()).or_default() += 1;
        }
    }

    /// They are kept.
    pub(crate) fn done(&self, letters: &[PlacedDeadLetter]) {
        let mut counts = self.lock();
        for input in letters.iter().filter_map(|letter| letter.place.as_ref().map(|p| &p.input)) {
            if let Some(count) = counts.get_mut(input) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    counts.remove(input);
                }
            }
        }
    }

    /// How many of an input wait.
    pub(crate) fn of(&self, input: &str) -> usize {
        self.lock().get(input).copied().unwrap_or(0)
    }

    /// Whether so many of an input wait that it is to wait, too.
    pub(crate) fn is_long(&self, input: &str) -> bool {
        self.of(input) >= MOST
    }

    /// A run begins, and what the one before has not kept comes again.
    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
