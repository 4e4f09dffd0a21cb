//! Notices changed rules, mappings, lookups and configuration. Watches folders, not files: editors replace a
//! file by another, and mounted configuration changes by one symbolic link.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use sluice_ingest::files;
use sluice_rule::MAX_LOOKUP_BYTES;
use tokio::sync::mpsc::Sender;

use crate::config::Config;

/// A change is acted on when there was no other for this long: an editor writes in several steps.
const QUIET: Duration = Duration::from_millis(500);

/// What is watched while it lives.
pub(crate) struct Watching {
    _watcher: RecommendedWatcher,
}

/// Sends on `changed` when the contents of any file changed. `None`, with the reason in the log, if
/// nothing can be watched: SIGHUP and the API still reload.
pub(crate) fn start(config: &Config, files: &[String], changed: Sender<()>) -> Option<Watching> {
    let content: Vec<PathBuf> = config
        .rules
        .iter()
        .chain(&config.mappings)
        .chain(&config.lookups)
        .map(Into::into)
        .collect();
    let content: Vec<PathBuf> =
        content.into_iter().filter(|p| p.as_os_str() != "builtin").collect();
    let files: Vec<PathBuf> = files.iter().map(Into::into).collect();
    let (seen, events) = std::sync::mpsc::sync_channel(64);
    let on_event = move |event: notify::Result<notify::Event>| {
        // Reading the files makes events too.
        let ours = event.is_ok_and(|e| !matches!(e.kind, EventKind::Access(_)));
        // Full is as good: one is enough to look.
        if ours && seen.try_send(()).is_err() {
            tracing::trace!("many files change");
        }
    };
    let mut watcher = notify::recommended_watcher(on_event)
        .map_err(|e| tracing::warn!("files are not watched ({e}); SIGHUP reloads"))
        .ok()?;
    for (folder, mode) in folders(&content, &files) {
        if let Err(error) = watcher.watch(&folder, mode) {
            tracing::warn!("{} is not watched ({error}); SIGHUP reloads", folder.display());
        }
    }
    let mut before = fingerprint(&content, &files);
    let look = move || {
        while events.recv().is_ok() {
            while events.recv_timeout(QUIET).is_ok() {}
            let now = fingerprint(&content, &files);
            if now != before {
                before = now;
                if changed.blocking_send(()).is_err() {
                    return;
                }
            }
        }
    };
    std::thread::Builder::new().name("sluice-watch".to_owned()).spawn(look).ok()?;
    Some(Watching { _watcher: watcher })
}

/// The folders to watch: of content with all below, of single files without.
fn folders(content: &[PathBuf], files: &[PathBuf]) -> Vec<(PathBuf, RecursiveMode)> {
    let parent = |path: &Path| match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let whole: BTreeSet<PathBuf> = content.iter().filter(|p| p.is_dir()).cloned().collect();
    let single: BTreeSet<PathBuf> =
        content.iter().filter(|p| !p.is_dir()).chain(files).map(|p| parent(p)).collect();
    let single = single.into_iter().filter(|p| !whole.contains(p));
    let single: Vec<_> = single.map(|p| (p, RecursiveMode::NonRecursive)).collect();
    whole.into_iter().map(|p| (p, RecursiveMode::Recursive)).chain(single).collect()
}

/// A hash of every file of the content and every configuration file, names included.
fn fingerprint(content: &[PathBuf], files: &[PathBuf]) -> blake3::Hash {
    let mut found: BTreeSet<PathBuf> = files.iter().cloned().collect();
    for file in files {
        let folder = file.parent().unwrap_or(Path::new("")).join("conf.d");
        walk(&folder, "toml", &mut found);
    }
    for extension in ["sql", "csv", "json", "yaml"] {
        content.iter().for_each(|path| walk(path, extension, &mut found));
    }
    let mut hash = blake3::Hasher::new();
    for path in found {
        hash.update(path.to_string_lossy().as_bytes());
        hash.update(&[0]);
        // A file that went away between is a change at the next look.
        if let Ok(bytes) = files::read_regular(&path, MAX_FILE_BYTES) {
            hash.update(blake3::hash(&bytes).as_bytes());
        }
    }
    hash.finalize()
}

/// More of a file is neither content nor configuration.
const MAX_FILE_BYTES: u64 = MAX_LOOKUP_BYTES;

/// The files with an extension at or below a path; a file that is named counts whatever it is called.
/// Each folder is read once, whatever links lead to it.
fn walk(path: &Path, extension: &str, found: &mut BTreeSet<PathBuf>) {
    if path.is_file() {
        found.insert(path.to_owned());
        return;
    }
    let mut visited = BTreeSet::new();
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        if !folder.canonicalize().is_ok_and(|real| visited.insert(real)) {
            continue;
        }
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == extension) {
                found.insert(path);
            }
        }
    }
}
