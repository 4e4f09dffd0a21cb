//! The layers of a configuration: which files, variables and flags there are, and their order.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use sluice_ingest::files;
use sluice_rule::{Diagnostic, suggest};

use super::{
    document,
    reader::{Notes, Problem, Section},
    settings::Config,
    tree::{File, Origin, Raw, SettingEntry, SettingNode, Table, overlay},
};

/// A larger file is not a configuration.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Where a configuration comes from, weakest first in the order of the fields.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layers {
    /// Files that may be absent: of the system, of the user.
    pub(crate) optional: Vec<PathBuf>,
    /// The file that was named; it must be there.
    pub(crate) named: Option<PathBuf>,
    /// The environment.
    pub(crate) env: Vec<(String, String)>,
    /// Flags: its name, the setting it stands for, its value.
    pub(crate) flags: Vec<(&'static str, &'static str, String)>,
}

/// All layers in one.
#[derive(Debug)]
pub(crate) struct Merged {
    pub(crate) table: Table,
    pub(crate) files: Vec<String>,
}

impl Layers {
    /// The layers of this process: the usual files or the named one, and its environment.
    pub(crate) fn of_process(named: Option<PathBuf>) -> Layers {
        let home = std::env::var_os("XDG_CONFIG_HOME")
            .map(PathBuf::from)
            .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".config")));
        let mut optional = vec![PathBuf::from("/etc/sluice/sluice.toml")];
        optional.extend(home.map(|home| home.join("sluice/sluice.toml")));
        if named.is_none() {
            optional.push("./sluice.toml".into());
        }
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        let mut env: Vec<(String, String)> = std::env::vars_os().filter_map(text).collect();
        env.sort();
        Layers { optional, named, env, flags: Vec::new() }
    }

    /// A configuration of one text alone: no other layer.
    pub(crate) fn of_text(path: &str, text: &str) -> super::Loaded {
        let mut notes = Notes::default();
        let file = Arc::new(File { path: path.to_owned(), text: text.to_owned() });
        let table = document::parse(&file, &mut notes);
        super::Loaded::typed(&table, notes, vec![path.to_owned()])
    }

    /// Adds a flag, if it was given.
    pub(crate) fn flag(
        mut self,
        name: &'static str,
        path: &'static str,
        value: Option<String>,
    ) -> Self {
        self.flags.extend(value.map(|value| (name, path, value)));
        self
    }

    pub(super) fn merge(&self, notes: &mut Notes) -> Merged {
        let mut merged = Merged { table: Table::new(), files: Vec::new() };
        let optional = self.optional.iter().map(|path| (path, false));
        for (path, needed) in optional.chain(self.named.iter().map(|path| (path, true))) {
            if read(path, needed, &mut merged, notes) {
                for part in parts_beside(path, notes) {
                    read(&part, true, &mut merged, notes);
                }
            }
        }
        for (name, value) in &self.env {
            self.variable(name, value, &mut merged.table, notes);
        }
        for (name, path, value) in &self.flags {
            let path: Vec<String> = path.split('.').map(str::to_owned).collect();
            set(&mut merged.table, &path, value, &Origin::Flag(name));
        }
        merged
    }

    /// `SLUICE_SECTION__KEY`; other variables that begin alike belong to somebody else.
    fn variable(&self, name: &str, value: &str, table: &mut Table, notes: &mut Notes) {
        let Some(rest) = name.strip_prefix("SLUICE_") else { return };
        let words: Vec<&str> = rest.split("__").collect();
        let [first, further @ ..] = words.as_slice() else { return };
        let top: Vec<&str> = Config::fields().iter().map(|f| f.key).collect();
        let origin = Origin::Env(name.to_owned());
        let first = first.to_ascii_lowercase();
        let is_table =
            |key: &str| !matches!(key, "data_dir" | "rules" | "mappings" | "memory_limit");
        if further.is_empty() {
            if top.contains(&first.as_str()) && !is_table(&first) {
                set(table, &[first], value, &origin);
            } else if let Some(near) = suggest(&first, top.into_iter().filter(|k| !is_table(k))) {
                let problem = format!("{name} is not a setting");
                let hint = format!("did you mean SLUICE_{}?", near.to_ascii_uppercase());
                let problem = Diagnostic::warning("C002", "", problem).hint(hint);
                notes.problems.push(Problem::at(problem, Some(&origin)));
            }
            return;
        }
        let mut path = vec![first];
        for word in further {
            let below = below(table, &path);
            let name = if path.last().is_some_and(|last| last == "librdkafka") {
                // Options have dots where a variable cannot.
                word.to_ascii_lowercase().replace('_', ".")
            } else {
                let alike = |key: &&String| key.replace('-', "_").eq_ignore_ascii_case(word);
                below
                    .and_then(|t| t.keys().find(alike))
                    .cloned()
                    .unwrap_or(word.to_ascii_lowercase())
            };
            path.push(name);
        }
        set(table, &path, value, &origin);
    }
}

fn below<'t>(table: &'t Table, path: &[String]) -> Option<&'t Table> {
    path.iter().try_fold(table, |table, key| match &table.get(key)?.node {
        SettingNode::Table(table) => Some(table),
        SettingNode::Leaf(..) => None,
    })
}

/// Puts one value over what is there.
fn set(table: &mut Table, path: &[String], value: &str, origin: &Origin) {
    let leaf = SettingNode::Leaf(Raw::Loose(value.to_owned()), origin.clone());
    let whole = path.iter().rev().fold(leaf, |node, key| {
        SettingNode::Table(Table::from([(key.clone(), SettingEntry { key: origin.clone(), node })]))
    });
    if let SettingNode::Table(over) = whole {
        overlay(table, over);
    }
}

/// Reads one file over what is there; whether there was one.
fn read(path: &Path, needed: bool, merged: &mut Merged, notes: &mut Notes) -> bool {
    let shown = path.display().to_string();
    let mut problem = |text: String, hint: &str| {
        let problem = Diagnostic::error(super::UNREADABLE, &shown, text).hint(hint);
        notes.problems.push(Problem { diagnostic: problem, text: None });
        false
    };
    let text = match text_of(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound && !needed => return false,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return problem(
                "there is no such file".to_owned(),
                "`sluice init kafka` writes one, `sluice config schema` says what can be in it",
            );
        }
        Err(error) => {
            return problem(format!("cannot read it: {error}"), "a UTF-8 text of at most 1 MiB");
        }
    };
    merged.files.push(shown.clone());
    let file = Arc::new(File { path: shown, text });
    overlay(&mut merged.table, document::parse(&file, notes));
    true
}

fn text_of(path: &Path) -> io::Result<String> {
    files::read_text(path, MAX_FILE_BYTES)
}

/// `conf.d/*.toml` beside a file, in name order.
fn parts_beside(path: &Path, notes: &mut Notes) -> Vec<PathBuf> {
    let folder = path.parent().unwrap_or(Path::new("")).join("conf.d");
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            let shown = folder.display().to_string();
            let problem =
                Diagnostic::error(super::UNREADABLE, &shown, format!("cannot read it: {error}"));
            notes.problems.push(Problem { diagnostic: problem, text: None });
            return Vec::new();
        }
    };
    let mut parts: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .collect();
    parts.sort();
    parts
}
