//! The SQL file for rules and mappings alike: fences, front matter, tests block, lint of what needs
//! no plan, diagnostics. Text in, typed file out: no IO, no clock, no SQL planning, no arrow.
//!
//! - [`SqlFile`]: the file, split into front matter, statement and tests;
//! - [`Rule`] and [`Mapping`]: what the two kinds of file declare;
//! - [`lint`]: checks of a rule that need no plan;
//! - [`Diagnostic`]: what is wrong, where, and what to write instead.
#![forbid(unsafe_code)]

mod attack;
mod cases;
mod codec;
mod diagnostic;
mod fields;
mod file;
mod front;
mod lint;
mod mapping;
mod rule;
mod suggest;
mod time;
mod token;
mod yaml;

pub use attack::{Attack, attack, attack_name, attacks};
pub use cases::{MappingTest, Row, RuleTest, TestConfig, TestEvent};
pub use codec::{CodecSpec, Delimited, Syslog};
pub use diagnostic::{Diagnostic, Level, Span, render_all, visible};
pub use file::{Allow, Block, MAX_FILE_BYTES, SqlFile};
pub use front::{About, RuleId};
pub use lint::{duplicate_ids, lint};
pub use mapping::{Detect, Mapping, SpannedText};
pub use rule::{Bootstrap, Emit, OnSilentSource, Rule, Severity, Sigma, Status, Suppression};
pub use suggest::suggest;
pub use time::{TEST_BASE, parse_duration, resolve_time};
pub use token::{normalise, version};
