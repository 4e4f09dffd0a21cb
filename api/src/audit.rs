//! The audit log: what people and tokens did, as a chain of hashes in `audit.log` of the data
//! directory. Records are only appended; each names the one before by its hash, so that a change of any
//! of them breaks the chain from there on. Not the log of the process.
//!
//! A line is `HASH JSON`: HASH is the SHA-256, as hex, of [`DOMAIN`], the hash of the line before (64
//! zeros for the first) and the JSON as it is written. What the chain cannot show is that its end was
//! cut off: for that the newest hash is kept elsewhere, and given to `sluice audit verify --head`.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use sluice_event::rfc3339;

use crate::tokens::hex;

/// What is hashed before everything else: a hash of another log is not one of this.
const DOMAIN: &[u8] = b"sluice audit log 1\0";
/// The hash before the first record.
const FIRST: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// Bytes of the file of an audit log within which its last record is.
const TAIL_BYTES: u64 = 256 << 10;
/// Bytes of the details of one record; longer ones are left out and said so.
const DETAIL_BYTES: usize = 8 << 10;
/// The file.
pub(crate) const FILE: &str = "audit.log";

/// The audit log of a data directory. Cheap to clone; several processes may append.
#[derive(Clone, Debug)]
pub(crate) struct AuditLog {
    inner: Arc<Mutex<Inner>>,
    path: PathBuf,
}

#[derive(Debug, Default)]
struct Inner {
    /// Where the file ended after our last look, and its last record there.
    end: u64,
    head: Head,
    failing: bool,
}

/// The newest record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Its number, from 1; 0: there is none.
    pub(crate) seq: u64,
    /// Its hash.
    pub(crate) hash: String,
}

/// Something that was done.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Who: the name of a token, or `cli:UID`, or `service`.
    pub(crate) actor: String,
    /// The id of the token.
    pub(crate) token: Option<String>,
    /// What: `PATCH /api/v1/findings/{id}`, `token.create`.
    pub(crate) action: String,
    /// On what.
    pub(crate) target: Option<String>,
    /// How it ended: an HTTP status.
    pub(crate) status: Option<u16>,
    /// The request, as the log of the process names it.
    pub(crate) request: Option<String>,
    /// More, as an object.
    pub(crate) detail: Value,
}

/// A record as it is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    pub(crate) seq: u64,
    pub(crate) at: String,
    pub(crate) actor: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<String>,
    pub(crate) action: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) target: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) request: Option<String>,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub(crate) detail: Value,
}

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verified {
    /// Records whose chain holds.
    pub(crate) records: u64,
    /// The last of them.
    pub(crate) head: Head,
    /// Lines that a crash cut short; what was written after them continues the chain.
    pub(crate) torn: Vec<u64>,
    /// The first record that is not as it was written: its number, and why.
    pub(crate) broken: Option<(u64, String)>,
}

impl Default for Head {
    fn default() -> Self {
        Head { seq: 0, hash: FIRST.to_owned() }
    }
}

impl Entry {
    /// Something that was not asked for by a request.
    pub(crate) fn of(actor: String, action: &str, detail: Value) -> Entry {
        let action = action.to_owned();
        Entry { actor, token: None, action, target: None, status: None, request: None, detail }
    }

    /// What the user at the command line did.
    pub(crate) fn of_user(action: &str, detail: Value) -> Entry {
        let uid = fs::metadata("/proc/self").map(|m| m.uid().to_string());
        Entry::of(format!("cli:{}", uid.unwrap_or_else(|_| "?".to_owned())), action, detail)
    }
}

impl AuditLog {
    /// The log of a data directory; made with its first record.
    pub(crate) fn new(dir: &Path) -> AuditLog {
        AuditLog { inner: Arc::default(), path: dir.join(FILE) }
    }

