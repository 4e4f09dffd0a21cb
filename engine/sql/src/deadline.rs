//! The end of the time that one text may take, for the thread that works on it: planning checks it
//! between two passes, capped functions at every call. Work that has no thread of its own has no end.
//!
//! A query ends when nobody waits any longer, by the clock on the wall. Planning the operator's own files
//! ends by the time that the thread itself has worked: a busy machine must not make a good rule a bad one.

use std::{
    any::Any,
    cell::RefCell,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use datafusion::{
    common::{DataFusionError, Result, config::ConfigOptions, tree_node::Transformed},
    logical_expr::LogicalPlan,
    optimizer::{AnalyzerRule, OptimizerConfig, OptimizerRule},
};
use nix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

use crate::error::SqlProblem;

/// Somebody waits for the result, until they say otherwise. Cheap to clone; the thread that does the
/// work has a clone until it ends.
#[derive(Clone, Debug, Default)]
pub struct Cancel {
    cancelled: Arc<AtomicBool>,
    /// Dropped with the last clone.
    _held: Option<Arc<dyn Any + Send + Sync>>,
}

impl Cancel {
    /// The same, holding something until the work has ended, even if nobody waits for it by then: a
    /// place among those that may work at a time.
    pub fn holding(&self, held: impl Any + Send + Sync) -> Cancel {
        Cancel { cancelled: self.cancelled.clone(), _held: Some(Arc::new(held)) }
    }

    /// Nobody waits any more: the work ends at its next check.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether nobody waits any more.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

/// When the work of a thread ends.
#[derive(Clone, Debug)]
pub(crate) struct Deadline {
    end: End,
    allowed: Duration,
    cancel: Cancel,
}

#[derive(Clone, Copy, Debug)]
enum End {
    At(Instant),
    /// Of the thread's own time.
    Spent(Duration),
}

impl Deadline {
    /// At `end`, which is so long from now, or when it is cancelled.
    pub(crate) fn at(end: Instant, allowed: Duration, cancel: Cancel) -> Deadline {
        Deadline { end: End::At(end), allowed, cancel }
    }

    /// When this thread has worked so long from now on. On a system that does not tell, after so long.
    pub(crate) fn of_work(allowed: Duration) -> Deadline {
        let end = match spent() {
            Some(spent) => End::Spent(spent + allowed),
            None => End::At(Instant::now() + allowed),
        };
        Deadline { end, allowed, cancel: Cancel::default() }
    }

    fn is_over(&self) -> bool {
        match self.end {
            End::At(end) => Instant::now() >= end,
            End::Spent(end) => spent().is_some_and(|spent| spent >= end),
        }
    }

    /// Whether nobody waits any more.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }
}

thread_local! {
    static CURRENT: RefCell<Option<Deadline>> = const { RefCell::new(None) };
}

/// Does `work` with this end.
pub(crate) fn within<T>(deadline: Deadline, work: impl FnOnce() -> T) -> T {
    let before = CURRENT.with(|current| current.borrow_mut().replace(deadline));
    let done = work();
    CURRENT.with(|current| *current.borrow_mut() = before);
    done
}

/// An error if the work of this thread should have ended.
pub(crate) fn check() -> Result<()> {
    CURRENT.with(|current| {
        let current = current.borrow();
        let Some(deadline) = current.as_ref() else { return Ok(()) };
        if deadline.is_cancelled() {
            return Err(DataFusionError::ResourcesExhausted(CANCELLED.to_owned()));
        }
        if !deadline.is_over() {
            return Ok(());
        }
        let text = format!("the text takes longer than the {:?} it may", deadline.allowed);
        Err(SqlProblem::new("R019", text).hint("a shorter text, or fewer nested SELECTs").into())
    })
}

/// How long this thread has worked.
fn spent() -> Option<Duration> {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).ok().map(Duration::from)
}

/// Whether the work of this thread has an end at all.
pub(crate) fn is_set() -> bool {
    CURRENT.with(|current| current.borrow().is_some())
}

/// What cancelled work ends with.
pub(crate) const CANCELLED: &str = "it was cancelled";

/// A pass of planning that changes nothing and stops late work.
#[derive(Debug)]
pub(crate) struct Checkpoint;

impl AnalyzerRule for Checkpoint {
    fn name(&self) -> &str {
        "deadline"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        check().map(|()| plan)
    }
}

impl OptimizerRule for Checkpoint {
    fn name(&self) -> &str {
        "deadline"
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        check().map(|()| Transformed::no(plan))
    }
}

/// `passes` with a check before each.
pub(crate) fn interleaved<T: ?Sized>(
    passes: Vec<Arc<T>>,
    check: impl Fn() -> Arc<T>,
) -> Vec<Arc<T>> {
    passes.into_iter().flat_map(|pass| [check(), pass]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_is_no_work() {
        let allowed = Duration::from_millis(50);
        within(Deadline::of_work(allowed), || {
            std::thread::sleep(2 * allowed);
            assert!(check().is_ok(), "others had the machine");
            while spent().is_some() && check().is_ok() {
                std::hint::spin_loop();
            }
        });
        let end = Instant::now() + allowed;
        within(Deadline::at(end, allowed, Cancel::default()), || {
            std::thread::sleep(2 * allowed);
            assert!(check().is_err(), "whoever asked has waited");
        });
    }
}
