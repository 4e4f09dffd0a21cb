//! The input arguments of `eval` and `mapping run`: files, their source, their receive time.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use clap::Args;
use sluice_engine::{Content, Partition, json};
use sluice_event::TimeSettings;
use sluice_ingest::{
    Detection, DuplicateKeys, FileInput, FoundFile, InputOptions, Limits, Looks, Mapper, NextChunk,
    detect, find_files,
};
use sluice_rule::{Zone, parse_duration, resolve_time, suggest};

use super::{Aside, files::Files};
use crate::cli::{
    exit::{Exit, Failure},
    load,
    output::Output,
};

/// Which logs to read, and how.
#[derive(Debug, Args)]
pub(crate) struct InputArgs {
    /// Files, folders, or `-` for stdin; gzip and zstd are seen by their content.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The mapping source of the records, `okta.system`; `auto` looks at each file.
    #[arg(long, default_value = "auto")]
    source: String,
    /// Mapping files or folders; `builtin` is what this binary ships.
    #[arg(long, value_name = "PATH", default_value = "builtin")]
    pub(crate) mappings: Vec<PathBuf>,
    /// When the records were received, RFC 3339; default: when each file was last changed. Event
    /// times too far ahead of it are clamped to it.
    #[arg(long, value_name = "TIME")]
    received_at: Option<String>,
    /// The zone of times that have none: `+02:00`, or a place, `Europe/Berlin`; default: what the
    /// mapping says, mostly UTC.
    #[arg(long, value_name = "ZONE", allow_hyphen_values = true)]
    zone: Option<String>,
    /// The year of the first date that has none; default: what the order of the file and its last
    /// change say.
    #[arg(long, value_name = "YEAR", value_parser = clap::value_parser!(i32).range(1970..=9999))]
    year: Option<i32>,
    /// The names of the fields of delimited lines without a header, in order, with blanks or commas
    /// between them: "version account-id srcaddr".
    #[arg(long, value_name = "NAMES")]
    fields: Option<String>,
    /// The longest record, in bytes; of a longer one only the first fields are read.
    #[arg(long, value_name = "BYTES")]
    max_record: Option<usize>,
    /// The deepest nesting of a record; a field that is deeper is NULL.
    #[arg(long, value_name = "LEVELS")]
    max_depth: Option<usize>,
    /// The most fields of a record that are read.
    #[arg(long, value_name = "COUNT")]
    max_fields: Option<usize>,
    /// What becomes of a JSON record in which an object has a name twice: `last` reads the last value
    /// and counts it, `set_aside` makes the record a dead letter.
    #[arg(long, value_name = "WHAT", value_parser = ["last", "set_aside"], default_value = "last")]
    duplicate_keys: String,
    /// How far behind the newest event of its file an event still counts for rules that remember,
    /// `10m`; default: what its mapping says.
    #[arg(long, value_name = "DURATION")]
    lateness: Option<String>,
}

/// Files that are ready to be read.
pub(crate) struct Opened {
    pub(crate) input: FileInput,
    pub(crate) partitions: Vec<Partition>,
    /// What each file is.
    pub(crate) files: Files,
}

/// What a file turned out to be.
enum Found {
    /// Records of this source.
    Source(usize),
    /// Nothing to read, and what it is: empty, or no events.
    Nothing(String),
    /// Nobody knows, and why.
    Unknown(String),
}

impl InputArgs {
    /// Whether what is to be read is this folder and nothing else.
    pub(crate) fn is_folder(&self, folder: &Path) -> bool {
        let same = |file: &PathBuf| match (file.canonicalize(), folder.canonicalize()) {
            (Ok(file), Ok(folder)) => file == folder,
            _ => false,
        };
        matches!(self.files.as_slice(), [file] if same(file))
    }

