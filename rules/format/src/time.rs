//! Durations and times as rule files write them. No clock: offsets count from a fixed base.

/// 2026-01-01T00:00:00Z in milliseconds: what the offsets of a tests block count from.
pub const TEST_BASE: i64 = 1_767_225_600_000;

/// A duration in milliseconds from `10m`, `1h30m`, `250ms`: whole numbers with a unit of `ms`, `s`,
/// `m`, `h`, `d` or `w`, largest first by custom but not by force. A number without unit is `None`.
pub fn parse_duration(text: &str) -> Option<i64> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    let mut total: i64 = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at_checked(digits)?;
        let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at_checked(letters)?;
        let unit: i64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 7 * 86_400_000,
            _ => return None,
        };
        total = total.checked_add(number.parse::<i64>().ok()?.checked_mul(unit)?)?;
        rest = tail;
    }
    Some(total)
}

/// A time in milliseconds since 1970 UTC from an offset to [`TEST_BASE`] (`+9m`, `-5s`, `+1h30m`)
/// or an RFC 3339 time. `None` for anything else.
pub fn resolve_time(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Some(offset) = text.strip_prefix('+') {
        return TEST_BASE.checked_add(parse_duration(offset)?);
    }
    if let Some(offset) = text.strip_prefix('-') {
        return TEST_BASE.checked_sub(parse_duration(offset)?);
    }
    parse_rfc3339(text)
}

/// With a zone, or a date alone: a time of day without a zone says too little.
fn parse_rfc3339(text: &str) -> Option<i64> {
    let (millis, zoned) = sluice_event::parse_rfc3339(text.as_bytes())?;
    (zoned || text.len() == "2026-01-01".len()).then_some(millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_units() {
        assert_eq!(parse_duration("10m"), Some(600_000));
        assert_eq!(parse_duration("1h30m"), Some(5_400_000));
        assert_eq!(parse_duration("250ms"), Some(250));
        assert_eq!(parse_duration("2w1d"), Some(15 * 86_400_000));
        for bad in ["", "10", "m", "-5s", "1.5h", "10 m", "10min", "99999999999999999999s", "5é"] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn times_are_offsets_or_rfc_3339() {
        let check =
            |text: &str, expect: Option<i64>| assert_eq!(resolve_time(text), expect, "{text}");
        check("2026-01-01T00:00:00Z", Some(TEST_BASE));
        check("2026-01-01", Some(TEST_BASE));
        check("+0s", Some(TEST_BASE));
        check("+1h30m", Some(TEST_BASE + 5_400_000));
        check("-5s", Some(TEST_BASE - 5_000));
        check("2026-01-01T02:00:00.123456+02:00", Some(TEST_BASE + 123));
        check("2026-01-01 00:00:00.5Z", Some(TEST_BASE + 500));
        check("1970-01-01T00:00:00Z", Some(0));
        check("2024-02-29T12:00:00Z", Some(1_709_208_000_000));
        for bad in [
            "2025-02-29",
            "2026-13-01",
            "2026-01-01T25:00:00Z",
            "2026-01-01T00:00:00",
            "soon",
            "+5",
            "",
        ] {
            check(bad, None);
        }
    }
}
