//! WHERE as the predicate network reads it: an infallible [`Predicate`] over typed atoms, and what
//! may fail on a row apart from it. Not which rows a rule reads: that is [`crate::classify`].

mod fallible;
mod pattern;
mod subject;

use std::{collections::HashMap, sync::Arc};

use datafusion::{
    common::{DFSchema, Result},
    logical_expr::{
        BinaryExpr, Expr, ExprSchemable, Like, Operator,
        expr::{Between, InList, ScalarFunction},
    },
};
use sluice_event::{Eval, Value};
use sluice_stream::{Atom, Leaf, Predicate, Test, Text};

pub(crate) use self::fallible::{fails_in_use, is_fallible};
pub(crate) use self::pattern::regex_flaw;
use self::{
    pattern::{like_test, regex_with_flags, sigma_pattern},
    subject::{Literal, Subject, ValueKind},
};
use crate::{
    deadline,
    eval::Interner,
    session::Session,
    text::{literal_sql, sql_text},
};

/// Compiles conditions over one table.
///
/// Everything is planned against the **full** schema of the table: an index into a pruned one would
/// make equal conditions of two rules look different.
pub(crate) struct PredicateCompiler<'a> {
    pub(crate) session: &'a Session,
    pub(crate) schema: &'a DFSchema,
    pub(crate) interner: &'a Interner,
}

/// A condition in two parts, joined by AND.
pub(crate) struct Conditions {
    /// What cannot fail.
    pub(crate) filter: Predicate,
    /// Whole conjuncts that can fail on a row.
    pub(crate) residual: Vec<Arc<dyn Eval>>,
    /// Those of them that fail on rows that come: not only where an integer overflows.
    pub(crate) failing: Vec<String>,
}