    /// Appends a record and waits until it is durable; the newest record then.
    ///
    /// # Errors
    /// If it cannot be written: then nothing that must be recorded may be done.
    pub(crate) fn append(&self, entry: Entry, now: i64) -> io::Result<Head> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let appended = append(&self.path, &mut inner, entry, now);
        inner.failing = appended.is_err();
        appended
    }

    /// Whether the last record could not be written.
    pub(crate) fn is_failing(&self) -> bool {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).failing
    }

    /// The newest record.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn head(&self) -> io::Result<Head> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        match File::open(&self.path) {
            Ok(mut file) => {
                catch_up(&mut file, &mut inner)?;
                Ok(inner.head.clone())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Head::default()),
            Err(error) => Err(error),
        }
    }

    /// Records after a number, oldest first, at most `limit`, each with its hash.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn after(&self, seq: u64, limit: usize) -> io::Result<Vec<(Record, String)>> {
        let Some(lines) = lines(&self.path)? else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for line in lines {
            let line = line?;
            if let Some((hash, json)) = split(&line)
                && let Ok(record) = serde_json::from_str::<Record>(json)
                && record.seq > seq
            {
                found.push((record, hash.to_owned()));
                if found.len() == limit {
                    break;
                }
            }
        }
        Ok(found)
    }
}

/// Reads a whole log and checks every hash. Changes nothing; the file may be in use.
///
/// # Errors
/// If there is no log, or it cannot be read.
pub(crate) fn verify(dir: &Path) -> io::Result<Verified> {
    let path = dir.join(FILE);
    let lines = lines(&path)?.ok_or_else(|| {
        io::Error::new(io::ErrorKind::NotFound, format!("there is no {}", path.display()))
    })?;
    let mut found = Verified::default();
    for (number, line) in (1..).zip(lines) {
        let line = line?;
        let parsed = split(&line).and_then(|(hash, json)| {
            Some((hash, json, serde_json::from_str::<Record>(json).ok()?))
        });
        let Some((hash, json, record)) = parsed else {
            found.torn.push(number);
            continue;
        };
        let expected = found.head.seq + 1;
        let wrong = if record.seq != expected {
            Some(format!("record {} stands where {expected} should", record.seq))
        } else if hash_of(&found.head.hash, json) != hash {
            Some("its hash does not fit its text and the record before".to_owned())
        } else {
            None
        };
        if let Some(why) = wrong {
            found.broken = Some((expected, why));
            break;
        }
        found.records += 1;
        found.head = Head { seq: record.seq, hash: hash.to_owned() };
    }
    Ok(found)
}

fn append(path: &Path, inner: &mut Inner, entry: Entry, now: i64) -> io::Result<Head> {
    let mut options = OpenOptions::new();
    let mut file = options.read(true).append(true).create(true).mode(0o600).open(path)?;
    // Another process may append: one at a time, each to what the other left.
    file.lock()?;
    catch_up(&mut file, inner)?;
    let Entry { actor, token, action, target, status, request, mut detail } = entry;
    if detail.to_string().len() > DETAIL_BYTES {
        detail = serde_json::json!({"left_out": "more than 8 KiB"});
    }
    let seq = inner.head.seq + 1;
    let at = rfc3339(now);
    let record = Record { seq, at, actor, token, action, target, status, request, detail };
    let json = serde_json::to_string(&record)?;
    let hash = hash_of(&inner.head.hash, &json);
    let torn = inner.end > 0 && !ends_with_line_break(&mut file, inner.end)?;
    let line = format!("{}{hash} {json}\n", if torn { "\n" } else { "" });
    file.write_all(line.as_bytes())?;
    file.sync_data()?;
    inner.end += line.len() as u64;
    inner.head = Head { seq, hash };
    Ok(inner.head.clone())
}

/// Reads what was appended since the last look.
fn catch_up(file: &mut File, inner: &mut Inner) -> io::Result<()> {
    let end = file.metadata()?.len();
    if end == inner.end {
        return Ok(());
    }
    if end < inner.end {
        return Err(io::Error::other("the audit log has become shorter"));
    }
    let start = if inner.head.seq == 0 { end.saturating_sub(TAIL_BYTES) } else { inner.end };
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    Read::by_ref(file).take(end - start).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let newest = text.lines().rev().find_map(|line| {
        let (hash, json) = split(line)?;
        let record: Record = serde_json::from_str(json).ok()?;
        Some(Head { seq: record.seq, hash: hash.to_owned() })
    });
    match newest {
        Some(head) => inner.head = head,
        None if start > 0 && inner.head.seq == 0 => {
            return Err(io::Error::other("the end of the audit log holds no record"));
        }
        None => {}
    }
    inner.end = end;
    Ok(())
}

