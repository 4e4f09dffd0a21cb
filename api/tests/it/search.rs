//! Search over the findings of a running service: its answers, and that its index is only a copy, which
//! may be lost or broken while detection goes on.

use std::{collections::BTreeSet, fs, time::Duration};

use serde_json::{Value, json};

use crate::support::{
    okta, rule,
    service::{Home, Service, escaped, now},
};

const USERS: [&str; 7] = ["ann", "bob", "cid", "dora", "emil", "fay", "gil"];

/// Refused sign-ins of seven people: a finding each, and one more for ann.
fn home() -> Home {
    let home = Home::new("");
    let ann = "SELECT time, user_name, src_ip\nFROM authentication\n\
               WHERE status = 'Failure' AND user_name = 'ann'";
    let text = rule("two", ann).replace("severity: low", "severity: high");
    home.scratch.write("rules/two.sql", text);
    home
}

fn push_all(service: &Service) {
    service.push(&USERS.map(okta).join("\n")).is(202);
}

fn ids(page: &Value) -> BTreeSet<String> {
    let items = page["items"].as_array().unwrap().iter();
    items.map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn findings_are_found_counted_paged_and_found_again_without_the_index() {
    let home = home();
    let service = home.start();
    push_all(&service);
    service.wait_for("findings in the index", || service.total("") == Some(8));
    for (query, count) in [
        ("ann", 2),
        ("bob", 1),
        ("nobody", 0),
        ("rule_id:two", 1),
        ("rule_id:one -ann", 6),
        ("severity:high OR bob", 2),
        ("fields.user_name:dora", 1),
        ("entity:emil", 1),
        ("status:new", 8),
        ("status:resolved", 0),
    ] {
        assert_eq!(service.total(query), Some(count), "{query}");
    }
    let facets = |service: &Service| {
        service.search("", "&facets=severity,rule_id").is(200).json()["facets"].clone()
    };
    let counted = json!({
        "severity": [{"value": "low", "count": 7}, {"value": "high", "count": 1}],
        "rule_id": [{"value": "one", "count": 7}, {"value": "two", "count": 1}],
    });
    assert_eq!(facets(&service), counted);

    // Each finding is on one page.
    let all = ids(&service.search("", "").is(200).json());
    let (mut paged, mut pages, mut cursor) = (BTreeSet::new(), Vec::new(), String::new());
    loop {
        let page = service.search("", &format!("&limit=3{cursor}")).is(200).json();
        pages.push(page["items"].as_array().unwrap().len());
        paged.extend(ids(&page));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!((pages, &paged), (vec![3, 3, 2], &all));

    // The index is gone, and everything else is there: the store makes it again.
    service.stop();
    fs::remove_dir_all(home.data("index")).unwrap();
    let service = home.start();
    service.wait_for("the index again", || service.total("") == Some(8));
    assert_eq!(ids(&service.search("", "").is(200).json()), all);
    assert_eq!(facets(&service), counted);
    assert_eq!(service.total("rule_id:one -ann"), Some(6));
    // A cursor outlives a restart.
    service.search("", &format!("&limit=3{cursor}")).is(200);
}

#[test]
fn what_cannot_be_asked_is_refused_at_once() {
    let home = home();
    let service = home.start();
    push_all(&service);
    service.wait_for("findings in the index", || service.total("") == Some(8));

    let page = service.search("", "&limit=3").is(200).json();
    let cursor = page["next_cursor"].as_str().unwrap();
    let mut tampered: Vec<char> = cursor.chars().collect();
    tampered[0] = if tampered[0] == 'A' { 'B' } else { 'A' };
    let tampered: String = tampered.into_iter().collect();
    for (query, cursor) in [("", tampered.as_str()), ("", "AAAA"), ("ann", cursor)] {
        let refused = service.search(query, &format!("&limit=3&cursor={cursor}")).is(400).json();
        assert_eq!(refused["code"], "invalid_cursor", "{refused}");
    }

    let nested = "(".repeat(1_000) + "ann" + &")".repeat(1_000);
    let long = "ann OR ".repeat(580) + "bob";
    let too_long = "x".repeat(5_000);
    // A second by itself; a machine under load takes longer, and what is not linear takes minutes.
    let bound = Duration::from_secs(5);
    for query in ["((((", "*^2", "severity:", "a AND", "\"ann", &nested, &too_long] {
        let begun = now();
        let refused = service.search(query, "").is(400).json();
        assert!(begun.elapsed() < bound, "{query:.20} took {:?}", begun.elapsed());
        assert!(refused["detail"].is_string() && refused["status"] == 400, "{refused}");
    }
    let begun = now();
    assert!([200, 400].contains(&service.search(&long, "").status));
    assert!(begun.elapsed() < bound, "it took {:?}", begun.elapsed());

    let begun = now();
    let line = service.raw(&format!(
        "GET /api/v1/findings?q={}&include=shadow HTTP/1.1\r\nhost: sluice\r\nauthorization: Bearer {}\r\n\r\n",
        escaped(&"x".repeat(1 << 20)),
        service.token
    ));
    assert!(["400", "414", "431"].iter().any(|s| line.contains(s)), "{line:?}");
    assert!(begun.elapsed() < bound, "it took {:?}", begun.elapsed());
    assert_eq!(service.total("ann"), Some(2));
}

#[test]
fn detection_goes_on_without_the_index_which_catches_up() {
    let home = home();
    // A file where its folder should be: not even root can write there.
    fs::write(home.data("index"), "in the way").unwrap();
    let service = home.start();
    push_all(&service);
    service.wait_for("findings", || service.status()["store"]["findings"] == 8);
    assert_eq!(service.streamed()["fields"]["user_name"], "ann");

    let refused = service.search("ann", "").is(503).json();
    let detail = refused["detail"].as_str().unwrap();
    assert!(detail.starts_with("search is not available"), "{refused}");
    let status = service.status();
    assert!(status["search"]["lag_ms"].is_null(), "{status}");
    assert!(status["search"]["error"].as_str().unwrap().contains("index"), "{status}");
    assert_eq!((&status["phase"], &status["ready"]), (&json!("running"), &json!(true)), "{status}");
    let id = service.streamed()["id"].as_str().unwrap().to_owned();
    service.get(&format!("/api/v1/findings/{id}")).is(200);

    fs::remove_file(home.data("index")).unwrap();
    service.wait_for("the index", || service.total("") == Some(8));
    assert_eq!(service.total("ann"), Some(2));
    let search = service.status()["search"].clone();
    assert_eq!(search, json!({"lag_ms": 0}));
    // It follows from here on.
    service.push(&okta("hal")).is(202);
    service.wait_for("one more", || service.total("hal") == Some(1));
}