impl PredicateCompiler<'_> {
    /// Compiles the conjunction of `filters`, expressions over the table's columns.
    pub(crate) fn conditions(&self, filters: Vec<Expr>) -> Result<Conditions> {
        let (mut kept, mut residual) = (Vec::new(), Vec::<Arc<dyn Eval>>::new());
        let mut failing = Vec::new();
        for filter in filters {
            let simple = self.session.simplify(filter, self.schema)?;
            for term in terms(&simple, Operator::And) {
                if is_fallible(term, self.schema) {
                    let sql = sql_text(term);
                    if fails_in_use(term, self.schema) {
                        failing.push(sql.clone());
                    }
                    residual.push(Arc::new(self.session.eval(term.clone(), sql, self.schema)?));
                } else {
                    kept.push(self.predicate(term)?);
                }
            }
        }
        Ok(Conditions { filter: and(kept), residual, failing })
    }

    /// An infallible, simplified condition.
    fn predicate(&self, expr: &Expr) -> Result<Predicate> {
        deadline::check()?;
        Ok(match expr {
            Expr::Alias(alias) => self.predicate(&alias.expr)?,
            Expr::Literal(scalar, _) => match Literal::of(scalar, ValueKind::Bool) {
                Some(Literal::Value(Value::Bool(value))) => Predicate::Constant(Some(value)),
                Some(Literal::Null) => Predicate::Constant(None),
                _ => self.opaque(expr)?,
            },
            Expr::BinaryExpr(BinaryExpr { op: op @ (Operator::And | Operator::Or), .. }) => {
                let parts = terms(expr, *op)
                    .into_iter()
                    .map(|term| self.predicate(term))
                    .collect::<Result<_>>()?;
                if *op == Operator::And { and(parts) } else { or(parts) }
            }
            Expr::BinaryExpr(binary) => self.binary(binary, expr)?,
            Expr::Not(inner) => not(self.predicate(inner)?),
            Expr::IsTrue(inner) => is(Predicate::IsTrue, self.predicate(inner)?),
            Expr::IsFalse(inner) => is(Predicate::IsFalse, self.predicate(inner)?),
            Expr::IsUnknown(inner) => self.is_null(inner, expr)?,
            Expr::IsNotTrue(inner) => not(is(Predicate::IsTrue, self.predicate(inner)?)),
            Expr::IsNotFalse(inner) => not(is(Predicate::IsFalse, self.predicate(inner)?)),
            Expr::IsNotUnknown(inner) => not(self.is_null(inner, expr)?),
            Expr::IsNull(inner) => self.is_null(inner, expr)?,
            Expr::IsNotNull(inner) => match self.is_null_test(inner)? {
                Some(test) => not(test),
                None => self.opaque(expr)?,
            },
            Expr::Like(like) => self.like(like, expr)?,
            Expr::InList(list) => self.in_list(list, expr)?,
            Expr::Between(between) => self.between(between)?,
            Expr::ScalarFunction(call) => self.function(call, expr)?,
            _ => match self.subject(expr)? {
                Some(subject) if subject.kind == ValueKind::Bool => leaf(&subject, Test::IsSet),
                _ => self.opaque(expr)?,
            },
        })
    }

    fn is_null(&self, inner: &Expr, whole: &Expr) -> Result<Predicate> {
        match self.is_null_test(inner)? {
            Some(test) => Ok(test),
            None => self.opaque(whole),
        }
    }

    /// `inner IS NULL`; `None` if only evaluation can tell.
    fn is_null_test(&self, inner: &Expr) -> Result<Option<Predicate>> {
        if let Some(subject) = self.subject(inner)? {
            return Ok(Some(leaf(&subject, Test::IsNull)));
        }
        if inner.get_type(self.schema)?.is_null() || !is_boolean(inner, self.schema) {
            return Ok(None);
        }
        Ok(Some(is(Predicate::IsUnknown, self.predicate(inner)?)))
    }

    fn binary(&self, binary: &BinaryExpr, whole: &Expr) -> Result<Predicate> {
        use Operator::{
            Eq, Gt, GtEq, ILikeMatch, IsDistinctFrom, IsNotDistinctFrom, LikeMatch, Lt, LtEq,
            NotEq, NotILikeMatch, NotLikeMatch, RegexIMatch, RegexMatch, RegexNotIMatch,
            RegexNotMatch,
        };
        let BinaryExpr { left, op, right } = binary;
        match op {
            Eq | NotEq | Lt | LtEq | Gt | GtEq => self.compare(left, *op, right, whole),
            IsDistinctFrom | IsNotDistinctFrom => {
                let same = match (literal_of(left), literal_of(right)) {
                    (_, Some(value)) if value.is_null() => self.is_null_test(left)?,
                    (Some(value), _) if value.is_null() => self.is_null_test(right)?,
                    (Some(_), _) | (_, Some(_)) => {
                        Some(is(Predicate::IsTrue, self.compare(left, Eq, right, whole)?))
                            .filter(|p| !has_opaque(p))
                    }
                    (None, None) => None,
                };
                match same {
                    Some(same) if *op == IsNotDistinctFrom => Ok(same),
                    Some(same) => Ok(not(same)),
                    None => self.opaque(whole),
                }
            }
            RegexMatch | RegexIMatch | RegexNotMatch | RegexNotIMatch => {
                let flags = if matches!(op, RegexIMatch | RegexNotIMatch) { "i" } else { "" };
                let positive = match (self.text(left)?, text_literal(right)) {
                    (Some(subject), Some(pattern)) => regex_with_flags(&pattern, flags)
                        .map(|pattern| leaf(&subject, Test::Regex(pattern.into()))),
                    _ => None,
                };
                match positive {
                    Some(p) if matches!(op, RegexMatch | RegexIMatch) => Ok(p),
                    Some(p) => Ok(not(p)),
                    None => self.opaque(whole),
                }
            }
            LikeMatch | ILikeMatch | NotLikeMatch | NotILikeMatch => {
                let ignore_case = matches!(op, ILikeMatch | NotILikeMatch);
                match (self.text(left)?, text_literal(right)) {
                    (Some(subject), Some(pattern)) => {
                        let test = leaf(&subject, like_test(&pattern, ignore_case));
                        Ok(if matches!(op, LikeMatch | ILikeMatch) { test } else { not(test) })
                    }
                    _ => self.opaque(whole),
                }
            }
            _ => self.opaque(whole),
        }
    }

    fn compare(&self, left: &Expr, op: Operator, right: &Expr, whole: &Expr) -> Result<Predicate> {
        let (subject, op, scalar) = match (literal_of(left), literal_of(right)) {
            (None, Some(value)) => (left, op, value),
            (Some(value), None) => match op.swap() {
                Some(swapped) => (right, swapped, value),
                None => return self.opaque(whole),
            },
            _ => return self.opaque(whole),
        };
        let Some(subject) = self.subject(subject)? else { return self.opaque(whole) };
        let value = match Literal::of(scalar, subject.kind) {
            Some(Literal::Value(value)) => value,
            Some(Literal::Null) => return Ok(Predicate::Constant(None)),
            None => return self.opaque(whole),
        };
        if let Value::Bool(value) = value {
            let set = leaf(&subject, Test::IsSet);
            return match op {
                Operator::Eq => Ok(if value { set } else { not(set) }),
                Operator::NotEq => Ok(if value { not(set) } else { set }),
                _ => self.opaque(whole),
            };
        }
        Ok(match op {
            Operator::Eq => leaf(&subject, Test::In([value].into())),
            Operator::NotEq => not(leaf(&subject, Test::In([value].into()))),
            Operator::Lt => leaf(&subject, Test::Less(value)),
            Operator::LtEq => leaf(&subject, Test::LessOrEqual(value)),
            Operator::Gt => leaf(&subject, Test::Greater(value)),
            Operator::GtEq => leaf(&subject, Test::GreaterOrEqual(value)),
            _ => self.opaque(whole)?,
        })
    }

    fn between(&self, between: &Between) -> Result<Predicate> {
        let bound = |op, bound: &Expr| {
            let whole = Expr::BinaryExpr(BinaryExpr::new(
                between.expr.clone(),
                op,
                Box::new(bound.clone()),
            ));
            self.compare(&between.expr, op, bound, &whole)
        };
        let inside =
            and(vec![bound(Operator::GtEq, &between.low)?, bound(Operator::LtEq, &between.high)?]);
        Ok(if between.negated { not(inside) } else { inside })
    }

    fn in_list(&self, list: &InList, whole: &Expr) -> Result<Predicate> {
        let Some(subject) = self.subject(&list.expr)? else { return self.opaque(whole) };
        let (mut values, mut null) = (Vec::with_capacity(list.list.len()), false);
        for item in &list.list {
            match literal_of(item).and_then(|scalar| Literal::of(scalar, subject.kind)) {
                Some(Literal::Value(value)) => values.push(value),
                Some(Literal::Null) => null = true,
                None => return self.opaque(whole),
            }
        }
        if subject.kind == ValueKind::Bool {
            return self.opaque(whole);
        }
        let mut any = Vec::new();
        if !values.is_empty() {
            any.push(leaf(&subject, in_test(values)));
        }
        // `x IN ('a', NULL)` is TRUE on a match, else NULL.
        if null {
            any.push(Predicate::Constant(None));
        }
        let inside = or(any);
        Ok(if list.negated { not(inside) } else { inside })
    }

    fn like(&self, like: &Like, whole: &Expr) -> Result<Predicate> {
        if like.escape_char.is_some_and(|c| c != '\\') {
            return self.opaque(whole);
        }
        match (self.text(&like.expr)?, text_literal(&like.pattern)) {
            (Some(subject), Some(pattern)) => {
                let test = leaf(&subject, like_test(&pattern, like.case_insensitive));
                Ok(if like.negated { not(test) } else { test })
            }
            _ => self.opaque(whole),
        }
    }

    fn function(&self, call: &ScalarFunction, whole: &Expr) -> Result<Predicate> {
        let Some((first, rest)) = call.args.split_first() else { return self.opaque(whole) };
        let needles: Option<Vec<String>> = rest.iter().map(text_literal).collect();
        let (Some(needles), false) = (needles, rest.is_empty()) else {
            return self.opaque(whole);
        };
        let Some(subject) = self.text(first)? else { return self.opaque(whole) };
        let text =
            |needle: &String, ignore_case| Text { needle: needle.as_str().into(), ignore_case };
        let any = |test: &dyn Fn(&String) -> Test| {
            or(needles.iter().map(|needle| leaf(&subject, test(needle))).collect())
        };
        Ok(match (call.func.name(), needles.len()) {
            ("contains", 1) => any(&|n| Test::Contains(text(n, false))),
            ("starts_with", 1) => any(&|n| Test::StartsWith(text(n, false))),
            ("ends_with", 1) => any(&|n| Test::EndsWith(text(n, false))),
            ("icontains", _) => any(&|n| Test::Contains(text(n, true))),
            ("istarts", _) => any(&|n| Test::StartsWith(text(n, true))),
            ("iends", _) => any(&|n| Test::EndsWith(text(n, true))),
            ("ieq", _) => any(&|n| Test::EqualsIgnoreCase(n.as_str().into())),
            ("sigma_like", _) => any(&|n| like_test(&sigma_pattern(n), true)),
            ("regexp_like", 1 | 2) => {
                let flags = needles.get(1).map_or("", String::as_str);
                match regex_with_flags(&needles[0], flags) {
                    Some(pattern) => leaf(&subject, Test::Regex(pattern.into())),
                    None => self.opaque(whole)?,
                }
            }
            ("cidr_match", _) => match needles.iter().map(|n| pattern::cidr(n)).collect() {
                Some(networks) => leaf(&subject, Test::Cidr(sorted::<Arc<str>>(networks))),
                None => self.opaque(whole)?,
            },
            _ => self.opaque(whole)?,
        })
    }

    /// A leaf evaluated as it stands.
    fn opaque(&self, expr: &Expr) -> Result<Predicate> {
        let sql = sql_text(expr);
        let eval = self.session.eval(expr.clone(), sql.clone(), self.schema)?;
        let id = self.interner.id(eval.expr());
        Ok(Predicate::Leaf(Leaf {
            atom: Atom::Opaque { eval: Arc::new(eval), id },
            sql: sql.into(),
        }))
    }

    fn text(&self, expr: &Expr) -> Result<Option<Subject>> {
        Ok(self.subject(expr)?.filter(|s| s.kind == ValueKind::Text))
    }

    fn subject(&self, expr: &Expr) -> Result<Option<Subject>> {
        Subject::of(expr, self)
    }
}

