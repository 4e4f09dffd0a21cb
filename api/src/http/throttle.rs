//! Bounds on callers: how fast an address learns that its tokens are wrong, how many requests and
//! streams one token has at once, how many changes it asks for in a minute, and how many records it pushes
//! that nothing can read.

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
    failures: Arc<Mutex<BTreeMap<IpAddr, Window>>>,
    requests: Arc<Places>,
    streams: Arc<Places>,
    /// Changes of each token in the minute at hand.
    changes: Arc<Mutex<BTreeMap<String, Window>>>,
    changes_per_minute: usize,
    /// Records of each token that were set aside a moment ago.
    rejected: Arc<Mutex<BTreeMap<String, Rejected>>>,
    rejected_per_second: usize,
}

/// Records that were set aside, less those that may be since.
#[derive(Clone, Copy, Debug)]
struct Rejected {
    records: f64,
    at: Instant,
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
struct Window {
    count: usize,
    since: Instant,
}

/// A place of a token, given back when dropped.
#[derive(Debug)]
pub(super) struct StreamPlace {
    places: Arc<Places>,
    token: String,
}

/// Refused tokens of an address in a window that get a 401; beyond, 429 until the window ends.
const FAILURES: usize = 20;
const WINDOW: Duration = Duration::from_secs(60);
/// Seconds over which records that are set aside are averaged.
const AVERAGED: f64 = 10.0;
/// Addresses remembered; beyond, the oldest windows are forgotten.
const ADDRESSES: usize = 10_000;

impl Throttle {
    /// With the bounds of the settings.
    pub(super) fn new(settings: &HttpSettings) -> Self {
        Throttle {
            failures: Arc::default(),
            changes: Arc::default(),
            changes_per_minute: settings.changes_per_minute,
            rejected: Arc::default(),
            rejected_per_second: settings.rejected_per_second,
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
        let failures = all.entry(address).or_insert(Window { count: 0, since: now });
        failures.one_more(FAILURES, now)
    }

    /// Counts a change that a token asks for.
    ///
    /// # Errors
    /// 429 if it has asked for too many in this minute.
    pub(super) fn change(&self, token: &str, now: Instant) -> Result<(), Problem> {
        let mut all = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        if !all.contains_key(token) {
            all.retain(|_, window| now.duration_since(window.since) < WINDOW);
        }
        let window = all.entry(token.to_owned()).or_insert(Window { count: 0, since: now });
        let Some(wait) = window.one_more(self.changes_per_minute, now) else { return Ok(()) };
        let text = format!("this token asked for {} changes in a minute", self.changes_per_minute);
        Err(Problem::new(Code::TooManyRequests, text)
            .hint("`api.max_changes_per_minute` is the limit; a bulk change counts as one")
            .retry(wait))
    }

    /// Counts pushed records of a token that were set aside.
    pub(super) fn rejected(&self, token: &str, records: u64, now: Instant) {
        if records == 0 {
            return;
        }
        let rate = self.rejected_per_second as f64;
        let mut all = self.rejected.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, rejected| rejected.left(rate, now) > 0.0);
        let rejected = all.entry(token.to_owned()).or_insert(Rejected { records: 0.0, at: now });
        *rejected = Rejected { records: rejected.left(rate, now) + records as f64, at: now };
    }

    /// Whether a token may push.
    ///
    /// # Errors
    /// 429 if too many of its records were set aside in the last seconds.
    pub(super) fn push(&self, token: &str, now: Instant) -> Result<(), Problem> {
        let rate = self.rejected_per_second as f64;
        let all = self.rejected.lock().unwrap_or_else(PoisonError::into_inner);
        let left = all.get(token).map_or(0.0, |rejected| rejected.left(rate, now));
        let wait = left / rate - AVERAGED;
        if wait < 0.0 {
            return Ok(());
        }
        let text = format!(
            "of what this token pushed more than {} records a second could not be read",
            self.rejected_per_second
        );
        Err(Problem::new(Code::TooManyRequests, text)
            .hint("answers say in `errors` what is wrong with them; `api.max_rejected_per_second` is the limit")
            .retry((wait.ceil() as u64).max(1)))
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

impl Rejected {
    /// How many there are less those that may be since, at so many a second.
    fn left(&self, rate: f64, now: Instant) -> f64 {
        (self.records - now.duration_since(self.at).as_secs_f64() * rate).max(0.0)
    }
}

impl Window {
    /// Counts one; the seconds to wait if it is one too many.
    fn one_more(&mut self, most: usize, now: Instant) -> Option<u64> {
        if now.duration_since(self.since) >= WINDOW {
            *self = Window { count: 0, since: now };
        }
        self.count = self.count.saturating_add(1);
        let left = WINDOW.saturating_sub(now.duration_since(self.since));
        (self.count > most).then(|| left.as_secs().max(1))
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
    fn a_token_asks_for_so_many_changes_in_a_minute() {
        let throttle =
            Throttle::new(&HttpSettings { changes_per_minute: 2, ..HttpSettings::default() });
        let start = clock::monotonic();
        assert!(throttle.change("a", start).is_ok() && throttle.change("a", start).is_ok());
        let refused = throttle.change("a", start + Duration::from_secs(20)).unwrap_err();
        assert!(refused.text().contains("2 changes in a minute"), "{}", refused.text());
        assert!(throttle.change("b", start).is_ok());
        assert!(throttle.change("a", start + WINDOW).is_ok());
        assert!(throttle.change("c", start + 3 * WINDOW).is_ok());
        assert_eq!(throttle.changes.lock().unwrap().len(), 1, "others are forgotten");
    }

    #[test]
    fn a_token_pushes_so_many_records_that_nothing_can_read() {
        let settings = HttpSettings { rejected_per_second: 100, ..HttpSettings::default() };
        let throttle = Throttle::new(&settings);
        let start = clock::monotonic();
        let after = |seconds: f64| start + Duration::from_secs_f64(seconds);
        // All at once, or over ten seconds.
        throttle.rejected("a", 999, start);
        assert!(throttle.push("a", start).is_ok());
        throttle.rejected("a", 501, after(1.0));
        let refused = throttle.push("a", after(1.0)).unwrap_err();
        assert!(refused.text().contains("100 records a second"), "{}", refused.text());
        assert!(throttle.push("b", after(1.0)).is_ok());
        assert!(throttle.push("a", after(4.9)).is_err());
        assert!(throttle.push("a", after(5.1)).is_ok());
        throttle.rejected("b", 1, after(60.0));
        assert_eq!(throttle.rejected.lock().unwrap().len(), 1, "others are forgotten");
        throttle.rejected("c", 0, start);
        assert!(throttle.push("c", start).is_ok());
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
