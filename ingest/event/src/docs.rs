//! The schema as Markdown: what `sluice schema --output md` prints and the docs show.

use std::fmt::Write;

use crate::{Column, Schema, TableSchema};

impl Schema {
    /// One table with every column it has, or, without a name, the columns of every table once and
    /// then each table's own, those that Sluice fills itself last. Empty if there is no such table.
    pub fn markdown(&self, table: Option<&str>) -> String {
        let mut text = String::new();
        match table {
            Some(name) => {
                if let Some(table) = Schema::any(name) {
                    heading(&mut text, table);
                    rows(&mut text, &table.columns);
                }
            }
            None => {
                if let Some(table) = self.tables().next() {
                    text.push_str("## Columns of every table\n\n");
                    rows(&mut text, &table.columns[..table.common]);
                }
                for table in self.tables() {
                    text.push('\n');
                    heading(&mut text, table);
                    let own = &table.columns[table.common..];
                    // A column of every table is shown again where its values are the table's.
                    let activity =
                        table.columns.iter().filter(|c| c.name == "activity").chain(own).cloned();
                    rows(&mut text, &activity.collect::<Vec<_>>());
                }
                for table in Schema::own().tables() {
                    text.push('\n');
                    heading(&mut text, table);
                    rows(&mut text, &table.columns);
                }
            }
        }
        text
    }
}

fn heading(text: &mut String, table: &TableSchema) {
    let classes: Vec<String> =
        table.classes.iter().map(|(id, caption)| format!("{id} {caption}")).collect();
    push(text, format_args!("## {}\n\n", table.name));
    if !classes.is_empty() {
        push(text, format_args!("OCSF {}\n\n", classes.join(", ")));
    }
}

fn rows(text: &mut String, columns: &[Column]) {
    text.push_str("| column | type | OCSF path | what it holds | example |\n");
    text.push_str("|---|---|---|---|---|\n");
    for c in columns {
        let mut path = c.ocsf.map_or_else(String::new, |p| format!("`{p}`"));
        for (class, other) in &c.ocsf_of_class {
            push(&mut path, format_args!(" ({class}: `{other}`)"));
        }
        let mut about = c.description.to_owned();
        if !c.values.is_empty() && c.name != "class_uid" {
            push(&mut about, format_args!(" One of: {}.", c.values.join(", ")));
        }
        if c.hunts_only {
            about.push_str(" For hunts only.");
        }
        let example = c.example.replace('|', "\\|");
        let kind = c.kind.name();
        push(text, format_args!("| `{}` | {kind} | {path} | {about} | `{example}` |\n", c.name));
    }
}

fn push(text: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    text.write_fmt(what).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_five_cells() {
        let all = Schema::builtin().markdown(None);
        let cells = |l: &str| l.replace("\\|", "").matches('|').count();
        assert!(all.lines().filter(|l| l.starts_with('|')).all(|l| cells(l) == 6));
        let (events, own) = all.split_once("\n## entity_risk\n").unwrap();
        assert_eq!(events.matches("| `src_ip` |").count(), 1, "common columns are shown once");
        assert_eq!(own.matches("| `src_ip` |").count(), 1, "findings have one of their own");
        assert!(all.contains("## network\n\nOCSF 4001 Network Activity, 4014 Tunnel Activity\n"));
    }

    #[test]
    fn one_table_has_all_its_columns() {
        let table = Schema::builtin().markdown(Some("authentication"));
        assert!(table.contains("| `src_ip` |") && table.contains("| `failure_reason` |"));
        assert!(table.contains("One of: Logon, Logoff,"));
        assert_eq!(Schema::builtin().markdown(Some("authentications")), "");
    }
}
