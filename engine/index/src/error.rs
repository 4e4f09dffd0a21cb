//! What can go wrong, for people.

use std::{fmt, io, path::PathBuf};

/// Why the index cannot be opened, written or trusted.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// A file is not as it was written, or gone.
    #[error(
        "the search index is damaged: {}: {detail}\nhint: stop sluice and delete {}, it is rebuilt from the store", file.display(), dir.display()
    )]
    Damaged {
        /// The folder of the index.
        dir: PathBuf,
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// Written by another version, or not by sluice.
    #[error(
        "the search index in {} is of another version: {detail}\nhint: stop sluice and delete {}, it is rebuilt from the store", dir.display(), dir.display()
    )]
    Foreign {
        /// The folder of the index.
        dir: PathBuf,
        /// What differs.
        detail: String,
    },
    /// Another process writes to it.
    #[error(
        "the search index in {} is in use\nhint: another sluice runs on this data_dir; stop it or choose another data_dir", dir.display()
    )]
    Locked {
        /// The folder of the index.
        dir: PathBuf,
    },
    /// The file system refused.
    #[error("the search index cannot use {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A write failed, and what was not committed is lost.
    #[error("the search index in {} cannot be written: {detail}", dir.display())]
    Write {
        /// The folder of the index.
        dir: PathBuf,
        /// Why.
        detail: String,
    },
    /// An earlier write failed.
    #[error(
        "the search index in {} lost uncommitted changes\nhint: call recover() and feed it again from the sequence it returns", dir.display()
    )]
    Behind {
        /// The folder of the index.
        dir: PathBuf,
    },
    /// A setting is out of range.
    #[error("{0}")]
    Setting(String),
}

/// Why a search has no answer.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The query is wrong.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// A number or cursor of the request is out of range.
    #[error("{0}")]
    Request(String),
    /// A facet has more values than are counted.
    #[error("`{facet}` has {values} values, at most {most} are counted\nhint: leave the facet out")]
    FacetTooLarge {
        /// The facet.
        facet: &'static str,
        /// How many values it has in a part of the index.
        values: usize,
        /// How many are allowed.
        most: usize,
    },
    /// The index failed; not the query's fault.
    #[error("the search index cannot be read: {0}")]
    Engine(String),
}

/// What is wrong with a query, where, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryError {
    /// What is wrong, one sentence without a full stop.
    pub primary: String,
    /// What else is known.
    pub detail: Option<String>,
    /// What to write instead.
    pub hint: Option<String>,
    /// The place: characters from the start of the query, from 1; `None`: all of it.
    pub column: Option<usize>,
}

impl QueryError {
    pub(crate) fn new(primary: impl Into<String>) -> Self {
        QueryError { primary: primary.into(), detail: None, hint: None, column: None }
    }

    /// `at` counts characters from 0.
    pub(crate) fn at(mut self, at: usize) -> Self {
        self.column = Some(at + 1);
        self
    }

    pub(crate) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl std::error::Error for QueryError {}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(column) = self.column {
            write!(f, "query, column {column}: ")?;
        }
        f.write_str(&self.primary)?;
        if let Some(detail) = &self.detail {
            write!(f, "\n{detail}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}
