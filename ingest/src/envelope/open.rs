//! Opens what is not a record of the wanted source: wrappers, arrays, several values on a line.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::value::RawValue;

use super::{Content, DEPTH_MAX, Envelopes, Field, Object, Wrapper, as_text, file};
use crate::{Unwrap, frame::Wrapped, utf16};

/// What a record was opened to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// A record and what was around it.
    Record(Vec<u8>, Option<Arc<Wrapper>>),
    /// No event, with the reason.
    Skipped(Arc<str>, Vec<u8>),
}

/// The envelopes, and where sources keep records in a JSON value.
#[derive(Debug)]
pub(crate) struct Opener {
    envelopes: Arc<Envelopes>,
    unwrap: Wrapped,
}

/// How many records of a wrapper are asked what they are.
const FIRST: usize = 4;

impl Opener {
    /// `unwraps` are those of all sources: a wrapper of one may be in an envelope.
    pub(crate) fn new(envelopes: Arc<Envelopes>, unwraps: &[Unwrap]) -> Self {
        Opener { envelopes, unwrap: Wrapped::new(Unwrap::union(unwraps)) }
    }

    pub(crate) fn envelopes(&self) -> &Arc<Envelopes> {
        &self.envelopes
    }

    /// Gives the records inside `record`, in order; `false` if it is no wrapper of anything.
    /// `is_record` says what needs no opening.
    pub(crate) fn open(
        &self,
        record: &[u8],
        is_record: &mut dyn FnMut(&[u8]) -> bool,
        give: &mut dyn FnMut(Piece),
    ) -> bool {
        self.level(record, None, 0, is_record, give)
    }

    fn level(
        &self,
        record: &[u8],
        around: Option<&Arc<Wrapper>>,
        depth: usize,
        is_record: &mut dyn FnMut(&[u8]) -> bool,
        give: &mut dyn FnMut(Piece),
    ) -> bool {
        if depth >= DEPTH_MAX {
            return false;
        }
        if utf16::is_marked(record) {
            let text = utf16::decoded(record);
            for line in text.split(|b| *b == b'\n').filter(|l| !l.trim_ascii().is_empty()) {
                self.inner(line, around.cloned(), depth, is_record, give);
            }
            return true;
        }
        let text = String::from_utf8_lossy(record);
        let text = text.trim_start_matches('\u{feff}').trim();
        match text.as_bytes().first() {
            Some(b'{' | b'[') => self.json(text, around, depth, is_record, give),
            Some(_) => self.line(text, around, depth, is_record, give),
            None => false,
        }
    }

    fn line(
        &self,
        text: &str,
        around: Option<&Arc<Wrapper>>,
        depth: usize,
        is_record: &mut dyn FnMut(&[u8]) -> bool,
        give: &mut dyn FnMut(Piece),
    ) -> bool {
        let Some((envelope, captures)) = self.envelopes.of_line(text) else { return false };
        let mut fields = BTreeMap::new();
        for name in envelope.line_groups() {
            if let Some(found) = captures.name(name)
                && let Ok(field) = file::field(name)
            {
                fields.insert(field, found.as_str().to_owned());
            }
        }
        match (&envelope.content, captures.name("payload")) {
            (Content::Skip(reason), _) => give(skipped(reason.clone(), text)),
            (Content::Payload { .. }, Some(payload)) => {
                let wrapper = wrapper(around, fields, Some(text));
                self.inner(payload.as_str().as_bytes(), wrapper, depth, is_record, give);
            }
            (Content::Payload { .. }, None) => return false,
        }
        true
    }

    fn json(
        &self,
        text: &str,
        around: Option<&Arc<Wrapper>>,
        depth: usize,
        is_record: &mut dyn FnMut(&[u8]) -> bool,
        give: &mut dyn FnMut(Piece),
    ) -> bool {
        let Some(values) = values(text) else { return false };
        if values.len() > 1 || text.starts_with('[') {
            let items = match values.as_slice() {
                [one] => super::path::elements(one).unwrap_or_default(),
                _ => values,
            };
            // Nothing in it: it stays what it is.
            if items.is_empty() {
                return false;
            }
            for item in items {
                self.inner(item.get().as_bytes(), around.cloned(), depth, is_record, give);
            }
            return true;
        }
        let Some(object) = Object::read(text) else { return false };
        if let Some(envelope) = self.envelopes.of_object(&object) {
            match &envelope.content {
                Content::Skip(reason) => give(skipped(reason.clone(), text)),
                Content::Payload { elements, payload, fields } => {
                    let found = elements.each(object.whole);
                    let alone = (found.len() == 1).then_some(text);
                    let mut any = false;
                    for item in &found {
                        let bytes = payload.iter().find_map(|(path, form)| {
                            form.read(path.first(item.last().map(std::slice::from_ref)?)?)
                        });
                        let Some(bytes) = bytes else { continue };
                        any = true;
                        let said = said(fields, item);
                        let wrapper = wrapper(around, said, alone);
                        let bytes = bytes.trim_ascii_end();
                        self.inner(bytes, wrapper, depth, is_record, give);
                    }
                    if !any {
                        let reason = format!("{} without a record", envelope.title);
                        give(skipped(reason.into(), text));
                    }
                }
            }
            return true;
        }
        // Records where a source keeps them: `Records[]`, `items[]`.
        let Some(spans) = self.unwrap.elements(text.as_bytes()) else { return false };
        let items: Vec<&[u8]> =
            spans.into_iter().filter_map(|span| text.as_bytes().get(span)).collect();
        // A key of that name may mean anything: one of the first must be known.
        let known = |item: &&[u8]| {
            is_record(item)
                || std::str::from_utf8(item)
                    .ok()
                    .and_then(Object::read)
                    .is_some_and(|object| self.envelopes.of_object(&object).is_some())
        };
        if !items.iter().take(FIRST).any(known) {
            return false;
        }
        for item in items {
            self.inner(item, around.cloned(), depth, is_record, give);
        }
        true
    }

