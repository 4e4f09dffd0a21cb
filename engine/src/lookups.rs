//! Lookup files from folders, and the lookups of a rule's own cases. Not what is in a file: `rule`
//! reads it; not how a key is found: `sql` does.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use sluice_event::{Aliases, EntityKind};
use sluice_finding::{Criticality, Entity};
use sluice_ingest::files;
use sluice_rule::{Diagnostic, LookupTable, LookupText, MAX_LOOKUP_BYTES, Rule, RuleTest};
use sluice_sql::{Compiler, Lookups};

use crate::{EngineError, Problem, durable::Criticalities};

/// Every `.csv` and `.json` file in the given files and folders, each a lookup of its name; a `.yaml`
/// file beside it declares the key. What is wrong with one goes to `problems`.
///
/// # Errors
/// If a named file or folder is not there or cannot be listed.
pub(crate) fn read(paths: &[PathBuf], problems: &mut Vec<Problem>) -> Result<Lookups, EngineError> {
    let mut found: BTreeMap<String, PathBuf> = BTreeMap::new();
    for path in paths.iter().map(|p| files_of(p)).collect::<Result<Vec<_>, _>>()?.concat() {
        let name = path.file_stem().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if let Some(other) = found.get(&name).filter(|other| **other != path) {
            let text = format!("two files are the lookup `{name}`");
            let diagnostic = Diagnostic::error("R004", &path.display().to_string(), text)
                .detail(format!("the other is {}", other.display()))
                .hint("one of them under another name");
            problems.push(Problem { diagnostic, text: None });
            continue;
        }
        found.insert(name, path);
    }
    let mut tables = Vec::new();
    let mut texts: BTreeMap<String, (String, Arc<str>)> = BTreeMap::new();
    for (name, path) in found {
        match table(&name, &path) {
            Ok((table, text)) => {
                texts.insert(name, (path.display().to_string(), text));
                tables.push(table);
            }
            Err(wrong) => problems.extend(wrong),
        }
    }
    Ok(Lookups::new(tables).unwrap_or_else(|wrong| {
        problems.extend(wrong.into_iter().map(|diagnostic| {
            let (path, text) = texts.get(&diagnostic.path).cloned().unwrap_or_default();
            Problem { diagnostic: Diagnostic { path, ..diagnostic }, text: Some(text) }
        }));
        Lookups::default()
    }))
}

/// The same compiler with what the cases of a rule name and nobody has loaded, without rows, and
/// with the rows of one case; `None` if that is nothing.
///
/// # Errors
/// What is wrong with the lookups of a case.
pub(crate) fn for_cases(
    compiler: &Compiler,
    rule: &Rule,
    case: Option<&RuleTest>,
) -> Result<Option<Compiler>, String> {
    let loaded = compiler.lookups();
    let mut tables: BTreeMap<&str, LookupTable> = BTreeMap::new();
    for (name, lookup) in rule.tests.iter().flat_map(|case| &case.lookups) {
        let like = loaded.get(name).map(|l| &l.table);
        if like.is_none() {
            let table = LookupTable::of_case(name, &lookup.rows, &lookup.key, like)?;
            tables.insert(name, LookupTable { rows: Vec::new(), ..table });
        }
    }
    for (name, lookup) in case.into_iter().flat_map(|case| &case.lookups) {
        let like = tables.get(name.as_str()).or(loaded.get(name).map(|l| &l.table));
        let table = LookupTable::of_case(name, &lookup.rows, &lookup.key, like)?;
        tables.insert(name, table);
    }
    if tables.is_empty() {
        return Ok(None);
    }
    let lookups = loaded.with(tables.into_values()).map_err(|wrong| {
        wrong
            .iter()
            .map(|d| format!("lookup `{}`: {}", d.path, d.primary))
            .collect::<Vec<_>>()
            .join("; ")
    })?;
    Ok(Some(compiler.knowing(&lookups)))
}

/// The lookups that the cases of a rule name and nobody has loaded.
pub(crate) fn missing<'r>(compiler: &Compiler, rule: &'r Rule) -> Vec<&'r str> {
    let names = rule.tests.iter().flat_map(|case| case.lookups.keys());
    let mut missing: Vec<&str> =
        names.map(String::as_str).filter(|name| compiler.lookups().get(name).is_none()).collect();
    missing.sort_unstable();
    missing.dedup();
    missing
}

