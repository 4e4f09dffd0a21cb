//! Reading any JSON so that no object has a member twice: two readers of such a document need not see the
//! same one. Not what the members are.

use serde::de::Error;
use serde_json::Value;
use sluice_ingest::name_given_twice;

/// The one value of a text.
///
/// # Errors
/// If it is no JSON, has more after it, or has an object with a name twice.
pub(in super::super) fn value(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    let value = serde_json::from_slice(bytes)?;
    match name_given_twice(bytes) {
        None => Ok(value),
        Some(name) => {
            let name: String = name.chars().take(80).collect();
            Err(Error::custom(format!("`{}` is given twice", name.escape_debug())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_json_is_what_it_is() {
        for text in
            [r#"{"a":[1,-2,0.5,"x\n",true,null,{"b":{}}],"c":18446744073709551615}"#, "[]", " 7 "]
        {
            let expected: Value = serde_json::from_str(text).unwrap();
            assert_eq!(value(text.as_bytes()).unwrap(), expected, "{text}");
        }
        for text in ["", "{", "1 2", "[1,]", "\u{0}"] {
            assert!(value(text.as_bytes()).is_err(), "{text}");
        }
        assert!(value("[".repeat(2_000).as_bytes()).is_err());
    }

    #[test]
    fn a_name_twice_is_refused_at_any_depth_and_in_any_spelling() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"[{"b":{"a":1,"c":2,"a":3}}]"#,
            r#"{"\u001b":1,"\u001b":2}"#,
        ] {
            let error = value(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains("is given twice"), "{text}: {error}");
            assert!(!error.contains('\u{1b}'), "{error:?}");
        }
    }
}
