//! Which mapping source each record of a live input goes to: messages are cut into records by the
//! framing of their source and sorted by source. Not decoding, not reading.

use std::{borrow::Cow, fmt, sync::Arc};

use sluice_rule::suggest;
use thiserror::Error;

use self::{
    cut::{Piece, cut, first_records},
    part::{At, Part},
};
use crate::{
    Chunk, DeadLetterCode, Decoder, DuplicateKeys, Envelope, Fault, Framing, InputOptions, Limits,
    Original, SourceSpec, Unwrap, Wrapper,
    decode::{Failure, duplicate_key, form, name_given_twice},
    detect::{
        ask::{Asker, looks_json},
        format_of,
    },
    envelope::{Budget, Opener, Piece as Opened, Refused, is_compressed},
    frame::{Wrapped, is_part},
    live::{InputFailure, UNKNOWN},
    utf16,
};

mod cut;
mod judge;
mod part;

/// Sorts the records of one input by mapping source.
///
/// The source of a record depends on its bytes alone, never on what came before it: read again from
/// some position, every record goes where it went. Where several sources fit, the one that asks for
/// more has it, then the first by name.
#[derive(Debug)]
pub struct Router {
    /// Those that ask for more first.
    candidates: Vec<Candidate>,
    /// The one source everything is for; `None` asks all.
    fixed: Option<usize>,
    /// JSON of which no source is known yet.
    plain: Arc<Cutter>,
    lines: Arc<Cutter>,
    limits: Limits,
    options: InputOptions,
    /// Opens what is no record of a source.
    opener: Arc<Opener>,
}

/// What came in at one offset: a Kafka message, a record of a spool.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its bytes; empty where the queue gave a null value.
    pub bytes: Vec<u8>,
    /// Its offset.
    pub offset: u64,
    /// When it was received, milliseconds since 1970 UTC.
    pub received_at: i64,
    /// What came around it.
    pub envelope: Option<Arc<Envelope>>,
    /// The mapping source, if that was decided before. One that no longer exists decides nothing.
    pub source: Option<Arc<str>>,
}

/// Why there is no router.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RouteError {
    /// No mapping file is of this source.
    UnknownSource {
        /// The name that was asked for.
        name: String,
        /// The nearest one there is.
        suggestion: Option<String>,
        /// All there are.
        known: Vec<String>,
    },
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RouteError::UnknownSource { name, suggestion, known } = self;
        write!(f, "there is no mapping source `{name}`")?;
        match suggestion {
            Some(suggestion) => write!(f, "; did you mean `{suggestion}`?"),
            None if known.is_empty() => write!(f, "; no mapping file is loaded"),
            None => write!(f, "; there are {}", known.join(", ")),
        }
    }
}

impl RouteError {
    /// What it means for an input.
    pub(crate) fn failure(&self, input: &Arc<str>) -> InputFailure {
        InputFailure {
            input: input.clone(),
            primary: self.to_string(),
            detail: None,
            hint: Some("keep the mapping, or name another in `mapping`".to_owned()),
        }
    }
}

/// A source as the router asks it.
#[derive(Debug)]
struct Candidate {
    name: Arc<str>,
    json: bool,
    asker: Asker<Arc<SourceSpec>>,
    cutter: Arc<Cutter>,
    /// Tells a sender what will become of a record, once one asks.
    checker: Option<Decoder>,
}

/// How messages are cut.
#[derive(Debug)]
struct Cutter {
    framing: Framing,
    /// For JSON.
    wrapped: Option<Wrapped>,
}

