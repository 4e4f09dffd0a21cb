//! Whether one record looks like one source: cheap enough to be asked of every record of a live
//! input. Not which of several sources wins (see [`super::detect`] and [`crate::Router`]).

use std::{borrow::Cow, fmt, ops::Deref};

use memchr::memmem::Finder;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use sluice_event::PartitionId;

use crate::{Chunk, Codec, Decoder, Limits, SourceSpec, repair};

/// What a source declares in `detect`, ready to be asked.
#[derive(Debug)]
pub(crate) struct Asker<S> {
    spec: S,
    /// The last key of each path a record must have, with its quotes: text without them is not worth
    /// parsing.
    needles: Vec<Finder<'static>>,
    /// For line sources that declare nothing: a line that decodes looks like them.
    decoder: Option<Decoder>,
}

/// Paths beyond these are not asked for.
const PATHS_MAX: usize = 64;

impl<S: Deref<Target = SourceSpec>> Asker<S> {
    pub(crate) fn new(spec: S) -> Self {
        let needles = spec
            .detect_has
            .iter()
            .take(PATHS_MAX)
            .map(|path| {
                let key = path.rsplit('.').next().unwrap_or(path);
                Finder::new(format!("{key}\"").as_bytes()).into_owned()
            })
            .collect();
        let decoder = matches!(spec.codec, Codec::Delimited { .. } | Codec::Syslog { .. })
            .then(|| Decoder::new(&spec.codec, &spec.wire, Limits::default()));
        Asker { spec, needles, decoder }
    }

    pub(crate) fn spec(&self) -> &SourceSpec {
        &self.spec
    }

    /// How much the source asks for; one that asks for more is the better answer.
    pub(crate) fn special(&self) -> usize {
        special(&self.spec)
    }

    /// Whether the record looks like the source.
    pub(crate) fn fits(&mut self, record: &[u8]) -> bool {
        match self.spec.codec {
            Codec::Json => self.fits_json(record),
            Codec::Delimited { .. } | Codec::Syslog { .. } | Codec::Lines => {
                // A header line looks like its source whatever the pattern says.
                match self.spec.detect_line.is_some() {
                    true => self.line(record) || self.decodes(record) == Some(Line::Header),
                    false => self.decodes(record).is_some(),
                }
            }
        }
    }

    /// Whether the record is a line that names the fields of those below it.
    pub(crate) fn is_header(&mut self, record: &[u8]) -> bool {
        matches!(self.spec.codec, Codec::Delimited { .. })
            && !record.starts_with(b"#")
            && self.decodes(record) == Some(Line::Header)
    }

    fn fits_json(&self, record: &[u8]) -> bool {
        let escaped = || memchr::memmem::find(record, b"\\u").is_some();
        if !self.needles.iter().all(|needle| needle.find(record).is_some()) && !escaped() {
            return false;
        }
        if self.spec.detect_line.is_some() && !self.line(record) {
            return false;
        }
        let paths: Vec<&str> =
            self.spec.detect_has.iter().take(PATHS_MAX).map(String::as_str).collect();
        has_all(record, &paths)
    }

    fn line(&self, record: &[u8]) -> bool {
        let pattern = self.spec.detect_line.as_ref();
        pattern.is_some_and(|line| line.is_match(&String::from_utf8_lossy(record)))
    }

    fn decodes(&mut self, record: &[u8]) -> Option<Line> {
        let text = String::from_utf8_lossy(record).into_owned();
        let chunk = Chunk::of_lines(PartitionId(0), &[text], 0);
        let decoded = self.decoder.as_mut()?.decode(&chunk);
        match (decoded.record.len(), decoded.skipped) {
            (1.., _) => Some(Line::Record),
            (0, 1..) => Some(Line::Header),
            _ => None,
        }
    }
}

pub(crate) fn special(spec: &SourceSpec) -> usize {
    spec.detect_has.len() + usize::from(spec.detect_line.is_some())
}

#[derive(PartialEq, Eq)]
enum Line {
    Record,
    Header,
}

/// Whether a record is an object with every one of these dotted keys.
fn has_all(record: &[u8], paths: &[&str]) -> bool {
    let text = String::from_utf8_lossy(record);
    let text = text.trim_start_matches('\u{feff}');
    let ask = |text: &str| {
        let mut found = 0;
        let mut json = serde_json::Deserializer::from_str(text);
        let object = Object { paths, asked: Asked::all(paths), found: &mut found };
        (object.deserialize(&mut json).is_ok() && json.end().is_ok()).then_some(found)
    };
    let found = match ask(text) {
        Some(found) => Some(found),
        None => repair::numbers_and_surrogates(text).and_then(|text| ask(&text)),
    };
    found.is_some_and(|found| found.count_ones() as usize == paths.len())
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
                match rest.strip_prefix(&*key) {
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
