//! Processor time by token: who has used how much of late, who works behind the others for it, and who
//! waits. Not the places of pools (see [`super::pool`]), nor what a priority is (see
//! [`crate::priority`]).
//!
//! A token is charged with what its requests do, on the threads of pools and of the server, as the
//! system counts it for each thread; and with its part, by records, of what detection does with what
//! was pushed. What it has used is forgotten over [`WINDOW`].
//!
//! | of the processor, over ten seconds | while | its work |
//! |---|---|---|
//! | at most a fiftieth | | is done at the priority of detection |
//! | more | | behind detection |
//! | more than half of `api.max_processor_per_token` | others work too | far behind, in few places |
//! | more than all of it | likewise, and three fifths of the processor are in use | waits, then 429 |

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use nix::time::{ClockId, clock_gettime};

use super::problem::{Code, Problem};
use crate::clock;

/// Shared by all requests. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Processor {
    inside: Arc<Inside>,
}

#[derive(Debug)]
struct Inside {
    cores: f64,
    /// Of all cores, what one token may use while others work: 0 to 1.
    share: f64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    tokens: BTreeMap<Arc<str>, Used>,
    sampled: Instant,
    /// Seconds that the process had used then; `None`: it is not looked at.
    process: Option<f64>,
    /// Seconds that were charged since then.
    charged: f64,
    /// Of all cores, what the process used of late: 0 to 1.
    busy: f64,
    stats: ProcessorStats,
}

/// What a token has used of late.
#[derive(Clone, Copy, Debug)]
struct Used {
    /// Seconds, of which those of [`WINDOW`] ago count a third.
    seconds: f64,
    /// Seconds that detection may still use for what it pushed.
    owed: f64,
    at: Instant,
}

/// How a token stands to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It uses next to nothing.
    Light,
    /// It uses some.
    Ordinary,
    /// It uses much, and others work too.
    Heavy,
}

/// What is shown of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct ProcessorStats {
    /// Seconds charged to tokens since the start.
    pub(super) charged: f64,
    /// Tokens that are heavy now.
    pub(super) heavy: usize,
    /// Requests that waited since the start, as their token had used more than its share.
    pub(super) waited: u64,
    /// Those of them that were refused.
    pub(super) refused: u64,
}

/// What was used so long ago counts a third.
const WINDOW: Duration = Duration::from_secs(10);
/// Of the processor: who uses less is light.
const LIGHT: f64 = 0.02;
/// Of the share: who uses more is heavy.
const HEAVY: f64 = 0.5;
/// Of the processor: while the process uses less, nobody waits.
const BUSY: f64 = 0.6;
/// Seconds from which a token counts as one that works.
const WORKS: f64 = 0.0001;
/// Detection is charged with at most so many seconds a record to who pushed it.
const RECORD: f64 = 0.000_1;
/// How often the process is looked at.
const SAMPLE: Duration = Duration::from_millis(250);
/// How long a request waits for its token to stand better.
const PATIENCE: Duration = Duration::from_secs(2);
/// Tokens of which more than nothing is known.
const TOKENS: usize = 10_000;

impl Processor {
    /// Of so many cores, of which one token may use so many percent while others work.
    pub(super) fn new(cores: usize, percent: usize) -> Processor {
        let state = State {
            tokens: BTreeMap::new(),
            sampled: clock::monotonic(),
            process: Some(seconds(ClockId::CLOCK_PROCESS_CPUTIME_ID)),
            charged: 0.0,
            busy: 0.0,
            stats: ProcessorStats::default(),
        };
        let share = percent.min(100) as f64 / 100.0;
        let inside = Inside { cores: cores.max(1) as f64, share, state: Mutex::new(state) };
        Processor { inside: Arc::new(inside) }
    }

    /// Does work on this thread, charged to a token.
    pub(super) fn charged<T>(&self, token: &str, work: impl FnOnce() -> T) -> T {
        let before = seconds(ClockId::CLOCK_THREAD_CPUTIME_ID);
        let done = work();
        self.charge(token, seconds(ClockId::CLOCK_THREAD_CPUTIME_ID) - before);
        done
    }

