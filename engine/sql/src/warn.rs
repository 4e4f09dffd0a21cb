//! What loads but may not do what is meant: rows that NULL drops, keys that may be NULL, windows
//! that split bursts. Not what is refused.

use datafusion::{
    common::{DFSchema, Spans},
    logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator},
};
use sluice_stream::{Atom, Limits, Predicate, Test, Window};

use crate::{
    classify::{Arm, Groups},
    error::SqlProblem,
    predicate::Conditions,
    text::sql_text,
    walk,
};

/// About the windows of a rule.
pub(crate) fn groups(groups: &Groups, warnings: &mut Vec<SqlProblem>) {
    if groups.having.is_empty() {
        warnings.push(
            SqlProblem::new("R023", "every group is a finding")
                .detail("there is no HAVING")
                .hint("HAVING count(*) >= 5"),
        );
    }
    match groups.window {
        Window::Tumble { size } if !groups.having.is_empty() => warnings.push(
            SqlProblem::new("R028", "a burst across the edge of two windows is counted in halves")
                .hint(format!("sliding(time, INTERVAL '{} seconds')", size / 1_000)),
        ),
        Window::Session { .. } => {
            let hours = Limits::default().session_max / 3_600_000;
            warnings.push(
                SqlProblem::new("R029", format!("a session is cut after {hours} hours"))
                    .detail("what comes later begins another one, whatever the pause"),
            );
        }
        Window::Hop { .. } | Window::Tumble { .. } | Window::Sliding { .. } => {}
    }
}

/// About a condition that compares a quotient of whole numbers with a fraction.
pub(crate) fn whole_division(condition: &Expr, schema: &DFSchema) -> Option<SqlProblem> {
    let mut found = None;
    walk::any(condition, |expr| {
        if let Expr::Cast(cast) = expr
            && cast.field.data_type().is_floating()
            && let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Divide, right }) =
                cast.expr.as_ref()
            && cast.expr.get_type(schema).is_ok_and(|t| t.is_integer())
        {
            found = Some((left.clone(), right.clone()));
        }
        found.is_some()
    });
    let (left, right) = found?;
    let (left, right) = (sql_text(&left), sql_text(&right));
    Some(
        SqlProblem::new("R040", format!("`{left} / {right}` is a whole number"))
            .detail("a division of whole numbers leaves the rest out, and this one is compared with a fraction")
            .hint(format!("1.0 * {left} / {right}")),
    )
}

/// About one arm; its first `keys` columns are group keys.
pub(crate) fn arm(arm: &Arm, conditions: &Conditions, keys: usize, warnings: &mut Vec<SqlProblem>) {
    for sql in &conditions.failing {
        warnings.push(
            SqlProblem::new("R033", format!("`{sql}` can fail on a row"))
                .detail("a row on which it fails does not match, and is counted")
                .hint("try_cast(x AS BIGINT) gives NULL instead; nullif(x, 0) avoids division by zero")
                .at(arm.filters.iter().find_map(|f| place(f, |name| sql.contains(name)))),
        );
    }
    let conjuncts = match &conditions.filter {
        Predicate::And(parts) => parts.as_slice(),
        other => std::slice::from_ref(other),
    };
    for (i, conjunct) in conjuncts.iter().enumerate() {
        let Some((column, sql)) = dropped(conjunct) else { continue };
        let others = || conjuncts.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, p)| p);
        let field = arm.schema.field(column);
        if !field.is_nullable() || others().any(|p| implies_value(p, column)) {
            continue;
        }
        let name = field.name();
        warnings.push(
            SqlProblem::new("R020", format!("rows without `{name}` are dropped by this condition"))
                .detail("NULL is neither equal nor different")
                .hint(format!(
                    "({sql}) IS NOT TRUE keeps them; AND {name} IS NOT NULL says it is meant"
                ))
                .at(arm.filters.iter().find_map(|f| negative_place(f, name))),
        );
    }
    for key in &arm.columns[..keys.min(arm.columns.len())] {
        let Expr::Column(column) = key else { continue };
        let Ok(index) = arm.schema.index_of(&column.name) else { continue };
        if !arm.schema.field(index).is_nullable()
            || conjuncts.iter().any(|p| implies_value(p, index))
        {
            continue;
        }
        let name = &column.name;
        warnings.push(
            SqlProblem::new("R022", format!("rows without `{name}` become one group"))
                .detail("GROUP BY puts all NULLs together")
                .hint(format!("AND {name} IS NOT NULL"))
                .at(span(&column.spans)),
        );
    }
}

/// The column whose NULLs a negated conjunct drops, and the condition it negates.
fn dropped(conjunct: &Predicate) -> Option<(usize, &str)> {
    let Predicate::Not(inner) = conjunct else { return None };
    match inner.as_ref() {
        Predicate::Leaf(leaf) => match &leaf.atom {
            // NOT of a flag reads as it is meant.
            Atom::Column { test: Test::IsNull | Test::IsSet, .. } => None,
            Atom::Column { column, .. } => Some((*column, leaf.sql.as_ref())),
            Atom::Virtual { .. } | Atom::Opaque { .. } => None,
        },
        _ => None,
    }
}

/// Whether a condition that is TRUE says that a column has a value.
fn implies_value(predicate: &Predicate, column: usize) -> bool {
    match predicate {
        Predicate::And(parts) => parts.iter().any(|p| implies_value(p, column)),
        Predicate::Or(parts) => !parts.is_empty() && parts.iter().all(|p| implies_value(p, column)),
        Predicate::IsTrue(inner) | Predicate::IsFalse(inner) => match inner.as_ref() {
            Predicate::Leaf(leaf) => strict(&leaf.atom, column),
            _ => false,
        },
        Predicate::Not(inner) => match inner.as_ref() {
            Predicate::Leaf(leaf) => {
                strict(&leaf.atom, column)
                    || matches!(&leaf.atom, Atom::Column { column: c, test: Test::IsNull } if *c == column)
            }
            _ => false,
        },
        Predicate::Leaf(leaf) => strict(&leaf.atom, column),
        Predicate::IsUnknown(_) | Predicate::Constant(_) => false,
    }
}

fn strict(atom: &Atom, column: usize) -> bool {
    matches!(atom, Atom::Column { column: c, test } if *c == column && *test != Test::IsNull)
}

/// Where an expression first names a column that `wanted` accepts.
fn place(expr: &Expr, wanted: impl Fn(&str) -> bool) -> Option<(u64, u64, u64)> {
    let mut found = None;
    walk::any(expr, |e| {
        if let Expr::Column(column) = e
            && wanted(&column.name)
        {
            found = span(&column.spans);
        }
        found.is_some()
    });
    found
}

/// Where a negated test of a column stands.
fn negative_place(expr: &Expr, column: &str) -> Option<(u64, u64, u64)> {
    let negative = match expr {
        Expr::BinaryExpr(BinaryExpr { op, .. }) => {
            matches!(op, Operator::NotEq | Operator::RegexNotMatch | Operator::RegexNotIMatch)
        }
        Expr::Like(like) => like.negated,
        Expr::InList(list) => list.negated,
        Expr::Between(between) => between.negated,
        Expr::Not(_) => true,
        _ => false,
    };
    if negative { place(expr, |name| name == column) } else { None }
}

/// A place on one line.
pub(crate) fn span(spans: &Spans) -> Option<(u64, u64, u64)> {
    let span = spans.first()?;
    let length = if span.start.line == span.end.line {
        span.end.column.saturating_sub(span.start.column).max(1)
    } else {
        1
    };
    Some((span.start.line, span.start.column, length))
}
