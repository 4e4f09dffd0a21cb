//! Which files a list of paths means. Not reading them, but for the head.

use std::{
    fs,
    io::{self, Cursor, Read},
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use super::{head, is_stdin, open_file};
use crate::{Limits, files::check_stream};

/// An input that was found.
pub struct FoundFile {
    /// The path as it is shown; `-` is stdin.
    pub path: PathBuf,
    /// Its size in bytes; stdin has none.
    pub size: Option<u64>,
    /// When it was last changed, milliseconds since 1970 UTC; stdin has none.
    pub modified: Option<i64>,
    /// An input that can be read only once, with what was already read of it.
    stream: Option<Box<dyn Read + Send>>,
    once: bool,
}

/// What a list of paths means.
#[derive(Debug, Default)]
pub struct FoundFiles {
    /// The files, in the order of the list, folders sorted by name.
    pub files: Vec<FoundFile>,
    /// What is not read, and why.
    pub skipped: Vec<(PathBuf, &'static str)>,
}

/// A path that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// It is not there, or may not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A folder without a readable file.
    #[error("no files in {}", path.display())]
    Empty {
        /// The folder.
        path: PathBuf,
    },
}

/// Bytes of a compressed input that its head is made of, and of the head itself.
const HEAD_BYTES: usize = 256 * 1024;

/// Finds the files that `paths` mean: files, folders with everything below them, `-` for stdin.
/// Hidden files are skipped, and symbolic links that lead out of their folder.
///
/// # Errors
/// If a path is not there or cannot be listed, or a folder has no file.
pub fn find_files(paths: &[PathBuf]) -> Result<FoundFiles, InputError> {
    let mut found = FoundFiles::default();
    for path in paths {
        if is_stdin(path) {
            found.files.push(stdin_file(Box::new(io::stdin())));
            continue;
        }
        let at = |source| InputError::Read { path: path.clone(), source };
        if fs::metadata(path).map_err(at)?.is_dir() {
            let before = found.files.len();
            let root = path.canonicalize().map_err(at)?;
            walk(&root, path, &mut found)?;
            if found.files.len() == before {
                return Err(InputError::Empty { path: path.clone() });
            }
        } else {
            found.files.push(FoundFile::at(path).map_err(at)?);
        }
    }
    Ok(found)
}

/// An input that is read once: stdin, or a test's bytes.
pub fn stdin_file(reader: Box<dyn Read + Send>) -> FoundFile {
    FoundFile {
        path: PathBuf::from("-"),
        size: None,
        modified: None,
        stream: Some(reader),
        once: true,
    }
}

fn walk(root: &Path, folder: &Path, found: &mut FoundFiles) -> Result<(), InputError> {
    let at = |source| InputError::Read { path: folder.to_owned(), source };
    let mut entries = fs::read_dir(folder)
        .and_then(|entries| entries.map(|e| e.map(|e| e.path())).collect::<io::Result<Vec<_>>>())
        .map_err(at)?;
    entries.sort();
    for path in entries {
        if path.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.')) {
            found.skipped.push((path, "hidden"));
            continue;
        }
        let Ok(real) = path.canonicalize() else {
            found.skipped.push((path, "a symbolic link to nothing"));
            continue;
        };
        let link = fs::symlink_metadata(&path).map_err(at)?.is_symlink();
        if !real.starts_with(root) {
            found.skipped.push((path, "a symbolic link out of the folder"));
        } else if real.is_dir() && link {
            // Its files are below the folder by their own path.
            found.skipped.push((path, "a symbolic link to a folder"));
        } else if real.is_dir() {
            walk(root, &path, found)?;
        } else if real.is_file() {
            found.files.push(FoundFile::at(&path).map_err(at)?);
        } else {
            found.skipped.push((path, "not a file"));
        }
    }
    Ok(())
}

impl FoundFile {
    fn at(path: &Path) -> io::Result<FoundFile> {
        let metadata = fs::metadata(path)?;
        check_stream(&metadata)?;
        let modified = metadata.modified().ok().and_then(|t| {
            let since = t.duration_since(UNIX_EPOCH).ok()?;
            i64::try_from(since.as_millis()).ok()
        });
        Ok(FoundFile {
            path: path.to_owned(),
            size: Some(metadata.len()),
            modified,
            stream: None,
            once: false,
        })
    }

    /// Its first decompressed bytes, at most 256 KiB, for [`crate::detect()`]. Nothing is lost for
    /// the reading that follows.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn head(&mut self, limits: Limits) -> Result<Vec<u8>, InputError> {
        let mut first = Vec::new();
        let head = self.open().and_then(|mut reader| {
            reader.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut first)?;
            if self.once {
                self.stream = Some(Box::new(Cursor::new(first.clone()).chain(reader)));
            }
            head(Box::new(Cursor::new(first)), HEAD_BYTES, limits)
        });
        head.map_err(|source| InputError::Read { path: self.path.clone(), source })
    }

    pub(super) fn can_reopen(&self) -> bool {
        !self.once
    }

    pub(super) fn open(&mut self) -> io::Result<Box<dyn Read + Send>> {
        match self.stream.take() {
            Some(stream) => Ok(stream),
            None if self.once => Err(io::Error::other("was already read")),
            None => open_file(&self.path),
        }
    }
}

impl std::fmt::Debug for FoundFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FoundFile").field("path", &self.path).finish_non_exhaustive()
    }
}
