//! The format of an envelope file. Strict: a key that is not known is an error.

use std::collections::BTreeMap;

use serde::Deserialize;
use sluice_rule::Pattern;

use super::{
    Content, EnvelopeError, EnvelopeSpec, EnvelopeTest, Field, Kind, When, path::Path,
    payload::Form,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    id: String,
    title: String,
    #[serde(default)]
    references: Vec<String>,
    when: Recognition,
    #[serde(default)]
    last: bool,
    #[serde(default)]
    skip: Option<String>,
    #[serde(default)]
    refuse: Option<String>,
    #[serde(default)]
    elements: String,
    #[serde(default)]
    payload: Vec<Payload>,
    #[serde(default)]
    fields: BTreeMap<String, Vec<String>>,
    tests: Vec<Example>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Recognition {
    #[serde(default)]
    has: Vec<String>,
    #[serde(default)]
    lacks: Vec<String>,
    #[serde(default)]
    equals: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    only: Option<Vec<String>>,
    #[serde(default)]
    items: Vec<String>,
    #[serde(default)]
    line: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    at: String,
    form: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Example {
    name: String,
    record: String,
    #[serde(default)]
    payloads: Vec<String>,
    #[serde(default)]
    fields: BTreeMap<String, String>,
}

pub(super) fn parse(path: &str, text: &str) -> Result<EnvelopeSpec, EnvelopeError> {
    let syntax = |e: serde_saphyr::Error| EnvelopeError::Syntax {
        path: path.to_owned(),
        reason: e.to_string(),
    };
    let file: File = serde_saphyr::from_str(text).map_err(syntax)?;
    let wrong = |reason: String| EnvelopeError::Value { path: path.to_owned(), reason };
    let path_of = |text: &str| {
        Path::parse(text).ok_or_else(|| {
            wrong(format!(
                "`{text}` is not a path; `a.b`, `list[*]`, `list[0]` and `list[key]` are"
            ))
        })
    };
    let when = match &file.when.line {
        Some(line) => {
            let pattern: Pattern = line.parse().map_err(|e| wrong(format!("`line`: {e}")))?;
            if !pattern.groups().any(|(_, name)| name == "payload")
                && file.skip.is_none()
                && file.refuse.is_none()
            {
                return Err(wrong("`line` needs a group `payload`".into()));
            }
            When::Line(pattern)
        }
        None if !file.when.items.is_empty() => {
            let kind = |word: &str| {
                Kind::parse(word).ok_or_else(|| {
                    wrong(format!("`{word}` is not a kind; text, number, object, array are"))
                })
            };
            let items = file.when.items.iter();
            When::Array(
                items.map(|any| any.split('|').map(kind).collect()).collect::<Result<_, _>>()?,
            )
        }
        None => When::Object {
            has: file
                .when
                .has
                .iter()
                .map(|any| any.split('|').map(path_of).collect())
                .collect::<Result<_, _>>()?,
            lacks: file.when.lacks.iter().map(|p| path_of(p)).collect::<Result<_, _>>()?,
            equals: file
                .when
                .equals
                .iter()
                .map(|(p, wanted)| Ok((path_of(p)?, wanted.clone())))
                .collect::<Result<_, _>>()?,
            only: file.when.only,
        },
    };
    if let When::Object { has, equals, .. } = &when
        && has.is_empty()
        && equals.is_empty()
    {
        return Err(wrong(
            "`when` recognises nothing: give `has`, `equals`, `items` or `line`".into(),
        ));
    }
    let is_line = matches!(when, When::Line(_));
    let content = match (file.skip, file.refuse) {
        (Some(_), Some(_)) => return Err(wrong("give `skip` or `refuse`, not both".into())),
        (Some(reason), None) => Content::Skip(reason.into()),
        (None, Some(reason)) => Content::Refuse(reason.into()),
        (None, None) if file.payload.is_empty() && !is_line => {
            let forms = "`payload`, `skip` for what is no event, or `refuse` for what is not read";
            return Err(wrong(format!("give {forms}")));
        }
        (None, None) => Content::Payload {
            elements: path_of(&file.elements)?,
            payload: file
                .payload
                .iter()
                .map(|p| {
                    let form = Form::parse(&p.form).ok_or_else(|| {
                        let forms = "text, json, any, base64, otlp";
                        wrong(format!("`{}` is not a form; {forms} are", p.form))
                    })?;
                    Ok((path_of(&p.at)?, form))
                })
                .collect::<Result<_, _>>()?,
            fields: file
                .fields
                .iter()
                .map(|(name, paths)| {
                    let paths = paths.iter().map(|p| path_of(p)).collect::<Result<_, _>>()?;
                    Ok((field(name).map_err(&wrong)?, paths))
                })
                .collect::<Result<_, _>>()?,
        },
    };
    Ok(EnvelopeSpec {
        id: file.id,
        title: file.title,
        references: file.references,
        when,
        last: file.last,
        content,
        tests: file
            .tests
            .into_iter()
            .map(|t| EnvelopeTest {
                name: t.name,
                record: t.record,
                payloads: t.payloads,
                fields: t.fields,
            })
            .collect(),
    })
}

/// The field of a name: `time`, `received`, `host`, `program`, `pid`, or a column of the rows.
pub(super) fn field(name: &str) -> Result<Field, String> {
    Ok(match name {
        "time" => Field::Time,
        "received" => Field::Received,
        "host" => Field::Host,
        "program" => Field::Program,
        "pid" => Field::Pid,
        column => {
            let known = sluice_event::Schema::builtin().tables().any(|t| {
                t.index(column.strip_prefix("unmapped.").map_or(column, |_| "unmapped")).is_some()
            });
            if !known {
                return Err(format!(
                    "`{column}` is no field: time, received, host, program, pid, a column of the \
                     tables or `unmapped.<name>` are"
                ));
            }
            Field::Column(column.to_owned())
        }
    })
}

impl Field {
    /// Its name in a file.
    pub(super) fn name(&self) -> &str {
        match self {
            Field::Time => "time",
            Field::Received => "received",
            Field::Host => "host",
            Field::Program => "program",
            Field::Pid => "pid",
            Field::Column(name) => name,
        }
    }
}