/// The other names that `identity` and `asset` give users and devices: `aliases` is a list in JSON, or
/// names with `;` between them.
///
/// # Errors
/// A name that two have.
pub(crate) fn aliases(lookups: &Lookups) -> Result<Aliases, Diagnostic> {
    let mut aliases = Aliases::default();
    let kinds = [("identity", &mut aliases.users), ("asset", &mut aliases.devices)];
    for (lookup, names) in kinds {
        let Some(table) = lookups.get(lookup).map(|l| &l.table) else { continue };
        let Some(column) = table.column("aliases") else { continue };
        let cell = |row: &[Option<Arc<str>>], at: usize| row.get(at).cloned().flatten();
        for row in &table.rows {
            let (Some(entity), Some(others)) = (cell(row, table.key), cell(row, column)) else {
                continue;
            };
            let listed: Option<Vec<String>> = serde_json::from_str(&others).ok();
            let others =
                listed.unwrap_or_else(|| others.split(';').map(|n| n.trim().to_owned()).collect());
            let own = std::iter::once(entity.to_string());
            for name in own.chain(others).filter(|name| !name.is_empty()) {
                names.add(&entity, &name).map_err(|of| {
                    let text = format!("`{name}` names both `{of}` and `{entity}`");
                    Diagnostic::error("R009", &format!("lookup.{lookup}"), text)
                        .hint("a name in the aliases of one row")
                })?;
            }
        }
    }
    Ok(aliases)
}

/// How much users and devices matter: the column `criticality` of `identity` and `asset`, one of `low`,
/// `normal`, `high` and `extreme`; as usual where it is empty.
///
/// # Errors
/// Other words.
pub(crate) fn criticality(lookups: &Lookups) -> Result<Criticalities, Vec<Diagnostic>> {
    let mut of = Criticalities::new();
    let mut wrong = Vec::new();
    for (lookup, kind) in [("identity", EntityKind::User), ("asset", EntityKind::Device)] {
        let Some(table) = lookups.get(lookup).map(|l| &l.table) else { continue };
        let Some(column) = table.column("criticality") else { continue };
        let cell = |row: &[Option<Arc<str>>], at: usize| row.get(at).cloned().flatten();
        for row in &table.rows {
            let (Some(id), Some(word)) = (cell(row, table.key), cell(row, column)) else {
                continue;
            };
            let word = word.trim().to_lowercase();
            if word.is_empty() {
                continue;
            }
            let Some(criticality) = Criticality::parse(&word) else {
                let text = format!("`{word}` is no criticality of `{id}`");
                let words = Criticality::ALL.map(Criticality::name).join(", ");
                wrong.push(
                    Diagnostic::error("R009", &format!("lookup.{lookup}"), text)
                        .hint(format!("one of {words}, or nothing for normal")),
                );
                continue;
            };
            // As the entities of findings are spelled.
            of.insert(Entity { kind, id: id.to_lowercase() }, criticality);
        }
    }
    if wrong.is_empty() { Ok(of) } else { Err(wrong) }
}

fn files_of(path: &Path) -> Result<Vec<PathBuf>, EngineError> {
    let at = |source| EngineError::Read { path: path.to_owned(), source };
    if !fs::metadata(path).map_err(at)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(path).map_err(at)? {
        let file = entry.map_err(at)?.path();
        let hidden = file.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.'));
        let is_lookup = file.extension().is_some_and(|e| e == "csv" || e == "json");
        if is_lookup && !hidden {
            found.push(file);
        }
    }
    found.sort();
    Ok(found)
}

fn table(name: &str, path: &Path) -> Result<(LookupTable, Arc<str>), Vec<Problem>> {
    let text = read_text(path).map_err(|p| vec![p])?;
    let yaml = path.with_extension("yaml");
    let declaration = match yaml.try_exists() {
        Ok(false) => None,
        Ok(true) | Err(_) => Some(read_text(&yaml).map_err(|p| vec![p])?),
    };
    let (shown, beside) = (path.display().to_string(), yaml.display().to_string());
    let file = LookupText { path: &shown, text: &text };
    let declared = declaration.as_deref().map(|text| LookupText { path: &beside, text });
    match LookupTable::parse(name, file, declared) {
        Ok(table) => Ok((table, text)),
        Err(wrong) => Err(wrong
            .into_iter()
            .map(|diagnostic| {
                let of_file = diagnostic.path == shown;
                let text = if of_file { Some(text.clone()) } else { declaration.clone() };
                Problem { diagnostic, text }
            })
            .collect()),
    }
}

fn read_text(path: &Path) -> Result<Arc<str>, Problem> {
    files::read_text(path, MAX_LOOKUP_BYTES).map(Into::into).map_err(|error| {
        let diagnostic = Diagnostic::error("R006", &path.display().to_string(), error.to_string());
        Problem { diagnostic, text: None }
    })
}
