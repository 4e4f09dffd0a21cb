//! What a run says about itself on stderr: what was set aside, the counters, where the time went.

use std::{collections::BTreeMap, sync::Mutex};

use sluice_engine::{
    Content, Observer, PlacedDeadLetter, SourceCounts, Summary, durable::Retention,
};
use sluice_event::PartitionId;
use sluice_finding::capped::FINDINGS_CAPPED;
use sluice_ingest::DeadLetter;

use super::tally::{Beyond, Tally};
use crate::cli::output::printable;

/// Reports records that were set aside: the first of them each, then only the counts. Keeps the first
/// of each file and kind for the screen of several files, which replaces those lines.
pub(crate) struct Aside {
    /// The file of each partition.
    names: Vec<String>,
    quiet: bool,
    shown: Mutex<usize>,
    /// The first of each file and code: its line and message.
    first: Mutex<FirstLetters>,
}

/// Line and message of the first dead letter of each file and code.
type FirstLetters = BTreeMap<(PartitionId, &'static str), (u64, String)>;

/// Records reported one by one; a broken file of a million lines must not scroll everything away.
const SHOWN_MAX: usize = 20;

impl Aside {
    pub(crate) fn new(names: Vec<String>, quiet: bool) -> Self {
        Aside { names, quiet, shown: Mutex::new(0), first: Mutex::default() }
    }

    /// The line and message of the first record of a file that was set aside for this.
    pub(super) fn example(&self, partition: PartitionId, code: &str) -> Option<(u64, String)> {
        let first = self.first.lock().ok()?;
        let mut all = first.iter();
        all.find(|((of, own), _)| *of == partition && *own == code).map(|(_, found)| found.clone())
    }

    /// Prints one record that was set aside.
    pub(crate) fn show(&self, letter: &DeadLetter) {
        if let Ok(mut first) = self.first.lock() {
            let found = || (letter.line, letter.message.clone());
            first.entry((letter.partition, letter.code.name())).or_insert_with(found);
        }
        let Ok(mut shown) = self.shown.lock() else { return };
        *shown += 1;
        if self.quiet || *shown > SHOWN_MAX {
            return;
        }
        let name = self.names.get(letter.partition.0 as usize).map_or("input", String::as_str);
        eprintln!("{name}:{}: {}: {}", letter.line, letter.code.name(), printable(&letter.message));
        if *shown == SHOWN_MAX {
            eprintln!("further records that are set aside are only counted");
        }
    }
}

impl Observer for Aside {
    fn dead_letters(&self, letters: &[PlacedDeadLetter]) {
        letters.iter().for_each(|aside| self.show(&aside.letter));
    }
}

/// The end of a run, on stderr.
pub(crate) fn summary(
    run: &Summary,
    findings: &Tally,
    content: &Content,
    profile: bool,
    quiet: bool,
) {
    if profile {
        let total: f64 = run.times.stages().iter().map(|(_, t)| t.as_secs_f64()).sum();
        for (stage, time) in run.times.stages() {
            let share = 100.0 * time.as_secs_f64() / total.max(f64::MIN_POSITIVE);
            eprintln!("{stage:<8} {:>8.3} s  {share:>5.1} %", time.as_secs_f64());
        }
    }
    for violation in run.counters.violations() {
        eprintln!("error: the counters do not add up (a defect of ours): {violation}");
    }
    if quiet {
        return;
    }
    sources(&run.counters.sources, quiet);
    for (source, n) in &findings.contested {
        eprintln!(
            "{source}: {n} findings are contested: their record has the id of an earlier one and says \
             something else"
        );
    }
    for (rule, counts) in &run.counters.rules {
        if counts.errors > 0 {
            let reason = counts.error.as_deref().unwrap_or("");
            eprintln!("  {rule}: failed on {} rows, which did not match: {reason}", counts.errors);
        }
        if counts.first_seen_cold > 0 {
            eprintln!(
                "  {rule}: {} rows came before there was enough history to call anything new; \
                 --assume-history takes it as complete",
                counts.first_seen_cold
            );
        }
    }
    eprintln!(
        "{} findings by {} of {} rules{}",
        findings.total(),
        findings.rules.len(),
        content.running().count(),
        if findings.withdrawn > 0 {
            format!("; {} withdrawn by late events", findings.withdrawn)
        } else {
            String::new()
        }
    );
    for (rule, n) in &findings.rules {
        match findings.repeats.get(rule) {
            Some(repeats) => eprintln!(
                "  {n:>6}  {rule}: {} stand out, {repeats} repeats are folded (suppression)",
                n - repeats
            ),
            None => eprintln!("  {n:>6}  {rule}"),
        }
    }
    let most = Retention::default().findings_per_minute;
    for (rule, Beyond { findings, minutes }) in findings.beyond(most) {
        eprintln!(
            "  {rule}: {findings} findings in {minutes} minutes of event time are beyond the {most} that a \
             service keeps of a rule and minute unless `findings_per_minute` of `[retention]` says \
             otherwise; it reports them as one finding a minute, {FINDINGS_CAPPED}"
        );
    }
}

/// What became of the records and rows of each source.
pub(crate) fn sources(counters: &BTreeMap<String, SourceCounts>, quiet: bool) {
    if quiet {
        return;
    }
    for (source, counts) in counters {
        let aside: u64 = counts.dead_letters.values().sum();
        eprintln!(
            "{source}: received {} = mapped {} + to no row {} + set aside {aside} + dropped {}",
            counts.received, counts.mapped, counts.mapped_empty, counts.dropped
        );
        for (code, n) in &counts.dead_letters {
            eprintln!("  set aside: {n} {code}");
        }
        for (table, rows) in &counts.rows {
            eprintln!(
                "  {table}: {} rows = {} evaluated + {} too late for rules that remember",
                rows.mapped, rows.evaluated, rows.too_late
            );
        }
        for (reason, n) in &counts.skipped {
            eprintln!("  skipped: {n} {reason}");
        }
        if counts.unparsed.lines > 0 {
            let share = 100 * counts.unparsed.lines / counts.mapped.max(1);
            let badly = if counts.reads_badly() { ", so rules miss what they say" } else { "" };
            eprintln!(
                "  unparsed: {} lines of known programs ({share} %{badly}), e.g.",
                counts.unparsed.lines
            );
            for line in counts.unparsed.examples.iter().take(3) {
                eprintln!("    {}", printable(line));
            }
        }
        if counts.truncated > 0 {
            eprintln!(
                "  truncated: {} records are over a bound; their first fields were read",
                counts.truncated
            );
        }
        if counts.duplicate_keys > 0 {
            eprintln!(
                "  twice: {} fields are there twice in an object; the last value was read \
                 (--duplicate-keys set_aside refuses such records)",
                counts.duplicate_keys
            );
        }
        for (flag, (rows, example)) in &counts.time_flags {
            let what = match flag.as_str() {
                "missing" => "have no time, and count as when they were received",
                "invalid" => {
                    "have a time that cannot be read, and count as when they were received"
                }
                "ambiguous" => {
                    "have a time that clocks of the zone showed twice; it is taken as the first until \
                     the log goes back"
                }
                "skipped" => {
                    "have a time that clocks of the zone never showed; it is read as before they \
                     were put forward"
                }
                _ => "are ahead of when they were received, and count as then",
            };
            let example =
                example.as_ref().map_or(String::new(), |e| format!(", e.g. {}", cut(e, 40)));
            eprintln!("  time {flag}: {rows} rows {what}{example}");
        }
        for (column, n) in &counts.conflicts {
            eprintln!("  {n} values of `{column}` were of another type and are NULL");
        }
        let unmapped: Vec<String> = counts
            .unmapped_fields
            .iter()
            .take(8)
            .map(|(field, (n, example))| {
                format!("{} ({n}, e.g. {})", printable(field), cut(example, 40))
            })
            .collect();
        if !unmapped.is_empty() {
            let more = counts.unmapped_fields.len() - unmapped.len();
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            eprintln!("  fields no mapping reads: {}{more}", unmapped.join(", "));
        }
    }
}

/// The first `max` characters of a text.
pub(super) fn cut(text: &str, max: usize) -> String {
    let shown = printable(text);
    match shown.char_indices().nth(max) {
        Some((at, _)) => format!("{}..", shown.get(..at).unwrap_or_default()),
        None => shown,
    }
}
