//! Opens what is not a record of the wanted source: wrappers, arrays, several values or lines in one
//! text, compressed and doubly encoded texts.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use serde_json::value::RawValue;

use super::{
    Content, DEPTH_MAX, EnvelopeSpec, Envelopes, Field, Object, Wrapper, as_text, file,
    payload::{self, Budget, Refused},
    values::{Value, values},
};
use crate::{
    DeadLetterCode, Unwrap,
    detect::ask::looks_json,
    frame::{Wrapped, export},
    utf16,
};

/// What a record was opened to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// A record and what was around it.
    Record(Vec<u8>, Option<Arc<Wrapper>>),
    /// No event, with the reason.
    Skipped(Arc<str>, Vec<u8>),
    /// What is not opened: damaged compressed bytes, or what holds too much; with the reason.
    Refused(DeadLetterCode, String, Vec<u8>),
}

/// The envelopes, and where sources keep records in a JSON value.
#[derive(Debug)]
pub(crate) struct Opener {
    envelopes: Arc<Envelopes>,
    unwrap: Wrapped,
    /// Records that one record is opened to.
    most: usize,
}

/// How many records of a wrapper are asked what they are.
const FIRST: usize = 4;
/// Records that one record is opened to, at all depths: each costs some microseconds, however few bytes it
/// has.
const PIECES_MAX: usize = 50_000;

impl Opener {
    /// `unwraps` are those of all sources: a wrapper of one may be in an envelope.
    pub(crate) fn new(envelopes: Arc<Envelopes>, unwraps: &[Unwrap]) -> Self {
        Opener { envelopes, unwrap: Wrapped::new(Unwrap::union(unwraps)), most: PIECES_MAX }
    }

    pub(crate) fn envelopes(&self) -> &Arc<Envelopes> {
        &self.envelopes
    }

    /// Gives the records inside `record`, in order; `false` if it is no wrapper of anything. One that
    /// holds too many is refused whole. `is_record` says what needs no opening.
    pub(crate) fn open(
        &self,
        record: &[u8],
        is_record: &mut dyn FnMut(&[u8]) -> bool,
        give: &mut dyn FnMut(Piece),
    ) -> bool {
        let (budget, pieces) = (Budget::default(), Vec::new());
        let mut opening = Opening { opener: self, budget, is_record, pieces, is_over: false };
        let opened = opening.level(record, None, 0);
        if opening.is_over {
            let reason = format!("it holds more than {} records; send fewer at once", self.most);
            give(Piece::Refused(DeadLetterCode::TooLarge, reason, record.to_vec()));
            return true;
        }
        opening.pieces.into_iter().for_each(give);
        opened
    }
}

/// One record being opened.
struct Opening<'o> {
    opener: &'o Opener,
    /// What all its compressed parts may inflate to.
    budget: Budget,
    is_record: &'o mut (dyn FnMut(&[u8]) -> bool + 'o),
    pieces: Vec<Piece>,
    /// Whether there are more than may be.
    is_over: bool,
}

