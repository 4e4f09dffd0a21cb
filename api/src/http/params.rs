//! Query parameters: strict, so that a misspelt one is an error and not an answer to another
//! question; and where a stream goes on. Bodies are in [`super::body`].

use axum::{
    extract::{FromRequestParts, Query},
    http::{HeaderMap, request::Parts},
};
use serde::{Deserialize, de::DeserializeOwned};
use sluice_engine::Seq;

use super::problem::{Code, Fault, Problem};

/// Findings, letters and the like per page when the request does not say.
pub(super) const LIMIT_DEFAULT: usize = 50;
/// And at most.
pub(super) const LIMIT_MAX: usize = 500;

/// Query parameters read into a struct that denies unknown fields.
pub(super) struct Params<T>(pub(super) T);

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Query(params) = Query::<T>::try_from_uri(&parts.uri).map_err(|e| {
            let text = e.body_text();
            let text = text.rsplit_once("query string: ").map_or(text.as_str(), |(_, t)| t);
            let fault = Fault { detail: text.to_owned(), ..Fault::default() };
            Problem::new(Code::InvalidParameter, text).errors(vec![fault])
        })?;
        Ok(Params(params))
    }
}

/// No parameters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// The sequence after which a client of server-sent events goes on.
pub(super) fn last_event_id(headers: &HeaderMap) -> Result<Option<Seq>, Problem> {
    let Some(id) = headers.get("last-event-id") else { return Ok(None) };
    let number = id.to_str().ok().and_then(|id| id.trim().parse().ok()).map(Seq);
    let wrong = || Problem::new(Code::InvalidParameter, "Last-Event-ID is a sequence, a number");
    number.map(Some).ok_or_else(wrong)
}

/// A page size, 1 to 500.
pub(super) fn limit(text: Option<&str>) -> Result<usize, Problem> {
    let Some(text) = text else { return Ok(LIMIT_DEFAULT) };
    match text.parse() {
        Ok(limit @ 1..=LIMIT_MAX) => Ok(limit),
        Ok(_) | Err(_) => {
            Err(Problem::parameter("limit", format!("limit is 1 to {LIMIT_MAX}, not `{text}`")))
        }
    }
}

/// A time in milliseconds since 1970 UTC: RFC 3339, or `now`, `now-24h`, `now-7d`.
pub(super) fn time(name: &str, text: Option<&str>, now: i64) -> Result<Option<i64>, Problem> {
    let Some(text) = text else { return Ok(None) };
    parse_time(text, now).map(Some).ok_or_else(|| {
        Problem::parameter(name, format!("`{name}` is not a time: `{text}`"))
            .hint("2026-11-24T08:00:00Z, now, now-15m, now-24h or now-7d")
    })
}

/// The time a text means.
pub(super) fn parse_time(text: &str, now: i64) -> Option<i64> {
    if let Some(back) = text.strip_prefix("now") {
        if back.is_empty() {
            return Some(now);
        }
        let back = back.strip_prefix('-')?;
        let unit = match back.chars().next_back()? {
            's' => 1_000,
            'm' => 60_000,
            'h' => 3_600_000,
            'd' => 86_400_000,
            'w' => 604_800_000,
            _ => return None,
        };
        let digits = back.get(..back.len() - 1)?;
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        return now.checked_sub(digits.parse::<i64>().ok()?.checked_mul(unit)?);
    }
    // A `+` that was not escaped arrives as a space.
    let (time, zoned) = sluice_event::parse_rfc3339(text.replace(' ', "+").as_bytes())?;
    zoned.then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339_or_back_from_now() {
        let now = 1_000_000_000;
        for (text, expected) in [
            ("now", Some(now)),
            ("now-15m", Some(now - 900_000)),
            ("now-1d", Some(now - 86_400_000)),
            ("1970-01-01T00:00:01Z", Some(1_000)),
            ("1970-01-01T01:00:01+01:00", Some(1_000)),
            ("1970-01-01T01:00:01 01:00", Some(1_000)),
            ("now+1h", None),
            ("now-", None),
            ("now-h", None),
            ("now--1h", None),
            ("now-1µ", None),
            ("now-99999999999999999h", None),
            ("now-9999999999999999999999h", None),
            ("yesterday", None),
            ("", None),
            ("2026-13-01T00:00:00Z", None),
        ] {
            assert_eq!(parse_time(text, now), expected, "{text}");
        }
    }

    #[test]
    fn limits_are_bounded() {
        assert_eq!(limit(None).unwrap(), LIMIT_DEFAULT);
        assert_eq!(limit(Some("500")).unwrap(), 500);
        for bad in ["0", "501", "-1", "1e9", "", " 5", "99999999999999999999"] {
            assert!(limit(Some(bad)).is_err(), "{bad}");
        }
    }
}
