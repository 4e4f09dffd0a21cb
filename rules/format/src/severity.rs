//! How bad what a rule or baseline finds is, and how far it is trusted. Not the risk of an entity.

use crate::{fields::Reader, yaml::Node};

/// Sigma's levels, mildest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Context.
    Informational,
    /// Rarely worth a look alone.
    Low,
    /// Worth a look.
    Medium,
    /// Look today.
    High,
    /// Look now.
    Critical,
}

impl Severity {
    const WORDS: [(&'static str, Severity); 5] = [
        ("informational", Severity::Informational),
        ("low", Severity::Low),
        ("medium", Severity::Medium),
        ("high", Severity::High),
        ("critical", Severity::Critical),
    ];

    /// The word in files and output.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Informational => "informational",
            Severity::Low => "low",
            Severity::Medium => "medium",
            Severity::High => "high",
            Severity::Critical => "critical",
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>, node: &Node) -> Option<Severity> {
        reader.word(node, "severity", &Self::WORDS)
    }

    /// The severity of a word; also for the output column `severity`.
    pub fn parse(word: &str) -> Option<Severity> {
        Self::WORDS.iter().find(|(w, _)| *w == word).map(|(_, severity)| *severity)
    }

    /// The risk of a rule that sets none: 0, 8, 15, 30, 60.
    pub fn risk(self) -> u8 {
        match self {
            Severity::Informational => 0,
            Severity::Low => 8,
            Severity::Medium => 15,
            Severity::High => 30,
            Severity::Critical => 60,
        }
    }
}

/// How far a rule is trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Status {
    /// Runs in shadow: findings are kept and marked, and open no incident, risk or signal.
    Experimental,
    /// Being tried, its findings shown as any: what a rule is that does not say.
    #[default]
    Test,
    /// Trusted.
    Stable,
    /// Still runs; something better exists.
    Deprecated,
    /// Not loaded.
    Unsupported,
}

impl Status {
    const WORDS: [(&'static str, Status); 5] = [
        ("experimental", Status::Experimental),
        ("test", Status::Test),
        ("stable", Status::Stable),
        ("deprecated", Status::Deprecated),
        ("unsupported", Status::Unsupported),
    ];

    pub(crate) fn read(reader: &mut Reader<'_>, node: &Node) -> Option<Status> {
        reader.word(node, "status", &Self::WORDS)
    }

    /// The word in files and output.
    pub fn name(self) -> &'static str {
        match self {
            Status::Experimental => "experimental",
            Status::Test => "test",
            Status::Stable => "stable",
            Status::Deprecated => "deprecated",
            Status::Unsupported => "unsupported",
        }
    }
}
