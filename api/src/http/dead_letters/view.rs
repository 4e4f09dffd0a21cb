//! A dead letter as the API shows it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Serialize;
use sluice_engine::durable::StoredLetter;
use sluice_event::rfc3339;
use sluice_ingest::Original;
use utoipa::ToSchema;

/// A page of dead letters.
#[derive(Serialize, ToSchema)]
#[schema(as = DeadLetterPage)]
pub(in super::super) struct Page {
    pub(super) items: Vec<Item>,
    /// Where the next page goes on; null at the end.
    #[schema(required)]
    pub(super) next_cursor: Option<String>,
}

/// A dead letter.
#[derive(Serialize, ToSchema)]
#[schema(as = DeadLetter)]
pub(in super::super) struct Item {
    /// 32 hex digits, made of where it was read.
    id: String,
    /// Why, as a word.
    code: &'static str,
    /// Why, for people.
    message: String,
    /// The mapping source it was read as.
    source: String,
    /// The mapping that failed on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    mapping: Option<String>,
    input: String,
    place: String,
    line: u64,
    offset: u64,
    received_at: String,
    /// How often it was replayed in vain.
    attempts: u32,
    /// Bytes of the record.
    length: u64,
    /// What it said; in lists at most 200 characters. What is not UTF-8 is replaced.
    text: String,
    /// Whether all of its bytes were kept; of a record over the size limit only the first are.
    whole: bool,
}

/// A dead letter with its bytes.
#[derive(Serialize, ToSchema)]
#[schema(as = DeadLetterDetail)]
pub(in super::super) struct Detail {
    #[serde(flatten)]
    item: Item,
    /// The bytes that were kept.
    base64: String,
    /// BLAKE3 of the whole record, if only the first bytes were kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    hash: Option<String>,
    /// The topic, for Kafka.
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<String>,
    /// The partition of the topic.
    #[serde(skip_serializing_if = "Option::is_none")]
    partition: Option<i32>,
    /// The key of the Kafka record.
    #[serde(skip_serializing_if = "Option::is_none")]
    key_base64: Option<String>,
    /// Headers of the Kafka record, in order; values are base64.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    headers: Vec<Header>,
}

/// A header of a Kafka record.
#[derive(Serialize, ToSchema)]
#[schema(as = DeadLetterHeader)]
struct Header {
    name: String,
    #[schema(required)]
    value_base64: Option<String>,
}

/// Characters of a record in a list.
const PREVIEW: usize = 200;

impl Item {
    /// For a list.
    pub(super) fn of(stored: &StoredLetter) -> Item {
        let mut item = Item::whole(stored);
        if let Some((end, _)) = item.text.char_indices().nth(PREVIEW) {
            item.text.truncate(end);
            item.text.push('…');
        }
        item
    }

    fn whole(stored: &StoredLetter) -> Item {
        let letter = &stored.letter;
        Item {
            id: stored.id.clone(),
            code: letter.code.name(),
            message: letter.message.clone(),
            source: letter.source.to_string(),
            mapping: letter.mapping.clone(),
            input: stored.place.input.to_string(),
            place: stored.place.to_string(),
            line: letter.line,
            offset: letter.offset,
            received_at: rfc3339(letter.received_at),
            attempts: stored.attempts,
            length: letter.original.length(),
            text: String::from_utf8_lossy(letter.original.bytes()).into_owned(),
            whole: matches!(letter.original, Original::Whole(_)),
        }
    }
}

impl Detail {
    /// All of it.
    pub(super) fn of(stored: &StoredLetter) -> Detail {
        let letter = &stored.letter;
        let envelope = letter.envelope.as_deref();
        Detail {
            item: Item::whole(stored),
            base64: STANDARD.encode(letter.original.bytes()),
            hash: match &letter.original {
                Original::Whole(_) => None,
                Original::Stub { hash, .. } => Some(crate::tokens::hex(hash)),
            },
            topic: envelope.map(|e| e.topic.to_string()),
            partition: envelope.map(|e| e.partition),
            key_base64: envelope.and_then(|e| e.key.as_ref()).map(|key| STANDARD.encode(key)),
            headers: envelope
                .into_iter()
                .flat_map(|e| &e.headers)
                .map(|(name, value)| Header {
                    name: name.clone(),
                    value_base64: value.as_ref().map(|v| STANDARD.encode(v)),
                })
                .collect(),
        }
    }
}
