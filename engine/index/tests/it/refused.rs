//! What is not searched for: each at once, with the place and what to write instead.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::json;
use sluice_finding::Finding;
use sluice_index::{FindingIndex, IndexSettings, QueryError, SearchError, SearchRequest, check};

use crate::common::{NOW, columns, filled, finding, mixed, put, search, settings};

fn refusal(index: &FindingIndex, query: &str) -> QueryError {
    match search(index, query) {
        Err(SearchError::Query(error)) => error,
        other => panic!("{}: {other:?}", query.chars().take(80).collect::<String>()),
    }
}

#[test]
fn wrong_queries_say_what_where_and_how() {
    let scratch = filled(&mixed());
    let deep = format!("{}x{}", "(".repeat(17), ")".repeat(17));
    let nots = "NOT ".repeat(17) + "x";
    let many = "a ".repeat(65);
    let long_phrase = format!("\"{}\"", "a ".repeat(33));
    let cases: &[(&str, Option<usize>, &str)] = &[
        ("((((", Some(4), "without its `)`"),
        ("push )", Some(6), "without its `(`"),
        ("()", Some(1), "nothing between"),
        ("*^2", Some(1), "begin with a wildcard"),
        ("a *b", Some(3), "begin with a wildcard"),
        ("über*haupt", Some(5), "at the end of a word only"),
        ("/(a|a)*{1000}/", Some(7), "begin with a wildcard"),
        ("/a.*b/", Some(1), "regular expressions"),
        ("a:/.*.*x/", Some(1), "no field `a`"),
        ("title:/.*.*x/", Some(7), "regular expressions"),
        ("x severty:high", Some(3), "no field `severty`"),
        ("severity:hihg", Some(10), "never `hihg`"),
        ("severity:", Some(10), "a value is missing"),
        ("severity: high", Some(10), "a value is missing"),
        ("severity:()", Some(10), "nothing between"),
        ("risk:high", Some(6), "not a whole number"),
        ("risk:5*", Some(6), "no wildcard"),
        ("time:yesterday", Some(6), "not a time"),
        ("time:+5m", Some(6), "not a time"),
        ("time:now-5", Some(6), "not a time"),
        ("time:2026-02-30", Some(6), "not a time"),
        ("fields.bytes:>many", Some(14), "not a number"),
        ("fields.bytes:>NaN", Some(14), "not a number"),
        ("rule_id:>a", Some(9), "no range"),
        ("user:[a TO b]", Some(6), "no range"),
        ("count:[5 10]", Some(7), "no range"),
        ("count:[5 TO", Some(7), "no range"),
        ("count:>", Some(7), "a value is missing"),
        ("count:>5*", Some(7), "no wildcard"),
        ("push OR", Some(6), "`OR` needs"),
        ("OR push", Some(1), "`OR` needs"),
        ("push AND", Some(6), "`AND` needs"),
        ("AND push", Some(1), "`AND` needs"),
        ("push NOT", Some(6), "`NOT` needs"),
        ("\"push", Some(1), "quote that does not end"),
        ("push && spray", Some(6), "no letter or digit"),
        ("a*", Some(1), "too short"),
        ("fields.x:a*", Some(10), "too short"),
        (&deep, Some(17), "more than 16 levels"),
        (&nots, Some(65), "more than 16 levels"),
        (&many, Some(129), "more than 64 words"),
        (&long_phrase, Some(1), "more than 32 words"),
    ];
    for (query, column, message) in cases {
        let error = refusal(&scratch.index, query);
        assert_eq!(error.column, *column, "{query}: {error}");
        assert!(error.primary.contains(message), "{query}: {error}");
    }
    let error = refusal(&scratch.index, "severty:high");
    assert_eq!(error.detail.as_deref(), Some("did you mean `severity`?"));
    assert!(error.hint.is_some_and(|h| h.contains("entity_kind") && h.contains("fields.severty:")));
    let error = refusal(&scratch.index, "status:progress");
    assert!(error.hint.is_some_and(|h| h.contains("in_progress")));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the time it takes is what is tested")]
fn hostile_queries_are_refused_at_once() {
    let scratch = filled(&mixed());
    for query in [
        "(".repeat(10_000),
        "x".repeat(1 << 20),
        "-".repeat(4_096),
        "-(".repeat(2_000),
        "a:".repeat(2_000),
        "title:(".repeat(500),
        "\"".repeat(4_095),
        "[".repeat(4_096),
        "é".repeat(2_049),
    ] {
        let start = std::time::Instant::now();
        refusal(&scratch.index, &query);
        let took = start.elapsed();
        // What is not linear takes minutes; a machine under load some seconds.
        assert!(took < Duration::from_secs(5), "{took:?} for {} bytes", query.len());
    }
    assert!(check("push OR (spray -x)").is_ok());
    assert!(check("push OR (").is_err());
}

/// Queries as large as they may be, each part of which reads much.
fn large() -> Vec<String> {
    let each = |part: &dyn Fn(usize) -> String, between: &str| {
        (0..64).map(part).collect::<Vec<_>>().join(between)
    };
    let letters = |n: usize| char::from(b'a' + (n % 26) as u8);
    vec![
        each(&|n| format!("w{}*", letters(n)), " OR "),
        each(&|n| format!("fields.n:[{n} TO 99999999]"), " "),
        each(&|n| format!("time:>now-{}d", n + 1), " OR "),
        each(&|n| format!("-\"of the {}\"", letters(n)), " "),
        each(&|_| "\"of the of the of the of\"".to_owned(), " "),
        each(&|n| format!("\"of the of the w{}\"*", letters(n)), " OR "),
        each(&|_| "fields.text:*".to_owned(), " "),
        format!("\"{}\"", "of the ".repeat(16)),
        format!("{}\"of the\"{}", "-(wa* ".repeat(8), ")".repeat(8)),
        format!("fields.{}:*", "a.".repeat(2_000)),
    ]
}

fn wordy(n: u128) -> Finding {
    let mut one = finding(n + 1);
    let words: Vec<String> = (0..10).map(|w| format!("of the w{:x}", n * 31 + w * w)).collect();
    one.fields = columns(json!({ "text": words.join(" "), "n": n as u64 }));
    one.time = NOW - n as i64;
    one
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the time it takes is what is tested")]
fn large_queries_are_answered_or_refused_by_name_in_time() {
    let dir = tempfile::tempdir().unwrap();
    let unbounded = Duration::from_secs(3_600);
    let findings: Vec<_> = (0..1_500).map(wordy).collect();
    for longest_search in [unbounded, Duration::from_millis(5), Duration::ZERO] {
        let index =
            FindingIndex::open(dir.path(), IndexSettings { longest_search, ..settings() }).unwrap();
        if index.is_empty() {
            put(&index, &findings, 1);
        }
        for query in large() {
            let start = std::time::Instant::now();
            let answer = search(&index, &query);
            let took = start.elapsed();
            // A part of one that is not looked into takes some milliseconds; a machine under load some
            // seconds.
            let bounded = longest_search < unbounded;
            assert!(!bounded || took < Duration::from_secs(10), "{took:?} for {query}");
            match answer {
                Ok(page) => assert!(longest_search > Duration::ZERO, "{query}: {}", page.total),
                Err(SearchError::Query(error)) => {
                    assert!(bounded, "{query}: {error}");
                    let text = format!("takes longer than {longest_search:?}");
                    assert!(error.primary.contains(&text) && error.hint.is_some(), "{error}");
                }
                Err(other) => panic!("{query}: {other}"),
            }
        }
    }
}

#[test]
fn numbers_of_a_request_are_checked() {
    let scratch = filled(&mixed());
    let request = SearchRequest::new("", NOW);
    for wrong in [
        SearchRequest { limit: 0, ..request.clone() },
        SearchRequest { limit: 501, ..request.clone() },
        SearchRequest { from: Some(2), to: Some(1), ..request.clone() },
        SearchRequest {
            facets: vec![sluice_index::Facet::Status],
            facet_limit: 101,
            ..request.clone()
        },
    ] {
        let answer = scratch.index.search(&wrong);
        assert!(matches!(answer, Err(SearchError::Request(_))), "{wrong:?}");
    }
}

#[test]
fn random_queries_never_panic() {
    const PIECES: &[&str] = &[
        "(",
        ")",
        "\"",
        "*",
        ":",
        "-",
        " ",
        " OR ",
        " AND ",
        "NOT ",
        "[",
        "]",
        "{",
        "}",
        " TO ",
        ">",
        "<",
        "=",
        "\\",
        "/",
        "^",
        "~",
        "a",
        "ann@example.com",
        "é",
        "\u{10ffff}",
        "\0",
        "9",
        "severity:",
        "time:",
        "now-",
        "24h",
        "risk:",
        "fields.",
        "fields.x:",
        "fields.a.b:",
        "fields..:",
        "fields.x\\:",
        "user:",
        "state:",
        "high",
        "id:",
        "99999999999999999999",
        "-9223372036854775808",
        "1e400",
        "\"\"",
        "2026-01-01",
    ];
    let scratch = filled(&mixed());
    let seed = match std::env::var("SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => RandomState::new().hash_one(0),
    };
    println!("SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut answered = 0;
    for _ in 0..3_000 {
        let length = random.random_range(0..14);
        let query: String =
            (0..length).map(|_| PIECES[random.random_range(0..PIECES.len())]).collect();
        match search(&scratch.index, &query) {
            Ok(_) => answered += 1,
            Err(SearchError::Query(_)) => {}
            Err(other) => panic!("{query:?}: {other}"),
        }
    }
    assert!(answered > 50, "{answered} of 3000 were queries at all");
}