    /// Serves a request, what it does on the threads of the server charged to a token.
    pub(super) fn serving<F: Future>(&self, token: &str, request: F) -> Serving<F> {
        Serving {
            processor: self.clone(),
            token: token.into(),
            used: 0.0,
            request: Box::pin(request),
        }
    }

    /// Charges a token with what detection will do with so many records.
    pub(super) fn owes(&self, token: &str, records: u64) {
        let now = clock::monotonic();
        let mut state = self.inside.lock();
        state.sample(now, self.inside.cores);
        if let Some(used) = state.of(token, now) {
            used.owed += records as f64 * RECORD;
        }
    }

    /// How a token stands.
    pub(super) fn standing(&self, token: &str) -> Standing {
        let mut state = self.inside.lock();
        state.sample(clock::monotonic(), self.inside.cores);
        self.inside.standing(&state, token)
    }

    /// Waits while a token has used more than its share, others work too, and the processor is busy.
    ///
    /// # Errors
    /// 429 with the time after which it will have used less, if that is long.
    pub(super) async fn turn(&self, token: &str) -> Result<(), Problem> {
        let Some(wait) = self.inside.wait(token, clock::monotonic()) else { return Ok(()) };
        self.inside.lock().stats.waited += 1;
        tokio::time::sleep(wait.min(PATIENCE)).await;
        let Some(wait) = self.inside.wait(token, clock::monotonic()) else { return Ok(()) };
        self.inside.lock().stats.refused += 1;
        let percent = (self.inside.share * 100.0).round();
        let text = format!(
            "this token has used more than {percent}% of the processor for {} s, and others wait",
            WINDOW.as_secs()
        );
        let problem = Problem::new(Code::TooManyRequests, text);
        Err(problem
            .hint("ask for less at once; `api.max_processor_per_token` is the limit")
            .retry(wait.as_secs_f64().ceil().max(1.0) as u64))
    }

    /// What is shown of it.
    pub(super) fn stats(&self) -> ProcessorStats {
        let now = clock::monotonic();
        let mut state = self.inside.lock();
        state.sample(now, self.inside.cores);
        let tokens = state.tokens.keys();
        let heavy = tokens.filter(|t| self.inside.standing(&state, t) == Standing::Heavy).count();
        ProcessorStats { heavy, ..state.stats }
    }

    fn charge(&self, token: &str, seconds: f64) {
        let now = clock::monotonic();
        let mut state = self.inside.lock();
        state.charged += seconds;
        state.stats.charged += seconds;
        if let Some(used) = state.of(token, now) {
            used.seconds += seconds;
        }
        state.sample(now, self.inside.cores);
    }
}

impl Inside {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Seconds of a share over the window.
    fn seconds_of(&self, share: f64) -> f64 {
        share * self.cores * WINDOW.as_secs_f64()
    }

    fn standing(&self, state: &State, token: &str) -> Standing {
        let now = state.sampled;
        let own = state.tokens.get(token).map_or(0.0, |used| used.at(now).seconds);
        if own <= self.seconds_of(LIGHT) {
            Standing::Light
        } else if own > self.seconds_of(self.share * HEAVY) && state.others_work(token) {
            Standing::Heavy
        } else {
            Standing::Ordinary
        }
    }

    /// How long until a token has used less than its share; `None`: it need not wait.
    fn wait(&self, token: &str, now: Instant) -> Option<Duration> {
        let mut state = self.lock();
        state.sample(now, self.cores);
        let own = state.tokens.get(token)?.at(now).seconds;
        let most = self.seconds_of(self.share);
        if self.share >= 1.0 || state.busy < BUSY || own <= most || !state.others_work(token) {
            return None;
        }
        Some(WINDOW.mul_f64((own / most).ln()).max(Duration::from_millis(1)))
    }
}

