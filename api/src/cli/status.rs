//! `sluice status`: what a running service is doing, in the words of its own API.

use clap::Args;
use serde_json::Value as Json;

use super::{
    Format,
    client::{Client, ServerArgs},
    exit::{Exit, Failure},
    output::Output,
};

/// Exit code 0 if a server answers, 3 if none does.
///
///   SLUICE_TOKEN=.. sluice status
///   sluice status --url https://sluice.example --output json | jq .checkpoint
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Status {
    #[command(flatten)]
    server: ServerArgs,
}

impl Status {
    pub(crate) fn run(self, out: &mut Output) -> Result<Exit, Failure> {
        let client = Client::new(&self.server)?;
        let status = client.get("/status", &[])?;
        match out.format() {
            Format::Json => out.json(&status)?,
            Format::Ndjson => out.json_line(&status)?,
            Format::Table | Format::Md => {
                let mut rows = vec![vec!["server".to_owned(), client.url().to_owned()]];
                flatten("", &status, &mut rows);
                out.table(&["WHAT", "VALUE"], &rows)?;
            }
        }
        Ok(Exit::Done)
    }
}

/// Every scalar with its path: whatever the server adds is shown too.
fn flatten(path: &str, value: &Json, rows: &mut Vec<Vec<String>>) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match value {
        Json::Object(object) => object.iter().for_each(|(k, v)| flatten(&below(k), v, rows)),
        Json::Array(list) => list.iter().enumerate().for_each(|(i, item)| {
            // An item with a name is called by it.
            let name = ["name", "id"].iter().find_map(|key| item[*key].as_str());
            flatten(&below(name.unwrap_or(&i.to_string())), item, rows);
        }),
        Json::Null => {}
        Json::String(text) => rows.push(vec![path.to_owned(), text.clone()]),
        other => rows.push(vec![path.to_owned(), other.to_string()]),
    }
}
