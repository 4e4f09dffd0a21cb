//! The network against a naive evaluator: row by row, and arrow's own kernels for every leaf.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanArray, DictionaryArray, Float64Array, Int32Array,
        Int64Array, RecordBatch, Scalar, StringArray,
    },
    compute::{
        cast, is_null,
        kernels::{
            cmp::{eq, gt, gt_eq, lt, lt_eq},
            comparison::{contains, ends_with, ilike, like, regexp_is_match_scalar, starts_with},
        },
    },
    datatypes::{DataType, Field, Int32Type, Schema, SchemaRef},
};
use sluice_event::{Eval, EvalError, Value};
use sluice_stream::{Atom, Leaf, Predicate, PredicateNetwork, Scratch, Test, Text, explain};

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % n as u64) as usize
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }
}

const TEXTS: &[&str] = &[
    "",
    "k",
    "K",
    "\u{212A}",
    "ſ",
    "İ",
    "ς",
    "ΣΑΣ",
    "a\0b",
    "powershell.exe",
    "PowerShell.EXE -enc",
    r"C:\Windows\cmd.exe",
    r"c:\windows\CMD.EXE",
    "/bin/sh",
    "line\nbreak",
    "100%_sure",
    "ſervice",
    "MÜLLER müller",
    "10.1.2.3",
    "::ffff:10.9.9.9",
    "2001:db8::1",
    "192.168.0.1",
    "aaaa",
    "aaa",
    "cmd.exe cmd.exe",
    "ab",
    "straße",
    r"\cmd.exe",
    "\u{212A}erberos",
];

const NEEDLES: &[&str] = &[
    "",
    "k",
    "K",
    "\u{212A}",
    "s",
    "ſ",
    "i",
    "σας",
    "a\0b",
    "power",
    "shell",
    "POWERSHELL.EXE",
    r"\cmd.exe",
    "/sh",
    "exe",
    "cmd.exe",
    "aaa",
    "aa",
    "müller",
    "ervice",
    "service",
    "line\nbreak",
    ".exe",
    "kerberos",
    "enc",
];

const PATTERNS: &[&str] = &[
    "%k_r%",
    "p%shell%",
    "_",
    "%",
    "a_b",
    "line_break",
    r"100\%\_s%",
    "%SS%",
    "%m_ller%",
    "",
    r"c:\\w%exe",
];

const REGEXES: &[&str] = &[
    "cmd\\.exe",
    "(?i)powershell",
    "^aaa$",
    "a+",
    "(power|cmd)",
    "(?i)k",
    "line.break",
    "(?i)ſervice",
    "[0-9]{2}",
    "shell\\b",
];

fn schema() -> SchemaRef {
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    Arc::new(Schema::new(vec![
        Field::new("text", DataType::Utf8, true),
        Field::new("word", dictionary, true),
        Field::new("number", DataType::Int64, true),
        Field::new("small", DataType::Int32, true),
        Field::new("ratio", DataType::Float64, true),
        Field::new("flag", DataType::Boolean, true),
    ]))
}

fn batch(random: &mut Random) -> RecordBatch {
    let rows = *random.pick(&[0, 1, 2, 7, 65, 130, 300]);
    let nulls = *random.pick(&[1, 2, 5, 1000]);
    let null = |random: &mut Random| random.chance(nulls);
    let text: StringArray =
        (0..rows).map(|_| (!null(random)).then(|| *random.pick(TEXTS))).collect();
    // Unused, duplicate and NULL values in the dictionary.
    let values: StringArray =
        (0..40).map(|_| (!random.chance(9)).then(|| *random.pick(TEXTS))).collect();
    let keys: Int32Array =
        (0..rows).map(|_| (!null(random)).then(|| random.below(30) as i32)).collect();
    let word = DictionaryArray::<Int32Type>::new(keys, Arc::new(values));
    let number: Int64Array = (0..rows)
        .map(|_| (!null(random)).then(|| *random.pick(&[i64::MIN, -1, 0, 1, 2, 443, i64::MAX])))
        .collect();
    let small: Int32Array =
        (0..rows).map(|_| (!null(random)).then(|| random.below(5) as i32)).collect();
    let ratio: Float64Array = (0..rows)
        .map(|_| {
            (!null(random)).then(|| *random.pick(&[-0.0, 0.0, 1.5, -1.5, f64::NAN, f64::INFINITY]))
        })
        .collect();
    let flag: BooleanArray = (0..rows).map(|_| (!null(random)).then(|| random.chance(2))).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(text),
        Arc::new(word),
        Arc::new(number),
        Arc::new(small),
        Arc::new(ratio),
        Arc::new(flag),
    ];
    let whole = RecordBatch::try_new(schema(), columns).unwrap();
    let offset = random.below(rows + 1);
    match random.chance(2) {
        true => whole,
        false => whole.slice(offset, random.below(rows - offset + 1)),
    }
}

