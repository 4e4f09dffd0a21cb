//! The population and its histograms as bytes.

use super::{
    StateError,
    bytes::{Reader, Writer},
};
use crate::{
    calibration::{Calibration, Histogram},
    population::{FeaturePopulation, Frequencies, Population, WindowPopulation},
};

pub(super) fn population(w: &mut Writer, p: &Population) {
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
            w.u64(*group);
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

pub(super) fn read_population(r: &mut Reader<'_>) -> Result<Population, StateError> {
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
            groups: r.list(|r| Ok((r.u64()?, read_frequencies(r)?)))?.into_iter().collect(),
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

pub(super) fn frequencies(w: &mut Writer, f: &Frequencies) {
    w.i64(f.entities);
    w.list(f.sorted().into_iter(), |w, (value, sum)| {
        w.raw64(value);
        w.i64(sum);
    });
}

pub(super) fn read_frequencies(r: &mut Reader<'_>) -> Result<Frequencies, StateError> {
    let entities = r.i64()?;
    let sums = r.list(|r| Ok((r.raw64()?, r.i64()?)))?.into_iter().collect();
    Ok(Frequencies { sums, entities })
}

pub(super) fn calibration(w: &mut Writer, c: &Calibration) {
    for histogram in std::iter::once(&c.all).chain(&c.by_size) {
        let bins: Vec<(usize, u32)> = histogram.sparse().collect();
        w.list(bins.into_iter(), |w, (bin, count)| {
            w.u64(bin as u64);
            w.u64(count.into());
        });
    }
}

pub(super) fn read_calibration(r: &mut Reader<'_>) -> Result<Calibration, StateError> {
    let mut c = Calibration::default();
    for histogram in std::iter::once(&mut c.all).chain(&mut c.by_size) {
        read_histogram(r, histogram)?;
    }
    Ok(c)
}

pub(super) fn read_histogram(
    r: &mut Reader<'_>,
    histogram: &mut Histogram,
) -> Result<(), StateError> {
    for (bin, count) in r.list(|r| Ok((r.small::<usize>()?, r.small::<u32>()?)))? {
        histogram.add_bin(bin, count);
    }
    Ok(())
}
