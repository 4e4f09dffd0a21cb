//! Zones of times that name none: an offset from UTC, or a place of the tz database, whose offset
//! depends on the date. Not the zones that a record names by itself.

use std::fmt;

use chrono::{DateTime, NaiveDateTime, Offset, TimeZone};
use chrono_tz::{TZ_VARIANTS, Tz};

use crate::suggest;

/// A zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zone {
    /// Minutes east of UTC.
    Offset(i32),
    /// A place of the tz database.
    Place(Tz),
}

/// Which moment a clock time is; moments are milliseconds since 1970 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// This one.
    One(i64),
    /// The clock was put back: it showed this time twice.
    Twice {
        /// When it did first.
        earlier: i64,
        /// When it did again.
        later: i64,
    },
    /// The clock was put forward over it: the moment that a clock shows it at that was not.
    Skipped(i64),
}

/// A text that names no zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownZone {
    /// The nearest name of a place, if one is near.
    pub suggestion: Option<&'static str>,
}

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

impl Zone {
    /// The zone of what has none.
    pub const UTC: Zone = Zone::Offset(0);

    /// Reads `UTC`, `Z`, `+02:00` or a name of the tz database, `Europe/Berlin`.
    ///
    /// # Errors
    /// Any other text.
    pub fn parse(text: &str) -> Result<Zone, UnknownZone> {
        if let Some(minutes) = offset(text) {
            return Ok(Zone::Offset(minutes));
        }
        match text.parse::<Tz>() {
            Ok(place) => Ok(Zone::Place(place)),
            Err(_) => Err(UnknownZone { suggestion: near(text) }),
        }
    }

    /// The moment at which a clock of the zone shows a date and time of day, given as the
    /// milliseconds since 1970 that it would be in UTC.
    pub fn moment(self, clock: i64) -> Moment {
        let place = match self {
            Zone::Offset(minutes) => return Moment::One(clock - i64::from(minutes) * MINUTE),
            Zone::Place(place) => place,
        };
        let Some(at) = naive(clock) else { return Moment::One(clock) };
        let found = place.offset_from_local_datetime(&at).map(|o| clock - millis(&o));
        match found {
            chrono::LocalResult::Single(moment) => Moment::One(moment),
            chrono::LocalResult::Ambiguous(a, b) => {
                Moment::Twice { earlier: a.min(b), later: a.max(b) }
            }
            // The offset before: that of a day ago, since no clock is put forward twice in a day.
            chrono::LocalResult::None => {
                let before = naive(clock - 24 * HOUR)
                    .and_then(|at| place.offset_from_local_datetime(&at).earliest());
                Moment::Skipped(clock - before.map_or(0, |o| millis(&o)))
            }
        }
    }

    /// What a clock of the zone shows at a moment, as milliseconds since 1970 that it would be in UTC.
    pub fn clock(self, moment: i64) -> i64 {
        let east = match self {
            Zone::Offset(minutes) => i64::from(minutes) * MINUTE,
            Zone::Place(place) => {
                naive(moment).map_or(0, |at| millis(&place.offset_from_utc_datetime(&at)))
            }
        };
        moment.saturating_add(east)
    }
}

impl Default for Zone {
    fn default() -> Self {
        Zone::UTC
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Zone::Offset(0) => f.write_str("UTC"),
            Zone::Offset(minutes) => {
                let sign = if *minutes < 0 { '-' } else { '+' };
                write!(f, "{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60)
            }
            Zone::Place(place) => f.write_str(place.name()),
        }
    }
}

impl UnknownZone {
    /// What to write instead.
    pub fn hint(&self) -> String {
        const FORMS: &str = "\"UTC\", an offset: \"+02:00\", or a place: \"Europe/Berlin\"";
        match self.suggestion {
            Some(name) => format!("did you mean `{name}`? {FORMS}"),
            None => FORMS.to_owned(),
        }
    }
}

/// The minutes of `UTC`, `Z`, `+02:00`.
fn offset(text: &str) -> Option<i32> {
    if matches!(text, "UTC" | "Z") {
        return Some(0);
    }
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+')?),
    };
    let (hours, minutes) = rest.split_once(':')?;
    let part = |text: &str, max: i32| {
        let valid = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
        text.parse::<i32>().ok().filter(|n| valid && *n <= max)
    };
    Some(sign * (part(hours, 14)? * 60 + part(minutes, 59)?))
}

