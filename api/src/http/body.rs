//! Request bodies: read under a cap and a deadline, JSON with unknown fields refused.

mod objects;
pub(super) mod once;

use std::time::Duration;

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, Request},
    http::header,
};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;

use self::objects::Objects;
use super::{
    memory::Reserved,
    problem::{Code, Fault, Problem},
};

/// Time for a whole body to arrive.
pub(super) const BODY_TIME: Duration = Duration::from_secs(30);
/// Bytes of a JSON body: the largest is a hunt's SQL of 64 KiB.
pub(super) const JSON_BYTES: usize = 1 << 20;
/// Time for the rest of a body that is too large anyway.
const REST_TIME: Duration = Duration::from_secs(1);

/// A JSON body read into a struct that denies unknown fields.
pub(super) struct Json<T>(pub(super) T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE);
        let kind = kind.and_then(|k| k.to_str().ok()).unwrap_or_default();
        let essence = kind.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/json") {
            return Err(Problem::new(
                Code::UnsupportedMediaType,
                format!("the body is JSON, not `{kind}`"),
            )
            .hint("send `Content-Type: application/json`"));
        }
        if request.headers().contains_key(header::CONTENT_ENCODING) {
            return Err(Problem::new(
                Code::UnsupportedMediaType,
                "only ingest takes compressed bodies",
            ));
        }
        let bytes = read(request.into_body(), JSON_BYTES, BODY_TIME, None).await?;
        parse(&bytes).map(Json).map_err(|e| {
            let (line, column) = (e.line() as u64, e.column() as u64);
            let text = e.to_string();
            let text = text.split(" at line ").next().unwrap_or_default().to_owned();
            let fault = Fault {
                pointer: Some("/".to_owned()),
                detail: text.clone(),
                line: Some(line),
                column: Some(column),
                hint: None,
            };
            Problem::new(Code::InvalidBody, format!("{text} (line {line}, column {column})"))
                .errors(vec![fault])
        })
    }
}

/// A document whose structs are objects.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> serde_json::Result<T> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = T::deserialize(Objects(&mut reader))?;
    reader.end()?;
    Ok(value)
}

/// The whole body, at most `cap` bytes, within `time`.
///
/// What is beyond the cap is read a little further and thrown away: a client that is still writing
/// when the connection closes would not see the answer.
///
/// With `memory`, what is kept is reserved there as it arrives.
pub(super) async fn read(
    body: Body,
    cap: usize,
    time: Duration,
    memory: Option<&mut Reserved>,
) -> Result<Bytes, Problem> {
    let mut kept = Kept { bytes: Vec::new(), seen: 0, cap, memory };
    let mut body = body;
    match tokio::time::timeout(time, kept.fill(&mut body, cap)).await {
        Err(_) => {
            return Err(Problem::new(
                Code::Timeout,
                format!("the body did not arrive within {} s", time.as_secs()),
            ));
        }
        Ok(Err(problem)) => return Err(problem),
        Ok(Ok(())) => {}
    }
    if kept.seen <= cap {
        return Ok(kept.bytes.into());
    }
    // Whether the rest comes or not, the answer is the same.
    tokio::time::timeout(REST_TIME, kept.fill(&mut body, cap.saturating_mul(4))).await.ok();
    Err(Problem::new(Code::TooLarge, format!("the body has more than {cap} bytes")))
}

struct Kept<'m> {
    bytes: Vec<u8>,
    seen: usize,
    cap: usize,
    memory: Option<&'m mut Reserved>,
}

impl Kept<'_> {
    /// Reads until the end, or past `until` bytes.
    async fn fill(&mut self, body: &mut Body, until: usize) -> Result<(), Problem> {
        while self.seen <= until
            && let Some(frame) = body.frame().await
        {
            let frame = frame.map_err(|error| {
                Problem::new(Code::InvalidBody, format!("the body broke off: {error}"))
            })?;
            let Ok(data) = frame.into_data() else { continue };
            self.seen += data.len();
            if self.seen <= self.cap {
                if let Some(memory) = &mut self.memory {
                    memory.grown(data.len() as u64)?;
                }
                self.bytes.extend_from_slice(&data);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Outer {
        name: Option<String>,
        inner: Option<Inner>,
        list: Vec<Inner>,
        map: BTreeMap<String, Inner>,
        pair: Option<(u8, f64)>,
        kind: Option<Kind>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        n: i64,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        Plain,
        Of(Inner),
        With { n: i64 },
    }

    fn read(text: &str) -> Result<Outer, String> {
        parse(text.as_bytes()).map_err(|error: serde_json::Error| error.to_string())
    }

    #[test]
    fn what_is_an_object_is_read() {
        let whole = r#" {"name": "a", "inner": {"n": 1}, "list": [{"n": 2}], "map": {"k": {"n": 3}},
                        "pair": [1, 0.5], "kind": {"of": {"n": 4}}} "#;
        let inner = |n| Inner { n };
        assert_eq!(
            read(whole),
            Ok(Outer {
                name: Some("a".to_owned()),
                inner: Some(inner(1)),
                list: vec![inner(2)],
                map: BTreeMap::from([("k".to_owned(), inner(3))]),
                pair: Some((1, 0.5)),
                kind: Some(Kind::Of(inner(4))),
            })
        );
        assert_eq!(read(r#"{"kind": "plain"}"#).unwrap().kind, Some(Kind::Plain));
        assert_eq!(
            read(r#"{"kind": {"with": {"n": 1}}}"#).unwrap().kind,
            Some(Kind::With { n: 1 })
        );
        assert_eq!(read("{}"), Ok(Outer::default()));
    }

    #[test]
    fn an_array_is_no_object_at_any_depth() {
        for text in [
            "[]",
            r#"["a"]"#,
            "[null,null,[],{},null,null]",
            r#"{"inner": [1]}"#,
            r#"{"list": [[1]]}"#,
            r#"{"list": [{"n": 1}, [1]]}"#,
            r#"{"map": {"k": [1]}}"#,
            r#"{"kind": {"of": [1]}}"#,
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains("invalid type: sequence"), "{text}: {error}");
        }
        assert!(read(r#"{"name": "a", "name": "b"}"#).unwrap_err().contains("duplicate field"));
        assert!(read(r#"{"nam": "a"}"#).unwrap_err().contains("unknown field"));
        assert!(read("{} {}").unwrap_err().contains("trailing characters"));
    }
}
