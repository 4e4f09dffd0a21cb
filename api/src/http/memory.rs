//! Memory of requests in flight, bounded in sum: bodies while they arrive and inflate, answers until
//! they are taken. Not the memory of queries (`hunts.memory`), not that of the whole process.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use super::problem::{Code, Problem};

/// So many bytes for all requests.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    inside: Arc<Inside>,
}

#[derive(Debug)]
struct Inside {
    bytes: u64,
    /// What one token may hold.
    share: u64,
    state: Mutex<MemoryState>,
}

#[derive(Debug, Default)]
struct MemoryState {
    used: u64,
    by_token: BTreeMap<Arc<str>, u64>,
    refused: u64,
}

/// Bytes of one request, given back when dropped.
#[derive(Debug)]
pub(crate) struct Reserved {
    budget: Arc<Inside>,
    token: Arc<str>,
    bytes: u64,
}

impl Budget {
    /// A budget of which one token may hold half.
    pub(super) fn new(bytes: u64) -> Self {
        let inside = Inside { bytes, share: bytes / 2, state: Mutex::default() };
        Budget { inside: Arc::new(inside) }
    }

    /// Nothing yet, for a request of a token: it grows.
    pub(super) fn of(&self, token: &str) -> Reserved {
        Reserved { budget: self.inside.clone(), token: token.into(), bytes: 0 }
    }

    /// Bytes there are, bytes held, and requests refused for want of them.
    pub(super) fn stats(&self) -> (u64, u64, u64) {
        let state = self.inside.state.lock().unwrap_or_else(PoisonError::into_inner);
        (self.inside.bytes, state.used, state.refused)
    }
}

impl Reserved {
    /// Holds more bytes; `false` if there are not so many for this token now.
    pub(crate) fn grow(&mut self, bytes: u64) -> bool {
        let Inside { bytes: all, share, state } = &*self.budget;
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let own = state.by_token.get(&self.token).copied().unwrap_or(0);
        if state.used.saturating_add(bytes) > *all || own.saturating_add(bytes) > *share {
            state.refused += 1;
            return false;
        }
        state.used += bytes;
        *state.by_token.entry(self.token.clone()).or_default() += bytes;
        self.bytes += bytes;
        true
    }

    /// As [`Reserved::grow`], with the answer for the client.
    ///
    /// # Errors
    /// 503 with `Retry-After`.
    pub(super) fn grown(&mut self, bytes: u64) -> Result<(), Problem> {
        if self.grow(bytes) { Ok(()) } else { Err(exhausted()) }
    }
}

/// The answer where the budget does not suffice.
pub(super) fn exhausted() -> Problem {
    Problem::new(
        Code::Unavailable,
        "requests in flight hold as much memory as `api.memory` allows, or this token half of it",
    )
    .hint("send less at once, and take answers as they come")
    .retry(1)
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let mut state = self.budget.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.used = state.used.saturating_sub(self.bytes);
        if let Some(own) = state.by_token.get_mut(&self.token) {
            *own = own.saturating_sub(self.bytes);
            if *own == 0 {
                state.by_token.remove(&self.token);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_bounded_and_one_token_has_half() {
        let budget = Budget::new(100);
        let mut a = budget.of("a");
        assert!(a.grow(30) && a.grow(20));
        assert!(!a.grow(1) && !budget.of("a").grow(1), "half is a token's");
        let (mut b, mut c) = (budget.of("b"), budget.of("c"));
        assert!(b.grow(40) && !c.grow(11) && c.grow(10));
        assert_eq!(budget.stats(), (100, 100, 3));
        drop(a);
        assert!(c.grow(40));
        drop((b, c));
        assert_eq!(budget.stats().1, 0);
    }
}
