//! Blocking work, off the async runtime: so many pieces at a time, shared fairly between tokens. Not
//! what the work is.
//!
//! - One token holds at most three quarters of the places of a pool (one of two): another always gets in.
//! - A place that becomes free goes to the waiting token that holds the fewest.
//! - A token that uses much of the processor while others work ([`Standing::Heavy`]) holds at most a
//!   quarter of the places, gets one after all others, and its work runs at a lower priority.
//! - A place is held until its work has ended, whether or not the request is still there; the work is
//!   informed when the request is gone ([`Work::is_cancelled`]).

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{runtime::Handle, sync::oneshot};

use super::{
    problem::{Code, Problem},
    processor::{Processor, Standing},
};
use crate::clock;

tokio::task_local! {
    /// The token whose request the task serves.
    static TOKEN: Arc<str>;
}

/// Serves a request in the name of a token: what it runs in a pool counts for that token.
pub(super) fn as_token<F: Future>(
    token: &str,
    request: F,
) -> impl Future<Output = F::Output> + use<F> {
    TOKEN.scope(token.into(), request)
}

/// Work of one kind.
#[derive(Clone, Debug)]
pub(super) struct BlockingPool {
    inside: Arc<Inside>,
}

#[derive(Debug)]
struct Inside {
    /// What it does, for messages and metrics: `reads`.
    name: &'static str,
    places: usize,
    /// Places that one token may hold.
    share: usize,
    /// Places that a token has that uses much of the processor.
    heavy_share: usize,
    threads: Lanes,
    /// Who is charged with the work.
    processor: Option<Processor>,
    state: Mutex<State>,
}

/// Where the work of a token runs, by how it stands; `None`: on threads of the runtime at hand.
#[derive(Clone, Debug, Default)]
pub(super) struct Lanes {
    /// Of one that uses next to nothing.
    pub(super) light: Option<Handle>,
    /// Of one that uses some.
    pub(super) ordinary: Option<Handle>,
    /// Of one that uses much while others work.
    pub(super) heavy: Option<Handle>,
}

#[derive(Debug)]
struct State {
    free: usize,
    /// Places held, by token.
    held: BTreeMap<Arc<str>, usize>,
    waiting: VecDeque<Waiting>,
    /// Seconds that a piece of work takes, a moving average.
    mean: f64,
    refused: u64,
}

/// A request that has no place yet.
#[derive(Debug)]
struct Waiting {
    token: Arc<str>,
    standing: Standing,
    sender: oneshot::Sender<Place>,
}

/// What a pool shows of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PoolStats {
    /// Its name.
    pub(super) name: &'static str,
    /// Places there are.
    pub(super) places: usize,
    /// Places held.
    pub(super) busy: usize,
    /// Requests that wait for one.
    pub(super) waiting: usize,
    /// Requests refused since the start, because none became free in time.
    pub(super) refused: u64,
}

/// The right to run, given back when dropped.
#[derive(Debug)]
struct Place {
    pool: Arc<Inside>,
    token: Arc<str>,
    since: Instant,
}

/// A piece of work as it is seen from inside. While a clone lives, its place is held.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    cancelled: Arc<AtomicBool>,
    _place: Arc<Place>,
}

/// How long a request waits for a place.
const PATIENCE: Duration = Duration::from_secs(2);
/// The weight of the newest piece of work in the average.
const NEWEST: f64 = 0.2;
/// The longest wait that is asked of a client, seconds.
const RETRY_MOST: f64 = 60.0;

impl BlockingPool {
    /// At most `places` pieces of work at a time.
    pub(super) fn new(name: &'static str, places: usize) -> Self {
        BlockingPool::on(name, places, Lanes::default(), None)
    }

    /// As [`BlockingPool::new`], on threads of others, the work charged to the token it is for.
    pub(super) fn on(
        name: &'static str,
        places: usize,
        threads: Lanes,
        processor: Option<Processor>,
    ) -> Self {
        let places = places.max(1);
        let reserve = if places > 1 { (places / 4).max(1) } else { 0 };
        let state = State {
            free: places,
            held: BTreeMap::new(),
            waiting: VecDeque::new(),
            mean: 0.0,
            refused: 0,
        };
        let share = places - reserve;
        let heavy_share = (places / 4).max(1);
        let state = Mutex::new(state);
        let inside = Inside { name, places, share, heavy_share, threads, processor, state };
        BlockingPool { inside: Arc::new(inside) }
    }

