//! Receivers of SETs that we did not write: `easyssf-receiver` on axum gets them pushed on a stream that it makes
//! itself, `saml2-sp` polls them. Both verify signature, issuer and audience.

use std::sync::{Arc, Mutex};

use easyssf_receiver::{
    SsfReceiver,
    config::SsfReceiverConfig,
    event::{SsfEventContext, for_event},
};
use easyssf_receiver_axum::push_router_for;
use saml2_sp::{ReceiverOptions, SignalEvent, SignalsReceiver};
use serde_json::{Map, Value};
use tokio::runtime::Runtime;

use crate::{Outcome, node::SECRET, wait};

/// What a receiver heard.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    pub jti: String,
    pub txn: Option<String>,
    pub current: String,
    pub previous: String,
    pub subject: String,
}

/// All that a receiver heard, in order.
#[derive(Clone, Default)]
pub struct Ears(Arc<Mutex<Vec<Heard>>>);

const RISK: &str = "https://schemas.openid.net/secevent/caep/event-type/risk-level-change";

impl Ears {
    pub fn heard(&self) -> Vec<Heard> {
        self.0.lock().map(|heard| heard.clone()).unwrap_or_default()
    }

    /// Waits until the last SET is this change.
    pub fn hear(&self, what: &str, previous: &str, current: &str) -> Outcome<Heard> {
        let is = |h: &Heard| h.current == current && h.previous == previous;
        wait(what, || Ok(self.heard().last().is_some_and(is)))?;
        Ok(self.heard().pop().ok_or("nothing was heard")?)
    }

    fn add(&self, jti: String, txn: Option<String>, event: &Map<String, Value>, subject: &str) {
        let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
        let (current, previous) = (text("current_level").to_owned(), text("previous_level").into());
        let heard = Heard { jti, txn, current, previous, subject: subject.to_owned() };
        if let Ok(mut all) = self.0.lock() {
            all.push(heard);
        }
    }
}

/// `easyssf-receiver` on axum: finds the metadata, makes its push stream, verifies what comes.
pub fn start_push(runtime: &Runtime, issuer: &str, port: u16, ears: &Ears) -> Outcome<()> {
    let config: SsfReceiverConfig = toml::from_str(&format!(
        r#"
        transmitter-issuer = "{issuer}"
        allow-insecure-http = true
        expected-audience = "easyssf"
        [oauth2]
        token-uri = "{issuer}/ssf/token"
        client-id = "easyssf"
        client-secret = "{SECRET}"
        scopes = ["ssf.read", "ssf.manage"]
        [stream]
        management = "receiver"
        events-requested = ["{RISK}"]
        [push]
        delivery-endpoint-url = "http://127.0.0.1:{port}/ssf/push"
        expected-auth-header = "Bearer of-the-receiver"
        "#
    ))?;
    let ears = ears.clone();
    let receiver = SsfReceiver::builder(config)
        .handler(for_event(RISK, move |context: SsfEventContext| {
            let ears = ears.clone();
            async move {
                let event = context.event_for(RISK).cloned().unwrap_or_default();
                let token = context.event_token();
                let claims = token.claims();
                let text = |name: &str| claims.get(name).and_then(Value::as_str).map(str::to_owned);
                let subject = claims.get("sub_id").and_then(|s| s["email"].as_str());
                let jti = text("jti").unwrap_or_default();
                ears.add(jti, text("txn"), &event, subject.unwrap_or_default());
                Ok(())
            }
        }))
        .build()?;
    runtime.spawn(async move {
        let app = push_router_for(&receiver);
        receiver.start();
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
        axum::serve(listener, app).await?;
        // Lives as long as the server.
        drop(receiver);
        Ok::<(), std::io::Error>(())
    });
    Ok(())
}

/// `saml2-sp`: finds the metadata by appending the well-known path, makes a poll stream, polls.
pub fn start_poll(issuer: &str, access: &str, ears: &Ears) -> Outcome<SignalsReceiver> {
    let authorization = format!("Bearer {access}");
    let options = ReceiverOptions {
        transmitter: issuer.to_owned(),
        on_end_sessions: Some(Arc::new(|_, _| Ok(()))),
        headers: Some(Arc::new(move || vec![("authorization".to_owned(), authorization.clone())])),
        events_requested: Some(vec![RISK.to_owned()]),
        poll_interval_ms: 500,
        ..ReceiverOptions::default()
    };
    let receiver = SignalsReceiver::new(options).map_err(|e| e.to_string())?;
    let ears = ears.clone();
    receiver.on(RISK, move |event: &SignalEvent| {
        let subject = event.subject.get("email").map_or("", String::as_str);
        ears.add(event.jti.clone(), event.txn.clone(), &event.payload, subject);
        Ok(())
    });
    receiver.start().map_err(|e| e.to_string())?;
    Ok(receiver)
}
