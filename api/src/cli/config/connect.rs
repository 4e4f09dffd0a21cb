//! `config check --connect`: what only the world outside can tell. Commits no offsets, keeps
//! nothing.

mod samples;

use std::{net::TcpListener, path::Path};

use serde_json::{Value as Json, json};
use sluice_engine::Content;
use sluice_ingest::kafka;
use sluice_rule::Diagnostic;

use crate::{
    config::{Kafka, Loaded},
    exit::Failure,
    node::{self, inputs},
};
use samples::Samples;

/// Adds what is wrong outside to the problems. The answer is what sample records become.
pub(super) fn check(loaded: &mut Loaded, content: Option<&Content>, quiet: bool) -> Vec<Json> {
    let listen = loaded.config.api.listen;
    if let Err(error) = TcpListener::bind(listen) {
        let problem = Diagnostic::error(
            "C010",
            "api.listen",
            format!("cannot listen on {listen}: {error}"),
        )
        .hint("stop the other process (a running `sluice run` has it too), or choose another port");
        loaded.blame("api.listen", problem);
    }
    data_dir(loaded);
    let mut samples = Vec::new();
    let sources = loaded.config.sources.clone();
    for (name, source) in &sources {
        if let Some(kafka) = &source.kafka {
            kafka_input(loaded, name, &source.mapping, kafka, content, &mut samples, quiet);
        }
    }
    samples
}

/// Whether the data directory can be made and has room.
fn data_dir(loaded: &mut Loaded) {
    let dir = loaded.config.data_dir.clone();
    if let Err(Failure::Argument { primary, hint }) = node::make_data_dir(&dir) {
        let problem = Diagnostic::error("C010", "data_dir", primary).hint(hint.unwrap_or_default());
        loaded.blame("data_dir", problem);
        return;
    }
    let needed = loaded.config.engine.min_free.0;
    if let Some(free) = free_bytes(&dir).filter(|free| *free < needed) {
        let (free, needed) = (free >> 20, needed >> 20);
        let problem = Diagnostic::error(
            "C010",
            "data_dir",
            format!("{free} MiB are free, below {needed} MiB"),
        )
        .hint("inputs would pause at once: free some space, or lower `engine.min_free`");
        loaded.blame("data_dir", problem);
    }
}

/// Bytes free where a directory is.
fn free_bytes(dir: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(dir).ok()?;
    found.f_bavail.checked_mul(found.f_frsize)
}

/// Brokers, credentials and topics of one input, and what its records become.
fn kafka_input(
    loaded: &mut Loaded,
    name: &str,
    mapping: &str,
    settings: &Kafka,
    content: Option<&Content>,
    samples: &mut Vec<Json>,
    quiet: bool,
) {
    // A secret that cannot be resolved has its own problem.
    let Ok(settings) = inputs::kafka_settings(name, settings) else { return };
    let checked = kafka::check(name, &settings);
    for failure in checked.problems {
        let mut problem = Diagnostic::error("C010", "", failure.primary);
        problem.detail = failure.detail;
        problem.hint = failure.hint;
        loaded.blame(&format!("sources.{name}.kafka.brokers"), problem);
    }
    for topic in checked.topics {
        let (taken, records, partitions) = (topic.samples.len(), topic.records, topic.partitions);
        let Some(content) = content else { continue };
        let found = Samples::of(content, inputs::fixed(mapping), topic.samples);
        if !quiet {
            let aside = found.set_aside.len();
            let sources: Vec<String> =
                found.sources.iter().map(|(source, count)| format!("{count} {source}")).collect();
            eprintln!(
                "{name}: topic {}: {partitions} partitions, {records} records; {taken} looked at \
                 ({}): {} rows, {aside} set aside",
                topic.topic,
                sources.join(", "),
                found.rows.len(),
            );
        }
        let about =
            |kind: &str, value: Json| json!({"input": name, "topic": topic.topic, kind: value});
        samples.extend(found.rows.into_iter().map(|row| about("row", row)));
        let letters = found.set_aside.into_iter();
        samples.extend(letters.map(|(code, message)| {
            about("set_aside", json!({"code": code.name(), "message": message}))
        }));
    }
}
