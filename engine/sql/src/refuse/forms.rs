//! Expressions that parse and mean something else than they seem to: patterns whose backslashes
//! vanish, comparisons with NULL, paths that are no path, zones that are not there, operators of
//! other dialects.

use std::str::FromStr;

use arrow::array::timezone::Tz;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArguments, LambdaFunction, OneOrManyWithParens,
    Spanned, Value,
};

use super::{Checker, dialects, is_called, literal, names, regex_flaw};
use crate::error::SqlProblem;

impl Checker<'_> {
    /// What is wrong with the form of one expression.
    pub(super) fn form(&mut self, expr: &Expr) {
        match expr {
            Expr::Like { any: true, expr: of, .. } | Expr::ILike { any: true, expr: of, .. } => {
                let problem = SqlProblem::new("R016", "LIKE ANY is not accepted")
                    .detail("a test of several texts takes them as arguments")
                    .hint(format!(
                        "icontains({of}, 'a', 'b'), or {of} LIKE 'a%' OR {of} LIKE 'b%'"
                    ));
                self.refuse(of.span(), problem);
            }
            Expr::Like { expr, pattern, escape_char, negated, .. } => {
                self.like(expr, pattern, escape_char.is_some(), (*negated, false));
            }
            Expr::ILike { expr, pattern, escape_char, negated, .. } => {
                self.like(expr, pattern, escape_char.is_some(), (*negated, true));
            }
            Expr::JsonAccess { value, path } => {
                let problem = SqlProblem::new("R016", "`:` is not accepted")
                    .detail("a path into JSON is a function here, with an argument for each step")
                    .hint(format!("json_get_str({value}, {})", dialects::json_path(path)));
                self.refuse(value.span(), problem);
            }
            Expr::SimilarTo { expr: of, pattern, .. } => {
                let problem = SqlProblem::new("R016", "SIMILAR TO is not accepted")
                    .detail("its wildcards would be read as those of a regular expression")
                    .hint(similar(of, literal(pattern).as_deref()));
                self.refuse(expr.span(), problem);
            }
            Expr::RLike { expr: of, pattern, .. } => {
                let problem = SqlProblem::new("R016", "RLIKE is not accepted")
                    .hint(format!("regexp_like({of}, {pattern})"));
                self.refuse(expr.span(), problem);
            }
            Expr::Lambda(lambda) => self.lambda_path(expr, lambda),
            Expr::AtTimeZone { time_zone, .. } => self.zone(time_zone),
            Expr::InList { expr: of, list, negated } => self.in_list(of, list, *negated),
            Expr::BinaryOp { left, op, right } => self.operator(expr, left, op, right),
            Expr::Function(call) => self.call(call),
            _ => {}
        }
    }

    fn operator(&mut self, whole: &Expr, left: &Expr, op: &BinaryOperator, right: &Expr) {
        match op {
            BinaryOperator::PGRegexMatch
            | BinaryOperator::PGRegexIMatch
            | BinaryOperator::PGRegexNotMatch
            | BinaryOperator::PGRegexNotIMatch => self.regex(right),
            op if is_arrow(op) => self.arrows(whole, op),
            BinaryOperator::PGOverlap => {
                let problem = SqlProblem::new("R016", "`&&` is not accepted")
                    .detail("it binds closer than a comparison, and is about lists elsewhere")
                    .hint("status = 'Failure' AND src_port = 22, or array_has_any(ips, hosts) of two lists");
                self.refuse(left.span(), problem);
            }
            BinaryOperator::PGBitwiseShiftLeft if literal(right).is_some() => {
                let problem = SqlProblem::new("R016", "`<<` is not accepted")
                    .hint(format!("cidr_match({left}, {right})"));
                self.refuse(left.span(), problem);
            }
            BinaryOperator::Eq
            | BinaryOperator::NotEq
            | BinaryOperator::Lt
            | BinaryOperator::LtEq
            | BinaryOperator::Gt
            | BinaryOperator::GtEq
                if is_null(left) || is_null(right) =>
            {
                let other = if is_null(right) { left } else { right };
                let not = if *op == BinaryOperator::NotEq { "NOT " } else { "" };
                let problem = SqlProblem::new("R034", format!("`{whole}` is never true"))
                    .detail("nothing is equal to NULL, and nothing different from it")
                    .hint(format!("{other} IS {not}NULL"));
                self.refuse(other.span(), problem);
            }
            _ => {}
        }
    }

    fn in_list(&mut self, of: &Expr, list: &[Expr], negated: bool) {
        if !list.iter().any(is_null) {
            return;
        }
        if negated {
            let problem = SqlProblem::new("R034", "NOT IN with NULL in the list is never true")
                .detail("whether a value differs from NULL is not known")
                .hint(format!("{of} IS NOT NULL AND {of} NOT IN (..)"));
            self.refuse(of.span(), problem);
        } else if list.iter().all(is_null) {
            let problem = SqlProblem::new("R034", format!("`{of} IN (NULL)` is never true"))
                .hint(format!("{of} IS NULL"));
            self.refuse(of.span(), problem);
        }
    }

    /// `column -> 'a' -> 'b' = 'c'` reads as a lambda whose body begins with a text.
    fn lambda_path(&mut self, whole: &Expr, lambda: &LambdaFunction) {
        let OneOrManyWithParens::One(parameter) = &lambda.params else { return };
        let mut body = lambda.body.as_ref();
        while let Expr::BinaryOp { left, op, .. } = body
            && !is_arrow(op)
        {
            body = left;
        }
        let mut steps = Vec::new();
        let mut text = false;
        self.steps(body, &mut steps, &mut text);
        if !steps.first().is_some_and(|step| step.starts_with('\'')) {
            return;
        }
        let column = parameter.name.to_string();
        let problem = SqlProblem::new("R016", "`->` is not accepted")
            .detail("a path into JSON is a function here, with an argument for each step")
            .hint(format!("json_get_str({column}, {})", steps.join(", ")));
        self.refuse(whole.span(), problem);
    }

    /// The steps of a path, whose parts are not refused again.
    fn steps(&mut self, path: &Expr, steps: &mut Vec<String>, text: &mut bool) {
        let mut open = vec![path];
        while let Some(expr) = open.pop() {
            self.arrows.push(std::ptr::from_ref(expr));
            match expr {
                Expr::BinaryOp { left, op, right } if is_arrow(op) => {
                    *text |=
                        matches!(op, BinaryOperator::LongArrow | BinaryOperator::HashLongArrow);
                    open.extend([right.as_ref(), left.as_ref()]);
                }
                Expr::BinaryOp { left, .. } => open.push(left),
                Expr::Nested(inner) => open.push(inner),
                step => match literal(step).or_else(|| number(step)) {
                    Some(step) if step.starts_with('{') => steps.push(dialects::steps(&step)),
                    Some(step) => steps.push(format!("'{step}'")),
                    None => steps.push(step.to_string()),
                },
            }
        }
    }

    /// Refuses a path of `->` and `->>` once, as the call that means it.
    fn arrows(&mut self, whole: &Expr, op: &BinaryOperator) {
        if self.arrows.contains(&std::ptr::from_ref(whole)) {
            return;
        }
        let (mut steps, mut text) = (Vec::new(), false);
        self.steps(whole, &mut steps, &mut text);
        let call = if text { "json_get_str" } else { "json_contains" };
        let problem = SqlProblem::new("R016", format!("`{op}` is not accepted"))
            .detail("a path into JSON is a function here, with an argument for each step")
            .hint(format!("{call}({})", steps.join(", ")));
        self.refuse(whole.span(), problem);
    }

    fn zone(&mut self, zone: &Expr) {
        let Some(name) = literal(zone) else { return };
        if Tz::from_str(&name).is_ok() {
            return;
        }
        let near = sluice_rule::suggest(&name, ZONES.iter().copied());
        let problem = SqlProblem::new("R034", format!("there is no time zone '{name}'"))
            .detail(match near {
                Some(near) => format!("did you mean '{near}'?"),
                None => "no row would have a time in it".to_owned(),
            })
            .hint("time AT TIME ZONE 'Europe/Berlin', or '+01:00'");
        self.refuse(zone.span(), problem);
    }

    fn call(&mut self, call: &Function) {
        let args = names::arguments(call);
        if is_called(
            call,
            &[
                "json_get",
                "json_get_str",
                "json_get_int",
                "json_get_bool",
                "json_contains",
                "json_list",
            ],
        ) {
            let steps = args.iter().skip(1);
            for (step, text) in steps.filter_map(|e| literal(e).map(|text| (*e, text))) {
                self.json_step(call, args.first().copied(), step, &text);
            }
        }
        if is_called(call, &["first_seen"]) && !matches!(args.first(), Some(Expr::Interval(_))) {
            let given = args.first().and_then(|first| literal(first));
            let keys = args.iter().skip(usize::from(given.is_some()));
            let keys: Vec<String> = keys.map(ToString::to_string).collect();
            let span = given.unwrap_or_else(|| "14 days".to_owned());
            let problem =
                SqlProblem::new("R016", "`first_seen` begins with how long is looked back")
                    .hint(format!("first_seen(INTERVAL '{span}', {})", keys.join(", ")));
            self.refuse(call.name.span(), problem);
        }
        if is_called(call, &["count"])
            && let FunctionArguments::List(list) = &call.args
            && list.duplicate_treatment.is_some()
            && list.args.len() > 1
        {
            let columns: Vec<String> = args.iter().map(ToString::to_string).collect();
            let problem = SqlProblem::new("R016", "`count(DISTINCT ..)` counts one value")
                .detail("several columns are one value when they are joined")
                .hint(format!("count(DISTINCT concat_ws(' ', {}))", columns.join(", ")));
            self.refuse(call.name.span(), problem);
        }
        if is_called(call, &["regexp_like", "regexp_match", "regexp_count", "regexp_replace"])
            && let Some(pattern) = args.get(1)
        {
            self.regex(pattern);
        }
    }

    fn json_step(&mut self, call: &Function, of: Option<&Expr>, step: &Expr, text: &str) {
        let of = of.map(ToString::to_string).unwrap_or_default();
        let is_path = text.starts_with('$') || text.starts_with('/') || text.contains('[');
        let dotted = text.contains('.') && !text.contains('/');
        if !is_path && !dotted {
            return;
        }
        let steps: Vec<String> = text
            .split(['.', '[', ']', '/', '$'])
            .filter(|s| !s.is_empty() && *s != "*")
            .map(|s| format!("'{}'", s.trim_matches(['\'', '"'])))
            .collect();
        let any = text.contains('*');
        let hint = if any {
            format!("json_any({of}, {}, v -> v = '0.0.0.0/0')", steps.join(", "))
        } else {
            format!("{}({of}, {})", call.name, steps.join(", "))
        };
        let problem = SqlProblem::new("R034", format!("'{text}' is looked up as one key"))
            .detail("a path is an argument for each step")
            .hint(hint);
        let place = self.place(step.span());
        if is_path {
            self.found.push(problem.at(place));
        } else {
            self.advice.push(SqlProblem { code: "R038", ..problem }.at(place));
        }
    }

    /// A pattern in which a backslash vanishes, or with an escape of its own.
    /// `negated` and whether case is ignored come together.
    fn like(
        &mut self,
        of: &Expr,
        pattern: &Expr,
        escaped: bool,
        (negated, ignore_case): (bool, bool),
    ) {
        let Some(text) = literal(pattern) else { return };
        if escaped {
            let problem = SqlProblem::new("R014", "ESCAPE is not accepted")
                .detail("the escape character is the backslash")
                .hint("contains(x, '..'), starts_with(x, '..') and ends_with(x, '..') take the text as it stands; icontains, istarts and iends without letter case");
            return self.refuse(pattern.span(), problem);
        }
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            if c != '\\' || matches!(chars.next(), Some('%' | '_' | '\\')) {
                continue;
            }
            let doubled = text.replace('\\', "\\\\");
            let operator = if ignore_case { "ILIKE" } else { "LIKE" };
            let not = if negated { "NOT " } else { "" };
            let mut hint = format!("{of} {not}{operator} '{doubled}'");
            if let Some(call) = plain_call(of, &text, ignore_case) {
                hint.push_str(&format!(", or {not}{call}"));
            }
            return self.refuse(
                pattern.span(),
                SqlProblem::new("R014", format!("a backslash in {operator} vanishes"))
                    .detail("it escapes the character after it")
                    .hint(hint),
            );
        }
    }

    fn regex(&mut self, pattern: &Expr) {
        let Some(flaw) = literal(pattern).as_deref().and_then(regex_flaw) else { return };
        let place = self
            .place(pattern.span())
            .map(|(line, column, _)| (line, column + 1 + flaw.offset as u64, 1));
        self.found.push(
            SqlProblem::new("R032", flaw.message)
                .hint("user_name ~ '^a' AND user_name !~ '^admin': two patterns instead of one")
                .at(place),
        );
    }
}

