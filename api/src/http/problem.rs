//! Errors as RFC 9457 problems, each with a stable `code`. One place says which status a code has.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use sluice_engine::{EngineError, SqlError};
use utoipa::ToSchema;

/// What went wrong with a request: `application/problem+json`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// Names the kind of problem: `urn:sluice:problem:` and the code.
    #[serde(rename = "type")]
    #[schema(example = "urn:sluice:problem:invalid_parameter")]
    kind: String,
    /// The kind in words.
    #[schema(example = "a parameter is not accepted")]
    title: &'static str,
    /// The HTTP status.
    #[schema(example = 400)]
    status: u16,
    /// What is wrong this time.
    #[schema(example = "limit is 1 to 500, not `1e9`")]
    detail: String,
    /// The request, as the logs name it.
    #[schema(example = "urn:sluice:request:5f2c9a0b7d1e4c38-17")]
    instance: String,
    /// The kind of problem, stable.
    #[schema(example = "invalid_parameter")]
    code: &'static str,
    /// Each thing that is wrong, where there can be several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Fault>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    #[serde(skip)]
    retry_after: Option<u64>,
    #[serde(skip)]
    allow: Option<String>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub(crate) struct Fault {
    /// Where: `query/limit`, or a JSON pointer into the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pointer: Option<String>,
    /// What.
    pub(super) detail: String,
    /// The line of an SQL text, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) line: Option<u64>,
    /// The character in the line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) column: Option<u64>,
    /// What to write instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hint: Option<String>,
}

/// The kinds of problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    InvalidParameter,
    InvalidCursor,
    InvalidBody,
    InvalidQuery,
    InvalidSql,
    Empty,
    Unauthenticated,
    Forbidden,
    NotFound,
    UnknownSource,
    MethodNotAllowed,
    NotAcceptable,
    Timeout,
    Deadline,
    Conflict,
    VersionMismatch,
    TooLarge,
    UriTooLong,
    UnsupportedMediaType,
    Unprocessable,
    QueryLimit,
    QueryFailed,
    TooManyRequests,
    Internal,
    Unavailable,
}

impl Code {
    /// The status, the word and the kind in words.
    fn parts(self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Code::InvalidParameter => {
                (S::BAD_REQUEST, "invalid_parameter", "a parameter is not accepted")
            }
            Code::InvalidCursor => {
                (S::BAD_REQUEST, "invalid_cursor", "the cursor was not made for this list")
            }
            Code::InvalidBody => (S::BAD_REQUEST, "invalid_body", "the body is not accepted"),
            Code::InvalidQuery => (S::BAD_REQUEST, "invalid_query", "the search is not accepted"),
            Code::InvalidSql => (S::BAD_REQUEST, "invalid_sql", "the SQL is not accepted"),
            Code::Empty => (S::BAD_REQUEST, "empty", "there is nothing in the body"),
            Code::Unauthenticated => (S::UNAUTHORIZED, "unauthenticated", "a token is needed"),
            Code::Forbidden => (S::FORBIDDEN, "forbidden", "the token does not permit this"),
            Code::NotFound => (S::NOT_FOUND, "not_found", "there is no such thing"),
            Code::UnknownSource => (S::NOT_FOUND, "unknown_source", "there is no such input"),
            Code::MethodNotAllowed => {
                (S::METHOD_NOT_ALLOWED, "method_not_allowed", "the method does not fit")
            }
            Code::NotAcceptable => {
                (S::NOT_ACCEPTABLE, "not_acceptable", "none of these formats is made here")
            }
            Code::Timeout => (S::REQUEST_TIMEOUT, "timeout", "the request took too long"),
            Code::Deadline => (S::REQUEST_TIMEOUT, "deadline", "the query took too long"),
            Code::Conflict => (S::CONFLICT, "conflict", "another request is in the way"),
            Code::VersionMismatch => {
                (S::PRECONDITION_FAILED, "version_mismatch", "it has changed meanwhile")
            }
            Code::TooLarge => (S::PAYLOAD_TOO_LARGE, "too_large", "the body is too large"),
            Code::UriTooLong => (S::URI_TOO_LONG, "uri_too_long", "the address is too long"),
            Code::UnsupportedMediaType => {
                (S::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "the body has another format")
            }
            Code::Unprocessable => {
                (S::UNPROCESSABLE_ENTITY, "unprocessable", "this change makes no sense")
            }
            Code::QueryLimit => {
                (S::UNPROCESSABLE_ENTITY, "query_limit", "the query needs more than allowed")
            }
            Code::QueryFailed => (S::UNPROCESSABLE_ENTITY, "query_failed", "the query failed"),
            Code::TooManyRequests => {
                (S::TOO_MANY_REQUESTS, "too_many_requests", "too much at once")
            }
            Code::Internal => (S::INTERNAL_SERVER_ERROR, "internal", "a defect of this program"),
            Code::Unavailable => (S::SERVICE_UNAVAILABLE, "unavailable", "not possible now"),
        }
    }
}

