//! An entity, its units and what it changes in the population, as bytes.

use std::collections::{BTreeMap, VecDeque};

use super::{
    StateError,
    bytes::{Reader, Writer, option},
};
use crate::{
    counts::{DistinctSet, ProfileCounts, UnitCounts},
    entity::{Entity, FeatureProfile, Quarantined, Scores, WindowProfile},
    export::Exported,
    population::Change,
    unit::{ClosedFeature, ClosedUnit, OpenFeature, OpenUnit},
};

pub(super) fn entity(w: &mut Writer, e: &Entity) {
    w.list(e.profile.iter(), |w, profile| match profile {
        FeatureProfile::Values(counts) => {
            w.u64(0);
            let (values, shares) = counts.parts();
            w.f64(counts.total);
            w.list(values.iter().zip(shares), |w, (value, count)| {
                w.raw64(*value);
                w.bytes.extend_from_slice(&count.to_le_bytes());
            });
        }
        FeatureProfile::Windows(windows) => {
            w.u64(1);
            w.list(windows.iter(), |w, x| {
                w.u64(x.window.into());
                w.u64(x.group.into());
                w.f64(x.units);
                w.f64(x.sum);
            });
        }
    });
    w.list(e.quarantine.iter(), |w, q| {
        closed_unit(w, &q.unit);
        w.i64(q.due);
        w.f64(q.weight);
        option(w, q.scores.as_ref(), scores);
    });
    w.u64(e.closed.into());
    w.u64(e.merged.into());
    option(w, e.block.as_ref(), |w, (id, open)| {
        w.i64(*id);
        open_unit(w, open);
    });
    w.i64(e.last);
    option(w, e.group, Writer::u64);
}

pub(super) fn read_entity(r: &mut Reader<'_>) -> Result<Entity, StateError> {
    let profile = r.list(|r| {
        Ok(match r.u64()? {
            0 => {
                let total = r.f64()?;
                let pairs = r.list(|r| Ok((r.raw64()?, f32::from_le_bytes(r.take()?))))?;
                let (values, counts) = pairs.into_iter().unzip();
                FeatureProfile::Values(ProfileCounts::from_parts(values, counts, total))
            }
            1 => FeatureProfile::Windows(r.list(|r| {
                let (window, group) = (r.small()?, r.small()?);
                Ok(WindowProfile { window, group, units: r.f64()?, sum: r.f64()? })
            })?),
            _ => return Err(StateError::Damaged(r.at)),
        })
    })?;
    let quarantine = r.list(|r| {
        let (unit, due, weight) = (read_closed_unit(r)?, r.i64()?, r.f64()?);
        Ok(Quarantined { unit, due, weight, scores: r.option(read_scores)? })
    })?;
    Ok(Entity {
        profile,
        quarantine: VecDeque::from(quarantine),
        closed: r.small()?,
        merged: r.small()?,
        block: r.option(|r| Ok((r.i64()?, read_open_unit(r)?)))?,
        last: r.i64()?,
        group: r.option(Reader::u64)?,
        exported: Exported::READ,
    })
}

pub(super) fn scores(w: &mut Writer, s: &Scores) {
    w.f64(s.total);
    w.list(s.features.iter(), |w, feature| {
        option(w, *feature, |w, (closed, immediate)| {
            w.f64(closed);
            w.f64(immediate);
        });
    });
}

pub(super) fn read_scores(r: &mut Reader<'_>) -> Result<Scores, StateError> {
    let total = r.f64()?;
    let features = r.list(|r| r.option(|r| Ok((r.f64()?, r.f64()?))))?;
    Ok(Scores { total, features })
}

pub(super) fn closed_unit(w: &mut Writer, unit: &ClosedUnit) {
    w.i64(unit.id);
    w.u64(unit.events);
    w.i64(unit.last);
    w.list(unit.features.iter(), |w, feature| match feature {
        ClosedFeature::Values(values, other) => {
            w.u64(0);
            w.u64(*other);
            w.list(values.iter(), |w, (value, count)| {
                w.raw64(*value);
                w.u64((*count).into());
            });
        }
        ClosedFeature::Windows(windows) => {
            w.u64(1);
            w.list(windows.iter(), |w, (window, group, count)| {
                w.u64((*window).into());
                w.u64((*group).into());
                w.u64(*count);
            });
        }
    });
}

pub(super) fn read_closed_unit(r: &mut Reader<'_>) -> Result<ClosedUnit, StateError> {
    let (id, events, last) = (r.i64()?, r.u64()?, r.i64()?);
    let features = r.list(|r| {
        Ok(match r.u64()? {
            0 => {
                let other = r.u64()?;
                let values = r.list(|r| Ok((r.raw64()?, r.small()?)))?;
                ClosedFeature::Values(values.into(), other)
            }
            1 => ClosedFeature::Windows(r.list(|r| Ok((r.small()?, r.small()?, r.u64()?)))?.into()),
            _ => return Err(StateError::Damaged(r.at)),
        })
    })?;
    Ok(ClosedUnit { id, events, last, features })
}

