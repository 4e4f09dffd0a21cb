//! The SQL file for rules and mappings alike: fences, front matter, tests block, lint of what needs
//! no plan, diagnostics. Text in, typed file out: no IO, no clock, no SQL planning, no arrow.
//!
//! - [`SqlFile`]: the file, split into front matter, statement and tests;
//! - [`Rule`], [`Mapping`] and [`BaselineFile`]: what the kinds of file declare;
//! - [`LookupTable`]: reference data that rules ask;
//! - [`lint`]: checks of a rule that need no plan;
//! - [`Diagnostic`]: what is wrong, where, and what to write instead.
//!
//! What is said here (other codes are the SQL compiler's):
//!
//! | code | level | what |
//! |---|---|---|
//! | R001 | error | a fence, a block or the statement is missing or broken; no YAML |
//! | R002, R003 | error | unknown key, missing key |
//! | R004 | error | the id is not the path, or taken |
//! | R005 | error, warning | an ATT&CK id that never was, or was withdrawn |
//! | R006 | error, warning | the file: size, `/*` in a block, byte order mark, invisible characters |
//! | R007 | error | `risk` is not 0 to 90 |
//! | R008 | error | an entity or suppression column that the SELECT does not return |
//! | R009 | error | a value that is not what its key takes |
//! | R011 | error | a table or column that is not there: in a case, or of the wire record |
//! | R021, R026, R035 | warning | no entity; no firing or quiet case; no `false_positives` or `runbook` |
//! | R032 | error | a regular expression that cannot be used |
//! | R034 | error | a value in a case that its column never has |
#![forbid(unsafe_code)]

mod attack;
mod baseline;
mod baseline_features;
mod canonical;
mod cases;
mod codec;
mod diagnostic;
mod fields;
mod file;
mod front;
mod lint;
mod lookup;
mod mapping;
mod pattern;
mod rule;
mod severity;
mod suggest;
mod time;
mod token;
mod yaml;
mod zone;

pub use attack::{Attack, attack, attack_name, attacks};
pub use baseline::{
    BaselineColumn, BaselineFile, BaselinePeers, BaselineTest, BaselineUnit, ExpectedAnomaly,
};
pub use baseline_features::{BaselineFeature, BaselineKind};
pub use canonical::{Form, closed_values};
pub use cases::{MappingTest, Row, RuleTest, TestConfig, TestEvent, TestLookup};
pub use codec::{CodecSpec, Delimited, Program, Syslog};
pub use diagnostic::{Diagnostic, Level, Span, render_all, visible};
pub use file::{Allow, Block, MAX_FILE_BYTES, SqlFile};
pub use front::{About, RuleId};
pub use lint::{duplicate_ids, lint};
pub use lookup::{KeyMatch, LookupKey, LookupTable, LookupText, MAX_LOOKUP_BYTES};
pub use mapping::{Detect, Mapping, SpannedText};
pub use pattern::Pattern;
pub use rule::{Emit, Rule, Sigma, Suppression};
pub use severity::{Severity, Status};
pub use suggest::suggest;
pub use time::{TEST_BASE, parse_duration, resolve_time};
pub use token::{normalise, version};
pub use zone::{Moment, UnknownZone, Zone};
