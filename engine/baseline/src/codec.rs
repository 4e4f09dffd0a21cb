//! State as bytes: an entity, and what all share. A format with a version of its own; not the layout
//! of the types.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use thiserror::Error;

use crate::{
    Baseline,
    calibration::{Calibration, Histogram},
    counts::{DistinctSet, ProfileCounts, UnitCounts},
    entity::{Entity, FeatureProfile, Quarantined, Scores, WindowProfile},
    population::{Change, FeaturePopulation, Frequencies, Population, WindowPopulation},
    unit::{ClosedFeature, ClosedUnit, OpenFeature, OpenUnit},
};

/// The format; bytes of another are refused, and the baseline starts to learn again.
const VERSION: u64 = 1;

/// Why state could not be read.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum StateError {
    /// Written by another version of the format.
    #[error("state format {0}, this build reads {VERSION}")]
    Version(u64),
    /// Of a baseline with other features or another unit.
    #[error("state of a baseline with other features or another unit")]
    OtherSpec,
    /// Cut short, or not state at all.
    #[error("state is damaged at byte {0}")]
    Damaged(usize),
}

impl Baseline {
    /// The whole state. Restoring it and going on equals never having stopped.
    pub fn save(&self) -> Vec<u8> {
        let mut w = Writer::default();
        w.u64(VERSION);
        w.text(&format!("{:?} {:?}", self.spec.unit, self.spec.features));
        w.i64(self.watermark);
        population(&mut w, &self.population);
        w.list(self.reported.iter(), |w, ((entity, unit), surprise)| {
            w.text(entity);
            w.i64(*unit);
            w.f64(*surprise);
        });
        // In an order of their own: which shard reports which does not matter.
        let changes = self.shards.iter().flat_map(|s| &s.changes).map(|c| {
            let mut w = Writer::default();
            change(&mut w, c);
            w.bytes
        });
        let mut changes: Vec<Vec<u8>> = changes.collect();
        changes.sort_unstable();
        w.list(changes.iter(), |w, bytes| w.bytes.extend_from_slice(bytes));
        let mut names: BTreeMap<u64, &str> = BTreeMap::new();
        let mut entities: BTreeMap<&str, &Entity> = BTreeMap::new();
        let mut open: BTreeMap<(i64, &str), &OpenUnit> = BTreeMap::new();
        let mut waiting = BTreeMap::new();
        for shard in &self.shards {
            names.extend(shard.names.iter().map(|(hash, text)| (*hash, &**text)));
            entities.extend(shard.entities.iter().map(|(name, e)| (&**name, e)));
            waiting.extend(shard.waiting.iter());
            for (day, units) in &shard.open {
                open.extend(units.iter().map(|(name, unit)| ((*day, &**name), unit)));
            }
        }
        w.list(names.into_iter(), |w, (hash, text)| {
            w.raw64(hash);
            w.text(text);
        });
        w.list(entities.into_iter(), |w, (name, e)| {
            w.text(name);
            entity(w, e);
        });
        w.list(open.into_iter(), |w, ((day, name), unit)| {
            w.i64(day);
            w.text(name);
            open_unit(w, unit);
        });
        w.list(waiting.into_iter(), |w, ((time, uid, name), keys)| {
            w.i64(*time);
            w.raw64((*uid >> 64) as u64);
            w.raw64(*uid as u64);
            w.text(name);
            w.list(keys.iter(), |w, key| match key {
                Some(key) => {
                    w.u64(1);
                    w.raw64(*key);
                }
                None => w.u64(0),
            });
        });
        w.bytes
    }

    /// Replaces the state of a baseline just made by saved state, over any number of shards.
    ///
    /// # Errors
    /// State of another format or declaration, or damaged; the baseline is as before.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        let mut r = Reader { bytes, at: 0 };
        let version = r.u64()?;
        if version != VERSION {
            return Err(StateError::Version(version));
        }
        if r.text()? != format!("{:?} {:?}", self.spec.unit, self.spec.features) {
            return Err(StateError::OtherSpec);
        }
        let mut restored = Baseline::new((*self.spec).clone(), self.policy, self.shards.len());
        restored.watermark = r.i64()?;
        restored.population = read_population(&mut r)?;
        restored.population.publish(restored.population.version, &self.spec.features);
        restored.reported =
            r.list(|r| Ok(((Arc::from(r.text()?), r.i64()?), r.f64()?)))?.into_iter().collect();
        let changes = r.list(read_change)?;
        let names = r.list(|r| Ok((r.raw64()?, r.text()?)))?;
        for (i, shard) in restored.shards.iter_mut().enumerate() {
            // Any shard may tell the population, and any may be asked for a text.
            if i == 0 {
                shard.changes.clone_from(&changes);
            }
            shard.names = names.iter().map(|(hash, text)| (*hash, text.as_str().into())).collect();
        }
        for (name, entity) in r.list(|r| Ok((r.text()?, read_entity(r)?)))? {
            restored.put_entity(&name, entity);
        }
        for (day, name, unit) in r.list(|r| Ok((r.i64()?, r.text()?, read_open_unit(r)?)))? {
            restored.put_open(day, &name, unit);
        }
        let key = |r: &mut Reader<'_>| Ok(if r.u64()? == 1 { Some(r.raw64()?) } else { None });
        for (time, uid, name, keys) in r.list(|r| {
            let time = r.i64()?;
            let uid = u128::from(r.raw64()?) << 64 | u128::from(r.raw64()?);
            Ok((time, uid, r.text()?, r.list(key)?))
        })? {
            restored.put_waiting(time, uid, &name, keys);
        }
        if r.at != bytes.len() {
            return Err(StateError::Damaged(r.at));
        }
        restored.take_settings_of(self);
        *self = restored;
        Ok(())
    }
}

