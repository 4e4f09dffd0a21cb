//! `/metrics` as a monitoring system reads it: well formed to its own checker, and complete enough that
//! what became of every record can be computed from it.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use crate::support::{okta, service::Home};

/// The sum of a metric's values over the series that have a label.
fn sum(metrics: &str, name: &str, label: &str) -> f64 {
    let series = metrics.lines().filter(|line| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
            && line.contains(label)
    });
    series.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

#[test]
fn promtool_likes_them_and_records_add_up() {
    let home = Home::new("");
    let scraper = home.token("metrics");
    let mut service = home.start();
    service.push(&[okta("ann"), "not json".to_owned(), okta("bob")].join("\n")).is(202);
    service.wait_for("all", || service.records(0)["received"] == 3);
    service.wait_for("findings in the index", || service.total("") == Some(2));
    service.get("/api/v1/status").is(200);

    service.token = scraper;
    service.get("/api/v1/status").is(403);
    let metrics = service.get("/metrics").is(200).text;
    let of = |name: &str| sum(&metrics, name, "source=\"push\"");
    assert_eq!(of("sluice_records_received_total"), 3.0);
    assert_eq!(of("sluice_records_dead_letter_total"), 1.0);
    assert_eq!(
        of("sluice_records_received_total"),
        of("sluice_records_mapped_total")
            + of("sluice_records_mapped_empty_total")
            + of("sluice_records_dead_letter_total")
            + of("sluice_records_dropped_total"),
    );
    assert_eq!(
        of("sluice_rows_mapped_total"),
        of("sluice_rows_evaluated_total") + of("sluice_rows_too_late_total")
    );
    assert_eq!(sum(&metrics, "sluice_rule_findings_total", "rule=\"one\""), 2.0);
    assert_eq!(sum(&metrics, "sluice_conservation_error", ""), 0.0);
    for name in ["sluice_http_requests_total", "sluice_index_lag_seconds", "sluice_phase"] {
        assert!(metrics.contains(&format!("# TYPE {name} ")), "no {name} in\n{metrics}");
    }

    let checker = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut checker) = checker else {
        return sluice_harness::lacks("promtool is not installed (`apt-get install prometheus`)");
    };
    checker.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let checked = checker.wait_with_output().unwrap();
    let said = [checked.stdout, checked.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(checked.status.success() && said.is_empty(), "{}\n{said}\n{metrics}", checked.status);
}
