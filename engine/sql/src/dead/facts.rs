//! What a conjunction says of each of its subjects, and whether that can be at once. Not what a
//! subject can be by itself: that is [`super::domain`].

use std::collections::{BTreeMap, HashSet};

use datafusion::{
    common::ScalarValue,
    logical_expr::{BinaryExpr, Expr, Operator},
};

use super::{literal, strict, text::TextTest, text_of, unnamed};
use crate::{
    networks::{Networks, address},
    predicate::terms,
};

/// So many facts of one subject are compared with each other; more are not looked at.
const FACTS_MAX: usize = 64;
/// So many alternatives of one OR are looked at.
const ALTERNATIVES_MAX: usize = 256;

/// Facts by subject.
#[derive(Default)]
pub(super) struct Facts<'e>(BTreeMap<String, Vec<Fact<'e>>>);

/// One thing that must hold, and the condition that says so.
struct Fact<'e> {
    kind: FactKind,
    from: &'e Expr,
}

enum FactKind {
    OneOf(HashSet<ScalarValue>),
    NoneOf(HashSet<ScalarValue>),
    Compare(Operator, ScalarValue),
    /// A test that passes, or fails.
    Text(TextTest, bool),
    /// An address inside the networks, or outside.
    Inside(Networks, bool),
    /// Two values: which of less, equal and greater the first may be.
    Order(u8),
    /// A condition that is TRUE, or is not.
    Holds(bool),
    Null,
    NotNull,
}

/// Two conditions that cannot hold at once.
pub(super) type Conflict<'e> = (&'e Expr, &'e Expr);