/// An expression of one column: itself, or whether it is NULL.
#[derive(Debug)]
struct Expression {
    column: usize,
    opaque: bool,
    output: DataType,
}

impl Eval for Expression {
    fn eval(&self, batch: &RecordBatch) -> Result<ArrayRef, EvalError> {
        let array = batch.column(self.column);
        Ok(match self.opaque {
            // NULL, TRUE and FALSE are all there.
            true => Arc::new(
                eq(&cast(array, &DataType::Int64).unwrap(), &Int64Array::new_scalar(1)).unwrap(),
            ),
            false => Arc::clone(array),
        })
    }

    fn output(&self) -> &DataType {
        &self.output
    }

    fn sql(&self) -> &str {
        "expression"
    }
}

fn random_leaf(random: &mut Random) -> Predicate {
    if random.chance(12) {
        let column = 2 + random.below(2);
        let eval = Arc::new(Expression { column, opaque: true, output: DataType::Boolean });
        return leaf(Atom::Opaque { eval, id: column as u64 });
    }
    let column = random.below(6);
    let test = match column {
        _ if random.chance(8) => Test::IsNull,
        0 | 1 => text_test(random),
        5 => match random.chance(2) {
            true => Test::IsSet,
            false => Test::In([Value::Bool(random.chance(2))].into()),
        },
        _ => {
            let value = |random: &mut Random| match column {
                4 => Value::Float(*random.pick(&[-0.0, 0.0, 1.5, f64::NAN])),
                _ => Value::Int(*random.pick(&[0, 1, 2, 443, 3])),
            };
            range_or_in(random, value)
        }
    };
    if column < 2 && random.chance(5) {
        let output = schema().field(column).data_type().clone();
        let eval = Arc::new(Expression { column, opaque: false, output });
        return leaf(Atom::Virtual { column: eval, id: column as u64, test });
    }
    leaf(Atom::Column { column, test })
}

fn range_or_in(random: &mut Random, value: impl Fn(&mut Random) -> Value) -> Test {
    let v = value(random);
    match random.below(6) {
        0 => Test::Less(v),
        1 => Test::LessOrEqual(v),
        2 => Test::Greater(v),
        3 => Test::GreaterOrEqual(v),
        _ => {
            let mut values: Vec<Value> = (0..random.below(4)).map(|_| value(random)).collect();
            values.sort();
            values.dedup();
            Test::In(values.into())
        }
    }
}

fn text_test(random: &mut Random) -> Test {
    let text = |random: &mut Random, from: &[&str]| Text {
        needle: (*random.pick(from)).into(),
        ignore_case: random.chance(2),
    };
    match random.below(9) {
        0 | 1 => Test::Contains(text(random, NEEDLES)),
        2 => Test::StartsWith(text(random, NEEDLES)),
        3 => Test::EndsWith(text(random, NEEDLES)),
        4 => Test::EqualsIgnoreCase((*random.pick(TEXTS)).into()),
        5 => Test::Like(text(random, PATTERNS)),
        6 => Test::Regex((*random.pick(REGEXES)).into()),
        7 => Test::Cidr(
            match random.below(3) {
                0 => vec!["10.0.0.0/8".into()],
                1 => vec!["192.168.0.0/16".into(), "2001:db8::/32".into()],
                _ => vec!["0.0.0.0/0".into()],
            }
            .into(),
        ),
        _ => range_or_in(random, |random| Value::Text((*random.pick(TEXTS)).into())),
    }
}

fn leaf(atom: Atom) -> Predicate {
    let sql = format!("{atom:?}").into();
    Predicate::Leaf(Leaf { atom, sql })
}

