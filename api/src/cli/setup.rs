//! The process itself: logging to stderr, and how it is interrupted.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tracing_subscriber::EnvFilter;

/// Starts logging. `SLUICE_LOG` (tracing's filter syntax) wins over the flags.
pub(crate) fn logging(verbose: u8, quiet: bool) {
    let level = match (quiet, verbose) {
        (true, _) => "error",
        (false, 0) => "warn",
        (false, 1) => "info",
        (false, _) => "debug",
    };
    let filter = EnvFilter::try_from_env("SLUICE_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let started = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .try_init();
    if started.is_err() {
        eprintln!("warning: logging was started already");
    }
}

/// A flag that ctrl-c or a termination signal sets. The second time ends the process at once.
pub(crate) fn interrupt() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let set = stop.clone();
    let handler = move || {
        if set.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    };
    if ctrlc::set_handler(handler).is_err() {
        tracing::warn!("ctrl-c will not end this cleanly");
    }
    stop
}
