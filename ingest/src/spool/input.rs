//! A spool as an input without end.

use std::{sync::Arc, time::Duration};

use crossbeam_channel::Sender;

use super::{Shared, Spool, SpoolError, reader::Reader};
use crate::{
    Message, Router, SourceSpec,
    live::{Arrival, Input, InputControl, InputFailure, InputPhase, Place, Positions},
};

/// Reads a spool: about 512 KiB of records at a time, at most 512 of them, sorted by source.
#[derive(Debug)]
pub struct SpoolInput {
    place: Place,
    shared: Arc<Shared>,
    router: Router,
}

/// What is read at once: other inputs wait for what is made of it.
const READ_BYTES: usize = 512 << 10;
/// How long it takes to notice a stop, a pause, or what has become durable.
const TICK: Duration = Duration::from_millis(50);

impl SpoolInput {
    /// The input `name` over a spool. The spool stays open as long as its handle; the input only
    /// reads.
    pub fn new(name: Arc<str>, spool: &Spool, router: Router) -> Self {
        SpoolInput {
            place: Place { input: name, part: "".into() },
            shared: spool.shared.clone(),
            router,
        }
    }

    /// Frees what is durable elsewhere, and shows where reading stands.
    fn report(&self, reader: &mut Reader, from: u64, control: &InputControl, phase: InputPhase) {
        let durable = control.durable().get(&self.place).copied().unwrap_or(from);
        self.shared.free(durable);
        let end = self.shared.stats().end;
        let gaps = reader.take_gaps();
        control.update(|status| {
            status.phase = phase;
            let lag = end.saturating_sub(reader.at());
            status.places.insert(self.place.clone(), Some(lag));
            status.spool_bytes = end.saturating_sub(durable);
            status.gaps.extend(gaps.into_iter().map(|(a, b)| (self.place.clone(), a, b)));
        });
    }

    /// The longest idle time of the sources its records may go to.
    fn idle(&self) -> Duration {
        let idle = self.router.sources().map(|s| s.time_settings.idle).max().unwrap_or_default();
        Duration::from_millis(u64::try_from(idle).unwrap_or_default())
    }

    fn failure(&self, primary: &str, detail: String, hint: &str) -> InputFailure {
        InputFailure {
            input: self.place.input.clone(),
            primary: primary.into(),
            detail: Some(detail),
            hint: Some(hint.into()),
        }
    }
}

impl Input for SpoolInput {
    fn name(&self) -> &Arc<str> {
        &self.place.input
    }

    fn remap(&mut self, sources: &[Arc<SourceSpec>]) -> Result<(), InputFailure> {
        let router = self.router.over(sources.to_vec());
        self.router = router.map_err(|error| error.failure(&self.place.input))?;
        Ok(())
    }

    fn run(
        &mut self,
        from: &Positions,
        out: &Sender<Arrival>,
        control: &InputControl,
    ) -> Result<(), InputFailure> {
        let stats = self.shared.stats();
        let start = from.get(&self.place).copied().unwrap_or(stats.first);
        if start > stats.end {
            return Err(self.failure(
                "the spool ends before the place reached last time",
                format!("it ends at {}, reading had come to {start}", stats.end),
                "its folder was replaced by an older one: open it with that place as its start",
            ));
        }
        if !control.hand_on(Arrival::Assigned(self.place.clone()), out, || {}) {
            return Ok(());
        }
        let mut reader = Reader::new(self.shared.clone(), start);
        let idle = self.idle();
        // Time at the end without a record; `None` once that was said.
        let mut quiet = Some(Duration::ZERO);
        while !control.stopped() {
            if control.paused() {
                self.report(&mut reader, start, control, InputPhase::Paused);
                std::thread::sleep(TICK);
                continue;
            }
            let records = match reader.read(READ_BYTES) {
                Ok(records) => records,
                Err(e) => {
                    let phase = InputPhase::Retrying(e.to_string());
                    self.report(&mut reader, start, control, phase);
                    std::thread::sleep(TICK);
                    continue;
                }
            };
            self.report(&mut reader, start, control, InputPhase::Running);
            if !records.is_empty() {
                quiet = Some(Duration::ZERO);
                let messages = records
                    .into_iter()
                    .map(|(offset, record)| Message {
                        bytes: record.bytes,
                        offset,
                        received_at: record.received_at,
                        envelope: None,
                        source: record.source,
                    })
                    .collect();
                let parts = self.router.chunks(messages);
                let place = self.place.clone();
                let arrival = Arrival::Records { place, parts, next: reader.at() };
                let waiting = || self.report(&mut reader, start, control, InputPhase::Running);
                if !control.hand_on(arrival, out, waiting) {
                    break;
                }
                continue;
            }
            if let Some(why) = self.failed() {
                return Err(self.failure(
                    "the disk of the spool failed",
                    why.to_string(),
                    "everything acknowledged was read; mend the disk and start again",
                ));
            }
            if !self.shared.wait(reader.at(), TICK)
                && let Some(time) = &mut quiet
            {
                *time += TICK;
                if *time >= idle {
                    quiet = None;
                    if !control.hand_on(Arrival::Idle(self.place.clone()), out, || {}) {
                        break;
                    }
                }
            }
        }
        self.report(&mut reader, start, control, InputPhase::Stopped);
        Ok(())
    }
}

impl SpoolInput {
    fn failed(&self) -> Option<SpoolError> {
        self.shared.lock().failed.clone().map(SpoolError::Failed)
    }
}