impl Router {
    /// A router over these sources. With `mapping`, everything is for that one; without, every
    /// record is asked for (`auto`).
    ///
    /// # Errors
    /// No source is named `mapping`.
    pub fn new(specs: Vec<Arc<SourceSpec>>, mapping: Option<&str>) -> Result<Router, RouteError> {
        // What is set aside whatever its source: the widest bound of any.
        let widest = |of: fn(&Limits) -> usize| specs.iter().map(|s| of(&s.limits)).max();
        let default = Limits::default();
        let limits = Limits {
            record_bytes: widest(|l| l.record_bytes).unwrap_or(default.record_bytes),
            depth: widest(|l| l.depth).unwrap_or(default.depth),
            fields: widest(|l| l.fields).unwrap_or(default.fields),
            duplicate_keys: specs
                .first()
                .map_or(default.duplicate_keys, |s| s.limits.duplicate_keys),
            ..default
        };
        Router::with_limits(specs, mapping, limits)
    }

    /// A router for an input that says this of the codec of its records.
    ///
    /// # Errors
    /// No source is named `mapping`.
    pub fn for_input(
        specs: &[Arc<SourceSpec>],
        mapping: Option<&str>,
        options: &InputOptions,
    ) -> Result<Router, RouteError> {
        let specs = specs.iter().map(|spec| spec.for_input(options)).collect();
        Ok(Router { options: options.clone(), ..Router::new(specs, mapping)? })
    }

    /// A router that sets records aside at these limits.
    ///
    /// # Errors
    /// No source is named `mapping`.
    pub fn with_limits(
        specs: Vec<Arc<SourceSpec>>,
        mapping: Option<&str>,
        limits: Limits,
    ) -> Result<Router, RouteError> {
        let envelopes = specs.first().map(|s| s.surroundings.opener.envelopes().clone());
        let unwraps: Vec<Unwrap> = specs.iter().map(|s| s.unwrap.clone()).collect();
        let opener = Arc::new(Opener::new(envelopes.unwrap_or_default(), &unwraps));
        let mut candidates: Vec<Candidate> = specs.into_iter().map(Candidate::new).collect();
        candidates.sort_by(|a, b| {
            b.asker.special().cmp(&a.asker.special()).then_with(|| a.name.cmp(&b.name))
        });
        // Lines that may be of any of them: the names of all their fields.
        let names = candidates.iter().filter_map(|c| match &c.cutter.framing {
            Framing::Fields(names) => Some(names.clone()),
            Framing::Lines | Framing::Syslog | Framing::Json(_) => None,
        });
        let lines = Framing::Fields(names.flatten().collect());
        let fixed = match mapping {
            None => None,
            Some(name) => {
                let at = candidates.iter().position(|c| *c.name == *name);
                Some(at.ok_or_else(|| unknown(name, &candidates))?)
            }
        };
        Ok(Router {
            candidates,
            fixed,
            plain: Cutter::new(Framing::Json(Unwrap::default())),
            lines: Cutter::new(lines),
            limits,
            options: InputOptions::default(),
            opener,
        })
    }

    /// The same router over other sources.
    ///
    /// # Errors
    /// The source everything is for is not among them.
    pub fn over(&self, specs: Vec<Arc<SourceSpec>>) -> Result<Router, RouteError> {
        let fixed = self.fixed.and_then(|at| self.candidates.get(at)).map(|c| c.name.clone());
        let specs = specs.iter().map(|spec| spec.for_input(&self.options)).collect();
        let options = self.options.clone();
        Ok(Router { options, ..Router::with_limits(specs, fixed.as_deref(), self.limits)? })
    }

    /// The sources records may go to.
    pub fn sources(&self) -> impl Iterator<Item = &SourceSpec> {
        let fixed = self.fixed;
        let candidates = self.candidates.iter().enumerate();
        candidates.filter(move |(i, _)| fixed.is_none_or(|f| f == *i)).map(|(_, c)| c.asker.spec())
    }