/// A LIKE pattern with wildcards at its ends alone, as the call that takes the text verbatim.
fn plain_call(of: &Expr, text: &str, ignore_case: bool) -> Option<String> {
    let inner = text.trim_matches('%');
    if inner.contains('%') || inner.is_empty() {
        return None;
    }
    let name = match (text.starts_with('%'), text.ends_with('%'), ignore_case) {
        (true, true, true) => "icontains",
        (true, true, false) => "contains",
        (true, false, true) => "iends",
        (true, false, false) => "ends_with",
        (false, true, true) => "istarts",
        (false, true, false) => "starts_with",
        (false, false, true) => "ieq",
        (false, false, false) => return Some(format!("{of} = '{inner}'")),
    };
    Some(format!("{name}({of}, '{inner}')"))
}

fn similar(of: &Expr, pattern: Option<&str>) -> String {
    match pattern {
        Some(pattern) => {
            let (from, to) = (pattern.starts_with('%'), pattern.ends_with('%'));
            let inner = pattern.trim_matches('%').replace('%', ".*").replace('_', ".");
            let (before, after) = (if from { "" } else { "^" }, if to { "" } else { "$" });
            format!("regexp_like({of}, '{before}{inner}{after}')")
        }
        None => format!("regexp_like({of}, 'https?://')"),
    }
}

