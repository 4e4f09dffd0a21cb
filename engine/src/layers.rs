//! Rules that read what other rules found: which they read, and in which order they run. Not how their
//! rows reach them: see [`crate::findings_source`].
//!
//! A rule over `findings` that does not say of which rules it reads those of all that read none
//! themselves, and of baselines: it is of layer 1. One whose conditions name rules (`rule_id = 'a.b'`,
//! `IN`, `LIKE 'a.%'`) reads those and may read rules over findings too: it is of the layer above the
//! highest of them. So no rule ever reads its own findings, directly or through others; a circle is
//! refused.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{ArrayRef, StringArray, new_null_array},
    compute::cast,
    datatypes::{Field, Schema},
    record_batch::RecordBatch,
};
use sluice_rule::{Diagnostic, Span};
use sluice_stream::{Atom, Branch, Limits, Predicate, explain, hold};

use crate::{LoadedRule, finding_rows};

/// The layers of a set of rules. Layer 0 reads no findings.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layers {
    /// Of the rules that read findings.
    over_findings: BTreeMap<Arc<str>, u32>,
    /// Per layer: milliseconds of event time after which a finding of it is final at the latest.
    holds: Vec<i64>,
}

/// Rules that read each other's findings, each those of the next, the last those of the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Circle(pub(crate) Vec<Arc<str>>);

/// Whether a condition can be TRUE of a finding of a rule.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Yes,
    No,
    /// It depends on other columns.
    Open,
}

/// An id that no rule has.
const NOBODY: &str = "\u{0}";

impl Layers {
    /// The layers of rules, and the circles among them: rules of one have layer 1 here and must not run.
    pub(crate) fn of(rules: &[LoadedRule]) -> (Layers, Vec<Circle>) {
        let readers: Vec<&LoadedRule> = rules.iter().filter(|r| reads_findings(r)).collect();
        let named: Vec<Vec<usize>> = readers
            .iter()
            .map(|reader| {
                let is_named = |other: &&LoadedRule| names(reader, &other.plan.rule);
                let all = readers.iter().enumerate();
                all.filter(|(_, other)| is_named(other)).map(|(at, _)| at).collect()
            })
            .collect();
        let mut walk =
            Walk { named: &named, layers: vec![None; readers.len()], circles: Vec::new() };
        for reader in 0..readers.len() {
            walk.layer(reader, &mut Vec::new());
        }
        let id = |at: &usize| readers.get(*at).map(|r| r.plan.rule.clone());
        let circles = walk.circles.iter().map(|c| Circle(c.iter().filter_map(id).collect()));
        let circles = circles.collect();
        let over_findings: BTreeMap<Arc<str>, u32> = readers
            .iter()
            .zip(&walk.layers)
            .map(|(reader, layer)| (reader.plan.rule.clone(), layer.unwrap_or(1)))
            .collect();
        let depth = over_findings.values().copied().max().unwrap_or(0);
        let mut layers = Layers { over_findings, holds: Vec::new() };
        let limits = Limits::default();
        layers.holds = (0..=depth)
            .map(|layer| {
                let of_layer = rules.iter().filter(|r| layers.layer(&r.plan.rule) == layer);
                of_layer.map(|r| hold(&r.plan, &limits)).max().unwrap_or(0)
            })
            .collect();
        (layers, circles)
    }

    /// The highest layer; 0 if no rule reads findings.
    pub(crate) fn depth(&self) -> u32 {
        u32::try_from(self.holds.len().saturating_sub(1)).unwrap_or(u32::MAX)
    }

    /// The layer of a rule; 0 of one that reads no findings, or is not known.
    pub(crate) fn layer(&self, rule: &str) -> u32 {
        self.over_findings.get(rule).copied().unwrap_or(0)
    }

    /// Milliseconds of event time after which a finding of a layer is final at the latest.
    pub(crate) fn hold(&self, layer: u32) -> i64 {
        self.holds.get(layer as usize).copied().unwrap_or(0)
    }
}

impl Circle {
    /// What a rule of the circle is refused with, at the place where it names the next one.
    pub(crate) fn refuses(&self, loaded: &LoadedRule) -> Option<Diagnostic> {
        let at = self.0.iter().position(|rule| *rule == loaded.plan.rule)?;
        let around = || self.0.iter().cycle().skip(at);
        let next = around().nth(1)?;
        let ids: Vec<String> = around().take(self.0.len() + 1).map(|r| format!("`{r}`")).collect();
        let file = &loaded.rule.file;
        let primary = match self.0.len() {
            1 => format!("the rule reads its own findings: {}", ids.join(" reads ")),
            _ => format!("rules read each other's findings in a circle: {}", ids.join(" reads ")),
        };
        Some(
            Diagnostic::error("R017", &file.path, primary)
                .at(place(&file.sql, next).or_else(|| place(&file.sql, "findings")))
                .detail("a finding would be the cause of the next one for ever")
                .hint("name rules that do not read this one: WHERE rule_id IN ('identity.a', 'cloud.b')"),
        )
    }
}

/// Whether a rule reads findings.
pub(crate) fn reads_findings(loaded: &LoadedRule) -> bool {
    loaded.plan.branches.iter().any(|branch| branch.table.is_findings())
}

