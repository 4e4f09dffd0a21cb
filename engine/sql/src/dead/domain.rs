//! What values an expression can have, as far as schema and function say.

use datafusion::{
    common::ScalarValue,
    logical_expr::{Expr, Operator, expr::ScalarFunction},
};
use sluice_event::{Column, ColumnType, Schema, TableName};
use sluice_rule::{Form, closed_values, suggest};

use super::{
    Known, literal,
    text::{TextTest, is_no_address},
    text_of,
};

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
    /// The least and the greatest number of characters.
    length: Option<(usize, usize)>,
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

/// Columns that count or measure: never below zero.
const MEASURES: [&str; 4] = ["bytes_", "packets_", "duration_", "response_ms"];

impl Domain {
    /// The values of a column of a typed table.
    pub(crate) fn column(table: &TableName, name: &str) -> Domain {
        let Some(table) = Schema::any(table.as_str()) else { return Domain::default() };
        let find = |name: &str| table.index(name).and_then(|i| table.columns.get(i));
        let Some(column) = find(name) else { return Domain::default() };
        let mut domain = Domain::of_column(column);
        // An entity of a finding is what its rule names, in any form.
        if table.name.is_findings() {
            domain.form = None;
        }
        // The ids of a caption stand on the line of the caption.
        if domain.numbers.is_none()
            && let Some(caption) = name.strip_suffix("_id").and_then(find)
        {
            domain.numbers = ids(caption);
        }
        domain
    }

    fn of_column(column: &Column) -> Domain {
        let is_number = matches!(column.kind, ColumnType::Int | ColumnType::Long);
        if is_number {
            let measures = MEASURES.iter().any(|m| column.name.starts_with(m));
            let range = if column.name.ends_with("_port") {
                Some((0.0, 65_535.0))
            } else {
                (measures || column.name.ends_with("_pid")).then_some((0.0, f64::INFINITY))
            };
            return Domain { numbers: ids(column), range, ..Domain::default() };
        }
        let range = match (column.kind, column.name) {
            (ColumnType::Float, name) if name.ends_with("_latitude") => Some((-90.0, 90.0)),
            (ColumnType::Float, name) if name.ends_with("_longitude") => Some((-180.0, 180.0)),
            _ => None,
        };
        let values: Vec<String> = closed_values(column).iter().map(|v| (*v).to_owned()).collect();
        Domain {
            values: Some(values).filter(|values| !values.is_empty()),
            form: Form::of(column.name),
            range,
            ..Domain::default()
        }
    }

    /// Whole numbers from `least` on.
    pub(crate) fn from(least: i64) -> Domain {
        Domain { range: Some((least as f64, f64::INFINITY)), ..Domain::default() }
    }

    /// Whole numbers from `least` to `greatest`.
    pub(crate) fn between(least: usize, greatest: usize) -> Domain {
        Domain { range: Some((least as f64, greatest as f64)), ..Domain::default() }
    }

    /// How many values there are, if they are few.
    pub(crate) fn count(&self) -> Option<usize> {
        self.values.as_ref().map(Vec::len).or_else(|| self.numbers.as_ref().map(Vec::len))
    }

    fn listed<S: ToString>(values: impl IntoIterator<Item = S>) -> Domain {
        let values = values.into_iter().map(|v| v.to_string()).collect();
        Domain { values: Some(values), ..Domain::default() }
    }

    /// The values of one or the other.
    pub(crate) fn or(self, other: Domain) -> Domain {
        fn both<T>(a: Option<Vec<T>>, b: Option<Vec<T>>) -> Option<Vec<T>> {
            let (mut a, b) = (a?, b?);
            a.extend(b);
            Some(a)
        }
        let hull = |a: (f64, f64), b: (f64, f64)| (a.0.min(b.0), a.1.max(b.1));
        Domain {
            values: both(self.values, other.values),
            numbers: both(self.numbers, other.numbers),
            form: self.form.filter(|form| other.form == Some(*form)),
            case: self.case.filter(|case| other.case == Some(*case)),
            range: self.range.zip(other.range).map(|(a, b)| hull(a, b)),
            length: self.length.zip(other.length).map(|(a, b)| (a.0.min(b.0), a.1.max(b.1))),
        }
    }

    /// The values of a constant.
    fn constant(value: &ScalarValue) -> Domain {
        match (text_of(value), number(value)) {
            (Some(text), _) => Domain::listed([text]),
            (None, Some(n)) => Domain { range: Some((n, n)), ..Domain::default() },
            (None, None) => Domain::default(),
        }
    }

    /// The values of an expression.
    pub(crate) fn of(expr: &Expr, known: &Known<'_>) -> Domain {
        match expr {
            Expr::Alias(alias) => Domain::of(&alias.expr, known),
            Expr::Cast(cast) => Domain::of(&cast.expr, known),
            Expr::TryCast(cast) => Domain::of(&cast.expr, known),
            Expr::Column(column) => (known.domain)(&column.name),
            Expr::LambdaVariable(variable) => (known.domain)(&variable.name),
            Expr::Literal(value, _) => Domain::constant(value),
            Expr::BinaryExpr(binary) if binary.op == Operator::Modulo => {
                let by = literal(&binary.right).and_then(number).map(f64::abs);
                let by = by.filter(|by| *by >= 1.0 && by.fract() == 0.0);
                let Some(most) = by.map(|by| by - 1.0) else { return Domain::default() };
                let positive =
                    Domain::of(&binary.left, known).range.is_some_and(|(min, _)| min >= 0.0);
                let least = if positive { 0.0 } else { -most };
                Domain { range: Some((least, most)), ..Domain::default() }
            }
            Expr::ScalarFunction(call) => Domain::of_call(call, known),
            _ => Domain::default(),
        }
    }

