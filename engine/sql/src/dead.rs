//! Conditions that no row can fulfil, found from the schema: values that a column never has, another
//! spelling than the canonical one, ranges that exclude each other. Works on simplified expressions;
//! what it does not understand can be true. Not what is refused for its form: [`crate::refuse`].

mod domain;
mod facts;
mod text;

use datafusion::{
    common::ScalarValue,
    logical_expr::{
        BinaryExpr, Expr, Like, Operator,
        expr::{Between, InList, ScalarFunction},
    },
};

pub(crate) use domain::Domain;
use facts::Facts;
use text::TextTest;

use crate::{error::SqlProblem, predicate::terms, text::sql_text, walk, warn};

/// What is known of the columns that conditions name.
pub(crate) type Known<'k> = dyn Fn(&str) -> Domain + 'k;

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
        let mut facts = Facts::default();
        for part in parts {
            facts.learn(part);
        }
        if let Some((left, right)) = facts.conflict() {
            let (left, right) = (sql_text(left), sql_text(right));
            self.note(
                parts.first().copied(),
                SqlProblem::new("R034", format!("`{left}` and `{right}` are never true together"))
                    .hint("OR joins conditions of which one is enough"),
            );
            outcome.yes = false;
        }
        outcome
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
            Expr::Not(inner) => {
                let Outcome { yes, no } = self.outcome(inner);
                Outcome { yes: no, no: yes }
            }
            Expr::IsTrue(inner) => Outcome { yes: self.outcome(inner).yes, no: true },
            Expr::IsFalse(inner) => Outcome { yes: self.outcome(inner).no, no: true },
            Expr::IsNotTrue(inner) => Outcome { yes: true, no: self.outcome(inner).yes },
            Expr::IsNotFalse(inner) => Outcome { yes: true, no: self.outcome(inner).no },
            Expr::InList(list) => self.in_list(list, expr),
            Expr::Between(between) => self.between(between, expr),
            Expr::Like(like) => self.like(like, expr),
            Expr::ScalarFunction(call) => self.function(call, expr),
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
            Eq, Gt, GtEq, ILikeMatch, LikeMatch, Lt, LtEq, NotEq, NotILikeMatch, NotLikeMatch,
            RegexIMatch, RegexMatch, RegexNotIMatch, RegexNotMatch,
        };
        let BinaryExpr { left, op, right } = binary;
        let (subject, op, value) = match (literal(left), literal(right)) {
            (None, Some(value)) => (left, *op, value),
            (Some(value), None) => match op.swap() {
                Some(op) => (right, op, value),
                None => return EITHER,
            },
            _ => return EITHER,
        };
        if value.is_null() {
            return Outcome { yes: false, no: false };
        }
        let domain = Domain::of(subject, self.known);
        match op {
            Eq | NotEq => {
                let equal = self.equal(subject, &domain, std::slice::from_ref(value), whole);
                if op == Eq { equal } else { Outcome { yes: equal.no, no: equal.yes } }
            }
            Lt | LtEq | Gt | GtEq => {
                let Some(outcome) = domain.compare(op, value) else { return EITHER };
                if !outcome.0 {
                    self.never(whole, subject, &domain, &sql_text(whole));
                }
                Outcome { yes: outcome.0, no: outcome.1 }
            }
            RegexMatch | RegexIMatch | RegexNotMatch | RegexNotIMatch => {
                let Some(Some(pattern)) = value.try_as_str() else { return EITHER };
                let flags = if matches!(op, RegexIMatch | RegexNotIMatch) { "i" } else { "" };
                let test = TextTest::regex(pattern, flags);
                let matched = self.text(subject, &domain, &[test], whole);
                if matches!(op, RegexMatch | RegexIMatch) { matched } else { flipped(matched) }
            }
            LikeMatch | ILikeMatch | NotLikeMatch | NotILikeMatch => {
                let Some(Some(pattern)) = value.try_as_str() else { return EITHER };
                let test = TextTest::like(pattern, matches!(op, ILikeMatch | NotILikeMatch));
                let matched = self.text(subject, &domain, &[test], whole);
                if matches!(op, LikeMatch | ILikeMatch) { matched } else { flipped(matched) }
            }
            _ => EITHER,
        }
    }

    /// `subject = any of values`.
    fn equal(
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
        let domain = Domain::of(&list.expr, self.known);
        let inside = self.equal(&list.expr, &domain, &values, whole);
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
            self.never(whole, &between.expr, &domain, &sql_text(whole));
        }
        let outcome = Outcome { yes: inside, no: true };
        if between.negated { flipped(outcome) } else { outcome }
    }

    fn like(&mut self, like: &Like, whole: &Expr) -> Outcome {
        if like.escape_char.is_some_and(|c| c != '\\') {
            return EITHER;
        }
        let Some(Some(pattern)) = literal(&like.pattern).map(|v| v.try_as_str().flatten()) else {
            return EITHER;
        };
        let domain = Domain::of(&like.expr, self.known);
        let test = TextTest::like(pattern, like.case_insensitive);
        let matched = self.text(&like.expr, &domain, &[test], whole);
        if like.negated { flipped(matched) } else { matched }
    }

    fn function(&mut self, call: &ScalarFunction, whole: &Expr) -> Outcome {
        let Some((first, rest)) = call.args.split_first() else { return EITHER };
        let needles: Option<Vec<&str>> =
            rest.iter().map(|e| literal(e)?.try_as_str().flatten()).collect();
        let Some(needles) = needles.filter(|n| !n.is_empty()) else { return EITHER };
        let tests: Vec<TextTest> = match call.func.name() {
            "contains" => needles.iter().map(|n| TextTest::contains(n, false)).collect(),
            "starts_with" => needles.iter().map(|n| TextTest::starts(n, false)).collect(),
            "ends_with" => needles.iter().map(|n| TextTest::ends(n, false)).collect(),
            "icontains" => needles.iter().map(|n| TextTest::contains(n, true)).collect(),
            "istarts" => needles.iter().map(|n| TextTest::starts(n, true)).collect(),
            "iends" => needles.iter().map(|n| TextTest::ends(n, true)).collect(),
            "ieq" => needles.iter().map(|n| TextTest::equal(n)).collect(),
            "sigma_like" => needles.iter().map(|n| TextTest::sigma(n)).collect(),
            "regexp_like" => {
                vec![TextTest::regex(needles[0], needles.get(1).copied().unwrap_or(""))]
            }
            "array_has" => {
                let domain = Domain::of(first, self.known);
                let value = [ScalarValue::from(needles[0])];
                let problems = self.notes.len();
                let outcome = self.equal(first, &domain, &value, whole);
                // `=` is no way to ask a list.
                for note in &mut self.notes[problems..] {
                    note.hint = domain
                        .canonical(needles[0])
                        .map(|canonical| format!("array_has({}, '{canonical}')", sql_text(first)));
                }
                return outcome;
            }
            _ => return EITHER,
        };
        let domain = Domain::of(first, self.known);
        self.text(first, &domain, &tests, whole)
    }

    /// Any of some tests of a text.
    fn text(
        &mut self,
        subject: &Expr,
        domain: &Domain,
        tests: &[TextTest],
        whole: &Expr,
    ) -> Outcome {
        let outcomes = tests.iter().map(|test| domain.text(test));
        let (mut yes, mut no) = (false, true);
        for (one_yes, one_no) in outcomes {
            (yes, no) = (yes || one_yes, no && one_no);
        }
        if !yes {
            self.never(whole, subject, domain, &sql_text(whole));
        }
        Outcome { yes, no }
    }

    fn never(&mut self, whole: &Expr, subject: &Expr, domain: &Domain, sql: &str) {
        let why = format!("`{}` is {}", sql_text(subject), domain.describe());
        self.note(
            Some(whole),
            SqlProblem::new("R034", format!("`{sql}` is never true")).detail(why),
        );
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
