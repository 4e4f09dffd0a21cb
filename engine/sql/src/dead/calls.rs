//! Calls of functions as conditions: tests of a text, of the elements of a list, of a document.

use datafusion::{
    common::ScalarValue,
    logical_expr::{
        Expr,
        expr::{HigherOrderFunction, ScalarFunction},
    },
};

use super::{Analyzer, Domain, EITHER, Known, Outcome, TextTest, literal, text_of};
use crate::text::sql_text;

impl Analyzer<'_> {
    pub(super) fn function(&mut self, call: &ScalarFunction, whole: &Expr) -> Outcome {
        let name = call.func.name();
        let Some((first, rest)) = call.args.split_first() else { return EITHER };
        if let ("array_has_any" | "array_has_all", [list]) = (name, rest) {
            return self.lists(name, first, list);
        }
        let needles: Option<Vec<&str>> =
            rest.iter().map(|e| literal(e).and_then(text_of)).collect();
        let Some(needles) = needles.filter(|n| !n.is_empty()) else { return EITHER };
        match name {
            "regexp_like" => {
                let flags = needles.get(1).copied().unwrap_or_default();
                self.text(first, &[TextTest::regex(needles[0], flags)], whole)
            }
            "array_has" => self.has(first, &ScalarValue::from(needles[0])),
            "json_equal" => {
                if serde_json::from_str::<serde::de::IgnoredAny>(needles[0]).is_err() {
                    self.told(whole, "the second document is no JSON: the result is NULL");
                    return Outcome { yes: false, no: false };
                }
                EITHER
            }
            _ => {
                let tests: Option<Vec<TextTest>> =
                    needles.iter().map(|needle| TextTest::named(name, needle)).collect();
                tests.map_or(EITHER, |tests| self.text(first, &tests, whole))
            }
        }
    }

    /// Whether a list can hold a value.
    fn has(&mut self, list: &Expr, value: &ScalarValue) -> Outcome {
        let domain = Domain::of(list, self.known);
        let before = self.notes.len();
        let outcome = self.among(list, &domain, std::slice::from_ref(value), list);
        // `=` is no way to ask a list.
        for note in self.notes.iter_mut().skip(before) {
            note.hint = text_of(value)
                .and_then(|value| domain.canonical(value))
                .map(|canonical| format!("array_has({}, '{canonical}')", sql_text(list)));
        }
        outcome
    }

    /// `array_has_any`, `array_has_all` with a list of constants.
    fn lists(&mut self, name: &str, list: &Expr, of: &Expr) -> Outcome {
        let Some(values) = constants(of) else { return EITHER };
        let mut outcomes = Vec::new();
        for value in values.iter().filter(|v| !v.is_null()) {
            outcomes.push(self.has(list, value).yes);
        }
        let yes = if name == "array_has_any" {
            outcomes.is_empty() || outcomes.contains(&true)
        } else {
            !outcomes.contains(&false)
        };
        Outcome { yes, no: true }
    }

    /// A condition on the elements of a list: its variable has the values of the list.
    pub(super) fn elements(&mut self, call: &HigherOrderFunction) -> Outcome {
        let [list, Expr::Lambda(lambda)] = call.args.as_slice() else { return EITHER };
        let ("array_any_match", [variable]) = (call.func.name(), lambda.params.as_slice()) else {
            return EITHER;
        };
        let of = Domain::of(list, self.known);
        let domain =
            |name: &str| if name == variable { of.clone() } else { (self.known.domain)(name) };
        let known = Known { domain: &domain, order: self.known.order };
        let mut inner = Analyzer { known: &known, notes: Vec::new() };
        let yes = inner.outcome(&lambda.body).yes;
        let notes = inner.notes;
        self.notes.extend(notes);
        Outcome { yes, no: true }
    }
}

/// The elements of a list that is written out.
fn constants(list: &Expr) -> Option<Vec<ScalarValue>> {
    match list {
        Expr::Alias(alias) => constants(&alias.expr),
        Expr::Cast(cast) => constants(&cast.expr),
        Expr::Literal(ScalarValue::List(list), _) => {
            let values = list.values();
            (0..values.len()).map(|i| ScalarValue::try_from_array(values, i).ok()).collect()
        }
        Expr::ScalarFunction(call) if call.func.name() == "make_array" => {
            call.args.iter().map(|item| literal(item).cloned()).collect()
        }
        _ => None,
    }
}
