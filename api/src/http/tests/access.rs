//! Who may do what: every route of the description, with every role and with none.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{
    super::access::{Access, ROUTES, access},
    *,
};

/// A concrete address for a route.
fn concrete(path: &str) -> String {
    let id = "00000000000000000000000000000001";
    let icon = "icon.svg";
    let path = path.replace("{kind}", "user").replace("{stream}", id).replace("{webhook}", "soc");
    path.replace("{id}", id).replace("{input}", "push").replace("{file}", icon)
}

#[test]
fn every_described_route_is_in_the_table_and_every_other_one_is_a_page() {
    let fixture = Fixture::new();
    let described = description::operations(&fixture);
    for (method, path) in &described {
        assert!(access(&method.parse().unwrap(), path).is_some(), "{method} {path}");
    }
    for (method, path, access) in ROUTES {
        let known = described.contains(&(method.to_string(), (*path).to_owned()));
        assert!(known || *access == Access::Public, "{method} {path} is not described");
    }
    let public: Vec<&str> = ROUTES.iter().filter(|r| r.2 == Access::Public).map(|r| r.1).collect();
    assert_eq!(
        public,
        [
            "/",
            "/assets/{file}",
            "/healthz",
            "/readyz",
            "/api/v1/docs",
            "/api/v1/docs/docs.css",
            "/api/v1/docs/docs.js"
        ]
    );
}

#[test]
fn without_a_token_everything_but_the_public_routes_is_401() {
    let fixture = Fixture::new();
    for (method, path, needs) in ROUTES {
        let answer = fixture.send(None, method.as_str(), &concrete(path), &[], b"");
        if *needs == Access::Public {
            assert!(answer.status < 400, "{method} {path}: {}", answer.status);
        } else {
            let answer = answer.is(401);
            answer.problem("unauthenticated");
            assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"sluice\"");
        }
    }
    // What is not there tells nothing of itself either.
    for (method, path) in [
        ("GET", "/api/v1/nothing"),
        ("GET", "/debug"),
        ("PUT", "/api/v1/findings"),
        ("DELETE", "/"),
    ] {
        fixture.send(None, method, path, &[], b"").is(401).problem("unauthenticated");
    }
}

#[test]
fn each_role_may_do_what_its_permissions_say_and_nothing_else() {
    let fixture = Fixture::new();
    for (method, path, needs) in ROUTES {
        let Access::Needs(permission) = needs else { continue };
        // It would not end.
        let stream = path.ends_with("/stream");
        for role in Role::ALL {
            let path = concrete(path);
            if role.may(*permission) && stream {
                continue;
            }
            let token = fixture.secrets[&role].as_str();
            let answer = fixture.send(Some(token), method.as_str(), &path, &[], b"");
            let what =
                format!("{} {method} {path}: {} {}", role.name(), answer.status, answer.text());
            if role.may(*permission) {
                assert!(![401, 403].contains(&answer.status) && answer.status < 500, "{what}");
            } else {
                assert_eq!(answer.status, 403, "{what}");
                answer.problem("forbidden");
            }
        }
    }
}

#[test]
fn a_viewer_changes_nothing_and_ingest_and_metrics_do_one_thing() {
    let may = |role: Role| {
        let routes = ROUTES.iter().filter(
            |(_, _, needs)| matches!(needs, Access::Needs(permission) if role.may(*permission)),
        );
        routes.map(|(m, path, _)| format!("{m} {path}")).collect::<Vec<_>>()
    };
    let reads = |route: &String| route.starts_with("GET ") || route == "POST /api/v1/risk/query";
    assert!(may(Role::Viewer).iter().all(reads));
    assert_eq!(may(Role::Ingest), ["POST /api/v1/ingest/{input}"]);
    assert_eq!(may(Role::Metrics), ["GET /metrics"]);
    assert_eq!(may(Role::Auditor), ["GET /api/v1/audit"]);
}

