//! Logging of the process: to stderr, by level.

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
