//! Peer groups, and the sample that the next ones are found from, as bytes.

use super::{
    StateError,
    bytes::{Reader, Writer, option},
};
use crate::{
    clusters::{DIMENSIONS, Point},
    peers::{Group, PeerGroups},
};

pub(super) fn groups(w: &mut Writer, of: &PeerGroups) {
    w.i64(of.day.unwrap_or(i64::MIN));
    w.list(of.groups.iter(), |w, group| {
        w.u64(group.id);
        point(w, &group.centre);
    });
    option(w, of.next.as_ref(), |w, next| {
        w.list(next.sample.iter(), point);
    });
}

/// Those of tomorrow begin to be found anew.
pub(super) fn read_groups(r: &mut Reader<'_>) -> Result<PeerGroups, StateError> {
    let group = |r: &mut Reader<'_>| Ok(Group { id: r.u64()?, centre: read_point(r)? });
    let day = r.i64()?;
    let mut groups = PeerGroups { day: Some(day), groups: r.list(group)?, next: None };
    if let Some(sample) = r.option(|r| r.list(read_point))? {
        groups.begin(day, sample);
    }
    Ok(groups)
}

fn point(w: &mut Writer, point: &Point) {
    for x in point {
        w.bytes.extend_from_slice(&x.to_le_bytes());
    }
}

fn read_point(r: &mut Reader<'_>) -> Result<Point, StateError> {
    let mut point = [0.0; DIMENSIONS];
    for x in &mut point {
        *x = f32::from_le_bytes(r.take()?);
    }
    Ok(point)
}