fn random_predicate(random: &mut Random, depth: usize) -> Predicate {
    if depth == 0 || random.chance(4) {
        return match random.chance(15) {
            true => Predicate::Constant(*random.pick(&[None, Some(true), Some(false)])),
            false => random_leaf(random),
        };
    }
    let part = |random: &mut Random| random_predicate(random, depth - 1);
    match random.below(10) {
        0..=3 => Predicate::And((0..random.below(4)).map(|_| part(random)).collect()),
        4..=5 => Predicate::Or((0..random.below(4)).map(|_| part(random)).collect()),
        6 => Predicate::IsTrue(Box::new(part(random))),
        7 => Predicate::IsFalse(Box::new(part(random))),
        8 => Predicate::IsUnknown(Box::new(part(random))),
        _ => Predicate::Not(Box::new(part(random))),
    }
}

/// SQL's truth tables, literally.
fn reference(predicate: &Predicate, batch: &RecordBatch) -> Vec<Option<bool>> {
    type Verdict = Option<bool>;
    let fold = |parts: &[Predicate], start: Verdict, f: fn(Verdict, Verdict) -> Verdict| {
        parts.iter().fold(vec![start; batch.num_rows()], |all, p| {
            all.into_iter().zip(reference(p, batch)).map(|(a, b)| f(a, b)).collect()
        })
    };
    let each =
        |p: &Predicate, f: fn(Verdict) -> Verdict| reference(p, batch).into_iter().map(f).collect();
    match predicate {
        Predicate::And(parts) => fold(parts, Some(true), |a, b| match (a, b) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) => Some(true),
            _ => None,
        }),
        Predicate::Or(parts) => fold(parts, Some(false), |a, b| match (a, b) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (Some(false), Some(false)) => Some(false),
            _ => None,
        }),
        Predicate::Not(p) => each(p, |v| v.map(|v| !v)),
        Predicate::IsTrue(p) => each(p, |v| Some(v == Some(true))),
        Predicate::IsFalse(p) => each(p, |v| Some(v == Some(false))),
        Predicate::IsUnknown(p) => each(p, |v| Some(v.is_none())),
        Predicate::Constant(v) => vec![*v; batch.num_rows()],
        Predicate::Leaf(Leaf { atom, .. }) => match atom {
            Atom::Column { column, test } => kernel(test, batch.column(*column)),
            Atom::Virtual { column, test, .. } => kernel(test, &column.eval(batch).unwrap()),
            Atom::Opaque { eval, .. } => eval.eval(batch).unwrap().as_boolean().iter().collect(),
        },
    }
}

fn kernel(test: &Test, array: &ArrayRef) -> Vec<Option<bool>> {
    let plain = match array.data_type() {
        DataType::Dictionary(_, _) => cast(array, &DataType::Utf8).unwrap(),
        _ => Arc::clone(array),
    };
    let scalar =
        |v: &Value| Scalar::new(Value::to_array(std::slice::from_ref(v), plain.data_type()));
    let text = |t: &str| Scalar::new(StringArray::from(vec![t]));
    let escaped = |t: &str| t.replace('\\', r"\\").replace('%', r"\%").replace('_', r"\_");
    let result: BooleanArray = match test {
        Test::IsNull => is_null(&plain).unwrap(),
        Test::IsSet => plain.as_boolean().clone(),
        Test::In(values) => {
            let equal: Vec<BooleanArray> =
                values.iter().map(|v| eq(&plain, &scalar(v)).unwrap()).collect();
            (0..plain.len())
                .map(|row| plain.is_valid(row).then(|| equal.iter().any(|e| e.value(row))))
                .collect()
        }
        Test::Contains(t) if t.ignore_case => {
            ilike(&plain, &text(&format!("%{}%", escaped(&t.needle)))).unwrap()
        }
        Test::StartsWith(t) if t.ignore_case => {
            ilike(&plain, &text(&format!("{}%", escaped(&t.needle)))).unwrap()
        }
        Test::EndsWith(t) if t.ignore_case => {
            ilike(&plain, &text(&format!("%{}", escaped(&t.needle)))).unwrap()
        }
        Test::EqualsIgnoreCase(t) => ilike(&plain, &text(&escaped(t))).unwrap(),
        Test::Like(t) if t.ignore_case => ilike(&plain, &text(&t.needle)).unwrap(),
        Test::Contains(t) => contains(&plain, &text(&t.needle)).unwrap(),
        Test::StartsWith(t) => starts_with(&plain, &text(&t.needle)).unwrap(),
        Test::EndsWith(t) => ends_with(&plain, &text(&t.needle)).unwrap(),
        Test::Like(t) => like(&plain, &text(&t.needle)).unwrap(),
        Test::Regex(pattern) => {
            regexp_is_match_scalar(plain.as_string::<i32>(), pattern, None).unwrap()
        }
        Test::Less(v) => lt(&plain, &scalar(v)).unwrap(),
        Test::LessOrEqual(v) => lt_eq(&plain, &scalar(v)).unwrap(),
        Test::Greater(v) => gt(&plain, &scalar(v)).unwrap(),
        Test::GreaterOrEqual(v) => gt_eq(&plain, &scalar(v)).unwrap(),
        Test::Cidr(networks) => {
            plain.as_string::<i32>().iter().map(|v| inside(v?, networks)).collect()
        }
    };
    result.iter().collect()
}

