//! Consistent reads: what was committed when the snapshot was taken, across all keyspaces.

use std::{
    fmt,
    ops::{Bound, Deref},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Arc,
};

use fjall::Readable;

use crate::{Space, StoreError, error::call, store::Inner};

/// Bytes of a key or a value, shared with the database's cache.
#[derive(Clone, PartialEq, Eq)]
pub struct Bytes(fjall::Slice);

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

/// The store at one moment. What is removed later stays on disk while it lives: keep it short.
pub struct Snapshot {
    pub(crate) inner: fjall::Snapshot,
    pub(crate) store: Arc<Inner>,
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("dir", &self.dir()).finish_non_exhaustive()
    }
}

impl Snapshot {
    /// The value of a key.
    ///
    /// # Errors
    /// If the disk fails or is damaged where it lies.
    pub fn get(&self, space: &Space, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        if key.len() > crate::Batch::MAX_KEY {
            return Ok(None);
        }
        call(self.dir(), "read", || self.inner.get(&space.keyspace, key)).map(|v| v.map(Bytes))
    }

    /// Keys from `from` to `to` with their values, in order; from both ends.
    pub fn range(&self, space: &Space, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Range {
        let rows = catch_unwind(AssertUnwindSafe(|| {
            self.inner.range::<&[u8], _>(&space.keyspace, (from, to))
        }));
        Range { rows: rows.ok(), failed: false, store: self.store.clone() }
    }

    /// Keys that begin with `prefix`, with their values, in order; from both ends.
    pub fn prefix(&self, space: &Space, prefix: &[u8]) -> Range {
        if prefix.is_empty() {
            return self.range(space, Bound::Unbounded, Bound::Unbounded);
        }
        let rows = catch_unwind(AssertUnwindSafe(|| self.inner.prefix(&space.keyspace, prefix)));
        Range { rows: rows.ok(), failed: false, store: self.store.clone() }
    }

    fn dir(&self) -> &Path {
        self.store.directory.path()
    }
}

/// Keys and values in order. Ends after its first error.
pub struct Range {
    /// `None` if it could not even begin.
    rows: Option<fjall::Iter>,
    failed: bool,
    store: Arc<Inner>,
}

impl fmt::Debug for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Range").finish_non_exhaustive()
    }
}

impl Range {
    fn step(
        &mut self,
        next: impl FnOnce(&mut fjall::Iter) -> Option<fjall::Guard>,
    ) -> Option<Result<(Bytes, Bytes), StoreError>> {
        if self.failed {
            return None;
        }
        let dir = self.store.directory.path();
        let Some(rows) = &mut self.rows else {
            self.failed = true;
            return Some(Err(StoreError::damaged(dir, "scan: the database gave up")));
        };
        let row = call(dir, "scan", || next(rows).map(fjall::Guard::into_inner).transpose());
        self.failed = row.is_err();
        row.map(|row| row.map(|(key, value)| (Bytes(key), Bytes(value)))).transpose()
    }
}

impl Iterator for Range {
    type Item = Result<(Bytes, Bytes), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step(Iterator::next)
    }
}

impl DoubleEndedIterator for Range {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.step(DoubleEndedIterator::next_back)
    }
}
