//! `config check --connect`: what only the world outside can tell. Commits no offsets, keeps
//! nothing.

#[cfg(feature = "kafka")]
mod kafka;
#[cfg(feature = "kafka")]
mod samples;

use std::{net::TcpListener, path::Path};

use serde_json::Value as Json;
use sluice_engine::Content;
use sluice_rule::Diagnostic;

use crate::{config::Loaded, exit::Failure, node};

/// A build without the Kafka client: its inputs have their problem already.
#[cfg(not(feature = "kafka"))]
mod kafka {
    use super::{Content, Json, Loaded};

    pub(super) fn check(_: &mut Loaded, _: Option<&Content>, _: bool) -> Vec<Json> {
        Vec::new()
    }
}

/// Adds what is wrong outside to the problems. The answer is what sample records become.
pub(super) fn check(loaded: &mut Loaded, content: Option<&Content>, quiet: bool) -> Vec<Json> {
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
    kafka::check(loaded, content, quiet)
}

/// Whether the data directory can be made and has room.
fn data_dir(loaded: &mut Loaded) {
    let dir = loaded.config.data_dir.clone();
    if let Err(Failure::Argument { primary, hint }) = node::make_data_dir(&dir) {
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