    /// Finds the files and the source of each.
    pub(crate) fn open(&self, content: &mut Content, quiet: bool) -> Result<Opened, Failure> {
        let options = self.options()?;
        let unused = options.unused(content.sources.iter().map(AsRef::as_ref));
        if let Some((name, codec)) = unused.into_iter().next() {
            return Err(Failure::argument(
                format!("--{name} does nothing: no mapping has a {codec} codec"),
                "leave it out, or name the mappings it is for with --mappings",
            ));
        }
        content.sources = content.sources.iter().map(|s| s.for_input(&options)).collect();
        let limits = content.sources.first().map_or_else(Limits::default, |s| s.limits);
        let content = &*content;
        let received_at = self.received_at.as_deref().map(time).transpose()?;
        let lateness = self.lateness.as_deref().map(duration).transpose()?;
        let found = find_files(&self.files).map_err(|e| {
            let cause = std::error::Error::source(&e).map_or(String::new(), |c| format!(": {c}"));
            Failure::argument(format!("{e}{cause}"), "name log files, folders of them, or `-`")
        })?;
        if !quiet {
            for (path, reason) in &found.skipped {
                eprintln!("{}: skipped: {reason}", path.display());
            }
        }
        let mut opened = Opened {
            input: FileInput::new(limits),
            partitions: Vec::new(),
            files: Files::default(),
        };
        let mut unknown = Vec::new();
        // Of several files a screen at the end says what each is.
        let alone = found.files.len() == 1;
        for mut file in found.files {
            let name = file.path.display().to_string();
            let index = match self.source_of(content, &mut file, &name, quiet || !alone)? {
                Found::Source(index) => index,
                Found::Nothing(why) => {
                    opened.files.not_read.push((name, why));
                    continue;
                }
                Found::Unknown(why) => {
                    if quiet || alone {
                        eprintln!("{name}: not read: {why}");
                    }
                    opened.files.not_read.push((name.clone(), why));
                    opened.files.are_unknown = true;
                    unknown.push(name);
                    continue;
                }
            };
            let spec = &content.sources[index];
            let received = received_at.or(file.modified).unwrap_or_else(clock);
            let id = opened.input.add(file, &spec.framing(), received);
            opened.partitions.push(Partition {
                id,
                source: Some(index),
                name: None,
                tables: spec.tables().into_iter().chain([spec.raw_table()]).collect(),
                time: settings(spec.time_settings, lateness),
            });
            opened.files.read.push((name, spec.source.to_string()));
        }
        if opened.partitions.is_empty() && !alone {
            for (name, why) in &opened.files.not_read {
                eprintln!("{name}: not read: {why}");
            }
        }
        if opened.partitions.is_empty() && !unknown.is_empty() {
            return Err(Failure::argument(
                format!("{}: cannot tell what this is", unknown.join(", ")),
                format!(
                    "name its source with --source ({}), or write a mapping for it: \
                     `sluice mapping new FILE` begins one",
                    names(content).join(", ")
                ),
            ));
        }
        if opened.partitions.is_empty() {
            return Err(Failure::argument(
                "every file is empty, so nothing tells its source",
                format!("name it with --source: {}", names(content).join(", ")),
            ));
        }
        Ok(opened)
    }

    /// What is said of the codec on the command line.
    fn options(&self) -> Result<InputOptions, Failure> {
        let zone = self.zone.as_deref().map(|text| {
            Zone::parse(text).map_err(|unknown| {
                Failure::argument(format!("--zone: `{text}` is not a zone"), unknown.hint())
            })
        });
        let split = |text: &str| -> Vec<String> {
            let names = text.split([' ', ',']).filter(|n| !n.is_empty());
            names.map(str::to_owned).collect()
        };
        Ok(InputOptions {
            zone: zone.transpose()?,
            year: self.year,
            fields: self.fields.as_deref().map(split),
            record_bytes: self.max_record,
            depth: self.max_depth,
            fields_max: self.max_fields,
            duplicate_keys: (self.duplicate_keys == "set_aside").then_some(DuplicateKeys::SetAside),
        })
    }

    /// The source of a file, by name or by its looks.
    fn source_of(
        &self,
        content: &Content,
        file: &mut FoundFile,
        name: &str,
        quiet: bool,
    ) -> Result<Found, Failure> {
        let by_name = |wanted: &str| content.sources.iter().position(|s| *s.source == *wanted);
        if self.source != "auto" {
            return by_name(&self.source).map(Found::Source).ok_or_else(|| {
                let names = names(content);
                let near = suggest(&self.source, names.iter().copied())
                    .map_or_else(String::new, |n| format!("did you mean `{n}`? "));
                Failure::argument(
                    format!("no source `{}`", self.source),
                    format!("{near}there are: auto, {}", names.join(", ")),
                )
            });
        }
        let head = match file.head(Limits::default()) {
            Ok(head) => head,
            Err(e) => {
                let cause = std::error::Error::source(&e);
                return Ok(Found::Unknown(
                    cause.map_or_else(|| e.to_string(), ToString::to_string),
                ));
            }
        };
        let seen = detect(content.sources.iter().map(AsRef::as_ref), &head);
        if !quiet {
            eprintln!("{name}: {seen}");
        }
        match &seen {
            Detection { best: Some(best), .. } => Ok(match by_name(&best.source) {
                Some(index) => Found::Source(index),
                None => Found::Unknown(seen.to_string()),
            }),
            Detection { looks: Looks::Empty, .. } | Detection { bystander: Some(_), .. } => {
                Ok(Found::Nothing(seen.to_string()))
            }
            seen => Ok(Found::Unknown(seen.to_string())),
        }
    }
}

