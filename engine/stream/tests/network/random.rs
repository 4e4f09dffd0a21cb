//! Random conditions and batches, rich in NULLs, equal values and near misses.

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int32Array, Int64Array, RecordBatch,
        StringArray,
    },
    compute::{cast, kernels::cmp::eq},
    datatypes::{DataType, Field, Int32Type, Schema, SchemaRef},
};
use sluice_event::{Eval, EvalError, Value};
use sluice_stream::{Atom, Leaf, Predicate, Test, Text};

/// SplitMix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % n as u64) as usize
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    pub(crate) fn chance(&mut self, one_in: usize) -> bool {
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

pub(crate) fn schema() -> SchemaRef {
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

pub(crate) fn batch(random: &mut Random) -> RecordBatch {
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

pub(crate) fn leaf(atom: Atom) -> Predicate {
    let sql = format!("{atom:?}").into();
    Predicate::Leaf(Leaf { atom, sql })
}

pub(crate) fn random_predicate(random: &mut Random, depth: usize) -> Predicate {
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
