//! What can stop the engine. Not what is wrong with a rule (a `Diagnostic`), nor with a record (a
//! dead letter): those stop nothing.

use std::path::PathBuf;

use thiserror::Error;

/// An operation of the engine that failed.
#[derive(Debug, Error)]
pub enum EngineError {
    /// A rule, mapping or log file or folder could not be read.
    #[error("read {path}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The input failed in a way that is not one record's fault.
    #[error("read input {input}")]
    Input {
        /// The input's name.
        input: String,
        /// What it said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A sink did not keep a commit.
    #[error("keep findings")]
    Commit(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Saved state does not fit.
    #[error("restore state: {0}")]
    Restore(String),
    /// A thread of the pipeline died: a defect of ours.
    #[error("the {0} thread stopped unexpectedly")]
    Thread(&'static str),
}

/// An error with everything that led to it.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
