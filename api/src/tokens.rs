//! Tokens: who may ask for what. Kept as hashes in `tokens.json` of the data directory; the server
//! sees a change within a second. Not the routes (see `http::access`), not a session.

mod file;
mod role;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use thiserror::Error;

use crate::terminal::acts;
use file::{Record, Stamp, Table};
pub(crate) use role::{Permission, Role};

/// The tokens of one data directory. Cheap to clone; clones share what they know.
#[derive(Clone, Debug)]
pub(crate) struct Tokens {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    table: RwLock<Arc<Table>>,
    stamp: Mutex<Stamp>,
    /// Last uses, milliseconds, that the file does not know yet.
    used: Mutex<BTreeMap<String, i64>>,
    watched: AtomicBool,
}

/// Who a request comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Principal {
    /// The token's id.
    pub(crate) id: String,
    /// Its name, as triage history shows it.
    pub(crate) name: String,
    /// What it may do.
    pub(crate) role: Role,
    /// The inputs an `ingest` token may push to; `None`: all.
    pub(crate) inputs: Option<Vec<String>>,
}

/// A token as it is listed: everything but its secret, which is nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TokenInfo {
    /// The id, the part between `slc_` and the secret.
    pub(crate) id: String,
    /// The name.
    pub(crate) name: String,
    /// What it may do.
    pub(crate) role: Role,
    /// The inputs it may push to; `None`: all.
    pub(crate) inputs: Option<Vec<String>>,
    /// When it was made, milliseconds since 1970 UTC.
    pub(crate) created: i64,
    /// When it ends.
    pub(crate) expires: Option<i64>,
    /// When it was last used, to the minute or so.
    pub(crate) last_used: Option<i64>,
}

/// Why a request has no principal. Which of the last is not told to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// No `Authorization` header.
    Missing,
    /// A header that is not `Bearer slc_<id>_<secret>`.
    Malformed,
    /// No such token, or another secret.
    Unknown,
    /// Past its end.
    Expired,
}

/// Why the tokens could not be read or changed.
#[derive(Debug, Error)]
pub(crate) enum TokenError {
    /// The file or its lock.
    #[error("cannot {action} {path}")]
    File {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file is not what this program writes.
    #[error("{path} is damaged: {detail}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// What was asked for makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The system has no random numbers.
    #[error("no random numbers: {0}")]
    Random(String),
}

/// Bytes of a secret: 256 bits, so that it needs no slow hash.
const SECRET_BYTES: usize = 32;
/// Bytes of an id.
const ID_BYTES: usize = 8;
/// How often the file is looked at: a revoked token is refused well within a second.
const LOOK_EVERY: Duration = Duration::from_millis(400);
/// How many looks between two writes of last uses: a minute.
const LOOKS_PER_FLUSH: u32 = 150;

impl Tokens {
    /// Reads the tokens of a data directory; there may be none.
    ///
    /// # Errors
    /// If the file is there and cannot be read.
    pub(crate) fn open(dir: &Path) -> Result<Tokens, TokenError> {
        let (table, stamp) = file::read(dir)?;
        Ok(Tokens {
            inner: Arc::new(Inner {
                dir: dir.to_owned(),
                table: RwLock::new(Arc::new(table)),
                stamp: Mutex::new(stamp),
                used: Mutex::default(),
                watched: AtomicBool::new(false),
            }),
        })
    }

    /// Makes a token and returns its text, `slc_<id>_<secret>`, which is kept nowhere.
    ///
    /// # Errors
    /// If the name is empty, over 64 characters, has control characters or is taken, if inputs are
    /// given to another role than `ingest`, or if the file cannot be written.
    pub(crate) fn create(
        &self,
        name: &str,
        role: Role,
        expires: Option<i64>,
        inputs: Option<Vec<String>>,
        now: i64,
    ) -> Result<String, TokenError> {
        check_name(name)?;
        if inputs.is_some() && role != Role::Ingest {
            return Err(TokenError::Invalid(format!(
                "inputs go with the role `ingest` only, not `{}`",
                role.name()
            )));
        }
        let id = hex(&random::<ID_BYTES>()?);
        let secret = URL_SAFE_NO_PAD.encode(random::<SECRET_BYTES>()?);
        let record = Record {
            id: id.clone(),
            name: name.to_owned(),
            role,
            inputs,
            hash: hex(&Sha256::digest(secret.as_bytes())),
            created: now,
            expires,
            last_used: None,
        };
        self.change(|table| {
            if table.tokens.iter().any(|t| t.name == record.name) {
                return Err(TokenError::Invalid(format!(
                    "there is a token named `{}`: revoke it, or choose another name",
                    record.name
                )));
            }
            table.tokens.push(record);
            Ok(())
        })?;
        Ok(format!("slc_{id}_{secret}"))
    }

    /// Every token, oldest first.
    pub(crate) fn list(&self) -> Vec<TokenInfo> {
        self.table().tokens.iter().map(Record::info).collect()
    }

    /// Ends a token, by id or by name; whether there was one.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(crate) fn revoke(&self, which: &str) -> Result<bool, TokenError> {
        let mut found = false;
        self.change(|table| {
            let before = table.tokens.len();
            // An id first: a name from before names were checked may look like one.
            let by_id = table.tokens.iter().any(|t| t.id == which);
            table.tokens.retain(|t| if by_id { t.id != which } else { t.name != which });
            found = table.tokens.len() < before;
            Ok(())
        })?;
        Ok(found)
    }

