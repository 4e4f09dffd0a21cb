//! Search over findings: full text and fields over findings and what people did about them.
//!
//! It is: [`FindingIndex`], a follower of the store that keeps the sequence it has read, and the
//! query language of `q=`. It is not: the findings themselves. The index answers with ids and times,
//! the caller reads the store; a lost index is built again from it. No answer depends on a clock; one
//! bounds how long a search may take ([`IndexSettings::longest_search`]).
//!
//! # The query language
//!
//! | written | finds |
//! |---|---|
//! | `push spray` | both words, anywhere in title, rule, entities, columns, evidence, ATT&CK ids |
//! | `ann@example.com`, `203.0.113.9`, `arn:aws:iam::1:user/x` | the parts next to each other, in order |
//! | `"denied push"`, `pow*` | the phrase; words that begin so (two letters or more) |
//! | `severity:high`, `title:"push spray"`, `rule_id:identity.*` | the field; see the table below |
//! | `user:ann@example.com` | the entity of that kind, whole; also `device:`, `ip:`, ... |
//! | `fields.country:de`, `fields.bytes:>1e6` | a column the rule selected |
//! | `risk:>=50`, `count:[5 TO 10]`, `time:>now-24h`, `severity:>=high` | ranges; `{` and `}` leave the end out |
//! | `assignee:*`, `-assignee:*` | has a value, has none |
//! | `a OR b`, `NOT a`, `-a`, `(a b) OR c`, `status:(new OR in_progress)` | as it says; AND is the default and binds closer than OR |
//!
//! | field | value |
//! |---|---|
//! | `id`, `rule_id`, `assignee`, `entity`, `entity_kind` | exact, case aside; `entity` with or without its kind |
//! | `severity`, `status`, `reason`, `state`, `shadow` | one of their words |
//! | `attack` | `T1078` also finds `T1078.004` |
//! | `tactic` | `TA0001` or `"initial access"`; those of the techniques included |
//! | `title`, `fields.COLUMN` | words next to each other, in order |
//! | `risk`, `count` | numbers |
//! | `time` | RFC 3339, a date (the whole day UTC), `now`, `now-24h` |
//!
//! Withdrawn findings are left out unless the query names `state:` or `id:`; `state:*` means all.
//! Findings of rules on trial are in; `shadow:false` leaves them out. No wildcard at the start or
//! inside of a word, no regular expressions, no fuzzy words, no scores: newest first. A wildcard at
//! the end of a phrase tries the first 1,000 endings of its last word in each part of the index; one
//! word alone has no such limit. Of a finding's columns and evidence the first 64 KiB are searched.
#![forbid(unsafe_code)]

mod collect;
mod compile;
mod deadline;
mod document;
mod error;
mod facets;
mod fields;
mod forward;
mod index;
mod matches;
mod place;
mod query;
mod request;
mod snapshot;

pub use error::{IndexError, QueryError, SearchError};
pub use index::{FindingIndex, IndexSettings};
pub use query::check;
pub use request::{Facet, SearchPage, SearchRequest, SortKey};