/// The operands of a chain of one operator, in order, without recursion.
pub(crate) fn terms(expr: &Expr, op: Operator) -> Vec<&Expr> {
    let (mut found, mut open) = (Vec::new(), vec![expr]);
    while let Some(expr) = open.pop() {
        match expr {
            Expr::BinaryExpr(binary) if binary.op == op => {
                open.push(&binary.right);
                open.push(&binary.left);
            }
            term => found.push(term),
        }
    }
    found
}

fn literal_of(expr: &Expr) -> Option<&datafusion::common::ScalarValue> {
    match expr {
        Expr::Literal(value, _) => Some(value),
        Expr::Alias(alias) => literal_of(&alias.expr),
        _ => None,
    }
}

fn text_literal(expr: &Expr) -> Option<String> {
    match Literal::of(literal_of(expr)?, ValueKind::Text)? {
        Literal::Value(Value::Text(text)) => Some(text.to_string()),
        _ => None,
    }
}

fn is_boolean(expr: &Expr, schema: &DFSchema) -> bool {
    expr.get_type(schema).is_ok_and(|t| t == arrow::datatypes::DataType::Boolean)
}

fn has_opaque(predicate: &Predicate) -> bool {
    match predicate {
        Predicate::And(parts) | Predicate::Or(parts) => parts.iter().any(has_opaque),
        Predicate::Not(inner)
        | Predicate::IsTrue(inner)
        | Predicate::IsFalse(inner)
        | Predicate::IsUnknown(inner) => has_opaque(inner),
        Predicate::Leaf(leaf) => matches!(leaf.atom, Atom::Opaque { .. }),
        Predicate::Constant(_) => false,
    }
}

