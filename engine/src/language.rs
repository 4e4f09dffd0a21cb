//! The page of the rule language: prose around what is taken from the program,
//! so that it cannot fall behind.

use sluice_event::{Schema, TableSchema};
use sluice_rule::{Form, closed_values};
use sluice_sql::{FunctionGroup, SLIDES_MAX, SqlError};

use crate::content::recipes;

pub use sluice_sql::reference;

const PAGE: &str = include_str!("language/page.md");

/// The page as Markdown.
///
/// # Errors
/// If an example does not run: a defect of ours.
pub fn language() -> Result<String, SqlError> {
    let columns = |form: Form| -> String {
        let mut names: Vec<&str> = Schema::builtin()
            .tables()
            .flat_map(|t| t.columns.iter().map(|c| c.name))
            .filter(|name| Form::of(name) == Some(form))
            .collect();
        names.sort_unstable();
        names.dedup();
        names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
    };
    let (address, host, lower) = (Form::Address, Form::Host, Form::LowerCase);
    Ok(PAGE
        // The links of the prose lead from where it lies; the page made of it lies in `rules`.
        .replace("../../../rules/", "")
        .replace("../../../ingest/", "../ingest/")
        .replace("{slides}", &SLIDES_MAX.to_string())
        .replace("{values}", values().trim_end())
        .replace("{addresses}", &columns(address))
        .replace("{address_form}", address.describe())
        .replace("{hosts}", &columns(host))
        .replace("{host_form}", host.describe())
        .replace("{lower}", &columns(lower))
        .replace("{lower_form}", lower.describe())
        .replace("{functions}", functions(&reference()?).trim_end())
        .replace("{recipes}", recipe_list().trim_end()))
}

/// Every function with its example, as Markdown.
pub fn functions(groups: &[FunctionGroup]) -> String {
    let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
    let mut page = String::new();
    for group in groups {
        page.push_str(&format!(
            "### {}\n\n| example | gives | with NULL | |\n|---|---|---|---|\n",
            group.title
        ));
        for f in &group.functions {
            let null = f.null.as_deref().unwrap_or("");
            let (example, result) = (cell(&f.example), cell(&f.result));
            let (null, what) = (cell(null), cell(f.what));
            page.push_str(&format!("| `{example}` | `{result}` | {null} | {what} |\n"));
        }
        page.push('\n');
    }
    page
}

/// The closed lists by table; those every table has once.
fn values() -> String {
    let mut page = String::from("| table | column | values |\n|---|---|---|\n");
    let mut tables = Schema::builtin().tables().peekable();
    let common = tables.peek().map_or(0, |t| t.common);
    let row = |page: &mut String, table: &str, schema: &TableSchema, from: usize, to: usize| {
        for column in schema.columns.iter().take(to).skip(from) {
            let values = closed_values(column);
            if !values.is_empty() {
                page.push_str(&format!(
                    "| {table} | `{}` | {} |\n",
                    column.name,
                    values.join(", ")
                ));
            }
        }
    };
    for (i, table) in tables.enumerate() {
        if i == 0 {
            row(&mut page, "all", table, 0, common);
        }
        let name = format!("`{}`", table.name);
        // `activity` is common and has values of its own in each table.
        let own = table.columns.iter().take(common).filter(|c| c.name == "activity");
        for column in own.filter(|c| !closed_values(c).is_empty()) {
            let values = closed_values(column).join(", ");
            page.push_str(&format!("| {name} | `activity` | {values} |\n"));
        }
        row(&mut page, &name, table, common, table.columns.len());
    }
    for table in Schema::own().tables() {
        row(&mut page, &format!("`{}`", table.name), table, 0, table.rules.fields().len());
    }
    page
}

fn recipe_list() -> String {
    let mut page = String::from("| recipe | |\n|---|---|\n");
    for (name, title) in recipes() {
        page.push_str(&format!("| [{name}](recipes/{name}.sql) | {title} |\n"));
    }
    page
}
