//! Every function that counts as total, called with what breaks functions.

use std::{collections::BTreeSet, sync::Arc};

use arrow::{
    array::{
        ArrayRef, BooleanArray, Float64Array, Int64Array, ListBuilder, RecordBatch, StringArray,
        StringBuilder, TimestampMillisecondArray,
    },
    compute::cast,
};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use sluice_event::Eval;

use super::*;
use crate::{dialect, eval::PhysicalEval, session::Session};

/// Values that break things, in combinations that change from row to row.
fn nasty() -> RecordBatch {
    let long = "x\u{301}".repeat(700);
    let texts = [
        None,
        Some(""),
        Some(" "),
        Some("a"),
        Some("Ünï\u{0}côde \u{1F600}"),
        Some(r"%_\*?"),
        Some("10.1.2.3"),
        Some("999.1.1.1/99"),
        Some(r#"{"a": [1, {"b": null}]}"#),
        Some(r#"{"a": "#),
        Some("-9223372036854775809"),
        Some("NaN"),
        Some(long.as_str()),
    ];
    let ints = [None, Some(0), Some(1), Some(-1), Some(7), Some(i64::MIN), Some(i64::MAX)];
    let floats = [
        None,
        Some(0.0),
        Some(-0.0),
        Some(-1.5),
        Some(1e308),
        Some(f64::NAN),
        Some(f64::INFINITY),
        Some(f64::NEG_INFINITY),
    ];
    let lists = [None, Some(vec![]), Some(vec![None]), Some(vec![Some("a"), Some(""), None])];
    const ROWS: usize = 13 * 13 * 7;
    let text: ArrayRef = Arc::new((0..ROWS).map(|r| texts[r % 13]).collect::<StringArray>());
    let other: ArrayRef = Arc::new((0..ROWS).map(|r| texts[r / 13 % 13]).collect::<StringArray>());
    let int = || (0..ROWS).map(|r| ints[r % 7]);
    let mut list = ListBuilder::new(StringBuilder::new());
    for row in 0..ROWS {
        list.append_option(lists[row % 4].clone());
    }
    let key = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    RecordBatch::try_from_iter_with_nullable([
        ("d", cast(&other, &key).unwrap(), true),
        ("u", other, true),
        ("t", text, true),
        ("i", Arc::new(int().collect::<Int64Array>()) as ArrayRef, true),
        ("f", Arc::new((0..ROWS).map(|r| floats[r % 8]).collect::<Float64Array>()), true),
        ("b", Arc::new(int().map(|i| i.map(|i| i > 0)).collect::<BooleanArray>()), true),
        ("at", Arc::new(int().collect::<TimestampMillisecondArray>().with_timezone("UTC")), true),
        ("l", Arc::new(list.finish()), true),
    ])
    .unwrap()
}

/// Whether a condition counts as fallible, it compiled, and the functions it calls as written.
fn compiled(sql: &str, batch: &RecordBatch) -> (bool, PhysicalEval, BTreeSet<String>) {
    let session = Session::rules();
    let schema = DFSchema::try_from(batch.schema()).unwrap();
    let parsed = dialect::parse_expression(sql).unwrap();
    let expr = session
        .state()
        .create_logical_expr_from_sql_expr(parsed, &schema)
        .unwrap_or_else(|e| panic!("{sql}: {e}"));
    let mut names = BTreeSet::new();
    expr.apply(|e| {
        match e {
            Expr::ScalarFunction(call) => names.insert(call.func.name().to_owned()),
            Expr::HigherOrderFunction(call) => names.insert(call.func.name().to_owned()),
            _ => false,
        };
        Ok(TreeNodeRecursion::Continue)
    })
    .unwrap();
    let simple = session.simplify(expr, &schema).unwrap_or_else(|e| panic!("{sql}: {e}"));
    let eval = session.eval(simple.clone(), sql.to_owned(), &schema);
    let eval = eval.unwrap_or_else(|e| panic!("{sql}: {e}"));
    (is_fallible(&simple, &schema), eval, names)
}

#[rustfmt::skip]
const TOTAL_CALLS: &[&str] = &[
    "array_distinct(l)", "array_has(l, t)", "array_has(l, 'a')", "array_has_all(l, l)",
    "array_has_any(l, l)", "ascii(t)", "base64_contains(t, 'a')",
    "bit_length(t)", "btrim(t)", "btrim(t, u)", "cardinality(l)", "ceil(f)", "ceil(i)",
    "character_length(t)", "character_length(d)", "cidr_match(t, '10.0.0.0/8')",
    "coalesce(t, u, d)", "contains(t, u)", "empty(l)", "ends_with(t, u)",
    "find_in_set(t, u)", "geo_distance_km(f, f, 0.0, 0.0)", "json_equal(t, u)", "floor(f)", "floor(i)", "get_field(struct('a'), 'c0') = t",
    "greatest(t, u)", "greatest(i, f)", "icontains(t, 'é', 'a')", "ieq(d, 'A')",
    "iends(t, '')", "initcap(t)", "in_lookup('identity', t)", "lookup('asset', d, 'class')", "is_private(t)", "isnan(f)", "istarts(d, 'ü')",
    "json_contains(t, 'a', '1')", "json_get_bool(t, 'a')", "json_get_int(t, 'a', '0')",
    "json_get_str(t, 'a', '1', 'b')", "least(f, i)", "least(t, d)", "left(t, i)",
    "ln(f)", "ln(i)", "log10(f)", "lower(t)", "lower(d)",
    "ltrim(t)", "ltrim(t, u)", "md5(t)",
    "nullif(t, u)", "nullif(i, 1)", "nvl(t, u)", "nvl2(t, u, t)", "octet_length(d)",
    "reverse(t)", "right(t, i)", "rtrim(t)", "rtrim(t, u)", "sha256(t)",
    "sigma_like(t, '*a?')", "signum(f)", "starts_with(t, u)",
    "strpos(t, u)", "substr_index(t, u, i)", "translate(t, u, t)",
    "upper(d)", "array_length(l)", "round(f)", "trunc(f)", "array_position(l, t)",
    "substr(t, 2)", "substr(t, -2147483648, 5)", "substr(d, -3, 0)", "split_part(t, u, 2)",
    "split_part(t, ' ', 1)", "array_element(l, 1)", "l[-1]", "l[0]", "l[99]",
    "date_part('year', at)", "date_part('quarter', at)", "date_part('month', at)",
    "date_part('week', at)", "date_part('day', at)", "date_part('dow', at)",
    "date_part('doy', at)", "extract(hour FROM at)", "date_part('minute', at)",
    "date_part('second', at)", "regexp_like(t, '^a')", "regexp_like(t, 'A', 'i')",
    "regexp_match(t, '(a)')", "regexp_count(t, 'a')", "t ~ 'a|b'", "t LIKE '%a_'",
    "d ILIKE 'A%'", "f + f > f * f", "i / 3", "i % 7", "f / f", "f % f", "i & 255",
    "try_cast(t AS BIGINT)", "try_cast(t AS DOUBLE)", "try_cast(t AS TIMESTAMP)",
    "CAST(i AS VARCHAR)", "CAST(f AS VARCHAR)", "CAST(i AS DOUBLE)", "CAST(b AS INT)",
    "array_any_match(l, x -> x = 'a')", "array_filter(l, x -> x = 'a')",
    "array_transform(l, x -> lower(x))", "CASE WHEN b THEN t ELSE u END",
    "i BETWEEN i AND 5", "t IN ('a', u)", "t IS DISTINCT FROM u", "-f",
];

#[test]
fn what_counts_as_total_gives_a_value_for_every_row() {
    let batch = nasty();
    let (mut called, mut wrong) = (BTreeSet::new(), Vec::new());
    for sql in TOTAL_CALLS {
        let (fallible, eval, names) = compiled(sql, &batch);
        called.extend(names);
        if fallible {
            wrong.push(format!("{sql} counts as fallible"));
        }
        let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| eval.eval(&batch)));
        match run {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => wrong.push(format!("{sql} failed: {error}")),
            Err(_) => wrong.push(format!("{sql} panicked")),
        }
    }
    let listed = TOTAL.iter().chain(TOTAL_OVER_LISTS).filter(|name| !called.contains(**name));
    wrong.extend(listed.map(|name| format!("{name} is listed and not called")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
#[rustfmt::skip]
fn what_can_fail_counts_as_fallible() {
    let batch = nasty();
    let wrong: Vec<_> = [
        "10 / i", "10 % i", "i + i > 1", "i * i > 1", "i - i > 1", "levenshtein(t, u)", "json_list(t, '*')", "i / -1", "-i", "abs(i)", "CAST(t AS BIGINT)", "CAST(i AS INT)",
        "CAST(f AS BIGINT)", "date_bin(INTERVAL '1 day', at)", "date_trunc('day', at)",
        "at + INTERVAL '1 day'", "split_part(t, u, i)", "substr(t, 1, i)",
        "overlay(t PLACING u FROM 1 FOR 2)", "repeat(t, 3)", "t || u", "concat(t, u)",
        "replace(t, 'a', u)", "regexp_replace(t, 'a', u)", "regexp_like(t, u)", "t ~ u",
        "t LIKE u", "array_element(l, i)", "round(f, 2)", "lpad(t, 5)", "to_hex(i) = t",
        "lower(CAST(CAST(t AS BIGINT) AS VARCHAR))",
        "array_any_match(l, x -> CAST(x AS INT) = 1)", "i << 3", "chr(i)", "power(i, i)",
        "substr(t, i)", "substr(t, i, 5)", "sqrt(f)",
    ]
    .into_iter()
    .filter(|sql| !compiled(sql, &batch).0)
    .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}