impl<'e> Facts<'e> {
    /// What all of `parts` say.
    pub(super) fn of(parts: &[&'e Expr]) -> Facts<'e> {
        let mut facts = Facts::default();
        parts.iter().for_each(|part| facts.learn(part));
        facts
    }

    /// Takes in a conjunct.
    fn learn(&mut self, part: &'e Expr) {
        let part = unnamed(part);
        if let Some((subject, kind)) = fact(part) {
            self.add(subject.to_string(), kind, part);
        }
        if let Some((subject, kind)) = order(part) {
            self.add(subject, kind, part);
        }
        match part {
            Expr::IsNotTrue(inner) => self.add(holds(inner), FactKind::Holds(false), part),
            Expr::Not(inner) | Expr::IsFalse(inner) => {
                self.add(holds(inner), FactKind::Holds(false), part);
            }
            Expr::IsTrue(inner) => self.add(holds(inner), FactKind::Holds(true), part),
            other => self.add(holds(other), FactKind::Holds(true), part),
        }
        for column in strict::columns(part) {
            self.add(column.to_string(), FactKind::NotNull, part);
        }
    }

    fn add(&mut self, subject: String, kind: FactKind, from: &'e Expr) {
        let facts = self.0.entry(subject).or_default();
        if facts.len() < FACTS_MAX {
            facts.push(Fact { kind, from });
        }
    }

    /// Two conditions that cannot hold at once.
    pub(super) fn conflict(&self) -> Option<Conflict<'e>> {
        for facts in self.0.values() {
            for (i, left) in facts.iter().enumerate() {
                for right in &facts[i + 1..] {
                    if exclude(&left.kind, &right.kind) {
                        return Some((left.from, right.from));
                    }
                }
            }
        }
        None
    }

    /// What of these facts excludes each of the alternatives of an OR; `None` if one is left.
    pub(super) fn excludes(&self, alternatives: &[&'e Expr]) -> Option<Conflict<'e>> {
        if alternatives.len() > ALTERNATIVES_MAX {
            return None;
        }
        let mut first = None;
        for alternative in alternatives {
            let conflict = self.conflict_with(&Facts::of(&terms(alternative, Operator::And)))?;
            first.get_or_insert(conflict);
        }
        first
    }

    fn conflict_with(&self, other: &Facts<'e>) -> Option<Conflict<'e>> {
        for (subject, facts) in &other.0 {
            for known in self.0.get(subject).into_iter().flatten() {
                if let Some(fact) = facts.iter().find(|f| exclude(&known.kind, &f.kind)) {
                    return Some((known.from, fact.from));
                }
            }
        }
        None
    }
}

/// Conditions are compared as they are written.
fn holds(expr: &Expr) -> String {
    format!("\u{0}{expr}")
}

/// Which orders an operator allows: 1 less, 2 equal, 4 greater.
pub(super) fn orders(op: Operator) -> Option<u8> {
    Some(match op {
        Operator::Lt => 1,
        Operator::Eq => 2,
        Operator::LtEq => 3,
        Operator::Gt => 4,
        Operator::NotEq => 5,
        Operator::GtEq => 6,
        _ => return None,
    })
}

/// A comparison of two values that are no constants.
fn order(part: &Expr) -> Option<(String, FactKind)> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = part else { return None };
    let mask = orders(*op)?;
    if literal(left).is_some() || literal(right).is_some() {
        return None;
    }
    let (left, right) = (left.to_string(), right.to_string());
    Some(if left <= right {
        (format!("{left}\u{0}{right}"), FactKind::Order(mask))
    } else {
        (format!("{right}\u{0}{left}"), FactKind::Order(mask & 2 | (mask & 1) << 2 | mask >> 2))
    })
}

fn fact(part: &Expr) -> Option<(&Expr, FactKind)> {
    match part {
        Expr::Alias(alias) => fact(&alias.expr),
        Expr::IsNull(inner) => Some((inner, FactKind::Null)),
        Expr::IsNotNull(inner) => Some((inner, FactKind::NotNull)),
        Expr::Column(_) => Some((part, one_of([ScalarValue::from(true)]))),
        Expr::Not(inner) if matches!(inner.as_ref(), Expr::Column(_)) => {
            Some((inner, one_of([ScalarValue::from(false)])))
        }
        Expr::Not(inner) => denied(inner),
        Expr::IsTrue(inner) if matches!(inner.as_ref(), Expr::Column(_)) => {
            Some((inner, one_of([ScalarValue::from(true)])))
        }
        Expr::IsFalse(inner) if matches!(inner.as_ref(), Expr::Column(_)) => {
            Some((inner, one_of([ScalarValue::from(false)])))
        }
        Expr::IsTrue(inner) => fact(inner),
        Expr::IsFalse(inner) => denied(inner),
        Expr::InList(list) => {
            let values: Option<HashSet<_>> =
                list.list.iter().map(|i| literal(i).cloned()).collect();
            let values = values?;
            let kind =
                if list.negated { FactKind::NoneOf(values) } else { FactKind::OneOf(values) };
            Some((&list.expr, kind))
        }
        Expr::Like(like) if like.escape_char.is_none_or(|c| c == '\\') => {
            let pattern = literal(&like.pattern).and_then(text_of)?;
            let test = TextTest::like(pattern, like.case_insensitive);
            Some((&like.expr, FactKind::Text(test, !like.negated)))
        }
        Expr::BinaryExpr(BinaryExpr { op: Operator::Or, .. }) => alternatives(part),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (subject, op, value) = match (literal(left), literal(right)) {
                (None, Some(value)) => (left.as_ref(), *op, value.clone()),
                (Some(value), None) => (right.as_ref(), op.swap()?, value.clone()),
                _ => return None,
            };
            let kind = match op {
                Operator::Eq | Operator::IsNotDistinctFrom => one_of([value]),
                Operator::NotEq => FactKind::NoneOf(HashSet::from([value])),
                Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq => {
                    FactKind::Compare(op, value)
                }
                Operator::RegexMatch | Operator::RegexNotMatch => FactKind::Text(
                    TextTest::regex(text_of(&value)?, ""),
                    op == Operator::RegexMatch,
                ),
                _ => return None,
            };
            Some((subject, kind))
        }
        Expr::ScalarFunction(call) => {
            let (subject, rest) = call.args.split_first()?;
            if call.func.name() == "is_private" {
                return Some((subject, FactKind::Inside(Networks::private(), true)));
            }
            let needles: Option<Vec<&str>> =
                rest.iter().map(|e| literal(e).and_then(text_of)).collect();
            let needles = needles?;
            if call.func.name() == "cidr_match" {
                return Some((subject, FactKind::Inside(Networks::parse(&needles)?, true)));
            }
            let [needle] = needles.as_slice() else { return None };
            Some((subject, FactKind::Text(TextTest::named(call.func.name(), needle)?, true)))
        }
        _ => None,
    }
}

/// The fact that a condition is FALSE.
fn denied(inner: &Expr) -> Option<(&Expr, FactKind)> {
    let (subject, kind) = fact(inner)?;
    let kind = match kind {
        FactKind::Text(test, passes) => FactKind::Text(test, !passes),
        FactKind::Inside(networks, inside) => FactKind::Inside(networks, !inside),
        FactKind::OneOf(values) => FactKind::NoneOf(values),
        FactKind::NoneOf(values) => FactKind::OneOf(values),
        FactKind::Null => FactKind::NotNull,
        FactKind::NotNull => FactKind::Null,
        FactKind::Compare(..) | FactKind::Order(_) | FactKind::Holds(_) => return None,
    };
    Some((subject, kind))
}

/// `x = 'a' OR x = 'b'` is `x IN ('a', 'b')`.
fn alternatives(part: &Expr) -> Option<(&Expr, FactKind)> {
    let mut subject: Option<&Expr> = None;
    let mut all = HashSet::new();
    for term in terms(part, Operator::Or) {
        let (of, FactKind::OneOf(values)) = fact(term)? else { return None };
        if *subject.get_or_insert(of) != of {
            return None;
        }
        all.extend(values);
    }
    Some((subject?, FactKind::OneOf(all)))
}

fn one_of<const N: usize>(values: [ScalarValue; N]) -> FactKind {
    FactKind::OneOf(HashSet::from(values))
}

fn exclude(one: &FactKind, other: &FactKind) -> bool {
    excludes(one, other) || excludes(other, one)
}

fn excludes(one: &FactKind, other: &FactKind) -> bool {
    match (one, other) {
        (FactKind::Null, FactKind::Null | FactKind::Holds(_)) => false,
        (FactKind::Null, _) => true,
        (FactKind::OneOf(values), other) => values.iter().all(|value| !allows(other, value)),
        (FactKind::Text(a, true), FactKind::Text(b, true)) => a.excludes(b),
        (FactKind::Text(a, true), FactKind::Text(b, false)) => a == b,
        (FactKind::Inside(a, true), FactKind::Inside(b, true)) => !a.overlap(b),
        (FactKind::Inside(a, true), FactKind::Inside(b, false)) => a.all_inside(b),
        (FactKind::Order(a), FactKind::Order(b)) => a & b == 0,
        (FactKind::Holds(a), FactKind::Holds(b)) => a != b,
        (FactKind::Compare(Operator::Gt | Operator::GtEq, low), FactKind::Compare(op, high)) => {
            let strict = matches!(one, FactKind::Compare(Operator::Gt, _)) || *op == Operator::Lt;
            if !matches!(op, Operator::Lt | Operator::LtEq) {
                return false;
            }
            match low.partial_cmp(high) {
                Some(std::cmp::Ordering::Greater) => true,
                Some(std::cmp::Ordering::Equal) => strict,
                Some(std::cmp::Ordering::Less) => {
                    // No whole number lies between 5 and 6.
                    strict
                        && matches!(one, FactKind::Compare(Operator::Gt, _))
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
fn allows(fact: &FactKind, value: &ScalarValue) -> bool {
    match fact {
        FactKind::OneOf(values) => values.contains(value),
        FactKind::NoneOf(values) => !values.contains(value),
        FactKind::Compare(op, bound) => match (op, value.partial_cmp(bound)) {
            (_, None) => true,
            (Operator::Lt, Some(order)) => order.is_lt(),
            (Operator::LtEq, Some(order)) => order.is_le(),
            (Operator::Gt, Some(order)) => order.is_gt(),
            (Operator::GtEq, Some(order)) => order.is_ge(),
            _ => true,
        },
        FactKind::Text(test, passes) => text_of(value)
            .and_then(|text| test.matches(text))
            .is_none_or(|matches| matches == *passes),
        FactKind::Inside(networks, inside) => text_of(value)
            .is_none_or(|text| address(text).is_some_and(|ip| networks.contain(ip) == *inside)),
        FactKind::Null => false,
        FactKind::NotNull | FactKind::Order(_) | FactKind::Holds(_) => true,
    }
}
