//! What is said of windows: what was said before, what is new, and how it becomes emissions. Does not
//! know how rows are kept or judged.

use std::sync::Arc;

use sluice_event::{TimeFlags, Value};

use super::{group, window_row_key};
use crate::{
    Change, Emission, EmitMode, FindingState, StreamPlan, WindowPlan,
    caps::Caps,
    emission::Outlet,
    events::EventRef,
    keys::{Keys, Slot},
    operator::{Env, Restore},
    state::{Reader, StateError, Writer},
};

/// What was last reported of each window that is not closed yet, by id.
#[derive(Debug, Default)]
#[expect(clippy::box_collection, reason = "most keys report nothing: none costs a pointer")]
pub(crate) struct Reported(Option<Box<Vec<Group>>>);

/// A window as it would be reported: its aggregates now.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Group {
    /// Start of the window; of the cell for a sliding one.
    pub(super) id: i64,
    pub(super) window: (i64, i64),
    /// Of the newest row.
    pub(super) time: i64,
    pub(super) rows: u64,
    pub(super) late: bool,
    pub(super) time_flags: TimeFlags,
    pub(super) caps: Caps,
    pub(super) aggregates: Box<[Value]>,
}

/// A window, or a cell of them, with what is to be reported of it.
#[derive(Debug)]
pub(crate) struct Cell {
    pub(super) id: i64,
    /// Nothing can change it any more.
    pub(super) closed: bool,
    /// The limits to which rows of it were lost, so that not qualifying proves nothing.
    pub(super) caps: Caps,
    pub(super) verdict: Verdict,
}

#[derive(Debug)]
pub(crate) enum Verdict {
    /// What was reported last holds.
    AsReported,
    /// This qualifies, or nothing does.
    Judged(Option<Group>),
    /// In time order; the last one that HAVING keeps qualifies.
    Open {
        groups: Vec<Group>,
        /// Whether these are all of the window: if not and none qualifies, what was reported holds.
        whole: bool,
    },
}

/// What happens to a finding.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Said {
    pub(super) change: Change,
    /// Whether its window is another than was said before: then its rows are shown.
    pub(super) news: bool,
}

impl Said {
    fn gone() -> Self {
        Said { change: Change::Withdraw, news: false }
    }
}

/// An emission before its columns are computed.
pub(super) struct Update {
    pub(super) slot: Slot,
    pub(super) keys: Box<[Value]>,
    pub(super) change: Change,
    pub(super) group: Group,
    pub(super) evidence: Vec<EventRef>,
}

/// The emissions of updates of one rule, `member` of its operator: SELECT over all of them at once.
pub(crate) fn emit<S>(
    (rule_index, member): (usize, usize),
    (plan, window): (&StreamPlan, &WindowPlan),
    keys: &Keys<S>,
    updates: Vec<Update>,
    env: &mut Env<'_>,
    out: &mut Outlet<'_>,
) {
    if updates.is_empty() {
        return;
    }
    let groups: Vec<(&[Value], &Group)> = updates.iter().map(|u| (&*u.keys, &u.group)).collect();
    let failures = &mut env.stats[member].failures;
    let Some((kept, columns)) = group::select(window, &plan.output, &groups, failures) else {
        return;
    };
    let columns = Arc::new(columns);
    for (row, index) in kept.into_iter().enumerate() {
        let Some(Update { slot, change, group, evidence, .. }) = updates.get(index as usize) else {
            continue;
        };
        out.push(Emission {
            rule_index,
            key: window_row_key(keys.key(*slot), window.window, group.id),
            change: *change,
            time: group.time,
            window: Some(group.window),
            count: group.rows,
            late: group.late,
            time_flags: group.time_flags,
            capped_by: match group.caps | Caps::LIST.when(group.has_truncated_list()) {
                Caps::NONE => Vec::new(),
                caps => env.limits.caps(caps, window),
            },
            columns: columns.clone(),
            row,
            evidence: evidence.iter().filter_map(|event| env.events.text(*event)).collect(),
            evidence_total: group.rows,
        });
    }
}

