//! What the answer to a pushed SET means (RFC 8935 section 2) and when it is tried again. Pure: the
//! request itself is the caller's.

use serde_json::Value;

/// What came back from a receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// No answer: connection, TLS, name or time ran out. The text is for people.
    None(String),
    /// An HTTP answer.
    Http {
        /// The status.
        status: u16,
        /// `Retry-After` in milliseconds from now, if there was one.
        retry_after: Option<i64>,
        /// `err` of the body, if it could be read.
        err: Option<String>,
    },
}

/// What to do after an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver has it.
    Delivered,
    /// Again after so many milliseconds.
    Retry {
        /// The wait.
        after: i64,
        /// For people.
        why: String,
    },
    /// The SET is set aside; the next one follows.
    DeadLetter(String),
    /// The stream is paused and keeps its SETs.
    Pause(String),
}

/// What was tried before.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tried {
    /// Attempts of this SET before this one.
    pub attempts: u32,
    /// Answers 401 in a row on this stream before this one.
    pub unauthorized: u32,
    /// `invalid_key` for this SET before this one.
    pub invalid_key: u32,
    /// Milliseconds since the first failure in a row of this stream.
    pub failing_for: i64,
}

const SECOND: i64 = 1_000;
/// The longest wait between two attempts.
pub const BACKOFF_MOST: i64 = 300 * SECOND;
/// A stream that only fails for so long is paused.
pub const FAILING_MOST: i64 = 6 * 3600 * SECOND;
/// A 401 is tried again after so long,
const UNAUTHORIZED_WAIT: i64 = 15 * SECOND;
/// so many times.
const UNAUTHORIZED_TRIES: u32 = 10;
/// Receivers keep a key set for a while.
const KEY_WAIT: i64 = 60 * SECOND;
const KEY_TRIES: u32 = 2;

/// What an answer means. `jitter` is 0 to 1, drawn by the caller: full jitter.
pub fn outcome(answer: &Answer, tried: Tried, jitter: f64) -> Outcome {
    let (status, retry_after, err) = match answer {
        Answer::None(why) => return back_off(tried, jitter, why.clone()),
        Answer::Http { status, retry_after, err } => (*status, *retry_after, err.as_deref()),
    };
    if (200..300).contains(&status) {
        return Outcome::Delivered;
    }
    let why = match err {
        Some(err) => format!("HTTP {status} {err}"),
        None => format!("HTTP {status}"),
    };
    if let Some(after) = retry_after {
        return Outcome::Retry { after: after.max(0), why };
    }
    let unauthorized = |why: String| match tried.unauthorized < UNAUTHORIZED_TRIES {
        true => Outcome::Retry { after: UNAUTHORIZED_WAIT, why },
        false => Outcome::Pause(why),
    };
    match (status, err) {
        (429, _) | (500..=599, _) => back_off(tried, jitter, why),
        (401, _) | (400, Some("authentication_failed")) => unauthorized(why),
        (400, Some("access_denied")) => Outcome::Pause(why),
        (400, Some("invalid_key")) => match tried.invalid_key < KEY_TRIES {
            true => Outcome::Retry { after: KEY_WAIT, why },
            false => Outcome::Pause(why),
        },
        (400, _) => Outcome::DeadLetter(why),
        // Redirects are never followed; 403, 404, 410 and others need a person.
        _ => Outcome::Pause(why),
    }
}

/// `err` of an error body.
pub fn error_code(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let err = body.get("err")?.as_str()?;
    Some(err.chars().filter(|c| !c.is_control()).take(64).collect())
}

/// The wait before attempt `attempts + 1`: up to 1 s doubled each time, at most 5 min.
fn back_off(tried: Tried, jitter: f64, why: String) -> Outcome {
    if tried.failing_for >= FAILING_MOST {
        return Outcome::Pause(format!("no success for 6 h: {why}"));
    }
    let most = (SECOND << tried.attempts.min(20)).min(BACKOFF_MOST);
    // Never at once: a receiver that refuses quickly must not be asked in a loop.
    let after = ((most as f64 * jitter.clamp(0.0, 1.0)) as i64).max(100);
    Outcome::Retry { after, why }
}
