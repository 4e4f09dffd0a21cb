//! `config check --connect`: what only the world outside can tell. Commits no offsets, keeps
//! nothing.

use std::{net::TcpListener, path::Path};

use sluice_engine::Content;
use sluice_event::PartitionId;
use sluice_ingest::{DeadLetterCode, Mapper, Message, Router};
use sluice_rule::Diagnostic;

use crate::{
    cli::{
        exit::Failure,
        output::{Output, printable},
        run::compose,
    },
    config::{Kafka, Loaded},
};

/// Adds what is wrong outside to the problems, and prints the rows that sample records become.
pub(super) fn check(
    loaded: &mut Loaded,
    content: Option<&Content>,
    out: &mut Output,
) -> Result<(), Failure> {
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
    let kafka: Vec<(String, String, Kafka)> = loaded
        .config
        .sources
        .iter()
        .filter_map(|(name, s)| Some((name.clone(), s.mapping.clone(), s.kafka.clone()?)))
        .collect();
    for (name, mapping, kafka) in kafka {
        kafka_input(loaded, &name, &mapping, &kafka, content, out)?;
    }
    Ok(())
}

/// Whether the data directory can be made and has room.
fn data_dir(loaded: &mut Loaded) {
    let dir = loaded.config.data_dir.clone();
    if let Err(Failure::Argument { primary, hint }) = crate::cli::run::make_data_dir(&dir) {
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
    kafka: &Kafka,
    content: Option<&Content>,
    out: &mut Output,
) -> Result<(), Failure> {
    let path = format!("sources.{name}.kafka.brokers");
    let settings = match compose::kafka_settings(name, kafka) {
        Ok(settings) => settings,
        // A reference that leads nowhere was found already.
        Err(Failure::Argument { .. }) => return Ok(()),
        Err(other) => return Err(other),
    };
    let checked = sluice_ingest::kafka::check(name, &settings);
    for failure in checked.problems {
        let mut problem = Diagnostic::error("C011", &path, failure.primary);
        if let Some(detail) = failure.detail {
            problem = problem.detail(detail);
        }
        loaded.blame(&path, problem.hint(failure.hint.unwrap_or_default()));
    }
    for topic in checked.topics {
        if !out.quiet() {
            eprintln!(
                "input {name}: topic {} has {} partitions and {} records",
                topic.topic, topic.partitions, topic.records
            );
        }
        let Some(content) = content else { continue };
        rows(content, mapping, topic.samples, out)?;
    }
    Ok(())
}

/// The rows that records become, as `mapping run` prints them.
fn rows(
    content: &Content,
    mapping: &str,
    samples: Vec<Message>,
    out: &mut Output,
) -> Result<(), Failure> {
    let fixed = (mapping != "auto").then_some(mapping);
    // An unknown mapping was found already.
    let Ok(mut router) = Router::new(content.sources.clone(), fixed) else { return Ok(()) };
    for (source, chunk) in router.chunks(samples) {
        let fault = |code: DeadLetterCode, text: &str| eprintln!("set aside: {code}: {text}");
        let Some(spec) = content.sources.iter().find(|s| s.source == source) else {
            chunk.faults.iter().for_each(|f| fault(f.code, &f.message));
            continue;
        };
        let (partition, time) = (PartitionId(0), spec.time_settings);
        let mut mapper = Mapper::new(spec.clone(), "default", partition, time, false, i64::MIN);
        let processed = mapper.process(&chunk);
        processed.dead_letters.iter().for_each(|l| fault(l.code, &printable(&l.message)));
        for batch in &processed.batches {
            for row in 0..batch.len() {
                let mut object = serde_json::Map::new();
                object.insert("table".to_owned(), batch.table.as_str().into());
                object.extend(sluice_engine::json::row(&batch.columns, row));
                out.json_line(&object.into())?;
            }
        }
    }
    Ok(())
}
