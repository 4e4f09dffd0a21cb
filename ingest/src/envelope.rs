//! Wrappers that shippers put around records, as declared in files: how each is recognised, where
//! its payload is, what it says about the payload. Not the records themselves, and not what a queue
//! gives with a message (see [`crate::Envelope`]).
//!
//! A record that is one of its source is never asked; what is left is opened by the first envelope
//! that recognises it, and the payload again, up to [`DEPTH_MAX`] times. An envelope with `skip` and
//! no payload is a bystander: a record that lies beside logs and is no event. One with `refuse` is a format
//! that is known and not read: it says how to convert it.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use serde_json::value::RawValue;
use sluice_event::TimeFormat;
use sluice_rule::Pattern;
use thiserror::Error;

use self::{
    path::{Found, Path},
    payload::Form,
};
use crate::frame::export;

mod file;
mod open;
mod path;
mod payload;
mod values;

pub(crate) use open::{Opener, Piece};
pub(crate) use payload::{Budget, Refused, is_compressed};

/// The shipped envelope files, inside the binary.
static SHIPPED: include_dir::Dir<'_> = include_dir::include_dir!("$CARGO_MANIFEST_DIR/envelopes");

/// Envelopes in envelopes.
const DEPTH_MAX: usize = 6;

/// The declared envelopes in the order they are asked.
#[derive(Debug, Default)]
pub struct Envelopes {
    all: Vec<EnvelopeSpec>,
}

/// One declared envelope.
#[derive(Debug)]
pub struct EnvelopeSpec {
    /// Its id, `aws.sns`.
    pub id: String,
    /// What it is, as a headline.
    pub title: String,
    /// Where its format is documented.
    pub references: Vec<String>,
    when: When,
    /// Asked when no other envelope takes the record.
    last: bool,
    content: Content,
    /// Its own examples.
    pub tests: Vec<EnvelopeTest>,
}

/// An example in an envelope file.
#[derive(Debug, Clone)]
pub struct EnvelopeTest {
    /// What it shows.
    pub name: String,
    /// The wrapped record.
    pub record: String,
    /// The payloads it holds, one level down.
    pub payloads: Vec<String>,
    /// What the wrapper says of the first payload.
    pub fields: BTreeMap<String, String>,
}

/// How an envelope is recognised.
#[derive(Debug)]
enum When {
    /// A JSON object.
    Object {
        /// Keys it must have; of each list one.
        has: Vec<Vec<Path>>,
        /// Keys it must not have.
        lacks: Vec<Path>,
        /// Texts of which a key must be one.
        equals: Vec<(Path, Vec<String>)>,
        /// The keys it may have beside those of `has`; `None`: any.
        only: Option<Vec<String>>,
    },
    /// A JSON array that begins with elements of these kinds, one of each list.
    Array(Vec<Vec<Kind>>),
    /// A line of text; the group `payload` is the payload, other groups are fields.
    Line(Pattern),
}

/// The kind of a JSON value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
    Object,
    Array,
}

#[derive(Debug)]
enum Content {
    /// No event: counted under this reason.
    Skip(Arc<str>),
    /// Not read, for this reason.
    Refuse(Arc<str>),
    Payload {
        /// The array whose elements hold a payload each; the object itself if empty.
        elements: Path,
        /// The first that is there.
        payload: Vec<(Path, Form)>,
        /// What is said of the payload: name and where to look, the first that is there.
        fields: Vec<(Field, Vec<Path>)>,
    },
}

/// What a wrapper can say of its payload.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Field {
    /// When the payload was written.
    Time,
    /// When the wrapper's collector received it.
    Received,
    /// The host it was written on.
    Host,
    /// The program that wrote it: the payload is its bare message.
    Program,
    /// Its process.
    Pid,
    /// A column of the row (`cloud_account_uid`, `unmapped.k8s_pod`) where the mapping leaves it NULL.
    Column(String),
}

/// What the wrappers around one payload say of it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Wrapper {
    fields: BTreeMap<Field, String>,
    /// The outermost record, where it holds only this payload.
    pub(crate) outer: Option<Arc<[u8]>>,
}

/// Why an envelope file cannot be used.
#[derive(Debug, Error)]
pub enum EnvelopeError {
    /// Its YAML or its keys.
    #[error("{path}: not an envelope file: {reason}")]
    Syntax {
        /// The file.
        path: String,
        /// What the parser says, with the place.
        reason: String,
    },
    /// A value in it.
    #[error("{path}: {reason}")]
    Value {
        /// The file.
        path: String,
        /// What is wrong and what is right.
        reason: String,
    },
}

