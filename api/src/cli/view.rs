//! A finding as the command line shows it. The names of these JSON fields are stable.

use serde_json::{Map, Value, json};
use sluice_engine::findings;
use sluice_event::rfc3339;
use sluice_finding::{Finding, Repeats};

use super::output::printable;

/// One net finding as JSON.
pub(crate) fn json(finding: &Finding, repeats: Repeats) -> Value {
    let mut object = head(finding, repeats);
    object.insert("evidence".to_owned(), findings::evidence_json(&finding.evidence).into());
    object.insert("evidence_total".to_owned(), finding.evidence_total.into());
    object.into()
}

/// The text of [`json`]: its evidence is JSON as it is, and most of it.
pub(crate) fn json_text(finding: &Finding, repeats: Repeats) -> String {
    let mut text = Value::Object(head(finding, repeats)).to_string();
    text.pop();
    text.push_str(",\"evidence\":[");
    for (n, event) in finding.evidence.iter().enumerate() {
        text.push_str(if n > 0 { "," } else { "" });
        text.push_str(event);
    }
    text.push_str(&format!("],\"evidence_total\":{}}}", finding.evidence_total));
    text
}

/// All but the evidence.
fn head(finding: &Finding, repeats: Repeats) -> Map<String, Value> {
    let entities: Vec<Value> =
        finding.entities.iter().map(|e| json!({"kind": e.kind.name(), "id": e.id})).collect();
    let mut object = Map::new();
    let mut set = |name: &str, value: Value| object.insert(name.to_owned(), value);
    set("id", finding.id.to_string().into());
    set("rule_id", (*finding.rule_id).into());
    set("rule_version", (*finding.rule_version).into());
    set("title", finding.title.clone().into());
    set("severity", finding.severity.name().into());
    set("risk", finding.risk.into());
    set("time", rfc3339(finding.time).into());
    set("state", finding.state.name().into());
    set("revision", finding.revision.into());
    set("entities", entities.into());
    set("attack", finding.attack.to_vec().into());
    if let Some((start, end)) = finding.window {
        set("window_start", rfc3339(start).into());
        set("window_end", rfc3339(end).into());
    }
    set("count", finding.count.into());
    set("shadow", finding.shadow.into());
    set("suppressed", repeats.folded_into.is_some().into());
    if let Some(leader) = repeats.folded_into {
        set("folded_into", leader.to_string().into());
    }
    set("late", finding.late.into());
    set("capped", finding.capped.into());
    if !finding.capped_by.is_empty() {
        let by = finding.capped_by.iter().map(|c| json!({"bound": *c.bound, "limit": c.limit}));
        set("capped_by", by.collect());
    }
    set("contested", finding.contested.into());
    if let Some(flag) = finding.time_flag() {
        set("time_flag", flag.into());
    }
    set("fields", finding.fields.clone().into());
    object
}

/// One finding in two lines: what was found, and an event that shows it.
pub(crate) fn text(finding: &Finding) -> String {
    let entities: Vec<String> =
        finding.entities.iter().map(|e| format!("{} {}", e.kind.name(), e.id)).collect();
    let trial = if finding.shadow { "shadow: " } else { "" };
    let mut line = format!(
        "{}  {trial}{:<8}  {}  {}",
        rfc3339(finding.time),
        finding.severity.name(),
        finding.rule_id,
        finding.title
    );
    if !entities.is_empty() {
        line.push_str(&format!("  [{}]", entities.join(", ")));
    }
    if let Some(flag) = finding.time_flag() {
        // Of a clock that was put forward or back; the others are none that can be used.
        let read = flag.split(", ").all(|flag| matches!(flag, "ambiguous" | "skipped"));
        let counts = if read { "" } else { ": it counts as when it was received" };
        line.push_str(&format!("  (time {flag}{counts})"));
    }
    if finding.contested {
        line.push_str("  (contested: another record with this id says something else)");
    }
    // Each line by itself: a line break in an event must not begin one of its own.
    match finding.evidence.last() {
        Some(evidence) => {
            format!("{}\n    {}", printable(&line), printable(&evidence_line(evidence)))
        }
        None => printable(&line),
    }
}

/// The columns of an event that a person looks for first, in that order, then how many more.
fn evidence_line(evidence: &str) -> String {
    const FIRST: &[&str] = &[
        "time",
        "source",
        "event_code",
        "api_operation",
        "status",
        "user_name",
        "actor_user_name",
        "src_ip",
        "src_country",
        "dst_ip",
        "dst_port",
        "failure_reason",
        "error_code",
        "change",
        "resource_name",
        "device_hostname",
        "bytes_out",
    ];
    let Ok(Value::Object(row)) = serde_json::from_str::<Value>(evidence) else {
        return evidence.to_owned();
    };
    let plain = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    let shown: Vec<String> = FIRST
        .iter()
        .filter_map(|name| row.get(*name).map(|v| format!("{name}={}", plain(v))))
        .collect();
    shown.join(" ")
}
