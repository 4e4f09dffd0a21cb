//! The one way to read a file that somebody names whole: rules, mappings, configuration, secrets,
//! tokens, lookups. Regular files only, and no more bytes than a cap. Not logs, which are read as
//! streams (see [`crate::FileInput`]).
//!
//! A path may be a FIFO that nobody writes to, a device that never ends, or a file that grows while it
//! is read: none of them may hold up whoever reads the configuration again.

use std::{
    fs::{File, Metadata, OpenOptions},
    io::{self, Read},
    os::unix::fs::{FileTypeExt, OpenOptionsExt},
    path::Path,
};

/// Opens a regular file for reading; never waits for a writer.
///
/// # Errors
/// What the system says, or that it is not a regular file.
pub fn open_regular(path: &Path) -> io::Result<File> {
    // Without NONBLOCK, opening a FIFO waits for a writer. It means nothing for a regular file.
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let file = OpenOptions::new().read(true).custom_flags(nonblocking).open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() { Ok(file) } else { Err(not_regular(&metadata)) }
}

/// All bytes of a regular file, if there are at most `max`.
///
/// # Errors
/// As [`open_regular`], or that there are more.
pub fn read_regular(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One more than may be: the length that the system gives may be old, or that of a special file.
    open_regular(path)?.take(max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it has more than {max} bytes"),
        ));
    }
    Ok(bytes)
}

/// The text of a regular file of UTF-8, if it has at most `max` bytes.
///
/// # Errors
/// As [`read_regular`], or at which byte it is not UTF-8.
pub fn read_text(path: &Path, max: u64) -> io::Result<String> {
    String::from_utf8(read_regular(path, max)?).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        io::Error::new(io::ErrorKind::InvalidData, format!("not UTF-8 at byte {at}"))
    })
}

/// Whether a path may be read as a stream of logs: a regular file or a FIFO, which ends when its writer
/// does. A device may never end.
///
/// # Errors
/// That it may not.
pub fn check_stream(metadata: &Metadata) -> io::Result<()> {
    let kind = metadata.file_type();
    if kind.is_file() || kind.is_fifo() { Ok(()) } else { Err(not_regular(metadata)) }
}

fn not_regular(metadata: &Metadata) -> io::Error {
    let kind = metadata.file_type();
    let what = if kind.is_dir() {
        "a folder"
    } else if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_char_device() || kind.is_block_device() {
        "a device"
    } else {
        "something else"
    };
    io::Error::new(io::ErrorKind::InvalidInput, format!("it is {what}, not a regular file"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn only_regular_files_under_the_cap_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, b"12345").unwrap();
        assert_eq!(read_regular(&file, 5).unwrap(), b"12345");
        assert_eq!(read_regular(&file, 4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        let fifo = dir.path().join("fifo");
        assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        for path in [&fifo, Path::new("/dev/zero"), Path::new("/dev/null"), dir.path()] {
            let error = read_regular(path, 1 << 20).unwrap_err();
            assert!(error.to_string().contains("not a regular file"), "{path:?}: {error}");
        }
        std::os::unix::fs::symlink("/dev/zero", dir.path().join("link")).unwrap();
        assert!(read_regular(&dir.path().join("link"), 5).is_err());
        // It says 0 bytes of itself and has more.
        assert!(read_regular(Path::new("/proc/self/status"), 10).is_err());
        std::fs::write(&file, b"\xff").unwrap();
        assert!(read_text(&file, 5).unwrap_err().to_string().contains("byte 0"));
    }
}
