//! External evaluation of Cloudflare Access, from its settings: the key set of the team, and the key that answers
//! are signed with. Not what is decided (see `sluice_signal::policy`).

use serde_json::Value;
use sluice_signal::{
    SigningKeys,
    cloudflare::{self, AskError, Asked},
};

use super::{
    super::key_set::{KeySet, KeySetError, KeySource},
    Signals,
};
use crate::{clock, config, exit::Failure};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AccessError {
    /// The token of the request.
    #[error(transparent)]
    Token(#[from] AskError),
    /// It may pass.
    #[error("{0}")]
    Later(String),
}

/// The adapter.
pub(super) struct Access {
    team: KeySet,
    keys: SigningKeys,
    resource: String,
}

impl Access {
    /// # Errors
    /// If its key cannot be read or used.
    pub(super) fn new(settings: &config::CloudflareAccess) -> Result<Access, Failure> {
        let path = "signals.cloudflare_access.key";
        let pem = settings.key.resolve();
        let pem =
            pem.map_err(|(what, hint)| Failure::argument(format!("`{path}`: {what}"), hint))?;
        let keys = SigningKeys::from_pems([pem.reveal()]).map_err(|error| {
            let hint = "openssl genrsa -out access.pem 2048; chmod 600 access.pem";
            Failure::argument(format!("`{path}`: {error}"), hint)
        })?;
        let team = settings.team.trim_end_matches('/');
        let certs = KeySource::Url(format!("{team}/cdn-cgi/access/certs"));
        Ok(Access {
            team: KeySet::new(team, certs, &settings.networks.0),
            keys,
            resource: settings.resource.clone(),
        })
    }
}

impl Signals {
    /// The key set that Access verifies answers with; `None` without the adapter.
    pub(crate) fn access_keys(&self) -> Option<Value> {
        Some(self.0.access.as_ref()?.keys.jwks())
    }

    /// The resource whose rule counts for Access.
    pub(crate) fn access_resource(&self) -> &str {
        self.0.access.as_ref().map_or("/", |access| &access.resource)
    }

    /// Who asks, by a token of Access. Blocks for the network.
    ///
    /// # Errors
    /// What is wrong with the token, or that the key set of the team cannot be had.
    pub(crate) fn access_asked(&self, token: &str) -> Result<Asked, AccessError> {
        let access = self.access()?;
        let asked = access.team.verify(
            |jwks| cloudflare::asked(token, jwks, clock::now()),
            |error| matches!(error, AskError::Key(_)),
        );
        asked.map_err(|error| match error {
            KeySetError::Keys(why) => AccessError::Later(why),
            KeySetError::Wrong(error) => AccessError::Token(error),
        })
    }

    /// A signed answer.
    ///
    /// # Errors
    /// If it cannot be signed.
    pub(crate) fn access_answer(&self, asked: &Asked, success: bool) -> Result<Value, AccessError> {
        let answer = cloudflare::answer(&self.access()?.keys, asked, success, clock::now());
        answer.map_err(|error| AccessError::Later(error.to_string()))
    }

    fn access(&self) -> Result<&Access, AccessError> {
        let access = self.0.access.as_ref();
        access.ok_or_else(|| AccessError::Later("external evaluation is not configured".into()))
    }
}