impl Reported {
    /// What to report of a window `(id, closed, caps)`, given the group that qualifies now.
    pub(super) fn reconcile(
        &mut self,
        (id, closed, caps): (i64, bool, Caps),
        best: Option<Group>,
        emit: EmitMode,
    ) -> Option<(Said, Group)> {
        let before = self.remove(id);
        let sticks = emit == EmitMode::OnMatch || !caps.is_none();
        // What grows and holds no more has lost rows.
        let lost = if caps.is_none() { Caps::ROWS } else { caps };
        let group = match (best, &before) {
            // A report never shrinks because rows were thinned.
            (Some(group), Some(before)) if !group.caps.is_none() && group.rows <= before.rows => {
                Group { caps: before.caps | group.caps, ..before.clone() }
            }
            (Some(group), _) => group,
            (None, Some(before)) if sticks => Group { caps: before.caps | lost, ..before.clone() },
            (None, Some(before)) => return Some((Said::gone(), before.clone())),
            (None, None) => return None,
        };
        let news = before.as_ref() != Some(&group);
        if closed {
            return Some((Said { change: Change::Upsert(FindingState::Confirmed), news }, group));
        }
        self.insert(group.clone());
        let said = Said { change: Change::Upsert(FindingState::Provisional), news };
        news.then_some((said, group))
    }

    pub(super) fn has(&self, id: i64) -> bool {
        self.get(id).is_some()
    }

    pub(super) fn get(&self, id: i64) -> Option<&Group> {
        self.0.as_ref()?.iter().find(|g| g.id == id)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = i64> {
        self.0.iter().flat_map(|groups| groups.iter().map(|g| g.id))
    }

    fn remove(&mut self, id: i64) -> Option<Group> {
        let groups = self.0.as_mut()?;
        let at = groups.iter().position(|g| g.id == id)?;
        let group = groups.remove(at);
        if groups.is_empty() {
            self.0 = None;
        }
        Some(group)
    }

    fn insert(&mut self, group: Group) {
        self.0.get_or_insert_default().push(group);
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |g| g.capacity() * 112)
    }

    pub(super) fn encode(&self, w: &mut Writer) {
        let reported = self.0.as_deref().map_or(&[][..], |r| r);
        w.length(reported.len());
        for group in reported {
            for n in [group.id, group.window.0, group.window.1, group.time] {
                w.signed(n);
            }
            w.unsigned(group.rows);
            w.byte(u8::from(group.late) | group.time_flags.bits() << 1);
            w.byte(group.caps.bits());
            w.values(&group.aggregates);
        }
    }

    pub(super) fn decode(
        r: &mut Reader<'_>,
        restore: &mut Restore<'_>,
    ) -> Result<Self, StateError> {
        let reported = r.list(|r| {
            let (id, start, end, time) = (r.signed()?, r.signed()?, r.signed()?, r.signed()?);
            let (rows, flags) = (r.unsigned()?, r.byte()?);
            let (late, time_flags) = (flags & 1 != 0, TimeFlags::from_bits(flags >> 1));
            let caps = Caps::from_bits(r.byte()?);
            let aggregates = r.list(|r| Ok(restore.texts.held(r.value()?)))?.into();
            let window = (start, end);
            Ok(Group { id, window, time, rows, late, time_flags, caps, aggregates })
        })?;
        Ok(Reported((!reported.is_empty()).then(|| Box::new(reported))))
    }
}

impl Group {
    /// Whether a list of values of it shows less than there is.
    fn has_truncated_list(&self) -> bool {
        self.aggregates.iter().any(|v| matches!(v, Value::List(list) if list.truncated))
    }
}

impl Cell {
    /// The group that qualifies, of a cell that is judged.
    pub(super) fn best(self, reported: &Reported) -> Option<Group> {
        match self.verdict {
            Verdict::AsReported => {
                let known = reported.get(self.id)?;
                Some(Group { caps: known.caps | self.caps, ..known.clone() })
            }
            Verdict::Judged(best) => best,
            Verdict::Open { .. } => None,
        }
    }

    pub(super) fn groups(&self) -> usize {
        match &self.verdict {
            Verdict::Open { groups, .. } => groups.len(),
            Verdict::AsReported | Verdict::Judged(_) => 1,
        }
    }
}
