//! The tests block of a rule, run on the real engine in every way a stream may come, and once by
//! DataFusion in batch. Not the oracle's random rules: that is in `engine/tests`, over the same
//! [`agree`].

mod asking;
mod compare;
mod rows;

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
    sync::Arc,
};

use arrow::record_batch::RecordBatch;
use sluice_event::TableName;
use sluice_finding::{Finding, FindingId, FindingState};
use sluice_rule::{Rule, RuleTest};
use sluice_sql::{BatchFindings, Compiler};
use sluice_stream::{ExplainNode, Pace};

use crate::{
    Content, Engine, EngineConfig, History, LoadedRule, MemorySink, RuleSet, RunOptions,
    Unobserved,
    baseline::LoadedBaseline,
    finding_rows, findings, lookups,
    replay::{Dice, Replay},
};

pub use compare::same_value;

/// How one case went.
#[derive(Clone, Debug)]
pub struct CaseReport {
    /// The case's name.
    pub name: String,
    /// The line it starts at in the file.
    pub line: usize,
    /// What is not as expected; empty when it passed.
    pub failures: Vec<String>,
}

/// Runs every case of a rule's tests block. `seed` decides splits and shuffles.
pub fn test_rule(content: &Content, loaded: &LoadedRule, seed: u64) -> Vec<CaseReport> {
    loaded
        .rule
        .tests
        .iter()
        .map(|case| CaseReport {
            name: case.name.clone(),
            line: case.line,
            failures: run_case(content, loaded, case, seed).unwrap_or_else(|e| vec![e]),
        })
        .collect()
}

fn run_case(
    content: &Content,
    loaded: &LoadedRule,
    case: &RuleTest,
    seed: u64,
) -> Result<Vec<String>, String> {
    // A case that is not run as written would pass for nothing.
    for (key, used) in
        [("events_file", case.events_file.is_some()), ("baseline", case.baseline.is_some())]
    {
        if used {
            return Err(format!("`{key}` is not run yet: write the case without it"));
        }
    }
    let history = case.history_start.map_or(History::None, History::Since);
    let own = match lookups::for_cases(&content.compiler, &loaded.rule, Some(case))? {
        None => None,
        Some(compiler) => {
            let compiled = compiler.compile_rule(&loaded.rule).map_err(|problems| {
                let shown = problems.iter().map(|p| p.render(Some(&loaded.rule.file.text)));
                shown.collect::<Vec<_>>().join("\n")
            })?;
            let (plan, lookups) = (Arc::new(compiled.plan), compiled.lookups.into());
            Some((compiler, LoadedRule { plan, lookups, rule: loaded.rule.clone() }))
        }
    };
    let (compiler, loaded) =
        own.as_ref().map_or((&content.compiler, loaded), |(compiler, loaded)| (compiler, loaded));
    let aliases = lookups::aliases(compiler.lookups()).map_err(|d| d.primary)?;
    let asks = asking::asked(content, loaded).is_some();
    let replay = rows::replay(content, &aliases, case, asks && !case.ordered)?;
    let listed: Vec<usize> = (0..replay.rows.len()).collect();
    let bench = Bench::over(content, compiler, loaded, history);
    let found = bench.run(&replay, &Way { ends: case.flush, ..Way::whole(&listed) })?;
    let mut failures = compare::expected(&case.expect, &found);
    failures.extend(case.alerts.and_then(|alerts| compare::alerts(alerts, &found)));
    if failures.is_empty() && case.flush {
        failures = agree(&bench, &replay, seed, !case.ordered)?.failures;
    }
    Ok(failures)
}

/// A rule ready to be run over many replays.
#[derive(Debug)]
pub struct Bench<'a> {
    compiler: &'a Compiler,
    loaded: &'a LoadedRule,
    /// Rules whose findings it reads, each after those it reads itself.
    below: &'a [LoadedRule],
    /// The baseline that it asks.
    asked: Option<&'a LoadedBaseline>,
    rules: Arc<RuleSet>,
    history: History,
}

/// One way to run a replay.
#[derive(Clone, Debug)]
pub struct Way {
    /// What to call it in a failure.
    pub name: String,
    /// Indices into the replay's rows in order of arrival.
    pub order: Vec<usize>,
    /// Positions before which a batch is cut.
    pub cuts: Vec<usize>,
    /// Threads that decode, map and match. With several, partitions interleave as they please.
    pub workers: usize,
    /// Threads that hold keyed state.
    pub shards: usize,
    /// Save, throw everything away, and restore after so many deliveries.
    pub restart_after: Option<u64>,
    /// Whether the input ends, or is only silent.
    pub ends: bool,
    /// How soon findings that can still change are reported.
    pub pace: Pace,
}