    /// Does work that is short on a thread that may block.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        self.run_cancellable(|_| work()).await
    }

    /// Does work that may be long: it looks at [`Work::is_cancelled`], and ends within a second of it.
    pub(super) async fn run_cancellable<T: Send + 'static>(
        &self,
        work: impl FnOnce(Work) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let (place, standing) = self.enter().await?;
        let cancelled = Arc::new(AtomicBool::new(false));
        // Dropped with the request, wherever it is dropped: deadline, disconnect, end of the server.
        let _end = CancelOnDrop(cancelled.clone());
        let token = place.token.clone();
        let handle = Work { cancelled, _place: Arc::new(place) };
        let name = self.inside.name;
        let processor = self.inside.processor.clone();
        let work = move || match processor {
            Some(processor) => processor.charged(&token, || work(handle)),
            None => work(handle),
        };
        let running = match self.inside.threads.of(standing) {
            Some(threads) => threads.spawn_blocking(work),
            None => tokio::task::spawn_blocking(work),
        };
        running.await.map_err(|error| {
            tracing::error!(%error, what = name, "blocking work panicked");
            Problem::new(Code::Internal, "the request hit a defect; the log has it")
        })
    }

    /// What it is doing.
    pub(super) fn stats(&self) -> PoolStats {
        let state = self.inside.lock();
        PoolStats {
            name: self.inside.name,
            places: self.inside.places,
            busy: self.inside.places - state.free,
            waiting: state.waiting.len(),
            refused: state.refused,
        }
    }

    async fn enter(&self) -> Result<(Place, Standing), Problem> {
        let token = TOKEN.try_with(Arc::clone).unwrap_or_else(|_| "".into());
        let standing =
            self.inside.processor.as_ref().map_or(Standing::Light, |p| p.standing(&token));
        let (sender, receiver) = oneshot::channel();
        let granted = {
            let mut state = self.inside.lock();
            state.waiting.push_back(Waiting { token: token.clone(), standing, sender });
            self.inside.grant(&mut state)
        };
        hand_out(granted);
        if let Ok(Ok(place)) = tokio::time::timeout(PATIENCE, receiver).await {
            return Ok((place, standing));
        }
        let mut state = self.inside.lock();
        state.waiting.retain(|waiting| !waiting.sender.is_closed());
        state.refused += 1;
        let share = self.inside.share_of(standing);
        let whose = if state.held.get(&token).is_some_and(|held| *held >= share) {
            format!("this token has {share} {} running", self.inside.name)
        } else {
            format!("all {} places for {} are taken", self.inside.places, self.inside.name)
        };
        let wait = self.inside.retry_after(&state);
        drop(state);
        Err(Problem::new(Code::TooManyRequests, whose).retry(wait))
    }
}

impl Work {
    /// Whether nobody waits for it any more.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Places on their way to those who wait; sent without the lock, as one that is not taken comes back.
type Granted = Vec<(oneshot::Sender<Place>, Place)>;

impl Inside {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Places that a token may hold.
    fn share_of(&self, standing: Standing) -> usize {
        match standing {
            Standing::Light | Standing::Ordinary => self.share,
            Standing::Heavy => self.share.min(self.heavy_share),
        }
    }

    /// Gives free places to those who wait: who uses much of the processor last, the token that holds the
    /// fewest first, then who came first.
    fn grant(self: &Arc<Self>, state: &mut State) -> Granted {
        let mut granted = Vec::new();
        while state.free > 0 {
            let held = |w: &Waiting| state.held.get(&w.token).copied().unwrap_or(0);
            let waiting = state.waiting.iter().enumerate();
            let next = waiting
                .filter(|(_, w)| held(w) < self.share_of(w.standing) && !w.sender.is_closed())
                .min_by_key(|(at, w)| (w.standing == Standing::Heavy, held(w), *at))
                .map(|(at, _)| at);
            let next = next.and_then(|at| state.waiting.remove(at));
            let Some(Waiting { token, sender, .. }) = next else { break };
            state.free -= 1;
            *state.held.entry(token.clone()).or_default() += 1;
            let place = Place { pool: self.clone(), token, since: clock::monotonic() };
            granted.push((sender, place));
        }
        granted
    }

