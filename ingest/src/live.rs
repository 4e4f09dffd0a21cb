//! Inputs that do not end: what a Kafka consumer or a spool gives the engine, and how the engine
//! tells it what is durable. Not the inputs themselves (see `crate::kafka` and [`crate::spool`]),
//! not threads.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crossbeam_channel::{SendTimeoutError, Sender};
use thiserror::Error;

use crate::{Chunk, SourceSpec};

/// An input without end. Runs on a thread of its own.
///
/// Guarantees the engine relies on: arrivals of one place come in its order, each with the position
/// after it; from a position, the same records come again. The input keeps within the channel it
/// is given: when that is full it waits, and stays a member of whatever group it belongs to.
/// Non-guarantees: any order between places.
pub trait Input: Send {
    /// Its name in the configuration, `okta` of `[sources.okta]`.
    fn name(&self) -> &Arc<str>;

    /// Takes other mapping sources, between two runs.
    ///
    /// # Errors
    /// If the source its configuration names is not among them.
    fn remap(&mut self, sources: &[Arc<SourceSpec>]) -> Result<(), InputFailure>;

    /// Reads on from `from` until told to stop. Places that `from` does not name start where the
    /// configuration says. What goes wrong for a while is retried and shown in the status.
    ///
    /// # Errors
    /// What only an operator can mend; other inputs go on.
    fn run(
        &mut self,
        from: &Positions,
        out: &Sender<Arrival>,
        control: &InputControl,
    ) -> Result<(), InputFailure>;
}

/// What an input says.
#[derive(Debug)]
pub enum Arrival {
    /// Consecutive records of a place, by mapping source. They count as read together: no checkpoint
    /// falls between the parts. The partition of each chunk is set by whoever receives it. Records
    /// that no source takes are faults ([`crate::DeadLetterCode::NoSource`]) of a part named
    /// [`UNKNOWN`].
    Records {
        /// Where they were read.
        place: Place,
        /// The records of each mapping source.
        parts: Vec<(Arc<str>, Chunk)>,
        /// The position after them: the offset to read next.
        next: u64,
    },
    /// A place is read from now on. It holds back event time until it has spoken or is idle.
    Assigned(Place),
    /// A place is no longer read by this process.
    Revoked(Place),
    /// A place is at its end and nothing has come for its idle time: it need not hold back others.
    Idle(Place),
    /// The input has failed for good.
    Failed(InputFailure),
}

/// The source of records that no mapping source takes.
pub const UNKNOWN: &str = "unknown";

/// Where records lie: a Kafka partition, a spool.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The input's name.
    pub input: Arc<str>,
    /// Which part of it: `logins/3` for a Kafka partition, empty for a spool.
    pub part: Arc<str>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.part {
            "" => f.write_str(&self.input),
            part => write!(f, "{}:{part}", self.input),
        }
    }
}

/// Per place: the offset to read next, one past the last one processed.
pub type Positions = BTreeMap<Place, u64>;

/// How long it takes at most to notice that an input is to stop.
const HAND_ON: Duration = Duration::from_millis(20);

/// What the engine and an input share while it runs.
#[derive(Debug, Default)]
pub struct InputControl {
    stop: AtomicBool,
    pause: AtomicBool,
    hold: AtomicBool,
    durable: Mutex<Positions>,
    status: Mutex<InputStatus>,
}

impl InputControl {
    /// Asks the input to end.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Hands an arrival on as soon as there is room, calling `waiting` now and then until there is;
    /// `false` when nobody takes it any more, or the input is to stop.
    pub fn hand_on(
        &self,
        mut arrival: Arrival,
        out: &Sender<Arrival>,
        mut waiting: impl FnMut(),
    ) -> bool {
        loop {
            match out.send_timeout(arrival, HAND_ON) {
                Ok(()) => return true,
                Err(SendTimeoutError::Timeout(back)) if !self.stopped() => arrival = back,
                Err(SendTimeoutError::Timeout(_) | SendTimeoutError::Disconnected(_)) => {
                    return false;
                }
            }
            waiting();
        }
    }

    /// It may run again.
    pub fn resume(&self) {
        self.stop.store(false, Ordering::Relaxed);
    }

    /// Whether it should end.
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Asks the input to read nothing more for now (the disk is full), or to go on.
    pub fn pause(&self, pause: bool) {
        self.pause.store(pause, Ordering::Relaxed);
    }

    /// Asks the input to read nothing more for now (the process has no memory for it), or to go on:
    /// apart from [`InputControl::pause`], so that neither takes back what the other asks.
    pub fn hold(&self, hold: bool) {
        self.hold.store(hold, Ordering::Relaxed);
    }

    /// Whether it should read nothing for now.
    pub fn paused(&self) -> bool {
        self.pause.load(Ordering::Relaxed) || self.hold.load(Ordering::Relaxed)
    }

    /// Everything before these positions is durable: offsets may be committed, segments freed.
    pub fn set_durable(&self, positions: Positions) {
        *self.durable.lock().unwrap_or_else(PoisonError::into_inner) = positions;
    }

    /// Positions before which everything is durable.
    pub fn durable(&self) -> Positions {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes what the input shows of itself.
    pub fn update(&self, change: impl FnOnce(&mut InputStatus)) {
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// What the input shows of itself.
    pub fn status(&self) -> InputStatus {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What an input shows of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InputStatus {
    /// What it is doing.
    pub phase: InputPhase,
    /// Places it reads, each with how far it is behind: records, or bytes for a spool. `None`
    /// before that is known.
    pub places: BTreeMap<Place, Option<u64>>,
    /// Assignments and revocations since the start, by kind (`assign`, `revoke`, `lost`).
    pub rebalances: BTreeMap<&'static str, u64>,
    /// Places it has paused because the engine is behind.
    pub paused: u64,
    /// Times it made no progress though there was something to read, and started over.
    pub stalled: u64,
    /// Ranges that were gone before they were read: (place, from, to).
    pub gaps: Vec<(Place, u64, u64)>,
    /// Bytes on disk that are not yet processed, for a spool.
    pub spool_bytes: u64,
}

/// What an input is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum InputPhase {
    /// Not yet connected.
    #[default]
    Starting,
    /// Reading.
    Running,
    /// Told to read nothing for now.
    Paused,
    /// Something is wrong that may pass; it tries again. The text says what.
    Retrying(String),
    /// It has given up. The text says why.
    Failed(String),
    /// It has ended as asked.
    Stopped,
}

/// What stopped an input: what, where, and how to mend it.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("input {input}: {primary}")]
pub struct InputFailure {
    /// The input's name.
    pub input: Arc<str>,
    /// What failed.
    pub primary: String,
    /// What the other side said.
    pub detail: Option<String>,
    /// How to mend it.
    pub hint: Option<String>,
}
