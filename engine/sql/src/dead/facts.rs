//! What a conjunction says of each of its subjects, and whether that can be at once.

use std::collections::BTreeMap;

use datafusion::{
    common::ScalarValue,
    logical_expr::{BinaryExpr, Expr, Operator},
};

use super::{literal, text::TextTest, text_of};

/// Facts by subject.
#[derive(Default)]
pub(super) struct Facts<'e>(BTreeMap<String, Vec<Fact<'e>>>);

/// One thing that must hold, and the condition that says so.
struct Fact<'e> {
    kind: Kind,
    from: &'e Expr,
}

enum Kind {
    OneOf(Vec<ScalarValue>),
    NoneOf(Vec<ScalarValue>),
    Compare(Operator, ScalarValue),
    Text(TextTest),
    Null,
    NotNull,
}

impl<'e> Facts<'e> {
    /// Takes in a conjunct.
    pub(super) fn learn(&mut self, part: &'e Expr) {
        let Some((subject, kind)) = fact(part) else { return };
        self.0.entry(subject.to_string()).or_default().push(Fact { kind, from: part });
    }

    /// Two conditions that cannot hold at once.
    pub(super) fn conflict(&self) -> Option<(&'e Expr, &'e Expr)> {
        for facts in self.0.values() {
            for (i, left) in facts.iter().enumerate() {
                for right in &facts[i + 1..] {
                    if excludes(&left.kind, &right.kind) || excludes(&right.kind, &left.kind) {
                        return Some((left.from, right.from));
                    }
                }
            }
        }
        None
    }
}

fn fact(part: &Expr) -> Option<(&Expr, Kind)> {
    match part {
        Expr::Alias(alias) => fact(&alias.expr),
        Expr::IsNull(inner) => Some((inner, Kind::Null)),
        Expr::IsNotNull(inner) => Some((inner, Kind::NotNull)),
        Expr::Column(_) => Some((part, Kind::OneOf(vec![ScalarValue::from(true)]))),
        Expr::Not(inner) if matches!(inner.as_ref(), Expr::Column(_)) => {
            Some((inner, Kind::OneOf(vec![ScalarValue::from(false)])))
        }
        Expr::IsTrue(inner) => Some((inner, Kind::OneOf(vec![ScalarValue::from(true)]))),
        Expr::IsFalse(inner) => Some((inner, Kind::OneOf(vec![ScalarValue::from(false)]))),
        Expr::InList(list) => {
            let values: Option<Vec<_>> = list.list.iter().map(|i| literal(i).cloned()).collect();
            let values = values?;
            let kind = if list.negated { Kind::NoneOf(values) } else { Kind::OneOf(values) };
            Some((&list.expr, kind))
        }
        Expr::Like(like) if !like.negated && like.escape_char.is_none_or(|c| c == '\\') => {
            let pattern = literal(&like.pattern).and_then(text_of)?;
            Some((&like.expr, Kind::Text(TextTest::like(pattern, like.case_insensitive))))
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (subject, op, value) = match (literal(left), literal(right)) {
                (None, Some(value)) => (left.as_ref(), *op, value.clone()),
                (Some(value), None) => (right.as_ref(), op.swap()?, value.clone()),
                _ => return None,
            };
            let kind = match op {
                Operator::Eq => Kind::OneOf(vec![value]),
                Operator::NotEq => Kind::NoneOf(vec![value]),
                Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq => {
                    Kind::Compare(op, value)
                }
                _ => return None,
            };
            Some((subject, kind))
        }
        Expr::ScalarFunction(call) => {
            let [subject, needle] = call.args.as_slice() else { return None };
            let needle = literal(needle).and_then(text_of)?;
            let test = match call.func.name() {
                "contains" => TextTest::contains(needle, false),
                "starts_with" => TextTest::starts(needle, false),
                "ends_with" => TextTest::ends(needle, false),
                "icontains" => TextTest::contains(needle, true),
                "istarts" => TextTest::starts(needle, true),
                "iends" => TextTest::ends(needle, true),
                _ => return None,
            };
            Some((subject, Kind::Text(test)))
        }
        _ => None,
    }
}

fn excludes(one: &Kind, other: &Kind) -> bool {
    match (one, other) {
        (Kind::Null, Kind::Null) => false,
        (Kind::Null, _) => true,
        (Kind::OneOf(values), other) => values.iter().all(|value| !allows(other, value)),
        (Kind::Compare(Operator::Gt | Operator::GtEq, low), Kind::Compare(op, high)) => {
            let strict = matches!(one, Kind::Compare(Operator::Gt, _)) || *op == Operator::Lt;
            if !matches!(op, Operator::Lt | Operator::LtEq) {
                return false;
            }
            match low.partial_cmp(high) {
                Some(std::cmp::Ordering::Greater) => true,
                Some(std::cmp::Ordering::Equal) => strict,
                Some(std::cmp::Ordering::Less) => {
                    // No whole number lies between 5 and 6.
                    strict
                        && matches!(one, Kind::Compare(Operator::Gt, _))
                        && *op == Operator::Lt
                        && low.data_type().is_integer()
                        && low
                            .add(
                                ScalarValue::new_one(&low.data_type()).unwrap_or(ScalarValue::Null),
                            )
                            .is_ok_and(|next| next == *high)
                }
                None => false,
            }
        }
        _ => false,
    }
}

/// Whether a value can be there beside a fact.
fn allows(fact: &Kind, value: &ScalarValue) -> bool {
    match fact {
        Kind::OneOf(values) => values.contains(value),
        Kind::NoneOf(values) => !values.contains(value),
        Kind::Compare(op, bound) => match (op, value.partial_cmp(bound)) {
            (_, None) => true,
            (Operator::Lt, Some(order)) => order.is_lt(),
            (Operator::LtEq, Some(order)) => order.is_le(),
            (Operator::Gt, Some(order)) => order.is_gt(),
            (Operator::GtEq, Some(order)) => order.is_ge(),
            _ => true,
        },
        Kind::Text(test) => text_of(value).is_none_or(|text| test.matches(text).unwrap_or(true)),
        Kind::Null => false,
        Kind::NotNull => true,
    }
}
