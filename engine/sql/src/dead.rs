//! Conditions that no row can fulfil, found from the schema: values that a column never has, another
//! spelling than the canonical one, ranges that exclude each other. Works on simplified expressions;
//! what it does not understand can be true. Not what is refused for its form: [`crate::refuse`].

mod calls;
mod domain;
mod facts;
mod strict;
#[cfg(test)]
mod tests;
mod text;

use datafusion::{
    common::ScalarValue,
    logical_expr::{
        BinaryExpr, Expr, Like, Operator,
        expr::{Between, Case, InList},
    },
};

pub(crate) use domain::Domain;
use facts::{Conflict, Facts, orders};
use text::TextTest;

use crate::{error::SqlProblem, predicate::terms, text::sql_text, walk, warn};

/// What is known of the columns that conditions name.
pub(crate) struct Known<'k> {
    /// The values of a column.
    pub(crate) domain: &'k dyn Fn(&str) -> Domain,
    /// How two columns can compare: 1 less, 2 equal, 4 greater, added up; 7 if nothing is known.
    pub(crate) order: &'k dyn Fn(&str, &str) -> u8,
}

/// Nothing is known of how two columns compare.
pub(crate) fn any_order(_: &str, _: &str) -> u8 {
    7
}

/// What analysis says of a conjunction.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// Whether no row can fulfil it.
    pub(crate) dead: bool,
    /// The parts that are never true, or always, each at its place.
    pub(crate) notes: Vec<SqlProblem>,
}

/// Whether some row can fulfil all of `conditions`.
pub(crate) fn analyze(conditions: &[Expr], known: &Known<'_>) -> Verdict {
    let mut analyzer = Analyzer { known, notes: Vec::new() };
    let parts: Vec<&Expr> = conditions.iter().flat_map(|c| terms(c, Operator::And)).collect();
    let outcome = analyzer.all(&parts);
    Verdict { dead: !outcome.yes, notes: analyzer.notes }
}

/// Which truth values a condition can have; NULL aside.
#[derive(Clone, Copy, Debug)]
struct Outcome {
    yes: bool,
    no: bool,
}

const EITHER: Outcome = Outcome { yes: true, no: true };

struct Analyzer<'k> {
    known: &'k Known<'k>,
    notes: Vec<SqlProblem>,
}

