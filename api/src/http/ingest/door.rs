//! A door onto a spool: inflates, cuts into records, stores, and answers once that is durable.

use std::sync::{Arc, Mutex, PoisonError, RwLock, mpsc};

use sluice_ingest::{
    RouteError, Router, SourceSpec,
    push::{Encoding, PushAnswer, PushError as Refusal, PushLimits, inflate, read},
    spool::{Spool, SpoolError},
};

use super::super::{Door, PushError};

/// The door of one `http` input.
pub(crate) struct SpoolDoor {
    spool: Spool,
    limits: PushLimits,
    /// The one source its records are for; `None`: each is asked for.
    mapping: Option<String>,
    routers: RwLock<Arc<Routers>>,
}

/// Routers over one set of sources. Looking at records takes a router for itself: there come to be as
/// many as there are pushes at a time.
struct Routers {
    specs: Vec<Arc<SourceSpec>>,
    free: Mutex<Vec<Router>>,
}

impl SpoolDoor {
    /// A door onto `spool` for records of `mapping`, or of any of `specs`.
    ///
    /// # Errors
    /// If no source is named `mapping`.
    pub(crate) fn new(
        spool: Spool,
        specs: Vec<Arc<SourceSpec>>,
        mapping: Option<&str>,
        limits: PushLimits,
    ) -> Result<SpoolDoor, RouteError> {
        let routers = Routers::new(specs, mapping)?;
        Ok(SpoolDoor {
            spool,
            limits,
            mapping: mapping.map(str::to_owned),
            routers: RwLock::new(Arc::new(routers)),
        })
    }

    /// Looks at records by other sources from now on.
    ///
    /// # Errors
    /// If none of them is the door's own; then it goes on as before.
    pub(crate) fn remap(&self, specs: Vec<Arc<SourceSpec>>) -> Result<(), RouteError> {
        let routers = Routers::new(specs, self.mapping.as_deref())?;
        *self.routers.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(routers);
        Ok(())
    }
}

impl Door for SpoolDoor {
    fn push(&self, encoding: Option<&str>, body: &[u8], at: i64) -> Result<PushAnswer, PushError> {
        let encoding = Encoding::parse(encoding.unwrap_or_default())?;
        let body = inflate(encoding, body, self.limits)?;
        let routers = self.routers.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut router = routers.take(self.mapping.as_deref())?;
        let pushed = read(&mut router, &body, at, None);
        routers.give_back(router);
        let pushed = pushed?;
        let (done, stored) = mpsc::sync_channel(1);
        // The receiver waits below; it is gone only if this thread is.
        self.spool.append(&pushed.records, Box::new(move |result| drop(done.send(result))));
        match stored.recv() {
            Ok(Ok(())) => Ok(pushed.answer),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(PushError::Full("the spool has ended".to_owned())),
        }
    }
}

impl Routers {
    fn new(specs: Vec<Arc<SourceSpec>>, mapping: Option<&str>) -> Result<Routers, RouteError> {
        let first = Router::new(specs.clone(), mapping)?;
        Ok(Routers { specs, free: Mutex::new(vec![first]) })
    }

    fn take(&self, mapping: Option<&str>) -> Result<Router, PushError> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match free {
            Some(router) => Ok(router),
            None => Router::new(self.specs.clone(), mapping)
                .map_err(|error| PushError::Full(error.to_string())),
        }
    }

    fn give_back(&self, router: Router) {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push(router);
    }
}

impl From<Refusal> for PushError {
    fn from(refusal: Refusal) -> Self {
        let text = refusal.to_string();
        match refusal {
            Refusal::Encoding(_) => PushError::Encoding(text),
            Refusal::Damaged { .. } => PushError::Damaged(text),
            Refusal::TooLarge { .. } => PushError::TooLarge(text),
            Refusal::Empty => PushError::Empty,
        }
    }
}

impl From<SpoolError> for PushError {
    fn from(error: SpoolError) -> Self {
        let text = error.to_string();
        match error {
            SpoolError::Busy => PushError::Busy(text),
            SpoolError::TooLarge { .. } => PushError::TooLarge(text),
            SpoolError::Full { .. } | SpoolError::DiskFull => PushError::Full(text),
            // Paths are for the log, not for senders.
            SpoolError::Failed(_) | SpoolError::Locked(_) | SpoolError::Io { .. } => {
                tracing::error!(%error, "the spool takes nothing");
                PushError::Full("the spool has failed; the log says why".to_owned())
            }
        }
    }
}
