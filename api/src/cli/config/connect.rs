//! `config check --connect`: what only the world outside can tell. Commits no offsets, keeps
//! nothing.

use std::{net::TcpListener, path::Path};

use sluice_engine::Content;
use sluice_rule::Diagnostic;

use crate::{
    cli::{exit::Failure, output::Output},
    config::Loaded,
};

/// Adds what is wrong outside to the problems, and prints the rows that sample records become.
pub(super) fn check(
    loaded: &mut Loaded,
    content: Option<&Content>,
    out: &mut Output,
) -> Result<(), Failure> {
    let listen = loaded.config.api.listen;
    if let Err(error) = TcpListener::bind(listen) {
        let problem = Diagnostic::error(
            "C010",
            "api.listen",
            format!("cannot listen on {listen}: {error}"),
        )
        .hint("stop the other process (a running `sluice run` has it too), or choose another port");
        loaded.blame("api.listen", problem);
    }
    data_dir(loaded);
    let kafka: Vec<(String, String, crate::config::Kafka)> = loaded
        .config
        .sources
        .iter()
        .filter_map(|(name, s)| Some((name.clone(), s.mapping.clone(), s.kafka.clone()?)))
        .collect();
    for (name, mapping, kafka) in kafka {
        kafka_input(loaded, &name, &mapping, &kafka, content, out)?;
    }
    Ok(())
}

/// Whether the data directory can be made and has room.
fn data_dir(loaded: &mut Loaded) {
    let dir = loaded.config.data_dir.clone();
    if let Err(Failure::Argument { primary, hint }) = crate::cli::run::make_data_dir(&dir) {
        let problem = Diagnostic::error("C010", "data_dir", primary).hint(hint.unwrap_or_default());
        loaded.blame("data_dir", problem);
        return;
    }
    let needed = loaded.config.engine.min_free.0;
    if let Some(free) = free_bytes(&dir).filter(|free| *free < needed) {
        let (free, needed) = (free >> 20, needed >> 20);
        let problem = Diagnostic::error(
            "C010",
            "data_dir",
            format!("{free} MiB are free, below {needed} MiB"),
        )
        .hint("inputs would pause at once: free some space, or lower `engine.min_free`");
        loaded.blame("data_dir", problem);
    }
}

/// Bytes free where a directory is.
fn free_bytes(dir: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(dir).ok()?;
    found.f_bavail.checked_mul(found.f_frsize)
}

/// Brokers, credentials and topics of one input, and what its records become.
fn kafka_input(
    loaded: &mut Loaded,
    name: &str,
    _mapping: &str,
    _kafka: &crate::config::Kafka,
    _content: Option<&Content>,
    _out: &mut Output,
) -> Result<(), Failure> {
    let path = format!("sources.{name}.kafka.brokers");
    let problem = Diagnostic::warning("C010", &path, "this build cannot ask the brokers")
        .hint("use a build that can");
    loaded.blame(&path, problem);
    Ok(())
}
