//! JSON as lists and by value: `json_list` gives every value at a path with `*` in it, for lambdas;
//! `json_equal` compares two documents whatever their spelling. Broken JSON is NULL.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, ListBuilder, StringBuilder},
    datatypes::{DataType, Field, FieldRef},
};
use datafusion::{
    common::{Result, exec_err, internal_err, plan_err},
    logical_expr::{
        ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
        Volatility,
    },
};
use serde_json::Value;

use super::{literals, literals_only, text_then_literals};

pub(super) fn all() -> Vec<Arc<ScalarUDF>> {
    let signature = || Signature::user_defined(Volatility::Immutable);
    vec![
        Arc::new(ScalarUDF::new_from_impl(JsonList { signature: signature() })),
        Arc::new(ScalarUDF::new_from_impl(JsonEqual { signature: signature() })),
    ]
}

/// Values one document may give: more are an error of the row.
const VALUES_MAX: usize = 100_000;

#[derive(Debug, PartialEq, Eq, Hash)]
struct JsonList {
    signature: Signature,
}

impl ScalarUDFImpl for JsonList {
    fn name(&self) -> &str {
        "json_list"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let mut coerced = text_then_literals(self.name(), 2, types)?;
        coerced[0] = DataType::Utf8;
        Ok(coerced)
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("return_field_from_args is used")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        literals_only(self.name(), &args)?;
        let element = Field::new_list_field(DataType::Utf8, true);
        Ok(Arc::new(Field::new(self.name(), DataType::List(Arc::new(element)), true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let path = literals(self.name(), &args.args)?;
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let array = args.args[0].to_array(args.number_rows)?;
        let mut lists = ListBuilder::new(StringBuilder::new());
        for text in array.as_string::<i32>() {
            let Some(document) = text.and_then(|t| serde_json::from_str::<Value>(t).ok()) else {
                lists.append_null();
                continue;
            };
            let mut found = Vec::new();
            collect(&document, &path, &mut found);
            if found.len() > VALUES_MAX {
                return exec_err!(
                    "json_list: {} values in one document, {VALUES_MAX} are allowed",
                    found.len()
                );
            }
            for value in found {
                match value {
                    Value::Null => lists.values().append_null(),
                    Value::String(text) => lists.values().append_value(text),
                    other => lists.values().append_value(other.to_string()),
                }
            }
            lists.append(true);
        }
        Ok(ColumnarValue::Array(Arc::new(lists.finish())))
    }
}

/// The values at a path; `*` stands for every element of a list and every value of an object.
fn collect<'v>(value: &'v Value, path: &[&str], found: &mut Vec<&'v Value>) {
    let Some((step, rest)) = path.split_first() else {
        found.push(value);
        return;
    };
    match (value, *step) {
        (Value::Array(items), "*") => items.iter().for_each(|v| collect(v, rest, found)),
        (Value::Object(map), "*") => map.values().for_each(|v| collect(v, rest, found)),
        (Value::Array(items), index) => {
            if let Some(item) = index.parse::<usize>().ok().and_then(|i| items.get(i)) {
                collect(item, rest, found);
            }
        }
        (Value::Object(map), key) => {
            if let Some(inner) = map.get(key) {
                collect(inner, rest, found);
            }
        }
        (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_), _) => {}
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct JsonEqual {
    signature: Signature,
}

impl ScalarUDFImpl for JsonEqual {
    fn name(&self) -> &str {
        "json_equal"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if types.len() != 2 {
            return plan_err!("json_equal takes two documents");
        }
        text_then_literals(self.name(), 2, types)?;
        Ok(vec![DataType::Utf8; 2])
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays: Vec<ArrayRef> =
            args.args.iter().map(|a| a.to_array(args.number_rows)).collect::<Result<_>>()?;
        let (left, right) = (arrays[0].as_string::<i32>(), arrays[1].as_string::<i32>());
        let parse = |text: &str| serde_json::from_str::<Value>(text).ok();
        let same = |row: usize| {
            if left.is_null(row) || right.is_null(row) {
                return None;
            }
            Some(equal(&parse(left.value(row))?, &parse(right.value(row))?))
        };
        Ok(ColumnarValue::Array(Arc::new(
            (0..args.number_rows).map(same).collect::<BooleanArray>(),
        )))
    }
}

/// Equal by value: numbers as numbers, objects whatever the order of their keys.
fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter().all(|(key, value)| b.get(key).is_some_and(|other| equal(value, other)))
        }
        (a, b) => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_every_element_and_every_value() {
        let json: Value = serde_json::from_str(
            r#"{"items": [{"ip": "a"}, {"ip": null}, {"x": 1}, 7], "map": {"k": {"ip": 2}}}"#,
        )
        .unwrap();
        let list = |path: &[&str]| {
            let mut found = Vec::new();
            collect(&json, path, &mut found);
            found.iter().map(|v| v.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(list(&["items", "*", "ip"]), ["\"a\"", "null"]);
        assert_eq!(list(&["map", "*", "ip"]), ["2"]);
        assert_eq!(list(&["items", "3"]), ["7"]);
        assert_eq!(list(&["items", "*", "*"]), ["\"a\"", "null", "1"]);
        assert!(list(&["zz", "*"]).is_empty());
    }

    #[test]
    fn documents_are_equal_by_value() {
        for (left, right, same) in [
            (r#"{"a": 1, "b": [2]}"#, r#"{"b":[2.0],"a":1}"#, true),
            (r#"{"a": 1}"#, r#"{"a": 1, "b": null}"#, false),
            (r#""0.0.0.0\/0""#, r#""0.0.0.0/0""#, true),
            ("[1, 2]", "[2, 1]", false),
        ] {
            let parse = |text| serde_json::from_str::<Value>(text).unwrap();
            assert_eq!(equal(&parse(left), &parse(right)), same, "{left} {right}");
        }
    }
}
