//! Authorization servers whose access tokens receivers may show, from their settings, each with its key set.
//! Not what a token has to be (see `sluice_signal::oauth::TrustedIssuer`).

use sluice_signal::oauth::{Bearer, TokenError, TrustedIssuer};

use super::super::key_set::{KeySet, KeySetError, KeySource};
use crate::{clock, config::Signals};

/// Why it is not known whose token it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BearerError {
    /// The token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The key set of its issuer cannot be had. It may pass.
    #[error("the key set of the issuer of the token cannot be read: {0}")]
    Keys(String),
}

/// All of them.
pub(super) struct Trust(Vec<(TrustedIssuer, KeySet)>);

impl Trust {
    pub(super) fn new(signals: &Signals) -> Trust {
        let issuers = signals.trusted_issuers.iter().map(|(name, settings)| {
            let clients = signals.receivers.iter();
            let clients = clients.filter(|(_, r)| r.trusted_issuer.as_ref() == Some(name));
            let clients = clients.map(|(receiver, r)| {
                let client = r.trusted_client.clone().unwrap_or_else(|| receiver.clone());
                (client, receiver.clone())
            });
            let trusted = TrustedIssuer {
                issuer: settings.issuer.clone(),
                audience: settings.audience.clone(),
                algorithms: settings.accepted(),
                client_claim: settings.client_claim.clone(),
                clients: clients.collect(),
            };
            let source = match (&settings.jwks_url, &settings.jwks_file) {
                (_, Some(path)) => KeySource::File(path.clone()),
                (url, None) => KeySource::Url(url.clone().unwrap_or_default()),
            };
            let keys = KeySet::new(&settings.issuer, source, &settings.networks.0);
            (trusted, keys)
        });
        Trust(issuers.collect())
    }

    /// The issuers.
    pub(super) fn issuers(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(trusted, _)| trusted.issuer.as_str())
    }

    /// Whether a token may be one of theirs: a JWT, which ours are not.
    pub(super) fn concerns(&self, token: &str) -> bool {
        !self.0.is_empty() && token.bytes().filter(|b| *b == b'.').count() == 2
    }

    /// Who shows a token of theirs. Blocks for the network.
    pub(super) fn bearer(&self, token: &str) -> Result<Bearer, BearerError> {
        let issuer = self.0.iter().find(|(trusted, _)| trusted.issued(token));
        let (trusted, keys) = issuer.ok_or(TokenError::Unknown)?;
        let verified = keys.verify(
            |jwks| trusted.check(token, jwks, clock::now()),
            |error| matches!(error, TokenError::Key(_)),
        );
        verified.map_err(|error| match error {
            KeySetError::Keys(why) => BearerError::Keys(why),
            KeySetError::Wrong(error) => BearerError::Token(error),
        })
    }
}
