//! Bounds on callers: how fast an address learns that its tokens are wrong, and how much one token
//! does at once.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::super::problem::{Code, Problem};

/// Shared by all requests.
#[derive(Clone, Debug)]
pub(in super::super) struct Throttle {
    failures: Arc<Mutex<BTreeMap<IpAddr, Failures>>>,
    busy: Arc<Mutex<BTreeMap<String, usize>>>,
    per_token: usize,
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    since: Instant,
}

/// A place of a token, given back when dropped.
#[derive(Debug)]
pub(in super::super) struct Place {
    busy: Arc<Mutex<BTreeMap<String, usize>>>,
    token: String,
}

/// Refused tokens that an address is told of in a window; beyond, 429 until the window ends.
const FAILURES: u32 = 20;
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses remembered; beyond, the oldest windows are forgotten.
const ADDRESSES: usize = 10_000;

impl Throttle {
    /// At most `per_token` requests of one token at a time.
    pub(in super::super) fn new(per_token: usize) -> Self {
        Throttle { failures: Arc::default(), busy: Arc::default(), per_token }
    }

    /// Counts a refused token of an address; the seconds to wait if there were too many.
    pub(super) fn failed(&self, address: IpAddr, now: Instant) -> Option<u64> {
        let mut all = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= ADDRESSES && !all.contains_key(&address) {
            all.retain(|_, f| now.duration_since(f.since) < WINDOW);
            if all.len() >= ADDRESSES {
                return Some(WINDOW.as_secs());
            }
        }
        let failures = all.entry(address).or_insert(Failures { count: 0, since: now });
        if now.duration_since(failures.since) >= WINDOW {
            *failures = Failures { count: 0, since: now };
        }
        failures.count = failures.count.saturating_add(1);
        let left = WINDOW.saturating_sub(now.duration_since(failures.since));
        (failures.count > FAILURES).then(|| left.as_secs().max(1))
    }

    /// A place for one request of a token.
    pub(super) fn enter(&self, token: &str) -> Result<Place, Problem> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let count = busy.entry(token.to_owned()).or_default();
        if *count >= self.per_token {
            return Err(Problem::new(
                Code::TooManyRequests,
                format!("this token has {} requests running already", self.per_token),
            )
            .retry(1));
        }
        *count += 1;
        Ok(Place { busy: self.busy.clone(), token: token.to_owned() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = busy.get_mut(&self.token) {
            *count -= 1;
            if *count == 0 {
                busy.remove(&self.token);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::super::clock, *};

    #[test]
    fn an_address_is_told_so_often_and_then_to_wait() {
        let throttle = Throttle::new(1);
        let start = clock::monotonic();
        let [one, two] = [IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 0, 0, 2])];
        for _ in 0..FAILURES {
            assert_eq!(throttle.failed(one, start), None);
        }
        assert_eq!(throttle.failed(one, start + Duration::from_secs(20)), Some(40));
        assert_eq!(throttle.failed(two, start), None);
        assert_eq!(throttle.failed(one, start + WINDOW), None);
    }

    #[test]
    fn a_token_has_so_many_places_and_gets_them_back() {
        let throttle = Throttle::new(2);
        let first = throttle.enter("a").unwrap();
        let _second = throttle.enter("a").unwrap();
        assert!(throttle.enter("a").is_err());
        assert!(throttle.enter("b").is_ok());
        drop(first);
        assert!(throttle.enter("a").is_ok());
    }
}