/// The place that a text is meant to name: by its city alone too.
fn near(text: &str) -> Option<&'static str> {
    let text = text.trim().replace([' ', '-'], "_");
    let names = || TZ_VARIANTS.iter().map(|place| place.name());
    let city = |name: &'static str| name.rsplit('/').next().unwrap_or(name);
    let same = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
    names()
        .find(|name| same(name, &text))
        .or_else(|| names().find(|name| name.contains('/') && same(city(name), &text)))
        .or_else(|| suggest(&text, names()))
        .or_else(|| {
            let wanted = suggest(&text, names().filter(|n| n.contains('/')).map(city))?;
            names().find(|name| city(name) == wanted)
        })
}

fn naive(millis: i64) -> Option<NaiveDateTime> {
    DateTime::from_timestamp_millis(millis).map(|at| at.naive_utc())
}

fn millis(offset: &impl Offset) -> i64 {
    i64::from(offset.fix().local_minus_utc()) * 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        sluice_event::parse_rfc3339(text.as_bytes()).unwrap().0
    }

    #[track_caller]
    fn check(zone: &str, clock: &str, expect: Moment) {
        assert_eq!(Zone::parse(zone).unwrap().moment(at(clock)), expect, "{zone} {clock}");
    }

    #[test]
    fn offsets_and_places() {
        check("UTC", "2026-07-01T12:00:00", Moment::One(at("2026-07-01T12:00:00Z")));
        check("+02:00", "2026-07-01T12:00:00", Moment::One(at("2026-07-01T10:00:00Z")));
        check("-05:30", "2026-07-01T12:00:00", Moment::One(at("2026-07-01T17:30:00Z")));
        check("Europe/Berlin", "2026-07-01T12:00:00", Moment::One(at("2026-07-01T10:00:00Z")));
        check("Europe/Berlin", "2026-01-01T12:00:00", Moment::One(at("2026-01-01T11:00:00Z")));
        check("Asia/Kolkata", "2026-01-01T12:00:00", Moment::One(at("2026-01-01T06:30:00Z")));
        for zone in ["UTC", "+02:00", "-05:30", "Europe/Berlin"] {
            assert_eq!(Zone::parse(zone).unwrap().to_string(), zone);
        }
    }

    #[test]
    fn an_hour_that_comes_twice_and_one_that_does_not_come() {
        let twice = |earlier, later| Moment::Twice { earlier: at(earlier), later: at(later) };
        check(
            "Europe/Berlin",
            "2026-10-25T02:30:00",
            twice("2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"),
        );
        check(
            "America/New_York",
            "2026-11-01T01:00:00",
            twice("2026-11-01T05:00:00Z", "2026-11-01T06:00:00Z"),
        );
        // Half an hour.
        check(
            "Australia/Lord_Howe",
            "2026-04-05T01:45:00",
            twice("2026-04-04T14:45:00Z", "2026-04-04T15:15:00Z"),
        );
        let skipped = |moment| Moment::Skipped(at(moment));
        check("Europe/Berlin", "2026-03-29T02:30:00", skipped("2026-03-29T01:30:00Z"));
        check("America/New_York", "2026-03-08T02:00:00", skipped("2026-03-08T07:00:00Z"));
        // A whole day: the country went over the date line.
        check("Pacific/Apia", "2011-12-30T12:00:00", skipped("2011-12-30T22:00:00Z"));
    }

    #[test]
    fn a_clock_shows_a_moment() {
        let berlin = Zone::parse("Europe/Berlin").unwrap();
        assert_eq!(berlin.clock(at("2026-07-01T10:00:00Z")), at("2026-07-01T12:00:00Z"));
        assert_eq!(
            Zone::Offset(-330).clock(at("2026-07-01T10:00:00Z")),
            at("2026-07-01T04:30:00Z")
        );
        assert_eq!(Zone::UTC.clock(i64::MAX), i64::MAX);
    }

    #[test]
    fn no_zone_says_which_is_near() {
        let near = |text| Zone::parse(text).unwrap_err().suggestion;
        assert_eq!(near("Europe/Berln"), Some("Europe/Berlin"));
        assert_eq!(near("europe/berlin"), Some("Europe/Berlin"));
        assert_eq!(near("Berlin"), Some("Europe/Berlin"));
        assert_eq!(near("New York"), Some("America/New_York"));
        assert_eq!(near("Mars/Olympus Mons"), None);
        for text in ["", "+2", "+15:00", "+02:60", "02:00", "summer time"] {
            assert!(Zone::parse(text).is_err(), "{text}");
        }
        let hint = Zone::parse("Europe/Berln").unwrap_err().hint();
        assert!(hint.starts_with("did you mean `Europe/Berlin`? "), "{hint}");
    }
}
