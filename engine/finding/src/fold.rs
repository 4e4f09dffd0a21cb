//! How what is said about a finding again folds into what is known.

use crate::{Finding, FindingState};

/// The finding to keep after `incoming` arrives for the same id, or `None` if nothing changed.
///
/// What is confirmed is never unsettled: a replay may say it again in an earlier state and is
/// ignored. A kept change gets the next revision.
pub fn fold(known: Option<&Finding>, mut incoming: Finding) -> Option<Finding> {
    let Some(known) = known else {
        incoming.revision = 1;
        return Some(incoming);
    };
    incoming.revision = known.revision;
    if known.state == FindingState::Confirmed && incoming.state == FindingState::Provisional {
        return None;
    }
    // `late` depends on arrival: once true it stays, and alone it is no change.
    incoming.late |= known.late;
    if *known == incoming {
        return None;
    }
    incoming.revision += 1;
    Some(incoming)
}
