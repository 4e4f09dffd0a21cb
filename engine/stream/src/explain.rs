//! Why a condition is TRUE, FALSE or NULL on one row. For people: one row at a time, every part
//! evaluated, nothing shared.

use arrow::{array::AsArray, record_batch::RecordBatch};
use sluice_event::Value;

use crate::{Atom, Leaf, Predicate, network};

/// A condition, or a part of one, on one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainNode {
    /// The SQL of a leaf; `AND`, `OR`, `NOT`, `IS TRUE`, .. or a constant above them.
    pub sql: String,
    /// TRUE, FALSE or (`None`) NULL.
    pub verdict: Option<bool>,
    /// Its parts, in the rule's order.
    pub children: Vec<ExplainNode>,
    /// What a leaf read: the column or expression, and its value on the row.
    pub values: Vec<(String, Value)>,
    /// Why a leaf could not be evaluated; its verdict is NULL then.
    pub error: Option<String>,
}

/// Explains a condition on row `row` of a batch of its table.
///
/// # Panics
/// If the batch has no such row.
pub fn explain(predicate: &Predicate, batch: &RecordBatch, row: usize) -> ExplainNode {
    node(predicate, &batch.slice(row, 1))
}

fn node(predicate: &Predicate, row: &RecordBatch) -> ExplainNode {
    let inner = |name: &str, parts: &[Predicate], verdict: fn(&[Option<bool>]) -> Option<bool>| {
        let children: Vec<ExplainNode> = parts.iter().map(|p| node(p, row)).collect();
        let verdicts: Vec<Option<bool>> = children.iter().map(|c| c.verdict).collect();
        ExplainNode {
            sql: name.to_owned(),
            verdict: verdict(&verdicts),
            children,
            values: Vec::new(),
            error: None,
        }
    };
    let one = std::slice::from_ref;
    match predicate {
        Predicate::And(parts) => inner("AND", parts, |v| {
            if v.contains(&Some(false)) {
                Some(false)
            } else {
                (!v.contains(&None)).then_some(true)
            }
        }),
        Predicate::Or(parts) => inner("OR", parts, |v| {
            if v.contains(&Some(true)) { Some(true) } else { (!v.contains(&None)).then_some(false) }
        }),
        Predicate::Not(p) => inner("NOT", one(p), |v| v[0].map(|v| !v)),
        Predicate::IsTrue(p) => inner("IS TRUE", one(p), |v| Some(v[0] == Some(true))),
        Predicate::IsFalse(p) => inner("IS FALSE", one(p), |v| Some(v[0] == Some(false))),
        Predicate::IsUnknown(p) => inner("IS UNKNOWN", one(p), |v| Some(v[0].is_none())),
        Predicate::Constant(verdict) => {
            let name = match verdict {
                Some(true) => "TRUE",
                Some(false) => "FALSE",
                None => "NULL",
            };
            ExplainNode { verdict: *verdict, ..inner(name, &[], |_| None) }
        }
        Predicate::Leaf(leaf) => explain_leaf(leaf, row),
    }
}

fn explain_leaf(leaf: &Leaf, row: &RecordBatch) -> ExplainNode {
    let mut explained = ExplainNode {
        sql: leaf.sql.to_string(),
        verdict: None,
        children: Vec::new(),
        values: Vec::new(),
        error: None,
    };
    let (name, read, test) = match &leaf.atom {
        Atom::Column { column, test } => {
            let schema = row.schema();
            let Some(array) = row.columns().get(*column) else {
                explained.error = Some(format!("the batch has no column {column}"));
                return explained;
            };
            (schema.field(*column).name().clone(), array.clone(), test)
        }
        Atom::Virtual { column, test, .. } => match column.eval(row) {
            Ok(array) => (column.sql().to_owned(), array, test),
            Err(error) => {
                explained.error = Some(error.to_string());
                return explained;
            }
        },
        Atom::Opaque { eval, .. } => {
            match eval.eval(row) {
                Ok(array) => {
                    let verdict = array.as_boolean_opt().and_then(|a| a.iter().next());
                    explained.verdict = verdict.flatten();
                }
                Err(error) => explained.error = Some(error.to_string()),
            }
            return explained;
        }
    };
    explained.verdict = network::verdict(test, &read);
    let value = Value::column(&read).and_then(|v| v.into_iter().next());
    explained.values.push((name, value.unwrap_or_default()));
    explained
}
