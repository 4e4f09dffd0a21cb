//! The thread that lets time pass for risk, and tells signals of levels. Not the levels themselves: see
//! [`FindingStore::pass_time`].
//!
//! Signals follow the changes of level in the store: what they make of one is written with its sequence
//! in one batch of theirs, so that after a crash none is missing and none is said twice.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use sluice_engine::{
    Seq,
    durable::{FindingStore, RiskReason},
};
use sluice_finding::RiskLevel;
use sluice_signal::{Blind, EntityKey, Level, Observation};

use super::{
    follower::{end, spawn},
    signals::{AlertLog, NotReady, Observed, Signals},
    silence::SilenceReader,
};
use crate::{clock, exit::engine_error};

/// The thread.
pub(super) struct RiskThread {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Time passes so often. Changes of the store wake it before.
const TICK: Duration = Duration::from_secs(1);
/// How long it waits for a change before it looks whether it is to stop.
const PATIENCE: Duration = Duration::from_millis(200);
const PAGE: usize = 500;

impl RiskThread {
    /// Starts it.
    pub(super) fn start(
        tenant: &str,
        store: FindingStore,
        signals: Option<Signals>,
        silence: SilenceReader,
    ) -> RiskThread {
        let stop = Arc::new(AtomicBool::new(false));
        let alerts = AlertLog::new(tenant);
        let run = Run { store, signals, silence, blind: None, alerts, cursor: None };
        let thread = spawn("risk", {
            let stop = stop.clone();
            move || run.until(&stop)
        });
        RiskThread { stop, thread }
    }

    /// Ends it.
    pub(super) fn stop(mut self) {
        end(&self.stop, self.thread.take());
    }
}

struct Run {
    store: FindingStore,
    signals: Option<Signals>,
    silence: SilenceReader,
    /// What signals know of rules that see nothing.
    blind: Option<BTreeMap<String, i64>>,
    alerts: AlertLog,
    /// The last change of the store that signals know; `None` until it is read.
    cursor: Option<Seq>,
}

impl Run {
    fn until(mut self, stop: &AtomicBool) {
        let mut passed = None;
        let mut seen = Seq(0);
        while !stop.load(Ordering::Relaxed) {
            let now = clock::monotonic();
            if passed.is_none_or(|at| now.duration_since(at) >= TICK) {
                passed = Some(now);
                if let Err(error) = self.store.pass_time() {
                    let error = engine_error(&error).replace('\n', " ");
                    tracing::warn!("levels that fall are tried again in a second: {error}");
                }
                if let Err(error) = self.alert() {
                    tracing::warn!("what people have to know of signals is said later: {error}");
                }
            }
            // Before levels: a fall in silence is to be known as one.
            if let Err(error) = self.tell_silence() {
                tracing::warn!("signals hear of silent inputs later: {error}");
            }
            if let Err(error) = self.tell() {
                tracing::warn!("signals hear of levels later: {error}");
                self.cursor = None;
            }
            seen = self.store.wait(seen, PATIENCE);
        }
    }

    /// Tells signals which rules see nothing.
    fn tell_silence(&mut self) -> Result<(), NotReady> {
        let Some(signals) = &self.signals else { return Ok(()) };
        let blind = self.silence.blind_rules();
        if let Some(rules) = blind.clone().filter(|_| blind != self.blind) {
            signals.with(|transmitter, now| transmitter.set_blind(Blind::new(rules), now))?;
            self.blind = blind;
        }
        Ok(())
    }

    /// Reports what people have to know of signals as findings.
    fn alert(&mut self) -> Result<(), String> {
        let Some(signals) = &self.signals else { return Ok(()) };
        let alerts = signals.with(|transmitter, _| transmitter.alerts());
        let alerts = alerts.map_err(|error| error.to_string())?;
        for finding in self.alerts.findings(&alerts) {
            self.store.report(finding).map_err(|e| engine_error(&e).replace('\n', " "))?;
        }
        self.alerts.said(alerts);
        Ok(())
    }

    /// Tells signals of every change of level they do not know.
    fn tell(&mut self) -> Result<(), String> {
        let Some(signals) = self.signals.clone() else { return Ok(()) };
        let failed = |error: NotReady| error.to_string();
        let mut at = match self.cursor {
            Some(at) => at,
            None => match signals.cursor().map_err(failed)? {
                Some(at) => at,
                None => self.begin(&signals).map_err(failed)?,
            },
        };
        loop {
            let (rows, next) = self.store.levels_after(at, PAGE).map_err(|e| engine_error(&e))?;
            if !rows.is_empty() {
                let seen = rows.into_iter().map(|level| {
                    let entity = EntityKey { kind: level.entity.kind, id: level.entity.id };
                    let row = level.row;
                    (entity, observation(row.level, row.score, row.at, &row.reasons))
                });
                signals.observe(seen.collect(), next).map_err(failed)?;
            }
            self.cursor = Some(next);
            if next == at {
                return Ok(());
            }
            at = next;
        }
    }

    /// Signals know nothing of risk: they begin with the levels there are.
    fn begin(&self, signals: &Signals) -> Result<Seq, NotReady> {
        let last = self.store.last();
        let raised = self.store.risks().into_iter();
        let raised = raised.filter(|(_, risk)| risk.state.level > RiskLevel::Low);
        let seen: Vec<Observed> = raised
            .map(|(entity, risk)| {
                let score = risk.ledger.score(self.store.now());
                let reasons = sluice_engine::durable::reasons(&score);
                let seen = observation(risk.state.level, score.score, risk.state.since, &reasons);
                (EntityKey { kind: entity.kind, id: entity.id }, seen)
            })
            .collect();
        signals.observe(seen, last)?;
        Ok(last)
    }
}

fn observation(level: RiskLevel, score: i64, at: i64, reasons: &[RiskReason]) -> Observation {
    let level = match level {
        RiskLevel::Low => Level::Low,
        RiskLevel::Medium => Level::Medium,
        RiskLevel::High => Level::High,
    };
    let name = |r: &RiskReason| match (&*r.source, &*r.value) {
        (source, "") => source.to_owned(),
        ("", value) => value.to_owned(),
        (source, value) => format!("{source}: {value}"),
    };
    let raises = reasons.iter().filter(|r| r.points > 0);
    Observation {
        level,
        score: Some(score as f64 / 100.0),
        at,
        reasons: raises.map(name).collect(),
    }
}