impl Way {
    /// In the order given, in as few batches as can be, on one shard.
    pub fn whole(order: &[usize]) -> Self {
        Way {
            name: "one batch".to_owned(),
            order: order.to_vec(),
            cuts: Vec::new(),
            workers: 1,
            shards: 1,
            restart_after: None,
            ends: true,
            pace: Pace::EveryChange,
        }
    }
}

impl<'a> Bench<'a> {
    /// Prepares one rule, with the baseline of the content that it asks.
    pub fn new(content: &'a Content, loaded: &'a LoadedRule, history: History) -> Self {
        Bench::over(content, &content.compiler, loaded, history)
    }

    fn over(
        content: &'a Content,
        compiler: &'a Compiler,
        loaded: &'a LoadedRule,
        history: History,
    ) -> Self {
        let asked = asking::asked(content, loaded);
        let running = asked.and_then(|asked| asked.rule.as_ref());
        let all = std::iter::once(loaded).chain(running).cloned().collect();
        let rules = Arc::new(RuleSet::new(all, |table| compiler.schema(table)));
        Bench { compiler, loaded, below: &[], asked, rules, history }
    }

    /// The rules that it runs.
    fn running(&self) -> impl Iterator<Item = &LoadedRule> {
        self.rules.rules().iter()
    }

    /// The rule above others whose findings it reads: each comes after those it reads itself, and gives
    /// its findings a `time`.
    #[must_use]
    pub fn above(self, below: &'a [LoadedRule]) -> Self {
        let all = below.iter().chain([self.loaded]).cloned().collect();
        let rules = Arc::new(RuleSet::new(all, |table| self.compiler.schema(table)));
        Bench { below, rules, ..self }
    }

    /// The rule.
    pub fn rule(&self) -> &Rule {
        &self.loaded.rule
    }

    /// Streams the replay one way: the findings known at the end, withdrawn ones included.
    ///
    /// # Errors
    /// If the pipeline fails, or a counter does not add up.
    pub fn run(&self, replay: &Replay, way: &Way) -> Result<BTreeMap<FindingId, Finding>, String> {
        let threads = |n| NonZeroUsize::new(n).unwrap_or(NonZeroUsize::MIN);
        let engine = Engine {
            rules: self.rules.clone(),
            sources: Vec::new(),
            config: EngineConfig {
                workers: threads(way.workers),
                shards: threads(way.shards),
                history: self.history,
                ..EngineConfig::default()
            },
        };
        let error = |e: &dyn std::fmt::Display| format!("{}: {e}", way.name);
        let mut source = replay.source(&way.order, &way.cuts, way.ends).map_err(|e| error(&e))?;
        let mut sink = MemorySink::default();
        let (stop_after, pace) = (way.restart_after, way.pace);
        let mut options = RunOptions { stop_after, pace, ..RunOptions::default() };
        loop {
            let stopping = options.stop_after.is_some();
            let summary =
                engine.run(&mut source, &mut sink, &Unobserved, options).map_err(|e| error(&e))?;
            let wrong = summary.counters.violations();
            if !wrong.is_empty() {
                return Err(format!("{}: {}", way.name, wrong.join("; ")));
            }
            let resume = sink.take_checkpoint();
            if !stopping || resume.is_none() {
                break;
            }
            options = RunOptions { resume, pace, ..RunOptions::default() };
        }
        // What the engine says of itself is not the rule's.
        let own = |f: &Finding| f.rule_id == self.loaded.plan.rule;
        Ok(sink.findings().iter().filter(|(_, f)| own(f)).map(|(id, f)| (*id, f.clone())).collect())
    }

    /// The rows of every table that reach the rule when the replay comes in this order, with their
    /// ids: what the batch form must be given. Rows too late for a keyed rule are left out, and so
    /// are repetitions of a native id.
    pub fn batch_tables(
        &self,
        replay: &Replay,
        order: &[usize],
    ) -> Result<BTreeMap<TableName, Vec<RecordBatch>>, String> {
        Self::tables_of(self.loaded, replay, order)
    }

    fn tables_of(
        loaded: &LoadedRule,
        replay: &Replay,
        order: &[usize],
    ) -> Result<BTreeMap<TableName, Vec<RecordBatch>>, String> {
        let keyed = !loaded.plan.stage.is_stateless();
        let accepted = replay.accepted(order, loaded.plan.lateness);
        let kept: Vec<usize> = order
            .iter()
            .zip(accepted)
            .filter(|(_, accepted)| !keyed || *accepted)
            .map(|(i, _)| *i)
            .collect();
        rows::batch_tables(replay, &kept)
    }