fn leaf(subject: &Subject, test: Test) -> Predicate {
    let sql = describe(&subject.sql, &test).into();
    Predicate::Leaf(Leaf { atom: subject.atom(test), sql })
}

fn in_test(values: Vec<Value>) -> Test {
    Test::In(sorted(values))
}

fn sorted<T: Ord>(mut values: Vec<T>) -> Arc<[T]> {
    values.sort_unstable();
    values.dedup();
    values.into()
}

/// A test as SQL.
fn describe(subject: &str, test: &Test) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let call = |name: &str, text: &Text| {
        let fold = if text.ignore_case { "i" } else { "" };
        format!("{fold}{name}({subject}, {})", quoted(&text.needle))
    };
    match test {
        Test::IsNull => format!("{subject} IS NULL"),
        Test::IsSet => subject.to_owned(),
        Test::In(values) => match values.as_ref() {
            [value] => format!("{subject} = {}", literal_sql(value)),
            values => {
                let list: Vec<_> = values.iter().map(literal_sql).collect();
                format!("{subject} IN ({})", list.join(", "))
            }
        },
        Test::Contains(text) => call("contains", text),
        Test::StartsWith(text) => {
            call(if text.ignore_case { "starts" } else { "starts_with" }, text)
        }
        Test::EndsWith(text) => call(if text.ignore_case { "ends" } else { "ends_with" }, text),
        Test::EqualsIgnoreCase(text) => format!("ieq({subject}, {})", quoted(text)),
        Test::Like(text) => {
            let like = if text.ignore_case { "ILIKE" } else { "LIKE" };
            format!("{subject} {like} {}", quoted(&text.needle))
        }
        Test::Regex(pattern) => format!("{subject} ~ {}", quoted(pattern)),
        Test::Less(value) => format!("{subject} < {}", literal_sql(value)),
        Test::LessOrEqual(value) => format!("{subject} <= {}", literal_sql(value)),
        Test::Greater(value) => format!("{subject} > {}", literal_sql(value)),
        Test::GreaterOrEqual(value) => format!("{subject} >= {}", literal_sql(value)),
        Test::Cidr(networks) => {
            let list: Vec<_> = networks.iter().map(|n| quoted(n)).collect();
            format!("cidr_match({subject}, {})", list.join(", "))
        }
    }
}

