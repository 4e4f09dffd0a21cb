//! The durable store: bytes in keyspaces, atomic batches, followers, retention.
#![forbid(unsafe_code)]

/// Bytes that may still be written to the file system a path is on.
///
/// # Errors
/// If the path cannot be looked at.
pub fn free_space(path: &std::path::Path) -> std::io::Result<u64> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}
