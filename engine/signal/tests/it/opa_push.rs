//! Levels kept in an Open Policy Agent: what is sent, and what answers lead to.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sluice_signal::{
    EntityKey, EntityLevel, Level,
    policy::opa::push::{Document, Push, Request, document},
    push::Answer,
};

use crate::support::{MINUTE, START, http, user};

fn levels(of: &[(&str, Level)]) -> Document {
    let known: BTreeMap<EntityKey, EntityLevel> = of
        .iter()
        .map(|(id, level)| {
            let mut known = EntityLevel::default();
            known.level = *level;
            (user(id), known)
        })
        .collect();
    document(&known)
}

fn patch(request: Option<Request>) -> Value {
    match request {
        Some(Request::Patch(text)) => serde_json::from_str(&text).unwrap(),
        other => panic!("no patch: {other:?}"),
    }
}

#[test]
fn q7_the_whole_document_then_what_changed_then_the_whole_again() {
    let mut push = Push::new(10 * MINUTE);
    let first = levels(&[("ann", Level::High), ("low", Level::Low)]);
    let Some(Request::Put(text)) = push.next(START, || first.clone()) else { panic!("no PUT") };
    let sent: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(sent["user"]["ann"]["level"], "high");
    assert_eq!((&sent["device"], sent["user"].get("low")), (&json!({}), None));
    push.done(&http(204), 1.0, START);
    assert_eq!(push.next(START, || first.clone()), None);

    let second = levels(&[("a/b~c", Level::Medium)]);
    let operations = patch(push.next(START, || second.clone()));
    assert_eq!(operations[0], json!({"op": "remove", "path": "/user/ann"}));
    assert_eq!(operations[1]["op"], "add");
    assert_eq!(operations[1]["path"], "/user/a~1b~0c");
    push.done(&http(204), 1.0, START);
    assert_eq!(push.next(START + 10 * MINUTE - 1, || second.clone()), None);
    let again = push.next(START + 10 * MINUTE, || second.clone());
    assert!(matches!(again, Some(Request::Put(_))), "{again:?}");
    // A clock that goes back is no reason to wait.
    push.done(&http(204), 1.0, START + 10 * MINUTE);
    assert!(push.next(START, || second.clone()).is_some());
}

#[test]
fn q7_failures_wait_longer_each_time_and_a_refused_patch_brings_the_document() {
    let mut push = Push::new(10 * MINUTE);
    let mut now = START;
    let mut waits = Vec::new();
    for _ in 0..12 {
        assert!(push.next(now, || levels(&[])).is_some());
        push.done(&Answer::None("refused".into()), 1.0, now);
        let next = push.state().next_attempt_at.unwrap();
        assert_eq!(push.next(next - 1, || levels(&[])), None);
        waits.push((next - now) / 1_000);
        now = next;
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
    assert_eq!((push.state().failures, push.state().failed), (12, 12));
    push.next(now, || levels(&[]));
    push.done(&Answer::Http { status: 429, retry_after: Some(7_000), err: None }, 1.0, now);
    assert_eq!(push.state().next_attempt_at, Some(now + 7_000));
    now += 7_000;
    push.next(now, || levels(&[]));
    push.done(&http(204), 1.0, now);
    assert_eq!((push.state().failures, push.state().error.clone()), (0, None));

    // What it was not told yet is in the next patch too.
    patch(push.next(now, || levels(&[("ann", Level::High)])));
    push.done(&http(500), 0.0, now);
    now += 100;
    let both = levels(&[("ann", Level::High), ("bob", Level::High)]);
    assert_eq!(patch(push.next(now, || both.clone())).as_array().unwrap().len(), 2);
    push.done(&http(404), 0.0, now);
    let whole = push.next(now + 100, || both);
    assert!(matches!(whole, Some(Request::Put(_))), "{whole:?}");
}

#[test]
fn q7_a_patch_that_would_be_longer_is_the_document() {
    let mut push = Push::new(10 * MINUTE);
    push.next(START, || levels(&[]));
    push.done(&http(204), 1.0, START);
    let ids: Vec<String> = (0..1_001).map(|n| format!("u{n}")).collect();
    let many: Vec<(&str, Level)> = ids.iter().map(|id| (id.as_str(), Level::High)).collect();
    assert!(matches!(push.next(START, || levels(&many)), Some(Request::Put(_))));
}