fn is_arrow(op: &BinaryOperator) -> bool {
    matches!(
        op,
        BinaryOperator::Arrow
            | BinaryOperator::LongArrow
            | BinaryOperator::HashArrow
            | BinaryOperator::HashLongArrow
            | BinaryOperator::AtArrow
            | BinaryOperator::ArrowAt
            | BinaryOperator::Question
            | BinaryOperator::AtQuestion
            | BinaryOperator::AtAt
    )
}

fn is_null(expr: &Expr) -> bool {
    match expr {
        Expr::Value(value) => matches!(value.value, Value::Null),
        Expr::Nested(inner) => is_null(inner),
        _ => false,
    }
}

fn number(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::Number(number, _) => Some(number.clone()),
            _ => None,
        },
        _ => None,
    }
}

/// Zones that people mean most, for "did you mean".
const ZONES: [&str; 22] = [
    "UTC",
    "Europe/Berlin",
    "Europe/London",
    "Europe/Paris",
    "Europe/Madrid",
    "Europe/Rome",
    "Europe/Amsterdam",
    "Europe/Zurich",
    "Europe/Vienna",
    "Europe/Stockholm",
    "Europe/Warsaw",
    "America/New_York",
    "America/Chicago",
    "America/Denver",
    "America/Los_Angeles",
    "America/Sao_Paulo",
    "Asia/Tokyo",
    "Asia/Singapore",
    "Asia/Kolkata",
    "Asia/Shanghai",
    "Asia/Dubai",
    "Australia/Sydney",
];
