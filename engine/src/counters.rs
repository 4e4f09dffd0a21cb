//! What came in, what went on, what was set aside: disjoint counters that add up.

use std::collections::BTreeMap;

use sluice_event::{PartitionId, TableName};

/// The counts of one mapping source.
///
/// The conservation law: `received = mapped + mapped_empty + dead_letters + dropped`, and per table
/// `rows.mapped = rows.evaluated + rows.too_late`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceCounts {
    /// Records framed, bad ones included.
    pub received: u64,
    /// Records that made at least one row.
    pub mapped: u64,
    /// Records that a mapping took and made no row of.
    pub mapped_empty: u64,
    /// Records set aside, by code.
    pub dead_letters: BTreeMap<String, u64>,
    /// Records that are no events: header lines, comments, bystanders.
    pub dropped: u64,
    /// Those of them that are bystanders, by what they are: `cloudtrail digest`.
    pub skipped: BTreeMap<String, u64>,
    /// Lines of a known program that no pattern took, and examples; they are among the mapped.
    pub unparsed: sluice_ingest::Unparsed,
    /// Records over a bound of which only the first fields made rows; they are among the mapped.
    pub truncated: u64,
    /// Fields that a mapping reads and an object has twice; the last value was read.
    pub duplicate_keys: u64,
    /// Rows whose time is not the one the record claims, by why: how many, and a claimed time.
    pub time_flags: BTreeMap<String, (u64, Option<String>)>,
    /// Rows by table.
    pub rows: BTreeMap<TableName, RowCounts>,
    /// Values that were not of their declared type and became NULL, by column.
    pub conflicts: BTreeMap<String, u64>,
    /// Top-level fields no mapping reads: how often, and an example.
    pub unmapped_fields: BTreeMap<String, (u64, String)>,
}

/// The counts of the rows of one table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowCounts {
    /// Rows made.
    pub mapped: u64,
    /// Rows every rule of the table could use.
    pub evaluated: u64,
    /// Rows further behind their partition than its lateness: only stateless rules saw them.
    pub too_late: u64,
}

/// The counts of one rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleCounts {
    /// Rows that passed its condition.
    pub matched: u64,
    /// Rows on which an expression of it failed; they did not match.
    pub errors: u64,
    /// The first failure.
    pub error: Option<String>,
    /// Rows its keyed operator never got because they were too late.
    pub too_late: u64,
    /// Rows its operator had already, by native id.
    pub duplicates: u64,
    /// First-seen rows before there was enough history to tell.
    pub first_seen_cold: u64,
    /// Keys given up at a limit, and rows no longer kept one by one.
    pub evicted: u64,
    /// How often a limit was hit on which its verdicts can depend, once per key and hour; each is a
    /// finding too, [`RULE_DEGRADED`](crate::RULE_DEGRADED).
    pub degraded: u64,
}

/// All counts of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// By mapping source.
    pub sources: BTreeMap<String, SourceCounts>,
    /// By rule id.
    pub rules: BTreeMap<String, RuleCounts>,
    /// By partition, of inputs that end: a file each. Records only.
    pub partitions: BTreeMap<PartitionId, SourceCounts>,
}

impl SourceCounts {
    /// What is missing or surplus in the conservation law; empty when it holds.
    pub fn violations(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let aside: u64 = self.dead_letters.values().sum();
        let known = self.mapped + self.mapped_empty + aside + self.dropped;
        if self.received != known {
            wrong.push(format!("records: received {} but accounted for {known}", self.received));
        }
        for (table, rows) in &self.rows {
            if rows.mapped != rows.evaluated + rows.too_late {
                wrong.push(format!(
                    "rows of {table}: mapped {} but evaluated {} + too late {}",
                    rows.mapped, rows.evaluated, rows.too_late
                ));
            }
        }
        wrong
    }

