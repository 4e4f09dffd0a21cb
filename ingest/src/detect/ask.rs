//! Whether one record looks like one source: cheap enough to be asked of every record of a live
//! input. Not which of several sources wins (see [`super::detect`] and [`crate::Router`]).

use std::{borrow::Cow, fmt, ops::Deref};

use memchr::memmem::Finder;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use sluice_event::PartitionId;

use crate::{
    Chunk, Decoder, SourceSpec, Wrapper,
    decode::{Form, form},
    envelope::Piece,
    repair,
};

/// What a source declares in `detect`, ready to be asked.
#[derive(Debug)]
pub(crate) struct Asker<S> {
    spec: S,
    wanted: Wanted,
    /// For line sources: a line that decodes may look like them.
    decoder: Option<Decoder>,
}

/// The keys a JSON record of a source has, and those it never has.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    /// Dotted paths.
    paths: Vec<String>,
    /// Per key that must be there: which of the paths, as bits, are that key or stand for it.
    items: Vec<u64>,
    /// The paths that must not be there.
    lacks: u64,
    /// Per key that must be there with no other choice: its last name with the closing quote, as it
    /// is and in lower case. Text without them is not worth parsing.
    needles: Vec<[Finder<'static>; 2]>,
}

/// Paths beyond these are not asked for.
const PATHS_MAX: usize = 64;

impl Wanted {
    pub(crate) fn of(spec: &SourceSpec) -> Self {
        let mut wanted = Wanted::default();
        for item in &spec.detect_has {
            let choices: Vec<&str> = item.split('|').map(str::trim).collect();
            if let [path] = choices.as_slice() {
                let key = path.rsplit('.').next().unwrap_or(path);
                let needle = |key: &str| Finder::new(&format!("{key}\"")).into_owned();
                wanted.needles.push([needle(key), needle(&key.to_ascii_lowercase())]);
            }
            let bits = choices.iter().fold(0, |bits, path| bits | wanted.bit(path));
            wanted.items.push(bits);
        }
        wanted.lacks = spec.detect_lacks.iter().fold(0, |bits, path| bits | wanted.bit(path));
        wanted
    }

    fn bit(&mut self, path: &str) -> u64 {
        let at = self.paths.iter().position(|p| p == path).unwrap_or_else(|| {
            self.paths.push(path.to_owned());
            self.paths.len() - 1
        });
        if at < PATHS_MAX { 1 << at } else { 0 }
    }

    /// Whether nothing is asked for.
    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The paths, each with its bit.
    pub(crate) fn paths(&self) -> impl Iterator<Item = (&str, u64)> {
        self.paths.iter().take(PATHS_MAX).enumerate().map(|(at, path)| (path.as_str(), 1 << at))
    }

    /// Whether the paths that were found are those of a record of the source.
    pub(crate) fn holds(&self, found: u64) -> bool {
        found & self.lacks == 0 && self.items.iter().all(|item| item & found != 0)
    }

    /// The keys that are missing, for people.
    pub(crate) fn missing(&self, found: u64) -> String {
        let name = |bits: u64| {
            let paths = self.paths().filter(|(_, bit)| bits & bit != 0).map(|(path, _)| path);
            paths.collect::<Vec<_>>().join(" or ")
        };
        let missing: Vec<String> =
            self.items.iter().filter(|item| **item & found == 0).map(|item| name(*item)).collect();
        match missing.is_empty() {
            true => format!("it has {}", name(found & self.lacks)),
            false => format!("no {}", missing.join(", ")),
        }
    }

