//! Sample records of a topic as the rows they become, by the way of every live record: routed,
//! decoded, mapped. Nothing is kept.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};
use sluice_engine::{Content, json};
use sluice_event::PartitionId;
use sluice_ingest::{DeadLetterCode, Mapper, Message, Router, live::UNKNOWN};

/// What samples become.
#[derive(Debug, Default)]
pub(super) struct Samples {
    /// Their rows, with the table of each.
    pub(super) rows: Vec<Json>,
    /// Why others make none: code, reason.
    pub(super) set_aside: Vec<(DeadLetterCode, String)>,
    /// How many each mapping source took.
    pub(super) sources: BTreeMap<String, u64>,
}

impl Samples {
    /// Maps messages as an input with this mapping would.
    pub(super) fn of(content: &Content, mapping: Option<&str>, messages: Vec<Message>) -> Samples {
        let mut samples = Samples::default();
        // That the mapping is there has its own problem.
        let Ok(mut router) = Router::new(content.sources.clone(), mapping) else { return samples };
        for (source, chunk) in router.chunks(messages) {
            *samples.sources.entry(source.to_string()).or_default() += chunk.received();
            let spec = content.sources.iter().find(|s| s.source == source);
            let Some(spec) = spec.filter(|_| *source != *UNKNOWN) else {
                let faults = chunk.faults.into_iter().map(|fault| (fault.code, fault.message));
                samples.set_aside.extend(faults);
                continue;
            };
            let time = spec.time_settings;
            let partition = PartitionId(0);
            let mut mapper = Mapper::new(spec.clone(), "default", partition, time, false, i64::MIN);
            let processed = mapper.process(&chunk);
            let letters = processed.dead_letters.into_iter();
            samples.set_aside.extend(letters.map(|letter| (letter.code, letter.message)));
            for batch in &processed.batches {
                for row in 0..batch.len() {
                    let mut object = Map::new();
                    object.insert("table".to_owned(), batch.table.as_str().into());
                    object.extend(json::row(&batch.columns, row));
                    samples.rows.push(object.into());
                }
            }
        }
        samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> Message {
        Message {
            bytes: text.as_bytes().to_vec(),
            offset: 0,
            received_at: 1_767_225_600_000,
            envelope: None,
            source: None,
        }
    }

    #[test]
    fn samples_are_mapped_and_what_is_not_is_said() {
        let content = Content::load(&["builtin".into()], &[]).unwrap();
        let sshd =
            "Jan  1 00:00:00 h sshd[1]: Failed password for root from 203.0.113.9 port 1 ssh2";
        let messages = || vec![message(sshd), message("{broken"), message("")];
        let samples = Samples::of(&content, Some("linux.sshd"), messages());
        assert_eq!(samples.rows.len(), 1, "{samples:?}");
        assert_eq!(samples.rows[0]["table"], "authentication");
        assert_eq!(samples.rows[0]["src_ip"], "203.0.113.9");
        assert_eq!(samples.set_aside.len(), 2, "{samples:?}");
        let samples = Samples::of(&content, None, messages());
        assert_eq!(samples.sources.get("linux.sshd"), Some(&1), "{samples:?}");
        assert_eq!(samples.rows.len() + samples.set_aside.len(), 3, "{samples:?}");
    }
}
