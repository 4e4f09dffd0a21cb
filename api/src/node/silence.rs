//! The thread that listens for inputs that have gone silent, reports them as findings, and keeps what it
//! has learned of their pauses in a file of the data directory. Not when an input is silent: see
//! `sluice_engine::silence`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use sluice_engine::{
    durable::FindingStore,
    service::{Phase, Service},
    silence::{Arrivals, Silence, blind_rules},
};
use sluice_event::TableName;
use sluice_ingest::files;

use super::follower::{end, sleep, spawn};
use crate::{clock, config::Config, exit::engine_error};

/// The file in the data directory.
pub(super) const FILE: &str = "silence.json";

/// The silence of inputs, for the API. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct SilenceReader {
    inputs: Arc<Mutex<BTreeMap<String, InputSilence>>>,
    /// `None` before the first look.
    blind: Arc<Mutex<Option<BTreeMap<String, i64>>>>,
}

/// The silence of an input. Times are milliseconds since 1970 UTC.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InputSilence {
    /// When the last record came; when it was first looked at if none has.
    pub(crate) last_record: i64,
    /// Since when it is silent.
    pub(crate) silent_since: Option<i64>,
    /// How long it may be quiet, milliseconds; `None` while that is not known.
    pub(crate) usual: Option<i64>,
}

/// The thread.
pub(super) struct SilenceThread {
    reader: SilenceReader,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// An input in the file.
#[derive(Serialize, Deserialize)]
struct Record {
    since: i64,
    last: i64,
    pauses: Vec<(i64, i64)>,
    silent_since: Option<i64>,
    /// The tables it has filled.
    #[serde(default)]
    tables: BTreeSet<String>,
}

struct Run {
    path: PathBuf,
    service: Service,
    store: FindingStore,
    tenant: String,
    /// By input: how long it may be quiet, where the configuration says so.
    stated: BTreeMap<String, Option<i64>>,
    silence: Silence,
    /// By input: the tables it has filled, also in processes before this one.
    fed: BTreeMap<String, BTreeSet<TableName>>,
    looked: i64,
    reader: SilenceReader,
}

const EVERY: Duration = Duration::from_secs(1);
/// What was learned is written so often, and at the end.
const KEEP: i64 = 60_000;
/// A larger file is not ours.
const FILE_MOST: u64 = 4 << 20;

impl SilenceReader {
    /// The silence of an input; `None` before the first look.
    pub(crate) fn of(&self, input: &str) -> Option<InputSilence> {
        self.inputs.lock().unwrap_or_else(PoisonError::into_inner).get(input).copied()
    }

    /// Since when the first input of those that are silent is.
    pub(crate) fn stale_since(&self) -> Option<i64> {
        let inputs = self.inputs.lock().unwrap_or_else(PoisonError::into_inner);
        inputs.values().filter_map(|quiet| quiet.silent_since).min()
    }

    /// Rules that see nothing, and since when; `None` before the first look.
    pub(super) fn blind_rules(&self) -> Option<BTreeMap<String, i64>> {
        self.blind.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Every input, and whether it is silent.
    pub(crate) fn silent(&self) -> Vec<(String, bool)> {
        let inputs = self.inputs.lock().unwrap_or_else(PoisonError::into_inner);
        inputs.iter().map(|(name, quiet)| (name.clone(), quiet.silent_since.is_some())).collect()
    }
}

impl SilenceThread {
    /// Starts it.
    pub(super) fn start(
        config: &Config,
        tenant: &str,
        service: Service,
        store: FindingStore,
    ) -> SilenceThread {
        let stop = Arc::new(AtomicBool::new(false));
        let reader = SilenceReader::default();
        let path = config.data_dir.join(FILE);
        let now = clock::now();
        let (silence, fed) = remembered(&path).unwrap_or_else(|error| {
            tracing::warn!("pauses of inputs are learned anew: {}: {error}", path.display());
            (BTreeMap::new(), BTreeMap::new())
        });
        let stated = config.sources.iter();
        let stated = stated.map(|(name, s)| (name.clone(), s.silent_after.map(|after| after.0)));
        let mut run = Run {
            path,
            service,
            store,
            tenant: tenant.to_owned(),
            stated: stated.collect(),
            silence: Silence::remembered(silence, now),
            fed,
            looked: now,
            reader: reader.clone(),
        };
        run.silence.retain(|name| run.stated.contains_key(name));
        run.fed.retain(|name, _| run.stated.contains_key(name));
        let thread = spawn("silence", {
            let stop = stop.clone();
            move || run.until(&stop)
        });
        SilenceThread { reader, stop, thread }
    }

