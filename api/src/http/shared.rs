//! What all handlers share: the node, the pools, the limits, the counters. Knows no handler.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use sluice_engine::QueryLimits;
use sluice_ingest::push::PushLimits;
use tokio::sync::watch;

use super::{
    App, HttpSettings,
    counters::Counters,
    cursor::Cursors,
    idempotency::Idempotency,
    jobs::Jobs,
    memory::Budget,
    pool::{BlockingPool, Lanes},
    problem::{Code, Problem},
    processor::Processor,
    throttle::Throttle,
};
use crate::{
    clock,
    network::Network,
    node::memory::Pressure,
    priority::{Priority, Threads},
    tokens,
};

/// What all handlers share.
#[derive(Clone)]
pub(super) struct Shared(Arc<Inside>);

/// See [`Shared`].
pub(super) struct Inside {
    pub(super) app: App,
    pub(super) counters: Counters,
    pub(super) cursors: Cursors,
    pub(super) throttle: Throttle,
    /// Bytes of bodies and answers in flight.
    pub(super) memory: Budget,
    pub(super) pools: Pools,
    /// Who has used how much of the processor.
    pub(super) processor: Processor,
    /// What reads and hunts run on.
    _threads: [Threads; 2],
    /// Hunts whose answers are fetched later.
    pub(super) jobs: Jobs,
    pub(super) idempotency: Idempotency,
    pub(super) shares: Shares,
    /// Whose `X-Forwarded-For` is believed.
    pub(super) trusted_proxies: Vec<Network>,
    pub(super) stopped: watch::Receiver<bool>,
    pub(super) request_time: Duration,
    pub(super) hunt_limits: QueryLimits,
    /// Bytes of a pushed body as it comes over the wire.
    pub(super) push_bytes: usize,
    pub(super) push_limits: PushLimits,
    /// Whether it serves HTTPS itself.
    pub(super) https: bool,
    /// The description, as served.
    pub(super) openapi: String,
    boot: String,
    requests: AtomicU64,
}

/// What one name may have of what all share.
pub(super) struct Shares {
    pub(super) suppressions: usize,
    pub(super) mutes: usize,
    pub(super) decisions: usize,
    /// Held from counting suppressions until there is one more.
    pub(super) counting: Mutex<()>,
}

/// Blocking work by kind: one kind never waits for another.
pub(super) struct Pools {
    /// `/readyz`, and nothing else.
    pub(super) health: BlockingPool,
    /// Reading the store and searching.
    pub(super) reads: BlockingPool,
    /// Triage: waits for the disk.
    pub(super) writes: BlockingPool,
    /// Pushing: waits for the disk, many at once share one sync.
    pub(super) pushes: BlockingPool,
    /// Hunts.
    pub(super) hunts: BlockingPool,
    /// Signals: wait for the disk.
    pub(super) signals: BlockingPool,
    /// Reloads, one at a time.
    pub(super) reloads: BlockingPool,
    /// The audit log: one record at a time, each waits for the disk.
    pub(super) audit: BlockingPool,
    /// Replays and drops of dead letters, one at a time.
    pub(super) chores: BlockingPool,
}

impl Pools {
    /// All of them.
    pub(super) fn all(&self) -> [&BlockingPool; 9] {
        let Pools { health, reads, writes, pushes, hunts, signals, reloads, audit, chores } = self;
        [health, reads, writes, pushes, hunts, signals, reloads, audit, chores]
    }
}

impl std::ops::Deref for Shared {
    type Target = Inside;

    fn deref(&self) -> &Inside {
        &self.0
    }
}

impl Shared {
    /// Puts it together.
    ///
    /// # Errors
    /// If a metric is defined twice: a defect.
    pub(super) fn new(
        app: App,
        settings: &HttpSettings,
        stopped: watch::Receiver<bool>,
        openapi: String,
    ) -> Result<Shared, prometheus::Error> {
        // Without random numbers the tokens could not have been made; the time tells restarts apart too.
        let boot = tokens::random::<8>()
            .map_or_else(|_| format!("{:x}", clock::now()), |b| tokens::hex(&b));
        let readers = Threads::new("sluice-reads", Priority::Reads);
        let hunters = Threads::new("sluice-hunts", Priority::Hunts);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let processor = Processor::new(cores, settings.processor_per_token);
        let (ordinary, heavy) = (readers.handle(), hunters.handle());
        // Who uses next to nothing is served at once. Changes hold locks that detection takes while they
        // wait for the disk: they are never behind it.
        let lanes = Lanes { light: None, ordinary, heavy: heavy.clone() };
        let far = Lanes { light: heavy.clone(), ordinary: heavy.clone(), heavy };
        let charged = |name, places, lanes: &Lanes| {
            BlockingPool::on(name, places, lanes.clone(), Some(processor.clone()))
        };
        Ok(Shared(Arc::new(Inside {
            counters: Counters::new()?,
            jobs: Jobs::default(),
            idempotency: Idempotency::default(),
            shares: Shares {
                suppressions: settings.suppressions_per_token,
                mutes: settings.mutes_per_token,
                decisions: settings.decisions_per_token,
                counting: Mutex::default(),
            },
            cursors: Cursors::new(app.cursor_key),
            throttle: Throttle::new(settings),
            memory: Budget::new(settings.memory),
            pools: Pools {
                health: BlockingPool::new("health checks", 2),
                reads: charged("reads", 16, &lanes),
                writes: charged("changes", 32, &Lanes::default()),
                pushes: charged("pushes", 16, &lanes),
                hunts: charged("hunts", settings.hunts, &far),
                signals: BlockingPool::new("signals", 16),
                reloads: BlockingPool::new("reloads", 1),
                audit: BlockingPool::new("audit records", 4),
                chores: charged("replays and drops", 1, &Lanes::default()),
            },
            processor,
            _threads: [readers, hunters],
            trusted_proxies: settings.trusted_proxies.clone(),
            stopped,
            request_time: settings.request_time,
            hunt_limits: settings.hunt,
            push_bytes: settings.push_bytes,
            push_limits: settings.push_limits,
            https: settings.tls.is_some(),
            openapi,
            boot,
            requests: AtomicU64::new(1),
            app,
        })))
    }
}

impl Inside {
    /// Refuses what may need much memory while the process is near its limit.
    ///
    /// # Errors
    /// 503 with `Retry-After`.
    pub(super) fn room_for_queries(&self) -> Result<(), Problem> {
        if self.app.memory.pressure() == Pressure::None {
            return Ok(());
        }
        let text = "the process is near its `memory_limit`: searches and hunts are refused";
        Err(Problem::new(Code::Unavailable, text).retry(5))
    }

    /// The JSON of an answer that may be large, made off the async runtime.
    ///
    /// # Errors
    /// 429 if no thread becomes free for it.
    pub(super) async fn answer<T: Serialize>(
        &self,
        make: impl FnOnce() -> T + Send + 'static,
    ) -> Result<Response, Problem> {
        self.pools.reads.run(move || Json(make()).into_response()).await
    }

    /// The answer to a decision about one more entity than a name may have decided about.
    pub(super) fn too_many_decisions(&self) -> Problem {
        let most = self.shares.decisions;
        self.counters.share_refused("decisions", "max_decisions_per_token", most)
    }

    /// The name of the next request: unique over restarts.
    pub(super) fn request_id(&self) -> String {
        format!("{}-{}", self.boot, self.requests.fetch_add(1, Ordering::Relaxed))
    }
}
