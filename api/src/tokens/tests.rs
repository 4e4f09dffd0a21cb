//! Tokens: what is kept, what is refused, and when a change is seen.

use std::{fs, os::unix::fs::PermissionsExt};

use super::*;

fn bearer(token: &str) -> Vec<u8> {
    format!("Bearer {token}").into_bytes()
}

#[test]
fn a_token_is_known_until_it_is_revoked_or_ends() {
    let dir = tempfile::tempdir().unwrap();
    let tokens = Tokens::open(dir.path()).unwrap();
    let text = tokens.create("ann", Role::Analyst, Some(2_000), None, 1_000).unwrap();
    let ann = tokens.authenticate(Some(&bearer(&text)), 1_500).unwrap();
    assert_eq!((ann.name.as_str(), ann.role), ("ann", Role::Analyst));
    assert_eq!(tokens.authenticate(Some(&bearer(&text)), 2_000), Err(Denied::Expired));
    assert!(tokens.revoke("ann").unwrap());
    assert!(!tokens.revoke("ann").unwrap());
    assert_eq!(tokens.authenticate(Some(&bearer(&text)), 1_500), Err(Denied::Unknown));
}

#[test]
fn what_is_not_a_token_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let tokens = Tokens::open(dir.path()).unwrap();
    let text = tokens.create("ann", Role::Admin, None, None, 0).unwrap();
    let id = text.split('_').nth(1).unwrap();
    assert_eq!(tokens.authenticate(None, 0), Err(Denied::Missing));
    for (header, denied) in [
        (text.clone(), Denied::Malformed),
        ("Basic YTpi".to_owned(), Denied::Malformed),
        ("Bearer slc_".to_owned(), Denied::Malformed),
        ("Bearer \u{fffd}".to_owned(), Denied::Malformed),
        (format!("Bearer slc_{id}_"), Denied::Malformed),
        (format!("Bearer slc_{id}_x"), Denied::Unknown),
        (format!("Bearer {text}x"), Denied::Unknown),
        ("Bearer slc_0000000000000000_x".to_owned(), Denied::Unknown),
    ] {
        assert_eq!(tokens.authenticate(Some(header.as_bytes()), 0), Err(denied), "{header}");
    }
}

#[test]
fn the_file_holds_no_secret_and_is_its_owners() {
    let dir = tempfile::tempdir().unwrap();
    let tokens = Tokens::open(dir.path()).unwrap();
    let text = tokens.create("ann", Role::Admin, None, None, 0).unwrap();
    let secret = text.splitn(3, '_').nth(2).unwrap();
    assert_eq!(secret.len(), 43);
    let path = dir.path().join("tokens.json");
    assert!(!fs::read_to_string(&path).unwrap().contains(secret));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn another_process_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let server = Tokens::open(dir.path()).unwrap();
    let command = Tokens::open(dir.path()).unwrap();
    let text = command.create("ann", Role::Viewer, None, None, 0).unwrap();
    server.watch();
    let known = |wanted: bool| {
        // Within a second by itself; a machine under load may be later.
        (0..100).any(|_| {
            std::thread::sleep(Duration::from_millis(50));
            server.authenticate(Some(&bearer(&text)), 5).is_ok() == wanted
        })
    };
    assert!(known(true), "a token made by another process is known");
    command.revoke("ann").unwrap();
    assert!(known(false), "a revoked one is refused");
}

#[test]
fn last_uses_are_written_beside_the_changes_of_others() {
    let dir = tempfile::tempdir().unwrap();
    let server = Tokens::open(dir.path()).unwrap();
    let text = server.create("ann", Role::Viewer, None, None, 0).unwrap();
    Tokens::open(dir.path()).unwrap().create("bob", Role::Viewer, None, None, 0).unwrap();
    server.authenticate(Some(&bearer(&text)), 77).unwrap();
    server.flush().unwrap();
    let list = Tokens::open(dir.path()).unwrap().list();
    let uses: Vec<_> = list.iter().map(|t| (t.name.as_str(), t.last_used)).collect();
    assert_eq!(uses, [("ann", Some(77)), ("bob", None)]);
}

#[test]
fn names_and_inputs_are_checked() {
    let dir = tempfile::tempdir().unwrap();
    let tokens = Tokens::open(dir.path()).unwrap();
    tokens.create("ann", Role::Viewer, None, None, 0).unwrap();
    for name in [
        "",
        "ann",
        "ann ",
        "a\u{0}b",
        "a\nb",
        "nna\u{202e}",
        "a\u{200b}nn",
        "0123456789abcdef",
        &"x".repeat(65),
    ] {
        let refused = tokens.create(name, Role::Viewer, None, None, 0);
        assert!(matches!(refused, Err(TokenError::Invalid(_))), "{name:?}");
    }
    let inputs = Some(vec!["okta".to_owned()]);
    assert!(tokens.create("bob", Role::Viewer, None, inputs.clone(), 0).is_err());
    assert!(tokens.create("shipper", Role::Ingest, None, inputs, 0).is_ok());
}

#[test]
fn a_damaged_file_is_an_error_not_an_empty_one() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("tokens.json"), "{").unwrap();
    assert!(matches!(Tokens::open(dir.path()), Err(TokenError::Damaged { .. })));
    // A server that runs keeps what it knows.
    fs::remove_file(dir.path().join("tokens.json")).unwrap();
    let tokens = Tokens::open(dir.path()).unwrap();
    let text = tokens.create("ann", Role::Viewer, None, None, 0).unwrap();
    fs::write(dir.path().join("tokens.json"), "{").unwrap();
    assert!(tokens.refresh().is_err());
    assert!(tokens.refresh().is_ok());
    assert!(tokens.authenticate(Some(&bearer(&text)), 5).is_ok());
}

#[test]
fn a_role_is_the_same_word_everywhere() {
    for role in Role::ALL {
        let word = serde_json::to_value(role).unwrap();
        assert_eq!(word, role.name());
        assert_eq!(serde_json::from_value::<Role>(word).unwrap(), role);
    }
}
