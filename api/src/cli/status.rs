//! `sluice status`: what a running service is doing, in the words of its own API.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Map, Value as Json, json};

use super::{
    Format,
    client::{Client, ServerArgs},
    exit::{Exit, Failure},
    output::Output,
};
use crate::node::open_store;

/// Exit code 0 if a server answers, 3 if none does.
///
///   SLUICE_TOKEN=.. sluice status
///   sluice status --url https://sluice.example --output json | jq .checkpoint
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Status {
    #[command(flatten)]
    server: ServerArgs,
    /// Look into the store itself; only while no server runs on it.
    #[arg(long, value_name = "DIR", conflicts_with = "url")]
    data_dir: Option<PathBuf>,
}

impl Status {
    pub(crate) fn run(self, out: &mut Output) -> Result<Exit, Failure> {
        let (server, status) = match &self.data_dir {
            Some(dir) => ("none runs".to_owned(), of_store(dir)?),
            None => {
                let client = Client::new(&self.server)?;
                (client.url().to_owned(), client.get("/status", &[])?)
            }
        };
        match out.format() {
            Format::Json => out.json(&status)?,
            Format::Ndjson => out.json_line(&status)?,
            Format::Table | Format::Md => {
                let mut rows = vec![vec!["server".to_owned(), server]];
                flatten("", &status, &mut rows);
                out.table(&["WHAT", "VALUE"], &rows)?;
            }
        }
        Ok(Exit::Done)
    }
}

/// What a store holds, and where its inputs would go on.
fn of_store(dir: &Path) -> Result<Json, Failure> {
    let store = open_store(dir)?;
    let stats = store.stats();
    let letters: Vec<Json> = stats
        .dead_letters
        .iter()
        .map(|((source, code), (count, bytes))| {
            let name = format!("{source} {code}");
            json!({"name": name, "source": source, "code": code.name(), "count": count, "bytes": bytes})
        })
        .collect();
    let positions = store.checkpoint()?.map(|c| c.positions).unwrap_or_default();
    let positions: Map<String, Json> =
        positions.iter().map(|(place, next)| (place.to_string(), (*next).into())).collect();
    Ok(json!({
        "phase": "stopped", "seq": store.last().0, "findings": stats.findings,
        "finding_bytes": stats.finding_bytes, "disk_bytes": stats.disk_bytes,
        "dead_letters": letters, "positions": positions,
    }))
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