    /// Whose request carries this `Authorization` header. Reads memory only, and takes as long for an
    /// unknown id as for a wrong secret.
    pub(crate) fn authenticate(
        &self,
        header: Option<&[u8]>,
        now: i64,
    ) -> Result<Principal, Denied> {
        let header = header.ok_or(Denied::Missing)?;
        let (id, secret) = parts(header).ok_or(Denied::Malformed)?;
        let given: [u8; 32] = Sha256::digest(secret.as_bytes()).into();
        let table = self.table();
        let found = table.tokens.iter().find(|t| t.id == id);
        let kept = found.and_then(|t| unhex(&t.hash)).unwrap_or([0; 32]);
        let same: bool = given.ct_eq(&kept).into();
        let Some(token) = found.filter(|_| same) else {
            return Err(Denied::Unknown);
        };
        if token.expires.is_some_and(|end| end <= now) {
            return Err(Denied::Expired);
        }
        self.inner
            .used
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(token.id.clone(), now);
        Ok(token.principal())
    }

    /// Whether a token that was good still is.
    pub(crate) fn is_live(&self, id: &str, now: i64) -> bool {
        let table = self.table();
        let token = table.tokens.iter().find(|t| t.id == id);
        token.is_some_and(|t| t.expires.is_none_or(|end| end > now))
    }

    /// Begins to look for changes of the file, on a thread that ends with the last clone.
    pub(crate) fn watch(&self) {
        if self.inner.watched.swap(true, Ordering::Relaxed) {
            return;
        }
        let weak = Arc::downgrade(&self.inner);
        let look = move || {
            let mut looks = 0_u32;
            loop {
                std::thread::sleep(LOOK_EVERY);
                let Some(inner) = weak.upgrade() else { return };
                let tokens = Tokens { inner };
                looks = looks.wrapping_add(1);
                if let Err(error) = tokens.refresh() {
                    tracing::warn!(%error, "tokens stay as they were");
                }
                if looks.is_multiple_of(LOOKS_PER_FLUSH)
                    && let Err(error) = tokens.flush()
                {
                    tracing::warn!(%error, "last uses of tokens are not written");
                }
            }
        };
        if let Err(error) = std::thread::Builder::new().name("tokens".to_owned()).spawn(look) {
            tracing::error!(%error, "changes of tokens need a restart");
        }
    }

    /// Reads the file again if it is not the one read last. One that is damaged changes nothing, and
    /// is complained of once.
    fn refresh(&self) -> Result<(), TokenError> {
        let stamp = file::stamp(&self.inner.dir)?;
        let mut last = self.inner.stamp.lock().unwrap_or_else(PoisonError::into_inner);
        if stamp == *last {
            return Ok(());
        }
        *last = stamp;
        drop(last);
        let (table, stamp) = file::read(&self.inner.dir)?;
        self.set(table, stamp);
        Ok(())
    }

    /// Writes the last uses to the file, which may be changed by others meanwhile.
    pub(crate) fn flush(&self) -> Result<(), TokenError> {
        let used =
            std::mem::take(&mut *self.inner.used.lock().unwrap_or_else(PoisonError::into_inner));
        if used.is_empty() {
            return Ok(());
        }
        self.change(|table| {
            for token in &mut table.tokens {
                if let Some(at) = used.get(&token.id) {
                    token.last_used = Some(*at);
                }
            }
            Ok(())
        })
    }

    fn change(
        &self,
        change: impl FnOnce(&mut Table) -> Result<(), TokenError>,
    ) -> Result<(), TokenError> {
        let (table, stamp) = file::change(&self.inner.dir, change)?;
        self.set(table, stamp);
        Ok(())
    }

    fn set(&self, table: Table, stamp: Stamp) {
        *self.inner.table.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(table);
        *self.inner.stamp.lock().unwrap_or_else(PoisonError::into_inner) = stamp;
    }

    fn table(&self) -> Arc<Table> {
        self.inner.table.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A name is shown beside what its token did, so it must be seen as it is, and not be taken for an id.
fn check_name(name: &str) -> Result<(), TokenError> {
    let plain = |c: char| !acts(c) && (!c.is_whitespace() || c == ' ');
    if name.is_empty() || name.trim() != name || name.len() > 64 || !name.chars().all(plain) {
        return Err(TokenError::Invalid(
            "a name has 1 to 64 bytes, no control characters, no characters that reorder text, and \
             no space at its ends"
                .to_owned(),
        ));
    }
    if name.len() == 2 * ID_BYTES && name.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(TokenError::Invalid(
            "a name of 16 hex digits could be taken for the id of a token".to_owned(),
        ));
    }
    Ok(())
}

/// The id and secret of `Bearer slc_<id>_<secret>`.
fn parts(header: &[u8]) -> Option<(&str, &str)> {
    let header = std::str::from_utf8(header).ok()?;
    let (scheme, token) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let (id, secret) = token.trim().strip_prefix("slc_")?.split_once('_')?;
    (!id.is_empty() && !secret.is_empty() && token.len() <= 256).then_some((id, secret))
}

/// Random bytes of the system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], TokenError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|e| TokenError::Random(e.to_string()))?;
    Ok(bytes)
}

/// Bytes as lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests;
