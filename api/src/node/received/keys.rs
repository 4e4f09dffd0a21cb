//! The key set of an issuer: fetched, kept for an hour, fetched again when a token names a key that is
//! not in it. Not the verification (see `sluice_signal::verify`).

use std::{
    io::Read,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde_json::Value;
use sluice_signal::{
    inbound::{Inbound, InboundSet},
    verify::VerifyError,
};
use ureq::{Agent, http::header};

use super::ReceiveError;
use crate::{clock, config::Ssf, network::Network, outbound};

/// Where a key set is, and what it was.
pub(super) struct KeySet {
    issuer: String,
    url: Option<String>,
    networks: Vec<Network>,
    agent: Agent,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    keys: Option<(Value, Instant)>,
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
    pub(super) fn new(ssf: &Ssf) -> KeySet {
        KeySet {
            issuer: ssf.issuer.clone(),
            url: ssf.jwks_url.clone(),
            networks: ssf.networks.0.clone(),
            agent: outbound::agent(&ssf.networks.0),
            kept: Mutex::default(),
        }
    }

    /// Verifies a token by the key set.
    ///
    /// # Errors
    /// What is wrong with the token, or why there is no key set.
    pub(super) fn verify(
        &self,
        inbound: &Inbound,
        token: &str,
        now: i64,
    ) -> Result<InboundSet, ReceiveError> {
        let keys = self.keys(false)?;
        match inbound.receive(token, &keys, now) {
            // The issuer may have another key since.
            Err(VerifyError::Key(_)) => Ok(inbound.receive(token, &self.keys(true)?, now)?),
            outcome => Ok(outcome?),
        }
    }

    fn keys(&self, anew: bool) -> Result<Value, ReceiveError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock::monotonic();
        let young = kept.keys.as_ref().filter(|(_, at)| now.duration_since(*at) < AGE);
        let patient = kept.asked.is_some_and(|at| now.duration_since(at) < PATIENCE);
        match (young, &kept.keys) {
            (Some((keys, _)), _) if !anew || patient => return Ok(keys.clone()),
            (_, Some((keys, _))) if patient => return Ok(keys.clone()),
            (_, None) if patient => {
                return Err(ReceiveError::Keys("it was asked for less than 30 s ago".into()));
            }
            _ => {}
        }
        kept.asked = Some(now);
        match self.fetch() {
            Ok(keys) => {
                kept.keys = Some((keys.clone(), now));
                Ok(keys)
            }
            Err(error) => {
                tracing::warn!("the key set of {}: {error}", self.issuer);
                // An old one is better than none: what it does not verify is refused.
                let old = kept.keys.as_ref().map(|(keys, _)| keys.clone());
                old.ok_or(ReceiveError::Keys(error))
            }
        }
    }

    fn fetch(&self) -> Result<Value, String> {
        let url = match &self.url {
            Some(url) => url.clone(),
            None => self.discover()?,
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
