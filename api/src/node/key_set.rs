//! The key set of an issuer (RFC 7517): fetched or read, kept for an hour, asked for again when a token names a
//! key that is not in it. Not the verification (see `sluice_signal::jws`).

use std::{
    io::Read,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde_json::Value;
use sluice_ingest::files;
use ureq::{Agent, http::header};

use crate::{clock, network::Network, outbound};

/// Where a key set is, and what it was.
pub(super) struct KeySet {
    issuer: String,
    source: KeySource,
    networks: Vec<Network>,
    agent: Agent,
    kept: Mutex<Kept>,
    /// Held by who asks. Others go on with what there is.
    asking: Mutex<()>,
}

/// Where a key set comes from.
pub(super) enum KeySource {
    /// An address.
    Url(String),
    /// A file.
    File(PathBuf),
    /// The `jwks_uri` of the issuer's SSF metadata.
    Metadata,
}

/// Why something is not verified.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum KeySetError<E> {
    /// There is no key set. It may pass.
    Keys(String),
    /// What is to be verified is wrong.
    Wrong(E),
}

#[derive(Default)]
struct Kept {
    keys: Option<(Arc<Value>, Instant)>,
    /// When it was asked for last, also in vain.
    asked: Option<Instant>,
}

/// A key set is good for so long.
const AGE: Duration = Duration::from_secs(3_600);
/// It is asked for at most so often, whatever tokens name: they may be anybody's.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of a key set or of metadata.
const MOST: u64 = 256 << 10;

impl KeySet {
    pub(super) fn new(issuer: &str, source: KeySource, networks: &[Network]) -> KeySet {
        KeySet {
            issuer: issuer.to_owned(),
            source,
            networks: networks.to_vec(),
            agent: outbound::agent(networks),
            kept: Mutex::default(),
            asking: Mutex::default(),
        }
    }

    /// Verifies something by the key set; again by a newer one where `by_key` says that the key was the
    /// matter. Blocks for the network.
    ///
    /// # Errors
    /// What is wrong with it, or why there is no key set.
    pub(super) fn verify<T, E>(
        &self,
        check: impl Fn(&Value) -> Result<T, E>,
        by_key: impl Fn(&E) -> bool,
    ) -> Result<T, KeySetError<E>> {
        match check(&*self.keys(false).map_err(KeySetError::Keys)?) {
            // The issuer may have another key since.
            Err(error) if by_key(&error) => {
                check(&*self.keys(true).map_err(KeySetError::Keys)?).map_err(KeySetError::Wrong)
            }
            outcome => outcome.map_err(KeySetError::Wrong),
        }
    }

    fn keys(&self, anew: bool) -> Result<Arc<Value>, String> {
        let good = |kept: &Kept, anew: bool| {
            let now = clock::monotonic();
            let (keys, at) = kept.keys.as_ref()?;
            let young = now.duration_since(*at) < AGE && !anew;
            let patient = kept.asked.is_some_and(|at| now.duration_since(at) < PATIENCE);
            (young || patient).then(|| keys.clone())
        };
        if let Some(keys) = good(&self.kept(), anew) {
            return Ok(keys);
        }
        let _asking = match self.asking.try_lock() {
            Ok(asking) => asking,
            Err(_) => {
                // One asks already, for up to ten seconds: nobody with a known key waits for that.
                if let Some((keys, _)) = &self.kept().keys {
                    return Ok(keys.clone());
                }
                self.asking.lock().unwrap_or_else(PoisonError::into_inner)
            }
        };
        let now = clock::monotonic();
        {
            let mut kept = self.kept();
            if let Some(keys) = good(&kept, anew) {
                return Ok(keys);
            }
            if kept.asked.is_some_and(|at| now.duration_since(at) < PATIENCE) {
                return Err("it was asked for in vain less than 30 s ago".to_owned());
            }
            kept.asked = Some(now);
        }
        let fetched = self.fetch();
        let mut kept = self.kept();
        match fetched {
            Ok(keys) => {
                let keys = Arc::new(keys);
                kept.keys = Some((keys.clone(), now));
                Ok(keys)
            }
            Err(error) => {
                tracing::warn!("the key set of {}: {error}", self.issuer);
                // An old one is better than none: what it does not verify is refused.
                let old = kept.keys.as_ref().map(|(keys, _)| keys.clone());
                old.ok_or(error)
            }
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fetch(&self) -> Result<Value, String> {
        let url = match &self.source {
            KeySource::File(path) => {
                let text = files::read_text(path, MOST).map_err(|e| e.to_string())?;
                return serde_json::from_str(&text).map_err(|_| "the file is no JSON".to_owned());
            }
            KeySource::Url(url) => url.clone(),
            KeySource::Metadata => self.discover()?,
        };
        let host = sluice_signal::stream::host(&url).ok_or("its address is no URL")?;
        match outbound::refusal(&url, host, &self.networks) {
            Some(why) => Err(why.to_owned()),
            None => self.get(&url),
        }
    }

    /// The `jwks_uri` of the metadata: the path of the issuer stands behind the well-known one.
    fn discover(&self) -> Result<String, String> {
        let (scheme, rest) = self.issuer.split_once("://").ok_or("the issuer is no URL")?;
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let path = path.trim_end_matches('/');
        let slash = if path.is_empty() { "" } else { "/" };
        let url = format!("{scheme}://{host}/.well-known/ssf-configuration{slash}{path}");
        let metadata = self.get(&url)?;
        if metadata["issuer"] != self.issuer.as_str() {
            return Err("its metadata is of another issuer".to_owned());
        }
        let jwks = metadata["jwks_uri"].as_str();
        jwks.map(str::to_owned).ok_or_else(|| "its metadata names no `jwks_uri`".to_owned())
    }

    fn get(&self, url: &str) -> Result<Value, String> {
        let request = self.agent.get(url).header(header::ACCEPT, "application/json");
        let mut response = request.call().map_err(|e| e.to_string())?;
        if response.status().as_u16() != 200 {
            return Err(format!("HTTP {}", response.status().as_u16()));
        }
        let mut body = Vec::new();
        let mut reader = response.body_mut().as_reader().take(MOST);
        reader.read_to_end(&mut body).map_err(|e| e.to_string())?;
        serde_json::from_slice(&body).map_err(|_| "the answer is no JSON".to_owned())
    }
}
