//! What a source is among: the envelopes its records may come in, and how the other sources are
//! recognised. For what is no record of the source; not on the path of one that is.

use std::sync::Arc;

use regex::Regex;

use crate::{
    DeadLetterCode, EnvelopeError, Envelopes, SourceSpec,
    decode::{Failure, form, header::Header},
    detect::ask::{Wanted, looks_json},
    envelope::Opener,
};

/// The envelopes and the signatures of all sources that are loaded together.
#[derive(Debug)]
pub struct Surroundings {
    pub(crate) opener: Opener,
    signatures: Vec<Signature>,
}

#[derive(Debug)]
struct Signature {
    source: Arc<str>,
    wanted: Wanted,
    line: Option<Regex>,
    /// Programs, of a syslog source.
    programs: Option<Vec<String>>,
}

impl Default for Surroundings {
    /// No envelopes and no other source.
    fn default() -> Self {
        let opener = Opener::new(Arc::new(Envelopes::default()), &[]);
        Surroundings { opener, signatures: Vec::new() }
    }
}

impl Surroundings {
    /// Those of these sources, with the shipped envelopes.
    ///
    /// # Errors
    /// An envelope file that cannot be used.
    pub fn new(sources: &[SourceSpec]) -> Result<Surroundings, EnvelopeError> {
        Ok(Surroundings::with_envelopes(sources, Arc::new(Envelopes::builtin()?)))
    }

    /// Those of these sources, with these envelopes.
    pub fn with_envelopes(sources: &[SourceSpec], envelopes: Arc<Envelopes>) -> Surroundings {
        let unwraps: Vec<_> = sources.iter().map(|s| s.unwrap.clone()).collect();
        let signatures = sources.iter().map(|spec| Signature {
            source: spec.source.clone(),
            wanted: Wanted::of(spec),
            line: spec.detect_line.clone(),
            programs: form(&spec.codec).programs(),
        });
        Surroundings { opener: Opener::new(envelopes, &unwraps), signatures: signatures.collect() }
    }

    /// Refuses a line that is in an envelope, so that it is opened.
    pub(crate) fn refuse_wrapped(&self, line: &str) -> Result<(), Failure> {
        match self.opener.envelopes().wraps_line(line) {
            true => Err(Failure::new(DeadLetterCode::NotThisSource, "a line in an envelope")),
            false => Ok(()),
        }
    }

    /// What a record looks like that is not one of `source`: another source, or its fields.
    pub(crate) fn looks_like(&self, record: &[u8], source: &str) -> String {
        let text = String::from_utf8_lossy(record);
        let text = text.trim();
        let other = self.signatures.iter().find(|s| *s.source != *source && s.takes(text));
        if let Some(other) = other {
            return format!("it looks like {}", other.source);
        }
        if !looks_json(record) {
            return "it is a line of text that no source knows".to_owned();
        }
        let keys = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text);
        let Ok(keys) = keys else { return "it is no JSON object".to_owned() };
        let mut names: Vec<String> = keys.keys().take(6).map(|k| cut(k)).collect();
        if keys.len() > names.len() {
            names.push("..".to_owned());
        }
        match names.is_empty() {
            true => "it has no fields".to_owned(),
            false => format!("no source knows it; its fields are {}", names.join(", ")),
        }
    }
}

impl Signature {
    fn takes(&self, text: &str) -> bool {
        if looks_json(text.as_bytes()) {
            return !self.wanted.is_empty() && self.wanted.takes(text.as_bytes());
        }
        let program = || Header::parse(text).and_then(|h| h.program);
        let known =
            |programs: &Vec<String>| program().is_some_and(|p| programs.iter().any(|o| o == p));
        self.line.as_ref().is_some_and(|l| l.is_match(text))
            || self.programs.as_ref().is_some_and(known)
    }
}

/// A name that may be anything, short.
fn cut(name: &str) -> String {
    let mut short: String = name.chars().take(32).collect();
    if short.len() < name.len() {
        short.push('…');
    }
    short
}