#[test]
fn a_token_of_any_role_is_told_its_own_name_and_permissions() {
    let fixture = Fixture::new();
    for role in Role::ALL {
        let me = fixture.ask(role, "GET", "/api/v1/me", None).is(200).json();
        assert_eq!(me["role"], role.name());
        assert_eq!(me["name"], role.name());
        let listed: Vec<&str> =
            me["permissions"].as_array().unwrap().iter().map(|p| p.as_str().unwrap()).collect();
        let held = crate::tokens::Permission::ALL.into_iter().filter(|p| role.may(*p));
        assert_eq!(listed, held.map(crate::tokens::Permission::name).collect::<Vec<_>>());
    }
}

#[test]
fn other_methods_and_routes_are_told_to_who_may_ask() {
    let fixture = Fixture::new();
    let answer = fixture.ask(Role::Viewer, "DELETE", "/api/v1/findings", None).is(405);
    answer.problem("method_not_allowed");
    assert_eq!(answer.header("allow"), "GET");
    fixture.get("/api/v1/nothing").is(404).problem("not_found");
    fixture.get("/api/v1/docs/..%2f..%2fetc/passwd").is(404);
    fixture.get("/api/v1/findings/").is(404);
}

#[test]
fn a_token_only_counts_in_its_header() {
    let fixture = Fixture::new();
    let token = &fixture.secrets[&Role::Admin];
    for (path, headers) in [
        (format!("/api/v1/findings?token={token}"), vec![]),
        (format!("/api/v1/findings?access_token={token}"), vec![]),
        ("/api/v1/findings".to_owned(), vec![("cookie", format!("token={token}"))]),
        ("/api/v1/findings".to_owned(), vec![("x-api-key", token.clone())]),
    ] {
        let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
        fixture.send(None, "GET", &path, &headers, b"").is(401);
    }
}

#[test]
fn wrong_tokens_all_get_the_same_answer_and_then_429_while_good_ones_go_on() {
    let fixture = Fixture::new();
    let good = fixture.secrets[&Role::Viewer].clone();
    let expired = fixture.tokens.create("old", Role::Admin, Some(1), None, 0).unwrap();
    let mut texts = std::collections::BTreeSet::new();
    for bad in ["slc_0000000000000000_x", "nonsense", &format!("{good}x"), &expired] {
        let answer = fixture.send(Some(bad), "GET", "/api/v1/rules", &[], b"").is(401);
        texts.insert(answer.problem("unauthenticated")["detail"].to_string());
    }
    assert_eq!(texts.len(), 1, "{texts:?}");
    let mut last = 401;
    for _ in 0..30 {
        last = fixture.send(Some("nonsense"), "GET", "/api/v1/rules", &[], b"").status;
    }
    assert_eq!(last, 429);
    let answer = fixture.send(Some("nonsense"), "GET", "/api/v1/rules", &[], b"").is(429);
    answer.problem("too_many_requests");
    assert!(answer.header("retry-after").parse::<u64>().unwrap() <= 60);
    fixture.send(Some(&good), "GET", "/api/v1/rules", &[], b"").is(200);
}