/// `IS TRUE` and its kin, folded over constants.
fn is(wrap: fn(Box<Predicate>) -> Predicate, inner: Predicate) -> Predicate {
    let Predicate::Constant(value) = inner else { return wrap(Box::new(inner)) };
    Predicate::Constant(Some(match wrap(Box::new(Predicate::Constant(None))) {
        Predicate::IsTrue(_) => value == Some(true),
        Predicate::IsFalse(_) => value == Some(false),
        _ => value.is_none(),
    }))
}

/// NOT, pushed down to the leaves: De Morgan's laws hold in three-valued logic.
pub(crate) fn not(predicate: Predicate) -> Predicate {
    match predicate {
        Predicate::Constant(value) => Predicate::Constant(value.map(|v| !v)),
        Predicate::Not(inner) => *inner,
        Predicate::And(parts) => or(parts.into_iter().map(not).collect()),
        Predicate::Or(parts) => and(parts.into_iter().map(not).collect()),
        other => Predicate::Not(Box::new(other)),
    }
}

/// AND, flattened; `x <> 'a' AND x <> 'b'` becomes one NOT IN.
pub(crate) fn and(parts: Vec<Predicate>) -> Predicate {
    let mut flat = Vec::with_capacity(parts.len());
    for part in parts {
        match part {
            Predicate::And(inner) => flat.extend(inner),
            Predicate::Constant(Some(true)) => {}
            Predicate::Constant(Some(false)) => return Predicate::Constant(Some(false)),
            other => flat.push(other),
        }
    }
    let mut flat = merge_equalities(flat, Sign::Negative);
    match flat.len() {
        0 => Predicate::Constant(Some(true)),
        1 => flat.remove(0),
        _ => Predicate::And(flat),
    }
}

