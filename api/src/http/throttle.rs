//! Bounds on callers: how fast an address learns that its tokens are wrong, and how many requests and
//! streams one token has at once.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{
    problem::{Code, Problem},
    settings::HttpSettings,
};

/// Shared by all requests.
#[derive(Clone, Debug)]
pub(super) struct Throttle {
    failures: Arc<Mutex<BTreeMap<IpAddr, Failures>>>,
    requests: Arc<Places>,
    streams: Arc<Places>,
}

/// How many of something each token has.
#[derive(Debug)]
struct Places {
    what: &'static str,
    taken: Mutex<BTreeMap<String, usize>>,
    per_token: usize,
    /// Of all tokens.
    most: usize,
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    since: Instant,
}

/// A place of a token, given back when dropped.
#[derive(Debug)]
pub(super) struct StreamPlace {
    places: Arc<Places>,
    token: String,
}

/// Refused tokens of an address in a window that get a 401; beyond, 429 until the window ends.
const FAILURES: u32 = 20;
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses remembered; beyond, the oldest windows are forgotten.
const ADDRESSES: usize = 10_000;

impl Throttle {
    /// With the bounds of the settings.
    pub(super) fn new(settings: &HttpSettings) -> Self {
        Throttle {
            failures: Arc::default(),
            requests: Arc::new(Places {
                what: "requests",
                taken: Mutex::default(),
                per_token: settings.requests_per_token,
                most: usize::MAX,
            }),
            streams: Arc::new(Places {
                what: "live streams",
                taken: Mutex::default(),
                per_token: settings.streams_per_token,
                most: settings.streams,
            }),
        }
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

    /// A place for one request of a token, held until its answer is taken.
    pub(super) fn request(&self, token: &str) -> Result<StreamPlace, Problem> {
        Places::enter(&self.requests, token)
    }

    /// A place for one live stream of a token.
    pub(super) fn stream(&self, token: &str) -> Result<StreamPlace, Problem> {
        Places::enter(&self.streams, token)
    }
}

impl Places {
    fn enter(self: &Arc<Self>, token: &str) -> Result<StreamPlace, Problem> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.values().sum::<usize>() >= self.most {
            let text = format!("all {} places for {} are taken", self.most, self.what);
            return Err(Problem::new(Code::Unavailable, text).retry(30));
        }
        let own = taken.entry(token.to_owned()).or_default();
        if *own >= self.per_token {
            let text = format!("this token has {} {} already", self.per_token, self.what);
            return Err(Problem::new(Code::TooManyRequests, text).retry(1));
        }
        *own += 1;
        Ok(StreamPlace { places: self.clone(), token: token.to_owned() })
    }
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.token) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.token);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn an_address_has_so_many_refusals_and_then_waits() {
        let throttle = Throttle::new(&HttpSettings::default());
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
        let throttle = Throttle::new(&HttpSettings {
            requests_per_token: 2,
            streams_per_token: 2,
            streams: 3,
            ..HttpSettings::default()
        });
        let first = throttle.request("a").unwrap();
        let _second = throttle.request("a").unwrap();
        assert!(throttle.request("a").is_err());
        assert!(throttle.request("b").is_ok());
        drop(first);
        assert!(throttle.request("a").is_ok());
        let _streams = [throttle.stream("a").unwrap(), throttle.stream("a").unwrap()];
        assert!(throttle.stream("a").is_err());
        let _last = throttle.stream("b").unwrap();
        assert!(throttle.stream("c").is_err());
    }
}