impl State {
    /// What a token has used, up to now; `None` if there are too many tokens.
    fn of(&mut self, token: &str, now: Instant) -> Option<&mut Used> {
        if !self.tokens.contains_key(token) {
            if self.tokens.len() >= TOKENS {
                return None;
            }
            self.tokens.insert(token.into(), Used { seconds: 0.0, owed: 0.0, at: now });
        }
        let used = self.tokens.get_mut(token)?;
        *used = used.at(now);
        Some(used)
    }

    fn others_work(&self, token: &str) -> bool {
        let now = self.sampled;
        self.tokens.iter().any(|(name, used)| &**name != token && used.at(now).seconds > WORKS)
    }

    /// Looks at what the process has used since the last time, if that is long ago, and charges what
    /// detection did of it to those who pushed records.
    fn sample(&mut self, now: Instant, cores: f64) {
        let passed = now.saturating_duration_since(self.sampled);
        let Some(before) = self.process.filter(|_| passed >= SAMPLE) else { return };
        let process = seconds(ClockId::CLOCK_PROCESS_CPUTIME_ID);
        self.take(now, process - before, cores);
        self.process = Some(process);
    }

    fn take(&mut self, now: Instant, used: f64, cores: f64) {
        let passed = now.saturating_duration_since(self.sampled);
        let share = (used / (passed.as_secs_f64() * cores)).clamp(0.0, 1.0);
        // A second after a change nine tenths of it are seen.
        let weight = 1.0 - (-passed.as_secs_f64() / 0.4).exp();
        self.busy += weight * (share - self.busy);
        let detection = (used - std::mem::take(&mut self.charged)).max(0.0);
        self.sampled = now;
        self.tokens.retain(|_, used| {
            *used = used.at(now);
            used.seconds > WORKS / 10.0 || used.owed > WORKS / 10.0
        });
        let owed: f64 = self.tokens.values().map(|used| used.owed).sum();
        if owed <= 0.0 {
            return;
        }
        let part = (detection / owed).min(1.0);
        for used in self.tokens.values_mut() {
            let paid = used.owed * part;
            used.owed -= paid;
            used.seconds += paid;
            self.stats.charged += paid;
        }
    }
}

impl Used {
    /// As it counts at a later moment.
    fn at(self, now: Instant) -> Used {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        let left = (-passed / WINDOW.as_secs_f64()).exp();
        Used { seconds: self.seconds * left, owed: self.owed * left, at: self.at.max(now) }
    }
}

/// A request that is served, see [`Processor::serving`].
pub(super) struct Serving<F> {
    processor: Processor,
    token: Arc<str>,
    used: f64,
    request: Pin<Box<F>>,
}

impl<F: Future> Future for Serving<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let before = seconds(ClockId::CLOCK_THREAD_CPUTIME_ID);
        let polled = self.request.as_mut().poll(context);
        self.used += seconds(ClockId::CLOCK_THREAD_CPUTIME_ID) - before;
        polled
    }
}

impl<F> Drop for Serving<F> {
    fn drop(&mut self) {
        self.processor.charge(&self.token, self.used);
    }
}

/// What a clock of the system for processor time says; 0 where there is none, and nobody is charged.
fn seconds(clock: ClockId) -> f64 {
    clock_gettime(clock).map_or(0.0, |time| Duration::from(time).as_secs_f64())
}

