//! `sluice demo`: three attacks inside everyday logs, from the seeded generator through the whole
//! engine. Needs nothing else: no file, no broker, no account.

mod input;
mod risk;
mod serve;
mod source;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, atomic::Ordering},
    time::{Duration, Instant},
};

use clap::Args;
use sluice_engine::{
    Commit, Engine, EngineConfig, EngineError, FindingFeed, FindingSink, History, RunOptions, Seq,
};
use sluice_event::rfc3339;

use super::{
    eval::{Aside, FindingPrinter, Tally},
    exit::{Exit, Failure},
    load,
    output::Output,
    setup,
};
use crate::clock;
use risk::RiskLog;
use source::ScenarioSource;

const HOUR_MS: i64 = 60 * 60 * 1_000;

/// Replays an Okta account takeover by push fatigue, lateral movement in VPC flow and sshd logs,
/// and a leaked AWS key used in CloudTrail, each inside benign background. Then serves what it found,
/// until ctrl-c, from a temporary folder.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// As fast as it goes, then a summary and the end: no API.
    #[arg(long)]
    once: bool,
    /// Where the API listens; the next free port if this one is taken.
    #[arg(long, default_value = "127.0.0.1:7777", conflicts_with = "once")]
    listen: SocketAddr,
    /// Event time passes this many times faster than the clock, without --once: at 600 two hours
    /// take 12 seconds.
    #[arg(long, default_value_t = 600, conflicts_with = "once")]
    speed: u32,
    /// Other people, addresses and times.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Start of the replayed logs; default: so long ago that they end within the last hour.
    #[arg(long, value_name = "RFC3339")]
    start: Option<String>,
}

impl Demo {
    pub(crate) fn run(self, out: &mut Output) -> Result<Exit, Failure> {
        let started = clock::monotonic();
        let content = load::content(&["builtin".into()], &["builtin".into()], &[], out.quiet())?;
        let start = match &self.start {
            Some(text) => sluice_rule::resolve_time(text).ok_or_else(|| {
                Failure::argument(
                    format!("`{text}` is not a time"),
                    "RFC 3339: 2026-01-01T00:00:00Z",
                )
            })?,
            // From a full hour on, so that windows fall the same way every time.
            None => (clock::now() - source::LENGTH_MS).div_euclid(HOUR_MS) * HOUR_MS,
        };
        if !self.once {
            return serve::serve(&self, content, start, started, out);
        }
        let mut source = ScenarioSource::new(self.seed, start, &content.sources);
        let events = source.len();
        let quiet = out.quiet();
        if !quiet {
            announce(events, start);
        }
        let engine = Engine {
            rules: Arc::new(content.rule_set()),
            sources: content.sources.clone(),
            config: EngineConfig { history: History::None, ..EngineConfig::default() },
        };
        let aside = Aside::new(source.names(), quiet);
        let first = Mutex::new(None);
        let mut sink = Timed {
            sink: FindingPrinter::new(out, false).without_shadow().in_order(),
            started,
            first: &first,
            risk: RiskLog::default(),
        };
        let stop = setup::interrupt();
        let options = RunOptions { stop: stop.clone(), ..RunOptions::default() };
        let run = engine.run(&mut source, &mut sink, &aside, options)?;
        let findings = sink.sink.finish()?;
        let violations = run.counters.violations();
        for violation in &violations {
            eprintln!("error: the counters do not add up (a defect of ours): {violation}");
        }
        if !quiet {
            let first = first.lock().ok().and_then(|f| *f);
            report(events, &findings, first, started.elapsed());
            eprintln!("who came to high risk, and how it falls as time goes on:");
            sink.risk.lines().iter().for_each(|line| eprintln!("  {line}"));
            if let Some(signal) = sink.risk.signal() {
                eprintln!(
                    "what an identity provider would be told of the first user (a signed token, see `sluice signal`):"
                );
                eprintln!("  {signal}");
            }
        }
        if stop.load(Ordering::Relaxed) {
            return Ok(Exit::Interrupted);
        }
        Ok(if violations.is_empty() { Exit::Done } else { Exit::CheckFailed })
    }
}

fn announce(events: usize, start: i64) {
    eprintln!(
        "replaying {} ordinary days, then 3 scenarios from {}, {events} log lines: Okta account takeover by push fatigue, \
         lateral movement in VPC flow and sshd logs, a leaked AWS key in CloudTrail",
        source::HISTORY_DAYS,
        rfc3339(start)
    );
    eprintln!(
        "history is taken to begin with the replay: whatever is first is new; what is usual of people is \
         learned from the days before"
    );
}

fn report(events: usize, findings: &Tally, first: Option<Duration>, whole: Duration) {
    let (rules, total) = (&findings.rules, findings.total());
    let first = first.map_or("never".to_owned(), |d| format!("after {:.2} s", d.as_secs_f64()));
    eprintln!(
        "{events} events, {total} findings by {} rules in {:.2} s, the first {first}",
        rules.len(),
        whole.as_secs_f64()
    );
    for (rule, n) in rules {
        eprintln!("  {n:>6}  {rule}");
    }
    if findings.shadow > 0 {
        eprintln!("  {:>6}  of rules on trial (status: experimental), not shown", findings.shadow);
    }
    eprintln!("next: sluice eval FILE | sluice rule new identity.my_rule | sluice schema");
}

/// Notes when the first finding was kept.
struct Timed<'a> {
    sink: FindingPrinter<'a>,
    started: Instant,
    first: &'a Mutex<Option<Duration>>,
    risk: RiskLog,
}

impl FindingSink for Timed<'_> {
    fn commit(&mut self, commit: Commit) -> Result<Seq, EngineError> {
        let any = !commit.findings.is_empty();
        self.risk.take(&commit.findings);
        let seq = self.sink.commit(commit)?;
        if any && let Ok(mut first) = self.first.lock() {
            first.get_or_insert_with(|| self.started.elapsed());
        }
        Ok(seq)
    }

    fn feed(&mut self) -> Option<Box<dyn FindingFeed>> {
        self.sink.feed()
    }
}
