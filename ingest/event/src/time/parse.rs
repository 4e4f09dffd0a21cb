//! RFC 3339 in the ways logs and people write it. Not the other ways that logs write a time, which are
//! `ingest`'s.

/// Milliseconds since 1970 UTC, and whether a zone is given: `2026-01-01T00:00:00.000Z`; also a space or `_` for the `T`, `/` for the `-` of the date, no zone (UTC), `+0100`, ` UTC`, ` CET`, no
/// seconds or no time of day. Digits past the millisecond are cut. By hand: every event has one.
pub fn parse_rfc3339(text: &[u8]) -> Option<(i64, bool)> {
    let digits = |from: usize, count: usize| -> Option<u32> {
        text.get(from..from + count)?
            .iter()
            .try_fold(0u32, |sum, b| b.is_ascii_digit().then(|| sum * 10 + u32::from(b - b'0')))
    };
    let byte = |at: usize| text.get(at).copied();
    let (year, month, day) = (digits(0, 4)?, digits(5, 2)?, digits(8, 2)?);
    if !matches!((byte(4)?, byte(7)?), (b'-', b'-') | (b'/', b'/')) {
        return None;
    }
    if text.len() == 10 {
        return civil_millis(i64::from(year), month, day, 0, 0, 0, 0).map(|at| (at, false));
    }
    if !matches!(byte(10)?, b'T' | b't' | b' ' | b'_') || byte(13)? != b':' {
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
    let zone = zone_minutes(text.get(at..)?)?;
    let civil = civil_millis(i64::from(year), month, day, hour, minute, second, millis)?;
    Some((civil - zone.unwrap_or(0) * 60_000, zone.is_some()))
}

/// Minutes east of UTC; the inner `None` where there is no zone at all.
pub fn zone_minutes(text: &[u8]) -> Option<Option<i64>> {
    let digits = |two: &[u8]| -> Option<i64> {
        two.iter().try_fold(0, |n, b| b.is_ascii_digit().then(|| n * 10 + i64::from(b - b'0')))
    };
    Some(match text {
        b"" => None,
        b"Z" | b"z" | b"UTC" | b"GMT" => Some(0),
        [sign @ (b'+' | b'-'), rest @ ..] => {
            let (hours, minutes) = match rest {
                [_, _] => (rest, &b"00"[..]),
                [_, _, m @ ..] if m.len() == 2 => (rest.get(..2)?, m),
                [_, _, b':', m @ ..] if m.len() == 2 => (rest.get(..2)?, m),
                _ => return None,
            };
            let total = digits(hours)? * 60 + digits(minutes)?;
            Some(if *sign == b'-' { -total } else { total })
        }
        name => Some(named_zone(name)?.0),
    })
}

/// Minutes east of UTC of the zone that a name says, and whether it is the only one of that name:
/// `CET`, `EDT`.
///
/// The names of the tz database; those of North America as RFC 5322 (section 4.3) has them. A name
/// of several zones of which none is meant more than the others, as `IST`, is not there.
pub fn named_zone(name: &[u8]) -> Option<(i64, bool)> {
    // China and the Philippines have these names for zones of theirs.
    let only = !matches!(name, b"CST" | b"CDT" | b"PST" | b"PDT");
    let minutes = match name {
        b"HST" => -600,
        b"HDT" | b"AKST" => -540,
        b"AKDT" | b"PST" => -480,
        b"PDT" | b"MST" => -420,
        b"MDT" | b"CST" => -360,
        b"CDT" | b"EST" => -300,
        b"EDT" | b"AST" => -240,
        b"NST" => -210,
        b"ADT" => -180,
        b"NDT" => -150,
        b"WET" => 0,
        b"BST" | b"WEST" | b"CET" | b"WAT" | b"MEZ" => 60,
        b"CEST" | b"EET" | b"CAT" | b"SAST" | b"MESZ" => 120,
        b"EEST" | b"MSK" | b"EAT" | b"IDT" => 180,
        b"PKT" => 300,
        b"WIB" => 420,
        b"AWST" | b"HKT" | b"SGT" | b"WITA" => 480,
        b"JST" | b"KST" | b"WIT" => 540,
        b"ACST" => 570,
        b"AEST" | b"ChST" => 600,
        b"ACDT" => 630,
        b"AEDT" => 660,
        b"NZST" => 720,
        b"NZDT" => 780,
        _ => return None,
    };
    Some((minutes, only))
}

/// Milliseconds since 1970 UTC of a date and time of day; `None` if the calendar has no such.
///
/// Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`.
pub fn civil_millis(
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
    Some(days * 86_400_000 + seconds * 1000 + millis)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rfc3339;

    #[test]
    fn what_is_written_is_read() {
        for millis in [0, 1, 1_767_225_600_123, 951_782_400_000, 253_402_300_799_999] {
            let text = rfc3339(millis);
            assert_eq!(parse_rfc3339(text.as_bytes()), Some((millis, true)), "{text}");
        }
        assert_eq!(parse_rfc3339(b"2026-01-01"), Some((1_767_225_600_000, false)));
        let zoned = |text: &str| parse_rfc3339(text.as_bytes()).map(|(at, _)| rfc3339(at));
        for (text, utc) in [
            ("2026-01-01 12:00:00 CET", "2026-01-01T11:00:00.000Z"),
            ("2026-07-01 12:00:00.5 CEST", "2026-07-01T10:00:00.500Z"),
            ("2026-01-01 12:00:00 EST", "2026-01-01T17:00:00.000Z"),
            ("2026-01-01 12:00:00 NST", "2026-01-01T15:30:00.000Z"),
        ] {
            assert_eq!(zoned(text).as_deref(), Some(utc), "{text}");
        }
        // Of India, Israel or Ireland.
        assert_eq!(zoned("2026-01-01 12:00:00 IST"), None);
        for bad in ["2026-02-29", "2026-01-01T24:00:00Z", "2026-01-01T00:00:00+1", "", "soon"] {
            assert_eq!(parse_rfc3339(bad.as_bytes()), None, "{bad}");
        }
    }
}
