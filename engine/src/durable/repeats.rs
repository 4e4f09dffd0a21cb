//! Suppression over the stored findings: the standing of each in its group, written with the change
//! that made it. Not who is folded: that is [`sluice_finding::repeats`].

use std::ops::Bound::{Excluded, Unbounded};

use sluice_finding::{
    Finding, FindingId, FindingState, Repeats,
    repeats::{self, Member, Members, Standing},
};
use sluice_store::Snapshot;

use super::{
    Inner,
    codec::{Reader, Writer},
    findings::{exactly, sortable},
    txn::WriteTxn,
    unreadable,
};
use crate::EngineError;

impl WriteTxn<'_> {
    /// A finding is added or changed: it leaves its old place in its group and takes the
    /// present one.
    pub(super) fn regroup(
        &mut self,
        before: Option<&Finding>,
        after: &Finding,
    ) -> Result<(), EngineError> {
        let place = |finding: &Finding| {
            let stands = finding.state != FindingState::Withdrawn;
            let member = Member { time: finding.time, id: finding.id };
            finding.suppression.filter(|_| stands).map(|s| (s, member))
        };
        let (before, after) = (before.and_then(place), place(after));
        if before == after {
            return Ok(());
        }
        if let Some((group, member)) = before {
            let turned = repeats::remove(self, group, member)?;
            self.turned.extend(turned);
        }
        if let Some((group, member)) = after {
            let turned = repeats::insert(self, group, member)?;
            self.turned.extend(turned);
        }
        Ok(())
    }

    /// A finding has outlived retention. Those folded into it stay folded: they are next.
    pub(super) fn ungroup(&mut self, finding: &Finding) {
        if let Some(suppression) = finding.suppression {
            let member = Member { time: finding.time, id: finding.id };
            self.standings.insert((suppression.group, member), None);
        }
    }

    /// Puts the standings into the batch and gives findings that turned a number, so that followers
    /// read them again.
    pub(super) fn write_standings(&mut self) -> Result<(), EngineError> {
        let space = &self.spaces().repeat;
        for ((group, member), standing) in std::mem::take(&mut self.standings) {
            let key = encode_key(group, member);
            match standing {
                Some(standing) => self.batch.put(space, &key, &encode(&standing)),
                None => self.batch.remove(space, &key),
            }
        }
        for id in std::mem::take(&mut self.turned) {
            if self.changed.get(id).is_some() {
                continue;
            }
            if let Some(mut known) = self.known(id)? {
                known.current = self.announce(&known.finding, Some(known.current), None);
                self.changed.push(known);
            }
        }
        Ok(())
    }

    /// The nearest member of a group in one direction, this change's own included.
    fn nearest(
        &self,
        group: u128,
        place: Member,
        forward: bool,
    ) -> Result<Option<(Member, Standing)>, EngineError> {
        let written = |m: &Member| self.standings.get(&(group, *m));
        let in_group = |((g, m), s): (&(u128, Member), &Option<Standing>)| {
            (*g == group).then_some((*m, *s)).and_then(|(m, s)| Some((m, s?)))
        };
        let bounds = if forward {
            (Excluded((group, place)), Unbounded)
        } else {
            (Unbounded, Excluded((group, place)))
        };
        let own = self.standings.range(bounds);
        let own =
            if forward { first(own, group, in_group) } else { first(own.rev(), group, in_group) };
        let key = encode_key(group, place);
        let (from, to) = if forward {
            (Excluded(key.as_slice()), Unbounded)
        } else {
            (Unbounded, Excluded(key.as_slice()))
        };
        let mut rows = self.snapshot.range(&self.spaces().repeat, from, to);
        let stored = loop {
            let row = if forward { rows.next() } else { rows.next_back() };
            let Some((key, value)) = row.transpose()? else { break None };
            let (found, member) = decode_key(&key)?;
            if found != group {
                break None;
            }
            if written(&member).is_none() {
                break Some((member, decode(&value)?));
            }
        };
        Ok(match (own, stored) {
            (Some(own), Some(stored)) => {
                let own_is_nearer = if forward { own.0 < stored.0 } else { own.0 > stored.0 };
                Some(if own_is_nearer { own } else { stored })
            }
            (own, stored) => own.or(stored),
        })
    }
}