/// What a rule over findings can never find because it names rules that are not there; `None` if it
/// names none, or one that is.
pub(crate) fn names_nobody(loaded: &LoadedRule, all: &[&LoadedRule]) -> bool {
    let over_findings = loaded.plan.branches.iter().filter(|b| b.table.is_findings());
    let mut over_findings = over_findings.peekable();
    over_findings.peek().is_some()
        && loaded.plan.branches.iter().all(|b| b.table.is_findings())
        && over_findings.all(|branch| {
            let passes = |rule: &str| about(branch, rule) != Answer::No;
            !passes(NOBODY) && !all.iter().any(|other| passes(&other.plan.rule))
        })
}

/// Whether a rule names another one among those whose findings it reads.
fn names(reader: &LoadedRule, other: &str) -> bool {
    reader
        .plan
        .branches
        .iter()
        .filter(|branch| branch.table.is_findings())
        .any(|branch| about(branch, NOBODY) == Answer::No && about(branch, other) != Answer::No)
}

/// Whether the condition of a branch over findings can be TRUE of one of a rule.
fn about(branch: &Branch, rule: &str) -> Answer {
    row(rule).map_or(Answer::Open, |(row, column)| answer(&branch.filter, &row, column))
}

/// A row of `findings` of which only the rule is known, and which column that is.
fn row(rule: &str) -> Option<(RecordBatch, usize)> {
    let schema = finding_rows::schema()?;
    let id = schema.index_of("rule_id").ok()?;
    let columns = schema.fields().iter().enumerate().map(|(at, field)| -> Option<ArrayRef> {
        if at == id {
            let rule: ArrayRef = Arc::new(StringArray::from(vec![rule]));
            return cast(&rule, field.data_type()).ok();
        }
        Some(new_null_array(field.data_type(), 1))
    });
    let columns = columns.collect::<Option<Vec<_>>>()?;
    // Here even the time is unknown.
    let fields = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<Field>>()));
    Some((RecordBatch::try_new(schema, columns).ok()?, id))
}

fn answer(condition: &Predicate, row: &RecordBatch, rule_id: usize) -> Answer {
    let known = |value: bool| if value { Answer::Yes } else { Answer::No };
    let of = |p: &Predicate| answer(p, row, rule_id);
    match condition {
        Predicate::And(all) => all.iter().map(of).fold(Answer::Yes, |a, b| match (a, b) {
            (Answer::No, _) | (_, Answer::No) => Answer::No,
            (Answer::Yes, Answer::Yes) => Answer::Yes,
            (Answer::Open, _) | (_, Answer::Open) => Answer::Open,
        }),
        Predicate::Or(any) => any.iter().map(of).fold(Answer::No, |a, b| match (a, b) {
            (Answer::Yes, _) | (_, Answer::Yes) => Answer::Yes,
            (Answer::No, Answer::No) => Answer::No,
            (Answer::Open, _) | (_, Answer::Open) => Answer::Open,
        }),
        Predicate::IsTrue(inner) => of(inner),
        Predicate::Not(inner) | Predicate::IsFalse(inner) => match of(inner) {
            Answer::Yes => Answer::No,
            Answer::No => Answer::Yes,
            Answer::Open => Answer::Open,
        },
        Predicate::IsUnknown(inner) => match of(inner) {
            Answer::Yes | Answer::No => Answer::No,
            Answer::Open => Answer::Open,
        },
        Predicate::Constant(value) => value.map_or(Answer::Open, known),
        Predicate::Leaf(leaf) => match &leaf.atom {
            Atom::Column { column, .. } if *column == rule_id => {
                explain(condition, row, 0).verdict.map_or(Answer::Open, known)
            }
            Atom::Column { .. } | Atom::Virtual { .. } | Atom::Opaque { .. } => Answer::Open,
        },
    }
}

/// Finds the layer of each reader, and circles on the way.
struct Walk<'a> {
    /// Per reader: the readers it names.
    named: &'a [Vec<usize>],
    layers: Vec<Option<u32>>,
    circles: Vec<Vec<usize>>,
}

impl Walk<'_> {
    fn layer(&mut self, reader: usize, path: &mut Vec<usize>) -> u32 {
        if let Some(known) = self.layers.get(reader).copied().flatten() {
            return known;
        }
        if let Some(from) = path.iter().position(|on| *on == reader) {
            self.circles.extend(path.get(from..).map(<[usize]>::to_vec));
            return 0;
        }
        path.push(reader);
        let named = self.named;
        let below = named.get(reader).into_iter().flatten();
        let below = below.map(|next| self.layer(*next, path)).max().unwrap_or(0);
        path.pop();
        if let Some(layer) = self.layers.get_mut(reader) {
            *layer = Some(below + 1);
        }
        below + 1
    }
}

/// Where a text names something.
fn place(sql: &str, name: &str) -> Option<Span> {
    let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    sql.lines().enumerate().find_map(|(line, text)| {
        let at = text.to_lowercase().find(name)?;
        let column = text.get(..at)?.chars().count() + 1;
        Some(Span::new(small(line + 1), small(column), small(name.chars().count())))
    })
}

#[cfg(test)]
mod tests;