pub(super) fn open_unit(w: &mut Writer, unit: &OpenUnit) {
    w.u64(unit.events);
    w.i64(unit.first);
    w.i64(unit.last);
    option(w, unit.reported, Writer::f64);
    option(w, unit.peers, |w, (time, group)| {
        w.i64(time);
        w.u64(group);
    });
    w.list(unit.features.iter(), |w, feature| match feature {
        OpenFeature::Values(counts) => {
            w.u64(0);
            w.u64(counts.other);
            w.list(counts.values.iter(), |w, (value, count)| {
                w.raw64(*value);
                w.u64((*count).into());
            });
        }
        OpenFeature::Counts(windows) => {
            w.u64(1);
            w.list(windows.iter(), |w, ((window, slot), count)| {
                w.u64((*window).into());
                w.i64(*slot);
                w.u64(*count);
            });
        }
        OpenFeature::Sets(windows) => {
            w.u64(2);
            w.list(windows.iter(), |w, ((window, slot), set)| {
                w.u64((*window).into());
                w.i64(*slot);
                w.u64(set.full.into());
                w.list(set.smallest.iter(), |w, hash| w.raw64(*hash));
            });
        }
    });
}

pub(super) fn read_open_unit(r: &mut Reader<'_>) -> Result<OpenUnit, StateError> {
    let (events, first, last) = (r.u64()?, r.i64()?, r.i64()?);
    let reported = r.option(Reader::f64)?;
    let peers = r.option(|r| Ok((r.i64()?, r.u64()?)))?;
    let features = r.list(|r| {
        Ok(match r.u64()? {
            0 => {
                let other = r.u64()?;
                let values = r.list(|r| Ok((r.raw64()?, r.small()?)))?.into_iter().collect();
                OpenFeature::Values(UnitCounts { values, other })
            }
            1 => {
                let windows = r.list(|r| Ok(((r.small()?, r.i64()?), r.u64()?)))?;
                OpenFeature::Counts(windows.into_iter().collect())
            }
            2 => {
                let windows = r.list(|r| {
                    let key = (r.small()?, r.i64()?);
                    let full = r.u64()? == 1;
                    Ok((key, DistinctSet { smallest: r.list(Reader::raw64)?, full }))
                })?;
                OpenFeature::Sets(windows.into_iter().collect())
            }
            _ => return Err(StateError::Damaged(r.at)),
        })
    })?;
    let exported = Exported::READ;
    let (is_touched, looked_at, seen) = (false, 0, BTreeMap::new());
    Ok(OpenUnit {
        events,
        first,
        last,
        is_touched,
        looked_at,
        reported,
        peers,
        exported,
        features,
        seen,
    })
}

pub(super) fn change(w: &mut Writer, change: &Change) {
    match change {
        Change::Share { feature, group, value, by } => {
            w.u64(0);
            w.u64((*feature).into());
            option(w, *group, Writer::u64);
            w.raw64(*value);
            w.i64(*by);
        }
        Change::Entities { feature, group, by } => {
            w.u64(1);
            w.u64((*feature).into());
            option(w, *group, Writer::u64);
            w.i64(*by);
        }
        Change::Window { feature, window, group, before, after, count } => {
            w.u64(2);
            w.u64((*feature).into());
            w.u64((*window).into());
            w.u64((*group).into());
            option(w, *before, Writer::f64);
            w.f64(*after);
            w.u64(*count);
        }
        Change::Benign { scores: s, events } => {
            w.u64(3);
            scores(w, s);
            w.u64(*events);
        }
        Change::Size(events) => {
            w.u64(4);
            w.u64(*events);
        }
    }
}

pub(super) fn read_change(r: &mut Reader<'_>) -> Result<Change, StateError> {
    Ok(match r.u64()? {
        0 => Change::Share {
            feature: r.small()?,
            group: r.option(Reader::u64)?,
            value: r.raw64()?,
            by: r.i64()?,
        },
        1 => Change::Entities { feature: r.small()?, group: r.option(Reader::u64)?, by: r.i64()? },
        2 => Change::Window {
            feature: r.small()?,
            window: r.small()?,
            group: r.small()?,
            before: r.option(Reader::f64)?,
            after: r.f64()?,
            count: r.u64()?,
        },
        3 => Change::Benign { scores: read_scores(r)?, events: r.u64()? },
        4 => Change::Size(r.u64()?),
        _ => return Err(StateError::Damaged(r.at)),
    })
}
