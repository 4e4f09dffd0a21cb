//! `sluice webhook`: how the endpoints of a running server do, a test to one, its dead letters again, and one that
//! is posted to again. Not what is sent to whom (see `sluice_signal::webhook`).

use clap::{Args, Subcommand};
use serde_json::{Value as Json, json};

use super::{
    Format,
    client::{Client, ServerArgs},
    exit::{Exit, Failure},
    output::Output,
};

/// Webhooks: findings, incidents and risk, posted to other endpoints.
#[derive(Debug, Subcommand)]
pub(crate) enum WebhookVerb {
    /// List the webhooks of a running server and how they do
    List(List),
    /// Send a test message to one
    Test(Named),
    /// Post again to one that was gone or failed, at once
    Enable(Named),
    /// List the dead letters of one
    DeadLetters(Named),
    /// Send dead letters of one again
    Replay(Replay),
}

/// Exit code 0 if the server answers, 3 if none does.
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    server: ServerArgs,
}

/// Exit code 0 if there is such a webhook.
#[derive(Debug, Args)]
pub(crate) struct Named {
    /// Its name, as `sluice webhook list` lists it.
    webhook: String,
    #[command(flatten)]
    server: ServerArgs,
}

/// Exit code 0 if what was asked for waits for delivery. The ids stay: an endpoint that took one knows it.
///
///   sluice webhook replay soc              # all
///   sluice webhook replay soc msg_5f2c9a0b7d1e4c385f2c9a0b7d1e4c38
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Replay {
    /// The webhook.
    webhook: String,
    /// One message; without it all dead letters.
    id: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
}

impl WebhookVerb {
    pub(crate) fn run(self, out: &mut Output) -> Result<Exit, Failure> {
        match self {
            WebhookVerb::List(verb) => {
                let answer = Client::new(&verb.server)?.get("/webhooks", &[])?;
                let columns = ["name", "template", "endpoint", "queued", "dead_letters", "error"];
                shown(out, &answer, "items", &columns)
            }
            WebhookVerb::Test(verb) => verb.post(out, "test"),
            WebhookVerb::Enable(verb) => verb.post(out, "enable"),
            WebhookVerb::DeadLetters(verb) => {
                let path = format!("/webhooks/{}", verb.webhook);
                let answer = Client::new(&verb.server)?.get(&path, &[])?;
                let columns = ["id", "kind", "subject", "at", "attempts", "error"];
                shown(out, &answer, "dead_letters", &columns)
            }
            WebhookVerb::Replay(verb) => {
                let path = format!("/webhooks/{}/replay", verb.webhook);
                let body = verb.id.map_or_else(|| json!({}), |id| json!({"id": id}));
                out.json_line(&Client::new(&verb.server)?.post(&path, &body)?)?;
                Ok(Exit::Done)
            }
        }
    }
}

impl Named {
    fn post(self, out: &mut Output, what: &str) -> Result<Exit, Failure> {
        let path = format!("/webhooks/{}/{what}", self.webhook);
        out.json_line(&Client::new(&self.server)?.post(&path, &json!({}))?)?;
        Ok(Exit::Done)
    }
}

/// A list of an answer: whole as JSON, else the columns.
fn shown(out: &mut Output, answer: &Json, list: &str, columns: &[&str]) -> Result<Exit, Failure> {
    let items = answer[list].as_array().cloned().unwrap_or_default();
    match out.format() {
        Format::Json => out.json(answer)?,
        Format::Ndjson => items.iter().try_for_each(|item| out.json_line(item))?,
        Format::Table | Format::Md => {
            let text = |item: &Json, name: &str| match &item[name] {
                Json::String(text) => text.clone(),
                Json::Null => String::new(),
                other => other.to_string(),
            };
            let row = |item: &Json| columns.iter().map(|c| text(item, c)).collect::<Vec<_>>();
            let rows: Vec<_> = items.iter().map(row).collect();
            let header: Vec<String> =
                columns.iter().map(|c| c.to_uppercase().replace('_', " ")).collect();
            out.table(&header.iter().map(String::as_str).collect::<Vec<_>>(), &rows)?;
        }
    }
    Ok(Exit::Done)
}
