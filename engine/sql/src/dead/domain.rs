//! What values an expression can have, as far as schema and function say.

use datafusion::{
    common::ScalarValue,
    logical_expr::{Expr, Operator},
};
use sluice_event::{Column, ColumnType, Schema, TableName};
use sluice_rule::{Form, closed_values, suggest};

use super::{Known, literal, text::TextTest, text_of};

/// The values an expression can have.
#[derive(Clone, Debug, Default)]
pub(crate) struct Domain {
    /// All of them, if they are few.
    values: Option<Vec<String>>,
    /// All numbers, if they are few.
    numbers: Option<Vec<i64>>,
    /// The form of a text.
    form: Option<Form>,
    /// What a function does to the case of a text.
    case: Option<Case>,
    /// The least and the greatest number.
    range: Option<(f64, f64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    Lower,
    Upper,
}

/// Why a value is never there, and what to write instead (`= 'Failure'`).
pub(super) struct Flaw {
    pub(super) why: String,
    pub(super) instead: Option<String>,
}

impl Domain {
    /// The values of a column of a typed table.
    pub(crate) fn column(table: &TableName, name: &str) -> Domain {
        let column = Schema::builtin()
            .table(table.as_str())
            .and_then(|t| t.index(name).and_then(|i| t.columns.get(i)));
        column.map_or_else(Domain::default, Domain::of_column)
    }

    fn of_column(column: &Column) -> Domain {
        let is_number = matches!(column.kind, ColumnType::Int | ColumnType::Long);
        if is_number {
            let ids: Vec<i64> = column.ids.iter().map(|id| i64::from(id.id)).collect();
            return Domain {
                numbers: Some(ids).filter(|ids| !ids.is_empty()),
                range: column.name.ends_with("_port").then_some((0.0, 65_535.0)),
                ..Domain::default()
            };
        }
        let values: Vec<String> = closed_values(column).iter().map(|v| (*v).to_owned()).collect();
        Domain {
            values: Some(values).filter(|values| !values.is_empty()),
            form: Form::of(column.name),
            ..Domain::default()
        }
    }

    /// Whole numbers from `least` on.
    pub(crate) fn from(least: i64) -> Domain {
        Domain { range: Some((least as f64, f64::INFINITY)), ..Domain::default() }
    }

    /// One number.
    pub(crate) fn only(value: i64) -> Domain {
        Domain { range: Some((value as f64, value as f64)), ..Domain::default() }
    }

    /// The values of an expression.
    pub(super) fn of(expr: &Expr, known: &Known<'_>) -> Domain {
        match expr {
            Expr::Alias(alias) => Domain::of(&alias.expr, known),
            Expr::Cast(cast) => Domain::of(&cast.expr, known),
            Expr::TryCast(cast) => Domain::of(&cast.expr, known),
            Expr::Column(column) => known(&column.name),
            Expr::ScalarFunction(call) => match (call.func.name(), call.args.as_slice()) {
                ("lower", [inner]) => Domain::of(inner, known).cased(Case::Lower),
                ("upper", [inner]) => Domain::of(inner, known).cased(Case::Upper),
                ("md5" | "to_hex", _) => Domain { case: Some(Case::Lower), ..Domain::default() },
                (
                    "character_length" | "octet_length" | "bit_length" | "strpos" | "array_length"
                    | "cardinality" | "regexp_count" | "levenshtein" | "abs",
                    _,
                ) => Domain::from(0),
                ("date_part", [part, _]) => {
                    let part = literal(part).and_then(text_of).map(str::to_lowercase);
                    let range = match part.as_deref() {
                        Some("hour") => (0.0, 23.0),
                        Some("minute") => (0.0, 59.0),
                        Some("second") => (0.0, 60.0),
                        Some("dow") => (0.0, 6.0),
                        Some("isodow") => (0.0, 7.0),
                        Some("day") => (1.0, 31.0),
                        Some("doy") => (1.0, 366.0),
                        Some("week") => (1.0, 53.0),
                        Some("month") => (1.0, 12.0),
                        Some("quarter") => (1.0, 4.0),
                        _ => return Domain::default(),
                    };
                    Domain { range: Some(range), ..Domain::default() }
                }
                _ => Domain::default(),
            },
            _ => Domain::default(),
        }
    }

    fn cased(self, case: Case) -> Domain {
        let change = |value: String| match case {
            Case::Lower => value.to_lowercase(),
            Case::Upper => value.to_uppercase(),
        };
        Domain {
            values: self.values.map(|values| values.into_iter().map(change).collect()),
            case: Some(case),
            ..Domain::default()
        }
    }