    /// A record, or again something to open.
    fn inner(
        &self,
        bytes: &[u8],
        wrapper: Option<Arc<Wrapper>>,
        depth: usize,
        is_record: &mut dyn FnMut(&[u8]) -> bool,
        give: &mut dyn FnMut(Piece),
    ) {
        let bare = wrapper.as_ref().is_some_and(|w| w.get(&Field::Program).is_some());
        let json = matches!(bytes.trim_ascii_start().first(), Some(b'{' | b'['));
        // What a program wrote is its message; it must not be able to pose as a wrapper.
        if (bare && !json)
            || is_record(bytes)
            || !self.level(bytes, wrapper.as_ref(), depth + 1, is_record, give)
        {
            give(Piece::Record(bytes.to_vec(), wrapper));
        }
    }
}

fn skipped(reason: Arc<str>, text: &str) -> Piece {
    Piece::Skipped(reason, text.as_bytes().to_vec())
}

/// The values of a JSON text, one or several in a row; `None` if it is damaged.
fn values(text: &str) -> Option<Vec<&RawValue>> {
    let mut values = Vec::new();
    for value in serde_json::Deserializer::from_str(text).into_iter::<&RawValue>() {
        match value {
            Ok(value) => values.push(value),
            // The good ones before a damaged one count; the rest is given as it is.
            Err(_) => return None,
        }
    }
    Some(values)
}

fn said(fields: &[(Field, Vec<super::Path>)], item: &[&RawValue]) -> BTreeMap<Field, String> {
    fields
        .iter()
        .filter_map(|(field, paths)| {
            let text = paths.iter().find_map(|p| as_text(&p.first(item)?))?;
            Some((field.clone(), text))
        })
        .collect()
}

fn wrapper(
    around: Option<&Arc<Wrapper>>,
    mut said: BTreeMap<Field, String>,
    alone: Option<&str>,
) -> Option<Arc<Wrapper>> {
    // `sshd[4101]:` as rsyslog's `syslogtag` has it.
    if let Some(program) = said.get_mut(&Field::Program) {
        let tag = program.trim_end_matches(':');
        let (name, pid) = match tag.strip_suffix(']').and_then(|t| t.rsplit_once('[')) {
            Some((name, pid)) => (name.to_owned(), Some(pid.to_owned())),
            None => (tag.to_owned(), None),
        };
        *program = name;
        if let Some(pid) = pid {
            said.entry(Field::Pid).or_insert(pid);
        }
    }
    let outer = match around {
        Some(around) => around.outer.clone().filter(|_| alone.is_some()),
        None => alone.map(|text| text.as_bytes().into()),
    };
    let wrapper = match around {
        Some(around) => around.around(said),
        None => Wrapper { fields: said, outer: None },
    };
    Some(Arc::new(Wrapper { outer, ..wrapper }))
}

impl super::EnvelopeSpec {
    /// The groups of its line pattern other than the payload.
    fn line_groups(&self) -> impl Iterator<Item = &str> {
        let regex = match &self.when {
            super::When::Line(regex) => Some(regex),
            super::When::Object { .. } => None,
        };
        regex.into_iter().flat_map(|r| r.capture_names().flatten()).filter(|n| *n != "payload")
    }
}

impl Envelopes {
    /// What an example comes to, one level down: each payload, and what is said of the first.
    pub fn run_test(
        self: &Arc<Self>,
        test: &super::EnvelopeTest,
    ) -> (Vec<String>, BTreeMap<String, String>) {
        let opener = Opener::new(self.clone(), &[]);
        let mut payloads = Vec::new();
        let mut fields = BTreeMap::new();
        opener.open(test.record.trim().as_bytes(), &mut |_| true, &mut |piece| match piece {
            Piece::Record(bytes, wrapper) => {
                if payloads.is_empty()
                    && let Some(wrapper) = wrapper
                {
                    let said = wrapper.fields.iter();
                    fields.extend(said.map(|(f, t)| (f.name().to_owned(), t.clone())));
                }
                payloads.push(String::from_utf8_lossy(&bytes).into_owned());
            }
            Piece::Skipped(reason, _) => payloads.push(format!("skipped: {reason}")),
        });
        (payloads, fields)
    }
}