impl Analyzer<'_> {
    /// A conjunction: its parts, and whether they exclude each other.
    fn all(&mut self, parts: &[&Expr]) -> Outcome {
        let mut outcome = Outcome { yes: true, no: parts.is_empty() };
        for part in parts {
            let one = self.outcome(part);
            outcome = Outcome { yes: outcome.yes && one.yes, no: outcome.no || one.no };
        }
        if !outcome.yes {
            return outcome;
        }
        let facts = Facts::of(parts);
        let conflict = facts.conflict().or_else(|| {
            parts.iter().find_map(|part| match terms(part, Operator::Or) {
                alternatives if alternatives.len() > 1 => facts.excludes(&alternatives),
                _ => None,
            })
        });
        if let Some(conflict) = conflict {
            self.conflict(conflict);
            outcome.yes = false;
        }
        outcome
    }

    fn conflict(&mut self, (left, right): Conflict<'_>) {
        let at = place(left).or_else(|| place(right));
        let (left, right) = (sql_text(left), sql_text(right));
        let problem =
            SqlProblem::new("R034", format!("`{left}` and `{right}` are never true together"))
                .hint("OR joins conditions of which one is enough")
                .at(at);
        if !self.notes.contains(&problem) {
            self.notes.push(problem);
        }
    }

    fn outcome(&mut self, expr: &Expr) -> Outcome {
        match expr {
            Expr::Alias(alias) => self.outcome(&alias.expr),
            Expr::Literal(value, _) => self.constant(value),
            Expr::BinaryExpr(BinaryExpr { op: Operator::And, .. }) => {
                self.all(&terms(expr, Operator::And))
            }
            Expr::BinaryExpr(BinaryExpr { op: Operator::Or, .. }) => {
                let mut outcome = Outcome { yes: false, no: true };
                for part in terms(expr, Operator::Or) {
                    let one = self.outcome(part);
                    outcome = Outcome { yes: outcome.yes || one.yes, no: outcome.no && one.no };
                }
                outcome
            }
            Expr::BinaryExpr(binary) => self.binary(binary, expr),
            Expr::Not(inner) => flipped(self.outcome(inner)),
            Expr::IsTrue(inner) => Outcome { yes: self.outcome(inner).yes, no: true },
            Expr::IsFalse(inner) => Outcome { yes: self.outcome(inner).no, no: true },
            Expr::IsNotTrue(inner) => Outcome { yes: true, no: self.outcome(inner).yes },
            Expr::IsNotFalse(inner) => Outcome { yes: true, no: self.outcome(inner).no },
            Expr::InList(list) => self.in_list(list, expr),
            Expr::Between(between) => self.between(between, expr),
            Expr::Like(like) => self.like(like, expr),
            Expr::ScalarFunction(call) => self.function(call, expr),
            Expr::HigherOrderFunction(call) => self.elements(call),
            Expr::Case(case) => self.branches(case, |this, then| this.outcome(then)),
            _ => EITHER,
        }
    }

    fn constant(&mut self, value: &ScalarValue) -> Outcome {
        match value {
            ScalarValue::Boolean(Some(value)) => Outcome { yes: *value, no: !value },
            value if value.is_null() => Outcome { yes: false, no: false },
            _ => EITHER,
        }
    }

    fn binary(&mut self, binary: &BinaryExpr, whole: &Expr) -> Outcome {
        use Operator::{
            Eq, Gt, GtEq, ILikeMatch, IsDistinctFrom, IsNotDistinctFrom, LikeMatch, Lt, LtEq,
            NotEq, NotILikeMatch, NotLikeMatch, RegexIMatch, RegexMatch, RegexNotIMatch,
            RegexNotMatch,
        };
        let BinaryExpr { left, op, right } = binary;
        let (subject, op, value) = match (literal(left), literal(right)) {
            (None, Some(value)) => (left, *op, value),
            (Some(value), None) => match op.swap() {
                Some(op) => (right, op, value),
                None => return EITHER,
            },
            (None, None) => return self.two(left, *op, right, whole),
            (Some(_), Some(_)) => return EITHER,
        };
        if value.is_null() && !matches!(op, IsDistinctFrom | IsNotDistinctFrom) {
            return Outcome { yes: false, no: false };
        }
        // What CASE is simplified to, and what people write for it.
        if let ScalarValue::Boolean(Some(wanted)) = value
            && matches!(op, Eq | NotEq | IsNotDistinctFrom | IsDistinctFrom)
        {
            let inner = self.outcome(subject);
            let equal = if *wanted { inner } else { flipped(inner) };
            return match op {
                Eq => equal,
                NotEq => flipped(equal),
                IsNotDistinctFrom => Outcome { yes: equal.yes, no: true },
                _ => Outcome { yes: true, no: equal.yes },
            };
        }
        match op {
            Eq | NotEq => {
                let equal = self.equal(subject, std::slice::from_ref(value), whole);
                if op == Eq { equal } else { flipped(equal) }
            }
            IsNotDistinctFrom | IsDistinctFrom if !value.is_null() => {
                let equal = self.equal(subject, std::slice::from_ref(value), whole);
                if op == IsNotDistinctFrom { equal } else { flipped(equal) }
            }
            Lt | LtEq | Gt | GtEq => {
                let domain = Domain::of(subject, self.known);
                let Some(outcome) = domain.compare(op, value) else { return EITHER };
                if !outcome.0 {
                    self.never(whole, subject, &domain, None);
                }
                Outcome { yes: outcome.0, no: outcome.1 }
            }
            RegexMatch | RegexIMatch | RegexNotMatch | RegexNotIMatch => {
                let Some(pattern) = text_of(value) else { return EITHER };
                let flags = if matches!(op, RegexIMatch | RegexNotIMatch) { "i" } else { "" };
                let matched = self.text(subject, &[TextTest::regex(pattern, flags)], whole);
                if matches!(op, RegexMatch | RegexIMatch) { matched } else { flipped(matched) }
            }
            LikeMatch | ILikeMatch | NotLikeMatch | NotILikeMatch => {
                let Some(pattern) = text_of(value) else { return EITHER };
                let test = TextTest::like(pattern, matches!(op, ILikeMatch | NotILikeMatch));
                let matched = self.text(subject, &[test], whole);
                if matches!(op, LikeMatch | ILikeMatch) { matched } else { flipped(matched) }
            }
            _ => EITHER,
        }
    }

    /// Two values that are no constants.
    fn two(&mut self, left: &Expr, op: Operator, right: &Expr, whole: &Expr) -> Outcome {
        if op == Operator::IsDistinctFrom && left == right {
            self.told(whole, "both sides are the same");
            return Outcome { yes: false, no: true };
        }
        let Some(asked) = orders(op) else { return EITHER };
        let (possible, why) = match (uncast(left), uncast(right)) {
            _ if left == right => (2, "both sides are the same"),
            (Expr::Column(a), Expr::Column(b)) => (
                (self.known.order)(&a.name, &b.name),
                "of a group, parts are not more than the whole, and the least is not above the greatest",
            ),
            _ => (7, ""),
        };
        let (yes, no) = (possible & asked != 0, possible & !asked & 7 != 0);
        if !yes {
            self.told(whole, why);
        }
        Outcome { yes, no }
    }

    /// `subject = any of values`.
    fn equal(&mut self, subject: &Expr, values: &[ScalarValue], whole: &Expr) -> Outcome {
        if let Expr::Case(case) = unnamed(subject) {
            return self.branches(case, |this, then| match literal(then) {
                Some(value) if value.is_null() => Outcome { yes: false, no: false },
                Some(value) if values.iter().all(|v| v.data_type() == value.data_type()) => {
                    let equal = values.contains(value);
                    Outcome { yes: equal, no: !equal }
                }
                Some(_) => EITHER,
                None => this.equal(then, values, whole),
            });
        }
        let domain = Domain::of(subject, self.known);
        self.among(subject, &domain, values, whole)
    }

    fn among(
        &mut self,
        subject: &Expr,
        domain: &Domain,
        values: &[ScalarValue],
        whole: &Expr,
    ) -> Outcome {
        let mut possible = false;
        for value in values.iter().filter(|v| !v.is_null()) {
            match domain.flaw(value) {
                None => possible = true,
                Some(flaw) => {
                    let name = sql_text(subject);
                    let shown = text_of(value)
                        .map_or_else(|| value.to_string(), |text| format!("'{text}'"));
                    let problem = SqlProblem::new("R034", format!("`{name}` is never {shown}"))
                        .detail(flaw.why);
                    let problem = match flaw.instead {
                        Some(instead) => problem.hint(format!("{name} {instead}")),
                        None => problem,
                    };
                    self.note(Some(whole), problem);
                }
            }
        }
        Outcome { yes: possible, no: true }
    }

    fn in_list(&mut self, list: &InList, whole: &Expr) -> Outcome {
        let values: Option<Vec<ScalarValue>> =
            list.list.iter().map(|item| literal(item).cloned()).collect();
        let Some(values) = values else { return EITHER };
        let inside = self.equal(&list.expr, &values, whole);
        let inside = if values.iter().any(ScalarValue::is_null) {
            // NULL in the list: what is not found is NULL, never FALSE.
            Outcome { no: false, ..inside }
        } else {
            inside
        };
        if list.negated { flipped(inside) } else { inside }
    }

    fn between(&mut self, between: &Between, whole: &Expr) -> Outcome {
        let (Some(low), Some(high)) = (literal(&between.low), literal(&between.high)) else {
            return EITHER;
        };
        if low.is_null() || high.is_null() {
            return Outcome { yes: false, no: !between.negated };
        }
        let domain = Domain::of(&between.expr, self.known);
        let empty = low.partial_cmp(high).is_some_and(std::cmp::Ordering::is_gt);
        let possible = |op, value| domain.compare(op, value).is_none_or(|(yes, _)| yes);
        let inside = !empty && possible(Operator::GtEq, low) && possible(Operator::LtEq, high);
        if !inside {
            self.never(whole, &between.expr, &domain, None);
        }
        let outcome = Outcome { yes: inside, no: true };
        if between.negated { flipped(outcome) } else { outcome }
    }

    fn like(&mut self, like: &Like, whole: &Expr) -> Outcome {
        if like.escape_char.is_some_and(|c| c != '\\') {
            return EITHER;
        }
        let Some(pattern) = literal(&like.pattern).and_then(text_of) else { return EITHER };
        let test = TextTest::like(pattern, like.case_insensitive);
        let matched = self.text(&like.expr, &[test], whole);
        if like.negated { flipped(matched) } else { matched }
    }

    /// What the branches of a CASE that can be reached come to.
    fn branches(
        &mut self,
        case: &Case,
        mut of: impl FnMut(&mut Self, &Expr) -> Outcome,
    ) -> Outcome {
        let mut outcome = Outcome { yes: false, no: false };
        for (when, then) in &case.when_then_expr {
            let reached = match (&case.expr, literal(when)) {
                (None, _) => self.outcome(when).yes,
                (Some(subject), Some(value)) => {
                    self.equal(subject, std::slice::from_ref(value), subject).yes
                }
                (Some(_), None) => true,
            };
            if reached {
                let one = of(self, then);
                outcome = Outcome { yes: outcome.yes || one.yes, no: outcome.no || one.no };
            }
        }
        if let Some(other) = &case.else_expr {
            let one = of(self, other);
            outcome = Outcome { yes: outcome.yes || one.yes, no: outcome.no || one.no };
        }
        outcome
    }

    /// Any of some tests of a text.
    fn text(&mut self, subject: &Expr, tests: &[TextTest], whole: &Expr) -> Outcome {
        let domain = Domain::of(subject, self.known);
        let (mut yes, mut no) = (false, true);
        for (one_yes, one_no) in tests.iter().map(|test| domain.text(test)) {
            (yes, no) = (yes || one_yes, no && one_no);
        }
        if yes {
            return Outcome { yes, no };
        }
        if tests.iter().all(TextTest::is_impossible) {
            self.told(whole, "the pattern asks for something before the start or after the end");
            return Outcome { yes, no };
        }
        let lowered =
            tests.iter().filter(|_| domain.asks_lower()).fold(sql_text(whole), |text, test| {
                match test.lowered() {
                    Some(lower) => {
                        text.replace(&format!("'{}'", test.needle()), &format!("'{lower}'"))
                    }
                    None => text,
                }
            });
        let hint = (lowered != sql_text(whole)).then_some(lowered);
        self.never(whole, subject, &domain, hint);
        Outcome { yes, no }
    }

    fn never(&mut self, whole: &Expr, subject: &Expr, domain: &Domain, hint: Option<String>) {
        let why = format!("`{}` is {}", sql_text(subject), domain.describe());
        let problem =
            SqlProblem::new("R034", format!("`{}` is never true", sql_text(whole))).detail(why);
        let problem = match hint {
            Some(hint) => problem.hint(hint),
            None => problem,
        };
        self.note(Some(whole), problem);
    }

    fn told(&mut self, whole: &Expr, why: &str) {
        let text = format!("`{}` is never true", sql_text(whole));
        self.note(Some(whole), SqlProblem::new("R034", text).detail(why));
    }

    fn note(&mut self, at: Option<&Expr>, problem: SqlProblem) {
        let problem = problem.at(at.and_then(place));
        if !self.notes.contains(&problem) {
            self.notes.push(problem);
        }
    }
}

