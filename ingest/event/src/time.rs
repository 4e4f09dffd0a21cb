//! Event time: bounding what a source claims, and writing it. Parsing RFC 3339 is in [`parse`]. No
//! clock: the reference is a recorded fact of the record.

use std::fmt::Write;

pub(crate) mod parse;

/// The event time of a record, decided from the time it claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clamped {
    /// The time to use, milliseconds since 1970 UTC.
    pub time: i64,
    /// Why it is not the claimed one, for `time_flag`: `missing`, `invalid` or `future`.
    pub flag: Option<&'static str>,
    /// The claimed time, for `original_time`, where it was not used.
    pub original: Option<i64>,
}

/// Bounds a claimed time by the record's receive time; all in milliseconds.
///
/// A time more than `max_skew` ahead of `reference` becomes `reference + max_skew`, so that one
/// record from year 9999 moves a watermark by no more than the skew. No time, or one before 1970,
/// becomes `reference`.
pub fn clamp(time: Option<i64>, reference: i64, max_skew: i64) -> Clamped {
    let latest = reference.saturating_add(max_skew);
    match time {
        None => Clamped { time: reference, flag: Some("missing"), original: None },
        Some(t) if t < 0 => Clamped { time: reference, flag: Some("invalid"), original: time },
        Some(t) if t > latest => Clamped { time: latest, flag: Some("future"), original: time },
        Some(t) => Clamped { time: t, flag: None, original: None },
    }
}

/// A time in milliseconds since 1970 UTC as RFC 3339 with milliseconds: `2026-01-01T00:00:00.000Z`.
///
/// Total: a year outside 0..=9999, which RFC 3339 cannot write, has a sign and as many digits as it
/// needs (ISO 8601 expanded form).
pub fn rfc3339(millis: i64) -> String {
    let mut text = String::with_capacity(24);
    write_rfc3339(&mut text, millis);
    text
}

/// [`rfc3339`] at the end of a text.
pub(crate) fn write_rfc3339(text: &mut String, millis: i64) {
    const DAY: i64 = 86_400_000;
    let (year, month, day) = civil_from_days(millis.div_euclid(DAY));
    let ms = millis.rem_euclid(DAY);
    let (hour, minute, second, milli) =
        (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60, ms % 1_000);
    match year {
        0..=9999 => digits(text, year, 4, '-'),
        // Writing to a String cannot fail.
        _ => write!(text, "{year:+05}-").unwrap_or_default(),
    }
    digits(text, month, 2, '-');
    digits(text, day, 2, 'T');
    digits(text, hour, 2, ':');
    digits(text, minute, 2, ':');
    digits(text, second, 2, '.');
    digits(text, milli, 3, 'Z');
}

/// A number in so many digits, at most four, and what follows it.
fn digits(text: &mut String, mut number: i64, width: usize, next: char) {
    let mut places = [b'0'; 4];
    for place in places.iter_mut().take(width).rev() {
        *place = b'0' + (number % 10) as u8;
        number /= 10;
    }
    text.push_str(std::str::from_utf8(&places[..width]).unwrap_or_default());
    text.push(next);
}

/// Year, month and day of a day number since 1970-01-01 in the proleptic Gregorian calendar.
///
/// Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`: eras of 400
/// years whose years begin on 1 March, so that the leap day is the last of its year.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_bounded_by_its_reference() {
        let reference = 1_000_000;
        let kept = |time| Clamped { time, flag: None, original: None };
        assert_eq!(clamp(Some(5), reference, 300), kept(5), "1970 is just late");
        assert_eq!(clamp(Some(1_000_300), reference, 300), kept(1_000_300), "the skew itself");
        assert_eq!(
            clamp(Some(1_000_301), reference, 300),
            Clamped { time: 1_000_300, flag: Some("future"), original: Some(1_000_301) }
        );
        assert_eq!(
            clamp(Some(-1), reference, 300),
            Clamped { time: reference, flag: Some("invalid"), original: Some(-1) }
        );
        assert_eq!(
            clamp(None, reference, 300),
            Clamped { time: reference, flag: Some("missing"), original: None }
        );
        assert_eq!(clamp(Some(i64::MAX), i64::MAX, i64::MAX), kept(i64::MAX));
    }

    #[test]
    fn every_time_can_be_written() {
        for (millis, expect) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (1_767_225_600_123, "2026-01-01T00:00:00.123Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
            (253_402_300_800_000, "+10000-01-01T00:00:00.000Z"),
            (-62_167_219_200_000, "0000-01-01T00:00:00.000Z"),
            (-62_167_219_200_001, "-0001-12-31T23:59:59.999Z"),
            (i64::MAX, "+292278994-08-17T07:12:55.807Z"),
            (i64::MIN, "-292275055-05-16T16:47:04.192Z"),
        ] {
            assert_eq!(rfc3339(millis), expect);
        }
    }
}
