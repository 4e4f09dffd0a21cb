//! The process itself: logging to stderr, and how it is interrupted.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tracing_subscriber::EnvFilter;

use super::output::printable;
use crate::config::{Log, LogFormat};

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
        .with_writer(io::stderr)
        .with_target(false)
        .try_init();
    if started.is_err() {
        eprintln!("warning: logging was started already");
    }
}

/// Starts the logging of a service: as configured; `SLUICE_LOG` and the flags win.
pub(crate) fn service_logging(log: &Log, verbose: u8, quiet: bool) {
    let level = match (quiet, verbose) {
        (true, _) => "error",
        (false, 0) => log.level.0,
        (false, 1) => "info",
        (false, _) => "debug",
    };
    let filter = EnvFilter::try_from_env("SLUICE_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_target(false);
    let started = match log.format {
        LogFormat::Json => builder.json().flatten_event(true).with_writer(io::stderr).try_init(),
        LogFormat::Text => builder.with_writer(|| Escaped(io::stderr())).try_init(),
    };
    if started.is_err() {
        eprintln!("warning: logging was started already");
    }
}

/// A log line of text in which what events say is made harmless. JSON escapes by itself.
struct Escaped(io::Stderr);

impl Write for Escaped {
    /// A whole line at a time, as the formatter hands it on.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let text = text.strip_suffix('\n').unwrap_or(&text);
        self.0.write_all(format!("{}\n", printable(text)).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
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