/// Integers are LEB128, signed ones zigzag; hashes and floats are 8 bytes, little-endian.
#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    fn u64(&mut self, mut x: u64) {
        while x >= 0x80 {
            self.bytes.push(x as u8 | 0x80);
            x >>= 7;
        }
        self.bytes.push(x as u8);
    }

    fn i64(&mut self, x: i64) {
        self.u64(((x << 1) ^ (x >> 63)) as u64);
    }

    fn raw64(&mut self, x: u64) {
        self.bytes.extend_from_slice(&x.to_le_bytes());
    }

    fn f64(&mut self, x: f64) {
        self.raw64(x.to_bits());
    }

    fn text(&mut self, text: &str) {
        self.u64(text.len() as u64);
        self.bytes.extend_from_slice(text.as_bytes());
    }

    fn list<T>(
        &mut self,
        items: impl ExactSizeIterator<Item = T>,
        mut write: impl FnMut(&mut Writer, T),
    ) {
        self.u64(items.len() as u64);
        for item in items {
            write(self, item);
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], StateError> {
        let piece = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<N>());
        let piece = *piece.ok_or(StateError::Damaged(self.at))?;
        self.at += N;
        Ok(piece)
    }

    fn u64(&mut self) -> Result<u64, StateError> {
        let mut x = 0_u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.take()?;
            x |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(x);
            }
        }
        Err(StateError::Damaged(self.at))
    }

    fn i64(&mut self) -> Result<i64, StateError> {
        let x = self.u64()?;
        Ok((x >> 1) as i64 ^ -((x & 1) as i64))
    }

    fn raw64(&mut self) -> Result<u64, StateError> {
        Ok(u64::from_le_bytes(self.take()?))
    }

    fn f64(&mut self) -> Result<f64, StateError> {
        Ok(f64::from_bits(self.raw64()?))
    }

    fn text(&mut self) -> Result<String, StateError> {
        let length = self.u64()? as usize;
        let end = self.at.checked_add(length).ok_or(StateError::Damaged(self.at))?;
        let piece = self.bytes.get(self.at..end).ok_or(StateError::Damaged(self.at))?;
        let text = std::str::from_utf8(piece).map_err(|_| StateError::Damaged(self.at))?;
        self.at = end;
        Ok(text.to_owned())
    }

    fn list<T>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<T, StateError>,
    ) -> Result<Vec<T>, StateError> {
        let length = self.u64()? as usize;
        // Each item takes a byte at least: a damaged length must not reserve memory.
        if length > self.bytes.len() - self.at {
            return Err(StateError::Damaged(self.at));
        }
        (0..length).map(|_| read(self)).collect()
    }

    fn small<T: TryFrom<u64>>(&mut self) -> Result<T, StateError> {
        let at = self.at;
        T::try_from(self.u64()?).map_err(|_| StateError::Damaged(at))
    }

    fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, StateError>,
    ) -> Result<Option<T>, StateError> {
        match self.u64()? {
            0 => Ok(None),
            1 => read(self).map(Some),
            _ => Err(StateError::Damaged(self.at)),
        }
    }
}

fn option<T>(w: &mut Writer, value: Option<T>, write: impl FnOnce(&mut Writer, T)) {
    w.u64(u64::from(value.is_some()));
    if let Some(value) = value {
        write(w, value);
    }
}

fn entity(w: &mut Writer, e: &Entity) {
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
    option(w, e.group, |w, group| w.u64(group.into()));
}

fn read_entity(r: &mut Reader<'_>) -> Result<Entity, StateError> {
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
        group: r.option(Reader::small)?,
    })
}

fn scores(w: &mut Writer, s: &Scores) {
    w.f64(s.total);
    w.list(s.features.iter(), |w, feature| {
        option(w, *feature, |w, (closed, immediate)| {
            w.f64(closed);
            w.f64(immediate);
        });
    });
}

fn read_scores(r: &mut Reader<'_>) -> Result<Scores, StateError> {
    let total = r.f64()?;
    let features = r.list(|r| r.option(|r| Ok((r.f64()?, r.f64()?))))?;
    Ok(Scores { total, features })
}

