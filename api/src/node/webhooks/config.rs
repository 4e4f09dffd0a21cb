//! An endpoint from its settings, secrets followed.

use sluice_signal::{
    stream,
    webhook::{Target, WebhookSecret},
};

use crate::{
    config::{Reference, Secret, Webhook},
    exit::Failure,
    network::Network,
    outbound,
};

/// Where messages of a target go, and with what.
pub(super) struct Endpoint {
    pub(super) target: Target,
    /// It may be a secret.
    pub(super) url: Secret,
    /// Scheme and host of it, which may be shown.
    pub(super) shown: String,
    pub(super) secrets: Vec<WebhookSecret>,
    pub(super) authorization: Option<Secret>,
    pub(super) routing_key: Option<Secret>,
    pub(super) networks: Vec<Network>,
}

impl Endpoint {
    /// The endpoint of a webhook.
    ///
    /// # Errors
    /// If a secret cannot be followed or is none, or the URL is none that may be posted to.
    pub(super) fn new(name: &str, webhook: &Webhook) -> Result<Endpoint, Failure> {
        let path = |key: &str| format!("webhooks.{name}.{key}");
        let follow = |key: &str, reference: &Reference| {
            let secret = reference.resolve();
            secret
                .map_err(|(what, hint)| Failure::argument(format!("`{}`: {what}", path(key)), hint))
        };
        let url = follow("url", &Reference(webhook.url.clone()))?;
        let networks = webhook.networks.0.clone();
        let host = stream::host(url.reveal());
        let refused = match host {
            Some(host) => outbound::refusal(url.reveal(), host, &networks),
            None => Some("it is no http or https URL"),
        };
        // The URL may be a secret: it is not in the message.
        if let Some(why) = refused {
            let text = format!("`{}`: nothing is posted there: {why}", path("url"));
            let hint = "`networks` names private networks that it may post to";
            return Err(Failure::argument(text, hint));
        }
        let scheme = if url.reveal().starts_with("https://") { "https" } else { "http" };
        let shown = format!("{scheme}://{}", host.unwrap_or_default());
        let mut secrets = Vec::new();
        for reference in &webhook.secrets {
            let secret = follow("secrets", reference)?;
            secrets.push(WebhookSecret::parse(secret.reveal()).map_err(|error| {
                let hint = "echo whsec_$(openssl rand -base64 32) makes one";
                Failure::argument(format!("`{}`: {error}", path("secrets")), hint)
            })?);
        }
        let template = webhook.form().ok_or_else(|| {
            Failure::argument(format!("`{}` is none", path("template")), "template = \"standard\"")
        })?;
        let optional = |key: &str, reference: &Option<Reference>| {
            reference.as_ref().map(|reference| follow(key, reference)).transpose()
        };
        Ok(Endpoint {
            target: Target {
                name: name.to_owned(),
                kinds: webhook.kinds(),
                min_urgency: webhook.urgency(),
                template,
                pages: webhook.pages.clone(),
                per_minute: webhook.rate.0.get(),
                queue_most: webhook.queue.0.get(),
            },
            url,
            shown,
            secrets,
            authorization: optional("authorization", &webhook.authorization)?,
            routing_key: optional("routing_key", &webhook.routing_key)?,
            networks,
        })
    }
}