#[cfg(test)]
impl Processor {
    /// As if a token had used so many seconds.
    pub(super) fn used(&self, token: &str, seconds: f64) {
        self.inside.lock().process = None;
        self.charge(token, seconds);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two cores, of which the process uses some; what the test uses is not looked at.
    fn of_two(percent: usize, busy: f64) -> (Processor, Instant) {
        let processor = Processor::new(2, percent);
        let mut state = processor.inside.lock();
        (state.busy, state.process) = (busy, None);
        let now = state.sampled;
        drop(state);
        (processor, now)
    }

    #[test]
    fn who_uses_more_than_a_share_stands_behind_while_others_work() {
        let (processor, _) = of_two(25, 0.9);
        let stands = |token| {
            let state = processor.inside.lock();
            processor.inside.standing(&state, token)
        };
        assert_eq!(stands("a"), Standing::Light);
        processor.charge("a", 1.0);
        assert_eq!(stands("a"), Standing::Ordinary);
        processor.charge("a", 3.0);
        assert_eq!(stands("a"), Standing::Ordinary, "nobody else works");
        processor.charge("b", 0.01);
        assert_eq!((stands("a"), stands("b")), (Standing::Heavy, Standing::Light));
        assert_eq!(processor.stats().heavy, 1);
    }

    #[test]
    fn who_has_used_its_share_waits_until_it_has_not() {
        let (processor, now) = of_two(25, 0.9);
        processor.charge("a", 10.0);
        let wait = |token, now| processor.inside.wait(token, now);
        assert_eq!(wait("a", now), None, "nobody else works");
        processor.charge("b", 0.01);
        let wait_of_a = wait("a", now).unwrap();
        assert!(
            (6.5..7.0).contains(&wait_of_a.as_secs_f64()),
            "ln 2 of ten seconds: {wait_of_a:?}"
        );
        assert_eq!(wait("b", now), None);
        assert_eq!(wait("nobody", now), None);
        processor.inside.lock().busy = 0.5;
        assert_eq!(wait("a", now), None, "there is processor for all");
        let (unlimited, now) = of_two(100, 1.0);
        unlimited.charge("a", 100.0);
        unlimited.charge("b", 0.01);
        assert_eq!(unlimited.inside.wait("a", now), None);
    }

    #[tokio::test]
    async fn the_answer_to_who_waits_in_vain_says_when_and_why() {
        let (processor, _) = of_two(25, 0.9);
        processor.charge("a", 100.0);
        processor.charge("b", 0.01);
        assert!(processor.turn("b").await.is_ok());
        let refused = processor.turn("a").await.unwrap_err();
        assert_eq!(refused.status().as_u16(), 429);
        assert!(refused.text().contains("25% of the processor"), "{}", refused.text());
        assert_eq!((processor.stats().waited, processor.stats().refused), (1, 1));
    }

    #[test]
    fn what_detection_does_is_charged_by_records() {
        let (processor, now) = of_two(25, 0.0);
        processor.owes("many", 30_000);
        processor.owes("few", 10_000);
        processor.charge("reader", 0.5);
        let mut state = processor.inside.lock();
        let later = now + Duration::from_secs(1);
        state.take(later, 2.5, 2.0);
        let used = |token| state.tokens.get(token).map_or(0.0, |used: &Used| used.seconds);
        // 2.5 s of the process less 0.5 s of the reader.
        assert!((1.4..1.6).contains(&used("many")), "{}", used("many"));
        assert!((0.4..0.6).contains(&used("few")), "{}", used("few"));
        assert!((0.4..0.5).contains(&used("reader")), "{}", used("reader"));
        assert!(state.busy > 0.9, "{}", state.busy);
        // What it does beyond a tenth of a millisecond a record is nobody's.
        state.take(later + Duration::from_secs(1), 100.0, 2.0);
        let owed: f64 = state.tokens.values().map(|used| used.owed).sum();
        assert!(owed < 1e-9, "{owed}");
        assert!(state.stats.charged < 5.0, "{}", state.stats.charged);
    }

    #[test]
    fn work_on_a_thread_is_charged_and_forgotten() {
        let (processor, now) = of_two(25, 0.0);
        processor.charged("a", || {
            let begun = seconds(ClockId::CLOCK_THREAD_CPUTIME_ID);
            while seconds(ClockId::CLOCK_THREAD_CPUTIME_ID) - begun < 0.02 {}
        });
        let mut state = processor.inside.lock();
        assert!(state.tokens.get("a").unwrap().seconds > 0.01);
        state.take(now + Duration::from_secs(200), 0.0, 2.0);
        assert!(state.tokens.is_empty());
    }
}
