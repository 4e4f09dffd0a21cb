//! The files of an evaluation: NDJSON events as record batches, labels as a map. Compression is seen
//! by content.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use sluice_event::WireSchema;
use sluice_ingest::{
    Chunk, Codec, Decoded, Decoder, FileInput, Framing, Limits, NextChunk, Unwrap, find_files,
};
use sluice_rule::resolve_time;

use crate::cli::exit::Failure;

/// Labels by entity and unit.
pub(super) type Labels = BTreeMap<(Arc<str>, i64), bool>;

/// Calls `take` with every chunk of a file of JSON objects and the records in it.
pub(super) fn events(
    path: &Path,
    columns: &WireSchema,
    mut take: impl FnMut(&Chunk, &Decoded),
) -> Result<(), Failure> {
    let limits = Limits::default();
    let mut decoder = Decoder::of(&Codec::Json, columns, limits);
    chunks(path, &Framing::Json(Unwrap::new(["$"])), |chunk| {
        let decoded = decoder.decode(chunk);
        take(chunk, &decoded);
        Ok(())
    })
}

/// Reads `entity,unit,label`: the unit is the start of a day or session, or the number of a block.
pub(super) fn labels(path: &Path) -> Result<Labels, Failure> {
    let mut labels = Labels::new();
    let name = path.display();
    chunks(path, &Framing::Lines, |chunk| {
        for (record, line) in chunk.records.iter().zip(&chunk.lines) {
            let wrong = |what: &str| {
                Failure::argument(
                    format!("{name}:{line}: {what}"),
                    "a line is `entity,unit,label`: `ann,2026-01-05T00:00:00Z,0`",
                )
            };
            let text = std::str::from_utf8(record).map_err(|_| wrong("not UTF-8"))?;
            let mut parts = text.trim_end().rsplitn(3, ',');
            let (Some(label), Some(unit), Some(entity)) =
                (parts.next(), parts.next(), parts.next())
            else {
                return Err(wrong("not three fields"));
            };
            if *line == 1 && label == "label" {
                continue;
            }
            let label = match label {
                "0" => false,
                "1" => true,
                _ => return Err(wrong("the label is neither 0 nor 1")),
            };
            let unit = unit.parse().ok().or_else(|| resolve_time(unit));
            let unit = unit.ok_or_else(|| wrong("the unit is neither a time nor a number"))?;
            if labels.insert((entity.into(), unit), label).is_some() {
                return Err(wrong("the unit is labelled twice"));
            }
        }
        Ok(())
    })?;
    Ok(labels)
}

fn chunks(
    path: &Path,
    framing: &Framing,
    mut take: impl FnMut(&Chunk) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let unreadable = |e: &dyn std::error::Error| {
        let cause = e.source().map_or(String::new(), |c| format!(": {c}"));
        Failure::argument(format!("{e}{cause}"), "name one readable file")
    };
    let found = find_files(&[path.to_owned()]).map_err(|e| unreadable(&e))?;
    let mut input = FileInput::new(Limits::default());
    for file in found.files {
        input.add(file, framing, 0);
    }
    // One file after the other, in the order of their names.
    let progress = |partition: sluice_event::PartitionId| i64::from(partition.0);
    while let Some(next) = input.next_chunk(&progress).map_err(|e| unreadable(&e))? {
        if let NextChunk::Chunk(chunk) = next {
            if let Some(fault) = chunk.faults.first() {
                return Err(Failure::argument(
                    format!("{}: {}: {}", path.display(), fault.code.name(), fault.message),
                    "name a whole file of one JSON object or label a line",
                ));
            }
            take(&chunk)?;
        }
    }
    Ok(())
}