    /// Adds what `ingest` counted of the records of a chunk.
    pub fn add_records(&mut self, counts: &sluice_ingest::Counts) {
        self.received += counts.records;
        self.mapped += counts.mapped;
        self.mapped_empty += counts.mapped_empty;
        self.dropped += counts.dropped;
        for (code, n) in &counts.dead_letters {
            *self.dead_letters.entry(code.name().to_owned()).or_default() += n;
        }
        for (column, n) in &counts.conflicts {
            *self.conflicts.entry(column.clone()).or_default() += n;
        }
        for (reason, n) in &counts.skipped {
            *self.skipped.entry(reason.to_string()).or_default() += n;
        }
        self.unparsed.add(&counts.unparsed);
        self.truncated += counts.truncated;
        self.duplicate_keys += counts.duplicate_keys;
        for (flag, flagged) in &counts.time_flags {
            self.add_time_flag(flag, flagged.rows, flagged.example.as_ref());
        }
    }

    fn add_time_flag(&mut self, flag: &str, rows: u64, example: Option<&String>) {
        let own = self.time_flags.entry(flag.to_owned()).or_default();
        own.0 += rows;
        own.1 = own.1.take().or_else(|| example.cloned());
    }

    /// Whether so many lines of known programs say nothing that rules will miss what they are for:
    /// a tenth of what was mapped, and at least twenty.
    pub fn reads_badly(&self) -> bool {
        self.unparsed.lines >= 20 && self.unparsed.lines * 10 >= self.mapped
    }

    /// Adds the fields that no mapping reads.
    pub fn add_unmapped(&mut self, unmapped: &sluice_ingest::Unmapped) {
        for field in unmapped.fields() {
            let seen = self
                .unmapped_fields
                .entry(field.name.clone())
                .or_insert_with(|| (0, field.example.clone()));
            seen.0 += field.records;
        }
    }

    /// Adds another count of the same source.
    pub fn add(&mut self, other: &SourceCounts) {
        self.received += other.received;
        self.mapped += other.mapped;
        self.mapped_empty += other.mapped_empty;
        self.dropped += other.dropped;
        for (code, n) in &other.dead_letters {
            *self.dead_letters.entry(code.clone()).or_default() += n;
        }
        for (table, n) in &other.rows {
            let rows = self.rows.entry(table.clone()).or_default();
            rows.mapped += n.mapped;
            rows.evaluated += n.evaluated;
            rows.too_late += n.too_late;
        }
        for (column, n) in &other.conflicts {
            *self.conflicts.entry(column.clone()).or_default() += n;
        }
        for (reason, n) in &other.skipped {
            *self.skipped.entry(reason.clone()).or_default() += n;
        }
        self.unparsed.add(&other.unparsed);
        self.truncated += other.truncated;
        self.duplicate_keys += other.duplicate_keys;
        for (flag, (rows, example)) in &other.time_flags {
            self.add_time_flag(flag, *rows, example.as_ref());
        }
        for (field, (n, example)) in &other.unmapped_fields {
            let seen =
                self.unmapped_fields.entry(field.clone()).or_insert_with(|| (0, example.clone()));
            seen.0 += n;
        }
    }
}

impl RuleCounts {
    /// Adds another count of the same rule.
    pub fn add(&mut self, other: &RuleCounts) {
        self.matched += other.matched;
        self.errors += other.errors;
        if self.error.is_none() {
            self.error.clone_from(&other.error);
        }
        self.too_late += other.too_late;
        self.duplicates += other.duplicates;
        self.first_seen_cold += other.first_seen_cold;
        self.evicted += other.evicted;
        self.degraded += other.degraded;
    }
}

impl Counters {
    /// Adds the counts of another part of the same run.
    pub fn add(&mut self, other: &Counters) {
        for (source, counts) in &other.sources {
            self.sources.entry(source.clone()).or_default().add(counts);
        }
        for (rule, counts) in &other.rules {
            self.rules.entry(rule.clone()).or_default().add(counts);
        }
        for (partition, counts) in &other.partitions {
            self.partitions.entry(*partition).or_default().add(counts);
        }
    }

    /// What is missing or surplus anywhere; empty when every record and row is accounted for.
    pub fn violations(&self) -> Vec<String> {
        self.sources
            .iter()
            .flat_map(|(s, c)| c.violations().into_iter().map(move |v| format!("{s}: {v}")))
            .collect()
    }
}
