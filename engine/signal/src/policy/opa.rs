//! Levels as a bundle of the Open Policy Agent (OPA, "Bundle file format"): a tar of `data.json` below
//! `sluice/risk` and its manifest; and the same written to its data API ([`push`]). Not the compression,
//! and not the requests.
//!
//! A policy reads `data.sluice.risk[kind][id].level`; who is not in it is low:
//!
//! ```rego
//! deny if data.sluice.risk.user[lower(input.user)].level == "high"
//! ```

pub mod push;

use serde_json::{Map, Value, json};
use sluice_event::rfc3339;

use crate::{EntityKey, EntityLevel, Level, set::derive, subject::canonical};

/// A bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// Stands for what is in it: the same levels have the same.
    pub revision: String,
    /// The archive (POSIX ustar), uncompressed.
    pub tar: Vec<u8>,
}

/// The bundle of all entities that are not low.
pub fn bundle<'l>(levels: impl IntoIterator<Item = (&'l EntityKey, &'l EntityLevel)>) -> Bundle {
    let mut kinds: Map<String, Value> = Map::new();
    for (entity, level) in levels.into_iter().filter(|(_, level)| level.level > Level::Low) {
        let kind = kinds.entry(entity.kind.name()).or_insert_with(|| json!({}));
        if let Some(kind) = kind.as_object_mut() {
            kind.insert(entity.id.clone(), shown(level));
        }
    }
    let mut data = String::new();
    canonical(&json!({"sluice": {"risk": kinds}}), &mut data);
    let revision = derive("bundle", &[&data]);
    let manifest = json!({"revision": revision, "roots": ["sluice/risk"]}).to_string();
    let mut tar = Vec::new();
    for (name, text) in [("data.json", &data), (".manifest", &manifest)] {
        file(&mut tar, name, text.as_bytes());
    }
    // Two empty blocks end it.
    tar.resize(tar.len() + 2 * BLOCK, 0);
    Bundle { revision, tar }
}

/// What a policy reads of an entity.
fn shown(level: &EntityLevel) -> Value {
    json!({
        "level": level.level.name(), "since": rfc3339(level.changed_at), "reasons": level.reasons,
        "overridden": level.over.is_some(), "quarantined": level.is_quarantined(),
    })
}

const BLOCK: usize = 512;

/// One file: a header block, then its bytes padded to whole blocks. Always with the same owner and time,
/// so that the same levels make the same archive.
fn file(tar: &mut Vec<u8>, name: &str, bytes: &[u8]) {
    let mut header = [0; BLOCK];
    let mut put = |at: usize, text: &[u8]| {
        for (place, byte) in header.iter_mut().skip(at).zip(text) {
            *place = *byte;
        }
    };
    put(0, name.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{:011o}\0", bytes.len()).as_bytes());
    put(136, b"00000000000\0");
    // The checksum counts its own field as blanks.
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    for (place, byte) in header.iter_mut().skip(148).zip(format!("{sum:06o}\0 ").bytes()) {
        *place = byte;
    }
    tar.extend(header);
    tar.extend(bytes);
    tar.resize(tar.len().next_multiple_of(BLOCK), 0);
}
