//! An HTTP input from the side of its senders: a request becomes durable records of its spool, then
//! is accepted. Not HTTP (see `http::ingest`), not the reading of the spool.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::Duration,
};

use sluice_ingest::{
    InputOptions, RouteError, Router, SourceSpec,
    push::{self, Encoding, PushAnswer, PushLimits, Pushed},
    spool::{Spool, SpoolError},
};

/// The endpoints of a node by the name of their input.
pub(crate) type PushEndpoints = BTreeMap<String, Arc<PushEndpoint>>;

/// The endpoint of one input.
pub(crate) struct PushEndpoint {
    spool: Spool,
    mapping: Option<String>,
    /// What the input says of the codec of its records.
    options: InputOptions,
    routers: Mutex<Routers>,
}

/// Why a whole request was not taken. Nothing of it is kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PushFailure {
    /// What is wrong with the body.
    #[error(transparent)]
    Body(#[from] push::PushError),
    /// Why the spool does not take it.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The disk took longer than this. The records may be stored all the same.
    #[error("the disk of the spool did not answer within {} s", .0.as_secs())]
    Slow(Duration),
    /// The mapping source of the input is gone.
    #[error(transparent)]
    Mapping(#[from] RouteError),
}

/// A disk that takes longer does not keep up. The records may be stored all the same, and come
/// again when they are sent again.
const PATIENCE: Duration = Duration::from_secs(20);

/// Requests are read side by side: each takes a router, and puts it back.
struct Routers {
    sources: Vec<Arc<SourceSpec>>,
    idle: Vec<Router>,
    /// Grows with each change of the sources; routers from before are not put back.
    generation: u64,
}

impl PushEndpoint {
    /// An endpoint over a spool. `mapping` is the source of all records; without, each is looked at.
    pub(crate) fn new(
        spool: Spool,
        mapping: Option<String>,
        options: InputOptions,
        sources: Vec<Arc<SourceSpec>>,
    ) -> PushEndpoint {
        let routers = Routers { sources, idle: Vec::new(), generation: 0 };
        PushEndpoint { spool, mapping, options, routers: Mutex::new(routers) }
    }

    /// Reads by other mapping sources from now on, as the engine does.
    pub(crate) fn remap(&self, sources: Vec<Arc<SourceSpec>>) {
        let mut routers = self.lock();
        let generation = routers.generation + 1;
        *routers = Routers { sources, idle: Vec::new(), generation };
    }

    /// Takes a request body as it came over the wire. `encoding` is its `Content-Encoding`, lower case,
    /// `None` for identity; `at` the receive time, milliseconds since 1970 UTC. When it returns, all
    /// records are durable, those too that will be set aside. `grow` is asked before more bytes of memory
    /// are used, and may say no.
    ///
    /// # Errors
    /// Why nothing of it was taken.
    pub(crate) fn push(
        &self,
        encoding: Option<&str>,
        body: &[u8],
        limits: PushLimits,
        grow: &mut dyn FnMut(u64) -> bool,
        at: i64,
    ) -> Result<PushAnswer, PushFailure> {
        let encoding = encoding.map_or(Ok(Encoding::Identity), Encoding::parse)?;
        let body = push::inflate(encoding, body, limits, grow)?;
        // The records, and the bytes of them on their way to the disk.
        if !grow(2 * body.len() as u64) {
            return Err(push::PushError::NoMemory.into());
        }
        let pushed = self.read(&body, limits, at)?;
        drop(body);
        let (done, stored) = mpsc::sync_channel(1);
        // The receiver is gone only after `PATIENCE`.
        let report = move |result| drop(done.try_send(result));
        self.spool.append(&pushed.records, Box::new(report));
        match stored.recv_timeout(PATIENCE) {
            Ok(result) => result?,
            Err(_) => return Err(PushFailure::Slow(PATIENCE)),
        }
        Ok(pushed.answer)
    }

    fn read(&self, body: &[u8], limits: PushLimits, at: i64) -> Result<Pushed, PushFailure> {
        let (router, sources, generation) = {
            let mut routers = self.lock();
            (routers.idle.pop(), routers.sources.clone(), routers.generation)
        };
        let mut router = match router {
            Some(router) => router,
            None => Router::for_input(&sources, self.mapping.as_deref(), &self.options)?,
        };
        let pushed = push::read(&mut router, body, at, None, limits);
        let mut routers = self.lock();
        if routers.generation == generation {
            routers.idle.push(router);
        }
        Ok(pushed?)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Routers> {
        self.routers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
