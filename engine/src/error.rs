//! What can stop the engine. Not what is wrong with a rule (a `Diagnostic`), nor with a record (a
//! dead letter): those stop nothing.

use std::path::PathBuf;

use sluice_store::StoreError;
use thiserror::Error;

/// An operation of the engine that failed.
#[derive(Debug, Error)]
pub enum EngineError {
    /// A rule, mapping or log file or folder could not be read.
    #[error("read {path}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The error of the system.
        #[source]
        source: std::io::Error,
    },
    /// The input failed in a way that is not one record's fault.
    #[error("read input {input}")]
    Input {
        /// The input's name.
        input: String,
        /// Its error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A sink did not keep a commit.
    #[error("keep findings")]
    Commit(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Something stored is not what this build writes.
    #[error(
        "stored {what} cannot be read: {reason}; run the version that wrote it, or restore the data \
         directory from a backup"
    )]
    Stored {
        /// What it is.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Saved state does not fit.
    #[error("restore state: {0}")]
    Restore(String),
    /// The disk is full, and nothing is processed.
    #[error("the disk is full: it goes on by itself when there is room")]
    NoRoom,
    /// Rules over findings were given to a sink that cannot be read: a defect of ours.
    #[error("this run keeps no findings that rules could read")]
    NoFeed,
    /// A thread of the pipeline died: a defect of ours.
    #[error("the {0} thread stopped unexpectedly")]
    Thread(&'static str),
}

impl EngineError {
    /// Whether the disk was full: nothing was written, and it works again when there is room.
    pub fn is_full(&self) -> bool {
        match self {
            EngineError::Store(error) => error.is_full(),
            EngineError::NoRoom => true,
            _ => false,
        }
    }

    /// Free bytes that were asked of a disk that was full; 0 for other errors.
    pub(crate) fn needs(&self) -> u64 {
        match self {
            EngineError::Store(StoreError::Full { needed, .. }) => *needed,
            _ => 0,
        }
    }
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
