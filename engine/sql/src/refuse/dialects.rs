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
        "isnull" => format!("{} IS NULL", arg(0)?),
        "isnotnull" => format!("{} IS NOT NULL", arg(0)?),
        "iff" | "if" => format!("CASE WHEN {} THEN {} ELSE {} END", arg(0)?, arg(1)?, arg(2)?),
        _ => return None,
    })
}

/// `$.a.b[0]`, `/a/b` or `{a,b}` as arguments, one for each step.
pub(super) fn steps(path: &str) -> String {
    let steps = path.split(['.', '[', ']', '/', '$', '{', '}', ',', '\'', '"']);
    let steps = steps.map(str::trim).filter(|step| !step.is_empty());
    steps.map(|step| format!("'{step}'")).collect::<Vec<_>>().join(", ")
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
