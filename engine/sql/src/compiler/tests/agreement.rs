//! Random conditions over random rows: the network and the residual conditions keep the rows on
//! which DataFusion finds the whole WHERE to be TRUE.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanArray, Int64Array, ListBuilder, RecordBatch, StringArray,
        StringBuilder, new_null_array,
    },
    compute::cast,
    datatypes::DataType,
};
use datafusion::{
    common::DFSchema,
    logical_expr::{Expr, simplify::SimplifyContext},
    optimizer::simplify_expressions::ExprSimplifier,
    physical_expr::PhysicalExpr,
};
use sluice_event::Schema;
use sluice_stream::{PredicateNetwork, Scratch};

use super::*;
use crate::{
    dead::{self, Domain, Known},
    dialect,
    session::Session,
};

const CASES: u64 = 1_150;

/// SplitMix64.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

const TEXTS: &[&str] = &[
    "",
    " ",
    "a",
    "A",
    "b",
    "ab",
    "aB%",
    "a_b",
    r"C:\a\b",
    "é",
    "É",
    "Kelvin \u{212a}",
    "straße",
    "10.0.0.1",
    "10.0.0.255",
    "192.168.1.1",
    "::1",
    "::ffff:10.0.0.1",
    "12",
    "-3",
    "true",
    r#"{"k": "a", "n": 1}"#,
    r#"{"k": null}"#,
    "a\nb",
];
const PATTERNS: &[&str] =
    &["", "%", "a%", "%b", "%a%", "a_b", "_", r"a\_b", r"%\\b", "É%", "%k%", "a%b", "__%", "%%b"];
const TEXT_COLUMNS: &[&str] =
    &["user_name", "status", "src_ip", "user_agent", "activity", "unmapped", "src_country"];

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn text_of(chance: &mut Chance) -> String {
    let column = chance.pick(TEXT_COLUMNS);
    match chance.below(14) {
        0 => format!("lower({column})"),
        1 => format!("upper({column})"),
        2 => format!("coalesce({column}, 'a')"),
        3 => format!("nullif({column}, 'a')"),
        4 => format!("json_get_str({column}, 'k')"),
        5 => format!("substr({column}, 1, 2)"),
        6 => format!("CASE WHEN is_mfa THEN {column} ELSE status END"),
        7 => format!("concat({column}, 'b')"),
        _ => column.to_owned(),
    }
}

fn comparison(chance: &mut Chance) -> &'static str {
    chance.pick(&["=", "<>", "<", "<=", ">", ">=", "IS DISTINCT FROM", "IS NOT DISTINCT FROM"])
}

fn term(chance: &mut Chance) -> String {
    let text = text_of(chance);
    let value = quoted(chance.pick(TEXTS));
    let other = quoted(chance.pick(TEXTS));
    let pattern = quoted(chance.pick(PATTERNS));
    let not = chance.pick(&["", "NOT "]);
    let null = chance.pick(&["", "", ", NULL"]);
    let int = chance.pick(&["0", "1", "-1", "443", "2147483647", "3000000000", "NULL"]);
    let number = chance.pick(&["src_port", "src_asn", "class_uid"]);
    let op = comparison(chance);
    match chance.below(30) {
        0..=2 => format!("{text} {op} {value}"),
        3 => format!("{value} {op} {text}"),
        4 => format!("{text} {not}IN ({value}, {other}{null})"),
        5 => format!("{text} IS {not}NULL"),
        6 => format!("{text} {not}LIKE {pattern}"),
        7 => format!("{text} {not}ILIKE {pattern}"),
        8 => format!(
            "{}({text}, {value}, {other})",
            chance.pick(&["icontains", "istarts", "iends", "ieq"])
        ),
        9 => format!("{}({text}, {value})", chance.pick(&["contains", "starts_with", "ends_with"])),
        10 => format!(
            "sigma_like({text}, {})",
            quoted(chance.pick(&["a*", "*b", "?", r"*\a\*", "*é*", ""]))
        ),
        11 => {
            let regex = quoted(chance.pick(&["^a", "b$", "[a-c]+", "", "(?i)É", "a.b", r"\d"]));
            match chance.below(3) {
                0 => format!("regexp_like({text}, {regex}, 'i')"),
                1 => format!("{text} {} {regex}", chance.pick(&["~", "~*", "!~", "!~*"])),
                _ => format!("regexp_like({text}, {regex})"),
            }
        }
        12 => format!("cidr_match({text}, '10.0.0.0/24', '::/64')"),
        13 => format!("{number} {op} {int}"),
        14 => format!("{int} {op} {number}"),
        15 => format!("{number} {not}IN (1, 443, 70000{null})"),
        16 => format!("{number} {not}BETWEEN {int} AND 500"),
        17 => format!("time {op} '1970-01-01T00:00:0{}.001Z'", chance.below(9)),
        18 => format!("{not}{}", chance.pick(&["is_mfa", "src_is_private"])),
        19 => format!("is_mfa {op} {}", chance.pick(&["true", "false", "NULL"])),
        20 => format!("is_mfa IS {not}{}", chance.pick(&["TRUE", "FALSE", "UNKNOWN", "NULL"])),
        21 => format!("array_has(mfa_factors, {value})"),
        22 => format!("{text} {op} {}", chance.pick(TEXT_COLUMNS)),
        23 => chance.pick(&["TRUE", "FALSE", "NULL", "1 = 2", "NULL IN (1)"]).to_owned(),
        24 => chance
            .pick(&[
                "10 / src_port > 1",
                "CAST(user_name AS BIGINT) = 12",
                "try_cast(user_name AS BIGINT) = 12",
                "src_port % 2 = 1",
                "CAST(src_port AS VARCHAR) = '443'",
                "src_port + 1 > src_asn",
                "character_length(status) = 2",
            ])
            .to_owned(),
        25 => format!("cidr_match({text}, '10.0.0.0/25') AND {not}is_private({text})"),
        26 => format!("{text} IN ({value}, {other}) AND {not}({text} LIKE {pattern})"),
        27 => format!("{text} IS NULL AND {text} {op} {value}"),
        28 => format!("CASE WHEN {text} = {value} THEN 'a' WHEN is_mfa THEN 'b' END {op} {other}"),
        _ => format!("{text} IS NOT NULL"),
    }
}

