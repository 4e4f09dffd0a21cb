//! The keyspaces of the store. Not what is in a record (see [`super::records`]).
//!
//! Keyspaces, numbers big-endian:
//!
//! | name | key | value |
//! |---|---|---|
//! | `finding` | id | the finding without the events of its evidence: written by the engine only |
//! | `evidence` | finding id, hash of the event | the event |
//! | `triage` | id | what people did about it: never touched by the engine |
//! | `current` | id | sequence of its last change, epoch of its first |
//! | `change` | sequence | id, 1 if it is provisional; the older entry goes with the newer one, so each finding is there once |
//! | `removed` | sequence | id of a finding that retention dropped; the last million |
//! | `age` | event time, id | nothing: the order in which findings go |
//! | `repeat` | suppression group, event time, id | the finding it is folded into, how many it folds |
//! | `risk` | hash of the entity | its ledger, level, and when it is due |
//! | `risk_due` | time, hash of the entity | nothing: when its level falls, or it is forgotten |
//! | `risk_row` | hash of the entity, number | a change of its risk; the last 1,000 |
//! | `level` | sequence | a change of level, for followers |
//! | `incident` | id | an incident with its history |
//! | `suppression` | id | a suppression with its hits |
//! | `minute` | start of the minute, hash of the rule | findings of the rule in it: kept, and not |
//! | `letter` | source, code, receive time, id | a record set aside |
//! | `letter_id` | id | its key in `letter` |
//! | `meta` | a word | `seq`, `totals` |

use std::path::Path;

use sluice_store::{Layout, Memory, Space, Store};

use crate::EngineError;

/// What the directory holds, by a version that changes when an older build could not read it.
const LAYOUT: Layout<18> = Layout {
    name: "sluice-findings",
    version: 4,
    spaces: [
        "finding",
        "triage",
        "current",
        "change",
        "removed",
        "age",
        "repeat",
        "evidence",
        "letter",
        "letter_id",
        "meta",
        "risk",
        "risk_due",
        "risk_row",
        "level",
        "incident",
        "suppression",
        "minute",
    ],
};

/// The keyspaces, open.
#[derive(Debug)]
pub(super) struct Spaces {
    pub(super) finding: Space,
    pub(super) triage: Space,
    pub(super) current: Space,
    pub(super) change: Space,
    pub(super) removed: Space,
    pub(super) age: Space,
    pub(super) repeat: Space,
    pub(super) evidence: Space,
    pub(super) letter: Space,
    pub(super) letter_id: Space,
    pub(super) meta: Space,
    pub(super) risk: Space,
    pub(super) risk_due: Space,
    pub(super) risk_row: Space,
    pub(super) level: Space,
    pub(super) incident: Space,
    pub(super) suppression: Space,
    pub(super) minute: Space,
}

/// Opens the store in a directory, which it creates and locks.
pub(super) fn open(dir: &Path) -> Result<(Store, Spaces), EngineError> {
    let (store, spaces) = Store::open(dir, &LAYOUT, Memory::default())?;
    let [
        finding,
        triage,
        current,
        change,
        removed,
        age,
        repeat,
        evidence,
        letter,
        letter_id,
        meta,
        risk,
        risk_due,
        risk_row,
        level,
        incident,
        suppression,
        minute,
    ] = spaces;
    let spaces = Spaces {
        finding,
        triage,
        current,
        change,
        removed,
        age,
        repeat,
        evidence,
        letter,
        letter_id,
        meta,
        risk,
        risk_due,
        risk_row,
        level,
        incident,
        suppression,
        minute,
    };
    Ok((store, spaces))
}
