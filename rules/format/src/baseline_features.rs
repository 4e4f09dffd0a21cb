//! The `features` of a baseline: a name, the kind of model, the column and its windows.

use crate::{
    Diagnostic, Span,
    attack::attack,
    baseline::{BaselineColumn, returned},
    fields::{Fields, Reader},
    token::OutputColumn,
    yaml::{Entry, Yaml},
};

/// A feature, declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaselineFeature {
    /// Its name in findings.
    pub name: String,
    /// The model.
    pub kind: BaselineKind,
    /// ATT&CK tactic of an anomaly in it.
    pub tactic: Option<String>,
    /// Where it is declared.
    pub span: Span,
}

/// The model of a feature and the columns it reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BaselineKind {
    /// Which values.
    Categorical(BaselineColumn),
    /// Whom the entity reaches.
    Edge(BaselineColumn),
    /// When, in the zone of a column, or UTC.
    TimeOfWeek(Option<BaselineColumn>),
    /// Rows per window, milliseconds.
    Count(Vec<i64>),
    /// Different values per window, milliseconds.
    Distinct(BaselineColumn, Vec<i64>),
    /// The size of a number.
    Numeric(BaselineColumn),
}

const KINDS: [(&str, Kind); 6] = [
    ("categorical", Kind::Categorical),
    ("edge", Kind::Edge),
    ("time_of_week", Kind::TimeOfWeek),
    ("count", Kind::Count),
    ("distinct", Kind::Distinct),
    ("numeric", Kind::Numeric),
];

#[derive(Clone, Copy)]
enum Kind {
    Categorical,
    Edge,
    TimeOfWeek,
    Count,
    Distinct,
    Numeric,
}

/// The most features of a baseline, and the most windows of a feature.
const FEATURES_MAX: usize = 32;
const WINDOWS_MAX: usize = 4;

pub(crate) fn features(
    reader: &mut Reader<'_>,
    fields: &Fields<'_>,
    place: Span,
    output: Option<&[OutputColumn]>,
) -> Option<Vec<BaselineFeature>> {
    let hint = "features: {country: {kind: categorical}}";
    let node = reader.require(fields, "features", place, hint)?;
    let entries = reader.map(node, "features")?;
    if entries.is_empty() || entries.len() > FEATURES_MAX {
        let primary = format!("`features` has {} features", entries.len());
        reader.bad(node.span, primary, format!("1 to {FEATURES_MAX}: {hint}"));
        return None;
    }
    let mut read = Vec::new();
    for entry in entries {
        read.push(feature(reader, entry, output));
    }
    read.into_iter().collect()
}

fn feature(
    reader: &mut Reader<'_>,
    entry: &Entry,
    output: Option<&[OutputColumn]>,
) -> Option<BaselineFeature> {
    let entries = reader.map(&entry.value, &entry.key)?;
    let keys = ["kind", "column", "tz", "windows", "tactic"];
    let fields = reader.keys(entries, &format!("feature `{}`", entry.key), &keys);
    let node = reader.require(&fields, "kind", entry.span, "kind: categorical")?;
    let kind = reader.word(node, "kind", &KINDS)?;
    let named = match fields.get("column") {
        Some(node) => {
            reader.text(node, "column").map(|name| BaselineColumn { name, span: node.span })
        }
        None => Some(BaselineColumn { name: entry.key.clone(), span: entry.span }),
    };
    let unused = |reader: &mut Reader<'_>, key: &str, of: &str| {
        if let Some(span) = fields.place(key) {
            reader.bad(span, format!("`{key}` has no meaning for {of}"), "leave it out");
        }
    };
    let what = format!("the column of feature `{}`", entry.key);
    let kind = match kind {
        Kind::Count => {
            unused(reader, "column", "a count of rows");
            unused(reader, "tz", "a count of rows");
            BaselineKind::Count(windows(reader, &fields, entry.span)?)
        }
        Kind::TimeOfWeek => {
            unused(reader, "windows", "times of the week");
            let given = fields.get("column").is_some();
            if let Some(column) = named.filter(|c| given && c.name != "time") {
                reader.bad(
                    column.span,
                    format!("`column: {}`: times of the week are those of the row", column.name),
                    "`column: time`, or leave it out",
                );
            }
            let zone = fields.get("tz").and_then(|node| {
                let name = reader.text(node, "tz")?;
                returned(reader, output, &name, node.span, "the time zone");
                Some(BaselineColumn { name, span: node.span })
            });
            BaselineKind::TimeOfWeek(zone)
        }
        Kind::Categorical | Kind::Edge | Kind::Distinct | Kind::Numeric => {
            unused(reader, "tz", "this kind");
            let column = named?;
            returned(reader, output, &column.name, column.span, &what);
            if !matches!(kind, Kind::Distinct) {
                unused(reader, "windows", "this kind");
            }
            match kind {
                Kind::Edge => BaselineKind::Edge(column),
                Kind::Numeric => BaselineKind::Numeric(column),
                Kind::Distinct => {
                    BaselineKind::Distinct(column, windows(reader, &fields, entry.span)?)
                }
                Kind::Categorical | Kind::Count | Kind::TimeOfWeek => {
                    BaselineKind::Categorical(column)
                }
            }
        }
    };
    let tactic = fields.get("tactic").and_then(|node| {
        let id = reader.text(node, "tactic")?;
        let known = id.starts_with("TA") && attack(&id).is_some();
        if !known {
            reader.push(
                Diagnostic::error("R005", reader.path, format!("`{id}` is not an ATT&CK tactic"))
                    .at(node.span)
                    .hint("the id of a tactic: `TA0001`"),
            );
        }
        known.then_some(id)
    });
    Some(BaselineFeature { name: entry.key.clone(), kind, tactic, span: entry.span })
}

fn windows(reader: &mut Reader<'_>, fields: &Fields<'_>, place: Span) -> Option<Vec<i64>> {
    let hint = "windows: [1h, 1d]";
    let node = reader.require(fields, "windows", place, hint)?;
    let items = match &node.value {
        Yaml::List(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    };
    let windows: Option<Vec<i64>> = items.iter().map(|n| reader.duration(n, "windows")).collect();
    let windows = windows?;
    let valid = |w: &i64| (60_000..=86_400_000).contains(w) && 86_400_000 % w == 0;
    if windows.is_empty() || windows.len() > WINDOWS_MAX || !windows.iter().all(valid) {
        let most = format!("1 to {WINDOWS_MAX} windows that divide a day, from 1m to 1d: {hint}");
        reader.bad(node.span, "windows that cannot be used", most);
        return None;
    }
    Some(windows)
}
