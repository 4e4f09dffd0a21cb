//! Repeats of a finding: which findings stand out and which are folded into one that does.
//!
//! The findings of one group (a rule and the values of its `suppression.by` columns), in order of
//! (time, id), are cut into runs: the first one leads, those less than the span after it are folded
//! into it, the next one leads again. So the outcome is a function of the findings alone, whatever
//! their order of arrival. Suppression acts on notification, incidents and signals; it never removes
//! a finding.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    ops::Bound::{Excluded, Unbounded},
};

use crate::FindingId;

/// What repeats of a finding are folded by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RepeatGroup {
    /// Hash of tenant, rule, span and the values of the columns.
    pub group: u128,
    /// Milliseconds after the finding that leads.
    pub span: i64,
}

/// A finding as suppression sees it. Ordered by time, then id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// Event time, milliseconds since 1970 UTC.
    pub time: i64,
    /// The finding.
    pub id: FindingId,
}

/// What has become of a finding in its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The finding it is folded into; itself if it stands out.
    pub leader: Member,
    /// How many are folded into this one.
    pub repeats: u64,
}

/// What a reader of findings is shown of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repeats {
    /// The finding this one is folded into.
    pub folded_into: Option<FindingId>,
    /// How many are folded into this one.
    pub count: u64,
}

impl Standing {
    /// The standing as seen from the finding itself.
    pub fn repeats(&self, id: FindingId) -> Repeats {
        let folded_into = (self.leader.id != id).then_some(self.leader.id);
        Repeats { folded_into, count: self.repeats }
    }
}

/// Where the members of all groups are kept, in order.
pub trait Members {
    /// Why one cannot be read.
    type Error;

    /// The standing of a member.
    fn standing(&self, group: u128, member: Member) -> Result<Option<Standing>, Self::Error>;

    /// The member before a place.
    fn before(&self, group: u128, place: Member)
    -> Result<Option<(Member, Standing)>, Self::Error>;

    /// The member after a place.
    fn after(&self, group: u128, place: Member) -> Result<Option<(Member, Standing)>, Self::Error>;

    /// Writes the standing of a member.
    fn put(&mut self, group: u128, member: Member, standing: Standing);

    /// Removes a member.
    fn remove(&mut self, group: u128, member: Member);
}

/// Adds a finding to its group. Returns the other findings that were folded and now stand out, or
/// the other way round: none, unless it came late.
///
/// # Errors
/// If members cannot be read.
pub fn insert<M: Members>(
    members: &mut M,
    suppression: RepeatGroup,
    member: Member,
) -> Result<Vec<FindingId>, M::Error> {
    let RepeatGroup { group, span } = suppression;
    if members.standing(group, member)?.is_some() {
        return Ok(Vec::new());
    }
    let leader = members
        .before(group, member)?
        .map(|(_, standing)| standing.leader)
        .filter(|leader| member.time.saturating_sub(leader.time) < span)
        .unwrap_or(member);
    members.put(group, member, Standing { leader, repeats: 0 });
    if leader != member {
        count(members, group, leader, 1)?;
    }
    follow(members, suppression, member, Some(leader))
}

/// Takes a finding out of its group (it was withdrawn, or its time has changed). Returns the other
/// findings that changed between folded and standing out.
///
/// # Errors
/// If members cannot be read.
pub fn remove<M: Members>(
    members: &mut M,
    suppression: RepeatGroup,
    member: Member,
) -> Result<Vec<FindingId>, M::Error> {
    let group = suppression.group;
    let Some(standing) = members.standing(group, member)? else { return Ok(Vec::new()) };
    members.remove(group, member);
    if standing.leader != member {
        count(members, group, standing.leader, -1)?;
        // Whoever leads is still there, so nobody after it changes.
        return Ok(Vec::new());
    }
    let leader = members.before(group, member)?.map(|(_, standing)| standing.leader);
    follow(members, suppression, member, leader)
}

/// Judges the members after a place anew, until one keeps its leader.
fn follow<M: Members>(
    members: &mut M,
    suppression: RepeatGroup,
    place: Member,
    mut leader: Option<Member>,
) -> Result<Vec<FindingId>, M::Error> {
    let RepeatGroup { group, span } = suppression;
    let (mut place, mut changed) = (place, Vec::new());
    while let Some((member, standing)) = members.after(group, place)? {
        let now = leader.filter(|l| member.time.saturating_sub(l.time) < span).unwrap_or(member);
        if now == standing.leader {
            break;
        }
        if (now == member) != (standing.leader == member) {
            changed.push(member.id);
        }
        if standing.leader != member {
            count(members, group, standing.leader, -1)?;
        }
        let repeats = if now == member { standing.repeats } else { 0 };
        members.put(group, member, Standing { leader: now, repeats });
        if now != member {
            count(members, group, now, 1)?;
        }
        (leader, place) = (Some(now), member);
    }
    Ok(changed)
}

/// Changes how many are folded into a leader that is still there.
fn count<M: Members>(
    members: &mut M,
    group: u128,
    leader: Member,
    by: i64,
) -> Result<(), M::Error> {
    if let Some(standing) = members.standing(group, leader)? {
        let repeats = standing.repeats.saturating_add_signed(by);
        members.put(group, leader, Standing { repeats, ..standing });
    }
    Ok(())
}

/// Groups in memory: `eval`, rule tests.
#[derive(Clone, Debug, Default)]
pub struct MemoryMembers(BTreeMap<(u128, Member), Standing>);

impl MemoryMembers {
    /// How many findings stand out.
    pub fn leaders(&self) -> usize {
        self.0.iter().filter(|((_, member), standing)| standing.leader == *member).count()
    }
}

impl Members for MemoryMembers {
    type Error = Infallible;

    fn standing(&self, group: u128, member: Member) -> Result<Option<Standing>, Infallible> {
        Ok(self.0.get(&(group, member)).copied())
    }

    fn before(&self, group: u128, place: Member) -> Result<Option<(Member, Standing)>, Infallible> {
        let found = self.0.range((Unbounded, Excluded((group, place)))).next_back();
        Ok(found.filter(|((g, _), _)| *g == group).map(|((_, m), s)| (*m, *s)))
    }

    fn after(&self, group: u128, place: Member) -> Result<Option<(Member, Standing)>, Infallible> {
        let found = self.0.range((Excluded((group, place)), Unbounded)).next();
        Ok(found.filter(|((g, _), _)| *g == group).map(|((_, m), s)| (*m, *s)))
    }

    fn put(&mut self, group: u128, member: Member, standing: Standing) {
        self.0.insert((group, member), standing);
    }

    fn remove(&mut self, group: u128, member: Member) {
        self.0.remove(&(group, member));
    }
}

#[cfg(test)]
mod tests;
