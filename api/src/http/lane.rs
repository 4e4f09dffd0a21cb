//! Blocking work, off the async runtime, so many at a time. What does not fit waits a moment and is
//! then told to come back.

use std::{sync::Arc, time::Duration};

use tokio::sync::Semaphore;

use super::problem::{Code, Problem};

/// Work of one kind.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    room: Arc<Semaphore>,
    what: &'static str,
}

/// How long a request waits for room.
const PATIENCE: Duration = Duration::from_secs(2);

impl Lane {
    /// At most `room` pieces of work at a time.
    pub(super) fn new(what: &'static str, room: usize) -> Self {
        Lane { room: Arc::new(Semaphore::new(room)), what }
    }

    /// Does the work on a thread that may block. Work that has begun ends, whether or not the
    /// request is still there, and holds its place until then.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let room = tokio::time::timeout(PATIENCE, self.room.clone().acquire_owned()).await;
        let Ok(Ok(place)) = room else {
            return Err(Problem::new(
                Code::TooManyRequests,
                format!("as many {} as can be served at once are running", self.what),
            )
            .retry(2));
        };
        let done = tokio::task::spawn_blocking(move || {
            let _place = place;
            work()
        });
        done.await.map_err(|error| {
            tracing::error!(%error, what = self.what, "blocking work panicked");
            Problem::new(Code::Internal, "the request hit a defect; the log has it")
        })
    }
}