    /// Whether a JSON record is one of the source.
    pub(crate) fn takes(&self, record: &[u8]) -> bool {
        let escaped = || memchr::memmem::find(record, b"\\u").is_some();
        let has = |either: &[Finder<'static>; 2]| either.iter().any(|n| n.find(record).is_some());
        if !self.needles.iter().all(has) && !escaped() {
            return false;
        }
        self.found(record).is_some_and(|found| self.holds(found))
    }

    /// Which paths the beginning of an object has.
    fn found_so_far(&self, head: &[u8]) -> u64 {
        let text = String::from_utf8_lossy(head);
        let paths: Vec<&str> = self.paths.iter().take(PATHS_MAX).map(String::as_str).collect();
        let mut found = 0;
        let mut json = serde_json::Deserializer::from_str(&text);
        let object = Object { paths: &paths, asked: Asked::all(&paths), found: &mut found };
        // It ends in the middle: what came before counts.
        let _cut_off = object.deserialize(&mut json);
        found
    }

    /// Which paths an object has; `None` if the record is none.
    pub(crate) fn found(&self, record: &[u8]) -> Option<u64> {
        let text = String::from_utf8_lossy(record);
        let text = text.trim_start_matches('\u{feff}');
        let paths: Vec<&str> = self.paths.iter().take(PATHS_MAX).map(String::as_str).collect();
        let ask = |text: &str| {
            let mut found = 0;
            let mut json = serde_json::Deserializer::from_str(text);
            let object = Object { paths: &paths, asked: Asked::all(&paths), found: &mut found };
            (object.deserialize(&mut json).is_ok() && json.end().is_ok()).then_some(found)
        };
        ask(text).or_else(|| repair::numbers_and_surrogates(text).and_then(|text| ask(&text)))
    }
}

impl<S: Deref<Target = SourceSpec>> Asker<S> {
    pub(crate) fn new(spec: S) -> Self {
        let wanted = Wanted::of(&spec);
        let decodes = form(&spec.codec).is_told_by_decoding(&spec);
        let decoder = decodes.then(|| Decoder::plain(&spec));
        Asker { spec, wanted, decoder }
    }

    pub(crate) fn spec(&self) -> &SourceSpec {
        &self.spec
    }

    /// How much the source asks for; one that asks for more is the better answer.
    pub(crate) fn special(&self) -> usize {
        special(&self.spec)
    }

    /// Whether the record looks like the source.
    pub(crate) fn fits(&mut self, record: &[u8], wrapper: Option<&Wrapper>) -> bool {
        self.ask(record, wrapper, |form, question| form.fits(question))
    }

    fn ask(
        &mut self,
        record: &[u8],
        wrapper: Option<&Wrapper>,
        ask: impl FnOnce(&dyn Form, &mut Question<'_>) -> bool,
    ) -> bool {
        let Asker { spec, wanted, decoder } = self;
        let (json, spec, decoder) = (looks_json(record), &**spec, decoder.as_mut());
        ask(form(&spec.codec), &mut Question { spec, record, wrapper, json, wanted, decoder })
    }

    /// Whether the record looks like the source as it stands, in no envelope.
    pub(crate) fn fits_here(&mut self, record: &[u8]) -> bool {
        let wrapped = !looks_json(record) && {
            let envelopes = self.spec.surroundings.opener.envelopes();
            envelopes.wraps_line(&String::from_utf8_lossy(record))
        };
        !wrapped && self.fits(record, None)
    }

    /// Gives what a record wraps, and whether that looks like the source.
    pub(crate) fn open(&mut self, record: &[u8], give: &mut dyn FnMut(Piece, bool)) {
        let surroundings = self.spec.surroundings.clone();
        let envelopes = surroundings.opener.envelopes();
        let json_source = form(&self.spec.codec).is_json();
        let mut pieces = Vec::new();
        let mut is_record = |bytes: &[u8]| match json_source {
            true => self.wanted.takes(bytes),
            false => !looks_json(bytes) && !envelopes.wraps_line(&String::from_utf8_lossy(bytes)),
        };
        surroundings.opener.open(record, &mut is_record, &mut |piece| pieces.push(piece));
        for piece in pieces {
            let fits = match &piece {
                Piece::Record(bytes, wrapper) => self.fits(bytes, wrapper.as_deref()),
                Piece::Skipped(..) | Piece::Refused(..) => false,
            };
            give(piece, fits);
        }
    }

    /// Whether the beginning of a record that is cut off has the keys of the source.
    pub(crate) fn fits_cut(&self, head: &[u8]) -> bool {
        !self.wanted.is_empty() && self.wanted.holds(self.wanted.found_so_far(head))
    }

    /// Whether the record is one that the source can read among others that look like it: a line
    /// of another program, a line below a header.
    pub(crate) fn reads(&mut self, record: &[u8]) -> bool {
        self.ask(record, None, |form, question| form.reads(question))
    }

    /// Whether the record is a line that names the fields of those below it.
    pub(crate) fn is_header(&mut self, record: &[u8]) -> bool {
        self.ask(record, None, |form, question| {
            form.has_headers()
                && !record.starts_with(b"#")
                && question.decodes() == Some(Line::Header)
        })
    }
}

/// A record of which a codec is asked, and what is known of the source.
pub(crate) struct Question<'a> {
    pub(crate) spec: &'a SourceSpec,
    pub(crate) record: &'a [u8],
    /// What came around the record.
    pub(crate) wrapper: Option<&'a Wrapper>,
    /// Whether the record begins like a JSON value.
    pub(crate) json: bool,
    wanted: &'a Wanted,
    decoder: Option<&'a mut Decoder>,
}

impl Question<'_> {
    /// Whether the source says which keys its records have.
    pub(crate) fn is_keyed(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// Whether the record has the keys of the source.
    pub(crate) fn has_keys(&self) -> bool {
        self.wanted.takes(self.record)
    }

    /// Whether the record matches the pattern for lines of the source.
    pub(crate) fn line(&self) -> bool {
        let pattern = self.spec.detect_line.as_ref();
        pattern.is_some_and(|line| line.is_match(&String::from_utf8_lossy(self.record)))
    }

    /// What the record is if it decodes; `None` for sources that are not told so.
    pub(crate) fn decodes(&mut self) -> Option<Line> {
        let text = String::from_utf8_lossy(self.record).into_owned();
        let chunk = Chunk::of_lines(PartitionId(0), &[text], 0);
        let decoded = self.decoder.as_mut()?.decode(&chunk);
        match (decoded.record.len(), decoded.skipped) {
            (1.., _) => Some(Line::Record),
            (0, 1..) => Some(Line::Header),
            _ => None,
        }
    }
}

/// Whether bytes begin like a JSON object or array.
pub(crate) fn looks_json(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix(crate::frame::BOM).unwrap_or(bytes).trim_ascii_start();
    let bytes = bytes.strip_prefix(b"\x1e").unwrap_or(bytes);
    match bytes {
        [b'{', ..] => true,
        [b'[', rest @ ..] => {
            let rest = rest.trim_ascii_start();
            match rest.first() {
                Some(b'{' | b'[' | b'"' | b']') | None => true,
                // `[1767225600.5, {..}]`; `[2026-01-01 ..` and `[12.3] kernel` are lines of text.
                Some(b'0'..=b'9') => {
                    let number = |b: &u8| b.is_ascii_digit() || *b == b'.';
                    let end = rest.iter().position(|b| !number(b)).unwrap_or(rest.len());
                    rest.get(end..).map(<[u8]>::trim_ascii_start).and_then(<[u8]>::first)
                        == Some(&b',')
                }
                Some(_) => false,
            }
        }
        _ => false,
    }
}

pub(crate) fn special(spec: &SourceSpec) -> usize {
    spec.detect_has.len() + usize::from(spec.detect_line.is_some())
}

/// What a line is.
#[derive(PartialEq, Eq)]
pub(crate) enum Line {
    Record,
    /// It names the fields of those below it.
    Header,
}

/// The paths that lead through an object, each with how much of it is behind.
struct Asked(Vec<(usize, usize)>);

impl Asked {
    fn all(paths: &[&str]) -> Self {
        Asked((0..paths.len()).map(|path| (path, 0)).collect())
    }
}

/// Marks in `found` which paths an object has.
struct Object<'a> {
    paths: &'a [&'a str],
    asked: Asked,
    found: &'a mut u64,
}