    /// Cuts messages into records and sorts them by source: one chunk per source that has any, those
    /// without a source as faults of [`UNKNOWN`]. The order of the messages is kept. A record's
    /// offset is that of its message, its line its number in the message from 1.
    pub fn chunks(&mut self, messages: Vec<Message>) -> Vec<(Arc<str>, Chunk)> {
        let mut parts: Vec<Part> = Vec::new();
        parts.resize_with(self.candidates.len() + 1, Part::default);
        for message in messages {
            let mut at = At::of(&message);
            let known = |name: &Arc<str>| self.candidates.iter().position(|c| c.name == *name);
            match message.source.as_ref().and_then(known).or(self.fixed) {
                Some(source) => self.one_source(source, &message.bytes, &mut at, &mut parts),
                None => self.any_source(&message.bytes, &mut at, &mut parts),
            }
        }
        let unknown: Arc<str> = UNKNOWN.into();
        let names = self.candidates.iter().map(|c| &c.name).chain([&unknown]);
        names.zip(parts).filter_map(|(name, part)| Some((name.clone(), part.chunk()?))).collect()
    }

    /// What would become of a message: the first thing wrong with it that can be seen without
    /// mapping it.
    ///
    /// # Errors
    /// Why it will be set aside, and in words.
    pub fn check(&mut self, message: &[u8]) -> Result<(), (DeadLetterCode, String)> {
        let mut at = At::default();
        let mut parts: Vec<Part> = Vec::new();
        parts.resize_with(self.candidates.len() + 1, Part::default);
        match self.fixed {
            Some(source) => self.one_source(source, message, &mut at, &mut parts),
            None => self.any_source(message, &mut at, &mut parts),
        }
        let limits = self.limits;
        for (candidate, part) in self.candidates.iter_mut().map(Some).chain([None]).zip(parts) {
            let Some(chunk) = part.chunk() else { continue };
            let Some(candidate) = candidate else {
                let fault = chunk.faults.into_iter().next();
                return fault.map_or(Ok(()), |f| Err((f.code, f.message)));
            };
            let spec = candidate.asker.spec();
            let decoder = candidate.checker.get_or_insert_with(|| Decoder::new(spec, limits));
            let decoded = decoder.decode(&chunk);
            if let Some(failed) = decoded.failed.into_iter().next() {
                return Err((failed.code, failed.message));
            }
            let faults = decoded.chunk.map_or(chunk.faults, |c| c.faults);
            if let Some(fault) = faults.into_iter().next() {
                return Err((fault.code, fault.message));
            }
        }
        Ok(())
    }

    /// Whether a line names the fields of those below it: they are to be one message with it.
    pub fn is_header(&mut self, line: &[u8]) -> bool {
        let fixed = self.fixed;
        let candidates = self.candidates.iter_mut().enumerate();
        !looks_json(line)
            && candidates
                .filter(|(i, _)| fixed.is_none_or(|f| f == *i))
                .any(|(_, c)| c.asker.is_header(line))
    }

    fn one_source(&mut self, source: usize, bytes: &[u8], at: &mut At<'_>, parts: &mut [Part]) {
        let part = &mut parts[source];
        let bytes = match unpacked(bytes) {
            Ok(bytes) => bytes,
            Err(Refused(reason)) => {
                return part.set_aside(DeadLetterCode::Decompress, reason, whole(bytes), at);
            }
        };
        let cutter = self.candidates[source].cutter.clone();
        cut(&bytes, &cutter, self.limits, |piece| match piece {
            Piece::Record(record) => match self.opened(source, record) {
                None => part.record(record, at, None),
                Some(pieces) => pieces.into_iter().for_each(|piece| match piece {
                    Opened::Record(bytes, wrapper) => part.record(&bytes, at, wrapper),
                    // What is no event is counted by the decoder, which opens it again.
                    Opened::Skipped(_, bytes) => part.record(&bytes, at, None),
                    Opened::Refused(code, reason, bytes) => {
                        part.set_aside(code, reason, whole(&bytes), at);
                    }
                }),
            },
            Piece::Fault(fault) => part.fault(fault, at),
        });
    }

