//! An input and the thread it runs on.

use std::{sync::Arc, thread, thread::JoinHandle};

use crossbeam_channel::Sender;
use sluice_ingest::{
    SourceSpec,
    live::{Arrival, Input, InputControl, InputFailure, InputPhase, Positions},
};

use super::{InputEntry, LiveInput};

/// An input, at rest or running.
pub(super) struct InputThread {
    pub name: Arc<str>,
    pub control: Arc<InputControl>,
    kind: &'static str,
    mapping: String,
    /// Where what it reads goes.
    out: Sender<Arrival>,
    input: Option<Box<dyn Input>>,
    thread: Option<JoinHandle<Box<dyn Input>>>,
}

impl InputThread {
    pub(super) fn new(live: LiveInput, out: Sender<Arrival>) -> Self {
        InputThread {
            name: live.input.name().clone(),
            control: Arc::default(),
            kind: live.kind,
            mapping: live.mapping,
            out,
            input: Some(live.input),
            thread: None,
        }
    }

    /// How it is shown.
    pub(super) fn entry(&self) -> InputEntry {
        InputEntry {
            name: self.name.clone(),
            kind: self.kind,
            mapping: self.mapping.clone(),
            control: self.control.clone(),
        }
    }

    /// Its mapping source; `None` if its records tell.
    pub(super) fn source(&self) -> Option<Arc<str>> {
        (self.mapping != "auto").then(|| self.mapping.as_str().into())
    }

    /// Takes other mapping sources, while it is at rest.
    pub(super) fn remap(&mut self, sources: &[Arc<SourceSpec>]) -> Result<(), InputFailure> {
        self.input.as_mut().map_or(Ok(()), |input| input.remap(sources))
    }

    /// Lets it read on.
    pub(super) fn start(&mut self, from: &Positions) {
        let Some(mut input) = self.input.take() else { return };
        self.control.resume();
        let (control, from, out) = (self.control.clone(), from.clone(), self.out.clone());
        let name = self.name.clone();
        let spawned = thread::Builder::new().name(format!("input-{name}")).spawn(move || {
            if let Err(failure) = input.run(&from, &out, &control) {
                tracing::error!(input = %failure.input, detail = failure.detail, hint = failure.hint, "{failure}");
                control.update(|s| s.phase = InputPhase::Failed(failure.to_string()));
                // The engine is gone only when everything ends.
                out.send(Arrival::Failed(failure)).ok();
            } else {
                control.update(|s| s.phase = InputPhase::Stopped);
            }
            input
        });
        match spawned {
            Ok(thread) => self.thread = Some(thread),
            Err(error) => self.control.update(|s| s.phase = InputPhase::Failed(error.to_string())),
        }
    }

    pub(super) fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|t| !t.is_finished())
    }

    /// Waits for it to end.
    pub(super) fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            match thread.join() {
                Ok(input) => self.input = Some(input),
                Err(_) => self.control.update(|s| {
                    s.phase = InputPhase::Failed("its thread stopped unexpectedly".to_owned());
                }),
            }
        }
    }
}
