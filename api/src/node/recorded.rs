//! What is recorded in the audit log without a request: starts of the service, with what has changed of
//! its configuration since the start before, and reloads by a signal or by changed files. Not the log
//! itself (see [`crate::audit`]).

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use serde_json::{Value as Json, json};
use sluice_engine::service::{ReloadReport, RuleChange};
use sluice_ingest::files;

use crate::{
    audit::{AuditLog, Entry},
    clock,
    config::Effective,
};

/// The settings of the last start, as they may be shown.
pub(super) const FILE: &str = "settings.json";
/// More of them is not read.
const FILE_MOST: u64 = 4 << 20;

/// Records that the service starts with these settings. What cannot be recorded is a line in the log:
/// a full disk must not keep the service from starting, which makes room.
pub(crate) fn start(dir: &Path, effective: &[Effective]) {
    let now: BTreeMap<String, Json> =
        effective.iter().map(|e| (e.path.clone(), e.shown())).collect();
    let path = dir.join(FILE);
    let before = files::read_text(&path, FILE_MOST).ok();
    let before = before.and_then(|text| serde_json::from_str(&text).ok());
    let mut detail = json!({"version": env!("CARGO_PKG_VERSION")});
    if let Some(before) = before {
        detail["changed"] = difference(&before, &now);
    }
    if append(dir, "service.start", detail)
        && let Err(error) = keep(&path, &now)
    {
        tracing::error!(%error, "the settings of this start cannot be kept");
    }
}

/// Records what a reload that nobody asked for over HTTP did.
pub(crate) fn reload(dir: &Path, why: &str, report: &ReloadReport) {
    let word = |change: &RuleChange| match change {
        RuleChange::Added => "added",
        RuleChange::Edited => "edited",
        RuleChange::Reset => "reset",
        RuleChange::Removed => "removed",
    };
    let rules: BTreeMap<&str, &str> =
        report.rules.iter().map(|(id, change)| (id.as_str(), word(change))).collect();
    let detail = json!({"why": why, "applied": report.applied, "rules": rules});
    append(dir, "service.reload", detail);
}

fn append(dir: &Path, action: &str, detail: Json) -> bool {
    let entry = Entry::of("service".to_owned(), action, detail);
    let appended = AuditLog::new(dir).append(entry, clock::now());
    if let Err(error) = &appended {
        tracing::error!(%error, action, "the audit log cannot be written");
    }
    appended.is_ok()
}

/// Per setting that is not as it was: what it was and what it is.
fn difference(before: &BTreeMap<String, Json>, now: &BTreeMap<String, Json>) -> Json {
    let paths: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let of =
        |all: &BTreeMap<String, Json>, path: &String| all.get(path).cloned().unwrap_or_default();
    paths
        .into_iter()
        .map(|path| (path.clone(), of(before, path), of(now, path)))
        .filter(|(_, before, now)| before != now)
        .map(|(path, before, now)| (path, json!({"from": before, "to": now})))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// Writes the settings beside and renames them, so that they are whole.
fn keep(path: &Path, settings: &BTreeMap<String, Json>) -> io::Result<()> {
    let made = path.with_extension("json.new");
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&made)?;
    file.write_all(&serde_json::to_vec_pretty(settings)?)?;
    file.sync_all()?;
    fs::rename(&made, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_is_recorded_with_what_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let settings = |limit: &str| {
            let setting =
                |path: &str, value: Json| Effective { path: path.to_owned(), value, origin: None };
            [setting("memory_limit", json!(limit)), setting("api.listen", json!("127.0.0.1:7777"))]
        };
        for limit in ["1GiB", "1GiB", "2GiB"] {
            start(dir.path(), &settings(limit));
        }
        let records = AuditLog::new(dir.path()).after(0, 10).unwrap();
        let changed: Vec<&Json> = records.iter().map(|(r, _)| &r.detail["changed"]).collect();
        let third = json!({"memory_limit": {"from": "1GiB", "to": "2GiB"}});
        assert_eq!(changed, [&Json::Null, &json!({}), &third]);
        assert_eq!(records[0].0.actor, "service");
    }
}
