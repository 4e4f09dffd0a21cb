//! The ways logs write a time. Not what is done with a wrong one: that is the clamp of `event`.

use chrono::{DateTime, NaiveDate, NaiveDateTime};
pub(crate) use sluice_event::named_zone;
use sluice_event::{TimeFormat, civil_millis as civil, parse_rfc3339 as rfc3339, zone_minutes};

const DAY: i64 = 86_400_000;

/// Parses the text of a time into milliseconds since 1970 UTC: the first format that fits wins, and
/// no format at all means [`TimeFormat::Auto`]. `reference` gives the year to formats without one.
pub(crate) fn parse(text: &str, formats: &[TimeFormat], reference: i64) -> Option<i64> {
    let text = text.trim();
    if formats.is_empty() {
        return parse_as(text, &TimeFormat::Auto, reference);
    }
    formats.iter().find_map(|f| parse_as(text, f, reference))
}

/// The same for a time written as a number.
pub(crate) fn from_number(value: f64, integer: Option<i64>, formats: &[TimeFormat]) -> Option<i64> {
    if formats.is_empty() {
        return number_as(value, integer, &TimeFormat::Auto);
    }
    formats.iter().find_map(|f| number_as(value, integer, f))
}

/// A date and time of day without its year, as classic syslog writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct YearlessTime {
    month: u32,
    day: u32,
    hour: u32,
    minute: u32,
    second: u32,
    millis: i64,
}

impl YearlessTime {
    /// Milliseconds since 1970, without regard to a zone; `None` for the 29th of February of a
    /// common year.
    pub(crate) fn in_year(self, year: i32) -> Option<i64> {
        let YearlessTime { month, day, hour, minute, second, millis } = self;
        civil(i64::from(year), month, day, hour, minute, second, millis)
    }

    /// The year that puts it nearest to `reference`, but not over a day ahead of it.
    pub(crate) fn nearest_year(self, reference: i64) -> i32 {
        let year = year_of(reference);
        (year - 4..=year + 1)
            .rev()
            .find(|&y| self.in_year(y).is_some_and(|t| t <= reference + DAY))
            .unwrap_or(year)
    }

    /// How many years lie between `last` and this, the one after it in a log: a date that is far
    /// before the last one is of the next year, one that is nearly a year ahead of it of the last.
    pub(crate) fn years_after(self, last: YearlessTime) -> i32 {
        // Rotated files read newest first go back by weeks; a year that ends goes back by months.
        const BACK_DAYS: i64 = 90;
        let days = |t: YearlessTime| t.in_year(2024).unwrap_or(0) / DAY;
        match days(self) - days(last) {
            back if back < -BACK_DAYS => 1,
            ahead if ahead > 366 - 7 => -1,
            _ => 0,
        }
    }
}

/// `Nov 20 10:00:00[.5]`, with a year before or after the time of day, and what follows it. The
/// year is `None` if there is none.
pub(crate) fn month_day(text: &str) -> Option<(YearlessTime, Option<i32>, &str)> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = MONTHS.iter().position(|m| text.starts_with(m))? as u32 + 1;
    let rest = text.get(3..)?.strip_prefix(' ')?.trim_start_matches(' ');
    let (day, rest) = rest.split_once(' ')?;
    let day: u32 = day.parse().ok().filter(|_| day.len() <= 2)?;
    let year_of = |text: &str| text.parse::<i32>().ok().filter(|_| text.len() == 4);
    let mut rest = rest.trim_start_matches(' ');
    let mut year = None;
    if let Some((word, after)) = rest.split_once(' ')
        && let Some(found) = year_of(word)
    {
        year = Some(found);
        rest = after;
    }
    let bytes = rest.as_bytes();
    let digits = |at: usize| -> Option<u32> {
        let two = bytes.get(at..at + 2)?;
        two.iter().try_fold(0, |n, b| b.is_ascii_digit().then(|| n * 10 + u32::from(b - b'0')))
    };
    if bytes.get(2) != Some(&b':') || bytes.get(5) != Some(&b':') {
        return None;
    }
    let (hour, minute, second) = (digits(0)?, digits(3)?, digits(6)?);
    let (mut millis, mut at) = (0, 8);
    if matches!(bytes.get(8), Some(b'.' | b',')) {
        let fraction = bytes.get(9..)?.iter().take_while(|b| b.is_ascii_digit()).count();
        let text: String = rest.get(9..9 + fraction.min(3))?.chars().collect();
        millis = format!("{text:0<3}").parse().ok()?;
        at = 9 + fraction;
    }
    let mut rest = rest.get(at..)?;
    if !rest.is_empty() && !rest.starts_with([' ', ':']) {
        return None;
    }
    rest = rest.strip_prefix(':').unwrap_or(rest).trim_start_matches(' ');
    if year.is_none()
        && let Some((word, after)) = rest.split_once(' ')
        && let Some(found) = year_of(word)
    {
        year = Some(found);
        rest = after;
    }
    let time = YearlessTime { month, day, hour, minute, second, millis };
    // The leap year has every date.
    time.in_year(2024)?;
    Some((time, year, rest))
}

