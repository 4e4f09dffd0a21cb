//! Settings of authorization servers whose access tokens receivers may show. Not what is done with a token
//! (see `node::signals`).

use std::{collections::BTreeMap, path::PathBuf};

use serde_json::{Value as Json, json};
use sluice_rule::Diagnostic;
use sluice_signal::{jws::Algorithm, stream};

use super::{
    reader::{Notes, Reader, Section, Setting, section},
    signals::{Reference, Signals},
    value::Networks,
};
use crate::outbound;

section! {
    /// An authorization server of yours. Its access tokens are accepted from receivers that name it, for
    /// what their scopes allow: `ssf.read`, `ssf.manage`, `ssf.manage.create`, `.update`, `.delete`, `.poll`.
    TrustedIssuer {
        /// Its `iss`, byte for byte.
        issuer: String = "",
        /// What the `aud` of a token for us is: one of these.
        audience: Vec<String> = "[]",
        /// Where its key set is, `https://login.example.com/oauth2/v1/keys`; fetched once an hour, and when a
        /// token names another key, at most every 30 s. This, or a file.
        jwks_url: Option<String> = "",
        /// A file with its key set; read once an hour, and when a token names another key.
        jwks_file: Option<PathBuf> = "",
        /// Signatures that are accepted, of RS256, PS256 and ES256; unset: RS256.
        algorithms: Vec<String> = "[]",
        /// The claim that names the client: `client_id` (RFC 9068), `azp`, `cid`.
        client_claim: String = "client_id",
        /// Private, loopback or link-local networks where the key set may be. All others of these are
        /// refused; `http://` goes nowhere but there.
        networks: Networks = "[]",
    }
}

section! {
    /// External evaluation rules of Cloudflare Access ask here: the Evaluate URL is `/cloudflare/evaluate`, the
    /// Keys URL `/cloudflare/keys`. Not tested against the vendor.
    CloudflareAccess {
        /// The team, `https://example.cloudflareaccess.com`; its key set is below it.
        team: String = "",
        /// The RSA key that answers are signed with, `file:/path`; another than those of signals.
        /// `openssl genrsa -out access.pem 2048` makes one.
        key: Reference = "",
        /// The path whose rule of `signals.decisions` counts.
        resource: String = "/",
        /// Private, loopback or link-local networks where the key set may be. All others of these are refused.
        networks: Networks = "[]",
    }
}

impl TrustedIssuer {
    /// Signatures that are accepted.
    pub(crate) fn accepted(&self) -> Vec<Algorithm> {
        match &*self.algorithms {
            [] => vec![Algorithm::Rs256],
            words => words.iter().filter_map(|word| Algorithm::parse(word)).collect(),
        }
    }
}

impl Setting for BTreeMap<String, TrustedIssuer> {
    fn read(reader: &mut Reader<'_>, key: &'static str, _default: &'static str) -> Self {
        let mut issuers = reader.below(key);
        let names = issuers.keys();
        let mut read = BTreeMap::new();
        for name in names {
            read.insert(name.to_owned(), TrustedIssuer::section(&mut issuers.below(name)));
        }
        read
    }

    fn schema() -> Json {
        json!({
            "type": "object",
            "additionalProperties": super::reader::object_schema::<TrustedIssuer>(),
        })
    }
}

/// What these settings must be, beside each being well formed.
pub(super) fn check(signals: &Signals, notes: &mut Notes) {
    let mut blame = |path: String, problem: String, hint: &str| {
        notes.blame(&path, Diagnostic::error("C005", "", problem).hint(hint));
    };
    for (name, trusted) in &signals.trusted_issuers {
        let path = |key: &str| format!("signals.trusted_issuers.{name}.{key}");
        if trusted.issuer.is_empty() || trusted.issuer == signals.issuer {
            let hint = "issuer = \"https://login.example.com\", as the `iss` of its tokens";
            blame(path("issuer"), "it does not say who issues the tokens".into(), hint);
        }
        let same = signals
            .trusted_issuers
            .iter()
            .any(|(other, t)| other < name && t.issuer == trusted.issuer);
        if same {
            let problem = format!("`{}` is configured twice", trusted.issuer);
            blame(path("issuer"), problem, "one table for each issuer");
        }
        if trusted.audience.is_empty() {
            let hint = "audience = [\"https://sluice.example.com\"]: tokens for others are refused";
            blame(path("audience"), "it does not say which tokens are for us".into(), hint);
        }
        let one = trusted.jwks_url.is_some() != trusted.jwks_file.is_some();
        if !one {
            let problem = "its key set is at one place, and this names none or two".to_owned();
            blame(path("jwks_url"), problem, "`jwks_url` or `jwks_file`");
        }
        if let Some(url) = &trusted.jwks_url {
            let refused = match stream::host(url) {
                None => Some("this is no URL"),
                Some(host) => outbound::refusal(url, host, &trusted.networks.0),
            };
            if let Some(why) = refused {
                let hint = "`networks` names private networks that may be reached";
                blame(path("jwks_url"), format!("nothing is asked there: {why}"), hint);
            }
        }
        for word in trusted.algorithms.iter().filter(|word| Algorithm::parse(word).is_none()) {
            let problem = format!("`{word}` is no signature that is accepted");
            blame(path("algorithms"), problem, "RS256, PS256 or ES256");
        }
    }
    if let Some(access) = &signals.cloudflare_access {
        let path = |key: &str| format!("signals.cloudflare_access.{key}");
        let refused = match stream::host(&access.team) {
            None => Some("this is no URL"),
            Some(host) => outbound::refusal(&access.team, host, &access.networks.0),
        };
        if let Some(why) = refused {
            let hint = "\"https://example.cloudflareaccess.com\"";
            blame(path("team"), format!("no keys are asked for there: {why}"), hint);
        }
        if signals.signing_keys.contains(&access.key) || access.key.0.is_empty() {
            let problem = "the adapter has a key of its own, and this names none".to_owned();
            let hint = "openssl genrsa -out access.pem 2048, chmod 600, and key = \"file:/path/access.pem\"";
            blame(path("key"), problem, hint);
        }
        if !access.resource.starts_with('/') {
            let problem = format!("`{}` is no path", access.resource);
            blame(path("resource"), problem, "\"/admin\": it begins with a /");
        }
    }
    let mut clients = BTreeMap::new();
    for (name, receiver) in &signals.receivers {
        let path = |key: &str| format!("signals.receivers.{name}.{key}");
        let client = receiver.trusted_client.as_deref().unwrap_or(name);
        match &receiver.trusted_issuer {
            None if receiver.trusted_client.is_some() => {
                let problem = "it does not say whose client this is".to_owned();
                blame(path("trusted_client"), problem, "`trusted_issuer`, or remove it");
            }
            None => {}
            Some(issuer) if !signals.trusted_issuers.contains_key(issuer) => {
                let problem = format!("there is no trusted issuer `{issuer}`");
                let known: Vec<&str> = signals.trusted_issuers.keys().map(String::as_str).collect();
                let hint = match &*known {
                    [] => format!("a table [signals.trusted_issuers.{issuer}]"),
                    known => format!("one of {}", known.join(", ")),
                };
                blame(path("trusted_issuer"), problem, &hint);
            }
            Some(issuer) => {
                if let Some(other) = clients.insert((issuer.clone(), client.to_owned()), name) {
                    let problem =
                        format!("the client `{client}` is the receiver `{other}` already");
                    blame(path("trusted_client"), problem, "a client of its own for each receiver");
                }
            }
        }
    }
}
