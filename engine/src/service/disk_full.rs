//! A run that ended because the disk was full: nothing is read until there is room. When there is, and
//! when inputs pause before it comes to that, is decided in [`super::watch`].

use super::{Command, Phase, ReloadReport, Runner};
use crate::{EngineError, SourcePosition, clock::clock, error::chain};

impl Runner {
    /// The disk was full: a commit was refused, and with it all that came after the last checkpoint.
    /// Reads nothing until there is room, then begins again from that checkpoint. `false` if it is to
    /// stop instead.
    pub(super) fn wait_for_space(&mut self, error: &EngineError) -> Result<bool, EngineError> {
        let needed = error.needs();
        tracing::error!(needed, "{}; nothing is read until there is room", chain(error));
        {
            let mut state = self.shared.lock();
            state.refused = Some(needed);
            state.phase = Phase::Paused(chain(error));
        }
        self.shared.changed.notify_all();
        self.stop_inputs();
        let kept = self.shared.store.manifest()?.unwrap_or_default();
        let replays = {
            let mut state = self.shared.lock();
            state.rewinds += 1;
            state.replays_sent
        };
        self.source.rewind(SourcePosition {
            positions: kept.positions,
            partitions: kept.partitions,
            replays,
        });
        // Replays on their way end here, their letters are still kept.
        self.shared.changed.notify_all();
        loop {
            let mut state = self.shared.wait_while(|s| s.refused.is_some() && s.command.is_none());
            match state.command.take() {
                Some(Command::Stop) => return Ok(false),
                Some(Command::Reload(_)) => {
                    let problems = vec!["the disk is full: reload when there is room".to_owned()];
                    let at = clock();
                    state.report = Some(ReloadReport { at, problems, ..ReloadReport::default() });
                    drop(state);
                    self.shared.changed.notify_all();
                }
                None => {
                    drop(state);
                    self.start_inputs();
                    return Ok(true);
                }
            }
        }
    }
}
