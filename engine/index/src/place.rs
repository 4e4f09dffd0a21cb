//! The folder of the index: what is in it, read and checked, and named in errors. Not what is written
//! to it (see [`crate::index`]).

use std::{
    fs::{self, File},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use serde_json::Value;
use tantivy::{
    Index, IndexReader, TantivyError,
    directory::error::{LockError, OpenReadError},
};

use crate::{IndexError, IndexSettings, fields::FORMAT, snapshot::Snapshot};

const META: &str = "meta.json";

/// The folder, for reading what is in it and naming it in errors.
pub(crate) struct Place<'a> {
    pub(crate) dir: &'a Path,
}

impl Place<'_> {
    /// Whether no index is there. Leftovers of a start that was cut short do not count.
    pub(crate) fn is_fresh(&self) -> Result<bool, IndexError> {
        let mut segments = false;
        for entry in fs::read_dir(self.dir).map_err(|e| self.io(self.dir, e))? {
            let entry = entry.map_err(|e| self.io(self.dir, e))?;
            let name = entry.file_name();
            if name == META {
                return Ok(false);
            }
            let name = name.to_string_lossy();
            let stem = name.split('.').next().unwrap_or_default();
            segments |= stem.len() == 32 && stem.bytes().all(|b| b.is_ascii_hexdigit());
        }
        match segments {
            true => Err(self.damaged(META, "it is gone, and findings are there".to_owned())),
            false => Ok(true),
        }
    }

    /// The sequence in the payload of the last commit.
    pub(crate) fn cursor(&self, index: &Index) -> Result<u64, IndexError> {
        let meta = index.load_metas().map_err(|e| self.read(e))?;
        let Some(payload) = meta.payload else {
            // Cut short between making the index and its first commit: empty, and ours by its fields.
            return match meta.segments.is_empty() {
                true => Ok(0),
                false => {
                    Err(self.foreign("its last commit does not say how far it goes".to_owned()))
                }
            };
        };
        let payload: Value = serde_json::from_str(&payload)
            .map_err(|e| self.damaged(META, format!("its payload is no JSON: {e}")))?;
        let number = |name: &str| payload.get(name).and_then(Value::as_u64);
        match (number("format"), number("cursor")) {
            (Some(FORMAT), Some(cursor)) => Ok(cursor),
            (Some(FORMAT), None) => Err(self.damaged(META, "its payload has no cursor".to_owned())),
            (Some(other), _) => {
                Err(self.foreign(format!("format {other}, this program writes {FORMAT}")))
            }
            (None, _) => Err(self.foreign("its payload names no format".to_owned())),
        }
    }

    /// What searches see of the last commit that the reader has loaded.
    pub(crate) fn snapshot(
        &self,
        reader: &IndexReader,
        before: Option<&Snapshot>,
        settings: &IndexSettings,
    ) -> Result<Snapshot, IndexError> {
        let most = settings.max_facet_values;
        // tantivy asserts where it meets bytes it did not write.
        catch_unwind(AssertUnwindSafe(|| Snapshot::new(reader.searcher(), before, most)))
            .unwrap_or_else(|_| Err(TantivyError::InternalError("a column is broken".to_owned())))
            .map_err(|e| self.read(e))
    }

    pub(crate) fn bytes(&self) -> Result<u64, IndexError> {
        let mut bytes = 0;
        for entry in fs::read_dir(self.dir).map_err(|e| self.io(self.dir, e))? {
            let entry = entry.map_err(|e| self.io(self.dir, e))?;
            match entry.metadata() {
                Ok(meta) => bytes += meta.len(),
                // A merge has just deleted it.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(self.io(&entry.path(), e)),
            }
        }
        Ok(bytes)
    }

    pub(crate) fn verify(&self, index: &Index) -> Result<(), IndexError> {
        let meta = index.load_metas().map_err(|e| self.read(e))?;
        let known = index.directory().list_managed_files();
        let mut files: Vec<_> = meta.list_segment_files().into_iter().collect();
        files.sort();
        for file in files {
            let name = file.to_string_lossy();
            // The list has the names of parts that a segment may have; those written are managed.
            if !known.contains(&file) {
                continue;
            }
            match index.directory().validate_checksum(&file) {
                Ok(true) => {}
                Ok(false) => {
                    return Err(self.damaged(&name, "its checksum differs".to_owned()));
                }
                // A merge may have replaced the segment meanwhile.
                Err(OpenReadError::FileDoesNotExist(_))
                    if !index
                        .load_metas()
                        .map_err(|e| self.read(e))?
                        .list_segment_files()
                        .contains(&file) => {}
                Err(OpenReadError::FileDoesNotExist(_)) => {
                    return Err(self.damaged(&name, "it is gone".to_owned()));
                }
                Err(error) => return Err(self.damaged(&name, error.to_string())),
            }
        }
        Ok(())
    }

    pub(crate) fn read(&self, error: TantivyError) -> IndexError {
        let file = match &error {
            TantivyError::OpenReadError(
                OpenReadError::FileDoesNotExist(file)
                | OpenReadError::IoError { filepath: file, .. },
            ) => file.to_string_lossy().into_owned(),
            TantivyError::LockFailure(LockError::LockBusy, _) => {
                return IndexError::Locked { dir: self.dir.to_owned() };
            }
            TantivyError::IncompatibleIndex(detail)
            | TantivyError::OpenReadError(OpenReadError::IncompatibleIndex(detail)) => {
                return self.foreign(format!("{detail:?}"));
            }
            // Its path is private; of those at open only meta.json is read as text.
            TantivyError::DataCorruption(_) => {
                return self.damaged(META, "it cannot be read as the list of segments".to_owned());
            }
            _ => String::new(),
        };
        self.damaged(&file, error.to_string())
    }

    pub(crate) fn write(&self, error: TantivyError) -> IndexError {
        match error {
            TantivyError::LockFailure(LockError::LockBusy, _) => {
                IndexError::Locked { dir: self.dir.to_owned() }
            }
            error => IndexError::Write { dir: self.dir.to_owned(), detail: error.to_string() },
        }
    }

    pub(crate) fn io(&self, path: &Path, source: io::Error) -> IndexError {
        IndexError::Io { path: path.to_owned(), source }
    }

    fn damaged(&self, file: &str, detail: String) -> IndexError {
        IndexError::Damaged { dir: self.dir.to_owned(), file: self.dir.join(file), detail }
    }

    pub(crate) fn foreign(&self, detail: String) -> IndexError {
        IndexError::Foreign { dir: self.dir.to_owned(), detail }
    }
}

/// Makes what happened to the names in a folder durable.
pub(crate) fn sync(dir: &Path) -> Result<(), IndexError> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(|source| IndexError::Io { path: dir.to_owned(), source })
}
