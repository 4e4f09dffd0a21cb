//! What can go wrong with the store: what, where, and how to mend it.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use thiserror::Error;

/// An operation of the store that failed.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Another process has the directory.
    #[error("{} is in use by another process{}", dir.display(), holder(*process))]
    Locked {
        /// The directory.
        dir: PathBuf,
        /// The other process, if it left its id.
        process: Option<u32>,
    },
    /// The directory holds something else, or another version of it.
    #[error("{} holds {found}; this build reads {expected}", dir.display())]
    Format {
        /// The directory.
        dir: PathBuf,
        /// What its marker names.
        found: String,
        /// What would be read.
        expected: String,
    },
    /// Files were changed, cut off or removed by something else.
    #[error("the store in {} is damaged: {what}", dir.display())]
    Damaged {
        /// The directory.
        dir: PathBuf,
        /// What is damaged, and how that was noticed.
        what: String,
    },
    /// The disk is full. Nothing was written, and writing works again when there is.
    #[error("the disk of {} is full: {free} bytes are free, {needed} are needed", dir.display())]
    Full {
        /// The directory.
        dir: PathBuf,
        /// Bytes free.
        free: u64,
        /// Bytes needed, the reserve included.
        needed: u64,
    },
    /// A write failed: it is unknown what of it is on disk. Nothing more is written.
    #[error("the store in {} stopped writing: {reason}", dir.display())]
    Stopped {
        /// The directory.
        dir: PathBuf,
        /// The failure that stopped it.
        reason: String,
    },
    /// A key no batch can hold.
    #[error("a key of {length} bytes is longer than {} bytes", crate::Batch::MAX_KEY)]
    KeyTooLong {
        /// Its length.
        length: usize,
    },
    /// The system refused.
    #[error("{operation} {}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// The error of the system.
        #[source]
        source: io::Error,
    },
}

impl StoreError {
    /// How to mend it.
    pub fn hint(&self) -> &'static str {
        match self {
            StoreError::Locked { .. } => {
                "stop the other process, or give this one another data directory"
            }
            StoreError::Format { .. } => {
                "run the version that wrote it, or give this one another data directory"
            }
            StoreError::Damaged { .. } => {
                "check the disk, then restore the directory from a backup, or move it away and \
                 start anew: what the sources still hold is read again"
            }
            StoreError::Full { .. } => "free some space; writing goes on by itself",
            StoreError::Stopped { .. } => "check the disk, then start the process again",
            StoreError::KeyTooLong { .. } => "this is a defect of ours: please report it",
            StoreError::Io { .. } => "check that the directory exists and that this user owns it",
        }
    }

    /// Whether the disk was full, and nothing else is wrong.
    pub fn is_full(&self) -> bool {
        matches!(self, StoreError::Full { .. })
    }

    pub(crate) fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
        move |source| StoreError::Io { operation, path: path.to_owned(), source }
    }

    pub(crate) fn damaged(dir: &Path, what: impl Into<String>) -> StoreError {
        StoreError::Damaged { dir: dir.to_owned(), what: what.into() }
    }
}

/// Calls the database. Its panics become errors: it has them where files are not what it wrote.
pub(crate) fn call<T>(
    dir: &Path,
    operation: &'static str,
    call: impl FnOnce() -> fjall::Result<T>,
) -> Result<T, StoreError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(translate(dir, operation, error)),
        Err(panic) => {
            let message = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("no message");
            Err(StoreError::damaged(dir, format!("{operation}: the database gave up ({message})")))
        }
    }
}

fn translate(dir: &Path, operation: &'static str, error: fjall::Error) -> StoreError {
    match error {
        fjall::Error::Io(source) | fjall::Error::Storage(fjall::LsmError::Io(source)) => {
            // What the database says itself, and files that are missing or there when they should
            // not be, is no fault of the system.
            let ours = source.raw_os_error().is_none()
                || matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists);
            if ours {
                StoreError::damaged(dir, format!("{operation}: {source}"))
            } else {
                StoreError::Io { operation, path: dir.to_owned(), source }
            }
        }
        fjall::Error::Locked => StoreError::Locked { dir: dir.to_owned(), process: None },
        fjall::Error::Poisoned => StoreError::Stopped {
            dir: dir.to_owned(),
            reason: "an earlier write in the background failed".to_owned(),
        },
        other => StoreError::damaged(dir, format!("{operation}: {other:?}")),
    }
}

fn holder(process: Option<u32>) -> String {
    process.map(|id| format!(" ({id})")).unwrap_or_default()
}