    /// Why the expression never has a value.
    pub(super) fn flaw(&self, value: &ScalarValue) -> Option<Flaw> {
        let Some(text) = text_of(value) else {
            let number = number(value)?;
            let outside = self.range.is_some_and(|(min, max)| number < min || number > max);
            let unlisted =
                self.numbers.as_ref().is_some_and(|ids| ids.iter().all(|n| *n as f64 != number));
            let flaw = Flaw { why: format!("it is {}", self.describe()), instead: None };
            return (outside || unlisted).then_some(flaw);
        };
        if let Some(values) = &self.values
            && !values.iter().any(|v| v == text)
        {
            let near = values.iter().find(|v| v.eq_ignore_ascii_case(text)).map(String::as_str);
            let near = near.or_else(|| synonym(text, values));
            let near = near.or_else(|| suggest(text, values.iter().map(String::as_str)));
            return Some(Flaw {
                why: format!("it is {}", self.describe()),
                instead: near.map(|near| format!("= '{near}'")),
            });
        }
        if let Some(canonical) = self.canonical(text).filter(|c| c != text) {
            return Some(Flaw {
                why: format!("it is {}", self.describe()),
                instead: Some(format!("= '{canonical}'")),
            });
        }
        if self.form == Some(Form::Address) && is_network(text) {
            return Some(Flaw {
                why: "it is an address, and this is a network".to_owned(),
                instead: Some(format!(
                    "is inside a network if cidr_match(column, '{text}') is true"
                )),
            });
        }
        None
    }

    /// A value as the expression would have it; `None` if its form is not known.
    pub(super) fn canonical(&self, value: &str) -> Option<String> {
        match (self.form, self.case) {
            (_, Some(Case::Lower)) => Some(value.to_lowercase()),
            (_, Some(Case::Upper)) => Some(value.to_uppercase()),
            (Some(form), None) => Some(form.canonical(value).into_owned()),
            (None, None) => None,
        }
    }

    /// Whether a comparison can be true, and whether it can be false; `None` if nothing is known.
    pub(super) fn compare(&self, op: Operator, value: &ScalarValue) -> Option<(bool, bool)> {
        let number = number(value)?;
        let (min, max) = match (&self.range, &self.numbers) {
            (Some(range), _) => *range,
            (None, Some(ids)) => (*ids.iter().min()? as f64, *ids.iter().max()? as f64),
            (None, None) => return None,
        };
        Some(match op {
            Operator::Lt => (min < number, max >= number),
            Operator::LtEq => (min <= number, max > number),
            Operator::Gt => (max > number, min <= number),
            Operator::GtEq => (max >= number, min < number),
            _ => return None,
        })
    }

    /// Whether a test of the text can be true, and whether it can be false.
    pub(super) fn text(&self, test: &TextTest) -> (bool, bool) {
        if let Some(values) = &self.values {
            let mut yes = false;
            let mut no = false;
            for value in values {
                match test.matches(value) {
                    Some(true) => yes = true,
                    Some(false) => no = true,
                    None => return (true, true),
                }
            }
            return (yes, no);
        }
        let lower = self.case == Some(Case::Lower)
            || self.case.is_none() && self.form.is_some_and(Form::is_lower);
        let upper = self.case == Some(Case::Upper);
        let dead = lower && test.needs(char::is_uppercase)
            || upper && test.needs(char::is_lowercase)
            || self.form == Some(Form::Address) && self.case.is_none() && test.is_raw_address();
        (!dead, true)
    }

    /// What the values are, in words: "it is ..".
    pub(super) fn describe(&self) -> String {
        if let Some(values) = &self.values {
            return format!("one of {}", values.join(", "));
        }
        if let Some(ids) = &self.numbers {
            let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
            return format!("one of {}", ids.join(", "));
        }
        match (self.range, self.case, self.form) {
            (Some((min, max)), ..) if min == max => format!("always {min}"),
            (Some((min, max)), ..) if max.is_infinite() => format!("at least {min}"),
            (Some((min, max)), ..) => format!("from {min} to {max}"),
            (None, Some(Case::Lower), _) => "in lower case".to_owned(),
            (None, Some(Case::Upper), _) => "in upper case".to_owned(),
            (None, None, Some(form)) => form.describe().to_owned(),
            (None, None, None) => "of any value".to_owned(),
        }
    }
}

/// Words of other schemas for values of ours.
fn synonym<'v>(word: &str, values: &'v [String]) -> Option<&'v str> {
    let meant = match word.to_lowercase().as_str() {
        "failed" | "fail" | "error" | "denied" => "Failure",
        "succeeded" | "ok" | "successful" | "succeed" => "Success",
        "login" | "signin" | "sign-in" => "Logon",
        "logout" | "signout" | "sign-out" => "Logoff",
        "allow" | "accept" => "Allowed",
        "deny" | "block" | "drop" | "reject" => "Denied",
        _ => return None,
    };
    values.iter().find(|v| *v == meant).map(String::as_str)
}

fn is_network(text: &str) -> bool {
    text.split_once('/').is_some_and(|(address, bits)| {
        address.parse::<std::net::IpAddr>().is_ok() && bits.parse::<u8>().is_ok()
    })
}

/// A number, if a value is one.
fn number(value: &ScalarValue) -> Option<f64> {
    match value {
        ScalarValue::Int8(v) => v.map(f64::from),
        ScalarValue::Int16(v) => v.map(f64::from),
        ScalarValue::Int32(v) => v.map(f64::from),
        ScalarValue::Int64(v) => v.map(|v| v as f64),
        ScalarValue::UInt8(v) => v.map(f64::from),
        ScalarValue::UInt16(v) => v.map(f64::from),
        ScalarValue::UInt32(v) => v.map(f64::from),
        ScalarValue::UInt64(v) => v.map(|v| v as f64),
        ScalarValue::Float32(v) => v.map(f64::from),
        ScalarValue::Float64(v) => *v,
        _ => None,
    }
}