impl Opening<'_> {
    fn level(&mut self, record: &[u8], around: Option<&Arc<Wrapper>>, depth: usize) -> bool {
        if depth >= DEPTH_MAX {
            return false;
        }
        if utf16::is_marked(record) {
            self.inner(&utf16::decoded(record), around.cloned(), depth);
            return true;
        }
        if payload::is_compressed(record) {
            match self.budget.inflate(record) {
                Ok(bytes) => self.inner(&bytes, around.cloned(), depth),
                Err(Refused(reason)) => {
                    let code = DeadLetterCode::Decompress;
                    self.give(Piece::Refused(code, reason, record.to_vec()));
                }
            }
            return true;
        }
        if export::begins(record) {
            let Some(json) = export::to_json(record) else {
                let (code, reason) =
                    (DeadLetterCode::BadFraming, "an entry of a journal that is cut off");
                self.give(Piece::Refused(code, reason.to_owned(), record.to_vec()));
                return true;
            };
            return self.json(&json, around, depth);
        }
        let text = String::from_utf8_lossy(record);
        let text = text.trim_matches(|c: char| c.is_whitespace() || "\u{feff}\u{1e}".contains(c));
        if text.len() < record.trim_ascii().len() {
            self.inner(text.as_bytes(), around.cloned(), depth);
            return true;
        }
        match text.as_bytes().first() {
            Some(b'{') => self.json(text, around, depth),
            Some(b'[') if looks_json(text.as_bytes()) => self.json(text, around, depth),
            Some(b'[') => {
                // Brackets in a line of text, `sshd[7]`, are no arrays.
                self.line(text, around, depth)
                    || text.contains('{') && self.json(text, around, depth)
            }
            Some(b'"') => match serde_json::from_str::<Cow<'_, str>>(text) {
                // A record that was encoded twice.
                Ok(inner) => {
                    self.inner(inner.as_bytes(), around.cloned(), depth);
                    true
                }
                // An object as a cell of CSV.
                Err(_) => match text.strip_prefix('"').and_then(|t| t.strip_suffix('"')) {
                    Some(cell) if cell.starts_with('{') => {
                        let object = cell.replace("\"\"", "\"");
                        self.inner(object.as_bytes(), around.cloned(), depth);
                        true
                    }
                    _ => false,
                },
            },
            Some(_) => match payload::base64_of_compressed(text) {
                Some(bytes) => {
                    self.inner(&bytes, around.cloned(), depth);
                    true
                }
                None => self.line(text, around, depth),
            },
            None => false,
        }
    }

    fn line(&mut self, text: &str, around: Option<&Arc<Wrapper>>, depth: usize) -> bool {
        let opener = self.opener;
        let Some((envelope, captures)) = opener.envelopes.of_line(text) else { return false };
        let mut fields = BTreeMap::new();
        for name in envelope.line_groups() {
            if let Some(found) = captures.name(name)
                && let Ok(field) = file::field(name)
            {
                fields.insert(field, found.as_str().to_owned());
            }
        }
        match (&envelope.content, captures.name("payload")) {
            (Content::Skip(reason), _) => self.give(skipped(reason.clone(), text)),
            (Content::Refuse(reason), _) => self.give(refused(reason, text)),
            (Content::Payload { .. }, Some(payload)) => {
                let wrapper = wrapper(around, fields, Some(text));
                self.inner(payload.as_str().as_bytes(), wrapper, depth);
            }
            (Content::Payload { .. }, None) => return false,
        }
        true
    }

    fn json(&mut self, text: &str, around: Option<&Arc<Wrapper>>, depth: usize) -> bool {
        let values = values(text);
        let whole = match values.as_slice() {
            [Value::Json(whole)] => *whole,
            // Good values count, whatever is between them.
            several if several.iter().any(|v| matches!(v, Value::Json(_))) => {
                let around = around.map(|w| w.of_several());
                for value in several {
                    match value {
                        Value::Json(value) => self.inner(bytes_of(value), around.clone(), depth),
                        Value::Damaged(text) => {
                            let record = text.as_bytes().to_vec();
                            self.give(Piece::Record(record, around.clone()));
                        }
                    }
                }
                return true;
            }
            _ => return false,
        };
        if whole.get().starts_with('[') {
            let opener = self.opener;
            if let Some(envelope) = opener.envelopes.of_array(whole) {
                return self.enveloped(envelope, whole, around, depth);
            }
            let items = super::path::elements_upto(whole, self.opener.most);
            if items.len() > self.opener.most {
                self.is_over = true;
                return true;
            }
            let around = match items.len() {
                // Nothing in it: it stays what it is.
                0 => return false,
                1 => around.cloned(),
                _ => around.map(|w| w.of_several()),
            };
            items.into_iter().for_each(|item| self.inner(bytes_of(item), around.clone(), depth));
            return true;
        }
        if whole.get().len() < text.len() {
            // A separator follows it.
            self.inner(bytes_of(whole), around.cloned(), depth);
            return true;
        }
        let Some(object) = Object::read(text) else { return false };
        let opener = self.opener;
        match opener.envelopes.of_object(&object) {
            Some(envelope) => self.enveloped(envelope, object.whole, around, depth),
            None => self.elements(text, around, depth),
        }
    }

    /// What a JSON value holds that is this envelope.
    fn enveloped(
        &mut self,
        envelope: &EnvelopeSpec,
        whole: &RawValue,
        around: Option<&Arc<Wrapper>>,
        depth: usize,
    ) -> bool {
        let text = whole.get();
        match &envelope.content {
            Content::Skip(reason) => self.give(skipped(reason.clone(), text)),
            Content::Refuse(reason) => self.give(refused(reason, text)),
            Content::Payload { elements, payload, fields } => {
                let most = self.opener.most;
                let found = elements.each(whole, most);
                if found.len() > most {
                    self.is_over = true;
                    return true;
                }
                let alone = (found.len() == 1).then_some(text);
                let mut any = false;
                for item in &found {
                    let Some(last) = item.last() else { continue };
                    let mut there = false;
                    let bytes = payload.iter().find_map(|(path, form)| {
                        let value = path.first(std::slice::from_ref(last))?;
                        there = true;
                        form.read(value)
                    });
                    let wrapper = wrapper(around, said(fields, item), alone);
                    match bytes {
                        Some(bytes) => self.inner(bytes.trim_ascii_end(), wrapper, depth),
                        // It is not what it should be: no record of anybody, and that is said.
                        None if there => {
                            self.give(Piece::Record(bytes_of(last).to_vec(), wrapper));
                        }
                        None => continue,
                    }
                    any = true;
                }
                if !any {
                    let reason = format!("{} without a record", envelope.title);
                    self.give(skipped(reason.into(), text));
                }
            }
        }
        true
    }

    /// Records where a source keeps them: `Records[]`, `items[]`.
    fn elements(&mut self, text: &str, around: Option<&Arc<Wrapper>>, depth: usize) -> bool {
        let opener = self.opener;
        let Some(spans) = opener.unwrap.elements(text.as_bytes()) else { return false };
        if spans.len() > opener.most {
            self.is_over = true;
            return true;
        }
        let items: Vec<&[u8]> =
            spans.into_iter().filter_map(|span| text.as_bytes().get(span)).collect();
        // A key of that name may mean anything: one of the first must be known.
        let is_record = &mut *self.is_record;
        let known = |item: &&[u8]| {
            is_record(item)
                || std::str::from_utf8(item)
                    .ok()
                    .and_then(Object::read)
                    .is_some_and(|object| opener.envelopes.of_object(&object).is_some())
        };
        if !items.iter().take(FIRST).any(known) {
            return false;
        }
        let around = match items.len() {
            1 => around.cloned(),
            _ => around.map(|w| w.of_several()),
        };
        items.into_iter().for_each(|item| self.inner(item, around.clone(), depth));
        true
    }

    fn give(&mut self, piece: Piece) {
        self.is_over |= self.pieces.len() >= self.opener.most;
        self.pieces.push(piece);
    }

    /// A record, or again something to open.
    fn inner(&mut self, bytes: &[u8], wrapper: Option<Arc<Wrapper>>, depth: usize) {
        if self.is_over {
            return;
        }
        let json = matches!(bytes.trim_ascii_start().first(), Some(b'{' | b'['));
        // What a program wrote is its message; it must not be able to pose as a wrapper.
        let bare = !json && wrapper.as_ref().is_some_and(|w| w.get(&Field::Program).is_some());
        let encoded = !bare && is_encoded(bytes);
        if !json && !bare && !encoded && memchr::memchr(b'\n', bytes).is_some() {
            let lines = bytes.split(|b| *b == b'\n').map(<[u8]>::trim_ascii_end);
            let lines: Vec<&[u8]> = lines.filter(|line| !line.is_empty()).collect();
            let around = match lines.len() {
                1 => wrapper,
                _ => wrapper.map(|w| w.of_several()),
            };
            lines.into_iter().for_each(|line| self.inner(line, around.clone(), depth));
            return;
        }
        if bare
            || (!encoded && (self.is_record)(bytes))
            || !self.level(bytes, wrapper.as_ref(), depth + 1)
        {
            self.give(Piece::Record(bytes.to_vec(), wrapper));
        }
    }
}