impl Problem {
    /// A problem of a kind.
    pub(super) fn new(code: Code, detail: impl Into<String>) -> Self {
        let (status, word, title) = code.parts();
        Problem {
            kind: format!("urn:sluice:problem:{word}"),
            title,
            status: status.as_u16(),
            detail: detail.into(),
            instance: String::new(),
            code: word,
            errors: Vec::new(),
            hint: None,
            retry_after: None,
            allow: None,
        }
    }

    /// A query parameter that is not accepted.
    pub(super) fn parameter(name: &str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let fault = Fault {
            pointer: Some(format!("query/{name}")),
            detail: detail.clone(),
            ..Fault::default()
        };
        Problem::new(Code::InvalidParameter, detail).errors(vec![fault])
    }

    /// Something of the store, service or threads that failed; the log has the reason.
    pub(super) fn internal(error: &dyn std::error::Error) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(inner) = cause {
            text.push_str(": ");
            text.push_str(&inner.to_string());
            cause = inner.source();
        }
        tracing::error!(error = %text, "request failed");
        Problem::new(Code::Unavailable, "the store did not answer; the log says why").retry(5)
    }

    /// With what to do about it.
    #[must_use]
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// With each thing that is wrong.
    #[must_use]
    pub(super) fn errors(mut self, errors: Vec<Fault>) -> Self {
        self.errors = errors;
        self
    }

    /// With the seconds to wait before trying again.
    #[must_use]
    pub(super) fn retry(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// With the methods that would do.
    #[must_use]
    pub(super) fn allow(mut self, methods: String) -> Self {
        self.allow = Some(methods);
        self
    }

    /// Names the request, and writes the whole.
    pub(super) fn render(mut self, request: &str) -> Vec<u8> {
        self.instance = format!("urn:sluice:request:{request}");
        // Strings, numbers and lists of them: writing cannot fail.
        serde_json::to_vec(&self).unwrap_or_default()
    }

    /// The status.
    pub(super) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The stable word.
    pub(super) fn code(&self) -> &'static str {
        self.code
    }

    /// What is wrong this time.
    pub(super) fn text(&self) -> &str {
        &self.detail
    }
}

/// Leaves the body to [`super::finish`], which knows the request's name.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(allow) = self.allow.as_deref().and_then(|a| HeaderValue::from_str(a).ok()) {
            headers.insert(header::ALLOW, allow);
        }
        if self.status == StatusCode::UNAUTHORIZED.as_u16() {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"sluice\""),
            );
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// Seconds that who needs room on the disk is asked to wait.
pub(super) const RETRY_FULL: u64 = 30;

impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Self {
        if error.is_full() {
            let text = "the disk is full: nothing was changed";
            return Problem::new(Code::Unavailable, text).retry(RETRY_FULL);
        }
        Problem::internal(&error)
    }
}

impl From<SqlError> for Problem {
    fn from(error: SqlError) -> Self {
        let text = error.to_string();
        match error {
            SqlError::Refused(problems) => {
                let hint = problems.iter().find_map(|p| p.hint.clone());
                let faults = problems
                    .into_iter()
                    .map(|p| Fault {
                        pointer: Some("/sql".to_owned()),
                        detail: match p.detail {
                            Some(detail) => format!("{}: {detail}", p.message),
                            None => p.message,
                        },
                        line: p.span.map(|s| s.0),
                        column: p.span.map(|s| s.1),
                        hint: p.hint,
                    })
                    .collect();
                let problem = Problem::new(Code::InvalidSql, text).errors(faults);
                match hint {
                    Some(hint) => problem.hint(hint),
                    None => problem,
                }
            }
            SqlError::Deadline(_) => Problem::new(Code::Deadline, text)
                .hint("narrow it with `from` and `to`, or join fewer rows"),
            // Nobody reads it.
            SqlError::Cancelled => Problem::new(Code::QueryFailed, text),
            SqlError::Limit(_) => Problem::new(Code::QueryLimit, text)
                .hint("group by fewer values, or narrow it with `from` and `to`"),
            SqlError::Failed(_) => Problem::new(Code::QueryFailed, text),
        }
    }
}
