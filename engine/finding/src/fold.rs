//! How what is said about a finding again folds into what is known.

use crate::{Finding, FindingState};

/// The finding to keep after `incoming` arrives for the same id, or `None` if nothing changed.
///
/// The last statement about an id wins, since it follows from all rows of its window: after a crash
/// the rows since the last checkpoint come again, perhaps cut into other batches, and whatever was
/// said on the way, the last statement is that of an undisturbed run. Two kinds of statement are
/// ignored, so that such a replay does not take back for a moment what is known:
///
/// - what is confirmed is final, but for other values of it (a rule that was edited): nothing said
///   before the confirmation, a withdrawal included, is news;
/// - a provisional statement of the same rule version about the same window with fewer rows is an
///   earlier one, since the rows of a window only grow. Windows that differ say nothing about which
///   came first, and a withdrawal holds whatever its count: both are kept.
///
/// A statement about the same window that shows no event, as a confirmation does, keeps those that are
/// known. A kept change gets the next revision.
pub fn fold(known: Option<&Finding>, mut incoming: Finding) -> Option<Finding> {
    let Some(known) = known else {
        incoming.revision = 1;
        return Some(incoming);
    };
    if known.state == FindingState::Confirmed && incoming.state != FindingState::Confirmed {
        return None;
    }
    let earlier = incoming.state == FindingState::Provisional
        && incoming.window.is_some()
        && incoming.window == known.window
        && incoming.rule_version == known.rule_version
        && incoming.count < known.count;
    if earlier {
        return None;
    }
    // The same window of as many events: what shows it was said before.
    let same = incoming.window.is_some() && incoming.window == known.window;
    if same && incoming.evidence.is_empty() && incoming.evidence_total == known.evidence_total {
        incoming.evidence.clone_from(&known.evidence);
    }
    // `late` of a window depends on arrival: it is no change alone, and once true it stays. The row of
    // a finding without one was too late or not: if it comes again in time, it was not, and rules that
    // read findings may count it.
    let late = match incoming.window {
        Some(_) => incoming.late || known.late,
        None => incoming.late && known.late,
    };
    let in_time = incoming.window.is_none() && known.late && !late;
    (incoming.revision, incoming.late) = (known.revision, known.late);
    if *known == incoming && !in_time {
        return None;
    }
    (incoming.revision, incoming.late) = (known.revision + 1, late);
    Some(incoming)
}

#[cfg(test)]
mod tests;
