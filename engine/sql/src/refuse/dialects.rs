//! Functions and operators of other systems, as they are said here. Not which functions exist: that
//! is [`crate::functions`].

use datafusion::sql::sqlparser::ast::{Expr, JsonPath, JsonPathElem};

use super::literal;

/// A call of another system's function as it is said here; `None` if it is not known.
pub(super) fn call(name: &str, args: &[&Expr]) -> Option<String> {
    let arg = |i: usize| args.get(i).map(ToString::to_string);
    let all: Vec<String> = args.iter().map(ToString::to_string).collect();
    Some(match name {
        "json_extract"
        | "json_extract_string"
        | "json_extract_scalar"
        | "json_value"
        | "get_json_object"
        | "parse_json"
        | "jsonextractstring" => {
            let steps = args.get(1).and_then(|path| literal(path)).map(|path| steps(&path));
            let path = steps.unwrap_or_else(|| all.get(1..).unwrap_or_default().join(", "));
            format!("json_get_str({}, {path})", arg(0)?)
        }
        "regexp_contains" | "regexp_matches" | "regexp" | "rlike" | "match" | "re_match" => {
            format!("regexp_like({})", all.join(", "))
        }
        "charindex" | "locate" => format!("strpos({}, {})", arg(1)?, arg(0)?),
        "approx_count_distinct" | "count_distinct" | "uniq" | "uniqexact" | "dcount" | "dc" => {
            format!("count(DISTINCT {})", arg(0)?)
        }
        "countif" | "count_if" => format!("count(*) FILTER (WHERE {})", arg(0)?),
        "sumif" | "sum_if" => format!("sum({}) FILTER (WHERE {})", arg(0)?, arg(1)?),
        "collect_set" | "collect_list" | "make_set" | "make_list" | "grouparray"
        | "groupuniqarray" | "array_unique_agg" | "list_distinct" => {
            format!("array_agg(DISTINCT {})", arg(0)?)
        }
        // Splunk names the network first.
        "cidrmatch"
        | "cidr_contains"
        | "inet_contains"
        | "net_contains"
        | "ipv4_is_in_range"
        | "ipv4_is_in_any_range"
        | "ipv6_is_in_range"
        | "ip_in_range"
        | "is_ip_in_range"
        | "insubnet" => {
            let (nets, of): (Vec<&Expr>, Vec<&Expr>) =
                args.iter().partition(|e| literal(e).is_some());
            let all: Vec<String> = of.iter().chain(&nets).map(ToString::to_string).collect();
            format!("cidr_match({})", all.join(", "))
        }
        "contains_any" | "has_any" | "icontains_any" | "match_any" => {
            format!("icontains({})", flat(args).join(", "))
        }
        "hour" | "hourofday" | "hour_of_day" => format!("date_part('hour', {})", arg(0)?),
        "dayofweek" | "day_of_week" | "weekday" => format!("date_part('dow', {})", arg(0)?),
        "day" | "dayofmonth" | "day_of_month" => format!("date_part('day', {})", arg(0)?),
        "minute" | "second" | "month" | "year" | "week" | "quarter" => {
            format!("date_part('{name}', {})", arg(0)?)
        }
        "datediff" | "date_diff" | "datetime_diff" | "timestampdiff" | "timestamp_diff" => {
            let columns: Vec<&Expr> = args
                .iter()
                .copied()
                .filter(|e| matches!(e, Expr::Identifier(_) | Expr::CompoundIdentifier(_)))
                .collect();
            let [.., earlier, later] = columns.as_slice() else { return None };
            format!("{later} - {earlier} > INTERVAL '1 minute'")
        }
        "explode" | "flatten" | "mv_expand" => {
            format!("array_has({}, 'admin'): a row is one finding", arg(0)?)
        }
        "isnull" => format!("{} IS NULL", arg(0)?),
        "isnotnull" => format!("{} IS NOT NULL", arg(0)?),
        "iff" | "if" => format!("CASE WHEN {} THEN {} ELSE {} END", arg(0)?, arg(1)?, arg(2)?),
        _ => return None,
    })
}