/// RFC 3339 in the ways logs write it, and whether it had a zone.
pub(crate) fn zoned(text: &str) -> Option<(i64, bool)> {
    rfc3339(text.as_bytes())
}

/// What a clock showed, in milliseconds since 1970: RFC 3339 without a zone, and `Jan 1, 2026 @ 10:00:00.000`
/// as Kibana shows it.
pub(crate) fn local(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Some((at, zoned)) = zoned(text) {
        return (!zoned).then_some(at);
    }
    let (date, clock) = text.split_once(" @ ")?;
    let (day, year) = date.split_once(", ")?;
    let day = format!("{day} {clock}");
    let (time, None, "") = month_day(&day)? else { return None };
    time.in_year(year.parse().ok().filter(|_| year.len() == 4)?)
}

/// Minutes east of UTC: `Z`, `UTC`, `+01:00`, `+0100`, `+01`. Not names, see [`named_zone`].
pub(crate) fn zone(text: &str) -> Option<i32> {
    let is_name = text.len() > 1 && text.bytes().all(|b| b.is_ascii_alphabetic());
    if is_name && !matches!(text, "UTC" | "GMT") {
        return None;
    }
    zone_minutes(text.as_bytes()).flatten().map(|minutes| minutes as i32)
}

fn parse_as(text: &str, format: &TimeFormat, reference: i64) -> Option<i64> {
    match format {
        TimeFormat::Rfc3339 => rfc3339(text.as_bytes()).map(|(at, _)| at),
        TimeFormat::Auto => {
            let zoned = rfc3339(text.as_bytes()).map(|(at, _)| at);
            zoned.or_else(|| number_text(text, format)).or_else(|| tai64n(text))
        }
        TimeFormat::EpochSeconds
        | TimeFormat::EpochMillis
        | TimeFormat::EpochMicros
        | TimeFormat::EpochNanos
        | TimeFormat::FileTime => number_text(text, format),
        TimeFormat::Syslog => syslog(text, reference),
        TimeFormat::Clf => DateTime::parse_from_str(text, "%d/%b/%Y:%H:%M:%S %z")
            .ok()
            .map(|t| t.timestamp_millis()),
        TimeFormat::Pattern(pattern) => DateTime::parse_from_str(text, pattern)
            .map(|t| t.timestamp_millis())
            .or_else(|_| {
                NaiveDateTime::parse_from_str(text, pattern).map(|t| t.and_utc().timestamp_millis())
            })
            .or_else(|_| {
                NaiveDate::parse_from_str(text, pattern)
                    .map(|d| d.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_millis())
            })
            .ok(),
    }
}

/// `@400000006957b9800759cd15`, as multilog and svlogd write it: 2^62 + 10 + seconds since 1970, then
/// nanoseconds. They leave out the leap seconds since 1972; s6-log may count them, and is then 27 seconds
/// ahead.
fn tai64n(text: &str) -> Option<i64> {
    let hex = text.strip_prefix('@').filter(|hex| hex.len() == 24)?;
    let seconds = i64::from_str_radix(hex.get(..16)?, 16).ok()?;
    let nanos = i64::from_str_radix(hex.get(16..)?, 16).ok()?;
    let seconds = seconds.checked_sub((1 << 62) + 10)?;
    seconds.checked_mul(1000)?.checked_add(nanos / 1_000_000)
}

fn number_text(text: &str, format: &TimeFormat) -> Option<i64> {
    let integer = text.parse::<i64>().ok();
    let value = match integer {
        Some(v) => v as f64,
        None => text.parse::<f64>().ok()?,
    };
    number_as(value, integer, format)
}

fn number_as(value: f64, integer: Option<i64>, format: &TimeFormat) -> Option<i64> {
    let scaled = |numerator: i64, denominator: i64| match integer {
        Some(v) => v.checked_mul(numerator).map(|v| v.div_euclid(denominator)),
        None => {
            let v = (value * numerator as f64 / denominator as f64).floor();
            (v.abs() < 9e15).then_some(v as i64)
        }
    };
    match format {
        TimeFormat::EpochSeconds => scaled(1000, 1),
        TimeFormat::EpochMillis => scaled(1, 1),
        TimeFormat::EpochMicros => scaled(1, 1000),
        TimeFormat::EpochNanos => scaled(1, 1_000_000),
        TimeFormat::FileTime => scaled(1, 10_000).map(|v| v - 11_644_473_600_000),
        // By size: seconds reach 1e11 in the year 5138, milliseconds in 1973.
        TimeFormat::Auto => match value.abs() {
            v if v < 1e11 => scaled(1000, 1),
            v if v < 1e14 => scaled(1, 1),
            v if v < 1e17 => scaled(1, 1000),
            _ => scaled(1, 1_000_000),
        },
        TimeFormat::Rfc3339 | TimeFormat::Syslog | TimeFormat::Clf | TimeFormat::Pattern(_) => None,
    }
}

