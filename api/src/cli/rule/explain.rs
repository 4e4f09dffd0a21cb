//! `sluice rule explain`: how a rule runs, and which predicate an event passed or failed.

use std::{fs, path::PathBuf};

use clap::Args;
use serde_json::{Value, json};
use sluice_engine::{
    Content, LoadedRule,
    rule_test::{EventExplained, explain_event},
};
use sluice_stream::{EmitMode, ExplainNode, NetworkView};

use super::ContentArgs;
use crate::cli::{
    Format,
    exit::{Exit, Failure},
    load,
    output::Output,
};

/// With an event: TRUE, FALSE or NULL per predicate, with the values it saw.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// A rule file, or the id of a shipped rule.
    rule: String,
    /// A file with one wire record, or one row as JSON with a `table` key; `-` is stdin.
    #[arg(long, value_name = "FILE")]
    event: Option<PathBuf>,
    /// The mapping source of a wire record; `auto` looks at it.
    #[arg(long, default_value = "auto")]
    source: String,
    #[command(flatten)]
    content: ContentArgs,
}

impl Explain {
    pub(crate) fn run(self, out: &mut Output) -> Result<Exit, Failure> {
        let path = PathBuf::from(&self.rule);
        let shipped = !path.try_exists()?;
        // The shipped rules too: they say which of them take the event.
        let mut rules = vec![PathBuf::from("builtin")];
        let named = if shipped { None } else { Some(path.canonicalize()?) };
        rules.extend(named.is_some().then_some(path));
        let (content, whole) =
            load::usable(&self.content.mappings, &rules, &self.content.lookups, out.quiet())?;
        let wanted = |rule: &LoadedRule| match &named {
            None => *rule.plan.rule == *self.rule,
            Some(named) => PathBuf::from(&rule.rule.file.path)
                .canonicalize()
                .is_ok_and(|file| file.starts_with(named)),
        };
        let loaded = content.running().find(|r| wanted(r)).ok_or_else(|| {
            let ids = content.running().map(|r| &*r.plan.rule);
            let near = sluice_rule::suggest(&self.rule, ids)
                .map_or_else(String::new, |n| format!("did you mean `{n}`? "));
            Failure::argument(
                format!("no file and no shipped rule `{}`", self.rule),
                format!("{near}name a file, or an id that `sluice rule lint` knows"),
            )
        })?;
        let events = match &self.event {
            Some(path) => {
                let text = if path.as_os_str() == "-" {
                    std::io::read_to_string(std::io::stdin())?
                } else {
                    fs::read_to_string(path).map_err(|e| {
                        Failure::argument(
                            format!("cannot read {}: {e}", path.display()),
                            "name a file with one event",
                        )
                    })?
                };
                explain_event(&content, loaded, text.trim(), &self.source).map_err(|e| {
                    Failure::argument(
                        e,
                        "one wire record with --source, or one row as JSON with `table`",
                    )
                })?
            }
            None => EventExplained::default(),
        };
        match out.format() {
            Format::Table | Format::Md => text(out, &content, loaded, &events)?,
            Format::Json | Format::Ndjson => {
                let nodes: Vec<Value> = events.rows.iter().map(node_json).collect();
                let mut object = plan_json(&content, loaded);
                object["events"] = nodes.into();
                object["event_tables"] =
                    events.tables.iter().map(|t| t.as_str().to_owned()).collect();
                object["event_matches"] = events.matched.iter().map(|r| r.to_string()).collect();
                object["event_elsewhere"] = events
                    .elsewhere
                    .iter()
                    .map(|(rule, table)| json!({"rule": &**rule, "table": table.as_str()}))
                    .collect();
                if out.format() == Format::Json {
                    out.json(&object)?
                } else {
                    out.json_line(&object)?
                }
            }
        }
        Ok(if whole { Exit::Done } else { Exit::NotLoaded })
    }
}

