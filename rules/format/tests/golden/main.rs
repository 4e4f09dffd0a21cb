//! Rule and mapping files as users write them: good ones and what is read from them, bad ones and
//! what is said about them. `UPDATE_EXPECT=1` writes the latter into these files.

mod mappings;
mod refused_mappings;
mod refused_rule_values;
mod refused_rules;
mod rules;

use expect_test::Expect;
use sluice_rule::{Diagnostic, Mapping, Rule, lint, render_all};

/// A rule file at `rules/identity/x.sql`: everything said about it, by reading and by lint.
fn read_rule(text: &str) -> (Option<Rule>, Vec<Diagnostic>) {
    match Rule::parse("rules/identity/x.sql", "identity/x.sql", text) {
        Ok((rule, mut found)) => {
            found.extend(lint(&rule).into_iter().filter(|d| !rule.allows(d)));
            (Some(rule), found)
        }
        Err(found) => (None, found),
    }
}

/// A mapping file at `ingest/mappings/okta.system/authentication.sql`.
fn read_mapping(text: &str) -> (Option<Mapping>, Vec<Diagnostic>) {
    let path = "ingest/mappings/okta.system/authentication.sql";
    match Mapping::parse(path, "okta.system/authentication.sql", text) {
        Ok((mapping, found)) => (Some(mapping), found),
        Err(found) => (None, found),
    }
}

#[track_caller]
fn check_rule(text: &str, expect: Expect) {
    check(text, &read_rule(text).1, expect);
}

#[track_caller]
fn check_mapping(text: &str, expect: Expect) {
    check(text, &read_mapping(text).1, expect);
}

#[track_caller]
fn check(text: &str, found: &[Diagnostic], expect: Expect) {
    let rendered = render_all(found, |_| Some(text));
    expect.assert_eq(&rendered);
}
