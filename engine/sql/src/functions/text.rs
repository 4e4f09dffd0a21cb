//! Tests of text against literal needles: `icontains`, `istarts`, `iends`, `ieq`, `sigma_like`,
//! `base64_contains`. Letter case is ignored as ILIKE does: ASCII where both sides are, Unicode simple
//! folding otherwise. NULL in, NULL out; any needle is enough.

use std::{cell::LazyCell, sync::Arc};

use arrow::{
    array::{ArrayRef, BooleanArray},
    datatypes::{DataType, Field, FieldRef},
};
use datafusion::{
    common::{Result, exec_datafusion_err, internal_err},
    logical_expr::{
        ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
        Volatility,
    },
};
use regex::{Regex, RegexBuilder, escape};

use super::{literals, literals_only, over_text, text_then_literals};

pub(super) fn all() -> Vec<Arc<ScalarUDF>> {
    use Test::{Base64, Contains, Ends, Equals, Sigma, Starts};
    [Contains, Starts, Ends, Equals, Sigma, Base64]
        .into_iter()
        .map(|test| {
            let signature = Signature::user_defined(Volatility::Immutable);
            Arc::new(ScalarUDF::new_from_impl(TextTest { test, signature }))
        })
        .collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Test {
    Contains,
    Starts,
    Ends,
    Equals,
    Sigma,
    Base64,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct TextTest {
    test: Test,
    signature: Signature,
}

impl ScalarUDFImpl for TextTest {
    fn name(&self) -> &str {
        match self.test {
            Test::Contains => "icontains",
            Test::Starts => "istarts",
            Test::Ends => "iends",
            Test::Equals => "ieq",
            Test::Sigma => "sigma_like",
            Test::Base64 => "base64_contains",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        text_then_literals(self.name(), 2, types)
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("return_field_from_args is used")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        literals_only(self.name(), &args)?;
        Ok(Arc::new(Field::new(self.name(), DataType::Boolean, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let needles = literals(self.name(), &args.args)?;
        let array = args.args[0].to_array(args.number_rows)?;
        let result = over_text(&array, |values| {
            let test = |f: &dyn Fn(&str) -> bool| -> ArrayRef {
                Arc::new(values.iter().map(|v| v.map(f)).collect::<BooleanArray>())
            };
            Ok(match self.test {
                Test::Sigma => {
                    let patterns: Vec<String> = needles.iter().map(|n| sigma(n)).collect();
                    let regex = compile(&patterns)?;
                    test(&|v| regex.is_match(v))
                }
                Test::Base64 => {
                    let needles: Vec<String> = needles.iter().flat_map(|n| base64(n)).collect();
                    let folded = Folded::new(Test::Contains, &needles);
                    test(&|v| folded.matches(v))
                }
                Test::Contains | Test::Starts | Test::Ends | Test::Equals => {
                    let folded = Folded::new(self.test, &needles);
                    test(&|v| folded.matches(v))
                }
            })
        })?;
        Ok(ColumnarValue::Array(result))
    }
}

/// Needles with their case folded.
struct Folded<'a> {
    test: Test,
    ascii: Vec<String>,
    only_ascii: bool,
    regex: LazyCell<Option<Regex>, Box<dyn FnOnce() -> Option<Regex> + 'a>>,
}

impl<'a> Folded<'a> {
    fn new(test: Test, needles: &'a [String]) -> Self {
        Folded {
            test,
            ascii: needles
                .iter()
                .filter(|n| n.is_ascii())
                .map(|n| n.to_ascii_lowercase())
                .collect(),
            only_ascii: needles.iter().all(|n| n.is_ascii()),
            // Built on the first value or needle outside ASCII, which most columns never hold.
            regex: LazyCell::new(Box::new(move || {
                let (before, after) = match test {
                    Test::Starts => (r"\A", ""),
                    Test::Ends => ("", r"\z"),
                    Test::Equals => (r"\A", r"\z"),
                    Test::Contains | Test::Sigma | Test::Base64 => ("", ""),
                };
                let patterns: Vec<String> =
                    needles.iter().map(|n| format!("{before}{}{after}", escape(n))).collect();
                compile(&patterns).ok()
            })),
        }
    }

    fn matches(&self, value: &str) -> bool {
        if !value.is_ascii() {
            return self.folds(value);
        }
        let lower = value.to_ascii_lowercase();
        let found = match self.test {
            Test::Starts => self.ascii.iter().any(|n| lower.starts_with(n)),
            Test::Ends => self.ascii.iter().any(|n| lower.ends_with(n)),
            Test::Equals => self.ascii.contains(&lower),
            Test::Contains | Test::Sigma | Test::Base64 => {
                self.ascii.iter().any(|n| lower.contains(n))
            }
        };
        found || (!self.only_ascii && self.folds(value))
    }

    fn folds(&self, value: &str) -> bool {
        self.regex.as_ref().is_some_and(|regex| regex.is_match(value))
    }
}

/// One case-insensitive regular expression that matches what any of the patterns does.
fn compile(patterns: &[String]) -> Result<Regex> {
    let any = patterns.iter().map(|p| format!("(?:{p})")).collect::<Vec<_>>().join("|");
    RegexBuilder::new(&any)
        .case_insensitive(true)
        .dot_matches_new_line(true)
        .size_limit(64 << 20)
        .build()
        .map_err(|e| exec_datafusion_err!("pattern too large: {e}"))
}

/// A Sigma value: `*` any text, `?` any character; a backslash escapes these and itself, and is
/// itself before anything else.
fn sigma(pattern: &str) -> String {
    let mut regex = String::from(r"\A");
    let mut chars = pattern.chars().peekable();
    let push = |regex: &mut String, c: char| regex.push_str(&escape(c.encode_utf8(&mut [0; 4])));
    while let Some(c) = chars.next() {
        match (c, chars.peek().copied()) {
            ('\\', Some(next @ ('*' | '?' | '\\'))) => {
                chars.next();
                push(&mut regex, next);
            }
            ('*', _) => regex.push_str(".*"),
            ('?', _) => regex.push('.'),
            (c, _) => push(&mut regex, c),
        }
    }
    regex.push_str(r"\z");
    regex
}

/// What the Base64 of any text that contains `needle` must contain: one per position of the needle
/// in a group of three bytes, without the characters that depend on its neighbours.
fn base64(needle: &str) -> Vec<String> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    (0..3)
        .map(|offset| {
            let mut bits = vec![None; offset * 8];
            for byte in needle.bytes() {
                bits.extend((0..8).rev().map(|i| Some(byte >> i & 1)));
            }
            bits.chunks_exact(6)
                .filter_map(|six| {
                    let index =
                        six.iter().try_fold(0usize, |n, b| b.map(|b| n << 1 | usize::from(b)));
                    index.map(|i| char::from(ALPHABET[i]))
                })
                .collect()
        })
        .filter(|text: &String| !text.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_needles_leave_out_what_neighbours_decide() {
        assert_eq!(base64("foobar"), ["Zm9vYmFy", "Zvb2Jhc", "mb29iYX"]);
    }

    #[test]
    fn sigma_escapes_follow_the_specification() {
        for (pattern, value, matches) in [
            (r"a*c", "aXXc", true),
            (r"a?c", "abc", true),
            (r"a?c", "abbc", false),
            (r"a\*c", "a*c", true),
            (r"a\*c", "abc", false),
            (r"a\\*c", r"a\xc", true),
            (r"a\\\*c", r"a\*c", true),
            (r"a\\\\c", r"a\\c", true),
            (r"C:\Windows\*", r"C:\Windows*", true),
            (r"C:\\Windows\\*", r"c:\windows\cmd.exe", true),
            (r"\temp", r"\TEMP", true),
            ("x\\", "x\\", true),
            ("100%_", "100%_", true),
        ] {
            let regex = compile(&[sigma(pattern)]).unwrap();
            assert_eq!(regex.is_match(value), matches, "{pattern} on {value}");
        }
    }

    #[test]
    fn folding_is_that_of_ilike() {
        for (needle, value, matches) in [
            ("ADMIN", "the admin!", true),
            ("k", "\u{212a}elvin", true),
            ("é", "CAFÉ", true),
            ("\u{212a}", "k", true),
            ("straße", "STRASSE", false),
        ] {
            let needles = [needle.to_owned()];
            assert_eq!(
                Folded::new(Test::Contains, &needles).matches(value),
                matches,
                "{needle} in {value}"
            );
        }
    }
}
