//! A row of a baseline's SELECT, and how its values become keys. Not how they are counted.

use crate::{Feature, FeatureKind};

const DAY: i64 = 86_400_000;

/// One selected row.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// The entity's canonical name.
    pub entity: &'a str,
    /// Event time, milliseconds since 1970 UTC.
    pub time: i64,
    /// Breaks ties of time where the order of rows matters (sessions, blocks).
    pub uid: u128,
    /// The peer group of the entity, if a directory says so.
    pub peers: Option<&'a str>,
    /// A sample per feature, in their order. For `time_of_week` it is the zone, for `count` unused.
    pub samples: &'a [Sample<'a>],
}

/// The value of a feature in a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sample<'a> {
    /// NULL.
    Missing,
    /// A text.
    Text(&'a str),
    /// A number.
    Number(f64),
}

/// The key of a text: 64 bits of BLAKE3, so that nobody can craft a value that is taken for another.
pub fn hash_value(text: &str) -> u64 {
    let hash = blake3::hash(text.as_bytes());
    let mut first = [0; 8];
    for (to, from) in first.iter_mut().zip(hash.as_bytes()) {
        *to = *from;
    }
    u64::from_le_bytes(first)
}

/// Milliseconds east of UTC of an offset such as `+0300`, `+03:00`, `-07`, `Z` or `UTC`; `None` for
/// anything else, names of zones included.
pub fn parse_offset(text: &str) -> Option<i64> {
    let text = text.trim();
    if matches!(text, "Z" | "z" | "UTC" | "GMT") {
        return Some(0);
    }
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+')?),
    };
    let digits: Vec<i64> = rest
        .chars()
        .filter(|c| *c != ':')
        .map(|c| c.to_digit(10).map(i64::from))
        .collect::<Option<_>>()?;
    let (hours, minutes) = match digits[..] {
        [a, b] => (a * 10 + b, 0),
        [a, b, c, d] => (a * 10 + b, c * 10 + d),
        _ => return None,
    };
    (hours <= 15 && minutes < 60).then_some(sign * (hours * 60 + minutes) * 60_000)
}

/// The bin of an instant: 0 to 11 are the two-hour bins of a weekday, 12 to 23 those of a weekend
/// day, at `offset` milliseconds east of UTC.
pub fn time_of_week(time: i64, offset: i64) -> u64 {
    let local = time.saturating_add(offset);
    let part = (local.rem_euclid(DAY) / (DAY / 12)) as u64;
    part + if is_weekend(local) { 12 } else { 0 }
}

/// The group of windows that are compared with each other: 0 to 3 the quarters of a UTC weekday, 4
/// the weekend.
pub(crate) fn window_group(time: i64) -> u8 {
    if is_weekend(time) { 4 } else { (time.rem_euclid(DAY) / (DAY / 4)) as u8 }
}

fn is_weekend(time: i64) -> bool {
    // 1970-01-01 was a Thursday: days 2 and 3 of each week are Saturday and Sunday.
    matches!(time.div_euclid(DAY).rem_euclid(7), 2 | 3)
}

/// What a sample is counted under; `Err` for one that cannot be.
pub(crate) fn resolve(
    feature: &Feature,
    time: i64,
    sample: Sample<'_>,
) -> Result<Option<u64>, Unusable> {
    match (&feature.kind, sample) {
        (FeatureKind::Count(_), _) => Ok(Some(0)),
        (FeatureKind::TimeOfWeek, Sample::Missing) => Ok(Some(time_of_week(time, 0))),
        (FeatureKind::TimeOfWeek, Sample::Text(zone)) => {
            let offset = parse_offset(zone).ok_or(Unusable::Zone)?;
            Ok(Some(time_of_week(time, offset)))
        }
        (FeatureKind::TimeOfWeek, Sample::Number(_)) => Err(Unusable::Zone),
        (_, Sample::Missing) => Ok(None),
        (FeatureKind::Numeric, Sample::Number(x)) if x.is_finite() => Ok(Some(x.to_bits())),
        (FeatureKind::Numeric, _) => Err(Unusable::Number),
        (_, Sample::Text(text)) => Ok(Some(hash_value(text))),
        (_, Sample::Number(x)) if x.is_finite() => Ok(Some(hash_value(&x.to_string()))),
        (_, Sample::Number(_)) => Err(Unusable::Number),
    }
}

/// Why a sample is not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// Not a UTC offset.
    Zone,
    /// Not a finite number.
    Number,
}