    /// What a long record wraps that is none of its source: it may be thousands of records, which are
    /// then decoded some at a time, so that others do not wait for all of them.
    fn opened(&mut self, source: usize, record: &[u8]) -> Option<Vec<Opened>> {
        if record.len() < LONG
            || !looks_json(record)
            || is_part(record)
            || self.limits.duplicate_keys == DuplicateKeys::SetAside
                && name_given_twice(record).is_some()
        {
            return None;
        }
        let asker = &mut self.candidates[source].asker;
        if asker.fits(record, None) {
            return None;
        }
        let mut pieces = Vec::new();
        asker.open(record, &mut |piece, _| pieces.push(piece));
        (!pieces.is_empty()).then_some(pieces)
    }

    fn any_source(&mut self, bytes: &[u8], at: &mut At<'_>, parts: &mut [Part]) {
        let bytes = match unpacked(bytes) {
            Ok(bytes) => bytes,
            Err(Refused(reason)) => {
                return last(parts).set_aside(DeadLetterCode::Decompress, reason, whole(bytes), at);
            }
        };
        let bytes = &*bytes;
        // A wrapper larger than a record is cut by what it wraps.
        let large = bytes.len() > self.limits.record_bytes && looks_json(bytes);
        let wrapper = if large { self.wrapper_of(bytes) } else { None };
        let cutter = match wrapper {
            Some(source) => &self.candidates[source].cutter,
            None if looks_json(bytes) => &self.plain,
            None => &self.lines,
        };
        cut(bytes, &cutter.clone(), self.limits, |piece| match piece {
            Piece::Record(record) => self.place(record, at, parts),
            // The first fields of a record over the bound may tell its source.
            Piece::Fault(fault) => match self.source_of_cut(&fault) {
                Some(source) => parts[source].fault(fault, at),
                None => last(parts).fault(fault, at),
            },
        });
    }

    fn source_of_cut(&self, fault: &Fault) -> Option<usize> {
        let Original::Stub { head, .. } = &fault.original else { return None };
        self.candidates.iter().position(|c| c.json && c.asker.fits_cut(head))
    }

    /// The source whose wrapper a large message is.
    fn wrapper_of(&mut self, bytes: &[u8]) -> Option<usize> {
        let limits = self.limits;
        self.candidates.iter_mut().position(|candidate| {
            let Candidate { json: true, asker, cutter, .. } = candidate else { return false };
            let first = first_records(bytes, &cutter.framing, limits);
            first.iter().any(|record| asker.fits(record, None))
        })
    }

    /// A record to the source it looks like, or the records it wraps.
    fn place(&mut self, record: &[u8], at: &mut At<'_>, parts: &mut [Part]) {
        let wrapped = !looks_json(record) && self.wraps_line(record);
        if !wrapped && let Some(source) = self.source_of(record, None) {
            parts[source].record(record, at, None);
            return;
        }
        // A wrapper as well: which of two payloads would it be?
        if self.limits.duplicate_keys == DuplicateKeys::SetAside
            && let Some(name) = name_given_twice(record)
        {
            let code = DeadLetterCode::DuplicateKeys;
            return last(parts).set_aside(code, duplicate_key(&name), whole(record), at);
        }
        let opener = self.opener.clone();
        let mut pieces = Vec::new();
        let envelopes = opener.envelopes();
        let mut is_record = |bytes: &[u8]| match looks_json(bytes) {
            true => self.source_of(bytes, None).is_some(),
            false => !envelopes.wraps_line(&String::from_utf8_lossy(bytes)),
        };
        let opened = opener.open(record, &mut is_record, &mut |p| pieces.push(p));
        if !opened {
            return self.unknown(record, at, parts);
        }
        for piece in pieces {
            match piece {
                Opened::Record(bytes, wrapper) => {
                    match self.source_of(&bytes, wrapper.as_deref()) {
                        Some(source) => parts[source].record(&bytes, at, wrapper),
                        None if is_part(record) => {
                            let failure =
                                Failure::new(DeadLetterCode::NoSource, "no source takes it");
                            let Failure { code, message } = Failure::part_of_line(failure);
                            last(parts).set_aside(code, message, whole(record), at);
                        }
                        None => self.unknown(&bytes, at, parts),
                    }
                }
                // What is no event is counted by the decoder of a source, which opens it again.
                Opened::Skipped(_, bytes) => match self.candidates.iter().position(|c| c.json) {
                    Some(source) => parts[source].record(&bytes, at, None),
                    None => self.unknown(&bytes, at, parts),
                },
                Opened::Refused(code, reason, bytes) => {
                    last(parts).set_aside(code, reason, whole(&bytes), at);
                }
            }
        }
    }

