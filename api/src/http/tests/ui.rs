//! The web UI as it is served: its policy, caching and compression. What it does in a browser is
//! tested in `dashboards/`.

use super::*;

#[test]
fn the_page_is_public_and_lets_in_nothing_from_elsewhere() {
    let fixture = Fixture::new();
    let page = fixture.send(None, "GET", "/", &[], b"").is(200);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(page.header("cache-control"), "no-cache");
    let policy = page.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; script-src 'self'"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(page.header("x-content-type-options"), "nosniff");
    let tag = page.header("etag").to_owned();
    let again = fixture.send(None, "GET", "/", &[("if-none-match", &tag)], b"").is(304);
    assert!(again.body.is_empty());
}

#[test]
fn assets_are_immutable_compressed_and_nothing_else_is_served() {
    let fixture = Fixture::new();
    for path in sluice_dashboards::paths().into_iter().filter(|p| p.starts_with("assets/")) {
        let plain = fixture.send(None, "GET", &format!("/{path}"), &[], b"").is(200);
        // The icon keeps its name; the others are named by their content.
        let immutable = plain.header("cache-control").contains("immutable");
        assert_eq!(immutable, path != "assets/icon.svg", "{path}");
        assert!(!plain.body.is_empty(), "{path}");
    }
    for path in ["/assets/nothing.js", "/assets/..%2findex.html", "/assets/missing.txt"] {
        fixture.send(None, "GET", path, &[], b"").is(404).problem("not_found");
    }
}
