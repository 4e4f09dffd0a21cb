//! Levels in a compacted topic of Kafka: a thread that writes what the feed has and forgets what is
//! written. Not what is in a record (see `sluice_signal::transmitter`), and not the topic (see
//! `sluice_ingest::kafka`).
//!
//! A record is forgotten only when it is on its replicas. After a crash the topic is asked which of those
//! that wait it has already, so that there is one record per change.

/// The name of the feed.
pub(super) const FEED: &str = "kafka";

/// How the topic does.
#[derive(Clone, Debug, Default)]
pub(crate) struct TopicState {
    /// Records it took since the start of the process.
    pub(crate) written: u64,
    /// When it took one last, milliseconds since 1970.
    pub(crate) written_at: Option<i64>,
    /// Failures since the start of the process, and in a row.
    pub(crate) failed: u64,
    pub(crate) failures: u32,
    /// What the last attempt came to; `None` while it goes well.
    pub(crate) error: Option<String>,
}

#[cfg(feature = "kafka")]
pub(super) use topic::{Settings, settings, start};

#[cfg(feature = "kafka")]
mod topic {
    use std::{
        collections::BTreeSet,
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering},
        },
        thread::JoinHandle,
        time::Duration,
    };

    use sluice_ingest::kafka::{TableRecord, TableSettings, TableTopic};
    use sluice_signal::transmitter::FeedRecord;

    use super::{
        super::{Signals, lock, sleep, spawn},
        FEED,
    };
    use crate::{clock, config::RiskTopic, exit::Failure, outbound::jitter};

    /// The topic and how to reach it.
    pub(in super::super) type Settings = TableSettings;

    /// Records that are written at a time, and that may be in the topic and wait here after a crash.
    const BATCH: usize = 500;
    const PATIENCE: Duration = Duration::from_millis(250);
    /// The longest wait after a failure; it doubles from a second.
    const BACKOFF_MOST: f64 = 300.0;

    /// The topic of the configuration.
    ///
    /// # Errors
    /// A reference to a secret that leads nowhere.
    pub(in super::super) fn settings(topic: &RiskTopic) -> Result<Settings, Failure> {
        let resolved = topic.librdkafka.resolve(|name| std::env::var(name).ok());
        let resolved = resolved.map_err(|wrong| {
            let of = wrong.iter().map(|w| format!("`{}`: {}", w.option, w.primary));
            let text = format!("signals.kafka: {}", of.collect::<Vec<_>>().join("; "));
            Failure::argument(text, wrong.first().map_or(String::new(), |w| w.hint.clone()))
        })?;
        let options = resolved.into_iter();
        Ok(Settings {
            brokers: topic.brokers.0.clone(),
            topic: topic.topic.clone(),
            partitions: i32::try_from(topic.partitions.0.get()).unwrap_or(i32::MAX),
            librdkafka: options.map(|(name, value)| (name, value.reveal().to_owned())).collect(),
        })
    }

    /// Starts the thread, where a topic is configured.
    pub(in super::super) fn start(
        signals: Signals,
        stop: Arc<AtomicBool>,
    ) -> Option<JoinHandle<()>> {
        signals.0.build.kafka.as_ref()?;
        spawn("entity-risk", move || {
            let mut topic = None;
            while !stop.load(Ordering::Relaxed) {
                let before = signals.change();
                let Ok(records) = signals.with(|t, _| t.feed(FEED, BATCH)) else {
                    sleep(Duration::from_secs(1), &stop);
                    continue;
                };
                if records.is_empty() {
                    signals.wait_after(before, PATIENCE);
                    continue;
                }
                if let Err(error) = write(&signals, &mut topic, &records) {
                    topic = None;
                    sleep(failed(&signals, error), &stop);
                }
            }
        })
    }

    /// Writes records, and forgets those that are written.
    fn write(
        signals: &Signals,
        topic: &mut Option<TableTopic>,
        records: &[FeedRecord],
    ) -> Result<(), String> {
        let settings = signals.0.build.kafka.as_ref().ok_or("no topic is configured")?;
        let forget = |written: &[u64]| {
            let kept = signals.with(|t, _| t.feed_written(FEED, written));
            kept.map_err(|error| error.to_string())
        };
        let open = match topic.take() {
            Some(open) => open,
            None => {
                let open = TableTopic::open(settings)?;
                let known = open.known(BATCH)?;
                let there = done(records, |_, record| known.contains(&record.change));
                *topic = Some(open);
                if !there.is_empty() {
                    tracing::info!("{} changes of level are in the topic already", there.len());
                }
                return forget(&there);
            }
        };
        let values: Vec<Option<Vec<u8>>> =
            records.iter().map(|r| r.value.as_ref().map(|v| v.to_string().into_bytes())).collect();
        let rows: Vec<TableRecord<'_>> = records
            .iter()
            .zip(&values)
            .map(|(r, value)| TableRecord {
                key: &r.key,
                value: value.as_deref(),
                change: &r.change,
            })
            .collect();
        let (written, error) = open.write(&rows);
        let places: BTreeSet<usize> = written.into_iter().collect();
        let written = done(records, |place, _| places.contains(&place));
        let recovered = {
            let mut state = lock(&signals.0.topic);
            state.written += written.len() as u64;
            if !written.is_empty() {
                state.written_at = Some(clock::now());
            }
            match error.is_none() {
                true => {
                    state.failures = 0;
                    state.error.take()
                }
                false => None,
            }
        };
        if recovered.is_some() {
            tracing::info!("levels are written to topic {} again", settings.topic);
        }
        forget(&written)?;
        match error {
            // The next attempt asks the topic what it has.
            Some(error) => Err(error),
            None => {
                *topic = Some(open);
                Ok(())
            }
        }
    }

    /// Records that need not be written again: of each key those before the first that is missing. What
    /// comes after that one is written again, so that the newest is the last.
    fn done(records: &[FeedRecord], is_there: impl Fn(usize, &FeedRecord) -> bool) -> Vec<u64> {
        let mut missing = BTreeSet::new();
        let mut done = Vec::new();
        for (place, record) in records.iter().enumerate() {
            if !missing.contains(&record.key) && is_there(place, record) {
                done.push(record.seq);
            } else {
                missing.insert(&record.key);
            }
        }
        done
    }

    /// Notes a failure; how long to wait.
    fn failed(signals: &Signals, error: String) -> Duration {
        let mut state = lock(&signals.0.topic);
        if state.error.is_none() {
            tracing::warn!("levels are written later: {error}");
        }
        let most = f64::from(1_u32 << state.failures.min(20)).min(BACKOFF_MOST);
        state.failures += 1;
        state.failed += 1;
        state.error = Some(error);
        Duration::from_secs_f64((most * jitter()).max(0.1))
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        fn record(seq: u64, key: &str) -> FeedRecord {
            FeedRecord { seq, key: key.into(), change: seq.to_string(), value: None }
        }

        #[test]
        fn q8_a_record_that_is_missing_is_never_written_after_a_newer_one() {
            let all = [record(1, "ann"), record(2, "bob"), record(3, "ann"), record(4, "bob")];
            let there =
                |seqs: &'static [u64]| move |_: usize, r: &FeedRecord| seqs.contains(&r.seq);
            assert_eq!(done(&all, there(&[1, 2, 3, 4])), [1, 2, 3, 4]);
            // The first of ann was given up: what is newer comes again, after it.
            assert_eq!(done(&all, there(&[2, 3, 4])), [2, 4]);
            assert_eq!(done(&all, there(&[1, 2])), [1, 2]);
            assert_eq!(done(&all, there(&[])), [0; 0]);
        }
    }
}

#[cfg(not(feature = "kafka"))]
pub(super) use no_topic::{Settings, settings, start};

/// A build without the Kafka client. It refuses a topic, and says why.
#[cfg(not(feature = "kafka"))]
mod no_topic {
    use std::{
        sync::{Arc, atomic::AtomicBool},
        thread::JoinHandle,
    };

    use super::super::Signals;
    use crate::{config::RiskTopic, exit::Failure, node::content::NO_KAFKA};

    /// There are none.
    pub(in super::super) enum Settings {}

    pub(in super::super) fn settings(_: &RiskTopic) -> Result<Settings, Failure> {
        let (primary, hint) = NO_KAFKA;
        Err(Failure::argument(format!("signals: {primary}"), hint))
    }

    pub(in super::super) fn start(_: Signals, _: Arc<AtomicBool>) -> Option<JoinHandle<()>> {
        None
    }
}

/// How the topic does, for people.
pub(crate) struct TopicStats {
    /// Its name.
    pub(crate) topic: String,
    /// Records that are not written yet.
    pub(crate) pending: u64,
    /// How it goes.
    pub(crate) state: TopicState,
}