/// Whether bytes are a text in another encoding: a JSON string, UTF-16, compressed.
fn is_encoded(bytes: &[u8]) -> bool {
    match bytes.first() {
        Some(b'"') => serde_json::from_slice::<Cow<'_, str>>(bytes.trim_ascii()).is_ok(),
        Some(b'H' | b'K') => std::str::from_utf8(bytes)
            .is_ok_and(|text| payload::base64_of_compressed(text).is_some()),
        _ => utf16::is_marked(bytes) || payload::is_compressed(bytes) || export::begins(bytes),
    }
}

fn bytes_of(value: &RawValue) -> &[u8] {
    value.get().as_bytes()
}

fn refused(reason: &str, text: &str) -> Piece {
    let reason = reason.to_owned();
    Piece::Refused(DeadLetterCode::NotThisSource, reason, text.as_bytes().to_vec())
}

fn skipped(reason: Arc<str>, text: &str) -> Piece {
    Piece::Skipped(reason, text.as_bytes().to_vec())
}

fn said(fields: &[(Field, Vec<super::Path>)], item: &[&RawValue]) -> BTreeMap<Field, String> {
    fields
        .iter()
        .filter_map(|(field, paths)| {
            // OTLP writes a time that is not known as 0.
            let known = |text: &String| match field {
                Field::Time | Field::Received => text != "0",
                Field::Host | Field::Program | Field::Pid | Field::Column(_) => true,
            };
            let text = paths.iter().find_map(|p| as_text(&p.first(item)?).filter(known))?;
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
        let tag = tag.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or(tag);
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

impl EnvelopeSpec {
    /// The groups of its line pattern other than the payload.
    fn line_groups(&self) -> impl Iterator<Item = &str> {
        let pattern = match &self.when {
            super::When::Line(pattern) => Some(pattern),
            super::When::Object { .. } | super::When::Array(_) => None,
        };
        let names = pattern.into_iter().flat_map(|p| p.groups().map(|(_, name)| name));
        names.filter(|name| *name != "payload")
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
            Piece::Refused(_, reason, _) => payloads.push(format!("refused: {reason}")),
        });
        (payloads, fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 200;

    fn opened(record: &str) -> Vec<Piece> {
        let opener = Opener::new(Arc::new(Envelopes::builtin().unwrap()), &[]);
        let opener = Opener { most: MOST, ..opener };
        let mut pieces = Vec::new();
        opener.open(record.as_bytes(), &mut |_| false, &mut |piece| pieces.push(piece));
        pieces
    }

    #[test]
    fn row_2_what_holds_too_many_records_is_refused_whole() {
        let otlp = |records: String| {
            format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{records}]}}]}}]}}"#)
        };
        let list = |item: &str, n: usize| vec![item; n].join(",");
        let body = r#"{"body":{"stringValue":"x"}}"#;
        assert_eq!(opened(&otlp(list(body, MOST))).len(), MOST);
        let many = MOST + 1;
        let scopes = list(&format!(r#"{{"logRecords":[{}]}}"#, list(body, 10)), many / 10 + 1);
        for record in [
            otlp(list(body, many)),
            // Elements that are no records cost, too.
            otlp(list("1", 2 * many)),
            format!(r#"{{"resourceLogs":[{{"scopeLogs":[{scopes}]}}]}}"#),
            format!("[{}]", list("{}", many)),
            format!("[[{}],[{}]]", list("{}", many / 2), list("{}", many / 2 + 1)),
        ] {
            let pieces = opened(&record);
            let [Piece::Refused(code, reason, whole)] = pieces.as_slice() else {
                panic!("{} pieces of {record:.80}", pieces.len())
            };
            assert_eq!((*code, whole.len()), (DeadLetterCode::TooLarge, record.len()));
            assert!(reason.contains("more than 200 records"), "{reason}");
        }
    }
}
