//! `sluice mapping drift`: what a vendor has added to its records.

use std::{collections::BTreeSet, fs, path::PathBuf};

use clap::Args;
use serde_json::json;
use sluice_event::PartitionId;
use sluice_ingest::{Decoder, NextChunk};

use crate::cli::{
    Format,
    eval::InputArgs,
    exit::{Exit, Failure},
    load,
    output::{Output, printable},
};

/// With a baseline only the fields that are not in it are listed, and the exit code is 1 if there is
/// one.
#[derive(Debug, Args)]
pub(crate) struct Drift {
    #[command(flatten)]
    input: InputArgs,
    /// A file of known fields, `source path` a line, as --write-baseline makes it.
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Write the fields found to this file.
    #[arg(long, value_name = "FILE", conflicts_with = "baseline")]
    write_baseline: Option<PathBuf>,
}

impl Drift {
    pub(crate) fn run(self, out: &mut Output) -> Result<Exit, Failure> {
        let quiet = out.quiet();
        let known: BTreeSet<String> = match &self.baseline {
            None => BTreeSet::new(),
            Some(path) => fs::read_to_string(path)
                .map_err(|e| {
                    Failure::argument(
                        format!("cannot read the baseline {}: {e}", path.display()),
                        "--write-baseline makes one",
                    )
                })?
                .lines()
                .map(str::to_owned)
                .collect(),
        };
        let mut content = load::content(&self.input.mappings, &[], &[], quiet)?;
        let mut opened = self.input.open(&mut content, quiet)?;
        let mut sources: Vec<(Decoder, sluice_ingest::Drift, String)> = opened
            .partitions
            .iter()
            .map(|p| {
                let spec = &content.sources[p.source.unwrap_or_default()];
                let drift = sluice_ingest::Drift::new(&spec.wire);
                (Decoder::new(spec, spec.limits), drift, spec.source.to_string())
            })
            .collect();
        let progress = |_: PartitionId| i64::MIN;
        while let Some(next) = opened
            .input
            .next_chunk(&progress)
            .map_err(|e| Failure::argument(e.to_string(), "what was read before it is not shown"))?
        {
            let NextChunk::Chunk(chunk) = next else { continue };
            let at = chunk.partition.0 as usize;
            let Some((decoder, drift, _)) = sources.get_mut(at) else { continue };
            let decoded = decoder.decode(&chunk);
            drift.add(&chunk, &decoded);
        }
        let mut lines = BTreeSet::new();
        let (mut found, mut records) = (0, 0);
        for (_, drift, source) in &sources {
            records += drift.records();
            for (path, field) in drift.fields() {
                let line = format!("{source} {path}");
                if known.contains(&line) {
                    continue;
                }
                found += 1;
                if out.format() == Format::Table {
                    let example = printable(&field.example);
                    out.line(&format!(
                        "{line}  {} of {}  {example}",
                        field.records,
                        drift.records()
                    ))?;
                } else {
                    out.json_line(&json!({
                        "source": source, "field": path, "records": field.records,
                        "example": field.example,
                    }))?;
                }
                lines.insert(line);
            }
            if drift.more() > 0 && !quiet {
                eprintln!("{source}: {} fields beyond the first 10,000 are left out", drift.more());
            }
        }
        if let Some(path) = &self.write_baseline {
            let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            fs::write(path, text).map_err(|e| {
                Failure::argument(
                    format!("cannot write {}: {e}", path.display()),
                    "name a file in a folder that can be written to",
                )
            })?;
        }
        if !quiet {
            eprintln!("{found} fields of {records} JSON records are read by no mapping");
        }
        let drifted = self.baseline.is_some() && found > 0;
        Ok(if drifted { Exit::CheckFailed } else { Exit::Done })
    }
}
