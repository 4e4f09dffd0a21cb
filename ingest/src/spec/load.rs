//! From mapping files to sources: merges what the files of one source declare, and says where they
//! disagree. Not the files' syntax.

use std::{collections::BTreeMap, sync::Arc};

use arrow::datatypes::SchemaRef;
use regex::Regex;
use sluice_event::{EnvelopeColumn, Transform, WireSchema, WireType};
use sluice_rule::{Diagnostic, Mapping};

use super::{MappingEntry, SourceSpec, raw_schema};
use crate::{Limits, Surroundings, Unwrap};

impl SourceSpec {
    /// The schema of each source's raw table, for the SQL session. Columns that two files declare
    /// differently have the first one's type here; [`SourceSpec::from_mappings`] refuses them.
    pub fn wire_schemas(mappings: &[Arc<Mapping>]) -> BTreeMap<String, SchemaRef> {
        by_source(mappings)
            .into_iter()
            .map(|(source, files)| (source.to_owned(), raw_schema(&merge(&files, &mut Vec::new()))))
            .collect()
    }

    /// The sources of these mapping files, in name order, each mapping compiled by `compile` over
    /// the merged wire record of its source.
    ///
    /// # Errors
    /// Every disagreement between files of one source, and everything `compile` refuses.
    pub fn from_mappings(
        mappings: &[Arc<Mapping>],
        compile: impl Fn(&Mapping, SchemaRef) -> Result<Arc<dyn Transform>, Vec<Diagnostic>>,
    ) -> Result<Vec<SourceSpec>, Vec<Diagnostic>> {
        let mut problems = Vec::new();
        let mut sources: Vec<SourceSpec> = Vec::new();
        for (source, files) in by_source(mappings) {
            let Some(first) = files.first() else { continue };
            let wire = merge(&files, &mut problems);
            agree(&files, &mut problems);
            let schema = wire.arrow();
            let mut entries = Vec::new();
            for file in &files {
                match compile(file, schema.clone()) {
                    Ok(transform) => entries.push(MappingEntry {
                        id: file.id.to_string(),
                        priority: file.priority,
                        class: file.class,
                        vendor: file.vendor.clone(),
                        product: file.product.clone(),
                        transform,
                    }),
                    Err(errors) => problems.extend(errors),
                }
            }
            let mut compiled = |text: &Option<String>| {
                let regex = pattern(text.as_ref()?);
                regex.map_err(|e| problems.push(error(first, "detect", &e))).ok()
            };
            let detect_line = compiled(&first.detect.matches);
            let detect_message = compiled(&first.detect.message);
            sources.push(SourceSpec {
                source: source.into(),
                codec: first.codec.clone(),
                unwrap: Unwrap::new(first.unwrap.iter().map(String::as_str)),
                wire,
                time: Some(first.time.clone()).filter(|t| !t.is_empty()),
                native_id: first.native_id.clone(),
                time_settings: first.time_settings,
                detect_has: first.detect.has.clone(),
                detect_lacks: first.detect.lacks.clone(),
                detect_line,
                detect_message,
                mappings: entries,
                limits: Limits::default(),
                surroundings: Arc::default(),
                aliases: Arc::default(),
            });
        }
        match Surroundings::new(&sources) {
            Ok(surroundings) => {
                let surroundings = Arc::new(surroundings);
                sources.iter_mut().for_each(|s| s.surroundings = surroundings.clone());
            }
            Err(e) => problems.push(Diagnostic::error("M024", "ingest/envelopes", e.to_string())),
        }
        if problems.is_empty() { Ok(sources) } else { Err(problems) }
    }
}

/// The files of each source in (priority, id) order: the order they are asked.
fn by_source(mappings: &[Arc<Mapping>]) -> BTreeMap<&str, Vec<&Mapping>> {
    let mut sources: BTreeMap<&str, Vec<&Mapping>> = BTreeMap::new();
    for mapping in mappings {
        sources.entry(&mapping.source).or_default().push(mapping);
    }
    for files in sources.values_mut() {
        files.sort_by(|a, b| (a.priority, &a.id).cmp(&(b.priority, &b.id)));
    }
    sources
}

/// The columns of all files; a column of the same name must have the same type, objects field by
/// field.
fn merge(files: &[&Mapping], problems: &mut Vec<Diagnostic>) -> WireSchema {
    let mut merged = WireSchema::default();
    for (at, file) in files.iter().enumerate() {
        for (name, kind) in &file.columns.columns {
            if let Some(column) = EnvelopeColumn::of(name)
                && !column.is(kind)
            {
                problems.push(
                    Diagnostic::error(
                        "M023",
                        &file.file.path,
                        format!("`{name}` can only be declared as {}", column.type_name()),
                    )
                    .detail("it is filled from what came around a record, not from the record")
                    .hint(format!("{name}: {}", column.type_name())),
                );
            }
            add(&mut merged.columns, name, kind, name, &mut |path| {
                let declares = |f: &&&Mapping| f.columns.columns.iter().any(|(n, _)| n == name);
                let other = files[..at].iter().find(declares).map_or("", |f| &f.file.path);
                problems.push(
                    Diagnostic::error(
                        "M020",
                        &file.file.path,
                        format!("wire column `{path}` has another type than in {other}"),
                    )
                    .detail("the files of one source share its wire record")
                    .hint("declare it the same in both files"),
                );
            });
        }
    }
    merged
}

fn add(
    columns: &mut Vec<(String, WireType)>,
    name: &str,
    kind: &WireType,
    path: &str,
    conflict: &mut dyn FnMut(&str),
) {
    match columns.iter_mut().find(|(n, _)| n == name) {
        None => columns.push((name.to_owned(), kind.clone())),
        Some((_, own)) => unify(own, kind, path, conflict),
    }
}

fn unify(own: &mut WireType, other: &WireType, path: &str, conflict: &mut dyn FnMut(&str)) {
    match (own, other) {
        (WireType::Struct(own), WireType::Struct(other)) => {
            for (name, kind) in other {
                add(own, name, kind, &format!("{path}.{name}"), conflict);
            }
        }
        (WireType::List(own), WireType::List(other)) => {
            unify(own, other, &format!("{path}[]"), conflict);
        }
        (own, other) if *own == *other => {}
        _ => conflict(path),
    }
}

/// What all files of a source must say alike, since a record is decoded once.
fn agree(files: &[&Mapping], problems: &mut Vec<Diagnostic>) {
    let Some((first, rest)) = files.split_first() else { return };
    for file in rest {
        let differs = [
            ("codec", file.codec != first.codec),
            ("unwrap", file.unwrap != first.unwrap),
            ("time", file.time != first.time),
            ("native_id", file.native_id != first.native_id),
            ("time_settings", file.time_settings != first.time_settings),
            ("detect", file.detect != first.detect),
        ];
        for (key, _) in differs.iter().filter(|(_, differs)| *differs) {
            problems.push(
                Diagnostic::error(
                    "M021",
                    &file.file.path,
                    format!("`{key}` is not what {} says", first.file.path),
                )
                .detail("the files of one source share it")
                .hint("make it the same in both files"),
            );
        }
    }
}

fn pattern(text: &str) -> Result<Regex, String> {
    Regex::new(text).map_err(|e| format!("not a regular expression: {e}"))
}

fn error(file: &Mapping, key: &str, message: &str) -> Diagnostic {
    Diagnostic::error("M022", &file.file.path, format!("`{key}`: {message}"))
}
