//! What each form of the query language finds.

use serde_json::{Value, json};

use crate::common::{columns, filled, finding, ids, mixed};

#[test]
fn every_form_finds_what_it_says() {
    let scratch = filled(&mixed());
    let all = &[1, 3, 2][..];
    let cases: &[(&str, &[u128])] = &[
        // Everything: newest first, without the withdrawn one.
        ("", all),
        ("  ", all),
        ("*", all),
        // Bare words.
        ("push", &[1]),
        ("PUSH Spray", &[1]),
        ("push beacon", &[]),
        ("\"push spray\"", &[1]),
        ("\"spray push\"", &[]),
        ("gateway", &[1]),
        ("\"vpn gateway\"", &[1]),
        ("laptop", &[3]),
        ("pus*", &[1]),
        ("\"access key us\"*", &[2]),
        ("ann@exam*", &[1]),
        ("or", &[]),
        // Whole and by part.
        ("ann@example.com", &[1]),
        ("example.com", &[1]),
        ("203.0.113.9", &[1]),
        ("203.0.113", &[1]),
        ("203.0.113.90", &[]),
        ("arn:aws:iam::1:user/x", &[2]),
        ("arn:aws:iam::2:user/x", &[]),
        ("T1078", &[2]),
        ("t1078.004", &[2]),
        ("T1621", &[1]),
        ("/etc/cron.d/", &[2]),
        ("fe80::1", &[2]),
        (r"C:\Windows\System32", &[2]),
        (r#""C:\Windows\System32\cmd.exe""#, &[2]),
        ("00000000000000000000000000000001", &[1]),
        // Entities.
        ("user:ann@example.com", &[1]),
        ("user:ANN@Example.com", &[1]),
        ("user:ann", &[]),
        ("user:ann*", &[1]),
        ("user:*", &[1, 2]),
        ("ip:198.51.100.7", &[2]),
        ("device:198.51.100.7", &[]),
        ("entity:198.51.100.7", &[2]),
        ("entity:\"ip:198.51.100.7\"", &[2]),
        ("entity:ip:198.51.100.7", &[2]),
        ("entity:arn:aws:iam::1:user/x", &[2]),
        ("entity:arn:*", &[2]),
        ("entity:*", all),
        ("entity_kind:ip", &[2]),
        // Fields.
        ("id:00000000000000000000000000000002", &[2]),
        ("rule_id:cloud.access_key", &[2]),
        ("rule_id:cloud", &[]),
        ("rule_id:cloud.*", &[2]),
        ("severity:high", &[1]),
        ("severity:HIGH", &[1]),
        ("severity:>=high", &[1, 3]),
        ("severity:>high", &[3]),
        ("severity:<high", &[2]),
        ("severity:[low TO high]", &[1, 2]),
        ("severity:>critical", &[]),
        ("status:new", all),
        ("status:resolved", &[]),
        ("attack:T1078", &[2]),
        ("attack:T1078.004", &[2]),
        ("attack:T10*", &[2]),
        ("tactic:TA0006", &[1]),
        ("tactic:TA0011", &[3]),
        ("tactic:\"credential access\"", &[1]),
        ("tactic:command-and-control", &[3]),
        ("title:\"first-seen address\"", &[2]),
        ("title:gateway", &[]),
        ("shadow:true", &[3]),
        ("shadow:false", &[1, 2]),
        ("state:withdrawn", &[4]),
        ("state:*", &[1, 4, 3, 2]),
        ("state:provisional", &[3]),
        ("id:00000000000000000000000000000004", &[4]),
        ("assignee:*", &[]),
        ("-assignee:*", all),
        // Numbers and times.
        ("risk:30", &[1]),
        ("risk:>=30", &[1, 3]),
        ("risk:>30", &[3]),
        ("risk:<30", &[2]),
        ("count:[1 TO 5]", &[1, 2]),
        ("count:{1 TO 5]", &[1]),
        ("count:[5 TO *]", &[1, 3]),
        ("count:[5 TO 1]", &[]),
        ("time:>now-24h", &[1, 3]),
        ("time:<now-24h", &[2]),
        ("time:2026-03-01", &[1, 3]),
        ("time:2026-02-27", &[2]),
        ("time:>2026-02-27", &[1, 3]),
        ("time:>=2026-02-27", all),
        ("time:[2026-02-27 TO 2026-02-28]", &[2]),
        ("time:2026-03-01T11:00:00Z", &[1]),
        ("time:>\"2026-03-01 10:00:00Z\"", &[1]),
        // Columns.
        ("fields.country:de", &[1]),
        ("fields.denied:7", &[1]),
        ("fields.denied:>=7", &[1]),
        ("fields.denied:>7", &[]),
        ("fields.bytes:>1e6", &[2]),
        ("fields.bytes:[* TO 3000000]", &[2]),
        ("fields.user_name:ann", &[1]),
        ("fields.user_name:\"ann@example.com\"", &[1]),
        ("fields.user_name:exam*", &[1]),
        ("fields.USER_NAME:ann", &[1]),
        ("fields.country:ann", &[]),
        ("fields.tags:green", &[2]),
        ("fields.tags:\"blue green\"", &[]),
        ("fields.ok:true", &[2]),
        ("fields.country:*", &[1]),
        ("fields.nowhere:x", &[]),
        ("fields.nowhere:>1", &[]),
        // Together.
        ("push OR beacon", &[1, 3]),
        ("push AND spray", &[1]),
        ("-push", &[3, 2]),
        ("NOT push", &[3, 2]),
        ("NOT NOT push", &[1]),
        ("-(push OR beacon)", &[2]),
        ("NOT push -beacon", &[2]),
        ("risk:>5 (push OR \"access key\")", &[1, 2]),
        ("push spray OR beacon rare", &[1, 3]),
        ("push (spray OR beacon)", &[1]),
        ("severity:(low OR critical)", &[3, 2]),
        ("title:(push spray)", &[1]),
        ("-severity:(low OR critical)", &[1]),
        ("-state:confirmed", &[4, 3]),
        ("push(spray)", &[1]),
    ];
    for (query, found) in cases {
        assert_eq!(ids(&scratch.index, query), *found, "{query}");
    }
}

#[test]
fn nested_long_and_broken_values_are_indexed_as_far_as_they_go() {
    let mut nested = finding(1);
    nested.fields = columns(json!({
        "actor": { "User": { "name": "Bob" }, "roles": [{ "id": 7 }, { "id": 9 }] },
        "a.b": "dotted", "none": null, "blob": "x".repeat(300),
    }));
    let mut deep = json!("bottom");
    for _ in 0..100 {
        deep = json!([deep]);
    }
    nested.fields.insert("deep".to_owned(), deep);
    let mut long = finding(2);
    long.evidence = vec![
        "no JSON at all".into(),
        Value::from("early ".to_owned() + &"filler ".repeat(10_000) + "late").to_string().into(),
        r#"{"x":"toolate"}"#.into(),
    ];
    let scratch = filled(&[nested, long]);
    for (query, found) in [
        ("fields.actor.user.name:bob", &[1][..]),
        ("fields.actor.roles.id:9", &[1]),
        ("fields.actor.roles.id:>8", &[1]),
        ("fields.actor.roles.id:>9", &[]),
        ("fields.a.b:dotted", &[1]),
        ("fields.none:*", &[]),
        ("fields.blob:xx*", &[]),
        ("bottom", &[]),
        ("\"no json\"", &[2]),
        ("early", &[2]),
        ("late", &[]),
        ("toolate", &[]),
    ] {
        assert_eq!(ids(&scratch.index, query), found, "{query}");
    }
}

#[test]
fn what_is_taken_away_is_what_would_be_found() {
    let findings: Vec<_> = (1..=200_u128)
        .map(|n| {
            let mut one = finding(n);
            one.title = match (n % 3, n % 7) {
                (0, _) => "alpha beta gamma",
                (_, 0) => "beta alpha gamma",
                _ => "gamma",
            }
            .to_owned();
            one
        })
        .collect();
    let scratch = filled(&findings);
    let all = ids(&scratch.index, "");
    for query in [
        "\"alpha beta\"",
        "\"beta ga\"*",
        "alpha",
        "\"alpha beta\" OR \"beta alpha\"",
        "beta \"alpha gamma\"",
        "-\"alpha beta\"",
        "alpha -\"alpha beta\"",
        "\"gamma alpha\"",
        "(\"alpha beta\" gamma) OR (\"beta alpha\" gamma)",
    ] {
        let found = ids(&scratch.index, query);
        let rest = ids(&scratch.index, &format!("-({query})"));
        let mut both = [found.clone(), rest].concat();
        both.sort_unstable();
        assert_eq!(both, all, "{query}");
        let within = ids(&scratch.index, &format!("gamma risk:30 -({query})"));
        assert_eq!(within.len() + found.len(), all.len(), "{query}");
        assert_eq!(ids(&scratch.index, &format!("gamma risk:30 ({query})")), found, "{query}");
    }
    assert_eq!(ids(&scratch.index, "\"alpha beta\"").len(), 66);
    assert_eq!(ids(&scratch.index, "-\"alpha beta\"").len(), 134);
}