impl<'de> DeserializeSeed<'de> for Object<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Object { paths, asked, found } = self;
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            let mut deeper = Vec::new();
            for (path, from) in &asked.0 {
                let rest = paths.get(*path).and_then(|p| p.get(*from..)).unwrap_or_default();
                match after_key(rest, &key) {
                    Some("") => *found |= 1 << path,
                    Some(rest) if rest.starts_with('.') => {
                        deeper.push((*path, from + key.len() + 1));
                    }
                    _ => {}
                }
            }
            if deeper.is_empty() {
                map.next_value::<IgnoredAny>()?;
            } else {
                map.next_value_seed(Inner(Object { paths, asked: Asked(deeper), found }))?;
            }
        }
        Ok(())
    }
}

/// What follows a key in a path that begins with it, as it is or in lower case.
fn after_key<'p>(path: &'p str, key: &str) -> Option<&'p str> {
    let (begin, rest) = path.split_at_checked(key.len())?;
    let lower = || !key.bytes().any(|b| b.is_ascii_uppercase()) && begin.eq_ignore_ascii_case(key);
    (begin == key || lower()).then_some(rest)
}

/// A value that paths lead into if it is an object.
struct Inner<'a>(Object<'a>);

impl<'de> DeserializeSeed<'de> for Inner<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let raw: &serde_json::value::RawValue = serde::Deserialize::deserialize(deserializer)?;
        if raw.get().starts_with('{') {
            // It was just read as a value: it parses.
            let mut json = serde_json::Deserializer::from_str(raw.get());
            self.0.deserialize(&mut json).map_err(serde::de::Error::custom)?;
        }
        Ok(())
    }
}
