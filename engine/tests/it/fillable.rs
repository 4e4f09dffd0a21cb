//! Rules for which no loaded mapping makes rows, or fills a column, are told so (R039). Not rules that can
//! never be true whatever the rows: those are in `sluice-sql`.

use std::fs;

use sluice_engine::Content;

/// What R039 says of a condition of `table`.
fn why(table: &str, condition: &str) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "/*---\nid: rule\ntitle: t\nseverity: low\nstatus: test\n---*/\nSELECT time FROM {table} WHERE {condition}\n"
    );
    let path = folder.path().join("rule.sql");
    fs::write(&path, text).unwrap();
    let content = Content::load(&["builtin".into()], &[path]).unwrap();
    assert_eq!(content.rules.len(), 1, "{condition}: {:?}", content.problems);
    let mut told = content.problems.into_iter().filter(|p| p.diagnostic.code == "R039");
    told.next().map(|p| p.diagnostic.detail.unwrap_or_default())
}

#[test]
fn a_source_that_has_no_rows_in_the_table_is_told() {
    for (table, condition, said) in [
        (
            "authentication",
            "source = 'okta'",
            "has the source 'okta'; those that have rows there are",
        ),
        ("authentication", "source IN ('Okta.System', 'okta')", "'Okta.System' or 'okta'"),
        (
            "network",
            "source = 'okta.system' AND dst_port = 22",
            "of `network` has the source 'okta.system'",
        ),
    ] {
        let detail =
            why(table, condition).unwrap_or_else(|| panic!("{condition}: nothing is told"));
        assert!(detail.contains(said), "{condition}: {detail}");
    }
    for condition in
        ["source = 'okta.system'", "source IN ('okta', 'okta.system')", "source <> 'okta'"]
    {
        assert_eq!(why("authentication", condition), None, "{condition}");
    }
}

#[test]
fn a_column_that_nothing_fills_and_an_event_of_another_table_are_told() {
    let detail = why("authentication", "event_code = 'user.account.reset_password'").unwrap();
    assert!(detail.contains("go to") && detail.contains("`identity_change`"), "{detail}");
    assert!(why("process", "process_name = 'x'").unwrap().contains("makes rows of `process`"));
}
