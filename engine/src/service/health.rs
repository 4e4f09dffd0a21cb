//! Findings about the service itself: what it could not see. An analyst must not take silence for
//! safety.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::json;
use sluice_event::Encoder;
use sluice_finding::Finding;
use sluice_ingest::live::Place;
use sluice_rule::Severity;

use super::Shared;
use crate::{CheckpointSink, Commit, EngineError, FindingFeed, FindingSink, Seq, clock::clock};

/// The id under which a range of records that were gone before they were read is reported.
pub const DATA_GAP: &str = "sluice.data_gap";

/// Adds what inputs report of themselves to what is kept.
pub(super) struct HealthSink<S> {
    pub sink: S,
    pub shared: Arc<Shared>,
    pub tenant: String,
    pub reported: BTreeSet<(Place, u64, u64)>,
}

impl<S: FindingSink> FindingSink for HealthSink<S> {
    fn resume(&mut self, epoch: u64) -> Result<(), EngineError> {
        self.sink.resume(epoch)
    }

    fn feed(&mut self) -> Option<Box<dyn FindingFeed>> {
        self.sink.feed()
    }

    fn checkpoints(&mut self) -> Option<Box<dyn CheckpointSink>> {
        self.sink.checkpoints()
    }

    fn commit(&mut self, mut commit: Commit) -> Result<Seq, EngineError> {
        let gaps = self.shared.inputs.iter().flat_map(|i| i.control.status().gaps);
        for gap in gaps.collect::<Vec<_>>() {
            if self.reported.insert(gap.clone()) {
                commit.findings.push(data_gap(&self.tenant, &gap).into());
            }
        }
        self.sink.commit(commit)
    }
}

fn data_gap(tenant: &str, (place, from, to): &(Place, u64, u64)) -> Finding {
    let mut key = Encoder::default();
    key.text(&place.to_string());
    key.text(&format!("{from}..{to}"));
    let fields = [
        ("input", json!(&*place.input)),
        ("part", json!(&*place.part)),
        ("from_offset", json!(from)),
        ("to_offset", json!(to)),
    ];
    let title = format!("{} records of {place} were deleted before they were read", to - from);
    let (severity, time) = (Severity::High, clock());
    Finding {
        count: to - from,
        ..Finding::of_service(DATA_GAP, tenant, &key, title, severity, time, fields)
    }
}