fn closed_unit(w: &mut Writer, unit: &ClosedUnit) {
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

fn read_closed_unit(r: &mut Reader<'_>) -> Result<ClosedUnit, StateError> {
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

fn open_unit(w: &mut Writer, unit: &OpenUnit) {
    w.u64(unit.events);
    w.i64(unit.first);
    w.i64(unit.last);
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

fn read_open_unit(r: &mut Reader<'_>) -> Result<OpenUnit, StateError> {
    let (events, first, last) = (r.u64()?, r.i64()?, r.i64()?);
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
    Ok(OpenUnit { events, first, last, is_touched: false, features })
}

fn change(w: &mut Writer, change: &Change) {
    match change {
        Change::Share { feature, group, value, by } => {
            w.u64(0);
            w.u64((*feature).into());
            option(w, *group, |w, g| w.u64(g.into()));
            w.raw64(*value);
            w.i64(*by);
        }
        Change::Entities { feature, group, by } => {
            w.u64(1);
            w.u64((*feature).into());
            option(w, *group, |w, g| w.u64(g.into()));
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

fn read_change(r: &mut Reader<'_>) -> Result<Change, StateError> {
    Ok(match r.u64()? {
        0 => Change::Share {
            feature: r.small()?,
            group: r.option(Reader::small)?,
            value: r.raw64()?,
            by: r.i64()?,
        },
        1 => {
            Change::Entities { feature: r.small()?, group: r.option(Reader::small)?, by: r.i64()? }
        }
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

fn population(w: &mut Writer, p: &Population) {
    w.i64(p.version);
    w.f64(p.median);
    w.u64(p.values_dropped);
    w.list(p.sizes.iter(), |w, (size, count)| {
        w.u64(*size);
        w.u64(*count);
    });
    calibration(w, &p.total);
    w.list(p.features.iter(), |w, f| {
        frequencies(w, &f.org);
        w.list(f.groups.iter(), |w, (group, known)| {
            w.u64((*group).into());
            frequencies(w, known);
        });
        w.list(f.windows.iter(), |w, ((window, group), known)| {
            w.u64((*window).into());
            w.u64((*group).into());
            w.i64(known.entities);
            w.i64(known.means);
            for sum in [known.excess, known.squares] {
                w.raw64((sum >> 64) as u64);
                w.raw64(sum as u64);
            }
        });
        calibration(w, &f.closed);
        calibration(w, &f.immediate);
    });
}

fn read_population(r: &mut Reader<'_>) -> Result<Population, StateError> {
    let mut p = Population {
        version: r.i64()?,
        median: r.f64()?,
        values_dropped: r.u64()?,
        ..Population::default()
    };
    p.sizes = r.list(|r| Ok((r.u64()?, r.u64()?)))?.into_iter().collect();
    p.total = read_calibration(r)?;
    let wide =
        |r: &mut Reader<'_>| Ok((u128::from(r.raw64()?) << 64 | u128::from(r.raw64()?)) as i128);
    p.features = r.list(|r| {
        Ok(FeaturePopulation {
            org: read_frequencies(r)?,
            groups: r.list(|r| Ok((r.small()?, read_frequencies(r)?)))?.into_iter().collect(),
            windows: r
                .list(|r| {
                    let key = (r.small()?, r.small()?);
                    let (entities, means) = (r.i64()?, r.i64()?);
                    let (excess, squares) = (wide(r)?, wide(r)?);
                    Ok((key, WindowPopulation { entities, means, excess, squares }))
                })?
                .into_iter()
                .collect(),
            cumulative: Vec::new(),
            closed: read_calibration(r)?,
            immediate: read_calibration(r)?,
        })
    })?;
    Ok(p)
}

fn frequencies(w: &mut Writer, f: &Frequencies) {
    w.i64(f.entities);
    w.list(f.sorted().into_iter(), |w, (value, sum)| {
        w.raw64(value);
        w.i64(sum);
    });
}

fn read_frequencies(r: &mut Reader<'_>) -> Result<Frequencies, StateError> {
    let entities = r.i64()?;
    let sums = r.list(|r| Ok((r.raw64()?, r.i64()?)))?.into_iter().collect();
    Ok(Frequencies { sums, entities })
}

fn calibration(w: &mut Writer, c: &Calibration) {
    for histogram in std::iter::once(&c.all).chain(&c.by_size) {
        let bins: Vec<(usize, u32)> = histogram.sparse().collect();
        w.list(bins.into_iter(), |w, (bin, count)| {
            w.u64(bin as u64);
            w.u64(count.into());
        });
    }
}

fn read_calibration(r: &mut Reader<'_>) -> Result<Calibration, StateError> {
    let mut c = Calibration::default();
    for histogram in std::iter::once(&mut c.all).chain(&mut c.by_size) {
        read_histogram(r, histogram)?;
    }
    Ok(c)
}

fn read_histogram(r: &mut Reader<'_>, histogram: &mut Histogram) -> Result<(), StateError> {
    for (bin, count) in r.list(|r| Ok((r.small::<usize>()?, r.small::<u32>()?)))? {
        histogram.add_bin(bin, count);
    }
    Ok(())
}
