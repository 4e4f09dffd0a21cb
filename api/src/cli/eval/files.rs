//! The files of a run on one screen: what each is, how much of it was read, what was not and why. Not
//! the counters of sources.

use std::collections::BTreeMap;

use sluice_engine::SourceCounts;
use sluice_event::PartitionId;

use super::report::{Aside, cut};
use crate::cli::output::printable;

/// The files that were found, and the source of each that is read.
#[derive(Debug, Default)]
pub(crate) struct Files {
    /// Per partition: the path as given, and its source.
    pub(crate) read: Vec<(String, String)>,
    /// Those that are not read, and why.
    pub(crate) not_read: Vec<(String, String)>,
    /// Whether one of them is text that no source takes.
    pub(crate) are_unknown: bool,
}

/// Files shown one by one; of more, those that were read whole are shown by source.
const SHOWN_MAX: usize = 40;
/// Characters of a path.
const NAME_MAX: usize = 44;
/// Said of a file of which nothing was left out.
const ALL_READ: &str = "all read";

impl Files {
    /// Whether there is more than one: then the screen replaces what is said of each as it is opened.
    pub(crate) fn are_several(&self) -> bool {
        self.read.len() + self.not_read.len() > 1
    }

    /// What to call each partition.
    pub(crate) fn names(&self) -> Vec<String> {
        self.read.iter().map(|(name, _)| name.clone()).collect()
    }

    /// Prints the screen to stderr.
    pub(crate) fn show(&self, counts: &BTreeMap<PartitionId, SourceCounts>, aside: &Aside) {
        let mut whole: BTreeMap<&str, (usize, u64)> = BTreeMap::new();
        let mut lines = Vec::new();
        let few = self.read.len() + self.not_read.len() <= SHOWN_MAX;
        for (index, (name, source)) in self.read.iter().enumerate() {
            let partition = PartitionId(index as u32);
            let none = SourceCounts::default();
            let own = counts.get(&partition).unwrap_or(&none);
            let left = left_out(own, aside, partition);
            if left.is_empty() && !few {
                let (files, records) = whole.entry(source).or_default();
                *files += 1;
                *records += own.received;
                continue;
            }
            let left = if left.is_empty() { ALL_READ.to_owned() } else { left.join("; ") };
            let read = format!("{} of {}", own.mapped + own.mapped_empty, own.received);
            lines.push([short(name), source.clone(), read, left]);
        }
        for (name, why) in &self.not_read {
            lines.push([short(name), "-".to_owned(), "-".to_owned(), format!("not read: {why}")]);
        }
        let in_part = lines.iter().filter(|[_, source, _, left]| source != "-" && left != ALL_READ);
        eprintln!("{}", self.verdict(in_part.count()));
        let more = lines.len().saturating_sub(SHOWN_MAX);
        lines.truncate(SHOWN_MAX);
        let head = ["file", "source", "records read", "what was left out"].map(str::to_owned);
        let width = |column: usize| {
            let cells = lines.iter().chain([&head]).filter_map(|line| line.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
        };
        let [name, source, read] = [0, 1, 2].map(width);
        for [a, b, c, d] in [&head].into_iter().chain(&lines) {
            eprintln!("{a:<name$}  {b:<source$}  {c:>read$}  {d}");
        }
        for (source, (files, records)) in whole {
            eprintln!("{files} more files of {source}: all {records} records read");
        }
        if more > 0 {
            eprintln!("and {more} more files of which something was left out");
        }
        if self.are_unknown {
            eprintln!(
                "a log that no source knows: `sluice mapping new FILE` begins a mapping for it, --source NAME \
                 reads it as one of NAME"
            );
        }
    }

    /// `12 files: 9 read whole, 1 in part, 2 not read`.
    fn verdict(&self, in_part: usize) -> String {
        let (read, not_read) = (self.read.len(), self.not_read.len());
        let counts = [(read - in_part, "read whole"), (in_part, "in part"), (not_read, "not read")];
        let said = counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}"));
        format!("{} files: {}", read + not_read, said.collect::<Vec<_>>().join(", "))
    }
}

/// What of a file made no row as it stands, and why.
fn left_out(counts: &SourceCounts, aside: &Aside, partition: PartitionId) -> Vec<String> {
    let mut left = Vec::new();
    for (code, n) in &counts.dead_letters {
        left.push(match aside.example(partition, code) {
            Some((line, message)) => format!("{n} {code} (line {line}: {})", cut(&message, 120)),
            None => format!("{n} {code}"),
        });
    }
    left.extend(counts.skipped.iter().map(|(reason, n)| format!("{n} {reason}, no event")));
    let bystanders: u64 = counts.skipped.values().sum();
    let headers = counts.dropped.saturating_sub(bystanders);
    let unparsed = counts.unparsed.lines;
    for (n, what) in [
        (headers, "header or comment lines"),
        (unparsed, "lines of known programs that no pattern takes"),
        (counts.truncated, "records over a bound, read in part"),
    ] {
        if n > 0 {
            left.push(format!("{n} {what}"));
        }
    }
    for (flag, (rows, example)) in &counts.time_flags {
        let what = match flag.as_str() {
            "missing" => "rows without a time",
            "invalid" => "rows whose time cannot be read",
            "ambiguous" => "rows at a time that came twice",
            "skipped" => "rows at a time that clocks went over",
            _ => "rows ahead of when they were received",
        };
        let example = example.as_ref().map_or(String::new(), |e| format!(" ({})", cut(e, 40)));
        left.push(format!("{rows} {what}{example}"));
    }
    left
}

/// The end of a path, which tells files of a folder apart: whole names as far as there is room.
fn short(name: &str) -> String {
    let name = printable(name);
    let count = name.chars().count();
    if count <= NAME_MAX {
        return name;
    }
    let end: String = name.chars().skip(count - NAME_MAX + 2).collect();
    match end.find('/') {
        Some(at) if at + 1 < end.len() => format!("..{}", end.get(at..).unwrap_or_default()),
        _ => format!("..{end}"),
    }
}