    /// What DataFusion gives for the same SQL over the same rows: fields by finding id.
    ///
    /// # Errors
    /// If the batch form cannot be run.
    pub fn batch(
        &self,
        replay: &Replay,
        order: &[usize],
    ) -> Result<BTreeMap<FindingId, serde_json::Map<String, serde_json::Value>>, String> {
        if let Some(asked) = self.asked {
            return asking::batch(self, asked, replay, order);
        }
        let mut tables = self.batch_tables(replay, order)?;
        if !self.below.is_empty() {
            let read = self.read_in_batch(replay, order)?;
            tables.insert(TableName::findings(1), vec![read]);
        }
        let found = self.batch_of(self.loaded, &tables)?;
        Ok(found.into_iter().map(|f| (f.id, f.fields)).collect())
    }

    /// The rule's findings in batch.
    fn batch_of(
        &self,
        loaded: &LoadedRule,
        tables: &BTreeMap<TableName, Vec<RecordBatch>>,
    ) -> Result<Vec<Finding>, String> {
        let history = match self.history {
            History::Since(time) => Some(time),
            History::None | History::FirstEvent => None,
        };
        let found = self
            .compiler
            .batch(&loaded.rule, tables, history)
            .map_err(|e| format!("batch form of {}: {e}", loaded.plan.rule))?;
        Ok(Self::findings(loaded, &found))
    }

    fn findings(loaded: &LoadedRule, found: &BatchFindings) -> Vec<Finding> {
        let findings = found.key.iter().enumerate().map(|(row, key)| {
            let mut fields = serde_json::Map::new();
            for (field, column) in found.rows.schema().fields().iter().zip(found.rows.columns()) {
                fields.insert(field.name().clone(), crate::json::value(column, row));
            }
            let versions = loaded.lookup_versions();
            fields.extend(versions.map(|versions| ("lookups".to_owned(), versions)));
            let time = fields.get("time").and_then(serde_json::Value::as_str);
            let time = time.and_then(sluice_rule::resolve_time).unwrap_or_default();
            findings::of_row(EngineConfig::TENANT, loaded, key, fields, time)
        });
        findings.collect()
    }

    /// The findings of the rules below, computed in batch, as the rule reads them: rules of a layer get
    /// those of the layers below it. What was found of a row that was too late is too late for rules
    /// with state.
    fn read_in_batch(&self, replay: &Replay, order: &[usize]) -> Result<RecordBatch, String> {
        let layers = self.rules.layers();
        let mut known: Vec<Finding> = Vec::new();
        let mut in_time: BTreeSet<FindingId> = BTreeSet::new();
        let is_stateless = |rule: &LoadedRule| rule.plan.stage.is_stateless();
        let as_rows = |known: &[Finding], in_time: Option<&BTreeSet<FindingId>>, reader: &str| {
            let below = known.iter().filter(|f| layers.layer(&f.rule_id) < layers.layer(reader));
            let read: Vec<&Finding> =
                below.filter(|f| in_time.is_none_or(|ids| ids.contains(&f.id))).collect();
            finding_rows::rows(EngineConfig::TENANT, &read).map_err(|e| e.to_string())
        };
        for below in self.below {
            let mut all = Self::tables_of(below, replay, order)?;
            let accepted = replay.accepted(order, None);
            let accepted = order.iter().zip(accepted).filter(|(_, a)| *a).map(|(i, _)| *i);
            let mut some = match is_stateless(below) {
                true => rows::batch_tables(replay, &accepted.collect::<Vec<_>>())?,
                false => all.clone(),
            };
            let id = &below.plan.rule;
            if layers.layer(id) > 0 {
                let late = (!is_stateless(below)).then_some(&in_time);
                all.insert(TableName::findings(1), vec![as_rows(&known, late, id)?]);
                some.insert(TableName::findings(1), vec![as_rows(&known, Some(&in_time), id)?]);
            }
            in_time.extend(self.batch_of(below, &some)?.iter().map(|f| f.id));
            // Rows that look alike are one finding.
            let found = self.batch_of(below, &all)?;
            let found: BTreeMap<_, _> = found.into_iter().map(|f| (f.id, f)).collect();
            known.extend(found.into_values());
        }
        let late = (!is_stateless(self.loaded)).then_some(&in_time);
        as_rows(&known, late, &self.loaded.plan.rule)
    }
}