fn flipped(outcome: Outcome) -> Outcome {
    Outcome { yes: outcome.no, no: outcome.yes }
}

/// Without names around it.
fn unnamed(mut expr: &Expr) -> &Expr {
    while let Expr::Alias(alias) = expr {
        expr = &alias.expr;
    }
    expr
}

/// Without the cast that a comparison put around it: it keeps the order.
fn uncast(expr: &Expr) -> &Expr {
    match unnamed(expr) {
        Expr::Cast(cast) => unnamed(&cast.expr),
        other => other,
    }
}

/// The value of a literal, whatever wraps it.
fn literal(expr: &Expr) -> Option<&ScalarValue> {
    match expr {
        Expr::Literal(ScalarValue::Dictionary(_, inner), _) => Some(inner),
        Expr::Literal(value, _) => Some(value),
        Expr::Alias(alias) => literal(&alias.expr),
        _ => None,
    }
}

fn text_of(value: &ScalarValue) -> Option<&str> {
    value.try_as_str().flatten()
}

/// The first column of an expression that has a place.
fn place(expr: &Expr) -> Option<(u64, u64, u64)> {
    let mut found = None;
    walk::any(expr, |e| {
        if let Expr::Column(column) = e {
            found = warn::span(&column.spans);
        }
        found.is_some()
    });
    found
}
