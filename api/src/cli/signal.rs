//! `sluice signal`: streams of a running server, an event sent by hand, a SET looked into. Not what is
//! sent when (see `sluice_signal`).

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Map, Value as Json, json};
use sluice_signal::{
    EventType, SubjectId,
    verify::{Expected, decode, verify},
};

use super::{
    Format,
    client::{Client, ServerArgs},
    exit::{Exit, Failure},
    output::Output,
};
use crate::clock;

/// Signals: changes of risk to identity providers and gateways.
#[derive(Debug, Subcommand)]
pub(crate) enum SignalVerb {
    /// List the streams of a running server and how they do
    Streams(Streams),
    /// Send an event by hand, or a test of a type
    Send(Send),
    /// Check a SET: signature, claims, and what its event type needs
    Verify(Verify),
}

/// Exit code 0 if the server answers, 3 if none does.
#[derive(Debug, Args)]
pub(crate) struct Streams {
    #[command(flatten)]
    server: ServerArgs,
}

/// Exit code 0 if the SET waits for delivery (or, with --dry-run, is well formed).
///
///   sluice signal send STREAM session-revoked --subject '{"format":"email","email":"ann@example.com"}'
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Send {
    /// The stream, as `sluice signal streams` lists it.
    stream: String,
    /// The event type, `session-revoked`.
    event_type: String,
    /// The subject identifier as JSON (RFC 9493).
    #[arg(long, value_name = "JSON")]
    subject: String,
    /// The event as JSON; without it a test event is sent, marked so.
    #[arg(long, value_name = "JSON")]
    event: Option<String>,
    /// Only check it and show what would be sent; no server is asked.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// Exit code 0 if the SET is good, 1 if not.
///
///   curl -s https://sluice.example.com/ssf/jwks.json > jwks.json
///   sluice signal verify set.jwt --jwks jwks.json --issuer https://sluice.example.com
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Verify {
    /// A file with the compact JWS.
    file: PathBuf,
    /// A file with the issuer's key set.
    #[arg(long, value_name = "FILE")]
    jwks: PathBuf,
    /// The issuer that is expected; without it any.
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// The audience that is expected; without it any.
    #[arg(long)]
    audience: Option<String>,
}

impl SignalVerb {
    pub(crate) fn run(self, out: &mut Output) -> Result<Exit, Failure> {
        match self {
            SignalVerb::Streams(verb) => verb.run(out),
            SignalVerb::Send(verb) => verb.run(out),
            SignalVerb::Verify(verb) => verb.run(out),
        }
    }
}

impl Streams {
    fn run(self, out: &mut Output) -> Result<Exit, Failure> {
        let answer = Client::new(&self.server)?.get("/signals", &[])?;
        let streams = answer["streams"].as_array().cloned().unwrap_or_default();
        match out.format() {
            Format::Json => out.json(&answer)?,
            Format::Ndjson => streams.iter().try_for_each(|stream| out.json_line(stream))?,
            Format::Table | Format::Md => {
                let text = |stream: &Json, name: &str| match &stream[name] {
                    Json::String(text) => text.clone(),
                    Json::Null => String::new(),
                    other => other.to_string(),
                };
                let columns =
                    ["id", "receiver", "delivery", "status", "queued", "dead_letters", "error"];
                let row = |s: &Json| columns.iter().map(|c| text(s, c)).collect::<Vec<_>>();
                let rows: Vec<_> = streams.iter().map(row).collect();
                let header = columns.map(|c| c.to_uppercase().replace('_', " "));
                out.table(&header.each_ref().map(String::as_str), &rows)?;
            }
        }
        Ok(Exit::Done)
    }
}

impl Send {
    fn run(self, out: &mut Output) -> Result<Exit, Failure> {
        let event_type = EventType::parse(&self.event_type)
            .filter(|t| !t.is_about_stream())
            .ok_or_else(|| {
                let names: Vec<&str> = EventType::offered().map(EventType::name).collect();
                let primary = format!("there is no event type `{}`", self.event_type);
                Failure::argument(primary, format!("one of {}", names.join(", ")))
            })?;
        let subject = object("--subject", &self.subject)?;
        SubjectId::parse(&Json::Object(subject.clone()))
            .map_err(|e| Failure::argument(e.to_string(), EXAMPLE))?;
        let event = self.event.as_deref().map(|text| object("--event", text)).transpose()?;
        let shown = event.clone().unwrap_or_else(|| event_type.sample(clock::now()));
        event_type.check(&shown).map_err(|what| {
            Failure::argument(
                format!("{}: {what}", event_type.name()),
                "--event with what it needs",
            )
        })?;
        if self.dry_run {
            let uri = event_type.uri();
            out.json(&json!({"sub_id": subject, "events": {uri: shown}}))?;
            return Ok(Exit::Done);
        }
        let mut body = json!({"event_type": event_type.name(), "subject": subject});
        if let (Some(event), Some(body)) = (event, body.as_object_mut()) {
            body.insert("event".into(), Json::Object(event));
        }
        let path = format!("/signals/{}/events", self.stream);
        let answer = Client::new(&self.server)?.post(&path, &body)?;
        out.json_line(&answer)?;
        Ok(Exit::Done)
    }
}

impl Verify {
    fn run(self, out: &mut Output) -> Result<Exit, Failure> {
        let token = text(&self.file)?;
        let jwks: Json = serde_json::from_str(&text(&self.jwks)?).map_err(|e| {
            let primary = format!("{} is no key set: {e}", self.jwks.display());
            Failure::argument(primary, "the JSON behind the issuer's `jwks_uri`")
        })?;
        let expected = Expected {
            jwks: &jwks,
            issuer: self.issuer.as_deref(),
            audience: self.audience.as_deref(),
            now: clock::now(),
        };
        let outcome = verify(&token, &expected);
        let decoded = decode(&token).ok();
        let error = outcome.as_ref().err();
        out.json(&json!({
            "valid": error.is_none(),
            "err": error.map(|e| e.code()),
            "description": error.map(ToString::to_string),
            "header": decoded.as_ref().map(|(header, _)| header),
            "claims": decoded.as_ref().map(|(_, claims)| claims),
        }))?;
        Ok(if error.is_none() { Exit::Done } else { Exit::CheckFailed })
    }
}

const EXAMPLE: &str = "{\"format\":\"email\",\"email\":\"ann@example.com\"}";

fn object(argument: &str, text: &str) -> Result<Map<String, Json>, Failure> {
    serde_json::from_str(text)
        .map_err(|e| Failure::argument(format!("{argument} is no JSON object: {e}"), EXAMPLE))
}

fn text(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|e| {
        Failure::argument(
            format!("cannot read {}: {e}", path.display()),
            "name a file that is there",
        )
    })
}
