//! Settings of inputs that take security event tokens of other transmitters. Not what is done with them
//! (see `node::received`).

use sluice_rule::Diagnostic;
use sluice_signal::stream;

use super::{
    reader::{Notes, section},
    signals::{Reference, Signals},
    value::{ByteSize, Networks},
};
use crate::outbound;

section! {
    /// Security event tokens (SETs) of a transmitter. Each is verified; an event of it becomes a row.
    Ssf {
        /// Who issues them, as the `iss` of each says.
        issuer: String = "",
        /// Whom they are for: one of these must be in the `aud` of each.
        audience: Vec<String> = "[]",
        /// The key set of the issuer. Unset: the `jwks_uri` of its metadata,
        /// `/.well-known/ssf-configuration`.
        jwks_url: Option<String> = "",
        /// The `Authorization` header that pushes carry, as `${env:NAME}` or `file:/path`. Unset: the
        /// signature alone decides.
        authorization: Option<Reference> = "",
        /// Polls there (RFC 8936), for transmitters that do not push.
        poll_url: Option<String> = "",
        /// The `Authorization` header of polls, as `${env:NAME}` or `file:/path`.
        poll_authorization: Option<Reference> = "",
        /// Private, loopback or link-local networks where key set, metadata and polls may be. All others
        /// of these are refused; `http://` goes nowhere but there.
        networks: Networks = "[]",
        /// Bytes that may wait on disk to be processed; then the transmitter is told to wait.
        spool_bytes: ByteSize = "1GiB",
    }
}

/// What these settings must be, beside each being well formed.
pub(super) fn check(
    name: &str,
    mapping: &str,
    ssf: &Ssf,
    signals: Option<&Signals>,
    notes: &mut Notes,
) {
    let mut blame = |key: &str, problem: String, hint: &str| {
        let path = format!("sources.{name}.{key}");
        notes.blame(&path, Diagnostic::error("C005", "", problem).hint(hint));
    };
    if mapping != MAPPING {
        let problem = format!("`{}` does not read security event tokens", mapping);
        blame("mapping", problem, "mapping = \"ssf.set\"");
    }
    let url = "\"https://idp.example.com\", as the `iss` of its tokens";
    if stream::host(&ssf.issuer).is_none() {
        blame("ssf.issuer", "it does not say who issues the tokens".into(), url);
    }
    if signals.is_some_and(|own| own.issuer == ssf.issuer) {
        let problem = "these would be our own signals".to_owned();
        blame("ssf.issuer", problem, "the issuer of another transmitter");
    }
    if ssf.audience.is_empty() {
        let hint = "audience = [\"https://sluice.example.com\"], as the transmitter was told";
        blame("ssf.audience", "it does not say whom the tokens are for".into(), hint);
    }
    let urls = [("ssf.jwks_url", &ssf.jwks_url), ("ssf.poll_url", &ssf.poll_url)];
    for (key, url) in urls.into_iter().filter_map(|(key, url)| Some((key, url.as_ref()?))) {
        let refused = match stream::host(url) {
            None => Some("this is no URL"),
            Some(host) => outbound::refusal(url, host, &ssf.networks.0),
        };
        if let Some(why) = refused {
            let hint = "`networks` names private networks that may be reached";
            blame(key, format!("nothing is asked there: {why}"), hint);
        }
    }
    if ssf.poll_authorization.is_some() && ssf.poll_url.is_none() {
        let hint = "`poll_url`, or remove it";
        blame("ssf.poll_authorization", "there is no `poll_url` to send it to".into(), hint);
    }
}

/// What reads SETs.
const MAPPING: &str = "ssf.set";
