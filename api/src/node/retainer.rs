//! The thread that applies retention each minute. Not what retention removes (see
//! [`FindingStore::retain`]).

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use sluice_engine::durable::FindingStore;

use super::follower::{end, sleep, spawn};
use crate::{clock, exit::engine_error};

/// The thread.
pub(super) struct Retainer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

const EVERY: Duration = Duration::from_secs(60);

impl Retainer {
    /// Starts it.
    pub(super) fn start(store: FindingStore) -> Retainer {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = spawn("retention", {
            let stop = stop.clone();
            move || {
                while !stop.load(Ordering::Relaxed) {
                    if let Err(error) = store.retain(clock::now()) {
                        let error = engine_error(&error).replace('\n', " ");
                        tracing::warn!("retention is tried again in a minute: {error}");
                    }
                    sleep(EVERY, &stop);
                }
            }
        });
        Retainer { stop, thread }
    }

    /// Ends it.
    pub(super) fn stop(mut self) {
        end(&self.stop, self.thread.take());
    }
}