/// `sluice mapping run`: the rows of a file as ndjson, named as in the schema.
pub(crate) fn map_rows(args: &InputArgs, out: &mut Output) -> Result<Exit, Failure> {
    let quiet = out.quiet();
    let mut content = load::content(&args.mappings, &[], &[], quiet)?;
    let mut opened = args.open(&mut content, quiet)?;
    let aside = Aside::new(opened.files.names(), quiet || opened.files.are_several());
    let mut by_file = BTreeMap::new();
    let mut mappers: Vec<(usize, Mapper)> = opened
        .partitions
        .iter()
        .map(|p| {
            let source = p.source.unwrap_or_default();
            let spec = content.sources[source].clone();
            (source, Mapper::new(spec, "default", p.id, p.time, false, i64::MIN))
        })
        .collect();
    let mut counts: BTreeMap<String, sluice_engine::SourceCounts> = BTreeMap::new();
    loop {
        let progress = |p: sluice_event::PartitionId| {
            mappers.get(p.0 as usize).map_or(i64::MIN, |(_, m)| m.seen())
        };
        let next = opened
            .input
            .next_chunk(&progress)
            .map_err(|e| Failure::argument(e.to_string(), "the rows before it were printed"))?;
        let chunk = match next {
            None => break,
            Some(NextChunk::End(_)) => continue,
            Some(NextChunk::Chunk(chunk)) => chunk,
        };
        let Some((source, mapper)) = mappers.get_mut(chunk.partition.0 as usize) else { continue };
        let processed = mapper.process(&chunk);
        let name = content.sources[*source].source.to_string();
        let count = counts.entry(name).or_default();
        count.add_records(&processed.counts);
        let own: &mut sluice_engine::SourceCounts = by_file.entry(chunk.partition).or_default();
        own.add_records(&processed.counts);
        processed.dead_letters.iter().for_each(|letter| aside.show(letter));
        // Rows of several tables, in the order of their records.
        let mut rows: Vec<_> = processed
            .batches
            .iter()
            .flat_map(|batch| (0..batch.len()).map(move |row| (batch.record[row], batch, row)))
            .collect();
        rows.sort_by_key(|(record, _, _)| *record);
        for (_, batch, row) in rows {
            let rows = count.rows.entry(batch.table.clone()).or_default();
            rows.mapped += 1;
            rows.evaluated += 1;
            let mut object = serde_json::Map::new();
            object.insert("table".to_owned(), batch.table.as_str().into());
            object.extend(json::row(&batch.columns, row));
            object.insert("event_uid".to_owned(), batch.uid(row).to_string().into());
            out.json_line(&object.into())?;
        }
    }
    for ((source, mapper), partition) in mappers.iter().zip(&opened.partitions) {
        let name = content.sources[*source].source.to_string();
        debug_assert_eq!(partition.source, Some(*source));
        counts.entry(name).or_default().add_unmapped(mapper.unmapped());
    }
    out.flush()?;
    if !quiet && opened.files.are_several() {
        opened.files.show(&by_file, &aside);
    }
    super::report::sources(&counts, quiet);
    let aside: u64 = counts.values().flat_map(|c| c.dead_letters.values()).sum();
    Ok(if aside == 0 { Exit::Done } else { Exit::CheckFailed })
}

fn settings(time: TimeSettings, lateness: Option<i64>) -> TimeSettings {
    match lateness {
        Some(lateness) => TimeSettings { lateness, delay: time.delay.min(lateness), ..time },
        None => time,
    }
}

fn names(content: &Content) -> Vec<&str> {
    content.sources.iter().map(|s| &*s.source).collect()
}

fn time(text: &str) -> Result<i64, Failure> {
    resolve_time(text).ok_or_else(|| {
        Failure::argument(format!("`{text}` is not a time"), "RFC 3339: 2026-01-01T00:00:00Z")
    })
}

fn duration(text: &str) -> Result<i64, Failure> {
    parse_duration(text).ok_or_else(|| {
        Failure::argument(
            format!("`{text}` is not a duration"),
            "a number with a unit: 90s, 10m, 2h",
        )
    })
}

#[expect(clippy::disallowed_methods, reason = "stdin is received now; recorded as its reference")]
fn clock() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64)
}