    fn of_call(call: &ScalarFunction, known: &Known<'_>) -> Domain {
        let args = call.args.as_slice();
        let inner = |i: usize| args.get(i).map_or_else(Domain::default, |a| Domain::of(a, known));
        let word = |i: usize| args.get(i).and_then(literal).and_then(text_of);
        match call.func.name() {
            "lower" => inner(0).cased(Case::Lower),
            "upper" => inner(0).cased(Case::Upper),
            "md5" => {
                Domain { length: Some((32, 32)), case: Some(Case::Lower), ..Domain::default() }
            }
            "to_hex" => Domain { case: Some(Case::Lower), ..Domain::default() },
            "encode" if word(1) == Some("hex") => {
                Domain { case: Some(Case::Lower), ..Domain::default() }
            }
            "nullif" => inner(0),
            "coalesce" | "nvl" | "greatest" | "least" => {
                (1..args.len()).fold(inner(0), |all, i| all.or(inner(i)))
            }
            "btrim" | "ltrim" | "rtrim" if args.len() == 1 && inner(0).values.is_some() => inner(0),
            "btrim" | "ltrim" | "rtrim" | "split_part" | "substr_index" | "reverse" => {
                inner(0).part()
            }
            "left" | "right" => inner(0).part().at_most(args.get(1)),
            "substr" => inner(0).part().at_most(args.get(2)),
            "concat" => {
                let lower = |i: usize| {
                    let domain = inner(i);
                    let listed = domain.values.as_ref();
                    domain.is_lower()
                        || listed.is_some_and(|v| v.iter().all(|v| v.to_lowercase() == *v))
                };
                let case = (0..args.len()).all(lower).then_some(Case::Lower);
                Domain { case, ..Domain::default() }
            }
            "strpos" => {
                let test = word(1).and_then(|needle| TextTest::named("contains", needle));
                let never = test.is_some_and(|test| !inner(0).text(&test).0);
                if never { Domain::between(0, 0) } else { Domain::from(0) }
            }
            "character_length" => match inner(0) {
                Domain { values: Some(values), .. } => Domain {
                    numbers: Some(values.iter().map(|v| v.chars().count() as i64).collect()),
                    ..Domain::default()
                },
                Domain { length: Some((min, max)), .. } => Domain::between(min, max),
                _ => Domain::from(0),
            },
            "octet_length" | "bit_length" | "array_length" | "cardinality" | "regexp_count"
            | "levenshtein" | "abs" | "geo_distance_km" | "find_in_set" | "regexp_instr" => {
                Domain::from(0)
            }
            "date_part" => part_of_date(word(0)),
            "to_char" => part_as_text(word(1)),
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

    /// Part of a text.
    fn part(self) -> Domain {
        let case = if self.is_lower() { Some(Case::Lower) } else { self.case };
        Domain { case, ..Domain::default() }
    }

    fn at_most(self, characters: Option<&Expr>) -> Domain {
        let most = characters.and_then(literal).and_then(number).filter(|n| *n >= 0.0);
        Domain { length: most.map(|most| (0, most as usize)), ..self }
    }

    fn is_lower(&self) -> bool {
        self.case == Some(Case::Lower)
            || self.case.is_none() && self.form.is_some_and(Form::is_lower)
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
        if self.form == Some(Form::Address) && is_no_address(text) {
            let why = "it is an address, and this is none".to_owned();
            return Some(Flaw { why, instead: None });
        }
        let characters = text.chars().count();
        if let Some((min, max)) =
            self.length.filter(|(min, max)| !(*min..=*max).contains(&characters))
        {
            let long = if min == max { format!("{max}") } else { format!("at most {max}") };
            let why = format!("it has {long} characters, this has {characters}");
            return Some(Flaw { why, instead: None });
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
        if test.is_impossible() {
            return (false, true);
        }
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
        let upper = self.case == Some(Case::Upper);
        let dead = self.is_lower() && test.needs(char::is_uppercase)
            || upper && test.needs(char::is_lowercase)
            || self.form == Some(Form::Address) && self.case.is_none() && test.is_raw_address();
        (!dead, true)
    }

    /// Whether a text in lower case could pass where this one cannot.
    pub(super) fn asks_lower(&self) -> bool {
        self.is_lower()
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

fn ids(column: &Column) -> Option<Vec<i64>> {
    let ids: Vec<i64> = column.ids.iter().map(|id| i64::from(id.id)).collect();
    Some(ids).filter(|ids| !ids.is_empty())
}

/// The numbers of `date_part`.
fn part_of_date(part: Option<&str>) -> Domain {
    let range = match part.map(str::to_lowercase).as_deref() {
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

/// The texts of `to_char` with one directive.
fn part_as_text(format: Option<&str>) -> Domain {
    let padded = |from: u32, to: u32| Domain::listed((from..=to).map(|n| format!("{n:02}")));
    match format {
        Some("%H") => padded(0, 23),
        Some("%M") => padded(0, 59),
        Some("%S") => padded(0, 60),
        Some("%d") => padded(1, 31),
        Some("%m") => padded(1, 12),
        Some("%u") => Domain::listed(1..=7),
        Some("%w") => Domain::listed(0..=6),
        Some("%a") => Domain::listed(["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]),
        Some("%A") => Domain::listed([
            "Monday",
            "Tuesday",
            "Wednesday",
            "Thursday",
            "Friday",
            "Saturday",
            "Sunday",
        ]),
        _ => Domain::default(),
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