/// What comparing a replay run in every way came to.
#[derive(Clone, Debug, Default)]
pub struct Agreement {
    /// Findings that stand, in the reference run.
    pub findings: usize,
    /// What differs; empty if nothing does.
    pub failures: Vec<String>,
}

/// Runs a replay in every way that must not matter and in batch, and compares.
///
/// # Errors
/// If a run fails outright.
pub fn agree(
    bench: &Bench<'_>,
    replay: &Replay,
    seed: u64,
    shuffle: bool,
) -> Result<Agreement, String> {
    let mut dice = Dice::new(seed);
    let reads = |table: &TableName| {
        bench.running().flat_map(|r| &r.plan.branches).any(|b| b.table == *table)
    };
    let listed: Vec<usize> =
        (0..replay.rows.len()).filter(|i| reads(&replay.rows[*i].table)).collect();
    let reference = net(bench.run(replay, &Way::whole(&listed))?);
    let mut failures = Vec::new();
    for way in ways(&listed, &mut dice) {
        let found = net(bench.run(replay, &way)?);
        failures.extend(compare::same(&way.name, &reference, &found));
    }
    failures.extend(against_batch(bench, replay, &listed, &reference)?);
    if shuffle {
        let mut way = Way::whole(&shuffled(replay, &mut dice));
        way.name = format!("shuffled within lateness (seed {seed})");
        way.shards = 1 + dice.below(3);
        way.workers = 1 + dice.below(2);
        way.cuts = cuts(replay.rows.len(), &mut dice);
        // A shuffle may push a row past its lateness: it is compared with the batch form over what
        // this order accepts, which is the same as the listed order's unless that happened.
        let found = net(bench.run(replay, &way)?);
        failures.extend(
            against_batch(bench, replay, &way.order, &found)?
                .into_iter()
                .map(|f| format!("{}: {f}", way.name)),
        );
    }
    Ok(Agreement { findings: reference.len(), failures })
}

/// Runs a replay in every way that must not matter: the findings that stand, and what differs. For what
/// has no batch form.
///
/// # Errors
/// If a run fails outright.
pub fn same_in_every_way(
    bench: &Bench<'_>,
    replay: &Replay,
    seed: u64,
) -> Result<(BTreeMap<FindingId, Finding>, Vec<String>), String> {
    let mut dice = Dice::new(seed);
    let listed: Vec<usize> = (0..replay.rows.len()).collect();
    let reference = net(bench.run(replay, &Way::whole(&listed))?);
    let mut all = ways(&listed, &mut dice);
    let eight = Way { shards: 8, cuts: cuts(listed.len(), &mut dice), ..Way::whole(&listed) };
    all.push(Way { name: "8 shards".to_owned(), ..eight });
    // Each row is accepted in it that is accepted as listed.
    let order = shuffled(replay, &mut dice);
    all.extend(ways(&order, &mut dice).into_iter().map(|way| Way {
        name: format!("shuffled within lateness, {} (seed {seed})", way.name),
        ..way
    }));
    let mut failures = Vec::new();
    for way in all {
        let found = net(bench.run(replay, &way)?);
        failures.extend(compare::same(&way.name, &reference, &found));
    }
    Ok((reference, failures))
}

fn against_batch(
    bench: &Bench<'_>,
    replay: &Replay,
    order: &[usize],
    found: &BTreeMap<FindingId, Finding>,
) -> Result<Vec<String>, String> {
    let batch = bench.batch(replay, order)?;
    Ok(compare::same_fields("DataFusion in batch", &batch, found))
}

/// Ways over one order of arrival.
fn ways(order: &[usize], dice: &mut Dice) -> Vec<Way> {
    let rows = order.len();
    let whole = Way::whole(order);
    let named = |name: &str| Way { name: name.to_owned(), ..whole.clone() };
    // Never more than there are deliveries: one per cut at least.
    let deliveries = singles(rows).len().max(1);
    vec![
        Way { cuts: singles(rows), ..named("one row per batch") },
        Way {
            cuts: singles(rows),
            pace: Pace::News,
            ..named("one row per batch, changes reported in the end")
        },
        Way { cuts: cuts(rows, dice), shards: 2, ..named("random splits on 2 shards") },
        Way {
            cuts: cuts(rows, dice),
            pace: Pace::Final,
            ..named("random splits, only what is final reported")
        },
        Way {
            cuts: cuts(rows, dice),
            workers: 2,
            shards: 3,
            ..named("random splits on 2 workers and 3 shards")
        },
        Way {
            cuts: singles(rows),
            shards: 1 + dice.below(2),
            restart_after: Some(dice.below(deliveries) as u64),
            pace: [Pace::EveryChange, Pace::News, Pace::Final][dice.below(3)],
            ..named("saved and restored")
        },
    ]
}

