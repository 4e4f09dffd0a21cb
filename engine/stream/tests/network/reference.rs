//! A condition evaluated naively: truth tables row by row, arrow's own kernels for every leaf.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, Scalar, StringArray},
    compute::{
        cast, is_null,
        kernels::{
            cmp::{eq, gt, gt_eq, lt, lt_eq},
            comparison::{contains, ends_with, ilike, like, regexp_is_match_scalar, starts_with},
        },
    },
    datatypes::DataType,
};
use sluice_event::Value;
use sluice_stream::{Atom, Leaf, Predicate, Test};

/// SQL's truth tables, literally.
pub(crate) fn reference(predicate: &Predicate, batch: &RecordBatch) -> Vec<Option<bool>> {
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

pub(crate) fn expected(
    predicates: &[(usize, Predicate)],
    batch: &RecordBatch,
) -> BTreeMap<usize, Vec<u32>> {
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