impl Envelopes {
    /// The shipped ones.
    ///
    /// # Errors
    /// Never for a released binary: a test reads them all.
    pub fn builtin() -> Result<Envelopes, EnvelopeError> {
        let files = SHIPPED.files().filter(|f| f.path().extension().is_some_and(|e| e == "yaml"));
        Envelopes::parse(files.map(|f| {
            (format!("ingest/envelopes/{}", f.path().display()), f.contents_utf8().unwrap_or(""))
        }))
    }

    /// From (path, text) of files.
    ///
    /// # Errors
    /// The first file that cannot be used.
    pub fn parse<'t>(
        files: impl IntoIterator<Item = (String, &'t str)>,
    ) -> Result<Envelopes, EnvelopeError> {
        let mut all = Vec::new();
        for (path, text) in files {
            all.push(file::parse(&path, text)?);
        }
        all.sort_by(|a: &EnvelopeSpec, b| {
            let order = a.last.cmp(&b.last).then(b.special().cmp(&a.special()));
            order.then(a.id.cmp(&b.id))
        });
        Ok(Envelopes { all })
    }

    /// All of them, in the order they are asked.
    pub fn iter(&self) -> impl Iterator<Item = &EnvelopeSpec> {
        self.all.iter()
    }

    fn of_object(&self, object: &Object<'_>) -> Option<&EnvelopeSpec> {
        self.all.iter().find(|e| e.when.takes(object))
    }

    fn of_array(&self, array: &RawValue) -> Option<&EnvelopeSpec> {
        let longest = |e: &EnvelopeSpec| match &e.when {
            When::Array(kinds) => kinds.len(),
            When::Object { .. } | When::Line(_) => 0,
        };
        let most = self.all.iter().map(longest).max().unwrap_or(0);
        let items = path::elements_upto(array, most);
        self.all.iter().find(|e| match &e.when {
            When::Array(kinds) => {
                kinds.len() <= items.len()
                    && kinds
                        .iter()
                        .zip(&items)
                        .all(|(any, item)| Kind::of(item).is_some_and(|kind| any.contains(&kind)))
            }
            When::Object { .. } | When::Line(_) => false,
        })
    }

    /// The envelope of a line of text, and what its pattern captures.
    fn of_line<'e, 'l>(&'e self, line: &'l str) -> Option<(&'e EnvelopeSpec, regex::Captures<'l>)> {
        self.all.iter().find_map(|e| match &e.when {
            When::Line(pattern) => Some((e, pattern.regex()?.captures(line)?)),
            When::Object { .. } | When::Array(_) => None,
        })
    }

    /// Whether a line of text, or an entry of a journal, is in an envelope.
    pub(crate) fn wraps_line(&self, line: &str) -> bool {
        // An object may be a wrapper, and is no line.
        if line.trim_start().starts_with('{') {
            return false;
        }
        // Most lines are in none: a JSON value or a bar is in the line, a date is its first or second word, or
        // it begins with a label in TAI64N, a colour or the name of a pod.
        let bytes = line.as_bytes();
        let head = bytes.get(..8).unwrap_or(bytes);
        let second = memchr::memchr(b' ', head).map_or(0, |at| at + 1);
        let dated = |at: usize| bytes.get(at + 4) == Some(&b'-');
        export::begins(bytes)
            || (matches!(bytes.first(), Some(b'@' | 0x1b))
                || dated(0)
                || dated(second)
                || memchr::memchr2(b'{', b'|', bytes).is_some()
                || bytes.starts_with(b"[pod/"))
                && self.all.iter().any(|e| match &e.when {
                    When::Line(pattern) => pattern.regex().is_some_and(|r| r.is_match(line)),
                    When::Object { .. } | When::Array(_) => false,
                })
    }
}

/// Whether an object with these keys, whatever they hold, is a wrapper. For the header of a table.
pub(crate) fn wraps_names(names: &[String]) -> bool {
    static ALL: LazyLock<Envelopes> = LazyLock::new(|| Envelopes::builtin().unwrap_or_default());
    let cells = names.iter().map(|name| (name.clone(), serde_json::Value::from("x")));
    let object = serde_json::Value::Object(cells.collect()).to_string();
    Object::read(&object).is_some_and(|object| ALL.of_object(&object).is_some())
}