    /// What the API reads.
    pub(super) fn reader(&self) -> SilenceReader {
        self.reader.clone()
    }

    /// Ends it, what was learned kept.
    pub(super) fn stop(mut self) {
        end(&self.stop, self.thread.take());
    }
}

impl Run {
    fn until(mut self, stop: &AtomicBool) {
        let mut kept = clock::now();
        while !stop.load(Ordering::Relaxed) {
            self.look();
            if self.looked - kept >= KEEP {
                kept = self.looked;
                self.keep();
            }
            sleep(EVERY, stop);
        }
        self.keep();
    }

    fn look(&mut self) {
        let status = self.service.status();
        // Nothing can be received while inputs are paused: the next look sees how long that was.
        if status.phase != Phase::Running {
            return;
        }
        let now = clock::now();
        let mut silences = BTreeMap::new();
        for input in &status.inputs {
            let name = &*input.name;
            let filled =
                status.counters.sources.get(name).map(|counts| counts.rows.keys().cloned());
            self.fed.entry(name.to_owned()).or_default().extend(filled.into_iter().flatten());
            let records = status.counters.sources.get(name).map_or(0, |counts| counts.received);
            let stated = self.stated.get(name).copied().flatten();
            let change = self.silence.look(name, records, stated, self.looked, now);
            if let Some(change) = change {
                let finding = change.finding(&self.tenant, &status);
                tracing::warn!(input = name, "{}", finding.title);
                if let Err(error) = self.store.report(finding) {
                    let error = engine_error(&error).replace('\n', " ");
                    tracing::error!(input = name, "its silence could not be reported: {error}");
                }
            }
            if let Some(arrivals) = self.silence.inputs().get(name) {
                let usual = arrivals.usual(stated, now);
                let Arrivals { last, silent_since, .. } = *arrivals;
                silences.insert(
                    name.to_owned(),
                    InputSilence { last_record: last, silent_since, usual },
                );
            }
        }
        self.looked = now;
        let silent =
            silences.iter().filter_map(|(n, quiet)| Some((n.clone(), quiet.silent_since?)));
        let blind = blind_rules(&self.fed, &silent.collect(), &status);
        *self.reader.blind.lock().unwrap_or_else(PoisonError::into_inner) = Some(blind);
        *self.reader.inputs.lock().unwrap_or_else(PoisonError::into_inner) = silences;
    }

    fn keep(&self) {
        if let Err(error) = write(&self.path, self.silence.inputs(), &self.fed) {
            tracing::warn!("pauses of inputs are not kept: {}: {error}", self.path.display());
        }
    }
}

type Remembered = (BTreeMap<String, Arrivals>, BTreeMap<String, BTreeSet<TableName>>);

fn remembered(path: &Path) -> io::Result<Remembered> {
    let text = match files::read_text(path, FILE_MOST) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Remembered::default()),
        text => text?,
    };
    let records: BTreeMap<String, Record> = serde_json::from_str(&text)?;
    let arrivals = |record: Record| {
        let mut arrivals = Arrivals::default();
        (arrivals.since, arrivals.last) = (record.since, record.last);
        (arrivals.pauses, arrivals.silent_since) = (record.pauses, record.silent_since);
        arrivals
    };
    let tables = |record: &Record| record.tables.iter().map(|t| TableName::new(t)).collect();
    let fed = records.iter().map(|(name, record)| (name.clone(), tables(record))).collect();
    Ok((records.into_iter().map(|(name, record)| (name, arrivals(record))).collect(), fed))
}

/// Whole or not at all.
fn write(
    path: &Path,
    inputs: &BTreeMap<String, Arrivals>,
    fed: &BTreeMap<String, BTreeSet<TableName>>,
) -> io::Result<()> {
    let record = |name: &str, arrivals: &Arrivals| Record {
        since: arrivals.since,
        last: arrivals.last,
        pauses: arrivals.pauses.clone(),
        silent_since: arrivals.silent_since,
        tables: fed.get(name).into_iter().flatten().map(|t| t.as_str().to_owned()).collect(),
    };
    let records: BTreeMap<&str, Record> =
        inputs.iter().map(|(name, arrivals)| (name.as_str(), record(name, arrivals))).collect();
    let made = path.with_extension("json.tmp");
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&made)?;
    file.write_all(serde_json::to_string(&records)?.as_bytes())?;
    file.sync_all()?;
    fs::rename(&made, path)
}