/// Every row alone; of many rows, only the first hundred.
fn singles(rows: usize) -> Vec<usize> {
    (0..rows.min(100)).collect()
}

/// Cuts at random: batches of 3 rows on average, of many rows about 100 batches.
fn cuts(rows: usize, dice: &mut Dice) -> Vec<usize> {
    let every = (rows / 100).max(3);
    (0..rows).filter(|_| dice.one_in(every)).collect()
}

/// Another order of arrival in which each row is accepted iff it was before: rows of a partition
/// change places only within its lateness, partitions interleave at random.
pub fn shuffled(replay: &Replay, dice: &mut Dice) -> Vec<usize> {
    let mut order: Vec<usize> = (0..replay.rows.len()).collect();
    let before = replay.accepted(&order, None);
    for _ in 0..order.len() * 2 {
        let at = dice.below(order.len().saturating_sub(1));
        if at + 1 >= order.len() {
            break;
        }
        order.swap(at, at + 1);
        let after = replay.accepted(&order, None);
        let unchanged = order.iter().zip(&after).all(|(i, a)| before[*i] == *a);
        if !unchanged {
            order.swap(at, at + 1);
        }
    }
    order
}

/// The findings that stand.
fn net(findings: BTreeMap<FindingId, Finding>) -> BTreeMap<FindingId, Finding> {
    findings.into_iter().filter(|(_, f)| f.state != FindingState::Withdrawn && !f.capped).collect()
}

/// What became of an event.
#[derive(Debug, Default)]
pub struct EventExplained {
    /// The tables it is a row of.
    pub tables: Vec<TableName>,
    /// Why each row does or does not pass the rule's conditions; conditions that are evaluated last
    /// included. Empty if the rule reads none of the tables.
    pub rows: Vec<ExplainNode>,
    /// Rules that read a table the event is a row of, and whose conditions it passes.
    pub matched: Vec<Arc<str>>,
    /// Rules on other tables whose conditions the event would pass there, with the table.
    pub elsewhere: Vec<(Arc<str>, TableName)>,
}

/// What an event means to a rule, and to the other rules of the content.
///
/// `text` is a row as JSON with a `table` key, or a wire record of `source` (`auto` looks at it).
///
/// # Errors
/// If it is neither.
pub fn explain_event(
    content: &Content,
    loaded: &LoadedRule,
    text: &str,
    source: &str,
) -> Result<EventExplained, String> {
    let replay = rows::event(content, text, source)?;
    let mut explained = EventExplained {
        tables: replay.tables.keys().cloned().collect(),
        rows: Vec::new(),
        matched: Vec::new(),
        elsewhere: Vec::new(),
    };
    for row in &replay.rows {
        let batch = &replay.tables[&row.table];
        let index = row.index as usize;
        for branch in loaded.plan.branches.iter().filter(|b| b.table == row.table) {
            explained.rows.push(sluice_stream::explain(&branch.filter, batch, index));
        }
        for rule in &content.rules {
            let id = &rule.plan.rule;
            for branch in &rule.plan.branches {
                let here = branch.table == row.table;
                // A rule over `events` reads every table: it has a branch for this one.
                if !here && rule.plan.branches.iter().any(|b| b.table == row.table) {
                    continue;
                }
                let passes = |batch: &RecordBatch, index| {
                    sluice_stream::explain(&branch.filter, batch, index).verdict == Some(true)
                };
                if here && passes(batch, index) && !explained.matched.contains(id) {
                    explained.matched.push(id.clone());
                }
                if !here
                    && let Some(moved) = moved(content, batch, index, &branch.table)
                    && passes(&moved, 0)
                    && !explained.elsewhere.iter().any(|(known, _)| known == id)
                {
                    explained.elsewhere.push((id.clone(), branch.table.clone()));
                }
            }
        }
    }
    Ok(explained)
}

/// A row as it would be in another table: the columns both have.
fn moved(
    content: &Content,
    batch: &RecordBatch,
    index: usize,
    to: &TableName,
) -> Option<RecordBatch> {
    let schema = content.compiler.schema(to)?;
    let row = batch.slice(index, 1);
    let columns = schema
        .fields()
        .iter()
        .map(|field| match row.column_by_name(field.name()) {
            Some(column) if column.data_type() == field.data_type() => column.clone(),
            _ => arrow::array::new_null_array(field.data_type(), 1),
        })
        .collect();
    RecordBatch::try_new(schema, columns).ok()
}
