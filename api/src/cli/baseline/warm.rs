//! `sluice baseline warm-start`: what baselines learn from log files, or from the events that a node keeps,
//! before it goes live. The node must not run meanwhile.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use clap::Args;
use serde_json::json;
use sluice_engine::{
    Content, EngineConfig, FileSource, Unobserved,
    baseline::{WarmStart, Warmed, warm_start},
    history::EventHistory,
};
use sluice_event::TableName;

use crate::{
    cli::{
        Format,
        eval::{Aside, InputArgs},
        exit::{Exit, Failure},
        load,
        output::Output,
        setup,
    },
    node::{history_dir, open_for_state},
};

/// Learn from log files what is usual, before a node goes live
///
/// Runs the baselines over the files as the service does and puts what they learned into its data
/// directory; the service must not run meanwhile. Nothing is found of that time: no finding, no risk,
/// no signal. Rows that come later and are older than the files are too late for these baselines.
/// Name the rules, mappings and lookups of the configuration: what a baseline learned is of its text.
/// The folder `history` of the data directory stands for the events that are kept there: a baseline that
/// is new, or was edited, learns what it would have learned had it been there. What comes later goes on
/// from there.
///
///   sluice baseline warm-start --data-dir ./data logs/*.ndjson.zst
///   sluice baseline warm-start --data-dir ./data --replace ./data/history
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Warm {
    #[command(flatten)]
    input: InputArgs,
    /// The `data_dir` of the configuration; it is made if it is not there.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Rule and baseline files or folders; `builtin` is what this binary ships.
    #[arg(short, long, value_name = "PATH", default_value = "builtin")]
    rules: Vec<PathBuf>,
    /// Lookup files or folders that the baselines ask.
    #[arg(long, value_name = "PATH")]
    lookups: Vec<PathBuf>,
    /// Forget what these baselines have learned by now.
    #[arg(long)]
    replace: bool,
}

impl Warm {
    pub(crate) fn run(self, out: &mut Output) -> Result<Exit, Failure> {
        let quiet = out.quiet();
        let mut content = load::content(&self.input.mappings, &self.rules, &self.lookups, quiet)?;
        if content.baselines.is_empty() {
            let hint = "name folders that hold `baselines/`, or leave -r out for the shipped ones";
            return Err(Failure::argument("no baselines", hint));
        }
        let (store, vnode_secret) = open_for_state(&self.data_dir)?;
        let from_history = self.input.is_folder(&history_dir(&self.data_dir));
        let opened = match from_history {
            true => None,
            false => Some(self.input.open(&mut content, quiet)?),
        };
        let warm = WarmStart {
            content: &content,
            config: EngineConfig { vnode_secret, ..EngineConfig::default() },
            store: &store,
            replace: self.replace,
            stop: setup::interrupt(),
        };
        let warmed = match opened {
            Some(opened) => {
                let aside = Aside::new(opened.files.names(), quiet);
                let mut source = FileSource::new(opened.input, opened.partitions);
                warm_start(warm, &mut source, &aside)?
            }
            None => {
                let history = EventHistory::at_rest(&history_dir(&self.data_dir), &store)?;
                let mut source = history.source(&tables(&content), EngineConfig::TENANT);
                let warmed = warm_start(warm, &mut source, &Unobserved)?;
                for gap in source.gaps() {
                    let (rows, table, detail) = (gap.rows, gap.table, gap.detail);
                    eprintln!("not learned: {rows} rows of {table}, {}: {detail}", gap.loss.name());
                }
                warmed
            }
        };
        if !warmed.known.is_empty() {
            let names: Vec<&str> = warmed.known.iter().map(AsRef::as_ref).collect();
            return Err(Failure::argument(
                format!("{} learned something already", names.join(", ")),
                "--replace forgets it and learns from the files alone",
            ));
        }
        if warmed.is_stopped {
            eprintln!("stopped: nothing was kept");
            return Ok(Exit::Interrupted);
        }
        show(&warmed, out)?;
        Ok(Exit::Done)
    }
}

/// The tables that baselines read.
fn tables(content: &Content) -> BTreeSet<TableName> {
    let rules = content.baselines.iter().filter_map(|baseline| baseline.rule.as_ref());
    let branches = rules.flat_map(|rule| &rule.plan.branches);
    branches.map(|branch| branch.table.clone()).collect()
}

fn show(warmed: &Warmed, out: &mut Output) -> Result<(), Failure> {
    let counters = &warmed.summary.counters;
    let counts = |name: &Arc<str>| counters.rules.get(&**name).cloned().unwrap_or_default();
    if out.format() != Format::Table {
        for (name, entities) in &warmed.entities {
            let counts = counts(name);
            out.json_line(&json!({
                "baseline_id": &**name, "entities": entities, "rows": counts.matched,
                "too_late": counts.too_late,
            }))?;
        }
        return Ok(());
    }
    let row = |(name, entities): &(Arc<str>, u64)| {
        let counts = counts(name);
        let numbers = [*entities, counts.matched, counts.too_late];
        let numbers = numbers.into_iter().map(|n| n.to_string());
        std::iter::once(name.to_string()).chain(numbers).collect()
    };
    let rows: Vec<Vec<String>> = warmed.entities.iter().map(row).collect();
    out.table(&["baseline", "entities", "rows", "too late"], &rows)
}