/// OR, flattened; equalities on one column become one IN.
pub(crate) fn or(parts: Vec<Predicate>) -> Predicate {
    let mut flat = Vec::with_capacity(parts.len());
    for part in parts {
        match part {
            Predicate::Or(inner) => flat.extend(inner),
            Predicate::Constant(Some(false)) => {}
            Predicate::Constant(Some(true)) => return Predicate::Constant(Some(true)),
            other => flat.push(other),
        }
    }
    let mut flat = merge_equalities(flat, Sign::Positive);
    match flat.len() {
        0 => Predicate::Constant(Some(false)),
        1 => flat.remove(0),
        _ => Predicate::Or(flat),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sign {
    Positive,
    Negative,
}

/// Joins tests for equality of one subject at the place of the first. Linear in values.
fn merge_equalities(parts: Vec<Predicate>, sign: Sign) -> Vec<Predicate> {
    #[derive(PartialEq, Eq, Hash)]
    enum Who {
        Column(usize),
        Virtual(u64),
    }
    fn equality(part: &Predicate, sign: Sign) -> Option<(Who, &Leaf)> {
        let leaf = match (part, sign) {
            (Predicate::Leaf(leaf), Sign::Positive) => leaf,
            (Predicate::Not(inner), Sign::Negative) => match inner.as_ref() {
                Predicate::Leaf(leaf) => leaf,
                _ => return None,
            },
            _ => return None,
        };
        match &leaf.atom {
            Atom::Column { column, test: Test::In(_) } => Some((Who::Column(*column), leaf)),
            Atom::Virtual { id, test: Test::In(_), .. } => Some((Who::Virtual(*id), leaf)),
            _ => None,
        }
    }
    let mut first: HashMap<Who, usize> = HashMap::new();
    let mut more: HashMap<usize, Vec<Value>> = HashMap::new();
    let mut merged: Vec<Predicate> = Vec::with_capacity(parts.len());
    for part in parts {
        if let Some((who, leaf)) = equality(&part, sign) {
            match first.get(&who) {
                Some(place) => {
                    more.entry(*place).or_default().extend(in_values(&leaf.atom));
                    continue;
                }
                None => {
                    first.insert(who, merged.len());
                }
            }
        }
        merged.push(part);
    }
    for (place, part) in merged.iter_mut().enumerate() {
        let Some(mut values) = more.remove(&place) else { continue };
        let Some((_, leaf)) = equality(part, sign) else { continue };
        values.extend(in_values(&leaf.atom));
        let test = in_test(values);
        let subject = equality_subject(leaf).to_owned();
        let sql = describe(&subject, &test).into();
        let atom = match &leaf.atom {
            Atom::Column { column, .. } => Atom::Column { column: *column, test },
            Atom::Virtual { column, id, .. } => {
                Atom::Virtual { column: Arc::clone(column), id: *id, test }
            }
            Atom::Opaque { .. } => continue,
        };
        let leaf = Predicate::Leaf(Leaf { atom, sql });
        *part = if sign == Sign::Positive { leaf } else { not(leaf) };
    }
    merged
}

fn in_values(atom: &Atom) -> Vec<Value> {
    match atom {
        Atom::Column { test: Test::In(values), .. }
        | Atom::Virtual { test: Test::In(values), .. } => values.to_vec(),
        Atom::Column { .. } | Atom::Virtual { .. } | Atom::Opaque { .. } => Vec::new(),
    }
}

/// What a leaf with [`Test::In`] tests, as SQL.
fn equality_subject(leaf: &Leaf) -> &str {
    let test = match &leaf.atom {
        Atom::Column { test, .. } | Atom::Virtual { test, .. } => test,
        Atom::Opaque { .. } => return &leaf.sql,
    };
    leaf.sql.strip_suffix(describe("", test).as_str()).unwrap_or(&leaf.sql)
}