fn condition(chance: &mut Chance, depth: usize) -> String {
    if depth == 0 || chance.below(4) == 0 {
        return term(chance);
    }
    let part = |chance: &mut Chance| condition(chance, depth - 1);
    match chance.below(8) {
        0 => format!("NOT ({})", part(chance)),
        1 => {
            let test = chance.pick(&["TRUE", "FALSE", "UNKNOWN", "NULL"]);
            let not = chance.pick(&["", "NOT "]);
            format!("({}) IS {not}{test}", part(chance))
        }
        n => {
            let op = if n < 5 { " AND " } else { " OR " };
            let count = 2 + chance.below(3);
            let parts: Vec<_> = (0..count).map(|_| format!("({})", part(chance))).collect();
            parts.join(op)
        }
    }
}

fn rows(chance: &mut Chance) -> RecordBatch {
    let table = Schema::builtin().table("authentication").unwrap();
    let count = 1 + chance.below(60);
    let mut with_nulls = |f: &mut dyn FnMut(&mut Chance) -> Option<String>| -> ArrayRef {
        let values = (0..count).map(|_| if chance.below(5) == 0 { None } else { f(chance) });
        Arc::new(values.collect::<StringArray>())
    };
    let columns = table.arrow.fields().iter().map(|field| -> ArrayRef {
        let array = match (field.name().as_str(), field.data_type()) {
            (name, _) if TEXT_COLUMNS.contains(&name) => {
                with_nulls(&mut |c| Some(c.pick(TEXTS).to_owned()))
            }
            ("time", _) => {
                let millis: Int64Array =
                    (0..count).map(|i| Some((i as i64 * 37) % 9 * 1000 + 1)).collect();
                return cast(&millis, field.data_type()).unwrap();
            }
            ("src_port" | "src_asn" | "class_uid", _) => {
                with_nulls(&mut |c| Some(c.pick(&["0", "1", "-1", "443", "2147483647"]).to_owned()))
            }
            (_, DataType::Boolean) => {
                with_nulls(&mut |c| Some(c.pick(&["true", "false"]).to_owned()))
            }
            ("mfa_factors", _) => {
                let mut list = ListBuilder::new(StringBuilder::new());
                for i in 0..count {
                    list.append_option((i % 4 > 0).then(|| vec![Some("10.0.0.1"), None]));
                }
                return Arc::new(list.finish());
            }
            (_, other) => return new_null_array(other, count),
        };
        cast(&array, field.data_type()).unwrap()
    });
    let fields: Vec<_> =
        table.arrow.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect();
    let schema = Arc::new(arrow::datatypes::Schema::new(fields));
    RecordBatch::try_new(schema, columns.collect()).unwrap()
}

fn logical(text: &str, schema: &DFSchema) -> Expr {
    let parsed = dialect::parse_expression(text).unwrap();
    Session::rules().state().create_logical_expr_from_sql_expr(parsed, schema).unwrap()
}

/// Whether no row can fulfil a condition, whatever the schema says of its columns: the rows of this
/// test do not obey it.
fn is_dead(text: &str, schema: &DFSchema) -> bool {
    let simple = Session::rules().simplify(logical(text, schema), schema).unwrap();
    let known = Known { domain: &|_| Domain::default(), order: &dead::any_order };
    dead::analyze(std::slice::from_ref(&simple), &known).dead
}