/// By comparing bit strings.
fn inside(address: &str, networks: &[Arc<str>]) -> Option<bool> {
    use std::net::IpAddr;
    let bits = |a: IpAddr| match a.to_canonical() {
        IpAddr::V4(a) => format!("{:032b}", u32::from(a)),
        IpAddr::V6(a) => format!("{:0128b}", u128::from(a)),
    };
    let address = bits(address.parse().ok()?);
    Some(networks.iter().any(|network| {
        let (base, length) = network.split_once('/').unwrap();
        let base = bits(base.parse().unwrap());
        let length: usize = length.parse().unwrap();
        base.len() == address.len() && base.as_bytes()[..length] == address.as_bytes()[..length]
    }))
}

fn expected(predicates: &[(usize, Predicate)], batch: &RecordBatch) -> BTreeMap<usize, Vec<u32>> {
    let rows = |p: &Predicate| {
        let verdicts = reference(p, batch);
        (0..).zip(verdicts).filter(|(_, v)| *v == Some(true)).map(|(r, _)| r).collect()
    };
    predicates
        .iter()
        .map(|(slot, p)| (*slot, rows(p)))
        .filter(|(_, r): &(usize, Vec<u32>)| !r.is_empty())
        .collect()
}

#[test]
fn the_network_says_what_a_naive_evaluator_says() {
    let seed = std::env::var("SLUICE_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(1);
    for case in seed..seed + 250 {
        println!("SLUICE_SEED={case}");
        let mut random = Random(case);
        let count = *random.pick(&[1, 3, 12, 60]);
        let predicates: Vec<(usize, Predicate)> =
            (0..count).map(|slot| (slot * 2, random_predicate(&mut random, 3))).collect();
        let network = PredicateNetwork::new(schema(), predicates.clone());
        let mut scratch = Scratch::new();
        for _ in 0..3 {
            let batch = batch(&mut random);
            let found = network.evaluate(&batch, &mut scratch);
            assert!(found.is_sorted_by_key(|(slot, _)| *slot));
            let found: BTreeMap<usize, Vec<u32>> = found.into_iter().collect();
            let expected = expected(&predicates, &batch);
            for (slot, predicate) in &predicates {
                assert_eq!(
                    found.get(slot),
                    expected.get(slot),
                    "{predicate:?}\n{:?}\n{batch:?}",
                    network.describe(*slot)
                );
            }
        }
        assert_eq!(scratch.take_fault(), None);
    }
}

#[test]
fn explain_says_what_the_network_says() {
    for case in 0..300 {
        let mut random = Random(case);
        let predicate = random_predicate(&mut random, 3);
        let batch = batch(&mut random);
        for (row, verdict) in reference(&predicate, &batch).into_iter().enumerate().take(20) {
            assert_eq!(explain(&predicate, &batch, row).verdict, verdict, "{case} {predicate:?}");
        }
    }
}

#[test]
fn a_rule_matches_the_same_rows_whatever_else_is_loaded_and_however_rows_are_batched() {
    for case in 0..100 {
        let mut random = Random(case);
        let mut predicates: Vec<(usize, Predicate)> =
            (0..20).map(|slot| (slot, random_predicate(&mut random, 2))).collect();
        let batch = batch(&mut random);
        let together = PredicateNetwork::new(schema(), predicates.clone())
            .evaluate(&batch, &mut Scratch::new());
        let alone: Vec<(usize, Vec<u32>)> = predicates
            .iter()
            .flat_map(|p| {
                PredicateNetwork::new(schema(), vec![p.clone()])
                    .evaluate(&batch, &mut Scratch::new())
            })
            .collect();
        assert_eq!(together, alone, "{case}");
        predicates.reverse();
        let reversed = PredicateNetwork::new(schema(), predicates);
        let mut scratch = Scratch::new();
        let mut by_row: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
        for row in 0..batch.num_rows() {
            for (slot, _) in reversed.evaluate(&batch.slice(row, 1), &mut scratch) {
                by_row.entry(slot).or_default().push(row as u32);
            }
        }
        assert_eq!(together, by_row.into_iter().collect::<Vec<_>>(), "{case}");
    }
}

/// All expressions of depth 3 over two boolean columns would be millions: all of depth 2, and every
/// operator over those.
#[test]
fn three_valued_logic_is_exhaustively_sqls() {
    let verdicts = [None, Some(false), Some(true)];
    let column = |f: fn(usize) -> usize| -> ArrayRef {
        Arc::new((0..9).map(|i| verdicts[f(i)]).collect::<BooleanArray>())
    };
    let schema = Arc::new(Schema::new(vec![
        Field::new("a", DataType::Boolean, true),
        Field::new("b", DataType::Boolean, true),
    ]));
    let columns = vec![column(|i| i % 3), column(|i| i / 3)];
    let few = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
    let leaves: Vec<Predicate> = (0..2)
        .map(|column| leaf(Atom::Column { column, test: Test::IsSet }))
        .chain([Predicate::Constant(None)])
        .collect();
    let deeper = |of: &[Predicate], with: &[Predicate]| -> Vec<Predicate> {
        let mut all = of.to_vec();
        for p in of {
            let p = || Box::new(p.clone());
            all.extend([Predicate::Not(p()), Predicate::IsTrue(p())]);
            all.extend([Predicate::IsFalse(p()), Predicate::IsUnknown(p())]);
            for q in with {
                all.push(Predicate::And(vec![*p(), q.clone()]));
                all.push(Predicate::Or(vec![*p(), q.clone()]));
            }
        }
        all
    };
    let one = deeper(&leaves, &leaves);
    let two = deeper(&one, &one);
    let all: Vec<(usize, Predicate)> = deeper(&two, &leaves).into_iter().enumerate().collect();
    assert!(all.len() > 10_000);
    let found = PredicateNetwork::new(schema, all.clone()).evaluate(&few, &mut Scratch::new());
    assert_eq!(found.into_iter().collect::<BTreeMap<_, _>>(), expected(&all, &few));
}

#[test]
fn a_rule_without_a_matched_witness_is_not_looked_at() {
    let contains = |needle: &str| {
        let text = Text { needle: needle.into(), ignore_case: true };
        leaf(Atom::Column { column: 0, test: Test::Contains(text) })
    };
    let rules = vec![
        (0, Predicate::And(vec![contains("absent needle"), contains("exe")])),
        (1, Predicate::Or(vec![contains("power"), contains("enc")])),
        (2, Predicate::Not(Box::new(contains("exe")))),
    ];
    let network = PredicateNetwork::new(schema(), rules);
    let text: ArrayRef = Arc::new(StringArray::from(vec![Some("PowerShell.exe"), Some("x"), None]));
    let batch = RecordBatch::try_from_iter([("text", text)]).unwrap();
    let mut scratch = Scratch::new();
    assert_eq!(network.evaluate(&batch, &mut scratch), [(1, vec![0]), (2, vec![1])]);
    let candidates: Vec<u64> = scratch.counters(&network).map(|(_, c)| c.candidates).collect();
    assert_eq!(candidates, [0, 1, 2]);
    assert_eq!(network.stats().witnessless, 0);
    assert_eq!(network.stats().shared, 1);
    assert_eq!(network.describe(0).unwrap().witness.unwrap().len(), 1);
}