fn text(
    out: &mut Output,
    content: &Content,
    loaded: &LoadedRule,
    events: &EventExplained,
) -> Result<(), Failure> {
    let plan = plan_json(content, loaded);
    let words = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    for key in ["rule", "title", "class", "operator", "key", "state", "lateness"] {
        if !plan[key].is_null() {
            out.line(&format!("{key:<10} {}", words(&plan[key])))?;
        }
    }
    for bound in plan["bounds"].as_array().into_iter().flatten() {
        out.line(&format!("{:<10} {}", "bound", words(bound)))?;
    }
    for branch in plan["tables"].as_array().into_iter().flatten() {
        out.line(&format!("{:<10} {}", "table", words(&branch["table"])))?;
        out.line(&format!("{:<10} {}", "  witness", words(&branch["witness"])))?;
        for atom in branch["atoms"].as_array().into_iter().flatten() {
            out.line(&format!("{:<10} {}", "  atom", words(atom)))?;
        }
        for residual in branch["residual"].as_array().into_iter().flatten() {
            out.line(&format!("{:<10} {}", "  last", words(residual)))?;
        }
    }
    if !events.tables.is_empty() {
        out.line("")?;
        let tables: Vec<&str> = events.tables.iter().map(|t| t.as_str()).collect();
        out.line(&format!("{:<10} a row of {}", "event", tables.join(", ")))?;
        if events.rows.is_empty() {
            let reads: Vec<&str> = loaded.plan.branches.iter().map(|b| b.table.as_str()).collect();
            out.line(&format!(
                "{:<10} this rule reads {}: it never sees it",
                "",
                reads.join(", ")
            ))?;
        }
        if !events.matched.is_empty() {
            out.line(&format!("{:<10} {}", "matches", events.matched.join(", ")))?;
        }
        for (rule, table) in &events.elsewhere {
            out.line(&format!(
                "{:<10} {rule} would take it as a row of {table}, which it is not",
                "elsewhere"
            ))?;
        }
    }
    for (number, node) in events.rows.iter().enumerate() {
        let verdict = if node.verdict == Some(true) { "matches" } else { "does not match" };
        out.line("")?;
        out.line(&format!("row {}: {verdict}", number + 1))?;
        tree(out, node, 1)?;
    }
    Ok(())
}

fn tree(out: &mut Output, node: &ExplainNode, depth: usize) -> Result<(), Failure> {
    let verdict = match node.verdict {
        Some(true) => "TRUE ",
        Some(false) => "FALSE",
        None => "NULL ",
    };
    let values: Vec<String> = node.values.iter().map(|(c, v)| format!("{c} = {v}")).collect();
    let seen =
        if values.is_empty() { String::new() } else { format!("    [{}]", values.join(", ")) };
    out.line(&format!("{}{verdict} {}{seen}", "  ".repeat(depth), node.sql))?;
    node.children.iter().try_for_each(|child| tree(out, child, depth + 1))
}

fn node_json(node: &ExplainNode) -> Value {
    let values: serde_json::Map<String, Value> =
        node.values.iter().map(|(c, v)| (c.to_string(), v.to_string().into())).collect();
    json!({
        "sql": node.sql.to_string(), "verdict": node.verdict, "values": values,
        "children": node.children.iter().map(node_json).collect::<Vec<_>>(),
    })
}

/// How the rule runs, as data.
fn plan_json(content: &Content, loaded: &LoadedRule) -> Value {
    let plan = &loaded.plan;
    let set = content.rule_set();
    let tables: Vec<Value> = plan
        .branches
        .iter()
        .enumerate()
        .map(|(index, branch)| {
            let slot = content.running().position(|r| r.plan.rule == plan.rule);
            let view = set.table(&branch.table).and_then(|t| {
                let entry = t.branches.iter().position(|b| Some(b.0) == slot && b.1 == index)?;
                t.network.describe(entry)
            });
            json!({
                "table": branch.table.as_str(),
                "witness": view.as_ref().map(witness),
                "atoms": view.map(|v| v.atoms.iter().map(atom).collect::<Vec<_>>()),
                "residual": branch.residual.iter().map(|e| e.sql()).collect::<Vec<_>>(),
            })
        })
        .collect();
    let view = plan.stage.view(&sluice_stream::Limits::default());
    let columns = plan.intermediate.fields().len();
    let key = view.key.map(|key| names(plan, key.start..key.end.min(columns)));
    let class = match plan.emit {
        EmitMode::OnMatch => "emits on the event that decides, never takes back",
        EmitMode::OnWatermark => {
            "may be changed or withdrawn by a late event until its lateness has passed"
        }
        EmitMode::OnClose => "emits once, when its lateness has passed",
    };
    json!({
        "rule": &*plan.rule, "title": loaded.rule.title, "class": class, "operator": view.operator,
        "key": key, "state": view.state, "bounds": view.bounds,
        "lateness": plan.lateness.map(|l| format!("{} s", l / 1000)),
        "tables": tables,
    })
}

/// What must hold on a row for the rule to be looked at.
fn witness(view: &NetworkView) -> String {
    match &view.witness {
        Some(witness) => witness.join(" or "),
        None => "none: evaluated on every row".to_owned(),
    }
}

/// An atom and how many rules have it.
fn atom((sql, rules): &(std::sync::Arc<str>, usize)) -> String {
    match rules {
        1 => sql.to_string(),
        n => format!("{sql}  (shared by {n})"),
    }
}

fn names(plan: &sluice_stream::StreamPlan, columns: std::ops::Range<usize>) -> String {
    plan.intermediate
        .fields()
        .iter()
        .skip(columns.start)
        .take(columns.len())
        .map(|f| f.name().as_str())
        .collect::<Vec<_>>()
        .join(", ")
}
