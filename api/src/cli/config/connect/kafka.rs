//! What only the brokers can tell of the inputs over Kafka, and what sample records of their topics
//! become. Commits no offsets, keeps nothing.

use serde_json::{Value as Json, json};
use sluice_engine::Content;
use sluice_rule::Diagnostic;

use super::samples::Samples;
use crate::{
    config::{Kafka, Loaded},
    node::inputs,
};

/// Adds what is wrong at the brokers to the problems. The answer is what sample records become.
pub(super) fn check(loaded: &mut Loaded, content: Option<&Content>, quiet: bool) -> Vec<Json> {
    let mut samples = Vec::new();
    let sources = loaded.config.sources.clone();
    for (name, source) in &sources {
        if let Some(kafka) = &source.kafka {
            input(loaded, name, &source.mapping, kafka, content, &mut samples, quiet);
        }
    }
    samples
}

/// Brokers, credentials and topics of one input, and what its records become.
fn input(
    loaded: &mut Loaded,
    name: &str,
    mapping: &str,
    settings: &Kafka,
    content: Option<&Content>,
    samples: &mut Vec<Json>,
    quiet: bool,
) {
    // A secret that cannot be resolved has its own problem.
    let Ok(settings) = inputs::kafka::settings(name, settings) else { return };
    let checked = sluice_ingest::kafka::check(name, &settings);
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
