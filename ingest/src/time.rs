//! The ways logs write a time. Not what is done with a wrong one: that is the clamp of `event`.

use chrono::{DateTime, NaiveDate, NaiveDateTime};
use sluice_event::TimeFormat;

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

/// The year that puts a date without one nearest to `reference`, but not over a day ahead of it.
pub(crate) fn nearest_year(
    month: u32,
    day: u32,
    hour: u32,
    minute: u32,
    second: u32,
    reference: i64,
) -> i32 {
    let year = year_of(reference);
    (year - 4..=year + 1)
        .rev()
        .find(|&y| {
            civil(i64::from(y), month, day, hour, minute, second, 0)
                .is_some_and(|t| t <= reference + DAY)
        })
        .unwrap_or(year)
}

fn parse_as(text: &str, format: &TimeFormat, reference: i64) -> Option<i64> {
    match format {
        TimeFormat::Rfc3339 => rfc3339(text.as_bytes()),
        TimeFormat::Auto => rfc3339(text.as_bytes()).or_else(|| number_text(text, format)),
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

/// `2026-01-01T00:00:00.000Z`; also a space for the `T`, no zone (UTC), `+0100`, ` UTC`, no seconds
/// or no time of day. By hand: every event has one.
fn rfc3339(text: &[u8]) -> Option<i64> {
    let digits = |from: usize, count: usize| -> Option<u32> {
        text.get(from..from + count)?
            .iter()
            .try_fold(0u32, |sum, b| b.is_ascii_digit().then(|| sum * 10 + u32::from(b - b'0')))
    };
    let byte = |at: usize| text.get(at).copied();
    let (year, month, day) = (digits(0, 4)?, digits(5, 2)?, digits(8, 2)?);
    if byte(4)? != b'-' || byte(7)? != b'-' {
        return None;
    }
    if text.len() == 10 {
        return civil(i64::from(year), month, day, 0, 0, 0, 0);
    }
    if !matches!(byte(10)?, b'T' | b't' | b' ') || byte(13)? != b':' {
        return None;
    }
    let (hour, minute) = (digits(11, 2)?, digits(14, 2)?);
    let mut at = 16;
    let mut second = 0;
    let mut millis = 0;
    if byte(at) == Some(b':') {
        second = digits(at + 1, 2)?;
        at += 3;
        if matches!(byte(at), Some(b'.' | b',')) {
            at += 1;
            let start = at;
            while let Some(digit) = byte(at).filter(u8::is_ascii_digit) {
                if at - start < 3 {
                    millis = millis * 10 + i64::from(digit - b'0');
                }
                at += 1;
            }
            if at == start {
                return None;
            }
            for _ in at - start..3 {
                millis *= 10;
            }
        }
    }
    if byte(at) == Some(b' ') {
        at += 1;
    }
    let zone = match text.get(at..)? {
        b"" | b"Z" | b"z" | b"UTC" | b"GMT" => 0,
        [sign @ (b'+' | b'-'), rest @ ..] => {
            let minute_at = match rest {
                [_, _] => None,
                [_, _, _, _] => Some(at + 3),
                [_, _, b':', _, _] => Some(at + 4),
                _ => return None,
            };
            let minutes =
                digits(at + 1, 2)? * 60 + minute_at.map_or(Some(0), |at| digits(at, 2))?;
            let minutes = i64::from(minutes);
            if *sign == b'-' { -minutes } else { minutes }
        }
        _ => return None,
    };
    Some(civil(i64::from(year), month, day, hour, minute, second, millis)? - zone * 60_000)
}

fn syslog(text: &str, reference: i64) -> Option<i64> {
    // A leap year, so that the 29th of February parses before its year is known.
    let time = NaiveDateTime::parse_from_str(&format!("2024 {text}"), "%Y %b %e %H:%M:%S").ok()?;
    use chrono::{Datelike, Timelike};
    let (month, day) = (time.month(), time.day());
    let (hour, minute, second) = (time.hour(), time.minute(), time.second());
    let year = nearest_year(month, day, hour, minute, second, reference);
    civil(i64::from(year), month, day, hour, minute, second, 0)
}

/// Days from civil by Howard Hinnant ("chrono-Compatible Low-Level Date Algorithms").
fn civil(
    year: i64,
    month: u32,
    day: u32,
    hour: u32,
    minute: u32,
    second: u32,
    millis: i64,
) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u32::from(leap),
        _ => return None,
    };
    // 24:00 is no time; second 60 is a leap second, read as the next minute's first.
    if day == 0 || day > length || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let year_of_era = shifted.rem_euclid(400);
    let month_from_march = i64::from((month + 9) % 12);
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    let seconds = i64::from(hour * 3600 + minute * 60 + second);
    Some(days * DAY + seconds * 1000 + millis)
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
        let reference = rfc3339(b"2026-01-02T00:00:00Z").unwrap();
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