impl EnvelopeSpec {
    /// How much it asks for: among several that fit, the one that asks for more.
    fn special(&self) -> usize {
        match &self.when {
            When::Object { has, lacks, equals, only: _ } => {
                has.len() + lacks.len() + 2 * equals.len()
            }
            When::Array(kinds) => kinds.len(),
            When::Line(_) => 0,
        }
    }
}

impl Kind {
    fn of(value: &RawValue) -> Option<Kind> {
        Some(match value.get().as_bytes().first()? {
            b'"' => Kind::Text,
            b'{' => Kind::Object,
            b'[' => Kind::Array,
            b'0'..=b'9' | b'-' => Kind::Number,
            _ => return None,
        })
    }

    fn parse(word: &str) -> Option<Kind> {
        Some(match word.trim() {
            "text" => Kind::Text,
            "number" => Kind::Number,
            "object" => Kind::Object,
            "array" => Kind::Array,
            _ => return None,
        })
    }
}

impl When {
    fn takes(&self, object: &Object<'_>) -> bool {
        let When::Object { has, lacks, equals, only } = self else { return false };
        let begins = |key: &str| has.iter().flatten().any(|path| path.begins_with(key));
        let known = |key: &Cow<'_, str>| {
            only.as_ref().is_none_or(|only| only.iter().any(|o| o == key) || begins(key))
        };
        if !object.keys.iter().all(known) {
            return false;
        }
        let there = |path: &Path| path.first(&[object.whole]).is_some();
        has.iter().all(|any| any.iter().any(|p| object.may_have(p) && there(p)))
            && lacks.iter().all(|p| !object.may_have(p) || !there(p))
            && equals.iter().all(|(path, wanted)| {
                object.may_have(path)
                    && path.first(&[object.whole]).is_some_and(|f| {
                        let text = f.text();
                        wanted.contains(&text)
                    })
            })
    }
}

/// A JSON object whose top-level keys are known.
struct Object<'t> {
    whole: &'t RawValue,
    keys: Vec<Cow<'t, str>>,
}

impl<'t> Object<'t> {
    fn read(text: &'t str) -> Option<Object<'t>> {
        let whole: &RawValue = serde_json::from_str(text).ok()?;
        Some(Object { keys: path::keys(whole)?, whole })
    }

    fn may_have(&self, path: &Path) -> bool {
        path.starts_with_any(&self.keys)
    }
}

impl Wrapper {
    /// What is said under a name.
    pub(crate) fn get(&self, field: &Field) -> Option<&str> {
        self.fields.get(field).map(String::as_str)
    }

    /// Columns of the row.
    pub(crate) fn columns(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().filter_map(|(field, text)| match field {
            Field::Column(name) => Some((name.as_str(), text.as_str())),
            Field::Time | Field::Received | Field::Host | Field::Program | Field::Pid => None,
        })
    }

    /// When it was received, by what the wrapper says, not later than `reference`; milliseconds
    /// since 1970 UTC.
    pub(crate) fn received(&self, reference: i64) -> Option<i64> {
        let text = self.get(&Field::Received)?;
        crate::time::parse(text, &[TimeFormat::Auto], reference).map(|at| at.min(reference))
    }

    /// A wrapper with further columns in `unmapped`.
    pub(crate) fn extra(
        wrapper: Option<Arc<Wrapper>>,
        others: BTreeMap<String, String>,
    ) -> Option<Arc<Wrapper>> {
        if others.is_empty() {
            return wrapper;
        }
        let column = |name: String| Field::Column(format!("unmapped.{name}"));
        let others = others.into_iter().map(|(name, text)| (column(name), text)).collect();
        Some(Arc::new(wrapper.unwrap_or_default().around(others)))
    }

    /// The wrapper of one of several records: none of them is alone in it.
    fn of_several(&self) -> Arc<Wrapper> {
        Arc::new(Wrapper { fields: self.fields.clone(), outer: None })
    }

    /// This and what an inner wrapper says: the inner one is nearer to the record.
    fn around(&self, inner: BTreeMap<Field, String>) -> Wrapper {
        let mut fields = self.fields.clone();
        fields.extend(inner);
        Wrapper { fields, outer: self.outer.clone() }
    }
}

/// A value as text: the text of a string, anything else as JSON.
fn as_text(found: &Found<'_>) -> Option<String> {
    let text = found.text();
    let text = text.trim();
    (!text.is_empty() && text != "null" && text != "-").then(|| text.to_owned())
}
