//! The thread that watches the disk. Nothing here decides a finding.

use std::{
    sync::{Arc, Weak},
    thread,
    time::Duration,
};

use super::{Phase, Shared};
use crate::EngineError;

/// Between two looks at the disk. A disk that fills faster than `min_free` in this time is full
/// before inputs pause.
const EVERY: Duration = Duration::from_millis(500);

/// Pauses inputs while the file system of the store has less than `min_free` bytes, or than the store
/// needed in vain, until it has twice as much, so that they do not flap.
pub(super) fn disk(shared: &Arc<Shared>, min_free: u64) -> Result<(), EngineError> {
    let shared = Arc::downgrade(shared);
    thread::Builder::new()
        .name("sluice-disk".to_owned())
        .spawn(move || {
            let mut paused = false;
            while let Some(shared) = Weak::upgrade(&shared) {
                let free = shared.store.free_bytes().ok();
                if !look(&shared, free, min_free, &mut paused) {
                    break;
                }
                drop(shared);
                thread::sleep(EVERY);
            }
        })
        .map(drop)
        .map_err(|_| EngineError::Thread("disk"))
}

/// `false` when the service has ended.
fn look(shared: &Shared, free: Option<u64>, min_free: u64, paused: &mut bool) -> bool {
    let mut state = shared.lock();
    if !state.is_running() {
        return false;
    }
    state.disk_free = free;
    let Some(free) = free else { return true };
    let need = state.refused.map_or(min_free, |needed| needed.max(min_free));
    let full = free < if *paused || state.refused.is_some() { 2 * need } else { need };
    let over = !full && state.refused.take().is_some();
    if full != *paused || over {
        *paused = full;
        state.phase = if full {
            tracing::error!(free, need, "disk nearly full: inputs pause");
            Phase::Paused(format!("{free} bytes free on disk, {need} are needed"))
        } else {
            tracing::warn!(free, "disk has space again: inputs go on");
            Phase::Running
        };
        for input in &shared.inputs {
            input.control.pause(full);
        }
        shared.changed.notify_all();
    }
    true
}
