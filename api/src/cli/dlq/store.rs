//! Dead letters of a store that no server has open.

use std::path::Path;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value as Json, json};
use sluice_engine::durable::{FindingStore, LetterFilter, Retention, StoredLetter};
use sluice_event::rfc3339;
use sluice_ingest::Original;

use crate::cli::{exit::Failure, run};

/// A store opened for this command alone.
pub(super) struct Opened(FindingStore);

impl Opened {
    /// Opens the store of a data directory.
    ///
    /// # Errors
    /// If there is none, or a server has it.
    pub(super) fn open(dir: &Path) -> Result<Opened, Failure> {
        let store = run::store_dir(dir);
        if !store.is_dir() {
            return Err(Failure::argument(
                format!("there is no store in {}", dir.display()),
                "--data-dir names the `data_dir` of the configuration",
            ));
        }
        // Its bounds are those of the service; opening it applies none.
        let opened = FindingStore::open(&store, Retention::default()).map_err(|error| {
            let cause =
                std::error::Error::source(&error).map_or(String::new(), |c| format!(": {c}"));
            Failure::argument(
                format!("cannot open the store in {}: {error}{cause}", dir.display()),
                "if a server runs on it, ask that one: leave out --data-dir, or name it with --url",
            )
        })?;
        Ok(Opened(opened))
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
    let text = std::str::from_utf8(bytes).ok();
    let base64 = text.is_none().then(|| STANDARD.encode(bytes));
    json!({
        "id": stored.id, "code": letter.code.name(), "message": letter.message,
        "source": &*letter.source, "mapping": letter.mapping,
        "input": &*stored.place.input, "part": &*stored.place.part,
        "offset": letter.offset, "line": letter.line,
        "received_at": rfc3339(letter.received_at), "attempts": stored.attempts,
        "original": {
            "text": text, "base64": base64, "length": letter.original.length(),
            "truncated": matches!(letter.original, Original::Stub { .. }),
        },
    })
}
