//! `sluice schema`: the tables and columns rules and hunts can use, from the schema files.

use clap::Args;
use serde_json::json;
use sluice_engine::language::{language, reference};
use sluice_event::{Schema, TableSchema};
use sluice_rule::suggest;

use super::{
    Format,
    exit::{Exit, Failure},
    output::Output,
};

/// Without a table: every table. With one: its columns.
#[derive(Debug, Args)]
pub(crate) struct SchemaVerb {
    /// The table; `events` for the columns all have, `functions` for what SQL can call.
    table: Option<String>,
}

impl SchemaVerb {
    pub(crate) fn run(self, out: &mut Output) -> Result<Exit, Failure> {
        let schema = Schema::builtin();
        if self.table.as_deref() == Some("functions") {
            return functions(out);
        }
        if self.table.as_deref() == Some("events") {
            return events(schema, out);
        }
        let table = self.table.as_deref().map(|name| find(schema, name)).transpose()?;
        match (out.format(), table) {
            (Format::Md, table) => {
                out.text(&schema.markdown(table.map(|t| t.name.as_str())))?;
            }
            (Format::Table, None) => {
                let rows: Vec<Vec<String>> = Schema::all()
                    .map(|t| {
                        let own = t.columns.iter().skip(t.common).map(|c| c.name);
                        vec![t.name.to_string(), own.collect::<Vec<_>>().join(", ")]
                    })
                    .collect();
                out.table(&["TABLE", "COLUMNS BESIDE THE COMMON ONES"], &rows)?;
                eprintln!("`sluice schema <table>` explains each column");
            }
            (Format::Table, Some(table)) => {
                let rows: Vec<Vec<String>> = table
                    .columns
                    .iter()
                    .map(|c| vec![c.name.into(), c.kind.name().into(), described(c)])
                    .collect();
                out.table(&["COLUMN", "TYPE", "DESCRIPTION"], &rows)?;
            }
            (format, table) => {
                let tables: Vec<&TableSchema> = match table {
                    Some(table) => vec![table],
                    None => Schema::all().map(AsRef::as_ref).collect(),
                };
                let columns: Vec<_> = tables
                    .iter()
                    .flat_map(|t| {
                        t.columns.iter().map(|c| {
                            json!({
                                "table": t.name.as_str(), "column": c.name, "type": c.kind.name(),
                                "ocsf": c.ocsf, "values": c.values,
                                "description": c.description, "example": c.example,
                                "hunts_only": c.hunts_only,
                            })
                        })
                    })
                    .collect();
                if format == Format::Json {
                    out.json(&columns.into())?;
                } else {
                    columns.iter().try_for_each(|c| out.json_line(c))?;
                }
            }
        }
        Ok(Exit::Done)
    }
}

/// What SQL can call: every example is run.
fn functions(out: &mut Output) -> Result<Exit, Failure> {
    let failed = |e: sluice_engine::SqlError| Failure::argument(e.to_string(), "this is a defect");
    if out.format() == Format::Md {
        out.text(&language().map_err(failed)?)?;
        return Ok(Exit::Done);
    }
    let groups = reference().map_err(failed)?;
    let all = || groups.iter().flat_map(|g| g.functions.iter().map(move |f| (g.title, f)));
    match out.format() {
        Format::Table | Format::Md => {
            for group in &groups {
                out.line(group.title)?;
                let rows: Vec<Vec<String>> = group
                    .functions
                    .iter()
                    .map(|f| {
                        let null = f.null.clone().unwrap_or_default();
                        vec![f.example.clone(), f.result.clone(), null, f.what.to_owned()]
                    })
                    .collect();
                out.table(&["EXAMPLE", "GIVES", "WITH NULL", "WHAT IT DOES"], &rows)?;
            }
            eprintln!("aggregates, windows and statements: --output md");
        }
        Format::Json | Format::Ndjson => {
            let objects: Vec<_> = all()
                .map(|(group, f)| {
                    json!({
                        "name": f.name, "group": group, "example": f.example,
                        "result": f.result, "null": f.null, "description": f.what,
                    })
                })
                .collect();
            if out.format() == Format::Json {
                out.json(&objects.into())?;
            } else {
                objects.iter().try_for_each(|o| out.json_line(o))?;
            }
        }
    }
    Ok(Exit::Done)
}

/// The columns that every table has.
fn events(schema: &Schema, out: &mut Output) -> Result<Exit, Failure> {
    let columns =
        || schema.tables().next().into_iter().flat_map(|t| t.columns.iter().take(t.common));
    if matches!(out.format(), Format::Table | Format::Md) {
        let rows: Vec<Vec<String>> =
            columns().map(|c| vec![c.name.into(), c.kind.name().into(), described(c)]).collect();
        out.table(&["COLUMN", "TYPE", "DESCRIPTION"], &rows)?;
        return Ok(Exit::Done);
    }
    let objects: Vec<_> = columns()
        .map(|c| json!({"table": "events", "column": c.name, "type": c.kind.name(), "description": c.description}))
        .collect();
    if out.format() == Format::Json {
        out.json(&objects.into())?;
    } else {
        objects.iter().try_for_each(|o| out.json_line(o))?;
    }
    Ok(Exit::Done)
}

/// A table of events, or one that Sluice fills itself, by its name.
///
/// # Errors
/// If there is none, with the nearest name.
pub(super) fn find<'s>(schema: &'s Schema, name: &str) -> Result<&'s TableSchema, Failure> {
    let own = || Schema::own().table(name);
    schema.table(name).or_else(own).map(AsRef::as_ref).ok_or_else(|| {
        let names: Vec<&str> = Schema::all().map(|t| t.name.as_str()).collect();
        let near = suggest(name, names.iter().copied())
            .map_or_else(String::new, |n| format!("did you mean `{n}`? "));
        Failure::argument(
            format!("no table `{name}`"),
            format!("{near}there are: {}", names.join(", ")),
        )
    })
}

fn described(column: &sluice_event::Column) -> String {
    let mut text = column.description.to_owned();
    if !column.values.is_empty() {
        text += &format!(" ({})", column.values.join(", "));
    }
    if column.hunts_only {
        text += " For hunts only.";
    }
    text
}
