//! `sluice quarantine`: who is kept apart on a running server, one that begins, one that is released. Not what a
//! quarantine does (see `sluice_signal::quarantine`).

use clap::{Args, Subcommand};
use serde_json::{Value as Json, json};

use super::{
    Format,
    client::{Client, ServerArgs},
    exit::{Exit, Failure},
    output::Output,
};

/// Quarantine of devices and accounts on a running server.
#[derive(Debug, Subcommand)]
pub(crate) enum QuarantineVerb {
    /// List devices and accounts in quarantine
    List(List),
    /// Keep a device or an account apart for a time
    Set(Set),
    /// Release a device or an account
    Release(Release),
}

/// Exit code 0 if the server answers, 3 if none does.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only in this state: suspected, quarantined or released; default: those that go on.
    #[arg(long)]
    state: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
}

/// Exit code 0 if it is quarantined from now on. Gateways deny everything about it, and receivers hear of it.
///
///   sluice quarantine set device lap-7 --reason "ransomware on the file share" --for 8h
///   sluice quarantine set user ann@example.com --reason "to be looked at" --for 2h --suspect
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Set {
    /// `user` or `device`.
    kind: String,
    /// Its canonical name.
    id: String,
    /// Why: receivers show it to their people.
    #[arg(long)]
    reason: String,
    /// How long, at most 90d.
    #[arg(long = "for", value_name = "DURATION")]
    length: String,
    /// Only count its accesses: nothing is denied.
    #[arg(long)]
    suspect: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// Exit code 0 if it was in quarantine. Prints what is known of its accesses.
///
///   sluice quarantine release device lap-7 --reason reinstalled
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Release {
    /// `user` or `device`.
    kind: String,
    /// Its canonical name.
    id: String,
    /// Why.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    server: ServerArgs,
}

impl QuarantineVerb {
    pub(crate) fn run(self, out: &mut Output) -> Result<Exit, Failure> {
        match self {
            QuarantineVerb::List(verb) => verb.run(out),
            QuarantineVerb::Set(verb) => verb.run(out),
            QuarantineVerb::Release(verb) => verb.run(out),
        }
    }
}

impl List {
    fn run(self, out: &mut Output) -> Result<Exit, Failure> {
        let query: Vec<_> = self.state.map(|state| ("state", state)).into_iter().collect();
        let answer = Client::new(&self.server)?.get("/quarantines", &query)?;
        let items = answer["items"].as_array().cloned().unwrap_or_default();
        match out.format() {
            Format::Json => out.json(&answer)?,
            Format::Ndjson => items.iter().try_for_each(|item| out.json_line(item))?,
            Format::Table | Format::Md => {
                let columns = ["state", "reason", "by", "since", "until", "denied"];
                let text = |value: &Json| match value {
                    Json::String(text) => text.clone(),
                    Json::Null => String::new(),
                    other => other.to_string(),
                };
                let row = |item: &Json| {
                    let of = columns.iter().map(|column| text(&item["quarantine"][column]));
                    std::iter::once(text(&item["entity"])).chain(of).collect::<Vec<_>>()
                };
                let rows: Vec<_> = items.iter().map(row).collect();
                let header: Vec<String> = std::iter::once("entity")
                    .chain(columns)
                    .map(|column| column.to_uppercase())
                    .collect();
                out.table(&header.iter().map(String::as_str).collect::<Vec<_>>(), &rows)?;
            }
        }
        Ok(Exit::Done)
    }
}

impl Set {
    fn run(self, out: &mut Output) -> Result<Exit, Failure> {
        let state = if self.suspect { "suspected" } else { "quarantined" };
        let body = json!({"reason": self.reason, "expires_in": self.length, "state": state});
        let path = ["risk", &self.kind, &self.id, "quarantine"];
        out.json_line(&Client::new(&self.server)?.put(&path, &body)?)?;
        Ok(Exit::Done)
    }
}

impl Release {
    fn run(self, out: &mut Output) -> Result<Exit, Failure> {
        let path = ["risk", &self.kind, &self.id, "quarantine"];
        let query = [("reason", self.reason)];
        out.json_line(&Client::new(&self.server)?.delete(&path, &query)?)?;
        Ok(Exit::Done)
    }
}
