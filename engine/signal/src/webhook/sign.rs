//! Signatures of webhooks (Standard Webhooks 1.0, section "signature scheme"): HMAC-SHA256 over
//! `id.timestamp.body`. Not where secrets are kept.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::hmac;

/// A secret shared with a target. Nothing shows it.
#[derive(Clone)]
pub struct WebhookSecret(hmac::Key);

/// Why a text is no secret. Nothing of the text is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a webhook secret is whsec_ and 24 to 64 bytes as base64")]
pub struct SecretError;

impl WebhookSecret {
    /// The secret of `whsec_<base64>`, 24 to 64 bytes.
    ///
    /// # Errors
    /// If the text has another form.
    pub fn parse(text: &str) -> Result<WebhookSecret, SecretError> {
        let encoded = text.trim().strip_prefix("whsec_").ok_or(SecretError)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| SecretError)?;
        match bytes.len() {
            24..=64 => Ok(WebhookSecret(hmac::Key::new(hmac::HMAC_SHA256, &bytes))),
            _ => Err(SecretError),
        }
    }

    /// One entry of the `webhook-signature` header: `v1,<base64>`. `timestamp` is seconds since 1970, of
    /// this attempt.
    ///
    /// ```
    /// use sluice_signal::webhook::WebhookSecret;
    ///
    /// // The example of the specification, Standard Webhooks.
    /// let secret = WebhookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    /// assert_eq!(
    ///     secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, "{\"test\": 2432232314}"),
    ///     "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    /// );
    /// ```
    pub fn sign(&self, id: &str, timestamp: i64, body: &str) -> String {
        let tag = hmac::sign(&self.0, format!("{id}.{timestamp}.{body}").as_bytes());
        format!("v1,{}", STANDARD.encode(tag))
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(..)")
    }
}