fn syslog(text: &str, reference: i64) -> Option<i64> {
    let (time, year, rest) = month_day(text)?;
    time.in_year(year.unwrap_or_else(|| time.nearest_year(reference))).filter(|_| rest.is_empty())
}

fn year_of(millis: i64) -> i32 {
    use chrono::Datelike;
    DateTime::from_timestamp_millis(millis).map_or(1970, |t| t.year())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, format: TimeFormat, expect: Option<&str>) {
        let reference = rfc3339(b"2026-01-02T00:00:00Z").unwrap().0;
        let expect = expect.map(|t| DateTime::parse_from_rfc3339(t).unwrap().timestamp_millis());
        assert_eq!(parse(text, &[format], reference), expect, "{text}");
    }

    #[test]
    fn reads_the_ways_logs_write_rfc_3339() {
        let auto = || TimeFormat::Auto;
        check("2022-03-22 14:21:53.225", auto(), Some("2022-03-22T14:21:53.225Z"));
        check("2026-01-01T00:00:00.000Z", auto(), Some("2026-01-01T00:00:00Z"));
        check("2026-01-01T00:00:00.123456789+01:30", auto(), Some("2025-12-31T22:30:00.123Z"));
        check("2026-01-01T00:00:00-0500", auto(), Some("2026-01-01T05:00:00Z"));
        check("2026-01-01 00:00:00 UTC", auto(), Some("2026-01-01T00:00:00Z"));
        check("2026-01-01T00:00:00.5Z", auto(), Some("2026-01-01T00:00:00.5Z"));
        check("9999-12-31T23:59:59Z", auto(), Some("9999-12-31T23:59:59Z"));
        check("2024-02-29", auto(), Some("2024-02-29T00:00:00Z"));
        for bad in [
            "",
            "-",
            "-001-01-01T00:00:00Z",
            "2023-02-29",
            "2026-13-01",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00+1",
            "yesterday",
            "NaN",
            "é026-01-01",
        ] {
            check(bad, auto(), None);
        }
    }

    #[test]
    fn reads_what_a_clock_showed() {
        let at = |text: &str| rfc3339(text.as_bytes()).map(|(at, _)| at);
        assert_eq!(local("2026-01-01 10:00:00.5"), at("2026-01-01T10:00:00.5Z"));
        assert_eq!(local("Jan 1, 2026 @ 10:00:00.123"), at("2026-01-01T10:00:00.123Z"));
        for bad in ["2026-01-01T10:00:00Z", "Jan 1, 26 @ 10", "Jan 1 @ 10:00:00", "soon", ""] {
            assert_eq!(local(bad), None, "{bad}");
        }
    }

    #[test]
    fn reads_labels_in_tai64n() {
        check("@400000006957b98a0759cd15", TimeFormat::Auto, Some("2026-01-02T12:26:40.123Z"));
        for bad in ["@400000006957b98a0759cd1", "@4000000g6957b98a0759cd15", "@"] {
            check(bad, TimeFormat::Auto, None);
        }
    }

    #[test]
    fn reads_numbers_by_unit_or_size() {
        check("1700000000", TimeFormat::EpochSeconds, Some("2023-11-14T22:13:20Z"));
        check("1700000000.25", TimeFormat::EpochSeconds, Some("2023-11-14T22:13:20.25Z"));
        check("1700000000", TimeFormat::Auto, Some("2023-11-14T22:13:20Z"));
        check("1700000000000", TimeFormat::Auto, Some("2023-11-14T22:13:20Z"));
        check("1700000000000000", TimeFormat::Auto, Some("2023-11-14T22:13:20Z"));
        check("1700000000000000000", TimeFormat::Auto, Some("2023-11-14T22:13:20Z"));
        check("133444736000000000", TimeFormat::FileTime, Some("2023-11-14T22:13:20Z"));
        assert_eq!(from_number(f64::INFINITY, None, &[]), None);
        assert_eq!(from_number(f64::NAN, None, &[]), None);
        assert_eq!(from_number(1e300, None, &[]), None);
    }

    #[test]
    fn dates_without_a_year_are_the_nearest_not_a_day_ahead() {
        check("Dec 31 23:59:59", TimeFormat::Syslog, Some("2025-12-31T23:59:59Z"));
        check("Jan  2 12:00:00", TimeFormat::Syslog, Some("2026-01-02T12:00:00Z"));
        check("Jan  4 00:00:00", TimeFormat::Syslog, Some("2025-01-04T00:00:00Z"));
        check("Feb 29 00:00:00", TimeFormat::Syslog, Some("2024-02-29T00:00:00Z"));
        check("10/Oct/2000:13:55:36 -0700", TimeFormat::Clf, Some("2000-10-10T20:55:36Z"));
        check(
            "01.02.2026 03:04",
            TimeFormat::Pattern("%d.%m.%Y %H:%M".into()),
            Some("2026-02-01T03:04:00Z"),
        );
    }
}