fn ends_with_line_break(file: &mut File, end: u64) -> io::Result<bool> {
    let mut last = [0];
    file.seek(SeekFrom::Start(end - 1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

fn lines(path: &Path) -> io::Result<Option<impl Iterator<Item = io::Result<String>> + use<>>> {
    match File::open(path) {
        Ok(file) => Ok(Some(
            BufReader::new(file)
                .split(b'\n')
                .map(|line| line.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())),
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn split(line: &str) -> Option<(&str, &str)> {
    let (hash, json) = line.split_once(' ')?;
    (hash.len() == FIRST.len() && json.ends_with('}')).then_some((hash, json))
}

fn hash_of(before: &str, json: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(DOMAIN);
    hash.update(before.as_bytes());
    hash.update(json.as_bytes());
    hex(&hash.finalize())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn entry(n: u64) -> Entry {
        Entry {
            actor: format!("ann\n{n}"),
            token: None,
            action: "test".to_owned(),
            target: None,
            status: Some(200),
            request: None,
            detail: serde_json::json!({"n": n}),
        }
    }

    fn log(records: u64) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let log = AuditLog::new(dir.path());
        (1..=records).for_each(|n| assert_eq!(log.append(entry(n), 0).unwrap().seq, n));
        dir
    }

    #[test]
    fn records_chain_over_processes_and_are_read_in_pages() {
        let dir = log(3);
        // Two that know nothing of each other.
        let (one, two) = (AuditLog::new(dir.path()), AuditLog::new(dir.path()));
        for n in 0..4 {
            let log = if n % 2 == 0 { &one } else { &two };
            log.append(entry(n), 0).unwrap();
        }
        let found = verify(dir.path()).unwrap();
        assert_eq!((found.records, found.broken, found.torn), (7, None, vec![]));
        assert_eq!(one.head().unwrap(), found.head);
        let page = one.after(2, 3).unwrap();
        assert_eq!(page.iter().map(|(r, _)| r.seq).collect::<Vec<_>>(), [3, 4, 5]);
        assert_eq!(page[0].0.actor, "ann\n3");
    }

    #[test]
    fn an_edit_a_deletion_and_another_order_name_the_first_bad_record() {
        let dir = log(5);
        let path = dir.path().join(FILE);
        let good = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = good.lines().collect();
        for (edited, first) in [
            (good.replace("\"n\":3", "\"n\":4"), 3),
            ([&lines[..1], &lines[2..]].concat().join("\n"), 2),
            ([lines[0], lines[2], lines[1], lines[3]].join("\n"), 2),
            (lines[1..].join("\n"), 1),
        ] {
            fs::write(&path, edited).unwrap();
            assert_eq!(verify(dir.path()).unwrap().broken.unwrap().0, first);
        }
        // What is cut off at the end shows only against a head kept elsewhere.
        fs::write(&path, lines[..4].join("\n") + "\n").unwrap();
        let found = verify(dir.path()).unwrap();
        assert_eq!((found.records, found.broken), (4, None));
    }

    #[test]
    fn a_write_that_a_crash_cut_short_is_reported_and_the_chain_goes_on() {
        let dir = log(2);
        let path = dir.path().join(FILE);
        let mut bytes = fs::read(&path).unwrap();
        bytes.extend_from_slice(b"0123 {\"seq\":3,\"at\"");
        fs::write(&path, bytes).unwrap();
        AuditLog::new(dir.path()).append(entry(3), 0).unwrap();
        let found = verify(dir.path()).unwrap();
        assert_eq!((found.records, found.torn, found.broken), (3, vec![3], None));
        assert!(verify(&dir.path().join("none")).is_err());
    }
}