/// The condition as DataFusion evaluates it: coerced, nothing else.
fn physical(text: &str, schema: &DFSchema) -> Arc<dyn PhysicalExpr> {
    let session = Session::rules();
    let state = session.state();
    let expr = logical(text, schema);
    let context = SimplifyContext::builder().with_schema(Arc::new(schema.clone())).build();
    let coerced = ExprSimplifier::new(context).coerce(expr, schema).unwrap();
    state.create_physical_expr(coerced, schema).unwrap()
}

/// Per row whether it is TRUE; `None` where it fails.
fn verdicts(
    batch: &RecordBatch,
    evaluate: &dyn Fn(&RecordBatch) -> Result<ArrayRef, String>,
) -> Vec<Option<bool>> {
    let truths = |array: ArrayRef| -> Vec<Option<bool>> {
        if array.data_type() == &DataType::Null {
            return vec![Some(false); array.len()];
        }
        let array: &BooleanArray = array.as_boolean();
        array.iter().map(|v| Some(v == Some(true))).collect()
    };
    match evaluate(batch) {
        Ok(array) => truths(array),
        Err(_) => (0..batch.num_rows())
            .map(|row| evaluate(&batch.slice(row, 1)).ok().and_then(|a| truths(a)[0]))
            .collect(),
    }
}

#[test]
fn the_network_keeps_the_rows_that_where_keeps() {
    let seed = std::env::var("SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(0x51_0c_ee_u64);
    let compiler = Compiler::new(vec![]);
    let table = Schema::builtin().table("authentication").unwrap();
    let schema = DFSchema::try_from(table.arrow.as_ref().clone()).unwrap();
    let (mut compiled, mut dead) = (0, 0);
    for case in 0..CASES {
        let chance = &mut Chance(seed.wrapping_add(case));
        let condition = condition(chance, 3);
        let at = format!("SEED={} {condition}", seed.wrapping_add(case));
        let sql = format!("SELECT user_name FROM authentication WHERE {condition}");
        let text =
            RuleText { id: "t", path: "t.sql", sql: &sql, allow_dead: true, ..RuleText::default() };
        let plan = match compiler.compile_text(&text) {
            Ok(compiled) => compiled.plan,
            // `NULL < NULL` and the like.
            Err(found) if found.iter().all(|d| d.code == "R013") => continue,
            Err(found) => panic!("{at}\n{}", found[0].render(Some(&sql))),
        };
        compiled += 1;
        let batch = rows(chance);
        let whole = physical(&condition, &schema);
        let expected = verdicts(&batch, &|batch| {
            let value = whole.evaluate(batch).map_err(|e| e.to_string())?;
            value.into_array(batch.num_rows()).map_err(|e| e.to_string())
        });
        if is_dead(&condition, &schema) {
            dead += 1;
            let alive = expected.iter().position(|verdict| *verdict == Some(true));
            assert_eq!(alive, None, "{at}: a row fulfils what is called never true");
        }
        let branch = &plan.branches[0];
        let network =
            PredicateNetwork::new(Arc::clone(&table.arrow), vec![(0, branch.filter.clone())]);
        let mut scratch = Scratch::new();
        let mut kept = vec![false; batch.num_rows()];
        for (_, rows) in network.evaluate(&batch, &mut scratch) {
            rows.iter().for_each(|row| kept[*row as usize] = true);
        }
        assert!(scratch.take_fault().is_none(), "{at}: the infallible part failed");
        for residual in &branch.residual {
            let found = verdicts(&batch, &|batch| residual.eval(batch).map_err(|e| e.to_string()));
            kept.iter_mut().zip(found).for_each(|(kept, found)| *kept &= found == Some(true));
        }
        for (row, (expected, kept)) in expected.into_iter().zip(kept).enumerate() {
            // Where the whole fails, parts of it may still decide.
            assert!(
                expected.is_none_or(|e| e == kept),
                "{at}\nrow {row}: kept {kept}\nfilter {}\nvalues {:?}",
                show(&branch.filter),
                ["user_name", "status", "src_ip", "src_port", "is_mfa", "unmapped"].map(|name| {
                    let column = batch.column_by_name(name).map(|c| c.slice(row, 1));
                    cast(&column.unwrap(), &DataType::Utf8)
                        .unwrap()
                        .as_string::<i32>()
                        .iter()
                        .next()
                        .flatten()
                        .map(str::to_owned)
                })
            );
        }
    }
    assert!(compiled >= 1_000, "only {compiled} conditions compiled");
    assert!(dead >= 50, "only {dead} conditions were found to be never true");
}
