//! An HTTP input from the side of its senders: a request becomes durable records of its spool, then
//! is accepted. Not HTTP (see [`crate::http`]), not the reading of the spool.

use std::{
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::Duration,
};

use sluice_ingest::{
    Router, SourceSpec,
    push::{self, Encoding, PushLimits},
    spool::{Spool, SpoolError},
};

use crate::http::{Door, LineError, PushError, Pushed};

/// A disk that takes longer has no room for more. The records may be stored all the same, and come
/// again when they are sent again.
const PATIENCE: Duration = Duration::from_secs(20);

/// The door of one input.
pub(in crate::cli) struct SpoolDoor {
    spool: Spool,
    mapping: Option<String>,
    routers: Mutex<Routers>,
}

/// Requests are judged side by side: each takes a router, and puts it back.
struct Routers {
    sources: Vec<Arc<SourceSpec>>,
    idle: Vec<Router>,
    /// Grows with each change of the sources; routers from before are not put back.
    generation: u64,
}

impl SpoolDoor {
    /// A door before a spool. `mapping` is the source of all records; without, each is looked at.
    pub(super) fn new(
        spool: Spool,
        mapping: Option<String>,
        sources: Vec<Arc<SourceSpec>>,
    ) -> SpoolDoor {
        let routers = Routers { sources, idle: Vec::new(), generation: 0 };
        SpoolDoor { spool, mapping, routers: Mutex::new(routers) }
    }

    /// Judges by other mapping sources from now on, as the engine does.
    pub(super) fn remap(&self, sources: Vec<Arc<SourceSpec>>) {
        let mut routers = self.routers.lock().unwrap_or_else(PoisonError::into_inner);
        let generation = routers.generation + 1;
        *routers = Routers { sources, idle: Vec::new(), generation };
    }

    fn judge(&self, body: &[u8], at: i64) -> Result<push::Pushed, PushError> {
        let (router, sources, generation) = {
            let mut routers = self.routers.lock().unwrap_or_else(PoisonError::into_inner);
            (routers.idle.pop(), routers.sources.clone(), routers.generation)
        };
        let mut router = match router {
            Some(router) => router,
            None => Router::new(sources, self.mapping.as_deref())
                .map_err(|error| PushError::Full(error.to_string()))?,
        };
        let pushed = push::read(&mut router, body, at, None).map_err(refused);
        let mut routers = self.routers.lock().unwrap_or_else(PoisonError::into_inner);
        if routers.generation == generation {
            routers.idle.push(router);
        }
        pushed
    }
}

impl Door for SpoolDoor {
    fn push(&self, encoding: Option<&str>, body: &[u8], at: i64) -> Result<Pushed, PushError> {
        let encoding = encoding.map_or(Ok(Encoding::Identity), Encoding::parse).map_err(refused)?;
        let body = push::inflate(encoding, body, PushLimits::default()).map_err(refused)?;
        let pushed = self.judge(&body, at)?;
        let (done, stored) = mpsc::sync_channel(1);
        // Nobody waits for it any more only after `PATIENCE`.
        let tell = move |result| drop(done.try_send(result));
        self.spool.append(&pushed.records, Box::new(tell));
        match stored.recv_timeout(PATIENCE) {
            Ok(result) => result.map_err(|error| not_stored(&error))?,
            Err(_) => {
                return Err(PushError::Busy("the disk of the spool does not answer".to_owned()));
            }
        }
        let line = |e: push::LineError| LineError { line: e.line, code: e.code, detail: e.detail };
        Ok(Pushed {
            accepted: pushed.answer.accepted,
            rejected: pushed.answer.rejected,
            errors: pushed.answer.errors.into_iter().map(line).collect(),
        })
    }
}

fn refused(error: push::PushError) -> PushError {
    let text = error.to_string();
    match error {
        push::PushError::Encoding(_) => PushError::Encoding(text),
        push::PushError::Damaged { .. } => PushError::Damaged(text),
        push::PushError::TooLarge { .. } => PushError::TooLarge(text),
        push::PushError::Empty => PushError::Empty,
    }
}

fn not_stored(error: &SpoolError) -> PushError {
    let text = error.to_string();
    match error {
        SpoolError::Busy => PushError::Busy(text),
        SpoolError::TooLarge { .. } => PushError::TooLarge(text),
        SpoolError::Full { .. }
        | SpoolError::DiskFull
        | SpoolError::Failed(_)
        | SpoolError::Locked(_)
        | SpoolError::Io { .. } => PushError::Full(text),
    }
}
