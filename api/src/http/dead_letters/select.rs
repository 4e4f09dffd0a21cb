//! Which dead letters a replay or a drop is about.

use serde::Deserialize;
use sluice_engine::{
    EngineError,
    durable::{FindingStore, LetterFilter, StoredLetter},
};
use sluice_ingest::DeadLetterCode;
use utoipa::{IntoParams, ToSchema};

use super::super::{
    params::time,
    problem::{Code, Problem},
};

/// Which dead letters.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in super::super) struct ListParams {
    /// Of this mapping source or input.
    pub(super) source: Option<String>,
    /// With this code, `bad_json`.
    pub(super) code: Option<String>,
    /// Received at or after: RFC 3339, or `now-24h`.
    pub(super) since: Option<String>,
    /// 1 to 500, 50 if not given.
    #[param(value_type = Option<u32>)]
    pub(super) limit: Option<String>,
    /// `next_cursor` of the page before, with the other parameters as they were.
    pub(super) cursor: Option<String>,
}

/// By `ids`, or by any of `source`, `code` and `since`, or `all`.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = DeadLetterSelection)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct Selection {
    /// At most 1,000 ids.
    ids: Option<Vec<String>>,
    /// Of this mapping source or input.
    source: Option<String>,
    /// With this code.
    code: Option<String>,
    /// Received at or after: RFC 3339, or `now-24h`.
    since: Option<String>,
    /// Every one: must be said.
    #[serde(default)]
    all: bool,
}

/// Letters of one request,
const LETTERS: usize = 1_000;
/// and their bytes: what is beyond is for the next request.
const LETTER_BYTES: u64 = 8 << 20;
/// Letters read from the store at a time.
const READ: usize = 16;

/// The letters after one, at most `limit` and about [`LETTER_BYTES`], and whether there are more.
pub(super) fn page(
    store: &FindingStore,
    filter: &LetterFilter,
    after: Option<String>,
    limit: usize,
) -> Result<(Vec<StoredLetter>, bool), EngineError> {
    let mut letters: Vec<StoredLetter> = Vec::new();
    let mut bytes = 0;
    loop {
        // One more than asked for tells whether there is another page.
        let wanted = (limit + 1 - letters.len()).min(READ);
        let after = letters.last().map(|l| l.id.as_str()).or(after.as_deref());
        let read = store.dead_letters(filter, after, wanted)?;
        let last = read.len() < wanted;
        for letter in read {
            if letters.len() == limit || bytes >= LETTER_BYTES {
                return Ok((letters, true));
            }
            bytes += letter.letter.original.bytes().len() as u64;
            letters.push(letter);
        }
        if last {
            return Ok((letters, false));
        }
    }
}

/// The letters of a selection, oldest first, and whether there are more.
pub(super) fn letters(
    store: &FindingStore,
    selection: Selection,
    now: i64,
) -> Result<(Vec<StoredLetter>, bool), Problem> {
    let Selection { ids, source, code, since, all } = selection;
    let filtered = source.is_some() || code.is_some() || since.is_some();
    if usize::from(ids.is_some()) + usize::from(filtered) + usize::from(all) != 1 {
        return Err(Problem::new(
            Code::InvalidBody,
            "say which letters: `ids`, or `source`, `code` and `since`, or `all`",
        ));
    }
    let Some(ids) = ids else {
        let filter = filter(source, code.as_deref(), since.as_deref(), now)?;
        return Ok(page(store, &filter, None, LETTERS)?);
    };
    if ids.is_empty() || ids.len() > LETTERS {
        return Err(Problem::new(
            Code::InvalidBody,
            format!("`ids` has 1 to {LETTERS} ids, not {}", ids.len()),
        ));
    }
    let mut letters = Vec::with_capacity(ids.len());
    for id in ids {
        letters.push(store.dead_letter(&id)?.ok_or_else(|| {
            Problem::new(Code::NotFound, format!("there is no dead letter {id}"))
        })?);
    }
    Ok((letters, false))
}

/// A filter from its words.
pub(super) fn filter(
    source: Option<String>,
    code: Option<&str>,
    since: Option<&str>,
    now: i64,
) -> Result<LetterFilter, Problem> {
    let code = code
        .map(|word| {
            DeadLetterCode::parse(word).ok_or_else(|| {
                let all = DeadLetterCode::ALL.map(DeadLetterCode::name).join(", ");
                Problem::parameter("code", format!("`{word}` is no code"))
                    .hint(format!("it is one of {all}"))
            })
        })
        .transpose()?;
    Ok(LetterFilter { source, code, since: time("since", since, now)? })
}