/// The first standing that this change writes and does not remove, while the group lasts.
fn first<'s>(
    own: impl Iterator<Item = (&'s (u128, Member), &'s Option<Standing>)>,
    group: u128,
    in_group: impl Fn((&'s (u128, Member), &'s Option<Standing>)) -> Option<(Member, Standing)>,
) -> Option<(Member, Standing)> {
    own.take_while(|((g, _), _)| *g == group).find_map(in_group)
}

impl Members for WriteTxn<'_> {
    type Error = EngineError;

    fn standing(&self, group: u128, member: Member) -> Result<Option<Standing>, EngineError> {
        if let Some(own) = self.standings.get(&(group, member)) {
            return Ok(*own);
        }
        let stored = self.get(&self.spaces().repeat, &encode_key(group, member))?;
        stored.map(|bytes| decode(&bytes)).transpose()
    }

    fn before(
        &self,
        group: u128,
        place: Member,
    ) -> Result<Option<(Member, Standing)>, EngineError> {
        self.nearest(group, place, false)
    }

    fn after(&self, group: u128, place: Member) -> Result<Option<(Member, Standing)>, EngineError> {
        self.nearest(group, place, true)
    }

    fn put(&mut self, group: u128, member: Member, standing: Standing) {
        self.standings.insert((group, member), Some(standing));
    }

    fn remove(&mut self, group: u128, member: Member) {
        self.standings.insert((group, member), None);
    }
}

impl Inner {
    /// What suppression made of a stored finding.
    pub(super) fn repeats(
        &self,
        snapshot: &Snapshot,
        finding: &Finding,
    ) -> Result<Repeats, EngineError> {
        let Some(suppression) = finding.suppression else { return Ok(Repeats::default()) };
        let member = Member { time: finding.time, id: finding.id };
        let key = encode_key(suppression.group, member);
        let stored = snapshot.get(&self.spaces.repeat, &key)?;
        let standing = stored.map(|bytes| decode(&bytes)).transpose()?;
        Ok(standing.map_or_else(Repeats::default, |s| s.repeats(finding.id)))
    }
}

/// Orders by group, time, id.
fn encode_key(group: u128, member: Member) -> [u8; 40] {
    let mut bytes = [0; 40];
    bytes[..16].copy_from_slice(&group.to_be_bytes());
    bytes[16..24].copy_from_slice(&sortable(member.time));
    bytes[24..].copy_from_slice(&member.id.0.to_be_bytes());
    bytes
}

fn decode_key(bytes: &[u8]) -> Result<(u128, Member), EngineError> {
    let bytes: [u8; 40] = exactly(bytes, "place in a suppression group")?;
    let (group, rest) = bytes.split_at(16);
    let (time, id) = rest.split_at(8);
    let time = i64::from_be_bytes(exactly(time, "time")?) ^ i64::MIN;
    let id = FindingId(u128::from_be_bytes(exactly(id, "finding id")?));
    Ok((u128::from_be_bytes(exactly(group, "group")?), Member { time, id }))
}

fn encode(standing: &Standing) -> Vec<u8> {
    let mut w = Writer::new();
    w.signed(standing.leader.time);
    w.wide(standing.leader.id.0);
    w.unsigned(standing.repeats);
    w.finish()
}

fn decode(bytes: &[u8]) -> Result<Standing, EngineError> {
    Reader::whole(bytes, |r| {
        let leader = Member { time: r.signed()?, id: FindingId(r.wide()?) };
        Ok(Standing { leader, repeats: r.unsigned()? })
    })
    .map_err(unreadable("standing in a suppression group"))
}