/// Words between two values that other systems have for tests of text, as they are said here; the name
/// of a list's brackets among them. `None` if the word is none of these.
pub(super) fn word(found: &str) -> Option<&'static str> {
    Some(match found.to_ascii_lowercase().as_str() {
        "glob" => "user_name LIKE 'a%': `%` stands for any text, `_` for one character",
        "matches" | "match" | "regex" | "regexp" => "regexp_like(user_name, '^a')",
        "contains" | "has" | "contains_cs" | "has_cs" => "icontains(user_name, 'adm')",
        "startswith" | "hasprefix" => "starts_with(user_name, 'adm')",
        "endswith" | "hassuffix" => "ends_with(user_name, 'adm')",
        "[" => "user_name IN ('root', 'admin'): a list of values stands in parentheses",
        _ => return None,
    })
}

/// `$.a.b[0]`, `/a/b` or `{a,b}` as arguments, one for each step.
pub(super) fn steps(path: &str) -> String {
    let steps = path.split(['.', '[', ']', '/', '$', '{', '}', ',', '\'', '"']);
    let steps = steps.map(str::trim).filter(|step| !step.is_empty());
    steps.map(|step| format!("'{step}'")).collect::<Vec<_>>().join(", ")
}

/// The arguments, those of a list one by one.
fn flat(args: &[&Expr]) -> Vec<String> {
    let one = |arg: &&Expr| match arg {
        Expr::Array(list) => list.elem.iter().map(ToString::to_string).collect(),
        other => vec![other.to_string()],
    };
    args.iter().flat_map(one).collect()
}

/// `doc:a.b[0]` as arguments, one for each step.
pub(super) fn json_path(path: &JsonPath) -> String {
    let step = |elem: &JsonPathElem| match elem {
        JsonPathElem::Dot { key, .. } => format!("'{key}'"),
        JsonPathElem::Bracket { key } | JsonPathElem::ColonBracket { key } => {
            format!("'{}'", key.to_string().trim_matches('\''))
        }
    };
    path.path.iter().map(step).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{dialect, refuse::names};

    #[test]
    fn calls_of_other_systems_are_said_as_here() {
        for (written, here) in [
            ("json_extract(request, '$.a.b[0]')", "json_get_str(request, 'a', 'b', '0')"),
            ("regexp_contains(user_name, 'x')", "regexp_like(user_name, 'x')"),
            ("charindex('x', user_name)", "strpos(user_name, 'x')"),
            ("uniq(src_ip)", "count(DISTINCT src_ip)"),
            ("countIf(is_mfa)", "count(*) FILTER (WHERE is_mfa)"),
            ("isnull(user_name)", "user_name IS NULL"),
            ("collect_set(src_ip)", "array_agg(DISTINCT src_ip)"),
            ("cidrmatch('10.0.0.0/8', src_ip)", "cidr_match(src_ip, '10.0.0.0/8')"),
            ("ipv4_is_in_range(src_ip, '10.0.0.0/8')", "cidr_match(src_ip, '10.0.0.0/8')"),
            ("contains_any(user_name, ['a', 'b'])", "icontains(user_name, 'a', 'b')"),
            ("hour(time)", "date_part('hour', time)"),
            ("dayofweek(time)", "date_part('dow', time)"),
            ("datediff('minute', time, ingest_time)", "ingest_time - time > INTERVAL '1 minute'"),
            ("iff(is_mfa, 1, 2)", "CASE WHEN is_mfa THEN 1 ELSE 2 END"),
        ] {
            let Expr::Function(call) = dialect::parse_expression(written).unwrap().expr else {
                panic!("{written}")
            };
            let name = call.name.to_string().to_lowercase();
            assert_eq!(super::call(&name, &names::arguments(&call)).as_deref(), Some(here));
        }
    }

    #[test]
    fn paths_become_arguments() {
        assert_eq!(steps("$.a.b[0]"), "'a', 'b', '0'");
        assert_eq!(steps("{a,b}"), "'a', 'b'");
        assert_eq!(steps("/a/b"), "'a', 'b'");
    }
}
