//! `sluice eval`: rules over log files, on the same engine as a live stream.

mod files;
mod held;
mod input;
mod report;
mod sink;
mod tally;

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use indicatif::ProgressBar;
use sluice_engine::{
    Delivery, Engine, EngineConfig, EngineError, FileSource, History, Pace, Partition, Progress,
    RunOptions, Source,
};

use super::{
    exit::{Exit, Failure},
    load,
    output::Output,
    progress, setup,
};

pub(crate) use input::{InputArgs, map_rows};
pub(crate) use report::{Aside, summary};
pub(crate) use sink::FindingPrinter;
pub(crate) use tally::Tally;

/// Prints each net finding once, when nothing can change it any more; a summary goes to stderr.
#[derive(Debug, Args)]
pub(crate) struct Eval {
    #[command(flatten)]
    input: InputArgs,
    /// Rule files or folders; `builtin` is what this binary ships.
    #[arg(short, long, value_name = "PATH", default_value = "builtin")]
    rules: Vec<PathBuf>,
    /// Lookup files or folders that the rules ask.
    #[arg(long, value_name = "PATH")]
    lookups: Vec<PathBuf>,
    /// Exit with 1 if there is a finding.
    #[arg(long)]
    fail_on_finding: bool,
    /// Print every revision as it comes, provisional and withdrawn ones too.
    #[arg(long)]
    live: bool,
    /// Take the history before the first event as complete: what is new in the file is new.
    #[arg(long)]
    assume_history: bool,
    /// Threads for decoding and for keyed state, each; default: one per core. With 1 and one file
    /// the stages still run on threads of their own.
    #[arg(long, value_name = "N")]
    threads: Option<std::num::NonZeroUsize>,
    /// Say where the time went, on stderr.
    #[arg(long)]
    profile: bool,
}

impl Eval {
    pub(crate) fn run(self, out: &mut Output) -> Result<Exit, Failure> {
        let (mut content, whole) =
            load::usable(&self.input.mappings, &self.rules, &self.lookups, out.quiet())?;
        if content.running().next().is_none() {
            return Err(Failure::argument(
                "no rules",
                "name rule files or folders with -r, or leave it out for the shipped ones",
            ));
        }
        let opened = self.input.open(&mut content, out.quiet())?;
        let mut config = EngineConfig::default();
        if let Some(threads) = self.threads {
            config.workers = threads;
            config.shards = threads;
        }
        config.history = if self.assume_history { History::None } else { History::FirstEvent };
        let engine = Engine {
            rules: Arc::new(content.rule_set()),
            sources: content.sources.clone(),
            config,
        };
        let quiet = out.quiet();
        let source = FileSource::new(opened.input, opened.partitions);
        let bar = progress::bar(source.bytes().1, quiet);
        let mut source = Shown { source, bar: bar.clone() };
        let aside = Aside::new(opened.files.names(), quiet || opened.files.are_several());
        let mut sink = FindingPrinter::new(out, self.live).in_order().beside(bar.clone());
        let stop = setup::interrupt();
        // Printed is what is final, unless every revision is asked for.
        let pace = if self.live { Pace::EveryChange } else { Pace::Final };
        let options = RunOptions { stop: stop.clone(), pace, ..RunOptions::default() };
        let run = engine.run(&mut source, &mut sink, &aside, options)?;
        bar.finish_and_clear();
        let findings = sink.finish()?;
        if !quiet && opened.files.are_several() {
            opened.files.show(&run.counters.partitions, &aside);
        }
        summary(&run, &findings, &content, self.profile, quiet);
        if stop.load(std::sync::atomic::Ordering::Relaxed) {
            return Ok(Exit::Interrupted);
        }
        let failed = self.fail_on_finding && findings.total() > 0;
        Ok(match (failed, whole) {
            (true, _) => Exit::CheckFailed,
            (false, false) => Exit::NotLoaded,
            (false, true) => Exit::Done,
        })
    }
}

/// Files whose progress is shown.
struct Shown {
    source: FileSource,
    bar: ProgressBar,
}

impl Source for Shown {
    fn partitions(&self) -> Vec<Partition> {
        self.source.partitions()
    }

    fn next(&mut self, progress: &Progress) -> Result<Option<Delivery>, EngineError> {
        let next = self.source.next(progress);
        self.bar.set_position(self.source.bytes().0);
        next
    }
}
