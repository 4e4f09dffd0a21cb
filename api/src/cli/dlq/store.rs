//! Dead letters of a store that no server has open.

use std::path::Path;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value as Json, json};
use sluice_engine::durable::{FindingStore, LetterFilter, StoredLetter};
use sluice_event::rfc3339;
use sluice_ingest::Original;

use crate::{exit::Failure, node};

/// A store opened for this command alone.
pub(super) struct Opened(FindingStore);

impl Opened {
    /// Opens the store of a data directory.
    ///
    /// # Errors
    /// If there is none, or a server has it.
    pub(super) fn open(dir: &Path) -> Result<Opened, Failure> {
        node::open_store(dir).map(Opened)
    }

    /// The letters after one, and the id to go on after, if there may be more.
    pub(super) fn page(
        &self,
        filter: &LetterFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<Json>, Option<String>), Failure> {
        let letters = self.0.dead_letters(filter, after, limit)?;
        let next = (letters.len() == limit).then(|| letters.last().map(|l| l.id.clone())).flatten();
        Ok((letters.iter().map(letter_json).collect(), next))
    }

    pub(super) fn one(&self, id: &str) -> Result<Json, Failure> {
        self.0.dead_letter(id)?.as_ref().map(letter_json).ok_or_else(|| {
            Failure::argument(
                format!("there is no dead letter {id}"),
                "`sluice dlq list` shows them",
            )
        })
    }

    pub(super) fn drop(&self, ids: &[String]) -> Result<u64, Failure> {
        Ok(self.0.drop_dead_letters(ids)?)
    }
}

/// A dead letter as the API shows it.
fn letter_json(stored: &StoredLetter) -> Json {
    let letter = &stored.letter;
    let bytes = letter.original.bytes();
    json!({
        "id": stored.id, "code": letter.code.name(), "message": letter.message,
        "source": &*letter.source, "mapping": letter.mapping,
        "input": &*stored.place.input, "place": stored.place.to_string(),
        "line": letter.line, "offset": letter.offset,
        "received_at": rfc3339(letter.received_at), "attempts": stored.attempts,
        "length": letter.original.length(), "text": String::from_utf8_lossy(bytes),
        "whole": matches!(letter.original, Original::Whole(_)), "base64": STANDARD.encode(bytes),
    })
}