    fn wraps_line(&self, record: &[u8]) -> bool {
        self.opener.envelopes().wraps_line(&String::from_utf8_lossy(record))
    }

    fn source_of(&mut self, record: &[u8], wrapper: Option<&Wrapper>) -> Option<usize> {
        if judge::is_empty(record) {
            return None;
        }
        let json = looks_json(record);
        self.candidates.iter_mut().position(|c| (json || !c.json) && c.asker.fits(record, wrapper))
    }

    fn unknown(&self, record: &[u8], at: &mut At<'_>, parts: &mut [Part]) {
        let (code, message) = judge::judge(record, looks_json(record), self.limits)
            .unwrap_or_else(|| (DeadLetterCode::NoSource, self.no_source(record)));
        last(parts).set_aside(code, message, whole(record), at);
    }

    fn no_source(&self, record: &[u8]) -> String {
        let json = looks_json(record);
        let kind = if json { "JSON object" } else { "line" };
        let asked = self.candidates.iter().filter(|c| c.json == json);
        let names: Vec<&str> = asked.map(|c| &*c.name).collect();
        match names.is_empty() {
            true => format!("no mapping source reads a {kind}"),
            false => format!("this {kind} looks like none of {}", names.join(", ")),
        }
    }
}

/// Bytes of a record from which on it is opened before it is decoded; of fewer it holds a few thousand
/// records at most.
const LONG: usize = 8 << 10;

/// How many records of a wrapper are asked for its source.
const FIRST: usize = 4;

impl Candidate {
    fn new(spec: Arc<SourceSpec>) -> Self {
        Candidate {
            name: spec.source.clone(),
            json: form(&spec.codec).is_json(),
            cutter: Cutter::new(spec.framing()),
            asker: Asker::new(spec),
            checker: None,
        }
    }
}

impl Cutter {
    fn new(framing: Framing) -> Arc<Self> {
        let wrapped = match &framing {
            Framing::Lines | Framing::Syslog | Framing::Fields(_) => None,
            Framing::Json(unwrap) => Some(Wrapped::new(unwrap.clone())),
        };
        Arc::new(Cutter { framing, wrapped })
    }
}

/// A message as UTF-8 text, if it is UTF-16 or compressed: its lines show only then.
fn unpacked(message: &[u8]) -> Result<Cow<'_, [u8]>, Refused> {
    let readable = |bytes: &[u8]| match format_of(bytes) {
        Some(format) => Err(Refused(format!("it begins like {format}"))),
        None => Ok(()),
    };
    readable(message)?;
    if !is_compressed(message) {
        return Ok(utf16::decoded(message));
    }
    let bytes = Budget::default().inflate(message)?;
    readable(&bytes)?;
    Ok(match utf16::decoded(&bytes) {
        Cow::Owned(text) => Cow::Owned(text),
        Cow::Borrowed(_) => Cow::Owned(bytes),
    })
}

fn whole(bytes: &[u8]) -> Original {
    Original::Whole(bytes.to_vec())
}

/// The part of what has no source.
fn last(parts: &mut [Part]) -> &mut Part {
    let at = parts.len() - 1;
    &mut parts[at]
}

fn unknown(name: &str, candidates: &[Candidate]) -> RouteError {
    let mut known: Vec<String> = candidates.iter().map(|c| c.name.to_string()).collect();
    known.sort();
    RouteError::UnknownSource {
        name: name.to_owned(),
        suggestion: suggest(name, known.iter().map(String::as_str)).map(str::to_owned),
        known,
    }
}
