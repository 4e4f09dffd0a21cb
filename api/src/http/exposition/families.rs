//! The metric families made of a snapshot: one line per metric.

use std::collections::BTreeMap;

use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};
use sluice_engine::{
    durable::StoreStats,
    history::{HistoryStats, Loss},
    service::{Phase, RuleHealth, ServiceStatus},
};

use super::Snapshot;
use crate::node::{
    memory::Pressure,
    signals::{OpaStats, SignalStats, TopicStats},
    webhooks::WebhookStats,
};

/// Families by name, each with its help.
#[derive(Default)]
struct Families(BTreeMap<&'static str, (&'static str, Vec<Sample>)>);

/// Labels and a value.
type Sample = (Vec<(&'static str, String)>, f64);

/// What a snapshot says.
pub(super) fn families(snapshot: &Snapshot) -> Vec<MetricFamily> {
    let Snapshot { status, stats, index_lag, version, now, .. } = snapshot;
    let (index_lag, now) = (*index_lag, *now);
    let mut out = Families::default();
    out.add("sluice_build_info", "The program that runs.", &[("version", version)], 1.0);
    records(&mut out, status);
    inputs(&mut out, status, now);
    for rule in &status.rules {
        of_rule(&mut out, rule);
    }
    out.add("sluice_rules_loaded", "Rules that run.", &[], status.rules.len() as f64);
    for (stage, time) in status.times.stages() {
        let labels = [("stage", stage)];
        let help = "Time of the threads by stage.";
        out.add("sluice_stage_seconds_total", help, &labels, time.as_secs_f64());
    }
    service(&mut out, status, now);
    store(&mut out, stats);
    history(&mut out, &snapshot.history);
    if let Some(lag) = index_lag {
        let help = "How far search is behind the store.";
        out.add("sluice_index_lag_seconds", help, &[], lag as f64 / 1_000.0);
    }
    for (place, n) in sluice_event::defect::defects().places {
        let help = "Defects of this program: what cannot happen and did. Must be 0.";
        out.add("sluice_defects_total", help, &[("place", place)], n as f64);
    }
    followers(&mut out, snapshot);
    requests(&mut out, snapshot);
    if let Some(stats) = &snapshot.signals {
        signals(&mut out, stats);
    }
    if let Some(stats) = &snapshot.webhooks {
        webhooks(&mut out, stats);
    }
    for (input, silent) in &snapshot.silent {
        let help = "1 if nothing has come from an input for longer than it may be quiet.";
        out.add("sluice_input_silent", help, &[("input", input.as_str())], f64::from(*silent));
    }
    for (input, outcomes) in &snapshot.received {
        for (outcome, count) in outcomes {
            let help = "Security event tokens of other transmitters, and what became of them.";
            let of = [("input", input.as_str()), ("outcome", *outcome)];
            out.add("sluice_received_tokens_total", help, &of, *count as f64);
        }
    }
    out.finish()
}

fn signals(out: &mut Families, stats: &SignalStats) {
    let totals = stats.totals;
    for (outcome, count) in [
        ("made", totals.made),
        ("delivered", totals.delivered),
        ("retried", totals.retried),
        ("dead_letter", totals.dead_letters),
        ("superseded", totals.superseded),
        ("dropped", totals.dropped),
        ("shadow", totals.shadow),
        ("held", totals.held),
        ("muted", totals.muted),
        ("nonconformant", totals.nonconformant),
        ("stale", totals.stale),
        ("flapping", totals.flapping),
    ] {
        let help = "Signals made, and what became of them or of an attempt.";
        out.add("sluice_signals_total", help, &[("outcome", outcome)], count as f64);
    }
    for (receiver, [queued, dead, stopped, oldest]) in &stats.receivers {
        let of = [("receiver", receiver.as_str())];
        out.add("sluice_signal_queue", "Signals that wait for a receiver.", &of, *queued as f64);
        let help = "Signals that a receiver refused and that are kept.";
        out.add("sluice_signal_dead_letters", help, &of, *dead as f64);
        let help = "Streams of a receiver that are paused or disabled.";
        out.add("sluice_signal_streams_stopped", help, &of, *stopped as f64);
        let help = "Seconds that the oldest signal of a receiver waits.";
        out.add("sluice_signal_oldest_seconds", help, &of, *oldest as f64);
    }
    let help = "Level changes that wait for a person because there were too many.";
    out.add("sluice_signal_storm_held", help, &[], stats.held as f64);
    for OpaStats { name, state, .. } in &stats.opa {
        let opa = ("opa", name.as_str());
        for (outcome, count) in
            [("put", state.puts), ("patch", state.patches), ("failed", state.failed)]
        {
            let help = "Writes of levels to an Open Policy Agent, and what became of them.";
            out.add("sluice_opa_writes_total", help, &[opa, ("outcome", outcome)], count as f64);
        }
        let help = "1 while an Open Policy Agent has not taken the last write.";
        out.add("sluice_opa_failing", help, &[opa], f64::from(state.error.is_some()));
    }
    if let Some(TopicStats { topic, pending, state }) = &stats.topic {
        let topic = ("topic", topic.as_str());
        for (outcome, count) in [("written", state.written), ("failed", state.failed)] {
            let help = "Records of levels written to Kafka, and attempts that failed.";
            let of = [topic, ("outcome", outcome)];
            out.add("sluice_risk_topic_records_total", help, &of, count as f64);
        }
        let help = "Records of levels that are not written to Kafka yet.";
        out.add("sluice_risk_topic_pending", help, &[topic], *pending as f64);
    }
    for (kind, count) in &stats.quarantined {
        let help = "Entities that a person has quarantined.";
        out.add("sluice_quarantined", help, &[("kind", kind.name())], *count as f64);
    }
}

fn webhooks(out: &mut Families, stats: &WebhookStats) {
    let totals = &stats.totals;
    for (outcome, count) in [
        ("made", totals.made),
        ("delivered", totals.delivered),
        ("retried", totals.retried),
        ("dead_letter", totals.dead_letters),
        ("dropped", totals.dropped),
    ] {
        let help = "Messages of webhooks made, and what became of them or of an attempt.";
        out.add("sluice_webhook_messages_total", help, &[("outcome", outcome)], count as f64);
    }
    for (name, health) in &stats.targets {
        let of = [("webhook", name.as_str())];
        let help = "Messages that wait for a webhook.";
        out.add("sluice_webhook_queue", help, &of, health.queued as f64);
        let help = "Messages that a webhook did not take and that are kept.";
        out.add("sluice_webhook_dead_letters", help, &of, health.dead_letters as f64);
        let help = "1 if nothing is posted to a webhook until somebody enables it.";
        out.add("sluice_webhook_disabled", help, &of, f64::from(health.disabled.is_some()));
    }
}

fn followers(out: &mut Families, snapshot: &Snapshot) {
    for (name, progress) in &snapshot.followers {
        let of = [("follower", *name)];
        let behind = snapshot.last.saturating_sub(progress.at);
        let help = "Changes of the store that a follower has not committed.";
        out.add("sluice_follower_behind", help, &of, behind as f64);
        let help = "Failures of a follower since the process started.";
        out.add("sluice_follower_failures_total", help, &of, progress.failures_total as f64);
    }
}

fn requests(out: &mut Families, snapshot: &Snapshot) {
    for pool in &snapshot.pools {
        let of = [("pool", pool.name)];
        let help = "Pieces of work that a pool does at a time.";
        out.add("sluice_pool_places", help, &of, pool.places as f64);
        out.add("sluice_pool_busy", "Places held.", &of, pool.busy as f64);
        out.add("sluice_pool_waiting", "Requests that wait.", &of, pool.waiting as f64);
        let help = "Requests refused because no place became free in time.";
        out.add("sluice_pool_refused_total", help, &of, pool.refused as f64);
    }
    let processor = &snapshot.processor;
    let help = "Seconds of processor time charged to tokens.";
    out.add("sluice_token_processor_seconds_total", help, &[], processor.charged);
    let help = "Tokens that use much of the processor while others work.";
    out.add("sluice_tokens_heavy", help, &[], processor.heavy as f64);
    let help = "Requests that waited because their token had used its share of the processor.";
    out.add("sluice_token_processor_waited_total", help, &[], processor.waited as f64);
    let help = "Those of them that were refused.";
    out.add("sluice_token_processor_refused_total", help, &[], processor.refused as f64);
    let (most, held, refused) = snapshot.request_memory;
    let help = "Bytes that bodies and answers in flight may take.";
    out.add("sluice_request_memory_limit_bytes", help, &[], most as f64);
    out.add("sluice_request_memory_bytes", "Bytes of them held.", &[], held as f64);
    let help = "Times a request got no memory.";
    out.add("sluice_request_memory_refused_total", help, &[], refused as f64);
    let (used, limit) = snapshot.memory;
    out.add("sluice_memory_bytes", "Memory of the process.", &[], used as f64);
    out.add("sluice_memory_limit_bytes", "What it may have.", &[], limit as f64);
    for (word, level) in [("queries", Pressure::Queries), ("inputs", Pressure::Inputs)] {
        let help = "1 while something gives way for want of memory.";
        let on = f64::from(u8::from(snapshot.pressure >= level));
        out.add("sluice_memory_pressure", help, &[("refused", word)], on);
    }
}

fn records(out: &mut Families, status: &ServiceStatus) {
    for (source, counts) in &status.counters.sources {
        let of = [("source", source.as_str())];
        out.add("sluice_records_received_total", "Records received.", &of, counts.received as f64);
        let help = "Records that made at least one row.";
        out.add("sluice_records_mapped_total", help, &of, counts.mapped as f64);
        let help = "Records whose mapping made no row of them.";
        out.add("sluice_records_mapped_empty_total", help, &of, counts.mapped_empty as f64);
        for (code, n) in &counts.dead_letters {
            let labels = [("source", source.as_str()), ("code", code.as_str())];
            let help = "Records set aside.";
            out.add("sluice_records_dead_letter_total", help, &labels, *n as f64);
        }
        // Bystanders by what they are, of the declared envelopes; the rest is headers and comments.
        let help = "Records that are no events.";
        let bystanders: u64 = counts.skipped.values().sum();
        for (reason, n) in &counts.skipped {
            let labels = [("source", source.as_str()), ("reason", reason.as_str())];
            out.add("sluice_records_dropped_total", help, &labels, *n as f64);
        }
        let labels = [("source", source.as_str()), ("reason", "header or comment")];
        let others = counts.dropped.saturating_sub(bystanders);
        out.add("sluice_records_dropped_total", help, &labels, others as f64);
        let help = "Lines of known programs that no pattern took.";
        out.add("sluice_records_unparsed_total", help, &of, counts.unparsed.lines as f64);
        let help = "Records over a bound of which only the first fields were read.";
        out.add("sluice_records_truncated_total", help, &of, counts.truncated as f64);
        let help = "Fields that a mapping reads and an object has twice; the last value was read.";
        out.add("sluice_duplicate_keys_total", help, &of, counts.duplicate_keys as f64);
        for (flag, (rows, _)) in &counts.time_flags {
            let labels = [("source", source.as_str()), ("flag", flag.as_str())];
            let help = "Rows whose time is not the one their record claims.";
            out.add("sluice_rows_time_flagged_total", help, &labels, *rows as f64);
        }
        for (table, rows) in &counts.rows {
            let labels = [("source", source.as_str()), ("table", table.as_str())];
            out.add("sluice_rows_mapped_total", "Rows made.", &labels, rows.mapped as f64);
            let help = "Rows every rule of the table could use.";
            out.add("sluice_rows_evaluated_total", help, &labels, rows.evaluated as f64);
            let help = "Rows too late for rules with a window.";
            out.add("sluice_rows_too_late_total", help, &labels, rows.too_late as f64);
        }
        for (column, n) in &counts.conflicts {
            let labels = [("source", source.as_str()), ("column", column.as_str())];
            let help = "Values not of their declared type, now NULL.";
            out.add("sluice_schema_conflicts_total", help, &labels, *n as f64);
        }
        // Names of fields are the sender's: a label would not be bounded.
        let unmapped: u64 = counts.unmapped_fields.values().map(|(n, _)| n).sum();
        let help = "Occurrences of top-level fields that no mapping reads.";
        out.add("sluice_unmapped_fields_total", help, &of, unmapped as f64);
    }
    let wrong = status.counters.violations().len() as f64;
    let help = "Counts that do not add up: records or rows lost without a reason. Must be 0.";
    out.add("sluice_conservation_error", help, &[], wrong);
}

fn inputs(out: &mut Families, status: &ServiceStatus, now: i64) {
    for input in &status.inputs {
        let name = &*input.name;
        let of = [("source", name)];
        let shown = &input.status;
        let (phase, _) = super::super::sources::phase(&shown.phase);
        for word in ["starting", "running", "paused", "retrying", "failed", "stopped"] {
            let labels = [("source", name), ("phase", word)];
            let help = "1 for what an input is doing.";
            out.add("sluice_source_phase", help, &labels, f64::from(u8::from(word == phase)));
        }
        for (place, lag) in &shown.places {
            let Some(lag) = lag else { continue };
            if let Some((topic, partition)) = place.part.rsplit_once('/') {
                let labels = [("source", name), ("topic", topic), ("partition", partition)];
                let help = "Records not yet read of a partition.";
                out.add("sluice_kafka_lag", help, &labels, *lag as f64);
            }
        }
        for (kind, n) in &shown.rebalances {
            let labels = [("source", name), ("kind", kind)];
            let help = "Assignments and revocations of partitions.";
            out.add("sluice_kafka_rebalances_total", help, &labels, *n as f64);
        }
        let help = "Partitions paused because the engine is behind.";
        out.add("sluice_kafka_paused_partitions", help, &of, shown.paused as f64);
        let help = "Times an input made no progress and started over.";
        out.add("sluice_kafka_stalled_total", help, &of, shown.stalled as f64);
        let missing: u64 = shown.gaps.iter().map(|(_, from, to)| to.saturating_sub(*from)).sum();
        let help = "Records that were gone before they were read.";
        out.add("sluice_records_missing_total", help, &of, missing as f64);
        let help = "Dead letters not kept yet: with 1,024 of them an input is not read on.";
        out.add("sluice_dead_letters_waiting", help, &of, input.dead_letters_waiting as f64);
        let help = "Bytes pushed and not yet processed.";
        out.add("sluice_spool_bytes", help, &of, shown.spool_bytes as f64);
        // The oldest partition decides: it is what windows wait for.
        let oldest = input.partitions.iter().filter_map(|(_, _, time)| *time).min();
        if let Some(time) = oldest {
            let help = "How far the event time of the slowest partition is behind the clock.";
            out.add("sluice_watermark_lag_seconds", help, &of, (now - time) as f64 / 1_000.0);
        }
    }
}

fn of_rule(out: &mut Families, rule: &RuleHealth) {
    let of = [("rule", &*rule.id)];
    let help = "Time spent on a rule.";
    out.add("sluice_rule_eval_seconds_total", help, &of, rule.nanos as f64 / 1e9);
    let help = "Rows of the tables a rule reads.";
    out.add("sluice_rule_candidates_total", help, &of, rule.rows_seen as f64);
    let help = "Rows that passed a rule's condition.";
    out.add("sluice_rule_matches_total", help, &of, rule.matched as f64);
    out.add("sluice_rule_findings_total", "Findings a rule made.", &of, rule.findings as f64);
    out.add("sluice_rule_keys", "Keys a rule remembers.", &of, rule.keys as f64);
    let help = "What a rule remembers, roughly.";
    out.add("sluice_rule_state_bytes", help, &of, rule.state_bytes as f64);
    let help = "Keys given up at a limit, and rows no longer kept one by one.";
    out.add("sluice_rule_state_evicted_total", help, &of, rule.evicted as f64);
    let help = "Limits hit on which a rule's verdicts can depend, once per key and hour.";
    out.add("sluice_rule_degraded_total", help, &of, rule.degraded as f64);
    let help = "Rows a rule had already.";
    out.add("sluice_rule_duplicates_total", help, &of, rule.duplicates as f64);
    let help = "Rows too late for a rule's window.";
    out.add("sluice_rule_too_late_total", help, &of, rule.too_late as f64);
    let labels = [("rule", &*rule.id), ("kind", "expression")];
    let help = "Rows on which an expression of a rule failed.";
    out.add("sluice_rule_errors_total", help, &labels, rule.errors as f64);
    let state = if rule.cannot_fire.is_empty() { "active" } else { "cannot_fire" };
    for word in ["active", "cannot_fire"] {
        let labels = [("rule", &*rule.id), ("state", word)];
        let help = "1 for whether an input feeds what a rule reads.";
        out.add("sluice_rule_state", help, &labels, f64::from(u8::from(word == state)));
    }
}

fn service(out: &mut Families, status: &ServiceStatus, now: i64) {
    let phase = match &status.phase {
        Phase::Starting => "starting",
        Phase::Running => "running",
        Phase::Paused(_) => "paused",
        Phase::Failed(_) => "failed",
        Phase::Stopped => "stopped",
    };
    for word in ["starting", "running", "paused", "failed", "stopped"] {
        let labels = [("phase", word)];
        let help = "1 for what the service is doing.";
        out.add("sluice_phase", help, &labels, f64::from(u8::from(word == phase)));
    }
    let checkpoint = &status.checkpoint;
    let help = "The number of the last checkpoint.";
    out.add("sluice_checkpoint_epoch", help, &[], checkpoint.epoch as f64);
    if let Some(at) = checkpoint.at {
        let help = "Time since the last checkpoint became durable.";
        out.add("sluice_checkpoint_age_seconds", help, &[], (now - at) as f64 / 1_000.0);
    }
    let help = "Time the last checkpoint took.";
    out.add("sluice_checkpoint_seconds", help, &[], checkpoint.took.as_secs_f64());
    let help = "Bytes of state the last checkpoint wrote.";
    out.add("sluice_checkpoint_bytes", help, &[], checkpoint.bytes as f64);
    let help = "Time it took at start to read the last checkpoint back.";
    out.add("sluice_recovery_seconds", help, &[], checkpoint.recovery.as_secs_f64());
    let help = "When the process started, seconds since 1970 UTC.";
    out.add("sluice_start_time_seconds", help, &[], status.started_at as f64 / 1_000.0);
    if let Some(free) = status.disk_free {
        out.add("sluice_disk_free_bytes", "Bytes free where the store is.", &[], free as f64);
    }
}

fn store(out: &mut Families, stats: &StoreStats) {
    out.add("sluice_store_findings", "Findings held.", &[], stats.findings as f64);
    let help = "Bytes of the findings held.";
    out.add("sluice_store_finding_bytes", help, &[], stats.finding_bytes as f64);
    out.add("sluice_store_disk_bytes", "Bytes of the store.", &[], stats.disk_bytes as f64);
    let help = "Dropped by retention.";
    for (kind, (age, bytes)) in
        [("finding", stats.findings_expired), ("dead_letter", stats.dead_letters_expired)]
    {
        for (reason, n) in [("age", age), ("bytes", bytes)] {
            let labels = [("kind", kind), ("reason", reason)];
            out.add("sluice_store_expired_total", help, &labels, n as f64);
        }
    }
    for (rule, n) in &stats.findings_capped {
        let help = "Findings that were not kept because their rule had too many in a minute.";
        out.add("sluice_findings_capped_total", help, &[("rule", &**rule)], *n as f64);
    }
    for (source, n) in &stats.contested {
        let labels = [("source", source.as_str())];
        let help =
            "Findings of records that claim the id of another record and say something else.";
        out.add("sluice_contested_findings_total", help, &labels, *n as f64);
    }
    for ((source, code), (n, bytes)) in &stats.dead_letters {
        let labels = [("source", source.as_str()), ("code", code.name())];
        out.add("sluice_dlq_letters", "Dead letters held.", &labels, *n as f64);
        out.add("sluice_dlq_bytes", "Bytes of dead letters held.", &labels, *bytes as f64);
    }
}

fn history(out: &mut Families, stats: &HistoryStats) {
    for (table, kept) in &stats.tables {
        let table = ("table", table.as_str());
        for (place, rows, bytes) in [
            ("memory", kept.memory_rows, kept.memory_bytes),
            ("files", kept.file_rows, kept.file_bytes),
        ] {
            let of = [table, ("place", place)];
            out.add("sluice_history_rows", "Events kept for hunts.", &of, rows as f64);
            out.add("sluice_history_bytes", "Bytes of them.", &of, bytes as f64);
        }
        let of = [table];
        out.add("sluice_history_files", "Parquet files of events.", &of, kept.files as f64);
        let help = "Parquet files of events that are missing or damaged.";
        out.add("sluice_history_unreadable_files", help, &of, kept.unreadable_files as f64);
        let help = "Events that retention dropped.";
        out.add("sluice_history_dropped_rows_total", help, &of, kept.dropped_rows as f64);
        let help = "Bytes of files that retention dropped.";
        out.add("sluice_history_dropped_bytes_total", help, &of, kept.dropped_bytes as f64);
        for loss in Loss::ALL {
            let rows = kept.lost_rows.get(&loss).copied().unwrap_or(0);
            let help = "Events that should be kept for hunts and are not.";
            let of = [table, ("reason", loss.name())];
            out.add("sluice_history_lost_rows", help, &of, rows as f64);
        }
    }
    let help = "Attempts to write events to disk that failed.";
    out.add("sluice_history_write_failures_total", help, &[], stats.write_failures as f64);
    let help = "Parquet files that hunts opened.";
    out.add("sluice_history_files_read_total", help, &[], stats.files_read as f64);
}

impl Families {
    fn add(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
        value: f64,
    ) {
        let labels = labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        self.0.entry(name).or_insert_with(|| (help, Vec::new())).1.push((labels, value));
    }

    fn finish(self) -> Vec<MetricFamily> {
        self.0.into_iter().map(|(name, (help, samples))| family(name, help, samples)).collect()
    }
}

fn family(name: &str, help: &str, samples: Vec<Sample>) -> MetricFamily {
    // What only grows is named `_total`; everything else is a gauge.
    let counter = name.ends_with("_total");
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(if counter { MetricType::COUNTER } else { MetricType::GAUGE });
    let metric = |(labels, value): Sample| {
        let mut metric = Metric::default();
        let pair = |(name, value): (&str, String)| {
            let mut pair = LabelPair::default();
            pair.set_name(name.to_owned());
            pair.set_value(value);
            pair
        };
        metric.set_label(labels.into_iter().map(pair).collect());
        if counter {
            let mut of = Counter::default();
            of.set_value(value);
            metric.set_counter(of);
        } else {
            let mut of = Gauge::default();
            of.set_value(value);
            metric.set_gauge(of);
        }
        metric
    };
    family.set_metric(samples.into_iter().map(metric).collect());
    family
}