#[test]
fn a_revoked_token_is_refused_within_a_second() {
    let fixture = Fixture::new();
    let token = fixture.tokens.create("ann", Role::Viewer, None, None, 0).unwrap();
    fixture.send(Some(&token), "GET", "/api/v1/rules", &[], b"").is(200);
    // By another process, which the server has only the file in common with.
    Tokens::open(&fixture.dir.path().join("data")).unwrap().revoke("ann").unwrap();
    #[expect(clippy::disallowed_methods, reason = "a test of how long it takes")]
    let start = Instant::now();
    while fixture.send(Some(&token), "GET", "/api/v1/rules", &[], b"").status != 401 {
        // The file is looked at twice a second; a machine under load may be later.
        assert!(start.elapsed() < Duration::from_secs(5));
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn an_ingest_token_can_be_for_some_inputs() {
    let fixture = Fixture::new();
    let inputs = Some(vec!["push".to_owned()]);
    let token = fixture.tokens.create("shipper", Role::Ingest, None, inputs, 0).unwrap();
    let record =
        br#"{"uuid":"1","published":"2026-01-01T09:00:00.000Z","eventType":"a","actor":{}}"#;
    let push = |input: &str| {
        fixture.send(Some(&token), "POST", &format!("/api/v1/ingest/{input}"), &[], record)
    };
    push("push").is(202);
    push("other").is(403).problem("forbidden");
}

#[test]
fn every_answer_carries_the_headers_and_no_cors() {
    let fixture = Fixture::new();
    for (token, path) in [(None, "/healthz"), (None, "/api/v1/docs"), (None, "/api/v1/rules")] {
        let headers = [("origin", "https://evil.example"), ("x-forwarded-for", "10.0.0.1")];
        let answer = fixture.send(token, "GET", path, &headers, b"");
        let csp = answer.header("content-security-policy");
        assert!(csp.contains("script-src 'self'") && !csp.contains("unsafe"), "{path}: {csp}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
        assert!(!answer.header("cache-control").is_empty(), "{path}");
        assert!(answer.headers.get("access-control-allow-origin").is_none(), "{path}");
    }
    assert_eq!(fixture.get("/api/v1/rules").header("cache-control"), "no-store");
}

#[test]
fn a_flood_of_bad_tokens_does_not_slow_good_requests() {
    let fixture = Fixture::new();
    let good = fixture.secrets[&Role::Viewer].clone();
    let flooding = std::sync::atomic::AtomicBool::new(true);
    let mut times = Vec::new();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while flooding.load(std::sync::atomic::Ordering::Relaxed) {
                    let answer = fixture.send(Some("slc_0_x"), "GET", "/api/v1/rules", &[], b"");
                    assert!([401, 429].contains(&answer.status));
                }
            });
        }
        for _ in 0..100 {
            #[expect(clippy::disallowed_methods, reason = "a test of how long it takes")]
            let start = Instant::now();
            fixture.send(Some(&good), "GET", "/api/v1/rules", &[], b"").is(200);
            times.push(start.elapsed());
        }
        flooding.store(false, std::sync::atomic::Ordering::Relaxed);
    });
    times.sort();
    assert!(times[98] < Duration::from_secs(2), "p99 is {:?}", times[98]);
}

#[test]
fn a_token_asks_for_so_many_changes_in_a_minute_and_others_go_on() {
    let fixture = Fixture::with(|settings| settings.changes_per_minute = 5);
    let change = |role| {
        let path = "/api/v1/findings/00000000000000000000000000000007";
        fixture.ask(role, "PATCH", path, Some(json!({"comment": "x"})))
    };
    for _ in 0..5 {
        change(Role::Analyst).is(404);
    }
    let refused = change(Role::Analyst).is(429);
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    let problem = refused.problem("too_many_requests");
    assert!(problem["hint"].as_str().unwrap().contains("max_changes_per_minute"), "{problem}");
    fixture.ask(Role::Analyst, "GET", "/api/v1/findings", None).is(200);
    change(Role::Responder).is(404);
    let audit = fixture.ask(Role::Auditor, "GET", "/api/v1/audit", None).is(200).json();
    let of_analyst = |item: &&Value| item["actor"] == "analyst";
    let records = audit["items"].as_array().unwrap().iter().filter(of_analyst).count();
    assert_eq!(records, 5, "{audit}");
}

#[test]
fn what_requests_cost_is_charged_and_shown() {
    let fixture = Fixture::new();
    for _ in 0..20 {
        fixture.get("/api/v1/rules").is(200);
    }
    let metrics = fixture.get("/metrics").text();
    let charged = "sluice_token_processor_seconds_total ";
    let charged = metrics.lines().find_map(|line| line.strip_prefix(charged)).unwrap();
    assert!(charged.parse::<f64>().unwrap() > 0.001, "{charged}");
    assert!(metrics.contains("sluice_token_processor_refused_total 0"), "{metrics}");
}