    /// Seconds until who waits now, and one more, will have had a place.
    fn retry_after(&self, state: &State) -> u64 {
        let ahead = (state.waiting.len() + 1) as f64;
        (ahead * state.mean / self.places as f64).ceil().clamp(1.0, RETRY_MOST) as u64
    }
}

impl Lanes {
    fn of(&self, standing: Standing) -> Option<&Handle> {
        match standing {
            Standing::Light => self.light.as_ref(),
            Standing::Ordinary => self.ordinary.as_ref(),
            Standing::Heavy => self.heavy.as_ref(),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let took = self.since.elapsed().as_secs_f64();
        let granted = {
            let mut state = self.pool.lock();
            state.free += 1;
            if let Some(held) = state.held.get_mut(&self.token) {
                *held -= 1;
                if *held == 0 {
                    state.held.remove(&self.token);
                }
            }
            state.mean += NEWEST * (took - state.mean);
            self.pool.grant(&mut state)
        };
        hand_out(granted);
    }
}

fn hand_out(granted: Granted) {
    for (sender, place) in granted {
        // One that has given up meanwhile drops the place, which goes to the next.
        drop(sender.send(place));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(pool: &BlockingPool, token: &'static str) -> tokio::task::JoinHandle<Option<Place>> {
        let pool = pool.clone();
        tokio::spawn(as_token(
            token,
            async move { pool.enter().await.ok().map(|(place, _)| place) },
        ))
    }

    #[tokio::test]
    async fn one_token_never_takes_every_place() {
        let pool = BlockingPool::new("reads", 4);
        let mut first = Vec::new();
        for _ in 0..3 {
            first.push(hold(&pool, "a").await.unwrap().unwrap());
        }
        assert!(hold(&pool, "a").await.unwrap().is_none(), "its share is three of four");
        let other = hold(&pool, "b").await.unwrap().unwrap();
        assert_eq!((pool.stats().busy, pool.stats().refused), (4, 1));
        assert!(hold(&pool, "c").await.unwrap().is_none(), "all are taken");
        drop(other);
        assert!(hold(&pool, "c").await.unwrap().is_some());
        drop(first);
        assert_eq!(pool.stats().busy, 0);
    }

    #[tokio::test]
    async fn a_free_place_goes_to_who_has_fewest() {
        let pool = BlockingPool::new("reads", 2);
        let a = hold(&pool, "a").await.unwrap().unwrap();
        let b = hold(&pool, "b").await.unwrap().unwrap();
        let greedy: Vec<_> = (0..8).map(|_| hold(&pool, "a")).collect();
        tokio::task::yield_now().await;
        let late = hold(&pool, "c");
        tokio::task::yield_now().await;
        drop(b);
        assert!(late.await.unwrap().is_some(), "before eight that came earlier");
        drop(a);
        greedy.into_iter().for_each(|task| task.abort());
    }

    #[tokio::test]
    async fn who_uses_much_of_the_processor_has_few_places_and_gets_them_last() {
        let processor = Processor::new(2, 25);
        let pool = BlockingPool::on("reads", 8, Lanes::default(), Some(processor.clone()));
        processor.used("greedy", 100.0);
        processor.used("calm", 0.01);
        let first = hold(&pool, "greedy").await.unwrap().unwrap();
        let second = hold(&pool, "greedy").await.unwrap().unwrap();
        let mut calm = Vec::new();
        for _ in 0..6 {
            calm.push(hold(&pool, "calm").await.unwrap().unwrap());
        }
        drop(second);
        let third = hold(&pool, "other").await.unwrap().unwrap();
        let greedy = hold(&pool, "greedy");
        tokio::task::yield_now().await;
        let late = hold(&pool, "other");
        tokio::task::yield_now().await;
        drop(first);
        let fourth = late.await.unwrap();
        assert!(fourth.is_some(), "before who came earlier and uses much");
        let share = hold(&pool, "greedy");
        drop(calm);
        assert!(greedy.await.unwrap().is_some() && share.await.unwrap().is_some());
        assert_eq!(pool.stats().refused, 0);
        drop((third, fourth));
    }

    #[tokio::test]
    async fn work_is_charged_to_its_token() {
        let processor = Processor::new(2, 25);
        let pool = BlockingPool::on("reads", 2, Lanes::default(), Some(processor.clone()));
        let work = || (0..3_000_000_u64).fold(0, |sum, n| std::hint::black_box(sum ^ n));
        as_token("a", pool.run(work)).await.unwrap();
        assert!(processor.stats().charged > 0.001, "{:?}", processor.stats());
    }

    #[tokio::test]
    async fn work_learns_that_its_request_is_gone_and_keeps_its_place_until_it_ends() {
        let pool = BlockingPool::new("hunts", 1);
        let (begun, has_begun) = oneshot::channel();
        let request = tokio::spawn({
            let pool = pool.clone();
            async move {
                pool.run_cancellable(move |work| {
                    begun.send(()).ok();
                    while !work.is_cancelled() {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    std::thread::sleep(Duration::from_millis(100));
                })
                .await
            }
        });
        has_begun.await.unwrap();
        request.abort();
        assert!(request.await.is_err());
        assert_eq!(pool.stats().busy, 1, "the work goes on for a moment");
        while pool.stats().busy > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
