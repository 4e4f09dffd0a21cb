//! Logs in the true wire formats of five sources, from a seed: benign background for measuring, three
//! attacks for the demo and its test, and the weeks before them; and months of an enterprise, to measure baselines. Not a simulator, and no real data: people are of
//! example.com, addresses of RFC 5737, RFC 3849 and RFC 1918.
//!
//! The same seed and start give the same bytes on every machine.
#![forbid(unsafe_code)]

mod background;
mod cloudtrail;
mod enterprise;
mod history;
mod kubernetes;
mod okta;
mod random;
mod rules;
mod scenario;
mod sshd;
mod vpc_flow;
mod world;

pub use background::Bulk;
pub use cloudtrail::envelope as cloudtrail_envelope;
pub use enterprise::{Enterprise, EnterpriseLogs};
pub use rules::multiply;
pub use scenario::Scenario;
pub use sshd::Refused;
pub use vpc_flow::HEADER_V5;

use random::Random;

/// The sources a generator can write.
pub const SOURCES: [&str; 5] =
    ["okta.system", "aws.cloudtrail", "kubernetes.audit", "aws.vpc_flow", "linux.sshd"];

/// One line of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The source it belongs to, one of [`SOURCES`].
    pub source: &'static str,
    /// Event time as the line itself says, milliseconds since 1970 UTC.
    pub time_ms: i64,
    /// The line without its end.
    pub text: String,
}

/// Where a source allows more than one wire format, which one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// VPC flow version 2, syslog of RFC 3164.
    #[default]
    Classic,
    /// VPC flow version 5 (write [`HEADER_V5`] first), syslog of RFC 5424.
    Extended,
}

/// Makes logs.
#[derive(Clone, Debug)]
pub struct Generator {
    seed: u64,
    start_ms: i64,
    format: Format,
}

impl Generator {
    /// A generator whose logs begin at `start_ms`, milliseconds since 1970 UTC.
    pub fn new(seed: u64, start_ms: i64) -> Self {
        Generator { seed, start_ms, format: Format::Classic }
    }

    /// Writes the sources that have several formats in this one.
    pub fn format(mut self, format: Format) -> Self {
        self.format = format;
        self
    }

    /// An attack inside benign background, in order of arrival: a few seconds out of order.
    pub fn scenario(&self, scenario: Scenario) -> Vec<Line> {
        scenario.lines(self.seed, self.start_ms, self.format)
    }

    /// What was usual in the `days` days before, of `okta.system`, in order of time.
    pub fn history(&self, days: i64) -> Vec<Line> {
        history::lines(self.seed, self.start_ms, days)
    }

    /// Refused passwords of `linux.sshd`.
    pub fn refused(&self, refused: Refused) -> impl Iterator<Item = Line> {
        refused.lines(self.seed, self.start_ms, self.format)
    }

    /// Benign lines of one source without end; `None` if there is no such source.
    pub fn bulk(&self, source: &str) -> Option<Bulk> {
        let source = SOURCES.into_iter().find(|s| *s == source)?;
        Some(Bulk::new(source, self.seed, self.start_ms, self.format))
    }
}

/// Time as sources write it.
fn civil(millis: i64) -> chrono::DateTime<chrono::Utc> {
    chrono::DateTime::from_timestamp_millis(millis).unwrap_or_default()
}

#[cfg(test)]
mod tests;
